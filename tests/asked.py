"""What a backend answers to requests under a control, all of it at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext

from traitbench.backends.backend import Backend
from traitbench.types import Control, Request, Response


def answers(
    backend: Backend, requests: Sequence[Request], control: Control | None = None, done: Collection[int] = ()
) -> dict[int, Response]:
    """Index of a request -> its response, of those not done; without a control, under what holds already."""
    with nullcontext() if control is None else backend.under(control):
        return {i: response for batch in backend.run(requests, done) for i, response in batch.items()}
