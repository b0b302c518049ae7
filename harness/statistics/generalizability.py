"""How much of the answers' variance comes from where (G-study), and how many conditions would be enough (D-study).

Variance components of a balanced, fully crossed design with one observation a cell, from the mean squares of the
analysis of variance (Cornfield & Tukey 1956; Cronbach, Gleser, Nanda & Rajaratnam 1972; Brennan 2001, ch. 3 to 5).

Two conventions, since authors differ:

- Effects that contain a fixed facet sum to zero over it (the restricted model of Cornfield & Tukey), and their
  component is the quadratic form, sum of squared effects / (n - 1). So a respondent's component with the order fixed
  already holds the part of respondent x order that stays when the orders are averaged.
- The highest interaction cannot be told from error, and is counted as error: it is in every expected mean square, also
  where it contains a fixed facet. Read as an interaction instead, it would leave those mean squares, and the components
  just below it would take up error / n of the fixed facet. E rho^2 and phi are the same either way, unless an
  estimate is negative.

Over 300 lines: the G-study and the D-study solve the same equations, and their records name every number.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traitbench.errors import BadData, UnknownName, unknown
from traitbench.statistics.coefficient import Coefficient
from traitbench.types import Record

__all__ = ["DStudy", "Effect", "VarianceComponents", "d_study", "needed", "variance_components"]

Facets = frozenset[str]

ROUNDING = 1e-12
"""Share of its terms below which a difference is rounding: it is 0, neither a variance nor a negative one."""


class Effect(Record):
    """One line of the table of variance components."""

    name: str
    """Its facets joined by " x "; "residual" for the highest interaction, which is confounded with error."""
    facets: tuple[str, ...]
    df: int
    mean_square: float
    variance: float
    """Estimate of the variance component, as it came out: it may be negative."""
    negative: bool
    """Below zero: a component near zero in a small study, or a design the model does not fit."""
    percent: float | None
    """Percent of the sum of all components, negative ones counted as 0; null where nothing varies."""


class VarianceComponents(Record):
    """A G-study; `effects` is empty where `reason` says why."""

    sizes: dict[str, int]
    """Facet -> levels that entered, in the order of the table's axes; facets of one level included."""
    fixed: tuple[str, ...]
    effects: tuple[Effect, ...]
    """By number of facets, the residual last."""
    dropped: int
    """Levels of the first facet left out because a cell was missing."""
    notes: tuple[str, ...]
    """What was left out of the design, in plain words."""
    reason: str = ""


class DStudy(Record):
    """What a measurement with these numbers of conditions is worth; null where `reason` says why."""

    object: str
    """The facet to be told apart: its universe scores are what is measured."""
    sizes: dict[str, int]
    """Conditions averaged over, by facet."""
    fixed: tuple[str, ...]
    universe: float | None = None
    """Variance of the universe scores."""
    relative_error: float | None = None
    """Variance of the error in differences between objects."""
    absolute_error: float | None = None
    """Variance of the error in an object's level."""
    generalizability: float | None = None
    """E rho^2 = universe / (universe + relative error)."""
    dependability: float | None = None
    """Phi = universe / (universe + absolute error)."""
    zeroed: tuple[str, ...] = ()
    """Effects whose negative estimate was counted as 0."""
    reason: str = ""


def variance_components(
    values: ArrayLike, facets: Sequence[str], fixed: Collection[str] = ("order",)
) -> VarianceComponents:
    """Variance components of `values` (n_1, ..., n_f), one axis a facet, keyed and one observation a cell.

    `fixed` names facets whose levels are all there are; names that are no facet here are passed over. Facets of one
    level leave the design, with a note. A level of the first facet (an item) with a missing cell (NaN) is dropped
    whole, so that the rest is balanced. Percentages are taken over the components with negative ones counted as 0;
    the components themselves are never truncated. BadData where the axes and the names do not agree.
    """
    x = np.asarray(values, dtype=float)
    names = tuple(facets)
    if x.ndim != len(names) or len(set(names)) != len(names) or not names:
        raise BadData(f"a table of shape {x.shape} needs {x.ndim} different facet names, one an axis; got {names}")
    complete = np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
    dropped = int((~complete).sum())
    x = x[complete]
    sizes = dict(zip(names, x.shape, strict=True))
    notes = [f"{dropped} of {complete.size} {names[0]} levels left out: a cell is missing"] if dropped else []
    notes += [f"{name} has one level and leaves the design" for name in names if sizes[name] == 1]
    crossed = [name for name in names if sizes[name] > 1]
    kept = tuple(name for name in names if name in fixed)
    if x.shape[0] < 2 or len(crossed) < 2 or x.size == 0:
        reason = _too_small(names[0], sizes, crossed)
        return VarianceComponents(
            sizes=sizes, fixed=kept, effects=(), dropped=dropped, notes=tuple(notes), reason=reason
        )
    x = x.reshape([sizes[name] for name in crossed])
    effects = _effects(_mean_squares(x, crossed), {name: sizes[name] for name in crossed}, kept)
    return VarianceComponents(sizes=sizes, fixed=kept, effects=effects, dropped=dropped, notes=tuple(notes))


def d_study(
    components: VarianceComponents,
    object: str = "respondent",
    sizes: Mapping[str, int] | None = None,
    fixed: Collection[str] | None = None,
) -> DStudy:
    """Universe-score and error variance of the mean over `sizes` conditions a facet (Brennan 2001, ch. 4 and 5).

    `sizes` changes the number of conditions of facets of the study; the others keep what they had. `fixed` overrides
    what the study held fixed: () treats every facet as random and solves the mean squares anew. A fixed facet is
    averaged over all its levels, so its size cannot change, its interaction with `object` joins the universe score,
    and its other effects cancel or are constants; error does not. Negative components count as 0 and are named. With no
    variation over `object` (one respondent, or a facet the table does not have) nothing is measured: null with a
    reason. UnknownName for a size of no facet of the study, or one below 1.
    """
    held = tuple(f for f in components.sizes if f in (components.fixed if fixed is None else fixed))
    _check_sizes(components, object, sizes)
    wanted = {f: int(n) for f, n in {**components.sizes, **(sizes or {})}.items() if f != object}
    reason = _no_object(components, object, held) or _no_size(components, wanted, held)
    if reason:
        return DStudy(object=object, sizes=wanted, fixed=held, reason=reason)
    variances = _variances(components, held)
    universe, relative, absolute = _scores(variances, object, wanted, held)
    names = {frozenset(e.facets): e.name for e in components.effects}
    return DStudy(
        object=object,
        sizes=wanted,
        fixed=held,
        universe=universe,
        relative_error=relative,
        absolute_error=absolute,
        generalizability=universe / (universe + relative) if universe + relative > 0 else None,
        dependability=universe / (universe + absolute) if universe + absolute > 0 else None,
        zeroed=tuple(names[s] for s, value in variances.items() if value < 0),
        reason=_nothing_varies(object, universe + relative, universe + absolute),
    )


def needed(
    components: VarianceComponents,
    object: str = "respondent",
    facet: str = "order",
    sizes: Mapping[str, int] | None = None,
    target: float = 0.80,
    limit: int = 1000,
    relative: bool = False,
) -> Coefficient:
    """Smallest number of conditions of `facet` for which phi >= `target`, the others held at `sizes`.

    `relative`: for which E rho^2 is, as where objects are compared under the same conditions. `facet` is treated as
    random, whatever the study held fixed: more conditions of it are more draws from a universe.
    None where phi cannot get there at any number, with the phi it tends to, or only beyond `limit`.
    """
    name = "E rho^2" if relative else "phi"
    if not 0 < target < 1:
        raise UnknownName(f"target {target} is out of range: expected a phi between 0 and 1, e.g. 0.8")
    if facet not in components.sizes:
        raise unknown("facet", facet, components.sizes)
    if limit < 1:
        raise UnknownName(f"limit {limit} is out of range: expected a number of conditions of at least 1, e.g. 1000")
    held = tuple(f for f in components.fixed if f != facet)
    study = d_study(components, object, {f: n for f, n in (sizes or {}).items() if f != facet}, held)
    if (study.generalizability if relative else study.dependability) is None:
        return Coefficient(None, study.reason)
    if facet == object:
        return Coefficient(None, f"{object} is what is measured: its number does not enter {name}")
    if components.sizes[facet] == 1:
        return Coefficient(None, f"{facet} had one level, so nothing is known of what more of them would do")
    variances = _variances(components, held)

    def phi(conditions: float) -> float:
        universe, *errors = _scores(variances, object, {**study.sizes, facet: conditions}, held)
        return universe / (universe + errors[0 if relative else 1])

    if study.universe == 0:
        why = f"{object} has a variance component of 0, so {name} is 0 at any number of {facet} levels"
        return Coefficient(None, why)
    goal = target * (1 - ROUNDING)
    if (most := phi(math.inf)) < goal:
        return Coefficient(None, f"{name} tends to {most:.3f} with ever more {facet} levels, below {target:g}")
    if phi(limit) < goal:
        why = f"more than {limit:,} {facet} levels: {name} is {phi(limit):.3f} there, below {target:g}"
        return Coefficient(None, why)
    return Coefficient(float(1 + bisect_left(range(1, limit + 1), goal, key=phi)))


def _too_small(first: str, sizes: Mapping[str, int], crossed: Sequence[str]) -> str:
    """Say why a table has no components."""
    if empty := [name for name, size in sizes.items() if size == 0 and name != first]:
        return f"{empty[0]} has no level"
    if sizes[first] < 2:
        return f"fewer than two complete levels of {first}: {sizes[first]}"
    return f"only {crossed[0]} has more than one level: its variance cannot be told from error"


def _mean_squares(x: NDArray[np.float64], facets: Sequence[str]) -> dict[Facets, float]:
    """Mean square of every effect of `x`, whose axes are `facets`, highest interaction first.

    The table is split along one axis after another into its mean and the deviations from it, so that no sum of
    squares is a difference of large numbers.
    """
    # Means of equal numbers are off by their last digit; such a deviation is no variance.
    noise = (1e-13 * float(np.abs(x).max())) ** 2
    parts: dict[Facets, NDArray[np.float64]] = {frozenset(): x}
    for axis, name in enumerate(facets):
        split: dict[Facets, NDArray[np.float64]] = {}
        for effect, part in parts.items():
            mean = part.mean(axis=axis, keepdims=True)
            split[effect] = mean
            split[effect | {name}] = part - mean
        parts = split
    squares: dict[Facets, float] = {}
    for size in range(len(facets), 0, -1):
        for chosen in combinations(range(len(facets)), size):
            effect = frozenset(facets[i] for i in chosen)
            df = math.prod(x.shape[i] - 1 for i in chosen)
            spread = float((parts[effect] ** 2).sum())
            squares[effect] = (
                spread * (x.size / parts[effect].size) / df if spread > noise * parts[effect].size else 0.0
            )
    return squares


def _solve(squares: Mapping[Facets, float], sizes: Mapping[str, int], fixed: Collection[str]) -> dict[Facets, float]:
    """Variance components from mean squares, highest interaction first, by back substitution.

    Expected mean square of S: the sum, over every effect T that contains S, of T's component times the number of
    observations at each of its cells; an effect with a fixed facet outside S is 0 there, as it sums to zero over that
    facet. The highest interaction is counted as error and never left out.
    """
    every = frozenset(sizes)
    found: dict[Facets, float] = {}
    for effect, square in squares.items():
        terms = [
            found[above] * math.prod(n for f, n in sizes.items() if f not in above)
            for above in found
            if effect < above and (above == every or not any(f in fixed for f in above - effect))
        ]
        rest = square - math.fsum(terms)
        if abs(rest) <= ROUNDING * max([square, *map(abs, terms)]):
            rest = 0.0
        found[effect] = rest / math.prod(n for f, n in sizes.items() if f not in effect)
    return found


def _effects(squares: Mapping[Facets, float], sizes: Mapping[str, int], fixed: Collection[str]) -> tuple[Effect, ...]:
    """Write the table of components, main effects first."""
    variances = _solve(squares, sizes, fixed)
    total = math.fsum(max(value, 0.0) for value in variances.values())
    rows = []
    for size in range(1, len(sizes) + 1):
        for facets in combinations(sizes, size):
            effect = frozenset(facets)
            rows.append(
                Effect(
                    name="residual" if size == len(sizes) else " x ".join(facets),
                    facets=facets,
                    df=math.prod(sizes[f] - 1 for f in facets),
                    mean_square=squares[effect],
                    variance=variances[effect],
                    negative=variances[effect] < 0,
                    percent=100 * max(variances[effect], 0.0) / total if total > 0 else None,
                )
            )
    return tuple(rows)


def _variances(components: VarianceComponents, fixed: Collection[str]) -> dict[Facets, float]:
    """Components under another choice of fixed facets, from the mean squares of the study."""
    squares = {frozenset(e.facets): e.mean_square for e in reversed(components.effects)}
    return _solve(squares, {f: n for f, n in components.sizes.items() if n > 1}, fixed)


def _scores(
    variances: Mapping[Facets, float], object: str, sizes: Mapping[str, float], fixed: Collection[str]
) -> tuple[float, float, float]:
    """Universe-score, relative and absolute error variance; a size may be infinite."""
    every = max(variances, key=len)
    universe = max(variances[frozenset({object})], 0.0)
    relative, absolute = [], []
    for effect, variance in variances.items():
        if effect == {object} or (effect != every and any(f in fixed for f in effect)):
            continue
        share = max(variance, 0.0) / math.prod(sizes[f] for f in effect if f != object)
        absolute.append(share)
        if object in effect:
            relative.append(share)
    return universe, math.fsum(relative), math.fsum(absolute)


def _check_sizes(components: VarianceComponents, object: str, sizes: Mapping[str, int] | None) -> None:
    for name, size in (sizes or {}).items():
        if name not in components.sizes and name != object:
            raise unknown("facet", name, components.sizes)
        if not (size >= 1 and size // 1 == size):
            raise UnknownName(f"{size} {name} levels are out of range: expected a whole number of at least 1")


def _no_object(components: VarianceComponents, object: str, fixed: Collection[str]) -> str:
    """Say why `object` cannot be what is measured; empty where it can."""
    if components.sizes.get(object, 1) < 2:
        return f"{object} does not vary in this study, so there is nothing to tell apart"
    if components.reason:
        return components.reason
    return f"{object} is fixed: there is no universe of them to generalise over" if object in fixed else ""


def _no_size(components: VarianceComponents, sizes: Mapping[str, int], fixed: Collection[str]) -> str:
    """Say why nothing is known of measuring with `sizes`; empty where it is."""
    for name, size in sizes.items():
        had = components.sizes[name]
        if size != had and had == 1:
            return f"{name} had one level, so nothing is known of what more of them would do"
        if size != had and name in fixed:
            return f"{name} is fixed at its {had} levels; leave it out of `fixed` to change their number"
    return ""


def _nothing_varies(object: str, relative: float, absolute: float) -> str:
    if absolute <= 0:
        return f"nothing varies: neither {object} nor error"
    return "" if relative > 0 else f"neither {object} nor what interacts with it varies"
