"""Which heads tell agreement from disagreement, and in which direction: plain functions over contrast activations.

`texts` are activations (heads, items, 4, width) at the answer's last token. The four texts of an item are its two
option orders answered with the highest value ("Very Accurate"), then the two answered with the lowest. A label is 1
where the item is agreed with, 0 where it is not; a text is of class 1 where its answer agrees with the item's label.
Both orders enter, so what the classes differ in is agreement and no letter.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData
from traitbench.statistics.logistic import decisions, fit_logistic

__all__ = ["AGREES", "NEUTRAL", "Heads", "balance", "classes", "directions", "parted", "select", "sided"]

Array = NDArray[np.float64]
Texts = NDArray[np.floating]

AGREES = np.array([True, True, False, False])
"""Which of an item's four texts answer with the highest value."""
NEUTRAL = -1
"""The label of an answer on neither side."""


class Heads(NamedTuple):
    """The heads with the most accurate probes, best first."""

    chosen: NDArray[np.intp]
    """(k,) of all heads, layer by layer."""
    directions: Array
    """(k, width): from the mean of class 0 to that of class 1, of length 1."""
    sigmas: Array
    """(k,) SD of the texts' projections on it."""
    train: Array
    """Accuracy of each head's probe on the texts it was fitted on, (heads,)."""
    validation: Array
    """The same on items that it was not fitted on, (heads,)."""

    @property
    def shifts(self) -> Array:
        """What a strength of 1 adds to each chosen head, (k, width)."""
        return self.sigmas[:, None] * self.directions


def sided(answers: ArrayLike, middle: float) -> NDArray[np.int_]:
    """Label raw answers (n,): 1 above `middle`, 0 below it, NEUTRAL on it."""
    values = np.asarray(answers, dtype=float)
    return np.where(values == middle, NEUTRAL, values > middle).astype(int)


def classes(labels: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Class (items, 4) of the four texts of items with labels 0 or 1 (items,)."""
    return np.asarray((labels[:, None] == 1) == AGREES)


def balance(sides: Sequence[Hashable]) -> Array:
    """Weights (n,) of mean 1 with which every side has the same sum."""
    count = Counter(sides)
    return np.array([len(sides) / (len(count) * count[side]) for side in sides])


def parted(names: Sequence[str], strata: Sequence[Hashable], share: float, seed: int) -> NDArray[np.bool_]:
    """Draw `share` of n items, (n,) True where drawn: within each stratum, and of one name all or none.

    A name is the text of an item, so that twins stay together; they count to the stratum of the first. A stratum of
    two names or more has some on either side.
    """
    groups: dict[Hashable, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for name, stratum in zip(names, strata, strict=True):
        if name not in seen:
            seen.add(name)
            groups[stratum].append(name)
    draw = random.Random(f"parted {seed}")
    drawn: set[str] = set()
    for members in groups.values():
        draw.shuffle(members)
        drawn.update(members[: min(max(1, round(share * len(members))), max(1, len(members) - 1))])
    return np.array([name in drawn for name in names], dtype=bool)


def directions(texts: Texts, labels: NDArray[np.int_], weights: Array) -> tuple[Array, Array]:
    """Difference of the class means, of length 1 (heads, width), and the SD of the projections on it (heads,).

    `weights` are of the items (items,). Both are 0 for a head whose classes have one mean.
    """
    heads, items, answers, width = texts.shape
    flat = texts.reshape(heads, items * answers, width).astype(float)
    belongs, share = classes(labels).ravel(), np.repeat(weights, answers)
    up, down = np.where(belongs, share, 0), np.where(belongs, 0, share)
    difference = (up / up.sum() - down / down.sum()) @ flat
    length = np.linalg.norm(difference, axis=1, keepdims=True)
    unit = np.divide(difference, length, out=np.zeros_like(difference), where=length > 0)
    projections = (flat @ unit[:, :, None])[:, :, 0]
    share = share / share.sum()
    centred = projections - (projections @ share)[:, None]
    return unit, np.sqrt(centred**2 @ share)


def select(
    texts: Texts,
    labels: NDArray[np.int_],
    names: Sequence[str],
    sides: Sequence[Hashable],
    *,
    keep: int = 24,
    split: float = 0.6,
    c: float = 1.0,
    seed: int = 0,
) -> Heads:
    """Fit a probe a head on `split` of the items and keep the `keep` heads of the highest mean accuracy.

    The mean is that of train and validation accuracy; equals go by layer and head. `labels` (items,) are 0 or 1,
    `names` the items' texts, and `sides` weigh equally in probes, accuracies and directions. The directions are of
    all items. BadData where no head tells the classes apart.
    """
    train = parted(names, [int(label) for label in labels], split, seed)
    weight = {
        part: np.repeat(balance([s for s, t in zip(sides, train, strict=True) if t == part]), 4)
        for part in (True, False)
    }
    found = classes(labels)
    flat = texts.reshape(len(texts), -1, texts.shape[-1])
    rows = np.repeat(train, 4)
    probes = fit_logistic(flat[:, rows], found[train].ravel(), weight[True], c=c)
    right = (decisions(probes, flat) > 0) == found.ravel()
    fitted = np.average(right[:, rows], axis=1, weights=weight[True])
    unseen = np.average(right[:, ~rows], axis=1, weights=weight[False]) if not train.all() else fitted
    # Accuracies are sums of a few weights: rounding must not part equals.
    order = np.argsort(-np.round(fitted + unseen, 9), kind="stable")[:keep]
    unit, sigmas = directions(texts[order], labels, balance(sides))
    held = sigmas > 0
    if not held.any():
        raise BadData(
            "the activations of agreeing and of disagreeing answers have the same mean in every head, so there is no "
            "direction to shift along; expected a model whose heads differ between its answers"
        )
    return Heads(order[held], unit[held], sigmas[held], fitted, unseen)
