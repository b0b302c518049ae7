"""Runs under adapters from elsewhere: what is wrong with one is said before anything is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from said import Say

from traitbench.backends import neutral
from traitbench.controls.adapters import WEIGHTS

peft = pytest.importorskip("peft")

LINE = "run --model '{model}' --method adapter --method_args folder='{folder}' --target extraversion=high "
REST = "--tasks mini_ipip --limit 2 --scoring statement --device cpu -o out --bootstrap_iters 100 --format json"


def adapter(model: Path, folder: Path, **given: Any) -> Path:
    torch.manual_seed(1)
    base = transformers.AutoModelForCausalLM.from_pretrained(model)
    config = peft.LoraConfig(r=2, **{"target_modules": ["q_proj"], "init_lora_weights": False, **given})
    peft.get_peft_model(base, config).save_pretrained(folder)
    return folder


def without_half(held: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in held.items() if ".1." not in name}


def not_finite(held: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor / 0 if ".1." in name else tensor for name, tensor in held.items()}


@pytest.mark.parametrize(
    ("change", "told"), [(without_half, "lacks 2 tensors"), (not_finite, "expected finite numbers")]
)
def test_a_damaged_adapter_is_refused_before_anything_is_asked(
    change: Callable[[dict[str, Any]], dict[str, Any]], told: str, tiny: Callable[..., Path], say: Say, tmp_path: Path
) -> None:
    folder = adapter(tiny("llama"), tmp_path / "peft")
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)
    done = say(LINE.format(model=tiny("llama"), folder=folder) + REST)
    assert done.code == 1 and told in done.err.splitlines()[-1] and "Traceback" not in done.err
    # Whether the model reads at all was looked at, on neutral prose.
    assert sum(len(path.read_text().splitlines()) for path in Path("out").rglob("responses.jsonl")) <= neutral.FEW


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("given", [{"use_dora": True}, {"target_modules": ["embed_tokens", "v_proj"]}])
def test_dora_and_embeddings_are_measured(
    given: dict[str, Any], tiny: Callable[..., Path], say: Say, tmp_path: Path
) -> None:
    folder = adapter(tiny("llama"), tmp_path / "peft", **given)
    done = say(LINE.format(model=tiny("llama"), folder=folder) + REST)
    assert done.code == 0, done.err
    (contrast,) = json.loads(done.out)["tasks"]["mini_ipip"]["modes"]["statement"]["scorecard"]["contrasts"]
    assert abs(contrast["effect"]["value"]) > 1e-4
