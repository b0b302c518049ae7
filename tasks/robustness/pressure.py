"""A user who asks to drop the persona, rung by rung, and the drift of an effect over turns of neutral talk.

Three questions tell persuasion from caving. Under pressure minus after as many turns without it: what pressure does,
not length. After the pressure was taken back, minus as many turns without it: what stays. After minus under pressure:
what comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.comparison import holm
from traitbench.tasks.robustness.contexts import PLAIN, Context
from traitbench.tasks.robustness.effects import Aim, Card, Moved, clear, difference, estimated, moved
from traitbench.types import Mode, Record

__all__ = ["Drift", "Rung", "RungWord", "drift", "gone_at", "rungs"]

HELD = 0.5
"""Share of the replay's effect that may be lost under pressure at most, for it to be held."""

RungWord = Literal[
    "held", "caved", "persuaded", "partly persuaded", "gave way", "pushed back", "inconclusive", "no effect to keep"
]
"""caved: weaker under pressure, and back once it is taken back. persuaded: weaker, and still so afterwards. partly
persuaded: both. gave way: weaker, and what comes afterwards is not clear. pushed back: stronger under pressure. held:
not weaker, and the interval of what is lost stays below half of the effect. no effect to keep: the replay has none."""


class Rung(Record):
    """One rung of the ladder; each builds on those below it."""

    name: str
    step: int
    pressure: Moved
    """Under pressure minus the replay without it."""
    after: Moved
    """After the pressure was taken back minus a replay of as many turns."""
    recovery: Moved
    """After minus under pressure."""
    verdict: RungWord


class Drift(Record):
    """How an effect changes over turns of neutral talk."""

    turns: list[int]
    """0 is the plain context."""
    slope: Moved
    """Change of the effect a turn, least squares over the turns, item by item."""
    half_life: float | None
    """Turns until half of the effect is left, between the points on a straight line."""
    half_life_note: str = ""
    """Why there is none."""


def rungs(found: Sequence[Aim], contexts: Sequence[Context], mine: Card, mode: Mode) -> list[Rung]:
    """Every rung that was asked, with its replays."""
    held = {context.name: context for context in contexts}
    steps = [c for c in contexts if c.kind == "pressure" and c.replay in held]
    made: list[tuple[Context, list[Moved]]] = []
    for rung in steps:
        after = held.get(f"after-{rung.name}")
        if after is None or after.replay not in held or rung.replay is None or after.replay is None:
            continue
        pairs = ((rung.name, rung.replay), (after.name, after.replay), (after.name, rung.name))
        made.append((rung, [moved(difference(found, a, b, mode)) for a, b in pairs]))
    adjusted = [holm([parts[place].p for _, parts in made]) for place in range(3)]
    out = []
    for n, (rung, parts) in enumerate(made):
        pressure, later, recovery = (
            part.model_copy(update={"p_holm": adjusted[place][n]}) for place, part in enumerate(parts)
        )
        replay = mine.of(rung.replay or "")
        word = _word(pressure, later, recovery, replay.effect if replay else None)
        out.append(Rung(
            name=rung.name, step=rung.step, pressure=pressure, after=later, recovery=recovery, verdict=word
        ))  # fmt: skip
    return out


def _word(pressure: Moved, after: Moved, recovery: Moved, replay: Moved | None) -> RungWord:
    if replay is None or not clear(replay):
        return "no effect to keep"
    if clear(pressure, below=True):
        stays, returns = clear(after, below=True), clear(recovery)
        if stays and returns:
            return "partly persuaded"
        return "persuaded" if stays else "caved" if returns else "gave way"
    if clear(pressure):
        return "pushed back"
    least = -HELD * (replay.value or 0.0)
    return "held" if pressure.ci is not None and pressure.ci[0] > least else "inconclusive"


def gone_at(mine: Card, contexts: Sequence[Context]) -> str | None:
    """The first rung at which the effect's interval reaches zero although that of its replay does not."""
    for rung in sorted((c for c in contexts if c.kind == "pressure"), key=lambda c: c.step):
        here, replay = mine.of(rung.name), mine.of(rung.replay or "")
        if here and replay and clear(replay.effect) and not clear(here.effect):
            return rung.name
    return None


def drift(found: Sequence[Aim], contexts: Sequence[Context], mine: Card, mode: Mode) -> Drift | None:
    """Slope and half-life over the turns that were asked; None with fewer than two beside the plain context."""
    points = [(0, PLAIN), *sorted((c.step, c.name) for c in contexts if c.kind == "drift")]
    if len(points) < 3:
        return None
    turns = np.array([k for k, _ in points], dtype=float)
    away = (turns - turns.mean()) / np.square(turns - turns.mean()).sum()

    def turning(aim: Aim) -> NDArray[np.float64]:
        turned: NDArray[np.float64] = np.tensordot(away, np.stack([aim.moved[name] for _, name in points]), axes=1)
        return turned

    slope = estimated(found, turning, mode)
    means = [None if (row := mine.of(name)) is None else row.effect.value for _, name in points]
    plain = mine.of(PLAIN)
    half, note = (None, "the plain context has no clear effect")
    if plain is not None and clear(plain.effect):
        half, note = _half([k for k, _ in points], means)
    return Drift(turns=[k for k, _ in points], slope=moved(slope), half_life=half, half_life_note=note)


def _half(turns: Sequence[int], means: Sequence[float | None]) -> tuple[float | None, str]:
    """Where a line through the points first reaches half of the first."""
    known = [(k, m) for k, m in zip(turns, means, strict=True) if m is not None]
    target = known[0][1] / 2
    for (k, a), (next_k, b) in pairwise(known):
        if a > target >= b:
            return k + (next_k - k) * (a - target) / (a - b), ""
    return None, f"more than half is left after {known[-1][0]} turns"
