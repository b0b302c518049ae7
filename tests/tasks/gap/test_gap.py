"""Self-report beside behaviour: persons that act otherwise than they answer show exactly their gap."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import expressions
from quiet import Quiet

from traitbench.errors import UnknownName
from traitbench.leaderboard import build, render
from traitbench.report.across import across, across_html
from traitbench.report.board import board_page
from traitbench.runs.api import load_results
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.statistics.effect_sizes import hedges
from traitbench.statistics.intervals import Estimate
from traitbench.tables import markdown
from traitbench.tasks import TASKS
from traitbench.tasks.board import Part
from traitbench.tasks.gap import GapBlock
from traitbench.tasks.gap.board import cells
from traitbench.tasks.gap.effects import Pairing, Side, effect, pairings, word
from traitbench.tasks.situations import pairs

ROOT = Path(__file__).resolve().parents[3]
SAYS, DOES = "ipip_50", "situations"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Situations of three traits, twelve each."""
    every = pairs.load("test")
    traits = ("openness", "extraversion", "neuroticism")
    few = tuple(pair for trait in traits for pair in [p for p in every if p.trait == trait][:12])
    monkeypatch.setattr("traitbench.tasks.situations.load", lambda split: few)


def run(folder: Path, tasks: tuple[str, ...] = (SAYS, DOES), **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": tasks, "bootstrap_iters": 50,
        "method": "prompting", "target": "extraversion=high", "scoring": ("statement",), **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def gaps(results: Results) -> list[Pairing]:
    block = results.across["gap"]
    assert isinstance(block, GapBlock)
    return block.pairings


TWO_FACED = {"obedience": 0.3, "acts": "extraversion=0", "acts_obedience": 0.0, "unsteady": 0.04}


def test_who_says_one_thing_and_does_another_shows_exactly_that(tmp_path: Path) -> None:
    """d of both sides from the kept answers alone, by the textbook."""
    results, path = run(tmp_path, model_args=TWO_FACED, scoring=("choice", "statement"))
    for found in gaps(results):
        assert found.self_report_filter == found.behaviour_filter
        (gap,) = found.targets
        assert gap.verdict == "only self-report moved" and gap.target == "extraversion=high"
        rows = load_results(path).samples()
        rows = rows[(rows.trait == "extraversion") & (rows.scoring == found.self_report_filter)]
        said, done = (rows[rows.task == task] for task in (SAYS, DOES))
        if found.self_report_filter == "statement":
            assert gap.self_report.d == pytest.approx(textbook(said, True, True))
            assert gap.behaviour.d == pytest.approx(of_texts(done))
        else:
            assert gap.self_report.d == pytest.approx(textbook(said, True, False))
            assert gap.behaviour.d == pytest.approx(textbook(done, False, False))
        assert gap.gap.d == pytest.approx((gap.self_report.d or 0) - (gap.behaviour.d or 0))
        assert gap.behaviour.ci is not None and gap.behaviour.ci[0] < 0 < gap.behaviour.ci[1]
        assert (gap.self_report.n, gap.behaviour.n) == (10, 12)
        assert "no correlation over 1 target: it takes three" in found.r_note and found.mean is None
    assert rescore(path).across == results.across


def textbook(rows: Any, keyed: bool, summed: bool) -> float:
    """Mean over SD of the item shifts, times Hedges' factor.

    Of statements both replies, or the key, count with their sign (`summed`); `keyed` items have two halves, within
    which the SD is, and which count alike in statements.
    """
    value = rows.value_raw * rows.keyed if summed else rows.value_keyed
    both = rows.assign(value=value).groupby(["condition", "item"]).value
    wide = (both.sum() if summed else both.mean()).unstack(0)
    shift = (wide["extraversion=high"] - wide["baseline"]).to_numpy()
    keys = rows.groupby("item").keyed.first().loc[wide.index].to_numpy() if keyed else np.ones(len(shift))
    halves = [shift[keys == key] for key in np.unique(keys)]
    rest = len(shift) - len(halves)
    sd = np.sqrt(sum(np.square(h - h.mean()).sum() for h in halves) / rest)
    mean = np.mean([h.mean() for h in halves]) if summed else shift.mean()
    return float((hedges(rest) or 0) * mean / sd)


def of_texts(rows: Any) -> float:
    """Half the mean shift of the preference over the SD of the shifts of single replies, within poles."""
    wide = rows.groupby(["condition", "keyed", "item"]).value_raw.mean().unstack([0, 1])
    high, low = (wide["extraversion=high"][key] - wide["baseline"][key] for key in (1, -1))
    low, n = -low, len(high)
    r = np.corrcoef(high, low)[0, 1]
    sd = np.sqrt((high.var(ddof=1) + low.var(ddof=1)) / 2)
    return float((hedges(2 * (n - 1) / (1 + r**2)) or 0) * (high + low).mean() / 2 / sd)


def test_who_acts_as_they_say_has_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and acts obey alike, noise is alike: the mean gap over the traits is no more than chance."""
    monkeypatch.undo()
    results, _ = run(
        tmp_path, ("ipip_neo_120", "forced_choice", DOES), model_args={"obedience": 0.15, "unsteady": 0.15},
        target="all", scoring=("statement", "choice"),
    )  # fmt: skip
    found = gaps(results)
    beside = {("ipip_neo_120", "choice"), ("ipip_neo_120", "statement"), ("forced_choice", "statement")}
    assert {(one.self_report, one.self_report_filter) for one in found} == beside
    for one in found:
        assert one.mean is not None and one.mean.gap.ci is not None and one.mean.self_report.d is not None
        assert one.mean.gap.ci[0] < 0 < one.mean.gap.ci[1] and one.mean.self_report.d > 1
        assert one.mean.gap.ci[1] - one.mean.gap.ci[0] < 0.8


@pytest.mark.parametrize(
    ("person", "words"),
    [
        ({"obedience": 0.3, "unsteady": 0.04}, {"both"}),
        ({"obedience": 0.0, "acts_obedience": 0.3, "unsteady": 0.04}, {"only behaviour moved"}),
        ({"obedience": 0.0}, {"neither"}),
        ({"obedience": 0.0, "unsteady": 0.1}, {"inconclusive", "neither"}),
    ],
)
def test_every_kind_of_person_is_told_apart(tmp_path: Path, person: dict[str, float], words: set[str]) -> None:
    results, _ = run(tmp_path, model_args=person)
    assert {gap.verdict for found in gaps(results) for gap in found.targets} <= words


def test_it_is_shown_drawn_and_joined_over_runs(tmp_path: Path) -> None:
    both, path = run(tmp_path / "a", target="all", model_args=TWO_FACED)
    told = "\n".join(markdown(table) for table in tables(both))
    assert "What the control did to self-report and to behaviour" in told and "only self-report moved" in told
    (drawn,) = [figure for figure in both.figures() if figure.kind == "gap"]
    assert len(drawn.table.rows) == 3 and drawn._repr_svg_().startswith("<svg")
    assert not [text for text in expressions(drawn.spec) if "extraversion" in text]
    html = across_html({path.name: both})
    assert html.count('id="across"') == 1 and "<figure" in html and "only self-report moved" in html

    # The same control in two runs, and one of another strength that has no counterpart.
    said = run(tmp_path / "b", tasks=(SAYS,), target="all", model_args=TWO_FACED)[1]
    done = run(tmp_path / "b", tasks=(DOES,), target="all", model_args=TWO_FACED)[1]
    lone = run(tmp_path / "b", tasks=(SAYS,), target="all", model_args={**TWO_FACED, "obedience": 0.2})[1]
    shelf = tmp_path / "published"
    for each in (said, done, lone):
        publish(each, shelf)
    board = build(shelf)
    told_beside = [entry for entry in board.entries if entry.joined]
    assert len(told_beside) == 1
    (line,) = told_beside[0].joined["gap"]["statement"]
    (here,) = gaps(both)
    assert here.mean is not None and line["verdict"] == "only self-report moved" and line["targets"] == 3
    assert line["gap"] == pytest.approx(here.mean.gap.d) and line["behaviour"] == pytest.approx(here.mean.behaviour.d)
    assert line["gap_ci"] == pytest.approx(here.mean.gap.ci) and line["behaviour_run"] != told_beside[0].run
    text = render(board)
    assert "Self-report beside behaviour" in text and "only self-report: openness, extraversion" in text
    html = board_page(board, {e.run: Results.model_validate_json((shelf / e.run).read_text()) for e in board.entries},
                      "published")  # fmt: skip
    for column in ("self-report (d)", "situations, statement (d)", "gap (d)"):
        assert column in html
    # An arrow for what two runs hold; what one run holds alone is drawn by its targets, and needs a second beside it.
    (arrows,) = across({each.name: load_results(each) for each in (said, done, lone)})["gap"]
    (row,) = arrows.table.rows
    assert row[1:2] == ["3"] and row[2].startswith(f"{line['self_report']:.2f} [") and row[5] == line["verdict"]
    (value,) = arrows.spec["data"]["values"]
    assert (value["x"], value["y"]) == pytest.approx((line["self_report"], line["behaviour"]))
    assert math.tan(math.radians(value["angle"])) == pytest.approx(value["x"] / value["y"])
    assert arrows._repr_svg_().startswith("<svg")
    alone = across({path.name: both})["gap"]
    assert [figure.kind for figure in alone] == ["gap"]


def test_self_report_stands_beside_each_behaviour_where_their_targets_differ() -> None:
    line = {"behaviour_filter": "choice", "self_report_ci": None, "behaviour": 1.0, "behaviour_ci": None, "gap": 2.0,
            "gap_ci": None, "verdict": "both moved"}  # fmt: skip
    five = {**line, "behaviour_task": "situations", "self_report": 3.0, "targets": 5}
    four = {**line, "behaviour_task": "written", "self_report": 4.0, "gap": 3.0, "targets": 4}
    alike = cells([five, {**five, "behaviour_task": "written"}])
    assert alike["self-report (d)"].value == 3 and not any("beside" in name for name in alike)
    found = cells([five, four])
    for what, own, gap in (("situations, choice", 3, 2), ("written, choice", 4, 3)):
        assert found[f"self-report beside {what} (d)"].value == own and found[f"gap to {what} (d)"].value == gap
    assert found["self-report beside written, choice (d)"].small == "4 targets"


def test_one_side_alone_has_no_gap(tmp_path: Path) -> None:
    assert "gap" not in run(tmp_path, tasks=(SAYS,))[0].across
    assert "gap" not in run(tmp_path, method="none", target=None)[0].across


def test_scoring_modes_in_common_are_set_beside_each_other() -> None:
    part = Part(name="x", values={str(i): [0.1 * i] for i in range(6)}, strata={})
    sides = [Side("says", mode, "self-report", {("poles", "x"): part}) for mode in ("choice", "statement")]
    sides += [Side("does", mode, "behaviour", {("poles", "x"): part}) for mode in ("statement", "other")]
    sides += [Side("writes", "judge", "behaviour", {("poles", "x"): part})]
    sides += [Side("elsewhere", "judge", "behaviour", {("profiles", "x"): part})]
    found = {(p.self_report_filter, p.behaviour, p.behaviour_filter) for p in pairings(sides)}
    assert found == {
        ("statement", "does", "statement"),
        ("choice", "writes", "judge"),
        ("statement", "writes", "judge"),
    }
    assert all(p.targets[0].gap.d == 0 for p in pairings(sides))


def test_an_effect_is_that_of_its_part() -> None:
    part = Part(name="x", values={"a": [0.1, 0.3], "b": [0.5, None], "c": [0.2, 0.4], "d": [None, None]},
                over=["templates", "fits"], shape=[2, 1], strata={"a": 1, "b": 1, "c": 1, "d": -1})  # fmt: skip
    found, means = effect(part), np.array([0.2, 0.5, 0.3])
    assert found.value == pytest.approx((hedges(2) or 0) * means.mean() / means.std(ddof=1)) and found.n == 3
    assert effect(Part(name="x", values={})).value is None


UP, DOWN = Estimate(1.0, 0.1, (0.8, 1.2), 9), Estimate(-1.0, 0.1, (-1.2, -0.8), 9)
STILL, OPEN, NONE = (
    Estimate(0.0, 0.05, (-0.1, 0.1), 9), Estimate(0.4, 0.3, (-0.2, 1.0), 9), Estimate(None, None, None, 0)
)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "done", "gap", "expected"),
    [
        (UP, UP, STILL, "both"),
        (UP, STILL, UP, "only self-report moved"),
        (UP, OPEN, UP, "only self-report moved"),
        (UP, OPEN, OPEN, "inconclusive"),
        (STILL, UP, DOWN, "only behaviour moved"),
        (OPEN, UP, DOWN, "only behaviour moved"),
        (OPEN, UP, OPEN, "inconclusive"),
        (STILL, STILL, STILL, "neither"),
        (OPEN, STILL, OPEN, "inconclusive"),
        (OPEN, OPEN, OPEN, "inconclusive"),
        (UP, DOWN, UP, "against the target"),
        (UP, NONE, NONE, "inconclusive"),
    ],
)
def test_intervals_decide_the_words(said: Estimate, done: Estimate, gap: Estimate, expected: str) -> None:
    assert word(said, done, gap) == expected


def test_the_gap_knows_no_task_by_its_name() -> None:
    """No string of its modules is a task's name, in a comparison or anywhere else."""
    for path in (ROOT / "tasks" / "gap").glob("*.py"):
        words = {n.value for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Constant)}
        assert not words & {*TASKS, SAYS}, path


def test_levels_of_acts_are_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown trait"):
        run(tmp_path, model_args={"acts": "warmth=low"})
    with pytest.raises(UnknownName, match="expected context=share"):
        run(tmp_path, model_args={"forgets": "drift-8"})
