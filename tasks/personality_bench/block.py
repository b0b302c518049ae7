"""PersonalityBench's part of the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from traitbench.samples import Sample
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.personality_bench.questions import Question
from traitbench.tasks.written import rows, summary
from traitbench.tasks.written.records import Written

__all__ = ["BenchBlock", "summarise"]


class BenchBlock(Block):
    """What the replies are like, and what judges say of them."""

    kind: Literal["personality_bench"] = "personality_bench"
    facets: dict[str, str] = {}
    """Question -> its facet, where it is known."""
    written: Written

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> "trait,generate" and "trait_stderr,generate", and the share of valid replies."""
        return rows.metrics(self.written)

    def score_rows(self) -> list[dict[str, Any]]:
        """A row a judge, condition and trait, and one a condition for the share of valid replies."""
        return rows.score_rows(self.written)

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a judge, contrast and trait; `aimed` marks the trait aimed at."""
        return rows.effect_rows(self.written)


def summarise(facts: Facts, samples: Sequence[Sample], questions: Sequence[Question]) -> BenchBlock:
    """Compute the block from all samples of the task; `questions` hold at least those that were asked."""
    asked = {row.item for row in samples}
    facets = {each.id: each.facet for each in questions if each.facet is not None and each.id in asked}
    return BenchBlock(facets=facets, written=summary.summarise(facts, samples, questions))
