"""Two runs over the same items: which of two controls moves the trait more, target by target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.runs.finished import computed, current, graded
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.comparison import PairedDifference, holm, n_for_power, paired, power
from traitbench.tables import Table, interval, number
from traitbench.tasks import views_of
from traitbench.tasks.shifts import Design, Shifts
from traitbench.types import Record

__all__ = ["Comparison", "Pair", "compare", "tables"]

Key = tuple[str, str, Design, str]
"""Task, scoring mode, design and what is aimed at."""

_DESIGNS: dict[Design, str] = {
    "poles": "high minus low",
    "baseline": "the condition minus the baseline",
    "profiles": "twice the slope on the level, over drawn profiles",
}
"""What an effect is; effects of two designs are never subtracted from each other."""


class Pair(Record):
    """One target in one scoring mode: the effect of run a minus that of run b, over the items both have."""

    task: str
    scoring: str
    target: str
    design: Design
    """poles (high minus low), baseline (the condition minus the baseline) or profiles (a slope over drawn profiles)."""
    file_a: str
    file_b: str
    """The results files compared."""
    unit: str
    effect_a: float
    effect_b: float
    verdict_a: str
    verdict_b: str
    paired: PairedDifference
    p_holm: float | None
    """Adjusted (Holm 1979) over all targets of the task and mode."""
    power: float | None = None
    """Of this test for the effect asked about (--effect), with these items and their spread."""
    items_needed: int | None = None
    """Items for a power of .80 at that effect."""
    reasons: dict[str, str] = {}


class Comparison(Record):
    """What `traitbench compare` prints."""

    a: str
    b: str
    effect: float | None
    pairs: list[Pair]


def compare(a: str | Path, b: str | Path, tell: Callable[[str], None], effect: float | None = None) -> Comparison:
    """Compare the effects of two runs, from their samples. `effect`: a difference to state the power for.

    The unit of a difference is that of the task's scoring mode. `tell` gets a line on each results file that is passed
    over. BadData where the runs share no target in one design, share several designs in several files, or were asked
    in different ways.
    """
    left, right = _sides(a, tell), _sides(b, tell)
    shared = [key for key in left if key in right]
    if not shared:
        raise BadData(
            f"{a} and {b} share no target on one task, scoring mode and design; expected two runs with the same "
            f"--tasks, --scoring and --target. The first has {_listed(left)}; the second {_listed(right)}"
        )
    _one_design(shared, left, right)
    made = {key: _pair(key, left[key], right[key], effect) for key in shared}
    pairs = []
    for task, mode in dict.fromkeys((task, mode) for task, mode, *_ in shared):
        family = [key for key in shared if key[:2] == (task, mode)]
        adjusted = holm([made[key].paired.p for key in family])
        pairs += [made[key].model_copy(update={"p_holm": p}) for key, p in zip(family, adjusted, strict=True)]
    return Comparison(a=str(a), b=str(b), effect=effect, pairs=pairs)


class _Side(NamedTuple):
    """What one run brings to a pair."""

    shifts: Shifts
    verdict: str
    file: str
    """The results file."""


def _one_design(shared: Sequence[Key], left: Mapping[Key, _Side], right: Mapping[Key, _Side]) -> None:
    """Refuse two runs that have a task in several designs, from several files: which is meant cannot be known."""
    designs: dict[str, dict[tuple[str, str], Design]] = {}
    for key in shared:
        designs.setdefault(key[0], {}).setdefault((left[key].file, right[key].file), key[2])
    for task, files in designs.items():
        if len(set(files.values())) > 1:
            told = "; ".join(f"{_DESIGNS[design]}: '{a}' '{b}'" for (a, b), design in files.items())
            raise BadData(f"both runs hold {task} in several designs; name two results files after `compare`. {told}")


def _sides(run: str | Path, tell: Callable[[str], None]) -> dict[Key, _Side]:
    found: dict[Key, _Side] = {}
    for path in current(run, tell):
        graded_anew = graded(path)
        kept, samples, made = graded_anew
        results = computed(path, graded_anew)
        for task, block in results.tasks.items():
            rows = views_of(block.kind).entry(task, block, results)
            for shifts in made[task].shifts(kept, samples[task]):
                key = (task, shifts.filter, shifts.design, shifts.target)
                if key in found:
                    raise BadData(
                        f"{run} holds {task}, {shifts.filter}, {shifts.target} twice, asked in two ways; name one "
                        f"results file: '{found[key].file}' or '{path}'"
                    )
                verdict = rows[shifts.filter].verdict if shifts.filter in rows else ""
                found[key] = _Side(shifts, verdict, str(path))
    return found


def _pair(key: Key, left: _Side, right: _Side, effect: float | None) -> Pair:
    task, mode, design, target = key
    mine, other = left.shifts, right.shifts
    if mine.asked != other.asked:
        raise BadData(
            f"{task}, {mode}: the two runs asked in different ways (orders, symbols, templates, respondents or "
            "repeats), so their items are no pairs; repeat one of them with the flags of the other"
        )
    ids = [item for item in mine.values if item in other.values]
    a, b = (np.array([run.values[item] for item in ids]) for run in (mine, other))
    keys, weights = np.array([mine.keys[item] for item in ids]), mine.weights
    found = paired(a, b, keys, weights)
    asked: dict[str, Coefficient] = {}
    if effect is not None and found.difference and found.d_z:
        spread = abs(found.difference / found.d_z)
        asked = {"power": power(effect, spread, found.n), "items_needed": n_for_power(effect, spread)}
    elif effect is not None:
        asked = dict.fromkeys(("power", "items_needed"), Coefficient(None, "the differences do not vary"))
    items = asked["items_needed"].value if asked else None
    return Pair(
        task=task, scoring=mode, target=target, design=design, file_a=left.file, file_b=right.file,
        unit=mine.unit,
        effect_a=_mean(a, keys, weights), effect_b=_mean(b, keys, weights), paired=found, p_holm=None,
        verdict_a=left.verdict, verdict_b=right.verdict,
        power=asked["power"].value if asked else None, items_needed=None if items is None else int(items),
        reasons={name: c.reason for name, c in asked.items() if c.value is None},
    )  # fmt: skip


def _mean(values: NDArray[np.float64], keys: NDArray[np.int_], weights: Literal["items", "halves"]) -> float:
    if weights == "items":
        return float(values.mean())
    return float(np.mean([values[keys == key].mean() for key in np.unique(keys)]))


def _listed(found: Mapping[Key, _Side]) -> str:
    return ", ".join(f"{task} {mode} {target} ({design})" for task, mode, design, target in found) or "no contrast"


def _files(comparison: Comparison) -> str:
    """The results files compared, side by side."""
    pairs = dict.fromkeys((pair.file_a, pair.file_b) for pair in comparison.pairs)
    return "\n".join(f"a: {a}\nb: {b}" for a, b in pairs)


def tables(comparison: Comparison) -> list[Table]:
    """The comparison as one table."""
    rows = []
    for pair in comparison.pairs:
        rows.append([
            pair.target,
            f"{pair.task}, {pair.scoring}",
            number(pair.effect_a),
            number(pair.effect_b),
            interval(pair.paired.difference, pair.paired.ci),
            number(pair.paired.p, 4),
            number(pair.p_holm, 4),
            str(pair.paired.n),
            f"{pair.verdict_a}; {pair.verdict_b}",
            *([number(pair.power), str(pair.items_needed or "–")] if comparison.effect is not None else []),
        ])  # fmt: skip
    asked = [f"power at {comparison.effect:g}", "items for .80"] if comparison.effect is not None else []
    units = dict.fromkeys((pair.scoring, pair.unit) for pair in comparison.pairs)
    return [
        Table(
            title=f"{_files(comparison)}\nEffect of a minus effect of b, item by item",
            columns=["target", "scoring", "a", "b", "a - b [95 %]", "p", "p (Holm)", "items", "verdict a; b", *asked],
            rows=rows,
            notes=[
                f"Units: {', '.join(f'{filter} in {unit}' for filter, unit in units)}. p: paired t test over items "
                "within key, two-sided; Holm over the targets of one task and mode.",
                *(f"Effect: {_DESIGNS[design]}." for design in dict.fromkeys(p.design for p in comparison.pairs)),
                *sorted({f"{p.target}: {p.paired.reason}." for p in comparison.pairs if p.paired.reason}),
            ],
        )
    ]
