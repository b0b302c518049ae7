"""How the form was made: a search for pairs of statements that are equally desirable, balanced in key and in traits.

Of each trait of the IPIP-NEO-120 as many plus- as minus-keyed statements enter, as many as its rarer key has, and each
once. A pair holds statements of two traits, or of one trait in opposite keys. The search starts at pairs of neighbours
in desirability and then swaps partners, and statements against unused ones of the same trait and key, as long as that
lowers the squared differences in desirability and brings the numbers of pairs of each two traits nearer to what is
aimed at. Nothing is drawn without a seed, so the same items and values give the same form.

`python -m traitbench.tasks.forced_choice.matching` writes `pairs.json` anew.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from traitbench import inventories
from traitbench.inventories import Item
from traitbench.tasks.forced_choice.endorsement import INVENTORY, desirability
from traitbench.types import BIG_FIVE, DESIRABILITY, Trait

__all__ = ["FILE", "WIDEST", "matched", "written"]

FILE = Path(__file__).with_name("pairs.json")
WIDEST = 0.2
"""Largest difference of a pair, in points of the answer scale of five."""
STARTS = 4
ALONE = 2
"""Pairs of one trait with itself, each trait."""
OPPOSED = 12
"""Pairs of two traits whose statements are keyed towards opposite ends in desirability, such as a liking to be alone
against a liking for variety: without any, nothing is seen of what moves all traits for the better or the worse."""
BALANCE = 0.05
"""What a pair too many or too few of a kind costs beside a squared difference of 1."""

Couple = tuple[Item, Item]
Kind = tuple[str, str]


def matched(items: Sequence[Item], means: Mapping[str, float], seed: int = 0) -> list[Couple]:
    """Match `items` of the Big Five; pairs come in order of desirability, each with its first statement first.

    Which stands first is balanced by trait and key.
    """
    best: list[Couple] = []
    lowest = float("inf")
    for start in range(STARTS):
        search = _Search(items, means, random.Random(f"forced choice {seed} {start}"))
        search.run()
        if search.cost() < lowest - 1e-9:
            best, lowest = list(search.pairs), search.cost()
    return _turned(sorted(best, key=lambda pair: (sum(means[i.id] for i in pair), pair[0].number)))


class _Search:
    """One descent from one start."""

    def __init__(self, items: Sequence[Item], means: Mapping[str, float], draw: random.Random) -> None:
        self.means = means
        self.used: list[Item] = []
        self.spare: list[Item] = []
        for trait in BIG_FIVE:
            keys = {key: [i for i in items if (i.trait, i.keyed) == (trait, key)] for key in (1, -1)}
            count = min(map(len, keys.values()))
            for mine in keys.values():
                draw.shuffle(mine)
                self.used += mine[:count]
                self.spare += mine[count:]
        order = sorted(self.used, key=lambda item: (means[item.id], item.number))
        self.pairs: list[Couple] = [(order[i], order[i + 1]) for i in range(0, len(order) - 1, 2)]
        self.wanted = _wanted(Counter(item.trait for item in self.used))
        self.counts = Counter(kind for pair in self.pairs for kind in _kinds(pair))

    def cost(self) -> float:
        """Squared differences, and how far the numbers of pairs are from what is aimed at."""
        return sum(map(self._apart, self.pairs)) + BALANCE * sum(
            (self.counts[kind] - wanted) ** 2 for kind, wanted in self.wanted.items()
        )

    def run(self) -> None:
        """Take every change that helps until none does."""
        improved = True
        while improved:
            improved = False
            for a, b in combinations(range(len(self.pairs)), 2):
                (p, q), (r, s) = self.pairs[a], self.pairs[b]
                for new in (((p, r), (q, s)), ((p, s), (q, r))):
                    improved |= self._taken((a, b), new)
            for place in range(len(self.pairs)):
                for side in (0, 1):
                    improved |= self._replaced(place, side)

    def _replaced(self, place: int, side: int) -> bool:
        for index, spare in enumerate(self.spare):
            pair = self.pairs[place]
            old = pair[side]
            if (spare.trait, spare.keyed) != (old.trait, old.keyed):
                continue
            if self._taken((place,), ((spare, pair[1]) if side == 0 else (pair[0], spare),)):
                self.spare[index] = old
                return True
        return False

    def _taken(self, places: tuple[int, ...], new: tuple[Couple, ...]) -> bool:
        """Put `new` at `places` where that lowers the cost."""
        old = [self.pairs[place] for place in places]
        change = sum(map(self._apart, new)) - sum(map(self._apart, old))
        moved = Counter(kind for pair in new for kind in _kinds(pair))
        moved.subtract(kind for pair in old for kind in _kinds(pair))
        for kind, by in moved.items():
            off = self.counts[kind] - self.wanted[kind]
            change += BALANCE * ((off + by) ** 2 - off**2)
        if change >= -1e-9:
            return False
        for place, pair in zip(places, new, strict=True):
            self.pairs[place] = pair
        self.counts.update(moved)
        return True

    def _apart(self, pair: Couple) -> float:
        """What a pair costs: its squared difference; much where it is too wide, or no pair of the form."""
        a, b = pair
        gap = abs(self.means[a.id] - self.means[b.id])
        wrong = gap > WIDEST or (a.trait == b.trait and a.keyed == b.keyed)
        return gap**2 + (10.0 if wrong else 0.0)


def _traits(pair: Couple) -> Kind:
    first, second = sorted((item.trait for item in pair), key=BIG_FIVE.index)
    return first, second


def _kinds(pair: Couple) -> list[Kind]:
    """What is counted of a pair: its traits, and whether its statements are keyed towards opposite ends."""
    a, b = (item.keyed * DESIRABILITY[item.trait] for item in pair)
    return [_traits(pair), *([_OPPOSED] if a != b and pair[0].trait != pair[1].trait else [])]


_OPPOSED: Kind = ("opposed", "opposed")


def _wanted(counts: Mapping[Trait, int]) -> dict[Kind, float]:
    """How many pairs of each two traits: ALONE of a trait with itself, the others as the traits are frequent."""
    rest = {trait: counts[trait] - 2 * ALONE for trait in BIG_FIVE}
    chances = {(a, b): rest[a] * rest[b] for a, b in combinations(BIG_FIVE, 2)}
    scale = sum(rest.values()) / 2 / sum(chances.values())
    others: dict[Kind, float] = {kind: scale * n for kind, n in chances.items()}
    return {**{(t, t): float(ALONE) for t in BIG_FIVE}, **others, _OPPOSED: float(OPPOSED)}


def _turned(pairs: Sequence[Couple]) -> list[Couple]:
    """Let each trait and key stand first about as often as second."""
    first: Counter[tuple[Trait, int]] = Counter()
    out = []
    for a, b in pairs:
        if first[a.trait, a.keyed] > first[b.trait, b.keyed]:
            a, b = b, a
        first[a.trait, a.keyed] += 1
        first[b.trait, b.keyed] -= 1
        out.append((a, b))
    return out


def written() -> str:
    """The file's text, from the items and values that ship."""
    means = desirability()
    rows = [
        {"id": f"fc{number}", "first": a.id, "second": b.id, "apart": round(means[b.id] - means[a.id], 3)}
        for number, (a, b) in enumerate(_spread(matched(inventories.load(INVENTORY).items, means)), 1)
    ]
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    about = "pairs of statements of the IPIP-NEO-120; apart: second minus first in desirability.json"
    return f'{{\n "about": {json.dumps(about)},\n "inventory": {json.dumps(INVENTORY)},\n "pairs": [\n{lines}\n ]\n}}\n'


def _spread(pairs: Sequence[Couple]) -> list[Couple]:
    """Order the pairs so that the first so many are spread over the kinds of pairs."""
    turns: Counter[Kind] = Counter()
    ranked = []
    for place, pair in enumerate(pairs):
        ranked.append((turns[_traits(pair)], place, pair))
        turns[_traits(pair)] += 1
    return [pair for _, _, pair in sorted(ranked, key=lambda row: row[:2])]


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
