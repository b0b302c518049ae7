"""What lm-eval's models of transformers write, token by token: of the texts that they return no end can be told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from traitbench.backends.rendering import Tokens

__all__ = ["Spoken"]


class Spoken:
    """The replies that a model has generated last."""

    def __init__(self, lm: Any, stops: Collection[int]) -> None:
        """Listen to `lm`, whose replies end with one of `stops`."""
        self._generate, self._stops = lm._model_generate, frozenset(stops)
        self._rows: dict[Tokens, tuple[int, bool]] = {}
        lm._model_generate = self._heard

    def of(self, prompt: Tokens) -> tuple[int, bool] | None:
        """Tokens before the end of the reply to `prompt`, and whether it came to an end; None if there was none."""
        return self._rows.get(prompt)

    def _heard(self, context: Any, attention_mask: Any, **settings: Any) -> Any:
        out = self._generate(context=context, attention_mask=attention_mask, **settings)
        for ids, mask, row in zip(context.tolist(), attention_mask.tolist(), out.tolist(), strict=True):
            said = row[len(ids) :]
            stop = next((place for place, token in enumerate(said) if token in self._stops), None)
            prompt = tuple(token for token, shown in zip(ids, mask, strict=True) if shown)
            self._rows[prompt] = (len(said) if stop is None else stop, stop is not None)
        return out
