"""What `project` finds, as it is kept and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from traitbench.tables import Table, interval, number
from traitbench.types import Record

__all__ = ["Along", "Of", "Projections", "Row", "tables"]

Of = Literal["replies", "prompts"]
Interval = tuple[float, float] | None


class Row(Record):
    """The texts of one condition, read in one way."""

    condition: str
    read: Literal["alone", "controlled"]
    """alone: behind the baseline's prompt, by the model as it is. controlled: behind the condition's own prompt, by the
    model under its edits or its adapter."""
    texts: int
    items: int
    value: float
    """Mean over items, each the mean of its texts, in the unit of the activations."""
    ci: Interval
    """95 % over items; null with fewer than two."""
    sds: float | None
    """How far it lies from the baseline, in standard deviations of the baseline's texts."""
    shift: float | None
    """From the baseline, over the items of both; null of the baseline itself, and where the run has none."""
    shift_ci: Interval


class Along(Record):
    """Projections on the direction in one layer."""

    layer: int
    """Counted from 0; its output."""
    sd: float | None
    """Of the baseline's texts, in the unit of the activations."""
    rows: list[Row]


class Projections(Record):
    """The texts of a run on the directions of a control."""

    schema_version: int = 1
    run: str
    """Results file of the run."""
    model: str
    control: str
    """Hash of the control whose directions these are."""
    aim: str | None
    """What it aims at: the direction points there."""
    of: Of
    layers: list[Along]
    notes: list[str] = []


def tables(found: Projections) -> Sequence[Table]:
    """A table a layer, a row a condition and way of reading."""
    where = "mean over a reply's tokens" if found.of == "replies" else "last token of the prompt"
    return [
        Table(
            title=f"{found.of.capitalize()} of {found.model}, projected behind layer {along.layer} towards {found.aim} "
            f"({where})",
            columns=["condition", "read", "texts", "projection", "shift from baseline", "in SD"],
            rows=[
                [row.condition, row.read, str(row.texts), interval(row.value, row.ci, 3),
                 interval(row.shift, row.shift_ci, 3), number(row.sds)]
                for row in along.rows
            ],
            notes=[
                "alone: behind the baseline's prompt, by the model without the control; controlled: behind its own "
                "prompt, under its own edits",
                *found.notes,
            ],
        )
        for along in found.layers
    ]  # fmt: skip
