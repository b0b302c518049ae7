"""Which checkpoints are whole: the trainer writes them file by file, and a killed one leaves the last half written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from traitbench.errors import BadData
from traitbench.store import read_json, write_json

__all__ = ["last_whole", "seal"]

_SEAL = "whole.json"
"""File of a checkpoint -> its bytes; written when all of them are on the disk."""


def seal(place: Path) -> None:
    """Hand the files of a checkpoint to the disk, and say that it is whole."""
    sizes = {}
    for path in sorted(p for p in place.rglob("*") if p.is_file() and p.name != _SEAL):
        with path.open("rb+") as handle:
            os.fsync(handle.fileno())
        sizes[str(path.relative_to(place))] = path.stat().st_size
    write_json(place / _SEAL, sizes)


def last_whole(places: Path, clear: bool) -> Path | None:
    """The last whole checkpoint below `places`; `clear` removes those that are not, half written or half removed."""
    found = {}
    for place in places.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if places.is_dir() else ():
        step = place.name.rpartition("-")[2]
        if step.isdigit() and _whole(place):
            found[int(step)] = place
        elif clear:
            shutil.rmtree(place, ignore_errors=True)
    return found[max(found)] if found else None


def _whole(place: Path) -> bool:
    try:
        sizes = read_json(place / _SEAL)
        return bool(sizes) and all((place / name).stat().st_size == size for name, size in sizes.items())
    except (BadData, OSError, AttributeError):
        return False
