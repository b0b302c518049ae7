"""The command line: what each bad input says, what goes to which stream, and which exit code comes back.

Over 300 lines: every way of typing something wrong stands in one place.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from result_files import held
from said import Say

from traitbench import store
from traitbench.backends.scripted import Scripted
from traitbench.cli import arguments
from traitbench.cli.configuration import from_command_line
from traitbench.errors import TraitbenchError
from traitbench.journal import RunFolder
from traitbench.runs.folders import run_name
from traitbench.runs.prepare import prepare
from traitbench.types import Request, Response

ROOT = Path(__file__).resolve().parents[2]
SCRIPTED = "--model scripted:person --tasks mini_ipip"
RUN = (
    "run --model scripted:person --model_args obedience=0.2,noise=0.1 --method prompting --target extraversion=high "
    "--tasks mini_ipip --scoring choice --bootstrap_iters 20 -o runs"
)


def folder_of(line: str) -> Path:
    """The folder of a `run` line, by its plan."""
    plan = from_command_line(vars(arguments.parser().parse_args(arguments.normalised(shlex.split(line)))))
    return Path(plan.output_path) / run_name(prepare(plan))


FOLDER = folder_of(RUN)
VOLATILE = ("date", "total_evaluation_time_seconds", "cost", "git_hash")


def sound() -> dict[str, Any]:
    """An inventory of one's own without fault."""
    keyed = {"x1": ("I hum", 1), "x2": ("I sing", 1), "x3": ("I sit at the back", -1), "x4": ("I hide", -1)}
    return {
        "id": "mine", "licence": "CC0", "citation": "Us (2025).", "scales": {"E": "extraversion"},
        "response_scale": {"min": 1, "max": 3, "labels": ["No", "Partly", "Yes"]}, "statement": {"prefix": ""},
        "items": [{"id": i, "text": t, "scale": "E", "keyed": k} for i, (t, k) in keyed.items()],
    }  # fmt: skip


def steady(path: Path) -> dict[str, Any]:
    """The results file without what differs between two runs of one plan."""
    return {key: value for key, value in held(path).items() if key not in VOLATILE}


def newest(folder: Path, pattern: str = "results_*.json") -> Path:
    return max(folder.glob(pattern))


# --- bad input -------------------------------------------------------------------------------------------------------

USAGE = {
    "rnu": "unknown command 'rnu'; did you mean 'run'?",
    "run --modle x": "unknown argument '--modle'; did you mean '--model'?",
    "run --batch-sise=4": "unknown argument '--batch_sise=4'; did you mean '--batch_size'?",
    "--modle x --tasks y": "unknown argument '--modle'; did you mean '--model'?",
    "run extra": "unknown argument 'extra'; see `traitbench run --help`",
    "run --mod x": "unknown argument '--mod'; did you mean '--model'?",
    "run --tasks": "--tasks/-t: expected at least one argument",
    "ls nope": "invalid choice: 'nope' (choose from",
    "score": "required: folder",
    "data": "required: ACTION",
    "run --model smolm2": "unknown model 'smolm2'; did you mean 'smollm2'?",
    "run --model nowhere": "or give a hub id such as Qwen/Qwen2.5-7B-Instruct, a folder that exists",
    "run --model ./nowhere": "unknown model './nowhere': there is no folder nowhere; expected one with config.json",
    "run --model org/name/": "unknown model 'org/name/': there is no folder org/name; expected",
    "run --batch_size auto:4": "--batch_size 'auto:4': expected auto, which finds the batch, or a whole number from 1",
    "run --batch_size 0": "--batch_size '0': expected auto",
    "run --seed 1,2,3,4": "--seed '1,2,3,4': expected one integer, which all draws follow",
    "run -M x=1": "--model x=1 is no model; settings of a model are --model_args x=1, and --model (-M) names it",
    f"run {SCRIPTED} -T x=1": "unknown argument '-T'; what a task takes are flags here",
    "run --model scripted:person --tasks list": "--tasks list: type `traitbench ls tasks`",
    f"run {SCRIPTED} --model scripted:persn": "unknown scripted respondent 'persn'; did you mean 'person'?",
    "run --model scripted:person --tasks mini_ippi": "unknown task 'mini_ippi'; did you mean 'mini_ipip'?",
    "run --model scripted:person --tasks mini_ipip,mini-ipip": "names a task twice; name each once",
    "run --tasks=": "--tasks is empty; name at least one",
    f"run {SCRIPTED} --include_path nope": "--include_path nope is no folder; expected one with inventories",
    f"run {SCRIPTED} --method promting": "unknown method 'promting'; did you mean 'prompting'?",
    f"run {SCRIPTED} --method prompting --target extroversion=high": "'extroversion'; did you mean 'extraversion'",
    f"run {SCRIPTED} --method prompting --target extraversion=hihg": "unknown level 'hihg' of extraversion; expected",
    f"run {SCRIPTED} --method prompting --target extraversion=2": "level 2.0 of extraversion is out of range",
    f"run {SCRIPTED} --method prompting --target openness=high,openness=low": "names openness twice",
    f"run {SCRIPTED} --target extraversion=high": "the method none takes no target",
    f"run {SCRIPTED} --method prompting --method_args style=neutral --target openness=high": "takes no target",
    f"run {SCRIPTED} --method prompting --method_args style=p2 --target openness=0.5": "cannot aim at openness=0.5; it",
    f"run {SCRIPTED} --backend hf": "the backend hf cannot run the model 'scripted:person'; use --backend scripted or",
    f"run {SCRIPTED} --backend hff": "'hff'; did you mean 'hf'?",
    f"run {SCRIPTED} --method_args foo": "--method_args holds 'foo'; expected name=value pairs",
    f"run {SCRIPTED} --method prompting --method_args stile=p2": "'stile'; did you mean 'style'?",
    f"run {SCRIPTED} --method prompting --method_args style=p3": "style = 'p3': Input should be 'direct', 'adjective'",
    f"run {SCRIPTED} --model_args nois=1": "unknown key of --model_args for scripted 'nois'; did you mean 'noise'?",
    f"run {SCRIPTED} --model_args noise=-1": "Input should be greater than or equal to 0",
    f"run {SCRIPTED} --model_args extraversion=5": "equal to 1; expected a number from 0 to 1",
    f"run {SCRIPTED} --gen_kwargs temprature=1": "key of --gen_kwargs 'temprature'; did you mean 'temperature'?",
    f"run {SCRIPTED} --scoring chioce": "unknown value of --scoring 'chioce'; did you mean 'choice'?",
    f"run {SCRIPTED} --limit 0": "--limit '0': expected how many items, 1 or more, or a share",
    f"run {SCRIPTED} --limit x": "--limit 'x': expected how many items, 1 or more, or a share",
    f"run {SCRIPTED} --templates 9": "--templates = 9: Input should be less than or equal to 5",
    "validate nope.json": "unknown inventory 'nope.json'; known: bfi_44",
    "data get sd4": "unknown data set 'sd4'; did you mean 'sd3'?",
    "data path nope": "unknown data set 'nope'; known: bfi_44",
}


@pytest.mark.parametrize("line", USAGE)
def test_usage_errors_say_what_was_wrong_and_what_was_expected(say: Say, tmp_path: Path, line: str) -> None:
    said = say(line)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert USAGE[line] in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not list(tmp_path.rglob("results_*")) and not list(tmp_path.rglob("run.json"))


ERRORS = {
    "score nope": "nope holds no results_*.json; expected a folder that `traitbench run` wrote",
    "export nope": "nope holds no results_*.json",
    "leaderboard --published nope": "nope holds no <run>/results_*.json; `traitbench export RUN` publishes a run there",
    "run --config none.yaml": "cannot read --config none.yaml: No such file or directory; give a YAML or JSON file",
    "data get sd3": "sd3 is restricted: ",
    "data path sd3": "get it with `traitbench data get sd3 --accept_licence`",
    "run --model scripted:person --tasks sd3": "get it with `traitbench data get sd3 --accept_licence`",
}


@pytest.mark.parametrize("line", ERRORS)
def test_what_is_missing_is_named_with_what_to_type(say: Say, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("TRAITBENCH_DATA", "")
    said = say(line)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert ERRORS[line] in said.err


def test_an_empty_model_folder(say: Say, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = say("run --model empty --tasks mini_ipip --limit 1")
    assert said.code == 1
    assert "empty is no model folder: config.json and *.safetensors not found" in said.err
    assert "Expected what save_pretrained writes" in said.err


def test_a_truncated_inventory(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(sound(), indent=1)[:200])
    for line in ("run --model scripted:person --tasks mine.json", "run --model scripted:person --tasks mine"):
        said = say(f"{line} --include_path .")
        assert said.code == 1
        assert re.search(r"mine\.json:\d+: the JSON ends too early \(truncated file\?\)", said.err)
        assert "`traitbench validate mine.json` lists everything" in said.err
    said = say("validate mine.json")
    assert said.code == 1
    assert "the JSON ends too early" in said.out


def test_a_malformed_inventory(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"id": "mine",\n "items" [}\n')
    said = say("run --model scripted:person --tasks mine.json")
    assert said.code == 1
    assert "mine.json:2" in said.err


def test_an_inventory_whose_key_names_an_unknown_scale(say: Say, tmp_path: Path) -> None:
    content = sound()
    content["items"][2]["scale"] = "Z"
    (tmp_path / "mine.json").write_text(json.dumps(content, indent=1))
    said = say("run --model scripted:person --tasks mine.json")
    assert said.code == 1
    assert "item 'x3'" in said.err
    assert "scale 'Z'" in said.err


def test_validate_says_ok_or_lists_the_findings(say: Say, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(sound(), indent=1))
    said = say("validate mine.json mini_ipip")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "mine.json: ok"
    assert lines[1].startswith("warning: ")
    assert lines[1].endswith("mini_ipip.json: scale 'O' (openness) is unbalanced: 1 plus and 3 minus items")
    (tmp_path / "other.json").write_text(json.dumps({**sound(), "colour": 1}, indent=1))
    said = say("validate other.json mine.json")
    assert said.code == 1
    assert "error: other.json" in said.out
    assert "colour" in said.out
    assert said.out.endswith("mine.json: ok\n")


def test_a_samples_file_cut_in_a_line_is_named_and_the_run_makes_it_again(say: Say) -> None:
    assert say(RUN).code == 0
    before, samples = steady(newest(FOLDER)), newest(FOLDER, "samples_*.jsonl")
    whole = samples.read_bytes()
    samples.write_bytes(whole[:-40])
    lines = whole.count(b"\n")
    for line in (f"score '{FOLDER}'", f"export '{FOLDER}' --to published"):
        said = say(line)
        assert (said.code, said.out) == (1, "")
        assert f"{samples}, line {lines} is damaged" in said.err
        assert "repeat the `traitbench run`" in said.err
    assert not Path("published").exists()
    again = say(RUN)
    assert again.code == 0
    assert f"{lines} already answered" in again.err
    assert steady(newest(FOLDER)) == before
    assert newest(FOLDER, "samples_*.jsonl").read_bytes() == whole
    assert say(f"score '{FOLDER}'").code == 0


def test_a_cut_last_response_is_asked_again_and_so_is_a_damaged_one(say: Say) -> None:
    assert say(RUN).code == 0
    before, journal = steady(newest(FOLDER)), FOLDER / "responses.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-25])
    again = say(RUN)
    assert again.code == 0
    assert f"{whole.count(b'%c' % 10) - 1} already answered" in again.err
    assert steady(newest(FOLDER)) == before
    assert journal.read_bytes() == whole
    lines = whole.split(b"\n")
    bad = b"{" + lines[4][9:]
    journal.write_bytes(b"\n".join([*lines[:4], bad, *lines[5:]]))
    said = say(RUN)
    assert said.code == 0
    assert f"{journal}: line 5 was damaged and stands in responses.damaged.jsonl now" in said.err
    assert f"{whole.count(b'%c' % 10) - 1} already answered" in said.err
    assert (FOLDER / "responses.damaged.jsonl").read_bytes() == bad + b"\n"
    mended = journal.read_bytes()
    assert sorted(mended.split(b"\n")) == sorted(lines) and steady(newest(FOLDER)) == before
    fresh = say(f"{RUN} --no-resume")
    assert fresh.code == 0
    assert "already answered" not in fresh.err
    assert (FOLDER / "responses.1.jsonl").read_bytes() == mended
    assert steady(newest(FOLDER))["results"] == before["results"]


def test_a_truncated_results_file_is_named_with_its_place(say: Say) -> None:
    assert say(RUN).code == 0
    results = newest(FOLDER)
    results.write_bytes(results.read_bytes()[:500])
    said = say(f"score '{FOLDER}'")
    assert said.code == 1
    assert re.search(r"results_\S+\.json, line \d+, column \d+: .*damaged or cut short", said.err)


def test_a_folder_that_cannot_be_made(say: Say, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        said = say(f"run {SCRIPTED} -o {place}")
        assert said.code == 1
        assert f"cannot write to {place}" in said.err
        assert "choose another folder with --output_path" in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(say: Say, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    said = say(f"run {SCRIPTED} -o locked")
    assert said.code == 1
    assert "no permission to write there; choose another folder with --output_path" in said.err


def test_a_read_only_file_system(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    said = say(f"run {SCRIPTED} -o runs")
    assert said.code == 1
    assert "the file system is read-only; choose another folder with --output_path" in said.err


@pytest.fixture
def room() -> Iterator[Callable[[int | None], None]]:
    """Let files grow to so many bytes only: the kernel's own refusal, as a full disk gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


@pytest.mark.parametrize(("size", "rest"), [(30_000, ""), (1_500, "--limit 6")])
def test_a_full_disk_ends_clearly_and_the_run_goes_on_afterwards(
    say: Say, room: Callable[[int | None], None], size: int, rest: str
) -> None:
    room(size)
    said = say(f"{RUN} {rest}")
    room(None)
    assert said.code == 1
    folder = folder_of(f"{RUN} {rest}")
    assert f"error: cannot write to {folder}" in said.err
    assert not list(folder.glob("results_*"))
    kept = (folder / "responses.jsonl").read_bytes().count(b"\n")
    again = say(f"{RUN} {rest}")
    assert again.code == 0
    assert f"{kept} already answered" in again.err
    assert say(f"{RUN} {rest} -o other").code == 0
    assert steady(newest(folder)) == steady(newest(Path("other") / folder.name))


def test_a_disk_that_fills_up_says_so(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    said = say(RUN)
    assert said.code == 1
    assert "the disk is full; free some space and run the same command again, it resumes" in said.err


def test_two_runs_on_one_folder(say: Say) -> None:
    with RunFolder(FOLDER).open():
        said = say(RUN)
    assert said.code == 1
    assert f"another run is writing to {FOLDER}; wait until it ends, or give this one its own folder" in said.err
    assert say(RUN).code == 0


def test_failed_calls_give_exit_code_3_and_keep_the_rest(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Scripted._answer

    def failing(self: Scripted, request: Request) -> Response:
        return Response(status="error", error="boom") if request.doc.item.endswith("_3") else answer(self, request)

    monkeypatch.setattr(Scripted, "_answer", failing)
    said = say(f"{RUN} --format json")
    assert said.code == 3
    style = json.loads(said.out)["tasks"]["mini_ipip"]["modes"]["choice"]["response_style"]["all"]
    assert style["invalid"]["error"] == pytest.approx(1 / 20)


def test_debugging_shows_the_traceback(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_DEBUG", "1")
    with pytest.raises(TraitbenchError, match="unknown model"):
        say("run --model smolm2")


def test_ctrl_c_keeps_what_was_answered_and_the_same_command_ends_the_run(say: Say, tmp_path: Path) -> None:
    line = (
        "run --model scripted:person --model_args obedience=0.2,noise=0.1 --tasks ipip_neo_300 --method prompting "
        "--target extraversion=high --scoring choice --bootstrap_iters 20"
    )
    command = [sys.executable, "-m", "traitbench.cli.commands", *shlex.split(line), "-o", "runs"]
    # A shell starts its background jobs with the interrupt ignored, and children inherit that.
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=default
    )
    folder = folder_of(f"{line} -o runs")
    journal, patience = tmp_path / folder / "responses.jsonl", time.monotonic() + 60
    while not (journal.is_file() and journal.stat().st_size) and process.poll() is None:
        assert time.monotonic() < patience
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; what was answered is kept, the same command goes on from there" in err
    assert "Traceback" not in err
    assert out == ""
    kept = journal.read_bytes().count(b"\n")
    assert 0 < kept < 1200
    assert not list((tmp_path / folder).glob("results_*"))
    resumed, whole = say(f"{line} -o runs"), say(f"{line} -o whole")
    assert (resumed.code, whole.code) == (0, 0)
    assert f"2 conditions, 1200 requests, {kept} already answered" in resumed.err
    assert "already answered" not in whole.err
    assert resumed.out == whole.out
    other = Path("whole") / folder.name
    assert steady(newest(folder)) == steady(newest(other))
    assert newest(folder, "samples_*").read_bytes() == newest(other, "samples_*").read_bytes()


# --- what goes where -------------------------------------------------------------------------------------------------


def test_hyphens_and_underscores_are_one_in_flags_and_in_task_names(say: Say) -> None:
    underscored = say(f"run {SCRIPTED} --show_config --batch_size=4 --method_args=a-b=c-d --apply_chat_template")
    hyphenated = say(f"run {SCRIPTED} --show-config --batch-size=4 --method-args=a-b=c-d --apply-chat-template")
    assert underscored == hyphenated
    assert underscored.code == 0
    assert yaml.safe_load(underscored.out)["method_args"] == {"a-b": "c-d"}
    assert say("run --model scripted:person --tasks mini-ipip --limit 1 --scoring choice -o runs").code == 0


def test_a_line_without_a_verb_means_run(say: Say) -> None:
    line = f"{SCRIPTED} --limit 3 --seed 4 --show_config"
    assert say(line) == say(f"run {line}")
    assert say(f"-M scripted:person {line}").code == 0


def test_what_show_config_prints_is_taken_by_config(say: Say, tmp_path: Path) -> None:
    first = say(f"{RUN} --limit 4 --gen_kwargs temperature=0.5 --symbols numbers,letters --show_config")
    assert (first.code, first.err) == (0, "")
    (tmp_path / "c.yaml").write_text(first.out)
    assert say("run --config c.yaml --show_config").out == first.out
    assert yaml.safe_load(say("-C c.yaml --limit 9 --model_args noise=0.3 --show_config").out) == {
        **yaml.safe_load(first.out), "limit": 9, "model_args": {"obedience": 0.2, "noise": 0.3},
    }  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_an_unknown_key_of_a_file_is_an_error_with_a_suggestion(say: Say, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: scripted:person\ntask: mini_ipip\n")
    said = say("run --config c.yaml")
    assert said.code == 2
    assert "unknown key in c.yaml 'task'; did you mean 'tasks'?" in said.err


def test_write_out_shows_the_exact_prompt_on_stderr(say: Say) -> None:
    said = say(f"{RUN} --write_out --format json")
    assert said.code == 0
    json.loads(said.out)
    rows = [json.loads(line) for line in newest(FOLDER, "samples_*").read_text("utf-8").splitlines()]
    for condition in ("baseline", "extraversion=high"):
        for order in ("forward", "reverse"):
            first = next(r for r in rows if (r["condition"], r["order"]) == (condition, order))
            shown = (
                f"--- {condition}: mini_ipip choice {order}, item {first['item']}\n{first['arguments'][0]}⟨answer⟩\n"
            )
            assert shown in said.err


def test_json_on_stdout_is_the_results_file(say: Say) -> None:
    said = say(f"{RUN} --format json --limit 5")
    results = newest(folder_of(f"{RUN} --limit 5"))
    assert json.loads(said.out) == held(results)
    assert "2 conditions, 20 requests" in said.err
    assert f"results: {results}" in said.err
    assert "warning: --limit 5: the first 5 items only, not a score of the instrument" in said.err


def test_a_run_of_one_wording_is_published_with_a_warning(say: Say, tmp_path: Path) -> None:
    for more, warned in (("", True), (" --templates 2", False)):
        say(f"{RUN}{more}")
        said = say(f"export {folder_of(f'{RUN}{more}')} --to {tmp_path}")
        assert said.code == 0
        assert ("warning: asked in one wording" in said.err) == warned


def test_markdown_on_stdout_is_tables_of_even_width(say: Say) -> None:
    said = say(f"{RUN} --format markdown")
    assert said.code == 0
    blocks = [block.splitlines() for block in said.out.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 7
    for block in blocks:
        assert re.fullmatch(r"\|---\|---(\|(--:|---))+\|", block[1])
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block}) == 1
    assert re.search(r"^\| extraversion=high \| choice \| 20\.00 \[", said.out, re.MULTILINE)
    assert "requests" not in said.err.replace("2 conditions, 80 requests", "")


def test_the_table_on_stdout_holds_the_effect(say: Say) -> None:
    said = say(RUN)
    assert said.code == 0
    assert re.search(r"extraversion=high\s*│\s*choice\s*│\s*20\.00 \[", said.out)
    assert f"score again without a model: traitbench score '{FOLDER}'" in said.err


def test_score_computes_the_same_numbers_from_the_samples_alone(say: Say) -> None:
    ran = say(f"{RUN} --scoring choice,statement,generate --format json")
    folder = folder_of(f"{RUN} --scoring choice,statement,generate")
    for file in folder.glob("responses*"):
        file.unlink()
    before = sorted((p.name, p.read_bytes()) for p in folder.iterdir())
    scored = say(f"score '{folder}' --format json")
    assert scored.code == 0
    assert scored.out == ran.out
    assert f"recomputed from the samples beside {newest(folder)}" in scored.err
    assert say(f"score '{newest(folder)}' --format json").out == ran.out
    assert sorted((p.name, p.read_bytes()) for p in folder.iterdir()) == before


# --- the other verbs -------------------------------------------------------------------------------------------------


def test_ls_lists_each_kind_alone_and_all_together(say: Say) -> None:
    kinds = {"models": "llama3 ", "methods": "prompting ", "tasks": "ipip_neo_120 ", "backends": "scripted "}
    said = say("ls")
    assert (said.code, said.err) == (0, "")
    for kind, name in kinds.items():
        alone = say(f"ls {kind}")
        assert alone.code == 0
        assert alone.out.startswith(f"{kind}:\n")
        assert f"  {name}" in alone.out
        assert alone.out in said.out
    assert "meta-llama/Meta-Llama-3-8B-Instruct" in said.out
    assert "text needed: traitbench data get bfi_44" in said.out


def test_prompt_shows_control_and_items_without_a_model(say: Say) -> None:
    said = say("prompt --method prompting --target extraversion=high --tasks mini_ipip --limit 2")
    assert (said.code, said.err) == (0, "")
    assert "# baseline  (control " in said.out
    assert "# extraversion=high  (control " in said.out
    assert "[system] You are a person who is extremely extraverted" in said.out
    for kind in ("choice forward letters 0", "choice reverse letters 0", "statement 0"):
        assert f"# mini_ipip: {kind}, item " in said.out
    assert re.search(r"^\[assistant\] I .*\.   \(scored\)$", said.out, re.MULTILINE)
    assert say("prompt --device cpu").code == 2


def test_data_ls_says_what_is_here(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_DATA", "")
    said = say("data ls")
    assert (said.code, said.err) == (0, "")
    for name in ("bfi_44", "sd3", "dirty_dozen"):
        assert re.search(rf"^{name} .*\n\s+not here: traitbench data get {name}$", said.out, re.MULTILINE)


def test_data_path_is_where_the_user_put_it(say: Say, shared: Path) -> None:
    said = say("data path sd3")
    assert (said.code, said.out, said.err) == (0, f"{shared / 'inventories' / 'sd3.json'}\n", "")


@pytest.mark.parametrize("verb", arguments.COMMANDS)
def test_help_of_each_command_has_an_example_that_parses(say: Say, verb: str) -> None:
    said = say(f"{verb} --help")
    assert (said.code, said.err) == (0, "")
    example = re.search(r"^example: traitbench (.+)$", said.out, re.MULTILINE)
    assert example
    words = arguments.normalised(shlex.split(example[1]))
    assert arguments.parser().parse_args(words).command == verb


def test_version_and_bare_command(say: Say) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", say("--version").out)
    bare = say("")
    assert bare.code == 0
    assert bare.out == say("--help").out
    for verb in arguments.COMMANDS:
        assert re.search(rf"^    {verb}\s", bare.out, re.MULTILINE)


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "pydantic", "numpy", "pandas", "rich", "yaml")
    program = (
        "import sys; from traitbench.cli.commands import main; code = main(['run', '--help']) + main(['--help']);"
        f"print([m for m in {heavy} if m in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


# --- Makefile and hub ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_eval_prints_the_line_that_it_runs() -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    made = subprocess.run(
        ["make", "-n", "eval", "METHOD=prompting", "MODEL=llama3", "TASKS=sd3", "LIMIT=5"],
        cwd=ROOT, env=clean, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told, ran = [line for line in made.stdout.splitlines() if "traitbench run" in line]
    line = (
        "traitbench run --model 'llama3' --method 'prompting' --target 'all' --tasks 'sd3' --backend 'auto' --limit '5'"
    )
    assert told == f'echo "{line}"'
    assert ran == f".venv/bin/{line}"
    parsed = arguments.parser().parse_args(shlex.split(line)[1:])
    assert (parsed.model, parsed.method, parsed.tasks, parsed.limit) == ("llama3", "prompting", "sd3", "5")


def test_llama3_is_its_hub_id_and_without_a_network_the_error_says_what_to_type(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    command = [
        sys.executable,
        "-m",
        "traitbench.cli.commands",
        "run",
        "--model",
        "llama3",
        "--tasks",
        "mini_ipip",
        "-o",
        "runs",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=offline, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: cannot reach the hub for meta-llama/Meta-Llama-3-8B-Instruct" in done.stderr
    assert "check the network, give a local folder" in done.stderr
    assert "--model smollm2" in done.stderr
    assert "Traceback" not in done.stderr
