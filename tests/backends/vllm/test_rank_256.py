"""An adapter of rank 256 under vLLM beside hf: a test of its own, since a CPU takes minutes for it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed: make setup-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from asked import answers  # noqa: E402
from vllm_parity import NATS, apart, ready  # noqa: E402


def test_answers_are_those_of_hf(tmp_path: Path) -> None:
    bench = ready(tmp_path, (256,), 0, enforce_eager=True)
    try:
        control, asked = bench.controls["rank 256"], [bench.requests[0], bench.requests[-5]]
        assert apart(*(answers(backend, asked, control) for backend in (bench.vllm, bench.hf))) < NATS
    finally:
        bench.close()
