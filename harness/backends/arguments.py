"""What --model_args takes of models whose weights run here, and its check: without torch, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from traitbench.errors import UnknownName, refuse_others
from traitbench.masking import masked
from traitbench.types import Record

__all__ = ["ARGUMENTS", "HFArguments", "VLLMArguments", "check_arguments"]

Precision = Literal["float32", "bfloat16", "float16", "auto"]


class _Weights(Record):
    """How weights are read."""

    dtype: Precision | None = None
    """None: float32 on the CPU and the checkpoint's own elsewhere, as auto everywhere."""
    revision: str | None = Field(default=None, coerce_numbers_to_str=True)
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run code that comes with the checkpoint."""


class HFArguments(_Weights):
    """How the weights are read and run."""

    packed: bool = True
    """Put items with a common beginning into one row; false runs every prompt by itself."""


class VLLMArguments(_Weights):
    """How the engine is started; the names are vLLM's."""

    max_model_len: int | None = Field(default=None, ge=1)
    """Tokens of the longest prompt with its answer; None: what the model takes, at most 8192."""
    max_num_batched_tokens: int | None = Field(default=None, ge=1)
    """Tokens a step."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory that the engine takes."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that share one model."""
    enforce_eager: bool = False
    """Compile nothing: starts sooner and runs slower."""
    slots: int = Field(default=8, ge=1)
    """Controls with edits that the engine holds at once."""


ARGUMENTS: dict[str, type[Record]] = {"hf": HFArguments, "vllm": VLLMArguments}
"""Those of backends that take seconds to import."""


def check_arguments(backend: str, kind: type[Record], given: Mapping[str, Any]) -> Any:
    """Make the record `kind` of what --model_args holds; UnknownName for a key or a value that it does not take."""
    refuse_others(f"key of --model_args for {backend}", given, kind.model_fields)
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        bounds = {what: getattr(each, what) for each in kind.model_fields[name].metadata for what in ("ge", "le")
                  if hasattr(each, what)}  # fmt: skip
        whole = f"; expected a number from {bounds['ge']:g} to {bounds['le']:g}" if len(bounds) == 2 else ""
        raise UnknownName(f"--model_args {name}={masked(first['input'], name)}: {first['msg']}{whole}") from None
