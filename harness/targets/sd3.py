"""Persons by their answers to the Short Dark Triad (SD3): which half a method may see, and who is drawn.

The public answers (openpsychometrics.org) are as people gave them; they do not ship. What is read here is raw.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traitbench import data, inventories
from traitbench.answers.carelessness import longstring
from traitbench.answers.keying import contradiction, keying
from traitbench.answers.reading import open_answers
from traitbench.errors import BadData
from traitbench.statistics.moments import Moments

__all__ = ["DRAWN", "SD3", "attentive", "drawn", "halved", "key", "read", "split", "table"]

Array = NDArray[np.float64]

SD3 = "sd3"
"""The instrument, and the word after `person:`."""
DRAWN = 200
"""Persons of `person:sd3`, as many as PAPI has."""
LONGEST = 9
"""Longest run of one answer, in the file's order, of a person who is drawn: a whole scale of nine items."""
KNOWN = (
    "sd3_M3", "sd3_M4", "sd3_M5", "sd3_M6", "sd3_M7",
    "sd3_N1", "sd3_N4", "sd3_N6", "sd3_N7",
    "sd3_P2", "sd3_P4", "sd3_P6", "sd3_P8", "sd3_P9",
)  # fmt: skip
"""Items that a method may see: drawn with `halved`, kept here so that no later change of Python changes the test."""
_ANSWERS = "openpsych_sd3.tsv.gz"
_ID = ("id", "person", "case")


@cache
def key() -> tuple[inventories.Item, ...]:
    """List the 27 items, without their texts."""
    return inventories.load(SD3, texts=False).items


def split() -> tuple[tuple[inventories.Item, ...], tuple[inventories.Item, ...]]:
    """The 14 items that a method may see, and the 13 that are the test."""
    known = tuple(item for item in key() if item.id in KNOWN)
    return known, tuple(item for item in key() if item.id not in KNOWN)


def halved(seed: int = 0) -> tuple[str, ...]:
    """Draw half of the items of each scale and key: ids in the instrument's order.

    Where a scale has an odd number of items of a key, the odd one is seen and tested by turns.
    """
    draw, found, turn = random.Random(f"{SD3} halves {seed}"), set[str](), 0
    for group in dict.fromkeys((item.scale, item.keyed) for item in key()):
        mine = [item.id for item in key() if (item.scale, item.keyed) == group]
        draw.shuffle(mine)
        half = len(mine) // 2
        if len(mine) % 2:
            half, turn = half + (turn % 2 == 0), turn + 1
        found |= set(mine[:half])
    return tuple(item.id for item in key() if item.id in found)


def table() -> Path:
    """Find the public answers; BadData where no data folder has them."""
    return data.answers(_ANSWERS)


def read(path: Path, keyed: bool = False) -> tuple[list[str], Array, tuple[str, ...]]:
    """Read a table with a row a person: ids, raw answers (persons, 27) with NaN where there is none, and remarks.

    A column is an item's whose id it has (sd3_M1, or M1 as in the public file); 0 is a missing answer. A column id,
    person or case names the person, else r and the number of the row below the header do. BadData for what is no
    answer, and where the answers of ten persons or more contradict `keyed`.
    """
    inventory = inventories.load(SD3, texts=False)
    opened = open_answers(path, inventory, missing=(0,))
    named = next((name for name in opened.ignored if name.casefold() in _ID), None)
    if named is not None:
        opened = open_answers(path, inventory, missing=(0,), id=named)
    # As declared keyed, the reader turns nothing: keying is undone below, as for every other table of persons.
    batches = [*opened.read(keyed=True)]
    if not batches:
        raise BadData(f"{path} has column names and no row; expected a row of answers a person")
    values = np.full((sum(len(batch.values) for batch in batches), len(key())), np.nan)
    places = [place for place, item in enumerate(key()) if item in opened.items]
    values[:, places] = np.concatenate([batch.values for batch in batches])
    rows = [int(row) for batch in batches for row in batch.rows]
    if (part := np.isfinite(values) & (values != np.rint(values))).any():
        row, column = (int(found[0]) for found in np.nonzero(part))
        raise BadData(
            f"{path}, row {rows[row]} below the header, column of item {key()[column].id!r}: {values[row, column]:g} "
            "is no whole number; expected 1 to 5, or an empty cell where missing"
        )
    ids = [f"r{row}" for row in rows]
    if named is not None:
        ids = [str(id) for batch in batches if batch.ids is not None for id in batch.ids.to_pylist()]
    if twice := [id for id, count in Counter(ids).items() if count > 1 or not id]:
        raise BadData(f"{path}: {twice[0]!r} in column {named!r} names no one person; expected an id of each one's own")
    if keyed:
        values = np.where([item.keyed == -1 for item in key()], 6 - values, values)
    _check_keying(path, values, keyed)
    notes = (f"read as the {inventory.name}", *opened.notes, *opened.tally.notes())
    return ids, values, tuple(f"{path.name}: {note}" for note in notes)


def attentive(raw: Array) -> NDArray[np.bool_]:
    """Tell whose answers (persons, 27) are complete and hold no run of one answer longer than a scale: (persons,)."""
    return np.asarray(np.isfinite(raw).all(axis=1) & (longstring(raw) <= LONGEST))


def drawn(raw: Array, count: int) -> list[int]:
    """Draw `count` of the attentive persons, as rows of `raw`; BadData where there are fewer.

    The order is seeded and the same in every run: the first 20 are among the first 50.
    """
    able = [int(row) for row in np.flatnonzero(attentive(raw))]
    if count > len(able):
        raise BadData(f"person:{SD3}:{count}: only {len(able)} persons are complete and attentive; ask for fewer")
    random.Random(f"{SD3} persons").shuffle(able)
    return able[:count]


def _check_keying(path: Path, raw: Array, keyed: bool) -> None:
    minus = np.array([item.keyed == -1 for item in key()])
    moments = Moments(len(key()), shift=3)
    moments.add(np.where(minus, 6 - raw, raw))
    found = keying(moments.pairs(), key(), keyed)
    if found and found.verdict == "contradicts":
        raise BadData(f"{path}: {contradiction(found, keyed)}; correct --raw or --keyed")
