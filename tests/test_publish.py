"""The list of what is published: every line is a run, and every published run of today's methods stands in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from traitbench.methods import METHODS
from traitbench.store import read_json

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "results" / "published"


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    spec = importlib.util.spec_from_file_location("publish", ROOT / "results" / "publish.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_published_run_of_a_method_as_it_is_stands_in_the_list(publish: ModuleType) -> None:
    named = {run.published for run in publish.listed()} - {""}
    held = {path.parent.name: read_json(path)["method"] for path in PUBLISHED.glob("*/results_*.json")}
    now = {name for name, method in held.items() if METHODS.load(method["name"]).version == method["version"]}
    assert named == now


def test_runs_of_a_group_wait_for_the_first_and_a_lost_one_is_told(
    publish: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, folder in {"RUNS": "runs", "LOGS": "runs/logs", "PUBLISHED": "published"}.items():
        monkeypatch.setattr(publish, name, tmp_path / folder)
    flags = ("--model", "scripted:first", "--tasks", "mini_ipip", "--limit", "2")
    made = [
        publish.Run("told", (*flags, "--method", "none", "--seed", "1"), 1, 0),
        publish.Run("told", (*flags, "--method", "none", "--seed", "2"), 1, 0),
        publish.Run("lost", (*flags, "--method", "npti"), 1, 0, "lost"),
    ]
    runs = [publish._seen(run, {}) if run.group == "told" else run for run in made]
    assert publish._all(runs, workers=2) == 1
    assert {path.name for path in (tmp_path / "published").iterdir()} == {run.name for run in runs[:2]}
    first, second = (tmp_path / "runs" / run.name for run in runs[:2])
    (published,) = (tmp_path / "published" / first.name).glob("results_*")
    assert published.stat().st_mtime <= (second / ".lock").stat().st_mtime
    assert "lost: ended with 2, see " in capfd.readouterr().out


def test_no_run_is_listed_twice_and_each_can_be_made(publish: ModuleType) -> None:
    pytest.importorskip("peft")
    runs = publish.listed()
    assert len({run.flags for run in runs}) == len(runs)
    left = [run for run in runs if not run.published]
    elsewhere = {"bfi_44", "person:papi:20", "gemma3-270m"}
    assert {run.state for run in left if not elsewhere & set(run.flags)} <= {"left"}
    assert len({run.name for run in left if run.name}) == len([run for run in left if run.name])
    assert all(run.minutes > 0 and run.fit >= 0 for run in runs)
