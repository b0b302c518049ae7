"""Which layers are tried where the best one is to be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench.errors import BadData

__all__ = ["check", "tried", "within"]


def tried(depth: int, layer: int | None, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Layers to try in a model of `depth` layers: `layer` alone, or `layers`; neither: about eight, evenly spread.

    These lie between 20 % and 90 % of the depth. BadData for a layer that the model lacks.
    """
    even = range(depth // 5, depth * 9 // 10 + 1, max(1, round(depth * 0.7 / 8)))
    given = (layer,) if layer is not None else tuple(layers or even)
    if strange := [n for n in given if not 0 <= n < depth]:
        raise BadData(f"layer {strange[0]} is out of range: this model has layers 0 to {depth - 1}")
    return given


def within(model: Any, layer: int | None, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The same of a model that is loaded."""
    from traitbench.controls.interventions import layers as count

    return tried(count(model), layer, layers)


def check(config: Any, layer: int | None, layers: Sequence[int] | None) -> None:
    """Refuse a layer that the model of this config lacks, as far as the config tells; nothing is loaded."""
    from traitbench.controls.architectures import depth_of

    if (depth := depth_of(config)) is not None:
        tried(depth, layer, layers)
