"""What a GGUF file says of itself, read without its weights.

The package gguf makes an object of every token of a vocabulary, which takes a minute where there are 262,144 of them,
and so long nobody would wait to be told that a file is cut off. The format: docs/gguf.md of the repository ggml,
versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from traitbench.errors import BadData

__all__ = ["MAGIC", "Header", "Tensor", "read_header"]

MAGIC = b"GGUF"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Type of a value -> its format in `struct`."""
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
"""Bytes to which the weights are aligned where a file does not say."""


class Tensor(NamedTuple):
    """One tensor of the table."""

    shape: tuple[int, ...]
    """As torch has it, the fastest dimension last."""
    kind: int
    """ggml's number of the type that it is stored in."""
    start: int
    """Its first byte in the file."""


class Header(NamedTuple):
    """Everything before the weights."""

    path: Path
    size: int
    """Bytes of the file."""
    metadata: Mapping[str, Any]
    """Of a list only how long it is."""
    tensors: Mapping[str, Tensor]

    def text(self, key: str) -> str:
        """A value as text; empty where the file has none."""
        return str(self.metadata.get(key, ""))


class _Damaged(Exception):
    """The bytes are no header."""


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file. BadData for another file, another version, and one that is cut off in it."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise BadData(f"{path} is no GGUF file: it does not begin with GGUF; expected a model as llama.cpp's "
                              "converters write it")  # fmt: skip
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
                return _Reading(held).header(path)
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror}; expected a GGUF file that you may read") from None
    except (_Damaged, struct.error) as error:
        raise BadData(
            f"{path} ends in the middle of its header or is damaged ({error}); expected a whole GGUF file; fetch it "
            "again"
        ) from None


class _Reading:
    """A place in a file that moves on as values are read."""

    def __init__(self, held: mmap.mmap) -> None:
        self._held, self._at = held, len(MAGIC)

    def header(self, path: Path) -> Header:
        version = self._number("I")
        if version not in (2, 3):
            big = version & 0xFFFF == 0
            raise BadData(
                f"{path} is GGUF of {'the other byte order' if big else f'version {version}'}; expected version 2 or "
                "3, little-endian; convert it with llama.cpp's tools"
            )
        tensors, values = self._number("Q"), self._number("Q")
        metadata = {}
        for _ in range(values):
            key = self._text()
            metadata[key] = self._value(self._number("I"))
        table = {self._text(): self._tensor() for _ in range(tensors)}
        step = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(step, int) or step < 1:
            raise _Damaged(f"an alignment of {step!r}")
        begins = -(-self._at // step) * step
        placed = {name: tensor._replace(start=begins + tensor.start) for name, tensor in table.items()}
        return Header(path, len(self._held), metadata, placed)

    def _number(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self._held, self._at)
        self._at += struct.calcsize(f"<{code}")
        return value

    def _skip(self, bytes_: int) -> int:
        """Move on; return where from."""
        before, self._at = self._at, self._at + bytes_
        if self._at > len(self._held):
            raise _Damaged(f"{bytes_} bytes from byte {before} on are not there")
        return before

    def _text(self) -> str:
        length = self._number("Q")
        begin = self._skip(length)
        try:
            return self._held[begin : self._at].decode("utf-8")
        except UnicodeDecodeError:
            raise _Damaged(f"the text at byte {begin} is no UTF-8") from None

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise _Damaged(f"a value of the type {kind}")
        inner, many = self._number("I"), self._number("Q")
        if inner in _NUMBERS:
            self._skip(many * struct.calcsize(_NUMBERS[inner]))
        elif inner == _STRING:
            for _ in range(many):
                self._skip(self._number("Q"))
        else:
            raise _Damaged(f"a list of the type {inner}")
        return many

    def _tensor(self) -> Tensor:
        shape = tuple(self._number("Q") for _ in range(self._number("I")))
        return Tensor(shape[::-1], self._number("I"), self._number("Q"))
