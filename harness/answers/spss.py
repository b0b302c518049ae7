"""SPSS files (.sav, .zsav) as batches of Arrow columns, through pyreadstat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from traitbench.errors import BadData, MissingExtra

__all__ = ["Spss", "cell_text", "open_spss"]

_ROWS = 65_536
"""Rows that are decoded at a time."""


@dataclass(frozen=True)
class Spss:
    """An SPSS file; what it declares as missing is missing."""

    path: Path
    names: tuple[str, ...]

    def read(self, numbers: Sequence[int], texts: Sequence[int] = ()) -> Iterator[list[pa.Array]]:
        """Yield batches of rows, an array for each of `numbers`, then one of trimmed text for each of `texts`."""
        import pyreadstat

        wanted = [self.names[i] for i in dict.fromkeys((*numbers, *texts))]
        start, rows = 0, _ROWS
        while rows == _ROWS:
            try:
                found, about = pyreadstat.read_sav(
                    self.path, usecols=wanted, row_offset=start, row_limit=_ROWS, output_format="dict",
                    disable_datetime_conversion=True,
                )  # fmt: skip
            except pyreadstat.ReadstatError as error:
                raise BadData(
                    f"cannot read {self.path}: {error}; the file is damaged or cut short: save it anew, or as CSV"
                ) from None
            rows = about.number_rows
            start += rows
            if rows:
                yield [
                    *(pa.array(found[self.names[i]], from_pandas=True) for i in numbers),
                    *(pa.array(map(cell_text, found[self.names[i]]), pa.string()) for i in texts),
                ]


def open_spss(path: Path) -> Spss:
    """Read the column names; MissingExtra without pyreadstat."""
    try:
        import pyreadstat
    except ImportError as error:
        raise MissingExtra(f"{path} is an SPSS file and needs pyreadstat: pip install 'traitbench[tables]'") from error
    try:
        return Spss(path, tuple(pyreadstat.read_sav(path, metadataonly=True, output_format="dict")[1].column_names))
    except pyreadstat.ReadstatError as error:
        raise BadData(f"cannot read {path}: {error}; expected an SPSS file: save it anew, or as CSV") from None


def cell_text(value: object) -> str:
    """A cell of a table with types, as text: a whole number without a point, nothing as an empty text."""
    if value is None or value != value:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
