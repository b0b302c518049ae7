"""Verdicts: a word and its reasons, and the criteria that every task with answers on a scale shares.

The thresholds are those of `statistics.thresholds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from traitbench.statistics.style import Style
from traitbench.statistics.thresholds import judge
from traitbench.tasks.variation import FLAT, Variation
from traitbench.types import Reading, Record

__all__ = [
    "NO_RESPONDENTS",
    "Verdict",
    "Word",
    "aim_reasons",
    "damage_reasons",
    "judged",
    "reading_reasons",
    "style_reasons",
    "variation_reasons",
]

Word = Literal["interpretable", "caution", "not interpretable"]
NO_RESPONDENTS = "caution: no simulated respondents (--respondents N)"


LEVELS = "caution: no control: levels alone, and nothing shows how reliable they are"
NO_EFFECT = (
    "caution: no target aims at a trait that is asked about here, so there is no effect to judge (--target "
    "extraversion=high)"
)


class Verdict(Record):
    """The verdict; `reasons` each begin with the level that they call for."""

    verdict: Word
    reasons: list[str]


def judged(reasons: Iterable[str]) -> Verdict:
    """The verdict that the reasons add up to: the worst of them; `interpretable` without any."""
    found = list(reasons)
    if any(reason.startswith("not interpretable") for reason in found):
        return Verdict(verdict="not interpretable", reasons=found)
    return Verdict(verdict="caution" if found else "interpretable", reasons=found)


def style_reasons(style: Style | None) -> Iterator[str]:
    """What the response style of all conditions together calls for; `style` is null for statement."""
    if style is None:
        return
    yield from style.flags.values()
    if style.n and not any(style.positions):
        yield "not interpretable: no valid answer"
    if style.acquiescence is None and any(style.positions):
        yield "caution: acquiescence cannot be had, no scale has items of both keys"


def aim_reasons(contrasts: int, aimed: int) -> Iterator[str]:
    """What it calls for that nothing is controlled, or that none of the contrasts aims at one trait that was asked."""
    if not contrasts:
        yield LEVELS
    elif not aimed:
        yield NO_EFFECT


def damage_reasons(perplexity: float | None) -> Iterator[str]:
    """What the perplexity of neutral text under a control calls for; `perplexity` is over that without."""
    if found := judge("perplexity", perplexity):
        much = f"{perplexity:.2f}" if perplexity is not None and perplexity < 1000 else "over 1000"
        yield f"{found[0]}: the perplexity of neutral text is {much} times that without the control (>= {found[1]:.2f})"


def reading_reasons(reading: Reading | None) -> Iterator[str]:
    """What it calls for how well the model foresees neutral prose; nothing where that was not asked."""
    if reading is not None and (found := judge("reading", reading.perplexity)):
        much = f"{reading.perplexity:.0f}" if reading.perplexity < 1e6 else "over a million"
        what = "does not read" if found[0] == "not interpretable" else "hardly reads"
        limit = f"a perplexity of {much} a word (>= {found[1]:.0f})"
        yield f"{found[0]}: the model {what} its prompts: neutral text has {limit}"


def variation_reasons(varies: Variation | None, control: bool) -> Iterator[str]:
    """Floors that no respondent who heeds the items falls below, in any scoring mode."""
    if varies is None or varies.items is None:
        return
    if varies.items <= FLAT:
        yield "not interpretable: no variance: every item has the same answer"
    elif control and varies.moved is not None and varies.moved <= FLAT:
        yield "not interpretable: nothing moved: every item has the same answer in every condition"
    if varies.orders is None or varies.orders_ci is None:
        return
    found, low = judge("order_agreement", varies.orders), varies.orders_ci[0]
    if found and (found[0] == "not interpretable" or low > 0):
        yield f"{found[0]}: the two option orders agree {varies.orders:.2f} on the items (< {found[1]:.2f})"
    elif low <= 0:
        yield (
            f"not interpretable: the two option orders agree {varies.orders:.2f} on the items, by chance for all one "
            f"can say: the interval begins at {low:.2f}"
        )
