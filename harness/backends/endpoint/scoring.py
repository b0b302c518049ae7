"""Log-probabilities of answers by each of the routes. Pure but for the requests that `post` sends.

A request that only scores samples one token, which does not matter, at temperature 1: there the probabilities that a
server shows are the model's own, whether it shows them before or after its sampler.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from traitbench.backends.endpoint.client import Malformed
from traitbench.backends.endpoint.tokens import Post
from traitbench.backends.rendering import Tokens
from traitbench.backends.trie import along, nodes

__all__ = ["Echo", "beside", "bounded", "by_echo", "by_prompt", "by_tree", "echoed", "likeliest", "scored", "shown"]

Top = Sequence[tuple[str, float]]
"""Text and log-probability of the likeliest tokens."""

_FLOOR = -9999.0
"""What servers write for the log of 0."""
_ROUNDING = 1e-3
"""By how much a log-probability may lie above 0."""


def scored(model: str, **more: Any) -> dict[str, Any]:
    """The body of a request that only scores."""
    return {"model": model, "max_tokens": 1, "temperature": 1, **more}


def by_tree(post: Post, model: str, prompt: Tokens, answers: Iterable[Tokens]) -> dict[Tokens, float]:
    """Score answers by vLLM's `logprob_token_ids`: one request for each token that several may follow.

    Every answer is a path in a tree of tokens; its log-probability is the sum along it.
    """
    wanted = list(answers)
    found: dict[Tokens, float] = {}
    for path, children in nodes(wanted):
        body = scored(model, prompt=[*prompt, *path], logprobs=1, logprob_token_ids=list(children))
        logs = post("completions", {**body, "return_tokens_as_token_ids": True}, _named(children))
        found |= {(*path, token): log for token, log in zip(children, logs, strict=True)}
    return along(wanted, found)


def by_prompt(post: Post, model: str, prompt: Tokens, answers: Iterable[Tokens]) -> dict[Tokens, float]:
    """Score answers by vLLM's `prompt_logprobs`: all in one request, each behind the prompt, read from the end."""
    wanted = list(answers)
    body = scored(model, prompt=[[*prompt, *path] for path in wanted], prompt_logprobs=0)
    logs: list[float] = post("completions", body, _ends(wanted))
    return dict(zip(wanted, logs, strict=True))


class Echo(NamedTuple):
    """A text as the server repeats it: its tokens with their log-probabilities, and what may follow it."""

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    """None of the first."""
    top: Top


def by_echo(post: Post, model: str, prompt: Echo, text: str, answer: str) -> tuple[float, int] | None:
    """Log-probability and tokens of `answer` behind `text`, which the server repeated as `prompt`.

    None where a token lies across the border, so that the answer cannot be told from the prompt.
    """
    whole: Echo = post("completions", echoed(model, text + answer, 1), shown(text + answer))
    size = len(prompt.tokens)
    logs = whole.logprobs[size:]
    if whole.tokens[:size] != prompt.tokens or not logs:
        return None
    return math.fsum(log for log in logs if log is not None), len(logs)


def echoed(model: str, text: str, top: int) -> dict[str, Any]:
    """The request to repeat a text."""
    return scored(model, prompt=text, echo=True, logprobs=top)


def shown(text: str) -> Callable[[Any], Echo]:
    """Read a repeated `text`; Malformed where it is not all there."""

    def read(answer: Any) -> Echo:
        choice = _choices(answer, 1)[0]
        logs: Any = choice.get("logprobs")
        try:
            tokens, values = list(logs["tokens"]), list(logs["token_logprobs"])
            written = int((answer.get("usage") or {}).get("completion_tokens", 1))
            end = len(tokens) - written
            top = _legacy(logs["top_logprobs"][end]) if written and logs.get("top_logprobs") else ()
        except (TypeError, KeyError, IndexError, ValueError, AttributeError):
            raise Malformed("no log-probabilities of the text") from None
        if end < 2 or len(values) < end or not str(choice.get("text")).startswith(text):
            raise Malformed("the text is not repeated")
        try:
            return Echo(tuple(tokens[:end]), (None, *map(_log, values[1:end])), top)
        except (TypeError, ValueError):
            raise Malformed("no log-probability of a token") from None

    return read


def likeliest(chat: bool) -> Callable[[Any], Top]:
    """Read the likeliest first tokens of a chat's or of a completion's answer, the sampled one last.

    Servers may put the sampled token in the place of the last one, so it alone says nothing of those not shown.
    """

    def read(answer: Any) -> Top:
        logs: Any = _choices(answer, 1)[0].get("logprobs")
        try:
            if not chat:
                return _legacy(logs["top_logprobs"][0], logs["tokens"][0])
            return beside(logs["content"][0])
        except (TypeError, KeyError, IndexError, ValueError, AttributeError):
            raise Malformed("no log-probabilities of the likeliest tokens") from None

    return read


def beside(token: Mapping[str, Any]) -> Top:
    """Read the likeliest tokens in the place of `token`, of a chat's answer as its JSON shows it; see `likeliest`.

    Malformed, KeyError, TypeError or ValueError where they are not there.
    """
    found = [(row, row["token"] == token["token"]) for row in token["top_logprobs"]]
    return _last([(_spelt(row), _log(row["logprob"]), sampled) for row, sampled in found])


def bounded(
    top: Top, options: Sequence[Sequence[str]], known: Mapping[str, float] | None = None
) -> tuple[list[float | None], list[float]]:
    """Least and most log-probability of each option, by the likeliest tokens (see `likeliest`).

    Spellings among them, and those whose log-probability is `known`, are summed. One that is neither is at most as
    likely as the last of them or, where it is spelt in several tokens, as one of them that begins it. The least is None
    where no spelling is shown.
    """
    tokens: dict[str, float] = defaultdict(float)
    for text, log in top:
        tokens[text] += math.exp(log)
    last = min((math.exp(log) for _, log in top[:-1]), default=1.0)
    found = {**tokens, **{text: math.exp(log) for text, log in (known or {}).items()}}
    least, most = [], []
    for option in options:
        seen = sum(found[text] for text in option if text in found)
        rest = [
            max([last, *(p for start, p in tokens.items() if start and text.startswith(start))])
            for text in option
            if text not in found
        ]
        least.append(math.log(seen) if seen > 0 else None)
        most.append(math.log(max(min(seen + sum(rest), 1.0), 1e-300)))
    return least, most


def _named(tokens: Sequence[int]) -> Callable[[Any], list[float]]:
    """Read the log-probabilities of `tokens`, which the answer names by their ids."""

    def read(answer: Any) -> list[float]:
        try:
            top = _choices(answer, 1)[0]["logprobs"]["top_logprobs"][0]
            return [_log(top[f"token_id:{token}"]) for token in tokens]
        except (TypeError, KeyError, IndexError, ValueError, AttributeError):
            raise Malformed("no log-probabilities of the tokens asked for") from None

    return read


def _ends(answers: Sequence[Tokens]) -> Callable[[Any], list[float]]:
    """Read the summed log-probabilities of `answers`, each of which ends a prompt."""

    def read(answer: Any) -> list[float]:
        try:
            choices = zip(_choices(answer, len(answers)), answers, strict=True)
            rows = [choice["prompt_logprobs"][-len(path) :] for choice, path in choices]
            return [
                math.fsum(_log(place[str(token)]["logprob"]) for place, token in zip(row, path, strict=True))
                for row, path in zip(rows, answers, strict=True)
            ]
        except (TypeError, KeyError, IndexError, ValueError, AttributeError):
            raise Malformed("no log-probabilities of the prompt") from None

    return read


def _choices(answer: Any, many: int) -> list[dict[str, Any]]:
    found = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(found, list) or len(found) != many or not all(isinstance(each, dict) for each in found):
        raise Malformed(f"not {many} choices")
    return sorted(found, key=lambda each: each.get("index") or 0)


def _legacy(top: dict[str, float], sampled: str | None = None) -> Top:
    return _last([(text, _log(log), text == sampled) for text, log in top.items()])


def _log(value: Any) -> float:
    """A log-probability, of which JSON has no infinite one; ValueError for what is none."""
    log = float(value)
    if math.isnan(log) or log > _ROUNDING:
        raise ValueError("not a log-probability")
    return max(log, _FLOOR)


def _last(rows: list[tuple[str, float, bool]]) -> Top:
    if not rows:
        raise Malformed("no likeliest tokens")
    return [(text, log) for text, log, _ in sorted(rows, key=lambda row: (row[2], -row[1]))]


def _spelt(row: dict[str, Any]) -> str:
    """The text of a token: its bytes, where they are given and whole letters, else what it is called."""
    try:
        return bytes(row["bytes"]).decode()
    except (KeyError, TypeError, ValueError):
        return str(row["token"])
