"""Contrast activations: each item answered for the model with the highest and with the lowest value, in both orders.

They belong to a model and not to a target, so they are recorded once, kept in the bench's cache, and held in memory
from person to person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.types import Choose, Request, digest

if TYPE_CHECKING:
    from traitbench.backends.hf import HuggingFace
    from traitbench.backends.packing import Item as Texts
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench

__all__ = ["Contrasts", "record"]

Array = NDArray[np.float32]
Answer = Literal["symbol", "text"]


class Contrasts:
    """The contrast activations at the input of the attention's output projection, by head."""

    def __init__(self, answer: Answer = "symbol") -> None:
        """Hold nothing yet; `answer` says whether an answer is an option's symbol or its text."""
        self.answer = answer
        self._held: dict[str, tuple[dict[str, int], Array]] = {}

    def of(self, items: Sequence[Item], inventory: str, bench: Bench) -> Array:
        """Return those of `items`, (heads, items, 4, head_dim): highest in both orders, then lowest in both orders.

        They are taken from the first list that has all of them: the 120 known items, which all persons share, the
        half of the others that traits are fitted on, and `items` themselves.
        """
        wanted = _keys(bench.requests(items, "choice", inventory))
        home = bench.inventory().id
        for members, source in ((bench.known_split()[0], home), (bench.halves()[0], home), (items, inventory)):
            requests = bench.requests(members, "choice", source)
            keys = _keys(requests)
            if not set(wanted) <= set(keys):
                continue
            name = digest([bench.backend.identity, keys, *([self.answer] if self.answer != "symbol" else [])])
            if name not in self._held:
                self._held[name] = (
                    {key: row for row, key in enumerate(keys)},
                    _by_head(requests, name, bench, self._labels(bench, source)),
                )
            rows, texts = self._held[name]
            return texts[:, [rows[key] for key in wanted]]
        raise AssertionError("the last list holds itself")

    def _labels(self, bench: Bench, inventory: str) -> tuple[str, str] | None:
        """Texts of the highest and of the lowest option; None where the symbols are the answers."""
        if self.answer == "symbol":
            return None
        labels = bench.inventory(inventory).response_scale.labels
        return labels[-1], labels[0]


def record(requests: Sequence[Request], backend: HuggingFace, labels: tuple[str, str] | None = None) -> Array:
    """Record the input of the attention's output projection at the last token of an answer, without a control.

    `requests` are choices of n items in forward, then in reverse order; `labels` are the answers of highest and of
    lowest value, None takes their symbols. Returns (n, 2 answers: highest and lowest value, 2 orders, layers,
    heads * head_dim). BadData where the two answers of an item cannot be told apart: then their tokens were cut off or
    are the same, and every direction would be zero.
    """
    n = len(requests) // 2
    with backend.under(None):
        found = backend.states([_answered(request, backend, labels) for request in requests], "heads")
    whole = found.reshape(2, n, 2, *found.shape[1:]).transpose(1, 2, 0, 3, 4)
    same = (whole[:, 0] == whole[:, 1]).all(axis=(2, 3))
    if same.any():
        item, order = np.argwhere(same)[0]
        doc = requests[order * n + item].doc
        raise BadData(
            f"item {doc.item} in {doc.order} order: the activations of {backend.spec.label} are the same for the "
            "highest and for the lowest answer; expected a model whose attention sees the answer's last token"
        )
    return np.ascontiguousarray(whole)


def _answered(request: Request, backend: HuggingFace, labels: tuple[str, str] | None) -> Texts:
    """Pair a prompt with the tokens of `labels`, or of the bare symbols of its highest and its lowest value."""
    from traitbench.backends.packing import Item as Texts

    assert isinstance(request, Choose)
    prompt, ids = backend.prompt(request), backend.encode_prompt(request)
    ends = labels or [
        request.options[request.values.index(end)][0] for end in (max(request.values), min(request.values))
    ]
    high, low = (backend.renderer.answer(prompt, ids, symbol) for symbol in ends)
    if high == low:
        raise BadData(
            f"item {request.doc.item}: the tokenizer of {backend.spec.label} writes the options {ends[0]!r} and "
            f"{ends[1]!r} with the same tokens; expected symbols that differ"
        )
    return Texts(ids, (high, low))


def _by_head(requests: Sequence[Request], name: str, bench: Bench, labels: tuple[str, str] | None) -> Array:
    """Read contrast activations (heads, items, 4, head_dim) from the cache, or record them now."""
    from traitbench.controls.interventions import head_shape

    def contrasts() -> dict[str, Array]:
        with bench.progress("contrasts", 2 * len(requests)) as step:
            found = record(requests, bench.backend, labels)
            step(2 * len(requests))
        return {"contrasts": found}

    found, n = bench.once(f"contrasts-{name}", contrasts)["contrasts"], len(requests) // 2
    return np.ascontiguousarray(found.reshape(n, 4, -1, head_shape(bench.backend.model)[1]).transpose(2, 0, 1, 3))


def _keys(requests: Sequence[Request]) -> list[str]:
    """Name each item by what it is asked in either order."""
    n = len(requests) // 2
    return [digest([requests[i].content(), requests[n + i].content()]) for i in range(n)]
