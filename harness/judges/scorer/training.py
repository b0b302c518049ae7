"""Training the heads: sentences of high replies against sentences of low ones, a ridge logistic regression a trait.

A sentence that several replies share counts once, so none is learnt by heart for its frequency. The penalty is chosen
by cross-validation in which whole groups are held out: all sentences that stand in one situation only, and each
sentence that stands in several (no held-out sentence was ever trained on). The map to probabilities (Platt 1999) is
fitted to the log odds of the held-out sentences, not of whole replies: these were put together from sentences drawn
apart, so their means are surer than those of what is written in one go. No other text is looked at.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.judges.scorer.features import Features, sentences
from traitbench.judges.scorer.heads import Head, Heads
from traitbench.statistics.discrimination import area
from traitbench.statistics.logistic import fit_logistic
from traitbench.types import Trait

__all__ = ["FOLDS", "PENALTIES", "Text", "Unit", "fit", "held_out", "remembered", "train", "units"]

Array = NDArray[np.float64]

FOLDS = 6
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
_FREE = 1e4
"""Penalty of the map to probabilities: next to none."""
_DIGITS = 7
"""Significant ones of what is kept."""


class Text(NamedTuple):
    """A text of known pole."""

    text: str
    high: bool
    cluster: str
    """What it shares with others: the situation of a reply, the pair of a situation, an item itself."""


class Unit(NamedTuple):
    """A distinct sentence of one trait's texts."""

    text: str
    high: bool
    fold: int
    """The part that holds it out, 0 to FOLDS - 1."""


def units(texts: Sequence[Text]) -> list[Unit]:
    """The distinct sentences of `texts`, dealt to folds by group; what stands at both poles is left out.

    BadData where one pole has no sentence of its own.
    """
    poles, homes = defaultdict(set), defaultdict(set)
    for each in texts:
        for part in sentences(each.text):
            poles[part].add(each.high)
            homes[part].add(each.cluster)
    groups = {part: (len(where) > 1, part if len(where) > 1 else min(where)) for part, where in homes.items()}
    folds: dict[tuple[bool, str], int] = {}
    for several in (False, True):
        mine = sorted({group for group in groups.values() if group[0] == several}, key=lambda group: _key(group[1]))
        folds.update({group: number % FOLDS for number, group in enumerate(mine)})
    found = [Unit(part, min(held), folds[groups[part]]) for part, held in poles.items() if len(held) == 1]
    if {unit.high for unit in found} != {True, False}:
        raise BadData(f"{len(found)} sentences of one pole only; expected sentences of high and of low texts")
    return found


def fit(vectors: Array, high: Array, penalty: float) -> tuple[Array, float]:
    """Weights and intercept of a ridge logistic regression on `vectors` (n, dimension) with classes `high` (n,).

    The weights of least length lie in the space of the rows, so with more places than rows they are sought there.
    """
    basis = np.linalg.qr(vectors.T)[0] if vectors.shape[1] > len(vectors) else np.eye(vectors.shape[1])
    found = fit_logistic((vectors @ basis)[None], high, c=penalty)
    return basis @ found.weights[0], float(found.intercepts[0])


def held_out(vectors: Array, high: Array, folds: NDArray[np.intp], penalty: float) -> Array:
    """Log odds (n,) of each row by the head that was fitted on the other folds."""
    found = np.full(len(vectors), np.nan)
    for fold in np.unique(folds):
        out = folds == fold
        weights, intercept = fit(vectors[~out], high[~out], penalty)
        found[out] = vectors[out] @ weights + intercept
    return found


def train(
    texts: Mapping[Trait, Sequence[Text]], made_of: Features, corpus: str, penalties: Sequence[float] = PENALTIES
) -> Heads:
    """Choose the penalty (one for all traits, the strongest of equals), fit every head and its map to probabilities.

    `corpus` names the texts. The heads are rounded to seven significant digits.
    """
    parts = {trait: units(mine) for trait, mine in texts.items()}
    vectors = {trait: made_of.vectors([unit.text for unit in mine]) for trait, mine in parts.items()}
    high = {trait: np.array([unit.high for unit in mine], dtype=float) for trait, mine in parts.items()}
    folds = {trait: np.array([unit.fold for unit in mine]) for trait, mine in parts.items()}
    odds = {c: {t: held_out(vectors[t], high[t], folds[t], c) for t in texts} for c in sorted(penalties)}
    tried = {c: round(float(np.mean([area(odds[c][t], high[t]) for t in texts])), 4) for c in odds}
    best = max(tried, key=lambda c: tried[c])
    made = {}
    for trait in texts:
        weights, intercept = fit(vectors[trait], high[trait], best)
        slope, offset = fit(odds[best][trait][:, None], high[trait], _FREE)
        made[trait] = Head(
            weights=tuple(map(_rounded, weights)), intercept=_rounded(intercept), slope=_rounded(slope[0]),
            offset=_rounded(offset),
        )  # fmt: skip
    return Heads(
        features=made_of.name, vectors=made_of.digest, dimension=made_of.dimension, corpus=corpus, penalty=best,
        tried={f"{c:g}": value for c, value in tried.items()}, traits=made,
    )  # fmt: skip


def remembered(texts: Sequence[Text], made_of: Features, penalty: float) -> tuple[Array, Array]:
    """Log odds (n,) of replies whose scenes are held out while their sentences are not, and their classes (n,).

    What a careless evaluation would print: `cluster` is not looked at, and a sixth of the replies after the other is
    held out.
    """
    parts = [sentences(each.text) for each in texts]
    distinct = list(dict.fromkeys(part for mine in parts for part in mine))
    place = {part: row for row, part in enumerate(distinct)}
    table = made_of.vectors(distinct)
    means = np.array([table[[place[part] for part in mine]].mean(axis=0) for mine in parts])
    high = np.array([each.high for each in texts], dtype=float)
    return held_out(means, high, np.arange(len(texts)) // 2 % FOLDS, penalty), high


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _key(group: str) -> bytes:
    return hashlib.sha256(group.encode()).digest()
