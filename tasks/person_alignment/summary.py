"""Every number of person alignment, from its samples and the persons' own answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from traitbench.samples import Sample
from traitbench.statistics.style import Style
from traitbench.tasks.block import Block, Facts, by_condition
from traitbench.tasks.person_alignment.alignment import Alignment
from traitbench.tasks.person_alignment.rows import align
from traitbench.tasks.scoring import modes, style
from traitbench.tasks.verdict import NO_RESPONDENTS, Verdict, damage_reasons, judged, reading_reasons, style_reasons
from traitbench.types import Mode, Record

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.targets.persons import Participants

__all__ = ["AlignmentBlock", "Near", "summarise"]


class Near(Record):
    """One scoring mode."""

    alignment: Alignment
    """How near the answers come to those of the persons aimed at."""
    response_style: dict[str, Style]
    """Condition, and "all" for every condition together."""
    verdict: Verdict
    version: str
    """Of the instrument that the items are of."""


class AlignmentBlock(Block):
    """Person alignment's part of the results."""

    kind: Literal["person_alignment"] = "person_alignment"
    modes: dict[Mode, Near]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Row -> "error,mode" and "correlation,mode"; the rows stand where other tasks have conditions."""
        found: dict[str, dict[str, float | None]] = {}
        for mode, near in self.modes.items():
            for row in near.alignment.rows:
                line = found.setdefault(row.name, {})
                line[f"error,{mode}"], line[f"correlation,{mode}"] = row.mae_sum.value, row.correlation.value
        return found

    def higher_is_better(self) -> dict[str, bool | None]:
        """The error of a row is better low, its correlation high."""
        return {"error": False, "correlation": True}

    def effect_rows(self) -> list[dict[str, Any]]:
        """A row a way of answering, with its interval over persons and its difference from the nearest baseline."""
        return [
            {"target": row.name, "scoring": mode, "metric": "error", "aimed": True, "value": row.mae_sum.value,
             "ci_low": row.mae_sum.ci[0] if row.mae_sum.ci else None,
             "ci_high": row.mae_sum.ci[1] if row.mae_sum.ci else None, "verdict": near.verdict.verdict}
            for mode, near in self.modes.items()
            for row in near.alignment.rows
        ]  # fmt: skip


def summarise(
    facts: Facts, samples: Sequence[Sample], instrument: Inventory, participants: Participants
) -> AlignmentBlock:
    """Compute the block from all samples of the task."""
    return AlignmentBlock(
        modes={
            mode: _near(facts, [row for row in samples if row.scoring == mode], instrument, participants)
            for mode in modes(samples)
        }
    )


def _near(facts: Facts, rows: Sequence[Sample], instrument: Inventory, participants: Participants) -> Near:
    headline = {condition.name for condition in facts.conditions if condition.headline}
    together = style([row for row in rows if row.condition in headline], instrument)
    reasons = [*style_reasons(together), *damage_reasons(facts.damage), *reading_reasons(facts.reading)]
    if not facts.administration["respondents"]:
        reasons.append(NO_RESPONDENTS)
    return Near(
        alignment=align(facts.method["name"], facts.conditions, rows, instrument, participants, facts.config),
        response_style={n: style(mine, instrument) for n, mine in by_condition(facts, rows).items()}
        | {"all": together},
        verdict=judged(reasons),
        version=instrument.version,
    )
