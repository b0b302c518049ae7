"""Tables on disk as batches of Arrow columns: delimited text, gzipped or not, and Parquet.

The kind of file is told by its content, not by its name; the separator by which one makes column names of the header.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from traitbench.errors import BadData

__all__ = ["MISSING", "DelimitedText", "Parquet", "is_number", "open_table"]

MISSING = ("", " ", "NA", "na", "NaN", "nan", "NAN")
"""What stands in a text cell without an answer."""

_BLOCK = 8 << 20
"""Bytes of a text file that are parsed at a time."""

_ROWS = 16_384
"""Rows of a Parquet file that are decoded at a time: 20 MB of float32 for 300 columns."""

_UNREADABLE = (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException)


def open_table(path: Path, expected: Collection[str]) -> DelimitedText | Parquet:
    """Tell the kind of file and read its column names; BadData for what is no table.

    The separator (comma, tab or semicolon) is the one that finds most of the `expected` column names (case folded),
    then the one that finds most columns.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no regular file")
        with path.open("rb") as handle:
            magic = handle.read(4)
        if magic == b"PAR1":
            return Parquet(path, tuple(name.strip() for name in parquet.read_schema(path).names))
        if magic[:2] in (b"PK", b"\xff\xfe", b"\xfe\xff"):
            kind = "a workbook or archive" if magic[:2] == b"PK" else "UTF-16 text"
            raise BadData(f"{path} is {kind}; expected CSV, TSV or Parquet: save it as CSV (UTF-8)")
        found = [DelimitedText.open(path, magic[:2] == b"\x1f\x8b", delimiter) for delimiter in ",\t;"]
    except _UNREADABLE as error:
        raise BadData(f"cannot read {path}: {error}; expected a table as CSV, TSV (also .gz) or Parquet") from None
    table = max(found, key=lambda t: (len(set(expected) & {name.casefold() for name in t.names}), len(t.names)))
    if not any(table.names):
        raise BadData(f"{path} is empty; expected a table whose first row holds the column names")
    return table


def is_number(text: str) -> bool:
    """Tell whether a cell's text is a number or stands for a missing one."""
    try:
        float(text)
    except ValueError:
        return text.strip() in MISSING
    return True


@dataclass(frozen=True)
class Parquet:
    """A Parquet file."""

    path: Path
    names: tuple[str, ...]

    def read(self, columns: Sequence[int]) -> Iterator[list[pa.Array]]:
        """Yield batches of rows, one array for each of `columns`."""
        try:
            with parquet.ParquetFile(self.path) as file:
                names = file.schema_arrow.names
                wanted = [names[i] for i in columns]
                for batch in file.iter_batches(_ROWS, columns=wanted):
                    yield [batch.column(name) for name in wanted]
        except (OSError, pa.ArrowException) as error:
            raise BadData(f"cannot read {self.path}: {error}; the file is damaged or cut short: make it anew") from None


@dataclass(frozen=True)
class DelimitedText:
    """A file of delimited text, its first row the column names."""

    path: Path
    names: tuple[str, ...]
    gzipped: bool
    delimiter: str
    header_lines: int

    @classmethod
    def open(cls, path: Path, gzipped: bool, delimiter: str) -> DelimitedText:
        """Read the header as it is with this delimiter."""
        with _opened(path, gzipped) as handle:
            reader = csv.reader(handle, delimiter=delimiter)
            names = tuple(name.strip() for name in next(reader, ()))
            return cls(path, names, gzipped, delimiter, reader.line_num)

    def read(self, columns: Sequence[int]) -> Iterator[list[pa.Array]]:
        """Yield batches of rows, one array of float64 for each of `columns`; BadData with the place of a fault."""
        names = [str(i) for i in range(len(self.names))]
        wanted = [names[i] for i in columns]
        try:
            with (
                pa.input_stream(str(self.path), compression="gzip" if self.gzipped else None) as stream,
                arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(column_names=names, skip_rows=self.header_lines, block_size=_BLOCK),
                    # A lone column's empty line is a missing answer. Quoted free text may hold line breaks.
                    arrow_csv.ParseOptions(
                        delimiter=self.delimiter, newlines_in_values=True, ignore_empty_lines=len(names) > 1
                    ),
                    arrow_csv.ConvertOptions(
                        include_columns=wanted,
                        column_types=dict.fromkeys(wanted, pa.float64()),
                        null_values=list(MISSING),
                        quoted_strings_can_be_null=True,
                    ),
                ) as reader,
            ):
                for batch in reader:
                    yield batch.columns
        except (OSError, pa.ArrowException) as error:
            if fault := self._fault(columns, str(error)):
                raise fault from None

    def _fault(self, columns: Sequence[int], found: str) -> BadData | None:
        """Find what pyarrow could not read, and its place; None for a header without rows."""
        good = set(MISSING)
        row = -1
        try:
            with _opened(self.path, self.gzipped) as handle:
                reader = csv.reader(handle, delimiter=self.delimiter)
                next(reader)
                for row, cells in enumerate(line for line in reader if line):
                    if len(cells) != len(self.names):
                        return BadData(
                            f"{self.path}, row {row + 1} below the header (line {reader.line_num}) has {len(cells)} "
                            f"cells, but the header has {len(self.names)}; write the table again with one cell a column"
                        )
                    for column in columns:
                        if cells[column] not in good:
                            if not is_number(cells[column]):
                                return BadData(
                                    f"{self.path}, row {row + 1} below the header, column {self.names[column]!r}: "
                                    f"{cells[column]!r} is no number; "
                                    "expected an answer, or for a missing one nothing, NA, NaN or 0; correct the cell"
                                )
                            good.add(cells[column])
        except _UNREADABLE as error:
            found = str(error)
        else:
            if row < 0:
                return None
        return BadData(f"cannot read {self.path} after row {row + 1}: {found}; the file is damaged or cut short")


def _opened(path: Path, gzipped: bool) -> TextIO:
    """Open delimited text; a byte that is no UTF-8 may stand in a column that is not read."""
    if gzipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")
