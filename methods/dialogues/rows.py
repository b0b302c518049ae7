"""The rows of a dialogue set, wherever it is: a file of JSON lines or of separated values, or a set of the hub.

A row comes with the words that say where it stands, for the error messages of whoever checks it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from traitbench.errors import BadData, MissingExtra
from traitbench.files import parsed, read_bytes, unzipped

__all__ = ["ENDINGS", "EXAMPLE", "Row", "file_rows", "hub_rows", "json_rows"]

Row = Mapping[str, Any]

ENDINGS = (".jsonl", ".csv", ".tsv")
"""Of the files that can be read; each also packed, with .gz behind it."""
EXAMPLE = '{"trait": "openness", "level": "high", "scene": "trip-1", "input": "...", "output": "..."}'
"""A line of JSON as it is expected."""


def file_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Read the rows of a file by its ending."""
    text, kind = _text(path), path.name.lower().removesuffix(".gz")
    if kind.endswith(".jsonl"):
        yield from json_rows(str(path), text.split("\n"))
        return
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter="\t" if kind.endswith(".tsv") else ",", strict=True
    )
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            # DictReader files surplus fields under None and fills absent ones with None.
            if None in row or None in row.values():
                raise BadData(
                    f"{place}: not as many fields as columns ({len(reader.fieldnames or ())}); quote texts that hold "
                    "the separator or a line break"
                )
            yield place, row
    except csv.Error as error:
        # Where reading stopped, which the outer reader does not count.
        place = f"{path}, line {reader.reader.line_num}"
        raise BadData(f"{place}: {error}; quote texts that hold the separator or a quote") from error


def _text(path: Path) -> str:
    """Read a file, packed or not."""
    try:
        data = read_bytes(path)
        return (unzipped(data) if path.suffix.lower() == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadData(f"cannot read {path}: {error}; expected a {', '.join(ENDINGS)} file in UTF-8") from error


def json_rows(name: str, lines: Iterable[str]) -> Iterator[tuple[str, Row]]:
    """Read JSON lines; blank ones are skipped."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            row = parsed(line)
        except ValueError as error:
            raise BadData(f"{place}: no JSON ({error}); expected a line such as {EXAMPLE}") from error
        if not isinstance(row, dict):
            raise BadData(f"{place}: a {type(row).__name__}, not an object; expected a line such as {EXAMPLE}")
        yield place, row


def hub_rows(name: str, revision: str | None) -> Iterator[tuple[str, Row]]:
    """Fetch a data set of the hub, or take it from the hub's cache; its train split, else its first."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{name} is on the hub and needs datasets: pip install 'traitbench[train]'") from error
    try:
        found = datasets.load_dataset(name, revision=revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise BadData(
            f"cannot load {name}{f' at revision {revision}' if revision else ''} from the Hugging Face hub: {error}; "
            "check name and connection, or give a file of yours or data=open"
        ) from error
    table = found["train"] if "train" in found else next(iter(found.values()))
    yield from ((f"{name}, row {number}", row) for number, row in enumerate(table, 1))
