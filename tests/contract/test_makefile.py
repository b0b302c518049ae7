"""What `make eval` and `make gpu-check` would run, by backend and machine: sound shell, the right environment."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from traitbench.cli.arguments import normalised, parser
from traitbench.cli.configuration import from_command_line
from traitbench.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
ALONE = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
"""What a make above these was told is not for them."""
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


def planned(folder: Path, *given: str, ready: bool, target: str = "eval") -> str:
    """The recipe of a target, unrun, in a folder that is set up; `ready`: for vLLM too."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    for stamp in (".venv/.core", ".venv/.train", *([".venv-vllm/.ready"] if ready else [])):
        (folder / stamp).parent.mkdir(exist_ok=True)
        (folder / stamp).touch()
    command = ["make", "-n", target, *given]
    recipe = subprocess.run(command, cwd=folder, env=ALONE, capture_output=True, text=True, check=True).stdout
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


@pytest.mark.parametrize(
    ("given", "installs"),
    [
        (("TASKS=personality_bench",), True),
        (("TASKS=ipip_neo_120,personality_bench_published",), True),
        (("TASKS=situations", "ARGS=--scoring statement,generate"), True),
        (("TASKS=situations",), False),
    ],
)
def test_written_replies_bring_the_extra_that_the_scorer_needs(
    tmp_path: Path, given: tuple[str, ...], installs: bool
) -> None:
    planned(tmp_path, "GPU=", ready=False)
    (tmp_path / ".venv/.train").unlink()
    recipe = subprocess.run(
        ["make", "-n", "eval", "GPU=", *given], cwd=tmp_path, env=ALONE, capture_output=True, text=True, check=True
    ).stdout
    assert ("--editable '.[train]'" in recipe) == installs


@pytest.mark.parametrize("ready", [True, False])
def test_the_check_of_a_gpu_runs_where_vllm_is(tmp_path: Path, ready: bool) -> None:
    recipe = planned(tmp_path, "GPU=/dev/nvidia0", "CHECK=--only card", ready=ready, target="gpu-check")
    assert "PYTHONPATH=tests .venv-vllm/bin/python -m gpu.check --only card" in recipe and "exit 5" not in recipe
    assert ("pip install" in recipe) is not ready


def test_without_a_gpu_the_check_says_so_and_sets_nothing_up(tmp_path: Path) -> None:
    assert "pip install" not in planned(tmp_path, "GPU=", ready=False, target="gpu-check")
    found = subprocess.run(["make", "gpu-check", "GPU="], cwd=tmp_path, env=ALONE, capture_output=True, text=True)
    assert found.stdout == "gpu-check: no NVIDIA GPU here (/dev/nvidia0), nothing was checked\n"
    # make's own code for a recipe that failed, which names the recipe's.
    assert found.returncode == 2 and "Error 5" in found.stderr
    assert not (tmp_path / ".venv-vllm").exists()


@pytest.mark.parametrize("flag", ["--side_effects", "--side-effects"])
def test_tasks_of_lm_eval_bring_what_they_need(tmp_path: Path, flag: str) -> None:
    recipe = planned(tmp_path, "GPU=", f"ARGS={flag} traitbench_reasoning", ready=False)
    assert "--editable '.[lm-eval]'" in recipe and "[train]" not in recipe
    assert ".[lm-eval]" not in planned(tmp_path, "GPU=", "ARGS=--seed 2", ready=False)
    (tmp_path / "gpu").mkdir()
    served = planned(tmp_path / "gpu", "GPU=/dev/nvidia0", f"ARGS={flag} traitbench_reasoning", ready=True)
    assert ".venv/bin/traitbench run --model 'smollm2'" in served and "--backend 'hf'" in served


@pytest.mark.parametrize("words", ["mini_ipip ipip_50", "mini_ipip,ipip_50", " mini_ipip  ipip_50 "])
def test_tasks_may_have_blanks_or_commas_between(tmp_path: Path, words: str) -> None:
    recipe = planned(tmp_path, f"TASKS={words}", "LIMIT=2", "GPU=", ready=False)
    assert "--tasks 'mini_ipip,ipip_50' --backend 'auto' --limit '2'" in recipe


@pytest.mark.parametrize("name", ["TASK", "SCORING", "tasks"])
def test_a_variable_that_nothing_reads_is_refused_before_anything_is_set_up(name: str) -> None:
    words = ["make", "-n", "eval", f"{name}=mini_ipip", "METHOD=none"]
    found = subprocess.run(words, cwd=ROOT, env=ALONE, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert f"make eval takes no {name}; it takes METHOD, MODEL, TASKS" in found.stderr and "ARGS=" in found.stderr


PRESETS = {name: METHODS.load(name).Config.model_fields.get("preset") for name in METHODS.shipped}
SMALL = sorted(name for name, preset in PRESETS.items() if preset is not None and preset.default == "paper")
"""Methods whose defaults are for models that are much larger than the embedded one."""


def method_args(recipe: str) -> dict[str, object]:
    """What the run of a recipe gives its method, as the command line reads it."""
    words = shlex.split(recipe.splitlines()[-1])
    assert words[0].endswith("bin/traitbench")
    return dict(from_command_line(vars(parser().parse_args(normalised(words[1:])))).method_args)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("flags", "given"),
    [
        ("", {"preset": "small"}),
        ("--side_effects traitbench_reasoning", {"preset": "small"}),
        ("--seed 2 --method_args rank=2,dev=loss", {"preset": "small", "rank": 2, "dev": "loss"}),
        ("--method-args=rank=2 --matched", {"preset": "small", "rank": 2}),
        ("--method_args preset=paper --seed 2", {"preset": "paper"}),
        ("--method-args=rank=2,preset=paper", {"preset": "paper", "rank": 2}),
        ("--method_args rank=2 preset=paper", {"preset": "paper", "rank": 2}),
    ],
)
def test_the_embedded_model_is_trained_by_the_recipe_for_small_ones_unless_another_is_named(
    tmp_path: Path, name: str, flags: str, given: dict[str, object]
) -> None:
    chosen = ["GPU=", f"METHOD={name}", *([f"ARGS={flags}"] if flags else [])]
    assert method_args(planned(tmp_path, *chosen, ready=False)) == given


@pytest.mark.parametrize("name", SMALL)
def test_larger_models_and_files_of_ones_own_keep_what_they_say(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("method_args: {preset: paper, rank: 2}\n")
    assert method_args(planned(tmp_path, "GPU=", f"METHOD={name}", "MODEL=llama3", ready=False)) == {}
    for flag in ("-C ", "-C", "--config ", "--config="):
        recipe = planned(tmp_path, "GPU=", f"METHOD={name}", f"ARGS={flag}{mine}", ready=False)
        assert method_args(recipe) == {"preset": "paper", "rank": 2}


def test_other_methods_take_no_recipe(tmp_path: Path) -> None:
    assert SMALL == ["bipo", "dpo", "p_tailor", "persllm", "sft"]
    for name in sorted(set(PRESETS) - set(SMALL)):
        assert "preset" not in planned(tmp_path, "GPU=", f"METHOD={name}", "ARGS=--seed 2", ready=False)
