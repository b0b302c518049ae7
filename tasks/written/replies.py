"""Written replies before any judge: the status of each, what judges are given of them, and how fluent they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from traitbench.judges.records import Text
from traitbench.judges.texts import status_of
from traitbench.samples import Grade, Sample
from traitbench.types import BIG_FIVE, Doc, Record, Status

__all__ = ["READABLE", "Replies", "grade", "replies", "texts", "written"]

READABLE: tuple[Status, ...] = ("valid", "truncated")
"""Replies that judges are given."""
_STATUS: Mapping[str, Status] = {
    "empty": "empty", "repetitive": "repetitive", "other_language": "foreign", "refusal": "refusal",
}  # fmt: skip


class Replies(Record):
    """What one condition wrote, as far as it can be told without a judge."""

    n: int
    statuses: dict[str, int]
    """Status -> replies. Judged are those that are valid, or truncated: cut off at the longest that was allowed."""
    tokens: float | None
    """Mean length of the judged ones."""
    cut: float | None
    """Share of the judged ones that were cut off."""
    distinct: float | None
    """Share of distinct pairs of neighbouring words within a reply, mean over the judged ones (Li et al. 2016)."""
    varied: float | None
    """The same over all judged replies together: low where every question gets the same words."""

    def share(self, status: str) -> float | None:
        """Share of all replies that have a status."""
        return self.statuses.get(status, 0) / self.n if self.n else None


def written(samples: Sequence[Sample]) -> list[Sample]:
    """The replies among the samples, without what judges said of them."""
    return [s for s in samples if s.scoring == "generate" and s.judge is None]


def grade(sample: Sample) -> Grade:
    """Say what became of a reply, by rules that are the same on every machine. It has no value of its own."""
    text = str(sample.resps[0][0] or "")
    found = _STATUS.get(status_of(text, str(sample.doc.get("text") or "")))
    return Grade(status=found or ("truncated" if sample.cut else "valid"))


def texts(samples: Sequence[Sample], questions: Mapping[str, str]) -> list[Text]:
    """What judges are given: every reply that can be read, on its own trait and then on the other four.

    `questions`: item -> what was asked. Nothing tells which condition, method or model a reply is of.
    """
    return [
        Text(
            doc=Doc.model_validate({name: getattr(row, name) for name in Doc.model_fields}),
            question=questions[row.item],
            text=str(row.resps[0][0]),
            dimensions=(row.trait, *(trait for trait in BIG_FIVE if trait != row.trait)),
        )
        for row in written(samples)
        if row.status in READABLE
    ]


def replies(rows: Sequence[Sample]) -> Replies:
    """Sum up what one condition wrote."""
    read = [row for row in rows if row.status in READABLE]
    pairs = [_pairs(str(row.resps[0][0])) for row in read]
    every = [pair for mine in pairs for pair in mine]
    told = [row.tokens for row in read if row.tokens is not None]
    return Replies(
        n=len(rows),
        statuses=dict(sorted(Counter(row.status for row in rows).items())),
        tokens=fmean(told) if told else None,
        cut=sum(row.status == "truncated" for row in read) / len(read) if read else None,
        distinct=fmean(len(set(mine)) / len(mine) for mine in pairs if mine) if every else None,
        varied=len(set(every)) / len(every) if every else None,
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    words = text.casefold().split()
    return list(pairwise(words))
