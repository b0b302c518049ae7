"""Many logistic regressions at once: one outcome on many sets of predictors, or many outcomes on one set.

The first are the probes of all heads of a model, the second those of one head under shuffled labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData

__all__ = ["Probes", "decisions", "fit_logistic", "fit_outcomes"]

Array = NDArray[np.float64]

_BLOCK = 2**20
"""Bytes of predictors that are solved together: as many probes as stay in a core's cache over the iterations."""
_HALVINGS = 40
"""A step that is still no better when halved so often has reached the rounding of the loss."""
_ROUNDING = 1e-12


class Probes(NamedTuple):
    """One logistic regression a set of predictors, or an outcome."""

    weights: Array
    """(probes, predictors)."""
    intercepts: Array
    """(probes,)."""
    gradient: float
    """Largest entry of any probe's gradient where it stopped, of the mean loss an observation."""


def fit_logistic(
    x: NDArray[np.floating],
    y: ArrayLike,
    weights: ArrayLike | None = None,
    c: float = 1.0,
    tol: float = 1e-6,
    limit: int = 100,
) -> Probes:
    """Fit P(y = 1) = 1 / (1 + exp(-(x w + b))) for every probe: `x` (probes, n, predictors), `y` (n,) 0 or 1.

    Minimises |w|^2 / 2 + c sum_i weights_i loss_i, the intercept b unpenalised, as scikit-learn's LogisticRegression
    does; `tol` is its tol, the largest gradient of the loss averaged over observations. Newton steps (iteratively
    reweighted least squares, Nelder & Wedderburn 1972), halved where they overshoot, for a block of probes at a time.
    BadData for one class only, for weights below 0, and for predictors that are not finite.
    """
    outcome = np.asarray(y, dtype=float)
    share = np.ones(len(outcome)) if weights is None else np.asarray(weights, dtype=float)
    _check(x, outcome, share)
    probes, n, predictors = x.shape
    size = max(1, _BLOCK // (8 * n * (predictors + 1)))
    found = np.zeros((probes, predictors + 1))
    left = 0.0
    for start in range(0, probes, size):
        block = x[start : start + size]
        design = np.ones((len(block), n, predictors + 1))
        design[:, :, :-1] = block
        found[start : start + size], gradient = _newton(design, outcome, c * share, tol * c * share.sum(), limit)
        left = max(left, gradient / (c * share.sum()))
    return Probes(found[:, :-1], found[:, -1], left)


def fit_outcomes(
    x: NDArray[np.floating],
    y: ArrayLike,
    weights: ArrayLike | None = None,
    c: float = 1.0,
    tol: float = 1e-6,
    limit: int = 200,
) -> Probes:
    """Fit the same for many outcomes: `x` (n, predictors), `y` and `weights` (outcomes, n) or (n,).

    The minimum of each is that of `fit_logistic`. All outcomes share one matrix that bounds every Hessian, X'WX / 4
    with each observation's largest weight (Boehning & Lindsay 1988), so that a step is two products for all of them;
    the steps are accelerated and restarted where they turn back (O'Donoghue & Candes 2015). `limit` steps at most:
    what is left then of the largest gradient is `gradient`. BadData as there.
    """
    outcomes = np.atleast_2d(np.asarray(y, dtype=float))
    share = np.ones(outcomes.shape) if weights is None else np.asarray(weights, dtype=float)
    share = np.broadcast_to(share, outcomes.shape)
    both = [((share > 0) & (outcomes == value)).any(axis=1) for value in (0, 1)]
    sound = np.isin(outcomes, (0, 1)).all(axis=1) & np.isfinite(share).all(axis=1) & (share >= 0).all(axis=1)
    first = int(np.argmin(sound & both[0] & both[1]))
    _check(x[None], outcomes[first], share[first])
    design = np.column_stack([np.asarray(x, dtype=float), np.ones(len(x))])
    target, share = np.ascontiguousarray(outcomes.T), np.ascontiguousarray(c * share.T)
    ridge = np.ones((design.shape[1], 1))
    ridge[-1] = 0
    bound = (design * share.max(axis=1)[:, None]).T @ design / 4
    # The matrix is that of no probe in particular, and its inverse is used a few times: exactness is not needed.
    bound += np.diag(ridge[:, 0]) + _ROUNDING * (1 + bound.diagonal().max()) * np.eye(len(bound))
    step = np.linalg.inv(bound)
    w = ahead = np.zeros((design.shape[1], len(outcomes)))
    pace = np.ones(len(outcomes))
    for count in range(limit + 1):
        gradient = design.T @ (share * (_logistic(design @ ahead) - target)) + ridge * ahead
        left = float((np.abs(gradient).max(axis=0) / share.sum(axis=0)).max())
        if left <= tol or count == limit:
            break
        new = ahead - step @ gradient
        back = (gradient * (new - w)).sum(axis=0) > 0
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = new + np.where(back, 0.0, (pace - 1) / faster) * (new - w)
        w, pace = new, np.where(back, 1.0, faster)
    return Probes(ahead[:-1].T, ahead[-1], left)


def decisions(probes: Probes, x: NDArray[np.floating]) -> Array:
    """Log odds (probes, n) of class 1 for `x` (probes, n, predictors), in the precision of `x`."""
    weights = probes.weights[:, :, None].astype(x.dtype, copy=False)
    return np.asarray((x @ weights)[:, :, 0] + probes.intercepts[:, None], dtype=float)


def _newton(design: Array, y: Array, share: Array, tol: float, limit: int) -> tuple[Array, float]:
    """Solve a block, `design` (probes, n, k) with the column of ones last; return (probes, k) and the gradient left."""
    k = design.shape[2]
    ridge = np.ones(k)
    ridge[-1] = 0
    w = np.zeros((len(design), k))
    z = np.zeros(design.shape[:2])
    value = _loss(z, w, y, share)
    for step in range(limit + 1):
        p = _logistic(z)
        gradient = ((share * (p - y))[:, None, :] @ design)[:, 0] + ridge * w
        left = float(np.abs(gradient).max())
        if left <= tol or step == limit:
            break
        root = design * np.sqrt(share * p * (1 - p))[:, :, None]
        hessian = root.transpose(0, 2, 1) @ root
        diagonal = hessian[:, range(k), range(k)]
        # Where every p has come to 0 or 1, the intercept's curvature is 0; a trace keeps the matrix invertible.
        hessian[:, range(k), range(k)] = diagonal + ridge + _ROUNDING * (1 + diagonal.max(axis=1, keepdims=True))
        move = np.asarray(np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0], dtype=float)
        w, z, value = _stepped(design, y, share, w, move, value)
    return w, left


def _stepped(design: Array, y: Array, share: Array, w: Array, move: Array, value: Array) -> tuple[Array, Array, Array]:
    """Take each probe's step, halved until its loss no longer rises; return weights, log odds and loss."""
    length = np.ones((len(w), 1))
    for _ in range(_HALVINGS):
        trial = w - length * move
        z = (design @ trial[:, :, None])[:, :, 0]
        after = _loss(z, trial, y, share)
        worse = after > value + _ROUNDING * (1 + value)
        if not worse.any():
            break
        length[worse] /= 2
    return trial, z, after


def _loss(z: Array, w: Array, y: Array, share: Array) -> Array:
    """Penalised loss (probes,) of log odds `z` (probes, n) and weights `w` (probes, k)."""
    fit = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z
    return np.asarray(fit @ share + (w[:, :-1] ** 2).sum(axis=1) / 2)


def _logistic(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), without overflow."""
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, small) / (1 + small))


def _check(x: NDArray[np.floating], y: Array, share: Array) -> None:
    if x.ndim != 3 or x.shape[1] != len(y) or share.shape != y.shape or y.ndim != 1:
        raise BadData(
            f"probes of shape {x.shape}, {y.shape}, {share.shape}; expected (probes, n, predictors), (n,), (n,)"
        )
    if not np.isin(y, (0, 1)).all():
        raise BadData("the outcome of a logistic regression holds other values than 0 and 1")
    if not (np.isfinite(share).all() and (share >= 0).all()):
        raise BadData("the weights of a logistic regression must be finite and at least 0")
    held = set(y[share > 0])
    if held != {0.0, 1.0}:
        classes = ", ".join(f"{v:g}" for v in sorted(held)) or "no observation"
        raise BadData(f"a logistic regression needs observations of both classes; there is only {classes}")
    if not np.isfinite(x).all():
        at = np.argwhere(~np.isfinite(x))[0]
        raise BadData(
            f"probe {at[0]}, observation {at[1]}: predictor {at[2]} is {x[tuple(at)]}; expected finite numbers"
        )
