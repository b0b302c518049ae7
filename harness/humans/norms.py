"""Where a score stands among people of one sex and age: z, T and percentile on the norms of the IPIP-NEO.

The norms (J. A. Johnson's scoring program, `norms.json`) are means and SDs of sums of keyed items; scores here
are item means, so they are multiplied by the number of items first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from traitbench.errors import BadData, UnknownName, unknown
from traitbench.types import Record

__all__ = ["Standing", "johnson_percentile", "normed", "standing"]

_FILE = Path(__file__).parent / "norms.json"
_AGES = (10, 110)
_SEXES = {"F": ("F",), "M": ("M",), "N": ("M", "F")}


class Standing(Record):
    """One score against its norm group."""

    value: float | None
    """The score: mean of the keyed items, 1 to 5."""
    mean: float
    """Of the norm group, on item means."""
    sd: float
    """Between the people of the norm group, on item means."""
    z: float | None
    t: float | None
    """50 + 10 z."""
    percentile: float | None
    """Per cent of a normal distribution below z: 100 Phi(z)."""
    percentile_johnson: float | None
    """As Johnson's program prints it: a cubic in T, 1 below T = 32 and 99 above T = 73."""
    group: str
    """The norm group in words."""


def normed() -> tuple[str, ...]:
    """The inventories (ids) that norms are held for."""
    return tuple(_load()["instruments"])


def standing(scores: Mapping[str, float | None], inventory: str, sex: str, age: int) -> dict[str, Standing]:
    """Place item-mean scores among people of `sex` and `age`; keys as in `scores`.

    `scores` maps a trait ("neuroticism"), its letter ("N") or a facet ("N1") to the mean of its keyed items, 1 to 5,
    or None where it was not scored. `sex` is F, M or N (neutral: the mean of both sexes' norms, rounded to two
    decimals as the tables are); `age` is in whole years, 10 to 110.

    UnknownName for an inventory without norms, another sex, age or scale; BadData for a score outside 1 to 5.
    """
    held = _load()["instruments"]
    if inventory not in held:
        raise unknown("inventory with norms", inventory, held)
    form = held[inventory]
    table, group = _norms(form["groups"], sex, age)
    letters = {trait: letter for letter, trait in _load()["domains"].items()}
    found = {}
    for name, value in scores.items():
        scale = letters.get(name, name)
        if scale not in table:
            raise unknown(f"scale of {inventory}", name, [*letters, *table])
        items = form["domain_items"] if len(scale) == 1 else form["facet_items"]
        found[name] = _place(name, value, items, table[scale], group)
    return found


def johnson_percentile(t: float) -> float:
    """Percentile of T as Johnson's program prints it: a cubic fitted to the normal distribution, 1 or 99 outside 32-73.

    Within 32 to 73 it is at most 1.94 points from 100 Phi((T - 50) / 10).
    """
    if t < 32:
        return 1.0
    if t > 73:
        return 99.0
    return 210.335958661391 - 16.7379362643389 * t + 0.405936512733332 * t**2 - 0.00270624341822222 * t**3


def _place(name: str, value: float | None, items: int, norm: tuple[float, float], group: str) -> Standing:
    mean, sd = norm
    if value is None:
        z = None
    elif 1 - 1e-9 <= value <= 5 + 1e-9:
        z = (value * items - mean) / sd
    else:
        raise BadData(
            f"score {value} of {name} is no mean of items from 1 to 5; give item means in keyed space, no sums"
        )
    t = None if z is None else 50 + 10 * z
    return Standing(
        value=value,
        mean=mean / items,
        sd=sd / items,
        z=z,
        t=t,
        percentile=None if z is None else 50 * math.erfc(-z / math.sqrt(2)),
        percentile_johnson=None if t is None else johnson_percentile(t),
        group=group,
    )


def _norms(groups: list[dict[str, Any]], sex: str, age: int) -> tuple[dict[str, tuple[float, float]], str]:
    """Scale -> (mean, SD) of sums, and the group in words."""
    if not isinstance(sex, str) or sex.strip().upper() not in _SEXES:
        raise UnknownName(f"unknown sex {sex!r} for norms; expected F, M or N (neutral: both sexes' norms averaged)")
    low, high = _AGES
    if isinstance(age, bool) or not isinstance(age, int) or not low <= age <= high:
        raise UnknownName(f"unknown age {age!r} for norms; expected whole years from {low} to {high}, e.g. 30")
    chosen = [_group(groups, each, age) for each in _SEXES[sex.strip().upper()]]
    if len(chosen) == 1:
        return {scale: (m, s) for scale, (m, s) in chosen[0]["scales"].items()}, chosen[0]["label"]
    men, women = (group["scales"] for group in chosen)
    table = {
        scale: (round((men[scale][0] + women[scale][0]) / 2, 2), round((men[scale][1] + women[scale][1]) / 2, 2))
        for scale in men
    }
    return table, " and ".join(group["label"] for group in chosen)


def _group(groups: list[dict[str, Any]], sex: str, age: int) -> dict[str, Any]:
    return max((g for g in groups if g["sex"] == sex and g["from"] <= age), key=lambda g: int(g["from"]))


@cache
def _load() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return loaded
