"""Answers as paths through a trie of tokens, against probabilities multiplied out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pytest

from traitbench.backends.trie import MOST, along, nodes, pooled

Tokens = tuple[int, ...]


def every(options: Sequence[Sequence[Tokens]]) -> list[Tokens]:
    return list(chain(*options))


def test_a_trie_asks_each_inner_node_once() -> None:
    options: list[list[Tokens]] = [[(1,), (2, 3)], [(2, 4, 5)], [(2, 4, 6)]]
    assert nodes(every(options)) == [((), (1, 2)), ((2,), (3, 4)), ((2, 4), (5, 6))], "a node before those below it"


def test_an_option_is_the_sum_over_its_spellings_of_the_sums_along_their_paths() -> None:
    """Against probabilities multiplied out by hand."""
    p = {(1,): 0.2, (2,): 0.5, (2, 3): 0.25, (2, 4): 0.5, (2, 4, 5): 0.75, (2, 4, 6): 0.25}
    options: list[list[Tokens]] = [[(1,), (2, 3)], [(2, 4, 5)], [(2, 4, 6)]]
    found = pooled(options, along(every(options), {path: math.log(value) for path, value in p.items()}))
    assert np.exp(found) == pytest.approx([0.2 + 0.5 * 0.25, 0.5 * 0.5 * 0.75, 0.5 * 0.5 * 0.25])
    assert pooled([[(9,)]], {(9,): -math.inf}) == (-math.inf,)
    assert pooled([[0, 2], [1]], [math.log(0.2), math.log(0.5), math.log(0.1)]) == pytest.approx(
        [math.log(0.3), math.log(0.5)]
    )


def test_a_node_with_more_children_than_a_request_takes_is_asked_in_parts() -> None:
    options: list[list[Tokens]] = [[(token,)] for token in range(300)]
    found = nodes(every(options))
    assert [len(children) for _, children in found] == [MOST, MOST, 300 - 2 * MOST]
    assert [token for _, children in found for token in children] == list(range(300))
