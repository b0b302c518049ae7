"""A results file with its checksum: written, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitbench.errors import BadData
from traitbench.runs.results import SCHEMA_VERSION, Results
from traitbench.types import digest

__all__ = ["check_file", "opened", "sealed", "written"]

_SEALED = 5
"""The first schema version whose files all have a checksum."""


def written(results: Results) -> dict[str, Any]:
    """What a results file holds, with its checksum."""
    return sealed(results.model_dump(mode="json", by_alias=True))


def sealed(held: Mapping[str, Any]) -> dict[str, Any]:
    """The same content with the checksum that belongs to it."""
    return {**held, "checksum": _checksum(held)}


def opened(path: Path, held: Any) -> Results:
    """The results in a file, as they were before they were written. BadData, or ValueError for other content."""
    check_file(path, held)
    return Results.model_validate(held)


def _checksum(held: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in held.items() if name != "checksum"})


def check_file(path: Path, held: Any) -> None:
    """Refuse what a newer version wrote to `path`, and what was changed since it was written: BadData."""
    _check_version(path, held)
    if not isinstance(held, dict) or held.get("checksum") == _checksum(held):
        return
    said = held.get("checksum")
    version = held.get("schema_version")
    if said or (isinstance(version, int) and version >= _SEALED):
        raise BadData(
            f"{path} is not as it was written ({f'its checksum is {said}' if said else 'it lacks its checksum'}, and "
            f"what it holds has {_checksum(held)}): copy it again, or repeat the `traitbench run` that made it: its "
            "responses are kept, so this takes seconds"
        )


def _check_version(path: Path, held: Any) -> None:
    """Refuse what a newer version wrote to `path`, which this one would read as its own: BadData."""
    found = held.get("schema_version") if isinstance(held, dict) else None
    if isinstance(found, int) and found > SCHEMA_VERSION:
        raise BadData(
            f"{path} was made by a newer traitbench: its schema version is {found}, and this one reads up to "
            f"{SCHEMA_VERSION}; upgrade: pip install --upgrade traitbench"
        )
