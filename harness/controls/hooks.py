"""Hooks on the state of one place: seen, and replaced, wherever in a module's input or output it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from torch import Tensor, nn

from traitbench.controls.architectures import part, state_of, stream_of
from traitbench.types import Site

__all__ = ["Seen", "hook", "seen"]


class Seen(NamedTuple):
    """Where the state of one place is seen."""

    module: nn.Module
    before: bool
    """Whether it is the module's first input, else its output (of a tuple, the first)."""
    stream: int | None
    """Which of a stack of streams it is."""
    told: str
    """What it is, for a message."""


def seen(model: Any, layer: nn.Module, number: int, site: Site) -> Seen:
    """Find a site of a decoder layer, which is number `number`."""
    told = f"{site} of layer {number} in {type(model).__name__}"
    return Seen(*part(model, layer, site), stream_of(model, site), told)


def hook(at: Seen, do: Callable[[Tensor], Tensor | None], hooks: ExitStack) -> None:
    """Let `do` see, and replace, the state of a place."""

    def changed(held: Any) -> Any:
        new = do(state_of(held, at.stream, at.told))
        if new is None:
            return None
        if at.stream is not None:
            # The other streams stay: a stack of its own, since the model may keep the old one.
            whole = (held[0] if isinstance(held, tuple) else held).clone()
            whole[at.stream] = new
            new = whole
        return (new, *held[1:]) if isinstance(held, tuple) else new

    def on_input(_: nn.Module, args: tuple[Any, ...]) -> Any:
        return changed(args)

    def on_output(_: nn.Module, args: Any, output: Any) -> Any:
        return changed(output)

    handle = at.module.register_forward_pre_hook(on_input) if at.before else at.module.register_forward_hook(on_output)
    hooks.callback(handle.remove)
