"""BIG5-CHAT's distances between a method's trait correlations and people's, recomputed from its own cells.

The paper's human matrix comes from answers that were keyed already and were reversed again, so the same distances
are given to people whose answers were reversed once, and what the second reversal does is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traitbench import data
from traitbench.humans import reference
from traitbench.humans.similarity import Similarity, from_scores
from traitbench.reproduce.cells import Cells, Distance, Matrix, cells
from traitbench.reproduce.rows import Reproduction, Row
from traitbench.statistics.matrices import correlations
from traitbench.tables import Table, number
from traitbench.targets.papi import Persons, key, load_persons, unkeyed
from traitbench.types import Record, Trait

__all__ = ["CorrelationReproduction", "MethodMatrix", "correlation"]

Array = NDArray[np.float64]

PEOPLE = ("ipip_neo_300_johnson", "davies_2015")
"""Human samples whose answers were reversed once."""
MODELS = ("llama3_8b", "llama3_70b")
"""The paper prints distances for the first."""
TURNED = (("conscientiousness", "neuroticism"), ("agreeableness", "neuroticism"), ("openness", "neuroticism"))
"""The cells whose sign the second reversal turned."""
ROUNDING = 0.05
"""What rounding the cells to one decimal does to a distance: 2 SDs over cells redrawn within their last digit."""


class MethodMatrix(Record):
    """One method's trait correlations over the ten conditions, beside people."""

    model: str
    method: str
    label: str
    """As the paper calls it."""
    correlations: Matrix
    distance_as_published: float
    """Frobenius distance to the paper's human matrix, each pair of traits counted twice."""
    people: tuple[Similarity, ...]
    """The same cells beside each sample whose answers were reversed once."""

    def distance(self, sample: int | None) -> float | None:
        """Distance to the paper's human matrix (None) or to a sample by its place in `people`."""
        return self.distance_as_published if sample is None else self.people[sample].distance.value


class CorrelationReproduction(Reproduction):
    """The published trait-correlation distances, and the same beside correctly keyed people."""

    traits: tuple[Trait, ...]
    human_as_published: Matrix
    matrices: tuple[MethodMatrix, ...]

    def details(self) -> list[Table]:
        """Distances side by side, which method is nearest, and the human matrices."""
        people = [reference(name) for name in PEOPLE]
        labels = [f"{p.label} (n={p.n:,})" for p in people]
        distances = Table(
            title="Distance of each method's trait correlations to people's",
            columns=["method", "paper's human matrix", *labels],
            rows=[
                [f"{m.model}, {m.label}", number(m.distance_as_published, 4), *(_distance(s) for s in m.people)]
                for m in self.matrices
            ],
            notes=[
                "In brackets: lowest and highest distance with one of the ten conditions left out.",
                *(_order(self.matrices, model) for model in MODELS),
            ],
        )
        human = [_table("as published", np.array(self.human_as_published), self.traits)]
        human += [_table(label, p.matrix(self.traits), self.traits) for label, p in zip(labels, people, strict=True)]
        return [distances, *human]


def correlation(papi: Path | None = None) -> CorrelationReproduction:
    """Recompute the distances of IPIP-NEO-120 trait correlations, for the 8B model as printed and for the 70B model.

    `papi` is the folder of PAPI's answers, which show what a second reversal does; without it, and without the data
    set `papi`, those rows have no recomputed value. BadData where the answers are there and cannot be used.
    """
    paper = cells()
    matrices = [_method(paper, model, entry) for model in MODELS for entry in paper.distances]
    persons = load_persons(papi) if papi is not None or data.find("papi") else None
    rows = _as_published(paper, matrices) + _beside_people(paper, matrices) + _baselines(paper, matrices)
    return CorrelationReproduction(
        name="big5chat-correlation",
        about=(
            "Frobenius distance between a method's 5 x 5 trait correlations (IPIP-NEO-120, ten conditions) and "
            "people's, each pair counted twice"
        ),
        source=f"{paper.source}; {paper.provenance}",
        rows=tuple(rows + _fault(paper) + _reversals(paper, persons)),
        traits=paper.traits,
        human_as_published=paper.human_matrix,
        matrices=tuple(matrices),
    )


def _method(paper: Cells, model: str, entry: Distance) -> MethodMatrix:
    scores = paper.scores("ipip_neo_120", model, entry.method)
    found = correlations(scores)
    return MethodMatrix(
        model=model,
        method=entry.method,
        label=entry.label,
        correlations=tuple(map(tuple, found.tolist())),
        distance_as_published=_frobenius(found, paper.human_matrix),
        people=tuple(from_scores(scores, paper.traits, reference(name), "paper") for name in PEOPLE),
    )


def _as_published(paper: Cells, matrices: Sequence[MethodMatrix]) -> list[Row]:
    """The distances to the paper's own human matrix."""
    rows = []
    for m in matrices:
        printed, own = paper.printed(m.model, m.method), m.distance_as_published
        changed = (m.model, m.method) == (paper.overwritten.model, paper.overwritten.method)
        if printed is None:
            why = "the paper prints no distance for this model, only its cells"
        elif changed:
            why = "the printed figure rests on a matrix with one cell overwritten: see the next row"
        elif abs(printed - own) <= 0.005:
            why = "the same to the two decimals printed"
        else:
            why = f"within the rounding of the cells to one decimal, which moves a distance by up to about {ROUNDING}"
        rows.append(
            Row(label=f"{m.model}, {m.label}, to the paper's people", published=printed, recomputed=own, why=why)
        )
        if changed:
            rows.append(_overwritten(paper, m))
    return rows


def _overwritten(paper: Cells, m: MethodMatrix) -> Row:
    a, b = (paper.traits.index(trait) for trait in paper.overwritten.traits)
    matrix, value = np.array(m.correlations), paper.overwritten.value
    was, matrix[a, b], matrix[b, a] = float(matrix[a, b]), value, value
    cell = "-".join(trait[0].upper() for trait in paper.overwritten.traits)
    return Row(
        label=f"{m.model}, {m.label}, with {cell} overwritten, to the paper's people",
        published=paper.printed(m.model, m.method),
        recomputed=_frobenius(matrix, paper.human_matrix),
        why=f"{cell} is {was:.4f} in the method's matrix; with {value} written over it the printed figure results",
    )


def _beside_people(paper: Cells, matrices: Sequence[MethodMatrix]) -> list[Row]:
    """The same distances to people whose answers were reversed once."""
    rows = []
    for index, name in enumerate(PEOPLE):
        for m in matrices:
            printed = paper.printed(m.model, m.method)
            why = "the paper's people were reversed twice, these once"
            rows.append(
                Row(
                    label=f"{m.model}, {m.label}, to: {reference(name).label}",
                    published=printed,
                    recomputed=m.distance(index),
                    why=why if printed is not None else f"no distance printed for this model; {why}",
                )
            )
    return rows


def _baselines(paper: Cells, matrices: Sequence[MethodMatrix]) -> list[Row]:
    """What stands beside every distance: uncorrelated traits, and ten people."""
    first, rows = matrices[0].people, []
    for sample, label in _samples():
        identity = _frobenius(np.eye(len(paper.traits)), paper.human_matrix)
        value = identity if sample is None else first[sample].identity.distance.value
        farther = [m for m in matrices if value is not None and (m.distance(sample) or 0.0) > value]
        why = f"not printed; a control without leakage is nearer than {len(farther)} of the {len(matrices)} methods"
        rows.append(Row(label=f"uncorrelated traits, to: {label}", published=None, recomputed=value, why=why))
    for found, name in zip(first, PEOPLE, strict=True):
        if found.sampled is None or (bounds := found.sampled.distance.interval) is None:
            continue
        why = f"not printed; 95 % of such samples lie between {bounds[0]:.2f} and {bounds[1]:.2f}: ten rows say little"
        label = f"{found.n} people drawn from them, to: {reference(name).label}"
        rows.append(Row(label=label, published=None, recomputed=found.sampled.distance.value, why=why))
    return rows


def _fault(paper: Cells) -> list[Row]:
    """The cells of the paper's human matrix that have the wrong sign."""
    people = reference(PEOPLE[0])
    keyed = people.matrix(paper.traits)
    why = f"the second reversal turned the sign; recomputed: {people.n:,} people whose answers were reversed once"
    return [
        Row(label=f"people, {a}-{b}", published=_cell(paper.human_matrix, paper, a, b),
            recomputed=_cell(keyed, paper, a, b), why=why)
        for a, b in TURNED
    ]  # fmt: skip


def _reversals(paper: Cells, persons: Persons | None) -> list[Row]:
    """What the second reversal makes of keyed answers: the published signs."""
    rows = []
    for times, name in ((1, "once"), (2, "twice")):
        matrix = None if persons is None else _domains(persons, paper.traits, again=times == 2)
        if persons is None:
            why = "takes the persons of PAPI: `traitbench data get papi`, or --papi DIR"
        elif times == 1:
            why = (
                f"{len(persons.answers)} persons as released, reversed once; they show the reversal, they are no sample"
            )
        else:
            why = f"the same {len(persons.answers)} persons with their minus-keyed items reversed again"
        for a, b in TURNED:
            value = None if matrix is None else _cell(matrix, paper, a, b)
            label = f"PAPI reversed {name}, {a}-{b}"
            rows.append(Row(label=label, published=_cell(paper.human_matrix, paper, a, b), recomputed=value, why=why))
        distance = None if matrix is None or np.isnan(matrix).any() else _frobenius(matrix, paper.human_matrix)
        label = f"PAPI reversed {name}, to the paper's people"
        rows.append(Row(label=label, published=None, recomputed=distance, why=why))
    return rows


def _domains(persons: Persons, traits: Sequence[Trait], again: bool) -> Array:
    """Correlations (t, t) of trait means over the known items; `again`: with minus-keyed items reversed once more."""
    answers = unkeyed(persons.answers) if again else persons.answers
    answers = answers[:, persons.known]
    own = np.array([[key()[c].trait == trait for trait in traits] for c in persons.known], dtype=float)
    counts = (~np.isnan(answers)) @ own
    means = np.nan_to_num(answers) @ own / np.maximum(counts, 1)
    return correlations(means[(counts > 0).all(axis=1)])


def _cell(matrix: Matrix | Array, paper: Cells, a: Trait, b: Trait) -> float | None:
    value = float(matrix[paper.traits.index(a)][paper.traits.index(b)])
    return None if np.isnan(value) else value


def _frobenius(a: Array, b: Matrix) -> float:
    return float(np.sqrt(((a - np.array(b)) ** 2).sum()))


def _distance(found: Similarity) -> str:
    bounds = found.distance.interval
    return number(found.distance.value, 4) + (f" [{number(bounds[0])}, {number(bounds[1])}]" if bounds else "")


def _samples() -> list[tuple[int | None, str]]:
    """List what distances are measured to: the paper's human matrix (None), and the samples by their place."""
    return [(None, "the paper's people"), *((i, reference(name).label) for i, name in enumerate(PEOPLE))]


def _order(matrices: Sequence[MethodMatrix], model: str) -> str:
    """Say which method the distances of one model put nearest to people, matrix by matrix."""
    own, parts = [m for m in matrices if m.model == model], []
    for sample, name in _samples():
        far = sorted((m.distance(sample) or 0.0, m.label) for m in own)
        parts.append(f"{name}: {' < '.join(label for _, label in far)}")
    return f"{model}, nearest first, to {'; to '.join(parts)}."


def _table(label: str, matrix: Array, traits: Sequence[Trait]) -> Table:
    rows = [[trait, *(number(float(v), 3) for v in row)] for trait, row in zip(traits, matrix, strict=True)]
    return Table(title=f"People's trait correlations, {label}", columns=["trait", *traits], rows=rows)
