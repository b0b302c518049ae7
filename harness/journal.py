"""The folder of a run while it runs: append-only responses.

A run killed at any moment resumes from responses.jsonl, each line of which has a checksum. What a line lost, or what
was changed in it, is asked again: the line is set aside, the others count. Only the last one can be incomplete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from threading import Lock

from traitbench.errors import BadData
from traitbench.files import read_bytes
from traitbench.store import guarded, locked, sealed, unsealed, write_bytes
from traitbench.types import Response

__all__ = ["RunFolder", "damaged", "fault"]

_BEGUN = frozenset({".lock", "run.json", "responses.jsonl"})
"""What there is of a run of which nothing is answered yet."""


class RunFolder:
    """One run's folder, locked against a second run."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made until `open`."""
        self.path = path
        self.damaged: list[int] = []
        """Lines of responses.jsonl that `open` set aside, counted from 1."""
        self._one = Lock()

    @property
    def told(self) -> str:
        """What is to be said of damaged lines."""
        first, many = self.damaged[0], len(self.damaged)
        which = f"line {first}" if many == 1 else f"{many} lines, the first of them {first},"
        return (
            f"{self.path / 'responses.jsonl'}: {which} {'was' if many == 1 else 'were'} damaged and stand"
            f"{'s' if many == 1 else ''} in responses.damaged.jsonl now; what {'it' if many == 1 else 'they'} held is "
            "asked again, the other answers count"
        )

    @contextmanager
    def open(self, fresh: bool = False) -> Iterator[dict[str, Response]]:
        """Make and lock the folder, and yield the responses it already holds, by key.

        `fresh` sets an earlier responses.jsonl aside under another name instead of resuming from it. Damaged lines go
        to responses.damaged.jsonl (`damaged`). BadData where the folder cannot be written or another run holds it. What
        ends in an error before anything is kept leaves no folder that it made.
        """
        made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        with locked(self.path, "give this one its own folder with --output_path"):
            journal = self.path / "responses.jsonl"
            if fresh and journal.exists():
                journal.rename(_unused(journal))
            held, self.damaged = _read_journal(journal)
            # Unbuffered: a buffer that a full disk refused would be written again, and fail again, at close.
            self._journal: FileIO = guarded(lambda: journal.open("ab", buffering=0), journal)
            try:
                yield held
            except BaseException:
                _withdraw(made, journal)
                raise
            finally:
                self._journal.close()

    def append(self, responses: Mapping[str, Response]) -> None:
        """Keep `responses` (key -> response): one write a batch, handed to the disk before it returns.

        A judge may keep its own while the model is asked. BadData, and nothing is kept, where a number in one of them
        is not finite.
        """
        lines = [_sealed(key, response) for key, response in responses.items()]
        if lines:
            with self._one:
                guarded(lambda: self._append("".join(f"{line}\n" for line in lines).encode()), self.path)

    def _append(self, data: bytes) -> None:
        while data:
            data = data[self._journal.write(data) :]
        os.fsync(self._journal.fileno())


def _withdraw(made: Sequence[Path], journal: Path) -> None:
    """Remove the folders that were made for a run, the innermost first, where the run got no further than that."""
    with suppress(OSError):
        begun = list(made[0].iterdir()) if made else []
        if not begun or journal.stat().st_size or {path.name for path in begun} - _BEGUN:
            return
        for path in begun:
            path.unlink()
        for folder in made:
            folder.rmdir()


def _unused(path: Path) -> Path:
    """Return a name beside `path` that is free: responses.1.jsonl, responses.2.jsonl, ..."""
    number = 1
    while (aside := path.with_suffix(f".{number}.jsonl")).exists():
        number += 1
    return aside


def _sealed(key: str, response: Response) -> str:
    row = {"key": key, **response.model_dump(mode="json", exclude_defaults=True)}
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise BadData(
            f"the answer to {key[:12]} holds a number that is not finite, so that nothing of its batch is kept; "
            "expected finite ones: take a weaker control, another model, or, in half precision, another dtype"
        ) from None
    return sealed(line)


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, 1 << 40)
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror}; expected the answers of a run") from None


def damaged(path: Path) -> tuple[int, list[int]]:
    """How many lines a responses.jsonl has, and which of them are damaged, counted from 1; nothing is changed.

    A line whose checksum holds is whole, and is not read further. An incomplete last line, as a kill leaves it, is none
    of them.
    """
    lines = _read(path).split(b"\n")[:-1]
    return len(lines), [n for n, line in enumerate(lines, 1) if unsealed(line)[1] is not True and not _response(line)]


def fault(path: Path, wrong: Sequence[int]) -> str:
    """Say which lines are damaged, and what becomes of them."""
    which = ", ".join(map(str, wrong[:5])) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    return f"{path}: damaged or changed in line {which}; the next run sets it aside and asks it again"


def _read_journal(path: Path) -> tuple[dict[str, Response], list[int]]:
    """Read the kept responses, and the numbers of the damaged lines, which are moved to responses.damaged.jsonl.

    An incomplete last line, as a kill leaves it, is cut off. The first of a key counts; failed calls are left out, so
    that they are made again. Lines of before there were checksums have none.
    """
    if not path.exists():
        return {}, []
    data = _read(path)
    whole = data.rfind(b"\n") + 1
    held: dict[str, Response] = {}
    lines, wrong = data[:whole].split(b"\n")[:-1], list[int]()
    for number, line in enumerate(lines, 1):
        if (found := _response(line)) is None:
            wrong.append(number)
        elif found[1].status != "error":
            held.setdefault(*found)
    if wrong and whole == len(data) and wrong == [len(lines)]:
        whole, wrong = whole - len(lines[-1]) - 1, []
    if wrong:
        _set_aside(path, lines, wrong)
    elif whole < len(data):
        guarded(lambda: os.truncate(path, whole), path)
    return held, wrong


def _response(line: bytes) -> tuple[str, Response] | None:
    """Key and response of a line; None where it is damaged."""
    body, holds = unsealed(line)
    try:
        row = json.loads(body)
        if holds is False or "sum" in row:
            return None
        return str(row.pop("key")), Response.model_validate(row)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


def _set_aside(path: Path, lines: Sequence[bytes], wrong: Sequence[int]) -> None:
    """Move damaged lines to a file beside: first they are written there, then the others in place of all."""
    aside = path.with_suffix(".damaged.jsonl")
    bad = set(wrong)

    def keep() -> None:
        with aside.open("ab") as handle:
            handle.write(b"".join(line + b"\n" for n, line in enumerate(lines, 1) if n in bad))
            handle.flush()
            os.fsync(handle.fileno())

    guarded(keep, aside)
    write_bytes(path, b"".join(line + b"\n" for n, line in enumerate(lines, 1) if n not in bad))
