"""Which family a model belongs to: those of one family were made of the same texts and like the same words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from traitbench.backends.models import ModelSpec

__all__ = ["FAMILIES", "family", "family_named", "told"]

FAMILIES = (
    "smollm", "llama", "qwen", "mistral", "gemma", "gpt", "phi", "olmo", "claude", "gemini", "deepseek", "falcon",
    "granite", "command", "yi", "glm", "bloom", "mamba", "grok", "kimi", "nemotron",
)  # fmt: skip
_CALLED = {
    "mixtral": "mistral", "ministral": "mistral", "codestral": "mistral", "magistral": "mistral", "qwq": "qwen",
    "chatgpt": "gpt", "o1": "gpt", "o3": "gpt", "o4": "gpt", "vicuna": "llama", "alpaca": "llama", "cohere": "command",
    "chatglm": "glm",
}  # fmt: skip
"""Other names of a family's models."""


def family(spec: ModelSpec) -> str | None:
    """The family of a model by its name, then by its base's; of a folder whose names say nothing by `model_type`.

    None where nothing tells. A name goes before the architecture, which families lend each other: SmolLM2's is llama.
    """
    config = told(spec, "config.json")
    base = told(spec, "adapter_config.json").get("base_model_name_or_path")
    for name in (spec.label, spec.place, config.get("_name_or_path"), base, config.get("model_type")):
        if found := family_named(str(name or "")):
            return found
    return None


def told(spec: ModelSpec, name: str) -> dict[str, Any]:
    """What a file of a model's folder says; empty where the model is no folder, or has no such file."""
    folder = Path(spec.place)
    if not folder.is_absolute() or not (folder / name).is_file():
        return {}
    try:
        found = json.loads((folder / name).read_text("utf-8"))
    except ValueError:
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def family_named(name: str) -> str | None:
    """The family whose name comes first in `name`; of a path its last part counts."""
    words = re.findall(r"[a-z]+\d?", name.rpartition("/")[2].lower())
    for word in words:
        bare = word.rstrip("0123456789")
        if word in _CALLED or bare in _CALLED:
            return _CALLED.get(word) or _CALLED[bare]
        if found := next((each for each in FAMILIES if bare.startswith(each)), None):
            return found
    return None
