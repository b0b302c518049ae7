"""An inventory in other words: the same respondent is equivalent, another one is not, and few items leave it open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quiet import Quiet
from scipy import stats

from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import graded, rescore
from traitbench.runs.plan import Plan
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.tasks.questionnaire.equated import MEAN, Equated, Pairs, Values, equated
from traitbench.tasks.questionnaire.equivalence import Equivalences, EquivalencesBlock
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock
from traitbench.types import BIG_FIVE, Mode

FIRST, WORDED = "mini_ipip", "mini_ipip_model"
PROMPTED = {"method": "prompting", "target": "all"}


def run(folder: Path, **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": (FIRST, WORDED), "bootstrap_iters": 20,
        **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def joined(first: Path, worded: Path) -> dict[Mode, Pairs]:
    """The original as one respondent answered it, beside the rewording as another one did."""
    one, other = graded(first), graded(worded)
    samples = {FIRST: one.samples[FIRST], WORDED: other.samples[WORDED]}
    block = Equivalences().join(one.kept, one.tasks, samples)
    assert block is not None
    return {pairs.mode: pairs for pairs in block.pairs}


def of(pairs: Pairs, what: str) -> dict[str, Equated]:
    return {one.name: one for one in pairs.found if one.what == what}


def test_the_same_levels_and_effects_are_equivalent(tmp_path: Path) -> None:
    results, path = run(tmp_path, model_args={"obedience": 0.2, "item_sd": 0.1, "openness": 0.7}, **PROMPTED)
    block = results.across["equivalence"]
    assert isinstance(block, EquivalencesBlock)
    assert [(p.original, p.reworded, p.mode, p.bound, p.unpaired) for p in block.pairs] == [
        (FIRST, WORDED, "choice", 3.0, 0), (FIRST, WORDED, "statement", 0.1, 0),
    ]  # fmt: skip
    choice, statement = block.pairs
    assert list(of(choice, "level")) == list(BIG_FIVE) and not of(statement, "level"), "no level in a log-likelihood"
    for pairs, whole in ((choice, 40), (statement, 0.4)):
        assert list(of(pairs, "effect")) == [*BIG_FIVE, MEAN] and of(pairs, "effect")[MEAN].n == 20
        assert {one.verdict for one in pairs.found} == {"equivalent"}
        assert of(pairs, "effect")[MEAN].original.value == pytest.approx(whole, rel=0.1)
    assert choice.r["level"][0] == pytest.approx(1)
    told = [table for table in tables(results) if "in other words" in table.title]
    assert [len(table.rows) for table in told] == [11, 6] and "bounds ±3." in told[0].notes[0]
    assert rescore(path).across == results.across


def test_other_levels_and_other_effects_are_not(tmp_path: Path) -> None:
    noisy = {"item_sd": 0.02, "unsteady": 0.02}
    _, mine = run(tmp_path / "a", model_args={"openness": 0.9, "obedience": 0.1, **noisy}, **PROMPTED)
    _, other = run(tmp_path / "b", model_args={"openness": 0.4, "obedience": 0.3, "seed": 2, **noisy}, **PROMPTED)
    found = joined(mine, other)
    level = of(found["choice"], "level")["openness"]
    assert level.verdict == "original higher" and level.difference == pytest.approx(50, abs=6)
    for pairs in found.values():
        effect = of(pairs, "effect")
        assert effect[MEAN].verdict == "reworded higher" and not effect[MEAN].equivalence.equivalent
        assert "equivalent" not in {one.verdict for one in effect.values()}


def test_every_item_differing_alike_is_a_difference(tmp_path: Path) -> None:
    _, mine = run(tmp_path / "a", model_args={"openness": 0.8})
    _, other = run(tmp_path / "b", model_args={"openness": 0.3})
    levels = of(joined(mine, other)["choice"], "level")
    assert levels["openness"].verdict == "original higher" and levels["openness"].p == 0
    assert {levels[trait].verdict for trait in BIG_FIVE[1:]} == {"equivalent"}
    assert not levels["openness"].equivalence.equivalent and levels["openness"].r == pytest.approx(-1)


def test_four_items_with_noise_leave_it_open(tmp_path: Path) -> None:
    _, mine = run(tmp_path / "a", model_args={"item_sd": 0.15})
    _, other = run(tmp_path / "b", model_args={"item_sd": 0.15, "seed": 5})
    levels = of(joined(mine, other)["choice"], "level")
    assert {one.verdict for one in levels.values()} == {"inconclusive"}
    assert all(one.n == 4 and one.r is not None and abs(one.r) < 1 for one in levels.values())


def test_the_tests_are_those_of_the_books() -> None:
    """Two items a key: variance pooled within the keys, t with two degrees of freedom, both one-sided tests."""
    keys = np.array([1, 1, -1, -1])
    a, b = np.array([60.0, 62.0, 51.0, 55.0]), np.array([59.0, 61.5, 52.0, 54.5])
    d = a - b
    halves = [d[keys == key] for key in (1, -1)]
    se = np.sqrt(sum(((h - h.mean()) ** 2).sum() for h in halves) / 2 / 4)
    (found,) = equated("level", [Values("openness", a, b, keys)], 3.0)
    half = stats.t.ppf(0.95, 2) * se
    assert found.equivalence.ci == pytest.approx((d.mean() - half, d.mean() + half))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(d.mean()) / se, 2))
    sides = stats.t.sf((d.mean() + 3) / se, 2), stats.t.cdf((d.mean() - 3) / se, 2)
    assert found.equivalence.p == pytest.approx(max(sides))
    assert found.verdict == "equivalent" and found.r == pytest.approx(
        np.corrcoef(keys * (a - 50), keys * (b - 50))[0, 1]
    )


def test_missing_answers_are_left_out_of_both() -> None:
    keys = np.array([1, 1, -1, -1, 1])
    a, b = np.array([60.0, np.nan, 50, 40, 45]), np.array([60.0, 10, np.nan, 40, 45])
    (found,) = equated("level", [Values("openness", a, b, keys)], 3.0)
    assert found.n == 3 and found.original.value == found.reworded.value
    (none,) = equated("level", [Values("openness", a * np.nan, b, keys)], 3.0)
    assert (none.n, none.difference, none.p, none.verdict) == (0, None, None, "inconclusive")


def test_agreeing_with_everything_is_no_correlation() -> None:
    """Keyed, two constant answers look alike by their keys alone."""
    keys, rng = np.array([1, -1] * 10), np.random.default_rng(1)
    a, b = (50 + keys * (30 + rng.normal(0, 2, 20)) for _ in range(2))
    assert np.corrcoef(a, b)[0, 1] > 0.95
    (found,) = equated("level", [Values("openness", a, b, keys)], 3.0)
    assert found.r is not None and abs(found.r) < 0.5


def test_one_wording_alone_and_a_limit(tmp_path: Path) -> None:
    alone, _ = run(tmp_path / "a", tasks=(WORDED,))
    assert "equivalence" not in alone.across
    limited, _ = run(tmp_path / "b", limit=7, scoring=("statement",))
    (pairs,) = limited.across["equivalence"].pairs  # type: ignore[attr-defined]
    assert pairs.found == [] and pairs.r == {}
    told = next(table for table in tables(limited) if "in other words" in table.title)
    assert "nothing to compare" in told.notes[-1]


def test_people_are_claimed_for_the_original_alone(tmp_path: Path) -> None:
    results, _ = run(tmp_path, model_args={"obedience": 0.2}, scoring=("choice",), **PROMPTED)
    held: dict[str, Any] = {}
    for name in (FIRST, WORDED):
        block = results.tasks[name]
        assert isinstance(block, QuestionnaireBlock)
        held[name] = block.modes["choice"]
    assert held[FIRST].human.similarity and held[FIRST].human.standing_reference == "mini_ipip_online"
    mine = held[WORDED]
    assert (mine.human.similarity, mine.human.standing, mine.human.standing_reference) == ([], {}, None)
    assert mine.human.note.startswith("mini_ipip_model is mini_ipip in other words, which no person")
    assert {shift.sds for c in mine.scorecard.contrasts for shift in c.shifts} == {None}
