"""One request and its answer, by the routes that a server has."""

from __future__ import annotations

from itertools import chain
from typing import Any

from traitbench.backends.endpoint import scoring
from traitbench.backends.endpoint.client import Bill, Client, Malformed
from traitbench.backends.endpoint.probe import Routes
from traitbench.backends.endpoint.settings import Settings
from traitbench.backends.endpoint.tokens import Tokenizer, turns
from traitbench.backends.rendering import TEMPLATE, Tokens, apart, continued, plain, system_in_user_turn
from traitbench.backends.trie import nodes, pooled
from traitbench.types import Choose, Continue, Control, Message, Request, Response, Write

__all__ = ["Answerer"]

_PLAIN = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sampling as in the backend hf; vLLM would else take what the checkpoint recommends."""


class Answerer:
    """Answers requests, from many threads."""

    def __init__(self, client: Client, settings: Settings, model: str, routes: Routes) -> None:
        """`routes` are those that a probe found."""
        self._client, self._model, self._routes = client, model, routes
        self._tokenizer = Tokenizer(client.post, settings.root, model, routes.detokenizer)

    def turns(self, request: Request, control: Control | None) -> tuple[Message, ...]:
        """The conversation as it is sent."""
        conversation = request.conversation(control)
        return conversation if self._routes.system_role else system_in_user_turn(conversation)

    def plain(self, request: Request, control: Control | None) -> str:
        """The prompt of a model without a chat template: the contents and the cue."""
        return plain(request.conversation(control), request.cue)

    def answer(self, request: Request, control: Control | None) -> Response:
        """Ask `request` under `control`.

        Raises Refused where the server says no, Failed where it does not answer.
        """
        bill = Bill(self._client)
        if isinstance(request, Choose):
            found = self._choose(bill, request, control)
        elif isinstance(request, Continue):
            found = self._continue(bill, request, control)
        else:
            found = self._write(bill, request, control)
        return found.model_copy(update={"billed": bill.tokens})

    def billed(self, request: Request, control: Control | None) -> tuple[int, int]:
        """Count the tokens that answering `request` reads, and those that it writes at most, by the server's tokeniser.

        Raises Refused or Failed as `answer` does.
        """
        prompt = self._prompt(request, control)
        size = len(prompt[0])
        if isinstance(request, Write):
            return size, request.max_tokens
        if isinstance(request, Choose) and self._routes.choose == "top":
            return size, 1
        rows = list(dict.fromkeys(chain.from_iterable(self._answers(request, prompt))))
        if isinstance(request, Choose) and self._routes.choose == "token_ids":
            rows = [path for path, _ in nodes(rows)]
        return sum(size + len(row) for row in rows), len(rows)

    def _choose(self, bill: Bill, request: Choose, control: Control | None) -> Response:
        if self._routes.choose == "top":
            least, most = scoring.bounded(self._top(bill, request, control), request.options)
            return Response(option_logprobs=tuple(least), option_bounds=tuple(most))
        if self._routes.choose == "echo":
            return self._choose_by_echo(bill, request, control)
        prompt = self._prompt(request, control)
        options = self._answers(request, prompt)
        apart(request, options, "server's tokenizer")
        every = dict.fromkeys(path for option in options for path in option)
        score = scoring.by_tree if self._routes.choose == "token_ids" else scoring.by_prompt
        logs = score(bill.post, self._model, prompt[0], every)
        return Response(option_logprobs=pooled(options, logs))

    def _choose_by_echo(self, bill: Bill, request: Choose, control: Control | None) -> Response:
        text = self.plain(request, control)
        prompt = self._echo(bill, text)
        known = {}
        for spelling in dict.fromkeys(spelling for option in request.options for spelling in option):
            found = scoring.by_echo(bill.post, self._model, prompt, text, spelling)
            if found is not None:
                known[spelling] = found[0]
        least, most = scoring.bounded(prompt.top, request.options, known)
        exact = all(spelling in known for option in request.options for spelling in option)
        return Response(option_logprobs=tuple(least), option_bounds=None if exact else tuple(most))

    def _continue(self, bill: Bill, request: Continue, control: Control | None) -> Response:
        if self._routes.loglik == "echo":
            text = self.plain(request, control)
            found = scoring.by_echo(
                bill.post, self._model, self._echo(bill, text), text, continued(request.text, False)
            )
            if found is None:
                return Response(
                    status="error", error=f"a token lies across the border of the prompt and {request.text!r}"
                )
            return Response(loglik=found[0], tokens=found[1])
        prompt = self._prompt(request, control)
        ((path,),) = self._answers(request, prompt)
        logs = scoring.by_prompt(bill.post, self._model, prompt[0], [path])
        return Response(loglik=logs[path], tokens=len(path))

    def _write(self, bill: Bill, request: Write, control: Control | None) -> Response:
        routes = self._routes
        body: dict[str, Any] = {
            "model": self._model, "temperature": request.temperature, "top_p": 1, "seed": request.seed,
            routes.limit: request.max_tokens, **(_PLAIN if routes.tokenizer else {}),
        }  # fmt: skip
        if routes.chat:
            body |= {"messages": turns(self.turns(request, control))}
            body |= {"chat_template_kwargs": TEMPLATE} if routes.tokenizer else {}
        else:
            body |= {"prompt": self.plain(request, control)}
        reply: Response = bill.post("chat/completions" if routes.chat else "completions", body, _reply(routes.chat))
        return reply

    def _top(self, bill: Bill, request: Request, control: Control | None) -> scoring.Top:
        routes = self._routes
        body = scoring.scored(self._model, seed=0)
        if routes.chat:
            body[routes.limit] = body.pop("max_tokens")
            body |= {"messages": turns(self.turns(request, control)), "logprobs": True, "top_logprobs": routes.top}
        else:
            body |= {"prompt": self.plain(request, control), "logprobs": routes.top}
        found: scoring.Top = bill.post(
            "chat/completions" if routes.chat else "completions", body, scoring.likeliest(routes.chat)
        )
        return found

    def _echo(self, bill: Bill, text: str) -> scoring.Echo:
        found: scoring.Echo = bill.post(
            "completions", scoring.echoed(self._model, text, self._routes.top or 1), scoring.shown(text)
        )
        return found

    def _prompt(self, request: Request, control: Control | None) -> tuple[Tokens, str | None]:
        if self._routes.chat:
            return self._tokenizer.prompt(self.turns(request, control))
        return self._tokenizer.prompt(self.plain(request, control))

    def _answers(self, request: Choose | Continue, prompt: tuple[Tokens, str | None]) -> list[list[Tokens]]:
        """The spellings of each option as tokens behind `prompt`; of a statement its text, as one option."""
        chat = self._routes.chat
        options = request.options if isinstance(request, Choose) else [[continued(request.text, chat)]]
        return [list(dict.fromkeys(self._tokenizer.answer(prompt, text, chat) for text in texts)) for texts in options]


def _reply(chat: bool) -> Any:
    """Read a written reply. Its length limit makes it truncated; what it wrote before it spoke is left out."""

    def read(answer: Any) -> Response:
        try:
            choice = answer["choices"][0]
            text = choice["message"].get("content") or choice["message"].get("refusal") if chat else choice["text"]
            ended = choice["finish_reason"]
        except (TypeError, KeyError, IndexError, AttributeError):
            raise Malformed("no reply") from None
        if ended is None or not isinstance(text, str | None):
            raise Malformed("no whole reply")
        tokens = (answer.get("usage") or {}).get("completion_tokens")
        return Response(
            status="truncated" if ended == "length" else "valid",
            text=text or "",
            tokens=tokens if isinstance(tokens, int) else None,
        )

    return read
