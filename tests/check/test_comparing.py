"""How a line is judged: literal numbers, an independent route to the interval, and how often each verdict comes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from traitbench.check import Checked, tables
from traitbench.check.baseline import Asked, Baseline, Suite
from traitbench.check.comparing import Compared, Moved, compared, worst
from traitbench.check.values import Line
from traitbench.errors import TraitbenchUsage


def baseline(values: Sequence[float | None], unit: str = "POMP", scoring: Any = "choice", **given: Any) -> Baseline:
    """One trait with these items, as a model has them."""
    items = {f"i{place}": value for place, value in enumerate(values)}
    line = Line(task="t", scoring=scoring, condition="baseline", trait="openness", unit=unit, shift=False, values=items)
    asked = Asked(
        version="1", responses=len(items), keys={"openness": dict.fromkeys(items, 1)}, requests="r", prompts={}
    )
    suite = Suite(backend="hf", model={"weights": "w"}, method="none 1", messages="m")
    told = {"name": "b", "reason": "", "made": "", "plan": {}, "suite": suite, "tasks": {"t": asked}, "lines": [line]}
    return Baseline(**{**told, **given})


def judged(then: Sequence[float | None], now: Sequence[float | None], margin: float = 3, **how: Any) -> Moved:
    (line,) = compared(baseline(then), baseline(now), margin, **how).moved
    return line


THEN = [40.0, 50.0, 60.0, 55.0, 45.0, 65.0, 35.0, 52.0]


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    by = np.array([5.0, 6.0, 4.5, 5.5, 5.2, 4.8, 5.9, 5.1])
    line = judged(THEN, list(np.array(THEN) + by), same_model=False)
    scipy = stats.ttest_1samp(by, 0).confidence_interval()
    assert line.ci == pytest.approx((scipy.low, scipy.high)) and line.difference == pytest.approx(by.mean())
    assert (line.then, line.now) == (pytest.approx(np.mean(THEN)), pytest.approx(np.mean(THEN) + by.mean()))
    assert line.largest == 6.0 and line.items == 8
    assert (line.verdict, line.why) == ("regression", "the interval lies beyond the margin")
    # G*Power's route: noncentral t of a shift of the margin's size
    size = 3 / by.std(ddof=1) * np.sqrt(8)
    critical = stats.t.isf(0.025, 7)
    assert line.power == pytest.approx(stats.nct.sf(critical, 7, size) + stats.nct.cdf(-critical, 7, size))


def spread(items: int, sd: float) -> Moved:
    """A scale of as many items of either key, whose differences have mean 0 and this SD within the keys."""
    half = np.linspace(-1, 1, items // 2)
    by = np.tile(half / half.std(ddof=1) * sd, 2)
    then, now = baseline([50.0] * items), baseline(list(50.0 + by))
    keys = {"openness": {f"i{place}": 1 if place < items // 2 else -1 for place in range(items)}}
    both = [one.model_copy(update={"tasks": {"t": one.tasks["t"].model_copy(update={"keys": keys})}})
            for one in (then, now)]  # fmt: skip
    (line,) = compared(*both, 3, same_model=False).moved
    return line


def test_the_spreads_on_the_page_are_the_largest_with_the_power_to_pass() -> None:
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text("utf-8")
    told = re.findall(r"^\| (\d+) \| `\w+` \| ([\d.]+) \|$", page, re.M)
    assert [int(items) for items, _ in told] == [4, 10, 24, 60]
    for items, sd in told:
        below, above = spread(int(items), float(sd) - 0.05), spread(int(items), float(sd) + 0.05)
        assert below.power is not None and above.power is not None and below.power >= 0.80 > above.power
        assert (below.verdict, above.verdict) == ("pass", "inconclusive")


@pytest.mark.parametrize(
    ("by", "verdict", "why"),
    [
        ([0.0] * 8, "pass", ""),
        ([2.0] * 8, "pass", ""),
        ([4.0] * 8, "regression", "the interval lies beyond the margin"),
        ([-4.0] * 8, "regression", "the interval lies beyond the margin"),
        ([1, -1, 0.5, -0.5, 1, -1, 0.2, -0.2], "pass", ""),
        ([4, 2, 3.5, 2.5, 4, 2, 3.2, 2.8], "inconclusive", "the interval reaches over the margin"),
        (
            [9, -9, 8, -8, 9, -9, 7, -7],
            "inconclusive",
            "power 0.13 for a shift of the margin's size; it takes 71 items",
        ),
        ([4, *[None] * 7], "regression", "no valid answer any more: 7 of 8 items"),
    ],
)
def test_a_model_is_judged_by_the_interval(by: list[float | None], verdict: str, why: str) -> None:
    now = [None if d is None else t + d for t, d in zip(THEN, by, strict=True)]
    line = judged(THEN, now, same_model=False)
    assert (line.verdict, line.why) == (verdict, why)


def test_how_many_items_it_takes_is_right() -> None:
    by = np.array([9, -9, 8, -8, 9, -9, 7, -7.0])
    line = judged(THEN, list(np.array(THEN) + by), same_model=False)
    assert line.items_needed is not None

    def power(n: int) -> float:
        critical, size = stats.t.isf(0.025, n - 1), 3 / by.std(ddof=1) * np.sqrt(n)
        return float(stats.nct.sf(critical, n - 1, size) + stats.nct.cdf(-critical, n - 1, size))

    assert power(line.items_needed - 1) < 0.8 <= power(line.items_needed)
    asked = judged(THEN, list(np.array(THEN) + by), same_model=False, power=0.1)
    assert asked.why == "the interval reaches over the margin" and asked.items_needed is None


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("facets", [0, 2])
def test_it_takes_more_items_than_there_are(wanted: float, facets: int) -> None:
    """Keys and facets take degrees of freedom, which the items needed have to make up for as well."""
    rng, met = np.random.default_rng(1), 0
    for n in (4, 6, 12) * 15:
        items = [f"i{place}" for place in range(n)]
        keys: Any = {"openness": {item: 1 if place % 2 else -1 for place, item in enumerate(items)}}
        clusters = {item: f"f{place // facets}" for place, item in enumerate(items)} if facets else {}
        asked = baseline([1.0] * n).tasks["t"].model_copy(update={"keys": keys, "clusters": clusters})
        values = rng.uniform(30, 70, n)
        two = [baseline(list(v), tasks={"t": asked}) for v in (values, values + rng.normal(0, n**0.5, n))]
        (line,) = compared(*two, 3, wanted, same_model=False).moved
        if line.power is not None and line.power < wanted and line.ci is not None and line.verdict != "regression":
            met += 1
            assert line.items_needed is not None and line.items_needed > n, line
            assert f"it takes {line.items_needed} items" in line.why
    assert met > 10


def test_of_the_same_model_each_item_counts_for_itself() -> None:
    now = [*THEN[:-1], THEN[-1] + 3.1]
    line = judged(THEN, now)
    assert (line.verdict, line.why) == ("regression", "1 of 8 items moved: i7 by +3.1")
    assert judged(THEN, now, same_model=False).verdict == "inconclusive"
    assert judged(THEN, [*THEN[:-1], THEN[-1] + 2.9]).verdict == "pass"
    # Two items have no interval, and each is known.
    assert judged(THEN[:1], THEN[:1]).verdict == "pass"
    assert judged(THEN[:1], THEN[:1], same_model=False).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("by", "power"), [([0.0] * 8, False), ([0.02, -0.029] * 4, False), ([2.0] * 8, False), ([0.5, -0.4] * 4, True)]
)
def test_items_that_did_not_move_have_no_power(by: list[float], power: bool) -> None:
    """They pass, but say nothing of how the items of a changed model would scatter."""
    line = judged(THEN, [then + d for then, d in zip(THEN, by, strict=True)], same_model=False)
    assert line.verdict == "pass" and line.ci is not None
    assert (line.power is not None) == power
    same = compared(baseline(THEN), baseline(THEN))
    shown = tables(Checked(verdict="pass", source="", power=0.8, baselines=[same]))[1]
    row = dict(zip(shown.columns, shown.rows[0], strict=True))
    assert row["power"] == "–" and shown.notes[0].startswith("Power –: no item moved")


def test_how_often_each_verdict_comes() -> None:
    """At the margin at most one in forty regresses, far beyond it nearly all; without a shift nearly all pass."""
    rng = np.random.default_rng(0)
    then = list(rng.uniform(30, 70, 24))
    shares = {}
    for shift in (0.0, 3.0, 6.0):
        met = [
            judged(then, list(np.array(then) + rng.normal(shift, 3, 24)), same_model=False).verdict for _ in range(400)
        ]
        shares[shift] = {verdict: met.count(verdict) / 400 for verdict in set(met)}
    assert shares[0.0]["pass"] > 0.95 and "regression" not in shares[0.0]
    assert shares[3.0].get("regression", 0) < 0.05 and shares[3.0].get("pass", 0) < 0.05
    assert shares[6.0]["regression"] > 0.95


def test_margins_are_of_the_unit_the_baseline_or_the_call() -> None:
    now = [value + 2 for value in THEN]
    assert judged(THEN, now, None).verdict == "pass" and judged(THEN, now, None).margin == 3.0  # type: ignore[arg-type]
    own = baseline(THEN, margins={"choice": 1.0})
    assert compared(own, baseline(now)).moved[0].margin == 1.0 and compared(own, baseline(now)).verdict == "regression"
    assert compared(own, baseline(now), 2.5).verdict == "pass"
    assert compared(own, baseline(now), {"choice": 2.5, "statement": 0.1}).verdict == "pass"
    odd = baseline(THEN, "points of the task")
    with pytest.raises(TraitbenchUsage, match="have no margin of their own; give --margin choice=X"):
        compared(odd, odd)
    assert compared(odd, odd, 1.0).verdict == "pass"


def test_statements_are_the_mean_of_both_keys() -> None:
    asked = baseline([1.0] * 6).tasks["t"]
    keys = {"openness": {f"i{place}": 1 if place < 4 else -1 for place in range(6)}}
    task = {"t": asked.model_copy(update={"keys": keys})}
    made = [baseline(v, "nats a token", "statement", tasks=task) for v in ([0.0] * 6, [0.01] * 4 + [0.03] * 2)]
    (line,) = compared(made[0], made[1]).moved
    assert line.difference == pytest.approx(0.02) and line.margin == 0.1


def test_scripted_respondents_may_not_differ_at_all() -> None:
    suite = Suite(backend="scripted", model={}, method="none 1", messages="m")
    for by, verdict in ((0.0, "pass"), (1e-10, "pass"), (1e-8, "regression")):
        now = baseline([*THEN[:-1], THEN[-1] + by], suite=suite)
        assert compared(baseline(THEN, suite=suite), now, 3).verdict == verdict
    gap = baseline([*THEN[:-1], None], suite=suite)
    full = baseline(THEN, suite=suite)
    assert compared(full, gap).moved[0].why == "no valid answer any more: 1 of 8 items"
    assert compared(gap, full).moved[0].why == "a valid answer where there was none: 1 items"


def weights(name: str) -> Suite:
    return Suite(backend="hf", model={"weights": name, "dtype": "float32"}, method="none 1", messages="m")


def test_the_suite_is_all_that_is_not_under_test() -> None:
    def differs(now: Baseline, same_model: bool = True) -> Compared:
        return compared(baseline(THEN), now, same_model=same_model)

    other = baseline(THEN, suite=weights("v"))
    told = differs(other)
    assert told.verdict == "invalid" and told.differs[0] == "the model's weights was w and is v" and not told.moved
    assert differs(other, same_model=False).verdict == "pass"
    asked = other.tasks["t"]
    for task in (asked.model_copy(update={"version": "2"}), asked.model_copy(update={"responses": 9})):
        assert differs(baseline(THEN, tasks={"t": task}), same_model=False).verdict == "invalid"
    reworded = baseline(THEN, tasks={"t": asked.model_copy(update={"requests": "q"})})
    assert differs(reworded).verdict == "regression" and differs(reworded, same_model=False).verdict == "invalid"
    moved = baseline(THEN, versions={"torch": "3"})
    assert compared(baseline(THEN, versions={"torch": "2"}), moved).notes == ["torch 2 then, 3 now"]


def test_the_worst_verdict_counts() -> None:
    assert worst(["pass", "inconclusive", "invalid", "regression"]) == "regression"
    assert worst(["pass", "inconclusive", "invalid"]) == "invalid"
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst([]) == "pass"
