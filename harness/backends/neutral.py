"""Neutral prose: passages on which it is measured whether a model reads, and what a control does to its language.

The passages are our own: descriptions of things and processes, without a speaker and without a word about anybody's
character, so that a control that only changes a personality has no reason to make them less likely.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from traitbench.errors import BadData
from traitbench.types import Continue, Doc, Message, Response

__all__ = ["FEW", "a_word", "passages", "perplexity", "requests"]

ASK = "Please write a short passage for an encyclopaedia or a textbook."
FEW = 4
"""Passages that tell whether a model reads at all: SmolLM2 is at 60.6 a word on them, on all sixteen at 67.7."""
_LARGEST = 700.0
"""Nats a token that are told apart from more: exp of it is near the largest float."""


@cache
def passages() -> tuple[str, ...]:
    """Read neutral.json: sixteen passages of 25 to 45 words."""
    return tuple(json.loads(files("traitbench.backends").joinpath("neutral.json").read_text(encoding="utf-8")))


def requests() -> list[Continue]:
    """Ask for the likelihood of each passage as the model's own reply, all behind one and the same prompt."""
    messages = (Message(role="user", content=ASK),)
    return [
        Continue(
            doc=Doc(task="neutral_text", scoring="statement", item=f"n{n}", trait="neutral", facet=None, keyed=1),
            messages=messages,
            cue="Answer:",
            text=text,
        )
        for n, text in enumerate(passages(), 1)
    ]


def perplexity(responses: Iterable[Response]) -> float:
    """Return exp(-sum of log-likelihoods / sum of tokens) over `responses` to `requests`: each token weighs alike.

    A model that has broken down (a likelihood that is not finite, or below exp(-700) a token) counts as exp(700).
    BadData where a response holds no likelihood: over other texts the figure could not be compared.
    """
    nats, tokens = 0.0, 0
    for response in responses:
        if response.loglik is None or not response.tokens:
            raise BadData(
                f"a neutral passage was answered with status {response.status!r} and no likelihood"
                f"{f' ({response.error})' if response.error else ''}; expected a backend that answers Continue requests"
            )
        nats -= response.loglik
        tokens += response.tokens
    if not tokens:
        raise BadData("no response to a neutral passage; expected one for each of neutral.requests()")
    return _exp(nats / tokens)


def floored(response: Response) -> Response:
    """The response as it can be kept: a likelihood that is not finite is the lowest that counts (`perplexity`)."""
    if response.loglik is None or math.isfinite(response.loglik):
        return response
    return response.model_copy(update={"loglik": -_LARGEST * (response.tokens or 1)})


def a_word(asked: Iterable[Continue], responses: Iterable[Response]) -> float | None:
    """Return the perplexity a word over responses to `asked`, which no tokenizer has a part in; None without all."""
    nats, words = 0.0, 0
    for request, response in zip(asked, responses, strict=True):
        if response.loglik is None:
            return None
        nats -= response.loglik
        words += len(request.text.split())
    return _exp(nats / words)


def _exp(mean: float) -> float:
    return math.exp(min(mean, _LARGEST)) if math.isfinite(mean) else math.exp(_LARGEST)
