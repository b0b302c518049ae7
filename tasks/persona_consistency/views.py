"""Persona consistency as tables: agreement within and between characters, and what false premises get."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from traitbench.tables import Table, interval, number
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.views import Views

if TYPE_CHECKING:
    from traitbench.statistics.bootstrap import Bootstrap
    from traitbench.statistics.proportions import Share
    from traitbench.tasks.persona_consistency.block import ConsistencyBlock, PersonaRow

__all__ = ["ConsistencyViews", "tables"]


class ConsistencyViews(Views):
    """Tables alone: nothing of it is ranked."""

    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        """Agreement within and between characters, and resistance to induction."""
        return tables(cast("ConsistencyBlock", block))


def tables(found: ConsistencyBlock) -> list[Table]:
    """What a person reads: BLEU and its differences, the same for each condition, and resistance to induction."""
    resists = [found.denied_to_baseline, found.nats_to_baseline]
    return [
        *([_agreement(found)] if found.characters else []),
        _conditions(found),
        _resistance(found, resists),
    ]


def _agreement(found: ConsistencyBlock) -> Table:
    lines = {
        "Intra: one character": found.intra,
        "Stage: stages of one life": found.stage,
        "Inter: different characters": found.inter,
        "Intra - Stage": found.intra_minus_stage,
        "Stage - Inter": found.stage_minus_inter,
        "Intra - Inter": found.intra_minus_inter,
    }
    return Table(
        title=f"BLEU between replies, {len(found.characters)} characters, {found.questions} questions",
        columns=["replies of", "BLEU [95 %]", "questions", "reasons"],
        rows=[[name, _value(held), str(held.clusters), held.reason or "–"] for name, held in lines.items()],
        notes=[
            "Always a reply to one wording of a question beside a reply to the other. A model that makes no difference "
            "between characters has Intra = Stage = Inter; Intra above Stage above Inter is what is wanted.",
            "Differences are paired by question, over the characters that both sides have: those with stages where "
            "Stage is in it.",
            f"{found.bleu}, mean of both directions. Intervals redraw questions; what is the same in all of them has "
            "none.",
        ],
    )


def _conditions(found: ConsistencyBlock) -> Table:
    cut = sum(row.truncated for row in found.rows)
    return Table(
        title="Written replies",
        columns=[
            "condition", "Intra [95 %]", "replies", "empty", "cut off", "failed", "words", "as a model", "perplexity",
        ],
        rows=[_line(row) for row in found.rows],
        notes=[
            "Empty replies are missing. As a model: share of the replies that speak as a language model. "
            "Perplexity: of neutral text under the adapter or the edits, over that without.",
            *([f"{cut} replies ran into the longest length (--gen_kwargs max_tokens=N); they count as far as they go."]
              if cut else []),
        ],
    )  # fmt: skip


def _line(row: PersonaRow) -> list[str]:
    counts = [str(n) for n in (row.replies, row.empty, row.truncated, row.failed)]
    share = "–" if row.as_model is None else f"{row.as_model:.0%}"
    return [row.name, _value(row.intra), *counts, number(row.words, 1), share, number(row.perplexity)]


def _resistance(found: ConsistencyBlock, overall: list[Bootstrap]) -> Table:
    rows = [
        [
            row.name,
            _value(row.denied),
            _value(row.denied_to_baseline),
            _value(row.nats),
            _value(row.nats_to_baseline),
            str(row.denied.n),
        ]
        for row in found.rows
    ]
    if len(found.characters) > 1:
        rows.append(["all characters", "–", _value(overall[0]), "–", _value(overall[1]), str(overall[0].clusters)])
    return Table(
        title=f"Resistance to {found.premises} false premises",
        columns=["condition", "denied [95 %]", "vs baseline", "nats a token [95 %]", "vs baseline", "premises"],
        rows=rows,
        notes=[
            "Denied: share of the written replies that deny the premise, by a lexicon of English markers "
            "(tasks/persona_consistency/replies.py). Nats a token: log-likelihood of a denial minus that of an "
            "acceptance; which sentence is likelier in itself is in it, so read it against the baseline.",
        ],
    )


def _value(held: Bootstrap | Share | None) -> str:
    return "–" if held is None else interval(held.value, held.ci)
