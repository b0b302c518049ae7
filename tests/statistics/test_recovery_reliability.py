"""Reliability of simulated people whose true reliability is known: 500 data sets each.

The mean of an estimate must lie within three Monte Carlo standard errors of the truth. The estimators are ratios, so
they are biased by something of the order of 1 / n; the samples are large enough that this is below the noise of the
500, and each test also shows a value that it would refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from traitbench.statistics.reliability import ICC, alpha, alpha_interval, icc, omega_total

DATA_SETS = 500
PEOPLE = 4000


def off_by(found: list[float | None], truth: float) -> float:
    """How many Monte Carlo standard errors the mean of the estimates is from the truth."""
    assert len(found) == DATA_SETS
    values = np.array(found, dtype=float)
    return abs(float(values.mean()) - truth) / (float(values.std(ddof=1)) / math.sqrt(DATA_SETS))


def respond(loadings: np.ndarray, rng: np.random.Generator, n: int = PEOPLE) -> np.ndarray:
    """Answers (n, k) of n people with one trait to items of unit variance."""
    trait = rng.normal(size=(n, 1))
    return trait * loadings + rng.normal(size=(n, loadings.size)) * np.sqrt(1 - loadings**2)


def test_alpha_of_tau_equivalent_items() -> None:
    """True reliability of the sum; alpha is exactly that where the loadings are equal."""
    rng, load, k = np.random.default_rng(11), 0.6, 8
    truth = (k * load) ** 2 / ((k * load) ** 2 + k * (1 - load**2))
    found = [alpha(np.cov(respond(np.full(k, load), rng).T)).value for _ in range(DATA_SETS)]
    assert off_by(found, truth) < 3
    assert off_by(found, truth - 0.002) > 3


def test_omega_of_congeneric_items() -> None:
    """Unequal loadings: omega finds the reliability, alpha its own lower value."""
    rng, load = np.random.default_rng(12), np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.35])
    total = load.sum() ** 2 + (1 - load**2).sum()
    reliability, lower = load.sum() ** 2 / total, 8 / 7 * (1 - 8 / total)
    omegas, alphas = [], []
    for _ in range(DATA_SETS):
        x = respond(load, rng)
        omegas.append(omega_total(np.corrcoef(x.T)).value)
        alphas.append(alpha(np.cov(x.T)).value)
    assert off_by(omegas, reliability) < 3
    assert off_by(alphas, lower) < 3
    assert off_by(alphas, reliability) > 3 and off_by(omegas, lower) > 3


def test_the_interval_of_alpha_covers() -> None:
    """Feldt's is exact for normal tau-equivalent answers, also of few people: 95 % of 2,000 within three errors."""
    rng, load, k, n = np.random.default_rng(13), 0.5, 5, 30
    truth = k * load**2 / (k * load**2 + 1 - load**2)
    covered = []
    for _ in range(2000):
        interval = alpha_interval(alpha(np.cov(respond(np.full(k, load), rng, n).T)).value, n, k)
        assert interval
        covered.append(interval[0] <= truth <= interval[1])
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))


SUBJECT, RATER, ERROR = 1.0, 0.1, 0.8
"""Variances of the two-way random model."""


def two_way(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Ratings (n, k) of subjects by the same k raters drawn at random."""
    subjects, raters = rng.normal(0, SUBJECT**0.5, (n, 1)), rng.normal(0, RATER**0.5, (1, k))
    return subjects + raters + rng.normal(0, ERROR**0.5, (n, k))


def one_way(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """The same with other raters for each subject."""
    return rng.normal(0, SUBJECT**0.5, (n, 1)) + rng.normal(0, (RATER + ERROR) ** 0.5, (n, k))


def simulate(model: Callable[[np.random.Generator, int, int], np.ndarray], n: int, k: int, seed: int) -> list[ICC]:
    rng = np.random.default_rng(seed)
    return [icc(model(rng, n, k)) for _ in range(DATA_SETS)]


def test_icc_of_the_two_way_random_model() -> None:
    k = 12
    found = simulate(two_way, PEOPLE, k, 14)
    agreement, consistency = SUBJECT / (SUBJECT + RATER + ERROR), SUBJECT / (SUBJECT + ERROR)
    assert off_by([f.icc2.value for f in found], agreement) < 3
    assert off_by([f.icc2k.value for f in found], SUBJECT / (SUBJECT + (RATER + ERROR) / k)) < 3
    assert off_by([f.icc3.value for f in found], consistency) < 3
    assert off_by([f.icc3k.value for f in found], SUBJECT / (SUBJECT + ERROR / k)) < 3
    assert off_by([f.icc2.value for f in found], consistency) > 3
    assert off_by([f.icc3.value for f in found], agreement) > 3


def test_icc_of_the_one_way_model() -> None:
    found = simulate(one_way, PEOPLE, 4, 15)
    agreement = SUBJECT / (SUBJECT + RATER + ERROR)
    assert off_by([f.icc1.value for f in found], agreement) < 3
    assert off_by([f.icc1k.value for f in found], SUBJECT / (SUBJECT + (RATER + ERROR) / 4)) < 3
    assert off_by([f.icc1.value for f in found], agreement - 0.01) > 3


def test_the_intervals_of_icc_cover() -> None:
    """Few subjects; ICC(2)'s interval is an approximation, the other two are exact."""
    error = 3 * math.sqrt(0.95 * 0.05 / DATA_SETS)
    agreement, consistency = SUBJECT / (SUBJECT + RATER + ERROR), SUBJECT / (SUBJECT + ERROR)
    both, own = simulate(two_way, 20, 5, 16), simulate(one_way, 20, 5, 17)
    for intervals, truth in (
        ([f.icc2.ci for f in both], agreement),
        ([f.icc3.ci for f in both], consistency),
        ([f.icc1.ci for f in own], agreement),
    ):
        covered = np.mean([ci is not None and ci[0] <= truth <= ci[1] for ci in intervals])
        assert covered == pytest.approx(0.95, abs=error)
