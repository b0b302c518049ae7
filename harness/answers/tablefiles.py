"""Tables on disk as batches of Arrow columns: delimited text, gzipped or not, Parquet, and SPSS.

The kind of file is told by its content, not by its name; the separator by which one makes column names of the header.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from traitbench.answers.spss import Spss, cell_text, open_spss
from traitbench.errors import BadData
from traitbench.files import RATIO, SMALL

__all__ = ["MISSING", "DelimitedText", "Parquet", "Table", "is_number", "open_table"]

MISSING = ("", " ", "NA", "na", "NaN", "nan", "NAN", ".", "#N/A", "N/A", "n/a", "NULL", "null", "None")
"""What stands in a text cell without an answer: R, SPSS and SAS, spreadsheets, databases, Python."""
_SPACED = [before + word + after for word in MISSING for before in ("", " ") for after in ("", " ")]
"""The same with a space beside it: pyarrow compares before it trims."""
_BLOCK = 8 << 20
"""Bytes of a text file that are parsed at a time."""

_ROWS = 16_384
"""Rows of a Parquet file that are decoded at a time: 20 MB of float32 for 300 columns."""

_LABELS = 3
"""Rows of names, labels or question texts that may stand above the answers."""

_ENCODINGS = ("utf-8-sig", "cp1252")
"""Tried in turn on a whole text file; cp1252 is what spreadsheets of Western Windows write."""

_UNREADABLE = (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException)


def open_table(path: Path, expected: Collection[str]) -> Table:
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
        if magic in (b"$FL2", b"$FL3"):
            return open_spss(path)
        if magic[:2] in (b"PK", b"\xff\xfe", b"\xfe\xff"):
            kind = "a workbook or archive" if magic[:2] == b"PK" else "UTF-16 text"
            raise BadData(f"{path} is {kind}; expected CSV, TSV, Parquet or SPSS: save it as CSV (UTF-8)")
        gzipped, names = magic[:2] == b"\x1f\x8b", set(expected)
        encoding = _encoding(path, gzipped)
        found = [DelimitedText.open(path, gzipped, delimiter, names, encoding) for delimiter in ",\t;"]
    except _UNREADABLE as error:
        raise BadData(
            f"cannot read {path}: {error}; expected a table as CSV, TSV (also .gz), Parquet or SPSS (.sav)"
        ) from None
    table = max(found, key=lambda t: (_matches(t.names, names), len(t.names)))
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

    def read(self, numbers: Sequence[int], texts: Sequence[int] = ()) -> Iterator[list[pa.Array]]:
        """Yield batches of rows, an array for each of `numbers`, then one of trimmed text for each of `texts`."""
        try:
            with parquet.ParquetFile(self.path) as file:
                names = file.schema_arrow.names
                wanted = list(dict.fromkeys(names[i] for i in (*numbers, *texts)))
                for batch in file.iter_batches(_ROWS, columns=wanted):
                    held = dict(zip(batch.schema.names, batch.columns, strict=True))
                    yield [
                        *(held[names[i]] for i in numbers),
                        *(pa.array(map(cell_text, held[names[i]].to_pylist()), pa.string()) for i in texts),
                    ]
        except (OSError, pa.ArrowException) as error:
            raise BadData(f"cannot read {self.path}: {error}; the file is damaged or cut short: make it anew") from None


@dataclass(frozen=True)
class DelimitedText:
    """A file of delimited text, one of its first rows the column names."""

    path: Path
    names: tuple[str, ...]
    gzipped: bool
    delimiter: str
    header_lines: int
    """Lines above the first row of answers."""
    names_row: int = 1
    """Which row the names stand in, from 1: question texts may stand above them."""
    encoding: str = "utf-8-sig"
    spaces: list[str] = field(default_factory=list, compare=False)
    """Lines of spaces and separators alone, of another number of cells, that the latest `read` of numbers left out."""

    @classmethod
    def open(cls, path: Path, gzipped: bool, delimiter: str, expected: Collection[str], encoding: str) -> DelimitedText:
        """Read the header as it is with this delimiter: the first row, unless one soon below it has more names."""
        rows = _first_rows(path, gzipped, delimiter, _LABELS, encoding) or [((), 0)]
        # A row of answers to items called 1, 2, ... would look like names.
        words = {name for name in expected if not name.isdigit()}
        found = [_matches(names, words) for names, _ in rows]
        place = max(range(len(rows)), key=lambda i: (found[i] > 1 and found[i], -i))
        return cls(path, rows[place][0], gzipped, delimiter, rows[place][1], place + 1, encoding)

    def below_labels(self, columns: Sequence[int]) -> tuple[DelimitedText, list[str]]:
        """Pass over rows of labels between the names and the answers; also the first text of each.

        Such a row has text and no number in `columns`, two or more, and a row with a number follows soon.
        """
        labels: list[str] = []
        end = self.header_lines
        rows = _first_rows(self.path, self.gzipped, self.delimiter, self.names_row + 3 * _LABELS, self.encoding)
        for cells, line in rows if len(columns) > 1 else ():
            held = [cells[i] for i in columns if i < len(cells) and cells[i] not in MISSING]
            if line <= self.header_lines or not held:
                continue
            if any(is_number(cell.replace(",", ".", 1)) for cell in held):
                return replace(self, header_lines=end), labels
            labels.append(held[0])
            end = line
            if len(labels) > _LABELS:
                break
        return self, []

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows that are read below the header, each with the line it ends in."""
        with _opened(self.path, self.gzipped, self.encoding) as handle:
            reader = csv.reader(handle, delimiter=self.delimiter)
            for cells in reader:
                whole = len(cells) == len(self.names) or any(map(str.strip, cells))
                if whole and reader.line_num > self.header_lines:
                    yield reader.line_num, cells

    def read(self, numbers: Sequence[int], texts: Sequence[int] = ()) -> Iterator[list[pa.Array]]:
        """Yield batches of rows, an array of float64 for each of `numbers`, then of trimmed text for each of `texts`.

        BadData with the place of a fault.
        """
        names = [str(i) for i in range(len(self.names))]
        spaces = self.spaces if numbers else []
        spaces.clear()
        utf8 = self.encoding == _ENCODINGS[0]
        kinds = {names[i]: pa.binary() for i in texts} | {names[i]: pa.float64() for i in numbers}
        try:
            with (
                pa.input_stream(str(self.path), compression="gzip" if self.gzipped else None) as raw,
                # A row that is no row comes back as UTF-8, whatever it was.
                raw if utf8 else pa.transcoding_input_stream(raw, self.encoding, "utf-8") as stream,
                arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(column_names=names, skip_rows=self.header_lines, block_size=_BLOCK),
                    # Quoted free text may hold line breaks.
                    arrow_csv.ParseOptions(
                        delimiter=self.delimiter,
                        newlines_in_values=True,
                        invalid_row_handler=lambda row: self._without(row.text, spaces),
                    ),
                    arrow_csv.ConvertOptions(
                        include_columns=list(kinds),
                        column_types=kinds,
                        null_values=_SPACED,
                        quoted_strings_can_be_null=True,
                    ),
                ) as reader,
            ):
                for batch in reader:
                    yield [
                        *(batch.column(names[i]) for i in numbers),
                        *(pc.utf8_trim_whitespace(pc.cast(batch.column(names[i]), pa.string())) for i in texts),
                    ]
        except (OSError, pa.ArrowException) as error:
            if fault := self._fault(numbers, str(error)):
                raise fault from None

    def _without(self, line: str, spaces: list[str]) -> str:
        """Tell pyarrow what to do with a row of the wrong number of cells: one of nothing is added to `spaces`."""
        if line.strip(f" \t{self.delimiter}"):
            return "error"
        spaces.append(line)
        return "skip"

    def _fault(self, columns: Sequence[int], found: str) -> BadData | None:
        """Find what pyarrow could not read, and its place; None for a header without rows."""
        good = set(_SPACED)
        row = 0
        try:
            for row, (line, cells) in enumerate(self.rows(), 1):
                if len(cells) != len(self.names):
                    return BadData(
                        f"{self.path}, row {row} below the header (line {line}) has {len(cells)} cells, but the header "
                        f"has {len(self.names)}; write the table again with one cell a column"
                    )
                for column in columns:
                    if cells[column] not in good:
                        if cells[column].strip() in MISSING or not is_number(cells[column]):
                            return self._no_number(row, column, cells[column])
                        good.add(cells[column])
        except _UNREADABLE as error:
            found = str(error)
        else:
            if not row:
                return None
        return BadData(f"cannot read {self.path} after row {row}: {found}; the file is damaged or cut short")

    def _no_number(self, row: int, column: int, cell: str) -> BadData:
        expected = "expected an answer, or for a missing one nothing, NA, NaN or 0; correct the cell"
        if "," in cell and is_number(cell.replace(",", ".", 1)):
            expected = "expected a decimal point, not a comma: save the table so (in R write.csv, not write.csv2)"
        where = f"{self.path}, row {row} below the header, column {self.names[column]!r}"
        return BadData(f"{where}: {cell!r} is no number; {expected}")


Table = DelimitedText | Parquet | Spss
"""A table of any kind that is read."""


def _matches(names: Collection[str], expected: Collection[str]) -> int:
    return len({name.casefold() for name in names} & set(expected))


def _first_rows(
    path: Path, gzipped: bool, delimiter: str, count: int, encoding: str
) -> list[tuple[tuple[str, ...], int]]:
    """The first rows, trimmed, and the line that each ends in; empty ones only where the file begins with them."""
    found: list[tuple[tuple[str, ...], int]] = []
    with _opened(path, gzipped, encoding) as handle:
        reader = csv.reader(handle, delimiter=delimiter)
        try:
            for cells in islice(reader, count):
                if cells or not found:
                    found.append((tuple(cell.strip() for cell in cells), reader.line_num))
        except _UNREADABLE:
            # A fault below the names is told with its place when the answers are read.
            if not found:
                raise
    return found


def _encoding(path: Path, gzipped: bool) -> str:
    """Tell how a text file is encoded, by all of its bytes; Latin-1 has every byte, so no two names become one."""
    for encoding in _ENCODINGS:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with gzip.open(path, "rb") if gzipped else path.open("rb") as handle:
                most, seen = max(SMALL, RATIO * path.stat().st_size), 0
                while block := handle.read(_BLOCK):
                    decoder.decode(block)
                    if gzipped and (seen := seen + len(block)) > most:
                        raise BadData(f"{path} is more than {RATIO} times as large unpacked, as no table of answers is")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        except _UNREADABLE:
            # A cut file is told with the place of the cut when the answers are read.
            return encoding
        return encoding
    return "latin-1"


def _opened(path: Path, gzipped: bool, encoding: str) -> TextIO:
    """Open delimited text; the encoding fits all bytes up to a cut."""
    if gzipped:
        return gzip.open(path, "rt", encoding=encoding, errors="replace", newline="")
    return path.open(encoding=encoding, errors="replace", newline="")
