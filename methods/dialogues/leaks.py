"""How much of the inventories' wording stands in training texts.

A model that was trained on an item's words may answer the item from memory, and then its score says nothing about
control. So every text that is trained on is held against every item text that can be loaded: runs of `n` words that
both share, and whole items of three words or more (an item of two, such as "Am sad", is everyday language).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from traitbench import inventories
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.types import Record, digest

__all__ = ["Example", "Leaks", "audit", "read"]

_SHORTEST = 3
"""Words: the shortest item that counts as found whole, and the shortest run that is looked for."""
_EXAMPLES = 5


class Example(Record):
    """A place where an item's words were found."""

    text: int
    """Index of the training text, from 0."""
    item: str
    """Inventory and item, such as "ipip_neo_300/i88"."""
    words: str | None
    """The run of words as found; None for an inventory whose item texts may not be passed on."""


class Leaks(Record):
    """What an audit found."""

    n: int
    """Length of a run in words."""
    texts: int
    """Training texts that were read."""
    items: int
    """Item texts that were looked for, over all inventories; one that several inventories share counts once."""
    inventories: tuple[str, ...]
    """Those whose item texts could be loaded."""
    missing: tuple[str, ...] = ()
    """Those whose item texts are not on this machine: nothing is known about them."""
    shared: dict[str, float] = {}
    """Item -> share of its runs of `n` words that occur in some text; items of which none occurs are left out.

    An item is named as in `Example`: item ids alone recur, with other texts, in other inventories.
    """
    whole: tuple[str, ...] = ()
    """Text hashes of the items (of three words or more) that occur whole, word by word, in some text."""
    leaking: int = 0
    """Training texts with at least one run or whole item."""
    examples: tuple[Example, ...] = ()
    """The first texts with a whole item, then the first with a run; at most five."""

    @property
    def summary(self) -> dict[str, Any]:
        """What method.json says: the counts, the five items with the largest shares and the examples."""
        largest = sorted(self.shared.items(), key=lambda pair: (-pair[1], pair[0]))[:_EXAMPLES]
        return {
            "n": self.n, "texts": self.texts, "items": self.items, "inventories": list(self.inventories),
            "missing": list(self.missing), "items_shared": len(self.shared), "items_whole": len(self.whole),
            "texts_leaking": self.leaking, "largest": {item: round(share, 4) for item, share in largest},
            "examples": [each.model_dump() for each in self.examples],
        }  # fmt: skip


class _Text(Record):
    """An item text, in words, with everything that has it."""

    id: str
    """Inventory and item id of the first that has these words."""
    words: tuple[str, ...]
    hashes: tuple[str, ...]
    free: bool
    """Whether some inventory that may be passed on has it."""


def read() -> dict[str, str]:
    """Digest the item texts that an audit looks for: one that came later may stand in a text that was trained on."""
    items, _, missing = _items()
    return {"items looked for": digest([[[item.id, item.words, item.hashes] for item in items], missing])}


def audit(texts: Sequence[str], n: int = 5) -> Leaks:
    """Look for the item texts of every loadable inventory in `texts`, over runs of `n` words.

    Case, punctuation and the form of apostrophes do not count. Linear in the words of `texts`: 100,000 dialogues take
    a few seconds. TraitbenchUsage for `n` under three.
    """
    if n < _SHORTEST:
        raise TraitbenchUsage(f"n is {n}; expected {_SHORTEST} or more words, since shorter runs are everyday language")
    items, loaded, missing = _items()
    starts: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    wanted = {run for item in items for run in _runs(item.words, n)}
    wholes = {item.words: item for item in items if len(item.words) >= _SHORTEST}
    for run in sorted(wanted | set(wholes)):
        starts[run[:_SHORTEST]].append(run)
    found: dict[tuple[str, ...], int] = {}
    leaking = 0
    for index, text in enumerate(texts):
        hits = set(_hits(_words(text), starts))
        leaking += bool(hits)
        for run in hits:
            found.setdefault(run, index)
    shared = {}
    for item in items:
        runs = set(_runs(item.words, n))
        if share := len(runs & found.keys()) / max(len(runs), 1):
            shared[item.id] = share
    return Leaks(
        n=n, texts=len(texts), items=len(items), inventories=loaded, missing=missing, shared=shared,
        whole=tuple(sorted(h for words, item in wholes.items() if words in found for h in item.hashes)),
        leaking=leaking, examples=_examples(items, wholes, found, n),
    )  # fmt: skip


def _examples(
    items: Iterable[_Text], wholes: dict[tuple[str, ...], _Text], found: dict[tuple[str, ...], int], n: int
) -> tuple[Example, ...]:
    """Say of the worst hits where they are: whole items first, each run once, in the order of the texts."""
    owners = {run: item for item in items for run in _runs(item.words, n)} | wholes
    worst = sorted(found, key=lambda run: (run not in wholes, found[run], run))[:_EXAMPLES]
    return tuple(
        Example(text=found[run], item=owners[run].id, words=" ".join(run) if owners[run].free else None)
        for run in worst
    )


def _items() -> tuple[list[_Text], tuple[str, ...], tuple[str, ...]]:
    """Collect the distinct item texts; the names of the inventories that were loaded, and of those that were not."""
    held: dict[tuple[str, ...], _Text] = {}
    loaded, missing = [], []
    for name in inventories.names():
        try:
            inventory = inventories.load(name)
        except BadData:
            missing.append(name)
            continue
        loaded.append(name)
        for item in inventory.items:
            words = tuple(_words(item.text or ""))
            before = held.get(words)
            held[words] = _Text(
                id=before.id if before else f"{name}/{item.id}", words=words,
                hashes=tuple(dict.fromkeys([*(before.hashes if before else ()), item.text_hash])),
                free=not inventory.restricted or (before is not None and before.free),
            )  # fmt: skip
    return list(held.values()), tuple(loaded), tuple(missing)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)*", text.lower().replace("\u2019", "'"))


def _runs(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + n]) for start in range(len(words) - n + 1))


def _hits(words: list[str], starts: dict[tuple[str, ...], list[tuple[str, ...]]]) -> Iterator[tuple[str, ...]]:
    """Find the runs that `words` hold, looked up by their first three words."""
    for place, first in enumerate(zip(words, words[1:], words[2:], strict=False)):
        if first in starts:
            for run in starts[first]:
                if tuple(words[place : place + len(run)]) == run:
                    yield run
