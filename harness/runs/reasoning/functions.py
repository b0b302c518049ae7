"""What the reasoning tasks of lm-eval compute: this file lies beside them, and needs lm-eval alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["INVALID", "load", "named"]

INVALID = "[invalid]"
"""What stands for the answer of a reply that names none, or several."""


def load(file: str, **_: Any) -> Any:
    """Read the items that lie beside this file by their split, as lm-eval's `custom_dataset` has to give them."""
    import datasets

    rows = [json.loads(line) for line in (Path(__file__).parent / file).read_text("utf-8").splitlines()]
    return datasets.DatasetDict({
        split: datasets.Dataset.from_list([row for row in rows if row["split"] == split]) for split in ("dev", "test")
    })  # fmt: skip


def named(resps: Iterable[Sequence[str]], docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Take the answer out of each reply: a filter of lm-eval's kind `custom`."""
    return [[_answer(reply, doc["options"]) for reply in replies] for replies, doc in zip(resps, docs, strict=True)]


def _answer(reply: str, options: Sequence[str]) -> str:
    """The option that a reply begins with, or else the only one that it names; of a sum what stands behind the `=`.

    A number within another is none.
    """
    found = re.findall(r"\d+(?:[.,]\d+)*|[a-z]+", reply.rpartition("=")[2].lower())
    held = {option.lower(): option for option in options}
    if found and found[0] in held:
        return held[found[0]]
    told = {word for word in found if word in held}
    return held[told.pop()] if len(told) == 1 else INVALID
