"""Whether the numbers of one scoring mode may be interpreted, and what decided it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traitbench.statistics.style import Style
from traitbench.tasks.effects import aimed
from traitbench.tasks.paired import style_reasons
from traitbench.tasks.situations.effects import PairContrast
from traitbench.tasks.variation import Variation
from traitbench.tasks.verdict import Verdict, aim_reasons, damage_reasons, judged, reading_reasons, variation_reasons
from traitbench.types import Reading

__all__ = ["verdict"]


def verdict(
    style: Style | None,
    contrasts: Sequence[PairContrast],
    varies: Variation | None,
    perplexity: float | None,
    reading: Reading | None = None,
) -> Verdict:
    """Judge one scoring mode.

    `style` is that of all conditions together, null for statement; `perplexity` is that of neutral text under the
    control that does it most harm, over that without; `reading` how well the model foresees such text at all.
    """
    return judged(
        [
            *style_reasons(style),
            *variation_reasons(varies, bool(contrasts)),
            *damage_reasons(perplexity),
            *reading_reasons(reading),
            *_effects(contrasts),
        ]
    )


def _effects(contrasts: Sequence[PairContrast]) -> Iterator[str]:
    yield from aim_reasons(len(contrasts), len(aimed(contrasts)))
    if shaky := [contrast.target for contrast in contrasts if contrast.check == "caution"]:
        yield f"caution: {', '.join(shaky)}: see the check of each"
