"""Whether the fits of a run found anything: the rule by hand, and every place that shows it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from made_runs import person_run, strength_run

from traitbench.leaderboard import board_of, render
from traitbench.report.board import board_page
from traitbench.report.overview import overview
from traitbench.runs.fitting import choices, finds
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.tasks.board import Contender, Row, standing
from traitbench.tasks.findings import FOUND_NOTHING, Findings, FitTest, evidence, findings, unfound, untested
from traitbench.types import Find, Fit


def find(p: float, observed: float = 0.5, draws: int = 199) -> Find:
    return Find(statistic="overlap", on="the scenes", observed=observed, null=(0.1, 0.2), draws=draws, p=p)


def with_finds(results: Results, **ps: float | None) -> Results:
    """The run, the fits of each trait (or person) with one test of this p; None: untested."""
    given = {
        name: find(p, 0.5 + n / 100) if p is not None else None
        for n, (name, p) in enumerate(ps.items())
    }  # fmt: skip
    fits = {
        name: fit.model_copy(update={"find": given[name.partition("=")[0].removeprefix("person:")]})
        for name, fit in results.fits.items()
    }
    return results.model_copy(update={"fits": fits})


@pytest.fixture(scope="module")
def run() -> Results:
    return strength_run()


def test_without_tests_there_is_no_finding(run: Results) -> None:
    assert findings(run) is None and unfound(run) == [] and finds(run) == []
    entry = run.entry("mini_ipip", "a/results_1.json")
    assert entry.findings is None and "findings" not in entry.model_dump(mode="json")


def test_a_fit_that_cannot_be_tested_says_why(run: Results) -> None:
    """The neurons of imported lists come from no search."""
    told = {"find": {"test": "not tested: the neurons were given"}}
    fits = {n: fit.model_copy(update={"details": {**fit.details, **told}}) for n, fit in run.fits.items()}
    given = run.model_copy(update={"fits": fits})
    (line,) = untested(given)
    assert line.endswith(": the neurons were given") and all(name in line for name in list(fits)[:6])
    assert unfound(given) == [line] and finds(given) == []
    (table,) = choices(given)
    assert any(line[1:] in note for note in table.notes)
    off = {
        n: fit.model_copy(update={"details": {"find": {"test": "left out (find=false)"}}}) for n, fit in fits.items()
    }
    assert unfound(run.model_copy(update={"fits": off})) == [], "who leaves the test out knows it"


def test_both_poles_of_a_trait_are_one_test(run: Results) -> None:
    found = findings(with_finds(run, openness=0.03, neuroticism=0.02))
    assert found is not None and [(t.targets, t.p) for t in found.tests] == [
        (["openness=high", "openness=low"], 0.03), (["neuroticism=high", "neuroticism=low"], 0.02),
    ]  # fmt: skip
    assert [t.adjusted for t in found.tests] == [pytest.approx(0.03), pytest.approx(0.03)], "not times four"
    assert not found.nothing and not found.whole


def test_the_adjustment_by_hand() -> None:
    """Benjamini and Hochberg: .01 x 5, .02 x 5 / 2, .04 x 5 / 3, .30 x 5 / 4, .90, each at most the next."""
    fits = {f"t{n}": Fit(method="m", version="1", find=find(p, n)) for n, p in enumerate((0.9, 0.02, 0.01, 0.3, 0.04))}
    found = findings(strength_run(traits=("openness",)).model_copy(update={"fits": fits}))
    assert found is not None
    by_hand = [0.9, 0.05, 0.05, 0.375, 0.04 * 5 / 3]
    assert [t.adjusted for t in found.tests] == pytest.approx(by_hand)
    assert [t.found for t in found.tests] == [False, True, True, False, False]
    assert found.nothing == ["t0", "t3", "t4"] and not found.whole


def test_nineteen_shuffles_are_enough_where_every_target_finds_something(run: Results) -> None:
    found = findings(with_finds(run, openness=0.05, neuroticism=0.05))
    assert found is not None and not found.nothing


def test_noise_is_called_nothing_in_nineteen_runs_of_twenty() -> None:
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(400):
        ps = (1 + rng.integers(0, 200, 5)) / 200
        fits = {f"t{n}": Fit(method="m", version="1", find=find(float(p), n)) for n, p in enumerate(ps)}
        found = findings(BARE.model_copy(update={"fits": fits}))
        called += found is not None and not found.whole
    assert called <= 29, "binomial, 400 x .05: 29 is the 98th percentile"


BARE = strength_run(traits=("openness",))


def test_several_fits_of_a_target_count_by_twice_their_median(run: Results) -> None:
    held = with_finds(run, openness=0.01, neuroticism=0.01)
    refits = {"openness=high": [held.fits["openness=high"].model_copy(update={"find": find(p)}) for p in (0.3, 0.02)]}
    found = findings(held.model_copy(update={"refits": refits}))
    assert found is not None
    by_name = {test.targets[0]: test for test in found.tests}
    assert by_name["openness=high"].p == pytest.approx(0.04) and by_name["openness=high"].fits == 3
    assert by_name["openness=low"].p == 0.01 and by_name["openness=low"].fits == 1
    (table,) = finds(held.model_copy(update={"refits": refits}))
    assert any(note.startswith("Several fits of a target") for note in table.notes)


def test_what_is_not_tested_forbids_to_say_that_nothing_was_found(run: Results) -> None:
    found = findings(with_finds(run, openness=0.9, neuroticism=None))
    assert found is not None and found.untested == ["neuroticism=high", "neuroticism=low"]
    assert found.nothing == ["openness=high", "openness=low"] and not found.whole


def test_the_targets_in_words() -> None:
    def of(*names: str, untested: tuple[str, ...] = ()) -> Findings:
        lost = FitTest(targets=list(names), find=find(1.0), p=1.0, adjusted=1.0)
        won = FitTest(targets=["openness=high"], find=find(0.01), p=0.01, adjusted=0.01)
        return Findings(tests=[lost, won], untested=list(untested))

    assert of("neuroticism=high", "neuroticism=low").lacking == "neuroticism"
    assert of("openness=low", "neuroticism=high").lacking == "openness=low, neuroticism"
    assert of("neuroticism=high", untested=("neuroticism=low",)).lacking == "neuroticism=high"
    assert of("openness=high,neuroticism=low").lacking == "openness=high,neuroticism=low"
    assert of(*(f"person:{n}" for n in range(7))).lacking == "7 of 8 targets"
    assert of("neuroticism=high").lacks("neuroticism") and not of("openness=low").lacks("openness")
    assert not of("neuroticism=high").lacks("neuro")


def test_the_table_of_a_run(run: Results) -> None:
    held = with_finds(run, openness=0.005, neuroticism=0.4)
    (table,) = finds(held)
    assert table.title == "Did npti find anything?" and table in tables(held)
    assert dict(zip(table.columns, table.rows[1], strict=True)) == {
        "target": "neuroticism=high, neuroticism=low", "what": "overlap", "observed": "0.510", "by chance": "0.100",
        "95 %": "0.200", "shuffles": "199", "p": "0.400", "p over all": "0.400", "found": "nothing",
    }  # fmt: skip
    assert table.rows[0][-1] == "yes" and table.notes[0] == f"npti {FOUND_NOTHING} for neuroticism."
    assert unfound(held) == [f"npti {FOUND_NOTHING} for neuroticism"]
    nothing = with_finds(run, openness=0.2, neuroticism=0.4)
    assert finds(nothing)[0].notes[0].startswith(f"npti {FOUND_NOTHING}: a result")
    assert next(evidence(findings(nothing) or Findings(tests=[]))) == (
        "openness=high, openness=low: overlap 0.500, by chance 0.100 (95 %: 0.200), p = 0.200, over all tests 0.400"
    )


def boarded(*runs: Results) -> Any:
    return board_of({f"run{n}/results_1.json": each for n, each in enumerate(runs)})


def test_a_run_that_found_nothing_says_so_in_place_of_verdict_and_rank_and_holds_nobody_back(run: Results) -> None:
    other = strength_run("residual", gain=0.06)
    plain = boarded(run, other)
    ranks = {e.run: e.metrics["statement"]["rank"] for e in plain.entries}
    assert ranks == {"run0/results_1.json": 1, "run1/results_1.json": 2}
    board = boarded(with_finds(run, openness=0.2, neuroticism=0.4), other)
    first, second = sorted(board.entries, key=lambda e: e.run)
    for mode, metrics in first.metrics.items():
        assert (metrics["rank"], metrics["unranked"]) == (None, FOUND_NOTHING)
        assert metrics["effect"] == plain.entries[0].metrics[mode]["effect"], "its numbers stay"
        assert standing(first, mode) == FOUND_NOTHING
    assert second.metrics["statement"]["rank"] == 1 and FOUND_NOTHING not in json.dumps(second.metrics)
    text = render(board)
    rows = [line for line in text.splitlines() if line.startswith("| – | model | npti |")]
    assert len(rows) == 2 and all(row.endswith(f"| {FOUND_NOTHING} |") for row in rows)
    assert "- Found nothing: what was fitted" in text and "Found nothing:" not in render(plain)
    held = json.loads(board.model_dump_json())["entries"]
    assert sum("findings" in entry for entry in held) == 1


def test_targets_that_found_nothing_are_marked_and_the_run_is_ranked(run: Results) -> None:
    held = with_finds(run, openness=0.005, neuroticism=0.4)
    board = boarded(held)
    (entry,) = board.entries
    assert entry.metrics["statement"]["rank"] == 1
    assert standing(entry, "statement").endswith("; found nothing for neuroticism")
    page = board_page(board, {entry.run: held}, ".")
    assert f"neuroticism: {FOUND_NOTHING}" in page and "openness: found nothing" not in page
    assert f'value="{FOUND_NOTHING.replace(" ", "-")}"' not in page


def test_the_pages_show_it_with_its_evidence(run: Results) -> None:
    held = with_finds(run, openness=0.2, neuroticism=0.4)
    board = boarded(held)
    page = board_page(board, {"run0/results_1.json": held}, ".")
    assert f"</svg>{FOUND_NOTHING}</span>" in page and f"not ranked: {FOUND_NOTHING}" in page
    assert "overlap 0.500, by chance 0.100" in page and f">{FOUND_NOTHING}</option>" in page
    assert f"<dt>{FOUND_NOTHING.capitalize()}</dt>" in page
    table = overview({"run": held})
    assert f"</svg>{FOUND_NOTHING}</span>" in table and f'data-verdict="{FOUND_NOTHING}"' in table
    before = overview({"run": run})
    assert FOUND_NOTHING not in before and FOUND_NOTHING not in board_page(
        boarded(run), {"run0/results_1.json": run}, "."
    )


def test_persons_rows_that_rest_on_the_fit_are_not_ranked_and_the_prompt_alone_is() -> None:
    plain = person_run()
    held = with_finds(plain, **{name.removeprefix("person:"): 0.5 for name in plain.fits})
    ids = [f"p{n}" for n in range(5)]
    assert list(held.fits) == [f"person:{id}" for id in ids]
    (entry,) = boarded(held).entries
    rows = {row["name"]: row for row in entry.metrics["choice"]["persons"]}
    for name in ("pas", "pas, shift only"):
        assert (rows[name]["rank"], rows[name]["unranked"]) == (None, FOUND_NOTHING)
    assert rows["pas, prompt only"]["rank"] and rows["pas, prompt only"]["unranked"] == ""
    assert all(row["rank"] for row in rows.values() if row["kind"] == "baseline")
    assert entry.metrics["choice"]["rank"] is None
    text = render(boarded(held))
    assert [line.endswith(f"| {FOUND_NOTHING} |") for line in text.splitlines() if "| pas |" in line] == [True]
    assert not [line for line in text.splitlines() if "prompt only |" in line and FOUND_NOTHING in line]
    page = board_page(boarded(held), {entry.run: held}, ".")
    assert page.count(f"</svg>{FOUND_NOTHING}</span>") == 2


def test_a_row_of_any_task_loses_its_rank_and_baselines_keep_theirs() -> None:
    told = [Contender(name="x", value=1.0, ci=(0.5, 1.5)), Contender(name="guess", value=1.0, ci=None, once="all"),
            Contender(name="words", value=1.0, ci=None, fitted=False)]  # fmt: skip
    row = Row(metrics={"x": 1.0}, contenders=told).found_nothing()
    assert [c.unranked for c in row.contenders] == [FOUND_NOTHING, "", ""] and row.metrics == {"x": 1.0}
    assert (
        Row(metrics={"unranked": "no effect"}, contenders=told[1:]).found_nothing().metrics["unranked"] == "no effect"
    )
