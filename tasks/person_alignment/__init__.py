"""Person alignment after PAPI (Zhu et al. 2024): answers in a person's place to items that no method has seen of them.

A method is given a person's answers to the 120 items of the IPIP-NEO-120; the test items are the other 180 of the
IPIP-NEO-300, told apart by their texts. How near the answers come is for `traitbench.tasks.person_alignment.alignment` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traitbench import inventories
from traitbench.errors import UnsupportedControl
from traitbench.targets.papi import split
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["PersonAlignment", "alignment_inventory"]

NAME = "person_alignment"


def alignment_inventory() -> Inventory:
    """Return the IPIP-NEO-300 without the items of the IPIP-NEO-120, as an inventory of its own name.

    Items keep their id and number. It is no instrument that people's norms, SDs or loadings were taken with, hence the
    name.
    """
    whole = inventories.load("ipip_neo_300")
    rest = {item.id for item in split()[1]}
    items = tuple(item for item in whole.items if item.id in rest)
    name = f"{whole.name or whole.id}, {len(items)} items that are not of the IPIP-NEO-120"
    return whole.model_copy(update={"id": NAME, "name": name, "items": items})


class PersonAlignment(Questionnaire):
    """The test items in the grid of one administration, in choice and, where asked for, generate.

    Statement scoring is left out: a log-likelihood has no absolute level, so there is no answer to hold against a
    person's.
    """

    version: ClassVar[str] = "1"

    def __init__(self, administration: Administration) -> None:
        """Take the grid; UnsupportedControl where statement alone is asked."""
        modes = tuple(mode for mode in administration.scoring if mode != "statement")
        if not modes:
            raise UnsupportedControl(
                f"{NAME} needs answers on the response scale, which statement scoring has not; add --scoring choice"
            )
        super().__init__(alignment_inventory(), administration.model_copy(update={"scoring": modes}))
