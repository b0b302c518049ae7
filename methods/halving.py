"""What is chosen among layers and strengths, found by measuring little of what cannot be chosen.

`choosing` says which one that is: the weakest within one standard error of the largest effect, all under a limit on the
perplexity of neutral text. Measured in full, every candidate costs all development items and all passages. Instead:

1. Successive halving (Karnin, Koren & Somekh 2013): all candidates on a quarter of the items, the better half of them
   on half, and the better half of those on all.
2. Perplexity is asked for only where it decides: down the ranking until one candidate is under the limit, then among
   those within one standard error of it from the weakest up. A few passages settle what is far above the limit; what is
   chosen is measured on all of them.
3. Who was left behind is called back where it might be chosen after all: where its effect, by what is known of it on
   its share of the items, may lie above that of the best, or above the bound at a smaller strength.

So the choice is that of the exhaustive search (`sweep=exhaustive`) unless an effect on a share of the items was more
than CERTAIN standard errors below that on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.backends.neutral import FEW
from traitbench.methods.choosing import near, weakness
from traitbench.methods.damage import Harm
from traitbench.types import Control, Point

__all__ = ["CERTAIN", "Candidate", "Criterion", "Sweep", "settle"]

Array = NDArray[np.float64]
Sweep = Literal["halving", "exhaustive"]

CERTAIN = 2.0
"""Standard errors by which what is known in part may be off."""
SHARES = (0.25, 0.5)
"""Of the items, before all of them."""
LEAST = 4
"""Items that an effect is ever judged by."""
LEEWAY = math.log(1.5)
"""How far the log of a perplexity on a few passages may be off at the least, whatever its error says."""


class Candidate(NamedTuple):
    """One of what is chosen among."""

    control: Control
    """At its strength."""
    strength: float
    layer: int | None = None
    """Where layers are chosen too."""


class Criterion(NamedTuple):
    """What candidates are judged by."""

    size: int
    """How many items there are, in an order whose beginnings are like the whole."""
    moved: Callable[[Control, int, int], Array]
    """What a control does to the items from one place up to another, (items,)."""
    effect: Callable[[Array], float]
    """On the first items, from what was done to them, (items,)."""
    error: Callable[[Array], float | None]
    """Standard error of that; None where it has none."""
    harm: Callable[[Control, int | None], Harm]
    """On so many passages; None: all of them."""
    limit: float = 2.0
    within: float = 1.0
    shares: tuple[float, ...] = SHARES
    """Shares of the items that candidates are halved on; none: each is measured on all."""


@dataclass
class _Trial:
    """A candidate and what is known of it."""

    candidate: Candidate
    by: Criterion
    moved: Array
    """What it does to the first items, (items that it was measured on,)."""
    effect: float = 0.0
    harm: Harm | None = None
    over: bool | None = None
    """Whether its perplexity is above the limit; None: not known."""

    @property
    def whole(self) -> bool:
        """Whether it was measured on all items."""
        return len(self.moved) == self.by.size

    @property
    def order(self) -> tuple[float, float]:
        """By what the largest effect comes first, of equals the weakest."""
        return -self.effect, abs(self.candidate.strength)

    @property
    def point(self) -> Point:
        """What is written of it."""
        return Point(
            strength=self.candidate.strength, layer=self.candidate.layer, effect=self.effect,
            se=self.by.error(self.moved), perplexity=self.harm.ratio if self.harm else None,
            items=None if self.whole else len(self.moved), passages=self.harm.passages if self.harm else None,
        )  # fmt: skip

    def measure(self, items: int) -> None:
        """Measure the effect on the first `items`, as far as it was not."""
        if (done := len(self.moved)) < items:
            self.moved = np.concatenate([self.moved, self.by.moved(self.candidate.control, done, items)])
            self.effect = self.by.effect(self.moved)

    def sound(self, fully: bool = False) -> bool:
        """Whether the perplexity is under the limit; a few passages settle it, unless it is to be known `fully`."""
        limit, control = self.by.limit, self.candidate.control
        if not fully and math.isinf(limit):
            return True
        if self.over is None and not fully:
            self.harm = self.by.harm(control, FEW)
            apart = math.log(self.harm.ratio) - math.log(limit)
            if self.harm.passages is None or abs(apart) > max(CERTAIN * self.harm.error, LEEWAY):
                self.over = apart > 0
        if self.over is None or (fully and not self.over and self.harm and self.harm.passages is not None):
            self.harm = self.by.harm(control, None)
            self.over = self.harm.ratio > limit
        return not self.over

    def reach(self, most: _Trial) -> float:
        """The largest effect that it may have, by its own items or by how it differs from `most` on the same ones.

        Its own error is that of `most` on as many items at the least: that of a few items which happen to be
        alike is next to nothing.
        """
        known, size = len(self.moved), self.by.size
        left = CERTAIN * math.sqrt(1 - known / size)
        apart = self.moved - most.moved[:known]
        own, paired, whole = self.by.error(self.moved), self.by.error(apart), self.by.error(most.moved)
        alone = None if own is None or whole is None else max(own, whole * math.sqrt(size / known))
        return min(
            math.inf if alone is None else self.effect + left * alone,
            math.inf if paired is None else most.effect + self.by.effect(apart) + left * paired,
        )


def settle(
    candidates: Sequence[Candidate], by: Criterion, sweep: Sweep = "halving", step: Callable[[int], None] | None = None
) -> tuple[Point | None, tuple[Point, ...]]:
    """Return the point of the candidate that is chosen, None where none is under the limit, and the points of all.

    Points are in the order of `candidates`; one that was measured in part says on how many items or passages. `step` is
    called with the number of candidates whose measuring began. exhaustive: all is measured of all.
    """
    trials = [_Trial(candidate, by, np.empty(0)) for candidate in candidates]
    halved = by.shares if sweep == "halving" else ()
    for trial in trials:
        trial.measure(_part(halved[0], by.size) if halved else by.size)
        if sweep == "exhaustive" or not trial.candidate.control.edits:
            trial.sound(fully=True)
        if step is not None:
            step(1)
    alive = trials
    for share in (*halved[1:], 1.0) if halved else ():
        alive = _better(alive)
        for trial in alive:
            trial.measure(_part(share, by.size))
    chosen = _chosen(trials, by)
    return None if chosen is None else chosen.point, tuple(trial.point for trial in trials)


def _part(share: float, size: int) -> int:
    """How many items a share is; what is nearly all is all."""
    found = max(LEAST, math.ceil(share * size))
    return size if share == 1 or found > 0.7 * size else found


def _better(trials: Sequence[_Trial]) -> list[_Trial]:
    """The half with the larger effects, rounded up."""
    return sorted(trials, key=lambda t: t.order)[: math.ceil(len(trials) / 2)]


def _chosen(trials: Sequence[_Trial], by: Criterion) -> _Trial | None:
    """Choose among those that were measured on all items, calling back the others while they might be chosen."""
    while True:
        whole = [trial for trial in trials if trial.whole]
        most, chosen = _first(sorted(whole, key=lambda t: t.order)), None
        if most is not None:
            points = [(t, t.point) for t in whole]
            others = [(t, point) for t, point in points if near(point, most.point, by.within)]
            chosen = _first([t for t, _ in sorted(others, key=lambda each: weakness(each[1]))], fully=True)
            if most.over:
                continue  # a few passages had spoken for it, and all of them do not
        rivals = [t for t in trials if not t.whole and not t.over and _rival(t, most, chosen, by)]
        if not rivals:
            return chosen
        for trial in rivals if most is not None else _better(rivals):
            trial.measure(min(n for n in (*(_part(s, by.size) for s in by.shares), by.size) if n > len(trial.moved)))


def _first(trials: Sequence[_Trial], fully: bool = False) -> _Trial | None:
    """The first whose perplexity is under the limit."""
    return next((trial for trial in trials if trial.sound(fully)), None)


def _rival(trial: _Trial, most: _Trial | None, chosen: _Trial | None, by: Criterion) -> bool:
    """Whether one that was left behind might yet be chosen, or be the best that the others are held against."""
    if most is None or chosen is None:
        return True
    reach = trial.reach(most)
    if reach > most.effect:
        return True
    least = most.effect - by.within * (by.error(most.moved) or 0.0)
    if most.effect > 0:
        least = max(least, 0.0)
    mine, best = abs(trial.candidate.strength), abs(chosen.candidate.strength)
    return reach >= least and (mine < best or (mine == best and reach > chosen.effect))
