"""The persons of PAPI: their answers to the IPIP-NEO-300, which 120 of them a method may see, and trivial guesses.

The released answers are keyed already: minus-keyed items are reversed, and 0 is a missing answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench import data, inventories
from traitbench.answers.keying import contradiction, keying
from traitbench.errors import BadData
from traitbench.files import parsed, read_text
from traitbench.statistics.moments import Moments

__all__ = ["Persons", "guesses", "key", "load_persons", "split", "unkeyed"]

Array = NDArray[np.float64]
Columns = NDArray[np.intp]

_ANSWERS, _SPLIT = "Test-set.json", "mpi_300_split.json"
_REMEDY = "get the released files with `traitbench data get papi`, or name their folder with --papi DIR"


class Persons(NamedTuple):
    """The persons of PAPI in keyed space."""

    answers: Array
    """(persons, 300) in the order i1 to i300, 1 to 5, NaN where no answer was given."""
    known: Columns
    """Columns a method may see."""
    test: Columns
    """Columns it is tested on."""
    ids: tuple[str, ...] = ()
    """The persons' case numbers; their places, from 1, in a file without."""


def load_persons(folder: Path | None = None) -> Persons:
    """Read PAPI's answers and split from `folder`, or from the data set `papi`.

    BadData where a file is missing or damaged, a person answered no known item, or the answers are not keyed.
    """
    if folder is None:
        try:
            folder = data.path("papi")
        except BadData as error:
            raise BadData(f"{error}; --papi DIR names a folder that holds it") from None
    known, test = _split(folder)
    answers, ids = _answers(folder)
    if (silent := np.isnan(answers[:, known]).all(axis=1)).any():
        raise BadData(
            f"{folder / _ANSWERS}: person {int(silent.argmax()) + 1} answered none of the known items; expected at "
            "least one; leave such persons out of the file"
        )
    moments = Moments(len(key()), shift=3)
    moments.add(answers)
    found = keying(moments.pairs(), key(), keyed=True)
    if found and found.verdict == "contradicts":
        raise BadData(
            f"{folder / _ANSWERS} is not in keyed space; expected the released answers, whose minus-keyed items are "
            f"reversed already: {contradiction(found, keyed=True)}"
        )
    return Persons(answers, known, test, ids)


def unkeyed(values: Array) -> Array:
    """Turn (persons, 300) keyed values into raw agreement, or back: minus-keyed items become 6 - value."""
    minus = np.array([item.keyed == -1 for item in key()])
    return np.where(minus, 6.0 - values, values)


def split() -> tuple[tuple[inventories.Item, ...], tuple[inventories.Item, ...]]:
    """Split our IPIP-NEO-300 by the items' texts: the 120 that the IPIP-NEO-120 holds, and the other 180.

    PAPI's own split is the same; this one needs no data.
    """
    short = {item.text_hash for item in inventories.load("ipip_neo_120", texts=False).items}
    known = tuple(item for item in key() if item.text_hash in short)
    return known, tuple(item for item in key() if item.text_hash not in short)


def guesses(answers: Array, known: Sequence[inventories.Item], items: Sequence[inventories.Item]) -> dict[str, Array]:
    """Predict `items` without a model, in keyed space: name -> (persons, items).

    `answers` (persons, known items) are what is known of the persons, keyed, NaN where missing. `constant k` is k for
    every item; the means are each person's own, unrounded: of all that is known, of the item's trait, of its facet.
    Where a person answered nothing of a facet or trait, the next wider mean stands in; NaN for a person who answered
    nothing.
    """
    shape = (len(answers), len(items))
    wide = _means(answers, ["all"] * len(known), ["all"] * len(items), np.full(shape, np.nan))
    trait = _means(answers, [i.trait for i in known], [i.trait for i in items], wide)
    facet = _means(answers, [i.facet or i.trait for i in known], [i.facet or i.trait for i in items], trait)
    constants = {f"constant {k}": np.full(shape, float(k)) for k in range(1, 6)}
    return {**constants, "overall mean": wide, "trait mean": trait, "facet mean": facet}


def _means(answers: Array, groups: list[str], wanted: list[str], otherwise: Array) -> Array:
    """Each person's mean answer by group, spread over the columns `wanted` of the group; `otherwise` where none."""
    found, held, columns = otherwise.copy(), np.array(groups), np.array(wanted)
    for group in dict.fromkeys(wanted):
        seen = answers[:, held == group]
        count = (~np.isnan(seen)).sum(axis=1)
        mean = np.nansum(seen, axis=1) / np.maximum(count, 1)
        mine = columns == group
        found[:, mine] = np.where((count > 0)[:, None], mean[:, None], found[:, mine])
    return found


def _answers(folder: Path) -> tuple[Array, tuple[str, ...]]:
    rows, place = _json(folder, _ANSWERS), folder / _ANSWERS
    if not isinstance(rows, list) or not rows:
        raise BadData(f"{place} holds no persons; expected a list of objects with i1 to i300; {_REMEDY}")
    names = [item.id for item in key()]
    found = np.zeros((len(rows), len(names)))
    for index, row in enumerate(rows):
        who = f"{place}: person {index + 1}"
        if not isinstance(row, dict):
            raise BadData(f"{who} is {row!r:.40}; expected an object with i1 to i300; {_REMEDY}")
        for column, name in enumerate(names):
            value = row.get(name)
            if type(value) is not int or not 0 <= value <= 5:
                raise BadData(f"{who}: {name} is {value!r}; expected a whole number 1 to 5, or 0 for missing")
            found[index, column] = value
    ids = tuple(str(row.get("case", index)) for index, row in enumerate(rows, 1))
    if twice := [id for index, id in enumerate(ids) if id in ids[:index]]:
        raise BadData(f"{place} holds two persons of case {twice[0]!r}; expected one of each; {_REMEDY}")
    return np.where(found == 0, np.nan, found), ids


def _split(folder: Path) -> tuple[Columns, Columns]:
    """Read the known and the test columns; the file counts items from 1."""
    raw, place = _json(folder, _SPLIT), folder / _SPLIT
    parts = []
    for name in ("train_index", "test_index"):
        numbers = raw.get(name) if isinstance(raw, dict) else None
        if not isinstance(numbers, list) or not numbers:
            raise BadData(f"{place} has no {name}; expected a list of item numbers 1 to {len(key())}; {_REMEDY}")
        for value in numbers:
            if type(value) is not int or not 1 <= value <= len(key()):
                raise BadData(f"{place}: {name} holds {value!r}; expected item numbers 1 to {len(key())}")
        parts.append(np.array(numbers, dtype=np.intp) - 1)
    known, test = parts
    if len(set(known) | set(test)) < len(known) + len(test):
        raise BadData(f"{place} names an item twice; expected each in one of train_index and test_index; {_REMEDY}")
    return known, test


def _json(folder: Path, name: str) -> Any:
    place = folder / name
    if not place.is_file():
        raise BadData(f"{folder} has no {name}; expected {_ANSWERS} and {_SPLIT} there; {_REMEDY}")
    try:
        return parsed(read_text(place))
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"cannot read {place}: {error}; {_REMEDY}") from None
    except json.JSONDecodeError as error:
        raise BadData(f"{place}:{error.lineno}: not valid JSON: {error.msg}; {_REMEDY}") from None


@cache
def key() -> tuple[inventories.Item, ...]:
    """List the 300 items in the order of the columns: PAPI's item numbers are those of our inventory."""
    return inventories.load("ipip_neo_300", texts=False).items
