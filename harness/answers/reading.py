"""Tables of answers, a row a person and a column an item: CSV or TSV (also gzipped) or Parquet, read in batches.

What is in a table and is no answer is an error with its place, never a guess. Missing is an empty cell, NA, NaN, and 0
unless the response scale has a 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traitbench.answers.tablefiles import MISSING, DelimitedText, Parquet, is_number, open_table
from traitbench.errors import BadData

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["Answers", "open_answers"]


@dataclass(frozen=True)
class Answers:
    """A table whose columns are matched with the items of an inventory; only its header is read yet."""

    path: Path
    inventory: Inventory
    items: tuple[Item, ...]
    """The items that have a column, in the order of the inventory."""
    columns: tuple[int, ...]
    """Place of each item's column in the table, from 0."""
    ignored: tuple[str, ...]
    """Names of the columns that are no item."""
    notes: tuple[str, ...]
    """How the columns were read, where their names do not say it."""
    table: DelimitedText | Parquet

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the items that have no column."""
        present = {item.id for item in self.items}
        return tuple(item.id for item in self.inventory.items if item.id not in present)

    def without(self, ids: Collection[str]) -> Answers:
        """Return the same table with the columns of these items left unread."""
        kept = [(i, c) for i, c in zip(self.items, self.columns, strict=True) if i.id not in ids]
        return replace(self, items=tuple(i for i, _ in kept), columns=tuple(c for _, c in kept))

    def batches(self, keyed: bool) -> Iterator[NDArray[np.floating]]:
        """Yield the rows in keyed space, (rows, items), NaN where an answer is missing.

        Minus-keyed items of a table that is not `keyed` are reversed: here, and nowhere after. float32 where all
        answers of a batch are whole numbers, else float64. BadData with row, column and value for what is no answer.
        """
        ends = self.inventory.response_scale.min + self.inventory.response_scale.max
        start = 0
        for arrays in self.table.read(self.columns):
            found = [self._numbers(array, column, start) for array, column in zip(arrays, self.columns, strict=True)]
            whole = all(np.array_equal(c, np.rint(c), equal_nan=True) for c in found)
            values = np.empty((len(found), len(found[0])), dtype=np.float32 if whole else np.float64)
            for row, item, column in zip(values, self.items, found, strict=True):
                row[:] = column if keyed or item.keyed == 1 else ends - column
            start += values.shape[1]
            yield values.T

    def _numbers(self, array: pa.Array, column: int, start: int) -> NDArray[np.float64]:
        """Read one column of a batch, (rows,), NaN where an answer is missing; `start` rows came before it."""
        scale = self.inventory.response_scale
        try:
            values = pc.fill_null(_floats(array), np.nan).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            row, text = next((i, v) for i, v in enumerate(array.to_pylist()) if not _is_answer(v))
            raise self._no_answer(start + row, column, repr(text)) from None
        if not scale.min <= 0 <= scale.max:
            values = np.where(values == 0, np.nan, values)
        outside = (values < scale.min) | (values > scale.max)
        if outside.any():
            row = int(outside.argmax())
            raise self._no_answer(start + row, column, f"{values[row]:g}")
        return np.asarray(values)

    def _no_answer(self, row: int, column: int, value: str) -> BadData:
        scale = self.inventory.response_scale
        return BadData(
            f"{self.path}, row {row + 1} below the header, column {self.table.names[column]!r}: {value} is no "
            f"answer; expected {scale.min} to {scale.max} ({self.inventory.id}), or for a missing answer nothing, NA, "
            "NaN or 0; correct the cell, or empty it where the value stands for a missing answer"
        )


def open_answers(
    path: Path,
    inventory: Inventory,
    *,
    coding: tuple[int, int] | None = None,
    missing: Sequence[float] = (),
    columns: Mapping[str, str] | None = None,
    id: str | None = None,
) -> Answers:
    """Open a table and match its columns with the items; the kind of file is told by its content, not by its name.

    A column is an item's whose id it has, in whatever case. Where ids are i1, i2, ... (IPIP-NEO) and no column has
    one, the plain number will do; in a table that goes beyond i120 an item of the IPIP-NEO-120 is the column of its
    number in the IPIP-NEO-300. BadData for what is no table, for a table without an item of the inventory, and for
    two columns of one item.
    """
    ids = {id for item in inventory.items for id in (item.id.casefold(), str(item.number), f"i{item.number_300}")}
    table = open_table(path, ids)
    labels, notes = _labels({name.casefold() for name in table.names}, inventory)
    places = _places(path, table.names, labels)
    if not places:
        shown = ", ".join(map(repr, table.names[:8])) + (", ..." if len(table.names) > 8 else "")
        raise BadData(
            f"{path} has no column of {inventory.id}, only {shown}; expected item ids ({inventory.items[0].id} to "
            f"{inventory.items[-1].id}) as the first row; rename the columns, or name another --inventory "
            "(see `traitbench ls tasks`)"
        )
    taken = set(places.values())
    return Answers(
        path=path,
        inventory=inventory,
        items=tuple(item for item in inventory.items if item.id in places),
        columns=tuple(places[item.id] for item in inventory.items if item.id in places),
        ignored=tuple(name for i, name in enumerate(table.names) if i not in taken),
        notes=notes,
        table=table,
    )


def _places(path: Path, names: Sequence[str], labels: Mapping[str, str]) -> dict[str, int]:
    """Item id -> place of its column: the one called exactly as in `labels`, else the one that differs in case only."""
    taken = set(labels.values())
    exact, folded = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for place, name in enumerate(names):
        exact[name].append(place)
        if name not in taken:
            folded[name.casefold()].append(place)
    places = {}
    for item, label in labels.items():
        found = exact.get(label) or folded.get(label.casefold(), [])
        if len(found) > 1:
            raise BadData(
                f"{path} has {len(found)} columns of item {item!r} (columns {found[0] + 1} and {found[1] + 1}); "
                "expected one: delete or rename the others, and see that the first row holds the column names"
            )
        if found:
            places[item] = found[0]
    return places


def _labels(names: Collection[str], inventory: Inventory) -> tuple[dict[str, str], tuple[str, ...]]:
    """Item id -> what its column is called in a table with columns `names`, and remarks on that."""
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


def _floats(array: pa.Array) -> pa.Array:
    """Cast a column to float64; ArrowInvalid where it holds what is no number."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        trimmed = pc.utf8_trim_whitespace(array)
        array = pc.if_else(pc.is_in(trimmed, pa.array(MISSING, kind)), pa.scalar(None, kind), trimmed)
    elif array.null_count == len(array):
        return pa.nulls(len(array), pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise pa.ArrowInvalid(f"a column of {kind}")
    return pc.cast(array, pa.float64(), safe=False)


def _is_answer(value: Any) -> bool:
    """Tell whether a value of a Parquet column is a number or missing."""
    if isinstance(value, str):
        return is_number(value)
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))
