"""Pretrained word vectors: the table and tokenizer that the package wordllama ships. Nothing is fetched."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from traitbench.errors import MissingExtra

__all__ = ["word_vectors"]


def word_vectors(what: str, install: str) -> Any:
    """Load a new `wordllama.WordLlama`: embedding (tokens, 256) and tokenizer. Its set-up of logging is undone.

    MissingExtra, saying that `what` needs it and how to `install` it, where the package or its vectors are missing.
    """
    if find_spec("wordllama") is None:
        raise MissingExtra(f"{what} needs wordllama: {install}")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    import wordllama

    root.handlers[:] = handlers
    root.setLevel(level)
    # Weights and tokenizer lie in the package; it looks for its tokenizer only below the cache folder.
    try:
        return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    except FileNotFoundError as error:
        raise MissingExtra(f"the installed wordllama came without its vectors ({error}): {install}") from error
