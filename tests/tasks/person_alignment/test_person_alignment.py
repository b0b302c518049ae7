"""The task whose items no method has seen of a person: its items, requests and answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from traitbench import inventories
from traitbench.backends.scripted import Respondent, Scripted
from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.runs.aims import meant
from traitbench.samples import Condition, graded, make_sample
from traitbench.targets.papi import key, load_persons, split
from traitbench.tasks import Administration
from traitbench.tasks.person_alignment import PersonAlignment
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.tasks.scoring import item_values
from traitbench.types import BIG_FIVE, Choose, Write

CHOICE = Administration(scoring=("choice",))


def test_items_are_the_180_that_the_short_form_lacks() -> None:
    task = PersonAlignment(CHOICE)
    short = {item.text for item in inventories.load("ipip_neo_120").items}
    assert len(task.items) == 180 and not short & {item.text for item in task.items}
    assert [item.number for item in task.items] == sorted(item.number for item in task.items)
    assert task.traits == () and task.inventory is None, "no instrument: people's norms are of the whole one"
    assert {item.trait for item in task.items} == set(BIG_FIVE) and task.id == "person_alignment"
    facets = [item.facet for item in task.items]
    assert all(facets.count(facet) == 6 for facet in set(facets)) and len(set(facets)) == 30
    whole = {item.id: item for item in inventories.load("ipip_neo_300").items}
    assert all(whole[item.id] == item for item in task.items), "ids, numbers and keys are the instrument's own"


def test_split_is_papis(shared: Path) -> None:
    given = json.loads((shared / "data" / "papi" / "mpi_300_split.json").read_text())
    known, rest = split()
    assert [item.number for item in known] == sorted(given["train_index"])
    assert [item.number for item in rest] == sorted(given["test_index"])
    persons = load_persons()
    assert {key()[c].id for c in persons.test} == {item.id for item in PersonAlignment(CHOICE).items}


def test_requests_are_those_of_a_questionnaire() -> None:
    administration = Administration(scoring=("choice", "generate"), symbols=("letters", "numbers"), limit=3)
    task = PersonAlignment(administration)
    found = task.requests(5)
    assert len(found) == 2 * 2 * 2 * 3 and {r.doc.task for r in found} == {"person_alignment"}
    assert [r.doc.item for r in found[:4]] == [task.items[i].id for i in (0, 1, 2, 0)]
    assert {type(r) for r in found} == {Choose, Write}
    whole = Questionnaire(inventories.load("ipip_neo_300"), administration.model_copy(update={"limit": None}))
    theirs = {json.dumps(r.model_dump(exclude={"doc": {"task"}}), sort_keys=True) for r in whole.requests(5)}
    assert {json.dumps(r.model_dump(exclude={"doc": {"task"}}), sort_keys=True) for r in found} <= theirs


def test_statement_is_left_out() -> None:
    assert {r.doc.scoring for r in PersonAlignment(Administration()).requests(0)} == {"choice"}
    with pytest.raises(UnsupportedControl, match="add --scoring choice"):
        PersonAlignment(Administration(scoring=("statement",)))


def test_without_a_target_the_persons_are_papis() -> None:
    task = PersonAlignment(CHOICE)
    assert [meant(given, [task]) for given in ("all", None, "person:me.csv")] == ["person:papi"] * 2 + ["person:me.csv"]
    with pytest.raises(TraitbenchUsage, match="expected person:papi"):
        task.check("openness=high", None)


def test_a_scripted_respondent_is_graded() -> None:
    task = PersonAlignment(CHOICE)
    requests, backend, items = task.requests(0), Scripted("person", Respondent()), {i.id: i for i in task.items}
    made = [
        make_sample(requests[i], response, Condition(name="none"), items[requests[i].doc.item], "", 0)
        for batch in backend.run(requests)
        for i, response in batch.items()
    ]
    samples = [graded(sample, task.grade(sample)) for sample in made]
    values = item_values(samples, task.items)
    assert len(samples) == 360 and np.isfinite(values).all() and values.min() >= 1 and values.max() <= 5
    for sample in samples:
        assert sample.value_raw is not None
        assert sample.value_keyed == pytest.approx(sample.value_raw if sample.keyed == 1 else 6 - sample.value_raw)
