"""A judge that is a language model: any model of any backend that gives the log-probabilities of its options.

One that gives none, such as a chat server without them, writes its verdict, which is read strictly; its card says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from traitbench.backends import BACKENDS
from traitbench.backends.backend import Backend, Options
from traitbench.backends.models import ModelSpec, automatic, resolve
from traitbench.errors import TraitbenchError, UnsupportedControl
from traitbench.judges import asking
from traitbench.judges.families import family
from traitbench.judges.judge import Judge
from traitbench.judges.origins import one_model
from traitbench.judges.records import Ask, Text
from traitbench.types import Control, Response, Trait

__all__ = ["ModelJudge"]


class ModelJudge(Judge):
    """A language model that is shown a rubric and a reply, and rates by the probabilities of its numbers."""

    def __init__(self, name: str, spec: ModelSpec, arguments: Mapping[str, Any]) -> None:
        """Take what was resolved; see `make`."""
        super().__init__(name)
        self._spec = spec
        self._kind = BACKENDS.load(automatic(spec))
        self._arguments = dict(arguments)
        self._backend: Backend | None = None
        self._written = False

    @classmethod
    def make(cls, name: str, arguments: Mapping[str, Any]) -> Self:
        """Resolve the model; UnknownName for one that there is not, or for an argument that its backend lacks."""
        try:
            found = cls(name, resolve(name, arguments), arguments)
            found._kind.check(found._spec, found._options(0))
        except TraitbenchError as error:
            raise _of_judge(error, name) from None
        if found._kind.name == "scripted":
            raise UnsupportedControl(
                f"the judge {name}: a scripted respondent reads no replies; expected a model, e.g. smollm2, or "
                "planted:honest"
            )
        return found

    def _options(self, seed: int) -> Options:
        return Options(seed=seed, arguments=self._arguments)

    @property
    def family(self) -> str | None:
        """By the model's name, its base's, or its architecture."""
        return family(self._spec)

    def refuses(self, subject: ModelSpec) -> str | None:
        """A model that is the subject, or that the subject was made of, prefers its own words."""
        same = one_model(self._spec, subject)
        if not same:
            return None
        return (
            f"{self.name} is the model that is measured, or was made of the same one ({same}); a model "
            "prefers its own words: name another judge, or add --self_judge"
        )

    def reach(self, seed: int) -> None:
        """Ask a server what it can do; weights are loaded later."""
        if self._kind.counts_elsewhere:
            self.open(seed)

    def open(self, seed: int) -> None:
        """Load the model, and see whether it gives log-probabilities, or writes.

        UnsupportedControl where it can do neither.
        """
        if self._backend is not None:
            return
        try:
            backend = self._kind.make(self._spec, self._options(seed))
        except TraitbenchError as error:
            raise _of_judge(error, self.name) from None
        reasons = []
        for written in (False, True):
            probe = asking.rating(_PROBE, asking.rubrics().rubrics[0].trait, self.name, written)[0]
            why = self._kind.refuses(probe, self._spec) or backend.unable(probe)
            if why is None:
                self._backend, self._written = backend, written
                return
            reasons.append(why)
        backend.close()
        raise UnsupportedControl(f"the judge {self.name} cannot judge: {'; '.join(dict.fromkeys(reasons))}")

    @property
    def _open(self) -> Backend:
        assert self._backend is not None, "judges are opened before they are asked"
        return self._backend

    @property
    def identity(self) -> dict[str, Any]:
        """Of the backend: weights, revision, precision, template."""
        return dict(self._open.identity)

    @property
    def card(self) -> dict[str, Any]:
        """Model, how its verdicts are had, and a digest of all that it is told."""
        return {
            "model": self._spec.label,
            "identity": self.identity,
            "verdicts": "written, no distribution" if self._written else "option probabilities",
            "prompts": asking.prompts(self._written),
        }

    def cost(self, responses: Iterable[Response]) -> dict[str, Any]:
        """Tokens, and dollars where there are prices."""
        return self._open.cost(responses)

    def ratings(self, text: Text, dimension: Trait) -> list[Ask]:
        """Both directions of the scale."""
        return asking.rating(text, dimension, self.name, self._written)

    def comparisons(self, first: Text, second: Text, dimension: Trait, against: str) -> list[Ask]:
        """Both orders."""
        return asking.comparing(first, second, dimension, against, self.name, self._written)

    def answer(self, requests: Sequence[Ask], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Ask the model, without any control. BadData for a reply that is too long for it."""
        with self._open.under(Control()):
            if len(set(done)) < len(requests):
                try:
                    self._open.check_lengths(requests, Control())
                except TraitbenchError as error:
                    raise _of_judge(error, self.name) from None
            yield from self._open.run(requests, done)

    def prompt(self, request: Ask) -> str:
        """As the backend renders it."""
        with self._open.under(Control()):
            return self._open.prompt(request)

    def close(self) -> None:
        """Free the weights."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None


_PROBE = Text.model_validate({
    "doc": {"task": "", "scoring": "generate", "item": "", "trait": "", "facet": None, "keyed": 1},
    "question": "", "text": "", "dimensions": (),
})  # fmt: skip


def _of_judge(error: TraitbenchError, name: str) -> TraitbenchError:
    """The error of a backend, of its kind, in words of a judge: its arguments are typed as --judge_args."""
    said = str(error).replace("--model_args", "--judge_args").replace("--model ", "--judge ")
    return type(error)(f"the judge {name}: {said}")
