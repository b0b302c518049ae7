"""Edits at every site of untrained models of each architecture that is known under vLLM, beside hf.

Runs in the environment of `make setup-vllm`: `.venv-vllm/bin/pytest -m vllm`. An engine an architecture, each in a
process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed: make setup-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

import transformers  # noqa: E402
from asked import answers  # noqa: E402
from tiny_models import SERVABLE, saved  # noqa: E402

from traitbench import controls  # noqa: E402
from traitbench.backends.backend import Backend, Options  # noqa: E402
from traitbench.backends.hf import HuggingFace  # noqa: E402
from traitbench.backends.models import resolve  # noqa: E402
from traitbench.backends.vllm import VLLM  # noqa: E402
from traitbench.backends.vllm.selfcheck import QUESTION  # noqa: E402
from traitbench.controls.architectures import SERVED, site_width  # noqa: E402
from traitbench.types import Continue, Control, Edit, Op, Request, Site  # noqa: E402

MADE: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**SERVABLE, head_dim=32),
    "mistral": lambda: transformers.MistralConfig(**SERVABLE, head_dim=32, sliding_window=None),
    "qwen2": lambda: transformers.Qwen2Config(**SERVABLE),
    "qwen3": lambda: transformers.Qwen3Config(**SERVABLE, head_dim=32),
    "gemma": lambda: transformers.GemmaConfig(**SERVABLE, head_dim=32),
    # Without the cap on attention, which vLLM heeds and hf's attention (sdpa) does not.
    "gemma2": lambda: transformers.Gemma2Config(
        **SERVABLE, head_dim=32, query_pre_attn_scalar=32, attn_logit_softcapping=None
    ),
    "gemma3_text": lambda: transformers.Gemma3TextConfig(**SERVABLE, head_dim=32, query_pre_attn_scalar=32),
    "phi3": lambda: transformers.Phi3Config(**SERVABLE),
}
REQUESTS: list[Request] = [
    QUESTION,
    Continue(doc=QUESTION.doc, messages=QUESTION.messages, text="I see myself as someone who makes plans."),
]


def test_every_known_architecture_is_tried() -> None:
    assert set(MADE) == set(SERVED)


def numbers(backend: Backend, control: Control) -> list[float]:
    """Option log-probabilities and the log-likelihood of a text."""
    found = answers(backend, REQUESTS, control)
    loglik = found[1].loglik
    assert loglik is not None
    return [*(float(value or 0) for value in found[0].option_logprobs or ()), loglik]


@pytest.mark.parametrize("name", list(MADE))
def test_edits_at_every_site_are_those_of_hf(name: str, tmp_path: Path) -> None:
    beside_hf(name, tmp_path)


@pytest.mark.slow
def test_two_parts_of_a_model_edit_their_own_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a CPU with one memory node vLLM wants to be told which cores each part runs on.
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    beside_hf("llama", tmp_path, tensor_parallel_size=2)


def beside_hf(name: str, tmp_path: Path, **arguments: Any) -> None:
    """Hold an engine with these arguments to hf, plainly and under each operation at each site."""
    spec = resolve(str(saved(tmp_path / "model", MADE[name]())))
    hf = HuggingFace(spec)
    rng = np.random.default_rng(0)
    made = {"none": Control()}
    for site in ("residual", "heads", "gate", "neurons"):
        width = site_width(hf.model, site)
        tensors = {"v": rng.normal(size=width).astype(np.float32), "low": np.zeros(width, np.float32)}
        for op, tensor in (("add", "v"), ("clamp", "low"), ("zero", None)):
            made[f"{site} {op}"] = _edit(tmp_path, site, op, tensor, tensors)  # type: ignore[arg-type]
    vllm = VLLM.make(spec, Options(arguments={"enforce_eager": True, "max_model_len": 512, **arguments}))
    try:
        vllm.prepare(list(made.values()), hf)
        plain = numbers(hf, Control())
        for what, control in made.items():
            wanted = numbers(hf, control)
            assert numbers(vllm, control) == pytest.approx(wanted, abs=2e-4), what
            assert what == "none" or np.abs(np.subtract(wanted, plain)).max() > 2e-3, f"{what} does nothing"
    finally:
        vllm.close()
        hf.close()


def _edit(folder: Path, site: Site, op: Op, tensor: str | None, tensors: dict[str, Any]) -> Control:
    edit = Edit(layer=1, site=site, op=op, tensor=tensor, positions="answer")
    return controls.store(folder, edits=(edit,), tensors={tensor: tensors[tensor]} if tensor else {})
