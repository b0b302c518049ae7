"""Digests of what a fit of NPTI reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.methods import material
from traitbench.methods.dialogues import leaks
from traitbench.methods.npti.scenes import opened
from traitbench.methods.npti.sources import texts
from traitbench.types import Target, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.npti.settings import Settings

__all__ = ["digests"]


def digests(target: Target | None, config: Settings, bench: Bench) -> dict[str, str]:
    """Name -> digest: the dialogues or the texts of each trait; the prose and items that gamma is chosen on."""
    traits, found = sorted(target.levels) if target else [], dict[str, str]()
    if config.asks and config.search == "dialogues":
        found |= {"dialogues": opened(config.data).digest} | leaks.read()
    elif config.asks:
        held = {trait: texts(trait, config.generation.questions, config.descriptions) for trait in traits}
        found |= {f"questions on {trait}": digest(mine.model_dump(mode="json")) for trait, mine in held.items()}
    if config.gamma is None:
        found |= material.prose()
        if config.dev == "items":
            items = [item for item in bench.halves()[1] if item.trait in traits]
            found |= material.items(bench, items, ("statement",))
    return found
