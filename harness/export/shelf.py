"""Folders that other tools read: made of names and texts, in the cache, where the same contents have the same place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from traitbench.backends.fingerprints import cache_folder
from traitbench.store import write_text

__all__ = ["shelved"]


def shelved(tool: str, files: Mapping[str, str]) -> Path:
    """Write `files`, path -> text, to a folder of the cache, unless they are there, and return it."""
    total = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / tool / total
    for name, text in files.items():
        place = folder / name
        if not place.is_file() or place.read_text("utf-8") != text:
            write_text(place, text)
    return folder
