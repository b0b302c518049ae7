"""Grouping and packing against plain enumeration."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from traitbench.backends.packing import _JOINED, _PASS, Group, Item, additive, chunks, groups, joined, pack, visibility


def _cost(prompts: list[tuple[int, ...]], cuts: tuple[int, ...]) -> int:
    """Tokens computed with these cuts, counted from the definition."""
    total = 0
    for a, b in itertools.pairwise((0, *cuts, len(prompts))):
        run = prompts[a:b]
        shared = 0
        while b - a > 1 and all(len(p) > shared + 1 for p in run) and len({p[shared] for p in run}) == 1:
            shared += 1
        total += shared + sum(len(p) - shared for p in run) + _PASS
    return total


@pytest.mark.parametrize("seed", range(20))
def test_groups_compute_the_fewest_tokens(seed: int) -> None:
    draw = random.Random(seed)
    heads = [tuple(draw.randrange(2) for _ in range(draw.choice([5, 60, 90]))) for _ in range(3)]
    prompts = [draw.choice(heads) + tuple(draw.randrange(9) for _ in range(draw.randrange(1, 8))) for _ in range(8)]
    found = groups(prompts)
    assert [g.start for g in found] == [0, *(g.stop for g in found[:-1])]
    assert found[-1].stop == 8
    cuts = tuple(g.start for g in found[1:])
    best = min(_cost(prompts, c) for n in range(8) for c in itertools.combinations(range(1, 8), n))
    assert _cost(prompts, cuts) == best
    for g in found:
        assert len({p[: g.shared] for p in prompts[g.start : g.stop]}) == 1
        assert all(len(p) > g.shared for p in prompts[g.start : g.stop])


def test_an_item_of_another_kind_does_not_spoil_the_group_behind_it() -> None:
    a, b = tuple(range(100)), tuple(range(200, 300))
    prompts = [(*a, 1), *[(*b, n) for n in range(10)]]
    assert groups(prompts) == [Group(0, 1, 0), Group(1, 11, 100)]


def test_equal_prompts_keep_one_token_each() -> None:
    assert groups([(1, 2, 3)] * 4) == [Group(0, 4, 2)]
    assert groups([]) == []


def test_neighbours_behind_one_prompt_are_joined() -> None:
    one, other = (1, 2), (3,)
    items = [Item(one, ((5, 6),)), Item(one, ((5, 7),)), Item(one, ((5, 6),)), Item(other, ((5,),)), Item(one, ((5,),))]
    assert joined(items) == [
        (Item(one, ((5, 6), (5, 7))), [0, 1, 2]),
        (Item(other, ((5,),)), [3]),
        (Item(one, ((5,),)), [4]),
    ]
    long = [Item(one, ((n, *range(_JOINED // 2 - 1)),)) for n in range(3)]
    assert [members for _, members in joined(long)] == [[0, 1], [2]]
    assert joined([]) == []
    # As many requests a row as --batch_size says, whatever stands behind one prompt.
    few = joined([Item(one, ((n,),)) for n in range(5)], most=2)
    assert [members for _, members in few] == [[0, 1], [2, 3], [4]]
    cut = chunks(Group(0, 3, 1), [item for item, _ in few], 100, 3, [members for _, members in few])
    assert cut == [range(0, 1), range(1, 3)]


def test_chunks_by_tokens_are_about_equal_and_cover_the_group() -> None:
    items = [Item(tuple(range(50 + n % 3)), ((1,), (2, 3))) for n in range(40)]
    cut = chunks(Group(0, 40, 40), items, tokens=100, batch_size=None)
    assert [i for c in cut for i in c] == list(range(40))
    assert {len(c) for c in cut} <= {7, 8, 9, 10}
    assert [len(c) for c in chunks(Group(4, 40, 40), items, tokens=100, batch_size=16)] == [16, 16, 4]
    assert chunks(Group(0, 1, 0), items, tokens=10, batch_size=None) == [range(0, 1)]


def test_a_row_holds_suffixes_and_tries() -> None:
    # Behind the prefix 9 9: an item with suffix 1 2 and answers 5, 6 7, 6 8 8, and one with suffix 3.
    items = [Item((9, 9, 1, 2), ((5,), (6, 7), (6, 8, 8))), Item((9, 9, 3), ((5,),))]
    row = pack(items, 2)
    assert row.tokens == [1, 2, 6, 8, 3]
    assert row.positions == [2, 3, 4, 5, 2]
    assert row.parents == [-1, 0, 1, 2, -1]
    assert row.heads == [1, 2, 3, 4]
    assert row.lookups == [[[0], [0, 1], [0, 1, 2]], [[3]]]


@pytest.mark.parametrize("window", [None, 1, 3, 100])
def test_a_token_sees_the_prefix_its_ancestors_and_itself(window: int | None) -> None:
    items = [Item((9, 9, 1, 2), ((5, 1), (6, 7), (6, 8, 8))), Item((9, 9, 3, 3, 3), ((5, 5, 5),))]
    row = pack(items, 2)
    seen = visibility(row, 2, window)
    for i in range(len(row.tokens)):
        line, at = [i], row.parents[i]
        while at >= 0:
            line.append(at)
            at = row.parents[at]
        keys = {0: 0, 1: 1} | {2 + j: row.positions[j] for j in line}
        expected = {k for k, p in keys.items() if window is None or row.positions[i] - p < window}
        assert set(np.flatnonzero(seen[i])) == expected


def test_the_mask_adds_nothing_to_what_is_seen() -> None:
    mask = additive(np.array([[True, False]]), torch.float32, "cpu")
    assert mask.shape == (1, 1, 1, 2)
    assert mask.flatten().tolist() == [0.0, torch.finfo(torch.float32).min]
