"""How many tokens answering takes, from the rendered prompts alone: nothing is run.

Padding, the check of packing against the plain way and what starts an engine are not counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from traitbench.backends.backend import Work
from traitbench.backends.packing import Item, beginning, common, groups, joined, unpacked
from traitbench.backends.rendering import Renderer, Tokens
from traitbench.backends.trie import nodes
from traitbench.types import Choose, Control, Message, Request, Write

__all__ = ["alone", "cached", "packed"]


def packed(
    renderer: Renderer, requests: Sequence[Request], control: Control, longer: bool = True, together: int = 64,
    batch_size: int | None = None,
) -> Work:  # fmt: skip
    """Count rows that hold several items behind one prefix (see packing), and so the prompts of replies.

    `longer`: what several prefixes begin with is computed once, too. `together`: replies of a batch, which share none
    of this with other batches. `batch_size`: requests of a row, where it is given.
    """
    items, prompts = [], []
    for request, prompt, answers in _rendered(renderer, requests, control):
        if isinstance(request, Write):
            prompts.append(Item(prompt, ()))
        else:
            items.append(Item(prompt, answers))
    size = -(-len(prompts) // -(-len(prompts) // together)) if prompts else 1
    parts = [sorted(prompts[n : n + size], key=lambda item: item.prompt) for n in range(0, len(prompts), size)]
    return Work.total(_rows(part, longer) for part in ([item for item, _ in joined(items, batch_size)], *parts))


def _rows(items: Sequence[Item], longer: bool) -> Work:
    """Count rows of `items` in their order."""
    plan = groups([item.prompt for item in items])
    prefixes = sum(group.shared for group in plan)
    again = len(beginning(items, plan)) * (len(plan) - 1) if longer and plan else 0
    ends = sum(
        len(item.prompt) - group.shared + len(item.nodes) for group in plan for item in items[group.start : group.stop]
    )
    return Work(shared=prefixes - again, own=ends)


def alone(
    renderer: Renderer,
    requests: Sequence[Request],
    control: Control,
    rows: Callable[[Item], Iterable[Tokens]] = unpacked,
) -> Work:
    """Count prompts that are each computed whole: that of a reply once, others with each of the `rows` behind them.

    As it is these are the answers without their last token that are no part of another one.
    """
    total = 0
    for request, prompt, answers in _rendered(renderer, requests, control):
        behind = [()] if isinstance(request, Write) else rows(Item(prompt, answers))
        total += sum(len(prompt) + len(row) for row in behind)
    return Work(own=total)


def cached(renderer: Renderer, requests: Sequence[Request], control: Control, block: int) -> Work:
    """Count what a cache of prefixes leaves to compute that keeps whole blocks of `block` tokens and forgets none."""
    texts: list[Tokens] = []
    for request, prompt, answers in _rendered(renderer, requests, control):
        if isinstance(request, Write):
            texts.append(prompt)
        elif isinstance(request, Choose):
            texts += [prompt + path for path, _ in nodes(answers)]
        else:
            texts += [prompt + answer for answer in answers]
    # In sorted order a text has most in common with one of its neighbours.
    texts.sort()
    alike = [0, *(common(a, b) for a, b in itertools.pairwise(texts)), 0]
    new = own = 0
    for text, before, after in zip(texts, alike, alike[1:], strict=False):
        # The last token is computed in any case, since what follows it is asked for.
        most = len(text) - 1
        new += len(text) - min(before, most) // block * block
        own += len(text) - min(max(before, after), most) // block * block
    return Work(shared=new - own, own=own)


def _rendered(
    renderer: Renderer, requests: Sequence[Request], control: Control
) -> Iterator[tuple[Request, Tokens, tuple[Tokens, ...]]]:
    """Each request with its prompt and its answers as tokens; statements behind one prompt render it once."""
    held: dict[tuple[tuple[Message, ...], str, bool], tuple[str, Tokens]] = {}
    for request in requests:
        shown = (request.conversation(control), request.cue, isinstance(request, Write))
        if shown not in held:
            prompt = renderer.prompt(request, control)
            held = {shown: (prompt, renderer.encode(prompt))}
        prompt, ids = held[shown]
        options = [] if isinstance(request, Write) else renderer.options(request, prompt, ids)
        yield request, ids, tuple(dict.fromkeys(itertools.chain.from_iterable(options)))
