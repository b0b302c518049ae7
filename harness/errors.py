"""The exceptions that a user may see.

TraitbenchError
├── TraitbenchUsage     a value of the right name and the wrong kind
├── UnknownName         a model, task, method, trait, flag or key that does not exist
├── MissingExtra        an optional dependency is not installed
├── UnsupportedControl  a backend cannot apply what a method makes, or a method cannot aim at a target
├── Unreachable         a server that did not answer, or stopped answering; what it answered is kept
├── BadInventory        an instrument file that cannot be trusted
└── BadData             a run folder, samples file, data file or model that cannot be used

Each message says what was wrong with which value, what was expected and what to type next. The command line prints
it without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadData", "BadInventory", "MissingExtra", "TraitbenchError", "TraitbenchUsage", "UnknownName", "Unreachable",
    "UnsupportedControl", "first_line", "refuse_others", "unknown",
]  # fmt: skip


class TraitbenchError(Exception):
    """The root: whatever goes wrong in a way that the user can mend. `exit_code` is what the command returns."""

    exit_code = 1


class TraitbenchUsage(TraitbenchError):
    """A value of the right name and the wrong kind."""

    exit_code = 2


class UnknownName(TraitbenchError):
    """A name that is in no table; `exit_code` 2, since it is an error of usage."""

    exit_code = 2


class MissingExtra(TraitbenchError):
    """An optional dependency is missing; the message holds the command that installs it."""


class UnsupportedControl(TraitbenchError):
    """A method and a backend, or a method and a target, that do not go together."""

    exit_code = 2


class Unreachable(TraitbenchError):
    """A server that does not answer. `exit_code` 3: calls failed, and the same command goes on from what is kept."""

    exit_code = 3


class BadInventory(TraitbenchError):
    """An instrument file with an error in it."""


class BadData(TraitbenchError):
    """A file or folder whose content is not what it should be."""


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownName:
    """Build the error for `name`, which is no `kind`: the nearest known name, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    tail = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}"
    return UnknownName(f"unknown {kind} {name!r}; {tail}{' ' + hint if hint else ''}")


def refuse_others(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise the error for the first of `names` that is not among `known`."""
    allowed = list(known)
    for name in names:
        if name not in allowed:
            raise unknown(kind, name, allowed)


def first_line(error: BaseException) -> str:
    """The first line of what an error says that says something; its class where none does."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
