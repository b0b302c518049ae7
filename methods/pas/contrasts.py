"""Contrast activations: of each item four texts, two that agree with it and two that disagree.

Three wordings say so. `symbol`: the item is answered for the model with the symbol of the highest and of the lowest
option, in both option orders. `text`: the same with the options' texts. `persona`: the item is said to be true or not
true of somebody who is then asked one of two neutral questions. They belong to a model and not to a target, so they are
recorded once, kept in the bench's cache, and held in memory from person to person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.types import Choose, Doc, Message, Request, Write, digest

if TYPE_CHECKING:
    from traitbench.backends.hf import HuggingFace
    from traitbench.backends.packing import Item as Texts
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench

__all__ = ["WORDINGS", "Contrasts", "Wording", "personas", "record", "record_personas"]

Array = NDArray[np.float32]
Wording = Literal["symbol", "text", "persona"]
WORDINGS: tuple[Wording, ...] = ("symbol", "text", "persona")

TRUE = ("This is true of you", "This is not true of you")
"""Who agrees, who disagrees: the same words but for one, so that the item's topic is on both sides."""
QUESTIONS = ("How would you describe yourself in a few words?", "What is a normal day like for you?")
"""What stands in the place of the two option orders."""


class Contrasts:
    """The contrast activations at the input of the attention's output projection, by head."""

    def __init__(self, wording: Wording = "symbol") -> None:
        """Hold nothing yet; `wording` says how agreeing and disagreeing are put."""
        self.wording = wording
        self._held: dict[str, tuple[dict[str, int], Array]] = {}

    def of(self, items: Sequence[Item], inventory: str, bench: Bench) -> Array:
        """Return those of `items`, (heads, items, 4, head_dim): two texts that agree, then two that disagree.

        They are taken from the first list that has all of them: the 120 known items, which all persons share, the
        half of the others that traits are fitted on, and `items` themselves.
        """
        wanted = _keys(bench.requests(items, "choice", inventory))
        home = bench.inventory().id
        for members, source in ((bench.known_split()[0], home), (bench.halves()[0], home), (items, inventory)):
            keys = _keys(bench.requests(members, "choice", source))
            if not set(wanted) <= set(keys):
                continue
            said = [TRUE, QUESTIONS] if self.wording == "persona" else []
            name = digest([bench.backend.identity, keys, self.wording, *said])
            if name not in self._held:
                self._held[name] = (
                    {key: row for row, key in enumerate(keys)},
                    self._by_head(members, source, name, bench),
                )
            rows, texts = self._held[name]
            return texts[:, [rows[key] for key in wanted]]
        raise AssertionError("the last list holds itself")

    def _by_head(self, items: Sequence[Item], inventory: str, name: str, bench: Bench) -> Array:
        """Read contrast activations (heads, items, 4, head_dim) from the cache, or record them now."""
        from traitbench.controls.interventions import head_shape

        def contrasts() -> dict[str, Array]:
            with bench.progress(f"contrasts ({self.wording})", 4 * len(items)) as step:
                if self.wording == "persona":
                    found = record_personas(personas(items, inventory, bench), bench.backend)
                else:
                    labels = bench.inventory(inventory).response_scale.labels
                    ends = (labels[-1], labels[0]) if self.wording == "text" else None
                    found = record(bench.requests(items, "choice", inventory), bench.backend, ends)
                step(4 * len(items))
            return {"contrasts": found}

        found = bench.once(f"contrasts-{name}", contrasts)["contrasts"]
        width = head_shape(bench.backend.model)[1]
        return np.ascontiguousarray(found.reshape(len(items), 4, -1, width).transpose(2, 0, 1, 3))


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
    if (at := _same(whole)) is not None:
        doc = requests[at[1] * n + at[0]].doc
        raise BadData(
            f"item {doc.item} in {doc.order} order: the activations of {backend.spec.label} are the same for the "
            "highest and for the lowest answer; expected a model whose attention sees the answer's last token"
        )
    return np.ascontiguousarray(whole)


def personas(items: Sequence[Item], inventory: str, bench: Bench) -> list[Write]:
    """Ask somebody of whom an item is true, then somebody of whom it is not, either question: 4 requests an item."""
    whole = bench.inventory(inventory)
    return [
        Write(
            doc=Doc(task="pas", scoring="generate", item=item.id, trait=item.trait, facet=None, keyed=item.keyed),
            messages=(
                Message(role="system", content=f"{told}: {whole.statement(item)}"),
                Message(role="user", content=question),
            ),
            cue="Answer:",
        )
        for item in items
        for told in TRUE
        for question in QUESTIONS
    ]


def record_personas(requests: Sequence[Write], backend: HuggingFace) -> Array:
    """Record what `record` does at the last token before the reply to each of `personas`; the same shape.

    BadData where it makes no difference whether an item is true of somebody.
    """
    from traitbench.backends.packing import Item as Texts

    with backend.under(None):
        found = backend.states([Texts(backend.encode_prompt(request), ()) for request in requests], "heads")
    whole = found.reshape(-1, 2, 2, *found.shape[1:])
    if (at := _same(whole)) is not None:
        raise BadData(
            f"item {requests[4 * at[0]].doc.item}: the activations of {backend.spec.label} are the same where it is "
            "true of somebody and where it is not; is the chat template sound?"
        )
    return whole


def _same(whole: Array) -> tuple[int, int] | None:
    """Item and order (or question) at which agreeing and disagreeing leave the same in `whole`; None: nowhere."""
    same = np.argwhere((whole[:, 0] == whole[:, 1]).all(axis=(2, 3)))
    return (int(same[0][0]), int(same[0][1])) if len(same) else None


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


def _keys(requests: Sequence[Request]) -> list[str]:
    """Name each item by what it is asked in either order."""
    n = len(requests) // 2
    return [digest([requests[i].content(), requests[n + i].content()]) for i in range(n)]
