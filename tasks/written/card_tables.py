"""Judge cards as tables: who judged and how, and what the text scorer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from traitbench.judges.scorer.heads import Row
from traitbench.judges.scorer.showing import COLUMNS, directions
from traitbench.tables import Table, number
from traitbench.tasks.block import Facts
from traitbench.tasks.written.cards import is_model
from traitbench.tasks.written.ratings import RANGE, Asking
from traitbench.tasks.written.records import Written
from traitbench.types import BIG_FIVE

__all__ = ["cards"]


def cards(task: str, found: Written, facts: Facts) -> list[Table]:
    """Who judged, as what, how, and how far it is to be trusted; the text scorer's validity, trait by trait."""
    notes = [
        "Revision: commit of the hub, else a digest of weights or heads. Prompts: digest of all that a judge is told. "
        "Scale: whether it was shown both ways round, and how its verdicts are had. Agreement: ICC(2,1) with the other "
        "judges of the number, least to largest over traits. Coverage: of all replies, those that it rated. Date: of "
        "the run."
    ]
    columns = ["judge", "type", "model", "revision", "prompts", "scale", "agreement", "coverage", "date"]
    rows = [_card(judge, card, found, facts) for judge, card in facts.judges.items()]
    out = [Table(title=f"Judge cards, {task}", columns=columns, rows=rows, notes=notes)] if rows else []
    return [*out, *_worth(task, facts)]


def _card(judge: str, card: Mapping[str, Any], found: Written, facts: Facts) -> list[str]:
    identity, mine = card.get("identity") or {}, found.judges.get(judge)
    revision = next((identity[name] for name in ("revision", "weights", "heads") if identity.get(name)), "–")
    scale = [f"0 to {RANGE:g}" + (", both ways" if mine and mine.asking and _turned(mine.asking) else "")]
    coverage = mine.coverage if mine else None
    return [
        judge,
        "language model" if is_model(judge) else "scorer",
        str(card.get("model") or _told(identity.get("versions") or identity) or judge),
        str(revision),
        str(card.get("prompts") or "–"),
        "; ".join([*scale, *([str(card["verdicts"])] if card.get("verdicts") else [])]),
        _agreement(judge, found),
        "–" if coverage is None else f"{coverage:.0%}",
        f"{datetime.fromtimestamp(facts.date, UTC):%Y-%m-%d}" if facts.date else "–",
    ]


def _turned(asking: Asking) -> bool:
    """Whether replies have a rating in both directions of the scale."""
    return asking.direction_gap is not None


def _agreement(judge: str, found: Written) -> str:
    """With the other judges of the number; a dash for one that is alone or enters none."""
    if judge not in found.counted or not found.agreement:
        return "–"
    known = [each.single for each in found.agreement.values() if each.single is not None]
    if not known:
        return "not known"
    return f"{number(min(known))} to {number(max(known))}" if len(known) > 1 else number(known[0])


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
