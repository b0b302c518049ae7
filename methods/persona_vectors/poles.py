"""The persona vectors of a trait: replies of both poles, those that show them, and the way between, with a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.methods.axes import between
from traitbench.methods.persona_vectors.keeping import showing
from traitbench.methods.persona_vectors.replies import replies
from traitbench.methods.separation import separated
from traitbench.types import Find, Trait

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.persona_vectors.settings import Settings

__all__ = ["Poles", "separates", "vectors"]

FEWEST = 6
"""Groups that a test needs: with fewer no p can be .05."""
_GROUPS = {"generate": ("descriptions", "replies under descriptions"), "dialogues": ("situations", "dialogues")}
"""Where replies come from -> what they are grouped by, and what they are."""


class Poles(NamedTuple):
    """The vectors of a trait, whether they are any, and what is worth knowing of how they were found."""

    shifts: NDArray[np.float32]
    """From the mean of the low pole to that of the high one, (layers, width)."""
    find: Find | None
    details: dict[str, Any]


def vectors(trait: Trait, config: Settings, layers: Sequence[int], bench: Bench) -> Poles:
    """Find the vectors of a trait in all layers, and test those of the `layers` that are tried.

    BadData where no pair of replies shows both poles, and where these leave the same activations.
    """
    from traitbench.methods.persona_vectors.reading import read

    said = replies(trait, config, bench)
    shows = showing(trait, said.pairs, config.keep, bench)
    kept: NDArray[np.bool_] = np.all(shows, axis=1)
    if not kept.any():
        raise BadData(
            f"persona_vectors found nothing to make a vector of {trait} of: of {len(kept)} pairs of replies none shows "
            f"both poles by keep={config.keep} (high: {shows[:, 0].sum()}, low: {shows[:, 1].sum()}); take more "
            "questions, replies=dialogues or keep=all with --method_args"
        )
    apart = read(trait, said.pairs, bench)
    shifts = between(apart.differences[kept], config.direction)
    if not shifts.any(axis=1).all():
        raise BadData(f"the replies of high and low {trait} leave the same activations; is the model sound?")
    high, low = (int(n) for n in apart.tokens.sum(axis=0))
    details = {
        "pairs": len(kept), "kept": int(kept.sum()), "high": int(shows[:, 0].sum()), "low": int(shows[:, 1].sum()),
        "tokens": {"high": high, "low": low, "written": said.written},
    }  # fmt: skip
    what, on = _GROUPS[config.replies]
    find = separates(apart.differences, [pair.group for pair in said.pairs], layers, what, on)
    return Poles(shifts, find, details)


def separates(
    differences: NDArray[np.float32], groups: Sequence[int], layers: Sequence[int], what: str, on: str
) -> Find | None:
    """Test whether the vector of all groups but one tells that one's poles apart (`separation.separated`).

    differences (pairs, layers, width): all pairs, kept or not, since what keeps them knows their poles. groups
    (pairs,): labels of the poles are shuffled by them. None where there are too few.
    """
    names, mine = sorted(set(groups)), np.asarray(groups)
    if len(names) < FEWEST:
        return None
    contrasts = np.stack([differences[mine == name].mean(axis=0) for name in names])
    return separated(contrasts, layers).find(
        f"projection gap of {what} left out", f"{on}, {len(differences)} of either pole"
    )
