"""Persons on the leaderboard and in figures: from runs whose nearness to the persons is made up, and so known."""

from __future__ import annotations

import json
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traitbench.charts.chart import Figure, named
from traitbench.leaderboard import Entry, Leaderboard, Metrics, build, render, to_entry
from traitbench.report import page, svg
from traitbench.runs.results import Results
from traitbench.store import write_json
from traitbench.tasks.person_alignment.alignment import BASELINES
from traitbench.tasks.person_alignment.figures import BASELINES as FIRST
from traitbench.tasks.person_alignment.figures import near, persons
from traitbench.tasks.person_alignment.ranking import PersonRow, head
from traitbench.tasks.questionnaire.figures.effects import figures

TASK = "person_alignment"
HOSTILE = "<script>alert(1)</script>"
Made = Callable[..., Results]


@pytest.fixture(scope="module")
def made(person_run: Made) -> dict[str, Results]:
    """Six runs: five with the same persons, one of them fitted on test items, and one with others."""
    return {
        "pas": person_run(),
        "none": person_run("none"),
        "prompting": person_run("prompting", prompt=None, own=0.3, settings={"style": "person"}),
        "leak": person_run(own=0.95, coefs=(), contaminated={TASK: 7}, settings={"heads": 48}),
        "flat": person_run("flat", own=0.0, prompt=None, noise=0.02),
        "others": person_run("others", persons=4, people=9, prompt=None, own=0.5),
    }


def published(made: dict[str, Results], to: Path) -> Path:
    for name, results in made.items():
        write_json(to / name / "results_1.json", results.model_dump(mode="json", by_alias=True))
    return to


@pytest.fixture(scope="module")
def board(made: dict[str, Results], tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return build(published(made, tmp_path_factory.mktemp("persons")))


def entry(board: Leaderboard, name: str) -> Entry:
    (found,) = [e for e in board.entries if e.run == f"{name}/results_1.json"]
    return found


def rows(board: Leaderboard, name: str) -> dict[str, PersonRow]:
    found = entry(board, name).metrics["choice"].persons
    assert len({row.name for row in found}) == len(found)
    return {row.name: row for row in found}


def must(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def drawn(figure: Figure) -> list[dict[str, Any]]:
    """The rows of every panel."""
    return [row for panel in figure.spec["concat"] for row in panel["data"]["values"]]


def test_rows_are_those_of_the_alignment_without_its_strengths(made: dict[str, Results], board: Leaderboard) -> None:
    source = {row.name: row for row in made["pas"].alignment[TASK]["choice"].rows}
    found = rows(board, "pas")
    assert {"pas @ 0", "pas @ 2", "pas @ 4"} <= source.keys()
    assert list(found) == [*BASELINES, "no control", "pas", "pas, prompt only", "pas, shift only"]
    for name, row in found.items():
        theirs = source[name]
        assert (row.error, row.error_ci) == (theirs.mae_sum.value, theirs.mae_sum.ci)
        assert (row.argmax, row.published) == (theirs.mae_sum_argmax.value, theirs.published.value)
        assert (row.correlation, row.coverage, row.persons) == (theirs.correlation.value, 1.0, 5)
        assert (row.to_nearest is None) == (name in BASELINES)
    assert found["pas"].to_prompt is not None and source["pas"].to_reference is not None
    assert found["pas"].to_prompt.value == source["pas"].to_reference.value < 0
    assert found["no control"].to_prompt is found["pas, prompt only"].to_prompt is None
    (best,) = made["pas"].alignment[TASK]["choice"].oracle
    assert found["pas"].oracle == best.mae_sum.value
    assert [name for name, row in found.items() if row.oracle is not None] == ["pas"]
    assert rows(board, "prompting")["prompting"].to_prompt is None, (
        "there is no prompt without the rest to compare with"
    )
    assert head(list(found.values())) == found["pas"]
    assert head(list(rows(board, "none").values())) == rows(board, "none")["no control"]
    assert head([]) is None


def test_a_rank_is_one_plus_the_rows_wholly_below(board: Leaderboard) -> None:
    same = ("pas", "none", "prompting", "leak", "flat")
    assert len({entry(board, name).persons_hash for name in same}) == 1
    assert entry(board, "others").persons_hash != entry(board, "pas").persons_hash
    # By hand over all rows that may be ranked, baselines and `no control` counted once.
    unique = {(row.name if row.kind in ("baseline", "no control") else f"{name} {row.name}"): row
              for name in same for row in rows(board, name).values()}  # fmt: skip
    allowed = [row for row in unique.values() if not row.unranked]
    assert len(allowed) > len(BASELINES)
    for row in unique.values():
        if row.unranked:
            assert row.rank is None
            continue
        assert row.error_ci is not None
        assert row.rank == 1 + sum(o.error_ci[1] < row.error_ci[0] for o in allowed if o.error_ci)
    assert rows(board, "pas")["pas"].rank == 1
    assert entry(board, "pas").metrics["choice"].rank == 1
    for name in same:
        mine = rows(board, name)
        assert [mine[b].rank for b in BASELINES] == [unique[b].rank for b in BASELINES], "the same in every run"
    assert rows(board, "others")["others"].rank is not None
    assert rows(board, "others")["facet mean"].error != rows(board, "pas")["facet mean"].error


def test_contaminated_degenerate_and_limited_rows_are_not_ranked(board: Leaderboard, person_run: Made) -> None:
    leak = rows(board, "leak")
    assert leak["pas"].error is not None and leak["pas"].error < (rows(board, "pas")["pas"].error or 0)
    assert {leak[n].unranked for n in leak if n.startswith("pas")} == {"contaminated (7 items)"}
    assert entry(board, "leak").metrics["choice"].rank is None
    assert leak["facet mean"].rank is not None and leak["no control"].rank is not None, "nothing was fitted for these"
    assert rows(board, "flat")["flat"].unranked in ("degenerate", "not interpretable"), "it says 3 to everything"
    limited = to_entry(person_run("x", prompt=None, limit=40), TASK, "x")
    assert {row.unranked for row in limited.metrics["choice"].persons} == {"first 40 items"}
    alone = to_entry(person_run("x", persons=1, prompt=None), TASK, "x")
    assert {row.unranked for row in alone.metrics["choice"].persons} == {"no interval"}


def test_the_table_holds_each_baseline_and_no_control_once(board: Leaderboard) -> None:
    text = render(board)
    tables = re.findall(r"\*\*person_alignment, choice: (.*?)\*\*\n\n(.*?)\n\n", text, re.S)
    assert sorted(title.partition(" (")[0] for title, _ in tables) == [
        "4 persons, 40 test items", "5 persons, 40 test items",
    ]  # fmt: skip
    (body,) = [body for title, body in tables if title.startswith("5")]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]
    columns, shown = lines[0], lines[2:]
    assert columns[:4] == ["rank", "model", "row", "error [95 %]"] and columns[-1] == "verdict"
    names = [line[2] for line in shown]
    assert sorted(names) == sorted([
        *BASELINES, "no control", "pas", "pas, prompt only", "pas, shift only", "prompting (style=person)", "flat",
        "pas (heads=48)", "pas (heads=48), prompt only", "pas (heads=48), shift only",
    ])  # fmt: skip
    errors = [float(line[3].split()[0]) for line in shown]
    assert errors == sorted(errors), "nearest first, ranked or not"
    spoilt = shown[names.index("pas (heads=48)")]
    assert (spoilt[0], spoilt[-1]) == ("–", "contaminated (7 items)")
    plain = shown[names.index("pas")]
    assert plain[columns.index("damage (perplexity)")] == "1.50" and plain[columns.index("fit (s)")] == "8"
    assert plain[columns.index("oracle (not ranked)")].startswith(f"{rows(board, 'pas')['pas'].oracle:.2f} [")
    assert "facet mean, rounded: -" in plain[columns.index("vs nearest trivial baseline [95 %]")]


def test_the_order_of_the_files_does_not_matter(made: dict[str, Results], board: Leaderboard, tmp_path: Path) -> None:
    shuffled = list(made.items())
    random.Random(3).shuffle(shuffled)
    again = build(published(dict(shuffled), tmp_path))
    assert again == board and render(again) == render(board)
    assert Leaderboard.model_validate_json(again.model_dump_json()) == again
    json.dumps(again.model_dump(mode="json"), allow_nan=False)


def test_other_tasks_have_no_persons() -> None:
    assert Metrics.model_fields["persons"].default == []


def test_the_forest_holds_every_row_with_its_interval(made: dict[str, Results]) -> None:
    sources = [made[name] for name in ("pas", "none", "prompting")]
    (figure,) = near(named(sources, TASK), "choice")
    shown = {(row["group"], row["row"]): row for row in drawn(figure)}
    assert [name for group, name in shown if group == FIRST] == list(BASELINES)
    assert [name for group, name in shown if group == "none"] == ["no control"]
    assert [name for group, name in shown if group == "pas"] == [
        "pas", "pas, prompt only", "pas, shift only", "pas @ 0", "pas @ 2", "pas @ 4",
    ]  # fmt: skip
    source = {row.name: row for row in made["pas"].alignment[TASK]["choice"].rows}
    for (group, name), row in shown.items():
        if group == "pas":
            assert (row["value"], (row["low"], row["high"])) == (source[name].mae_sum.value, source[name].mae_sum.ci)
    known = [row.mae_sum.value for row in source.values() if row.kind == "baseline"]
    known += [source[name].mae_sum_argmax.value for name in ("overall mean", "trait mean", "facet mean")]
    least = min(value for value in known if value is not None)
    styles = [(layer, layer["mark"]) for layer in figure.spec["concat"][0]["layer"] if isinstance(layer["mark"], dict)]
    (line,) = [layer for layer, mark in styles if mark.get("style") == "limit"]
    assert line["encoding"]["x"]["datum"] == pytest.approx(least)
    assert f"({least:.2f})" in figure.caption and f"({least:.2f})" in figure.alternative
    (best,) = made["pas"].alignment[TASK]["choice"].oracle
    assert [(row["row"], row["oracle"]) for row in shown.values() if row["oracle"] is not None] == [
        ("pas", best.mae_sum.value)
    ]
    assert "Hollow: the oracle" in figure.caption
    assert len(figure.table.rows) == len(shown)


def test_far_off_baselines_are_written_at_the_edge(made: dict[str, Results]) -> None:
    (figure,) = near(named([made["pas"]], TASK), "choice")
    off = {row["row"] for row in drawn(figure) if row["off"]}
    assert {"constant 1", "constant 5"} <= off and "pas" not in off
    texts = [e.text for e in ElementTree.fromstring(svg(figure)).iter() if e.text]
    assert sum(text.endswith("►") for text in texts) == len(off)
    order = [text for text in texts if text in BASELINES]
    assert order == list(BASELINES), "what is written at the edge keeps its place"


def test_other_persons_are_another_picture(made: dict[str, Results]) -> None:
    found = near(named([made["pas"], made["others"], made["none"]], TASK), "choice")
    assert [figure.title for figure in found] == [
        "How near to 5 persons, choice scoring", "How near to 4 persons, choice scoring",
    ]  # fmt: skip


def test_each_person_stands_where_both_errors_say(made: dict[str, Results]) -> None:
    runs = named([made["pas"], made["prompting"], made["none"]], TASK)
    figure = must(persons(runs, "choice"))
    assert len(figure.spec["concat"]) == 2, "a run without a method has nothing to compare"
    alone, plain = figure.spec["concat"]
    source = {row.name: row for row in made["pas"].alignment[TASK]["choice"].rows}
    assert {row["person"]: (row["x"], row["y"]) for row in alone["data"]["values"]} == {
        id: (source["pas, prompt only"].persons[id].mae_sum, mine.mae_sum) for id, mine in source["pas"].persons.items()
    }
    assert alone["encoding"]["x"]["title"].endswith("the prompt alone")
    assert plain["encoding"]["x"]["title"].endswith("without control")
    assert alone["encoding"]["x"]["scale"] == alone["encoding"]["y"]["scale"] == plain["encoding"]["x"]["scale"]
    nearer = sum(row["y"] < row["x"] for row in alone["data"]["values"])
    assert f"pas: {nearer} of 5 nearer than under the prompt alone." in figure.caption
    assert len(figure.table.rows) == 10


def test_two_persons_are_too_few_for_a_picture_of_each(person_run: Made) -> None:
    few = person_run("x", persons=2, prompt=None)
    assert persons(named([few], TASK), "choice") is None
    assert len(near(named([few], TASK), "choice")) == 1


def test_the_page_shows_errors_where_effects_stand_and_marks_the_contaminated(made: dict[str, Results]) -> None:
    text = page({name: made[name] for name in ("pas", "leak", "none")}, "t")
    lines = re.findall(r"<tr data-task=.*?</tr>", text)
    assert len(lines) == 3
    by_run = {"heads=48" in line: line for line in lines if ">pas" in line}
    mine = {row.name: row for row in made["pas"].alignment[TASK]["choice"].rows}["pas"].mae_sum
    assert f'data-value="{mine.value!r}" data-unit="error">{mine.value:.2f} [' in by_run[False]
    assert "against facet mean, rounded" in by_run[False]
    assert '<strong class="spoilt">contaminated (7 items)</strong>' in by_run[True]
    assert "spoilt" not in by_run[False]
    assert '<td class="number" data-value="1.5">1.50<span class="unit">fitted in 8 s</span></td>' in by_run[False]
    assert "person:p0" not in text.partition("<h3>levels</h3>")[2].partition("</details>")[0], "the baseline alone"
    assert "8 s, 500 numbers stored" in text


def test_every_figure_of_a_hostile_run_is_drawn_alike_twice(person_run: Made, expressions: Any) -> None:
    bad: dict[str, Any] = {"settings": {HOSTILE: HOSTILE}, "model_name": HOSTILE}
    run = person_run(HOSTILE, **bad)
    drawn = figures(named([run, person_run("none")], TASK))
    assert {"person alignment", "development", "response style"} <= {figure.kind for figure in drawn}
    for figure in drawn:
        json.dumps(figure.spec, allow_nan=False)
        first = svg(figure)
        assert first == svg(figure)
        assert "<script" not in first
        ElementTree.fromstring(first)
        assert not [text for text in expressions(figure.spec) if HOSTILE in text], figure.name
    text = page({"run": run}, HOSTILE)
    assert HOSTILE not in text and "&lt;script&gt;alert(1)" in text
    board = render(Leaderboard(generated_at="", suite="", entries=[to_entry(run, TASK, HOSTILE)]))
    assert "<script" not in board
