"""Editing and recording activations: what an edit does, where and at which positions, by hooks that always come off.

The edits of one place are merged beforehand (see edits) and put to work by a forward hook or pre-hook of one module.
Which positions count is known for each forward: from masks that the caller sets (`Applied.span`), or from the KV cache
(`Applied.generating`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traitbench.controls import decoding
from traitbench.controls.architectures import (
    ARCHITECTURES,
    decoder,
    decoder_layers,
    head_shape,
    layers,
    site_width,
)
from traitbench.controls.decoding import Decoding
from traitbench.controls.edits import Changes, Place, merge
from traitbench.controls.hooks import hook, seen
from traitbench.controls.numbers import check_layer
from traitbench.errors import BadData
from traitbench.types import Edit, Scope, Site

__all__ = ["ARCHITECTURES", "Applied", "Span", "applied", "head_shape", "layers", "recorded", "site_width"]

Index = tuple[Any, ...] | None
"""What selects positions of activations (rows, tokens, width): None all of them, () not one."""

_ALL: Index = None
_NONE: Index = ()
_LAST: Index = (slice(None), slice(-1, None))


@dataclass(frozen=True, slots=True)
class Span:
    """The positions of one forward pass that each scope means; None: not one."""

    answer: Tensor | None = None
    """Booleans (rows, tokens): from the last prompt token on."""
    generated: Tensor | None = None
    """Booleans (rows, tokens): after the prompt."""


class Applied:
    """Edits at work: tells them the positions of each forward pass and, if asked to, measures their dose."""

    def __init__(self, scopes: frozenset[Scope], measure: bool) -> None:
        """Not for callers: `applied` makes it."""
        self.scopes = scopes
        """The scopes of the edits; masks are needed only where it holds `answer` or `generated`."""
        self._measure = measure
        self._next: Span | None = None
        self._now: dict[Scope, Index] = {"all": _ALL}
        self._real: Tensor | None = None
        self._decoding: Decoding | None = None
        self._relies = False
        self._sums: dict[Place, tuple[Tensor, Tensor]] = {}

    def span(self, answer: Tensor | None, generated: Tensor | None) -> None:
        """Set the masks (rows, tokens) of the NEXT forward pass; None: not one of its positions."""
        self._next = Span(answer, generated)

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Decode with a KV cache inside: no masks are needed.

        The first forward of a sequence is the prompt, padded at the left, so that its last column is the answer
        position; what follows on the same cache is generated. A cache filled with a shared prefix may come with the
        first forward. Several sequences may follow one another, each with a cache of its own.
        """
        before, self._decoding = self._decoding, Decoding()
        try:
            yield
        finally:
            self._decoding = before

    @property
    def dose(self) -> float | None:
        """Mean over edited places of sum |edited - before| over sum |before|, both over the positions of the edits.

        These are those of their scopes, whether a condition is met there or not. |.| is the Euclidean norm over all
        places of the site; padding that a 2D attention mask shows is left out. None where nothing was measured.
        """
        sums = [(float(change), float(size)) for change, size in self._sums.values()]
        ratios = [change / size for change, size in sums if size > 0]
        return sum(ratios) / len(ratios) if ratios else None

    def _begin(self, ids: Tensor, mask: Tensor | None, cache: Any, caching: bool) -> None:
        """Find the positions of the forward that begins now: of tokens `ids`, with the 2D attention mask `mask`."""
        given, self._next = self._next, None
        self._relies = False
        rows, tokens = ids.shape[:2]
        mask = None if mask is None else mask[:, -tokens:].bool()
        self._real = mask if self._measure else None
        if self.scopes <= {"all"}:
            return
        if given is not None:
            if self._decoding is not None:
                self._decoding.starts(cache, tokens)
            self._now |= {
                "answer": _index(given.answer, rows, tokens),
                "generated": _index(given.generated, rows, tokens),
            }
        elif self._decoding is None:
            raise RuntimeError(
                f"an edit has the positions {', '.join(sorted(self.scopes - {'all'}))}, and this forward pass does "
                "not say where they are; call span(answer, generated) before it, or decode inside generating()"
            )
        elif not caching:
            raise RuntimeError(
                "inside generating() prompt and reply are told apart by the KV cache, and this forward pass makes "
                "none; decode with use_cache=True, or set the masks with span(answer, generated)"
            )
        elif self._starts(cache, tokens):
            if mask is not None and not bool(mask[:, -1].all()):
                raise RuntimeError("the prompts are padded at the right; inside generating() pad them at the left")
            self._now |= {"answer": _LAST, "generated": _NONE}
        else:
            self._now |= {"answer": _ALL, "generated": _ALL}

    def _starts(self, cache: Any, tokens: int) -> bool:
        assert self._decoding is not None
        self._relies = True
        return self._decoding.starts(cache, tokens)

    def _end(self, cache: Any, name: str) -> None:
        """Note the cache that a forward of the module `name` leaves; BadData where the next one could not be told."""
        if self._decoding is None:
            return
        self._decoding.ended(cache)
        if self._relies and cache is None:
            raise BadData(
                f"{name} keeps what it has read in no cache of transformers, by which prompt and reply are told apart; "
                "edit it at all positions, or ask it for no written replies"
            )

    def _add(self, place: Place, before: Tensor, after: Tensor, touched: Sequence[Index]) -> None:
        """Add one forward's norms to the dose of a place."""
        whole = any(index is None for index in touched)
        counted = torch.full(before.shape[:2], whole, dtype=torch.bool, device=before.device)
        for index in touched:
            if index:
                counted[index] = True
        if self._real is not None:
            counted &= self._real.to(counted.device)
        old, new = before.detach().float(), after.detach().float()
        change, size = ((torch.linalg.vector_norm(x, dim=-1) * counted).sum() for x in (new - old, old))
        if place in self._sums:
            change, size = change + self._sums[place][0], size + self._sums[place][1]
        self._sums[place] = (change, size)


def _index(mask: Tensor | None, rows: int, tokens: int) -> Index:
    """Turn a mask into the indices of its positions, once a forward: inside the layers nothing waits for a GPU."""
    if mask is None:
        return _NONE
    if tuple(mask.shape) != (rows, tokens):
        raise RuntimeError(f"span: a mask of shape {tuple(mask.shape)} for a forward pass of {(rows, tokens)}")
    where = torch.as_tensor(mask).bool().nonzero(as_tuple=True)
    count = len(where[0])
    return _NONE if count == 0 else _ALL if count == rows * tokens else where


@contextmanager
def applied(
    model: Any, edits: Sequence[Edit], tensors: Mapping[str, NDArray[Any]], *, measure: bool = False
) -> Iterator[Applied]:
    """Apply `edits` to every forward pass of `model` inside the block; afterwards the model is as before.

    model: a transformers causal language model, or the text model of one. tensors: the arrays that the edits name, as
    `controls.arrays` gives them. measure: also add up the dose. Edits of one place are applied in the order given, each
    to what the one before left, which its condition reads too; of no effect (none, or strength 0) they leave the model
    untouched, without a hook. BadData for a site that is not known of the architecture, a layer or unit out of range, a
    tensor of another width, missing, not finite or, as a direction, 0.
    """
    places = merge(model, edits, tensors)
    scopes = frozenset(scope for changes in places.values() for scope, _ in changes)
    state = Applied(scopes, measure)
    stack = decoder_layers(model) if places else []
    with ExitStack() as hooks:
        if places and (measure or scopes - {"all"}):
            _watch(decoder(model), state, hooks)
        for (layer, site), changes in places.items():
            hook(seen(model, stack[layer], layer, site), _editor(state, (layer, site), changes), hooks)
        yield state


@contextmanager
def recorded(
    model: Any, site: Site, sink: Callable[[int, Tensor], None], layers: Sequence[int] | None = None
) -> Iterator[None]:
    """Call sink(layer, activations (rows, tokens, width)) in every forward pass of the block, for all layers or some.

    The activations are the model's own, not a copy. Inside `applied` they are seen after the edits. BadData for a site
    that is not known of the architecture, or a layer out of range.
    """
    stack = decoder_layers(model)
    with ExitStack() as hooks:
        for layer in range(len(stack)) if layers is None else layers:
            check_layer(layer, len(stack), site)
            hook(seen(model, stack[layer], layer, site), _reader(layer, sink), hooks)
        yield


def _reader(layer: int, sink: Callable[[int, Tensor], None]) -> Callable[[Tensor], None]:
    return lambda a: sink(layer, a)


def _editor(state: Applied, place: Place, changes: Changes) -> Callable[[Tensor], Tensor | None]:
    """Make the function that edits the activations of one place; None where none of its positions is concerned."""

    def edit(a: Tensor) -> Tensor | None:
        touched = [state._now[scope] for scope, _ in changes]
        if not any(index is None or index for index in touched):
            return None
        out = a
        for n, ((scope, change), index) in enumerate(zip(changes, touched, strict=True)):
            if not change.fits(a):
                # Autocast, or a layer that is elsewhere by now: once.
                change = change.to(a.device, a.dtype)
                changes[n] = (scope, change)
            if index is None:
                out = change(out)
            elif index:
                index = tuple(i.to(a.device) if isinstance(i, Tensor) else i for i in index)
                out = out.clone() if out is a else out
                out[index] = change(out[index])
        if state._measure:
            state._add(place, a, out, touched)
        return out

    return edit


def _watch(module: nn.Module, state: Applied, hooks: ExitStack) -> None:
    """Let `state` see the beginning and the end of every forward pass."""

    def on_begin(_: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        given = [*args[:1], inputs.get("input_ids"), inputs.get("inputs_embeds")]
        mask, caching = inputs.get("attention_mask"), inputs.get("use_cache")
        state._begin(
            next(x for x in given if x is not None),
            mask if isinstance(mask, Tensor) and mask.dim() == 2 else None,
            decoding.given(inputs),
            bool(getattr(module.config, "use_cache", True) if caching is None else caching),
        )

    def on_end(_: nn.Module, args: Any, output: Any) -> None:
        state._end(decoding.left(output), type(module).__name__)

    hooks.callback(module.register_forward_pre_hook(on_begin, with_kwargs=True).remove)
    hooks.callback(module.register_forward_hook(on_end).remove)
