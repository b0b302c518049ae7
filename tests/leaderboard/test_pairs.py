"""Two contenders of the board: paired over what both have, against scipy and by hand."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traitbench.leaderboard.pairs import difference
from traitbench.leaderboard.ranking import ranked
from traitbench.statistics.intervals import Estimate, stratified_mean
from traitbench.statistics.sums import Term, total
from traitbench.tasks.board import Contender, Entry, Part, Row

RNG = np.random.default_rng(5)
ITEMS = [f"i{n}" for n in range(24)]
A, B = RNG.normal(0.3, 0.2, (2, 24)), RNG.normal(0.1, 0.2, (2, 24))
"""Two targets of 24 items each."""


def contender(values: NDArray[np.float64], higher: bool = True, **more: Any) -> Contender:
    """One of `values` (targets, items) or (targets, items, cells)."""
    cells = values.reshape(len(values), values.shape[1], -1)
    units = [{f"{t}{i}": row.tolist() for i, row in zip(ITEMS, mine, strict=True)} for t, mine in enumerate(cells)]
    parts = [Part(name=f"t{t}", values=held, **more) for t, held in enumerate(units)]
    mean = float(values.mean())
    return Contender(name="x", value=mean, ci=(mean - 0.1, mean + 0.1), higher_is_better=higher, parts=parts)


def must(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


def test_over_one_target_it_is_the_paired_t_test() -> None:
    found, theirs = must(difference(contender(A[:1]), contender(B[:1]))), stats.ttest_rel(A[0], B[0])
    assert found.value == pytest.approx((A[0] - B[0]).mean())
    assert (found.value or 0) / (found.se or 1) == pytest.approx(theirs.statistic)
    assert found.df == pytest.approx(23)


def test_over_several_targets_errors_add_up() -> None:
    found = must(difference(contender(A), contender(B)))
    each = [(A[t] - B[t]).var(ddof=1) / 24 for t in range(2)]
    assert found.value == pytest.approx((A - B).mean())
    assert found.se == pytest.approx(sum(each) ** 0.5 / 2)
    assert found.df == pytest.approx(sum(each) ** 2 / sum(e**2 / 23 for e in each))
    turned = must(difference(contender(B), contender(A)))
    assert (turned.value, turned.se) == (pytest.approx(-(found.value or 0)), pytest.approx(found.se))
    less = must(difference(contender(A, higher=False), contender(B, higher=False)))
    assert less.value == pytest.approx(-(found.value or 0)), "less is better"


def test_keys_and_facets_are_those_of_the_interval() -> None:
    keys, facets = [1, 1, -1] * 8, [f"f{n % 6}" for n in range(24)]
    more: dict[str, Any] = {
        "strata": {f"0{i}": k for i, k in zip(ITEMS, keys, strict=True)},
        "clusters": {f"0{i}": f for i, f in zip(ITEMS, facets, strict=True)},
        "weights": "halves",
    }
    found = must(difference(contender(A[:1], **more), contender(B[:1], **more)))
    wanted = stratified_mean(A[0] - B[0], keys, "halves", clusters=facets)
    assert (found.value, found.se, found.df) == pytest.approx((wanted.value, wanted.se, wanted.df))


def test_units_and_parts_that_both_have_are_compared() -> None:
    a, b = contender(A), contender(B)
    some = b.parts[0].model_copy(update={"values": dict(list(b.parts[0].values.items())[:10])})
    found = must(difference(a, b.model_copy(update={"parts": [some]})))
    assert found.value == pytest.approx((A[0, :10] - B[0, :10]).mean()) and found.n == 10
    other = b.parts[0].model_copy(update={"name": "another"})
    assert difference(a, b.model_copy(update={"parts": [other]})) is None
    lone = b.parts[0].model_copy(update={"values": dict(list(b.parts[0].values.items())[:1])})
    assert difference(a, b.model_copy(update={"parts": [lone]})) is None, "one item has no spread"
    gone = contender(np.where(np.arange(24) < 4, np.nan, B))
    held = gone.model_copy(update={"parts": [
        part.model_copy(update={"values": {u: [None if np.isnan(v[0]) else v[0]] for u, v in part.values.items()}})
        for part in gone.parts
    ]})  # fmt: skip
    assert must(difference(a, held)).value == pytest.approx((A - B)[:, 4:].mean()), "missing is not zero"


def test_wordings_are_pairs_and_fits_are_not() -> None:
    wordings = RNG.normal(0, 0.1, (1, 24, 3)) + np.array([0.0, 0.2, 0.5])
    three: dict[str, Any] = {"over": ["templates"], "shape": [3]}
    a, b = contender(A[:1, :, None] + wordings, **three), contender(B[:1, :, None] + wordings, **three)
    assert must(difference(a, b)).se == pytest.approx(must(difference(contender(A[:1]), contender(B[:1]))).se), (
        "what both share in a wording cancels"
    )
    once = must(difference(a, contender(B[:1], over=["templates"], shape=[1])))
    assert once.value == pytest.approx((A[0] + wordings[0, :, 0] - B[0]).mean()), "the wording that both have"
    fits = RNG.normal(0, 0.01, (1, 24, 4)) + np.array([0.0, 0.3, 0.6, 0.9])
    many = contender(A[:1, :, None] + fits, over=["fits"], shape=[4])
    against = must(difference(many, contender(B[:1])))
    assert against.value == pytest.approx((A[0] + fits[0].mean(axis=1) - B[0]).mean()), "one fit against each"
    assert "fits" in against.covers and (against.se or 0) > 0.15, "fits differ by .4 (SD), and there are four"
    both = contender(
        (A[:1, :, None, None] + wordings[..., None] + fits[:, :, None]), over=["templates", "fits"], shape=[3, 4]
    )
    turned = both.model_copy(update={"parts": [
        part.model_copy(update={
            "over": ["fits", "templates"], "shape": [4, 3],
            "values": {u: [v[w * 4 + f] for f in range(4) for w in range(3)] for u, v in part.values.items()},
        })
        for part in both.parts
    ]})  # fmt: skip
    same = must(difference(both, turned))
    assert (same.value, same.se) == (0, 0), "the order of the axes is only how they are written"


def test_equal_numbers_do_not_differ_by_their_last_digits() -> None:
    near = A * (1 + 1e-15)
    found = must(difference(contender(A), contender(near)))
    assert (found.value, found.se) == (0, 0)


def entry(run: str, made: Contender) -> Entry:
    return Entry(
        model="m", revision=None, method=run, settings={}, method_version="1", backend="hf", task="t", kind="none here",
        conditions=11, profiles=0, n=24, limit=None, contaminated=0, metrics={}, evaluation_seconds=None,
        fit_seconds=None, stored_parameters=None, administration_hash="1", run=run, place=run,
        rows={"choice": Row(metrics={}, contenders=[made])},
    )  # fmt: skip


def test_intervals_that_overlap_are_told_apart_by_their_pairs() -> None:
    """Items differ more than runs do: the intervals overlap, the paired difference is beyond doubt."""
    hard = RNG.normal(0, 1, (1, 24))
    high, low = hard + 0.2 + RNG.normal(0, 0.1, (1, 24)), hard + RNG.normal(0, 0.1, (1, 24))
    runs = {"high": contender(high), "low": contender(low)}
    cis = {name: stratified_mean(v[0], np.ones(24)).ci or (0, 0) for name, v in (("high", high), ("low", low))}
    assert cis["low"][1] > cis["high"][0]
    paired = {e.run: e.metrics["choice"] for e in ranked([entry(n, c) for n, c in runs.items()])}
    assert [(paired[n]["rank"], paired[n]["rank_high"]) for n in ("high", "low")] == [(1, 1), (2, 2)]
    alone = [c.model_copy(update={"parts": [], "ci": cis[n]}) for n, c in runs.items()]
    unpaired = [e.metrics["choice"] for e in ranked([entry(n, c) for n, c in zip(runs, alone, strict=True)])]
    assert [(m["rank"], m["rank_high"]) for m in unpaired] == [(1, 2), (1, 2)], "without pairs, the safe side"


def test_groups_are_ranked_apart_and_the_order_of_runs_decides_nothing() -> None:
    made = {name: contender(A + shift) for name, shift in (("a", 0.0), ("b", 0.05), ("c", 0.5))}
    made["d"] = contender(B).model_copy(update={"group": "another"})
    made["e"] = contender(B).model_copy(update={"unranked": "first 3 items"})
    entries = [entry(n, c) for n, c in made.items()]
    found = {e.run: e.metrics["choice"] for e in ranked(entries)}
    assert [found[n]["rank"] for n in "abcde"] == [3, 2, 1, 1, None], "the same shift on every item is beyond doubt"
    assert found["d"]["superiority"] is found["e"]["superiority"] is found["e"]["rank_high"] is None
    again = {e.run: e.metrics["choice"] for e in ranked(entries[::-1])}
    assert again == found


def test_a_mean_over_targets_as_the_board_makes_it() -> None:
    """All pairs of random runs against the mean of the targets' paired differences."""
    values = RNG.normal(0, 1, (4, 2, 24))
    for i, j in combinations(range(4), 2):
        found = must(difference(contender(values[i]), contender(values[j])))
        wanted = total([Term(0.5, values[i, t] - values[j, t], np.ones(24, dtype=int)) for t in range(2)])
        assert (found.value, found.se, found.df) == pytest.approx((wanted.value, wanted.se, wanted.df))
