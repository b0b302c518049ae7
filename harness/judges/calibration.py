"""Calibration: what a judge makes of texts of known pole, of what should not matter, and of what shows nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from traitbench.backends.fingerprints import cache_folder
from traitbench.journal import RunFolder
from traitbench.judges.asked import ask_once
from traitbench.judges.grading import grade
from traitbench.judges.indices import Ratings, abstained, indices
from traitbench.judges.judge import Judge
from traitbench.judges.pairs import PairCheck, checks
from traitbench.judges.records import Ask
from traitbench.judges.trials import Trial, texts, trials
from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.statistics.discrimination import auc
from traitbench.statistics.judge_probes import Probe
from traitbench.statistics.proportions import Share
from traitbench.store import read_json, write_json
from traitbench.types import Record, Trait, digest

__all__ = ["Calibrated", "Calibration", "Cited", "calibrate", "cited", "default_folder", "summarise"]

_Asked = tuple[Trial, Condition, Ask]


class Calibrated(Record):
    """One trait."""

    trait: Trait
    auc: Share
    """Of ratings of the high over those of the low pole's replies."""
    high: float | None
    """Mean rating of the high pole's replies, 0 to 5."""
    low: float | None
    pairs: PairCheck | None = None
    """The same replies side by side; null for a judge that rates only."""


class Calibration(Record):
    """What is known of one judge."""

    judge: str
    card: dict[str, Any]
    """Model, identity and digest of the prompts, as far as it has them."""
    texts: str
    """Digest of the texts that it was tried with."""
    limit: int | None = None
    """Pairs of replies a trait, where not all were used."""
    made: float
    """When, in seconds since 1970."""
    traits: list[Calibrated]
    indices: list[Probe]
    """Each by its criterion in JUDGES."""
    abstained: dict[str, Share]
    """Kind of a text in which nothing can be seen -> share of which the judge said so."""
    verdicts: int
    failed: int
    """Calls that failed; the same command asks them again."""

    @property
    def faults(self) -> list[Probe]:
        """The indices that speak against it."""
        return [index for index in self.indices if index.level is not None]


class Cited(Record):
    """What a card says of a calibration."""

    texts: str
    made: float
    auc: dict[Trait, float | None]
    faults: dict[str, str]
    """Index -> caution or not interpretable."""


def default_folder() -> Path:
    """Where calibrations are kept, so that the cards of later runs cite them."""
    return cache_folder() / "judges"


def cited(card: Mapping[str, Any]) -> Cited | None:
    """The calibration, on all texts of now, of the judge of this card; None where there is none in the cache."""
    path = _file(default_folder(), card, None)
    if not path.is_file():
        return None
    try:
        found = Calibration.model_validate(read_json(path))
    except ValueError:
        return None
    return Cited(
        texts=found.texts, made=found.made, auc={one.trait: one.auc.value for one in found.traits},
        faults={index.name: str(index.level) for index in found.faults},
    )  # fmt: skip


def calibrate(
    judge: Judge, folder: Path, limit: int | None, seed: int, begin: Callable[[str, int], Callable[[int], None]]
) -> Calibration:
    """Try one judge, and keep what it answers and what that comes to in `folder`; nothing is asked twice.

    `limit` takes the first pairs of each trait; `begin` is told of progress. Unreachable where a server stops
    answering: what it answered is kept.
    """
    try:
        judge.open(seed)
        tried = trials(judge.family, limit)
        asked = _requests(judge, tried)
        keys = [judge.key(request) for _, _, request in asked]
        kept = RunFolder(folder)
        with kept.open() as held:
            step = begin(f"calibrating {judge.name}", len(set(keys)))
            step(len(held.keys() & set(keys)))
            ask_once(judge, [request for _, _, request in asked], keys, held, kept, step)
            samples = []
            for (trial, condition, request), key in zip(asked, keys, strict=True):
                one = make_sample(request, held[key], condition, trial, judge.prompt(request), seed)
                samples.append(graded(one, grade(one)))
            made = summarise(judge, tried, samples, limit, seed)
            write_json(_file(folder, made.card, limit), made.model_dump(mode="json"))
    finally:
        judge.close()
    return made


def summarise(
    judge: Judge, tried: Sequence[Trial], samples: Sequence[Sample], limit: int | None, seed: int
) -> Calibration:
    """Compute everything from graded samples; `judge` is open."""
    found = Ratings(tried, samples, seed)
    side = {check.trait: check for check in checks(samples, _conditions(tried))}
    traits = []
    for trait in dict.fromkeys(trial.trait for trial in tried):
        known = [trial for trial in found.of("known") if trial.trait == trait]
        high, low = (found.means([trial for trial in known if trial.high is pole]) for pole in (True, False))
        traits.append(Calibrated(
            trait=trait, auc=auc(high, low), high=_mean(high), low=_mean(low), pairs=side.get(trait)
        ))  # fmt: skip
    return Calibration(
        judge=judge.name, card=judge.card, texts=texts_digest(), limit=limit, made=time.time(), traits=traits,
        indices=indices(found, not judge.compares, judge.family), abstained=abstained(found),
        verdicts=len(samples), failed=sum(sample.status == "error" for sample in samples),
    )  # fmt: skip


def texts_digest() -> str:
    """Names what judges are tried with: the texts, and what is made of them by rule."""
    return digest([texts().model_dump(mode="json"), [trial.text_hash for trial in trials("")]])


def _mean(values: Any) -> float | None:
    rated = [float(value) for value in values if value == value]
    return sum(rated) / len(rated) if rated else None


def _file(folder: Path, card: Mapping[str, Any], limit: int | None) -> Path:
    """By what decides the verdicts, and by the texts."""
    decides = {name: card.get(name) for name in ("identity", "prompts")}
    return folder / f"calibration_{digest([decides, texts_digest(), limit])}.json"


def _conditions(tried: Sequence[Trial]) -> list[Condition]:
    """A condition a pole and trait, as a run has them."""
    return [_condition(trait, high) for trait in dict.fromkeys(t.trait for t in tried) for high in (True, False)]


def _condition(trait: Trait, high: bool) -> Condition:
    name = f"{trait}={'high' if high else 'low'}"
    return Condition(name=name, target=name, levels={trait: 1.0 if high else -1.0})


def _requests(judge: Judge, tried: Sequence[Trial]) -> list[_Asked]:
    """Everything that is asked: ratings first, those of one trait and direction together, then comparisons."""
    out: list[_Asked] = []
    for trial in tried:
        condition = _condition(trial.trait, trial.high)
        out += [(trial, condition, request) for request in judge.ratings(trial.asked, trial.trait)]
    out.sort(key=lambda one: (one[2].doc.trait, str(one[2].doc.order)))
    if not judge.compares:
        return out
    for high in (trial for trial in tried if trial.kind == "known" and trial.high):
        low = next(trial for trial in tried if trial.kind == "known" and trial.pair == high.pair and not trial.high)
        against = _condition(high.trait, False).name
        for request in judge.comparisons(high.asked, low.asked, high.trait, against):
            out.append((high, _condition(high.trait, True), request))
    return out
