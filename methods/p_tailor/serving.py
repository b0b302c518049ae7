"""The adapter that serves a target: experts and router folded for it, and what it does to held-out replies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.store import draft

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.training import Example

__all__ = ["folded", "likelihoods"]


@contextmanager
def folded(bench: Bench, trained: Path, row: tuple[float, ...]) -> Iterator[Path]:
    """Fold what was `trained` for the slots in `row` into a PEFT folder that is not kept."""
    from traitbench.methods.p_tailor.experts import fold

    with draft(bench.cache / "p_tailor") as place:
        yield fold(trained, row, place / "adapter")


def likelihoods(bench: Bench, trained: Path, held: Sequence[Example], size: int) -> NDArray[np.float64]:
    """Score each of `held` (examples,) under the adapter that is folded for its own target: nats a token.

    `size` texts are run at a time.
    """
    from traitbench.methods.training import finding

    found = np.zeros(len(held))
    for row in dict.fromkeys(each.slots for each in held):
        mine = [n for n, each in enumerate(held) if each.slots == row]
        with folded(bench, trained, row) as folder:
            found[mine] = finding.likelihoods(bench, folder, [held[n] for n in mine], size)
    return found
