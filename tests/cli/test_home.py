"""Paths as people type them: `~` is put in full wherever a path is taken, and one of no user is no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitbench.cli.commands import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


RUN = ["run", "--model", "scripted:person", "--tasks", "mini_ipip"]


def test_what_no_shell_has_put_in_full_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("plan.yaml").write_text("model: scripted:person\ntasks: [mini_ipip]\noutput_path: ~/runs\n")
    assert main(["run", "--config", "plan.yaml"]) == 0
    (run,) = (home / "runs").iterdir()
    named = f"~/runs/{run.name}"
    assert main(["verify", named]) == main(["score", named]) == 0
    assert main(["export", named, "--to", "~/shelf"]) == main(["verify", "~/shelf"]) == 0
    assert main(["leaderboard", "--published", "~/shelf", "--output_path", "~/board"]) == 0
    assert main(["report", named, "--output_path", "~/pages"]) == 0
    assert all(any((home / name).iterdir()) for name in ("shelf", "board", "pages")) and not Path("~").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["score", "~nosuchuser/run"],
        ["verify", "~nosuchuser/run"],
        ["report", "~nosuchuser/run"],
        ["compare", "~nosuchuser/a", "~nosuchuser/b"],
        ["export", "~nosuchuser/run"],
        ["project", "~nosuchuser/run"],
        ["analyze", "~nosuchuser/answers.csv", "--inventory", "mini_ipip", "--raw"],
        ["run", "--config", "~nosuchuser/plan.yaml"],
        [*RUN, "--target", "person:~nosuchuser/people.csv"],
        ["run", "--model", "~nosuchuser/model", "--tasks", "mini_ipip"],
        ["run", "--control", "~nosuchuser/control", "--tasks", "mini_ipip"],
    ],
)
def test_the_home_of_nobody_is_no_file(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (1, 2)
    told = capsys.readouterr().err
    assert "~nosuchuser" in told and "error: " in told
    assert not Path("~nosuchuser").exists()
