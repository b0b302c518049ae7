"""Nobody is told how far a run is."""

from __future__ import annotations

from typing import Any


class Quiet:
    """A `traitbench.runs.evaluate.Progress` that says nothing."""

    def plan(self, ahead: Any) -> None: ...
    def condition(self, name: str) -> None: ...
    def done(self, requests: int) -> None: ...
    def begin(self, what: str, total: int) -> Any:
        return lambda n=1: None
