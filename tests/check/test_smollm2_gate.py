"""The gate on the embedded model: the committed baselines hold on this machine, and what is planted is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gated
import pytest
from gated import Plant
from said import Say

from traitbench.check.baseline import parsed

ROOT = Path(__file__).resolve().parents[2]
BASELINES = ROOT / "results" / "baselines"
pytestmark = pytest.mark.model


def lines(out: str) -> dict[str, dict[str, Any]]:
    """Name -> line, of the one baseline that was checked."""
    (one,) = json.loads(out)["baselines"]
    return {line["name"]: line for line in one["moved"]}


@pytest.fixture
def quick(say: Say, monkeypatch: pytest.MonkeyPatch) -> Say:
    """`say` with the weights that are unpacked already."""
    monkeypatch.delenv("TRAITBENCH_CACHE")
    return say


def test_a_strength_that_is_off_by_a_fifth_is_found(quick: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    gated.stronger_edits(monkeypatch)
    said = quick(f"check --baselines '{BASELINES}' --only smollm2-steering --format json")
    assert said.code == 4, said.err
    wrong = {name: line for name, line in lines(said.out).items() if line["verdict"] != "pass"}
    assert wrong and all("extraversion=high: " in name for name in wrong)
    assert {name.rpartition(" ")[2] for name in wrong if "statement" in name} >= {"extraversion", "neuroticism"}
    assert max(line["largest"] / line["margin"] for line in wrong.values()) > 5


def test_a_changed_word_is_found_in_the_answers_too(quick: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    gated.changed_word(monkeypatch)
    said = quick(f"check --baselines '{BASELINES}' --only smollm2-prompting --format json")
    assert said.code == 4, said.err
    found = lines(said.out)
    assert found["ipip_neo_120: what is asked"]["verdict"] == "regression"
    moved = [line for name, line in found.items() if line["unit"] and line["verdict"] == "regression"]
    assert len(moved) >= 10 and all("items moved" in line["why"] for line in moved)


@pytest.mark.parametrize(("plant", "code"), [(None, 0), (gated.flipped_key, 4)])
def test_a_flipped_key_is_found_and_no_key_else(
    quick: Say, monkeypatch: pytest.MonkeyPatch, plant: Plant | None, code: int
) -> None:
    gated.own_inventory()
    line = "run --model smollm2 --tasks mine --include_path mine --limit 10 --scoring statement,choice -o runs"
    assert quick(line).code == 0
    (run,) = Path("runs").glob("smollm2*")
    assert quick(f"check --update '{run}' --name mine --reason first").code == 0
    if plant:
        plant(monkeypatch)
    said = quick("check --format json")
    assert said.code == code, said.err
    found = lines(said.out)
    wrong = {name for name, one in found.items() if one["verdict"] == "regression"}
    traits = {"mine, statement, baseline: extraversion", "mine, choice, baseline: extraversion"}
    assert wrong == ({"mine: keys", *traits} if plant else set())
    if plant:
        assert found["mine: keys"]["why"] == "another key: mini_6"
        assert found["mine, statement, baseline: extraversion"]["why"].startswith("1 of 2 items moved: mini_6 by ")


def test_the_committed_control_cannot_change_unseen(quick: Say) -> None:
    """Neither its strength in the file nor another one in its place."""
    shutil.copytree(BASELINES, "held")
    held = parsed(Path("held/smollm2-steering.json").read_text(), "it")
    folder = Path("held") / held.plan["control"][0]
    file = folder / "control.json"
    file.write_text(file.read_text().replace('"strength": 4.0', '"strength": 4.8'))
    said = quick("check --baselines held --only smollm2-steering --format json")
    assert said.code == 2
    (one,) = json.loads(said.out)["baselines"]
    assert "is named by another hash than that of the control in it" in one["differs"][0]
