"""A block of a kind that this installation does not know: kept raw, and shown as its metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest
import result_files

from traitbench.cli.commands import main
from traitbench.runs.results import Results, UnknownBlock
from traitbench.runs.tables import tables


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A results file whose task's block, and one that joins tasks, are of kinds of another time."""
    out = tmp_path_factory.mktemp("runs")
    line = "run -M scripted:person -a obedience=0.2 -m prompting --target openness=high -t mini_ipip --scoring choice"
    assert main([*line.split(), "--bootstrap_iters", "20", "-o", str(out)]) == 0
    held: dict[str, Any] = result_files.held(next(out.glob("*/results_*.json")))
    held["tasks"]["mini_ipip"] = {"kind": "of_another_time", "version": "7", "anything": {"deep": [1, None, "x"]}}
    held["across"] = {"together": {"kind": "joined_otherwise", "version": "1", "r": 0.5}}
    return held


def test_it_is_kept_as_it_is(raw: dict[str, Any]) -> None:
    results = Results.model_validate(raw)
    assert isinstance(results.tasks["mini_ipip"], UnknownBlock)
    assert json.loads(results.model_dump_json(by_alias=True)) == raw


def test_its_metrics_are_those_of_the_file(raw: dict[str, Any]) -> None:
    results = Results.model_validate(raw)
    (table,) = tables(results)
    assert table.title.endswith("Metrics, mini_ipip") and table.columns[:3] == ["condition", "metric", "scoring"]
    shown = {(row[0], row[1]): row[3] for row in table.rows}
    assert len(table.rows) == len(shown) == 2 * 5
    for condition, key in (("baseline", "mini_ipip"), ("openness=high", "mini_ipip@openness=high")):
        assert shown[condition, "openness"] == f"{raw['results'][key]['openness,choice']:.3f}"
    assert shown["baseline", "openness"] != shown["openness=high", "openness"]


def test_it_has_no_row_on_the_leaderboard(raw: dict[str, Any]) -> None:
    assert Results.model_validate(raw).entry("mini_ipip", "x").rows == {}
