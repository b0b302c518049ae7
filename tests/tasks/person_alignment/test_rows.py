"""Which conditions become which rows of an alignment, from answers that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.targets.persons import Participants
from traitbench.tasks import Administration
from traitbench.tasks.person_alignment import PersonAlignment
from traitbench.tasks.person_alignment.rows import NO_CONTROL, align
from traitbench.types import Choose, Person, Response, Target

TASK = PersonAlignment(Administration(scoring=("choice",), orders=("forward",)))
ASKED = [r for r in TASK.requests(0) if isinstance(r, Choose)]
ITEMS = {item.id: item for item in TASK.items}
CONFIG: dict[str, Any] = {"coefs": (2.0, 4.0), "bootstrap_iters": 50, "seed": 0}
TRUE = {"a": 4, "b": 2}
"""Person -> what they answer to every test item."""


def participants() -> Participants:
    known = {f"i{n}": 3 for n in (1, 2)}
    return Participants(
        source="test",
        targets=tuple(Target(person=Person(id=i, inventory="ipip_neo_300", answers=known)) for i in TRUE),
        tests={i: {request.doc.item: value for request in ASKED} for i, value in TRUE.items()},
    )


def condition(person: str | None, name: str, **more: Any) -> Condition:
    return Condition(name=name, person=person, target=f"person:{person}" if person else None, **more)


def samples(conditions: list[Condition], says: dict[str, int]) -> list[Sample]:
    """Every condition answers every item with one and the same option."""
    out = []
    for c in conditions:
        sure = tuple(0.0 if value == says[c.name] else -50.0 for value in range(1, 6))
        out += [make_sample(r, Response(option_logprobs=sure), c, ITEMS[r.doc.item], "", 0) for r in ASKED]
    return [graded(sample, TASK.grade(sample)) for sample in out]


def test_rows_parts_strengths_and_the_oracle() -> None:
    made, says = [condition(None, "baseline")], {"baseline": 3}
    # a does best at strength 4 and b at 2; both chose 2.
    best = {"a": {2.0: 2, 4.0: 4}, "b": {2.0: 2, 4.0: 5}}
    for i in TRUE:
        made += [
            condition(i, f"person:{i}", coef=2.0),
            condition(i, f"person:{i}@4", coef=4.0, headline=False),
            condition(i, f"person:{i}@prompt", coef=0.0, headline=False, variant="prompt only"),
            condition(i, f"person:{i}@shift", coef=2.0, headline=False, variant="shift only"),
        ]
        says |= {f"person:{i}": best[i][2.0], f"person:{i}@4": best[i][4.0], f"person:{i}@prompt": 3,
                 f"person:{i}@shift": 1}  # fmt: skip
    found = align("pas", made, samples(made, says), TASK.instrument, participants(), CONFIG)
    rows = {row.name: row for row in found.rows if row.kind == "method"}
    assert list(rows) == [NO_CONTROL, "pas", "pas @ 2", "pas @ 4", "pas, prompt only", "pas, shift only"]
    errors = {name: row.mae.value for name, row in rows.items()}
    expected = {NO_CONTROL: 1, "pas": 1, "pas @ 2": 1, "pas @ 4": 1.5, "pas, prompt only": 1, "pas, shift only": 2}
    assert errors == pytest.approx(expected)
    assert found.reference == "pas, prompt only"
    assert all(np.isclose(row.coverage, 1) for row in rows.values())
    (oracle,) = found.oracle
    assert oracle.strengths == {"a": 4.0, "b": 2.0} and oracle.mae_sum.value == pytest.approx(0)


def test_without_parts_and_strengths_the_reference_is_no_control() -> None:
    made = [condition(None, "baseline"), *(condition(i, f"person:{i}") for i in TRUE)]
    says = {"baseline": 5, "person:a": 4, "person:b": 2}
    found = align("prompting", made, samples(made, says), TASK.instrument, participants(), {**CONFIG, "coefs": ()})
    rows = {row.name: row for row in found.rows if row.kind == "method"}
    assert list(rows) == [NO_CONTROL, "prompting"] and found.reference == NO_CONTROL and found.oracle == []
    assert rows["prompting"].mae_sum.value == pytest.approx(0) and rows[NO_CONTROL].mae.value == pytest.approx(2)
    moved = rows["prompting"].to_reference
    assert moved is not None and moved.value == pytest.approx(-2 * len(found.traits))
