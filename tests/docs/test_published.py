"""docs/published.md: what it says beyond the tables is what the published runs say of themselves."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from traitbench import load_results
from traitbench.leaderboard import board_of, published_results
from traitbench.leaderboard.pairs import difference
from traitbench.statistics.comparison import holm
from traitbench.statistics.intervals import p_value

ROOT = Path(__file__).resolve().parents[2]
PAGE = " ".join((ROOT / "docs" / "published.md").read_text(encoding="utf-8").split())
BEHAVIOUR = {"prompting": "smollm2@prompting+c4ebbc02", "residual": "smollm2@residual+fceedfb1"}


def told(start: str) -> str:
    """The item of the list that begins so."""
    return re.split(r" - \*\*| !\[", PAGE.split(f"- **{start}**")[1])[0]


def short(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def with_ends(value: float, ci: tuple[float, float], digits: int = 2) -> str:
    return f"{short(value, digits)} [{short(ci[0], digits)}, {short(ci[1], digits)}]"


@pytest.fixture(scope="module")
def runs() -> dict[str, Any]:
    return {name: load_results(ROOT / "results" / "published" / folder) for name, folder in BEHAVIOUR.items()}


def test_contexts_are_told_with_their_own_verdicts(runs: dict[str, Any]) -> None:
    said = told("In other contexts")
    head = runs["prompting"].tasks["robustness"].modes["statement"].targets[0]
    words = {row.context: row.verdict for row in head.card.contexts if row.context != "plain"}
    assert {name for name, word in words.items() if word == "kept"} == {"template", "now"}
    assert set(words.values()) == {"kept", "inconclusive"} and {rung.verdict for rung in head.rungs} == {"inconclusive"}
    assert "`kept` in other words and when the model is asked to answer as itself" in said
    plain, eight, slope = head.card.of("plain").effect, head.card.of("drift-8"), head.drift.slope
    assert slope.p < 0.05
    assert f"by {with_ends(-slope.value, (-slope.ci[1], -slope.ci[0]), 3)} nats a token (p {short(slope.p, 3)})" in said
    assert f"of the {with_ends(plain.value, plain.ci)} without any" in said
    assert f"`{eight.verdict}`, after eight turns too ({with_ends(eight.retained, eight.retained_ci)}" in said
    assert f"p {short(eight.difference.p_holm)} after Holm" in said
    # What has neither an interval nor a verdict is no claim.
    assert not re.search(r"half of it|does not last|half-life", said)


def test_what_was_fitted_on_is_told(runs: dict[str, Any]) -> None:
    assert runs["residual"].contaminated == {"robustness": 6}
    assert "chosen on six of them: the row is `contaminated`" in told("In other contexts")


def test_damage_is_told_where_it_is_beyond_doubt(runs: dict[str, Any]) -> None:
    said = told("Reasoning")
    sure = {
        (name, delta.metric, delta.target): delta
        for name, results in runs.items()
        for task in results.side_effects.tasks.values()
        for delta in task.deltas
        if delta.p_holm is not None and delta.p_holm < 0.05
    }
    assert {(name, metric) for name, metric, _ in sure} == {("residual", "perplexity,none")} and len(sure) == 4
    assert "no loss of accuracy beyond doubt" in said and "under four of the ten targets of residual steering" in said
    most = min(sure.values(), key=lambda delta: delta.delta)
    assert most.target == "neuroticism=low"
    lost = with_ends(-most.delta, (-most.ci[1], -most.ci[0]))
    assert f"most under low neuroticism, {lost} nats" in said


def test_written_replies_are_told_with_the_reason_of_their_verdict(runs: dict[str, Any]) -> None:
    verdict = runs["prompting"].tasks["personality_bench"].written.verdict
    assert verdict.verdict == "not interpretable"
    (why,) = [reason for reason in verdict.reasons if reason.startswith("not interpretable")]
    share = re.search(r"(\d+)% of the replies have no rating", why)
    assert share and f"since {share[1]} % of the replies have no rating" in told("Written replies")


def test_adapters_are_said_to_differ_where_the_tests_of_the_ranks_do() -> None:
    board = board_of(published_results(ROOT / "results" / "published"))
    found = {}
    for entry in board.entries:
        if entry.task == "ipip_neo_120" and "statement" in entry.rows:
            for one in entry.rows["statement"].contenders:
                if not one.unranked and one.ci is not None and "profiles" not in (entry.label or ""):
                    found[entry.label or entry.method] = one
    pairs = {(a, b): difference(found[a], found[b]) for a, b in combinations(sorted(found), 2)}
    known = {pair: each for pair, each in pairs.items() if each is not None}
    adjusted = dict(zip(known, holm([p_value(each) for each in known.values()]), strict=True))
    sure = {pair for pair, p in adjusted.items() if p is not None and p < 0.05}
    assert {("dpo", "dpo + instruction"), ("p_tailor", "sft")} <= sure
    assert not {("dpo", "sft"), ("sft", "sft + instruction"), ("p_tailor", "p_tailor + instruction")} & sure
    gained = -(known["dpo", "dpo + instruction"].value or 0.0)
    assert f"What DPO gains by it, {short(gained)}, is beyond doubt; what SFT and P-Tailor gain is not." in PAGE
    assert "that they move it less the tests say of P-Tailor alone" in PAGE
