"""Samples: responses as they are kept on disk, one a line."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import Field

from traitbench.errors import TraitbenchUsage
from traitbench.types import Choose, Continue, Doc, Mode, Record, Request, Response, Status, Trait, Write, prompt_hash

__all__ = ["BASELINE", "Condition", "Grade", "Item", "Sample", "graded", "make_sample", "without_texts"]


BASELINE = "baseline"
"""The condition without a control."""


class Condition(Record):
    """What a model was made to be: the baseline, or one target of the method at one strength."""

    name: str
    target: str | None = None
    levels: dict[Trait, float] = {}
    person: str | None = None
    """Id of the person aimed at."""
    coef: float | None = None
    """Strength of the control's edits, in the method's own unit; null where fits chose different ones."""
    headline: bool = True
    """Whether the control is as the method made it; else it is a point of the dose curve or a part of the control."""
    variant: Literal["prompt only", "shift only"] | None = None
    """Which part of the control it is."""
    perplexity: float | None = None
    """On neutral text under the edits, over the baseline's; of several fits the mean."""
    dose: float | None = None
    """Size of the edits beside the activations that they change, on neutral text."""
    profile: bool = False
    """One of a set of targets whose levels were drawn independently; they are analysed together."""
    control_hash: str | None = None
    """Null where several fits answered; each sample has its own."""
    fit: int | None = Field(default=None, exclude=True)
    """Which fit of the control, from 0, while a run is made (`--fit_seeds`); null where there is one, and in results,
    which hold a condition once."""

    @property
    def aim(self) -> str:
        """Which way it aims, in words of our own: high, low, a level, a person, or several traits at once."""
        if len(self.levels) != 1:
            return "person" if self.person is not None else "several"
        level = next(iter(self.levels.values()))
        return {1.0: "high", -1.0: "low"}.get(level, f"{level:g}")


class Sample(Record):
    """One response as it is kept: lm-eval's keys where they exist, and the cell of the grid it belongs to."""

    doc_id: int
    doc: dict[str, Any]
    """The item: id and, unless restricted, its text."""
    arguments: list[str]
    """The exact prompt and, for statements, the text that was scored; empty where only the hash is kept."""
    resps: list[Any]
    filtered_resps: list[Any]
    doc_hash: str
    prompt_hash: str
    task: str
    condition: str
    target: str | None = None
    coef: float | None = None
    scoring: Mode
    item: str
    trait: Trait
    facet: str | None = None
    keyed: Literal[1, -1]
    order: Literal["forward", "reverse"] | None = None
    symbols: Literal["letters", "numbers"] | None = None
    template: int
    respondent: int | None = None
    repeat: int
    judge: str | None = None
    """Whose answer it is, where it is not the model's: a judgement of the reply that stands in the same place, `trait`
    being what is judged and `order` which end of the scale came first."""
    against: str | None = None
    """Of a judgement that compares two replies: the condition of the second, in forward order."""
    context: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """What came before the question, by the task's own name for it; written where there is one."""
    rival: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a choice between two statements: trait of the first in forward order, with - in front where minus-keyed;
    `trait` and `keyed` are those of the second."""
    fit: int | None = None
    """Which fit of the control answered (`--fit_seeds`), from 0; null where there is one, or none."""
    seed: int
    control_hash: str | None = None
    option_logprobs: list[float | None] | None = None
    """As presented; natural log of the summed probability of an option's variants. Where only the likeliest tokens
    were shown, of the variants among them; null where there was none."""
    option_bounds: list[float] | None = None
    """As presented; the log of the most that an option can be, where only the likeliest tokens were shown."""
    option_values: list[int] | None = None
    """As presented; the value of each option on the response scale."""
    option_mass: float | None = None
    loglik: float | None = None
    tokens: int | None = None
    cut: bool = False
    """Generate: the reply ran into its length limit."""
    status: Status
    value_raw: float | None = None
    """Choice: expected value. Generate: the parsed value. Statement: nats a token."""
    value_keyed: float | None = None
    """`value_raw` with minus-keyed items reversed; null for statement, which has no absolute level."""
    value_bounds: tuple[float, float] | None = None
    """Choice with `option_bounds`: the least and the most that the expected value can be; `value_raw` is halfway."""
    sum: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """In a file: the beginning of the sha256 of what stands before it in the line. Null once it was read."""

    @property
    def place(self) -> Doc:
        """The cell of the grid that it belongs to."""
        held = Doc.model_fields.keys() & type(self).model_fields.keys()
        return Doc.model_validate({name: getattr(self, name) for name in held})


class Grade(Record):
    """What one response is worth."""

    status: Status
    value_raw: float | None = None
    """On the task's own scale; null where there is no answer. It is missing then, never replaced."""
    value_keyed: float | None = None
    """The same with minus-keyed items reversed, where there are any."""
    option_mass: float | None = None
    """Choose: probability of all options before renormalising; of those shown, where not all were."""
    value_bounds: tuple[float, float] | None = None
    """Choose: the least and the most that `value_raw` can be, where not all options were shown."""


class Item(Protocol):
    """Something that is asked, and asked about in every cell of the grid."""

    @property
    def id(self) -> str:
        """Unlike every other of the task."""

    @property
    def number(self) -> int:
        """Its place in the task, from 1."""

    @property
    def text(self) -> str | None:
        """Its words; None where they are not at hand."""

    @property
    def text_hash(self) -> str:
        """Names the words: what a method was fitted on is found by it."""


def make_sample(
    request: Request, response: Response, condition: Condition, item: Item, prompt: str, seed: int
) -> Sample:
    """Put a response and the cell of the grid it answers into one line, not yet graded."""
    arguments = [prompt, request.text] if isinstance(request, Continue) else [prompt]
    kept: list[Any] = list(response.option_logprobs or ()) or [
        response.loglik if isinstance(request, Continue) else response.text
    ]
    return Sample(
        doc_id=item.number - 1,
        doc={"id": item.id, "text": item.text},
        doc_hash=item.text_hash,
        arguments=arguments,
        resps=[kept],
        filtered_resps=[],
        prompt_hash=response.prompt_hash or prompt_hash(prompt),
        condition=condition.name,
        target=condition.target,
        coef=condition.coef,
        control_hash=condition.control_hash,
        fit=condition.fit,
        seed=request.seed or seed,
        option_logprobs=list(response.option_logprobs) if response.option_logprobs else None,
        option_bounds=list(response.option_bounds) if response.option_bounds else None,
        option_values=list(request.values) if isinstance(request, Choose | Write) else None,
        loglik=response.loglik,
        tokens=response.tokens,
        cut=response.status == "truncated",
        status=response.status,
        **request.doc.model_dump(),
    )


def graded(sample: Sample, grade: Grade) -> Sample:
    """The sample with its grade; one of a call that failed keeps that status and has no value.

    TraitbenchUsage where the task gave something else.
    """
    if not isinstance(grade, Grade):
        raise TraitbenchUsage(
            f"the task {sample.task}: grade gives {type(grade).__name__} {str(grade)[:60]!r} for the item "
            f"{sample.item}; expected a traitbench.Grade"
        )
    if sample.status == "error":
        grade = Grade(status="error")
    raw = grade.value_raw
    return sample.model_copy(update={**dict(grade), "filtered_resps": [raw if raw is not None else grade.status]})


def without_texts(sample: Sample) -> Sample:
    """Drop the item's words, keeping id and hashes: what may be published of a restricted instrument."""
    return sample.model_copy(update={"doc": {"id": sample.item}, "arguments": []})
