"""Judge cards as tables: who judged and how, and what the text scorer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitbench.judges.scorer.heads import Row
from traitbench.judges.scorer.showing import COLUMNS, directions
from traitbench.tables import Table
from traitbench.tasks.block import Facts
from traitbench.tasks.written.cards import is_model
from traitbench.types import BIG_FIVE

__all__ = ["cards"]


def cards(task: str, facts: Facts) -> list[Table]:
    """Who judged: language models by what they are and were told, the text scorer by its validity, trait by trait."""
    rows = []
    for judge, card in facts.judges.items():
        identity = card.get("identity") or {}
        kind = "language model" if is_model(judge) else "scorer"
        rows.append([judge, kind, str(card.get("model") or _told(identity)), str(card.get("prompts") or "–")])
    out = (
        [Table(title=f"Judge cards, {task}", columns=["judge", "type", "model", "prompts"], rows=rows)] if rows else []
    )
    return [*out, *_worth(task, facts)]


def _told(identity: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in identity.items() if isinstance(value, str | int))


def _worth(task: str, facts: Facts) -> list[Table]:
    """Every direction of the scorers' evaluations; of a card without any, those that decide."""
    rows, notes = [], dict[str, None]()
    for judge, card in facts.judges.items():
        if not (held := card.get("validity")):
            continue
        found = _evaluated(card)
        rows += [[judge, *line] for line in directions(found)]
        given = {trait: "yes" if held[trait].get("usable") else "no" for trait in BIG_FIVE if trait in held}
        rows.append([judge, "number given", *(given.get(trait, "–") for trait in BIG_FIVE), "", "", ""])
        decide = dict.fromkeys(row.source for row in found if row.decides)
        notes[f"{judge}: a trait whose interval reaches .5 in {' or '.join(decide)} gets no number."] = None
        notes |= dict.fromkeys(f"{judge}, {row.source}: {row.warning}." for row in found if row.warning)
        notes |= {f"{judge}, {t}: {v['reason']}.": None for t, v in held.items() if v.get("reason")}
    if not rows:
        return []
    about = (
        "AUC [95 %] of texts of the high over texts of the low pole. Bar: mean AUC of a simple scorer with the same "
        "features, to be beaten. What the scorer makes of a model's replies, these do not show."
    )
    return [
        Table(
            title=f"Validity of the scorer on texts of another kind than it was made of, {task}",
            columns=["judge", *COLUMNS], rows=rows, notes=[about, *notes],
        )
    ]  # fmt: skip


def _evaluated(card: Mapping[str, Any]) -> list[Row]:
    """The whole evaluation as a card holds it; of results of older versions each trait's deciding texts alone."""
    if "evaluation" in card:
        return [Row.model_validate(row) for row in card["evaluation"]]
    found = []
    for trait, held in card["validity"].items():
        source, _, tested = str(held.get("source") or "").partition(" -> ")
        if tested:
            found.append(Row(
                trained_on=source, tested_on=tested, trait=trait, auc=held["auc"], ci=held.get("ci"), n=held["n"],
                clusters=0, bar=held.get("bar"), decides=True,
            ))  # fmt: skip
    return found
