"""The folder of a run: append-only responses while it runs, atomic files when it ends.

A run killed at any moment resumes from responses.jsonl. Only its last line can be incomplete, and it is asked again;
damage anywhere else is an error that names file and line.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO, StringIO
from pathlib import Path
from threading import Lock
from typing import IO, Any, TypeVar

from pydantic import ValidationError

from traitbench.errors import BadData
from traitbench.types import Record, Response

__all__ = [
    "RunFolder",
    "check_samples",
    "contents",
    "locked",
    "read_json",
    "read_lines",
    "samples_file",
    "write_json",
    "write_lines",
    "write_text",
]

R = TypeVar("R", bound=Record)


class RunFolder:
    """One run's folder, locked against a second run."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made until `open`."""
        self.path = path
        self._one = Lock()

    @contextmanager
    def open(self, fresh: bool = False) -> Iterator[dict[str, Response]]:
        """Make and lock the folder, and yield the responses it already holds, by key.

        `fresh` sets an earlier responses.jsonl aside under another name instead of resuming from it. BadData where
        the folder cannot be written or another run holds it.
        """
        with locked(self.path, "give this one its own folder with --output_path"):
            journal = self.path / "responses.jsonl"
            if fresh and journal.exists():
                journal.rename(_unused(journal))
            held = _read_journal(journal)
            # Unbuffered: a buffer that a full disk refused would be written again, and fail again, at close.
            self._journal: FileIO = _guard(lambda: journal.open("ab", buffering=0), journal)
            try:
                yield held
            finally:
                self._journal.close()

    def append(self, responses: Mapping[str, Response]) -> None:
        """Keep `responses` (key -> response): one write a batch, handed to the disk before it returns.

        A judge may keep its own while the model is asked.
        """
        lines = [
            json.dumps({"key": key, **response.model_dump(mode="json", exclude_defaults=True)}, ensure_ascii=False)
            for key, response in responses.items()
        ]
        if lines:
            with self._one:
                _guard(lambda: self._append("".join(f"{line}\n" for line in lines).encode()), self.path)

    def _append(self, data: bytes) -> None:
        while data:
            data = data[self._journal.write(data) :]
        os.fsync(self._journal.fileno())


@contextmanager
def locked(folder: Path, otherwise: str) -> Iterator[None]:
    """Hold `folder`, which is made, for this process; BadData where another one holds it, ending in `otherwise`."""

    def take() -> IO[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise BadData(f"another run is writing to {folder}; wait until it ends, or {otherwise}") from None
        return handle

    lock = _guard(take, folder)
    try:
        yield
    finally:
        lock.close()


def contents(settings: Mapping[str, Any]) -> dict[str, str]:
    """Digest the files that settings name: a file of the same name with other contents is another setting."""
    found = {}
    for name, value in settings.items():
        place = Path(value).expanduser() if isinstance(value, str) and value else None
        if place is not None and place.exists():
            total = hashlib.sha256()
            for part in sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else [place]:
                total.update(part.name.encode() + hashlib.sha256(part.read_bytes()).digest())
            found[name] = total.hexdigest()[:16]
    return found


def _guard(action: Any, path: Path) -> Any:
    """Run `action`, turning what a disk can do wrong into a message that says what to type next."""
    try:
        return action()
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space and run the same command again, it resumes",
            errno.EDQUOT: "the disk quota is used up; free some space and run the same command again, it resumes",
            errno.EROFS: "the file system is read-only; choose another folder with --output_path",
            errno.EACCES: "no permission to write there; choose another folder with --output_path",
            errno.EPERM: "no permission to write there; choose another folder with --output_path",
            errno.ENOTDIR: "part of the path is a file; choose another folder with --output_path",
            errno.EEXIST: "a file of that name is in the way; choose another folder with --output_path",
        }
        reason = reasons.get(error.errno or 0, f"{error.strerror}; choose another folder with --output_path")
        raise BadData(f"cannot write to {error.filename or path}: {reason}") from None


def _unused(path: Path) -> Path:
    """Return a name beside `path` that is free: responses.1.jsonl, responses.2.jsonl, ..."""
    number = 1
    while (aside := path.with_suffix(f".{number}.jsonl")).exists():
        number += 1
    return aside


def _read_journal(path: Path) -> dict[str, Response]:
    """Read the kept responses, cutting an incomplete last line off the file.

    The first of a key counts; failed calls are left out, so that they are made again.
    """
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    held: dict[str, Response] = {}
    lines = data[:whole].splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            key, response = row.pop("key"), Response.model_validate(row)
            if response.status != "error":
                held.setdefault(key, response)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            if number == len(lines) and whole == len(data):
                whole -= len(line) + 1
                break
            raise _damaged(path, number, error) from None
    if whole < len(data):
        _guard(lambda: os.truncate(path, whole), path)
    return held


def _damaged(path: Path, number: int, error: Exception) -> BadData:
    detail = str(error).splitlines()[0] if not isinstance(error, ValidationError) else "not a record of this version"
    return BadData(
        f"{path}, line {number} is damaged ({detail}); expected one JSON object a line; restore the file, or start "
        "again with --no_resume, which sets it aside"
    )


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; the same value gives the same bytes."""
    _write(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    _write(path, text.encode())


def write_lines(path: Path, rows: Iterable[Record]) -> str:
    """Write a line a record, atomically; gzipped, without a time stamp, where the name ends in .gz.

    Returns the sha256 of the lines, uncompressed.
    """
    data = "".join(f"{row.model_dump_json(exclude_none=True)}\n" for row in rows).encode()
    _write(path, data)
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename: readers see the old file or the new one."""
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")

    def go() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    _guard(go, path)


def read_json(path: Path) -> Any:
    """Read a JSON file; BadData names file, line and column of what is wrong."""
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise BadData(
            f"{path}, line {error.lineno}, column {error.colno}: {error.msg}; the file is damaged or cut short"
        ) from None


def read_lines(path: Path, kind: type[R]) -> list[R]:
    """Read a file of one record a line, such as samples, gzipped or not.

    BadData names the line that is damaged. A finished run writes its samples at once, so a cut line means that the
    copy is incomplete, and scoring the rest would change the numbers.
    """
    rows = []
    for number, line in enumerate(StringIO(_text(path)), 1):  # splitlines would also part a reply at U+2028
        try:
            rows.append(kind.model_validate_json(line))
        except ValueError as error:
            detail = str(error).splitlines()[0]
            raise BadData(
                f"{path}, line {number} is damaged ({detail}); expected one {kind.__name__.lower()} a line; copy the "
                "file again, or repeat the `traitbench run` that made it: its responses are kept, so this takes seconds"
            ) from None
    return rows


def samples_file(folder: Path, task: str, stamp: str) -> Path:
    """Find the samples of `task` that belong to the results of `stamp`; BadData where they are missing."""
    for name in (f"samples_{task}_{stamp}.jsonl", f"samples_{task}_{stamp}.jsonl.gz"):
        if (folder / name).is_file():
            return folder / name
    raise BadData(f"{folder} lacks samples_{task}_{stamp}.jsonl(.gz), from which the scores are computed")


def check_samples(path: Path, expected: str | None) -> str:
    """Digest the lines of a samples file (sha256, uncompressed); BadData where it is not `expected` (None: any is)."""
    found = hashlib.sha256(_bytes(path)).hexdigest()
    if expected not in (None, found):
        raise BadData(
            f"{path} is not the file that the results beside it were computed from (sha256 {found[:12]}, expected "
            f"{str(expected)[:12]}): it was changed or swapped; copy it again, or repeat the `traitbench run` that "
            "made it: its responses are kept, so this takes seconds"
        )
    return found


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from None


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> BadData:
    return BadData(f"cannot read {path}: {error}; expected a file that `traitbench run` wrote")
