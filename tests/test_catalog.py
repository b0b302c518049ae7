"""Methods of outside packages: found by entry point, told apart from broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitbench.cli.commands import main

SHOUT = """
from traitbench.types import Control, Message
from traitbench.methods.method import Method

class Shout(Method):
    name = "shout"
    makes = frozenset({"prompt"})
    targets = frozenset({"poles"})

    def fit(self, target, seed=0):
        return Control(messages=(Message(role="system", content=target.name.upper()),))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    about = tmp_path / "shout-0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shout\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(
        "[traitbench.methods]\nshout = shout_package:Shout\nbroken = no_such_package:Nothing\n"
    )
    (tmp_path / "shout_package.py").write_text(SHOUT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_method_from_outside_runs(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--model", "scripted:person", "--model_args", "obedience=0.2", "-m", "shout", "-t", "mini_ipip"]
    assert main([*line, "--target", "extraversion=high", "-o", str(package / "runs"), "--format", "markdown"]) == 0
    assert "| extraversion=high | choice | 20.00 [" in capsys.readouterr().out


def test_a_broken_package_is_named_and_breaks_nothing_else(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", "scripted:person", "-m", "broken", "-o", str(package / "runs")]) == 1
    assert "no_such_package:Nothing, which cannot be imported" in capsys.readouterr().err
    assert main(["ls", "methods"]) == 0
    listed = capsys.readouterr().out
    assert "shout" in listed and "broken" in listed and "prompting" in listed
