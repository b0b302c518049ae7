"""The model that writes a character's answers, where it is another than the one that is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from traitbench.backends.backend import Options
from traitbench.errors import TraitbenchUsage

if TYPE_CHECKING:
    from traitbench.backends.backend import Backend
    from traitbench.backends.models import ModelSpec
    from traitbench.methods.bench import Bench

__all__ = ["spec_of", "writer"]


@contextmanager
def writer(name: str | None, bench: Bench) -> Iterator[Backend | None]:
    """Load the model that writes, and free it afterwards; None where the bench's own does."""
    if name is None:
        yield None
        return
    from traitbench.backends import BACKENDS

    spec = spec_of(name)
    backend = BACKENDS.load(spec.backend).make(spec, Options(seed=bench.seed))
    try:
        yield backend
    finally:
        backend.close()


def spec_of(name: str) -> ModelSpec:
    """The model of that name; TraitbenchUsage for a scripted one."""
    from traitbench.backends.models import resolve

    spec = resolve(name)
    if spec.backend == "scripted":
        raise TraitbenchUsage(f"writer={name} answers items and writes no prose; expected a language model")
    return spec
