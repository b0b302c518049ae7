"""A statistic that may be impossible to have: its value, or why there is none."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Coefficient"]


class Coefficient(NamedTuple):
    """A value, or None with the reason: a table shows a dash and its cause, never a NaN."""

    value: float | None
    reason: str = ""
    """Why there is no value; empty where there is one."""
