"""Two baselines beside each other: whether they are of the same suite, and what moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.check.baseline import Asked, Baseline
from traitbench.check.suites import PROMPTS, changes, differences, rendering
from traitbench.check.values import POINTS, Line
from traitbench.errors import TraitbenchUsage
from traitbench.runs.compare.judged import BOUNDS, SHARE, Amount, Values, amounts, judge
from traitbench.statistics.intervals import stratified_mean
from traitbench.tasks.scoring import weights_of
from traitbench.types import Record

__all__ = [
    "EXACT",
    "EXIT_CODES",
    "POWER",
    "STILL",
    "Compared",
    "Moved",
    "Verdict",
    "compared",
    "margins_of",
    "undecidable",
    "worst",
]

Verdict = Literal["pass", "regression", "inconclusive", "invalid"]
EXIT_CODES: dict[Verdict, int] = {"regression": 4, "invalid": 2, "inconclusive": 5, "pass": 0}
"""Verdict -> exit code, the worst first: what was found in one baseline holds whatever became of the others."""
EXACT = 1e-9
"""Largest difference of scripted respondents, in the unit of the value: they compute alike everywhere."""
POWER = 0.80
"""Least power to find a shift of the margin's size, below which nothing passes."""

STILL = 0.01
"""Share of the margin up to which an item has not moved: other threads, batches and machines do that."""


class Moved(Record):
    """One line of a check: the items of a trait then and now."""

    name: str
    """Task, scoring mode, condition and trait, or what else was compared."""
    unit: str = ""
    shift: bool = False
    """Whether the values are shifts under a control; else they are levels."""
    items: int = 0
    """With a value both times."""
    then: float | None = None
    """Mean over these items in the baseline: of the keyed values, of statements the mean of both keys."""
    now: float | None = None
    difference: float | None = None
    ci: tuple[float, float] | None = None
    """95 % interval of the mean difference, paired item by item; null where too few items vary."""
    largest: float | None = None
    """How far the item moved that moved most."""
    margin: float | None = None
    power: float | None = None
    """To find a shift of the margin's size with these items and this spread of their differences; null where no item
    moved, or all by the same, which says nothing of how they would."""
    items_needed: int | None = None
    """For the power asked for, where there are too few."""
    verdict: Verdict
    why: str = ""


class Compared(Record):
    """What came of one baseline."""

    name: str
    verdict: Verdict
    differs: list[str] = []
    """Why it is invalid: what of the suite is not as it was."""
    notes: list[str] = []
    moved: list[Moved] = []


class Rules(NamedTuple):
    """What a line is judged by."""

    margin: float
    power: float
    same_model: bool
    """Whether the model is the same, so that nothing but the code can move an item."""
    exact: bool


def worst(verdicts: Mapping[str, Verdict] | list[Verdict]) -> Verdict:
    """The verdict over several; pass where there is none."""
    held = set(verdicts.values() if isinstance(verdicts, Mapping) else verdicts)
    return next((verdict for verdict in EXIT_CODES if verdict in held), "pass")


def margins_of(baseline: Baseline, margin: Amount | None) -> dict[str, float]:
    """Scoring mode -> margin: that of its unit, of the baseline, or as given, the last that there is.

    TraitbenchUsage where a unit has none.
    """
    units = baseline.units
    found = {mode: BOUNDS[unit] for mode, unit in units.items() if unit in BOUNDS}
    if isinstance(margin, Mapping):  # of several baselines one may lack a mode
        margin = {mode: value for mode, value in margin.items() if mode in units} or None
    found |= baseline.margins | amounts(margin, "margin", units)
    if missing := [mode for mode in units if mode not in found]:
        told = ",".join(f"{mode}=X" for mode in missing)
        raise TraitbenchUsage(f"{baseline.name}: {POINTS} have no margin of their own; give --margin {told}")
    return found


def compared(
    then: Baseline, now: Baseline, margin: Amount | None = None, power: float = POWER, same_model: bool = True
) -> Compared:
    """Compare what a baseline holds with what the same plan gives now.

    `same_model`: the code is under test, and nothing else may differ; else the model is, and everything but the model
    must be the same.
    """
    notes = [f"{package} {then.versions[package]} then, {version} now" for package, version in now.versions.items()
             if package in then.versions and then.versions[package] != version]  # fmt: skip
    differs, changed = differences(then, now, same_model), changes(then, now)
    if not same_model:
        if rendered := rendering(then.suite, now.suite):
            # The template belongs to the model: its prompts may differ, the words that it wraps may not.
            apart = [f"{name}: {why}" for name, why in changed if name.endswith(PROMPTS)]
            changed = [(name, why) for name, why in changed if not name.endswith(PROMPTS)]
            told = "; ".join(apart) or "the prompts are the same"
            notes = [f"the model's {rendered}; its answers are compared as of changed weights ({told})", *notes]
        differs, changed = [*differs, *(f"{name}: {why}" for name, why in changed)], []
    if differs:
        return Compared(name=then.name, verdict="invalid", differs=differs, notes=notes)
    exact = same_model and then.exact and now.exact
    margins = margins_of(then, margin)
    found = {line.place: line for line in now.lines}
    moved = [Moved(name=name, verdict="regression", why=why) for name, why in changed]
    for line in then.lines:
        rules = Rules(EXACT if exact else margins[line.scoring], power, same_model, exact)
        moved.append(_moved(line, found.get(line.place), then.tasks[line.task], rules))
    return Compared(name=then.name, verdict=worst([line.verdict for line in moved]), notes=notes, moved=moved)


def undecidable(baseline: Baseline) -> list[Moved]:
    """The lines on which a model under test can never pass, whatever it answers: without an interval."""
    rules = Rules(1.0, POWER, same_model=False, exact=False)
    lines = [_moved(line, line, baseline.tasks[line.task], rules) for line in baseline.lines]
    return [line for line in lines if line.verdict != "pass"]


def _moved(then: Line, now: Line | None, asked: Asked, rules: Rules) -> Moved:
    """Judge one line."""
    items = list(then.values)
    values = {} if now is None else now.values
    a, b = _array(values, items), _array(then.values, items)
    both = ~np.isnan(a) & ~np.isnan(b)
    keys = np.array([asked.keys[then.trait][item] for item in items])
    known = [asked.clusters.get(item) for item in items]
    clusters = known if all(known) else None
    weights = weights_of(then.scoring)
    told = Moved(
        name=then.name, unit=then.unit, shift=then.shift, items=int(both.sum()), margin=rules.margin, verdict="pass"
    )  # fmt: skip
    known_then, lost = int((~np.isnan(b)).sum()), int((np.isnan(a) & ~np.isnan(b)).sum())
    gained = int((~np.isnan(a) & np.isnan(b)).sum())
    allowed = 0 if rules.exact else BOUNDS[SHARE] * known_then
    if both.any():
        means = [stratified_mean(np.where(both, side, np.nan), keys, weights).value for side in (b, a)]
        told = told.model_copy(update={
            "then": means[0], "now": means[1], "difference": (means[1] or 0.0) - (means[0] or 0.0),
            "largest": float(np.abs(a - b)[both].max()),
        })  # fmt: skip
    if lost > allowed:
        return _with(told, "regression", f"no valid answer any more: {lost} of {known_then} items")
    if rules.exact and gained:
        return _with(told, "regression", f"a valid answer where there was none: {gained} items")
    if not both.any():
        return told if known_then == 0 else _with(told, "inconclusive", "no item has a value both times")
    apart = _farthest(a, b, items, rules)
    if rules.exact:
        return _with(told, "regression", apart) if apart else told
    found = judge(Values(a, b, keys, clusters, weights), rules.margin, rules.margin, rules.power)  # type: ignore[arg-type]
    # Where nothing moved, the spread of the differences is not that of a model that did.
    power = None if (told.largest or 0.0) <= STILL * rules.margin else found.power
    told = told.model_copy(update={"difference": found.paired.difference, "ci": found.paired.ci, "power": power})
    if apart and rules.same_model:
        return _with(told, "regression", apart)
    return _verdict(told, rules, found.items_needed, found.paired.reason)


def _verdict(told: Moved, rules: Rules, needed: int | None, reason: str) -> Moved:
    """By the interval: wholly beyond the margin, too wide to say, wholly within."""
    if told.ci is None:
        # Of the same model each item has been held against the margin already.
        return told if rules.same_model else _with(told, "inconclusive", reason)
    low, high = told.ci
    if low > rules.margin or high < -rules.margin:
        return _with(told, "regression", "the interval lies beyond the margin")
    if told.power is not None and told.power < rules.power:
        many = f"; it takes {needed} items" if needed else ""
        told = told.model_copy(update={"items_needed": needed})
        return _with(told, "inconclusive", f"power {told.power:.2f} for a shift of the margin's size{many}")
    if -rules.margin < low and high < rules.margin:
        return told
    return _with(told, "inconclusive", "the interval reaches over the margin")


def _farthest(a: NDArray[np.float64], b: NDArray[np.float64], items: list[str], rules: Rules) -> str:
    """Say which items moved by more than the margin, the farthest first; empty where none did."""
    by = a - b
    beyond = [place for place in np.argsort(-np.nan_to_num(np.abs(by))) if abs(by[place]) > rules.margin]
    if not beyond:
        return ""
    told = ", ".join(f"{items[place]} by {by[place]:+.3g}" for place in beyond[:3])
    return f"{len(beyond)} of {len(items)} items moved: {told}" + (" and others" if len(beyond) > 3 else "")


def _array(values: Mapping[str, float | None], items: list[str]) -> NDArray[np.float64]:
    return np.array([np.nan if (v := values.get(item)) is None else v for item in items], dtype=float)


def _with(told: Moved, verdict: Verdict, why: str) -> Moved:
    return told.model_copy(update={"verdict": verdict, "why": why})
