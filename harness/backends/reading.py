"""Whether a model reads its prompts: how well it foresees neutral prose, and with which first token.

Some models read nothing without the token that began every text they were trained on, and some tokenizers leave it out.
The word of a configuration is not enough to add it, since many name a token that no text began with: what decides is
how well the model foresees neutral prose with it and without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from traitbench.backends.fingerprints import cache_folder
from traitbench.backends.neutral import FEW, perplexity, requests
from traitbench.backends.rendering import Renderer
from traitbench.errors import BadData
from traitbench.statistics.thresholds import BEGINNING
from traitbench.store import read_json, write_json
from traitbench.types import Beginning, Continue, Response, digest

__all__ = ["begin", "compared", "first_tokens", "kept"]

Ask = Callable[[Sequence[Continue]], Iterable[Mapping[int, Response]]]


def first_tokens(config: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that configuration and tokenizer name as the first of a text, as far as the model has them."""
    named = [getattr(config, "bos_token_id", None), tokenizer.bos_token_id]
    most = getattr(config, "vocab_size", None) or len(tokenizer)
    return [token for token in dict.fromkeys(named) if isinstance(token, int) and 0 <= token < most]


def begin(renderer: Renderer, named: Sequence[int], decide: Callable[[], Beginning | None]) -> Beginning | None:
    """Let prompts begin with one of the tokens `named` where that is what the model reads; say what was found.

    `decide` is asked where they begin with none of them. None where no token is named, where a chat template writes
    none, which has the say on how its prompts begin, or where nothing could be found out.
    """
    if not named:
        return None
    asked = requests()[0]
    try:
        first = renderer.encode(renderer.render(asked.messages, asked.cue))[:1]
    except BadData:
        # A template that takes no such turn refuses the run's own by name.
        return None
    if first and first[0] in named:
        return Beginning(token=_text(renderer, first[0]), id=first[0], written="by itself")
    found = None if renderer.chat else decide()
    if found is not None and found.written == "added":
        renderer.begins = (found.id,)
    return found


def kept(about: Sequence[Any], decide: Callable[[], Beginning | None]) -> Beginning | None:
    """What was once found `about` a model, from the cache; else what `decide` finds, which is kept."""
    place = cache_folder() / "beginnings" / f"{digest([*about, BEGINNING.value])}.json"
    with suppress(BadData, ValidationError, OSError):
        return Beginning.model_validate(read_json(place))
    if (found := decide()) is not None:
        # A cache that cannot be written costs time and nothing else.
        with suppress(BadData):
            write_json(place, found.model_dump(mode="json"))
    return found


def compared(renderer: Renderer, named: Sequence[int], ask: Ask) -> Beginning | None:
    """Ask for neutral prose with each of the tokens `named` in front and without; None where the model cannot tell."""
    try:
        without, tried = _perplexity(ask), {}
        for token in named:
            renderer.begins = (token,)
            tried[token] = _perplexity(ask)
    except BadData:
        # A prompt that does not fit, or numbers that are none: what the run itself asks will say so by name.
        return None
    finally:
        renderer.begins = ()
    best = min(tried, key=lambda token: tried[token])
    return Beginning(
        token=_text(renderer, best), id=best, with_it=tried[best], without=without,
        written="added" if without >= BEGINNING.value * tried[best] else "left out",
    )  # fmt: skip


def _perplexity(ask: Ask) -> float:
    asked = requests()[:FEW]
    found = {index: response for batch in ask(asked) for index, response in batch.items()}
    return perplexity(found[index] for index in range(len(asked)))


def _text(renderer: Renderer, token: int) -> str:
    return str(renderer.tokenizer.decode([token]))
