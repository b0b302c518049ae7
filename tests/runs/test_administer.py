"""Conditions whose requests share batches: the same answers as each alone, and what follows is asked of each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from quiet import Quiet
from result_files import held

from traitbench import inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.scripted import Scripted
from traitbench.errors import BadData, UnsupportedControl
from traitbench.journal import RunFolder
from traitbench.runs.administer import administer, check_lengths
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Given, Plan
from traitbench.runs.prepare import prepare
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.tasks.task import Task
from traitbench.types import Message


class Counting(Quiet):
    """Counts the batches."""

    batches = 0

    def done(self, requests: int) -> None:
        self.batches += 1


def plan(folder: Path, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": "scripted:person", "model_args": {"obedience": 0.2, "noise": 0.1}, "tasks": ("mini_ipip",),
        "method": "prompting", "output_path": str(folder), "bootstrap_iters": 50, **changes,
    })  # fmt: skip


def test_a_backend_that_cannot_mix_is_refused(tmp_path: Path) -> None:
    asked = plan(tmp_path / "out", model="smollm2", model_args={}, mix_conditions=True)
    with pytest.raises(UnsupportedControl, match="--mix_conditions: the backend hf asks under one control at a time"):
        evaluate(asked, Quiet(), print)
    assert not (tmp_path / "out").exists()


def test_conditions_that_share_batches_answer_as_each_alone(tmp_path: Path) -> None:
    alone, mixed = Counting(), Counting()
    changes = {"limit": 7, "scoring": ("choice", "statement", "generate")}
    _, one = evaluate(plan(tmp_path / "alone", **changes), alone, print)
    _, other = evaluate(plan(tmp_path / "mixed", **changes, mix_conditions=True), mixed, print)
    assert _samples(one) == _samples(other) and one.parent.name == other.parent.name
    ours, theirs = held(one), held(other)
    for changing in ("date", "total_evaluation_time_seconds", "cost"):
        del ours[changing], theirs[changing]
    assert theirs["config"].pop("mix_conditions") and not ours["config"].pop("mix_conditions")
    assert ours == theirs and mixed.batches < alone.batches


def test_what_follows_is_asked_of_each_condition_that_mixes(tmp_path: Path) -> None:
    class Asking(Task):
        """Asks some items again, by what was answered."""

        id = "asking"
        original = 4

        def __init__(self) -> None:
            self.inner = Questionnaire(inventories.load("mini_ipip"), Administration(limit=4, scoring=("choice",)))
            self.items, self.traits = self.inner.items, self.inner.traits

        def requests(self, seed: int) -> list[Any]:
            asked = self.inner.requests(seed)
            return [r.model_copy(update={"doc": r.doc.model_copy(update={"task": self.id})}) for r in asked]

        def follow_up(self, samples: Any) -> list[Any]:
            if any(sample.repeat for sample in samples):
                return []
            again = {(s.item, s.order) for s in samples if s.value_keyed > 3.2}
            return [
                r.model_copy(update={"doc": r.doc.model_copy(update={"repeat": 1})})
                for r in self.requests(0) if (r.doc.item, r.doc.order) in again
            ]  # fmt: skip

        def grade(self, sample: Any) -> Any:
            return self.inner.grade(sample)

        def summarise(self, facts: Any, samples: Any) -> Any:
            raise NotImplementedError

    made = prepare(plan(tmp_path, tasks=("asking",)), Given(tasks={"asking": Asking()}))
    found = []
    for mix in (False, True):
        prepared = made.model_copy(update={"plan": made.plan.model_copy(update={"mix_conditions": mix})})
        respondent = Scripted.make(made.spec, made.plan.options())
        folder = RunFolder(tmp_path / str(mix))
        with folder.open() as held:
            found.append(administer(prepared, respondent, folder, held, Quiet(), print)["asking"])
    assert found[0] == found[1]
    asked = Counter(sample.condition for sample in found[0])
    assert len(asked) == 9 and len(set(asked.values())) > 1 and min(asked.values()) >= 8


def test_what_two_conditions_ask_alike_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = Scripted.run_mixed
    monkeypatch.setattr(
        Scripted, "run_mixed", lambda me, some, done=(): asked.append(len(some)) or plain(me, some, done)
    )

    class Sum(Quiet):
        total = 0

        def done(self, requests: int) -> None:
            self.total += requests

    made = prepare(plan(tmp_path, limit=4, scoring=("choice",), target="extraversion=high", mix_conditions=True))
    (told, control), requests = made.conditions[1], made.requests["mini_ipip"]
    twice = made.model_copy(update={"conditions": [*made.conditions, (told.model_copy(update={"name": "b"}), control)]})
    found = {}
    for prepared in (made, twice):
        folder, progress = RunFolder(tmp_path / str(len(prepared.conditions))), Sum()
        with folder.open() as held:
            respondent = Scripted.make(made.spec, made.plan.options())
            rows = administer(prepared, respondent, folder, held, progress, print)["mini_ipip"]
        assert progress.total == len(rows) == len(prepared.conditions) * len(requests)
        found = {name: [row.value_keyed for row in rows if row.condition == name] for name in (told.name, "b")}
    assert found["b"] == found[told.name] and len(set(asked)) == 1 and asked[0] == 2 * len(requests)


def test_a_prompt_that_is_too_long_under_the_last_condition_alone_is_found(tiny: Any, tmp_path: Path) -> None:
    """Short under the first control and too long under the last."""
    model = {"model": str(tiny("gpt2")), "model_args": {}, "device": "cpu", "method": "none", "scoring": ("choice",)}
    made = prepare(plan(tmp_path, limit=2, **model))
    ((condition, control),) = made.conditions
    wordy = control.model_copy(update={"messages": (Message(role="system", content="I worry. " * 400),)})
    prepared = made.model_copy(update={"conditions": [(condition, control), (condition, wordy)]})
    backend = HuggingFace.make(made.spec, made.plan.options())
    check_lengths(made, backend)
    with pytest.raises(BadData, match="does not fit"):
        check_lengths(prepared, backend)


def test_lengths_are_looked_at_before_anything_is_fitted_and_again_with_what_was(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def watched(prepared: Any, backend: Any) -> None:
        seen.append(len(prepared.conditions))
        check_lengths(prepared, backend)

    monkeypatch.setattr("traitbench.runs.evaluate.check_lengths", watched)
    model = {"model": str(tiny("gpt2")), "model_args": {}, "device": "cpu", "scoring": ("statement",), "limit": 2}
    evaluate(plan(tmp_path, method="none", **model), Quiet(), print)
    assert seen == [1]
    how = {"method": "residual", "method_args": {"layer": 0, "strength": 1.0}}
    evaluate(plan(tmp_path, target="extraversion=high", **how, **model), Quiet(), print)
    assert seen == [1, 1, 2]


def _samples(results: Path) -> bytes:
    return next(results.parent.glob("samples_*.jsonl")).read_bytes()
