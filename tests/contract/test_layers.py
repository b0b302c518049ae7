"""The layers contract of pyproject.toml: it sees every module, holds, and fails on an import that runs up or a loop."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


def folders() -> dict[str, Path]:
    """Import name -> folder, of every folder with code."""
    base = {"": ROOT, **{name: ROOT / place for name, place in PACKAGE["package-dir"].items()}}
    roots = {name: place for name, place in base.items() if name}
    found = {}
    for name, place in roots.items():
        for init in place.rglob("__init__.py"):
            inside = ".".join(init.parent.relative_to(place).parts)
            found[f"{name}.{inside}" if inside else name] = init.parent
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed, laid out as one tree, with the contract beside it."""
    place = tmp_path_factory.mktemp("installed")
    for name, folder in folders().items():
        to = place.joinpath(*name.split("."))
        to.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.py"):
            shutil.copy(file, to / file.name)
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def lint(place: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    plain = {"PYTHONPATH": str(place), "PATH": "/usr/bin:/bin", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=plain, capture_output=True, text=True, timeout=120
    )


def test_every_folder_with_code_is_packaged() -> None:
    assert sorted(folders()) == sorted(PACKAGE["packages"])


def test_the_contract_holds_and_saw_every_module(installed: Path) -> None:
    done = lint(installed)
    files = sum(len(list(folder.glob("*.py"))) for folder in folders().values())
    assert done.returncode == 0, done.stdout
    assert f"Analyzed {files} files" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("tasks/scoring.py", "from traitbench.runs import plan", "lower floors only"),
        ("statistics/style.py", "from traitbench import store", "lower floors only"),
        (
            "tables.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import traitbench.report",
            "lower floors",
        ),
        ("tasks/questionnaire/verdict.py", "import traitbench.tasks.person_alignment", "know nothing of each other"),
        ("tasks/questionnaire/dose.py", "import traitbench.tasks.questionnaire.summary", "No loop inside a room"),
        ("stray.py", "", "lower floors only"),
    ],
)
def test_a_planted_fault_is_found(installed: Path, tmp_path: Path, module: str, line: str, broken: str) -> None:
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "traitbench" / module
    text = file.read_text("utf-8") if file.exists() else ""
    file.write_text(f"{text}\n{line}\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert any(broken in row and "BROKEN" in row for row in done.stdout.splitlines()) or "not in layers" in done.stdout
