"""The situations as tables: effects, target x trait matrices, levels, how the answers were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from traitbench.charts.chart import digits
from traitbench.tables import Table, interval, number
from traitbench.tasks.block import Facts
from traitbench.tasks.effects import UnitShift
from traitbench.tasks.paired import doubts, level_cells
from traitbench.tasks.scoring import COVERS
from traitbench.tasks.situations.effects import PairContrast
from traitbench.tasks.situations.summary import PairScores, SituationsBlock
from traitbench.tasks.style_tables import statement_first
from traitbench.types import Mode

__all__ = ["effects", "levels", "matrix"]


def effects(task: str, modes: Mapping[Mode, PairScores]) -> Table:
    """The shift of the trait aimed at, a row a contrast and scoring mode."""
    rows = [_effect(mode, contrast) for mode in statement_first(modes) for contrast in modes[mode].contrasts]
    covers = [c.effect.covers for scored in modes.values() for c in scored.contrasts if c.effect]
    return Table(
        title=f"Effect of the control: how far the replies aimed at moved, {task}",
        columns=["target", "scoring", "effect [95 %]", "p", "d", "moved as aimed", "matched [95 %]",
                 "unmatched", "evaluative", "leakage", "check"],
        rows=rows,
        notes=[
            "Effect: high minus low, or the condition minus the baseline, of the preference for the high reply, in "
            "nats a token (statement) or percent of probability (choice, POMP). d: over the SD between pairs. p: two-"
            "sided, adjusted (Holm) over the targets of the scoring mode.",
            "Matched: pairs whose replies most people would find equally good; unmatched: the others. Evaluative: how "
            "far unmatched pairs of the other traits moved towards the reply found better. Leakage: how far the other "
            "traits moved, noise removed.",
            *_covered(covers),
            *doubts({mode: modes[mode].contrasts for mode in modes}),
        ],
    )  # fmt: skip


def _effect(mode: Mode, contrast: PairContrast) -> list[str]:
    effect, moved = contrast.effect, contrast.moved
    return [
        contrast.target,
        mode,
        _shown(effect, mode),
        number(effect.p_holm if effect else None, 3),
        number(effect.d if effect else None),
        "–" if moved is None or moved.value is None else f"{moved.value:.0%}",
        _shown(contrast.matched, mode),
        number(contrast.unmatched.value if contrast.unmatched else None, digits(mode)),
        number(contrast.evaluative.value if contrast.evaluative else None, digits(mode)),
        number(contrast.leakage, digits(mode)),
        contrast.check or "–",
    ]


def _shown(shift: UnitShift | None, mode: Mode) -> str:
    return interval(shift.value, shift.ci, digits(mode)) if shift else "–"


def _covered(found: Iterable[Sequence[str]]) -> list[str]:
    names = {name for mine in found for name in mine}
    if not names:
        return []
    alone = "" if "templates" in names else " One wording of the request was used: what others change is not in them."
    return [f"Intervals cover what varies over {', '.join(name for name in COVERS if name in names)}.{alone}"]


def matrix(mode: Mode, scored: PairScores) -> Table:
    """The shift of every trait under every target."""
    rows = [
        [c.target, *(number(s.value, digits(mode)) + ("*" if s.trait in c.aimed else "") for s in c.shifts)]
        for c in scored.contrasts
    ]
    traits = [shift.trait for shift in scored.contrasts[0].shifts] if scored.contrasts else []
    title = f"Target x trait, {mode} ({scored.unit}); own trait starred"
    return Table(title=title, columns=["target", *traits], rows=rows)


def levels(task: str, block: SituationsBlock, facts: Facts) -> Table:
    """The preference for high replies in every condition that the method made; drawn profiles are left out."""
    shown = {c.name for c in facts.conditions if c.headline and not c.profile}
    rows, traits = [], dict[str, None]()
    for mode in statement_first(block.modes):
        for condition, mine in block.modes[mode].levels.items():
            if condition in shown:
                traits.update(dict.fromkeys(level.trait for level in mine))
                rows.append([condition, mode, *level_cells(mine, mode)])
    return Table(
        title=f"Preference for the high reply [95 %], {task}",
        columns=["condition", "scoring", *traits],
        rows=rows,
        notes=[
            "Choice: its probability in percent, 50 is none. Statement: nats a token by which it is the likelier one; "
            "how likely the two wordings are in themselves is in it, so read it beside the baseline's. A level is "
            "neither good nor bad, and is never ranked."
        ],
    )
