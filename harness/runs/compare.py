"""Two runs over the same items: which of two controls moves the trait more, target by target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.runs.finished import current, graded, rescore
from traitbench.statistics.coefficient import Coefficient
from traitbench.statistics.comparison import PairedDifference, holm, n_for_power, paired, power
from traitbench.tables import Table, interval, number
from traitbench.tasks.questionnaire.scorecard import PROFILES, differences
from traitbench.tasks.scoring import item_values
from traitbench.types import Mode, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.runs.results import Kept
    from traitbench.samples import Sample

__all__ = ["Comparison", "Pair", "compare", "tables"]

Key = tuple[str, Mode, str, Trait]
"""Task, scoring mode, design and the trait aimed at."""

_DESIGNS = {
    "poles": "high minus low",
    "baseline": "the condition minus the baseline",
    "profiles": "twice the slope on the level, over drawn profiles",
}
"""What an effect is; effects of two designs are never subtracted from each other."""


class Pair(Record):
    """One target in one scoring mode: the effect of run a minus that of run b, over the items both have."""

    task: str
    scoring: Mode
    target: Trait
    design: str
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

    The unit of a difference is points of the scale (choice, generate) or nats a token (statement). `tell` gets a line
    on each results file that is passed over. BadData where the runs share no target in one design, share several
    designs in several files, or were asked in different ways.
    """
    left, right = _shifts(a, tell), _shifts(b, tell)
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


class _Shifts(Record):
    """The item shifts of one contrast: high minus low on the trait aimed at, keyed, in the direction aimed at."""

    values: dict[str, float]
    """Item id -> shift; unscored items are missing."""
    keys: dict[str, int]
    asked: str
    """How the items were asked, which must be the same in both runs."""
    verdict: str = ""
    file: str = ""
    """The results file."""


def _one_design(shared: Sequence[Key], left: Mapping[Key, _Shifts], right: Mapping[Key, _Shifts]) -> None:
    """Refuse two runs that have a task in several designs, from several files: which is meant cannot be known."""
    designs: dict[str, dict[tuple[str, str], str]] = {}
    for key in shared:
        designs.setdefault(key[0], {}).setdefault((left[key].file, right[key].file), key[2])
    for task, files in designs.items():
        if len(set(files.values())) > 1:
            told = "; ".join(f"{_DESIGNS[design]}: '{a}' '{b}'" for (a, b), design in files.items())
            raise BadData(f"both runs hold {task} in several designs; name two results files after `compare`. {told}")


def _shifts(run: str | Path, tell: Callable[[str], None]) -> dict[Key, _Shifts]:
    found: dict[Key, _Shifts] = {}
    for path in current(run, tell):
        kept, samples, inventories = graded(path)
        verdicts = rescore(path).verdict
        for task, rows in samples.items():
            for mode in dict.fromkeys(row.scoring for row in rows):
                mine = _one(kept, [r for r in rows if r.scoring == mode], inventories[task])
                for (design, target), shifts in mine.items():
                    key = (task, mode, design, target)
                    if key in found:
                        raise BadData(
                            f"{run} holds {task}, {mode}, {target} twice, asked in two ways; name one results file: "
                            f"'{found[key].file}' or '{path}'"
                        )
                    word = verdicts[task][mode].verdict
                    found[key] = shifts.model_copy(update={"verdict": word, "file": str(path)})
    return found


def _one(kept: Kept, rows: list[Sample], inventory: Inventory) -> Mapping[tuple[str, Trait], _Shifts]:
    """The contrasts of one task and mode that aim at one trait, by design and target."""
    asked = {row.item for row in rows}
    items = [item for item in inventory.items if item.id in asked]
    values = {c.name: item_values([r for r in rows if r.condition == c.name], items) for c in kept.conditions}
    grid = {(r.order, r.symbols, r.template, r.respondent, r.repeat) for r in rows}
    out = {}
    for target, high, low, aimed, moved in differences(values, kept.conditions):
        if len(aimed) == 1:
            ((trait, sign),) = aimed.items()
            own = [(i, item) for i, item in enumerate(items) if item.trait == trait and not np.isnan(moved[i])]
            design = "profiles" if high == PROFILES else "baseline" if low == kept.conditions[0].name else "poles"
            out[design, target] = _Shifts(
                values={item.id: sign * item.keyed * float(moved[i]) for i, item in own},
                keys={item.id: item.keyed for _, item in own},
                asked=str(sorted(grid, key=repr)),
            )
    return out


def _pair(key: Key, left: _Shifts, right: _Shifts, effect: float | None) -> Pair:
    task, mode, design, target = key
    if left.asked != right.asked:
        raise BadData(
            f"{task}, {mode}: the two runs asked in different ways (orders, symbols, templates, respondents or "
            "repeats), so their items are no pairs; repeat one of them with the flags of the other"
        )
    ids = [item for item in left.values if item in right.values]
    a, b = (np.array([run.values[item] for item in ids]) for run in (left, right))
    keys = np.array([left.keys[item] for item in ids])
    weights: Literal["items", "halves"] = "halves" if mode == "statement" else "items"
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
        unit="nats a token" if mode == "statement" else "scale points",
        effect_a=_mean(a, keys, weights), effect_b=_mean(b, keys, weights), paired=found, p_holm=None,
        verdict_a=left.verdict, verdict_b=right.verdict,
        power=asked["power"].value if asked else None, items_needed=None if items is None else int(items),
        reasons={name: c.reason for name, c in asked.items() if c.value is None},
    )  # fmt: skip


def _mean(values: NDArray[np.float64], keys: NDArray[np.int_], weights: Literal["items", "halves"]) -> float:
    if weights == "items":
        return float(values.mean())
    return float(np.mean([values[keys == key].mean() for key in np.unique(keys)]))


def _listed(found: Mapping[Key, _Shifts]) -> str:
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
    return [
        Table(
            title=f"{_files(comparison)}\nEffect of a minus effect of b, item by item",
            columns=["target", "scoring", "a", "b", "a - b [95 %]", "p", "p (Holm)", "items", "verdict a; b", *asked],
            rows=rows,
            notes=[
                "Statement in nats a token, the others in points of the scale. p: paired t test over items within "
                "key, two-sided; Holm over the targets of one task and mode.",
                *(f"Effect: {_DESIGNS[design]}." for design in dict.fromkeys(p.design for p in comparison.pairs)),
                *sorted({f"{p.target}: {p.paired.reason}." for p in comparison.pairs if p.paired.reason}),
            ],
        )
    ]
