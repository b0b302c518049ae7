"""Whether the best heads tell agreement better than chance, and in which wording of the contrast they do so best.

The statistic is the accuracy of the kept heads' probes on items that they were not fitted on, a mean over the heads:
of these a shift is made, and the largest accuracy of all is a matter of one head and few items, which chance moves
more. Under shuffled labels everything is done again, the choice of the heads too, so that their number needs no
correction. Labels are shuffled within a trait and within a side of the split, the four texts of an item together and
twins as one, so that the balance of the data stays as it is.

Of several wordings the best is the one whose accuracy lies the most SDs of its own shuffles above their mean. The same
labelings are used for all of them, and the best of the wordings is taken of each labeling too: p is of the choice, and
noise passes no more often with three wordings than with one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import TraitbenchUsage
from traitbench.methods.pas.contrasts import Wording
from traitbench.methods.pas.goals import Goal
from traitbench.methods.pas.heads import Array, Texts, balance, classes, kept, parted
from traitbench.statistics.logistic import fit_outcomes
from traitbench.statistics.permutations import compared, labelings
from traitbench.types import Find

__all__ = ["Chosen", "accuracies", "choose", "shuffled"]

_STEPS = 60
"""Of the probes under shuffled labels: where activations are so large that they are not done, they stop alike."""
_FLAT = 1e-9
"""SD of an accuracy below which nothing varies."""


class Chosen(NamedTuple):
    """The wording that was chosen, and the evidence."""

    wording: Wording
    find: Find
    tried: dict[str, Any]
    """Wording -> accuracy, mean and 95th percentile under shuffled labels, and p of the wording by itself."""


def choose(
    goal: Goal,
    wordings: Sequence[Wording],
    texts: Callable[[Wording], Texts],
    on: str,
    *,
    keep: int,
    split: float,
    c: float,
    draws: int,
    legacy: bool = False,
    seed: int = 0,
) -> Chosen:
    """Test each of `wordings` by at most `draws` shuffles and take the best; `on` says what the items are.

    `texts` gives the contrast activations of a wording, (heads, items, 4, width); the others are those of `select`.
    p is 1 where all labels are the same, so that there is nothing to shuffle.
    """
    train = parted(goal.names, goal.labels.tolist(), split, seed)
    labels = shuffled(goal, train, draws, seed)
    values = np.stack([_statistic(texts(w), labels, goal.strata, train, keep, c, legacy) for w in wordings])
    mean, sd = values.mean(axis=1, keepdims=True), values.std(axis=1, keepdims=True)
    excess = np.where(sd > _FLAT, (values - mean) / np.maximum(sd, _FLAT), 0.0)
    first = int(np.argmax(np.round(excess[:, 0], 9)))
    # The best of each labeling, on the scale of the wording that was chosen.
    top = mean[first] + sd[first] * excess.max(axis=0)
    number, several = min(keep, len(texts(wordings[first]))), len(wordings) > 1
    statistic = f"accuracy of the {number} best heads' probes on items that they were not fitted on"
    found = compared(float(top[0]), top[1:]).find(f"{statistic}{', in the best wording' if several else ''}", on)
    tried: dict[str, Any] = {}
    for wording, (observed, *null) in zip(wordings, values.tolist(), strict=True):
        own = compared(observed, null)
        tried[wording] = {
            "accuracy": round(observed, 4), "null": [round(x, 4) for x in own.null], "p": round(own.p, 4)
        }  # fmt: skip
    return Chosen(wordings[first], found, tried)


def shuffled(goal: Goal, train: NDArray[np.bool_], draws: int, seed: int) -> NDArray[np.int_]:
    """Labels (1 + shuffles, items): as they are, then shuffled within a trait and a side of the split.

    Twins are shuffled as one, with others of as many items. As they are once more where no other labeling exists.
    """
    members: dict[str, list[int]] = {}
    for place, name in enumerate(goal.names):
        members.setdefault(name, []).append(place)
    units = list(members.values())
    held = [tuple(goal.labels[unit].tolist()) for unit in units]
    kinds = list(dict.fromkeys(held))
    strata = [f"{goal.strata[unit[0]]} {train[unit[0]]} {len(unit)}" for unit in units]
    try:
        rows = labelings([kinds.index(one) for one in held], draws, seed, strata)
    except TraitbenchUsage:
        return np.stack([goal.labels, goal.labels])
    found = np.tile(goal.labels, (1 + len(rows), 1))
    for n, row in enumerate(rows, 1):
        for unit, kind in zip(units, row, strict=True):
            found[n, unit] = kinds[kind]
    return found


def accuracies(
    texts: Texts,
    labels: NDArray[np.int_],
    strata: Sequence[Hashable],
    train: NDArray[np.bool_],
    c: float = 1.0,
    legacy: bool = False,
) -> tuple[Array, Array]:
    """Accuracy of each head's probe under each labeling, (heads, labelings): on the items fitted on, and on others.

    `labels` (labelings, items), `train` (items,); as `select` computes them for one labeling.
    """
    found = np.stack([classes(row).ravel() for row in labels])
    shares = {
        part: np.stack([_shares(row[train == part], _of(strata, train == part), legacy) for row in labels])
        for part in (True, False)
        if (train == part).any()
    }
    flat = texts.reshape(len(texts), -1, texts.shape[-1])
    rows = np.repeat(train, texts.shape[2])
    out = np.empty((2, len(texts), len(labels)))
    for head, one in enumerate(flat):
        probes = fit_outcomes(one[rows], found[:, rows], shares[True], c=c, limit=_STEPS)
        right = (probes.weights @ one.T.astype(float) + probes.intercepts[:, None] > 0) == found
        out[0, head] = np.average(right[:, rows], axis=1, weights=shares[True])
        out[1, head] = np.average(right[:, ~rows], axis=1, weights=shares[False]) if False in shares else out[0, head]
    return out[0], out[1]


def _statistic(
    texts: Texts,
    labels: NDArray[np.int_],
    strata: Sequence[Hashable],
    train: NDArray[np.bool_],
    keep: int,
    c: float,
    legacy: bool,
) -> Array:
    """Mean accuracy (labelings,) of the heads that each labeling keeps, on items that they were not fitted on."""
    fitted, unseen = accuracies(texts, labels, strata, train, c, legacy)
    return np.array([unseen[kept(fitted[:, n], unseen[:, n], keep), n].mean() for n in range(len(labels))])


def _shares(labels: NDArray[np.int_], strata: Sequence[Hashable], legacy: bool) -> Array:
    """Weight of each text of items (items * 4,)."""
    sides: list[Hashable] = [None if legacy else side for side in zip(strata, labels.tolist(), strict=True)]
    return np.repeat(balance(sides), 4)


def _of(strata: Sequence[Hashable], part: NDArray[np.bool_]) -> list[Hashable]:
    return [stratum for stratum, mine in zip(strata, part, strict=True) if mine]
