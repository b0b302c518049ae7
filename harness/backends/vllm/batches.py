"""Which requests go to the engine together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traitbench.backends.backend import Asked

__all__ = ["batches"]


def batches(places: Sequence[int], asked: Sequence[Asked], size: int, slots: int) -> Iterator[list[int]]:
    """Split `places` in `asked` into batches of at most `size`, whose controls with edits fit into `slots`."""
    batch: list[int] = []
    edited: set[str] = set()
    for place in places:
        control = asked[place][0]
        new = {control.hash} if control is not None and control.edits else set()
        if len(batch) == size or len(edited | new) > slots:
            yield batch
            batch, edited = [], set()
        batch.append(place)
        edited |= new
    if batch:
        yield batch
