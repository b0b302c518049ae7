"""What the exported lm-eval tasks compute: this file is copied beside them, and needs lm-eval alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["load", "option_logprobs", "score"]


def load(file: str, **_: Any) -> Any:
    """Read the items that lie beside this file, as lm-eval's `custom_dataset` has to give them."""
    import datasets

    rows = json.loads((Path(__file__).parent / file).read_text("utf-8"))
    return datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)})


def option_logprobs(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> list[float]:
    """Natural log of the summed probability of each option's spellings, as the options are shown."""
    grouped: list[list[float]] = [[] for _ in doc["values"]]
    for option, (logprob, _) in zip(doc["option_of"], results, strict=True):
        grouped[option].append(logprob)
    return [max(each) + math.log(sum(math.exp(x - max(each)) for x in each)) for each in grouped]


def score(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Expected answer to one item, reversed where it is minus-keyed, under its trait's name; and the option mass."""
    logprobs = option_logprobs(doc, results)
    weights = [math.exp(x) for x in logprobs]
    shares = [math.exp(x - max(logprobs)) for x in logprobs]
    value = sum(s * v for s, v in zip(shares, doc["values"], strict=True)) / sum(shares)
    keyed = value if doc["keyed"] == 1 else doc["values"][0] + doc["values"][-1] - value
    return {doc["trait"]: keyed, "option_mass": sum(weights)}
