"""lm-eval's tasks by name: found, loaded with their data, and refused where a run cannot ask them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from traitbench.backends.lm_eval.kinds import quiet, unlogged
from traitbench.errors import BadData, UnsupportedControl, first_line, unknown
from traitbench.files import user_path
from traitbench.runs import reasoning
from traitbench.types import digest

__all__ = ["Loaded", "load", "reseeded"]

_SEEDS = {"random": 0, "numpy": 1234, "torch": 1234, "fewshot": 1234}
"""lm-eval's own defaults: some tasks shuffle options or draw examples."""


class Loaded(NamedTuple):
    """Tasks with their data."""

    asked: tuple[str, ...]
    shown: tuple[str, ...]
    """Tasks and groups that these stand for: a tag is all of its tasks."""
    tasks: dict[str, Any]
    """Name -> lm-eval's task."""
    groups: dict[str, Any]
    """Name -> lm-eval's group."""
    hashes: dict[str, str]
    """Task -> digest of its configuration, wherever its file lies."""
    limit: int | None
    documents: int
    """How many are asked under one condition."""
    chance: tuple[Any, ...]
    """State of the random numbers after loading, from which each condition begins."""

    def dictionary(self) -> dict[str, Any]:
        """The same as lm-eval's `evaluate` takes them; each task draws its examples anew."""
        for task in self.tasks.values():
            task.set_fewshot_seed(seed=_SEEDS["fewshot"])
        return {"tasks": self.tasks, "groups": self.groups}

    def without_prompt(self) -> list[str]:
        """Tasks that score texts from their first word on."""
        return [name for name, task in self.tasks.items() if task.OUTPUT_TYPE == "loglikelihood_rolling"]


def load(
    names: Sequence[str], include: Sequence[str], limit: int | None, tell: Callable[[str], None] = lambda line: None
) -> Loaded:
    """Find the tasks, groups and tags called `names` and load their data, as `lm_eval run` would.

    `include` are folders with tasks of one's own, searched first; our reasoning set is always known. `limit`:
    documents a task, None for all. UnknownName with the nearest name, BadData where a task or its data cannot be had,
    UnsupportedControl for one that no run can ask.
    """
    manager = _manager(names, include, tell)
    built: dict[str, Any] = {}
    with _quietly(), _preserved():
        _seed()
        for name in names:
            try:
                built[name] = manager.load([name])
            except Exception as error:
                raise BadData(
                    f"lm-eval cannot load {name}: {type(error).__name__}: {first_line(error)}; a stock task needs its "
                    "data set, from the network or the cache of datasets (HF_HOME), and some need a package of their "
                    "own: `lm_eval validate --tasks` says more"
                ) from error
        tasks = {task: made for found in built.values() for task, made in found["tasks"].items()}
        groups = {group: made for found in built.values() for group, made in found["groups"].items()}
        for name, task in tasks.items():
            _refuse(name, task)
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
        chance = _state()
        total = sum(min(len(task.eval_docs), limit or len(task.eval_docs)) for task in tasks.values())
    joined = {name for name, group in groups.items() if group.has_aggregation}
    shown = [top for name, found in built.items() for top in ([name] if name in joined else found["tasks"])]
    hashes = {name: _hash(task) for name, task in tasks.items()}
    return Loaded(tuple(names), tuple(dict.fromkeys(shown)), tasks, groups, hashes, limit, total, chance)


@contextmanager
def reseeded(loaded: Loaded) -> Iterator[None]:
    """Give Python, numpy and torch the random numbers that follow on loading, and take them back afterwards."""
    with _preserved():
        _restore(loaded.chance)
        yield


def _manager(names: Sequence[str], include: Sequence[str], tell: Callable[[str], None]) -> Any:
    """lm-eval's index; its own thousands of tasks are read only where a name is not among the others."""
    mine = tuple(str(user_path(folder)) for folder in (str(reasoning.folder()), *include))
    manager = _index(mine, False)
    if set(names) - set(manager.all_tasks):
        tell("reading the list of lm-eval's tasks (half a minute)")
        manager = _index(mine, True)
    for name in names:
        if name not in manager.all_tasks:
            raise _unknown(name, manager.all_tasks)
    return manager


def _unknown(name: str, known: Sequence[str]) -> Exception:
    import difflib

    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    if not close:
        return unknown("task of lm-eval", name, [reasoning.TAG], "and what `lm_eval ls tasks` prints")
    return unknown("task of lm-eval", name, close, f"(also close: {', '.join(close[1:])})" if close[1:] else "")


@lru_cache(maxsize=4)
def _index(paths: tuple[str, ...], stock: bool) -> Any:
    with _quietly():
        from lm_eval.tasks import TaskManager

        return TaskManager(include_path=list(paths), include_defaults=stock)


@contextmanager
def _quietly() -> Iterator[None]:
    with quiet(), unlogged():
        yield


def _refuse(name: str, task: Any) -> None:
    kinds = ("multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until")
    if getattr(task, "UNSAFE_CODE", False):
        raise UnsupportedControl(
            f"--side_effects: {name} runs code that the model writes; run it by lm-eval's own command, in a sandbox: "
            "python -m traitbench.lm_eval run --model traitbench --confirm_run_unsafe_code"
        )
    if getattr(task, "MULTIMODAL", False):
        raise UnsupportedControl(f"--side_effects: {name} shows pictures or sounds; expected a task of texts")
    if task.OUTPUT_TYPE not in kinds:
        raise UnsupportedControl(
            f"--side_effects: {name} is of the output type {task.OUTPUT_TYPE}; expected {', '.join(kinds)}"
        )


def _hash(task: Any) -> str:
    """Digest of the configuration: without the place of its file, nor those of functions in this process's memory."""
    config = {key: value for key, value in task.dump_config().items() if key != "metadata"}
    return digest({name: re.sub(r" at 0x[0-9a-f]+", "", str(value)) for name, value in config.items()})


def _seed() -> None:
    import torch

    random.seed(_SEEDS["random"])
    np.random.seed(_SEEDS["numpy"])
    torch.manual_seed(_SEEDS["torch"])


def _state() -> tuple[Any, ...]:
    import torch

    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore(state: tuple[Any, ...]) -> None:
    import torch

    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])


@contextmanager
def _preserved() -> Iterator[None]:
    before = _state()
    try:
        yield
    finally:
        _restore(before)
