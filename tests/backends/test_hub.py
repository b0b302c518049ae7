"""Models of the hub by the bytes of their files. The hub itself is replaced; its local cache is a real one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from traitbench.backends.fingerprints import fingerprint
from traitbench.backends.models import resolve
from traitbench.backends.weights import Weights, known_as, locate, unchanged
from traitbench.errors import BadData

Tiny = Callable[..., Path]
COMMIT = "c" * 40
NAME = "org/tiny"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def home(tiny: Tiny, tmp_path: Path) -> Path:
    """The hub's local cache with one model, as its client lays it out: blobs, and links to them by commit."""
    place = tmp_path / "home" / "hub" / "models--org--tiny"
    snapshot = place / "snapshots" / COMMIT
    for folder in (place / "blobs", place / "refs", snapshot):
        folder.mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    for file in tiny("llama").iterdir():
        shutil.copyfile(file, place / "blobs" / sha256(file))
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", sha256(file)))
    return tmp_path / "home"


@pytest.fixture
def hub(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the hub list these files, the weights as large ones; returns the names of those that are downloaded."""
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))
    snapshot = home / "hub" / "models--org--tiny" / "snapshots" / COMMIT
    fetched: list[str] = []

    def download(name: str, file: str, revision: str) -> str:
        assert (name, revision) == (NAME, COMMIT)
        fetched.append(file)
        return str(snapshot / file)

    def open_hub(*more: str) -> list[str]:
        siblings = [
            SimpleNamespace(
                rfilename=file.name,
                lfs=SimpleNamespace(sha256=sha256(file)) if file.suffix == ".safetensors" else None,
            )
            for file in snapshot.iterdir()
        ]
        siblings += [SimpleNamespace(rfilename=name, lfs=None) for name in more]
        info = SimpleNamespace(sha=COMMIT, siblings=siblings)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return fetched

    return open_hub


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)


def test_the_same_files_have_the_same_name_on_the_hub_offline_and_in_a_folder(
    hub: Callable[..., list[str]], tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = hub("README.md", "pytorch_model.bin")
    online = locate(resolve(NAME))
    assert "model.safetensors" not in fetched and not {"README.md", "pytorch_model.bin"} & set(fetched)
    assert online.fingerprint == fingerprint(tiny("llama")) and online.revision == COMMIT and not online.offline
    assert known_as(resolve(NAME), online) == {
        "model": "tiny", "source": NAME, "weights": online.fingerprint, "revision": COMMIT,
    }  # fmt: skip
    unreachable(monkeypatch)
    offline = locate(resolve(NAME))
    assert offline == online.model_copy(update={"offline": True})
    monkeypatch.setenv("TRAITBENCH_CACHE", os.devnull + "/none")
    assert locate(resolve(NAME)) == offline


def test_offline_a_file_that_is_not_at_hand_still_counts_once_it_was_listed(
    hub: Callable[..., list[str]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub()
    online = locate(resolve(NAME))
    (home / "hub" / "models--org--tiny" / "snapshots" / COMMIT / "generation_config.json").unlink()
    unreachable(monkeypatch)
    assert locate(resolve(NAME)).fingerprint == online.fingerprint


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_changed_file_in_the_cache_is_refused_by_name_before_and_after_loading(
    name: str, hub: Callable[..., list[str]], home: Path
) -> None:
    hub()
    spec = resolve(NAME)
    found: Weights = locate(spec)
    unchanged(spec, found)
    blob = (home / "hub" / "models--org--tiny" / "snapshots" / COMMIT / name).resolve()
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    for look in (lambda: locate(spec), lambda: unchanged(spec, found)):
        with pytest.raises(BadData, match=rf"{blob.name} is not {name} of org/tiny at cccccccc: .* remove it"):
            look()


def test_another_commit_with_the_same_files_has_the_same_name_and_other_weights_another(
    hub: Callable[..., list[str]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub()
    first = locate(resolve(NAME))
    hub("extra_settings.json")
    assert locate(resolve(NAME)) == first, "a commit is listed once"
    other = "d" * 40
    place = home / "hub" / "models--org--tiny"
    shutil.copytree(place / "snapshots" / COMMIT, place / "snapshots" / other, symlinks=True)
    (place / "refs" / "main").write_text(other)
    unreachable(monkeypatch)
    assert locate(resolve(NAME)).fingerprint == first.fingerprint
    assert locate(resolve(NAME)).revision == other
    file = place / "snapshots" / other / "model.safetensors"
    content = bytearray(file.read_bytes())
    file.unlink()
    content[-1] ^= 1
    file.write_bytes(content)
    assert locate(resolve(NAME)).fingerprint != first.fingerprint


def test_a_model_of_the_local_cache_runs_offline_under_its_name(home: Path, tiny: Tiny, tmp_path: Path) -> None:
    code = (
        "from traitbench.backends.hf import HuggingFace; from traitbench.backends.models import resolve; "
        f"print(HuggingFace(resolve({NAME!r}), device='cpu').identity)"
    )
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "TRAITBENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert fingerprint(tiny("llama")) in done.stdout and COMMIT in done.stdout
