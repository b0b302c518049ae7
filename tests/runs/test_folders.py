"""Folders of runs: two plans never share one, one plan has one, and what a name on the command line means."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import result_files

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.errors import BadData
from traitbench.leaderboard import build
from traitbench.runs.finished import current
from traitbench.runs.folders import UNDECIDING, find_run, plan_digest, run_name, without_digest
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.store import read_json

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
BASE: dict[str, Any] = {"model": "scripted:person", "tasks": ("mini_ipip",), "method": "prompting"}
RUN = "run -M scripted:person -t mini_ipip -m prompting --scoring choice --bootstrap_iters 20"


def name(**changes: Any) -> str:
    return run_name(prepare(Plan.model_validate({**BASE, **changes})))


def answers(path: Path, last: int) -> str:
    """A table of twenty people's answers to the Mini-IPIP, the last answer of the first as given."""
    items = [item.id for item in inventories.load("mini_ipip").items]
    rows = [[str(1 + (3 * person + 7 * n) % 5) for n in range(len(items))] for person in range(20)]
    rows[0][-1] = str(last)
    path.write_text("\n".join(",".join(row) for row in [items, *rows]) + "\n")
    return str(path)


def model_folder(folder: Path) -> str:
    """What `resolve` takes for a model; nothing of it is loaded to name a run."""
    folder.mkdir(parents=True)
    for file in ("config.json", "model.safetensors"):
        (folder / file).write_text("{}")
    return str(folder)


# What of the plan decides a run, each with another value than the default.
DECIDING: dict[str, Any] = {
    "model": "scripted:uniform", "model_args": {"obedience": 0.2}, "method": "none", "method_args": {"style": "p2"},
    "target": "extraversion=high", "tasks": ("ipip_50",), "limit": 4, "seed": 1, "gen_kwargs": {"max_tokens": 8},
    "apply_chat_template": False, "scoring": ("choice",), "orders": ("forward",), "symbols": ("numbers",),
    "templates": 2, "respondents": 3, "repeats": 2, "norms": "F,30", "bootstrap_iters": 50,
    "contexts": ("plain", "now"),
}  # fmt: skip


@pytest.mark.parametrize("field", DECIDING)
def test_what_decides_a_run_is_in_its_folders_name(field: str) -> None:
    base = {"tasks": ("ipip_neo_120",)} if field == "norms" else {}
    assert name(**base, **{field: DECIDING[field]})[-8:] != name(**base)[-8:]


def test_every_flag_either_decides_a_run_or_is_known_not_to() -> None:
    elsewhere = {"backend", "include_path", "reference", "keyed", "coefs", "matched", "fit_seeds", "control"}
    judged: dict[str, Any] = {"judge": ("smollm2",), "judge_args": {"device": "cpu"}, "self_judge": True}
    assert set(DECIDING) | elsewhere | UNDECIDING | set(judged) == set(Plan.model_fields)
    assert name(**judged) == name()
    pas = {"model": "smollm2", "method": "pas", "tasks": ("ipip_neo_120",)}
    others: list[dict[str, Any]] = [{"coefs": (1.0, 2.0)}, {"coefs": (1.0,)}, {"matched": True}, {"fit_seeds": 2}]
    assert len({name(**pas, **more)[-8:] for more in ({}, *others)}) == 5


def test_what_decides_nothing_is_not(tmp_path: Path) -> None:
    other = {
        "output_path": str(tmp_path), "no_resume": True, "write_out": True, "batch_size": 2, "device": "cpu",
        "mix_conditions": True,
    }  # fmt: skip
    beyond: dict[str, Any] = {"side_effects": ("traitbench_reasoning",), "side_effects_limit": 3}
    assert {*other, *beyond} == UNDECIDING
    assert name(**other) == name() and name(model="smollm2", **beyond) == name(model="smollm2")
    same: list[dict[str, Any]] = [
        {"target": "all"}, {"backend": "scripted"}, {"method_args": {"style": "adjective"}}, {"seed": 0},
        {"gen_kwargs": {"max_gen_toks": 16}},
    ]  # fmt: skip
    assert {name(**more) for more in same} == {name()}, "what is asked for by default"
    assert name(gen_kwargs={"max_gen_toks": 8}) == name(gen_kwargs={"max_tokens": 8})


def test_files_count_by_their_contents(tmp_path: Path) -> None:
    source = Path(inventories.__file__).with_name("mini_ipip.json").read_text(encoding="utf-8")
    given = json.loads(source.replace('"mini_ipip"', '"mine"', 1))
    for item in given["items"]:
        item.pop("text_hash", None)
    made = []
    for number, changed in enumerate(({}, {"keyed": -given["items"][0]["keyed"]}, {"text": "Sing at the table"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        items = [{**given["items"][0], **changed}, *given["items"][1:]]
        (folder / "mine.json").write_text(json.dumps({**given, "items": items}), encoding="utf-8")
        made.append(name(tasks=("mine",), include_path=(str(folder),)))
    shutil.copytree(tmp_path / "0", tmp_path / "copy")
    assert len(set(made)) == 3, "another key or another text is another instrument"
    assert name(tasks=("mine",), include_path=(str(tmp_path / "copy"),)) == made[0], "the same one elsewhere is not"
    people = [name(reference=answers(tmp_path / "people.csv", last), keyed=True) for last in (1, 5)]
    assert len({*people, name()}) == 3


def test_persons_count_by_their_answers(tmp_path: Path) -> None:
    made = []
    for last in (3, 4):
        line = ",".join(f"i{n}" for n in range(1, 301)) + "\n" + ",".join(["2"] * 299 + [str(last)]) + "\n"
        (tmp_path / "me.csv").write_text(line)
        made.append(
            run_name(
                prepare(Plan.model_validate({"model": "scripted:person", "target": f"person:{tmp_path / 'me.csv'}"}))
            )
        )
    assert made[0] != made[1]


def test_a_local_model_is_told_by_its_place_and_never_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders `./model`, and two whose names are safe in the same way."""
    for place in ("here", "there"):
        model_folder(tmp_path / place / "model")
    made = {}
    for place in ("here", "there"):
        monkeypatch.chdir(tmp_path / place)
        made[place] = name(model="./model")
        assert made[place] == name(model=str(tmp_path / place / "model")), "however it is typed"
    assert made["here"] != made["there"]
    assert {without_digest(each) for each in made.values()} == {"model@prompting"}
    umlauts = [name(model=model_folder(tmp_path / each)) for each in ("model-ü", "model-ö")]
    assert {without_digest(each) for each in umlauts} == {"model-__@prompting"} and umlauts[0] != umlauts[1]
    assert name(model=model_folder(tmp_path / ".cached")).startswith("cached@")


def test_names_are_safe_short_and_one_a_model() -> None:
    assert without_digest(name(method="none")) == "scripted__person@none"
    assert re.fullmatch(r"[0-9a-f]{8}", plan_digest(prepare(Plan.model_validate(BASE))))
    assert name(model="llama3") == name(model="meta-llama/Meta-Llama-3-8B-Instruct") == name(model="LLAMA3")
    assert name(model="org/m") != name(model="org/m@v2")
    assert name(model="org/m", method_args={"style": "p2", "turn": "user"}).startswith(
        "org__m@prompting,style=p2,turn=user+"
    )
    long = name(model="org/" + "m" * 300)
    assert len(long) < 200 and long != name(model="org/" + "m" * 301)


# --- what a name means -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, a limited one, one with another setting, and one of another model."""
    folder = tmp_path_factory.mktemp("named")
    for more in ("", "--limit 4", "--method_args style=p2", "-M scripted:first"):
        assert main([*f"{RUN} {more}".split(), "-o", str(folder)]) == 0
    return folder


def test_a_limited_run_has_a_folder_of_its_own_and_the_same_command_the_same(runs: Path, tmp_path: Path) -> None:
    held = sorted(path.name for path in runs.iterdir())
    assert [without_digest(each) for each in held] == [
        "scripted__first@prompting", "scripted__person@prompting", "scripted__person@prompting",
        "scripted__person@prompting,style=p2",
    ]  # fmt: skip
    copy = shutil.copytree(runs, tmp_path / "runs")
    assert main([*f"{RUN} --batch_size 3".split(), "-o", str(copy)]) == 0
    assert sorted(path.name for path in copy.iterdir()) == held


def test_the_beginning_of_a_name_is_enough(runs: Path) -> None:
    (first,) = runs.glob("scripted__first*")
    (p2,) = runs.glob("*style=p2*")
    assert find_run(str(runs / "scripted__f")) == find_run(f"{runs}/scripted__first@prompting/") == first
    assert find_run(str(runs / "scripted__person@prompting,")) == p2
    assert find_run(str(first)) == first and find_run(first.parent / first.name[:-3]) == first
    (results,) = first.glob("results_*.json")
    assert find_run(runs / "scripted__f" / results.name) == results
    assert find_run(runs / "scripted__" / results.name) == results, "the one that holds the file"


def test_a_name_that_is_whole_but_for_its_digest_wins(runs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(runs, tmp_path / "runs")
    (limited,) = (p for p in copy.glob("scripted__person@prompting+*") if plan_of(p)["limit"] == 4)
    shutil.rmtree(limited)
    (whole,) = copy.glob("scripted__person@prompting+*")
    assert find_run(copy / "scripted__person@prompting") == whole, "though one with style=p2 begins alike"
    older = whole.rename(copy / "scripted__person@prompting")
    shutil.copytree(older, whole)
    assert find_run(older) == older, "a folder of an older version by its exact name"


def plan_of(folder: Path) -> Any:
    return read_json(folder / "run.json")["plan"]


@pytest.mark.parametrize("command", ["score {}", "export {} --to out", "report {}", "compare {} {}"])
def test_an_ambiguous_name_is_refused_by_every_command(
    runs: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    named = runs / "scripted__person@prompting"
    assert main(command.format(named, named).split()) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert f"{named} is the beginning of 2 runs" in said.err and "type more of one name" in said.err
    for folder in runs.glob("scripted__person@prompting+*"):
        limit = plan_of(folder)["limit"]
        assert f"{folder.name} (limit={'none' if limit is None else limit})" in said.err


@pytest.mark.parametrize("command", ["score {}", "export {} --to {}/out", "report {} -o {}/out", "compare {} {}"])
def test_every_command_takes_a_beginning(
    runs: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(runs, tmp_path / "runs"))
    assert main([word.replace("{}/", f"{tmp_path}/").replace("{}", "scripted__f") for word in command.split()]) == 0
    if command.startswith("export"):
        (made,) = (tmp_path / "out").iterdir()
        assert made.name == next(runs.glob("scripted__f*")).name


def test_a_results_file_is_published_under_its_folders_name(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (results,) = runs.glob("scripted__first*/results_*.json")
    monkeypatch.chdir(results.parent)
    assert main(["export", results.name, "--to", str(tmp_path)]) == 0
    assert (tmp_path / results.parent.name / results.name).is_file()


def test_no_run_of_that_name(runs: Path) -> None:
    for named in (runs / "scripted__nobody", runs / "scripted__first" / "results_1.json", runs / "no" / "where", runs):
        with pytest.raises(BadData, match=r"holds no results_\*\.json; expected a folder that `traitbench run` wrote"):
            find_run(named)


@pytest.mark.parametrize("named", ["", ".", "./", "results_1.json"])
def test_an_empty_name_means_no_run(runs: Path, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name begins with it, so one run alone in a folder would be found by nothing at all."""
    (first,) = runs.glob("scripted__first*")
    copy = shutil.copytree(first, tmp_path / first.name)
    shutil.copy(next(copy.glob("results_*.json")), copy / "results_1.json")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadData, match=r"holds no results_\*\.json"):
        find_run(named)
    monkeypatch.chdir(copy)
    assert named == "" or find_run(named).resolve() == (copy / named).resolve(), "what lies here is a run"


def unfinish(folder: Path) -> None:
    """Leave of a run what a killed one leaves."""
    for path in (*folder.glob("results_*.json"), *folder.glob("samples_*")):
        path.unlink()


@pytest.mark.parametrize("command", ["score {}", "export {} --to out", "report {}", "compare {} {}"])
def test_no_other_run_stands_in_for_an_unfinished_one(
    runs: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(runs, tmp_path / "runs"))
    named = "scripted__person@prompting"
    whole, limited = sorted(Path().glob(f"{named}+*"), key=lambda path: plan_of(path)["limit"] is not None)
    unfinish(whole)
    capsys.readouterr()
    assert main(command.format(named, named).split()) == 1
    said = capsys.readouterr()
    assert said.out == "" and f"{named} is the beginning of 2 runs" in said.err
    assert f"{whole.name} (limit=none, not finished)" in said.err and f"{limited.name} (limit=4)" in said.err
    shutil.rmtree(limited)
    for name in (named, whole.name):
        assert main(command.format(name, name).split()) == 1
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1, "though one with style=p2 begins alike"
        assert f"{whole.name} is not finished: repeat its `traitbench run`" in said.err


def test_one_that_failed_before_it_had_an_answer_makes_no_name_ambiguous(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(runs, tmp_path / "runs"))
    whole, limited = sorted(Path().glob("scripted__person@prompting+*"), key=lambda p: plan_of(p)["limit"] is not None)
    unfinish(limited)
    (limited / "responses.jsonl").write_bytes(b"")
    assert find_run("scripted__person@prompting") == whole
    shutil.rmtree(whole)
    with pytest.raises(BadData, match=f"{re.escape(limited.name)} is not finished"):
        find_run("scripted__person@prompting")


def test_export_says_what_the_results_warn_of(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (limited,) = (p for p in runs.glob("scripted__person@prompting+*") if plan_of(p)["limit"] == 4)
    capsys.readouterr()
    assert main(["export", str(limited), "--to", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1 and "warning: " in said.err and "--limit 4" in said.err


# --- which results of a folder count ---------------------------------------------------------------------------------


def together(runs: Path, to: Path) -> tuple[Path, Path, Path]:
    """A whole run and a later limited one in one folder, as older versions left them."""
    whole, limited = sorted(runs.glob("scripted__person@prompting+*/results_*.json"), key=lambda path: path.name)
    for path in (whole, limited):
        shutil.copytree(path.parent, to, dirs_exist_ok=True)
    return to, to / whole.name, to / limited.name


def test_a_limited_run_never_stands_in_for_a_whole_one(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, whole, limited = together(runs, tmp_path / "older")
    assert main(["score", str(folder), "--format", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == result_files.held(whole)
    (line,) = [line for line in said.err.splitlines() if line.startswith("passed over")]
    assert line.startswith(f"passed over {limited}: another run (limit 4, not None); {whole.name} counts")
    assert main(["export", str(folder), "--to", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").glob("*/results_*.json")] == [whole.name]
    assert str(limited) in capsys.readouterr().err
    assert current(limited, print) == [limited], "by its own name"


def test_changed_weights_in_one_folder_are_told_apart_and_the_newest_counts(tmp_path: Path) -> None:
    for _ in range(2):
        assert main([*RUN.split(), "-o", str(tmp_path)]) == 0
    first, second = sorted(tmp_path.glob("*/results_*.json"))
    changed = result_files.held(first)
    changed["model"] = {**changed["model"], "weights": "sha256:other"}
    result_files.rewrite(first, changed)
    told: list[str] = []
    assert current(first.parent, told.append) == [second]
    (line,) = told
    assert "another run (model weights sha256:other, not None)" in line and str(first) in line


def test_digests_do_not_shuffle_the_leaderboard() -> None:
    order = [(e.task, e.model, e.method, without_digest(e.run)) for e in build(PUBLISHED).entries]
    assert order == sorted(order)
    twice = [path.name for path in sorted(PUBLISHED.glob("smollm2@none+*/results_*.json"))]
    assert twice != sorted(twice), "by their digests alone they would stand in another order than by date"


def test_published_folders_hold_one_plan_each() -> None:
    held = [path for path in PUBLISHED.iterdir() if path.is_dir()]
    assert len(held) == 43
    for folder in held:
        assert without_digest(folder.name) != folder.name
        plans = {json.dumps(read_json(path)["config"]) for path in folder.glob("results_*.json")}
        assert len(plans) == 1 and find_run(PUBLISHED / folder.name[:-1]) == folder
        assert all(read_json(path)["samples_sha256"] for path in folder.glob("results_*.json"))


def test_a_name_of_no_run_is_answered_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadData, match=r"or the beginning of its name$"):
        find_run("smollm2@sft")
    for name in ("smollm2@sft+0a1b2c3d", "smollm2@none+1a1b2c3d"):
        (tmp_path / "results" / "runs" / name).mkdir(parents=True)
        (tmp_path / "results" / "runs" / name / "results_x.json").write_text("{}")
    (tmp_path / "results" / "runs" / "controls").mkdir()
    with pytest.raises(BadData, match=r"; did you mean 'smollm2@sft'\?$"):
        find_run("smolm2@sft")
    with pytest.raises(BadData, match=r"; runs here: smollm2@none\+1a1b2c3d, smollm2@sft\+0a1b2c3d$"):
        find_run("llama")


def test_a_bare_name_is_looked_for_where_runs_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("results/runs/a@none+11111111", "results/published/a@none+22222222", "b@none+33333333"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "results_x.json").write_text("{}", encoding="utf-8")
    assert find_run("a@none") == Path("results/runs/a@none+11111111")
    assert find_run("a@none+2") == Path("results/published/a@none+22222222")
    assert find_run("b@") == Path("b@none+33333333")
    with pytest.raises(BadData, match="holds no results"):
        find_run("elsewhere/a@none")


def test_a_run_with_an_own_inventory_says_where_it_must_be_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(inventories.__file__).with_name("mini_ipip.json")
    mine = json.loads(source.read_text(encoding="utf-8")) | {"id": "mine"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.json").write_text(json.dumps(mine), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main("-M scripted:uniform -t mine --include_path mine --scoring choice -L 2 -o runs".split()) == 0
    (run,) = (tmp_path / "runs").glob("*@none*")
    assert main(["score", str(run)]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert main(["score", str(run)]) == 1
    assert "made with --include_path mine: type this in the folder in which the run was made" in capsys.readouterr().err


def test_results_of_another_plan_do_not_stand_in_for_those_of_a_folder(runs: Path, tmp_path: Path) -> None:
    places = sorted(shutil.copytree(runs, tmp_path / "runs").glob("scripted__person@prompting+*"))
    whole, limited = sorted(places, key=lambda path: plan_of(path)["limit"] is not None)
    for path in (*whole.glob("results_*.json"), *whole.glob("samples_*")):
        shutil.copy(path, limited)
    told: list[str] = []
    (counts,) = current(limited, told.append)
    assert counts.name not in {path.name for path in whole.glob("results_*.json")}
    assert len(told) == 1 and "it is of another plan than its folder (limit); copy it back to its own" in told[0]


def test_a_folder_of_runs_is_none_and_all_of_them_are_taken_with_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        assert main([*RUN.split(), "--limit", "4", "--seed", str(seed), "-o", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["score", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert f"; it holds 2 runs, such as {tmp_path}/scripted__person@prompting+" in told
    assert main(["score", str(tmp_path), "--all"]) == 0
    assert capsys.readouterr().err.count("recomputed from the samples beside") == 2
    assert main(["report", str(tmp_path), "--all", "-o", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "report.html").read_text()
    assert all(run.name in page for run in tmp_path.glob("scripted*"))


def test_all_takes_what_was_measured_again_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--no_resume"]):
        assert main([*RUN.split(), *more, "--limit", "4", "-o", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    capsys.readouterr()
    for words, many in (([], 1), (["--all"], 2)):
        assert main(["score", str(folder)[:-3], *words]) == 0
        told = capsys.readouterr().err
        assert (told.count("recomputed from"), told.count("passed over")) == (many, 2 - many)
