"""A task with written replies for tests: the questions of calibration.json, so that planted judges know the poles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from traitbench.judges.pairs import PairCheck, checks, tables
from traitbench.judges.records import Text
from traitbench.judges.trials import texts
from traitbench.samples import Grade, Sample
from traitbench.tables import Table
from traitbench.tasks.administration import Administration
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.task import Task
from traitbench.tasks.views import Views
from traitbench.types import Doc, Message, Record, Request, Write


class Question(Record):
    """What is asked."""

    id: str
    number: int
    text: str
    trait: str

    @property
    def text_hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


class RepliesBlock(Block):
    kind: Literal["replies"] = "replies"
    pairs: list[PairCheck] = []
    judged: dict[str, float] = {}

    def metrics(self) -> dict[str, dict[str, float | None]]:
        return {name: {"judged,generate": value} for name, value in self.judged.items()}


class RepliesViews(Views):
    def tables(self, task: str, block: Block, facts: Facts) -> list[Table]:
        assert isinstance(block, RepliesBlock)
        return tables(block.pairs)


def written(messages: Sequence[Any]) -> str:
    """What a writer with known traits says: the reply of the pole that its instruction names, alternating without."""
    asked = " ".join(str(message["content"]) for message in messages)
    for place, pair in enumerate(texts().pairs):
        if pair.question in asked:
            high = "HIGH" in asked or ("LOW" not in asked and place % 2 == 0)
            return pair.high if high else pair.low
    return "I do not know."


class Replies(Task):
    """Questions about two traits."""

    id = "replies"
    traits = ("openness", "extraversion")
    judged = True

    def __init__(self, administration: Administration) -> None:
        found = [pair for pair in texts().pairs if pair.trait in self.traits]
        self.items = [
            Question(id=f"q{n}", number=n, text=pair.question, trait=pair.trait) for n, pair in enumerate(found, 1)
        ][: administration.limit]

    @classmethod
    def block(cls) -> type[Block]:
        return RepliesBlock

    @classmethod
    def views(cls) -> Views:
        return RepliesViews()

    def requests(self, seed: int) -> list[Request]:
        return [
            Write(
                doc=Doc(task=self.id, scoring="generate", item=item.id, trait=item.trait, facet=None, keyed=1),
                messages=(Message(role="user", content=item.text),), max_tokens=80,
            )
            for item in self.items
        ]  # fmt: skip

    def to_judge(self, samples: Sequence[Sample]) -> list[Text]:
        asked = {item.id: item for item in self.items}
        return [
            Text(
                doc=Doc(**{name: getattr(sample, name) for name in Doc.model_fields}),
                question=asked[sample.item].text, text=str(sample.resps[0][0]), dimensions=(sample.trait,),
            )
            for sample in samples
            if sample.status == "valid"
        ]  # fmt: skip

    def grade(self, sample: Sample) -> Grade:
        return Grade(status="valid" if sample.resps[0][0] else "empty")

    def summarise(self, facts: Facts, samples: Sequence[Sample]) -> Block:
        judged: dict[str, list[float]] = {}
        for sample in samples:
            if sample.judge is not None and sample.against is None and sample.value_raw is not None:
                judged.setdefault(sample.condition, []).append(sample.value_raw)
        means = {name: sum(values) / len(values) for name, values in judged.items()}
        return RepliesBlock(pairs=checks(samples, facts.conditions), judged=means)
