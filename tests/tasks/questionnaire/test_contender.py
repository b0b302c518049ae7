"""What of a questionnaire is ranked, with whom, and why not: on published runs whose numbers are set."""

from __future__ import annotations

from typing import Any

import pytest
from drawn import PUBLISHED, published

from traitbench.leaderboard.ranking import ranked
from traitbench.runs.finished import rescore
from traitbench.runs.results import Results
from traitbench.tasks import views_of
from traitbench.tasks.board import Contender, Entry
from traitbench.tasks.questionnaire.contender import contender
from traitbench.tasks.questionnaire.metrics import Metrics
from traitbench.tasks.questionnaire.scorecard import Scorecard
from traitbench.types import BIG_FIVE

TASK = "ipip_neo_120"


@pytest.fixture(scope="module")
def results() -> Results:
    return published("smollm2@prompting", TASK)


def card(results: Results) -> Scorecard:
    found: Any = results.tasks[TASK]
    card: Scorecard = found.modes["statement"].scorecard
    return card


def told(results: Results, contaminated: int = 0, **numbers: Any) -> Contender:
    found = Metrics.model_validate(results.entry(TASK, "run").metrics["statement"])
    return contender(found.model_copy(update=numbers), card(results), "statement", results, contaminated)


def entry(results: Results, run: str, value: float, ci: tuple[float, float]) -> Entry:
    """A run of which these are all the numbers."""
    made = results.entry(TASK, run)
    row = made.rows["statement"]
    metrics = {**row.metrics, "effect": value, "effect_ci": ci}
    mine = told(results, effect=value, effect_ci=ci).model_copy(update={"parts": []})
    rows = {
        "statement": row.model_copy(update={"metrics": metrics | {"unranked": mine.unranked}, "contenders": [mine]})
    }
    return made.model_copy(update={"rows": rows, "place": run})


def test_a_wide_interval_that_reaches_zero_stands_below_without_a_rank(results: Results) -> None:
    """Effects of .02 [-.11, .15] and .10 [.06, .14]: the first once ranked above the second."""
    runs = [entry(results, "wide", 0.02, (-0.11, 0.15)), entry(results, "sure", 0.10, (0.06, 0.14)),
            entry(results, "best", 0.30, (0.25, 0.35))]  # fmt: skip
    held = {e.run: Metrics.model_validate(e.metrics["statement"]) for e in ranked(runs)}
    assert (held["wide"].rank, held["wide"].rank_high, held["wide"].unranked) == (None, None, "interval reaches zero")
    assert [(held[n].rank, held[n].rank_high) for n in ("best", "sure")] == [(1, 1), (2, 2)]
    (table,) = views_of("questionnaire").board(TASK, "statement", ranked(runs))
    assert [row[3] for row in table.rows] == ["0.30 [0.25, 0.35]", "0.10 [0.06, 0.14]", "0.02 [-0.11, 0.15]"]
    assert [row[0] for row in table.rows] == ["1", "2", "–"]
    assert table.rows[2][-1].endswith("; interval reaches zero")


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"effect": 0.1, "effect_ci": (0.05, 0.15)}, ""),
        ({"effect": -0.1, "effect_ci": (-0.15, -0.05)}, "moves against the target"),
        ({"effect": 0.1, "effect_ci": (0.0, 0.2)}, "interval reaches zero"),
        ({"effect": -0.1, "effect_ci": (-0.2, 0.0)}, "interval reaches zero"),
        ({"effect": 0.1, "effect_ci": None}, "no interval"),
        ({"effect": None, "effect_ci": None}, "no effect to rank"),
        ({"verdict": "not interpretable"}, "not interpretable"),
    ],
)
def test_why_a_run_has_no_rank(results: Results, numbers: dict[str, Any], reason: str) -> None:
    assert told(results, **{"verdict": "caution", **numbers}).unranked == reason


def test_limited_and_contaminated_runs_have_none(results: Results) -> None:
    limited = results.model_copy(update={"config": {**results.config, "limit": 10}})
    assert told(limited, verdict="caution").unranked == "first 10 items"
    assert told(results, contaminated=7, verdict="caution").unranked == "contaminated (7 items)"


def asked(results: Results, **more: Any) -> str:
    other = results.model_copy(update={"administration": {**results.administration, **more}})
    return str(other.entry(TASK, "run").metrics["statement"]["group"])


def test_rivals_have_one_design_the_same_targets_and_items_asked_alike(results: Results) -> None:
    group = asked(results)
    assert group.startswith("high minus low; agreeableness, conscientiousness, extraversion, neuroticism, openness; ")
    assert asked(results, respondents=50) != group != asked(results, repeats=2)
    assert asked(results, orders=["forward"], templates=3, max_tokens=32) == group, "what statements do not depend on"
    one = published("smollm2@prompting", TASK)
    block: Any = one.tasks[TASK]
    scored = block.modes["statement"]
    fewer = scored.scorecard.model_copy(update={"contrasts": scored.scorecard.contrasts[:1]})
    modes = {"statement": scored.model_copy(update={"scorecard": fewer})}
    less = one.model_copy(update={"tasks": {TASK: block.model_copy(update={"modes": modes})}})
    assert less.entry(TASK, "run").metrics["statement"]["group"] != group


def test_the_effect_is_the_mean_of_its_parts() -> None:
    """What is compared is what is shown: key halves count alike, and items hang together by facet."""
    source = next(PUBLISHED.glob("smollm2@prompting,style=instruction+*/results_*.json"))
    mine = told(rescore(source))
    assert [part.name for part in mine.parts] == list(BIG_FIVE)
    means = []
    for part in mine.parts:
        assert (len(part.values), part.shape, part.weights) == (24, [1, 1], "halves")
        assert len(set(part.clusters.values())) == 6
        held = [(part.strata[unit], value) for unit, (value,) in part.values.items() if value is not None]
        halves = [[value for key, value in held if key == side] for side in (1, -1)]
        means.append(sum(sum(half) / len(half) for half in halves) / 2)
    assert sum(means) / len(means) == pytest.approx(mine.value)
