"""What a run keeps of lm-eval's tasks: a line a document and condition, and a part of the results file."""

from __future__ import annotations

from typing import Literal

from traitbench.tasks.board import Capability
from traitbench.types import Record

__all__ = ["Delta", "Graded", "Measured", "Measurement", "SideEffects"]


class Graded(Record):
    """A line of side_effects_*.jsonl: one document under one condition, as lm-eval graded it."""

    task: str
    """lm-eval's name."""
    doc_id: int
    doc_hash: str
    """lm-eval's, of the document alone: the same under every condition."""
    condition: str
    fit: int | None = None
    """Which fit of the control, from 0; null where there is one."""
    control_hash: str
    metrics: dict[str, float]
    """"metric,filter" -> the document's value; of a perplexity its log-likelihood in nats."""


class Measured(Record):
    """A metric of a task under one condition, by lm-eval's own aggregation; of several fits the mean."""

    value: float | None
    stderr: float | None = None
    """lm-eval's; null where it has none, and of several fits."""
    n: int
    """Documents."""


class Delta(Record):
    """What a control did to a metric: over the same documents, controlled minus plain."""

    condition: str
    target: str | None
    metric: str
    """"metric,filter"."""
    measure: Literal["mean", "log-likelihood"] = "mean"
    """What differs: the documents' mean, or, where lm-eval tells a perplexity, their mean log-likelihood in nats."""
    better: bool | None = None
    """Whether more of it is better; null where lm-eval does not say."""
    delta: float | None
    """Null where `reason` says why."""
    se: float | None = None
    ci: tuple[float, float] | None = None
    """95 %, paired."""
    n: int = 0
    """Documents with a value under both."""
    missing: int = 0
    p: float | None = None
    """Two-sided, of no difference."""
    p_holm: float | None = None
    """The same, adjusted for all targets of the task and metric (Holm 1979)."""
    covers: list[str] = []
    """What was drawn at random in the interval: items (documents), fits."""
    reason: str = ""


class Measurement(Record):
    """One task of lm-eval, or a group of them."""

    kind: Literal["task", "group"]
    version: str
    task_hash: str | None = None
    """Digest of the task's configuration; null of a group."""
    output_type: str | None = None
    n_shot: int | None = None
    documents: int | None = None
    """How many the task has; fewer may have been asked. Null of a group."""
    higher_is_better: dict[str, bool | None] = {}
    """Metric -> whether more is better."""
    aggregation: dict[str, str] = {}
    """Metric -> the name of lm-eval's aggregation over documents; of a group `size` or `equal`: how tasks count."""
    members: list[str] = []
    """Of a group: all its tasks."""
    metrics: dict[str, dict[str, Measured]]
    """"metric,filter" -> condition -> its value."""
    deltas: list[Delta] = []


class SideEffects(Record):
    """What the controls of a run did to lm-eval's tasks (`--side_effects`)."""

    lm_eval: str
    """Version."""
    asked: list[str]
    """As --side_effects names them."""
    shown: list[str]
    """The tasks and groups that these stand for."""
    limit: int | None
    """Documents a task (`--side_effects_limit`)."""
    chat_template: bool
    """Whether the tasks were put into the model's chat template."""
    tasks: dict[str, Measurement]
    capability: Capability | None = None
    """The mean change of accuracy over tasks and targets; null without a target or a task that has an accuracy."""
    sha256: str = ""
    """Of the lines of side_effects_*.jsonl, uncompressed."""
