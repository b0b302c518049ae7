"""Human ratings of a run's written replies: a blind sheet of some of them, and what filled sheets say of the judges."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from traitbench.errors import BadData, UnsupportedControl
from traitbench.judges.people import Annotations, Scored, annotated
from traitbench.judges.records import Text
from traitbench.judges.sheets import Entry, Rated, read_sheet, write_sheet
from traitbench.runs.finished import Graded, current, graded
from traitbench.samples import Condition, Sample
from traitbench.store import read_json, write_json
from traitbench.types import Trait, digest

__all__ = ["KEY", "RATINGS", "draw", "rate"]

KEY = "annotation_key.json"
"""In the run's folder: id -> where a reply of a sheet comes from. Raters must not see it."""
RATINGS = "annotations.json"
"""In the run's folder: what `rate` found."""


class _Reply(NamedTuple):
    """A written reply that can be rated on the trait that its question is about."""

    id: str
    trait: Trait
    condition: Condition
    fit: int | None
    text: Text

    @property
    def place(self) -> dict[str, Any]:
        """Where it comes from, for the key."""
        doc = self.text.doc.model_dump(exclude_none=True, include={"task", "item", "template", "respondent", "repeat"})
        return {**doc, "condition": self.condition.name, "fit": self.fit, "dimension": self.trait}


def draw(named: str, n: int, to: Path, seed: int, tell: Callable[[str], None]) -> list[Path]:
    """Draw `n` replies of a run and write sheet, form and rubric into `to`, and the key into the run's folder.

    As many of each trait and condition as can be, at random within them: the baseline, and what aims at the trait that
    a question is about. Neither ids nor order say which. UnsupportedControl for a run without written replies, BadData
    where `to` is the run's own folder or `n` is no number of replies.
    """
    path = _one(named, tell)
    if n < 1:
        raise BadData(f"--n {n}: expected a number of replies of 1 or more, e.g. --n 100")
    if to.resolve() == path.parent.resolve():
        raise BadData(f"--to {to} is the run's own folder, which tells raters what is what; name another one")
    found = graded(path)
    replies = _replies(found)
    cells: dict[tuple[Trait, str], list[_Reply]] = defaultdict(list)
    for reply in replies:
        cells[reply.trait, reply.condition.name].append(reply)
    chance = random.Random(f"annotate {seed}")
    for cell in cells.values():
        chance.shuffle(cell)
    # One of each cell in turn, in a new order each time, so that a draw that ends early favours none.
    taken: list[_Reply] = []
    while len(taken) < n and any(cells.values()):
        turn = [cell for cell in cells.values() if cell]
        chance.shuffle(turn)
        taken += [cell.pop() for cell in turn[: n - len(taken)]]
    chance.shuffle(taken)
    if len(taken) < n:
        tell(f"the run has {len(taken)} replies to rate, fewer than --n {n}")
    write_json(path.parent / KEY, {**_key(path), **{reply.id: reply.place for reply in taken}})
    return write_sheet(
        [Entry(id=r.id, dimension=r.trait, question=r.text.question, reply=r.text.text) for r in taken], to
    )


def rate(named: str, sheets: Sequence[Path], tell: Callable[[str], None]) -> tuple[Annotations, Path]:
    """Read filled sheets of one or several people, and write what they say of the run's judges beside it.

    Ratings are of texts, so that those from before another judge count for it too. BadData for a sheet that is not of
    this run, or is filled in wrongly; see `read_sheet`.
    """
    path = _one(named, tell)
    known = _key(path)
    if not known:
        raise BadData(
            f"no sheet was drawn from {path.parent}; draw one: traitbench judge annotate '{path.parent}' --n 100 "
            "--to DIR"
        )
    given: list[Rated] = []
    for sheet in sheets:
        for rated in read_sheet(sheet, known):
            if rated.rater in {one.rater for one in given}:
                raise BadData(
                    f"{sheet}: {rated.rater} has rated in another file too; expected a file a person, or other names"
                )
            given.append(rated)
    found = graded(path)
    scored = _scored(found)
    here = {reply.id for reply in scored}
    if gone := {id for one in given for id in one.ratings} - here:
        tell(f"{len(gone)} rated replies are not those of {path.name} and are left out")
    given = [
        Rated(rater=o.rater, ratings={i: r for i, r in o.ratings.items() if i in here}, blank=o.blank) for o in given
    ]
    made = annotated(path.name, scored, given, found.kept.iterations, found.kept.seed)
    write_json(path.parent / RATINGS, made.model_dump(mode="json"))
    return made, path.parent / RATINGS


def _one(named: str, tell: Callable[[str], None]) -> Path:
    """The results file that is meant."""
    paths = current(named, tell)
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise BadData(f"{named} holds results of {len(paths)} designs: {names}; name one of these files")
    return paths[0]


def _key(path: Path) -> dict[str, Any]:
    """Id -> place, of all sheets that were drawn from the run's folder."""
    file = path.parent / KEY
    found: dict[str, Any] = read_json(file) if file.is_file() else {}
    return found


def _replies(found: Graded) -> list[_Reply]:
    """Every reply that may be drawn, of the conditions that count for its question's trait."""
    out = []
    kept = found.kept
    for name, task in found.tasks.items():
        if not task.judged:
            continue
        by_fit: dict[tuple[str, int | None], list[Sample]] = defaultdict(list)
        for sample in found.samples[name]:
            if sample.judge is None:
                by_fit[sample.condition, sample.fit].append(sample)
        aimed = {trait for condition in kept.conditions for trait in condition.levels}
        conditions = {condition.name: condition for condition in kept.conditions}
        for (of, fit), samples in by_fit.items():
            condition = conditions[of]
            for text in task.to_judge(samples):
                trait = text.doc.trait
                counts = condition.target is None or trait in condition.levels
                if counts and trait in text.dimensions and (trait in aimed or not aimed):
                    # The text and its place, and nothing of its judges: another judge's results keep the ids.
                    told = [kept.model_name, kept.method["name"], of, fit, text.doc.model_dump(mode="json"), text.text]
                    out.append(_Reply(f"r{digest(told)[:10]}", trait, condition, fit, text))
    if not out:
        raise UnsupportedControl(
            f"no task of {', '.join(found.tasks)} has written replies to rate; expected a run with one that has, such "
            "as personality_bench"
        )
    return out


def _scored(found: Graded) -> list[Scored]:
    """Every reply that may have been drawn, with what each judge gave it."""
    given: dict[tuple[object, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for samples in found.samples.values():
        for sample in samples:
            if sample.judge is not None and sample.against is None:
                value = float("nan") if sample.value_raw is None else sample.value_raw
                given[_place(sample, sample.condition, sample.fit, sample.trait)][sample.judge].append(value)
    return [
        Scored(
            reply.id, reply.trait, reply.condition.name, _level(reply),
            _means(given.get(_place(reply.text.doc, reply.condition.name, reply.fit, reply.trait), {})),
        )
        for reply in _replies(found)
    ]  # fmt: skip


def _means(given: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Over both directions of the scale; NaN where one has no rating."""
    return {judge: float(np.mean(values)) for judge, values in given.items()}


def _level(reply: _Reply) -> float | None:
    """Which way a condition aims at this one trait; None for the baseline, and for those that aim at several."""
    levels = reply.condition.levels
    return levels.get(reply.trait) if len(levels) == 1 and reply.condition.headline else None


def _place(doc: Any, condition: str, fit: int | None, dimension: Trait) -> tuple[object, ...]:
    return (doc.task, doc.item, doc.template, doc.respondent, doc.repeat, condition, fit, dimension)
