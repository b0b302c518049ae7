"""How similar texts are: by the words they share (TF-IDF), or by a small model of word vectors that PyPI ships."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import MissingExtra
from traitbench.word_vectors import word_vectors

__all__ = ["Retrieval", "cosines", "nearest"]

Retrieval = Literal["tfidf", "embedding"]
"""embedding: the mean of 256-dimensional word vectors of the package wordllama."""


def cosines(a: Sequence[str], b: Sequence[str], retrieval: Retrieval) -> NDArray[np.float64]:
    """Cosine similarity of the texts, (a, b): of TF-IDF vectors fitted on all of them, or of mean word vectors.

    A text without any word is similar to nothing (0). MissingExtra where scikit-learn or wordllama is not installed.
    """
    both = [*a, *b]
    vectors = _tfidf(both) if retrieval == "tfidf" else _embedding(both)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    # Rounded, so that equals are equal on every machine and the earlier one is taken.
    found: NDArray[np.float64] = np.round(unit[: len(a)] @ unit[len(a) :].T, 9)
    return found


def _tfidf(texts: Sequence[str]) -> NDArray[np.float64]:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise MissingExtra("retrieval=tfidf needs scikit-learn: pip install 'traitbench[train]'") from error
    try:
        dense = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts).toarray()
    except ValueError:
        # What it raises where no text has a word in it.
        return np.zeros((len(texts), 1))
    return np.asarray(dense, dtype=np.float64)


@cache
def _words() -> Any:
    return word_vectors("retrieval=embedding", "pip install 'wordllama>=0.4'; or take retrieval=tfidf")


def _embedding(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.asarray(_words().embed(list(texts), norm=False), dtype=np.float64)


def nearest(texts: Sequence[str], passages: Sequence[str], k: int, retrieval: Retrieval) -> list[list[int]]:
    """For each text the `k` most similar passages, the best first; of equals the earlier one."""
    found = cosines(texts, passages, retrieval)
    return [[int(i) for i in np.argsort(-row, kind="stable")[:k]] for row in found]
