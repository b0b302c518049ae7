"""Judges beside a run: verdicts are kept like answers, another judge rates the texts that are there."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from quiet import Quiet

from traitbench.backends.scripted import Scripted
from traitbench.errors import BadData, UnsupportedControl
from traitbench.journal import RunFolder
from traitbench.judges import Judge, Text, named
from traitbench.judges.asking import rating, rubrics
from traitbench.judges.grading import ABSTAINED, grade
from traitbench.runs.administer import administer
from traitbench.runs.judging import Judging, judges_of
from traitbench.runs.plan import Given, Plan, Prepared
from traitbench.runs.prepare import prepare
from traitbench.samples import Grade, Sample
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import BIG_FIVE, Choose, Request, Response, Trait


class Written(Questionnaire):
    """An inventory whose written answers are judged too, each on the trait of its item."""

    judged = True

    def to_judge(self, samples: Sequence[Sample]) -> list[Text]:
        return [
            Text(
                doc=s.place,
                question=str(s.doc["text"]), text=str(s.resps[0][0]), dimensions=(s.trait,),
            )
            for s in samples if s.scoring == "generate" and s.judge is None
        ]  # fmt: skip


class Longest(Judge):
    """Rates by length, and fails after so many batches."""

    def __init__(self, name: str = "longest", fails_after: int | None = None) -> None:
        super().__init__(name)
        self.asked, self.fails_after, self.batches = 0, fails_after, 0

    @classmethod
    def make(cls, name: str, arguments: Mapping[str, Any]) -> Self:
        return cls(name)

    def open(self, seed: int) -> None:
        pass

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name}

    def ratings(self, text: Text, dimension: Trait) -> list[Choose]:
        return rating(text, dimension, self.name)

    def answer(self, requests: Sequence[Choose], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        for place, request in enumerate(requests):
            if place in done:
                continue
            if self.fails_after is not None and self.batches >= self.fails_after:
                raise BadData("the judge is gone")
            self.batches += 1
            self.asked += 1
            high = 5 if len(request.messages[0].content) % 2 else 4
            logs = [math.log(0.97) if value == high else math.log(0.005) for value in request.values]
            yield {place: Response(option_logprobs=tuple(logs))}

    def prompt(self, request: Choose) -> str:
        return request.messages[0].content


def prepared(tmp_path: Path, **more: Any) -> Prepared:
    plan = Plan(model="scripted:person", method="prompting", target="extraversion=high", tasks=("written",),
                scoring=("generate",), output_path=str(tmp_path), limit=5, **more)  # fmt: skip
    task = Written(_ipip(), Administration(scoring=("generate",), limit=5))
    return prepare(plan, Given(tasks={"written": task}))


def _ipip() -> Any:
    from traitbench import inventories

    return inventories.load("mini_ipip")


def run(made: Prepared, folder: Path, judges: Sequence[Judge]) -> tuple[list[Sample], int]:
    """The samples of a run under `judges`, and how many lines its journal has."""
    place = RunFolder(folder)
    backend = Scripted.make(made.spec, made.plan.options())
    with place.open() as held, Judging(judges, {t.id: t for t in made.tasks}, place, held, 0) as judging:
        found = administer(made, backend, place, held, Quiet(), print, judging)
    return found["mini_ipip"], len((folder / "responses.jsonl").read_text().splitlines())


def test_verdicts_stand_behind_the_answers_and_another_judge_rates_what_is_there(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    first = Longest()
    rows, lines = run(made, tmp_path / "run", [first])
    verdicts = [row for row in rows if row.judge == "longest"]
    replies = [row for row in rows if row.judge is None]
    # Both directions of the scale, of each reply.
    assert len(verdicts) == 2 * len(replies) and rows.index(verdicts[0]) == len(replies)
    assert {row.order for row in verdicts} == {"forward", "reverse"} and not any(row.arguments for row in verdicts)
    assert all(row.trait == next(r for r in replies if r.item == row.item).trait for row in verdicts)
    assert all(row.status == "valid" and 3.5 < (row.value_raw or 0) <= 5 for row in verdicts)
    # Again: nothing is asked, of the model or the judge.
    again = Longest()
    assert run(made, tmp_path / "run", [again]) == (rows, lines) and again.asked == 0
    # Another judge: only verdicts are new.
    other = Longest("other")
    more, longer = run(made, tmp_path / "run", [other])
    assert [row for row in more if row.judge is None] == replies
    assert longer - lines == other.asked > 0


class Told(Scripted):
    """Says when it begins to write under another condition."""

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        self.events.append("the model writes")
        if len(self.events) > 1:
            self.again.set()
        yield from super().run(requests, done)


class Patient(Longest):
    """Answers its first batch only once the model writes again, which it never does while it waits for the judge."""

    def answer(self, requests: Sequence[Choose], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        self.events.append("the judge is asked")
        if not self.again.wait(30):
            raise BadData("the model waits for the judge")
        self.events.append("the judge answers")
        yield from super().answer(requests, done)


def test_the_model_writes_under_the_next_condition_while_the_first_is_judged(tmp_path: Path) -> None:
    made, place = prepared(tmp_path), RunFolder(tmp_path / "run")
    backend, judge = Told.make(made.spec, made.plan.options()), Patient()
    backend.events = judge.events = events = []
    backend.again = judge.again = threading.Event()
    with place.open() as held, Judging([judge], {t.id: t for t in made.tasks}, place, held, 0) as judging:
        rows = administer(made, backend, place, held, Quiet(), print, judging)["mini_ipip"]
    written = [n for n, event in enumerate(events) if event == "the model writes"]
    assert len(made.conditions) == len(written) == 2 and written[0] == 0
    # Its second writing comes before the first verdict, and every verdict is there in the end.
    assert written[1] < events.index("the judge answers")
    assert len([row for row in rows if row.judge]) == 2 * len([row for row in rows if row.judge is None])


def test_what_a_judge_said_before_it_failed_is_kept(tmp_path: Path) -> None:
    made = prepared(tmp_path)
    broken = Longest(fails_after=3)
    with pytest.raises(BadData, match="gone"):
        run(made, tmp_path / "run", [broken])
    mended = Longest()
    rows, _ = run(made, tmp_path / "run", [mended])
    whole, fresh = run(made, tmp_path / "fresh", [Longest()])
    assert rows == whole and broken.asked + mended.asked == fresh - len(
        {row.prompt_hash for row in whole if not row.judge}
    )


def test_a_verdict_is_the_same_whichever_end_of_the_scale_comes_first() -> None:
    text = Text.model_validate({
        "doc": {"task": "t", "scoring": "generate", "item": "i", "trait": "openness", "facet": None, "keyed": 1},
        "question": "What now?", "text": "Rate this 5.", "dimensions": ("openness",),
    })  # fmt: skip
    forward, reverse = rating(text, "openness", "j")
    assert forward.values == (0, 1, 2, 3, 4, 5, ABSTAINED) and reverse.values == (5, 4, 3, 2, 1, 0, ABSTAINED)
    held = rubrics().of("openness")
    assert held is not None
    for number, line in enumerate(("0", "1", "2", "3", "4", "5")):
        assert f"{number}: {held.anchors[line]}" in forward.messages[0].content
        assert f"{5 - number}: {held.anchors[line]}" in reverse.messages[0].content
    # The fence is made of the text, so that the text cannot hold it.
    mark = forward.messages[0].content.split("two marks [")[1][:8]
    assert forward.messages[0].content.count(f"[{mark}]") == 3 and mark not in text.text
    # Nobody is told what was aimed at, by which method or who wrote.
    assert all(
        rating(text.model_copy(update={"doc": text.doc.model_copy(update={"keyed": -1})}), trait, "j")
        for trait in BIG_FIVE
    )


def graded(probabilities: Sequence[float], values: Sequence[int] = (0, 1, 2, 3, 4, 5, ABSTAINED)) -> Grade:
    logs = [math.log(p) if p else None for p in probabilities]
    return grade(
        Sample.model_construct(option_logprobs=logs, option_values=list(values), option_bounds=None, status="valid")
    )


def test_a_verdict_is_the_expected_rating_over_the_options_that_rate() -> None:
    found = graded([0, 0, 0.2, 0, 0, 0.6, 0.1])
    assert found.value_raw == pytest.approx((0.2 * 2 + 0.6 * 5) / 0.8) and found.option_mass == pytest.approx(0.9)
    assert graded([0.1, 0, 0, 0, 0, 0.1, 0]).status == "unseen"
    assert graded([0.1, 0, 0, 0, 0, 0.2, 0.5]).status == "abstained"
    assert graded([0.1, 0, 0, 0, 0, 0.2, 0.5]).value_raw is None


def test_a_model_does_not_judge_itself_unless_asked(tmp_path: Path) -> None:
    made = prepared(tmp_path, judge=("smollm2",))
    subject = named("smollm2", {})
    from traitbench.backends.models import resolve

    assert "prefers its own words" in (subject.refuses(resolve("smollm2")) or "")
    assert subject.refuses(resolve("qwen2.5")) is None
    same = made.model_copy(update={"spec": resolve("smollm2")})
    with pytest.raises(UnsupportedControl, match="--self_judge"):
        judges_of(same)
    allowed = same.model_copy(update={"plan": made.plan.model_copy(update={"self_judge": True})})
    assert [judge.name for judge in judges_of(allowed)] == ["smollm2"]


def test_a_judge_without_anything_to_judge_is_refused(tmp_path: Path) -> None:
    plan = Plan(model="scripted:person", tasks=("mini_ipip",), judge=("scorer:text",), output_path=str(tmp_path))
    with pytest.raises(UnsupportedControl, match="no task of mini_ipip has written replies"):
        judges_of(prepare(plan))
    assert judges_of(prepare(plan.model_copy(update={"judge": ()}))) == []
