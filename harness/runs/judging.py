"""Judges at work: what a task's replies are worth is asked while the model answers the next condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from traitbench.errors import BadData, UnsupportedControl
from traitbench.judges import Judge, Text, grade, named
from traitbench.progress import Progress
from traitbench.runs.plan import Prepared
from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.store import RunFolder
from traitbench.tasks.task import Task
from traitbench.types import Choose, Response

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
    judges = [named(name, plan.judge_args) for name in plan.judge or JUDGES]
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
    ) -> None:
        """Take who judges, and where responses are kept: `held` is key -> response of all that there are."""
        self.judges = judges
        self._tasks, self._folder, self._held, self._seed = tasks, folder, held, seed
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")
        self._work: list[Future[list[Sample]]] = []

    def __enter__(self) -> Self:
        for judge in self.judges:
            judge.open(self._seed)
        return self

    def __exit__(self, *_: Any) -> None:
        # The batch under way is kept; what was not begun is asked when the run goes on.
        self._pool.shutdown(wait=True, cancel_futures=True)
        for judge in self.judges:
            judge.close()

    @property
    def cards(self) -> dict[str, dict[str, Any]]:
        """Judge -> what a reader must know of it."""
        return {judge.name: judge.card for judge in self.judges}

    def begin(self, conditions: Sequence[Condition], rows: Sequence[Sample]) -> None:
        """Take all samples of some conditions; returns at once."""
        for condition in conditions if self.judges else ():
            mine: dict[str, list[Sample]] = defaultdict(list)
            for row in rows:
                if (row.condition, row.fit) == (condition.name, condition.fit):
                    mine[row.task].append(row)
            for name, samples in mine.items():
                if texts := self._tasks[name].to_judge(samples):
                    self._work.append(self._pool.submit(self._judge, condition, self._tasks[name], texts))

    def finish(self, progress: Progress) -> list[Sample]:
        """Wait for everything that was begun; return the judgements, condition by condition."""
        step = progress.begin("judging", len(self._work)) if self._work else None
        out = []
        for work in self._work:
            out += work.result()
            if step:
                step(1)
        return out

    def _judge(self, condition: Condition, task: Task, texts: Sequence[Text]) -> list[Sample]:
        items = {item.id: item for item in task.items}
        out = []
        for judge in self.judges:
            asked = [r for text in texts for dimension in text.dimensions for r in judge.ratings(text, dimension)]
            for request, response in zip(asked, self._answers(judge, asked), strict=True):
                item = items[request.doc.item]
                made = make_sample(request, response, condition, item, judge.prompt(request), self._seed)
                # The reply stands in a sample of its own, and the rubric in the card: its hash is enough.
                out.append(graded(made.model_copy(update={"arguments": []}), grade(made)))
        return out

    def _answers(self, judge: Judge, asked: Sequence[Choose]) -> list[Response]:
        """What `judge` answers, each request of one content asked once."""
        keys = [judge.key(request) for request in asked]
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        once = sorted(first.values())
        done = {n for n, place in enumerate(once) if keys[place] in self._held}
        if len(done) < len(once):
            for batch in judge.answer([asked[place] for place in once], done):
                new = {keys[once[n]]: r for n, r in batch.items() if keys[once[n]] not in self._held}
                self._folder.append(new)
                self._held.update(new)
        if missing := [place for place in once if keys[place] not in self._held]:
            raise BadData(f"the judge {judge.name} left request {missing[0]} of {len(asked)} unanswered")
        return [self._held[key] for key in keys]
