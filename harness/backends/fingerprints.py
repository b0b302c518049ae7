"""Names of model files by their contents: every byte counts, and a big file is read once as long as it is the same."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from traitbench.errors import BadData
from traitbench.store import write_json

__all__ = ["cache_folder", "fingerprint", "sha256"]

_BLOCK = 1 << 22
_SMALL = 1 << 20
"""Bytes up to which reading a file is quicker than looking its digest up."""
_SAID = 2 << 30
"""Bytes to read from which on a line says so."""
_SETTLED = 2 * 10**9
"""Nanoseconds after a change in which a second one could carry the same time."""

_DECIDING = (
    ".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken", ".spm", ".vocab", ".bpe", ".codes", ".py",
)  # fmt: skip
"""Endings of weights, settings, tokenizer files, templates and model code, under whatever names."""
_ASIDE = ("trainer_state.json", "all_results.json", "train_results.json", "eval_results.json", "LICENSE.txt")
"""What trainers and authors leave beside them; it decides no answer."""


def cache_folder() -> Path:
    """Return the folder for what can be made again: TRAITBENCH_CACHE, else ~/.cache/traitbench."""
    return Path(os.environ.get("TRAITBENCH_CACHE") or Path.home() / ".cache" / "traitbench")


def fingerprint(place: Path) -> str:
    """Name the model in a folder, or a file: sha256 over all bytes of the files that decide an answer.

    Names of files enter, the folder's does not. BadData for a file that cannot be read.
    """
    files = [(place.name, place)] if place.is_file() else _files(place)
    unread = [(path, size) for _, path in files if (size := path.stat().st_size) > _SMALL and _kept(path) is None]
    if (size := sum(size for _, size in unread)) > _SAID:
        print(f"traitbench: reading {size / 1e9:.0f} GB of {place} to name the weights (once)", file=sys.stderr)
    total = hashlib.sha256()
    for name, path in files:
        total.update(f"{name}\0{sha256(path)}\0".encode())
    return f"sha256:{total.hexdigest()[:16]}"


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Names and paths of the files that decide an answer, with parts of the weights that an index puts deeper."""
    names = {path.name for path in folder.iterdir() if path.is_file() and path.suffix in _DECIDING} - set(_ASIDE)
    for index in folder.glob("*.safetensors.index.json"):
        try:
            parts = {str(part) for part in json.loads(index.read_text("utf-8"))["weight_map"].values()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadData(
                f"{index} is no index of weights ({error!r}); expected {{'weight_map': {{tensor: file}}}}; "
                "save the model again"
            ) from None
        names |= {part for part in parts if (folder / part).is_file()}
    return [(name, folder / name) for name in sorted(names)]


def sha256(path: Path) -> str:
    """Return the sha256 of a file, from the cache where size, times and inode are as they were when it was read."""
    if (kept := _kept(path)) is not None:
        return kept
    total, began = hashlib.sha256(), time.time_ns()
    before = _state(path)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror}; expected a model's file that you may read") from None
    if _state(path) != before:
        raise BadData(f"{path} was changed while it was read; run again when it is written")
    if before["size"] > _SMALL and began - max(before["mtime_ns"], before["ctime_ns"]) > _SETTLED:
        # A cache that cannot be written costs time and nothing else.
        with suppress(BadData):
            write_json(_place(path), {"file": before, "sha256": total.hexdigest()})
    return total.hexdigest()


def _kept(path: Path) -> str | None:
    """The digest in the cache; None where there is none, or the file is another one since."""
    try:
        held = json.loads(_place(path).read_text("utf-8"))
        return str(held["sha256"]) if held["file"] == _state(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _state(path: Path) -> dict[str, int]:
    """What changes when a file does. The inode's time does also where a copy sets the file's own back."""
    found = path.stat()
    return {
        "size": found.st_size, "mtime_ns": found.st_mtime_ns, "ctime_ns": found.st_ctime_ns, "inode": found.st_ino,
        "device": found.st_dev,
    }  # fmt: skip


def _place(path: Path) -> Path:
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
    return cache_folder() / "digests" / f"{name}.json"
