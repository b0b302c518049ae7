"""Samples: responses as they are kept on disk, one a line, each graded from what was kept and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from traitbench.statistics.style import Answer
from traitbench.tasks.scoring import choice_value, parse_reply
from traitbench.types import Choose, Continue, Mode, Record, Request, Response, Status, Trait, Write

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["Condition", "Sample", "answer", "make_sample", "regrade", "without_texts"]


class Condition(Record):
    """What a model was made to be: the baseline, or one target of the method at one strength."""

    name: str
    target: str | None = None
    levels: dict[Trait, float] = {}
    person: str | None = None
    """Id of the person aimed at."""
    coef: float | None = None
    """Strength of the control's edits, in the method's own unit."""
    headline: bool = True
    """Whether the control is as the method made it; else it is a point of the dose curve or a part of the control."""
    variant: Literal["prompt only", "shift only"] | None = None
    """Which part of the control it is."""
    perplexity: float | None = None
    """On neutral text under the edits, over the baseline's."""
    dose: float | None = None
    """Size of the edits beside the activations that they change, on neutral text."""
    profile: bool = False
    """One of a set of targets whose levels were drawn independently; they are analysed together."""
    control_hash: str | None = None


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
    seed: int
    control_hash: str | None = None
    option_logprobs: list[float] | None = None
    """As presented; natural log of the summed probability of an option's variants."""
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


def make_sample(
    request: Request,
    response: Response,
    condition: Condition,
    inventory: Inventory,
    prompt: str,
    seed: int,
) -> Sample:
    """Put a response and the cell of the grid it answers into one line, graded."""
    item = next(i for i in inventory.items if i.id == request.doc.item)
    arguments = [prompt, request.text] if isinstance(request, Continue) else [prompt]
    kept: list[Any] = list(response.option_logprobs or ()) or [
        response.loglik if isinstance(request, Continue) else response.text
    ]
    sample = Sample(
        doc_id=item.number - 1,
        doc={"id": item.id, "text": item.text},
        doc_hash=item.text_hash,
        arguments=arguments,
        resps=[kept],
        filtered_resps=[],
        prompt_hash=response.prompt_hash or hashlib.sha256(prompt.encode()).hexdigest(),
        condition=condition.name,
        target=condition.target,
        coef=condition.coef,
        control_hash=condition.control_hash,
        seed=request.seed or seed,
        option_logprobs=list(response.option_logprobs) if response.option_logprobs else None,
        option_values=list(request.values) if isinstance(request, Choose | Write) else None,
        loglik=response.loglik,
        tokens=response.tokens,
        cut=response.status == "truncated",
        status=response.status,
        **request.doc.model_dump(),
    )
    return regrade(sample, inventory)


def regrade(sample: Sample, inventory: Inventory) -> Sample:
    """Compute status, option mass and values again from the kept response; the stored ones do not matter."""
    status, raw, mass = sample.status, None, None
    if sample.status == "error":
        pass
    elif sample.scoring == "statement":
        raw = sample.loglik / sample.tokens if sample.loglik is not None and sample.tokens else None
    elif sample.scoring == "choice" and sample.option_logprobs and sample.option_values:
        raw, mass, _ = choice_value(sample.option_logprobs, sample.option_values)
    elif sample.scoring == "generate" and sample.option_values:
        reply = sample.resps[0][0] or ""
        status, value = parse_reply(reply, _labels(sample, inventory), sample.option_values, sample.cut)
        raw = None if value is None else float(value)
    elif sample.scoring == "generate":
        status = _free(sample)
    keyed = None
    if raw is not None and sample.scoring != "statement":
        keyed = raw if sample.keyed == 1 else inventory.reverse(raw)
    return sample.model_copy(
        update={
            "status": status,
            "value_raw": raw,
            "value_keyed": keyed,
            "option_mass": mass,
            "filtered_resps": [raw if raw is not None else status],
        }
    )


def _free(sample: Sample) -> Status:
    """A reply in one's own words has no value; an empty one is no answer."""
    return "unparsed" if not str(sample.resps[0][0] or "").strip() else "truncated" if sample.cut else "valid"


def _labels(sample: Sample, inventory: Inventory) -> list[tuple[str, str]]:
    from traitbench.tasks.questionnaire import presented_options

    return list(presented_options(inventory, sample.symbols or "letters", sample.order or "forward")[0])


def answer(sample: Sample) -> Answer:
    """Reduce a choice or generate sample to what response style looks at."""
    shares: Sequence[float] | None = None
    values = sample.option_values or []
    if sample.status == "valid" and sample.scoring == "choice" and sample.option_logprobs:
        shares = choice_value(sample.option_logprobs, values)[2]
    elif sample.status == "valid" and sample.value_raw is not None:
        shares = [float(v == sample.value_raw) for v in values]
    return Answer(
        item=sample.item, trait=sample.trait, keyed=sample.keyed, order=sample.order or "forward",
        status=sample.status, shares=shares, values=values, mass=sample.option_mass,
    )  # fmt: skip


def without_texts(sample: Sample) -> Sample:
    """Drop the item's words, keeping id and hashes: what may be published of a restricted instrument."""
    return sample.model_copy(update={"doc": {"id": sample.item}, "arguments": []})
