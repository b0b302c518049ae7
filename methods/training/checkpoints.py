"""Which checkpoints are as they were saved: a killed trainer leaves the last one half written, and files can change."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from traitbench.backends.fingerprints import sha256s
from traitbench.errors import BadData
from traitbench.store import read_json, write_json

__all__ = ["SEAL", "last_whole", "seal"]

SEAL = "sealed.json"
"""File of a checkpoint -> its sha256; written when all of them are on the disk."""

_OWN = re.compile(r"rng_state_\d+")


def seal(place: Path) -> None:
    """Hand the files of a checkpoint to the disk, and say that it is whole."""
    for path in place.rglob("*"):
        if path.is_file():
            with path.open("rb+") as handle:
                os.fsync(handle.fileno())
    write_json(place / SEAL, _contents(place))


def last_whole(places: Path, clear: bool, tell: Callable[[str], None]) -> Path | None:
    """The last checkpoint below `places` that is as it was saved; `clear` removes those that are not.

    One that was changed since is told of; one half written, or half removed, is what a killed training leaves.
    """
    found = {}
    for place in places.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if places.is_dir() else ():
        step, sealed = place.name.rpartition("-")[2], _sealed(place)
        now = _contents(place) if sealed else {}
        if step.isdigit() and sealed and sealed.items() <= now.items():
            found[int(step)] = place
            continue
        if sealed and sealed.keys() <= now.keys():
            tell(f"{place} was changed since it was saved: the training goes on from before it")
        if clear:
            shutil.rmtree(place, ignore_errors=True)
    return found[max(found)] if found else None


def _contents(place: Path) -> dict[str, str]:
    """Name the files of a checkpoint, but those that each of several processes writes for itself."""
    files = [p for p in sorted(place.rglob("*")) if p.is_file() and p.name != SEAL and not _OWN.match(p.name)]
    return dict(zip([str(path.relative_to(place)) for path in files], sha256s(files), strict=True))


def _sealed(place: Path) -> dict[str, str]:
    try:
        held = read_json(place / SEAL)
    except (BadData, OSError):
        return {}
    return held if isinstance(held, dict) else {}
