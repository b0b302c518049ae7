"""Prompts and answers of a benchmark as a task of lm-eval's, so that it weighs the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["multiple_choice"]


def multiple_choice(name: str, prompts: Sequence[str], choices: Sequence[Sequence[str]]) -> Any:
    """A multiple_choice task over a dataset in memory; `choices` are those of each prompt."""
    import datasets
    from lm_eval.api.task import ConfigurableTask

    rows = datasets.Dataset.from_list(
        [{"prompt": p, "choices": list(c), "answer": 0} for p, c in zip(prompts, choices, strict=True)]
    )
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda **_: datasets.DatasetDict({"test": rows}),
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{answer}}",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}],
        }
    )
