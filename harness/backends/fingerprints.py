"""Names of model files by their contents: every byte counts, and a big file is read once as long as it is the same."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from traitbench.errors import BadData
from traitbench.files import user_path
from traitbench.progress import Bytes
from traitbench.store import write_json

__all__ = ["cache_folder", "deciding", "fingerprint", "held", "joined", "make_cache", "parts", "sha256", "sha256s"]

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
    return user_path(os.environ.get("TRAITBENCH_CACHE") or "~/.cache/traitbench")


def make_cache(folder: Path) -> None:
    """Make a folder of the cache; BadData where it may not be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadData(
            f"cannot write to the cache {folder}: {error.strerror}; set TRAITBENCH_CACHE to a folder that you may "
            "write in"
        ) from None


def fingerprint(place: Path) -> str:
    """Name the model in a folder, or a file: sha256 over all bytes of the files that decide an answer.

    Names of files enter, the folder's does not. BadData for a file that cannot be read.
    """
    return joined({place.name: sha256s([place])[0]} if place.is_file() else held(place))


def joined(files: Mapping[str, str]) -> str:
    """Name a model by its files: name of each -> sha256."""
    total = hashlib.sha256()
    for name, held in sorted(files.items()):
        total.update(f"{name}\0{held}\0".encode())
    return f"sha256:{total.hexdigest()[:16]}"


def deciding(name: str) -> bool:
    """Tell whether a file of a model's folder decides an answer, by its name."""
    return "/" not in name and Path(name).suffix in _DECIDING and name not in _ASIDE


def held(folder: Path) -> dict[str, str]:
    """The sha256 of each file that decides an answer, by name, with parts of the weights that an index puts deeper."""
    names = {path.name for path in folder.iterdir() if path.is_file() and deciding(path.name)}
    for index in folder.glob("*.safetensors.index.json"):
        names |= {part for part in parts(index) if (folder / part).is_file()}
    return dict(zip(sorted(names), sha256s([folder / name for name in sorted(names)]), strict=True))


def parts(index: Path) -> set[str]:
    """The files of weights that an index names; BadData for one that is none."""
    try:
        return {str(part) for part in json.loads(index.read_text("utf-8"))["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadData(
            f"{index} is no index of weights ({error!r}); expected {{'weight_map': {{tensor: file}}}}; "
            "save the model again"
        ) from None


def sha256s(paths: Sequence[Path]) -> list[str]:
    """Return the sha256 of each file; those that have to be read are read side by side, with a bar if it takes long."""
    unread = [path.stat().st_size for path in paths if path.stat().st_size > _SMALL and _kept(path) is None]
    if not unread:
        return [sha256(path) for path in paths]
    if sum(unread) > _SAID:
        print(f"traitbench: reading {sum(unread) / 1e9:.0f} GB to name the weights (once)", file=sys.stderr)
    pool = ThreadPoolExecutor(min(len(unread), os.cpu_count() or 1))
    with Bytes(sum(unread), "reading weights") as bar:
        try:
            return list(pool.map(lambda path: sha256(path, bar.done), paths))
        finally:
            pool.shutdown(cancel_futures=True)


def sha256(path: Path, step: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a file, from the cache where size, times and inode are as they were when it was read.

    `step` is told of the bytes read. BadData for a file that cannot be read.
    """
    if (kept := _kept(path)) is not None:
        return kept
    total, began = hashlib.sha256(), time.time_ns()
    before = _state(path)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
                if step is not None and before["size"] > _SMALL:
                    step(len(block))
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
