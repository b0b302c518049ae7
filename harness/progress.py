"""The progress bar of a run, with an estimate as soon as there is one. Everything goes to stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

__all__ = ["Bar", "Progress", "Rows"]

_WORTH_SAYING = 60
"""Seconds from which a run's length is told in words."""
_WORTH_DRAWING = 3
"""Seconds after which a bar is worth looking at."""


class Progress(Protocol):
    """Who is told how far a run is."""

    def plan(self, conditions: int, requests: int, held: int) -> None:
        """Called once, before the first request: how much there is and how much is already answered."""

    def condition(self, name: str) -> None:
        """Called when a condition begins."""

    def done(self, requests: int) -> None:
        """Called after a batch."""

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
        self._left = self._answered = 0
        self._started = self._told = 0.0
        self._estimated = False

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
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def plan(self, conditions: int, requests: int, held: int) -> None:
        """Begin: say how much there is."""
        resumed = f", {held} already answered" if held else ""
        self.tell(f"{conditions} conditions, {requests} requests{resumed}")
        self._left = requests - held
        self._started = self._told = time.monotonic()
        self._task = self._bar.add_task("", total=requests, completed=held)
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
                self.tell(f"{what}: {done} of {total}, about {left / 60:.1f} min left")

        return step

    def condition(self, name: str) -> None:
        """Name the condition that is being asked."""
        self._bar.update(self._task, description=name)
        self._name = name

    def done(self, requests: int) -> None:
        """Move on; after the first seconds say how long the whole will take."""
        self._answered += requests
        self._bar.advance(self._task, requests)
        now = time.monotonic()
        spent = now - self._started
        left = spent / max(self._answered, 1) * (self._left - self._answered)
        if not self._estimated and spent > 4:
            self._estimated = True
            if spent + left > _WORTH_SAYING:
                self.tell(f"about {(spent + left) / 60:.0f} min in all; safe to stop, the same command resumes")
        if not self.console.is_terminal and now - self._told > _WORTH_SAYING:
            self._told = now
            self.tell(f"{self._name}: {self._answered} of {self._left} answered, about {left / 60:.1f} min left")


class Rows:
    """Counts the rows of a table; nothing is drawn for a table that is read at once."""

    def __init__(self) -> None:
        """Prepare; the bar appears after some seconds."""
        self.console = Console(stderr=True)
        self._bar = RichProgress(TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn(), console=self.console)
        self._task = self._bar.add_task("", total=None)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def done(self, rows: int) -> None:
        """Move on by a batch."""
        self._bar.advance(self._task, rows)
        waited = time.monotonic() - self._began > _WORTH_DRAWING
        if waited and self.console.is_terminal and not self._bar.live.is_started:
            self._bar.start()
