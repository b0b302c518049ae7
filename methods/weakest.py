"""The test of a fit that aims at several traits: that of the trait for which least was found."""

from __future__ import annotations

from collections.abc import Mapping

from traitbench.types import Find, Trait

__all__ = ["weakest"]


def weakest(finds: Mapping[Trait, Find | None]) -> Find | None:
    """Return the test with the largest p, named by its trait where there are several; None where one was not tested.

    Each trait must have been found, so that the largest p is that of all together, without correction (Berger 1982).
    """
    held = {trait: find for trait, find in finds.items() if find is not None}
    if not held or len(held) < len(finds):
        return None
    trait, find = max(held.items(), key=lambda each: each[1].p)
    told = f"{find.statistic}, {trait}, of {len(held)} traits the least sure" if len(held) > 1 else find.statistic
    return find.model_copy(update={"statistic": told})
