"""What there is to name on the command line: models, methods, tasks and backends, each with a line about it."""

from __future__ import annotations

from typing import Any

from traitbench import inventories, tasks
from traitbench.backends import BACKENDS
from traitbench.backends.models import SHORT_NAMES
from traitbench.catalog import Catalog
from traitbench.errors import MissingExtra
from traitbench.methods import METHODS

__all__ = ["listing"]


def listing() -> dict[str, list[tuple[str, str]]]:
    """Kind -> (name, what it is)."""
    return {
        "models": [*SHORT_NAMES.items(), ("scripted:uniform", "also first, last, person")],
        "methods": [(name, _about(METHODS, name)) for name in METHODS],
        "tasks": [(name, _task(name)) for name in tasks.names()],
        "backends": [(name, BACKENDS[name]) for name in BACKENDS],
    }


def _task(name: str) -> str:
    if name in tasks.SUITES:
        return "suite: " + ", ".join(tasks.SUITES[name])
    if name in tasks.TASKS:
        return _about(tasks.TASKS, name)
    inventory = inventories.load(name, texts=False)
    text = f"text needed: traitbench data get {name}" if inventory.restricted else inventory.licence
    return f"{len(inventory.items)} items, {', '.join(inventory.traits)} ({text})"


def _about(catalog: Catalog[Any], name: str) -> str:
    try:
        return (catalog.load(name).__doc__ or "").partition("\n")[0]
    except MissingExtra as error:
        return f"not usable: {error}"
