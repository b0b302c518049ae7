"""Whole runs of the forced choice: persons with known levels, trivial respondents, tables, ranks, comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import must, shown
from quiet import Quiet
from said import Say
from scipy import stats

from traitbench.errors import UnsupportedControl
from traitbench.leaderboard import build, render
from traitbench.report import page
from traitbench.runs.compare import compare
from traitbench.runs.compare.runs import Comparison
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.tables import markdown
from traitbench.tasks import Administration
from traitbench.tasks.forced_choice import ForcedChoice
from traitbench.tasks.forced_choice.summary import ForcedChoiceBlock, ForcedScores
from traitbench.tasks.forced_choice.views import forest
from traitbench.types import BIG_FIVE, Choose, Continue, Mode, Write

NAME = "forced_choice"
MODES: tuple[Mode, ...] = ("choice", "statement")
PROMPTED = {"method": "prompting", "model_args": {"obedience": 0.2, "noise": 0.1}}


def run(folder: Path, **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": (NAME,), "bootstrap_iters": 50, **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def scored(results: Results, mode: Mode) -> ForcedScores:
    block = results.tasks[NAME]
    assert isinstance(block, ForcedChoiceBlock)
    return block.modes[mode]


def baseline(results: Results, mode: Mode) -> dict[str, float | None]:
    return {level.trait: level.value for level in scored(results, mode).levels["baseline"]}


def test_requests_hold_both_statements_in_both_orders() -> None:
    task = ForcedChoice(Administration(scoring=("choice", "statement", "generate"), symbols=("letters", "numbers")))
    found = task.requests(0)
    kinds = [type(request) for request in found]
    assert (kinds.count(Choose), kinds.count(Write), kinds.count(Continue)) == (4 * 43, 4 * 43, 2 * 43)
    pair = task.items[0]
    forward, reverse = (
        next(r for r in found if isinstance(r, Choose) and r.doc.item == pair.id and r.doc.order == order)
        for order in ("forward", "reverse")
    )
    assert f"A. {pair.first.text}\nB. {pair.second.text}" in forward.messages[0].content and forward.values == (0, 1)
    assert f"A. {pair.second.text}\nB. {pair.first.text}" in reverse.messages[0].content and reverse.values == (1, 0)
    assert forward.doc.rival == f"{'-' if pair.first.keyed == -1 else ''}{pair.first.trait}"


def test_persons_are_ranked_by_their_levels(tmp_path: Path) -> None:
    """Fifteen persons with noise, each with a level of its own on every trait; counts order them less well."""
    rng = np.random.default_rng(0)
    planted = np.array([rng.permutation(np.linspace(0.1, 0.9, 15)) for _ in BIG_FIVE]).T
    found: dict[tuple[Mode, str], list[list[float]]] = {}
    for seed, row in enumerate(planted):
        levels = dict(zip(BIG_FIVE, map(float, row), strict=True))
        results, _ = run(tmp_path, model_args={**levels, "noise": 0.1, "seed": seed})
        for mode in MODES:
            counts = baseline(results, mode)
            apart = {each.trait: each.value for each in scored(results, mode).apart["baseline"]}
            found.setdefault((mode, "counts"), []).append([float(counts[trait] or 0) for trait in BIG_FIVE])
            found.setdefault((mode, "apart"), []).append([apart[trait] for trait in BIG_FIVE])
    for (mode, scores), kept in found.items():
        for place, trait in enumerate(BIG_FIVE):
            # Partly ipsative: what others have is in the counts, so that their order is not as good.
            least = 0.9 if scores == "apart" else 0.8
            rho = stats.spearmanr(planted[:, place], np.array(kept)[:, place]).statistic
            assert rho >= least, (mode, scores, trait)


def test_levels_are_solved_apart_exactly(tmp_path: Path) -> None:
    """Without noise: 100 times the level (choice), and no preference is 50."""
    levels = dict(zip(BIG_FIVE, (0.9, 0.3, 0.5, 0.7, 0.2), strict=True))
    results, path = run(tmp_path, model_args=levels)
    own = {each.trait: each.value for each in scored(results, "choice").apart["baseline"]}
    assert own == pytest.approx({trait: 100 * level for trait, level in levels.items()}, abs=1e-6)
    counts = baseline(results, "choice")
    assert max(abs((counts[trait] or 0) - 100 * level) for trait, level in levels.items()) > 5
    assert rescore(path) == results
    few, _ = run(tmp_path, model_args=levels, limit=3)
    assert scored(few, "choice").apart["baseline"] == []


def test_effects_are_solved_apart_exactly(tmp_path: Path) -> None:
    results, path = run(tmp_path, target="all", method="prompting", model_args={"obedience": 0.2})
    for mode, whole in (("choice", 40), ("statement", 0.8)):
        found = scored(results, mode)  # type: ignore[arg-type]
        for contrast in found.contrasts:
            own = {each.trait: each.value for each in contrast.apart}
            assert own == pytest.approx({t: whole if t == contrast.target else 0 for t in BIG_FIVE}, abs=1e-6)
            assert contrast.effect is not None and 0.5 * whole < (contrast.effect.value or 0) < 0.6 * whole
            assert contrast.check == "ok"
        assert found.verdict.verdict == "interpretable"
    assert rescore(path) == results


def test_who_takes_the_first_and_who_draws_show_no_trait(tmp_path: Path) -> None:
    first, _ = run(tmp_path, model="scripted:first", scoring=("choice",))
    assert list(baseline(first, "choice").values()) == pytest.approx([50] * 5)
    assert scored(first, "choice").response_style["all"].position_bias == pytest.approx(-1)
    assert scored(first, "choice").verdict.verdict == "not interpretable"
    one, _ = run(tmp_path, model="scripted:first", scoring=("choice",), orders=("forward",))
    assert list(baseline(one, "choice").values()) == pytest.approx([50] * 5) and scored(one, "choice").halves
    for found in (first, one):
        apart = scored(found, "choice").apart["baseline"]
        assert [each.value for each in apart] == pytest.approx([50] * 5), "a liking for A is no trait"
    drawn, _ = run(tmp_path, model="scripted:uniform")
    assert scored(drawn, "choice").verdict.verdict == scored(drawn, "statement").verdict.verdict == "not interpretable"
    for level in scored(drawn, "choice").levels["baseline"]:
        assert level.ci is not None and level.ci[0] < 50 < level.ci[1]


def test_agreeing_with_everything_moves_nothing(tmp_path: Path) -> None:
    yes, _ = run(tmp_path, model_args={"acquiescence": 0.3, "openness": 0.7})
    no, _ = run(tmp_path, model_args={"openness": 0.7})
    assert baseline(yes, "statement") == pytest.approx(baseline(no, "statement"))


def test_written_choices_count_like_the_others(tmp_path: Path) -> None:
    results, _ = run(
        tmp_path, scoring=("generate",), model_args={"extraversion": 0.9}, gen_kwargs={"temperature": 1.0}, repeats=2
    )
    assert (baseline(results, "generate")["extraversion"] or 0) > 55
    assert not any(scored(results, "generate").response_style["all"].invalid.values())
    refused, _ = run(tmp_path, scoring=("generate",), model_args={"refusals": 1.0})
    assert set(baseline(refused, "generate").values()) == {None}
    assert "no valid answer" in " ".join(scored(refused, "generate").verdict.reasons)


def test_a_control_is_shown_ranked_drawn_and_compared(tmp_path: Path) -> None:
    results, path = run(tmp_path / "a", target="all", **PROMPTED)
    titles = [table.title for table in tables(results)]
    assert sum("Target x trait" in title for title in titles) == 4 and [markdown(t) for t in tables(results)]
    effects = results.effects()
    assert len(effects) == 2 * 5 * 5 and effects.aimed.sum() == 10
    weaker, other = run(tmp_path / "b", target="all", **{**PROMPTED, "model_args": {"obedience": 0.1, "noise": 0.1}})
    for held in (path, other):
        publish(held, tmp_path / "published")
    board = build(tmp_path / "published")
    ranks = {e.metrics["choice"]["effect"]: e.metrics["choice"]["rank"] for e in board.entries if e.task == NAME}
    assert [ranks[value] for value in sorted(ranks, reverse=True)] == [1, 2]
    text = render(board)
    assert "forced_choice, choice: high minus low" in text and "people find equally desirable" in text
    both = compare(path, other, lambda line: None)
    assert isinstance(both, Comparison) and len(both.pairs) == 10
    assert {p.verdict for p in both.pairs} == {"a higher"}
    for mode in ("choice", "statement"):
        drawn = must(forest(shown([results, weaker], NAME), mode))  # type: ignore[arg-type]
        assert len(drawn.table.rows) == 10
    assert page({path.name: results, other.name: weaker}, "two runs").count("<figure") >= 2


def test_one_target_a_limit_and_a_contaminated_run(tmp_path: Path) -> None:
    results, _ = run(tmp_path, target="extraversion=high", limit=20, **PROMPTED)
    (found,) = scored(results, "choice").contrasts
    assert (found.target, found.low) == ("extraversion=high", "baseline")
    assert results.entry(NAME, "x").metrics["choice"]["unranked"] == "first 20 items"
    assert not results.contaminated


def test_what_is_not_supported_is_refused_before_anything_is_asked(say: Say) -> None:
    with pytest.raises(UnsupportedControl, match="--respondents 5"):
        prepare(Plan(tasks=(NAME,), respondents=5))
    found = say("ls tasks forced_choice")
    assert found.code == 0 and "matched in desirability" in found.out and "--respondents" not in found.out


@pytest.mark.model
def test_the_embedded_model_answers_in_every_mode(tmp_path: Path) -> None:
    results, _ = run(
        tmp_path, model="smollm2", backend="hf", scoring=("choice", "statement", "generate"), limit=5,
        gen_kwargs={"max_tokens": 4},
    )  # fmt: skip
    assert None not in [scored(results, "choice").levels["baseline"][0].value]
    assert scored(results, "statement").levels["baseline"][0].n
