"""What was changed after it was written is found, with its file and line, and refused by whatever reads it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from quiet import Quiet

from traitbench import controls
from traitbench.cli.commands import main
from traitbench.errors import BadData
from traitbench.leaderboard import build
from traitbench.methods.prompting import Prompting
from traitbench.runs.api import load_results
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.runs.publish import publish
from traitbench.runs.verify import verify
from traitbench.store import read_json
from traitbench.types import Target


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: one finished run."""
    folder = tmp_path_factory.mktemp("runs")
    plan = Plan.model_validate({
        "model": "scripted:person", "model_args": {"obedience": 0.3}, "tasks": ("mini_ipip",), "bootstrap_iters": 50,
        "method": "prompting", "target": "extraversion=high", "output_path": str(folder),
    })  # fmt: skip
    evaluate(plan, Quiet(), lambda line: None)
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "runs")


def file(runs: Path, pattern: str) -> Path:
    (found,) = runs.rglob(pattern)
    return found


def changed(path: Path, place: int, old: str, new: str) -> None:
    """Exchange a text in one line of a file."""
    lines = path.read_text().split("\n")
    assert old in lines[place]
    lines[place] = lines[place].replace(old, new, 1)
    path.write_text("\n".join(lines))


def test_what_nobody_touched_is_as_it_was(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(runs)
    samples = file(runs, "samples_*.jsonl").read_text().count("\n")
    answers = file(runs, "responses.jsonl").read_text().count("\n")
    assert (found.results, found.lines, found.faults) == (1, samples + answers, [])
    assert main(["verify", str(runs), str(file(runs, "results_*.json"))]) == 0
    assert capsys.readouterr().out.count("all as they were written") == 2


def exchanged(runs: Path) -> None:
    """Two samples in each other's place: each line as it was, the file not."""
    exchanged_in(file(runs, "samples_*.jsonl"))


def exchanged_in(path: Path) -> None:
    first, second, *rest = path.read_text().split("\n")
    path.write_text("\n".join([second, first, *rest]))


def effect(runs: Path) -> None:
    """The first digit of an effect in the results."""
    path = file(runs, "results_*.json")
    text = re.sub(
        r'("value": -?)(\d)', lambda found: f"{found[1]}{(int(found[2]) + 1) % 10}", path.read_text(), count=1
    )
    assert text != path.read_text()
    path.write_text(text)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "an effect": (effect, r"results_.*\.json is not as it was written"),
    "a sample": (
        lambda runs: changed(file(runs, "samples_*.jsonl"), 6, '"loglik":-', '"loglik":-1')
        if '"loglik":-' in file(runs, "samples_*.jsonl").read_text().split("\n")[6]
        else changed(file(runs, "samples_*.jsonl"), 6, '"option_logprobs":[-', '"option_logprobs":[-1'),
        r"samples_.*\.jsonl, line 7 is damaged \(its checksum is another",
    ),
    "samples exchanged": (exchanged, r"samples_.*\.jsonl is not the file .* it was changed or swapped"),
    "a sample too few": (
        lambda runs: file(runs, "samples_*.jsonl").write_text(
            file(runs, "samples_*.jsonl").read_text().split("\n", 1)[1]),
        r"samples_.*\.jsonl is not the file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_changed_is_named_and_refused(
    runs: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = FAULTS[name]
    change(runs)
    (fault,) = verify(runs).faults
    assert re.search(message, fault)
    assert main(["verify", str(runs)]) == 1
    said = capsys.readouterr()
    assert "1 faults" in said.out and f"fault: {fault}" in said.err
    results = file(runs, "results_*.json")
    for reads in (load_results, rescore, partial(publish, to=tmp_path)):
        with pytest.raises(BadData):
            reads(results)
    for verb in ("score", "report", "export"):
        assert main([verb, str(file(runs, "results_*.json").parent)]) == 1
    assert not list(tmp_path.glob("*/results_*"))


def test_a_kept_answer_that_was_changed_is_named(runs: Path) -> None:
    journal = file(runs, "responses.jsonl")
    before = journal.read_text()
    changed(journal, 2, "-", "-1")
    (fault,) = verify(runs).faults
    assert "responses.jsonl: damaged or changed in line 3;" in fault
    journal.write_text(before[:-30])
    assert verify(runs).faults == []


def test_a_plan_that_was_changed_beside_its_results_is_named(runs: Path) -> None:
    plan = file(runs, "run.json")
    plan.write_text(plan.read_text().replace('"seed": 0', '"seed": 1'))
    (fault,) = verify(runs).faults
    assert fault.endswith("is of another plan than run.json beside it: seed; copy both again")


def test_whoever_reads_a_run_says_that_a_kept_answer_was_changed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(file(runs, "results_*.json").parent)
    assert main(["score", folder, "--format", "json"]) == 0
    whole = capsys.readouterr()
    changed(file(runs, "responses.jsonl"), 2, "-", "-1")
    for words in (
        ["score", folder, "--format", "json"],
        ["score", folder, "--all", "--format", "json"],
        ["report", folder],
        ["compare", folder, folder],
    ):
        assert main(words) == 0
        told = capsys.readouterr()
        assert "responses.jsonl: damaged or changed in line 3;" in told.err, words
        assert words[0] != "score" or told.out == whole.out


def test_what_stands_for_a_damaged_result_is_named(runs: Path) -> None:
    old = file(runs, "results_*.json")
    samples = file(runs, "samples_*.jsonl")
    for path in (old, samples):
        stamp = old.stem.removeprefix("results_")
        shutil.copy(path, path.with_name(path.name.replace(stamp, "2999-01-01T00-00-00.000000")))
    exchanged_in(samples)
    (fault,) = verify(runs).faults
    assert fault.endswith(
        "; where results_2999-01-01T00-00-00.000000.json, made later, has no fault, delete this one with its samples"
    )
    old.unlink()
    samples.unlink()
    assert verify(runs).faults == []


@pytest.mark.parametrize("change", ["result", "line"])
def test_a_shelf_with_a_changed_run_makes_no_leaderboard(runs: Path, tmp_path: Path, change: str) -> None:
    shelf = tmp_path / "published"
    publish(file(runs, "results_*.json"), shelf)
    assert verify(shelf).faults == [] and build(shelf)
    if change == "result":
        changed(file(shelf, "results_*.json"), 1, ":", ": ")
        assert verify(shelf).faults == [], "another layout of the same content is none"
        held = read_json(file(shelf, "results_*.json"))
        held["config"]["seed"] = 7
        file(shelf, "results_*.json").write_text(json.dumps(held))
        message = "is not as it was written"
    else:
        path = file(shelf, "samples_*.jsonl.gz")
        lines = gzip.decompress(path.read_bytes()).decode().split("\n")
        lines[3] = lines[3].replace('"value"', '"velue"', 1) if '"value"' in lines[3] else lines[3].replace("1", "2", 1)
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        message = "line 4 was changed"
    with pytest.raises(BadData, match=message):
        build(shelf)
    assert len(verify(shelf).faults) == 1


def test_a_control_is_what_its_folder_is_named_by(tmp_path: Path) -> None:
    control = Prompting(Prompting.Config()).fit(Target(levels={"extraversion": 1.0}), None)  # type: ignore[arg-type]
    folder = controls.keep(control, tmp_path)
    assert verify(tmp_path).controls == 1 and verify(tmp_path).faults == []
    held = read_json(folder / "control.json")
    held["messages"][0]["content"] += " Not."
    (folder / "control.json").write_text(json.dumps(held))
    (fault,) = verify(tmp_path).faults
    assert "is named by another hash" in fault
    with pytest.raises(BadData, match="is named by another hash"):
        controls.read(folder)


def test_a_folder_without_anything_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"holds no run and no control; expected a folder"):
        verify(tmp_path)


def test_a_checksum_that_was_taken_out_is_missed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(runs, "results_*.json")
    held = read_json(path)
    del held["checksum"]
    path.write_text(json.dumps(held))
    for command in ("verify", "score", "report", "export"):
        assert main([command, str(path.parent)]) == 1
        said = capsys.readouterr()
        assert "it lacks its checksum" in said.out + said.err
    with pytest.raises(BadData, match="it lacks its checksum"):
        rescore(path)


def test_what_lies_beside_is_read_too(runs: Path, tmp_path: Path) -> None:
    shelf = publish(file(runs, "results_*.json"), tmp_path / "shelf").parent
    assert not verify(shelf).faults
    prompts = file(shelf, "prompts_*.json.gz")
    prompts.write_bytes(prompts.read_bytes()[:-40])
    (fault,) = verify(shelf).faults
    assert prompts.name in fault
    (folder,) = runs.glob("scripted*")
    (folder / "run.json").write_text('{"plan": {')
    (fault,) = verify(folder).faults
    assert "run.json" in fault


def test_a_copy_of_a_published_run_is_not_a_second_one(runs: Path, tmp_path: Path) -> None:
    folder = publish(file(runs, "results_*.json"), tmp_path / "shelf").parent
    shutil.copytree(folder, folder.parent / "another")
    with pytest.raises(BadData, match=r"is a copy of .*, and a run counts once; remove one of the two"):
        build(folder.parent)
