"""The GitHub Action: its shell steps run as they stand, in a repository of a user's own; nothing given becomes code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gated import git, needs_git, repository
from said import Say

from traitbench.cli import arguments

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step.get("name"): step for step in ACTION["runs"]["steps"] if "run" in step}
RUN = "--model scripted:person --model_args extraversion=0.7 --tasks mini_ipip --scoring choice -o runs"
pytestmark = [needs_git, pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")]


def given(expression: Any, inputs: dict[str, str], temp: Path) -> str:
    """What a value of `env` is where the action is called with `inputs`."""
    known = {f"inputs.{name}": inputs.get(name, str(about["default"])) for name, about in ACTION["inputs"].items()}
    known["inputs.base"] = inputs.get("base", "")  # its default asks GitHub
    known |= {"runner.temp": str(temp), "github.action_path": str(ROOT)}
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], str(expression))


def step(
    name: str, temp: Path, path: str = "", **inputs: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run a shell step as GitHub does (bash, -e, pipefail), and return what it did and its outputs."""
    temp.mkdir(exist_ok=True)
    script, outputs = temp / "step.sh", temp / "outputs"
    script.write_text(STEPS[name]["run"])
    outputs.write_text("")
    inputs = {key.replace("_", "-"): value for key, value in inputs.items()}
    env = {key: given(value, inputs, temp) for key, value in STEPS[name]["env"].items()}
    env |= {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(temp / "job.md")}
    env |= {"PATH": f"{path}{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    return done, told


@pytest.fixture
def owner(say: Say, tmp_path: Path) -> Path:
    """A user's repository with a baseline; commands run here."""
    assert say(RUN).code == 0
    (run,) = Path("runs").glob("scripted*")
    assert say(f"check --update '{run}' --name mine --reason first").code == 0
    repository(tmp_path)
    return tmp_path


def test_nothing_given_stands_in_a_script() -> None:
    assert set(STEPS) == {"Install", "Check"} and ACTION["runs"]["using"] == "composite"
    used = set()
    for each in ACTION["runs"]["steps"]:
        assert ("run" in each) != ("uses" in each)
        if "run" in each:
            assert each["shell"] == "bash" and "${{" not in each["run"]
            for value in each["env"].values():
                assert re.fullmatch(r"\$\{\{ [\w.-]+ \}\}[\w/.-]*", value)
        else:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", each["uses"])
        used |= set(re.findall(r"inputs\.([\w-]+)", yaml.safe_dump(each)))
    assert used == set(ACTION["inputs"])
    for about in [*ACTION["inputs"].values(), *ACTION["outputs"].values()]:
        assert about["description"]


def test_every_flag_is_one_of_the_command() -> None:
    script = STEPS["Check"]["run"]
    (names,) = re.findall(r"for flag in ([A-Z_ ]+);", script)
    flags = {name.lower() for name in names.split()} | set(re.findall(r"--([a-z_]+)=\"", script))
    assert set(STEPS["Check"]["env"]) == {flag.upper() for flag in flags}
    parsed = arguments.parser().parse_args(["check", *(f"--{flag}=1" for flag in sorted(flags))])
    assert flags <= set(vars(parsed))


def test_installing_takes_this_checkout(tmp_path: Path) -> None:
    """What pip is told: it would ask an index for the packages and the build, which no test may."""
    told = tmp_path / "told"
    shim = tmp_path / "bin" / "python"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> "{told}"\n')
    shim.chmod(0o755)
    for extras, wanted in (("", str(ROOT)), ("train,judges", f"{ROOT}[train,judges]")):
        told.write_text("")
        done, _ = step("Install", tmp_path / "temp", f"{shim.parent}:", extras=extras)
        assert done.returncode == 0, done.stderr
        words = told.read_text().splitlines()
        assert words[:6] == ["-m", "pip", "install", "--quiet", "--constraint", f"{ROOT}/constraints.txt"]
        assert words[6] == wanted and words[-1] in (ROOT / "Makefile").read_text()


def test_the_check_runs_in_a_users_repository(owner: Path) -> None:
    cases = [
        ({}, 0, "pass"),
        ({"model": "scripted:person", "base": "main"}, 0, "pass"),
        ({"model": "scripted:person", "model_args": "extraversion=0.9"}, 4, "regression"),
        ({"model": "scripted:person", "model_args": "noise=0.04"}, 5, "inconclusive"),
        ({"model_args": "extraversion=0.9"}, 2, "invalid"),
        ({"model": "scripted:person", "model_args": "extraversion=0.9", "margin": "40", "power": "0.5"}, 0, "pass"),
        ({"tasks": "ipip_50"}, 1, "error"),
        ({"baselines": "nowhere"}, 1, "error"),
    ]
    for place, (inputs, code, verdict) in enumerate(cases):
        temp = owner / f"temp{place}"
        done, told = step("Check", temp, **inputs)
        assert (done.returncode, told["verdict"]) == (code, verdict), (inputs, done.stderr)
        assert "Traceback" not in done.stderr
        if verdict != "error":
            text = Path(told["summary"]).read_text()
            assert text.startswith(f"## traitbench check: {verdict}\n") and (temp / "job.md").read_text() == text
    assert git("status", "--porcelain", "--untracked-files=no") == ""


@pytest.mark.parametrize(
    "value",
    ["$(touch pwned)", '"; touch pwned; "', "`touch pwned`", "x --update --reason y", "a b", "-x", "--summary=z"],
)
def test_what_is_given_is_never_run(owner: Path, value: str) -> None:
    before = {*owner.iterdir()}
    every = [name for name in ACTION["inputs"] if f"inputs.{name} " in str(STEPS["Check"]["env"])]
    assert len(every) > 7
    for names in (every, ["model"], ["tasks"]):
        done, told = step("Check", owner / "temp", **dict.fromkeys(names, value))
        assert done.returncode in (1, 2) and told["verdict"] in ("error", "invalid"), done.stderr
        assert "Traceback" not in done.stderr and "command not found" not in done.stderr
        assert {*owner.iterdir()} - before <= {owner / "temp"}
