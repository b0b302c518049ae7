"""The leaderboard as a pandas data frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traitbench.files import user_path
from traitbench.leaderboard import build
from traitbench.runs.frames import entry_frame

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["load_leaderboard"]


def load_leaderboard(published: str | Path = "results/published") -> DataFrame:
    """Rank the published runs below a folder, and return a data frame: a row a task, scoring and run.

    Columns are those of `Results.leaderboard`, and `rank` holds the ranks. BadData where there is no run, or where one
    is damaged.
    """
    return entry_frame(build(user_path(published)).entries)
