"""Digests of what fits read besides the model and their settings: items as they are asked, neutral prose, words.

They are what `Method.reads` returns. Each is over the words themselves and not over a file, so that a fit is made anew
where something that it reads was changed, and stays where a file changes in what it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from traitbench.backends import neutral
from traitbench.types import Target, digest

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench
    from traitbench.types import Mode

__all__ = ["instructions", "items", "prose", "words"]


def items(bench: Bench, some: Sequence[Item], scorings: Sequence[Mode], inventory: str | None = None) -> dict[str, str]:
    """Digest `some` items of an inventory (None: that of the development items) as the bench asks them.

    Their words count, those around them, and what an answer is evidence of.
    """
    name = inventory or bench.inventory().id
    about = [[item.id, item.text_hash, item.trait, item.facet, item.keyed] for item in some]
    asked = [request.content() for mode in scorings for request in bench.requests(some, mode, name)]
    return {f"items of {name}": digest([about, asked])}


def words(name: str, texts: Sequence[str]) -> dict[str, str]:
    """Digest texts under a name of the method's own."""
    return {name: digest(list(texts))}


def prose() -> dict[str, str]:
    """Digest the neutral passages, on which the perplexity under a control is measured."""
    return {"neutral prose": digest([request.content() for request in neutral.requests()])}


def instructions(targets: Iterable[Target], bench: Bench) -> dict[str, str]:
    """Digest the sentences that name the targets' levels, of those whose traits there are words for."""
    from traitbench.methods.prompting import Prompting

    prompting = Prompting(Prompting.Config(style="instruction"))
    said = {
        target.name: [message.content for message in prompting.fit(target, bench).messages]
        for target in targets
        if target.levels.keys() <= prompting.spoken.keys()
    }
    return {"instructions": digest(said)}
