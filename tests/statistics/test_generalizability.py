"""Variance components against a published table, hand formulas, statsmodels, brute force and known truth."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.generalizability import (
    DStudy,
    VarianceComponents,
    d_study,
    needed,
    variance_components,
)

Table = NDArray[np.float64]

BRENNAN = np.array(
    [[2, 6, 7, 5, 2, 5, 5, 5], [4, 5, 6, 7, 6, 7, 5, 7], [5, 5, 4, 6, 5, 4, 5, 5], [5, 9, 8, 6, 5, 7, 7, 6],
     [4, 3, 5, 6, 4, 5, 6, 4], [4, 4, 4, 7, 6, 4, 7, 8], [2, 6, 6, 5, 2, 7, 7, 5], [3, 4, 4, 5, 6, 6, 6, 4],
     [0, 5, 4, 5, 5, 5, 5, 3], [6, 8, 7, 6, 6, 8, 8, 6]], dtype=float,
).reshape(10, 2, 4)  # fmt: skip
"""Brennan (2001), Table 3.1, p. 72: 10 persons x 2 occasions x 4 items, his synthetic data set no. 3."""

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
"""Shrout & Fleiss (1979), Table 2: six targets x four judges."""


def of(components: VarianceComponents, name: str) -> float:
    return next(e.variance for e in components.effects if e.name == name)


def simulate(sizes: dict[str, int], truth: dict[str, float], fixed: Sequence[str], rng: np.random.Generator) -> Table:
    """Random effects with the variances of `truth`, summing to zero over fixed facets; iid error as the residual."""
    facets = list(sizes)
    x = np.zeros(list(sizes.values()))
    for name, variance in truth.items():
        inside = facets if name == "residual" else name.split(" x ")
        effect = rng.normal(0, math.sqrt(variance), [sizes[f] if f in inside else 1 for f in facets])
        for axis, f in enumerate(facets):
            if f in fixed and f in inside and name != "residual":
                effect = effect - effect.mean(axis=axis, keepdims=True)
        if inside == ["order"]:
            # A fixed main effect is a constant; this one has sum of squares / (n - 1) equal to `variance`.
            effect = np.sqrt(variance * (sizes["order"] - 1) / (effect**2).sum()) * effect
        x = x + effect
    return x


def test_brennans_two_facet_table() -> None:
    """Sums of squares and components to the digits printed in Brennan (2001), ch. 3."""
    found = variance_components(BRENNAN, ("person", "occasion", "item"), fixed=())
    printed = {
        "person": (9, 62.20, 0.5528), "occasion": (1, 3.20, 0.0074), "item": (3, 37.45, 0.4417),
        "person x occasion": (9, 12.05, 0.1009), "person x item": (27, 56.30, 0.5750),
        "occasion x item": (3, 7.50, 0.1565), "residual": (27, 25.25, 0.9352),
    }  # fmt: skip
    assert {e.name: (e.df, round(e.df * e.mean_square, 2), round(e.variance, 4)) for e in found.effects} == printed
    assert sum(e.percent or 0 for e in found.effects) == pytest.approx(100)
    assert not any(e.negative for e in found.effects) and found.reason == "" and found.notes == ()


def test_brennans_coefficients_random_and_with_items_fixed() -> None:
    """Same data: E rho^2 .64 and phi .55 with both facets random, .81 and .79 with the four items fixed."""
    found = variance_components(BRENNAN, ("person", "occasion", "item"), fixed=())
    both = d_study(found, "person", {"occasion": 2, "item": 4})
    assert both.generalizability == pytest.approx(0.64, abs=0.005)
    assert both.dependability == pytest.approx(0.55, abs=0.005)
    items = d_study(found, "person", {"occasion": 2}, fixed=("item",))
    assert items.generalizability == pytest.approx(0.81, abs=0.005)
    assert items.dependability == pytest.approx(0.79, abs=0.005)
    assert items.universe == pytest.approx(0.5528 + 0.5750 / 4, abs=1e-4)
    assert items.universe == pytest.approx((62.20 - 12.05) / 9 / 8, abs=1e-4)


def test_one_facet_is_the_published_intraclass_correlation_and_alpha() -> None:
    """Shrout & Fleiss (1979): mean squares 11.24, 32.49, 1.02; ICC(2,4) .62 is phi, ICC(3,4) .91 is E rho^2 = alpha."""
    found = variance_components(SHROUT_FLEISS, ("respondent", "judge"))
    assert [round(e.mean_square, 2) for e in found.effects] == [11.24, 32.49, 1.02]
    study = d_study(found)
    assert study.dependability == pytest.approx(0.62, abs=0.005)
    assert study.generalizability == pytest.approx(0.91, abs=0.005)
    for table in (SHROUT_FLEISS, np.random.default_rng(0).normal(size=(9, 1)) + simulate_noise(9, 5)):
        n, k = table.shape
        subjects, judges, error = by_hand(table)
        study = d_study(variance_components(table, ("respondent", "judge")))
        covariance = np.cov(table, rowvar=False)
        alpha = k / (k - 1) * (1 - np.trace(covariance) / covariance.sum())
        assert study.generalizability == pytest.approx(alpha, abs=1e-12)
        assert study.dependability == pytest.approx((subjects - error) / (subjects + (judges - error) / n), abs=1e-12)


def simulate_noise(n: int, k: int) -> Table:
    rng = np.random.default_rng(1)
    return rng.normal(0, 0.7, (n, k)) + rng.normal(0, 0.5, k)


def by_hand(table: Table) -> tuple[float, float, float]:
    """Mean squares of p x i as in Brennan (2001), section 2.2: sums of squared totals."""
    n, k = table.shape
    people, items = (table.sum(1) ** 2).sum() / k, (table.sum(0) ** 2).sum() / n
    grand, cells = table.sum() ** 2 / (n * k), (table**2).sum()
    return (people - grand) / (n - 1), (items - grand) / (k - 1), (cells - people - items + grand) / ((n - 1) * (k - 1))


def test_one_facet_by_hand() -> None:
    table = 3 + simulate_noise(8, 6)
    people, items, error = by_hand(table)
    found = variance_components(table, ("respondent", "item"))
    assert [e.mean_square for e in found.effects] == pytest.approx([people, items, error])
    assert [e.variance for e in found.effects] == pytest.approx([(people - error) / 6, (items - error) / 8, error])
    assert [e.df for e in found.effects] == [7, 5, 35]


@pytest.mark.parametrize("shape", [(4, 3, 5), (3, 2, 4, 3)])
def test_mean_squares_are_those_of_statsmodels(shape: tuple[int, ...]) -> None:
    pandas = pytest.importorskip("pandas")
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    x = np.random.default_rng(2).normal(3, 1, shape)
    letters = "abcd"[: x.ndim]
    cells = pandas.DataFrame(
        [dict(zip(letters, where, strict=True), y=float(x[where])) for where in np.ndindex(*shape)]
    )
    terms = " * ".join(f"C({c})" for c in letters)
    highest = ":".join(f"C({c})" for c in letters)
    table = anova_lm(ols(f"y ~ {terms} - {highest}", cells).fit())
    for effect in variance_components(x, letters, fixed=()).effects:
        row = "Residual" if effect.name == "residual" else ":".join(f"C({c})" for c in effect.facets)
        assert effect.mean_square == pytest.approx(table.loc[row, "mean_sq"], rel=1e-9)
        assert effect.df == table.loc[row, "df"]


def test_mean_squares_by_brute_force_and_sums_of_squares_add_up() -> None:
    """Every cell's effect from the alternating sum of the means above it."""
    x = np.random.default_rng(3).normal(2, 1, (3, 2, 4, 2))
    facets = ("item", "order", "template", "respondent")
    found = variance_components(x, facets)
    total = 0.0
    for effect in found.effects:
        axes = [facets.index(f) for f in effect.facets]
        squares = 0.0
        for cell in np.ndindex(*x.shape):
            value = 0.0
            for size in range(len(axes) + 1):
                for kept in itertools.combinations(axes, size):
                    above = x[tuple(cell[a] if a in kept else slice(None) for a in range(x.ndim))]
                    value += (-1) ** (len(axes) - size) * float(above.mean())
            squares += value**2
        assert effect.mean_square == pytest.approx(squares / effect.df, rel=1e-9)
        assert effect.df == math.prod(x.shape[a] - 1 for a in axes)
        total += squares
    assert total == pytest.approx(((x - x.mean()) ** 2).sum())


def test_the_equations_hold_exactly() -> None:
    """Put the components back into the expected mean squares, written out for item x order (fixed) x respondent."""
    x = np.random.default_rng(4).normal(0, 1, (5, 2, 7)) + np.arange(5)[:, None, None]
    found = variance_components(x, ("item", "order", "respondent"))
    v = {e.name: e.variance for e in found.effects}
    e = v["residual"]
    expected = {
        "item": e + 2 * v["item x respondent"] + 14 * v["item"],
        "order": e + 7 * v["item x order"] + 5 * v["order x respondent"] + 35 * v["order"],
        "respondent": e + 2 * v["item x respondent"] + 10 * v["respondent"],
        "item x order": e + 7 * v["item x order"],
        "item x respondent": e + 2 * v["item x respondent"],
        "order x respondent": e + 5 * v["order x respondent"],
        "residual": e,
    }
    assert {e.name: e.mean_square for e in found.effects} == pytest.approx(expected)


DESIGNS = [
    ({"item": 6, "order": 2, "template": 3, "respondent": 8},
     {"item": 0.5, "order": 0.2, "template": 0.1, "respondent": 0.4, "item x order": 0.15, "item x template": 0.05,
      "item x respondent": 0.3, "order x template": 0.08, "order x respondent": 0.12, "template x respondent": 0.0,
      "item x order x template": 0.1, "item x order x respondent": 0.2, "item x template x respondent": 0.15,
      "order x template x respondent": 0.05, "residual": 0.6}),
    ({"item": 5, "order": 3, "template": 2, "respondent": 6, "repeat": 2},
     {"item": 0.5, "order": 0.3, "template": 0.1, "respondent": 0.4, "repeat": 0.02, "item x order": 0.2,
      "item x respondent": 0.3, "order x respondent": 0.15, "template x repeat": 0.05, "order x repeat": 0.04,
      "item x order x respondent": 0.25, "item x order x template": 0.1, "item x template x respondent": 0.1,
      "item x order x template x respondent": 0.1, "residual": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("sizes", "truth"), DESIGNS)
def test_every_component_is_recovered(sizes: dict[str, int], truth: dict[str, float]) -> None:
    """Means over 500 simulated data sets within 3 Monte Carlo SEs of the truth; effects not listed are truly 0."""
    rng = np.random.default_rng(11)
    studies = [variance_components(simulate(sizes, truth, ("order",), rng), tuple(sizes)) for _ in range(500)]
    assert len(studies[0].effects) == 2 ** len(sizes) - 1 and set(truth) <= {e.name for e in studies[0].effects}
    for i, effect in enumerate(studies[0].effects):
        found = np.array([study.effects[i].variance for study in studies])
        gap, noise = found.mean() - truth.get(effect.name, 0.0), found.std(ddof=1) / math.sqrt(500)
        assert abs(gap) < 3 * noise, (effect.name, found.mean(), truth.get(effect.name, 0.0), noise)
        assert noise < 0.05, (effect.name, noise)


def test_recovery_tells_a_fixed_order_from_a_random_one() -> None:
    """The check above can fail: solved with the order as random, the respondents' component loses sigma^2(ro) / n."""
    sizes, truth = DESIGNS[0]
    rng = np.random.default_rng(12)
    tables = [simulate(sizes, truth, ("order",), rng) for _ in range(500)]
    item = [of(variance_components(t, tuple(sizes), ()), "item x respondent") for t in tables]
    gap = np.mean(item) - truth["item x respondent"]
    assert gap < -3 * np.std(item) / math.sqrt(500) and gap == pytest.approx(-0.2 / 2, abs=0.05)


def test_negative_estimates_are_shown() -> None:
    """Answers that swap from item to item: respondents differ less than error says they should."""
    swap = np.array([[1.0, 5.0], [5.0, 1.0], [1.0, 5.0], [5.0, 1.1]])
    found = variance_components(swap, ("item", "respondent"))
    item, respondent, residual = found.effects
    assert item.negative and respondent.negative and not residual.negative
    assert (
        respondent.variance == pytest.approx((respondent.mean_square - residual.mean_square) / 4) and item.variance < 0
    )
    assert (item.percent, respondent.percent, residual.percent) == (0, 0, 100)
    study = d_study(found)
    assert study.zeroed == ("respondent", "item") and study.universe == 0 and study.dependability == 0
    assert "component of 0" in needed(found, facet="item").reason


def test_a_fixed_order_is_the_table_averaged_over_it() -> None:
    """Brennan's mixed model by another route: average the orders away, then a random-effects study of the rest."""
    sizes, truth = DESIGNS[0]
    x = simulate(sizes, {**truth, "template x respondent": 0.2}, ("order",), np.random.default_rng(5))
    found = variance_components(x, tuple(sizes))
    averaged = variance_components(x.mean(axis=1), ("item", "template", "respondent"))
    for wanted in ({}, {"item": 20, "template": 2}):
        mixed, plain = d_study(found, sizes=wanted), d_study(averaged, sizes=wanted)
        assert not plain.zeroed and not mixed.zeroed and mixed.fixed == ("order",) and mixed.sizes["order"] == 2
        for name in ("universe", "relative_error", "absolute_error", "generalizability", "dependability"):
            assert getattr(mixed, name) == pytest.approx(getattr(plain, name)), name


def test_errors_are_the_spread_of_simulated_means() -> None:
    """Mean of squared (observed - universe) over fresh draws of 4 items and 3 templates is the absolute error."""
    truth = {"item": 0.5, "template": 0.2, "respondent": 0.4, "item x respondent": 0.3, "template x respondent": 0.1,
             "item x template": 0.2, "residual": 0.6}  # fmt: skip
    rng = np.random.default_rng(6)
    studies = [
        variance_components(simulate({"item": 12, "template": 6, "respondent": 30}, truth, (), rng),
                            ("item", "template", "respondent"))
        for _ in range(100)
    ]  # fmt: skip
    found = [d_study(s, sizes={"item": 4, "template": 3}) for s in studies]
    squares, deviations = [], []
    for _ in range(800):
        universe = rng.normal(0, math.sqrt(0.4), (1, 1, 20))
        rest = {k: v for k, v in truth.items() if k != "respondent"}
        observed = (simulate({"item": 4, "template": 3, "respondent": 20}, rest, (), rng) + universe).mean(axis=(0, 1))
        error = observed - universe[0, 0]
        squares.append((error**2).mean())
        deviations.append(error.var(ddof=1))
    assert np.mean([s.absolute_error for s in found]) == pytest.approx(np.mean(squares), rel=0.06)
    assert np.mean([s.relative_error for s in found]) == pytest.approx(np.mean(deviations), rel=0.03)
    assert np.mean([s.universe for s in found]) == pytest.approx(0.4, rel=0.1)


def test_needed_is_the_spearman_brown_prophecy() -> None:
    """One facet: phi of m judges is m r / (1 + (m - 1) r) with r = ICC(2,1) = .29 (Shrout & Fleiss 1979)."""
    found = variance_components(SHROUT_FLEISS, ("respondent", "judge"))
    single = d_study(found, sizes={"judge": 1}).dependability
    assert single == pytest.approx(0.29, abs=0.005)
    for target in (0.5, 0.8, 0.95):
        assert single is not None
        prophecy = target * (1 - single) / (single * (1 - target))
        assert needed(found, facet="judge", target=target).value == math.ceil(prophecy)
    relative = d_study(found, sizes={"judge": 1}).generalizability
    assert relative == pytest.approx(0.71, abs=0.006)  # ICC(3,1), blind to the judges' own levels
    prophecy = 0.95 * (1 - relative) / (relative * 0.05)
    assert needed(found, facet="judge", target=0.95, relative=True).value == math.ceil(prophecy)


def test_needed_counts_up_to_the_target_with_the_facet_random() -> None:
    """Against counting up one by one, orders as random although the study held them fixed."""
    truth = {"item": 0.1, "order": 0.3, "respondent": 0.5, "order x respondent": 0.3, "item x respondent": 0.1,
             "residual": 0.4}  # fmt: skip
    sizes = {"item": 8, "order": 3, "respondent": 40}
    found = variance_components(simulate(sizes, truth, (), np.random.default_rng(7)), tuple(sizes))
    assert found.fixed == ("order",)
    for facet in ("order", "item"):
        held = tuple(f for f in found.fixed if f != facet)
        phis = [d_study(found, sizes={facet: n}, fixed=held).dependability or 0 for n in range(1, 60)]
        assert phis == sorted(phis)
        for target in (phis[0], (phis[1] + phis[2]) / 2, phis[11]):
            k = needed(found, facet=facet, target=target)
            assert k.value == 1 + next(i for i, phi in enumerate(phis) if phi >= target) and k.reason == ""
    more = needed(found, facet="order", sizes={"item": 100}, target=0.75).value
    fewer = needed(found, facet="order", sizes={"item": 4}, target=0.75).value
    assert more and fewer and more < fewer


def test_needed_says_why_not() -> None:
    truth = {"item": 1.0, "respondent": 0.3, "item x respondent": 1.0, "residual": 0.5}
    sizes = {"item": 6, "order": 2, "respondent": 30, "repeat": 1}
    found = variance_components(simulate(sizes, truth, (), np.random.default_rng(8)), tuple(sizes))
    out = needed(found, facet="order")
    most = d_study(found, sizes={"order": 10**9}, fixed=()).dependability
    assert out.value is None and most and f"{most:.3f}" in out.reason
    assert "more than 10 item" in needed(found, facet="item", limit=10).reason
    assert needed(found, facet="item", limit=100_000).value
    assert "one level" in needed(found, facet="repeat").reason
    assert "what is measured" in needed(found, facet="respondent").reason
    with pytest.raises(UnknownName, match="did you mean 'order'"):
        needed(found, facet="orders")
    with pytest.raises(UnknownName, match="out of range"):
        needed(found, target=80)
    with pytest.raises(UnknownName, match="out of range"):
        needed(found, limit=0)


def test_missing_cells_drop_whole_items() -> None:
    x = np.random.default_rng(9).normal(size=(6, 2, 5))
    holes = x.copy()
    holes[1, 0, 3] = np.nan
    holes[4] = np.nan
    facets = ("item", "order", "respondent")
    found, rest = variance_components(holes, facets), variance_components(x[[0, 2, 3, 5]], facets)
    assert found.effects == rest.effects and found.dropped == 2 and found.sizes["item"] == 4
    assert found.notes == ("2 of 6 item levels left out: a cell is missing",) and rest.notes == ()


def test_facets_of_one_level_leave_the_design() -> None:
    x = np.random.default_rng(10).normal(size=(6, 1, 5, 1))
    found = variance_components(x, ("item", "order", "respondent", "repeat"))
    plain = variance_components(x[:, 0, :, 0], ("item", "respondent"))
    assert found.effects == plain.effects and [e.name for e in found.effects] == ["item", "respondent", "residual"]
    assert found.notes == ("order has one level and leaves the design", "repeat has one level and leaves the design")
    assert found.reason == "" and found.sizes == {"item": 6, "order": 1, "respondent": 5, "repeat": 1}
    assert d_study(found).dependability == d_study(plain).dependability
    study = d_study(found, sizes={"order": 4})
    assert study.dependability is None and "order had one level" in study.reason


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((1, 2, 5), "fewer than two complete levels of item: 1"), ((0, 2, 5), "fewer than two complete levels of item: 0"),
     ((6, 1, 1), "only item has more than one level: its variance cannot be told from error"),
     ((6, 2, 0), "respondent has no level")],
)  # fmt: skip
def test_too_small_a_table_has_a_reason(shape: tuple[int, ...], reason: str) -> None:
    found = variance_components(np.ones(shape), ("item", "order", "respondent"))
    assert found.effects == () and found.reason == reason
    assert d_study(found).dependability is None and d_study(found).reason
    assert needed(found).value is None and needed(found).reason


def test_all_cells_missing() -> None:
    found = variance_components(np.full((3, 2, 4), np.nan), ("item", "order", "respondent"))
    assert found.dropped == 3 and found.effects == () and "fewer than two" in found.reason


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, -1e6 / 3])
def test_a_constant_table_varies_nowhere(value: float) -> None:
    found = variance_components(np.full((7, 2, 3, 11), value), ("item", "order", "template", "respondent"))
    assert all(e.variance == 0 and e.mean_square == 0 and e.percent is None and not e.negative for e in found.effects)
    study = d_study(found)
    assert study.generalizability is None and study.dependability is None and "nothing varies" in study.reason
    assert needed(found, facet="item") == (None, study.reason)


def test_an_additive_table_has_no_interaction() -> None:
    """Effects that are exactly 0 come out as 0, not as a negative rounding error."""
    x = (np.arange(5) / 7)[:, None, None] + (np.arange(3) / 11)[:, None] + np.arange(8) / 13
    found = variance_components(x, ("item", "template", "respondent"))
    assert [e.name for e in found.effects if e.percent and e.percent > 1e-20] == ["item", "template", "respondent"]
    assert not any(e.negative for e in found.effects)
    assert of(found, "respondent") == pytest.approx(np.var(np.arange(8) / 13, ddof=1))
    assert d_study(found).generalizability == pytest.approx(1)


def test_without_respondents_nothing_is_told_apart() -> None:
    x = np.random.default_rng(13).normal(size=(6, 2, 3))
    found = variance_components(x, ("item", "order", "template"))
    for out in (d_study(found), d_study(found, sizes={"item": 10})):
        assert isinstance(out, DStudy) and out.dependability is None and "respondent does not vary" in out.reason
    assert "respondent does not vary" in needed(found, facet="order").reason
    one = variance_components(x[..., None], ("item", "order", "template", "respondent"))
    assert "respondent does not vary" in d_study(one).reason


def test_a_fixed_facet_keeps_its_levels() -> None:
    x = np.random.default_rng(14).normal(size=(6, 2, 9))
    found = variance_components(x, ("item", "order", "respondent"))
    assert "order is fixed at its 2 levels" in d_study(found, sizes={"order": 4}).reason
    assert d_study(found, sizes={"order": 4}, fixed=()).reason == ""
    assert d_study(found, fixed=("respondent",)).reason.startswith("respondent is fixed")


def test_wrong_calls() -> None:
    x = np.ones((2, 3))
    for facets in (("item",), ("item", "item"), ("item", "order", "template")):
        with pytest.raises(BadData, match="different facet names"):
            variance_components(x, facets)
    found = variance_components(SHROUT_FLEISS, ("respondent", "judge"))
    with pytest.raises(UnknownName, match="did you mean 'judge'"):
        d_study(found, sizes={"judges": 2})
    for size in (0, -1, 2.5, math.inf, math.nan):
        with pytest.raises(UnknownName, match="whole number"):
            d_study(found, sizes={"judge": size})  # type: ignore[dict-item]


def test_records_survive_json() -> None:
    found = variance_components(BRENNAN, ("item", "order", "respondent"))
    text = json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert VarianceComponents.model_validate_json(text) == found
    study = d_study(found)
    assert DStudy.model_validate_json(json.dumps(study.model_dump(mode="json"), allow_nan=False)) == study


def test_a_full_design_is_quick() -> None:
    """24 items x 2 orders x 3 templates x 50 respondents: the best of five under 50 ms."""
    x = np.random.default_rng(15).normal(size=(24, 2, 3, 50))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        found = variance_components(x, ("item", "order", "template", "respondent"))
        needed(found, facet="order")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05, times
