"""Small drawings in a table's cells, as SVG inside the page: an interval, dots a target, a place beside people.

Colours are classes of the style sheet, so that one drawing serves light and dark. Sizes are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from traitbench.charts.chart import Estimate, plain
from traitbench.charts.theme import VERDICTS
from traitbench.tasks.standing import Dot, People, Standing

__all__ = ["Scale", "axis", "dots", "interval", "letters", "mark", "people", "scale_of", "ticks"]

WIDTH, HEIGHT, EDGE = 156, 26, 8
"""Of the drawing of an interval, and what its scale leaves free at either side."""
STEP = 19
"""From dot to dot."""


class Scale(NamedTuple):
    """From a value to a place."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixels; what lies outside stands at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + (self.end - self.start) * min(1.0, max(0.0, share)), 1)


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round values from at most `low` to at least `high` in steps of 1, 2 or 5 times a power of ten.

    At most `most` + 2 of them; 0 is one where it lies between.
    """
    span = high - low or 1.0
    power: float = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * most >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def scale_of(lines: Iterable[Standing]) -> Scale | None:
    """One scale for the intervals of a table, with 0 on it; None where there is no value."""
    ends = [end for line in lines for end in line.value if end is not None]
    if not ends:
        return None
    found = ticks(min(0.0, *ends), max(0.0, *ends))
    return Scale(found[0], found[-1], EDGE, WIDTH - EDGE)


def axis(scale: Scale) -> str:
    """The numbers of the scale, for the head of the column."""
    names = "".join(
        f'<text x="{scale.at(tick)}" y="10" text-anchor="middle">{tick:g}</text>'
        for tick in ticks(scale.low, scale.high, 3)
        if scale.low <= tick <= scale.high
    )
    return f'<svg class="axis" viewBox="0 0 {WIDTH} 13" width="{WIDTH}" height="13" aria-hidden="true">{names}</svg>'


def mark(x: float, y: float, size: float, verdict: str, kind: str) -> str:
    """A point whose shape is the verdict: circle, triangle, diamond."""
    if verdict == VERDICTS[1]:
        top, half = y - 1.15 * size, 1.05 * size
        corners = f"{x:.1f},{top:.1f} {x + half:.1f},{y + 0.75 * size:.1f} {x - half:.1f},{y + 0.75 * size:.1f}"
        return f'<polygon class="{kind}" points="{corners}"/>'
    if verdict == VERDICTS[2]:
        far = 1.2 * size
        corners = f"{x:.1f},{y - far:.1f} {x + far:.1f},{y:.1f} {x:.1f},{y + far:.1f} {x - far:.1f},{y:.1f}"
        return f'<polygon class="{kind}" points="{corners}"/>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'


def interval(line: Standing, scale: Scale, kind: str) -> str:
    """The interval as a bar and the value as a point on it; grey lines at the ticks, a darker one at 0."""
    value, low, high = line.value
    grid = "".join(
        f'<line class="{"zero" if tick == 0 else "grid"}" x1="{scale.at(tick)}" x2="{scale.at(tick)}" y1="0" '
        f'y2="{HEIGHT}"/>'
        for tick in ticks(scale.low, scale.high, 3)
        if scale.low <= tick <= scale.high
    )
    bar = ""
    if low is not None and high is not None:
        left, right = scale.at(low), scale.at(high)
        bar = f'<line class="bar {kind}" x1="{left}" x2="{right}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"/>'
    point = "" if value is None else mark(scale.at(value), HEIGHT / 2, 5, line.verdict, f"point {kind}")
    return (
        f'<svg class="interval" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
        f"{grid}{bar}{point}</svg>"
    )


def dots(found: Sequence[Dot], places: int) -> str:
    """A dot a target: full where it moved as aimed beyond doubt, else a ring, barred where it moved the other way."""
    parts, words, step = [], [], STEP
    for place, dot in enumerate(found):
        x = 9 + step * place
        told = f"{dot.label} {dot.shift.text(places)}, {'ok' if dot.ok else 'in doubt'}"
        told += f" ({', '.join(dot.reasons)})" if dot.reasons else ""
        words.append(told)
        against = not dot.ok and dot.shift.value is not None and dot.shift.value < 0
        line = f'<line class="against" x1="{x - 3}" x2="{x + 3}" y1="9" y2="9"/>' if against else ""
        shape = f'<circle class="{"ok" if dot.ok else "doubt"}" cx="{x}" cy="9" r="6"/>{line}'
        parts.append(f"<g><title>{escape(told)}</title>{shape}</g>")
    width = step * len(found)
    return (
        f'<svg class="dots" viewBox="0 0 {width} 18" width="{width}" height="18" role="img" '
        f'aria-label="{escape("; ".join(words))}">{"".join(parts)}</svg>'
    )


def letters(lines: Sequence[Standing]) -> str:
    """The first letters of the targets, to stand above their dots; empty where lines differ or letters are alike."""
    every = {tuple(dot.label for dot in line.dots) for line in lines if line.dots}
    first = [label[:1].upper() for label in next(iter(every), ())]
    if len(every) != 1 or len(set(first)) < len(first):
        return ""
    names = "".join(
        f'<text x="{9 + STEP * n}" y="10" text-anchor="middle">{escape(letter)}</text>'
        for n, letter in enumerate(first)
    )
    width = STEP * len(first)
    return f'<svg class="axis" viewBox="0 0 {width} 13" width="{width}" height="13" aria-hidden="true">{names}</svg>'


def people(found: People, high: float) -> str:
    """Where the run stands (point) between 0, people themselves (band) and unrelated traits (line), up to `high`."""
    scale = Scale(0.0, high, 2, 62)
    band = identity = ""
    if found.sampled.low is not None and found.sampled.high is not None:
        left, right = scale.at(found.sampled.low), scale.at(found.sampled.high)
        band = f'<rect class="band" x="{left}" y="3" width="{round(right - left, 1)}" height="12" rx="2"/>'
    if found.identity is not None:
        x = scale.at(found.identity)
        identity = f'<line class="identity" x1="{x}" x2="{x}" y1="1" y2="17"/>'
    told = f"{plain(found.distance)} from {found.reference} ({found.mode}); {_others(found)}"
    return (
        f'<svg class="people" viewBox="0 0 64 18" width="64" height="18" role="img" aria-label="{escape(told)}">'
        f'<title>{escape(told)}</title><line class="grid" x1="2" x2="62" y1="9" y2="9"/>{band}{identity}'
        f'<circle class="point" cx="{scale.at(found.distance)}" cy="9" r="4"/></svg>'
    )


def _others(found: People) -> str:
    sampled: Estimate = found.sampled
    told = [f"people themselves {sampled.text(2)}"] if sampled.value is not None else []
    told += [f"unrelated traits {plain(found.identity)}"] if found.identity is not None else []
    return ", ".join(told)
