"""Sheets for human raters: a table and a form of replies without anything that says where they come from; read back.

The form is one file that works from the disk, without a network. A person gets what a judge gets: the question, the
reply, one dimension and its anchored scale.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from traitbench.errors import BadData
from traitbench.files import read_bytes
from traitbench.judges.asking import rubrics
from traitbench.judges.grading import HIGHEST, LOWEST
from traitbench.store import write_text
from traitbench.types import Record, Trait, digest

__all__ = ["CANNOT_TELL", "Entry", "Rated", "read_sheet", "write_sheet"]

CANNOT_TELL = "x"
_SEPARATORS = (",", ";", "\t")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


class Entry(Record):
    """A reply to rate."""

    id: str
    """Says nothing of where the reply comes from."""
    dimension: Trait
    question: str
    reply: str


class Rated(Record):
    """What one person said."""

    rater: str
    ratings: dict[str, int | None]
    """Id -> 0 to 5; null where the person cannot tell."""
    blank: int = 0
    """Replies of the sheet that the person left out."""


def write_sheet(entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Write sheet.csv, form.html and rubric.txt; the same entries give the same bytes. BadData for none."""
    if not entries:
        raise BadData("there are no replies to rate")
    made = {"sheet.csv": _table(entries), "form.html": _form(entries), "rubric.txt": _rubric(entries)}
    for name, text in made.items():
        write_text(folder / name, text)
    return [folder / name for name in made]


def _table(entries: Sequence[Entry]) -> str:
    """With a byte-order mark, without which Excel does not read UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "rating", "dimension", "question", "reply"])
    for one in entries:
        writer.writerow([one.id, "", one.dimension, _plain(one.question), _plain(one.reply)])
    return "\ufeff" + out.getvalue()


def _plain(text: str) -> str:
    """A text that no spreadsheet computes."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _form(entries: Sequence[Entry]) -> str:
    held = rubrics()
    told = {
        "sheet": digest([entry.model_dump() for entry in entries]),
        "rules": held.rules,
        "cannot_tell": held.cannot_tell,
        "rubrics": {
            rubric.trait: {
                "high": rubric.high, "low": rubric.low,
                "anchors": [[str(n), rubric.anchors[str(n)]] for n in range(LOWEST, HIGHEST + 1)],
            }
            for rubric in held.rubrics
        },
        "entries": [entry.model_dump() for entry in entries],
    }  # fmt: skip
    page = files("traitbench.judges").joinpath("form.html").read_text(encoding="utf-8")
    # No text can end the element that holds it, or begin a comment in it.
    data = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return page.replace("{{DATA}}", data)


def _rubric(entries: Sequence[Entry]) -> str:
    held = rubrics()
    asked = dict.fromkeys(entry.dimension for entry in entries)
    lines = [
        f"Write a number from {LOWEST} to {HIGHEST} into the column rating of sheet.csv, or {CANNOT_TELL} where you "
        "cannot tell; rate the dimension that the line names.",
        "",
        *(f"- {rule}" for rule in held.rules),
        f"- {CANNOT_TELL}: {held.cannot_tell}",
    ]
    for rubric in held.rubrics:
        if rubric.trait in asked:
            lines += ["", rubric.trait.upper(), f"High: {rubric.high}.", f"Low: {rubric.low}."]
            lines += [f"{n}: {rubric.anchors[str(n)]}" for n in range(LOWEST, HIGHEST + 1)]
    return "\n".join(lines) + "\n"


def read_sheet(path: Path, ids: Collection[str]) -> list[Rated]:
    """Read a filled sheet, or what the form saved: one person, or several told apart by a column `rater`.

    Commas, semicolons and tabs separate, whatever a spreadsheet made of the file. A person without a name is called
    after the file. BadData, with the line, for an id that is none of `ids`, for a rating that is none, and for two
    ratings of one reply by one person.
    """
    found: dict[str, dict[str, int | None]] = {}
    seen: dict[tuple[str, str], int] = {}
    blank: dict[str, int] = {}
    for line, row in _rows(path):
        id, given = (row.get("id") or "").strip(), (row.get("rating") or "").strip()
        rater = (row.get("rater") or "").strip() or path.stem
        if not id and not given:
            continue
        if id not in ids:
            raise BadData(f"{path}, line {line}: no reply has the id {id!r}; expected one of the sheet of this run")
        if (rater, id) in seen:
            raise BadData(f"{path}, line {line}: {id} stands on line {seen[rater, id]} already; keep one of them")
        seen[rater, id] = line
        ratings = found.setdefault(rater, {})
        if not given:
            blank[rater] = blank.get(rater, 0) + 1
        elif given.lower() in (CANNOT_TELL, "cannot tell"):
            ratings[id] = None
        elif given in map(str, range(LOWEST, HIGHEST + 1)):
            ratings[id] = int(given)
        else:
            raise BadData(
                f"{path}, line {line}: the rating {given!r} of {id}; expected a whole number from {LOWEST} to "
                f"{HIGHEST}, {CANNOT_TELL} for cannot tell, or nothing"
            )
    made = [Rated(rater=name, ratings=ratings, blank=blank.get(name, 0)) for name, ratings in found.items()]
    if not any(one.ratings for one in made):
        raise BadData(f"{path} holds no rating; expected numbers from {LOWEST} to {HIGHEST} in the column rating")
    return [one for one in made if one.ratings]


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Lines of the file with their numbers."""
    text = _decoded(path)
    lines = text.splitlines()
    head = lines[0] if lines else ""
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        head_row, *rows = [(reader.line_num, row) for row in reader] or [(0, [])]
    except csv.Error as error:
        raise BadData(
            f"{path}, line {reader.line_num}: {error}; expected CSV with every quote closed, as the form saves it"
        ) from None
    names = [name.strip().lower() for name in head_row[1]]
    for needed in ("id", "rating"):
        if names.count(needed) != 1:
            raise BadData(f"{path} has no column {needed}; expected the columns id and rating, as sheet.csv has them")
    for line, row in rows:
        yield line, dict(zip(names, row, strict=False))


def _decoded(path: Path) -> str:
    """UTF-8 with or without a byte-order mark, UTF-16 with one, else what Excel writes on Windows."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror}; give the file that a person filled in") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
