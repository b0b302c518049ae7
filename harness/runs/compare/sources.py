"""Which tool wrote what a path names, and its outcomes: JSON and zip are read, nothing in them is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from traitbench.errors import BadData
from traitbench.files import user_path
from traitbench.runs.compare.foreign import Outcomes
from traitbench.runs.compare.inspect_logs import of_log
from traitbench.runs.compare.lm_eval import of_samples
from traitbench.store import read_json

__all__ = ["Kind", "kind_of", "outcomes"]

Kind = Literal["traitbench run", "lm-eval output", "Inspect log", "table of answers"]

_JSON = {".json", ".jsonl"}
"""Suffixes of what a tool writes; any other file is taken for a table."""

_STAMP = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)$")
"""The end of the names of lm-eval's files, without their suffix."""


def kind_of(named: str | Path) -> Kind:
    """Say which tool wrote a file or folder; a file that is neither JSON nor a log is a table of answers.

    What is neither lm-eval's nor Inspect's nor a table is taken for a traitbench run.

    BadData where a folder holds files of both.
    """
    path = user_path(named)
    if not str(named) or not path.exists():
        return "traitbench run"
    if path.is_file():
        return _kind_of_file(path)
    if any((path / begun).is_file() for begun in ("run.json", "responses.jsonl")):
        return "traitbench run"
    results = sorted(path.glob("results_*.json"))
    if results and _kind_of_file(results[0]) == "traitbench run":
        return "traitbench run"
    samples, logs = _lm_eval_files(path), _inspect_files(path)
    if samples and logs:
        raise BadData(f"{path} holds output of lm-eval and logs of Inspect; name one: {_choices([*samples, *logs])}")
    return "Inspect log" if logs else "lm-eval output" if samples or results else "traitbench run"


def _kind_of_file(path: Path) -> Kind:
    if path.suffix == ".eval":
        return "Inspect log"
    if path.suffix == ".jsonl":
        return "lm-eval output"
    if not _JSON.intersection(path.suffixes):
        return "table of answers"
    held = _json(path)
    if "eval" in held and "status" in held:
        return "Inspect log"
    return "lm-eval output" if "n-samples" in held and "schema_version" not in held else "traitbench run"


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where it holds none."""
    try:
        held = read_json(path)
    except BadData:
        return {}
    return held if isinstance(held, dict) else {}


def _lm_eval_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("samples_*.jsonl"), *folder.glob("*/samples_*.jsonl")])


def _inspect_files(folder: Path) -> list[Path]:
    others = (path for path in folder.glob("*.json") if not path.name.startswith("results_"))
    return sorted([*folder.glob("*.eval"), *(path for path in others if _kind_of_file(path) == "Inspect log")])


def outcomes(path: Path, kind: Kind, tell: Callable[[str], None]) -> list[Outcomes]:
    """Read every metric of every task of a run of another tool, item by item.

    BadData where files are missing or damaged, or a folder holds a task twice: which is meant cannot be known.
    """
    if kind == "Inspect log":
        files = [path] if path.is_file() else _inspect_files(path)
        read = [(file, of_log(file, tell)) for file in files]
    else:
        read = [(file, of_samples(file, _STAMP.sub("", file.stem).removeprefix("samples_"), tell))
                for file in _samples(path)]  # fmt: skip
    held: dict[str, Path] = {}
    for file, found in read:
        for task in dict.fromkeys(one.task for one in found):
            if task in held:
                twice = [one for one, others in read if any(other.task == task for other in others)]
                raise BadData(f"{path} holds {task} {len(twice)} times; name one: {_choices(twice)}")
            held[task] = file
    return [one for _, found in read for one in found]


def _samples(path: Path) -> list[Path]:
    """The samples files of one lm-eval run."""
    if path.suffix == ".jsonl":
        return [path]
    if path.is_file():
        stamp = _STAMP.search(path.stem)
        found = sorted(path.parent.glob(f"samples_*_{stamp[1]}.jsonl")) if stamp else []
    else:
        found = _lm_eval_files(path)
    if not found:
        raise BadData(f"{path} has no samples_*.jsonl beside it: repeat the lm-eval run with --log_samples")
    folders = sorted({file.parent for file in found})
    if len(folders) > 1:
        raise BadData(f"{path} holds the output of {len(folders)} models; name one: {_choices(folders)}")
    return found


def _choices(paths: Iterable[Path]) -> str:
    return ", ".join(f"'{path}'" for path in paths)
