"""Simulated respondents over the wordings of an inventory: the same two indices as over other contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from traitbench.samples import Sample
from traitbench.tables import Table
from traitbench.tasks.across import Across
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.scoring import modes
from traitbench.tasks.stability import Stability, people_scores, stability
from traitbench.tasks.stability_tables import stability_tables
from traitbench.tasks.task import Task

__all__ = ["Wordings", "WordingsBlock"]


class WordingsBlock(Block):
    """Stability of the respondents of the baseline over wordings."""

    kind: Literal["wordings"] = "wordings"
    found: dict[str, Stability]
    """"task, mode" -> its respondents."""


class Wordings(Across):
    """Whether respondents stay who they are when an inventory is worded otherwise (`--templates` with respondents)."""

    @classmethod
    def block(cls) -> type[Block]:
        """Both indices, an inventory and scoring mode each."""
        return WordingsBlock

    def join(
        self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]
    ) -> WordingsBlock | None:
        """Compare the wordings of each inventory; None without two of them or without respondents."""
        out = {}
        for name, rows in samples.items():
            inventory = tasks[name].inventory
            own = [s for s in rows if s.respondent is not None and s.condition == facts.conditions[0].name]
            templates = sorted({row.template for row in own})
            if inventory is None or len(templates) < 2:
                continue
            asked = {row.item for row in own}
            keys = {item.id: (item.trait, item.keyed) for item in inventory.items if item.id in asked}
            for mode in modes(own):
                mine = [row for row in own if row.scoring == mode]
                cells = [[row for row in mine if row.template == template] for template in templates]
                scores, _, traits = people_scores(mine, cells, keys)
                called = [f"wording {template + 1}" for template in templates]
                found = stability(scores, called, traits, facts.iterations, facts.seed)
                if found is not None:
                    out[f"{name}, {mode}"] = found
        return WordingsBlock(found=out) if out else None

    def tables(self, block: Block) -> list[Table]:
        """Both indices, and two wordings at a time."""
        return stability_tables("wordings", cast(WordingsBlock, block).found)
