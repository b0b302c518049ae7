"""Models behind a server that speaks OpenAI's protocol: vLLM and the like, or a vendor's.

A request is answered alone, several at a time. How option probabilities are had depends on what the server gives; it is
found out first (probe) and is part of every answer's key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from traitbench.backends.backend import Backend, Options, Work, penalised
from traitbench.backends.endpoint.answering import Answerer
from traitbench.backends.endpoint.asking import answers
from traitbench.backends.endpoint.client import Client, Failed, Hurried, Refused
from traitbench.backends.endpoint.probe import Routes, probe, refused
from traitbench.backends.endpoint.settings import UNDECIDING, Settings, settings_of
from traitbench.backends.models import ModelSpec
from traitbench.errors import BadData, Unreachable
from traitbench.types import Choose, Continue, Control, Kind, Request, Response, prompt_hash

__all__ = ["Endpoint"]

_PATIENCE = 6.0
"""Seconds that all counting of tokens may take, before a run is begun without an estimate."""
_COUNTED = 4
"""Requests whose tokens the server is asked to count, for all that are alike."""


class Endpoint(Backend):
    """A model behind an OpenAI-compatible server."""

    name: ClassVar[str] = "endpoint"
    applies: ClassVar[frozenset[Kind]] = frozenset({"prompt"})
    undeciding: ClassVar[frozenset[str]] = UNDECIDING
    counts_elsewhere: ClassVar[bool] = True
    reads = False

    class Arguments(Settings):
        """Where the server is and how it is asked."""

    def __init__(self, spec: ModelSpec, settings: Settings, chat: bool = True) -> None:
        """Find out what the server can do.

        BadData where it refuses the model, the key or the route; Unreachable where it does not answer.
        """
        self.spec, self.settings = spec, settings
        self._client = Client(settings)
        try:
            self.routes: Routes = probe(self._client, settings, spec.source, chat)
        except Failed as error:
            self._client.close()
            raise Unreachable(
                f"cannot ask {settings.server}: {error}; expected a server that speaks OpenAI's protocol at the "
                "address in --model_args base_url; no item was asked yet, and the same command tries again"
            ) from None
        except BaseException:
            self._client.close()
            raise
        self._answerer = Answerer(self._client, settings, spec.source, self.routes)
        self._counting = Hurried(settings, _PATIENCE)
        self._counter = Answerer(self._counting, settings, spec.source, self.routes)

    @classmethod
    def refuses(cls, request: Request, spec: ModelSpec) -> str | None:
        """Refuse a repetition penalty, which OpenAI's protocol does not have."""
        return penalised(request, "servers of OpenAI's protocol")

    @classmethod
    def check(cls, spec: ModelSpec, options: Options) -> None:
        """Refuse settings that cannot work, and a key among them, before a folder is made."""
        settings_of(options)

    @classmethod
    def make(cls, spec: ModelSpec, options: Options) -> Self:
        """Find out what the server can do; without --apply_chat_template false its chat template is used."""
        return cls(spec, settings_of(options), options.chat_template is not False)

    @property
    def identity(self) -> dict[str, Any]:
        """Server, model and the way it is asked: answers had by two routes are never mixed."""
        kept = self.routes.model_dump(mode="json", exclude={"lacking", "limit"})
        return {"backend": self.name, "model": self.spec.source, "server": self.settings.server, **kept}

    def prompt(self, request: Request) -> str:
        """Return the turns that are sent, each behind its role; what the server's template makes of them it knows.

        Without a chat template it is the exact text.
        """
        if not self.routes.chat:
            return self._answerer.plain(request, self._control)
        return "\n\n".join(f"{turn.role}: {turn.content}" for turn in self._answerer.turns(request, self._control))

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Answer each of `requests` that is not done, one a batch, as the answers arrive.

        BadData, before anything is asked, for a kind of request that the server cannot answer, and where it refuses
        one; Unreachable where it stops answering.
        """
        self._able(requests)
        control, answered = self._control, set(done)

        def answer(index: int) -> Response:
            request = requests[index]
            try:
                found = self._answerer.answer(request, control)
            except Refused as no:
                if no.filtered:
                    return Response(status="error", error=f"refused by the server's content filter: {no}")
                raise refused(no, self.settings, self.spec.source, self.routes.chat) from None
            return found.model_copy(update={"prompt_hash": prompt_hash(self.prompt(request))})

        wanted = [index for index in range(len(requests)) if index not in answered]
        yield from answers(answer, wanted, self.settings, self._client.stop)

    def work(self, requests: Sequence[Request], control: Control) -> Work | None:
        """Count by the server's tokeniser, of a few spread over `requests`; whatever they share is billed each time.

        None where it has none, where it fails once or has taken _PATIENCE seconds over all calls, and with
        requests_per_minute, which counting would use up.
        """
        if not self.routes.tokenizer or self.settings.requests_per_minute:
            return None
        many = min(len(requests), _COUNTED)
        few = [requests[n * len(requests) // many] for n in range(many)]
        try:
            read, written = _summed(self._counter.billed(request, control) for request in few)
        except (Failed, Refused):
            return None
        return Work(own=read, usd=self._dollars(read, written)).times(len(requests) / max(many, 1))

    def cost(self, responses: Iterable[Response]) -> dict[str, Any]:
        """Tokens read and written over all `responses`, and dollars where both prices are given."""
        read, written = _summed(response.billed for response in responses if response.billed)
        return {"input_tokens": read, "output_tokens": written, "usd": self._dollars(read, written)}

    def _dollars(self, read: float, written: float) -> float | None:
        prices = self.settings.input_price, self.settings.output_price
        return None if None in prices else (read * (prices[0] or 0) + written * (prices[1] or 0)) / 1e6

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
        self._counting.close()

    def unable(self, request: Request) -> str | None:
        """Say which log-probabilities the server does not give, and why not."""
        routes, where = self.routes, self.settings.server
        if isinstance(request, Choose) and routes.choose is None:
            return f"{where} gives no probabilities of answer options, which choice needs ({_why(routes)})"
        if isinstance(request, Continue) and routes.loglik is None:
            return f"{where} gives no log-likelihood of a text, which statement needs ({_why(routes)})"
        return None

    def _able(self, requests: Sequence[Request]) -> None:
        """Refuse what no route of this server answers."""
        for kind, able in ((Choose, "generate"), (Continue, "choice" if self.routes.choose else "generate")):
            first = next((request for request in requests if isinstance(request, kind)), None)
            if first is not None and (why := self.unable(first)):
                raise BadData(f"{why}; use --scoring {able}")


def _summed(billed: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Tokens read and tokens written, each over all that was billed."""
    pairs = list(billed)
    return sum(read for read, _ in pairs), sum(written for _, written in pairs)


def _why(routes: Routes) -> str:
    return "; ".join(f"{route}: {why}" for route, why in routes.lacking.items())
