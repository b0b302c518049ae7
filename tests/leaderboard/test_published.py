"""The published rows are what they were before tasks got blocks of their own: a frozen copy of their metrics.

A change that moves a number on purpose retires the copy.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from traitbench.leaderboard import build
from traitbench.runs.folders import without_digest

ROOT = Path(__file__).resolve().parents[2]
FROZEN = json.loads(Path(__file__).with_name("frozen_metrics.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], dict[str, Any]]:
    """Task, and the results file without the digest of its folder -> metrics, as leaderboard.json holds them."""
    board = build(ROOT / "results" / "published").model_dump(mode="json")
    return {(e["task"], without_digest(e["run"])): e["metrics"] for e in board["entries"]}


def differences(old: Any, new: Any, path: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        # A number that a row does not have may be left out; it was null, zero or an empty list.
        gone = [f"{path}.{key} is gone" for key in old.keys() - new.keys() if old[key] not in (None, 0, [])]
        return gone + [d for key in old.keys() & new.keys() for d in differences(old[key], new[key], f"{path}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [d for n, (a, b) in enumerate(zip(old, new, strict=True)) for d in differences(a, b, f"{path}[{n}]")]
    if isinstance(old, float) and isinstance(new, float):
        return [] if math.isclose(old, new, rel_tol=1e-12, abs_tol=1e-12) else [f"{path}: {old} is {new}"]
    return [] if old == new else [f"{path}: {old} is {new}"]


def test_every_published_row_is_there(rows: dict[tuple[str, str], Any]) -> None:
    assert {(row["task"], row["run"]) for row in FROZEN} == set(rows)


def test_every_published_number_is_what_it_was(rows: dict[tuple[str, str], Any]) -> None:
    wrong = [
        difference
        for row in FROZEN
        for difference in differences(_units(row["metrics"]), rows[row["task"], row["run"]], f"{row['run']}")
    ]
    assert wrong == []


def _units(metrics: dict[str, Any]) -> dict[str, Any]:
    """The frozen metrics; the unit of an error over persons was said to be POMP, which it never was."""
    return {
        mode: {key: value for key, value in mine.items() if not (mine["persons"] and key == "unit")}
        for mode, mine in metrics.items()
    }


def test_a_number_that_differs_is_found(rows: dict[tuple[str, str], Any]) -> None:
    row = json.loads(json.dumps(next(row for row in FROZEN if row["metrics"]["statement"]["effect"] is not None)))
    row["metrics"]["statement"]["effect"] += 1e-9
    (found,) = differences(row["metrics"], rows[row["task"], row["run"]], "row")
    assert "statement.effect" in found
