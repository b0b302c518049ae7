"""Persons on the leaderboard: from runs whose nearness to the persons is made up, and so known."""

from __future__ import annotations

import json
import random
import re
from itertools import combinations

import numpy as np
import pytest
from made_runs import person_run
from scipy.stats import ttest_rel

from traitbench.leaderboard import Leaderboard, board_of, render
from traitbench.runs.results import Results
from traitbench.statistics.comparison import holm
from traitbench.tasks.board import Entry
from traitbench.tasks.person_alignment.alignment import BASELINES, Alignment
from traitbench.tasks.person_alignment.ranking import PersonRow, head, held
from traitbench.tasks.person_alignment.summary import AlignmentBlock

TASK = "person_alignment"


def near(results: Results) -> Alignment:
    block = results.tasks[TASK]
    assert isinstance(block, AlignmentBlock)
    return block.modes["choice"].alignment


def placed(made: dict[str, Results]) -> dict[str, Results]:
    """The runs by the path that each would have below the published folder."""
    return {f"{name}/results_1.json": results for name, results in made.items()}


@pytest.fixture(scope="module")
def board(made: dict[str, Results]) -> Leaderboard:
    return board_of(placed(made))


def entry(board: Leaderboard, name: str) -> Entry:
    (found,) = [e for e in board.entries if e.run == f"{name}/results_1.json"]
    return found


def rows(board: Leaderboard, name: str) -> dict[str, PersonRow]:
    found = held(entry(board, name), "choice").persons
    assert len({row.name for row in found}) == len(found)
    return {row.name: row for row in found}


def test_rows_are_those_of_the_alignment_without_its_strengths(made: dict[str, Results], board: Leaderboard) -> None:
    source = {row.name: row for row in near(made["pas"]).rows}
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
    (best,) = near(made["pas"]).oracle
    assert found["pas"].oracle == best.mae_sum.value
    assert [name for name, row in found.items() if row.oracle is not None] == ["pas"]
    assert rows(board, "prompting")["prompting"].to_prompt is None, (
        "there is no prompt without the rest to compare with"
    )
    assert head(list(found.values())) == found["pas"]
    assert head(list(rows(board, "none").values())) == rows(board, "none")["no control"]
    assert head([]) is None


def errors_of(made: dict[str, Results], name: str) -> dict[str, list[float | None]]:
    """Row -> the error of each person."""
    return {row.name: [person.mae_sum for person in row.persons.values()] for row in near(made[name]).rows}


def test_ranks_are_what_paired_tests_over_the_persons_tell_apart(made: dict[str, Results], board: Leaderboard) -> None:
    same = ("pas", "none", "prompting", "leak", "flat")
    assert len({held(entry(board, name), "choice").persons_hash for name in same}) == 1
    assert held(entry(board, "others"), "choice").persons_hash != held(entry(board, "pas"), "choice").persons_hash
    # By hand over all rows that may be ranked, baselines and `no control` counted once.
    unique = {(row.name if row.kind in ("baseline", "no control") else f"{name} {row.name}"): (row, name)
              for name in same for row in rows(board, name).values()}  # fmt: skip
    allowed = [(row, errors_of(made, name)[row.name]) for row, name in unique.values() if not row.unranked]
    assert len(allowed) > len(BASELINES)
    pairs = list(combinations(range(len(allowed)), 2))
    tests = [ttest_rel(allowed[i][1], allowed[j][1]) for i, j in pairs]
    better = np.zeros((len(allowed), len(allowed)), dtype=bool)
    for (i, j), found, p in zip(pairs, tests, holm([float(t.pvalue) for t in tests]), strict=True):
        if p is not None and p < 0.05:
            better[(i, j) if found.statistic < 0 else (j, i)] = True
    assert better.any() and not better[np.triu_indices(len(allowed))].all()
    for place, (row, _) in enumerate(allowed):
        assert row.rank == 1 + better[:, place].sum()
        assert row.rank_high == len(allowed) - better[place].sum()
        chances = [1 - float(ttest_rel(allowed[place][1], other, alternative="greater").pvalue)
                   for k, (_, other) in enumerate(allowed) if k != place]  # fmt: skip
        assert row.superiority == pytest.approx(1 - sum(chances) / len(chances))
    assert all(row.rank is row.rank_high is row.superiority is None for row, _ in unique.values() if row.unranked)
    assert rows(board, "pas")["pas"].rank == 1
    told = entry(board, "pas").metrics["choice"]
    assert (told["rank"], told["rank_high"]) == (1, rows(board, "pas")["pas"].rank_high)
    for name in same:
        mine = rows(board, name)
        assert [mine[b].rank for b in BASELINES] == [unique[b][0].rank for b in BASELINES], "the same in every run"
    assert rows(board, "others")["others"].rank is not None
    assert rows(board, "others")["facet mean"].error != rows(board, "pas")["facet mean"].error


def test_contaminated_degenerate_and_limited_rows_are_not_ranked(board: Leaderboard) -> None:
    leak = rows(board, "leak")
    assert leak["pas"].error is not None and leak["pas"].error < (rows(board, "pas")["pas"].error or 0)
    assert {leak[n].unranked for n in leak if n.startswith("pas")} == {"contaminated (7 items)"}
    assert entry(board, "leak").metrics["choice"]["rank"] is None
    assert leak["facet mean"].rank is not None and leak["no control"].rank is not None, "nothing was fitted for these"
    assert rows(board, "flat")["flat"].unranked in ("degenerate", "not interpretable"), "it says 3 to everything"
    limited = person_run("x", prompt=None, limit=40).entry(TASK, "x")
    assert {row.unranked for row in held(limited, "choice").persons} == {"first 40 items"}
    alone = person_run("x", persons=1, prompt=None).entry(TASK, "x")
    assert {row.unranked for row in held(alone, "choice").persons} == {"no interval"}


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


def test_the_order_of_the_files_does_not_matter(made: dict[str, Results], board: Leaderboard) -> None:
    shuffled = list(made.items())
    random.Random(3).shuffle(shuffled)
    again = board_of(placed(dict(shuffled)))
    assert again == board and render(again) == render(board)
    assert Leaderboard.model_validate_json(again.model_dump_json()).model_dump() == again.model_dump()
    json.dumps(again.model_dump(mode="json"), allow_nan=False)
