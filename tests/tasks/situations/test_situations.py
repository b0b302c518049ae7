"""Whole runs of the situations: persons with known levels, trivial respondents, tables, ranks, comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import expressions, must, shown
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
from traitbench.tasks.situations.figures import forest
from traitbench.tasks.situations.summary import PairScores, SituationsBlock
from traitbench.types import BIG_FIVE, Mode

NAME = "situations"


def run(folder: Path, **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": (NAME,), "bootstrap_iters": 50, **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def scored(results: Results, mode: Mode) -> PairScores:
    block = results.tasks[NAME]
    assert isinstance(block, SituationsBlock)
    return block.modes[mode]


def baseline(results: Results, mode: Mode) -> dict[str, float | None]:
    return {level.trait: level.value for level in scored(results, mode).levels["baseline"]}


def test_persons_are_ranked_by_their_levels(tmp_path: Path) -> None:
    """Fifteen persons with noise, each with a level of its own on every trait."""
    rng = np.random.default_rng(0)
    planted = np.array([rng.permutation(np.linspace(0.1, 0.9, 15)) for _ in BIG_FIVE]).T
    found: dict[Mode, list[list[float]]] = {"choice": [], "statement": []}
    for seed, row in enumerate(planted):
        levels = dict(zip(BIG_FIVE, map(float, row), strict=True))
        results, _ = run(tmp_path, model_args={**levels, "noise": 0.3, "item_sd": 0.1, "seed": seed}, limit=120)
        for mode, kept in found.items():
            values = baseline(results, mode)
            kept.append([float(values[trait] or 0) for trait in BIG_FIVE])
    for kept in found.values():
        for place, trait in enumerate(BIG_FIVE):
            rho = stats.spearmanr(planted[:, place], np.array(kept)[:, place]).statistic
            assert rho >= 0.9, trait


def test_a_person_without_noise_has_exactly_the_level_set(tmp_path: Path) -> None:
    results, path = run(tmp_path, model_args={"extraversion": 0.8, "neuroticism": 0.3})
    assert baseline(results, "choice") == pytest.approx({
        "openness": 50, "conscientiousness": 50, "extraversion": 80, "agreeableness": 50, "neuroticism": 30,
    })  # fmt: skip
    # A nat a token from one end of the scale to the other, for both replies.
    assert baseline(results, "statement") == pytest.approx({
        "openness": 0, "conscientiousness": 0, "extraversion": 0.6, "agreeableness": 0, "neuroticism": -0.4,
    })  # fmt: skip
    assert results.n_samples[NAME]["effective"] == results.n_samples[NAME]["original"]
    assert scored(results, "choice").verdict.reasons == [
        "caution: no control: levels alone, and nothing shows how reliable they are"
    ]
    assert rescore(path) == results
    # Of a control that aims at several traits each has an effect of its own; of one that aims elsewhere there is none.
    both = "extraversion=high,neuroticism=low"
    args = {"method": "prompting", "model_args": {"obedience": 0.3, "unsteady": 0.05}}
    joint, _ = run(tmp_path / "joint", target=both, **args)
    other, _ = run(tmp_path / "other", target="psychopathy=high", **args)
    for mode in ("choice", "statement"):
        for found, (trait, sign) in zip(
            scored(joint, mode).contrasts, {"extraversion": 1, "neuroticism": -1}.items(), strict=True
        ):
            assert (found.target, found.aimed) == (f"{both}: {trait}", {trait: sign})
            moved = {s.trait: s.value for s in found.shifts}
            assert found.effect is not None and found.effect.value == moved[trait] != 0
            assert sign * moved[trait] > 0.2 and found.leakage is not None and found.leakage < 0.05
        told = scored(other, mode).verdict
        assert told.verdict == "caution" and any("no target aims at a trait that is asked" in w for w in told.reasons)
    frame = results.scores()
    row = frame[(frame.metric == "extraversion") & (frame.scoring == "choice")].iloc[0]
    assert row.value == row.pomp == pytest.approx(80) and row.ci_low == pytest.approx(80)
    assert results.results[NAME]["extraversion,choice"] == pytest.approx(80)


def test_who_does_not_read_has_no_preference(tmp_path: Path) -> None:
    results, _ = run(tmp_path, model="scripted:uniform")
    for level in scored(results, "choice").levels["baseline"]:
        assert level.ci is not None and level.ci[0] < 50 < level.ci[1] and level.value == pytest.approx(50, abs=12)
    assert set(baseline(results, "statement").values()) == {0}
    assert scored(results, "choice").verdict.verdict == "not interpretable"
    assert scored(results, "statement").verdict.verdict == "not interpretable"


def test_who_takes_the_first_shows_a_position_bias_and_no_trait(tmp_path: Path) -> None:
    results, _ = run(tmp_path, model="scripted:first", scoring=("choice",))
    found = scored(results, "choice")
    assert list(baseline(results, "choice").values()) == pytest.approx([50] * 5)
    style = found.response_style["all"]
    assert style.position_bias == pytest.approx(-1) and style.positions == (1, 0) and style.acquiescence is None
    assert found.verdict.verdict == "not interpretable" and any("position bias" in r for r in found.verdict.reasons)
    one, _ = run(tmp_path, model="scripted:first", scoring=("choice",), orders=("forward",))
    assert list(baseline(one, "choice").values()) == pytest.approx([50] * 5) and scored(one, "choice").halves
    assert any("one order only" in reason for reason in scored(one, "choice").verdict.reasons)


PROMPTED = {"method": "prompting", "model_args": {"obedience": 0.2, "noise": 0.2}}


def test_a_control_is_shown_ranked_drawn_and_compared(tmp_path: Path) -> None:
    results, path = run(tmp_path / "a", target="all", **PROMPTED)
    for mode, effect in (("choice", 40), ("statement", 0.8)):
        found = scored(results, mode)  # type: ignore[arg-type]
        assert [c.target for c in found.contrasts] == list(BIG_FIVE)
        assert all(c.check == "ok" for c in found.contrasts)
        assert found.effect is not None and found.effect.value == pytest.approx(effect, rel=0.05)
        assert found.verdict.verdict == "interpretable"
    titles = [table.title for table in tables(results)]
    assert sum(NAME in title or "Target x trait" in title for title in titles) == 6
    assert [markdown(table) for table in tables(results)]
    effects = results.effects()
    assert len(effects) == 2 * 5 * 5 and effects.aimed.sum() == 10 and effects.matched.notna().sum() == 10

    weaker, other = run(tmp_path / "b", target="all", **{**PROMPTED, "model_args": {"obedience": 0.1, "noise": 0.2}})
    for held in (path, other):
        publish(held, tmp_path / "published")
    board = build(tmp_path / "published")
    ranks = {e.metrics["choice"]["effect"]: e.metrics["choice"]["rank"] for e in board.entries if e.task == NAME}
    assert [ranks[value] for value in sorted(ranks, reverse=True)] == [1, 2]
    text = render(board)
    assert "situations, choice: high minus low" in text and "situations, statement: high minus low" in text
    assert "Situations: the effect is on the preference" in text

    both = compare(path, other, lambda line: None)
    assert isinstance(both, Comparison) and len(both.pairs) == 10
    assert {(p.scoring, p.unit, p.verdict) for p in both.pairs} == {
        ("choice", "POMP", "a higher"), ("statement", "nats a token", "a higher"),
    }  # fmt: skip
    assert all(p.effect_a == pytest.approx(2 * p.effect_b, rel=0.1) for p in both.pairs)

    for mode in ("choice", "statement"):
        for runs in ([results], [results, weaker]):
            drawn = must(forest(shown(runs, NAME), mode))  # type: ignore[arg-type]
            assert len(drawn.table.rows) == 5 * len(runs) and drawn._repr_svg_().startswith("<svg")
            assert not [text for text in expressions(drawn.spec) if "extraversion" in text]
    assert page({path.name: results, other.name: weaker}, "two runs").count("<figure") >= 2


def test_one_target_is_compared_with_the_baseline(tmp_path: Path) -> None:
    results, _ = run(tmp_path, target="extraversion=high", limit=60, **PROMPTED)
    (found,) = scored(results, "choice").contrasts
    assert (found.target, found.low) == ("extraversion=high", "baseline")
    assert found.effect is not None and found.effect.value == pytest.approx(20, rel=0.1)
    level = next(x for x in scored(results, "choice").levels[found.high] if x.trait == "extraversion")
    assert level.shift == pytest.approx(found.effect.value)
    assert results.entry(NAME, "x").metrics["choice"]["unranked"] == "first 60 items"


def test_it_runs_beside_an_inventory(tmp_path: Path) -> None:
    results, _ = run(tmp_path, tasks=("mini_ipip", NAME), target="extraversion=high", limit=10, **PROMPTED)
    assert list(results.tasks) == ["mini_ipip", NAME]


def test_what_is_not_supported_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedControl, match="--respondents 5"):
        prepare(Plan(tasks=(NAME,), respondents=5))
    with pytest.raises(UnsupportedControl, match="the task situations: scripted:first answers items"):
        run(tmp_path, model="scripted:first", scoring=("generate",))
    assert not list(tmp_path.iterdir())


def test_the_command_line_knows_it(say: Say) -> None:
    found = say("ls tasks situations")
    assert found.code == 0 and "openness, conscientiousness, extraversion" in found.out and "CC0-1.0" in found.out
    assert "--respondents" not in found.out and "--templates" in found.out
    assert say("run --model scripted:person --tasks situations --respondents 5").code != 0


@pytest.mark.model
def test_the_embedded_model_answers_in_every_mode(tmp_path: Path) -> None:
    results, path = run(
        tmp_path, model="smollm2", backend="hf", scoring=("choice", "statement", "generate"), limit=5,
        gen_kwargs={"max_tokens": 12},
    )  # fmt: skip
    block = results.tasks[NAME]
    assert isinstance(block, SituationsBlock)
    assert all(value is not None for mode in ("choice", "statement") for value in baseline(results, mode).values())  # type: ignore[arg-type]
    assert block.written is not None
    replies = block.written.replies["baseline"]
    assert replies.n == 5 == sum(replies.statuses.values()) and replies.tokens
    assert any("Written replies" in table.title for table in tables(results)) and rescore(path) == results
