"""Two runs over the same items: which of two controls moves the trait more, target by target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.runs.compare.judged import BOUNDS, SHARE, Amount, Judged, Values, adjusted, amounts, judge
from traitbench.runs.finished import computed, current, graded
from traitbench.runs.side_effects import moved
from traitbench.statistics.intervals import stratified_mean
from traitbench.tasks import views_of
from traitbench.tasks.alignment import Aligned, aligned
from traitbench.tasks.shifts import DESIGNS, Design, Shifts
from traitbench.types import Record

__all__ = ["Comparison", "Pair", "compare_runs"]

Key = tuple[str, str, Design, str]
"""Task, scoring mode, design and what is aimed at."""


class Pair(Judged):
    """One target in one scoring mode: the effect of run a minus that of run b, over the items both have."""

    task: str
    scoring: str
    target: str
    design: Design
    """poles (high minus low), baseline (the condition minus the baseline) or profiles (a slope over drawn profiles)."""
    effect_a: float
    effect_b: float
    verdict_a: str
    verdict_b: str
    """Of each run's scoring mode: interpretable, caution, not interpretable."""


class Comparison(Record):
    """What `traitbench compare` prints of two runs."""

    a: str
    b: str
    effect: dict[str, float]
    """Scoring mode -> the effect asked about, in the mode's unit; empty without --effect."""
    bounds: dict[str, float]
    """Scoring mode -> the difference below which two effects count as alike, in the mode's unit."""
    pairs: list[Pair]


def compare_runs(
    a: str | Path,
    b: str | Path,
    tell: Callable[[str], None],
    effect: Amount | None = None,
    bounds: Amount | None = None,
) -> Comparison:
    """Compare the effects of two runs, from their samples; see `traitbench.runs.compare.compare`.

    BadData where the runs share no target in one design, share several designs in several files, or were asked in
    different ways.
    """
    left, right = _sides(a, tell), _sides(b, tell)
    shared = [key for key in left if key in right and _alike(key, left[key], right[key], tell)]
    if not shared:
        raise BadData(
            f"{a} and {b} share no target on one task, scoring mode and design; expected two runs with the same "
            f"--tasks, --scoring and --target. The first has {_listed(left)}; the second {_listed(right)}"
        )
    _one_design(shared, left, right)
    units = {mode: left[key].shifts.unit for key in shared for mode in (key[1],)}
    asked = amounts(effect, "effect", units)
    alike = {mode: BOUNDS[unit] for mode, unit in units.items() if unit in BOUNDS} | amounts(bounds, "bounds", units)
    made = {key: _pair(key, left[key], right[key], alike.get(key[1]), asked.get(key[1])) for key in shared}
    pairs: list[Pair] = []
    for family in dict.fromkeys((task, mode) for task, mode, *_ in shared):
        pairs += map(_read, adjusted([made[key] for key in shared if key[:2] == family]))
    return Comparison(a=str(a), b=str(b), effect=asked, bounds=alike, pairs=pairs)


def _alike(key: Key, left: _Side, right: _Side, tell: Callable[[str], None]) -> bool:
    """Whether a task of lm-eval's was put in the same way to both; what is passed over, or left out, is said."""
    if not left.beyond:
        return True
    task, metric, _, target = key
    for name, how in left.shifts.asked.items():
        if how != right.shifts.asked[name]:
            tell(f"passed over {task}, {metric}, {target}: a has --{name} {how}, b {right.shifts.asked[name]}")
            return False
    a, b = left.shifts.part.values, right.shifts.part.values
    mine, other = (sum(unit not in away for unit in here) for here, away in ((a, b), (b, a)))
    if mine or other:
        tell(f"{task}, {metric}, {target}: {mine} documents were put to a alone and {other} to b alone; left out")
    return True


def _read(pair: Pair) -> Pair:
    """Give no verdict on answers that mean nothing: two runs that always take the first option agree."""
    poor = "not interpretable" in (pair.verdict_a, pair.verdict_b)
    return pair.model_copy(update={"verdict": "not interpretable"}) if poor else pair


class _Side(NamedTuple):
    """What one run brings to a pair."""

    shifts: Shifts
    verdict: str
    file: str
    """The results file."""
    beyond: bool = False
    """Of a task of lm-eval's (`--side_effects`)."""


def _one_design(shared: Sequence[Key], left: Mapping[Key, _Side], right: Mapping[Key, _Side]) -> None:
    """Refuse two runs that have a task in several designs, from several files: which is meant cannot be known."""
    designs: dict[str, dict[tuple[str, str], Design]] = {}
    for key in shared:
        designs.setdefault(key[0], {}).setdefault((left[key].file, right[key].file), key[2])
    for task, files in designs.items():
        if len(set(files.values())) > 1:
            told = "; ".join(f"{DESIGNS[design]}: '{a}' '{b}'" for (a, b), design in files.items())
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
                key = (task, shifts.filter, shifts.design, shifts.part.name)
                if key in found:
                    raise BadData(
                        f"{run} holds {task}, {shifts.filter}, {shifts.part.name} twice, asked in two ways; name one "
                        f"results file: '{found[key].file}' or '{path}'"
                    )
                verdict = rows[shifts.filter].verdict if shifts.filter in rows else ""
                found[key] = _Side(shifts, verdict, str(path))
        for task, shifts in moved(path, results.side_effects, results.conditions):
            found.setdefault(
                (task, shifts.filter, shifts.design, shifts.part.name), _Side(shifts, "", str(path), beyond=True)
            )
    return found


def _pair(key: Key, left: _Side, right: _Side, bound: float | None, effect: float | None) -> Pair:
    task, mode, design, target = key
    mine, other = left.shifts, right.shifts
    for name, levels in mine.asked.items():
        if levels != other.asked[name]:
            raise BadData(
                f"{task}, {mode}: the two runs asked in different ways ({name}: {_short(levels)} and "
                f"{_short(other.asked[name])}), so that a difference may be that of the asking; repeat one of them "
                f"with the --{name} of the other"
            )
    both = aligned(mine.part, other.part)
    chosen = [item for item in mine.hits if item in other.hits]
    hits = [mine.hits[item] for item in chosen], [other.hits[item] for item in chosen]
    # Where the difference is that of the hits, as between two controls of one model on right and wrong.
    apart = np.ravel(both.a - both.b)
    whole = mine.unit == SHARE and bool(chosen) and np.array_equal(apart, np.subtract(*np.array(hits, dtype=float)))
    # Of two changes of a share, each from -1 to 1.
    most = 2.0 if mine.unit == SHARE else None
    values = Values(both.a, both.b, both.strata, both.clusters, both.weights, both.over, hits, whole, most)
    found = judge(values, bound, effect)
    return Pair(
        task=task, scoring=mode, target=target, design=design, file_a=left.file, file_b=right.file,
        verdict_a=left.verdict, verdict_b=right.verdict, unit=mine.unit,
        effect_a=_mean(both.a, both), effect_b=_mean(both.b, both), **found._asdict(),
    )  # fmt: skip


def _mean(values: NDArray[np.float64], both: Aligned) -> float:
    """Mean of one side, over the cells that both have."""
    kept = np.where(np.isnan(both.a - both.b), np.nan, values)
    value = stratified_mean(kept, both.strata, both.weights, over=both.over).value
    return float("nan") if value is None else value


def _short(levels: str) -> str:
    """The levels of one axis, or how many there are."""
    count = levels.count(",") + 1
    return levels if count < 6 else f"{count} of them"


def _listed(found: Mapping[Key, _Side]) -> str:
    return ", ".join(f"{task} {mode} {target} ({design})" for task, mode, design, target in found) or "no contrast"
