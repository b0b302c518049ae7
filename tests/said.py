"""What a command did, and what it left in the folder of its run; the fixture `say` runs one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from traitbench.store import read_json


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Say = Callable[[str], Said]
"""Runs a line of the command, without its first word."""


def folder(named: str) -> Path:
    """The one folder of a run under runs/ whose name fits the pattern."""
    (found,) = Path("runs").glob(named)
    return found


def results(named: str) -> dict[str, Any]:
    """The newest results in that folder."""
    found: dict[str, Any] = read_json(max(folder(named).glob("results_*.json")))
    return found


def numbers(found: dict[str, Any]) -> Any:
    """What two runs with the same answers have in common."""
    return found["results"], found["tasks"], found["n-samples"]
