"""Tables of answers, a row a person and a column an item: CSV, TSV (also gzipped), Parquet or SPSS, read in batches.

What is in a table and is no answer is an error with its place, never a guess. Missing is an empty cell, NA, NaN or
another word of `MISSING`, 0 where it can be no answer, and the codes that the user names. Rows without anything in them
are no people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traitbench.answers.coding import Coding, Tally
from traitbench.answers.columns import id_place, known_names, labels, places
from traitbench.answers.tablefiles import MISSING, DelimitedText, Table, is_number, open_table
from traitbench.errors import BadData

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["Answers", "Batch", "open_answers"]


class Batch(NamedTuple):
    """Some rows of a table, one after the other."""

    values: NDArray[np.floating]
    """(rows, items), NaN where an answer is missing."""
    rows: NDArray[np.int64]
    """Number of each row below the header, from 1."""
    ids: pa.Array | None
    """Text of each row's id; None where the table has no column of ids."""


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
    """Names of the columns that are no item, and not the id."""
    notes: tuple[str, ...]
    """How the columns were read, where their names do not say it."""
    table: Table
    coding: Coding
    tally: Tally
    """What the latest pass came upon; whole once the pass has ended."""
    id_column: int | None = None

    @property
    def id(self) -> str | None:
        """Name of the column of ids."""
        return None if self.id_column is None else self.table.names[self.id_column]

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the items that have no column."""
        present = {item.id for item in self.items}
        return tuple(item.id for item in self.inventory.items if item.id not in present)

    def without(self, ids: Collection[str]) -> Answers:
        """Return the same table with the columns of these items left unread."""
        kept = [(i, c) for i, c in zip(self.items, self.columns, strict=True) if i.id not in ids]
        tally = Tally(self.path, self.coding)
        return replace(self, items=tuple(i for i, _ in kept), columns=tuple(c for _, c in kept), tally=tally)

    def batches(self, keyed: bool) -> Iterator[NDArray[np.floating]]:
        """Yield the values of `read`, without the rows' names."""
        return (batch.values for batch in self.read(keyed))

    def read(self, keyed: bool) -> Iterator[Batch]:
        """Yield the rows that hold anything, in the inventory's range and in keyed space.

        Minus-keyed items of a table that is not `keyed` are reversed: here, and nowhere after. float32 where all
        answers of a batch are whole numbers, else float64. BadData with row, column and value for what is no answer,
        and after the last row for a table that must be coded in another way. `tally` is made anew.
        """
        ends = self.inventory.response_scale.min + self.inventory.response_scale.max
        self.tally.reset()
        texts = _Blanks(self.table)
        start = 0
        for arrays in self.table.read(self.columns, () if self.id_column is None else (self.id_column,)):
            given = arrays[: len(self.columns)]
            found = self._numbers(given, start)
            whole = all(np.array_equal(c, np.rint(c), equal_nan=True) for c in found)
            values = np.empty((len(found), len(found[0])), dtype=np.float32 if whole else np.float64)
            for row, item, column in zip(values, self.items, found, strict=True):
                row[:] = column if keyed or item.keyed == 1 else ends - column
            kept = self._kept(values, given, texts, start)
            rows = np.arange(start + 1, start + 1 + values.shape[1])
            ids = None if self.id_column is None else arrays[-1]
            if kept is not None:
                values, rows = values[:, kept], rows[kept]
                ids = None if ids is None else ids.filter(pa.array(kept))
            if ids is not None:
                self.tally.ids.append(ids)
            start += len(given[0])
            if len(rows):
                yield Batch(values.T, rows, ids)
        if isinstance(self.table, DelimitedText):
            self.tally.blank += len(self.table.spaces)
        self.tally.check()

    def _numbers(self, arrays: Sequence[pa.Array], start: int) -> list[NDArray[np.float64]]:
        """Read the columns of a batch, each (rows,), NaN where an answer is missing; `start` rows came before it."""
        tally, coding = self.tally, self.coding
        read = [self._floats(array, column, start) for array, column in zip(arrays, self.columns, strict=True)]
        zero_row = np.zeros(len(read[0]), dtype=bool)
        found = []
        for values, place in zip(read, self.columns, strict=True):
            for code in coding.missing:
                hit = values == code
                tally.codes += (count := int(hit.sum()))
                if count and coding.low <= code <= coding.high:
                    tally.doubtful[code] += count
                values = np.where(hit, np.nan, values)
            if coding.zero_is_missing and (zero := values == 0).any():
                tally.zeros += int(zero.sum())
                zero_row |= zero
                values = np.where(zero, np.nan, values)
            if (outside := coding.outside(values)).any():
                row = int(outside.argmax())
                cure = coding.cure(np.concatenate(read))
                raise self._no_answer(start + row, place, f"{values[row]:g}", cure)
            tally.at_low = tally.at_low or bool((values == coding.low).any())
            tally.at_high = tally.at_high or bool((values == coding.high).any())
            tally.answers += int(np.count_nonzero(~np.isnan(values)))
            found.append(coding.mapped(values))
        tally.zero_rows += int(zero_row.sum())
        return found

    def _floats(self, array: pa.Array, column: int, start: int) -> NDArray[np.float64]:
        try:
            return np.asarray(pc.fill_null(_floats(array), np.nan).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            row, text = next((i, v) for i, v in enumerate(array.to_pylist()) if not _is_answer(v))
            raise self._no_answer(start + row, column, repr(text)) from None

    def _kept(
        self, values: NDArray[np.floating], given: Sequence[pa.Array], texts: _Blanks, start: int
    ) -> NDArray[np.bool_] | None:
        """Tell which rows hold anything, None for all; `values` are (items, rows). Counts them."""
        empty = np.isnan(values[0])
        for column in values[1:]:
            if not empty.any():
                break
            empty &= np.isnan(column)
        self.tally.rows += len(empty)
        if not empty.any():
            return None
        blank: NDArray[np.bool_] = empty.copy()
        for array in given:
            blank &= np.isnan(pc.fill_null(_floats(array), np.nan).to_numpy(zero_copy_only=False))
        if blank.any():
            blank &= texts.blank(start, len(blank))
        self.tally.rows -= int(blank.sum())
        self.tally.blank += int(blank.sum())
        self.tally.unanswered += int((empty & ~blank).sum())
        return ~blank

    def _no_answer(self, row: int, column: int, value: str, cure: str = "") -> BadData:
        coding = self.coding
        return BadData(
            f"{self.path}, row {row + 1} below the header, column {self.table.names[column]!r}: {value} is no "
            f"answer; expected {coding.low:g} to {coding.high:g} ({self.inventory.id}), or for a missing answer "
            "nothing, NA, NaN or 0; correct the cell, or empty it where the value stands for a missing answer"
            + (f"; {cure}" if cure else "")
        )


class _Blanks:
    """All cells of a table as text, read from the first row without an answer on: most tables have none."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.batches: Iterator[list[pa.Array]] | None = None
        self.end = 0
        self.held = np.empty(0, dtype=bool)

    def blank(self, start: int, count: int) -> NDArray[np.bool_]:
        """Tell which of `count` rows after the first `start` have nothing in them; forwards only."""
        if self.batches is None:
            self.batches = self.table.read((), range(len(self.table.names)))
        while self.end < start + count:
            arrays = next(self.batches)
            found = np.ones(len(arrays[0]), dtype=bool)
            for array in arrays:
                found &= pc.equal(array, "").to_numpy(zero_copy_only=False)
            self.end += len(found)
            held = np.concatenate([self.held, found])
            self.held = held[len(held) - max(self.end - start, 0) :]
        first = len(self.held) - (self.end - start)
        return self.held[first : first + count]


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
    number in the IPIP-NEO-300. The names of some public data sets are known. `columns` maps other names, column ->
    item id. Rows of labels below the names are passed over.

    `coding` is the lowest and highest answer as the table has them, mapped onto the inventory's range in equal steps;
    `missing` are codes of missing answers; `id` names the column with the persons' ids.
    BadData for what is no table, for a table without an item of the inventory, and for two columns of one item.
    """
    scale = inventory.response_scale
    how = Coding.of((scale.min, scale.max), coding, missing)
    ids = {id for item in inventory.items for id in (item.id.casefold(), str(item.number), f"i{item.number_300}")}
    known = (name.casefold() for named in (columns or {}, *known_names(inventory).values()) for name in named)
    table = open_table(path, ids.union(known))
    names, notes = labels(table.names, inventory, columns, path)
    found = places(path, table.names, names)
    if not found:
        shown = ", ".join(map(repr, table.names[:8])) + (", ..." if len(table.names) > 8 else "")
        raise BadData(
            f"{path} has no column of {inventory.id}, only {shown}; expected item ids ({inventory.items[0].id} to "
            f"{inventory.items[-1].id}) as the first row; rename the columns, give `traitbench analyze` a --columns "
            "MAP (JSON or CSV: column -> item id), or name another --inventory (see `traitbench ls tasks`)"
        )
    who = None if id is None else id_place(path, table.names, id, set(found.values()))
    items = tuple(item for item in inventory.items if item.id in found)
    places_of = tuple(found[item.id] for item in items)
    table, said = _below_labels(table, places_of)
    return Answers(
        path=path,
        inventory=inventory,
        items=items,
        columns=places_of,
        ignored=tuple(name for i, name in enumerate(table.names) if i not in {*places_of, who}),
        notes=(*notes, *said),
        table=table,
        coding=how,
        tally=Tally(path, how),
        id_column=who,
    )


def _below_labels(table: Table, columns: Sequence[int]) -> tuple[Table, tuple[str, ...]]:
    """Pass over what stands above and below the names of a text file and is no answer; also remarks on the file."""
    if not isinstance(table, DelimitedText):
        return table, ()
    notes = []
    if not table.encoding.startswith("utf-8"):
        notes.append(f"the file is no UTF-8: read as {table.encoding}; see that names and ids are right")
    if table.names_row > 1:
        notes.append(
            f"the column names are in row {table.names_row} of the file; what stands above them is passed over"
        )
    table, labels = table.below_labels(columns)
    if labels:
        some = ", ".join(repr(text if len(text) <= 40 else text[:39] + "…") for text in labels)
        rows = "a row" if len(labels) == 1 else f"{len(labels)} rows"
        notes.append(f"{rows} of labels between the column names and the answers passed over ({some})")
    return table, tuple(notes)


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
    """Tell whether a value of a typed column is a number or missing."""
    if isinstance(value, str):
        return is_number(value)
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))
