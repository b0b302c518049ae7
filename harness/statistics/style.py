"""Response style: how answers are given, whatever they say. Reported beside every score of choice and generate."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from traitbench.statistics.thresholds import THRESHOLDS, judge
from traitbench.types import Record, Status

__all__ = ["Answer", "Style", "response_style"]


class Answer(NamedTuple):
    """One reply as presented: `shares` (options,) over positions, summing to 1; None where it is not valid."""

    item: str
    trait: str
    keyed: int
    order: str
    status: Status
    shares: Sequence[float] | None
    values: Sequence[int]
    """Per position its value on the response scale."""
    mass: float | None


class Style(Record):
    """Response-style indices of one condition; null where an index cannot be had."""

    n: int
    """Requests."""
    acquiescence: float | None
    """Mean raw agreement over a key-balanced set minus the scale's midpoint, as a share of the range: -0.5 to 0.5."""
    extreme: float | None
    """Share of answers at either end of the scale."""
    midpoint: float | None
    """Share of answers at the midpoint; null for an even number of options."""
    position_bias: float | None
    """Mean value in forward order minus reverse order, over the range: -1 always first, 1 always last, 0 none."""
    option_mass: float | None
    """Mean probability of all valid options before renormalising; choice only."""
    positions: tuple[float, ...]
    """Share of answers (the most likely option; ties split) by position."""
    meanings: tuple[float, ...]
    """The same by value, lowest first."""
    invalid: dict[str, float]
    """Share of requests by status other than valid."""
    degenerate: bool
    """One position or one meaning takes at least 95 % of the answers, within an order or over all."""
    flags: dict[str, str]
    """Index -> why it stands out."""


def response_style(answers: Sequence[Answer], low: int, high: int) -> Style:
    """Indices of `answers` on a response scale from `low` to `high`."""
    valid = [a for a in answers if a.status == "valid" and a.shares is not None]
    masses = [a.mass for a in answers if a.mass is not None]
    options = high - low + 1
    invalid: dict[str, float] = {
        s: c / len(answers) for s, c in sorted(Counter(a.status for a in answers).items()) if s != "valid"
    }
    tops = [_top(a.shares) for a in valid if a.shares is not None]
    positions = np.mean(tops, axis=0) if tops else np.zeros(options)
    meanings = np.mean([_by_value(t, a, low) for t, a in zip(tops, valid, strict=True)], axis=0) if tops else positions
    middle = (options - 1) // 2 if options % 2 else None
    position_bias, position_noise = _position_bias(valid, low, high)
    indices = {
        "acquiescence": _acquiescence(valid, low, high),
        "position_bias": position_bias,
        "option_mass": float(np.mean(masses)) if masses else None,
        "invalid": sum(invalid.values()),
        "degenerate": _concentration(valid, tops, low),
    }
    return Style(
        n=len(answers),
        acquiescence=indices["acquiescence"],
        extreme=float(meanings[0] + meanings[-1]) if tops else None,
        midpoint=float(meanings[middle]) if tops and middle is not None else None,
        position_bias=indices["position_bias"],
        option_mass=indices["option_mass"],
        positions=tuple(map(float, positions)),
        meanings=tuple(map(float, meanings)),
        invalid=invalid,
        degenerate=(indices["degenerate"] or 0) >= THRESHOLDS["degenerate"].caution,
        flags=_flags({**indices, "position_bias": position_bias if abs(position_bias or 0) > position_noise else None}),
    )


def _flags(indices: Mapping[str, float | None]) -> dict[str, str]:
    found = {}
    for name, value in indices.items():
        if value is None or (past := judge(name, abs(value))) is None:
            continue
        level, limit = past
        sign = "<" if THRESHOLDS[name].side == "below" else ">="
        found[name] = f"{level}: {name.replace('_', ' ')} {value:.2f} ({sign} {limit:.2f})"
    return found


def _top(shares: Sequence[float]) -> np.ndarray:
    """Mark the most likely position with 1; positions that tie share it."""
    p = np.asarray(shares)
    best = p >= p.max() - 1e-9
    return np.asarray(best / best.sum(), dtype=float)


def _by_value(top: np.ndarray, answer: Answer, low: int) -> np.ndarray:
    out = np.zeros_like(top)
    out[np.asarray(answer.values) - low] = top
    return out


def _raw(answer: Answer) -> float:
    assert answer.shares is not None
    return float(np.dot(answer.shares, answer.values))


def _acquiescence(valid: Sequence[Answer], low: int, high: int) -> float | None:
    """Per scale the mean of its plus- and its minus-keyed raw mean, so that the trait cancels; then over scales."""
    cells: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for answer in valid:
        cells[answer.trait][answer.keyed].append(_raw(answer))
    balanced = [np.mean([np.mean(c[1]), np.mean(c[-1])]) for c in cells.values() if c[1] and c[-1]]
    if not balanced:
        return None
    return float((np.mean(balanced) - (low + high) / 2) / (high - low))


def _position_bias(valid: Sequence[Answer], low: int, high: int) -> tuple[float | None, float]:
    """The index, and two of its standard errors over items: a smaller one may be chance and is not flagged."""
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for answer in valid:
        cells[answer.item][answer.order].append(_raw(answer))
    gaps = [np.mean(c["forward"]) - np.mean(c["reverse"]) for c in cells.values() if c["forward"] and c["reverse"]]
    if not gaps:
        return None, 0.0
    noise = 2 * float(np.std(gaps, ddof=1)) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
    return float(np.mean(gaps) / (high - low)), noise / (high - low)


def _concentration(valid: Sequence[Answer], tops: Sequence[np.ndarray], low: int) -> float | None:
    """Largest share that one position or one meaning takes, within an order or over all orders."""
    if not valid:
        return None
    by_order: dict[str, list[int]] = defaultdict(list)
    for index, answer in enumerate(valid):
        by_order[answer.order].append(index)
    largest = 0.0
    for group in [list(range(len(valid))), *by_order.values()]:
        position = np.mean([tops[i] for i in group], axis=0)
        meaning = np.mean([_by_value(tops[i], valid[i], low) for i in group], axis=0)
        largest = max(largest, float(position.max()), float(meaning.max()))
    return largest
