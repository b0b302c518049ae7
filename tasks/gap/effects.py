"""Self-report and behaviour on one scale: the effect of each, their difference, and what both together say.

The unit is d over items: the mean shift of a contrast in the direction aimed at over the SD of the items' shifts, less
what few items add to it (Hedges 1981). Both sides are computed here, from the item shifts of each, so that nothing but
the items differs; where a task weighs two texts against each other, an item is one text of the two. Items of two tasks
are drawn apart, so their errors add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from traitbench.statistics.effect_sizes import SMALL, apart, correlation, mean_of, standardised
from traitbench.statistics.intervals import Estimate, item_means, stratified_mean
from traitbench.tasks.board import Part
from traitbench.tasks.weighed import single
from traitbench.types import Evidence, Record

__all__ = ["MEAN", "OverItems", "Pairing", "Side", "TargetGap", "Word", "effect", "paired", "pairings", "word"]

MEAN = "mean"
"""Where the targets stand, the mean over them."""

Word = Literal[
    "both", "only self-report moved", "only behaviour moved", "neither", "against the target", "inconclusive"
]
"""both: each interval lies above zero. only self-report moved: its interval lies above zero, that of behaviour does
not, and it either stays within a small effect (.2) or the gap's interval lies above zero; only behaviour likewise.
neither: both stay within a small effect. against the target: one lies below zero. inconclusive: anything else."""

Target = tuple[str, str]
"""What an effect is, such as its design or its controls, and the name of what is aimed at."""


class Side(NamedTuple):
    """The item shifts of one task in one scoring mode."""

    task: str
    filter: str
    evidence: Evidence
    parts: Mapping[Target, Part]


class OverItems(Record):
    """An effect, or a difference of two, in SDs of item shifts; null where it cannot be had."""

    d: float | None
    se: float | None = None
    ci: tuple[float, float] | None = None
    n: int = 0
    """Items."""
    covers: list[str] = []
    """What the interval covers: items, facets, templates, fits."""


class TargetGap(Record):
    """One target; more is more in the direction aimed at."""

    target: str
    self_report: OverItems
    behaviour: OverItems
    gap: OverItems
    """Self-report minus behaviour."""
    verdict: Word


class Pairing(Record):
    """One self-report task beside one kind of behaviour."""

    self_report: str
    """Task."""
    self_report_filter: str
    """Its scoring mode."""
    behaviour: str
    behaviour_filter: str
    targets: list[TargetGap]
    mean: TargetGap | None
    """Over the targets that both sides have, whose errors are taken as independent."""
    r: float | None
    """Correlation of both effects over targets."""
    r_ci: tuple[float, float] | None = None
    r_n: int = 0
    r_note: str = ""
    """Why there is no r, or no interval, or that the interval says little."""


def effect(part: Part) -> Estimate:
    """D over the items of a part, with its interval; of units of two texts, over the texts of what is aimed at."""
    units = [unit for unit in part.values if not part.texts or unit in part.texts]
    cells = np.array([[np.nan if v is None else v for v in part.values[u]] for u in units], dtype=float)
    cells = cells.reshape(len(units), *part.shape)
    if part.texts:
        cells /= np.array([len(part.texts[unit]) for unit in units]).reshape(-1, *[1] * len(part.shape))
    strata = np.array([part.strata.get(unit, 1) for unit in units])
    known = bool(units) and all(unit in part.clusters for unit in units)
    clusters = [part.clusters[unit] for unit in units] if known else None
    mean = stratified_mean(cells, strata, part.weights, clusters=clusters, over=part.over)
    if part.texts:
        return single(mean, [part.texts[unit] for unit in units])
    held = strata[~np.isnan(item_means(cells))] if units else strata
    return standardised(mean, mean.n - len(set(held.tolist())))


def pairings(sides: Sequence[Side]) -> list[Pairing]:
    """Every self-report beside every kind of behaviour: in the same scoring mode where both tasks have one in common.

    Those without a target in common are left out.
    """
    return [found for said, done in paired(sides) if (found := _pairing(said, done)).targets]


def paired(sides: Sequence[Side]) -> Iterator[tuple[Side, Side]]:
    """Self-report and behaviour that are set beside each other."""
    filters: dict[str, set[str]] = {}
    for side in sides:
        filters.setdefault(side.task, set()).add(side.filter)
    for said in (side for side in sides if side.evidence == "self-report"):
        for done in (side for side in sides if side.evidence == "behaviour"):
            if said.filter == done.filter or not filters[said.task] & filters[done.task]:
                yield said, done


def _pairing(said: Side, done: Side) -> Pairing:
    shared = [target for target in said.parts if target in done.parts]
    found = [(name, effect(said.parts[made, name]), effect(done.parts[made, name])) for made, name in shared]
    targets = [_gap(name, a, b) for name, a, b in found]
    whole = [(a, b) for _, a, b in found if a.value is not None and b.value is not None]
    r, r_ci = correlation([float(a.value or 0) for a, _ in whole], [float(b.value or 0) for _, b in whole])
    return Pairing(
        self_report=said.task, self_report_filter=said.filter, behaviour=done.task, behaviour_filter=done.filter,
        targets=targets, mean=_mean(whole) if len(whole) > 1 else None, r=r, r_ci=r_ci, r_n=len(whole),
        r_note=_noted(len(whole), r, r_ci),
    )  # fmt: skip


def _mean(found: Sequence[tuple[Estimate, Estimate]]) -> TargetGap:
    return _gap(MEAN, mean_of([a for a, _ in found]), mean_of([b for _, b in found]))


def _gap(name: str, said: Estimate, done: Estimate) -> TargetGap:
    gap = apart(said, done)
    return TargetGap(
        target=name, self_report=_told(said), behaviour=_told(done), gap=_told(gap), verdict=word(said, done, gap)
    )


def _told(found: Estimate) -> OverItems:
    return OverItems(d=found.value, se=found.se, ci=found.ci, n=found.n, covers=list(found.covers))


def word(said: Estimate, done: Estimate, gap: Estimate) -> Word:
    """What both intervals, and that of the difference, say together."""
    a, b = _state(said), _state(done)
    if "against" in (a, b):
        return "against the target"
    if a == b and a != "open":
        return "both" if a == "moved" else "neither"
    if a == "moved" and (b == "still" or (gap.ci is not None and gap.ci[0] > 0)):
        return "only self-report moved"
    if b == "moved" and (a == "still" or (gap.ci is not None and gap.ci[1] < 0)):
        return "only behaviour moved"
    return "inconclusive"


def _state(found: Estimate) -> Literal["moved", "against", "still", "open"]:
    if found.ci is None:
        return "open"
    low, high = found.ci
    if low > 0 or high < 0:
        return "moved" if low > 0 else "against"
    return "still" if low >= -SMALL and high <= SMALL else "open"


def _noted(n: int, r: float | None, ci: tuple[float, float] | None) -> str:
    if n < 3:
        return f"no correlation over {n} target{'' if n == 1 else 's'}: it takes three"
    if r is None:
        return "no correlation: one side is the same for all targets"
    if ci is None:
        return f"r over {n} targets has no interval: it may be anything"
    if ci[1] - ci[0] > 1:
        return f"r over {n} targets is uncertain: its interval is {ci[1] - ci[0]:.1f} wide"
    return ""
