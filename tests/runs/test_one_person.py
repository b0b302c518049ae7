"""Whole runs that aim at one person's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.cli.commands import main

PERSON = {f"i{n}": 1 + n % 5 for n in range(1, 301)}


def person(folder: Path, **changes: Any) -> str:
    answers = {**PERSON, **changes}
    path = folder / "me.csv"
    path.write_text(",".join(answers) + "\n" + ",".join(str(v) for v in answers.values()) + "\n")
    return f"person:{path}"


def aligned(target: str, to: Path, *more: str) -> int:
    return main(["run", "--model", "scripted:person", "--target", target, "-o", str(to), "--format", "json", *more])


def test_one_persons_file_is_aligned_published_without_answers_and_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = person(tmp_path)
    assert aligned(target, tmp_path / "runs") == 0
    found = json.loads(capsys.readouterr().out)
    (alignment,) = found["tasks"]["person_alignment"]["modes"].values()
    alignment = alignment["alignment"]
    assert alignment["persons"] == 1 and alignment["items"] == 180
    rows = {row["name"]: row for row in alignment["rows"]}
    assert {"constant 3", "facet mean", "no control"} <= set(rows)
    items = {item.id: item for item in inventories.load("ipip_neo_300").items}
    short = {item.text_hash for item in inventories.load("ipip_neo_120").items}
    tests = [item for item in items.values() if item.text_hash not in short]
    traits = {item.trait for item in tests}
    by_hand = sum(
        sum(abs(3 - PERSON[i.id]) for i in tests if i.trait == trait) / sum(i.trait == trait for i in tests)
        for trait in traits
    )
    assert rows["constant 3"]["mae_sum"]["value"] == pytest.approx(by_hand)
    run = next((tmp_path / "runs").iterdir())
    assert main(["score", str(run), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == found["tasks"]
    assert main(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    assert not list((tmp_path / "out").rglob("prompts_*"))
    (published,) = (tmp_path / "out").glob("*/results_*.json")
    before = published.read_bytes()
    assert main(["export", str(published.parent), "--to", str(tmp_path / "out")]) == 0
    assert published.read_bytes() == before, "a message that is a hash already is not hashed again"
    person(tmp_path, i300=3)
    capsys.readouterr()
    assert main(["score", str(run)]) == 1
    assert "computed with other answers" in capsys.readouterr().err


def test_a_person_without_test_answers_cannot_be_aligned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.csv"
    path.write_text(",".join(f"i{n}" for n in range(1, 121)) + "\n" + ",".join("3" for _ in range(120)) + "\n")
    assert aligned(f"person:{path}", tmp_path / "runs") == 1
    assert "nothing to compare with" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "expected"), [("7", "1 to 5"), ("x", "expected an answer")])
def test_an_answer_that_is_none_is_refused(
    value: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aligned(person(tmp_path, i5=value), tmp_path / "runs") == 1
    error = capsys.readouterr().err
    assert value in error and "i5" in error and expected in error and not (tmp_path / "runs").exists()
