"""Factors, rotations and adequacy against R psych; congruence and multitrait-multimethod against the papers' tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from traitbench.errors import BadData
from traitbench.statistics.factors import inverse, smc
from traitbench.statistics.structure import (
    bartlett,
    kmo,
    minres,
    multitrait_multimethod,
    oblimin,
    parallel_analysis,
    procrustes,
    schmid_leiman,
    tucker,
    varimax,
)


@pytest.fixture
def correlation(people: np.ndarray) -> np.ndarray:
    """Complete cases, 25 x 25."""
    return np.corrcoef(people[~np.isnan(people).any(axis=1)].T)


def matched(found: np.ndarray, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which column of `told` each found factor is, and with which sign."""
    congruence = tucker(found, told)
    order = np.abs(congruence).argmax(axis=1)
    assert sorted(order) == list(range(len(order)))
    return order, np.sign(congruence[np.arange(len(order)), order])


def two_factors(seed: int = 0, n: int = 400) -> np.ndarray:
    """Correlations of eight items of two correlated factors."""
    rng = np.random.default_rng(seed)
    f = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], n)
    return np.corrcoef((np.repeat(f, 4, axis=1) * 0.7 + 0.7 * rng.normal(size=(n, 8))).T)


def test_unrotated_factors_are_what_psych_says(golden: Any, correlation: np.ndarray) -> None:
    told, found = golden["bfi25_keyed"]["fa5_none"], minres(correlation, 5)
    assert found.loadings == pytest.approx(np.array(told["loadings"]), abs=1e-4)
    assert 1 - found.uniquenesses == pytest.approx(told["communality"], abs=1e-4)
    for start, name in enumerate("ACENO"):
        one = golden["bfi25_keyed"]["omega_1f_minres"][name]
        block = correlation[5 * start : 5 * start + 5, 5 * start : 5 * start + 5]
        assert minres(block, 1).loadings[:, 0] == pytest.approx(one["loadings"], abs=1e-4)
        assert minres(block, 1).uniquenesses == pytest.approx(one["uniq"], abs=1e-4)


def test_varimax_is_what_psych_says(golden: Any, correlation: np.ndarray) -> None:
    """R stops at a change of 1e-5: the criterion is at least as high here."""
    told = np.array(golden["bfi25_keyed"]["fa5_varimax"]["loadings"])
    unrotated = minres(correlation, 5).loadings
    found = varimax(unrotated)
    order, sign = matched(found, told)
    assert found == pytest.approx(told[:, order] * sign, abs=1e-3)
    assert found @ found.T == pytest.approx(unrotated @ unrotated.T, abs=1e-9)

    def spread(loadings: np.ndarray) -> float:
        normalised = loadings**2 / (loadings**2).sum(axis=1, keepdims=True)
        return float(normalised.var(axis=0).sum())

    assert spread(found) >= spread(told) > spread(unrotated)


def test_oblimin_is_what_psych_says(golden: Any, correlation: np.ndarray) -> None:
    told = golden["bfi25_keyed"]["fa5_oblimin"]
    unrotated = minres(correlation, 5).loadings
    found, phi = oblimin(unrotated)
    order, sign = matched(found, np.array(told["loadings"]))
    assert found == pytest.approx(np.array(told["loadings"])[:, order] * sign, abs=1e-3)
    assert phi == pytest.approx(np.array(told["phi"])[np.ix_(order, order)] * np.outer(sign, sign), abs=1e-3)
    assert found @ phi @ found.T == pytest.approx(unrotated @ unrotated.T, abs=1e-9)


def test_factors_come_in_order_and_positive(correlation: np.ndarray) -> None:
    unrotated = minres(correlation, 5).loadings
    for loadings in (unrotated, varimax(unrotated), oblimin(unrotated)[0]):
        size = (loadings**2).sum(axis=0)
        assert np.all(np.diff(size) <= 0) and np.all(loadings.sum(axis=0) > 0)


@pytest.mark.parametrize("factors", [1, 2])
def test_minres_has_the_least_residuals(factors: int) -> None:
    """Directly over the loadings (Harman & Jones): no uniqueness, no eigenvector."""
    r = two_factors()
    rows, columns = np.triu_indices(8, 1)

    def residuals(flat: np.ndarray) -> np.ndarray:
        loadings = flat.reshape(8, factors)
        return (r - loadings @ loadings.T)[rows, columns]

    starts = np.random.default_rng(1).normal(0.3, 0.4, (5, 8 * factors))
    best = min((optimize.least_squares(residuals, s, xtol=1e-12, ftol=1e-14) for s in starts), key=lambda b: b.cost)
    found = minres(r, factors)
    assert (residuals(found.loadings.ravel()) ** 2).sum() / 2 == pytest.approx(best.cost, abs=1e-9)
    other = best.x.reshape(8, factors)
    assert found.loadings @ found.loadings.T == pytest.approx(other @ other.T, abs=1e-4)
    assert (found.loadings**2).sum(axis=1) + found.uniquenesses == pytest.approx(np.ones(8), abs=1e-6)


def test_minres_of_hard_matrices() -> None:
    """A loading above 1, an item twice, fewer respondents than items, nothing in common: bounded, no warning."""
    heywood = np.array([[1, 0.8, 0.8], [0.8, 1, 0.5], [0.8, 0.5, 1]])
    twice = two_factors()[np.ix_([0, 0, 1, 2, 3, 4], [0, 0, 1, 2, 3, 4])]
    few = np.corrcoef(np.random.default_rng(4).normal(size=(9, 6)))
    for r, factors in ((heywood, 1), (twice, 2), (few, 2), (np.eye(6), 1)):
        found = minres(r, factors)
        assert found.loadings.shape == (len(r), factors) and np.isfinite(found.loadings).all()
        assert np.all((found.uniquenesses >= 0.005) & (found.uniquenesses <= 1))
    assert inverse(twice) is None and smc(few) is None
    assert minres(twice, 2).uniquenesses[:2] == pytest.approx([0.005] * 2)
    assert not minres(np.eye(6), 1).loadings.any()


def test_what_cannot_be_factored_is_refused() -> None:
    missing = np.eye(4)
    missing[1] = missing[:, 1] = np.nan
    with pytest.raises(BadData, match="no variance or too few answers; leave such items out"):
        minres(missing, 1)
    for factors in (0, 8):
        with pytest.raises(BadData, match="expected 1 to 7"):
            minres(two_factors(), factors)
    with pytest.raises(BadData, match="none missing"):
        oblimin(np.full((4, 2), np.nan))
    with pytest.raises(BadData, match="at least two factors"):
        schmid_leiman(np.ones((4, 1)), np.eye(1))


def test_one_factor_is_not_rotated_and_zero_rows_stay() -> None:
    one = np.array([[0.5], [0.6], [0.7]])
    assert np.array_equal(varimax(one), one)
    assert np.array_equal(oblimin(-one)[0], one) and np.array_equal(oblimin(one)[1], [[1]])
    held = varimax([[0.5, 0.5], [0.5, -0.5], [0.0, 0.0]])
    assert not held[2].any()
    assert np.sort(np.abs(held[:2]).ravel()) == pytest.approx([0, 0, 0.5**0.5, 0.5**0.5], abs=1e-6)


def test_a_symmetric_start_does_not_hold_the_rotation() -> None:
    """Equal groups: every squared loading is the same, so the criterion is flat where it starts."""
    unrotated = np.array([[0.5, 0.5]] * 3 + [[0.5, -0.5]] * 3)
    simple = np.kron(np.eye(2), np.full((3, 1), 0.5**0.5))
    for found in (varimax(unrotated), oblimin(unrotated)[0]):
        order, sign = matched(found, simple)
        assert found == pytest.approx(simple[:, order] * sign, abs=1e-4)


def test_kmo_and_bartlett_are_what_psych_says(golden: Any, correlation: np.ndarray) -> None:
    told, found = golden["bfi25_keyed"]["KMO"], kmo(correlation)
    assert found.overall.value == pytest.approx(told["overall"], abs=1e-6)
    assert [c.value for c in found.items] == pytest.approx(told["items"], abs=1e-6)
    told, test = golden["bfi25_keyed"]["bartlett"], bartlett(correlation, 2436)
    assert (test.chi2, test.df, test.p) == (pytest.approx(told["chisq"], abs=1e-6), told["df"], told["p"])


def test_kmo_by_regression_and_bartlett_by_eigenvalues() -> None:
    rng = np.random.default_rng(2)
    x = stats.zscore(rng.normal(size=(60, 1)) + rng.normal(size=(60, 4)))
    r, partial = np.corrcoef(x.T), np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            if i != j:
                others = np.delete(x, [i, j], axis=1)
                left = [x[:, c] - others @ np.linalg.lstsq(others, x[:, c])[0] for c in (i, j)]
                partial[i, j] = np.corrcoef(*left)[0, 1]
    simple = r - np.eye(4)
    adequacy = (simple**2).sum(axis=0) / ((simple**2).sum(axis=0) + (partial**2).sum(axis=0))
    assert [c.value for c in kmo(r).items] == pytest.approx(adequacy)
    chi2 = -(59 - 13 / 6) * np.log(np.linalg.eigvalsh(r)).sum()
    assert bartlett(r, 60)[:3] == pytest.approx((chi2, 6, 1 - stats.chi2.cdf(chi2, 6)))


def test_bartlett_keeps_its_level() -> None:
    """2,000 samples of uncorrelated items: 5 % are significant."""
    rng = np.random.default_rng(3)
    small = [bartlett(np.corrcoef(rng.normal(size=(5, 60))), 60).p for _ in range(2000)]
    assert np.mean(np.array(small, dtype=float) < 0.05) == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 2000) ** 0.5)


def test_adequacy_of_unfit_matrices() -> None:
    twice = two_factors()[np.ix_([0, 0, 1], [0, 0, 1])]
    missing = np.full((3, 3), np.nan)
    for r, reason in ((twice, "singular"), (missing, "too few answers"), (np.eye(1), "fewer than two items")):
        found, test = kmo(r), bartlett(r, 100)
        assert found.overall.value is None and reason in found.overall.reason and len(found.items) == len(r)
        assert all(c == found.overall for c in found.items)
        assert test.chi2 is None and test.p is None and reason in test.reason
    assert kmo(np.eye(4)).overall == (None, "uncorrelated with every other item")
    assert bartlett(np.eye(4), 100) == (0, 6, 1, "")
    assert "3 respondents are too few for 8 items" in bartlett(two_factors(), 3).reason


def test_noise_eigenvalues_are_those_of_random_answers() -> None:
    """Against 400 samples drawn answer by answer, above and below as many respondents as items."""
    for n, k in ((40, 8), (6, 8)):
        rng = np.random.default_rng(5)
        drawn = np.array([np.linalg.eigvalsh(np.corrcoef(rng.normal(size=(k, n))))[::-1] for _ in range(400)])
        error = 5 * drawn.std(axis=0) / 20 + 1e-9
        mean = parallel_analysis(np.eye(k), n, 400, percentile=None).simulated
        assert mean is not None and np.all(np.abs(mean - drawn.mean(axis=0)) < error)
        high = parallel_analysis(np.eye(k), n, 400, percentile=95).simulated
        assert high is not None and np.all(np.abs(high - np.percentile(drawn, 95, axis=0)) < 2 * error)


def test_parallel_analysis_counts_factors(golden: Any, correlation: np.ndarray) -> None:
    found = parallel_analysis(correlation, 2436)
    assert found.factors == 5 and found.reason == ""
    assert found.observed == pytest.approx(golden["bfi25_keyed"]["eigen_cor"], abs=1e-6)
    again = parallel_analysis(correlation, 2436)
    assert np.array_equal(found.simulated, again.simulated)  # type: ignore[arg-type]
    assert parallel_analysis(two_factors(), 400).factors == 2
    rng = np.random.default_rng(6)
    noise = [parallel_analysis(np.corrcoef(rng.normal(size=(6, 80))), 80, seed=s).factors for s in range(40)]
    assert np.mean([count == 0 for count in noise]) > 0.8
    unfit = parallel_analysis(np.full((3, 3), np.nan), 50)
    assert unfit[:3] == (None, None, None) and "too few answers" in unfit.reason
    assert parallel_analysis(np.eye(3), 2).reason == "fewer than three respondents"


def test_congruence_is_what_psych_says(golden: Any, people: np.ndarray) -> None:
    """Varimax factors of everybody and of the first 1,000, pairwise correlations."""
    told = np.array(golden["congruence_bfi25_all_vs_first1000"])
    everybody, first = (varimax(minres(pairwise(x), 5).loadings) for x in (people, people[:1000]))
    found = tucker(everybody, first)
    order = np.abs(found).argmax(axis=1)
    rows = [int(np.abs(found.diagonal() - d).argmin()) for d in told.diagonal()]
    assert sorted(rows) == list(range(5)) and np.array_equal(order, np.arange(5))
    assert np.abs(found[np.ix_(rows, rows)]) == pytest.approx(np.abs(told), abs=1e-3)


def pairwise(x: np.ndarray) -> np.ndarray:
    """Correlations, each over those who answered both items."""
    found = np.eye(x.shape[1])
    for i in range(len(found)):
        for j in range(len(found)):
            both = ~np.isnan(x[:, i]) & ~np.isnan(x[:, j])
            found[i, j] = np.corrcoef(x[both, i], x[both, j])[0, 1]
    return found


def test_tucker_by_hand() -> None:
    """Scale does not count, sign does."""
    a = np.array([[0.6, 0.0], [0.8, 0.5]])
    b = np.array([[-1.2, 0.3], [-1.6, 0.0]])
    assert tucker(a, b) == pytest.approx(np.array([[-1, 0.6], [-0.8, 0]]))
    assert tucker(a, b[:, :1]).shape == (2, 1)
    for wrong, message in (
        (np.zeros((2, 1)), "leave that factor out"), (np.ones((3, 1)), "items alike"),
        (np.full((2, 1), np.nan), "missing"),
    ):  # fmt: skip
        with pytest.raises(BadData, match=message):
            tucker(a, wrong)


def test_procrustes_undoes_a_rotation() -> None:
    rng = np.random.default_rng(7)
    target = rng.normal(size=(10, 3))
    turned = target @ stats.ortho_group(3, seed=1).rvs()
    assert procrustes(turned, target) == pytest.approx(target)
    noisy = turned + 0.1 * rng.normal(size=(10, 3))
    found = procrustes(noisy, target)
    assert found @ found.T == pytest.approx(noisy @ noisy.T)
    worse = [np.linalg.norm(noisy @ stats.ortho_group(3, seed=s).rvs() - target) for s in range(200)]
    assert np.linalg.norm(found - target) < min(worse)
    with pytest.raises(BadData, match="the same factors"):
        procrustes(turned, target[:, :2])


CAMPBELL_FISKE = """
.89
.51 .89
.38 .37 .76
.57 .22 .09 .93
.22 .57 .10 .68 .94
.11 .11 .46 .59 .58 .84
.56 .22 .11 .67 .42 .33 .94
.23 .58 .12 .43 .66 .34 .67 .92
.11 .11 .45 .34 .32 .58 .58 .60 .85
"""
"""Campbell & Fiske (1959), table 1: three traits by three methods, reliabilities in the diagonal."""


def table_1() -> np.ndarray:
    rows = [[float(v) for v in line.split()] for line in CAMPBELL_FISKE.split("\n") if line]
    lower = np.array([row + [0.0] * (9 - len(row)) for row in rows])
    return lower + np.tril(lower, -1).T


def test_multitrait_multimethod_of_campbell_and_fiske() -> None:
    found = multitrait_multimethod(table_1(), list("ABC" * 3), [m for m in "123" for _ in range(3)])
    assert {(c.trait, *c.methods): c.r for c in found.convergent} == {
        ("A", "1", "2"): 0.57, ("B", "1", "2"): 0.57, ("C", "1", "2"): 0.46, ("A", "1", "3"): 0.56,
        ("B", "1", "3"): 0.58, ("C", "1", "3"): 0.45, ("A", "2", "3"): 0.67, ("B", "2", "3"): 0.66,
        ("C", "2", "3"): 0.58,
    }  # fmt: skip
    assert found.mean_convergent.value == pytest.approx(5.10 / 9)
    assert found.heterotrait_monomethod.value == pytest.approx(4.96 / 9)
    assert found.heterotrait_heteromethod.value == pytest.approx(3.93 / 18)
    # Every validity exceeds the 36 heteromethod values of its row and column, but only 16 of 36 monomethod ones.
    assert found.comparisons == 72 and found.exceeding.value == pytest.approx(52 / 72)


def test_multitrait_multimethod_with_holes() -> None:
    """A trait measured once, a negative heterotrait r, an undefined correlation."""
    r = np.array([[1, 0.5, -0.6, 0.1], [0.5, 1, 0.2, np.nan], [-0.6, 0.2, 1, 0.3], [0.1, np.nan, 0.3, 1]])
    found = multitrait_multimethod(r, ["E", "E", "N", "O"], ["self", "model", "self", "model"])
    assert [c.r for c in found.convergent] == [0.5]
    assert found.heterotrait_monomethod.value == pytest.approx(0.6)
    assert found.heterotrait_heteromethod.value == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    assert found.comparisons == 3 and found.exceeding.value == pytest.approx(2 / 3)
    nothing = multitrait_multimethod([[1.0]], ["E"], ["self"])
    assert nothing.convergent == [] and nothing.comparisons == 0
    assert all(c.value is None and c.reason for c in nothing[1:5])  # type: ignore[union-attr]
    with pytest.raises(BadData, match="no pair of them twice"):
        multitrait_multimethod(r, ["E", "E", "N", "O"], ["self", "self", "self", "model"])
