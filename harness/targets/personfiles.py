"""Tables of persons' answers to the IPIP-NEO: a row a person or a row an answer, read into one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traitbench import inventories
from traitbench.answers.keying import contradiction, keying
from traitbench.answers.reading import open_answers
from traitbench.answers.tablefiles import MISSING, Table, open_table
from traitbench.errors import BadData
from traitbench.statistics.moments import Moments
from traitbench.targets.papi import key, unkeyed

__all__ = ["answers_in"]

Array = NDArray[np.float64]

LONG, SHORT = "ipip_neo_300", "ipip_neo_120"
_ID = ("id", "person", "case")
"""Columns that name the person, the first of them that is there."""
_NEUTRAL = 3


def answers_in(path: Path, keyed: bool) -> tuple[list[str], Array, tuple[str, ...]]:
    """Read a table of answers: ids, raw answers (persons, 300) with NaN where there is none, and remarks.

    See `traitbench.targets.persons.from_csv` for what a table may look like and what is refused.
    """
    names = [item.id for item in key()]
    table = open_table(path, {*names, *map(str, range(1, 301)), "item", "answer", *_ID})
    columns = {name.casefold(): place for place, name in enumerate(table.names)}
    notes: tuple[str, ...] = ()
    if {"item", "answer"} <= columns.keys():
        ids, values, notes = _long(path, table, columns)
    else:
        ids, values, notes = _wide(path, table, columns)
    if keyed:
        values = unkeyed(values)
    _check_keying(path, values, keyed)
    return ids, values, notes


def _wide(path: Path, table: Table, columns: Mapping[str, int]) -> tuple[list[str], Array, tuple[str, ...]]:
    """Read a row a person: ids, answers (persons, 300) as they stand in the file, and remarks."""
    numbers = [_number(name) for name in columns]
    short = not any(120 < n <= 300 for n in numbers if n)
    inventory = inventories.load(SHORT if short else LONG, texts=False)
    found = next((columns[name] for name in _ID if name in columns), None)
    answers = open_answers(path, inventory, id=None if found is None else table.names[found])
    # As declared keyed, the reader turns nothing: keying is undone in one place, for every form of file.
    batches = [*answers.read(keyed=True)]
    if not batches:
        raise BadData(f"{path} has column names and no row; expected a row of answers a person")
    given = np.concatenate([np.asarray(batch.values, dtype=float) for batch in batches])
    rows = [int(row) for batch in batches for row in batch.rows]
    values = np.full((len(given), len(key())), np.nan)
    for item, column in zip(answers.items, given.T, strict=True):
        values[:, (item.number_300 or item.number) - 1] = column
        if (part := np.isfinite(column) & (column != np.rint(column))).any():
            raise BadData(
                f"{path}, row {rows[part.argmax()]} below the header, column of item {item.id!r}: "
                f"{column[part.argmax()]:g} is no whole number; expected 1 to 5, or an empty cell where missing"
            )
    if found is None:
        name = _stem(path)
        ids = [name] if len(given) == 1 else [f"{name}-{row}" for row in rows]
    else:
        ids = [id for batch in batches if batch.ids is not None for id in batch.ids.to_pylist()]
    _check_ids(path, ids, rows)
    read = f"read as the IPIP-NEO-{120 if short else 300}"
    return ids, values, tuple(f"{path.name}: {note}" for note in (read, *answers.notes, *answers.tally.notes()))


def _long(path: Path, table: Table, columns: Mapping[str, int]) -> tuple[list[str], Array, tuple[str, ...]]:
    """Read a row an answer: ids, answers (persons, 300) as they stand in the file, and remarks."""
    who = next((columns[name] for name in _ID if name in columns), None)
    wanted = [columns["item"], columns["answer"], *([who] if who is not None else [])]
    lines = _cells(table, wanted)
    numbers = [_number(line[0]) for line in lines]
    short = not any(120 < n <= 300 for n in numbers if n)
    place = {item.number: item.number_300 or item.number for item in inventories.load(SHORT if short else LONG).items}
    found: dict[str, Array] = {}
    named: dict[tuple[str, int], int] = {}
    for row, (line, number) in enumerate(zip(lines, numbers, strict=True), 1):
        where = f"{path}, row {row} below the header"
        if number is None or number not in place:
            raise BadData(f"{where}, column 'item': {line[0]!r} is no item; expected i1 to i300, or i1 to i120")
        id = line[2] if who is not None else _stem(path)
        if not id:
            raise BadData(f"{where}, column {table.names[wanted[2]]!r} is empty; expected the person's id")
        if (id, number) in named:
            first = named[id, number]
            raise BadData(f"{where}: person {id!r} answers item i{number} a second time, after row {first}; keep one")
        named[id, number] = row
        value = line[1]
        if value not in (*MISSING, "0", "1", "2", "3", "4", "5", "0.0", "1.0", "2.0", "3.0", "4.0", "5.0"):
            raise BadData(
                f"{where}, column 'answer': {value!r} is no answer; expected 1 to 5, or nothing where missing"
            )
        mine = found.setdefault(id, np.full(len(key()), np.nan))
        if value not in (*MISSING, "0", "0.0"):
            mine[place[number] - 1] = float(value)
    if not found:
        raise BadData(f"{path} has column names and no row; expected a row an answer: item,answer")
    read = f"read as the IPIP-NEO-{120 if short else 300}"
    return list(found), np.array(list(found.values())), (f"{path.name}: {read}, a row an answer",)


def _stem(path: Path) -> str:
    """Name of a file without its endings: me of me.csv.gz."""
    return path.name.partition(".")[0] or path.name


def _number(name: str) -> int | None:
    """Number of the item that a column or cell names: i7, I7 or 7."""
    text = name.strip().casefold().removeprefix("i")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _cells(table: Table, columns: Sequence[int]) -> list[list[str]]:
    """Read columns as trimmed texts, a list a row; nothing is an empty text."""
    batches = table.read((), columns)
    return [list(row) for batch in batches for row in zip(*(array.to_pylist() for array in batch), strict=True)]


def _check_ids(path: Path, ids: Sequence[str], numbers: Sequence[int]) -> None:
    rows: dict[str, int] = {}
    for row, id in zip(numbers, ids, strict=True):
        if not id:
            raise BadData(f"{path}, row {row} below the header has no id; expected one of its own for each person")
        if id in rows:
            raise BadData(f"{path}: rows {rows[id]} and {row} below the header both have the id {id!r}; keep one")
        rows[id] = row


def _check_keying(path: Path, raw: Array, keyed: bool) -> None:
    """Refuse answers whose correlations contradict the declared keying; fewer than ten persons cannot tell."""
    moments = Moments(len(key()), shift=_NEUTRAL)
    moments.add(unkeyed(raw))
    found = keying(moments.pairs(), key(), keyed)
    if found and found.verdict == "contradicts":
        raise BadData(f"{path}: {contradiction(found, keyed)}; correct --raw or --keyed")
