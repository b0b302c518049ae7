"""Where the neurons of a pole are raised and those of the other silenced: the edits of a control."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.methods.npti.settings import Settings
from traitbench.methods.npti.sources import Neurons
from traitbench.types import Edit, Scope, Target, Trait

__all__ = ["edits_of"]

Tensors = dict[str, NDArray[Any]]


def edits_of(
    target: Target, found: Mapping[Trait, tuple[Neurons, Neurons]], config: Settings, seed: int
) -> tuple[list[Edit], Tensors]:
    """Write edits and tensors from the neurons of the high and the low pole of each trait.

    In each layer first what is silenced, then what is raised, as published. A neuron that several traits raise gets the
    sum; one that is silenced by one trait and raised by another gets both, in this order.
    """
    raised: dict[tuple[int, int], float] = {}
    silenced: dict[tuple[int, int], float] = {}
    for trait, level in target.levels.items():
        mine, other = found[trait][:: 1 if level > 0 else -1]
        # The logistic function, in a form that does not overflow.
        size = mine.high * (1 + np.tanh(config.slope * (mine.delta - config.middle) / 2)) / 2
        chance = random.Random(f"npti dropout {trait} {seed}")
        dropped = set(chance.sample(range(len(size)), round(config.legacy_dropout * len(size))))
        for n, place in enumerate(zip(mine.layer.tolist(), mine.unit.tolist(), strict=True)):
            if n not in dropped:
                raised[place] = raised.get(place, 0.0) + float(size[n])
        silenced |= dict.fromkeys(zip(other.layer.tolist(), other.unit.tolist(), strict=True), 0.0)
    return _by_layer({"clamp": silenced, "add": raised}, config.positions)


def _by_layer(
    values: Mapping[Literal["clamp", "add"], Mapping[tuple[int, int], float]], positions: Scope
) -> tuple[list[Edit], Tensors]:
    """Write for each layer and op one edit with its two tensors; values: op -> (layer, neuron) -> number."""
    tensors, edits = Tensors(), list[Edit]()
    layers = sorted({layer for places in values.values() for layer, _ in places})
    for layer in layers:
        for op, places in values.items():
            units = sorted(unit for where, unit in places if where == layer)
            if not units:
                continue
            name = f"{op}.{layer}"
            tensors[name] = np.array([places[layer, unit] for unit in units], dtype=np.float32)
            tensors[f"{name}.units"] = np.array(units, dtype=np.int64)
            edits.append(Edit(layer=layer, site="gate", op=op, tensor=name, units=f"{name}.units", positions=positions))
    return edits, tensors
