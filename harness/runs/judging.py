"""Judges at work: what a task's replies are worth is asked while the model answers the next condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from traitbench.errors import UnsupportedControl
from traitbench.journal import RunFolder
from traitbench.judges import Ask, Judge, Text, grade, made
from traitbench.judges.asked import ask_once
from traitbench.judges.pairs import Pair, drawn
from traitbench.progress import Progress
from traitbench.runs.plan import Prepared
from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.tasks.task import Task
from traitbench.types import Response, Trait

__all__ = ["JUDGES", "Judging", "judges_of"]

JUDGES = ("scorer:text",)
"""Who judges where nobody is named."""


def judges_of(prepared: Prepared) -> list[Judge]:
    """Make the judges of a plan; none where no task has anything to be judged.

    UnsupportedControl where one of them is the model that is measured.
    """
    plan = prepared.plan
    if not any(task.judged for task in prepared.tasks):
        if plan.judge:
            raise UnsupportedControl(
                f"--judge {','.join(plan.judge)}: no task of {', '.join(plan.tasks)} has written replies to judge; "
                "leave it out, or add --tasks personality_bench"
            )
        return []
    judges = made(plan.judge or JUDGES, plan.judge_args)
    for judge in judges:
        if not plan.self_judge and (why := judge.refuses(prepared.spec)):
            raise UnsupportedControl(f"--judge: {why}")
    return judges


class Judging:
    """Asks judges in a thread of its own; what they answer is kept like any response, and nothing is asked twice."""

    def __init__(
        self,
        judges: Sequence[Judge],
        tasks: Mapping[str, Task],
        folder: RunFolder,
        held: dict[str, Response],
        seed: int,
        subject: str | None = None,
    ) -> None:
        """Take who judges, and where responses are kept: `held` is key -> response of all that there are.

        `subject` is the family of the model that writes, as far as it is known.
        """
        self.judges = judges
        self._subject = subject
        self._tasks, self._folder, self._held, self._seed = tasks, folder, held, seed
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._work: list[Future[list[Sample]]] = []
        self._texts: dict[str, list[tuple[Condition, list[Text]]]] = defaultdict(list)
        self._keys: dict[str, set[str]] = {judge.name: set() for judge in judges}

    def __enter__(self) -> Self:
        try:
            for judge in self.judges:
                judge.open(self._seed)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        # The batch under way is kept; what was not begun is asked when the run goes on.
        self._pool.shutdown(wait=True, cancel_futures=True)
        for judge in self.judges:
            judge.close()

    @property
    def cards(self) -> dict[str, dict[str, Any]]:
        """Judge -> what a reader must know of it, with its own cost and its calibration where there is one."""
        return {judge.name: self._card(judge) for judge in self.judges}

    def _card(self, judge: Judge) -> dict[str, Any]:
        from traitbench.judges import calibration  # brings statistics that a plan without judges never needs

        card = judge.card
        if judge.model:
            card["families"] = {"judge": judge.family, "subject": self._subject}
        if cost := judge.cost([self._held[key] for key in self._keys[judge.name]]):
            card["cost"] = cost
        if cited := calibration.cited(card):
            card["calibration"] = cited.model_dump(mode="json")
        return card

    @property
    def notes(self) -> list[str]:
        """Which judges are of the family of the model that writes."""
        return [
            f"the judge {judge.name} is of the model's own family ({judge.family}), whose words it may prefer; add one "
            "of another family"
            for judge in self.judges
            if judge.model and judge.family is not None and judge.family == self._subject
        ]

    @property
    def others(self) -> list[Response]:
        """What is kept and is no judge's, so the model's own."""
        mine = set().union(*self._keys.values())
        return [response for key, response in self._held.items() if key not in mine]

    def begin(self, conditions: Sequence[Condition], rows: Sequence[Sample]) -> None:
        """Take all samples of some conditions; returns at once."""
        for condition in conditions if self.judges else ():
            mine: dict[str, list[Sample]] = defaultdict(list)
            for row in rows:
                if (row.condition, row.fit) == (condition.name, condition.fit):
                    mine[row.task].append(row)
            for name, samples in mine.items():
                if texts := self._tasks[name].to_judge(samples):
                    self._texts[name].append((condition, texts))
                    self._work.append(self._pool.submit(self._rate, condition, self._tasks[name], texts))

    def finish(self, progress: Progress) -> list[Sample]:
        """Wait for all that was begun, and compare replies of high, low and baseline; return all judgements.

        What a judge could not be asked is raised here, when the model has answered everything and that is kept.
        """
        for name, texts in self._texts.items():
            for trait, pairs in drawn(texts, self._seed).items():
                self._work.append(self._pool.submit(self._compare, self._tasks[name], trait, pairs))
        step = progress.begin("judging", len(self._work)) if self._work else None
        out = []
        for work in self._work:
            out += work.result()
            if step:
                step(1)
        return out

    def _rate(self, condition: Condition, task: Task, texts: Sequence[Text]) -> list[Sample]:
        out = []
        for judge in self.judges:
            asked = [r for text in texts for dimension in text.dimensions for r in judge.ratings(text, dimension)]
            # Those of one dimension and direction begin alike, and a backend computes that once for neighbours.
            asked.sort(key=lambda request: (request.doc.trait, str(request.doc.order)))
            out += self._samples(judge, task, [(condition, request) for request in asked])
        return out

    def _compare(self, task: Task, trait: Trait, pairs: Sequence[Pair]) -> list[Sample]:
        out = []
        for judge in self.judges:
            asked = [
                (pair.condition, request)
                for pair in pairs
                for request in judge.comparisons(pair.first, pair.second, trait, pair.against)
            ]
            out += self._samples(judge, task, asked)
        return out

    def _samples(self, judge: Judge, task: Task, asked: Sequence[tuple[Condition, Ask]]) -> list[Sample]:
        items = {item.id: item for item in task.items}
        out = []
        answers = self._answers(judge, [request for _, request in asked])
        for (condition, request), response in zip(asked, answers, strict=True):
            item = items[request.doc.item]
            one = make_sample(request, response, condition, item, judge.prompt(request), self._seed)
            # The reply stands in a sample of its own, and the rubric in the card: its hash is enough.
            out.append(graded(one.model_copy(update={"arguments": []}), grade(one)))
        return out

    def _answers(self, judge: Judge, asked: Sequence[Ask]) -> list[Response]:
        """What `judge` answers, each request of one content asked once."""
        keys = [judge.key(request) for request in asked]
        self._keys[judge.name].update(keys)
        ask_once(judge, asked, keys, self._held, self._folder)
        return [self._held[key] for key in keys]
