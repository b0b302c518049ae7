"""The scatter of the board: what a method does against what it breaks, its size the time that fitting takes.

Up and left is best whatever the measure. Runs that edit nothing have no damage and stand in a strip at the left. A name
stands beside its point where it covers least; one that finds no room is left out, and its point still says it when
pointed at. Two drawings are made, for wide pages and narrow ones; neither needs a script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from traitbench.charts.theme import VERDICTS
from traitbench.report.board.drawings import Scale, mark, ticks
from traitbench.report.board.words import duration, effort, lead, tied
from traitbench.tables import ratio
from traitbench.tasks.standing import Standing

__all__ = ["scatter"]

ROUND = (0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
LETTER = 6.3
"""Width of a letter of a name, about."""
MOST = 1000
"""Damage past this is drawn here: the model has broken down."""


class Frame(NamedTuple):
    """The room of a drawing, and its scales."""

    width: int
    height: int
    x: Scale
    """Of the logarithm of damage."""
    y: Scale
    levels: Sequence[float]
    """Where lines go across."""
    strip: float | None
    """Where those stand that edit nothing; None without any, or without others."""


class Box(NamedTuple):
    """What is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """Area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)


def scatter(lines: Sequence[Standing], ids: Sequence[str]) -> str:
    """Both drawings in one figure; empty where fewer than two runs have a value or none has damage.

    `ids` name the rows of the lines, by which a script hides points with their rows.
    """
    pairs = [(line, name) for line, name in zip(lines, ids, strict=True) if line.value.value is not None]
    if len(pairs) < 2 or all(line.damage is None for line, _ in pairs):
        return ""
    words = "; ".join(
        f"{line.label}: {line.measure} {line.value.text(line.places)}, damage {_damage(line)}" for line, _ in pairs
    )
    drawn = _draw(pairs, 640, 322, "wide") + _draw(pairs, 360, 330, "narrow")
    first = pairs[0][0]
    better = "Up" if first.higher_is_better else "Up (less error)"
    longest = max(line.entry.fit_seconds or 0.0 for line, _ in pairs)
    shapes = ", ".join(f"{sign} {word}" for sign, word in zip("●▲◆", VERDICTS, strict=True))
    return (
        f'<figure class="scatter" role="group" aria-label="{escape(first.measure)} against damage">'
        f'<div role="img" aria-label="{escape(words)}">{drawn}</div>'
        f"<figcaption>{better} and left is best. Size: fitting time, up to {duration(longest)}. Blue: none is surely "
        f"better; ringed: named first; hollow: not ranked. {shapes}. Lines: 95&nbsp;% intervals.</figcaption></figure>"
    )


def _damage(line: Standing) -> str:
    return "none, nothing is edited" if line.damage is None else ratio(line.damage)


def _frame(lines: Sequence[Standing], width: int, height: int) -> Frame:
    damage = [min(MOST, max(0.5, line.damage)) for line in lines if line.damage is not None]
    ends = [end for line in lines for end in line.value if end is not None]
    floor = [0.0] if lines[0].higher_is_better else []
    grid = ticks(min(floor + ends), max(floor + ends), 5)
    left, top, bottom = 46.0, 14.0, height - 40.0
    aside = any(line.damage is None for line in lines)
    start = left + (62.0 if aside else 14.0)
    y = Scale(grid[0], grid[-1], bottom, top) if lines[0].higher_is_better else Scale(grid[0], grid[-1], top, bottom)
    low, high = math.log(min(1.0, *damage)) - 0.06, math.log(max(1.2, *damage)) + 0.05
    return Frame(width, height, Scale(low, high, start, width - 14.0), y, grid, left + 24 if aside else None)


def _draw(pairs: Sequence[tuple[Standing, str]], width: int, height: int, kind: str) -> str:
    lines = [line for line, _ in pairs]
    frame, best = _frame(lines, width, height), tied(lines)
    longest = max((line.entry.fit_seconds or 0.0 for line in lines), default=0.0) or 1.0
    places, sizes = [], []
    for line in lines:
        x = frame.strip if line.damage is None else frame.x.at(math.log(min(MOST, max(0.5, line.damage))))
        places.append((x or 0.0, frame.y.at(line.value.value or 0.0)))
        sizes.append(4.0 + 5.0 * ((line.entry.fit_seconds or 0.0) / longest) ** 0.5)
    names = _names([line.label for line in lines], places, sizes, frame, [line in best for line in lines], kind)
    parts, named = [_grid(frame, lines[0])], lead(lines)
    for (line, name), place, radius, text in reversed(list(zip(pairs, places, sizes, names, strict=True))):
        parts.append(_point(line, name, place, radius, text, frame, _kind(line, best, named)))
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg class="{kind}" {size}>{"".join(parts)}</svg>'


def _grid(frame: Frame, line: Standing) -> str:
    left, right, bottom, top = 46, frame.width - 10, frame.height - 40, 14
    parts = []
    for tick in frame.levels:
        y = frame.y.at(tick)
        parts.append(f'<line class="{"zero" if tick == 0 else "grid"}" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    last = -100.0
    for tick in ROUND:
        x = frame.x.at(math.log(tick))
        if frame.x.low <= math.log(tick) <= frame.x.high and x - last > 30:
            style, last = "zero" if tick == 1 else "grid", x
            parts.append(f'<line class="{style}" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
            parts.append(f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">×{tick:g}</text>')
    if frame.strip is not None:
        parts.append(f'<rect class="strip" x="{left}" y="{top}" width="48" height="{bottom - top}"/>')
        parts.append(f'<text x="{frame.strip}" y="{bottom + 15}" text-anchor="middle">no edits</text>')
    middle = (frame.x.start + frame.x.end) / 2
    parts.append(f'<text x="{middle}" y="{bottom + 33}" text-anchor="middle">damage: perplexity of prose →</text>')
    unit = f", {line.unit}" if line.unit else ""
    name = f"{line.measure}{unit} →" if line.higher_is_better else f"← {line.measure}{unit}"
    across = (top + bottom) / 2
    parts.append(f'<text transform="translate(11 {across}) rotate(-90)" text-anchor="middle">{escape(name)}</text>')
    return "".join(parts)


def _kind(line: Standing, best: Sequence[Standing], named: Standing | None) -> str:
    kind = "hollow" if line.rank is None else "best" if line in best else "other"
    return f"{kind} ringed" if line is named else kind


def _point(
    line: Standing, name: str, place: tuple[float, float], size: float, text: str, frame: Frame, kind: str
) -> str:
    kind, _, ringed = kind.partition(" ")
    whisker = ""
    if line.value.low is not None and line.value.high is not None:
        ends = frame.y.at(line.value.low), frame.y.at(line.value.high)
        whisker = f'<line class="whisker {kind}" x1="{place[0]}" x2="{place[0]}" y1="{ends[0]}" y2="{ends[1]}"/>'
    ring = f'<circle class="ring" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{size + 4:.1f}"/>' if ringed else ""
    told = (
        f"{line.label}, {line.entry.model}: {line.measure} {line.value.text(line.places)} {line.unit}, "
        f"damage {_damage(line)}, {effort(line.entry)}"
    )
    return (
        f'<g class="dot" data-line="{name}"><title>{escape(told)}</title>{whisker}'
        f"{mark(*place, size, line.verdict, f'point {kind}')}{ring}{text}</g>"
    )


def _names(
    labels: Sequence[str], places: Sequence[tuple[float, float]], sizes: Sequence[float], frame: Frame,
    best: Sequence[bool], kind: str,
) -> list[str]:  # fmt: skip
    """A name beside each point, or none where it would cover another; the best come first, and alone where narrow."""
    taken = [Box(x - s, y - s, x + s, y + s) for (x, y), s in zip(places, sizes, strict=True)]
    room = Box(48, 4, frame.width - 2, frame.height - 40)
    out = [""] * len(labels)
    for i in sorted(range(len(labels)), key=lambda i: not best[i]):
        if kind == "narrow" and not best[i]:
            continue
        label = labels[i] if len(labels[i]) <= 30 else f"{labels[i][:29]}…"
        (x, y), gap, wide = places[i], sizes[i] + 4, LETTER * len(label)
        choices = []
        for down in (0, -9, 9, -16, 16, -24, 24):
            choices += [(x + gap, y + down, "start"), (x - gap, y + down, "end")]
        choices += [(x, y - gap - 6, "middle"), (x, y + gap + 6, "middle")]
        boxes = [_box(choice, wide) for choice in choices]
        others = [box for j, box in enumerate(taken) if j != i]
        cost = [_cost(box, others, room) + 0.4 * n for n, box in enumerate(boxes)]
        n = min(range(len(cost)), key=cost.__getitem__)
        if cost[n] < 40 or best[i]:
            taken.append(boxes[n])
            tx, ty, anchor = choices[n]
            at = f'x="{tx:.1f}" y="{ty + 4:.1f}" text-anchor="{anchor}"'
            out[i] = f'<text class="{"name best" if best[i] else "name"}" {at}>{escape(label)}</text>'
    return out


def _box(choice: tuple[float, float, str], wide: float) -> Box:
    x, y, anchor = choice
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return Box(left, y - 7, left + wide, y + 7)


def _cost(box: Box, taken: Sequence[Box], room: Box) -> float:
    """Pixels that a name covers of others, and twice what it reaches out of the frame."""
    whole = (box.right - box.left) * (box.bottom - box.top)
    return sum(box.shared(other) for other in taken) + 4 * (whole - box.shared(room))
