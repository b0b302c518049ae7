"""The trait dialogues that NPTI reads: scenes that two people of opposite poles answer, in blocks, some held out.

Scenes whose names differ in a number alone, such as gathering-1 and gathering-7 of the open set, are one situation with
other details, and replies to them share the sentence that answers it. A block holds situations whole, so that two
halves do not agree because of such a sentence. Where the names make fewer than LEAST situations, each scene is one.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from functools import cache
from typing import NamedTuple

from traitbench.errors import BadData
from traitbench.methods import dialogues
from traitbench.methods.dialogues import Corpus
from traitbench.methods.npti.sources import BLOCKS
from traitbench.types import Trait

__all__ = ["LEAST", "Scene", "Scenes", "opened", "scenes"]

LEAST = 8
"""Scenes that a search needs: fewer have too few shuffles to tell anything from chance."""


class Scene(NamedTuple):
    """What somebody says, and how people of either pole answer."""

    said: str
    high: str
    low: str
    block: int
    """From 0; even blocks are one half, odd ones the other."""


class Scenes(NamedTuple):
    """What the search reads, and what is kept apart for the choice of gamma."""

    search: tuple[Scene, ...]
    development: tuple[Scene, ...]
    situations: int
    """Of the search."""


@cache
def opened(source: str) -> Corpus:
    """Load a set of dialogues once a process."""
    return dialogues.load(source)


def scenes(trait: Trait, source: str, most: int, held_out: int, seed: int) -> Scenes:
    """Draw at most `most` scenes of `trait` to search with, and `held_out` others, by a hash of seed and name.

    BadData where the set has no dialogue on the trait, where a scene lacks a pole, and where fewer than LEAST scenes
    are left to search with.
    """
    corpus = opened(source)
    traits = sorted({each.trait for each in corpus.dialogues})
    if trait not in traits:
        raise BadData(
            f"{corpus.name} holds no dialogue on {trait}; it has {', '.join(traits)}; aim at one of these, or give "
            "dialogues on it with --method_args data=FILE"
        )
    found = {p.scene: p for p in dialogues.pairs(corpus.dialogues, trait) if p.level == "high"}
    order = _shuffled(list(found), seed)
    kept, read = order[:held_out], order[held_out:][:most]
    if len(read) < LEAST:
        raise BadData(
            f"{corpus.name} has {len(found)} scenes on {trait}, of which {len(kept)} are held out, and {len(read)} are "
            f"left to search with; expected {LEAST} at least; give more dialogues with --method_args data=FILE"
        )
    groups: dict[str, list[str]] = defaultdict(list)
    for scene in read:
        groups[re.sub(r"-\d+$", "", scene)].append(scene)
    if len(groups) < LEAST:
        groups = {scene: [scene] for scene in read}
    # By size, so that blocks are about as large as each other.
    place = {name: n % BLOCKS for n, name in enumerate(sorted(groups, key=lambda name: -len(groups[name])))}
    blocks = {scene: place[name] for name, mine in groups.items() for scene in mine}

    def of(scene: str, block: int) -> Scene:
        return Scene(found[scene].input, found[scene].chosen, found[scene].rejected, block)

    return Scenes(
        tuple(of(scene, blocks[scene]) for scene in sorted(read)), tuple(of(scene, 0) for scene in kept), len(groups)
    )


def _shuffled(names: list[str], seed: int) -> list[str]:
    """Order by a hash, so that the order of two scenes does not depend on which others are there."""
    return sorted(names, key=lambda name: (hashlib.sha256(f"npti {seed}\0{name}".encode()).digest(), name))
