"""A run in the format of Every Eval Ever: its schema, and where there is a Python 3.12 its own validator, accept it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.export.every_eval_ever import every_eval_ever
from traitbench.store import read_json

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "every_eval_ever-0.3.0.json").read_text("utf-8"))
ROOT = Path(__file__).resolve().parents[2]
RUN = "run -M scripted:person -a obedience=0.2,noise=0.1 --bootstrap_iters 20 -m prompting"
LINES = {
    "one instrument": "-t mini_ipip --target extraversion=high --scoring choice,statement,generate",
    "two instruments": "-t mini_ipip,ipip_50 --target all --scoring choice",
}
PUBLISHED = sorted((ROOT / "results" / "published").glob("smollm2@*/results_*.json"))


def ran(out: Path, line: str) -> Path:
    assert main([*f"{RUN} {line}".split(), "-o", str(out)]) == 0
    (path,) = out.glob("*/results_*.json")
    return path


def check(files: list[Path]) -> list[dict[str, Any]]:
    found = [json.loads(file.read_text("utf-8")) for file in files]
    for each in found:
        jsonschema.Draft7Validator(SCHEMA).validate(each)
    return found


@pytest.mark.parametrize("kind", LINES)
def test_every_file_is_of_the_schema_and_holds_the_numbers(kind: str, tmp_path: Path, capsys: Any) -> None:
    path = ran(tmp_path / "runs", LINES[kind])
    results = read_json(path)
    capsys.readouterr()
    assert main(["export", str(path.parent), "--format", "eee", "--to", str(tmp_path / "out")]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    found = check(files)
    assert len(found) == len(results["conditions"])
    for each, condition in zip(found, results["conditions"], strict=True):
        details = each["model_info"]["additional_details"]
        assert details["deployment_type"] == "self_deployed" and details["condition"] == condition["name"]
        assert details.get("control_hash") == condition["control_hash"]
        told = {one["evaluation_result_id"]: one for one in each["evaluation_results"]}
        expected = {}
        for task in results["versions"]:
            first = condition == results["conditions"][0]
            line = results["results"][task if first else f"{task}@{condition['name']}"]
            for key, value in line.items():
                name, _, mode = key.partition(",")
                if mode and value is not None and not name.endswith("_stderr"):
                    expected[f"{task}/{name}/{mode}/{condition['name']}"] = (value, line[f"{name}_stderr,{mode}"])
        assert {name: one["score_details"]["score"] for name, one in told.items()} == {
            name: value for name, (value, _) in expected.items()
        }
        for name, one in told.items():
            metric = one["metric_config"]
            assert metric["lower_is_better"] is False and metric["additional_details"]["score_direction"] == "none"
            assert one["score_details"]["uncertainty"]["standard_error"]["value"] == expected[name][1]
            bounds = (metric["min_score"], metric["max_score"])
            assert bounds == (("-Infinity", "Infinity") if "/statement/" in name else (1, 5))
    again = every_eval_ever(path, tmp_path / "again")
    assert [file.relative_to(tmp_path / "again") for file in again] == [f.relative_to(tmp_path / "out") for f in files]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    (first, *_) = check(every_eval_ever(ran(tmp_path / "runs", LINES["one instrument"]), tmp_path / "out"))
    for part, key in (("model_info", "id"), ("source_metadata", "source_type")):
        wrong = {**first, part: {name: value for name, value in first[part].items() if name != key}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft7Validator(SCHEMA).validate(wrong)


def test_a_published_run_of_a_model_goes_out(tmp_path: Path) -> None:
    found = check(every_eval_ever(PUBLISHED[0], tmp_path))
    assert {each["model_info"]["additional_details"]["model_availability"] for each in found} == {"open_weights"}
    assert {each["model_info"]["id"].partition("/")[0] for each in found} == {"local"}


def test_a_number_with_a_direction_has_it(shared: Path, tmp_path: Path) -> None:
    (path,) = (ROOT / "results" / "published").glob("smollm2@prompting,style=person+*/results_*.json")
    for each in check(every_eval_ever(path, tmp_path)):
        told = {one["metric_config"]["metric_name"]: one["metric_config"] for one in each["evaluation_results"]}
        assert told["error"]["lower_is_better"] and not told["correlation"]["lower_is_better"]
        directions = {name: metric["additional_details"]["score_direction"] for name, metric in told.items()}
        assert directions == {"error": "lower", "correlation": "higher"}


def test_no_word_of_a_restricted_item_stands_in_it(shared: Path, tmp_path: Path) -> None:
    texts = [item.text or "" for item in inventories.load("bfi_44").items]
    path = ran(tmp_path / "runs", LINES["one instrument"].replace("mini_ipip", "bfi_44"))
    for file in every_eval_ever(path, tmp_path / "out"):
        held = file.read_text("utf-8").lower()
        assert "extraversion" in held and not [text for text in texts if text.lower() in held]


def test_its_own_validator_accepts_them(tmp_path: Path) -> None:
    command = os.environ.get("EVERY_EVAL_EVER") or shutil.which("every_eval_ever")
    if command is None:
        pytest.skip("no every_eval_ever 0.3: install it on Python 3.12 and name the command in EVERY_EVAL_EVER")
    files = every_eval_ever(ran(tmp_path / "runs", LINES["one instrument"]), tmp_path / "out")
    files += every_eval_ever(PUBLISHED[0], tmp_path / "out")
    names = [str(file.relative_to(tmp_path / "out")) for file in files]
    done = subprocess.run([command, "validate", *names], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower().replace("0 warning", "")
    broken = json.loads(files[0].read_text())
    del broken["model_info"]["additional_details"]["deployment_type"]
    files[0].write_text(json.dumps(broken))
    done = subprocess.run([command, "validate", names[0]], cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode != 0
