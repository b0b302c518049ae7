"""A judge that is a language model: any model of any backend that gives the log-probabilities of its options."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from traitbench.backends import BACKENDS
from traitbench.backends.backend import Backend, Options
from traitbench.backends.models import ModelSpec, automatic, resolve
from traitbench.errors import UnsupportedControl
from traitbench.judges import asking
from traitbench.judges.judge import Judge
from traitbench.judges.records import Text
from traitbench.types import Choose, Control, Response, Trait

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

    @classmethod
    def make(cls, name: str, arguments: Mapping[str, Any]) -> Self:
        """Resolve the model; UnknownName for one that there is not, or for an argument that its backend lacks."""
        found = cls(name, resolve(name, arguments), arguments)
        found._kind.check(found._spec, found._options(0))
        return found

    def _options(self, seed: int) -> Options:
        return Options(seed=seed, arguments=self._arguments)

    def refuses(self, subject: ModelSpec) -> str | None:
        """A model that is the subject, or that the subject was made of, prefers its own words."""
        same = _names(self._spec) & _names(subject)
        if not same:
            return None
        return (
            f"{self.name} is the model that is measured, or was made of the same one ({sorted(same)[0]}); a model "
            "prefers its own words: name another judge, or add --self_judge"
        )

    def open(self, seed: int) -> None:
        """Load the model; UnsupportedControl where it gives no log-probabilities."""
        if self._backend is not None:
            return
        backend = self._kind.make(self._spec, self._options(seed))
        probe = asking.rating(_PROBE, asking.rubrics().rubrics[0].trait, self.name)[0]
        if why := self._kind.refuses(probe, self._spec):
            backend.close()
            raise UnsupportedControl(f"the judge {self.name}: {why}")
        self._backend = backend

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
        """Model, and a digest of all that it is told."""
        return {"model": self._spec.label, "identity": self.identity, "prompts": asking.prompts()}

    def ratings(self, text: Text, dimension: Trait) -> list[Choose]:
        """Both directions of the scale."""
        return asking.rating(text, dimension, self.name)

    def answer(self, requests: Sequence[Choose], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        """Ask the model, without any control."""
        with self._open.under(Control()):
            yield from self._open.run(requests, done)

    def prompt(self, request: Choose) -> str:
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


def _names(spec: ModelSpec) -> set[str]:
    """What a model and its base are called: its source, and of a folder what its files name as their origin."""
    found = {spec.source.lower()}
    folder = Path(spec.source)
    for name, keys in (("config.json", ("_name_or_path",)), ("adapter_config.json", ("base_model_name_or_path",))):
        if folder.is_absolute() and (folder / name).is_file():
            try:
                told = cast(Any, json.loads((folder / name).read_text("utf-8")))
            except ValueError:
                continue
            found |= {str(told[key]).lower() for key in keys if isinstance(told, dict) and told.get(key)}
    return found
