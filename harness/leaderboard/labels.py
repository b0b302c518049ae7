"""Short names of runs: what tells a run from the others of its task and model, and no more; never two alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from traitbench.tables import plain
from traitbench.tasks.administration import limited
from traitbench.tasks.board import Entry

__all__ = ["labelled", "labels", "left_out"]

Place = tuple[str, str]
"""Task and run of an entry."""

_WORDS = {"matched": "instruction"}
"""Setting that is switched on -> what a control then has besides."""


def labelled(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries, each with its short name."""
    found = labels(entries)
    return [entry.model_copy(update={"label": found[entry.task, entry.run]}) for entry in entries]


def labels(entries: Iterable[Entry]) -> dict[Place, str]:
    """Task and run -> a short name, such as "dpo + instruction" or "prompting (style=p2), profiles".

    It is unlike those of the other runs of the same task and model; the model's own name is not part of it. What all
    runs of a method have in common is left out (`left_out` tells it). Where settings tell nothing apart, how the run
    was asked and scored, its backend, revision and version do, and at last a number, in the order of the runs' names.
    """
    mine = list(entries)
    shared = left_out(mine)
    names = {(e.task, e.run): _name(e, shared.get((e.model, e.method), {})) for e in mine}
    for tells in _APART:
        for group in _alike(mine, names):
            told = [tells(entry, group) for entry in group]
            for entry, words in zip(group, told, strict=True):
                names[entry.task, entry.run] += f", {words}" if words and len(set(told)) > 1 else ""
    taken = {(e.task, e.model, names[e.task, e.run]) for e in mine}
    for group in _alike(mine, names):
        for entry in sorted(group, key=lambda e: (e.place, e.run)):
            name, number = names[entry.task, entry.run], 1
            while (entry.task, entry.model, f"{name} #{number}") in taken:
                number += 1
            names[entry.task, entry.run] = f"{name} #{number}"
            taken.add((entry.task, entry.model, f"{name} #{number}"))
    return names


def left_out(entries: Iterable[Entry]) -> dict[Place, dict[str, Any]]:
    """Model and method -> the settings that all its runs share, where there are two at least: no name holds them."""
    runs: dict[Place, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for entry in entries:
        runs[entry.model, entry.method][entry.run] = entry.settings
    out = {}
    for method, mine in runs.items():
        first, *rest = mine.values()
        shared = {k: v for k, v in first.items() if rest and all(k in other and other[k] == v for other in rest)}
        if shared:
            out[method] = shared
    return out


def _name(entry: Entry, shared: Mapping[str, Any]) -> str:
    own = {key: value for key, value in entry.settings.items() if key not in shared}
    told = ", ".join(f"{key}={plain(value)}" for key, value in own.items() if value is not True)
    parts = [entry.method, f" ({told})" if told else ""]
    parts += [f" + {_WORDS.get(key, key)}" for key, value in own.items() if value is True]
    parts += [", profiles" if entry.profiles else ""]
    parts += [f", {entry.respondents} respondents" if entry.respondents else ""]
    parts += [f", {limited(entry.limit)}" if entry.limit is not None else ""]
    return "".join(parts)


def _alike(entries: Iterable[Entry], names: Mapping[Place, str]) -> list[list[Entry]]:
    """The entries of one task and model that have the same name, by two or more."""
    found: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.task, entry.model, names[entry.task, entry.run]].append(entry)
    return [group for group in found.values() if len(group) > 1]


def _asked(entry: Entry, group: Sequence[Entry]) -> str:
    """What of the target and the administration differs in the group, but for what was asked once."""
    keys = dict.fromkeys(key for each in group for key in each.asked)
    odd = [key for key in keys if any(each.asked.get(key) != group[0].asked.get(key) for each in group)]
    told = {key: value for key in odd if (value := plain(entry.asked.get(key))) not in _ONCE}
    return ", ".join(value if key == "target" else f"{key}={value}" for key, value in told.items())


_ONCE = ("0", "1", "None")
"""One wording, one fit, no respondents: the plain way of asking needs no words."""

_APART: tuple[Callable[[Entry, Sequence[Entry]], str], ...] = (
    lambda entry, group: f"{entry.profiles} drawn" if entry.profiles else "",
    _asked,
    lambda entry, group: " and ".join(entry.metrics),
    lambda entry, group: entry.backend,
    lambda entry, group: (entry.revision or "").removeprefix("sha256:")[:8],
    lambda entry, group: f"version {entry.method_version}",
)
"""What may tell apart two runs whose settings are the same, in this order."""
