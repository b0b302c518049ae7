"""The progress bar of a run, with an estimate as soon as there is one. Everything goes to stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, Protocol, Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)  # fmt: skip
from rich.progress import Progress as RichProgress

from traitbench.terminal import visible

__all__ = ["Bar", "Bytes", "Estimate", "Pace", "Progress", "Rows"]

_WORTH_SAYING = 60
"""Seconds from which a run's length is told in words; without a terminal, also those between two lines."""
_SAFE = "safe to stop, the same command resumes"
_WORTH_DRAWING = 3
"""Seconds after which a bar is worth looking at."""


class Pace(NamedTuple):
    """Tokens a second; None where it is not known."""

    read: float | None = None
    written: float | None = None

    def seconds(self, scored: float, prompts: float, written: float) -> float | None:
        """How long it takes to score so many tokens, and to write replies behind so many more; None: not known."""
        if (scored and not self.read) or (written and not self.written):
            return None
        reading = (scored + prompts) / self.read if self.read else 0.0
        return reading + (written / self.written if self.written else 0.0)


class Estimate(NamedTuple):
    """What a run has before it. Tokens and time are of what is not yet answered."""

    conditions: int
    requests: int
    """Under all conditions, with those that are answered."""
    held: int = 0
    """Requests that are already answered."""
    fits: int = 0
    """Controls that are still to be fitted, which takes time of its own."""
    prompt: float | None = None
    """Tokens of prompts; None where they are not known."""
    written: int = 0
    """Tokens of replies, at most."""
    usd: float | None = None
    """Dollars, at most; None where there is no price."""
    seconds: float | None = None
    """Of reading and writing them; None where no pace is known."""
    pace: Pace = Pace()
    more: bool = False
    """Whether replies lead to further questions, which nobody can count."""
    beyond: bool = False
    """Whether lm-eval's tasks are asked too (`--side_effects`), which tell how far they are by themselves."""

    @property
    def promised(self) -> bool:
        """Whether the time is not known yet, and will be after the first batches."""
        return self.prompt is not None and self.seconds is None

    @property
    def without(self) -> str:
        """What no time of these tokens counts, as words behind it."""
        return " without lm-eval's tasks" if self.beyond else ""

    def line(self) -> str:
        """Say it in one line."""
        first = f"{_many(self.fits, 'fit')} first, whose time is not counted; then at least " if self.fits else ""
        resumed = f", {self.held} already answered" if self.held else ""
        told = f"{first}{_many(self.conditions, 'condition')}, {_many(self.requests, 'request')}{resumed}"
        if self.prompt is None:
            return told + (", and lm-eval's tasks" if self.beyond else "")
        told += f", about {_amount(self.prompt)} prompt tokens"
        if self.written:
            told += f" and at most {_amount(self.written)} to write"
        if self.usd is not None:
            told += f", at most about ${self.usd:.2f}" if self.usd >= 0.01 else ", less than $0.01"
        if self.more:
            told += ", and what is asked about replies"
        if self.seconds is None:
            return f"{told}; no pace is known here yet; an estimate{self.without} follows after the first batches"
        most = "at most " if self.written else ""
        return f"{told}; {most}about {_duration(self.seconds)}{self.without} ({self._measured()} on this model here)"

    def _measured(self) -> str:
        read, written = self.pace
        if not self.written or not written:
            return f"measured at {_speed(read or 0)} tokens/s"
        return f"measured at {f'{_speed(read)} tokens/s read and ' if read else ''}{_speed(written)} tokens/s written"


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _amount(tokens: float) -> str:
    """Tokens as an estimate tells them: 640, 12 k, 1.1 M."""
    if tokens >= 999_500:
        return f"{tokens / 1e6:.1f} M"
    return f"{tokens / 1e3:.0f} k" if tokens >= 1000 else f"{tokens:.0f}"


def _duration(seconds: float) -> str:
    """A time as an estimate tells it: 31 s, 12 min, 25.0 h."""
    if seconds < _WORTH_SAYING:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _speed(pace: float) -> str:
    """Tokens a second to three digits."""
    return f"{float(f'{pace:.3g}'):,.0f}" if pace >= 10 else f"{pace:.2g}"


class Progress(Protocol):
    """Who is told how far a run is."""

    def plan(self, ahead: Estimate) -> None:
        """Called once, before the first request: how much there is, how much is already answered, what it may take."""

    def condition(self, name: str) -> None:
        """Called when a condition begins."""

    def done(self, requests: int) -> None:
        """Called after a batch of so many requests."""

    def begin(self, what: str, total: int) -> Callable[[int], None]:
        """Called when something else begins that has `total` steps; what is returned is told of steps done."""


class Bar:
    """Shows how far a run is; one line a minute where stderr is no terminal."""

    def __init__(self) -> None:
        """Prepare; nothing is drawn before `plan`."""
        self.console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=self.console,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        logger = logging.getLogger("traitbench")
        if not logger.handlers:
            logger.addHandler(RichHandler(console=self.console, show_time=False, show_path=False))
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def tell(self, line: str) -> None:
        """Print a diagnostic."""
        self.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def plan(self, ahead: Estimate) -> None:
        """Begin: say how much there is; counts and clock are of this run, whatever went before."""
        self.tell(ahead.line() + (f"; {_SAFE}" if (ahead.seconds or 0) > _WORTH_SAYING else ""))
        self._left, self._answered = ahead.requests - ahead.held, 0
        self._started = self._told = 0.0
        self._promised, self._estimated = ahead.promised, ahead.seconds is not None
        self._without = ahead.without
        self._bar.reset(self._task, total=ahead.requests, completed=ahead.held, visible=True, description="")
        if self.console.is_terminal:
            self._bar.start()

    def begin(self, what: str, total: int) -> Callable[[int], None]:
        """Begin something of `total` steps; call what is returned with the number of steps done."""
        task = self._bar.add_task(what, total=total)
        if self.console.is_terminal:
            self._bar.start()
        began = told = time.monotonic()
        done = 0

        def step(n: int = 1) -> None:
            nonlocal done, told
            done += n
            self._bar.update(task, completed=done, visible=done < total)
            now = time.monotonic()
            if not self.console.is_terminal and now - told > _WORTH_SAYING:
                told = now
                left = (now - began) / done * (total - done)
                self.tell(f"{what}: {done} of {total}, about {_duration(left)} left")

        return step

    def condition(self, name: str) -> None:
        """Name the condition that is being asked; the clock runs from the first one on."""
        if not self._started:
            self._started = self._told = time.monotonic()
        self._bar.update(self._task, description=name)
        self._name = name

    def done(self, requests: int) -> None:
        """Move on; after the first seconds say how long the whole takes, if that was promised or is worth saying."""
        self._answered += requests
        self._bar.advance(self._task, requests)
        now = time.monotonic()
        spent = now - self._started
        left = spent / max(self._answered, 1) * (self._left - self._answered)
        if not self._estimated and spent > 4:
            self._estimated = True
            if self._promised or spent + left > _WORTH_SAYING:
                self.tell(f"about {_duration(spent + left)}{self._without or ' in all'}; {_SAFE}")
        if not self.console.is_terminal and now - self._told > _WORTH_SAYING:
            self._told = now
            self.tell(
                f"{self._name}: {self._answered} of {self._left} answered, about {_duration(left)} left{self._without}"
            )


class _Late:
    """A bar that appears after some seconds, on a terminal; safe to be told from several threads."""

    def __init__(self, total: float | None, what: str, *columns: ProgressColumn) -> None:
        self.console = Console(stderr=True)
        self._bar = RichProgress(*columns, console=self.console)
        self._task = self._bar.add_task(what, total=total)
        self._began = time.monotonic()
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def done(self, steps: int) -> None:
        """Move on by so many rows or bytes."""
        self._bar.advance(self._task, steps)
        if time.monotonic() - self._began > _WORTH_DRAWING and self.console.is_terminal:
            with self._lock:
                if not self._bar.live.is_started:
                    self._bar.start()


class Rows(_Late):
    """Counts the rows of a table; nothing is drawn for a table that is read at once."""

    def __init__(self) -> None:
        """Prepare; the bar appears after some seconds."""
        super().__init__(None, "", TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())


class Bytes(_Late):
    """Shows how much of `total` bytes is read; nothing is drawn for what is read at once."""

    def __init__(self, total: int, what: str) -> None:
        """Prepare; the bar appears after some seconds, named `what`."""
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TextColumn("left"), TimeRemainingColumn())
        super().__init__(total, what, TextColumn("{task.description}"), *columns)
