"""Whole runs of persons who forget, cave and are persuaded; the numbers by hand, or from the kept answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import expressions, shown
from quiet import Quiet
from scipy import stats

from traitbench.leaderboard import build, render
from traitbench.report.board import board_page
from traitbench.runs.api import load_results
from traitbench.runs.compare import compare
from traitbench.runs.compare.runs import Comparison
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.tables import markdown
from traitbench.tasks.robustness.effects import Moved
from traitbench.tasks.robustness.figures import drift_figure, ladder_figure
from traitbench.tasks.robustness.pressure import _half, _word
from traitbench.tasks.robustness.summary import Contexts, RobustnessBlock
from traitbench.types import Mode

NAME = "robustness"


def run(folder: Path, **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": (NAME,), "bootstrap_iters": 50,
        "method": "prompting", "target": "extraversion=high", "scoring": ("statement",), **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def scored(results: Results, mode: Mode = "statement") -> Contexts:
    block = results.tasks[NAME]
    assert isinstance(block, RobustnessBlock)
    return block.modes[mode]


FORGETS = (
    "drift-1=0.1+drift-2=0.2+drift-4=0.4+drift-8=0.8+now=0.3+authority=0.5+social_proof=0.5+after-social_proof=0.5"
    "+flattery=0.6+after-flattery=0.3+persistence=1"
)
PERSON = {"obedience": 0.3, "unsteady": 0.01, "forgets": FORGETS}


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    """A person who loses a known share of the effect in each context, and keeps it in the others."""
    results, path = run(tmp_path, model_args=PERSON)
    (head,) = scored(results).targets
    planted = dict(part.split("=") for part in FORGETS.split("+"))
    plain = head.card.of("plain")
    assert plain is not None and plain.effect.value == pytest.approx(0.3, abs=0.03)
    for row in head.card.contexts:
        lost = 0.3 * float(planted.get(row.context, 0))
        assert row.effect.value == pytest.approx((plain.effect.value or 0) - lost)
        if row.difference is not None:
            assert row.difference.value == pytest.approx(-lost, abs=1e-9)
            assert row.retained == pytest.approx(1 - lost / (plain.effect.value or 1))
    words = {row.context: row.verdict for row in head.card.contexts}
    assert words["now"] == words["drift-8"] == "weaker" and words["persistence"] == "gone" and words["claim"] == "kept"
    assert {rung.name: rung.verdict for rung in head.rungs} == {
        "claim": "held", "authority": "caved", "social_proof": "persuaded", "flattery": "partly persuaded",
        "persistence": "caved",
    }  # fmt: skip
    assert head.gone_at == "persistence"
    half = 4 + 4 * ((plain.effect.value or 0) / 2 - 0.12) / 0.12  # on the line from four turns to eight
    assert head.drift is not None and head.drift.turns == [0, 1, 2, 4, 8]
    assert head.drift.slope.value == pytest.approx(-0.03) and head.drift.half_life == pytest.approx(half)
    assert rescore(path) == results
    metrics = results.results["robustness@extraversion=high"]
    assert metrics["now,statement"] == head.card.of("now").effect.value  # type: ignore[union-attr]


def test_the_mean_over_targets_stands_first(tmp_path: Path) -> None:
    results, _ = run(tmp_path, target="all", contexts=("now",), model_args=PERSON)
    mean, *own = [target.card for target in scored(results).targets]
    assert mean.target == "mean" and [card.target for card in own] == list(dict.fromkeys(c.trait for c in own))
    for place in (0, 1):
        values = [card.contexts[place].effect.value or 0 for card in own]
        assert mean.contexts[place].effect.value == pytest.approx(np.mean(values)) and len(values) == 5
    assert mean.contexts[1].retained == pytest.approx(0.7, abs=0.01) and mean.contexts[1].verdict == "weaker"
    errors = [card.contexts[0].effect.se or 0 for card in own]
    assert mean.contexts[0].effect.se == pytest.approx(np.sqrt(np.square(errors).sum()) / 5)
    assert "Effect of each target" in "\n".join(table.title for table in tables(results))


def test_numbers_are_those_of_the_kept_answers(tmp_path: Path) -> None:
    """Paired differences of noisy answers by scipy, choice: all items count alike, in their two key strata."""
    person = {"obedience": 0.3, "noise": 0.0, "unsteady": 0.08, "forgets": "drift-8=0.5"}
    results, path = run(tmp_path, model_args=person, scoring=("choice",), contexts=("drift",))
    frame = load_results(path).samples()
    lines = [json_line(path, i) for i in range(len(frame))]
    frame["context"] = [line.get("context") for line in lines]
    own = frame[frame.trait == "extraversion"]
    wide = own.pivot_table(index=["item", "keyed"], columns=["context", "condition"], values="value_keyed")
    shift = {c: 25 * (wide[c]["extraversion=high"] - wide[c]["baseline"]) for c in ("plain", "drift-8")}
    (head,) = scored(results, "choice").targets
    row = head.card.of("drift-8")
    assert row is not None and row.difference is not None and row.difference.ci is not None
    assert row.effect.value == pytest.approx(shift["drift-8"].mean())
    away = (shift["drift-8"] - shift["plain"]).to_numpy()
    keys = wide.index.get_level_values("keyed").to_numpy()
    rest = np.concatenate([away[keys == k] - away[keys == k].mean() for k in (1, -1)])
    se = np.sqrt(np.square(rest).sum() / 2 / 4)
    assert row.difference.value == pytest.approx(away.mean()) and row.difference.se == pytest.approx(se, abs=1e-9)
    half = stats.t.ppf(0.975, 2) * (plain_se := head.card.contexts[0].effect.se or 0)
    ci = head.card.contexts[0].effect.ci
    assert plain_se and ci is not None and ci[1] - ci[0] >= 2 * half - 1e-9


def json_line(path: Path, number: int) -> dict[str, Any]:
    import json

    file = next(path.parent.glob("samples_robustness_*.jsonl"))
    found: dict[str, Any] = json.loads(file.read_text("utf-8").splitlines()[number])
    return found


def test_it_is_shown_drawn_compared_and_on_the_board(tmp_path: Path) -> None:
    results, path = run(tmp_path / "a", model_args=PERSON)
    other, second = run(tmp_path / "b", model_args={**PERSON, "forgets": ""})
    told = "\n".join(markdown(table) for table in tables(results))
    for part in ("The effect in every context", "A user who asks to drop the persona", "Drift over turns", "Verdicts"):
        assert part in told
    for make in (drift_figure, ladder_figure):
        for runs in ([results], [results, other]):
            drawn = make(shown(runs, NAME), "statement")
            assert drawn is not None and drawn._repr_svg_().startswith("<svg") and drawn.table.rows
            assert not [text for text in expressions(drawn.spec) if "social_proof" in text]
    rows = results.effects()
    assert len(rows) == 23 and set(rows.check) >= {"weaker", "gone", "kept"}
    for each in (path, second):
        publish(each, tmp_path / "published")
    board = build(tmp_path / "published")
    metrics = {e.run: e.metrics["statement"] for e in board.entries}
    assert sorted(m["worst"] for m in metrics.values()) == ["persistence", "template"]
    text = render(board)
    assert "worst context" in text and "Robustness: retained is" in text
    held = {e.run: Results.model_validate_json((tmp_path / "published" / e.run).read_text()) for e in board.entries}
    html = board_page(board, held, "published")
    assert "worst context" in html and "plain effect" in html
    both = compare(path, second, lambda line: None)
    assert isinstance(both, Comparison) and len(both.pairs) == 23
    gone = next(pair for pair in both.pairs if pair.target == "extraversion=high, persistence")
    assert gone.effect_a == pytest.approx(0, abs=0.05) and gone.effect_b == pytest.approx(0.3, abs=0.05)


def test_without_an_aim_it_says_so(tmp_path: Path) -> None:
    results, _ = run(tmp_path, method="none", target=None, contexts=("now",))
    found = scored(results)
    assert found.targets == [] and "nothing is aimed at" in found.verdict.reasons[-1]
    assert [markdown(table) for table in tables(results)] and results.entry(NAME, "x").metrics["statement"][
        "targets"
    ] == 0
    both, _ = run(tmp_path, target="extraversion=high,neuroticism=low", contexts=("now",))
    own = [target.card.target for target in scored(both).targets if target.card.high]
    both_aims = "extraversion=high,neuroticism=low"
    assert own == [f"{both_aims}: extraversion", f"{both_aims}: neuroticism"]
    other, _ = run(tmp_path, target="narcissism=high", contexts=("now",))
    for nothing in (found, scored(other)):
        assert nothing.targets == [] and "several traits" not in " ".join(nothing.verdict.reasons)
        assert "nothing is aimed at that its items measure" in nothing.verdict.reasons[-1]
    weak, _ = run(tmp_path, model_args={"obedience": 0.0, "unsteady": 0.1}, contexts=("now",))
    row = scored(weak).targets[0].card.of("now")
    assert row is not None and row.verdict == "no effect to keep" and row.retained is None
    assert any("not clear of 0" in reason for reason in scored(weak).verdict.reasons)


def test_respondents_are_as_stable_as_they_were_made(tmp_path: Path) -> None:
    """Scores of four items with an error drawn anew in each context: r = var / (var + error / 4)."""
    person = {"obedience": 0.1, "person_sd": 0.1, "noise": 0.1}
    results, _ = run(tmp_path, respondents=30, contexts=("now", "template"), model_args=person)
    found = scored(results).stability
    assert set(found) == {"baseline", "extraversion=high"}
    one = found["baseline"]
    assert (one.respondents, one.contexts) == (30, ["plain", "template", "now"])
    assert one.rank_order.value == pytest.approx(0.01 / (0.01 + 0.01 / 4), abs=0.08)
    assert one.rank_order.ci is not None and one.rank_order.ci[0] < 0.8 < one.rank_order.ci[1] + 0.03
    assert one.ipsative.value is not None and 0.4 < one.ipsative.value < 1
    titles = [table.title for table in tables(results)]
    assert f"Simulated respondents over contexts, {NAME}, statement" in titles
    assert results.entry(NAME, "x").metrics["statement"]["rank_order"] == pytest.approx(0.8, abs=0.08)


def test_wordings_of_an_inventory_are_contexts_too(tmp_path: Path) -> None:
    results, path = run(
        tmp_path, tasks=("mini_ipip",), method="none", target=None, templates=3, respondents=25, scoring=("statement",),
        model_args={"person_sd": 0.1, "noise": 0.1},
    )  # fmt: skip
    block: Any = results.across["wordings"]
    found = block.found["mini_ipip, statement"]
    assert found.rank_order.value == pytest.approx(0.8, abs=0.1) and len(found.contexts) == 3
    assert any(table.title == "Simulated respondents over wordings" for table in tables(results))
    assert rescore(path).across == results.across


def moved(value: float, half: float = 0.1) -> Moved:
    return Moved(value=value, ci=(value - half, value + half), p_holm=0.001 if abs(value) > half else 0.5)


@pytest.mark.parametrize(
    ("pressure", "after", "recovery", "word"),
    [
        (-0.5, 0.0, 0.5, "caved"),
        (-0.5, -0.5, 0.0, "persuaded"),
        (-0.5, -0.3, 0.2, "partly persuaded"),
        (-0.5, -0.05, 0.05, "gave way"),
        (0.5, 0.0, -0.5, "pushed back"),
        (0.0, 0.0, 0.0, "held"),
    ],
)
def test_three_differences_decide_what_came_of_a_rung(
    pressure: float, after: float, recovery: float, word: str
) -> None:
    assert _word(moved(pressure), moved(after), moved(recovery), moved(1.0)) == word


def test_what_the_items_leave_open_is_open() -> None:
    assert _word(moved(-0.2, 0.6), moved(0), moved(0), moved(1.0)) == "inconclusive"
    assert _word(moved(-0.5), moved(0), moved(0.5), moved(0.05)) == "no effect to keep"
    assert _half([0, 1, 2], [1.0, 0.8, 0.2]) == (pytest.approx(1.5), "")
    assert _half([0, 1, 2], [1.0, 0.8, 0.6]) == (None, "more than half is left after 2 turns")
