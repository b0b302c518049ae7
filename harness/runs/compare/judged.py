"""One difference of two runs judged: a test, an equivalence test, flips, and what the test could have seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import TraitbenchUsage, unknown
from traitbench.statistics.comparison import PairedDifference, holm, n_for_power, paired, power
from traitbench.statistics.equivalence import (
    BOUNDS,
    SHARE,
    Equivalence,
    Flips,
    detectable,
    flips,
    tost,
    tost_shares,
)
from traitbench.types import Record

__all__ = ["BOUNDS", "SHARE", "Amount", "Judged", "Judgement", "Values", "adjusted", "amounts", "judge"]

Verdict = Literal["a higher", "b higher", "equivalent", "inconclusive", "not interpretable"]
Amount = float | Mapping[str, float]
"""A number for all differences, or one a scoring mode or metric."""


class Judged(Record):
    """A difference a - b over the items that both runs have; everything in `unit`."""

    file_a: str
    file_b: str
    """The files compared."""
    unit: str
    """POMP (percent of the scale's range), nats a token, or that of the metric."""
    paired: PairedDifference
    p: float | None
    """That the verdict rests on: of the t test of `paired`, or McNemar's exact one where every value is 0 or 1."""
    p_holm: float | None = None
    """Adjusted (Holm 1979) over the family."""
    equivalence: Equivalence | None = None
    """Null where the unit has no bounds of its own and --bounds gives none."""
    verdict: Verdict = "inconclusive"
    """a or b higher: p_holm below .05. equivalent: not so, and the 90 % interval lies inside the bounds.
    inconclusive: neither, so nothing is known. not interpretable: the answers of a run are not, so that neither their
    likeness nor their difference says anything."""
    flips: Flips | None = None
    """Null where there is no answer that is a hit or none."""
    detectable: float | None = None
    """The smallest difference that this test alone, before Holm's correction, finds with a power of .80."""
    power: float | None = None
    """Of this test for the effect asked about (--effect), with these items and spread, before Holm's correction."""
    items_needed: int | None = None
    """Items for a power of .80 at that effect."""
    reasons: dict[str, str] = {}


class Values(NamedTuple):
    """What two runs give for the same items, in one order."""

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    """(items,), or with an axis for each of `over`."""
    keys: NDArray[np.int_] | None = None
    """The items' key, 1 or -1."""
    clusters: Sequence[str] | None = None
    """The items' facets."""
    weights: Literal["items", "halves"] = "items"
    over: Sequence[str] = ()
    """What else was drawn at random: templates, fits."""
    hits: tuple[Sequence[bool], Sequence[bool]] | None = None
    """Of each run, item by item; the items may be fewer."""
    whole: bool = False
    """Every value is 0 or 1, and the hits are the values."""
    most: float | None = None
    """The largest difference that two items can have, as 1 of shares; None where there is none."""


class Judgement(NamedTuple):
    """What `judge` finds, under the names that `Judged` has."""

    paired: PairedDifference
    p: float | None
    equivalence: Equivalence | None
    flips: Flips | None
    detectable: float | None
    power: float | None
    items_needed: int | None
    reasons: dict[str, str]


def judge(values: Values, bound: float | None, effect: float | None, wanted: float = 0.80) -> Judgement:
    """Test one difference; the verdict comes with `adjusted`, once the family is known.

    `wanted`: the power for `effect` that the number of items needed is for.
    """
    given, how = (values.a, values.b), (values.clusters, values.over)
    found = paired(*given, values.keys, values.weights, 0.95, *how)
    flipped = flips(*values.hits) if values.hits and values.hits[0] else None
    shares = flipped if values.whole else None
    equivalence = None
    if bound is not None:
        equivalence = (
            tost_shares(shares, bound) if shares else tost(*given, bound, values.keys, values.weights, 0.05, *how)
        )
    reasons, seen, asked, needed = {}, None, None, None
    if not found.se:
        names = ("detectable", *(("power", "items_needed") if effect is not None else ()))
        reasons = dict.fromkeys(names, found.reason or "the differences do not vary")
    else:
        # As many values as a plain t test with these degrees of freedom has, and the SD that gives it this SE.
        n = max(2.0, 1 + (found.df or 1.0))
        seen = detectable(found.se * math.sqrt(n), n).value
        if effect is not None:
            asked = power(effect, found.se * math.sqrt(n), n).value
            needed, why = _needed(found, effect, n, wanted)
            reasons = {"items_needed": why} if why else {}
    if values.most is not None:
        found = found.within(values.most)
    return Judgement(found, shares.p if shares else found.p, equivalence, flipped, seen, asked, needed, reasons)


def _needed(found: PairedDifference, effect: float, plain: float, wanted: float) -> tuple[int | None, str]:
    """Items for a power of `wanted` with a spread as found, or None and why.

    Each makes as much of a `plain` t test's values as those that were asked, so that it is more than these wherever
    their power is below `wanted`.
    """
    if replicates := [name for name in found.covers if name not in ("items", "facets")]:
        return None, f"the {' and '.join(replicates)} were drawn too, and more items do not make up for few of those"
    many = n_for_power(effect, (found.se or 0.0) * math.sqrt(plain), wanted, worth=plain / found.n)
    return (None, many.reason) if many.value is None else (int(many.value), "")


J = TypeVar("J", bound=Judged)


def adjusted(family: Sequence[J]) -> list[J]:
    """Adjust p over a family (Holm 1979), that of the flips likewise, and give each difference its verdict."""
    ps = holm([one.p for one in family])
    flipped = holm([one.flips.p if one.flips else None for one in family])
    out = []
    for one, p, q in zip(family, ps, flipped, strict=True):
        known = one.flips.model_copy(update={"p_holm": q}) if one.flips else None
        out.append(one.model_copy(update={"p_holm": p, "flips": known, "verdict": _verdict(one, p)}))
    return out


def _verdict(one: Judged, p: float | None) -> Verdict:
    if p is not None and p < 0.05 and one.paired.difference:
        return "a higher" if one.paired.difference > 0 else "b higher"
    return "equivalent" if one.equivalence and one.equivalence.equivalent else "inconclusive"


def amounts(given: Amount | None, flag: str, units: Mapping[str, str]) -> dict[str, float]:
    """Part (scoring mode or metric) -> the number of a flag that holds for it, as far as one was given.

    `units`: part -> its unit. TraitbenchUsage for one number where there are several units, UnknownName for a part
    that the runs do not have.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(set(units.values())) > 1:
            told = ", ".join(f"{part} in {unit}" for part, unit in units.items())
            each = ",".join(f"{part}=X" for part in units)
            raise TraitbenchUsage(f"--{flag} {given:g} has no one unit: the runs hold {told}; give --{flag} {each}")
        given = dict.fromkeys(units, given)
    for part, value in given.items():
        if part not in units:
            raise unknown(f"part of --{flag}", part, units)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise TraitbenchUsage(f"--{flag} {part}={value}: expected a number above 0, e.g. --{flag} {part}=0.1")
    return dict(given)
