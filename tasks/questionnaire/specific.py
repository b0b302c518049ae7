"""What of an effect is specific: a control that makes a model look better moves every trait, the one aimed at too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.intervals import Weights
from traitbench.statistics.sums import Term
from traitbench.tasks.scoring import facets_of
from traitbench.types import Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = ["terms_of"]


def terms_of(
    trait: Trait,
    sign: float,
    beside: Sequence[Trait],
    inventory: Inventory,
    items: Sequence[Item],
    keyed: NDArray[np.float64],
    weights: Weights,
) -> tuple[dict[Trait, Term], dict[Trait, Term], str]:
    """What the specific effect on `trait` and the evaluative component are sums of, by trait; why there is none, or "".

    `keyed` are the keyed shifts of all `items`, `sign` the direction aimed at; traits `beside` are aimed at
    too, and so tell nothing of halo.
    """
    index = {t: [i for i, item in enumerate(items) if item.trait == t] for t in inventory.traits}
    measured = [t for t, mine in index.items() if mine]
    if silent := [t for t in measured if t not in inventory.desirable]:
        return {}, {}, f"no specific effect: {inventory.id} does not say which end of {silent[0]} is desirable"
    others = [t for t in measured if t not in (trait, *beside) and inventory.desirable[t]]
    if not others:
        return {}, {}, "no specific effect: no other trait is measured, so the effect may be halo"

    def term(share: float, t: Trait) -> Term:
        mine = index[t]
        keys, facets = np.array([items[i].keyed for i in mine]), facets_of([items[i] for i in mine])
        return Term(share, keyed[mine], keys, facets, weights)

    halo = {t: term(inventory.desirable[t] / len(others), t) for t in others}
    out = -sign * inventory.desirable[trait]
    net = {t: p._replace(share=out * p.share) for t, p in halo.items() if out}
    return {trait: term(sign, trait), **net}, halo, ""
