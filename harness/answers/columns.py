"""Which column of a table is which item: by the item's id, by the user's map, or by the names of a known data set."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from traitbench.errors import BadData, TraitbenchUsage, unknown
from traitbench.files import parsed, read_text

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["id_place", "known_names", "labels", "load_map", "places"]

_HEADER = {"column", "columns", "name", "variable"}
"""What the first cell of a map's header may be."""


def load_map(path: Path) -> dict[str, str]:
    """Read column -> item id from JSON (an object) or CSV (two columns, a header or none); BadData for neither."""
    expected = 'expected JSON, {"E1": "ipip50_1"}, or CSV with a row "E1,ipip50_1" a column'
    try:
        text = read_text(path)
        if text.lstrip().startswith(("{", "[")):
            pairs = parsed(text, object_pairs_hook=list)
            rows = [list(pair) if isinstance(pair, tuple) else [pair] for pair in pairs]
        else:
            rows = [row for row in csv.reader(text.splitlines()) if any(row)]
            if rows and rows[0][0].strip().casefold() in _HEADER:
                rows = rows[1:]
    except (OSError, ValueError, csv.Error) as error:
        raise BadData(f"cannot read --columns {path}: {error}; {expected}") from None
    if not rows:
        raise BadData(f"--columns {path} is empty; {expected}")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not all(isinstance(cell, str) and cell.strip() for cell in row):
            raise BadData(f"--columns {path}, entry {number}: {row} is no column and item id; {expected}")
        column, item = (cell.strip() for cell in row)
        if column in found:
            raise BadData(f"--columns {path} names the column {column!r} twice; keep one")
        found[column] = item
    return found


def known_names(inventory: Inventory) -> dict[str, dict[str, str]]:
    """Data set -> column -> item id, for public tables whose columns are not named by item id."""
    return _shipped().get(inventory.id, {})


@cache
def _shipped() -> dict[str, dict[str, dict[str, str]]]:
    text = files("traitbench.answers").joinpath("columns.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, dict[str, str]]] = json.loads(text)
    return found


def labels(
    names: Sequence[str], inventory: Inventory, own: Mapping[str, str] | None, path: Path
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Item id -> what its column is called in a table with columns `names`, and remarks on that.

    `own` is the user's map, column -> item id; the items that it does not name keep their names. BadData and
    UnknownName for a map with a column that the table lacks, an item that the inventory lacks, or an item twice.
    """
    folded = {name.casefold() for name in names}
    found, notes = _by_id(folded, inventory)
    if own is not None:
        return found | _checked(own, names, inventory, path), notes
    if not folded & {label.casefold() for label in found.values()}:
        for source, columns in known_names(inventory).items():
            if {column.casefold() for column in columns} <= folded:
                first, *_, last = columns
                note = f"the columns {first} to {last} are read as those of {source}: {first} is {columns[first]}"
                return {item: column for column, item in columns.items()}, (note,)
    return found, notes


def _checked(own: Mapping[str, str], names: Sequence[str], inventory: Inventory, path: Path) -> dict[str, str]:
    held = {name.casefold() for name in names}
    found: dict[str, str] = {}
    for column, item in own.items():
        if item not in {each.id for each in inventory.items}:
            raise unknown(f"item of {inventory.id}", item, (each.id for each in inventory.items), "(--columns)")
        if column.casefold() not in held:
            raise unknown(f"column of {path}", column, names, "(--columns)")
        if item in found:
            raise BadData(f"--columns gives the item {item!r} two columns, {found[item]!r} and {column!r}; keep one")
        found[item] = column
    return found


def places(path: Path, names: Sequence[str], labels: Mapping[str, str]) -> dict[str, int]:
    """Item id -> place of its column: the one called exactly as in `labels`, else the one that differs in case only."""
    taken = set(labels.values())
    exact, folded = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for place, name in enumerate(names):
        exact[name].append(place)
        if name not in taken:
            folded[name.casefold()].append(place)
    found = {}
    for item, label in labels.items():
        columns = exact.get(label) or folded.get(label.casefold(), [])
        if len(columns) > 1:
            raise BadData(
                f"{path} has {len(columns)} columns of item {item!r} (columns {columns[0] + 1} and {columns[1] + 1}); "
                "expected one: delete or rename the others, and see that the first row holds the column names"
            )
        if columns:
            found[item] = columns[0]
    return found


def id_place(path: Path, names: Sequence[str], id: str, items: Collection[int]) -> int:
    """Place of the column of ids; UnknownName where there is none, TraitbenchUsage for one of `items` or for two."""
    found = [i for i, name in enumerate(names) if name == id] or [
        i for i, name in enumerate(names) if name.casefold() == id.casefold()
    ]
    if not found:
        raise unknown(f"column of {path}", id, names, "(--id)")
    if len(found) > 1 or found[0] in items:
        why = "the answers to an item" if found[0] in items else f"the name of {len(found)} columns"
        raise TraitbenchUsage(f"--id {id} is {why}; name the one column that holds the persons' ids")
    return found[0]


def _by_id(names: Collection[str], inventory: Inventory) -> tuple[dict[str, str], tuple[str, ...]]:
    """Item id -> its column's name by the inventory's own ids, and remarks on that; `names` are case folded."""
    items, held = inventory.items, set(names)
    if any(item.id != f"i{item.number}" for item in items):
        return {item.id: item.id for item in items}, ()
    letter = "i" if any(item.id in held for item in items) else ""
    long = {item.id: item.number_300 for item in items if item.number_300}
    if len(long) == len(items) and any(f"{letter}{n}" in held for n in long.values() if n > len(items)):
        return {id: f"{letter}{n}" for id, n in long.items()}, (
            f"the columns go beyond {letter}{len(items)}: read as numbers of the IPIP-NEO-300; "
            "an item is named here by its number in the short form",
        )
    notes: tuple[str, ...] = ()
    if len(items) == 300 and held & {f"{letter}{n}" for n in range(1, 301)} == {f"{letter}{n}" for n in range(1, 121)}:
        notes = ("the columns are those of an IPIP-NEO-120: if it is one, give --inventory ipip_neo_120",)
    return {item.id: f"{letter}{item.number}" for item in items}, notes
