"""Measurement invariance: whether one factor stands behind the same indicators in two groups in the same way.

A one-factor model with mean structure is fitted to both groups by maximum likelihood: freely (configural), with equal
loadings (metric), and with equal intercepts too (scalar). Only with equal loadings do differences mean the same thing
in both groups, only with equal intercepts can their means be compared (Meredith 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

__all__ = ["Invariance", "Level", "ModelFit", "invariance"]

Array = NDArray[np.float64]
Level = Literal["configural", "metric", "scalar"]
LEVELS: tuple[Level, ...] = ("configural", "metric", "scalar")

CFI_DROP = 0.010
"""A fall of the CFI beyond this speaks against the equality that was added (Cheung & Rensvold 2002)."""
CFI_FLOOR = 0.90
"""Below this the configural model itself does not describe the groups (Bentler 1990)."""


class ModelFit(NamedTuple):
    """How well one model fits both groups together."""

    chi2: float
    df: int
    p: float
    cfi: float
    """Comparative fit index (Bentler 1990) against a model without correlations."""
    rmsea: float
    """Steiger (1998), for groups."""


class Invariance(NamedTuple):
    """The three models of one scale, and the strongest that holds; None where `reason` says why."""

    fits: dict[Level, ModelFit]
    holds: Level | Literal["none"] | None
    """The last level up to which the CFI falls by no more than .010; none: the configural model fits poorly."""
    reason: str = ""


class _Group(NamedTuple):
    n: int
    mean: Array
    covariance: Array
    """Divisor n."""
    logdet: float
    """Of the covariance."""


def invariance(first: Array, second: Array) -> Invariance:
    """Compare two groups' answers (n, indicators), in the same order; rows with NaN are left out.

    At least three indicators, and in each group more rows than indicators.
    """
    tables = [table[~np.isnan(table).any(axis=1)] for table in (first, second)]
    if reason := _undefined(tables):
        return Invariance({}, None, reason)
    spread = np.concatenate(tables).std(axis=0)
    groups = [_group(table / spread) for table in tables]
    null = _null(groups)
    fits: dict[Level, ModelFit] = {}
    start = None
    for level in LEVELS:
        model = _Model(groups, level)
        start, chi2 = model.fit(start)
        fits[level] = _indices(chi2, model.df, null, groups)
    return Invariance(fits, _holds(fits))


def _group(table: Array) -> _Group:
    covariance = np.cov(table, rowvar=False, bias=True)
    return _Group(len(table), table.mean(axis=0), covariance, float(np.linalg.slogdet(covariance)[1]))


def _holds(fits: dict[Level, ModelFit]) -> Level | Literal["none"]:
    if fits["configural"].cfi < CFI_FLOOR:
        return "none"
    if fits["configural"].cfi - fits["metric"].cfi > CFI_DROP:
        return "configural"
    return "metric" if fits["metric"].cfi - fits["scalar"].cfi > CFI_DROP else "scalar"


def _undefined(tables: Sequence[Array]) -> str:
    k = tables[0].shape[1]
    if k < 3:
        return f"{k} indicators; a factor needs at least 3"
    fewest = min(len(table) for table in tables)
    if fewest <= k:
        return f"{fewest} complete rows in a group for {k} indicators; expected more rows than indicators"
    for table in tables:
        values = np.linalg.eigvalsh(np.cov(table, rowvar=False))
        if values[0] <= 1e-10 * max(values[-1], 1e-300):
            return "an indicator of a group does not vary, or follows from the others"
    return ""


def _null(groups: Sequence[_Group]) -> tuple[float, int]:
    """Chi-square and df of the model of uncorrelated indicators, their means and variances free in each group."""
    k = len(groups[0].mean)
    chi2 = sum(g.n * float(np.log(np.diag(g.covariance)).sum() - g.logdet) for g in groups)
    return chi2, len(groups) * k * (k - 1) // 2


def _indices(chi2: float, df: int, null: tuple[float, int], groups: Sequence[_Group]) -> ModelFit:
    excess = max(chi2 - df, 0.0)
    worst = max(null[0] - null[1], excess, 1e-12)
    n = sum(g.n for g in groups)
    return ModelFit(
        chi2=chi2, df=df, p=float(special.chdtrc(df, chi2)), cfi=1 - excess / worst,
        rmsea=float(np.sqrt(excess / (df * n) * len(groups))),
    )  # fmt: skip


class _Model:
    """One level for two groups. The first group's factor has mean 0 and variance 1.

    Parameters: loadings (of each group, or shared), intercepts (likewise), log unique variances of each group, and,
    once loadings are shared, the log of the second group's factor variance, once intercepts are, its mean.
    """

    def __init__(self, groups: Sequence[_Group], level: Level) -> None:
        self.groups, self.k = groups, len(groups[0].mean)
        self.loadings = 1 if level in ("metric", "scalar") else 2
        self.intercepts = 1 if level == "scalar" else 2
        free = self.k * (self.loadings + self.intercepts + 2) + (self.loadings == 1) + (self.intercepts == 1)
        self.df = self.k * (self.k + 3) - free

    def _unpack(self, parameters: Array) -> tuple[Array, Array, Array, float, float]:
        """Loadings, intercepts and log unique variances (2, k); log variance and mean of the second factor."""
        k, at = self.k, 0
        parts = []
        for copies in (self.loadings, self.intercepts, 2):
            part = parameters[at : at + copies * k].reshape(copies, k)
            parts.append(np.broadcast_to(part, (2, k)))
            at += copies * k
        variance = float(parameters[at]) if self.loadings == 1 else 0.0
        mean = float(parameters[-1]) if self.intercepts == 1 else 0.0
        return parts[0], parts[1], parts[2], variance, mean

    def fit(self, start: Array | None) -> tuple[Array, float]:
        """The parameters, and the chi-square of the model against the saturated one."""
        first = self._start() if start is None else self._narrowed(start)
        found = optimize.minimize(
            self._loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15,
                                                                     "gtol": 1e-9, "maxcor": 30},
        )  # fmt: skip
        return np.asarray(found.x), max(0.0, float(found.fun) * sum(g.n for g in self.groups))

    def _start(self) -> Array:
        """First principal axes, half of the variance unique."""
        loads = []
        for g in self.groups:
            values, vectors = np.linalg.eigh(g.covariance)
            axis = vectors[:, -1] * np.sign(vectors[:, -1].sum() or 1.0)
            loads.append(0.8 * axis * np.sqrt(values[-1]))
        unique = [np.log(0.5 * np.diag(g.covariance)) for g in self.groups]
        return np.concatenate([*loads, *(g.mean for g in self.groups), *unique])

    def _narrowed(self, wider: Array) -> Array:
        """Start from the next freer model: what is now shared begins at the first group's."""
        k = self.k
        if self.intercepts == 2:
            return np.concatenate([wider[:k], wider[2 * k :], [0.0]])
        loads, means, rest = wider[:k], wider[k : 2 * k], wider[3 * k :]
        gap = wider[2 * k : 3 * k] - means
        return np.concatenate([loads, means, rest, [float(gap @ loads / (loads @ loads + 1e-12))]])

    def _loss(self, parameters: Array) -> tuple[float, Array]:
        """Discrepancy a person (2, from chi-square), and its gradient."""
        loads, means, unique, log_variance, factor_mean = self._unpack(parameters)
        total, n_all = 0.0, sum(g.n for g in self.groups)
        d_load, d_mean, d_unique = np.zeros((3, 2, self.k))
        d_variance = d_factor = 0.0
        for place, g in enumerate(self.groups):
            phi, alpha = (np.exp(log_variance), factor_mean) if place else (1.0, 0.0)
            lam, psi = loads[place], np.exp(unique[place])
            inverse, logdet = _inverse(lam, psi, phi)
            away = g.mean - means[place] - lam * alpha
            moment = g.covariance + np.outer(away, away)
            weight = g.n / n_all
            total += weight * (logdet - g.logdet + float((inverse * moment).sum()) - self.k)
            slope = weight * (inverse - inverse @ moment @ inverse)
            pull = -2 * weight * (inverse @ away)
            d_load[place] = 2 * phi * (slope @ lam) + pull * alpha
            d_mean[place] = pull
            d_unique[place] = np.diag(slope) * psi
            if place:
                d_variance, d_factor = phi * float(lam @ slope @ lam), float(pull @ lam)
        shared = [
            (d.sum(axis=0) if copies == 1 else d.ravel())
            for d, copies in ((d_load, self.loadings), (d_mean, self.intercepts), (d_unique, 2))
        ]
        tail = [d_variance] * (self.loadings == 1) + [d_factor] * (self.intercepts == 1)
        return total, np.concatenate([*shared, tail])


def _inverse(loads: Array, unique: Array, variance: float) -> tuple[Array, float]:
    """Inverse and log determinant of variance * l l' + diag(unique), by Sherman and Morrison."""
    scaled = loads / unique
    bulk = 1 + variance * float(loads @ scaled)
    inverse = np.diag(1 / unique) - variance / bulk * np.outer(scaled, scaled)
    return inverse, float(np.log(unique).sum() + np.log(bulk))
