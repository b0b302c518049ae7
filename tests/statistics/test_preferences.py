"""Bradley-Terry with ties against Davidson's data, two fits by other routes, its own coverage, and what is unbeaten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.preferences import Comparison, Preferences, bradley_terry, contrast
from traitbench.statistics.ranking import ranks

PUDDING = """1 2 19 22 16, 1 3 16 19 12, 2 3 19 19 10, 1 4 18 23 13, 2 4 23 19 9, 3 4 19 20 15, 1 5 13 19 18,
2 5 16 20 12, 3 5 16 15 17, 4 5 17 14 16, 1 6 18 21 12, 2 6 22 20 12, 3 6 13 18 10, 4 6 14 19 18, 5 6 11 21 12"""
"""Davidson (1970): brands i and j of chocolate pudding, preferences for i, for j, and for neither."""


def pudding() -> list[Comparison]:
    cells = [line.split() for line in PUDDING.split(",")]
    return [
        Comparison(f"{i}{j}{outcome}{k}", i, j, outcome)
        for i, j, *counts in cells
        for outcome, count in zip(("first", "second", "tie"), counts, strict=True)
        for k in range(int(count))
    ]


def drawn(
    seed: int, strengths: dict[str, float], texts: int = 40, tie: float | None = -0.5, order: float = 0.4,
    wobble: float = 0.0,
) -> list[Comparison]:  # fmt: skip
    """Every pair of conditions on every text in both orders; `wobble` is the SD of a text's own strengths."""
    rng, found = np.random.default_rng(seed), []
    for text in range(texts):
        own = {name: value + wobble * rng.standard_normal() for name, value in strengths.items()}
        for first in strengths:
            for second in strengths:
                if first == second:
                    continue
                mean = (own[first] + own[second]) / 2
                odds = np.exp([own[first] + order / 2, own[second] - order / 2, -np.inf if tie is None else mean + tie])
                outcome = rng.choice(["first", "second", "tie"], p=odds / odds.sum())
                found.append(Comparison(text, first, second, str(outcome)))
    return found


def strengths(found: Preferences) -> NDArray[np.float64]:
    assert not found.reason, found.reason
    return np.array([one.value for one in found.strengths.values()])


def test_davidsons_pudding() -> None:
    """The R package PlackettLuce prints these after Davidson's (1970) seven iterations, which end in the fifth digit.

    Its vignette, section 2: worths that add up to 1, the tie parameter, log worths about their mean with standard
    errors, and a residual deviance of 1619.4.
    """
    found = bradley_terry(pudding(), order=False, errors="model")
    names = list("123456")
    values = np.array([found.strengths[name].value for name in names])
    worth = np.exp(values) / np.exp(values).sum()
    assert worth == pytest.approx([0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855], abs=3e-5)
    assert found.tie and np.exp(found.tie.value) == pytest.approx(0.7468147, abs=3e-5)
    assert found.tie.se == pytest.approx(0.082499, abs=1e-6)
    assert [found.strengths[name].se for name in names] == pytest.approx(
        [0.121949, 0.121818, 0.126823, 0.122003, 0.127054, 0.126594], abs=2e-6
    )
    assert found.log_likelihood and -2 * found.log_likelihood == pytest.approx(1619.4, abs=0.05)
    against = [contrast(found, name, "1") for name in names[1:]]
    assert [one.se for one in against] == pytest.approx([0.18722, 0.19352, 0.18821, 0.19270, 0.19241], abs=1e-5)
    assert found.comparisons == 745


def test_as_a_log_linear_model() -> None:
    """Counts of each ordered pair and outcome as Poisson with an effect a pair (Sinclair 1982), by statsmodels."""
    import statsmodels.api as sm

    names = {"a": 0.0, "b": 0.5, "c": 1.2, "d": -0.3}
    data = drawn(1, names)
    found = bradley_terry(data, errors="model")
    kinds = [(f, s) for f in names for s in names if f != s]
    counts, rows = [], []
    for at, (f, s) in enumerate(kinds):
        for place, outcome in enumerate(("first", "second", "tie")):
            counts.append(sum(one[1:] == (f, s, outcome) for one in data))
            row = np.zeros(len(kinds) + 3 + 2)
            row[at] = 1
            for name, share in ((f, (1, 0, 0.5)[place]), (s, (0, 1, 0.5)[place])):
                if name != "a":
                    row[len(kinds) + "bcd".index(name)] += share
            row[-2], row[-1] = place == 2, (0.5, -0.5, 0)[place]
            rows.append(row)
    theirs = sm.GLM(counts, np.array(rows), family=sm.families.Poisson()).fit(tol=1e-12)
    against = [contrast(found, name, "a") for name in "bcd"]
    assert [one.value for one in against] == pytest.approx(theirs.params[-5:-2], abs=1e-6)
    assert [one.se for one in against] == pytest.approx(theirs.bse[-5:-2], rel=1e-5)
    assert found.tie and found.order
    assert (found.tie.value, found.order.value) == pytest.approx(theirs.params[-2:], abs=1e-6)
    assert (found.tie.se, found.order.se) == pytest.approx(theirs.bse[-2:], rel=1e-5)


def test_without_ties_it_is_a_logistic_regression_with_errors_clustered_by_text() -> None:
    import statsmodels.api as sm

    data = drawn(2, {"a": 0.0, "b": 0.7, "c": -0.4}, tie=None, wobble=1.0)
    found = bradley_terry(data)
    x = np.array([[(one.first == n) - (one.second == n) for n in "bc"] + [1] for one in data], dtype=float)
    groups = np.array([one.text for one in data])
    y = np.array([one.outcome == "first" for one in data], dtype=float)
    theirs = sm.GLM(y, x, family=sm.families.Binomial()).fit(
        tol=1e-12, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    correction = np.sqrt(40 / 39)
    against = [contrast(found, name, "a") for name in "bc"]
    assert [one.value for one in against] == pytest.approx(theirs.params[:2], abs=1e-6)
    assert [one.se for one in against] == pytest.approx(theirs.bse[:2] * correction, rel=1e-5)
    assert found.tie is None and found.order and found.order.value == pytest.approx(theirs.params[2], abs=1e-6)
    assert found.order.se == pytest.approx(theirs.bse[2] * correction, rel=1e-5) and found.df == 39
    # Texts differ, so that the comparisons of one are no independent news.
    assert found.strengths["b"].se > 1.2 * bradley_terry(data, errors="model").strengths["b"].se  # type: ignore[operator]


def test_the_order_effect_is_davidson_and_beavers() -> None:
    """Their form, in which the odds of the first alone are multiplied, has the same likelihood: v is then v sqrt(o)."""
    names = {"a": 0.0, "b": 0.8, "c": 0.3}
    data = drawn(3, names, texts=30)
    found = bradley_terry(data, errors="model")

    def loss(p: NDArray[np.float64]) -> float:
        worth, order, tie = dict(zip(names, np.exp([0, *p[:2]]), strict=True)), np.exp(p[2]), np.exp(p[3])
        total = 0.0
        for one in data:
            a, b = worth[one.first] * order, worth[one.second]
            t = tie * np.sqrt(worth[one.first] * worth[one.second])
            total -= np.log({"first": a, "second": b, "tie": t}[one.outcome] / (a + b + t))
        return float(total)

    theirs = optimize.minimize(loss, np.zeros(4), method="BFGS")
    assert found.log_likelihood == pytest.approx(-theirs.fun, abs=1e-6)
    assert found.order and found.tie and found.order.value == pytest.approx(theirs.x[2], abs=1e-3)
    assert found.tie.value + found.order.value / 2 == pytest.approx(theirs.x[3], abs=1e-3)
    assert [contrast(found, n, "a").value for n in "bc"] == pytest.approx(theirs.x[:2], abs=1e-3)


def test_intervals_cover_where_texts_differ_and_those_of_single_comparisons_do_not() -> None:
    """No condition is better on the whole, each on its texts; 60 draws of 30 texts: .95 is known to .03."""
    names = {"a": 0.0, "b": 0.0, "c": 0.0}
    covered = {"texts": 0, "model": 0}
    for seed in range(60):
        data = drawn(seed, names, texts=30, wobble=3)
        for errors in ("texts", "model"):
            ci = contrast(bradley_terry(data, errors=errors), "b", "a").ci  # type: ignore[arg-type]
            covered[errors] += ci is not None and ci[0] <= 0 <= ci[1]
    assert covered["texts"] >= 53 and covered["model"] < 53, covered


def test_which_was_first_is_told_from_which_is_better() -> None:
    """Without the effect of order, a judge who likes the first blurs conditions that were not balanced."""
    data = [one for one in drawn(4, {"a": 0.0, "b": 0.0}, texts=400, order=3.0) if one.first == "a" or one.text < 40]
    with_order, without = bradley_terry(data), bradley_terry(data, order=False)
    assert abs(contrast(with_order, "a", "b").value or 9) < 0.6 and (contrast(without, "a", "b").value or 0) > 1.5
    assert with_order.order and with_order.order.ci and with_order.order.ci[0] < 3 < with_order.order.ci[1]
    assert without.order is None


def test_a_condition_that_wins_all_is_said_or_held_by_a_prior() -> None:
    data = [one for one in drawn(5, {"a": 0.0, "b": 0.3, "c": 0.1}) if "c" not in one[1:3] or one.outcome != "tie"]
    data = [one._replace(outcome="first" if one.first == "c" else "second") if "c" in one[1:3] else one for one in data]
    found = bradley_terry(data)
    assert not found.strengths and found.reason.startswith("c: won every comparison with the others")
    held = bradley_terry(data, prior=3)
    assert not held.reason and max(held.strengths, key=lambda n: held.strengths[n].value) == "c"
    assert 3 < held.strengths["c"].value < 8 and np.isclose(sum(strengths(held)), 0)
    losing = [one._replace(outcome={"first": "second", "second": "first", "tie": "tie"}[one.outcome]) for one in data]
    assert set(bradley_terry(losing).reason.split(":")[0].split(", ")) == {"a", "b"}


def test_a_weak_prior_leaves_what_is_known() -> None:
    data = drawn(6, {"a": 0.0, "b": 0.5, "c": 1.0}, texts=100)
    assert strengths(bradley_terry(data, prior=3)) == pytest.approx(strengths(bradley_terry(data)), abs=0.01)


def test_ranks_from_contrasts() -> None:
    names = {"a": 0.0, "b": 1.5, "c": 0.0}
    found = bradley_terry(drawn(7, names, texts=80))
    order = list(found.strengths)
    pairs = {(i, j): contrast(found, order[i], order[j]) for i in range(3) for j in range(i + 1, 3)}
    placed = dict(zip(order, ranks(3, pairs), strict=True))
    assert (placed["b"].low, placed["b"].high) == (1, 1)
    assert (placed["a"].low, placed["a"].high) == (placed["c"].low, placed["c"].high) == (2, 3)


@pytest.mark.parametrize(
    ("comparisons", "reason"),
    [
        ([], "there are no comparisons"),
        ([(1, "a", "b", "tie"), (2, "b", "a", "tie")], "every comparison is a tie"),
        ([(1, "a", "b", "first"), (1, "b", "a", "first"), (1, "c", "d", "first"), (2, "d", "c", "first")],
         "a, b: never compared with the others, not even by way of a third condition"),
        ([(t, *pair, "first") for t in range(9) for pair in ("ab", "ba")],
         "conditions or places decide the outcome without error; give a prior, e.g. 3, or leave order out"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_says_why(comparisons: Any, reason: str) -> None:
    found = bradley_terry([Comparison(*one) for one in comparisons])
    assert (found.strengths, found.reason) == ({}, reason)
    with pytest.raises(UnknownName, match="unknown condition 'a'; expected one of none"):
        contrast(found, "a", "b")


def test_one_text_has_strengths_without_errors() -> None:
    data = [Comparison(1, "a", "b", o) for o in ("first", "second", "second", "tie")]
    found = bradley_terry(data, order=False)
    assert found.reason.startswith("one text") and found.strengths["b"].value > 0 and found.strengths["b"].ci is None
    assert contrast(found, "b", "a").se is None
    assert bradley_terry(data, order=False, errors="model").strengths["b"].ci


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadData, match="compared with itself"):
        bradley_terry([Comparison(1, "a", "a", "first")])
    with pytest.raises(UnknownName, match="expected first, second or tie"):
        bradley_terry([Comparison(1, "a", "b", "A")])
    for wrong in ({"prior": 0.0}, {"prior": np.nan}, {"errors": "bootstrap"}, {"level": 95}):
        with pytest.raises(UnknownName, match=next(iter(wrong))):
            bradley_terry([], **wrong)  # type: ignore[arg-type]
