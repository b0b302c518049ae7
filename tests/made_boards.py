"""Boards of runs that took place, with ranks, specific effects and a second model that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawn import PUBLISHED

from traitbench.leaderboard import Leaderboard, board_of
from traitbench.runs.results import Results
from traitbench.store import read_json
from traitbench.tasks.board import Entry

__all__ = ["OTHER", "made_board", "published_runs", "with_metrics"]

OTHER = "Other-1B"


def published_runs(*patterns: str) -> dict[str, Results]:
    """Published results as they are held, by what a board calls them."""
    paths = sorted(path for pattern in patterns for path in PUBLISHED.glob(f"{pattern}/results_*.json"))
    return {p.relative_to(PUBLISHED).as_posix(): Results.model_validate(read_json(p)) for p in paths}


def with_metrics(entry: Entry, mode: str, **changes: Any) -> Entry:
    """The entry with other numbers in one mode."""
    return entry.model_copy(update={"metrics": {**entry.metrics, mode: {**entry.metrics[mode], **changes}}})


def made_board() -> tuple[Leaderboard, dict[str, Results]]:
    """Every published run, each with what the board can show; three runs a second time, of another model."""
    runs = published_runs("*")
    board = board_of(runs)
    entries = [_filled(entry) for entry in board.entries]
    for entry in [e for e in entries if e.task == "ipip_neo_120" and e.label in ("sft", "p_tailor", "prompting")]:
        name = entry.run.replace("smollm2", "other")
        runs[name] = runs[entry.run]
        entries.append(entry.model_copy(update={"model": OTHER, "run": name}))
    return board.model_copy(update={"entries": entries}), runs


def _filled(entry: Entry) -> Entry:
    out = entry
    for mode, metrics in entry.metrics.items():
        if metrics.get("effect") is not None and "specific" in metrics:
            out = with_metrics(out, mode, **_made(metrics))
    return out


def _made(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A rank is a range, none where the interval reaches zero; the specific effect is four fifths of the effect."""
    low, high = metrics["effect_ci"]
    rank = metrics["rank"] if low > 0 else None
    return {
        "rank": rank, "rank_high": None if rank is None else rank + 3, "superiority": 0.75,
        "specific": 0.8 * metrics["effect"], "specific_ci": [0.8 * low, 0.8 * high],
    }  # fmt: skip
