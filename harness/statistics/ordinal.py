"""Ordinal logistic regression, and by it whether an item works alike in two groups (DIF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from traitbench.errors import BadData

__all__ = ["DIF", "OrdinalFit", "dif", "fit_ordinal"]

Array = NDArray[np.float64]

_STEPS, _HALVINGS = 60, 30
_GRADIENT = 1e-8
"""Largest gradient of the mean log-likelihood at which a fit has converged."""
_FAR = 15.0
"""A coefficient of a standardised predictor beyond this stands for a probability of 0 or 1: groups without overlap."""

MODERATE, LARGE = 0.035, 0.070
"""Limits of Nagelkerke's R^2 change for moderate and large DIF (Jodoin & Gierl 2001, Table 1)."""


class OrdinalFit(NamedTuple):
    """One proportional-odds model: P(y <= c) = 1 / (1 + exp(-(threshold_c - x b)))."""

    thresholds: Array
    """(categories - 1,)."""
    coefficients: Array
    """(predictors,): log odds of a higher category a unit of the predictor."""
    log_likelihood: float
    converged: bool
    """False also where groups or scores do not overlap, so that a coefficient would be infinite."""


class DIF(NamedTuple):
    """Whether people of the same score answer one item differently in two groups; None where `reason` says why."""

    uniform_chi2: float | None
    """Likelihood ratio of the group, 1 degree of freedom: the item is harder for one group at every level."""
    uniform_p: float | None
    nonuniform_chi2: float | None
    """Likelihood ratio of group x score, 1 degree of freedom: it separates people better in one group."""
    nonuniform_p: float | None
    p: float | None
    """Of both together, 2 degrees of freedom."""
    r2_change: float | None
    """Nagelkerke's R^2 of the model with both over that of the score alone."""
    log_odds: float | None
    """Of a higher answer in the second group, at the same score."""
    size: Literal["negligible", "moderate", "large"] | None
    reason: str = ""


def fit_ordinal(y: ArrayLike, x: ArrayLike) -> OrdinalFit:
    """Fit the proportional-odds model (McCullagh 1980) by Newton's method; its log-likelihood is concave (Pratt 1981).

    `y` (n,) any ordered codes, those that occur are the categories; `x` (n, predictors), may have no column. BadData
    for fewer than two categories and for values that are not finite.
    """
    codes, predictors = np.asarray(y, dtype=float), np.asarray(x, dtype=float)
    levels, place = np.unique(codes, return_inverse=True)
    if len(levels) < 2 or not np.isfinite(codes).all() or not np.isfinite(predictors).all():
        raise BadData(f"an ordinal regression needs finite values and two categories or more, not {len(levels)}")
    n, cuts = len(codes), len(levels) - 1
    share = np.bincount(place, minlength=len(levels)).cumsum()[:-1] / n
    parameters = np.concatenate([special.logit(share), np.zeros(predictors.shape[1])])
    model = _Model(place, predictors, cuts)
    value, gradient, hessian = model.at(parameters)
    for _ in range(_STEPS):
        if np.abs(gradient).max() / n < _GRADIENT:
            break
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        for _ in range(_HALVINGS):
            tried = model.at(parameters - step)
            if tried[0] >= value:
                break
            step = step / 2
        else:
            break
        parameters = parameters - step
        value, gradient, hessian = tried
    converged = bool(np.abs(gradient).max() / n < _GRADIENT * 100 and np.abs(parameters).max(initial=0) < _FAR)
    return OrdinalFit(parameters[:cuts], parameters[cuts:], float(value), converged)


class _Model:
    """Log-likelihood of (thresholds, coefficients), its gradient and its Hessian."""

    def __init__(self, place: NDArray[np.intp], x: Array, cuts: int) -> None:
        n, q = len(place), cuts + x.shape[1]
        self.cuts = cuts
        self.upper, self.lower = np.zeros((n, q)), np.zeros((n, q))
        self.has_upper, self.has_lower = place < cuts, place > 0
        for design, held, shift in ((self.upper, self.has_upper, 0), (self.lower, self.has_lower, 1)):
            design[:, cuts:] = -x
            design[np.flatnonzero(held), place[held] - shift] = 1.0
            design[~held] = 0.0

    def at(self, parameters: Array) -> tuple[float, Array, Array]:
        """Value, gradient (q,) and Hessian (q, q); -inf where the thresholds are out of order."""
        q = len(parameters)
        if (np.diff(parameters[: self.cuts]) <= 0).any():
            return -np.inf, np.zeros(q), np.eye(q)
        above = np.where(self.has_upper, special.expit(self.upper @ parameters), 1.0)
        below = np.where(self.has_lower, special.expit(self.lower @ parameters), 0.0)
        probability = np.maximum(above - below, 1e-300)
        f_above, f_below = above * (1 - above), below * (1 - below)
        slope = (f_above[:, None] * self.upper - f_below[:, None] * self.lower) / probability[:, None]
        bend = (f_above * (1 - 2 * above) / probability, f_below * (1 - 2 * below) / probability)
        hessian = (self.upper.T * bend[0]) @ self.upper - (self.lower.T * bend[1]) @ self.lower - slope.T @ slope
        return float(np.log(probability).sum()), slope.sum(axis=0), hessian


def dif(item: ArrayLike, score: ArrayLike, group: ArrayLike) -> DIF:
    """Test one item for differential functioning between two groups (Swaminathan & Rogers 1990; Zumbo 1999).

    `item` (n,) answers, `score` (n,) of the scale with the item in it, `group` (n,) two labels; rows with NaN are left
    out. Three proportional-odds models are compared: the score; the group as well; and score x group as well.
    """
    y, s, labels = np.asarray(item, dtype=float), np.asarray(score, dtype=float), np.asarray(group)
    keep = np.isfinite(y) & np.isfinite(s)
    y, s, labels = y[keep], s[keep], labels[keep]
    names = np.unique(labels)
    if reason := _undefined(y, s, labels, names):
        return _none(reason)
    g = (labels == names[1]).astype(float)
    z = (s - s.mean()) / s.std()
    empty, alone, uniform, full = (
        fit_ordinal(y, np.column_stack(columns) if columns else np.empty((len(y), 0)))
        for columns in ((), (z,), (z, g), (z, g, z * g))
    )
    if not (alone.converged and uniform.converged and full.converged):
        return _none("the scores or the groups determine the answer without error, so that no regression has an end")
    chi2 = [max(0.0, 2 * (b.log_likelihood - a.log_likelihood)) for a, b in ((alone, uniform), (uniform, full))]
    change = _nagelkerke(full, empty, len(y)) - _nagelkerke(alone, empty, len(y))
    return DIF(
        uniform_chi2=chi2[0], uniform_p=float(special.chdtrc(1, chi2[0])),
        nonuniform_chi2=chi2[1], nonuniform_p=float(special.chdtrc(1, chi2[1])),
        p=float(special.chdtrc(2, sum(chi2))), r2_change=change, log_odds=float(uniform.coefficients[1]),
        size="negligible" if change < MODERATE else "moderate" if change < LARGE else "large",
    )  # fmt: skip


def _undefined(y: Array, s: Array, labels: NDArray[np.generic], names: Sequence[object] | NDArray[np.generic]) -> str:
    """Say why there is nothing to compare; empty where there is."""
    if len(names) != 2:
        return f"{len(names)} groups with answers; expected two"
    smallest = min(int((labels == name).sum()) for name in names)
    if smallest < 10:
        return f"{smallest} answers in a group; expected at least 10"
    if any(len(np.unique(y[labels == name])) < 2 for name in names):
        return "every answer of a group is the same"
    if s.std() <= 1e-12:
        return "the scores do not vary"
    return ""


def _none(reason: str) -> DIF:
    return DIF(None, None, None, None, None, None, None, None, reason)


def _nagelkerke(fit: OrdinalFit, empty: OrdinalFit, n: int) -> float:
    """R^2 of Nagelkerke (1991): Cox and Snell's over the largest that it can be."""
    snell = 1 - np.exp(2 * (empty.log_likelihood - fit.log_likelihood) / n)
    return float(snell / (1 - np.exp(2 * empty.log_likelihood / n)))
