"""One measured figure of a check, and what a check is given to work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traitbench.types import Record

__all__ = ["OVER", "Here", "Row", "failed", "figure", "skipped", "yes"]

OVER = 75
"""Exit code of a check that told what it had when its time was over."""


class Row(Record):
    """One line of the table."""

    check: str = ""
    what: str
    value: float | None = None
    """None where it could not be measured, or is a word that stands in the note."""
    unit: str = ""
    bound: str = ""
    """What the value must keep to; empty where none is stated."""
    holds: bool | None = None
    """None where there is no bound, or nothing was measured."""
    note: str = ""
    details: dict[str, float] = {}
    """The same figure by control, batch or run."""


@dataclass(frozen=True)
class Here:
    """The machine and the time of one check."""

    device: str
    """cuda, or cpu: a dry run with tiny sizes, whose figures mean nothing."""
    seconds: float
    """What the check may take, from its start."""
    folder: Path
    """A place for files, empty at the start and removed at the end."""
    report: Callable[[Row], None]
    """Keep a row at once, so that what comes later cannot lose it."""

    @property
    def dry(self) -> bool:
        """Whether this is a dry run."""
        return self.device == "cpu"

    def size(self, real: int, tiny: int) -> int:
        """Of two sizes the one for this device."""
        return tiny if self.dry else real


def figure(
    what: str, value: float, unit: str = "", *, least: float | None = None, most: float | None = None,
    note: str = "", details: dict[str, float] | None = None,
) -> Row:  # fmt: skip
    """A measured value, held against a bound where one is given; NaN keeps none."""
    bound = f"≥ {least:g}" if least is not None else f"≤ {most:g}" if most is not None else ""
    holds = None if not bound else bool((least is None or value >= least) and (most is None or value <= most))
    return Row(what=what, value=value, unit=unit, bound=bound, holds=holds, note=note, details=details or {})


def yes(what: str, found: bool, note: str = "") -> Row:
    """Something that must be so."""
    return Row(what=what, value=float(found), bound="= 1", holds=found, note=note)


def failed(what: str, reason: str) -> Row:
    """What should have been measured and could not be."""
    return Row(what=what, bound="measured", holds=False, note=reason)


def skipped(what: str, reason: str) -> Row:
    """What does not apply here."""
    return Row(what=what, note=reason)
