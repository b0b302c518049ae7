"""Which heads tell agreement from disagreement, and in which direction: plain functions over contrast activations.

`texts` are activations (heads, items, 4, width). The four texts of an item are two that agree with it, such as its two
option orders answered with "Very Accurate", then two that disagree. A label is 1 where the item is to be agreed with, 0
where it is not; a text is of class 1 where it does with the item what the label says. Both orders enter, so what the
classes differ in is agreement and no letter; and where agreed and disagreed items weigh equally, it is no yes either.
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

__all__ = [
    "AGREES", "NEUTRAL", "Heads", "balance", "classes", "directions", "kept", "parted", "select", "sided", "yes_saying",
]  # fmt: skip

Array = NDArray[np.float64]
Texts = NDArray[np.floating]

AGREES = np.array([True, True, False, False])
"""Which of an item's four texts agree with it."""
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


def directions(texts: Texts, labels: NDArray[np.int_], weights: Array, yes: bool = True) -> tuple[Array, Array]:
    """Difference of the class means, of length 1 (heads, width), and the SD of the projections on it (heads,).

    `weights` are of the items (items,). Both are 0 for a head whose classes have one mean. Where `yes` is not to stay,
    the direction is made orthogonal to the difference between agreeing and disagreeing, in the heads in which this is
    the larger one: items that the model agrees with more readily than with others would else turn it towards yes or no.
    """
    heads, items, answers, width = texts.shape
    flat = texts.reshape(heads, items * answers, width).astype(float)
    share = np.repeat(weights, answers)
    difference = _between(classes(labels).ravel(), share) @ flat
    if not yes:
        plain, scale = _unit(_between(np.tile(AGREES, items), share) @ flat)
        larger = scale > np.linalg.norm(difference, axis=1, keepdims=True) * (1 + 1e-9)
        difference -= np.where(larger, (difference * plain).sum(axis=1, keepdims=True), 0) * plain
    unit = _unit(difference)[0]
    projections = (flat @ unit[:, :, None])[:, :, 0]
    share = share / share.sum()
    centred = projections - (projections @ share)[:, None]
    return unit, np.sqrt(centred**2 @ share)


def _between(belongs: NDArray[np.bool_], share: Array) -> Array:
    """Weights (n,) that take the mean of those that do not belong from the mean of those that do."""
    up, down = np.where(belongs, share, 0), np.where(belongs, 0, share)
    return np.asarray(up / up.sum() - down / down.sum())


def _unit(vectors: Array) -> tuple[Array, Array]:
    """Vectors (n, width) at length 1, and their lengths (n, 1); 0 where there is none."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0), length


def kept(fitted: Array, unseen: Array, keep: int) -> NDArray[np.intp]:
    """The `keep` heads of the highest mean of both accuracies (heads,), best first; equals go by layer and head."""
    # Accuracies are sums of a few weights: rounding must not part equals.
    return np.argsort(-np.round(fitted + unseen, 9), kind="stable")[:keep]


def yes_saying(texts: Texts, heads: Heads) -> float:
    """Cosine of the shift of `heads`, all taken together, with one that agrees with every item, whatever it says.

    1: the shift is yes-saying and nothing else; -1: no-saying. 0 where agreeing makes no difference to these heads.
    """
    always = np.ones(texts.shape[1], dtype=int)
    unit, sigmas = directions(texts[heads.chosen], always, np.ones(len(always)))
    yes = sigmas[:, None] * unit
    length = np.linalg.norm(yes) * np.linalg.norm(heads.shifts)
    return float((yes * heads.shifts).sum() / length) if length else 0.0


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
    yes: bool = False,
) -> Heads:
    """Fit a probe a head on `split` of the items and keep the `keep` heads of the highest mean accuracy.

    The mean is that of train and validation accuracy; equals go by layer and head. `labels` (items,) are 0 or 1,
    `names` the items' texts, and `sides` weigh equally in probes, accuracies and directions. The directions are of
    all items; whether plain agreement may stay in them is `yes`. BadData where no head tells the classes apart.
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
    order = kept(fitted, unseen, keep)
    unit, sigmas = directions(texts[order], labels, balance(sides), yes)
    held = sigmas > 0
    if not held.any():
        raise BadData(
            "the activations of agreeing and of disagreeing answers have the same mean in every head, so there is no "
            "direction to shift along; expected a model whose heads differ between its answers"
        )
    return Heads(order[held], unit[held], sigmas[held], fitted, unseen)
