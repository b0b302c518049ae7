"""A model does not judge itself or what was made of it, under whatever name; another model may."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from traitbench.backends.models import ModelSpec, resolve
from traitbench.judges.models import ModelJudge
from traitbench.judges.origins import one_model

Named = tuple[str, dict[str, Any]]


def spec(given: str | Named) -> ModelSpec:
    return resolve(given) if isinstance(given, str) else resolve(*given)


LM = "lm_eval:hf"
ONE: list[tuple[str | Named, str | Named]] = [
    ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2"),
    ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ("Qwen/Qwen2.5-7B", "qwen2.5"),
    ("endpoint:Qwen2.5-7B-Instruct", "qwen2.5"),
    ((LM, {"pretrained": "Qwen/Qwen2.5-7B-Instruct"}), "qwen2.5"),
    ((LM, {"pretrained": "smollm2"}), "smollm2"),
    # The measured model is named in other ways too.
    ("qwen2.5", (LM, {"pretrained": "Qwen/Qwen2.5-7B"})),
    (("lm_eval:local-completions", {"model": "qwen2.5-7b"}), "endpoint:Qwen/Qwen2.5-7B-Instruct"),
    ((LM, {"pretrained": "qwen2.5"}), (LM, {"pretrained": "Qwen/Qwen2.5-7B-Instruct"})),
    # Other ways to write a name: of servers, hubs, formats, dates.
    ("endpoint:qwen2.5", "qwen2.5"),
    ("endpoint:qwen2.5:7b-instruct-q4_K_M", "qwen2.5"),
    ("endpoint:qwen/qwen-2.5-7b-instruct", "qwen2.5"),
    ("endpoint:meta-llama/llama-3.1-8b-instruct", "llama3.1"),
    ("endpoint:Meta-Llama-3.1-8B-Instruct-Turbo", "llama3.1"),
    ("unsloth/gemma-2-9b-it-bnb-4bit", "gemma2"),
    ("google/gemma-3-4b-pt", "gemma3"),
    ("google/gemma-3-270m-it", "gemma3-270m"),
    ("meta-llama/Llama-2-7b-hf", "llama2"),
    ("Qwen/Qwen3-8B-Base", "qwen3"),
    ("Qwen/Qwen2.5-7B@main", "Qwen/Qwen2.5-7B-Instruct"),
    ("mistralai/Mistral-7B-v0.3", "mistral"),
    ("endpoint:gpt-4o-2024-08-06", "endpoint:gpt-4o"),
    ("someone/Qwen2.5-7B-Instruct-abliterated", "qwen2.5"),
]
APART: list[tuple[str | Named, str | Named]] = [
    ("Qwen/Qwen2.5-14B", "qwen2.5"),
    ("qwen2.5-1.5b", "qwen2.5"),
    ("qwen2", "qwen2.5"),
    ("qwen3", "qwen2.5"),
    ("llama3", "llama3.1"),
    ("llama3.2-1b", "llama3.2"),
    ("mistralai/Mistral-7B-v0.1", "mistral"),
    ("gemma2", "gemma3"),
    ("meta-llama/Llama-3.1-8B-Instruct", "qwen2.5"),
    ("HuggingFaceTB/SmolLM2-360M-Instruct", "smollm2"),
    ("HuggingFaceTB/SmolLM-135M-Instruct", "smollm2"),
    ("endpoint:gpt-4o-mini", "endpoint:gpt-4o"),
    ("endpoint:gpt-4.1", "endpoint:gpt-4"),
    ("phi4", "phi3"),
    # Two models of one kind of lm-eval's.
    ((LM, {"pretrained": "google/gemma-2-9b-it"}), (LM, {"pretrained": "qwen2.5"})),
    ("endpoint:uniform", "scripted:uniform"),
]


def refusals(judge: str | Named, subject: str | Named) -> list[str | None]:
    """What the judge says of the subject, and the subject as a judge of it."""
    both = spec(judge), spec(subject)
    asked = [(one, other) for one, other in (both, both[::-1]) if one.backend != "scripted"]
    return [ModelJudge(one.name, one, {}).refuses(other) for one, other in asked]


@pytest.mark.parametrize(("judge", "subject"), ONE)
def test_one_model_is_known_under_other_names(judge: str | Named, subject: str | Named) -> None:
    for said in refusals(judge, subject):
        assert "is the model that is measured, or was made of the same one" in str(said)


@pytest.mark.parametrize(("judge", "subject"), APART)
def test_other_models_may_judge(judge: str | Named, subject: str | Named) -> None:
    assert set(refusals(judge, subject)) == {None}


def folder(place: Path, weights: str, **config: str) -> str:
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(config))
    (place / "model.safetensors").write_text(weights)
    return str(place)


def test_folders_go_by_their_origin_their_size_and_their_weights(tmp_path: Path) -> None:
    made_of = folder(tmp_path / "a" / "checkpoint-500", "a", _name_or_path="Qwen/Qwen2.5-7B-Instruct")
    nameless = folder(tmp_path / "b" / "checkpoint-500", "b")
    called = folder(tmp_path / "Qwen2.5-7B-mine", "c")
    cached = folder(tmp_path / "models--Qwen--Qwen2.5-7B" / "snapshots" / "0ab1", "d")
    copied = shutil.copytree(nameless, tmp_path / "copied")
    for place in (made_of, called, cached):
        assert one_model(resolve(place), resolve("qwen2.5"))
        assert one_model(resolve("lm_eval:hf", {"pretrained": place}), resolve("endpoint:Qwen2.5-7B-Instruct"))
    # One last part of a path says nothing.
    assert one_model(resolve(made_of), resolve(nameless)) == ""
    assert one_model(resolve(str(copied)), resolve("lm_eval:hf", {"pretrained": nameless}))


def test_a_file_that_was_copied_is_the_model(tmp_path: Path) -> None:
    for name, held in {"one.gguf": b"GGUF1", "two.gguf": b"GGUF1", "three.gguf": b"GGUF2"}.items():
        (tmp_path / name).write_bytes(held)
    one, two, three = (resolve(str(tmp_path / f"{name}.gguf")) for name in ("one", "two", "three"))
    assert one_model(one, two) and not one_model(one, three) and not one_model(one, resolve("smollm2"))
    (tmp_path / "SmolLM2-135M-Instruct-Q8_0.gguf").write_bytes(b"GGUF3")
    assert one_model(resolve(str(tmp_path / "SmolLM2-135M-Instruct-Q8_0.gguf")), resolve("smollm2"))
