"""Persons in figures: from runs whose nearness to the persons is made up, and so known."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from drawn import expressions, must, shown
from made_runs import person_run

from traitbench.charts.chart import Figure
from traitbench.leaderboard import Leaderboard, render
from traitbench.report import page, svg
from traitbench.report.development import development
from traitbench.runs.results import Results
from traitbench.tasks.person_alignment.alignment import BASELINES, Alignment
from traitbench.tasks.person_alignment.figures import BASELINES as FIRST
from traitbench.tasks.person_alignment.figures import near, persons
from traitbench.tasks.person_alignment.summary import AlignmentBlock
from traitbench.tasks.person_alignment.views import AlignmentViews

TASK = "person_alignment"
HOSTILE = "<script>alert(1)</script>"


def of(results: Results) -> Alignment:
    block = results.tasks[TASK]
    assert isinstance(block, AlignmentBlock)
    return block.modes["choice"].alignment


def drawn(figure: Figure) -> list[dict[str, Any]]:
    """The rows of every panel."""
    return [row for panel in figure.spec["concat"] for row in panel["data"]["values"]]


def test_the_forest_holds_every_row_with_its_interval(made: dict[str, Results]) -> None:
    sources = [made[name] for name in ("pas", "none", "prompting")]
    (figure,) = near(shown(sources, TASK), "choice")
    marks = {(row["group"], row["row"]): row for row in drawn(figure)}
    assert [name for group, name in marks if group == FIRST] == list(BASELINES)
    assert [name for group, name in marks if group == "none"] == ["no control"]
    assert [name for group, name in marks if group == "pas"] == [
        "pas", "pas, prompt only", "pas, shift only", "pas @ 0", "pas @ 2", "pas @ 4",
    ]  # fmt: skip
    source = {row.name: row for row in of(made["pas"]).rows}
    for (group, name), row in marks.items():
        if group == "pas":
            assert (row["value"], (row["low"], row["high"])) == (source[name].mae_sum.value, source[name].mae_sum.ci)
    known = [row.mae_sum.value for row in source.values() if row.kind == "baseline"]
    known += [source[name].mae_sum_argmax.value for name in ("overall mean", "trait mean", "facet mean")]
    least = min(value for value in known if value is not None)
    styles = [(layer, layer["mark"]) for layer in figure.spec["concat"][0]["layer"] if isinstance(layer["mark"], dict)]
    (line,) = [layer for layer, mark in styles if mark.get("style") == "limit"]
    assert line["encoding"]["x"]["datum"] == pytest.approx(least)
    assert f"({least:.2f})" in figure.caption and f"({least:.2f})" in figure.alternative
    (best,) = of(made["pas"]).oracle
    assert [(row["row"], row["oracle"]) for row in marks.values() if row["oracle"] is not None] == [
        ("pas", best.mae_sum.value)
    ]
    assert "Hollow: the oracle" in figure.caption
    assert len(figure.table.rows) == len(marks)


def test_far_off_baselines_are_written_at_the_edge(made: dict[str, Results]) -> None:
    (figure,) = near(shown([made["pas"]], TASK), "choice")
    off = {row["row"] for row in drawn(figure) if row["off"]}
    assert {"constant 1", "constant 5"} <= off and "pas" not in off
    texts = [e.text for e in ElementTree.fromstring(svg(figure)).iter() if e.text]
    assert sum(text.endswith("►") for text in texts) == len(off)
    order = [text for text in texts if text in BASELINES]
    assert order == list(BASELINES), "what is written at the edge keeps its place"


def test_other_persons_are_another_picture(made: dict[str, Results]) -> None:
    found = near(shown([made["pas"], made["others"], made["none"]], TASK), "choice")
    assert [figure.title for figure in found] == [
        "How near to 5 persons, choice scoring", "How near to 4 persons, choice scoring",
    ]  # fmt: skip


def test_each_person_stands_where_both_errors_say(made: dict[str, Results]) -> None:
    runs = shown([made["pas"], made["prompting"], made["none"]], TASK)
    figure = must(persons(runs, "choice"))
    assert len(figure.spec["concat"]) == 2, "a run without a method has nothing to compare"
    alone, plain = figure.spec["concat"]
    source = {row.name: row for row in of(made["pas"]).rows}
    assert {row["person"]: (row["x"], row["y"]) for row in alone["data"]["values"]} == {
        id: (source["pas, prompt only"].persons[id].mae_sum, mine.mae_sum) for id, mine in source["pas"].persons.items()
    }
    assert alone["encoding"]["x"]["title"].endswith("the prompt alone")
    assert plain["encoding"]["x"]["title"].endswith("without control")
    assert alone["encoding"]["x"]["scale"] == alone["encoding"]["y"]["scale"] == plain["encoding"]["x"]["scale"]
    nearer = sum(row["y"] < row["x"] for row in alone["data"]["values"])
    assert f"pas: {nearer} of 5 nearer than under the prompt alone." in figure.caption
    assert len(figure.table.rows) == 10


def test_two_persons_are_too_few_for_a_picture_of_each() -> None:
    few = person_run("x", persons=2, prompt=None)
    assert persons(shown([few], TASK), "choice") is None
    assert len(near(shown([few], TASK), "choice")) == 1


def test_the_page_shows_errors_where_effects_stand_and_marks_the_contaminated(made: dict[str, Results]) -> None:
    text = page({name: made[name] for name in ("pas", "leak", "none")}, "t")
    lines = re.findall(r"<tr data-task=.*?</tr>", text)
    assert len(lines) == 3
    by_run = {"heads=48" in line: line for line in lines if ">pas" in line}
    mine = {row.name: row for row in of(made["pas"]).rows}["pas"].mae_sum
    assert f'data-value="{mine.value!r}" data-unit="error">{mine.value:.2f} [' in by_run[False]
    assert "against facet mean, rounded" in by_run[False]
    assert '<strong class="spoilt">contaminated (7 items)</strong>' in by_run[True]
    assert "spoilt" not in by_run[False]
    assert '<td class="number" data-value="1.5">1.50<span class="unit">fitted in 8 s</span></td>' in by_run[False]
    assert "person:p0" not in text.partition("<h3>levels</h3>")[2].partition("</details>")[0], "the baseline alone"
    assert "8 s, 500 numbers stored" in text


def test_every_figure_of_a_hostile_run_is_drawn_alike_twice() -> None:
    bad: dict[str, Any] = {"settings": {HOSTILE: HOSTILE}, "model_name": HOSTILE}
    run = person_run(HOSTILE, **bad)
    runs = shown([run, person_run("none")], TASK)
    drawn = [*AlignmentViews().figures(runs), *development(runs)]
    assert [figure.kind for figure in drawn] == ["person alignment"] * 2 + ["response style", "development"]
    for figure in drawn:
        json.dumps(figure.spec, allow_nan=False)
        first = svg(figure)
        assert first == svg(figure)
        assert "<script" not in first
        ElementTree.fromstring(first)
        assert not [text for text in expressions(figure.spec) if HOSTILE in text], figure.name
    text = page({"run": run}, HOSTILE)
    assert HOSTILE not in text and "&lt;script&gt;alert(1)" in text
    board = render(Leaderboard(generated_at="", suite="", entries=[run.entry(TASK, HOSTILE)]))
    assert "<script" not in board
