"""Data that does not ship: where it comes from, where it is looked for, and how its item texts are read.

Everything is looked up in the folders of TRAITBENCH_DATA first, then in the cache that `traitbench data get` fills.
Sources are pinned by commit and by sha256, so a fetched file is the expected one or an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from traitbench.errors import BadData, unknown
from traitbench.files import read_bytes, user_path
from traitbench.store import draft
from traitbench.types import Record

__all__ = ["SOURCES", "Found", "Row", "Source", "SourceFile", "answers", "find", "get", "list_rows", "path", "texts"]

_HOST = "https://raw.githubusercontent.com"
_TIMEOUT = 60
"""Seconds without a byte before a download is given up."""


class SourceFile(Record):
    """One file of a data set."""

    file: str
    """Its path in the repository."""
    sha256: str
    save: str
    """Its path in the data set's folder."""


class Source(Record):
    """A data set and the commit it is pinned to."""

    name: str
    about: str
    licence: str
    restricted: bool = False
    """The licence must be accepted before it is fetched."""
    repository: str
    commit: str
    files: tuple[SourceFile, ...]
    codes: dict[str, str] = {}
    """Code in its codebook -> item id, where an id is not the name of the data set with the code."""


class Row(Record):
    """A line of `traitbench data ls`."""

    name: str
    about: str
    licence: str
    restricted: bool
    files: int
    found: Path | None
    """Where it was found; None: not here yet."""


class Found(Record):
    """Item texts and the file that held them."""

    path: Path
    texts: dict[str, str]
    """Item id -> text, and where the file is in the instrument's order the item's number -> text."""


SOURCES: dict[str, Source] = {
    row["name"]: Source.model_validate(row)
    for row in json.loads(Path(__file__).with_name("sources.json").read_text("utf-8"))
}
"""What `traitbench data get` can fetch, by name."""


def find(name: str) -> Path | None:
    """Look for a data set or restricted instrument: its file or its folder, None where it is nowhere.

    In each folder of TRAITBENCH_DATA: `inventories/<name>.json`, `<name>.json`, `data/<name>/`, `<name>/`; then the
    cache, where only a complete set counts.
    """
    name = _plain(name)
    for folder in _folders():
        for own in (folder / "inventories" / f"{name}.json", folder / f"{name}.json"):
            if own.is_file():
                return own
        for own in (folder / "data" / name, folder / name):
            if own.is_dir() and any(own.iterdir()):
                return own
    kept = _cache() / name
    source = SOURCES.get(name)
    return kept if source and all((kept / file.save).is_file() for file in source.files) else None


def path(name: str) -> Path:
    """Return where `name` is; BadData with the command that gets it, UnknownName where nothing has that name."""
    found = find(name)
    if found is not None:
        return found
    source = _source(name)
    looked = ", ".join(map(str, [*_folders(), _cache()]))
    raise BadData(
        f"{source.name} is not on this machine (looked in {looked}); get it with `{_command(source)}`, or put your "
        f"own copy in a folder named by TRAITBENCH_DATA"
    )


def answers(file: str) -> Path:
    """Find a table of people's public answers, in `data/human/` or directly in a folder of TRAITBENCH_DATA.

    Such tables are never fetched; BadData where none of the folders has it.
    """
    places = [folder / part / file for folder in _folders() for part in ("data/human", "human", ".")]
    if found := next((place for place in places if place.is_file()), None):
        return found
    looked = ", ".join(map(str, _folders())) or "TRAITBENCH_DATA names no folder"
    raise BadData(
        f"{file} is not on this machine (looked in {looked}); put the public answers there as data/human/{file} and "
        "set TRAITBENCH_DATA, or name a table of your own"
    )


def list_rows() -> list[Row]:
    """Say of every known data set what it is and where it is: the lines of `traitbench data ls`."""
    return [
        Row(
            name=source.name, about=source.about, licence=source.licence, restricted=source.restricted,
            files=len(source.files), found=find(source.name),
        )
        for source in SOURCES.values()
    ]  # fmt: skip


def get(name: str, accept_licence: bool = False, base_url: str | None = None) -> Path:
    """Fetch a data set into the cache and return its folder; nothing is fetched that is already there and right.

    `base_url` replaces https://raw.githubusercontent.com, for a mirror that has the same layout. BadData for a
    restricted set whose licence was not accepted, for a failed download and for a file with another sha256; then
    nothing is kept.
    """
    source = _source(name)
    if source.restricted and not accept_licence:
        raise BadData(
            f"{source.name} is restricted: {source.licence} ({source.repository}); if you accept that, type "
            f"`{_command(source)}`"
        )
    target = _cache() / source.name
    if _whole(source, target):
        return target
    try:
        with draft(target) as made:
            fetched = made / "new"
            for file in source.files:
                _download(source, file, fetched / file.save, (base_url or _HOST).rstrip("/"))
            if target.exists():
                target.rename(made / "old")
            fetched.rename(target)
    except OSError as error:
        # Another process may have put the same set there in between.
        if not _whole(source, target):
            raise BadData(
                f"cannot write {target}: {error}; set TRAITBENCH_CACHE to a folder that you may write in"
            ) from error
    return target


def texts(name: str) -> Found:
    """Read the item texts of a restricted instrument from wherever it is; BadData where it is not or has no texts."""
    place = path(name)
    name = _plain(name)
    file = place
    if place.is_dir():
        expected = [SourceFile(file="", sha256="", save=f"{name}.json"), *getattr(SOURCES.get(name), "files", ())]
        files = [place / entry.save for entry in expected if (place / entry.save).is_file()]
        if not files:
            raise BadData(f"{place} holds none of {', '.join(entry.save for entry in expected)}")
        file = files[0]
    content = _decoded(read_bytes(file, 64 << 20))
    found = _codebook(content, name) if file.suffix == ".txt" else _json_texts(content, file)
    if not found:
        raise BadData(f"{file} holds no item texts of {name}; {_remedy(name)}")
    return Found(path=file, texts=found)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _source(name: str) -> Source:
    if _plain(name) not in SOURCES:
        raise unknown("data set", name, SOURCES, "(`traitbench data ls` lists them)")
    return SOURCES[_plain(name)]


def _command(source: Source) -> str:
    return f"traitbench data get {source.name}" + (" --accept_licence" if source.restricted else "")


def _remedy(name: str) -> str:
    return f"get a copy with `{_command(SOURCES[name])}`" if name in SOURCES else "check the file"


def _folders() -> list[Path]:
    given = os.environ.get("TRAITBENCH_DATA", "").split(os.pathsep)
    return [user_path(folder) for folder in given if folder]


def _cache() -> Path:
    return user_path(os.environ.get("TRAITBENCH_CACHE") or "~/.cache/traitbench") / "data"


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _whole(source: Source, folder: Path) -> bool:
    return all(_sum(folder / file.save) == file.sha256 for file in source.files)


def _download(source: Source, file: SourceFile, target: Path, base: str) -> None:
    """Fetch one file to `target` and check its sum."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import quote
    from urllib.request import urlopen

    url = f"{base}/{source.repository}/{source.commit}/{quote(file.file)}"
    if not url.startswith(("http://", "https://")):
        raise BadData(f"base_url {base!r} is no address; expected http:// or https://")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urlopen(url, timeout=_TIMEOUT) as answer, target.open("wb") as out:
            shutil.copyfileobj(answer, out)
            out.flush()
            os.fsync(out.fileno())
    except (OSError, HTTPException) as error:
        # urllib's errors are OSErrors; a connection cut in mid-answer is an HTTPException.
        if isinstance(error, HTTPError):
            error.close()
        raise BadData(
            f"could not download {url}: {error}; try again with a connection, or put "
            f"{PurePosixPath(file.save).name} in <folder>/{source.name}/ and set TRAITBENCH_DATA=<folder>"
        ) from error
    if (got := _sum(target)) != file.sha256:
        raise BadData(
            f"{url} has sha256 {got}; expected {file.sha256}. It was not kept: the source or the connection is not "
            f"what {source.name} is pinned to"
        )


def _decoded(content: bytes) -> str:
    """Decode UTF-8 or, for openpsychometrics' older files, Windows Latin-1 with its typographic quotes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _tidy(text: str) -> str:
    """Plain quotes and single spaces, so that one wording is one prompt whatever file it came from."""
    return " ".join(text.translate(str.maketrans("‘’“”", "''\"\"")).split())


def _codebook(content: str, name: str) -> dict[str, str]:
    """Read an openpsychometrics codebook: lines of code, tab, sentence. One sentence of the SD3 lacks its full stop."""
    rows: Iterable[tuple[str, str]] = re.findall(r"^([A-Z]+\d+)[ ]*\t(.+)$", content.replace("\r", ""), re.MULTILINE)
    found = {code: _tidy(text) for code, text in rows}
    found = {code: text if text.endswith((".", "!", "?")) else f"{text}." for code, text in found.items()}
    source = SOURCES.get(name)
    ids = source.codes if source and source.codes else {code: f"{name}_{code}" for code in found}
    return {item: found[code] for code, item in ids.items() if code in found}


def _json_texts(content: str, file: Path) -> dict[str, str]:
    """Read `{"items": [{"id", "number", "text"}]}` or a plain list of `{"input"}` in the instrument's order."""
    try:
        raw: Any = json.loads(content)
    except json.JSONDecodeError as error:
        raise BadData(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    rows = raw.get("items", []) if isinstance(raw, dict) else raw
    found = {}
    for number, row in enumerate(rows if isinstance(rows, list) else [], 1):
        text = row.get("text") or row.get("input") if isinstance(row, dict) else row
        if isinstance(text, str):
            given = row if isinstance(row, dict) else {}
            found[str(given.get("number") or number)] = _tidy(text)
            if given.get("id"):
                found[str(given["id"])] = _tidy(text)
    return found
