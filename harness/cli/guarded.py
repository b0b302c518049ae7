"""How a command ends: whatever goes wrong that the user or the machine can mend is one line on stderr, and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from traitbench.cli.showing import say

__all__ = ["failed", "guarded"]

_KEPT = "what was answered is kept, the same command goes on from there"


def guarded(action: Callable[[], int]) -> int:
    """Run a command and return its exit code; what is a fault of the program itself keeps its traceback.

    Its output is handed on here: a full disk behind it would else be told at the interpreter's end, without a code.
    """
    from traitbench.errors import TraitbenchError
    from traitbench.interrupts import Stopped, stoppable

    try:
        with stoppable(), _quiet_without_memory():
            code = action()
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except (TraitbenchError, OSError, MemoryError, RecursionError) as error:
        if os.environ.get("TRAITBENCH_DEBUG") == "1":
            raise
        if isinstance(error, TraitbenchError):
            return failed(str(error), error.exit_code)
        if isinstance(error, OSError):
            _let_go()
            return 0 if isinstance(error, BrokenPipeError) else failed(_told(error), 1)
        if isinstance(error, MemoryError):
            return failed(f"out of memory; {_KEPT}; try fewer --respondents or --repeats, or a machine with more", 1)
        return failed(f"what was given is nested too deeply to be read; {_KEPT}", 1)
    except KeyboardInterrupt as stop:
        return failed(f"interrupted; {_KEPT}", 128 + stop.number if isinstance(stop, Stopped) else 130)


@contextmanager
def _quiet_without_memory() -> Iterator[None]:
    """Leave out what else lacks memory where the want of it is told already: a generator that is being closed."""
    before = sys.unraisablehook

    def hook(told: Any) -> None:
        if not issubclass(told.exc_type, MemoryError):
            before(told)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def failed(message: str, code: int) -> int:
    """Say what went wrong, and return the exit code."""
    say(f"error: {message}")
    return code


def _told(error: OSError) -> str:
    """What the machine refused; standard output has no name."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; {_KEPT} (TRAITBENCH_DEBUG=1 shows where)"


def _let_go() -> None:
    """Send what is left in the buffer of an output that takes nothing more to nowhere."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
