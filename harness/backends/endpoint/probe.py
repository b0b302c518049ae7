"""What a server can do, found out with a few small requests before a run asks anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from traitbench.backends.endpoint import scoring
from traitbench.backends.endpoint.client import Client, Malformed, Refused
from traitbench.backends.endpoint.settings import Settings
from traitbench.backends.endpoint.tokens import Tokenizer, turns
from traitbench.errors import BadData
from traitbench.masking import KEY
from traitbench.types import Message, Record

__all__ = ["Routes", "probe", "refused"]

Route = Literal["token_ids", "prompt_logprobs", "echo", "top"]

_ORDER: tuple[Route, ...] = ("token_ids", "prompt_logprobs", "echo", "top")

_ASK = (Message(role="user", content="Reply with the letter A and nothing else."),)
_TEXT = "The answer to the first question is A.\nThe answer to the second one is"
_ASKED = 3
"""How often an answer must lack something before the server is taken not to have it."""
_FEWER = 5
"""Likeliest tokens to ask for where a server refuses more."""


class Routes(Record):
    """How a model at a server is asked; it decides answers."""

    chat: bool
    """Through the server's chat template, else as plain text."""
    system_role: bool = True
    """Whether the template takes system turns; else their text goes in front of the user's."""
    choose: Route | None = None
    """How option probabilities are had."""
    loglik: Route | None = None
    """How the log-likelihood of a text is had."""
    top: int | None = None
    """Likeliest tokens that are shown at most."""
    tokenizer: bool = False
    """Whether the server tokenises, and so takes what else vLLM takes."""
    detokenizer: bool = False
    """Whether it also turns tokens into text."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What it calls the longest reply."""
    lacking: dict[str, str] = {}
    """Route -> why the server does not have it."""


@dataclass
class _Found:
    routes: dict[str, str | None]
    """Route -> None where the server has it, else why not."""
    tokenizer: bool = False
    detokenizer: bool = False


def probe(client: Client, settings: Settings, model: str, chat: bool) -> Routes:
    """Find the routes of a server.

    BadData where it has no such model or refuses the key, or has no route that was asked for; Failed where it does not
    answer: an error that may pass never counts as something that the server lacks.
    """
    try:
        limit, top = _first(client, settings, model, chat)
    except Refused as no:
        raise refused(no, settings, model, chat, client.models() if no.status == 404 else []) from None
    found = _Found({"top": None if top else "it shows no log-probabilities of the likeliest tokens"})
    _exact(found, client, settings, model, chat)
    wanted = settings.route
    had: list[Route] = [route for route in _ORDER if route in found.routes and found.routes[route] is None]
    lacking = {route: why for route, why in found.routes.items() if why is not None}
    if wanted != "auto" and wanted not in had:
        raise BadData(
            f"{settings.server} does not have the route {wanted}: {lacking.get(wanted, 'it was not found')}; leave "
            "--model_args route out to take what it has"
        )
    routes = [route for route in had if wanted in ("auto", route)]
    return Routes(
        chat=chat,
        system_role=not chat or _takes_system(client, model, limit),
        choose=routes[0] if routes else None,
        loglik=next((route for route in had if route in ("prompt_logprobs", "echo")), None),
        top=top,
        tokenizer=found.tokenizer,
        detokenizer=found.detokenizer,
        limit=limit,
        lacking=lacking,
    )


def _exact(found: _Found, client: Client, settings: Settings, model: str, chat: bool) -> None:
    """Find out which of the exact routes there are, of those that are wanted."""

    def post(path: str, body: dict[str, Any], read: Callable[[Any], Any]) -> Any:
        # An answer that lacks something is no failure here: the server may not have it.
        return read(client.post(path, body, lambda answer: answer))

    asked: Any = _ASK if chat else _TEXT
    if settings.route in ("auto", "token_ids", "prompt_logprobs"):
        tokenizer = Tokenizer(post, settings.root, model, detokenizes=False)
        why = _lacks(lambda: tokenizer.prompt(asked))
        found.tokenizer = why is None
        if why is not None:
            found.routes |= dict.fromkeys(("token_ids", "prompt_logprobs"), f"it does not tokenise (/tokenize: {why})")
        else:
            ids = tokenizer.prompt(asked)[0]
            found.detokenizer = _lacks(lambda: Tokenizer(post, settings.root, model).prompt(asked)) is None
            some, ends = [(token,) for token in sorted(set(ids))[:4]], [ids[-2:], ids[-2:-1]]
            found.routes["token_ids"] = _lacks(lambda: scoring.by_tree(post, model, ids, some))
            found.routes["prompt_logprobs"] = _lacks(lambda: scoring.by_prompt(post, model, ids[:-2], ends))
    if chat:
        found.routes["echo"] = "a chat template's text is not known here; it is for --apply_chat_template false"
    elif settings.route == "echo" or (settings.route == "auto" and found.routes["prompt_logprobs"] is not None):
        body = scoring.echoed(model, _TEXT, 1)
        found.routes["echo"] = _lacks(lambda: post("completions", body, scoring.shown(_TEXT)))


def refused(no: Refused, settings: Settings, model: str, chat: bool, models: list[str] | None = None) -> BadData:
    """Say what a server that said no means by it, and which setting to change."""
    where = f"{settings.server} refuses the model {model!r}"
    if no.status in (401, 403):
        name = settings.key_env or KEY
        return BadData(
            f"{settings.server} refuses the key ({no.status}); set the environment variable {name} to one that it "
            "takes, or name another variable with --model_args key_env=NAME"
        )
    if no.status == 404:
        has = f"; it has {', '.join(models[:10])}" if models else ""
        return BadData(
            f"{where} ({no}){has}; expected --model endpoint:NAME with a name that it has, and in --model_args "
            "base_url its address up to the version, e.g. http://localhost:8000/v1"
        )
    if 300 <= no.status < 400:
        return BadData(f"{settings.server} is elsewhere ({no.status}); give its own address in --model_args base_url")
    hint = "; for a model without a chat template add --apply_chat_template false" if chat else ""
    return BadData(f"{where}, or how it is asked ({no}){hint}")


def _first(
    client: Client, settings: Settings, model: str, chat: bool
) -> tuple[Literal["max_tokens", "max_completion_tokens"], int | None]:
    """Ask one thing in the ways that servers take; the name of the length limit, and how many tokens are shown."""
    first: Refused | None = None
    for limit, top in _ways(settings.top_logprobs, chat):
        body = scoring.scored(model)
        del body["max_tokens"]
        body[limit] = 1 if top else 16
        if chat:
            body |= {"messages": turns(_ASK), **({"logprobs": True, "top_logprobs": top} if top else {})}
        else:
            body |= {"prompt": _TEXT, **({"logprobs": top} if top else {})}
        path = "chat/completions" if chat else "completions"
        try:
            shows = any(_shows(client.post(path, body, _anything), chat) for _ in range(_ASKED if top else 1))
            return limit, top if shows else None
        except Refused as no:
            first = first or no
            if no.status not in (400, 422):
                raise
    assert first is not None
    raise first


def _shows(answer: Any, chat: bool) -> bool:
    try:
        scoring.likeliest(chat)(answer)
    except Malformed:
        return False
    return True


def _ways(top: int, chat: bool) -> Iterator[tuple[Literal["max_tokens", "max_completion_tokens"], int | None]]:
    tops = (top, *((_FEWER,) if top > _FEWER else ()), None)
    yield from (("max_tokens", each) for each in tops)
    if chat:
        yield from (("max_completion_tokens", each) for each in tops)


def _takes_system(client: Client, model: str, limit: str) -> bool:
    asked = (Message(role="system", content="You are brief."), *_ASK)
    body = {"model": model, "messages": turns(asked), limit: 16}
    return _lacks(lambda: client.post("chat/completions", body, _anything)) is None


def _lacks(ask: Callable[[], Any]) -> str | None:
    """Why a server does not take a request; None where it does.

    An answer that lacks what was asked for is a no, the third time: once it may be a fault.
    """
    why = ""
    for _ in range(_ASKED):
        try:
            ask()
            return None
        except Refused as no:
            return f"it says {no}"
        except Malformed as lack:
            why = f"it answers with {lack}"
    return why


def _anything(answer: Any) -> Any:
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list) or not answer["choices"]:
        raise Malformed("no choices")
    return answer
