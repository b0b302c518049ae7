"""How many prompts share their work: groups with one prefix, and rows that hold many items side by side.

Items of one administration differ in a few tokens at their end. What they share is computed once; their own ends
(suffixes) lie one behind the other in one row, each token seeing the prefix and its own ancestors and nothing else. The
tokens of an item form a tree: a chain of suffix tokens, then the answers, which share their first tokens (a trie). An
answer of several tokens so costs a token or two and not a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = [
    "Group", "Item", "Row", "additive", "beginning", "chunks", "common", "groups", "joined", "pack", "unpacked",
    "visibility",
]  # fmt: skip

Tokens = tuple[int, ...]

_PASS = 32
"""What another forward pass costs in tokens: it reads all weights once more (measured, SmolLM2 on two cores)."""
_BASE = 256
"""Tokens from which it is worth a pass of its own to compute the start of several prefixes once."""
_JOINED = 512
"""Tokens of answers at most that are brought together behind one prompt: a row holds an item whole."""
_LOOK_BACK = 4096
"""No group holds more items than this, so that planning stays quadratic in this number only."""


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt and the answers to score behind it, as tokens."""

    prompt: Tokens
    answers: tuple[Tokens, ...]

    @property
    def nodes(self) -> frozenset[Tokens]:
        """The non-empty proper prefixes of the answers: the tokens of the trie, named by their path."""
        return frozenset(a[:n] for a in self.answers for n in range(1, len(a)))

    @property
    def length(self) -> int:
        """Tokens of the longest text that is run: the last token of an answer is only looked up."""
        return len(self.prompt) + max(len(a) for a in self.answers) - 1


@dataclass(frozen=True, slots=True)
class Group:
    """Items `start` to `stop` (exclusive), whose first `shared` tokens are the same and computed once."""

    start: int
    stop: int
    shared: int


@dataclass(frozen=True, slots=True)
class Row:
    """A packed row of Q tokens behind a prefix."""

    tokens: list[int]
    positions: list[int]
    """As if the item stood alone: prefix and suffix before, and the depth in the trie."""
    parents: list[int]
    """Index in the row of the token before; -1 for the first of an item, which follows the prefix."""
    heads: list[int]
    """Indices at which the next token's distribution is needed, ascending."""
    lookups: list[list[list[int]]]
    """Per item, per answer, per token of the answer: the place in `heads` that predicts it."""
    written: list[int]
    """Indices of the answers' own tokens; the other `heads` are the prompts' last tokens."""


def joined(items: Iterable[Item], most: int | None = None) -> list[tuple[Item, list[int]]]:
    """Bring neighbours with the same prompt together, so that it is computed once: each item with whose answers it has.

    Two texts that are weighed behind one prompt so cost their own tokens and not the prompt's again. `most`: how many
    may come together.
    """
    found: list[tuple[Item, list[int]]] = []
    size = 0
    for number, item in enumerate(items):
        own = sum(map(len, item.answers))
        before, members = found[-1] if found else (Item((), ()), [])
        fits = size + own <= _JOINED and (most is None or len(members) < most)
        if members and fits and before.prompt == item.prompt:
            answers = tuple(dict.fromkeys((*before.answers, *item.answers)))
            found[-1] = (Item(item.prompt, answers), [*members, number])
            size += own
        else:
            found.append((item, [number]))
            size = own
    return found


def groups(prompts: Sequence[Tokens]) -> list[Group]:
    """Cut `prompts`, in their order, into runs that share a prefix, with the fewest tokens computed in all.

    A run of n prompts with p tokens in common costs p + sum(len - p) tokens and a pass; p is at most one less than
    the shortest prompt, since every item needs a token of its own. The best cuts are found by dynamic programming.
    """
    n = len(prompts)
    lengths = np.array([len(p) for p in prompts], dtype=np.int64)
    total = np.concatenate([[0], np.cumsum(lengths)])
    alike = [common(prompts[i - 1], prompts[i]) for i in range(1, n)]
    best = np.zeros(n + 1, dtype=np.int64)
    cut = np.zeros(n + 1, dtype=np.int64)
    # shared[a] is the prefix of the run from a to the present end.
    shared = np.full(n, np.iinfo(np.int64).max, dtype=np.int64)
    for end in range(1, n + 1):
        low = max(0, end - _LOOK_BACK)
        if end > 1:
            np.minimum(shared[low : end - 1], alike[end - 2], out=shared[low : end - 1])
        np.minimum(shared[low:end], lengths[end - 1] - 1, out=shared[low:end])
        starts = np.arange(low, end)
        cost = best[low:end] + total[end] - total[low:end] - shared[low:end] * (end - starts - 1) + _PASS
        at = int(np.argmin(cost))
        best[end], cut[end] = cost[at], low + at
    found: list[Group] = []
    end = n
    while end:
        start = int(cut[end])
        # The shared prefix of this run again: the array above has moved on to later ends.
        same = min([int(lengths[start:end].min()) - 1, *alike[start : end - 1]])
        found.append(Group(start, end, same if end - start > 1 else 0))
        end = start
    return found[::-1]


def beginning(items: Sequence[Item], plan: Sequence[Group]) -> Tokens:
    """What the prefixes of all groups of `plan` start with; empty where it is too short to be computed first."""
    prefixes = [items[group.start].prompt[: group.shared] for group in plan]
    start = common(min(prefixes), max(prefixes)) if len(prefixes) > 1 else 0
    return prefixes[0][:start] if start >= _BASE else ()


def common(a: Tokens, b: Tokens) -> int:
    """Count the tokens that `a` and `b` start with alike."""
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    return next(i for i in range(n) if a[i] != b[i])


def unpacked(item: Item) -> dict[Tokens, list[int]]:
    """What must stand behind the prompt so that all answers can be read off, without packing: text -> its answers."""
    rows: dict[Tokens, list[int]] = {}
    for number, answer in sorted(enumerate(item.answers), key=lambda pair: -len(pair[1])):
        head = answer[:-1]
        row = next((r for r in rows if r[: len(head)] == head), head)
        rows.setdefault(row, []).append(number)
    return rows


def chunks(
    group: Group, items: Sequence[Item], tokens: int, batch_size: int | None, members: Sequence[Sequence[int]] = ()
) -> list[range]:
    """Cut a group into rows of `batch_size` requests, or of about `tokens` tokens and equally full where it is None.

    `members`: the requests that each item stands for, where these are not one each.
    """
    if batch_size is not None:
        starts, held = [group.start], 0
        for i in range(group.start, group.stop):
            count = len(members[i]) if members else 1
            if held and held + count > batch_size:
                starts.append(i)
                held = 0
            held += count
        return [range(a, b) for a, b in zip(starts, [*starts[1:], group.stop], strict=True)]
    sizes = [len(items[i].prompt) - group.shared + len(items[i].nodes) for i in range(group.start, group.stop)]
    rows = max(1, round(sum(sizes) / tokens))
    goal = sum(sizes) / rows
    cuts = [group.start]
    filled = 0
    for i, size in enumerate(sizes, group.start):
        # Cut where the row comes nearest to its goal.
        if i > cuts[-1] and filled + size / 2 > goal * len(cuts):
            cuts.append(i)
        filled += size
    return [range(a, b) for a, b in zip(cuts, [*cuts[1:], group.stop], strict=True)]


def pack(items: Sequence[Item], shared: int) -> Row:
    """Lay the items' own tokens one behind the other; the first `shared` tokens of every prompt are the prefix."""
    tokens: list[int] = []
    positions: list[int] = []
    parents: list[int] = []
    heads: list[int] = []
    lookups: list[list[list[int]]] = []
    written: list[int] = []
    for item in items:
        suffix = item.prompt[shared:]
        first = len(tokens)
        tokens += suffix
        positions += range(shared, len(item.prompt))
        parents += [-1, *range(first, first + len(suffix) - 1)]
        heads.append(len(tokens) - 1)
        place: dict[Tokens, int] = {(): len(tokens) - 1}
        head: dict[Tokens, int] = {(): len(heads) - 1}
        for path in sorted(item.nodes, key=lambda p: (len(p), p)):
            place[path], head[path] = len(tokens), len(heads)
            heads.append(len(tokens))
            written.append(len(tokens))
            tokens.append(path[-1])
            positions.append(len(item.prompt) + len(path) - 1)
            parents.append(place[path[:-1]])
        lookups.append([[head[answer[:n]] for n in range(len(answer))] for answer in item.answers])
    return Row(tokens, positions, parents, heads, lookups, written)


def visibility(row: Row, shared: int, window: int | None = None) -> npt.NDArray[np.bool_]:
    """Say what each of the row's Q tokens sees: shape (Q, shared + Q), True for the prefix, its ancestors and itself.

    With a sliding `window`, only what lies less than `window` positions back.
    """
    n = len(row.tokens)
    own = np.zeros((n, n), dtype=np.bool_)
    for i, parent in enumerate(row.parents):
        if parent >= 0:
            own[i] = own[parent]
        own[i, i] = True
    seen = np.concatenate([np.ones((n, shared), dtype=np.bool_), own], axis=1)
    if window is not None:
        at = np.array(row.positions)
        keys = np.concatenate([np.arange(shared), at])
        seen &= at[:, None] - keys[None, :] < window
    return seen


def additive(seen: npt.NDArray[np.bool_], dtype: torch.dtype, device: torch.device | str) -> torch.Tensor:
    """Turn what is seen into what is added to the attention scores: 0, or the lowest number; shape (1, 1, Q, K)."""
    import torch

    mask = torch.zeros(seen.shape, dtype=dtype)
    mask.masked_fill_(torch.from_numpy(~seen), torch.finfo(dtype).min)
    return mask[None, None].to(device)
