"""Whether a table's declared keying agrees with its own answers, and how much of them is yes-saying.

Raw answers of people who agree with everything correlate positively between opposite items too, which looks like keyed
answers. So each person's mean over all raw items is taken out first, and opposite items of one facet are compared with
opposite items of different scales: agreement with everything is in both, the trait in the former only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.moments import Pairs
from traitbench.types import Record

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["HIGH", "Acquiescence", "Keying", "acquiescence", "contradiction", "doubt", "keying", "opposite_pairs"]

TOLERANCE = 0.02
"""A difference of mean correlations this near 0 tells nothing."""

HIGH = 0.1
"""Acquiescence is called high where this share of an item's variance is due to it."""

_LEAST = 10
"""Rows that a pair of items needs."""

Matrix = NDArray[np.float64]

Verdict = Literal["agrees", "unclear", "contradicts"]


class Acquiescence(Record):
    """Agreement whatever the item says, if the declared keying is right."""

    mean: float
    """Over persons, of the mean raw answer to a set of items that is half plus- and half minus-keyed, a scale."""
    sd: float
    share: float | None = None
    """Of an item's variance: mean of the raw correlations of alike and of opposite items of one facet; the trait has
    opposite signs in the two and goes out."""


class Keying(Record):
    """What the correlations of opposite items say of the declared keying."""

    given: float
    """Mean correlation of plus- and minus-keyed items of one facet (of one scale where no facet has both) as given."""
    declared: float
    """Their mean keyed correlation if the keying is as declared, each person's mean raw answer taken out, less that of
    opposite items of different scales (of different facets in a table of one scale)."""
    other: float
    """The same if the keying is the other one."""
    pairs: int
    """Of opposite items of one facet, or of one scale."""
    within: Literal["facet", "scale"]
    """What those items are of."""
    across: int
    """Of opposite items of different scales; without any, keying and acquiescence cannot be told apart."""
    margin: float
    """What `declared` and `other` must exceed to count as clear: 0.02, or three standard errors if that is more."""
    verdict: Verdict
    example: tuple[str, str]
    """The opposite items with the strongest correlation as given."""
    example_r: float


def keying(pairs: Pairs, items: Sequence[Item], keyed: bool) -> Keying | None:
    """Compare both keyings on the covariances of answers keyed as declared; None where no pair of items can tell."""
    covariance = np.where(pairs.n >= _LEAST, pairs.covariance, np.nan)
    sign = np.array([item.keyed for item in items], dtype=float)
    turned = covariance * np.outer(sign, sign)
    same = opposite_pairs(items)
    apart = _apart(items)
    plain = _correlation(covariance)
    held = [(a, b) for a, b in same if not np.isnan(plain[a, b])]
    if not held:
        return None
    declared, across = _evidence(turned, held, apart)
    other, _ = _evidence(covariance, held, apart)
    n = float(np.median([pairs.n[a, b] for a, b in held]))
    # The standard error of independent pairs; theirs is a little larger.
    margin = max(TOLERANCE, 3 * ((1 / len(held) + (1 / across if across else 0)) / n) ** 0.5)
    within = float(np.mean([plain[a, b] for a, b in held]))
    given = 1 if keyed else -1
    a, b = max(held, key=lambda pair: abs(plain[pair]))
    return Keying(
        given=given * within,
        declared=declared,
        other=other,
        pairs=len(held),
        within="facet" if any(items[a].facet and items[a].facet == items[b].facet for a, b in held) else "scale",
        across=across,
        margin=margin,
        verdict=_verdict(declared, other, within, across, margin),
        example=(items[a].id, items[b].id),
        example_r=given * float(plain[a, b]),
    )


def _verdict(declared: float, other: float, within: float, across: int, margin: float) -> Verdict:
    """A lone scale is never refused: who agrees with everything looks the same there as keyed answers do."""
    if not across:
        return "agrees" if within > -margin else "unclear"
    if declared < -margin and other > margin:
        return "contradicts"
    return "agrees" if declared > max(other, 0) else "unclear"


def contradiction(found: Keying, keyed: bool) -> str:
    """Say what speaks against the declared keying, and what may be the matter."""
    declared, other = ("keyed", "raw") if keyed else ("raw", "keyed")
    a, b = found.example
    return (
        f"the table is declared {declared}, but its correlations contradict that: with each person's mean raw answer "
        f"taken out, plus- and minus-keyed items of one {found.within} correlate {found.declared:+.2f} if it is "
        f"{declared} and {found.other:+.2f} if it is {other}, over opposite items of different scales "
        f"({found.pairs} pairs; expected above 0). Either it is {other}, so that minus-keyed items would be reversed "
        f"{'too rarely' if keyed else 'twice'}, or it is {declared} and the inventory's key is not that of these "
        f"answers ({a} and {b}, for one, correlate {found.example_r:+.2f} in the table). To tell, {_look(b)}"
    )


def doubt(found: Keying, keyed: bool) -> str:
    """Say why the keying stays unclear; empty where it does not."""
    if found.verdict != "unclear":
        return ""
    declared, other = ("keyed", "raw") if keyed else ("raw", "keyed")
    if not found.across:
        return (
            f"opposite items correlate {found.given:+.2f} in a table declared {declared}: either it is {other}, or "
            "agreement with everything outweighs the trait; a single scale cannot tell which. To tell, "
            f"{_look(found.example[1])}"
        )
    return (
        f"the keying is unclear: opposite items correlate {found.declared:+.2f} if the table is {declared} and "
        f"{found.other:+.2f} if it is {other}, over those of different scales and without each person's mean"
    )


def _look(minus: str) -> str:
    """How to find out, whatever the correlations are."""
    return f"look at minus-keyed {minus}: agreement with it is a high number in raw answers, a low one in keyed answers"


def acquiescence(mean: Matrix, pairs: Pairs, items: Sequence[Item], ends: int) -> Acquiescence | None:
    """Agreement with items of either key, from item means (items,) and covariances of answers keyed as declared.

    `ends` is the lowest plus the highest answer. None where no scale has items of both keys with enough answers.
    """
    weights = np.zeros(len(items))
    scales: dict[str, dict[int, list[int]]] = defaultdict(lambda: {1: [], -1: []})
    for index, item in enumerate(items):
        scales[item.scale][item.keyed].append(index)
    balanced = [found for found in scales.values() if found[1] and found[-1]]
    for found in balanced:
        for places in found.values():
            weights[places] = 0.5 / len(balanced) / len(places)
    used = np.flatnonzero(weights)
    block = np.ix_(used, used)
    if not len(used) or (pairs.n[block] < _LEAST).any():
        return None
    sign = np.array([item.keyed for item in items], dtype=float)
    w, s = weights[used], (sign * weights)[used]
    level = float(w @ np.where(sign[used] > 0, mean[used], ends - mean[used]))
    variance = float(s @ pairs.covariance[block] @ s)
    raw = _correlation(np.where(pairs.n >= _LEAST, pairs.covariance, np.nan)) * np.outer(sign, sign)
    # Only groups that hold a pair of each sort: the trait cancels within a group.
    shares = [
        (np.nanmean(alike) + np.nanmean(opposite)) / 2
        for alike, opposite in _both(raw, items)
        if not (np.isnan(alike).all() or np.isnan(opposite).all())
    ]
    return Acquiescence(mean=level, sd=max(variance, 0.0) ** 0.5, share=float(np.mean(shares)) if shares else None)


def _both(raw: Matrix, items: Sequence[Item]) -> list[tuple[list[float], list[float]]]:
    """Correlations of alike and of opposite items, for each facet (or scale) that has both sorts of pairs."""
    found = []
    for group in _groups(items):
        members = [*group[1], *group[-1]]
        if group[1] and group[-1] and len(members) > 2:
            alike = [float(raw[a, b]) for side in group.values() for i, a in enumerate(side) for b in side[:i]]
            found.append((alike, [float(raw[a, b]) for a in group[1] for b in group[-1]]))
    return found


def opposite_pairs(items: Sequence[Item]) -> list[tuple[int, int]]:
    """Indices of plus- and minus-keyed items of one facet, or of one scale where no facet has both."""
    return [(a, b) for group in _groups(items) for a in group[1] for b in group[-1]]


def _groups(items: Sequence[Item]) -> list[dict[int, list[int]]]:
    """Key -> indices, a facet; a scale where no facet has items of both keys."""
    for facets in (True, False):
        groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: {1: [], -1: []})
        for index, item in enumerate(items):
            groups[(item.facet if facets else None) or item.scale][item.keyed].append(index)
        if any(group[1] and group[-1] for group in groups.values()):
            break
    return [*groups.values()]


def _apart(items: Sequence[Item]) -> NDArray[np.bool_]:
    """Tell which pairs are opposite items of different scales, (items, items); of one scale, of different facets."""
    several = len({item.scale for item in items}) > 1
    group = np.array([item.scale if several else str(item.facet) for item in items])
    key = np.array([item.keyed for item in items])
    return np.asarray((group[:, None] != group) & np.outer(key > 0, key < 0))


def _evidence(raw: Matrix, same: Sequence[tuple[int, int]], apart: NDArray[np.bool_]) -> tuple[float, int]:
    """Mean keyed correlation of the pairs in `same` less that of those in `apart`, and how many of those there are.

    `raw` are covariances of raw answers. With m a person's mean over the items, cov(x - m, y - m) = cov(x, y) -
    cov(x, m) - cov(m, y) + var(m), and cov(x, m) is the mean of x's covariances: the answers themselves are not needed.
    """
    shared = np.array([np.nanmean(row) if np.isfinite(row).any() else 0 for row in raw])
    centred = raw - shared[:, None] - shared + np.nanmean(raw)
    flat = np.diag(raw) == 0
    centred[flat] = centred[:, flat] = np.nan
    correlation = -_correlation(centred)
    within = np.array([correlation[pair] for pair in same])
    across = correlation[apart]
    across = across[~np.isnan(across)]
    if np.isnan(within).all():
        return 0.0, 0
    return float(np.nanmean(within) - (across.mean() if across.size else 0)), across.size


def _correlation(covariance: Matrix) -> Matrix:
    """Correlations of covariances (items, items), NaN where one is NaN or an item has no variance."""
    variance = np.diag(covariance)
    sd = np.sqrt(np.where(variance > 0, variance, np.nan))
    return np.asarray(np.clip(covariance / np.outer(sd, sd), -1, 1))
