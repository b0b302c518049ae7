"""A vLLM engine: started with the places and adapters that a run's controls need, asked by token ids only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from traitbench.backends.rendering import Tokens
from traitbench.backends.vllm.setup import CPU_BLOCK, RANKS, Setup, check_memory, cure, installed, on_cpu
from traitbench.errors import BadData, Unreachable

__all__ = ["Ask", "Engine"]

_EXTENSION = "traitbench.backends.vllm.worker.Extension"


class Ask(NamedTuple):
    """One request to the engine."""

    ids: Tokens
    parameters: Any
    """vLLM's SamplingParams."""
    salt: str | None
    """Keeps what is computed under a control apart in the prefix cache."""
    adapter: tuple[str, str] | None = None
    """Digest and folder of the one that it is asked under."""


class Engine:
    """A started engine."""

    def __init__(self, setup: Setup) -> None:
        """Start it; BadData names the setting to change where it does not start."""
        _environment(setup.dtype)
        check_memory(setup)
        from vllm import LLM

        self.setup, self._version = setup, installed()
        try:
            self._llm: Any = LLM(**arguments(setup))
        except (ValueError, RuntimeError, OSError, AssertionError, ImportError) as error:
            raise BadData(f"vLLM {self._version} does not start with {setup.path}: {cure(setup, error)}") from error
        self._adapters: dict[str, int] = {}
        self._closed = threading.Event()
        threading.Thread(target=_watch, args=(self._llm.llm_engine.engine_core, self._closed), daemon=True).start()

    def ask(self, asks: Sequence[Ask]) -> list[Any]:
        """Answer in the order of `asks`.

        Unreachable where the engine is dead, BadData where it cannot answer: what was answered before is kept.
        """
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
        parameters, loras = [ask.parameters for ask in asks], adapters if any(adapters) else None
        try:
            with self._alive():
                found: list[Any] = self._llm.generate(prompts, parameters, use_tqdm=False, lora_request=loras)
        except (ValueError, RuntimeError) as error:
            raise BadData(f"vLLM {self._version} cannot answer: {cure(self.setup, error)}") from error
        return found

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Say that the engine has stopped, before it was asked (its sockets are closed then) or while it answered."""
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError
        from zmq.error import ZMQError

        try:
            yield
        except (EngineDeadError, EngineGenerateError, ZMQError) as error:
            raise Unreachable(
                f"vLLM {self._version} stopped in the middle of the run (what it printed says why): what it answered "
                "is kept, and the same command goes on from there"
            ) from error

    def write(self, slot: int, folder: str | None) -> None:
        """Put a stored control's edits into a slot of every worker; None empties it."""
        self._call("traitbench_write", slot, folder)

    def forget(self) -> None:
        """Empty the prefix cache."""
        with self._alive():
            self._llm.reset_prefix_cache()

    def about(self) -> Mapping[str, Any]:
        """Runner, installed places and steps of the first worker."""
        found: Mapping[str, Any] = self._call("traitbench_about")[0]
        return found

    def _call(self, name: str, *given: Any) -> list[Any]:
        """Call a method of every worker; what it raises comes back as a bare Exception."""
        try:
            with self._alive():
                found: list[Any] = self._llm.collective_rpc(name, args=given)
        except Unreachable:
            raise
        except Exception as error:
            raise BadData(f"vLLM {self._version}, {name}: {error}") from error
        return found

    def close(self) -> None:
        """End the engine and its processes, and free its memory."""
        import gc

        self._closed.set()
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
    found |= {"block_size": CPU_BLOCK} if cpu else {"gpu_memory_utilization": setup.gpu_memory_utilization}
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


def _watch(core: Any, closed: threading.Event) -> None:
    """Wake who waits for an answer where the engine's process was killed, as for want of memory.

    vLLM 0.32 notes that it is gone, and has the caller wait for ever.
    """
    from vllm.v1.engine.exceptions import EngineDeadError

    resources, answers = getattr(core, "resources", None), getattr(core, "outputs_queue", None)
    if resources is None or answers is None or not hasattr(resources, "engine_dead"):
        # In this process: it does not die alone.
        return
    while not closed.wait(1):
        if resources.engine_dead:
            answers.put_nowait(EngineDeadError())
            return
