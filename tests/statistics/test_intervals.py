"""Standard errors against the formula and brute force; intervals that cover what they say."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from traitbench import inventories
from traitbench.errors import BadData
from traitbench.statistics import leakage, stratified_mean

Weights = Literal["items", "halves"]
KEYS = np.array([1] * 8 + [-1] * 4)
VALUES = np.array([3.1, 4.2, 2.8, 3.9, 4.4, 3.0, 2.2, 3.7, 2.9, 4.8, 3.3, 1.9])


def test_one_stratum_is_the_one_sample_t_interval() -> None:
    """Against scipy, which knows nothing of strata."""
    ours = stratified_mean(VALUES, np.ones(12))
    theirs = stats.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert ours.value == pytest.approx(VALUES.mean())
    assert ours.se == pytest.approx(stats.sem(VALUES))
    assert ours.ci == pytest.approx((theirs.low, theirs.high))
    assert ours.sd == pytest.approx(VALUES.std(ddof=1))


def test_two_strata_by_hand() -> None:
    plus, minus = VALUES[:8], VALUES[8:]
    variance = (((plus - plus.mean()) ** 2).sum() + ((minus - minus.mean()) ** 2).sum()) / 10
    items, halves = stratified_mean(VALUES, KEYS), stratified_mean(VALUES, KEYS, "halves")
    assert items.value == pytest.approx(VALUES.mean())
    assert items.se == pytest.approx(math.sqrt(variance / 12))
    assert halves.value == pytest.approx((plus.mean() + minus.mean()) / 2)
    assert halves.se == pytest.approx(math.sqrt(variance * (0.25 / 8 + 0.25 / 4)))
    half = stats.t.ppf(0.975, 10) * halves.se
    assert halves.ci == pytest.approx((halves.value - half, halves.value + half))


@pytest.mark.parametrize("weights", ["items", "halves"])
def test_the_closed_form_is_the_bootstrap(weights: Weights) -> None:
    """Brute force: redraw pooled residuals within strata 200,000 times; variance times k / (k - H)."""
    rng, draws = np.random.default_rng(1), 200_000
    groups = [VALUES[KEYS == 1], VALUES[KEYS == -1]]
    residuals = np.concatenate([g - g.mean() for g in groups])
    shares = [0.5, 0.5] if weights == "halves" else [8 / 12, 4 / 12]
    means = sum(
        w * (g.mean() + residuals[rng.integers(0, 12, (draws, g.size))].mean(axis=1))
        for w, g in zip(shares, groups, strict=True)
    )
    ours = stratified_mean(VALUES, KEYS, weights)
    assert ours.value == pytest.approx(np.mean(means), abs=0.01)
    assert ours.se == pytest.approx(np.std(means) * math.sqrt(12 / 10), rel=0.01)


def test_missing_items_are_left_out() -> None:
    holes = np.where(np.arange(12) % 3 == 0, np.nan, VALUES)
    kept = ~np.isnan(holes)
    assert stratified_mean(holes, KEYS) == stratified_mean(VALUES[kept], KEYS[kept])
    assert stratified_mean(holes, KEYS).n == 8


@pytest.mark.parametrize("weights", ["items", "halves"])
@pytest.mark.parametrize(
    ("values", "keys", "value"),
    [([], [], None), ([np.nan] * 3, [1, -1, 1], None), ([2.0], [1], 2.0), ([2.0, np.nan], [1, -1], 2.0),
     ([2.0, 4.0], [1, -1], 3.0)],
)  # fmt: skip
def test_what_cannot_be_had_is_none(
    weights: Weights, values: list[float], keys: list[int], value: float | None
) -> None:
    estimate = stratified_mean(values, keys, weights)
    assert estimate.value == value and estimate.n == np.sum(~np.isnan(values))
    assert estimate.se is None and estimate.ci is None and estimate.sd is None


def test_equal_items_have_no_error() -> None:
    assert stratified_mean([3.0] * 4, [1, 1, -1, -1])[:3] == (3.0, 0.0, (3.0, 3.0))


@pytest.mark.parametrize("weights", ["items", "halves"])
@pytest.mark.parametrize("name", ["ipip_50", "ipip_neo_120"])
def test_coverage_for_every_key_of_an_inventory(name: str, weights: Weights) -> None:
    """Uneven keys included: 18 plus and 6 minus, 8 plus and 2 minus. `agreement` moves the key halves apart."""
    rng = np.random.default_rng(7)
    for trait in ("extraversion", "neuroticism"):
        keys = np.array([item.keyed for item in inventories.load(name).items if item.trait == trait])
        agreement = 0.4 if weights == "halves" else 0.0
        covered = 0
        for _ in range(1000):
            ci = stratified_mean(0.3 + agreement * keys + rng.normal(0, 0.6, keys.size), keys, weights).ci
            assert ci
            covered += ci[0] <= 0.3 <= ci[1]
        assert 920 <= covered <= 980, (trait, covered)


def test_skewed_items_lengthen_the_long_side_alone() -> None:
    """Never shorter than t on either side, the same at every call, and turned round with the values."""
    keys, longer = np.array([1, -1] * 12), 0
    for seed in range(40):
        x = np.random.default_rng(seed).lognormal(0, 1, 24)
        found, turned = stratified_mean(x, keys), stratified_mean(-x, keys)
        assert found == stratified_mean(x, keys)
        assert found.ci and turned.ci and found.value is not None and found.se and found.df
        below, above = found.value - found.ci[0], found.ci[1] - found.value
        half = stats.t.isf(0.025, found.df) * found.se
        assert below == pytest.approx(half) and half - 1e-12 <= above <= 3 * half + 1e-9
        assert turned.ci == pytest.approx((-found.ci[1], -found.ci[0]))
        longer += above > 1.05 * half
    assert longer > 30


def test_the_longer_side_is_the_bootstrap_t() -> None:
    """Brute force: 100,000 redraws of one stratum, each over its own standard error."""
    x = np.random.default_rng(2).lognormal(0, 1, 24)
    redrawn = x[np.random.default_rng(3).integers(0, 24, (100_000, 24))]
    t = (redrawn.mean(axis=1) - x.mean()) / (redrawn.std(axis=1, ddof=1) / math.sqrt(24))
    found = stratified_mean(x, np.ones(24))
    assert found.ci and found.value and found.se
    assert (found.ci[1] - found.value) / found.se == pytest.approx(-np.quantile(t, 0.025), rel=0.08)
    assert (found.ci[1] - found.value) / found.se > 1.1 * stats.t.isf(0.025, 23)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8])
def test_the_unit_does_not_matter(scale: float) -> None:
    x, keys = np.random.default_rng(4).lognormal(0, 1, 24), np.array([1, -1] * 12)
    one, other = stratified_mean(x, keys), stratified_mean(x * scale, keys)
    assert one.ci and other.ci and other.df == pytest.approx(one.df)
    assert [end / scale for end in other.ci] == pytest.approx(list(one.ci), rel=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    for values, keys, clusters, over in (
        (VALUES, KEYS[:-1], None, ()), (VALUES, KEYS, ["a"] * 11, ()), (VALUES, KEYS, None, ("templates",)),
        (VALUES[:, None], KEYS, None, ()),
    ):  # fmt: skip
        with pytest.raises(BadData, match="expected a stratum"):
            stratified_mean(values, keys, clusters=clusters, over=over)


def test_leakage_takes_off_the_error_of_facets_and_templates() -> None:
    """Shifts that are nothing but the facets' and templates' noise: near zero with them, not without."""
    rng, keys = np.random.default_rng(10), np.array([1, -1] * 12)
    labels, corrected, plain = [f"f{i // 4}" for i in range(24)], [], []
    for seed in range(150):
        values = [
            rng.normal(0, 0.5, (24, 3)) + np.repeat(rng.normal(0, 0.5, 6), 4)[:, None] + rng.normal(0, 0.5, 3)
            for _ in range(4)
        ]
        ours = leakage(values, [keys] * 4, "items", 50, seed, [labels] * 4, ("templates",))
        theirs = leakage([v.mean(axis=1) for v in values], [keys] * 4, "items", 50, seed)
        assert ours and theirs and ours.ci and theirs.ci and ours.mean_abs == pytest.approx(theirs.mean_abs)
        corrected.append((ours.value, ours.ci[0] == 0))
        plain.append((theirs.value, theirs.ci[0] == 0))
    assert np.mean([v for v, _ in corrected]) < 0.6 * np.mean([v for v, _ in plain])
    assert np.mean([z for _, z in corrected]) > 0.92 and np.mean([z for _, z in plain]) < 0.8


def shifts(true: list[float], rng: np.random.Generator, sd: float = 0.4) -> tuple[list[Any], list[Any]]:
    """Items' shifts of traits keyed as in ipip_50."""
    keys = [np.array([1] * p + [-1] * (10 - p)) for p in (7, 6, 5, 8)][: len(true)]
    return [value + rng.normal(0, sd, 10) for value in true], keys


def test_leakage_by_hand() -> None:
    rng = np.random.default_rng(3)
    values, keys = shifts([0.5, -0.5], rng)
    found = leakage(values, keys, "items", 200, 0)
    estimates = [stratified_mean(v, k) for v, k in zip(values, keys, strict=True)]
    assert found
    assert found.value == pytest.approx(math.sqrt(np.mean([e.value**2 - e.se**2 for e in estimates])))  # type: ignore[operator]
    assert found.mean_abs == pytest.approx(np.mean([abs(e.value) for e in estimates]))  # type: ignore[arg-type]
    assert found.n == 2 and found.ci and found.ci[0] < found.value < found.ci[1]
    assert leakage(values, keys, "items", 200, 0) == found


@pytest.mark.parametrize("weights", ["items", "halves"])
@pytest.mark.parametrize("true", [[0.0, 0.0, 0.0, 0.0], [0.3, -0.2, 0.1, 0.0]])
def test_leakage_is_unbiased_on_the_squared_scale(true: list[float], weights: Weights) -> None:
    """Before the floor. Without the correction the noise alone would give 0.016 or more."""
    rng, squares, raw = np.random.default_rng(5), [], []
    for _ in range(600):
        estimates = [stratified_mean(v, k, weights) for v, k in zip(*shifts(true, rng), strict=True)]
        squares.append(np.mean([e.value**2 - e.se**2 for e in estimates]))  # type: ignore[operator]
        raw.append(np.mean([e.value**2 for e in estimates]))  # type: ignore[operator]
    assert np.mean(squares) == pytest.approx(np.mean(np.square(true)), abs=0.004)
    assert np.mean(raw) > np.mean(np.square(true)) + 0.012


def test_noise_alone_is_little_leakage() -> None:
    """Mean |shift| cannot be small; the corrected root is, and its interval reaches zero."""
    rng = np.random.default_rng(6)
    found = [leakage(*shifts([0.0] * 4, rng), "items", 100, 0) for _ in range(200)]
    assert np.mean([f.value == 0 for f in found if f]) > 0.4
    assert np.mean([f.value for f in found if f]) < 0.5 * np.mean([f.mean_abs for f in found if f])
    assert np.mean([f.ci[0] == 0 for f in found if f and f.ci]) > 0.92


@pytest.mark.parametrize("weights", ["items", "halves"])
@pytest.mark.parametrize("true", [[0.3, -0.2, 0.1, 0.0], [0.8, 0.8, 0.8, 0.8]])
def test_known_leakage_is_recovered_and_covered(true: list[float], weights: Weights) -> None:
    rng, size = np.random.default_rng(8), math.sqrt(np.mean(np.square(true)))
    found = [leakage(*shifts(true, rng), weights, 200, seed) for seed in range(300)]
    assert np.mean([f.value for f in found if f]) == pytest.approx(size, abs=0.03)
    covered = np.mean([f.ci[0] <= size <= f.ci[1] for f in found if f and f.ci])
    assert covered > 0.92, covered


def test_leakage_needs_a_standard_error() -> None:
    """One item a key: the shift cannot be told from noise, so there is no leakage and no interval of no width."""
    one = [np.array([0.5, 0.2])] * 2
    assert leakage([], [], "items", 100, 0) is None
    assert leakage(one, [np.array([1, -1])] * 2, "items", 100, 0) is None
    assert leakage([np.full(4, np.nan)], [np.array([1, 1, -1, -1])], "items", 100, 0) is None
    values, keys = shifts([0.5], np.random.default_rng(1))
    mixed = leakage([*values, one[0]], [*keys, np.array([1, -1])], "items", 100, 0)
    assert mixed and mixed.n == 1
