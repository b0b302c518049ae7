"""Answers as paths through a trie of tokens: what to ask at its inner nodes, and options from what was answered.

An option is likely as all its spellings together, and a spelling is the product of its tokens' probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from traitbench.backends.rendering import Tokens

__all__ = ["along", "nodes", "pooled"]

MOST = 128
"""Tokens that vLLM takes in one request (its limit of logprob_token_ids)."""

Node = tuple[Tokens, Tokens]
"""The tokens of an answer so far, and those that may follow."""


def nodes(answers: Iterable[Tokens]) -> list[Node]:
    """What to ask so that the probability of every answer is known, a node before those below it."""
    children: dict[Tokens, dict[int, None]] = {}
    for answer in answers:
        for place, token in enumerate(answer):
            children.setdefault(answer[:place], {})[token] = None
    found = []
    for path, tokens in children.items():
        every = tuple(tokens)
        found += [(path, every[start : start + MOST]) for start in range(0, len(every), MOST)]
    return found


def along(answers: Iterable[Tokens], found: Mapping[Tokens, float]) -> dict[Tokens, float]:
    """Log-probability of each answer: the sum of `found` (path with its last token -> nats) along it."""
    return {answer: math.fsum(found[answer[: place + 1]] for place in range(len(answer))) for answer in answers}


def pooled(options: Iterable[Iterable[Any]], logprobs: Mapping[Any, float] | Sequence[float]) -> tuple[float, ...]:
    """Log-probability of each option, from those of its spellings; an option holds their keys in `logprobs`."""
    return tuple(float(np.logaddexp.reduce([logprobs[key] for key in option])) for option in options)
