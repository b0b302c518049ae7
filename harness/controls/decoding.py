"""Prompt and reply told apart while a model writes: by the cache that it hands from one forward pass to the next."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Decoding", "given", "left"]

_CACHES = ("past_key_values", "cache_params")
"""What models call the cache that they are given; the second, those that keep recurrent states alone."""


def given(inputs: Mapping[str, Any]) -> Any:
    """Return the cache among the arguments of a forward pass; None without."""
    return next((held for name in _CACHES if (held := inputs.get(name)) is not None), None)


def left(output: Any) -> Any:
    """Return the cache that a forward pass leaves; None where there is none of transformers."""
    parts = output if isinstance(output, tuple) else output.values()
    return next((part for part in parts if hasattr(part, "get_seq_length")), None)


class Decoding:
    """Tells the first forward of a sequence from those that continue it, by its KV cache."""

    def __init__(self) -> None:
        self._cache: Callable[[], Any] = lambda: None
        self._prompt = 0

    def starts(self, cache: Any, tokens: int) -> bool:
        """Tell whether a forward of `tokens` new tokens over `cache` is the first of its sequence."""
        held = _held(cache)
        # A cache that was cut back to a shared prefix begins another sequence; one of recurrent states is never cut.
        if cache is not None and cache is self._cache() and (held is None or held >= self._prompt):
            return False
        self._prompt = (held or 0) + tokens
        return True

    def ended(self, cache: Any) -> None:
        """Remember the cache that the forward leaves; a loop by hand begins without one, and the model makes it."""
        self._cache = (lambda: None) if cache is None else weakref.ref(cache)


def _held(cache: Any) -> int | None:
    """Count the tokens in a cache; None where it keeps recurrent states alone, which have no length."""
    try:
        return 0 if cache is None else int(cache.get_seq_length())
    except ValueError:
        return None
