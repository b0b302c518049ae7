"""A run beside people: trait correlations in `profiles` and `paper` mode, and where its levels stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from traitbench.errors import UnknownName
from traitbench.humans import Reference, between_person_sd, default_reference, reference, references
from traitbench.humans.norms import Standing, normed
from traitbench.humans.norms import standing as place
from traitbench.humans.similarity import Similarity, from_scores
from traitbench.samples import Condition
from traitbench.types import BIG_FIVE, Mode, Record, Score, Trait

__all__ = ["Human", "between_person_sds", "likeness", "norm_group", "samples_of_people"]


class Human(Record):
    """One task in one scoring mode beside people. Descriptive: nothing here is ranked."""

    similarity: list[Similarity]
    """One a reference sample; empty where `note` says why."""
    standing: dict[str, dict[Trait, float | None]]
    """Condition -> trait -> z among the people of `standing_reference`; empty for statement, which has no level."""
    standing_reference: str | None = None
    norms: dict[str, dict[Trait, Standing]] = {}
    """Condition -> trait -> z, T and percentile among people of one sex and age (--norms)."""
    note: str = ""


def samples_of_people(
    instrument: str, traits: Sequence[Trait], own: Reference | None, wording_of: str | None = None
) -> list[Reference]:
    """The samples whose correlations stand beside a model's: the user's own, then those that ship.

    Beside an instrument that is another one in other words (`wording_of`) only people who answered just these.
    """
    if wording_of is not None:
        return [own] if own and own.instrument == instrument and set(traits) <= set(own.traits) else []
    found = [own] if own and set(traits) <= set(own.traits) else []
    found += [r for r in references(instrument) if r.correlations is not None]
    found += [r for r in [default_reference(traits)] if r is not None]
    if traits and set(traits) <= set(BIG_FIVE):
        found.append(reference("davies_2015"))
    return list({r.name: r for r in found}.values())


def between_person_sds(instrument: str, traits: Sequence[Trait], own: Reference | None) -> dict[Trait, float]:
    """SDs of the SAME instrument on item means: the user's own sample where it answered it, else those that ship."""
    mine = own if own and own.instrument == instrument else None
    found = {t: mine.sd(t) if mine else between_person_sd(instrument, t) for t in traits}
    return {trait: sd for trait, sd in found.items() if sd}


def likeness(
    scores: Mapping[str, Sequence[Score]],
    conditions: Sequence[Condition],
    instrument: str,
    mode: Mode,
    own: Reference | None,
    norms: str | None,
    iterations: int,
    seed: int,
    wording_of: str | None = None,
) -> Human:
    """Compare one task's scores (condition -> a score a trait) in one mode with people.

    `own` is the user's sample; `norms` is SEX,AGE, e.g. F,30, where the instrument has norms; `wording_of` is the
    instrument that this one is in other words.
    """
    traits = [score.trait for score in scores[conditions[0].name]]
    named, how, note = _rows(conditions, traits)
    people = samples_of_people(instrument, traits, own, wording_of)
    if named and not people and wording_of is not None:
        note = f"{instrument} is {wording_of} in other words, which no person of a sample held has answered"
    elif named and not people:
        note = f"no human correlations of {', '.join(traits)} are held; give --reference FILE"
    table = np.array([[s.value for s in scores[name]] for name in named], dtype=float).reshape(-1, len(traits))
    found = [from_scores(table, traits, r, how, iterations, seed) for r in people] if named else []
    standing, who = _standing(scores, instrument, own) if mode != "statement" else ({}, None)
    group = norm_group(norms) if norms and mode != "statement" and instrument in normed() else None
    return Human(
        similarity=found,
        standing=standing,
        standing_reference=who,
        norms={} if group is None else {
            name: place({s.trait: s.value for s in mine}, instrument, *group) for name, mine in scores.items()
        },
        note=note,
    )  # fmt: skip


def norm_group(text: str) -> tuple[str, int]:
    """Read SEX,AGE, e.g. F,30; UnknownName for anything else."""
    sex, comma, age = (part.strip() for part in text.partition(","))
    if not comma or not re.fullmatch("[0-9]{1,3}", age):
        raise UnknownName(f"--norms {text!r}: expected a sex and an age, e.g. F,30 (F, M, or N for both together)")
    return sex.upper(), int(age)


def _rows(
    conditions: Sequence[Condition], traits: Sequence[Trait]
) -> tuple[list[str], Literal["profiles", "paper"], str]:
    """The conditions that are correlated over, in which mode, and why there are none."""
    if len(traits) < 2:
        return [], "paper", "one trait has nothing to correlate with"
    if drawn := [c.name for c in conditions if c.profile]:
        return drawn, "profiles", ""
    single = [c for c in conditions if c.headline and len(c.levels) == 1]
    poles = {(t, v): c.name for c in single for t, v in c.levels.items() if abs(v) == 1}
    wanted = [(trait, level) for trait in traits for level in (1.0, -1.0)]
    if all(pole in poles for pole in wanted):
        return [poles[pole] for pole in wanted], "paper", ""
    return [], "paper", "trait correlations need --target profiles, or --target all (both poles of every trait)"


def _standing(
    scores: Mapping[str, Sequence[Score]], instrument: str, own: Reference | None
) -> tuple[dict[str, dict[Trait, float | None]], str | None]:
    """Each level as z = (level - mean) / SD of people who answered the same instrument."""
    mine = [own] if own and own.instrument == instrument else list(references(instrument))
    people = next((r for r in mine if r.means and r.sds), None)
    if people is None:
        return {}, None
    return {
        name: {s.trait: _z(s, people) for s in mine if s.trait in people.traits} for name, mine in scores.items()
    }, people.name


def _z(score: Score, people: Reference) -> float | None:
    mean, sd = people.means[people.traits.index(score.trait)] if people.means else None, people.sd(score.trait)
    return None if score.value is None or mean is None or sd is None else (score.value - mean) / sd
