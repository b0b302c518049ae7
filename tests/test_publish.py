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


def test_no_run_is_listed_twice_and_each_can_be_made(publish: ModuleType) -> None:
    pytest.importorskip("peft")
    runs = publish.listed()
    assert len({run.flags for run in runs}) == len(runs)
    left = [run for run in runs if not run.published]
    assert {run.state for run in left if "bfi_44" not in run.flags and "person:papi:20" not in run.flags} <= {"left"}
    assert len({run.name for run in left if run.name}) == len([run for run in left if run.name])
    assert all(run.minutes > 0 and run.fit >= 0 for run in runs)
