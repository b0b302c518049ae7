"""Results of runs that never took place, computed from made-up answers by the functions that compute real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from traitbench import inventories
from traitbench.runs.results import Facts, Results
from traitbench.runs.summary import summarise
from traitbench.samples import Condition, Sample, graded
from traitbench.targets.papi import split
from traitbench.targets.persons import Participants
from traitbench.tasks import Administration, Task
from traitbench.tasks.person_alignment import PersonAlignment
from traitbench.tasks.person_alignment.summary import AlignmentBlock
from traitbench.tasks.person_alignment.summary import summarise as hold_against
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import BIG_FIVE, Fit, Person, Point, Target

CHOICE = Administration(scoring=("choice",))
REST = split()[1]
# Four items of each key and trait: enough for every trait's error, few enough to be quick.
ITEMS = tuple(
    item for trait in BIG_FIVE for key in (1, -1)
    for item in [i for i in REST if (i.trait, i.keyed) == (trait, key)][:4]
)  # fmt: skip


class Given(PersonAlignment):
    """Person alignment on those items, with persons at hand, who are otherwise read from where they are kept."""

    def __init__(self, people: Participants) -> None:
        super().__init__(CHOICE)
        self.items, self.original, self.people = ITEMS, len(ITEMS), people

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> AlignmentBlock:
        return hold_against(facts, samples, self.instrument, self.people)


def participants(persons: int, seed: int = 0) -> Participants:
    """Persons with a level of their own on each facet; their answers to known and to test items follow it."""
    rng = np.random.default_rng(seed)
    known, targets, tests = split()[0], [], {}
    for number in range(persons):
        level = {item.facet: rng.normal(0, 0.9) for item in (*known, *ITEMS)}

        def answers(items: Any, level: Mapping[str | None, float] = level) -> dict[str, int]:
            raw = [3 + i.keyed * level[i.facet] + rng.normal(0, 0.6) for i in items]
            return {i.id: int(np.clip(np.rint(v), 1, 5)) for i, v in zip(items, raw, strict=True)}

        id = f"p{number}"
        targets.append(Target(person=Person(id=id, inventory="ipip_neo_300", answers=answers(known))))
        tests[id] = answers(ITEMS)
    return Participants(source="made", targets=tuple(targets), tests=tests)


def samples(condition: Condition, means: Mapping[str, float], task: Task) -> list[Sample]:
    """Answers around `means` (item id -> place on the scale), in both orders."""
    out = []
    items: Any = task.items
    for item in items:
        if item.id not in means:
            continue
        for order, values in (("forward", [1, 2, 3, 4, 5]), ("reverse", [5, 4, 3, 2, 1])):
            weight = np.array([-((value - means[item.id]) ** 2) / 0.3 for value in values])
            sample = Sample(
                doc_id=item.number - 1, doc={"id": item.id, "text": None}, arguments=[], resps=[[]], filtered_resps=[],
                doc_hash=item.text_hash, prompt_hash="", task=task.id, condition=condition.name,
                target=condition.target, coef=condition.coef, scoring="choice", item=item.id, trait=item.trait,
                facet=item.facet, keyed=item.keyed, order=order, symbols="letters", template=0, repeat=0, seed=0,
                option_logprobs=list(weight - np.log(np.exp(weight).sum()) - 0.05), option_values=values,
                status="valid",
            )  # fmt: skip
            out.append(graded(sample, task.grade(sample)))
    return out


def facts(method: str, conditions: list[Condition], **more: Any) -> Facts:
    """What such a run knows of itself."""
    given = {
        "model_name": "model", "model_source": "made", "model": {"weights": "sha256:1"}, "controls": {}, "date": 1.8e9,
        "method": {"name": method, "version": "1", "config": {}, "settings": more.pop("settings", {})},
        "config": {"bootstrap_iters": 60, "seed": 0, "limit": more.pop("limit", None), "coefs": more.pop("coefs", ())},
        "administration": CHOICE.model_dump(mode="json"),
        "cost": {"evaluation_seconds": 3.0},
    }  # fmt: skip
    return Facts.model_validate({**given, "conditions": conditions, **more})


def person_run(
    method: str = "pas", persons: int = 5, own: float = 0.8, prompt: float | None = 0.4, shift: float = 0.2,
    coefs: tuple[float, ...] = (0.0, 2.0, 4.0), people: int = 0, noise: float = 0.1, plain: float = 3.4,
    **more: Any,
) -> Results:  # fmt: skip
    """A run of `method` on persons; shares say how far its answers go from 3 towards the person's own."""
    task = Given(participants(persons, people))
    rng, base = np.random.default_rng(1), Condition(name="baseline")
    conditions, rows, fits = [base], samples(base, {i.id: plain + 0.2 * (i.number % 3) for i in ITEMS}, task), {}

    def add(condition: Condition, id: str, share: float) -> None:
        conditions.append(condition)
        towards = {i: float(np.clip(3 + share * (a - 3) + rng.normal(0, noise), 1, 5))
                   for i, a in task.people.tests[id].items()}  # fmt: skip
        rows.extend(samples(condition, towards, task))

    for number, id in enumerate(task.people.tests if method != "none" else ()):
        name = f"person:{id}"
        mine = Condition(name=name, target=name, person=id, coef=2.0 if prompt is not None else None)
        if prompt is None:
            add(mine, id, own)
            continue
        edited = {"perplexity": 1.1 + 0.1 * number, "dose": 0.2 + 0.1 * number}
        aside = mine.model_copy(update={"headline": False})
        add(mine.model_copy(update=edited), id, own)
        for coef in sorted(set(coefs) - {2.0}):
            at = {"name": f"{name}@{coef:g}", "coef": coef, "perplexity": 1 + coef if coef else None}
            add(aside.model_copy(update=at), id, own * (1.2 if coef else 0.5))
        add(aside.model_copy(update={"name": f"{name}@prompt", "variant": "prompt only", "coef": 0.0}), id, prompt)
        add(aside.model_copy(update={"name": f"{name}@shift", "variant": "shift only", **edited}), id, shift)
        curve = tuple(
            Point(strength=s, effect=-1 + 0.1 * s - 0.02 * number, perplexity=1 + s / 4) for s in (0, 2, 4, 6)
        )
        fits[name] = Fit(
            method=method, version="1", strength=2.0, curve=curve, seconds=1.5, parameters=100,
            config={"max_perplexity": 2.0}, details={"effect": "minus the mean |answer - value|"}, unit="SDs",
        )  # fmt: skip
    made = facts(method, conditions, fits=fits, coefs=coefs, persons=task.people.hashes, **more)
    return summarise(made, {task.id: task}, {task.id: rows})


def strength_run(
    method: str = "npti", traits: tuple[str, ...] = ("openness", "neuroticism"), gain: float = 0.12,
    leak: float = 0.02, coefs: tuple[float, ...] = (1.0, 2.0, 4.0), chosen: float = 2.0, layers: bool = False,
    **more: Any,
) -> Results:  # fmt: skip
    """A run whose control moves its trait by `gain` times the strength (up or down), and all others by `leak`."""
    task = Questionnaire(inventories.load("mini_ipip", texts=False), CHOICE)
    rng, base = np.random.default_rng(2), Condition(name="baseline")
    rough = {item.id: 3 + rng.normal(0, 0.2) for item in task.items}
    conditions, rows, fits = [base], [*samples(base, rough, task), *said(base, rough, task)], {}
    for trait in traits:
        for word, level in (("high", 1.0), ("low", -1.0)):
            name = f"{trait}={word}"
            for coef in sorted({chosen, *coefs}, key=lambda c: (c != chosen, c)):
                condition = Condition(
                    name=name if coef == chosen else f"{name}@{coef:g}", target=name, levels={trait: level},
                    coef=coef, headline=coef == chosen, perplexity=1.05**coef if coef < 4 else 5e8, dose=coef / 10,
                )  # fmt: skip
                means = {i.id: rough[i.id] + coef * (level * gain * i.keyed if i.trait == trait else leak)
                         for i in task.items}  # fmt: skip
                conditions.append(condition)
                rows += [*samples(condition, means, task), *said(condition, means, task)]
            curve = [
                Point(strength=s, effect=s * gain * (1 - abs(layer - 2) / 4), layer=layer if layers else None,
                      perplexity=None if layer == 4 else 1 + s / 4)
                for layer in (range(5) if layers else (2,)) for s in (1.0, 2.0, 4.0, 8.0)
            ]  # fmt: skip
            fits[name] = Fit(
                method=method, version="1", strength=chosen, curve=tuple(curve), seconds=20.0, parameters=64,
                config={"max_perplexity": 2.0}, unit="gamma",
                details={"effect": "nats a token", "layer": 2},
            )  # fmt: skip
    controls = {condition.name: [] for condition in conditions}
    made = facts(method, conditions, fits=fits, coefs=coefs, controls=controls, **more)
    return summarise(made, {task.id: task}, {task.id: rows})


def said(condition: Condition, means: Mapping[str, float], task: Task) -> list[Sample]:
    """The same as statements: a nat a token for each point of the scale."""
    items: Any = task.items
    return [
        Sample(
            doc_id=item.number - 1, doc={"id": item.id, "text": None}, arguments=[], resps=[[]], filtered_resps=[],
            doc_hash=item.text_hash, prompt_hash="", task=task.id, condition=condition.name,
            target=condition.target, coef=condition.coef, scoring="statement", item=item.id, trait=item.trait,
            facet=item.facet, keyed=item.keyed, template=0, repeat=0, seed=0, loglik=5 * means[item.id], tokens=5,
            status="valid", value_raw=means[item.id],
        )
        for item in items
    ]  # fmt: skip


def changed(results: Results, task: str, mode: str, **fields: Any) -> Results:
    """The run with other fields of one scoring mode of a task."""
    block: Any = results.tasks[task]
    modes = {**block.modes, mode: block.modes[mode].model_copy(update=fields)}
    return results.model_copy(update={"tasks": {**results.tasks, task: block.model_copy(update={"modes": modes})}})


def doubled(results: Results, task: str, other: str = "other") -> Results:
    """The run with what it holds of `task` once more, as a task of another name."""
    names = ("tasks", "configs", "versions", "n_samples", "task_hashes")
    return results.model_copy(update={n: {**getattr(results, n), other: getattr(results, n)[task]} for n in names})
