"""Results files of schema version 3, frozen in tests/data/v3: read, scored and published as this version."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from result_files import resealed

from traitbench.cli.commands import main
from traitbench.runs.results import SCHEMA_VERSION, Results
from traitbench.runs.verify import verify
from traitbench.store import read_json

V3 = Path(__file__).resolve().parents[1] / "data" / "v3"
NAME = "results_2026-11-22T06-11-34.707931.json"
MOVED = ("scores", "response_style", "reliability", "validity", "variance", "human", "scorecard", "dose", "verdict")
"""What a block holds now, and the file itself held by task."""
GONE = {*MOVED, "alignment", "personas", "multimethod", "schema_version", "uncertainty"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder of version 3."""
    folder = tmp_path / "scripted__first@none+ed0e632c"
    shutil.copytree(V3, folder)
    assert read_json(folder / NAME)["schema_version"] == 3
    return folder


def test_that_its_numbers_cannot_be_checked_is_said(run: Path) -> None:
    found = verify(run)
    assert not found.faults and found.text.startswith("1 results file (1 of older versions, without a checksum of")


INTERVALS = {"se", "ci", "leakage", "leakage_ci", "check", "reasons", "verdict"}
"""What is computed in another way since, with everything that is judged by it."""


def held(now: Any, old: Any) -> Any:
    """What of `now` version 3 had too, intervals left out; the sum of a mean may have another last digit."""
    if isinstance(now, dict) and isinstance(old, dict):
        return {name: held(value, old[name]) for name, value in now.items()
                if name in old and name not in INTERVALS and "_stderr," not in name}  # fmt: skip
    if isinstance(now, list) and isinstance(old, list) and len(now) == len(old):
        return [held(a, b) for a, b in zip(now, old, strict=True)]
    return round(now, 12) if isinstance(now, float) else now


def check(now: dict[str, Any]) -> None:
    """Every number of version 3 stands in its new place, and everything else where it was."""
    old = read_json(V3 / NAME)
    assert now["schema_version"] == SCHEMA_VERSION == 5
    was: Any = {name: value for name, value in old.items() if name not in GONE}
    assert held(now, was) == held(was, was)
    (block,) = now["tasks"].values()
    assert (list(now["tasks"]), block["kind"], now["across"]) == (["sd3"], "questionnaire", {})
    for mode, scored in block["modes"].items():
        assert set(scored) - {"functioning", "dependability", "variation"} == set(MOVED)  # those are new
        for part in ("scores", "response_style"):
            was = {name: by[mode] for name, by in old[part]["sd3"].items() if mode in by}
            assert held(scored[part], was) == held(was, was)
        for part in set(MOVED) - {"scores", "response_style"}:
            empty: Any = {"reliability": [], "dose": [], "variance": {}}.get(part)
            was = old[part]["sd3"].get(mode, empty)
            assert held(scored[part], was) == held(was, was), part
    assert list(block["modes"]) == list(old["scorecard"]["sd3"]) == ["choice", "statement"]


def test_score_computes_this_version_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(run), "--format", "json"]) == 0
    said = capsys.readouterr().out
    check(json.loads(said))
    assert Results.model_validate_json(said).tasks["sd3"].kind == "questionnaire"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sum() of floats has other last digits from Python 3.12 on")
def test_export_writes_this_version_of_it(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    made = tmp_path / "out" / run.name
    samples = "samples_sd3_2026-11-22T06-11-34.707931.jsonl.gz"
    now, then = (gzip.decompress((folder / samples).read_bytes()) for folder in (made, V3))
    assert now.decode() == resealed(then.decode()), "each line has its checksum now"
    told = read_json(made / NAME)
    assert told["samples_sha256"] == {"sd3": hashlib.sha256(now).hexdigest()}
    check({**told, "samples_sha256": read_json(V3 / NAME)["samples_sha256"]})
    assert main(["leaderboard", "--published", str(tmp_path / "out"), "-o", str(tmp_path)]) == 0


def test_a_leaderboard_of_version_3_says_what_to_type(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", "--published", str(tmp_path), "-o", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"traitbench export '{run}' --to '{tmp_path}'" in said and said.count("\n") == 1
