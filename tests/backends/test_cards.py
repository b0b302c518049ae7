"""GPUs by name: what nvidia-smi lists and CUDA_VISIBLE_DEVICES leaves, with CUDA not started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from traitbench.backends.cards import cards

TWO = "GPU-1a, NVIDIA H200\nGPU-2b, NVIDIA L4\n"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a nvidia-smi on the path that runs a line of sh: this machine may have no GPU, or others."""

    def put(line: str) -> None:
        file = tmp_path / "nvidia-smi"
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return put


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA H200", "NVIDIA L4"]), ("1,0", ["NVIDIA L4", "NVIDIA H200"]), ("1", ["NVIDIA L4"]),
        ("GPU-2b", ["NVIDIA L4"]), ("GPU-2", ["NVIDIA L4"]), ("MIG-7", ["MIG-7"]), ("", []), ("-1", []),
        ("0,-1,1", ["NVIDIA H200"]), ("7", []), (" 0 , 1 ", ["NVIDIA H200", "NVIDIA L4"]),
    ],
)  # fmt: skip
def test_the_visible_cards_are_named(
    driver: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    driver(f"printf '{TWO}'")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cards() == names


@pytest.mark.parametrize("line", ["exit 9", "echo 'No devices were found'", "printf '\\377,\\n'", ":"])
def test_a_driver_that_tells_nothing_is_no_card(driver: Callable[[str], None], line: str) -> None:
    driver(line)
    assert cards() == []


def test_the_key_of_a_pace_starts_no_cuda(driver: Callable[[str], None]) -> None:
    driver(f"printf '{TWO}'")
    script = (
        "import sys; from traitbench.runs.paces import pace_key; "
        "print(pace_key({'backend': 'vllm', 'weights': 'w'}, None, None, {}).about, 'torch' in sys.modules); "
        "print(pace_key({'backend': 'hf', 'weights': 'w'}, 'cpu', None, {}).about.split()[-1]); "
        "import torch; print(torch.cuda.is_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["vllm w 2 x NVIDIA H200 False", "threads", "False"]
