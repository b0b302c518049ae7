"""The items that things are chosen on: of the IPIP-NEO-300 the 180 that are not in the IPIP-NEO-120, in halves."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from traitbench.targets.papi import split

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["DEVELOPMENT", "halves"]

DEVELOPMENT = "ipip_neo_300"


def halves(seed: int) -> tuple[list[Item], list[Item]]:
    """Part the 180 in halves by facet and key, seeded, so that both halves hold every facet and both keys."""
    draw = random.Random(f"halves {seed}")
    parts: tuple[list[Item], list[Item]] = ([], [])
    rest = split()[1]
    facets = dict.fromkeys((item.facet, item.keyed) for item in rest)
    for turn, (facet, keyed) in enumerate(facets):
        mine = [i for i in rest if (i.facet, i.keyed) == (facet, keyed)]
        draw.shuffle(mine)
        for place, item in enumerate(mine):
            parts[(place + turn) % 2].append(item)
    return sorted(parts[0], key=lambda i: i.number), sorted(parts[1], key=lambda i: i.number)
