"""A compiled vLLM engine beside the hf backend: an edit at each site and none, exchanged without compiling anew.

Runs in the environment of `make setup-vllm`. With adapters vLLM compiles nothing on a CPU, so none are here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed: make setup-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.filterwarnings("default")]

from asked import answers  # noqa: E402
from vllm_parity import NATS, PLACES, Bench, alike, apart, ready  # noqa: E402


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One compiled engine for all tests; edits in one layer, since every layer that differs is compiled anew."""
    made = ready(tmp_path_factory.mktemp("controls"), (), 4, dict.fromkeys(PLACES, 15), slots=2)
    yield made
    made.close()


NAMES = ["none", "residual add all", "heads add answer", "gate clamp answer", "neurons zero generated"]


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_hf(bench: Bench, name: str) -> None:
    """Answers, texts and greedy replies; there are more controls than slots, so that each is written anew."""
    assert bench.vllm.identity["compiled"]
    ours = answers(bench.vllm, bench.all, bench.controls[name])
    assert apart(ours, bench.wanted(name)) < NATS
    assert alike(ours, bench.wanted(name)) >= 0.9


def test_switches_leave_nothing_behind(bench: Bench) -> None:
    for name in np.random.default_rng(2).choice(NAMES, 20):
        assert apart(answers(bench.vllm, bench.requests[:2], bench.controls[name]), bench.wanted(name)) < NATS, name
