"""What stands beside a row of self-report, from other runs of the same controls: robustness, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quiet import Quiet

from traitbench.leaderboard import board_of, published_results, render
from traitbench.leaderboard.joined import side_by_side
from traitbench.report.board import board_page
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.side_effects.records import SideEffects
from traitbench.tasks.board import Capability
from traitbench.tasks.gap import Gaps
from traitbench.tasks.robustness.beside import Kept

PERSON = {"obedience": 0.3, "unsteady": 0.01, "forgets": "now=0.5+persistence=1"}
LOST = Capability(value=-0.125, ci=(-0.2, -0.05), n=40, metrics={"sums": "acc,none"}, targets=1)


def made(shelf: Path, folder: Path, *tasks: str, **changes: Any) -> None:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": tasks, "bootstrap_iters": 20,
        "method": "prompting", "target": "extraversion=high", "scoring": ("statement",), "model_args": PERSON,
        **changes,
    })  # fmt: skip
    publish(evaluate(plan, Quiet(), lambda line: None)[1], shelf)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """One run of self-report, one of robustness and damage, and one of another target."""
    folder, shelf = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("published")
    made(shelf, folder, "mini_ipip")
    made(shelf, folder, "robustness")
    made(shelf, folder, "mini_ipip", target="openness=high")
    harm = SideEffects(
        lm_eval="0", asked=["sums"], shown=["sums"], limit=None, chat_template=True, tasks={}, capability=LOST
    )
    return {
        run: results.model_copy(update={"side_effects": harm}) if "robustness" in results.tasks else results
        for run, results in published_results(shelf).items()
    }


def test_robustness_and_damage_stand_beside_the_same_controls_alone(runs: dict[str, Results]) -> None:
    board = board_of(runs)
    said = {runs[entry.run].config["target"]: entry for entry in board.entries if entry.task == "mini_ipip"}
    kept = next(entry for entry in board.entries if entry.task == "robustness")
    mine, other = said["extraversion=high"], said["openness=high"]
    (line,) = mine.joined["robustness"]["statement"]
    assert line["robustness_run"] == kept.run and line["context"] == "persistence"
    assert line["retained"] == kept.metrics["statement"]["retained"] == pytest.approx(0, abs=0.1)
    assert mine.capability == LOST and kept.capability == LOST
    assert not other.joined and other.capability is None
    assert "robustness" not in kept.joined


@pytest.mark.parametrize(
    ("contexts", "person", "told"),
    [
        (("plain",), PERSON, "no other context asked"),
        (("plain", "now"), {**PERSON, "obedience": 0.0}, "no effect to keep"),
        (("plain", "now"), PERSON, "now"),
    ],
)
def test_where_no_share_is_known_the_board_says_why(
    contexts: tuple[str, ...], person: dict[str, Any], told: str, tmp_path: Path
) -> None:
    for task, more in (("mini_ipip", {}), ("robustness", {"contexts": contexts})):
        made(tmp_path / "shelf", tmp_path / "runs", task, model_args=person, **more)
    board = board_of(published_results(tmp_path / "shelf"))
    (entry,) = (entry for entry in board.entries if entry.task == "mini_ipip")
    cell = Kept().cells(entry.joined["robustness"]["statement"])["kept in the worst context"]
    assert cell.small == f"{told}, statement" and (cell.value is None) == (told != "now")


def test_all_that_was_measured_stands_side_by_side(runs: dict[str, Results]) -> None:
    board = board_of(runs)
    (table,) = side_by_side(board.entries)
    (row,) = table.rows
    cells = dict(zip(table.columns, row, strict=True))
    assert cells["kept in the worst context"].endswith("(persistence, statement)")
    assert cells["capability [95 %]"] == "-12.5 [-20.0, -5.0] (sums)"
    assert "**Side by side**" in render(board)
    html = board_page(board, runs, "published")
    assert "kept in the worst context" in html and "-12.5" in html


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """One run of self-report and behaviour, and one of robustness."""
    folder, shelf = tmp_path_factory.mktemp("both"), tmp_path_factory.mktemp("shelf")
    made(shelf, folder, "mini_ipip", "situations")
    made(shelf, folder, "robustness")
    return published_results(shelf)


@pytest.mark.parametrize(
    ("task", "column", "items"),
    [
        ("robustness", "kept in the worst context", 20),
        ("situations", "behaviour (d)", 264),
        ("mini_ipip", "self-report (d)", 20),
    ],
)
def test_what_was_fitted_on_is_marked_in_the_cell_of_its_number(
    both: dict[str, Results], task: str, column: str, items: int
) -> None:
    spoilt = {
        run: results.model_copy(update={"contaminated": {task: 6}}) if task in results.tasks else results
        for run, results in both.items()
    }
    for runs, wanted in ((spoilt, [column]), (both, [])):
        board = board_of(runs)
        (table,) = side_by_side(board.entries)
        cells = dict(zip(table.columns, table.rows[0], strict=True))
        assert [name for name, told in cells.items() if f"6 of {items} items fitted on" in told] == wanted
        page = board_page(board, runs, "published")
        assert (f"6 of {items} items fitted on" in page) == bool(wanted)


@pytest.mark.parametrize(
    ("task", "column"), [("situations", "behaviour d [95 %]"), ("mini_ipip", "self-report d [95 %]")]
)
def test_the_table_of_gaps_marks_the_side_that_was_fitted_on(both: dict[str, Results], task: str, column: str) -> None:
    runs = {run: results.model_copy(update={"contaminated": {task: 6}}) for run, results in both.items()}
    (table,) = Gaps().board(board_of(runs).entries)
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert [name for name, told in cells.items() if "items fitted on" in told] == [column]
