"""Judges: who says how much of a trait a written reply shows. JUDGES names those that are no language model.

A judge answers `Choose` requests of ours, so that any backend with log-probabilities can be one. It is told one
dimension a call, never whom the reply is from, what was aimed at or by which method. What it answers is kept like any
response and graded from what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitbench.catalog import Catalog
from traitbench.judges.grading import grade
from traitbench.judges.judge import Judge
from traitbench.judges.records import Text

__all__ = ["JUDGES", "Judge", "Text", "grade", "named"]

JUDGES: Catalog[type[Judge]] = Catalog("judge", {
    "scorer:text": "traitbench.judges.scorers:TextScorer",
})  # fmt: skip
"""Judges that are no language model."""


def named(name: str, arguments: Mapping[str, Any]) -> Judge:
    """Make the judge that `name` stands for: one of JUDGES, else a model as `--model` takes it; nothing is loaded.

    `arguments` are for a model's backend, as --model_args. UnknownName for a name that is none.
    """
    if name in JUDGES:
        return JUDGES.load(name).make(name, arguments)
    from traitbench.judges.models import ModelJudge

    return ModelJudge.make(name, arguments)
