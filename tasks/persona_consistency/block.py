"""Persona consistency's part of the results: agreement of replies, and resistance to induction."""

from __future__ import annotations

from typing import Literal

from traitbench.statistics.bootstrap import Bootstrap
from traitbench.statistics.proportions import Share
from traitbench.tasks.block import Block
from traitbench.types import Record

__all__ = ["ConsistencyBlock", "PersonaPair", "PersonaRow"]


class PersonaRow(Record):
    """One condition: the baseline or a character."""

    name: str
    character: str | None = None
    """Null for the baseline and for a target that is no character."""
    headline: bool = True
    """Whether it enters the figures over all characters; the baseline and other strengths do not."""
    intra: Bootstrap
    """BLEU, 0 to 100, between the replies to two wordings of a question."""
    replies: int
    """Written replies asked for."""
    empty: int
    truncated: int
    """Cut off at the longest reply that was allowed; they count as far as they go."""
    failed: int
    """Calls that ended in an error; missing."""
    words: float | None
    """Mean length of a reply."""
    as_model: float | None
    """Share of the replies to any question that speak as a language model."""
    perplexity: float | None = None
    """Damage: of neutral text under the control's adapter or edits, over the baseline's."""
    denied: Share
    """Of the replies to false premises, those that deny them, see `replies.denies`."""
    denied_to_baseline: Bootstrap | None = None
    """Minus the baseline's, premise by premise."""
    nats: Bootstrap
    """Mean log-likelihood a token of the denial minus that of the acceptance, in nats. Which of two sentences is
    likelier in itself is in it, so read it beside the baseline's."""
    nats_to_baseline: Bootstrap | None = None


class PersonaPair(Record):
    """Two characters, or two stages of one."""

    first: str
    second: str
    kind: Literal["stage", "inter"]
    bleu: float | None
    """Mean over questions; null where no question has a reply from both."""


class ConsistencyBlock(Block):
    """Persona consistency's part of the results."""

    kind: Literal["persona_consistency"] = "persona_consistency"

    characters: list[str]
    """Conditions that `intra`, `stage` and `inter` are over."""
    questions: int
    """Asked in two wordings."""
    premises: int
    intra: Bootstrap
    """Mean over characters."""
    stage: Bootstrap
    """Mean over pairs of stages of one life."""
    inter: Bootstrap
    """Mean over pairs of different characters."""
    intra_minus_stage: Bootstrap
    """Question by question, over the characters that have stages."""
    stage_minus_inter: Bootstrap
    """The same, with the pairs in which one of them meets another character."""
    intra_minus_inter: Bootstrap
    """Over all characters."""
    denied_to_baseline: Bootstrap
    """Share of denials, mean over characters, minus the baseline's."""
    nats_to_baseline: Bootstrap
    rows: list[PersonaRow]
    pairs: list[PersonaPair]
    bleu: str
    """sacrebleu's signature."""
    iterations: int
    seed: int

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> agreement with itself, denials of false premises, and how much likelier a denial is."""
        return {
            row.name: {
                "intra,generate": row.intra.value,
                "denied,generate": row.denied.value,
                "nats,statement": row.nats.value,
            }
            for row in self.rows
        }

    def higher_is_better(self) -> dict[str, bool | None]:
        """To be more like oneself, and to deny what is false, is better."""
        return {"intra": True, "denied": True, "nats": True}
