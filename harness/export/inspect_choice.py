"""Choice by log-probabilities in Inspect: what our own model is asked for, and what any model shows of the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from traitbench.backends.endpoint.client import Malformed
from traitbench.backends.endpoint.scoring import beside, bounded
from traitbench.errors import BadData, UnsupportedControl
from traitbench.types import Record

__all__ = ["EXACT", "Asked", "asked", "options_of"]

EXACT = "option_logprobs"
"""In the metadata of our own model's output: the log-probability of each option that was asked for."""

_Shown = tuple[Sequence[float | None], Sequence[float] | None]


class Asked(Record):
    """What our tasks ask of our own model, in the `extra_body` of Inspect's settings."""

    options: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = Field(min_length=1)
    """Per option its spellings; their exact log-probabilities are wanted."""
    cue: str = ""
    """What precedes the answer where there is no chat template."""


def asked(body: Mapping[str, Any] | None) -> Asked | None:
    """Read `extra_body`; None where there is none. UnsupportedControl for anything that is not ours."""
    if not body:
        return None
    try:
        return Asked.model_validate(body)
    except ValidationError:
        raise UnsupportedControl(
            f"this provider does not take an extra_body with {', '.join(map(str, body))}; expected options, each a "
            "list of its spellings, and a cue at most, or none"
        ) from None


def options_of(output: Any, options: Sequence[Sequence[str]]) -> _Shown | None:
    """Log-probability of each option by a ModelOutput and, where not all is shown, the most that each can have.

    None where there is no answer (a content filter). BadData where the model shows no log-probabilities.
    """
    exact = (output.metadata or {}).get(EXACT)
    if exact is not None:
        return exact, None
    if not output.choices or output.choices[0].stop_reason == "content_filter":
        return None
    logprobs = output.choices[0].logprobs
    try:
        return bounded(beside(logprobs.content[0].model_dump() if logprobs else {}), options)
    except (IndexError, KeyError, TypeError, ValueError, Malformed):
        raise BadData(
            f"{output.model} shows no log-probabilities of its first token, which scoring=choice needs; use -T "
            "scoring=generate, or a model whose provider in Inspect takes top_logprobs"
        ) from None
