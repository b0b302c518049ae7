"""A small reasoning set as three tasks of lm-eval: what a control takes from, or adds to, what a model can do.

The folder can be named as it is to `lm_eval run --include_path`. Its tasks ask the same items in three ways:
`traitbench_reasoning_choice` by the likelihood of four options, `traitbench_reasoning_cloze` by that of the word which
ends a sentence, `traitbench_reasoning_generate` by what is written. `traitbench_reasoning` is all three. The set lies
beside runs, since it is no questionnaire: nothing in it has a trait, and lm-eval asks and scores it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["TAG", "files", "folder"]

TAG = "traitbench_reasoning"
"""All three tasks."""


def folder() -> Path:
    """Where the tasks lie, for lm-eval's `include_path`."""
    return Path(__file__).parent


def files() -> dict[str, str]:
    """Name of each file that lm-eval needs -> what stands in it."""
    needed = [folder() / "functions.py", folder() / "items.jsonl", *sorted(folder().glob("*.yaml"))]
    return {path.name: path.read_text("utf-8") for path in needed}
