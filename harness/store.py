"""Files that are whole or not there: written atomically, locked against a second writer, read with clear errors."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar

from traitbench.errors import BadData
from traitbench.files import parsed, read_bytes, unzipped
from traitbench.types import Record

__all__ = [
    "check_samples",
    "draft",
    "guarded",
    "locked",
    "read_json",
    "read_lines",
    "replacing",
    "samples_file",
    "sealed",
    "swept",
    "unsealed",
    "write_bytes",
    "write_json",
    "write_lines",
    "write_text",
]

R = TypeVar("R", bound=Record)


@contextmanager
def locked(folder: Path, otherwise: str) -> Iterator[None]:
    """Hold `folder`, which is made, for this process; BadData where another one holds it, ending in `otherwise`."""

    def take() -> IO[bytes]:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            handle = (folder / ".lock").open("ab")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                raise BadData(f"another run is writing to {folder}; wait until it ends, or {otherwise}") from None
            if os.fstat(handle.fileno()).st_nlink:
                return handle
            # A run that was refused took its folder away between the opening and the locking.
            handle.close()

    lock = guarded(take, folder)
    try:
        yield
    finally:
        lock.close()


def guarded(action: Any, path: Path) -> Any:
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


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; the same value gives the same bytes."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_bytes(path, text.encode())


_SEAL = re.compile(rb', ?"sum": ?"([0-9a-f]{16})"\}$')


def sealed(line: str) -> str:
    """A line that holds a JSON object, with the beginning of the sha256 of what stands before as `sum` at its end."""
    return f'{line[:-1]}, "sum": "{_sum(line[:-1].encode())}"}}'


def unsealed(line: bytes) -> tuple[bytes, bool | None]:
    """A line without its checksum, and whether that holds; None where it has none, as those of older versions."""
    found = _SEAL.search(line)
    if found is None:
        return line, None
    body = line[: found.start()]
    return body + b"}", _sum(body) == found[1].decode()


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def write_lines(path: Path, rows: Iterable[Record]) -> str:
    """Write a line a record, each with a checksum, atomically; gzipped, without a time stamp, if the name ends in .gz.

    Returns the sha256 of the lines, uncompressed.
    """
    data = "".join(f"{sealed(row.model_dump_json(exclude_none=True))}\n" for row in rows).encode()
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename: readers see the old file or the new one. A device or a pipe is written to."""
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)

    def go() -> None:
        if _is_device(path):
            path.write_bytes(data)
            return
        with replacing(path) as temporary:
            temporary.write_bytes(data)

    guarded(go, path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name for a new file, which takes the place of `path`, handed to the disk, when the block ends.

    Its folder is made and swept. OSError where the disk refuses it; `path` is as it was then.
    """
    if _is_device(path):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{swept(path)}file")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_device(path: Path) -> bool:
    """Whether something lies there that a file must not take the place of: a device, a pipe, a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` for what is not kept; if this process is killed, the next one removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=swept(path), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


_MINE = f"{hashlib.sha256(platform.node().encode()).hexdigest()[:6]}-{{pid}}-{secrets.token_hex(3)}"
"""What marks temporary files of this process: the machine, since a disk may be shared, and a word for a pid that an
earlier process had too."""
_LEFT = re.compile(rf"\..*\.tmp-{_MINE[:6]}-(\d+)-([0-9a-f]{{6}})-.*", re.S)


def swept(path: Path) -> str:
    """Remove what killed processes of this machine left beside `path`; how names of this one's temporaries begin."""
    with suppress(OSError):
        for left in path.parent.iterdir():
            if (found := _LEFT.fullmatch(left.name)) and not _running(int(found[1]), found[2]):
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)
    return f".{path.name}.tmp-{_MINE.format(pid=os.getpid())}-"


def _running(pid: int, word: str) -> bool:
    if pid == os.getpid():
        return _MINE.endswith(word)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def read_json(path: Path) -> Any:
    """Read a JSON file; BadData names file, line and column of what is wrong."""
    try:
        return parsed(_text(path))
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
    for number, raw in enumerate(_bytes(path).split(b"\n"), 1):
        line, holds = unsealed(raw)
        if not raw:
            continue  # behind the last line
        try:
            if holds is False:
                raise ValueError("its checksum is another: it was changed")
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
    data = _bytes(path)
    found = hashlib.sha256(data).hexdigest()
    if expected not in (None, found):
        wrong = next((n for n, line in enumerate(data.split(b"\n"), 1) if unsealed(line)[1] is False), None)
        how = f"line {wrong} was changed" if wrong else "it was changed or swapped"
        raise BadData(
            f"{path} is not the file that the results beside it were computed from (sha256 {found[:12]}, expected "
            f"{str(expected)[:12]}): {how}; copy it again, or repeat the `traitbench run` that made it: its responses "
            "are kept, so this takes seconds"
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
        data = read_bytes(path)
        return unzipped(data) if path.suffix == ".gz" else data
    except (OSError, EOFError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> BadData:
    return BadData(f"cannot read {path}: {error}; expected a file that `traitbench run` wrote")
