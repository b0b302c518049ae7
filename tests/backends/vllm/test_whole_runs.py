"""Whole runs under vLLM beside the same under hf: fitted on hf, one engine, the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed: make setup-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

import psutil  # noqa: E402
from made_people import people  # noqa: E402
from quiet import Quiet  # noqa: E402
from tiny_models import SERVABLE, saved  # noqa: E402
from transformers import LlamaConfig  # noqa: E402

from traitbench.backends.backend import Options  # noqa: E402
from traitbench.backends.models import resolve  # noqa: E402
from traitbench.backends.vllm import VLLM  # noqa: E402
from traitbench.backends.vllm.engine import Engine  # noqa: E402
from traitbench.errors import BadData, Unreachable  # noqa: E402
from traitbench.runs.evaluate import evaluate  # noqa: E402
from traitbench.runs.plan import Plan  # noqa: E402
from traitbench.samples import Sample  # noqa: E402
from traitbench.store import read_lines  # noqa: E402


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines that were started."""
    found: list[Engine] = []
    start = Engine.__init__

    def started(self: Engine, *given: Any) -> None:
        start(self, *given)
        found.append(self)

    monkeypatch.setattr(Engine, "__init__", started)
    return found


def run(folder: Path, backend: str, progress: Quiet | None = None, **changes: Any) -> tuple[Any, list[Sample]]:
    """Results, and samples in their order."""
    engine = {"enforce_eager": True, "max_model_len": 4096} if backend == "vllm" else {}
    plan = Plan.model_validate({
        "model": "smollm2", "backend": backend, "model_args": engine, "output_path": str(folder),
        "bootstrap_iters": 50, **changes,
    })  # fmt: skip
    results, path = evaluate(plan, progress or Quiet(), print)
    (file,) = path.parent.glob("samples_*.jsonl")
    return results, read_lines(file, Sample)


@pytest.fixture
def small(tmp_path: Path) -> str:
    """The folder of an untrained model, of which an engine starts and answers in seconds."""
    return str(saved(tmp_path / "small", LlamaConfig(**SERVABLE)))


def test_a_fitted_method_gives_the_numbers_of_hf(tmp_path: Path, starts: list[Engine], small: str) -> None:
    asked = {
        "model": small, "method": "residual", "method_args": {"layer": 1, "strength": 4}, "target": "extraversion=high",
        "tasks": ("mini_ipip",), "coefs": (2,), "limit": 4, "scoring": ("choice", "statement"),
    }  # fmt: skip
    ours, theirs = (run(tmp_path / "runs", backend, **asked) for backend in ("vllm", "hf"))
    assert len(starts) == 1
    assert [c.name for c in ours[0].conditions] == [c.name for c in theirs[0].conditions]
    for one, other in zip(ours[1], theirs[1], strict=True):
        assert (one.condition, one.item, one.prompt_hash) == (other.condition, other.item, other.prompt_hash)
        assert one.value_raw == pytest.approx(other.value_raw, abs=2e-4)
    assert sum(c.perplexity is not None for c in theirs[0].conditions) == 2
    for a, b in zip(ours[0].conditions, theirs[0].conditions, strict=True):
        if b.perplexity is None:
            assert a.perplexity is None
            continue
        assert a.perplexity == pytest.approx(b.perplexity, rel=1e-3)


def test_persons_share_batches_in_one_engine(tmp_path: Path, starts: list[Engine]) -> None:
    people(tmp_path / "people.csv", 2)
    asked = {
        "method": "prompting", "method_args": {"style": "person"}, "target": f"person:{tmp_path / 'people.csv'}",
        "tasks": ("person_alignment",), "keyed": False, "orders": ("forward",), "limit": 2,
    }  # fmt: skip
    _, ours = run(tmp_path / "runs", "vllm", mix_conditions=True, **asked)
    assert len(starts) == 1
    _, theirs = run(tmp_path / "runs", "hf", **asked)
    assert [s.condition for s in ours] == [s.condition for s in theirs] and len({s.condition for s in ours}) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one.value_raw == pytest.approx(other.value_raw, abs=2e-4)


def test_an_engine_that_dies_is_told_and_loses_nothing(
    tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"model": small, "tasks": ("ipip_neo_120",), "limit": 70, "orders": ("forward",), "scoring": ("choice",)}
    ask, batches = Engine.ask, []

    def deadly(self: Engine, asks: Any) -> list[Any]:
        """Kill the engine's process before it is asked the second batch of items."""
        batches.append(len(asks))
        if len(batches) == 3:
            for child in psutil.Process().children(recursive=True):
                if "EngineCore" in child.name() or "EngineCore" in " ".join(child.cmdline()):
                    child.kill()
        return ask(self, asks)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "ask", deadly)
        with pytest.raises(Unreachable, match="the same command goes on from there"):
            run(tmp_path / "runs", "vllm", **asked)
    (journal,) = tmp_path.glob("runs/*/responses.jsonl")
    kept = journal.read_bytes()
    # The neutral texts by which it is checked that the model reads its prompts are asked first, and kept too.
    neutral, items = 4, 64
    assert len(batches) == 3
    assert kept.count(b"\n") == neutral + items
    run(tmp_path / "runs", "vllm", **asked)
    assert journal.read_bytes().startswith(kept) and journal.read_bytes().count(b"\n") == neutral + 70


def test_weights_larger_than_the_memory_are_refused_before_they_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.platforms import current_platform

    monkeypatch.setattr(type(current_platform), "get_device_total_memory", classmethod(lambda *_: 2**28))
    backend = VLLM.make(resolve("smollm2"), Options(arguments={"max_model_len": 512}))
    with pytest.raises(BadData, match=r"take 0\.5 GiB in float32, and there are 0\.2 GiB .* give --model_args"):
        backend.engine  # noqa: B018
    backend.close()
