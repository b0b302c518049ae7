"""What an adapter does to development items: the effect that a learning rate is chosen by, as strengths are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.controls.adapters import adapter_digest
from traitbench.methods import material
from traitbench.methods.choosing import mean_error
from traitbench.methods.training import Trained
from traitbench.types import Control, Message, Target, digest

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench

__all__ = ["Effect", "Moved", "fitted_on", "on_items", "read"]


class Moved(NamedTuple):
    """How far an adapter moves development items towards what it aims at."""

    effect: float | None
    """Nats a token; None where it was not measured."""
    se: float | None
    seconds: float


Effect = Callable[[Trained], Moved]
"""What measures an adapter, once it is trained."""


def _development(bench: Bench, targets: Sequence[Target]) -> list[Item]:
    """The development items of the targets' traits; none where one of the traits has none."""
    traits, items = {trait for target in targets for trait in target.levels}, bench.halves()[1]
    return [item for item in items if item.trait in traits] if traits <= {item.trait for item in items} else []


def read(bench: Bench, targets: Sequence[Target]) -> dict[str, str]:
    """Digest what the adapters of `targets` are measured on."""
    items = _development(bench, targets)
    return material.items(bench, items, ("statement",)) if items else {}


def fitted_on(bench: Bench, targets: Sequence[Target], leaked: Sequence[str]) -> tuple[str, ...]:
    """Hashes of the items that a fit has seen: those that `leaked` into its texts, and those its rate was tried on."""
    return tuple(sorted({*leaked, *(item.text_hash for item in _development(bench, targets))}))


def on_items(
    bench: Bench,
    targets: Sequence[Target],
    said: Callable[[Target], tuple[Message, ...]] = lambda target: (),
    folded: Callable[[Path, Target], AbstractContextManager[Path]] = lambda folder, target: nullcontext(folder),
) -> Effect | None:
    """Make what measures an adapter on the development items of `targets`; None where they have none.

    It is the mean over the targets, each asked in statement scoring with what is `said` in front of it, from where the
    model is without any control. `folded` makes the PEFT folder that serves a target of the one that was trained.
    """
    items = _development(bench, targets)
    if not items:
        return None

    def effect(trained: Trained) -> Moved:
        asked = read(bench, targets)
        words = [[target.name, *(message.content for message in said(target))] for target in targets]
        name = digest([bench.backend.identity, trained.name, words, asked])

        def measured() -> dict[str, NDArray[np.float64]]:
            began, found = time.perf_counter(), []
            for target in targets:
                with folded(trained.adapter, target) as folder:
                    control = Control(messages=said(target), adapter=folder, weights=adapter_digest(folder))
                    found.append(bench.measured(control, target, items))
            mean, error = np.mean([value for value, _ in found]), mean_error([se for _, se in found])
            numbers = [mean, math.nan if error is None else error, time.perf_counter() - began]
            return {"effect": np.array(numbers, dtype=np.float64)}

        value, se, seconds = bench.once(f"effect-{name}", measured)["effect"].tolist()
        return Moved(value, None if math.isnan(se) else se, seconds)

    return effect
