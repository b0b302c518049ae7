"""Strengths of conditions from pairwise preferences: the Bradley-Terry model with ties and an effect of order.

Davidson (1970): the odds of a win of i, a win of j and a tie are as s_i, s_j and v sqrt(s_i s_j). Which of the two was
shown first multiplies its odds against the other (Davidson & Beaver 1977), here by sqrt(o) where first and 1 / sqrt(o)
where second, so that two equal conditions tie as often in either order. On the log scale this is a multinomial logit
with three answers a comparison, whose log-likelihood is concave.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from traitbench.errors import BadData, UnknownName
from traitbench.statistics.intervals import Estimate
from traitbench.types import Record

__all__ = ["Comparison", "Parameter", "Preferences", "bradley_terry", "contrast"]

Array = NDArray[np.float64]
Places = NDArray[np.intp]

_STEPS, _HALVINGS = 100, 40
_GRADIENT = 1e-9
"""Largest gradient of the log-likelihood of one comparison at which a fit has converged."""
_ROUNDING = 1e-12
"""Share of a log-likelihood that a step may lose: near the maximum it is rounding."""
_FAR = 12.0
"""A difference of log strengths beyond this stands for a probability of 0 or 1, which no finite number fits best."""
_OUTCOMES = ("first", "second", "tie")


class Comparison(NamedTuple):
    """One verdict on two texts."""

    text: Hashable
    """What the two answer: one prompt or scene, in either order and over all pairs of conditions."""
    first: str
    """The condition whose text was shown first."""
    second: str
    outcome: str
    """Which is preferred: first, second or tie."""


class Parameter(Record):
    """A number of the model on the log scale with its standard error and interval."""

    value: float
    se: float | None = None
    ci: tuple[float, float] | None = None


class Preferences(Record):
    """Conditions on one scale of preference; what is null has a reason."""

    strengths: dict[str, Parameter]
    """Log strength by condition, in the order in which they were met; they add up to 0."""
    covariance: tuple[tuple[float, ...], ...] = ()
    """Of the strengths; empty where they have no standard errors."""
    tie: Parameter | None = None
    """Log odds of a tie against a win of either, of two equal conditions; null where nothing was tied."""
    order: Parameter | None = None
    """Log odds of the first against the second, of two equal conditions; null where it is not asked for."""
    df: float | None = None
    """Degrees of freedom of t in the intervals; null: normal."""
    comparisons: int = 0
    texts: int = 0
    log_likelihood: float | None = None
    reason: str = ""
    """Why there are no strengths or standard errors; empty where there are."""


def bradley_terry(
    comparisons: Sequence[Comparison],
    order: bool = True,
    prior: float | None = None,
    errors: Literal["texts", "model"] = "texts",
    level: float = 0.95,
) -> Preferences:
    """Fit log strengths of the conditions in `comparisons` by maximum likelihood (Newton's method).

    Errors "texts": texts are the sample, and verdicts on one text hang together, so the covariance is the
    cluster-robust one over texts (Liang & Zeger 1986) times G / (G - 1), the interval t with G - 1 degrees of freedom.
    "model": each comparison is independent, the inverse information, the interval normal.

    Strengths exist where no group of conditions wins every comparison with the others (Ford 1957, ties counting for
    both). Otherwise the record says who won, and `prior` gives the most probable strengths instead: the SD of a normal
    distribution with mean 0 of each log strength and of the order effect, 3 being weak. BadData for a condition
    compared with itself, UnknownName for an outcome, prior, kind of errors or level that cannot be.
    """
    _check(comparisons, prior, errors, level)
    names = list(dict.fromkeys(name for one in comparisons for name in (one.first, one.second)))
    texts = list(dict.fromkeys(one.text for one in comparisons))
    n, size = len(comparisons), len(texts)
    first, second, outcome = _places(comparisons, names)
    if reason := _undefined(first, second, outcome, names, prior):
        return Preferences(strengths={}, comparisons=n, texts=size, reason=reason)
    basis, tied = _basis(len(names)), bool((outcome == 2).any())
    design = _design(first, second, basis, tied, order)
    # Of strengths and order, not of ties.
    held = np.repeat([1.0, 0.0, 1.0], [len(names) - 1, tied, order])
    fit = _newton(design, outcome, np.zeros_like(held) if prior is None else held / prior**2)
    back = scipy.linalg.block_diag(basis, np.eye(tied + order))
    values = back @ fit.parameters
    if not fit.converged or np.ptp(values[: len(names)]) > _FAR or np.abs(values[len(names) :]).max(initial=0) > _FAR:
        reason = "conditions or places decide the outcome without error; give a prior, e.g. 3, or leave order out"
        return Preferences(strengths={}, comparisons=n, texts=size, reason=reason)
    spread, df = np.linalg.inv(fit.information), None
    if errors == "texts":
        spread, df = spread @ _meat(fit.scores, [one.text for one in comparisons]) @ spread, size - 1.0
    spread = back @ spread @ back.T
    known = errors == "model" or size > 1
    ses = [float(se) if known else None for se in np.sqrt(np.diag(spread))]
    found = [_parameter(float(value), se, df, level) for value, se in zip(values, ses, strict=True)]
    rest, ours = found[len(names) :], spread[: len(names), : len(names)]
    return Preferences(
        strengths=dict(zip(names, found, strict=False)),
        covariance=tuple(tuple(map(float, row)) for row in ours) if known else (),
        tie=rest[0] if tied else None, order=rest[-1] if order else None, df=df,
        comparisons=n, texts=size, log_likelihood=fit.log_likelihood,
        reason="" if known else "one text says nothing of how strengths vary over texts",
    )  # fmt: skip


def contrast(found: Preferences, a: str, b: str, level: float = 0.95) -> Estimate:
    """Log strength of `a` minus that of `b`, which is the log odds of a preference; for `ranks` too.

    UnknownName for a condition that `found` does not hold.
    """
    names = list(found.strengths)
    for name in (a, b):
        if name not in names:
            known = ", ".join(names) or f"none, since {found.reason}"
            raise UnknownName(f"unknown condition {name!r}; expected one of {known}")
    value = found.strengths[a].value - found.strengths[b].value
    if not found.covariance:
        return Estimate(value, None, None, found.texts)
    sides = np.array([float(name == a) - float(name == b) for name in names])
    se = float(np.sqrt(max(sides @ np.array(found.covariance) @ sides, 0.0)))
    ci = _parameter(value, se, found.df, level).ci
    return Estimate(value, se, ci, found.texts, df=found.df, covers=("texts",))


class _Fit(NamedTuple):
    parameters: Array
    information: Array
    scores: Array
    """Gradient of each comparison's log-likelihood, (n, parameters)."""
    log_likelihood: float
    converged: bool


def _check(comparisons: Sequence[Comparison], prior: float | None, errors: str, level: float) -> None:
    for one in comparisons:
        if one.first == one.second:
            raise BadData(f"text {one.text}: condition {one.first!r} is compared with itself; expected two conditions")
        if one.outcome not in _OUTCOMES:
            raise UnknownName(f"text {one.text}: unknown outcome {one.outcome!r}; expected first, second or tie")
    if prior is not None and not 0 < prior < np.inf:
        raise UnknownName(f"prior {prior} is out of range: expected a standard deviation above 0, e.g. 3, or None")
    if errors not in ("texts", "model"):
        raise UnknownName(f"unknown errors {errors!r}; expected texts or model")
    if not 0 < level < 1:
        raise UnknownName(f"level {level} is out of range: expected a share between 0 and 1, e.g. 0.95")


def _places(comparisons: Sequence[Comparison], names: list[str]) -> tuple[Places, Places, Places]:
    """Conditions shown first and second as places in `names`, outcomes as places in _OUTCOMES, (n,) each."""
    first, second = [names.index(one.first) for one in comparisons], [names.index(one.second) for one in comparisons]
    outcome = [_OUTCOMES.index(one.outcome) for one in comparisons]
    return np.array(first, dtype=np.intp), np.array(second, dtype=np.intp), np.array(outcome, dtype=np.intp)


def _undefined(first: Places, second: Places, outcome: Places, names: list[str], prior: float | None) -> str:
    """Say why no strengths can be had; empty where they can."""
    if not names:
        return "there are no comparisons"
    if (outcome == 2).all():
        return "every comparison is a tie"
    beats = np.zeros((len(names), len(names)))
    beats[first[outcome != 1], second[outcome != 1]] = 1
    beats[second[outcome != 0], first[outcome != 0]] = 1
    groups, label = scipy.sparse.csgraph.connected_components(beats, directed=True, connection="weak")
    if groups > 1:
        apart = ", ".join(name for name, group in zip(names, label, strict=True) if group == label[0])
        return f"{apart}: never compared with the others, not even by way of a third condition"
    if prior is not None:
        return ""
    groups, label = scipy.sparse.csgraph.connected_components(beats, directed=True, connection="strong")
    if groups == 1:
        return ""
    for group in range(groups):
        mine = label == group
        if not beats[np.ix_(~mine, mine)].any():
            top = ", ".join(name for name, own in zip(names, mine, strict=True) if own)
            return f"{top}: won every comparison with the others, so that no finite strength fits; give a prior, e.g. 3"
    raise AssertionError("a graph of groups has a first one")


def _basis(names: int) -> Array:
    """Orthonormal coordinates (names, names - 1) of strengths that add up to zero."""
    return np.asarray(scipy.linalg.null_space(np.ones((1, names))))


def _design(first: Places, second: Places, basis: Array, tied: bool, order: bool) -> Array:
    """Predictors of the log odds of first, second and tie, (n, 3, parameters); a tie that never is has none."""
    n, width = len(first), basis.shape[1]
    design = np.zeros((n, 2 + tied, width + tied + order))
    design[:, 0, :width], design[:, 1, :width] = basis[first], basis[second]
    if tied:
        design[:, 2, :width] = (basis[first] + basis[second]) / 2
        design[:, 2, width] = 1
    if order:
        design[:, 0, -1], design[:, 1, -1] = 0.5, -0.5
    return design


def _newton(design: Array, outcome: Places, precision: Array) -> _Fit:
    """The maximum of the log-likelihood minus half the sum of precision times squared parameter."""
    n, _, width = design.shape
    parameters = np.zeros(width)
    chosen = design[np.arange(n), outcome]

    def at(place: Array) -> tuple[float, Array, float]:
        logs = scipy.special.log_softmax(design @ place, axis=1)
        likelihood = float(logs[np.arange(n), outcome].sum())
        return likelihood - float(precision @ place**2) / 2, np.exp(logs), likelihood

    value, shares, likelihood = at(parameters)
    for _step in range(_STEPS):
        mean = (shares[:, :, None] * design).sum(axis=1)
        scores = chosen - mean
        gradient = scores.sum(axis=0) - precision * parameters
        root = np.sqrt(shares)[:, :, None] * (design - mean[:, None])
        root = root.reshape(-1, width)
        information = root.T @ root + np.diag(precision)
        converged = bool(np.abs(gradient).max() <= _GRADIENT * n)
        if converged or np.abs(parameters).max() > 4 * _FAR:
            break
        step = np.linalg.lstsq(information, gradient, rcond=None)[0]
        for _halving in range(_HALVINGS):
            after = at(parameters + step)
            if after[0] >= value - _ROUNDING * (1 - value):
                break
            step = step / 2
        parameters = parameters + step
        value, shares, likelihood = after
    return _Fit(parameters, information, scores, likelihood, converged)


def _meat(scores: Array, texts: Sequence[Hashable]) -> Array:
    """Sum over texts of the outer product of each one's summed scores, times G / (G - 1)."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    sums = np.zeros((len(place), scores.shape[1]))
    np.add.at(sums, np.array([place[text] for text in texts]), scores)
    return np.asarray(sums.T @ sums * (len(place) / max(len(place) - 1, 1)))


def _parameter(value: float, se: float | None, df: float | None, level: float) -> Parameter:
    if se is None:
        return Parameter(value=value)
    upper = (1 + level) / 2
    half = se * float(scipy.special.ndtri(upper) if df is None else scipy.special.stdtrit(df, upper))
    return Parameter(value=value, se=se, ci=(value - half, value + half))
