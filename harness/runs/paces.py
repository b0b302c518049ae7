"""How quickly models were run here: kept in the cache folder, by model, precision and device, for later estimates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field

from traitbench.backends.cards import cards
from traitbench.backends.fingerprints import cache_folder
from traitbench.errors import BadData
from traitbench.progress import Pace
from traitbench.store import locked, read_json, write_json
from traitbench.types import Record, Request, Response, Write, digest

__all__ = ["Key", "Measured", "Meter", "keep", "pace_key", "pace_of"]

_MOST = 100
"""Paces that are kept; those measured longest ago go first."""
_LARGEST = 1 << 20
"""Bytes of a file that we wrote."""
_HIGHEST = 1e30
"""Tokens or seconds; more, or less than its inverse, was not measured. Sums and ratios of the rest are numbers."""
_TRIES = 100
_WAIT = 0.05
"""Seconds between tries where another run is writing."""
_LEAST = 0.1
"""Of the time of replies, what counts as writing at least, however long their prompts would have taken."""


def _plausible(number: float) -> float:
    if number and not 1 / _HIGHEST <= number <= _HIGHEST:
        raise ValueError(f"{number} was not measured")
    return number


def _writable(text: str) -> str:
    """Refuse half a character, which a file may hold and no text can: UnicodeEncodeError."""
    text.encode()
    return text


Number = Annotated[float, Field(strict=True), AfterValidator(_plausible)]
Text = Annotated[str, Field(strict=True), AfterValidator(_writable)]


class Measured(Record):
    """Tokens, and the seconds they took."""

    read: Number = 0.0
    """Tokens of prompts and answers that were scored."""
    read_seconds: Number = 0.0
    """Of scoring them."""
    prompts: Number = 0.0
    """Tokens of the prompts of replies."""
    written: Number = 0.0
    """Tokens of the replies."""
    written_seconds: Number = 0.0
    """Of reading those prompts and writing."""

    @property
    def pace(self) -> Pace:
        """Tokens a second. Where nothing was scored, reading their prompts is part of the pace of replies."""
        read = self.read / self.read_seconds if self.read > 0 and self.read_seconds > 0 else None
        left = self.written_seconds - (self.prompts / read if read else 0.0)
        left = max(left, _LEAST * self.written_seconds)
        return Pace(read, self.written / left if self.written > 0 and left > 0 else None)


class Row(Measured):
    """What the file holds of one model. Fields of other versions are left out."""

    model_config = ConfigDict(extra="ignore")

    about: Text = ""
    """Backend, model, precision and device in words, for who looks into the file."""
    date: Text = ""
    """When it was last measured (ISO 8601, UTC)."""


class Meter:
    """Measures how long batches of requests take. The first is left out: an engine may start with it."""

    def __init__(self, expected: Mapping[int, float], clock: Callable[[], float] = time.monotonic) -> None:
        """`expected`: id of a request object -> tokens of its prompt; batches with any other one are not measured."""
        self._expected, self._clock = expected, clock
        self._begun = False
        self._sums = dict.fromkeys(Measured.model_fields, 0.0)

    def timed(
        self, batches: Iterable[Mapping[int, Response]], requests: Sequence[Request]
    ) -> Iterator[Mapping[int, Response]]:
        """Hand on `batches`, whose indices are places in `requests`."""
        last = self._clock()
        for batch in batches:
            now = self._clock()
            if self._begun:
                self._note([(requests[i], response) for i, response in batch.items()], now - last)
            self._begun, last = True, now
            yield batch

    @property
    def measured(self) -> Measured:
        """What was measured so far."""
        return Measured(**self._sums)

    def _note(self, batch: Sequence[tuple[Request, Response]], seconds: float) -> None:
        if any(id(request) not in self._expected for request, _ in batch):
            return
        tokens = sum(self._expected[id(request)] for request, _ in batch)
        replies = [response for request, response in batch if isinstance(request, Write)]
        if not replies:
            self._sums["read"] += tokens
            self._sums["read_seconds"] += seconds
            return
        self._sums["prompts"] += tokens
        self._sums["written"] += sum(reply.billed[1] if reply.billed else reply.tokens or 0 for reply in replies)
        self._sums["written_seconds"] += seconds


class Key(NamedTuple):
    """What a pace is kept under."""

    digest: str
    """Of all that decides a pace."""
    about: str
    """The same in words."""


def pace_key(
    identity: Mapping[str, Any], device: str | None, batch_size: int | None, arguments: Mapping[str, Any]
) -> Key:
    """Name what decides a pace: backend, weights (or server), precision, the device and how it is run.

    `device` is --device, `arguments` are --model_args.
    """
    model = {part: identity.get(part) for part in ("backend", "model", "server", "weights", "dtype")}
    where = _hardware(device) if "weights" in identity else ""
    about = " ".join(str(part) for part in (*model.values(), where) if part)
    if "weights" in identity:
        # The same weights under another name are as quick.
        del model["model"]
    return Key(digest([model, where, batch_size, dict(arguments)]), about)


def pace_of(key: Key) -> Pace:
    """Return the pace of earlier runs; nothing is known where there is none, or its file is damaged."""
    return _rows().get(key.digest, Row()).pace


def keep(key: Key, measured: Measured) -> None:
    """Add what a run measured; what was known before counts half as much each time.

    A cache that cannot be written costs an estimate and nothing else.
    """
    if not measured.read and not measured.written:
        return
    with suppress(BadData, OSError, ValueError, OverflowError):
        _waiting(lambda: _add(key, measured))


def _add(key: Key, measured: Measured) -> None:
    rows = _rows()
    before = rows.get(key.digest, Row())
    sums = {name: getattr(before, name) / 2 + getattr(measured, name) for name in Measured.model_fields}
    # What was measured long ago and never since has been halved to nothing.
    sums = {name: value if value >= 1 / _HIGHEST else 0.0 for name, value in sums.items()}
    rows[key.digest] = Row(about=key.about, date=datetime.now(UTC).isoformat(), **sums)
    newest = sorted(rows.items(), key=lambda pair: pair[1].date)[-_MOST:]
    write_json(_place(), {name: row.model_dump() for name, row in newest})


def _waiting(action: Callable[[], None]) -> None:
    """Run `action` while no other process does, after it where one is; BadData where that takes too long."""
    for tries_left in reversed(range(_TRIES)):
        try:
            with locked(_place().parent, "try again"):
                action()
            return
        except BadData:
            if not tries_left:
                raise
            time.sleep(_WAIT)


def _place() -> Path:
    return cache_folder() / "paces" / "paces.json"


def _rows() -> dict[str, Row]:
    """The rows of the file that hold a pace; what else it holds is left out, and goes when it is written again."""
    try:
        if _place().stat().st_size > _LARGEST:
            return {}
        held = read_json(_place())
    except (BadData, OSError, ValueError, RecursionError):
        return {}
    rows = {}
    for name, fields in held.items() if isinstance(held, dict) else ():
        with suppress(ValueError):
            row = Row.model_validate(fields)
            if row.read or row.written:
                rows[_writable(name)] = row
    return rows


def _hardware(device: str | None) -> str:
    if device != "cpu" and (names := cards()):
        return f"{len(names)} x {names[0]}"
    import torch

    return f"{torch.get_num_threads()} threads"
