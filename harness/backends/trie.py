"""The trie of a Choose: each inner node is one request for one token, and an option is the sum along its path.

A request may name at most 128 tokens whose log-probabilities it wants; a node with more children is asked in parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from traitbench.backends.rendering import Tokens

__all__ = ["Node", "nodes", "summed"]

MOST = 128
"""Tokens a request (vLLM's limit of logprob_token_ids)."""

Node = tuple[Tokens, Tokens]
"""The tokens of an answer so far, and those that may follow."""


def nodes(options: Sequence[Sequence[Tokens]]) -> list[Node]:
    """What to ask so that the probability of every spelling of every option is known."""
    children: dict[Tokens, dict[int, None]] = {}
    for spellings in options:
        for answer in spellings:
            for place, token in enumerate(answer):
                children.setdefault(answer[:place], {})[token] = None
    found = []
    for path, tokens in children.items():
        every = tuple(tokens)
        found += [(path, every[start : start + MOST]) for start in range(0, len(every), MOST)]
    return found


def summed(options: Sequence[Sequence[Tokens]], found: Mapping[Tokens, float]) -> tuple[float, ...]:
    """Log-probability of each option: of its spellings, each the sum of `found` (path with its token -> nats)."""
    out = []
    for spellings in options:
        each = [math.fsum(found[answer[: place + 1]] for place in range(len(answer))) for answer in spellings]
        top = max(each)
        out.append(top + math.log(math.fsum(math.exp(one - top) for one in each)) if top > -math.inf else top)
    return tuple(out)
