"""The instructions to fake good, to be honest and to fake bad, and which of them a target asks for."""

from __future__ import annotations

from traitbench.errors import UnsupportedControl
from traitbench.types import DESIRABILITY, Target

__all__ = ["IMPRESSION", "side"]

IMPRESSION = {
    1: "You want to make the best impression you can. Whatever you say of yourself, say what makes you look good, "
    "whether or not it is true.",
    0: "You want to be honest. Whatever you say of yourself, say what is true, whether or not it makes you look good.",
    -1: "You want to make the worst impression you can. Whatever you say of yourself, say what makes you look bad, "
    "whether or not it is true.",
}
"""To fake good, to be honest, to fake bad; no trait and nothing of an item is named."""


def side(target: Target) -> int:
    """Whether the levels look good (1), bad (-1) or neither (0), traits in the direction of their desirable ends.

    UnsupportedControl where that is known of none of the traits.
    """
    if not (known := [trait for trait in target.levels if trait in DESIRABILITY]):
        raise UnsupportedControl(
            f"prompting style 'impression' cannot aim at {target.name}: it is not known what looks good; give --target "
            "impression"
        )
    total = sum(DESIRABILITY[trait] * target.levels[trait] for trait in known)
    return (total > 0) - (total < 0)
