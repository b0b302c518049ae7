"""What `make eval` would run, for each backend and machine: sound shell, from the right environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


def planned(folder: Path, *given: str, ready: bool) -> str:
    """The recipe of `make eval`, unrun, in a folder that is set up; `ready`: for vLLM too."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for stamp in (".venv/.core", ".venv/.train", *([".venv-vllm/.ready"] if ready else [])):
        (folder / stamp).parent.mkdir(exist_ok=True)
        (folder / stamp).touch()
    # What a make above this one was told is not for this one.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-n", "eval", *given]
    recipe = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, check=True).stdout
    subprocess.run(["sh", "-n"], input=recipe, text=True, check=True)
    return recipe


@pytest.mark.parametrize(
    ("given", "ready", "environment"),
    [
        (("GPU=",), False, ".venv/bin"),
        (("GPU=",), True, ".venv/bin"),
        (("GPU=", "METHOD=sft"), False, ".venv/bin"),
        (("GPU=/dev/nvidia0",), False, ".venv/bin"),
        (("GPU=/dev/nvidia0",), True, ".venv-vllm/bin"),
        (("GPU=/dev/nvidia0", "BACKEND=hf"), True, ".venv/bin"),
        (("GPU=", "BACKEND=vllm"), True, ".venv-vllm/bin"),
        (("GPU=", "BACKEND=vllm"), False, ".venv-vllm/bin"),
    ],
)
def test_eval_runs_from_the_environment_of_its_backend(
    tmp_path: Path, given: tuple[str, ...], ready: bool, environment: str
) -> None:
    recipe = planned(tmp_path, *given, ready=ready)
    assert f"{environment}/traitbench run --model 'smollm2'" in recipe


def test_a_gpu_without_vllm_is_told_what_to_type_and_nobody_else_is(tmp_path: Path) -> None:
    assert 'test -z "yes" || echo "there is a GPU and no vLLM: make setup-vllm' in planned(
        tmp_path, "GPU=/dev/nvidia0", ready=False
    )
    assert 'test -z "" ||' in planned(tmp_path, "GPU=", ready=False)
    (tmp_path / "other").mkdir()
    assert 'test -z "" ||' in planned(tmp_path / "other", "GPU=/dev/nvidia0", ready=True)
