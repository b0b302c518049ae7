"""A fitted adapter names its base model so that plain PEFT loads both: the folder, or the hub's id and commit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.adapters import CONFIG
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.fitted import fitted
from traitbench.types import Target

peft = pytest.importorskip("peft")

HIGH = Target(levels={"extraversion": 1.0})
ONE: dict[str, Any] = {
    "scenes": 2, "held_out": 0.5, "batch": 8, "lr": 0.02, "warmup": 0, "match_steps": 2, "evaluations": 1,
}  # fmt: skip
METHOD_ARGS: dict[str, dict[str, Any]] = {
    "sft": {**ONE, "adapters": "each"},
    "dpo": {**ONE, "adapters": "each"},
    "p_tailor": {**ONE, "experts": 2, "expert_rank": 1},
    "persllm": {
        "preset": "small", "per_kind": 1, "instructions": 1, "repeat": 1, "match_steps": 2, "lr": 0.02, "warmup": 0,
        "preference": False,
    },
}  # fmt: skip
COMMIT = "c" * 40


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=ids).logits
    return found


def fit(name: str, bench: Bench) -> Path:
    """Fit `name` on the bench; return the control's folder."""
    kind: Any = METHODS.load(name)
    return bench.folder / fitted(kind(kind.Config(**METHOD_ARGS[name])), HIGH, bench).hash


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", METHOD_ARGS)
def test_plain_peft_loads_a_fitted_adapter_with_its_base(
    name: str, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Typed as a path from here, and read from anywhere.
    monkeypatch.chdir(tiny("llama").parent)
    backend = HuggingFace(resolve(f"./{tiny('llama').name}"), device="cpu")
    place = fit(name, Bench(0, backend, tmp_path / "controls", tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    held = json.loads((place / "adapter" / CONFIG).read_text())
    assert held["base_model_name_or_path"] == str(tiny("llama").resolve()) and held["revision"] is None
    ids = torch.tensor([[0, 20, 40, 60, 80, 5]])
    theirs = logits(peft.AutoPeftModelForCausalLM.from_pretrained(place / "adapter").eval(), ids)
    with backend.under(controls.read(place).model_copy(update={"messages": ()})):
        ours = logits(backend.model, ids)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    assert (ours - logits(backend.model, ids)).abs().max() > 1e-3


@pytest.fixture
def hub(tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model of the hub in the local cache, the hub out of reach."""
    cache = tmp_path / "hub"
    place = cache / "models--org--tiny"
    shutil.copytree(tiny("llama"), place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for module in (huggingface_hub.constants, transformers.utils.hub.constants):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", True)
    return "org/tiny"


def test_of_a_model_of_the_hub_the_id_and_the_commit_are_written(hub: str, tmp_path: Path) -> None:
    backend = HuggingFace(resolve(hub), device="cpu")
    assert backend.base == (hub, COMMIT)
    place = fit("sft", Bench(0, backend, tmp_path / "controls", tmp_path / "cache"))
    held = json.loads((place / "adapter" / CONFIG).read_text())
    assert (held["base_model_name_or_path"], held["revision"]) == (hub, COMMIT)
    ids = torch.tensor([[0, 20, 40, 60, 80, 5]])
    theirs = logits(peft.AutoPeftModelForCausalLM.from_pretrained(place / "adapter").eval(), ids)
    with backend.under(controls.read(place)):
        torch.testing.assert_close(theirs, logits(backend.model, ids), rtol=0, atol=1e-5)


def test_an_adapter_from_elsewhere_keeps_the_base_that_it_names(tiny: Callable[..., Path], tmp_path: Path) -> None:
    backend = HuggingFace(resolve(str(tiny("llama"))), device="cpu")
    bench = Bench(0, backend, tmp_path / "controls", tmp_path / "cache")
    source = fit("sft", bench) / "adapter"
    kind: Any = METHODS.load("adapter")
    for named, wanted in (("org/elsewhere", "org/elsewhere"), (None, str(tiny("llama").resolve()))):
        shutil.copytree(source, tmp_path / str(named).replace("/", "-"))
        config = json.loads((source / CONFIG).read_text()) | {"base_model_name_or_path": named}
        (tmp_path / str(named).replace("/", "-") / CONFIG).write_text(json.dumps(config))
        made = fitted(kind(kind.Config(folder=str(tmp_path / str(named).replace("/", "-")))), HIGH, bench)
        held = json.loads((controls.home(made, bench.folder) / "adapter" / CONFIG).read_text())
        assert held["base_model_name_or_path"] == wanted
