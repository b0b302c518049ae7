"""What ends a run early, Ctrl-C or a signal that asks it to stop, comes when nothing is lost by it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

__all__ = ["Stopped", "handed_on", "held", "stoppable"]

T = TypeVar("T")
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to stop; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        """Name the signal by its number."""
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped at SIGTERM and SIGHUP during the block, so that it ends as at Ctrl-C.

    Only in the main thread, and only where the signal would have killed the process: one that is ignored, as nohup has
    SIGHUP ignored, stays so. A process that is forked from this one dies of it as before.
    """
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise Stopped(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _ENDING if main}
    taken = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def handed_on(batches: Iterator[T]) -> Generator[T, None, None]:
    """Yield `batches`; an interrupt while the taker is at work with one waits until it asks for the next.

    Then it is raised inside of `batches`, where they are a generator, at the yield: a generator that goes on after it
    gives what it has under way, and each of that is handed on too. A second interrupt meanwhile comes at once. To be
    closed (contextlib.closing) where the taker may fail.
    """
    caught: list[KeyboardInterrupt] = []
    while True:
        try:
            batch = _thrown(batches, caught.pop()) if caught else next(batches)
        except StopIteration:
            return
        with held(caught):
            yield batch


def _thrown(batches: Any, interrupt: KeyboardInterrupt) -> Any:
    """The next batch after `interrupt`, which is raised where `batches` cannot go on from it."""
    if not hasattr(batches, "throw"):
        raise interrupt
    return batches.throw(interrupt)


@contextmanager
def held(caught: list[KeyboardInterrupt]) -> Iterator[None]:
    """Put the first interrupt of the block into `caught`; in the main thread, which alone is interrupted."""
    main = threading.current_thread() is threading.main_thread()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING) if main}
    before = {number: handler for number, handler in before.items() if callable(handler)}

    def hold(number: int, frame: FrameType | None) -> None:
        try:
            before[number](number, frame)
        except KeyboardInterrupt as interrupt:
            if caught:
                raise
            caught.append(interrupt)

    for number in before:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in reversed(before.items()):
            signal.signal(number, handler)
