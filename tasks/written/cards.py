"""Judge cards: what is known of who judged, and whether a number of theirs may be ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.judges import JUDGES
from traitbench.judges.families import family_named
from traitbench.tasks.block import Facts
from traitbench.types import Trait, digest

__all__ = ["chosen", "identity", "is_model", "named", "no_number", "too_few"]

FEWEST = 2
"""Language models of families other than the subject's that a number of language models needs."""
_BESIDE = ("calibration", "cost", "evaluation", "families")
"""What of a card is of one run, or only told: no rating depends on it."""


def is_model(judge: str) -> bool:
    """Whether a judge is a language model."""
    return judge not in JUDGES or JUDGES.load(judge).model


def called(judge: str, facts: Facts) -> str:
    """The model that a judge is, as its card says; its name where that says nothing."""
    return str(facts.judges.get(judge, {}).get("model") or judge)


def _family(judge: str, facts: Facts) -> str:
    """By the judge's card, else by its name; a model that no family is known of is one of its own."""
    told = (facts.judges.get(judge, {}).get("families") or {}).get("judge")
    name = called(judge, facts)
    return str(told or family_named(name) or name)


def _subject(judges: Sequence[str], facts: Facts) -> str:
    told = next((found for each in judges if (found := (facts.judges.get(each, {}).get("families") or {}))), {})
    return str(told.get("subject") or family_named(facts.model_name) or facts.model_name)


def chosen(judges: Sequence[str], facts: Facts) -> list[str]:
    """The judges whose mean is the number of a run.

    All of them; but a single language model beside a judge that needs no second one does not enter.
    """
    models = [judge for judge in judges if is_model(judge)]
    others = [judge for judge in judges if not is_model(judge)]
    return others if others and too_few(models, facts) else list(judges)


def too_few(judges: Sequence[str], facts: Facts) -> str:
    """Why a number of these judges may not be ranked; empty where it may."""
    if not judges or not all(map(is_model, judges)):
        return ""
    mine = _subject(judges, facts)
    strange = {_family(judge, facts) for judge in judges} - {mine}
    if len(strange) >= FEWEST:
        return ""
    return (
        f"{len(strange)} of the judges' families {'is' if len(strange) == 1 else 'are'} not the model's own ({mine}); "
        f"a number of language models needs {FEWEST}"
    )


def identity(judge: str, facts: Facts) -> str:
    """Name a judge as it was: its name and a digest of what of its card decides its ratings.

    By it two runs can be told to have the same.
    """
    card = {name: held for name, held in facts.judges.get(judge, {}).items() if name not in _BESIDE}
    return f"{judge} ({digest(card)[:6]})" if card else judge


def no_number(judge: str, facts: Facts, traits: Sequence[Trait]) -> dict[Trait, str]:
    """Trait -> why a judge has no number for it, as far as its card says so."""
    held: Mapping[str, Mapping[str, Any]] = facts.judges.get(judge, {}).get("validity") or {}
    return {
        trait: str(held[trait].get("reason") or "not valid on this trait")
        for trait in traits
        if trait in held and not held[trait].get("usable")
    }


def named(judges: Sequence[str], facts: Facts) -> str:
    """The judges of a number, each as it was."""
    return " and ".join(identity(judge, facts) for judge in judges)
