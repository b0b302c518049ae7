"""The forced choice as tables: effects, target x trait matrices by counts and solved, levels, how it was answered."""

from __future__ import annotations

from traitbench.charts.chart import digits
from traitbench.tables import Table, interval, number
from traitbench.tasks.block import Facts
from traitbench.tasks.forced_choice.effects import ForcedContrast
from traitbench.tasks.forced_choice.summary import ForcedChoiceBlock, ForcedScores
from traitbench.tasks.paired import doubts, level_cells
from traitbench.tasks.scoring import COVERS
from traitbench.tasks.style_tables import statement_first
from traitbench.types import Mode

__all__ = ["effects", "levels", "matrix"]


def effects(task: str, block: ForcedChoiceBlock) -> Table:
    """The shift of the trait aimed at, a row a contrast and scoring mode."""
    modes = block.modes
    rows = [_effect(mode, contrast) for mode in statement_first(modes) for contrast in modes[mode].contrasts]
    covered = {name for scored in modes.values() for c in scored.contrasts if c.effect for name in c.effect.covers}
    alone = ", ".join(f"{trait} {count}" for trait, count in block.alone.items())
    return Table(
        title=f"Effect of the control: how far the statements aimed at were taken, {task}",
        columns=["target", "scoring", "effect [95 %]", "p", "d", "moved as aimed", "apart [95 %]", "leakage", "check"],
        rows=rows,
        notes=[
            "Effect: high minus low, or the condition minus the baseline, of the preference for the statement that "
            "whoever is high on the trait takes, in nats a token (statement) or percent (POMP). d: over the SD between "
            "pairs. p: two-sided, adjusted (Holm) over the targets of the scoring mode.",
            "Counts are partly ipsative: most pairs set two traits against each other, so what one gains another "
            f"loses, and leakage holds that too. Pairs of a trait with itself: {alone}. Apart: the traits solved for "
            "together by least squares, on the scale of a pair of the trait's own two poles.",
            *([f"Intervals cover what varies over {', '.join(n for n in COVERS if n in covered)}; apart: over pairs."]
              if covered else []),
            *doubts({mode: modes[mode].contrasts for mode in modes}),
        ],
    )  # fmt: skip


def _effect(mode: Mode, contrast: ForcedContrast) -> list[str]:
    effect, moved = contrast.effect, contrast.moved
    own = next((each for each in contrast.apart if effect is not None and each.trait == effect.trait), None)
    return [
        contrast.target,
        mode,
        interval(effect.value, effect.ci, digits(mode)) if effect else "–",
        number(effect.p_holm if effect else None, 3),
        number(effect.d if effect else None),
        "–" if moved is None or moved.value is None else f"{moved.value:.0%}",
        interval(own.value, own.ci, digits(mode)) if own else "–",
        number(contrast.leakage, digits(mode)),
        contrast.check or "–",
    ]


def matrix(mode: Mode, scored: ForcedScores) -> list[Table]:
    """The shift of every trait under every target: by counts, and with the traits held apart."""
    if not scored.contrasts:
        return []
    traits = [shift.trait for shift in scored.contrasts[0].shifts]
    counts = [
        [c.target, *(number(s.value, digits(mode)) + ("*" if s.trait in c.aimed else "") for s in c.shifts)]
        for c in scored.contrasts
    ]
    apart = []
    for contrast in scored.contrasts:
        found = {each.trait: each.value for each in contrast.apart}
        cells = [number(found.get(t), digits(mode)) + ("*" if t in contrast.aimed else "") for t in traits]
        apart.append([contrast.target, *cells])
    return [
        Table(title=f"Target x trait, {mode} ({scored.unit}), {how}; own trait starred", columns=["target", *traits],
              rows=rows)
        for how, rows in (("counts", counts), ("traits held apart", apart))
    ]  # fmt: skip


def levels(task: str, block: ForcedChoiceBlock, facts: Facts) -> Table:
    """The preference for high statements in every condition that the method made; drawn profiles are left out."""
    shown = {c.name for c in facts.conditions if c.headline and not c.profile}
    rows, traits = [], dict[str, None]()
    for mode in statement_first(block.modes):
        scored = block.modes[mode]
        for condition, mine in scored.levels.items():
            if condition in shown:
                traits.update(dict.fromkeys(level.trait for level in mine))
                rows.append(
                    [condition, mode, "counts", *level_cells(mine, mode), number(scored.desirable.get(condition))]
                )
                held = {each.trait: each for each in scored.apart.get(condition, ())}
                if held:
                    apart = [held.get(v.trait) for v in mine]
                    rows.append(
                        [
                            condition,
                            mode,
                            "apart",
                            *(interval(v.value, v.ci, digits(mode)) if v else "–" for v in apart),
                            "",
                        ]
                    )
    return Table(
        title=f"Preference for what the high pole takes [95 %], {task}",
        columns=["condition", "scoring", "scores", *traits, "r with desirability"],
        rows=rows,
        notes=[
            "Choice and generate: percent, 50 is none. Statement: nats a token by which it is the likelier one; how "
            "likely the two wordings are in themselves is in it, so read it beside the baseline's. Within a condition "
            "the traits' counts are partly relative to each other, and none is good or bad. Apart: the traits solved "
            "for together by least squares; whoever is to be set beside others is ordered by these.",
            "r with desirability: over pairs, with what little difference in people's agreement the matching left.",
        ],
    )
