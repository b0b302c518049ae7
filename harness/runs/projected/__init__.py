"""What `project` found of a run: how it is kept beside the results, shown, and summed up for the leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from traitbench.samples import BASELINE, Condition
from traitbench.statistics.intervals import Estimate, stratified_mean
from traitbench.store import read_lines, write_lines
from traitbench.tables import Table, interval, number
from traitbench.tasks.board import Projection
from traitbench.types import Record

__all__ = [
    "Along",
    "Of",
    "Projections",
    "Read",
    "Row",
    "along_its_own",
    "file_of",
    "keep",
    "kept",
    "passed_on",
    "summed",
    "tables",
]

Of = Literal["replies", "prompts"]
Read = Literal["alone", "controlled"]
_OF: tuple[Of, ...] = ("replies", "prompts")
Interval = tuple[float, float] | None


class Row(Record):
    """The texts of one condition, read in one way."""

    condition: str
    read: Read
    """alone: behind the baseline's prompt, by the model as it is. controlled: behind the condition's own prompt, by the
    model under its edits or its adapter."""
    texts: int
    items: dict[str, float]
    """Item -> the mean of its texts, in the unit of the activations."""
    value: float
    """Mean over items."""
    ci: Interval = None
    """95 % over items; null with fewer than two."""
    sds: float | None = None
    """How far it lies from the baseline, in standard deviations of the baseline's texts."""
    shift: float | None = None
    """From the baseline, over the items of both; null of the baseline itself, and where the run has none."""
    shift_ci: Interval = None


class Along(Record):
    """Projections on the direction in one layer."""

    layer: int
    """Counted from 0; its output."""
    sd: float | None = None
    """Of the baseline's texts, in the unit of the activations."""
    rows: list[Row]


class Projections(Record):
    """The texts of a run on the directions of one control: a line of projections_{of}_{date}.jsonl."""

    schema_version: int = 2
    run: str
    """Results file of the run."""
    model: str
    control: str
    """Hash of the control whose directions these are."""
    method: str | None = None
    """That made it; null where it does not say."""
    aim: str | None = None
    """What it aims at: the direction points there."""
    of: Of
    layers: list[Along]
    notes: list[str] = []


def file_of(path: Path, of: Of) -> Path:
    """Where projections of the results file `path` lie."""
    return path.with_name(f"projections_{of}_{path.stem.removeprefix('results_')}.jsonl")


def keep(path: Path, made: Sequence[Projections], to: Path | None) -> Path:
    """Write what was found of the results file `path` beside it, or into `to`; other controls found before stay."""
    file = file_of(path if to is None else to / path.name, made[0].of)
    new = {one.control for one in made}
    before = [one for one in read_lines(file, Projections) if one.control not in new] if file.is_file() else []
    write_lines(file, [*before, *made])
    return file


def kept(path: Path) -> list[Projections]:
    """What was found of the results file `path`, of replies, then of prompts. BadData where a line is damaged."""
    return [one for of in _OF for file in _files(path, of) for one in read_lines(file, Projections)]


def passed_on(path: Path, to: Path) -> None:
    """Copy what was found of the results file `path` into the folder `to`: it holds no text."""
    for of in _OF:
        for file in _files(path, of):
            write_lines(file_of(to / path.name, of), read_lines(file, Projections))


def _files(path: Path, of: Of) -> list[Path]:
    return [file] if (file := file_of(path, of)).is_file() else []


def summed(found: Sequence[Projections], conditions: Iterable[Condition]) -> Projection | None:
    """Each target on the direction that aims at it, from the baseline: the mean over targets; None where there is none.

    Where controls of several methods aim at the targets, the method with most of them counts, of equal ones the first.
    """
    targets = [condition.name for condition in conditions if condition.headline]
    held: dict[tuple[Of, str | None], dict[str, Projections]] = {}
    for one in found:
        if one.aim in targets:
            held.setdefault((one.of, one.method), {}).setdefault(str(one.aim), one)
    if not held:
        return None
    (of, method), aimed = max(held.items(), key=lambda item: (item[0][0] == "replies", len(item[1])))
    said = _over([_shifts(one, aim, "alone") for aim, one in aimed.items()])
    inside = _over([_shifts(one, aim, "controlled") for aim, one in aimed.items()])
    if said.value is None and inside.value is None:
        return None
    return Projection(
        of=of, method=method, targets=len(aimed), said=said.value, said_ci=said.ci, inside=inside.value,
        inside_ci=inside.ci,
    )  # fmt: skip


def along_its_own(found: Projections, read: Read) -> tuple[float | None, Interval]:
    """How far the texts of the target lie along its direction, in SD, with the 95 % interval over items."""
    shift = _over([_shifts(found, str(found.aim), read)])
    return shift.value, shift.ci


def _shifts(found: Projections, aim: str, read: Read) -> Mapping[str, float]:
    """Item -> how far its texts lie from the baseline's along the direction, in SD of these; mean over layers."""
    layers = []
    for along in found.layers:
        rows = {(row.condition, row.read): row.items for row in along.rows}
        base, mine = rows.get((BASELINE, "alone"), {}), rows.get((aim, read), {})
        if along.sd:
            layers.append({item: (value - base[item]) / along.sd for item, value in mine.items() if item in base})
    shared = set.intersection(*(set(one) for one in layers)) if layers else set()
    return {item: sum(one[item] for one in layers) / len(layers) for item in sorted(shared)}


def _over(targets: Sequence[Mapping[str, float]]) -> Estimate:
    """The mean over targets, with its interval over the items of all of them."""
    shared = sorted(set.intersection(*(set(one) for one in targets))) if targets else []
    means = [sum(one[item] for one in targets) / len(targets) for item in shared]
    return stratified_mean(means, [1] * len(means))


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
