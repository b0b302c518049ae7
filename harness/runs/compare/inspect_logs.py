"""A log of Inspect (.eval or .json), read by Inspect's own reader: the scores of its samples, epoch by epoch."""

from __future__ import annotations

import math
import os
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.errors import BadData, MissingExtra
from traitbench.runs.compare.foreign import Gathered, Outcomes
from traitbench.types import digest

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

__all__ = ["of_log"]

_WORDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""What Inspect's own metrics make of words: correct, partly, incorrect, no answer."""

_END = struct.Struct("<4s4H2LH")
"""The end of a packed file; its fifth number is how many parts the file has."""
_MANY = 0xFFFF
"""Stands there where they are too many for the number."""


def of_log(path: Path, tell: Callable[[str], None]) -> list[Outcomes]:
    """Read the scores of a log, one a scorer (and key, where a score has several); unscored samples are missing.

    MissingExtra without inspect-ai; BadData where the file is no log, or one without scores.
    """
    log = _read(path)
    task = log.eval.task
    if log.status != "success":
        tell(f"{path} did not finish ({log.status}): the samples it holds are compared")
    gathered: dict[str, Gathered] = {}
    passed: dict[str, None] = {}
    for sample in log.samples or []:
        asked = (digest(sample.input if isinstance(sample.input, str) else [(m.role, m.text) for m in sample.input]),)
        for scorer, score in (sample.scores or {}).items():
            for name, value in _values(scorer, score.value):
                if value is None:
                    passed[name] = None
                elif not gathered.setdefault(name, Gathered()).add(str(sample.id), value, asked, None):
                    raise BadData(f"{path}: sample {sample.id} stands there twice, with two inputs; repeat the run")
    if passed:
        tell(f"passed over scores of {task} that are no number: {', '.join(passed)}")
    if not gathered:
        raise BadData(f"{path} holds no scores; expected a log of a scored evaluation: `inspect score {path}`")
    return [one.outcomes(task, name, "", path) for name, one in gathered.items()]


def _read(path: Path) -> EvalLog:
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise MissingExtra(f"{path} is read with inspect-ai: pip install 'traitbench[inspect]'") from None
    try:
        if path.suffix == ".eval":
            _check_packed(path)
        return read_eval_log(str(path.resolve()), exclude_fields={"messages", "events", "store", "attachments"})
    except MemoryError:
        raise
    except Exception as error:
        # What unpacks, parses and validates a damaged log raises errors of its own kinds, singly or in groups.
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        detail = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadData(f"{path} is no log that Inspect can read: {detail}; copy it again") from None


def _check_packed(path: Path) -> None:
    """BadZipFile where a part is damaged or missing: Inspect reads those that it finds and takes them for the log."""
    if sys.version_info < (3, 14):
        # It lets zipfile unpack zstd, and comes with Inspect.
        import zipfile_zstd  # noqa: F401

    with path.open("rb") as file:
        file.seek(-_END.size, os.SEEK_END)
        count = _END.unpack(file.read())[4]
    with zipfile.ZipFile(path) as held:
        found = held.infolist()
        if torn := held.testzip():
            raise zipfile.BadZipFile(f"{torn} is damaged")
        if count != _MANY and count != len(found):
            raise zipfile.BadZipFile(f"{count} parts are named, and {len(found)} are there")


def _values(scorer: str, value: Any) -> Iterator[tuple[str, float | None]]:
    """Name and number of each part of a score; None where it is no number. NaN, which is unscored, is left out."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _values(f"{scorer}/{key}", part)
        return
    if isinstance(value, str):
        value = _WORDS.get(value, _WORDS.get(value.lower())) if not _numeric(value) else float(value)
    if not isinstance(value, int | float):
        yield scorer, None
    elif not math.isnan(value):
        yield scorer, float(value)


def _numeric(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
