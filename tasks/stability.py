"""Whether simulated respondents stay who they are over contexts: two indices that need no judge.

Rank-order stability: do the same respondents score high on a trait in both contexts? Ipsative stability: is what is
high within one respondent the same in both? Both as in Kovac et al. (2024, "Stick to your role!"): Pearson correlations
between two contexts, averaged. A profile has a shape that all respondents share, such as that nearly everybody agrees
more to some traits than to others; the distinctive profile is what is left of it once the mean over respondents is
taken off each context (Furr 2008), so that it alone shows persons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Sample
from traitbench.statistics.bootstrap import Bootstrap, cluster_bootstrap
from traitbench.types import Record, Trait

__all__ = ["FEWEST", "ContextPair", "Index", "Stability", "people_scores", "stability"]

FEWEST = 3
"""Respondents, and traits of a profile, below which a correlation says nothing."""
FLAT = 1e-9
"""An SD up to this is round-off."""

Scores = NDArray[np.float64]


class Index(Record):
    """A mean of correlations; null where `reason` says why."""

    value: float | None
    ci: tuple[float, float] | None = None
    """95 %, by a bootstrap over respondents."""
    reason: str = ""


class ContextPair(Record):
    """Two contexts."""

    a: str
    b: str
    rank_order: float | None
    """Mean over traits."""
    ipsative: float | None
    """Mean over respondents."""
    distinctive: float | None


class Stability(Record):
    """Of the respondents of one condition in one scoring mode."""

    contexts: list[str]
    respondents: int
    """With a score on every trait in every context."""
    traits: list[Trait]
    rank_order: Index
    """Mean over pairs of contexts and traits."""
    by_trait: dict[Trait, float | None]
    """Rank-order stability of each."""
    ipsative: Index
    """Mean over pairs of contexts and respondents."""
    distinctive: Index
    pairs: list[ContextPair]
    """The first context beside each other one."""


def people_scores(
    samples: Sequence[Sample], cells: Sequence[Sequence[Sample]], keys: Mapping[str, tuple[Trait, int]]
) -> tuple[Scores, list[int], list[Trait]]:
    """Scale scores, (contexts, respondents, traits), NaN where an item has no answer, with whose and of what they are.

    `cells`: the samples of each context; `keys`: item -> its trait and key. A score is the mean of the keyed answers,
    by the sign alone: what an end of the scale adds is the same for all respondents.
    """
    people = sorted({row.respondent for row in samples if row.respondent is not None})
    traits = list(dict.fromkeys(trait for trait, _ in keys.values()))
    items = list(keys)
    where = {(p, item): (i, k) for i, p in enumerate(people) for k, item in enumerate(items)}
    out = np.full((len(cells), len(people), len(traits)), np.nan)
    for c, mine in enumerate(cells):
        sums, counts = np.zeros((len(people), len(items))), np.zeros((len(people), len(items)))
        for row in mine:
            place = where.get((row.respondent or -1, row.item))
            if place is not None and row.status == "valid" and row.value_raw is not None:
                sums[place] += keys[row.item][1] * row.value_raw
                counts[place] += 1
        with np.errstate(invalid="ignore"):
            values = np.where(counts > 0, sums / counts, np.nan)
        for t, trait in enumerate(traits):
            out[c, :, t] = values[:, [k for k, item in enumerate(items) if keys[item][0] == trait]].mean(axis=1)
    return out, people, traits


def stability(
    scores: Scores, contexts: Sequence[str], traits: Sequence[Trait], iterations: int, seed: int
) -> Stability | None:
    """Both indices of `scores` (contexts, respondents, traits); None without two contexts and three respondents."""
    whole = scores[:, ~np.isnan(scores).any(axis=(0, 2)), :]
    n = whole.shape[1]
    if len(contexts) < 2 or n < FEWEST:
        return None
    rows = whole.transpose(1, 0, 2)
    profiles, own = (_profiles(each) for each in (whole, whole - whole.mean(axis=1, keepdims=True)))
    by_trait = np.array([_rank_orders(whole[:, :, [t]]) for t in range(len(traits))])
    pairs = [
        ContextPair(
            a=contexts[0], b=contexts[c], rank_order=_mean(_orders(whole[[0, c]])[:, 0]),
            ipsative=_mean(profiles[c - 1]), distinctive=_mean(own[c - 1]),
        )
        for c in range(1, len(contexts))
    ]  # fmt: skip
    boot = cluster_bootstrap(rows, np.arange(n), lambda x: _rank_orders(x.transpose(1, 0, 2)), iterations, seed)
    return Stability(
        contexts=list(contexts), respondents=n, traits=list(traits),
        rank_order=_index(boot, "no trait varies over respondents in two contexts"),
        by_trait={trait: _known(value) for trait, value in zip(traits, by_trait, strict=True)},
        ipsative=_over_people(profiles, len(traits), iterations, seed),
        distinctive=_over_people(own, len(traits), iterations, seed), pairs=pairs,
    )  # fmt: skip


def _orders(scores: Scores) -> Scores:
    """Correlation over respondents of each pair of contexts and trait, (traits, pairs); NaN where one is constant."""
    z = _standard(scores.transpose(2, 0, 1))
    r = z @ z.transpose(0, 2, 1)
    first, second = np.triu_indices(scores.shape[0], 1)
    return np.asarray(r[:, first, second], dtype=float)


def _rank_orders(scores: Scores) -> float:
    found = _orders(scores)
    return float(np.nanmean(found)) if not np.isnan(found).all() else float("nan")


def _profiles(scores: Scores) -> Scores:
    """Correlation over traits of each pair of contexts and respondent, (pairs, respondents), NaN where one is flat."""
    z = _standard(scores)
    pairs = combinations(range(scores.shape[0]), 2)
    return np.array([(z[a] * z[b]).sum(axis=1) for a, b in pairs])


def _standard(values: Scores) -> Scores:
    """Deviations from the mean over the last axis with length 1; NaN where there are none."""
    away = values - values.mean(axis=-1, keepdims=True)
    length = np.sqrt(np.square(away).sum(axis=-1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > FLAT, away / length, np.nan)


def _over_people(found: Scores, traits: int, iterations: int, seed: int) -> Index:
    """A mean over pairs and respondents; respondents are redrawn."""
    if traits < FEWEST:
        return Index(value=None, reason=f"a profile over {traits} trait(s) has no shape: it takes {FEWEST}")
    mine = found[:, ~np.isnan(found).all(axis=0)]
    if not mine.size:
        return Index(value=None, reason="every profile is flat")
    boot = cluster_bootstrap(
        mine.T, np.arange(mine.shape[1]), lambda x: float(np.nanmean(x)), iterations, seed
    )  # fmt: skip
    flat = found.shape[1] - mine.shape[1]
    return _index(boot, "", f"{flat} respondents with a flat profile are left out" if flat else "")


def _index(found: Bootstrap, why: str, note: str = "") -> Index:
    return Index(value=found.value, ci=found.ci, reason=(why if found.value is None else "") or found.reason or note)


def _mean(values: Scores) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
