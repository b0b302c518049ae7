"""The gate on scripted respondents: what is planted is found, what is unchanged passes, all is asked afresh."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gated
import pytest
from gated import Plant, git, needs_git
from said import Said, Say

from traitbench.backends.scripted import Scripted

RUN = (
    "run --model scripted:person --model_args extraversion=0.7,obedience=0.2,noise=0.1,item_sd=0.1 --method prompting "
    "--target extraversion=high --tasks mine --include_path mine --scoring choice,statement --bootstrap_iters 20 "
    "-o runs"
)
KEYS = "run --model scripted:uniform --tasks mine --include_path mine --scoring choice --bootstrap_iters 20 -o keys"


@pytest.fixture
def baselines(say: Say) -> Path:
    """A folder in which two baselines lie: a person under a prompt, and one who answers without reading."""
    gated.own_inventory()
    for line, name in ((RUN, "person"), (KEYS, "unread")):
        assert say(line).code == 0
        (run,) = Path(line.split()[-1]).glob("scripted*")
        assert say(f"check --update '{run}' --name {name} --reason 'the first values'").code == 0
    return Path("results/baselines")


def found(said: Said) -> dict[str, Any]:
    """Name -> what `--format json` says of a baseline."""
    return {one["name"]: one for one in json.loads(said.out)["baselines"]}


def wrong(one: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for line in one["moved"] if line["verdict"] != "pass"]


def test_twenty_unchanged_reruns_pass_and_are_all_asked(
    say: Say, baselines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = Scripted._answer
    monkeypatch.setattr(Scripted, "_answer", lambda self, r: asked.append(r.doc.item) or answer(self, r))  # type: ignore[func-returns-value]
    before = {path: path.read_bytes() for path in baselines.rglob("*.json")}
    for _ in range(20):
        asked.clear()
        said = say("check --format json")
        assert said.code == 0 and said.err.endswith("check: pass\n"), said.err
        # 20 items in two orders, of the person also as a statement, under two conditions
        assert len(asked) == 20 * 2 + 20 * 3 * 2
        for one in found(said).values():
            assert {line["largest"] for line in one["moved"]} == {0.0} and not wrong(one)
    assert {path: path.read_bytes() for path in baselines.rglob("*.json")} == before
    assert not list(Path(".").glob("traitbench-check-*"))


@pytest.mark.parametrize(
    ("plant", "named", "moved"),
    [
        (gated.flipped_key, "mine: keys", "mine, choice, baseline: extraversion"),
        (gated.changed_word, "mine: what is asked", None),
        (gated.stronger_respondent, None, "mine, statement, extraversion=high: extraversion"),
    ],
)
def test_what_is_planted_is_found(
    say: Say, baselines: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant, named: str | None, moved: str | None
) -> None:
    plant(monkeypatch)
    said = say("check --format json")
    assert said.code == 4 and said.err.endswith("check: regression\n")
    lines = {line["name"]: line for one in found(said).values() for line in wrong(one)}
    assert all(line["verdict"] == "regression" for line in lines.values())
    if named:
        assert named in lines
    if moved:
        assert lines[moved]["largest"] > 1 if "choice" in moved else lines[moved]["largest"] > 0.01
        assert "items moved" in lines[moved]["why"]
    assert set(lines) <= {named, moved} | {
        line
        for line in lines
        if line.split(", ")[-1].startswith(("extraversion=high: extraversion", "baseline: extra"))
    }


def test_a_flipped_key_is_named(say: Say, baselines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gated.flipped_key(monkeypatch)
    said = say("check")
    assert said.code == 4 and "another key: mini_6" in said.out


def test_items_that_are_not_answered_any_more_are_found(say: Say, baselines: Path) -> None:
    """A refusal to choose is no gap in likelihoods, a written one is."""
    line = RUN.replace("choice,statement", "generate").replace("-o runs", "-o written")
    assert say(line).code == 0
    (run,) = Path("written").glob("scripted*")
    assert say(f"check --update '{run}' --name written --reason x").code == 0
    said = say("check --only written --model scripted:person --model_args refusals=0.9 --format json")
    assert said.code == 4
    assert "no valid answer any more: " in wrong(found(said)["written"])[0]["why"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("check --model_args extraversion=0.6", "the model's extraversion was 0.7 and is 0.6; "),
        ("check --model_args levels=1", "unknown key of --model_args for scripted"),
    ],
)
def test_another_model_is_no_pair(say: Say, baselines: Path, line: str, told: str) -> None:
    said = say(f"{line} --only person --format markdown")
    assert said.code == 2 and told in said.out and said.err.endswith("check: invalid\n")


def test_a_task_of_another_version_waits_for_new_values(say: Say, baselines: Path) -> None:
    file = Path("mine/mine.json")
    file.write_text(file.read_text().replace('"version": "1"', '"version": "99"'))
    said = say("check --format json")
    assert said.code == 2 and found(said)["person"]["differs"] == ["mine: its version was 1 and is 99"]
    assert say("check --update --reason 'mine has a version 99'").code == 0
    assert say("check").code == 0
    assert json.loads((baselines / "person.json").read_text())["reason"] == "mine has a version 99"


def test_items_that_come_or_go_are_named(say: Say, baselines: Path) -> None:
    file = Path("mine/mine.json")
    held = json.loads(file.read_text())
    held["items"] = [item for item in held["items"] if item["id"] != "mini_6"]
    file.write_text(json.dumps(held))
    said = say("check --only unread --format json")
    assert said.code == 2
    assert "mine: other items or scales (only then: mini_6; only now: none)" in found(said)["unread"]["differs"]


def test_one_that_regressed_counts_before_one_that_cannot_be_asked(
    say: Say, baselines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.stronger_respondent(monkeypatch)
    (baselines / "unread.json").write_text("{}")
    said = say("check --format json")
    assert said.code == 4
    assert {name: one["verdict"] for name, one in found(said).items()} == {"person": "regression", "unread": "invalid"}


# --- a model under test ----------------------------------------------------------------------------------------------


def test_a_model_that_moved_regresses_and_one_that_did_not_passes(say: Say, baselines: Path) -> None:
    for level, margin, code, verdict in ((0.9, 3, 4, "regression"), (0.705, 3, 0, "pass"), (0.9, 30, 0, "pass")):
        said = say(
            f"check --only person --model scripted:person --model_args extraversion={level} --margin "
            f"choice={margin},statement={margin / 100} --format json"
        )
        assert (said.code, found(said)["person"]["verdict"]) == (code, verdict), said.err
    lines = {line["name"]: line for line in found(said)["person"]["moved"]}
    one = lines["mine, choice, baseline: extraversion"]
    assert one["difference"] == pytest.approx(one["now"] - one["then"]) and 10 < one["difference"] < 25
    assert one["ci"][0] < one["difference"] < one["ci"][1] and one["margin"] == 30 and one["power"] > 0.8


def test_too_few_items_are_said_and_how_many_it_takes(say: Say, baselines: Path) -> None:
    said = say("check --only person --model scripted:person --model_args noise=0.3 --margin choice=3,statement=0.03 "
               "--format json")  # fmt: skip
    assert said.code == 5
    poor = [line for line in wrong(found(said)["person"]) if line["items_needed"]]
    assert poor and all(line["power"] < 0.8 and line["items_needed"] > line["items"] for line in poor)
    assert all(f"it takes {line['items_needed']} items" in line["why"] for line in poor)


def test_what_the_harness_asks_may_not_change_under_a_model(
    say: Say, baselines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.changed_word(monkeypatch)
    said = say("check --only person --model scripted:person --format json")
    assert said.code == 2
    assert found(said)["person"]["differs"] == ["mine: what is asked: other words or options under the same version"]


# --- what goes in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("check --only preson", 2, "unknown baseline 'preson'; did you mean 'person'?"),
        ("check --tasks ipip_50", 1, "no baseline of results/baselines asks ipip_50; it holds person, unread"),
        ("check --method pas", 1, "asks anything under pas; it holds person, unread"),
        ("check --baselines nowhere", 1, "nowhere holds no baseline; make one of a run: traitbench run ..., then"),
        ("check --margin x", 2, "--margin x: expected a number"),
        ("check --margin 2 --model scripted:person", 2, "--margin 2 has no one unit: the runs hold choice in POMP"),
        ("check --margin chocie=2", 2, "unknown part of --margin 'chocie'; did you mean 'choice'?"),
        ("check --margin choice=-1 --model scripted:person", 2, "expected a number above 0"),
        ("check --power 1", 2, "--power 1: expected a share between 0 and 1"),
        ("check --reason x", 2, "--reason goes with --update"),
        ("check --update", 2, "it needs --reason TEXT"),
        ("check --update --reason ' '", 2, "it needs --reason TEXT"),
        ("check --update --reason x --base main", 2, "--update compares nothing, so it takes no --base"),
        ("check --update runs --reason x --model smollm2", 2, "is asked already, so it takes no --model"),
        ("check --update --reason x --name other", 2, "--name is of a new baseline"),
        ("check --update keys --reason x", 1, "keys holds no results_*.json"),
    ],
)
def test_what_is_typed_wrongly_is_said(say: Say, baselines: Path, line: str, code: int, told: str) -> None:
    said = say(line)
    assert said.code == code and told in said.err and "Traceback" not in said.err and not said.out


def test_a_baseline_that_no_model_can_pass_is_said_when_it_is_made(say: Say) -> None:
    made = "run --model scripted:person --tasks mini_ipip --scoring choice --bootstrap_iters 20"
    for limit, told in (
        (" --limit 8", "few: with --model, 5 of 5 lines can never pass, e.g. mini_ipip, choice, "),
        ("", ""),
    ):
        assert say(f"{made}{limit} -o runs{len(limit)}").code == 0
        (run,) = Path(f"runs{len(limit)}").glob("scripted*")
        said = say(f"check --update '{run}' --name {'few' if limit else 'all'} --reason first")
        assert said.code == 0 and told in said.err
        assert ("can never pass" in said.err, "a run without --limit 8" in said.err) == (bool(limit), bool(limit))
    for name, code, verdict in (("few", 5, "inconclusive"), ("all", 0, "pass")):
        said = say(f"check --only {name} --model scripted:person --format json")
        assert said.code == code and {line["verdict"] for line in found(said)[name]["moved"]} == {verdict}
    # The code can be checked with as few.
    assert say("check").code == 0


def test_a_name_stays_with_its_plan(say: Say, baselines: Path) -> None:
    (run,) = Path("runs").glob("scripted*")
    said = say(f"check --update '{run}' --name unread --reason x")
    assert said.code == 2 and "is the baseline of another plan; give this one another name" in said.err
    assert say(f"check --update '{run}' --name ../out --reason x").code == 2
    assert say(f"check --update '{run}' --name person --reason again --margin choice=1,statement=0.05").code == 0
    held = json.loads((baselines / "person.json").read_text())
    assert held["reason"] == "again" and held["margins"] == {"choice": 1.0, "statement": 0.05}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema_version": 99}', "[" * 10_000, "\0", '"x"'])
def test_a_damaged_baseline_is_invalid_and_the_others_count(say: Say, baselines: Path, text: str) -> None:
    (baselines / "unread.json").write_text(text)
    said = say("check --format json")
    assert said.code == 2 and {n: o["verdict"] for n, o in found(said).items()} == {
        "person": "pass",
        "unread": "invalid",
    }
    assert "unread.json" in found(said)["unread"]["differs"][0]


def test_a_value_that_was_changed_by_hand_is_no_baseline(say: Say, baselines: Path) -> None:
    file = baselines / "person.json"
    held = json.loads(file.read_text())
    held["lines"][0]["values"]["mini_1"] += 0.5
    file.write_text(json.dumps(held))
    said = say("check --format json")
    assert said.code == 2 and "was changed by hand" in found(said)["person"]["differs"][0]


def test_what_was_asked_can_be_kept(say: Say, baselines: Path) -> None:
    assert say("check --only person -o kept").code == 0
    (results,) = Path("kept/person").glob("scripted*/results_*.json")
    assert say(f"score '{results.parent}'").code == 0


# --- git -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def branch(say: Say, baselines: Path, tmp_path: Path) -> Path:
    """The same in a repository, on a branch that leaves main."""
    gated.repository(tmp_path)
    git("switch", "-qc", "work")
    return baselines


@needs_git
def test_the_baselines_of_the_base_branch_count(say: Say, branch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git("rev-parse", "--short=12", "HEAD")
    # main goes on: what it holds now is not what this branch left.
    git("switch", "-q", "main")
    git("rm", "-rq", "results/baselines")
    git("commit", "-qm", "no baselines any more")
    git("switch", "-q", "work")
    shutil.rmtree(branch)
    said = say("check --base main")
    assert said.code == 0 and f"baselines: results/baselines at {head}, where this branch left main" in said.out
    assert "taken away on this branch; that of the base counts" in said.out
    gated.stronger_respondent(monkeypatch)
    assert say("check --base main").code == 4


@needs_git
def test_values_written_anew_on_a_branch_count_with_their_reason(
    say: Say, branch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.stronger_respondent(monkeypatch)
    assert say("check --base main").code == 4
    assert say("check --update --only person --reason 'it obeys | <b>more</b> now'").code == 0
    git("commit", "-qam", "new values")
    said = say("check --base main --summary out.md")
    assert said.code == 0
    assert "written anew on this branch: it obeys \\| &lt;b&gt;more&lt;/b&gt; now" in Path("out.md").read_text()
    assert json.loads((branch / "person.json").read_text())["commit"] == git("rev-parse", "--short=12", "HEAD~")


@needs_git
def test_a_dirty_tree_makes_no_baseline(say: Say, branch: Path) -> None:
    Path("code.py").write_text("x = 1\n")
    assert say("check --update --reason x").code == 0  # git does not follow it
    git("add", "code.py")
    before = (branch / "person.json").read_bytes()
    for change in ("", "x = 2\n"):
        if change:
            git("commit", "-qm", "code")
            Path("code.py").write_text(change)
        said = say("check --update --reason x")
        assert said.code == 2 and "--update: 1 files have uncommitted changes (code.py)" in said.err
    assert (branch / "person.json").read_bytes() == before


@needs_git
def test_where_the_base_cannot_be_known_it_is_said(
    say: Say, branch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = say("check --base nowhere")
    assert said.code == 2 and "--base nowhere: git knows no such branch or commit" in said.err
    assert say("check --base=--upload-pack=x").code == 2
    Path("more").write_text("x")
    git("add", "more")
    git("commit", "-qm", "more")
    git("clone", "-q", "--depth", "1", f"file://{tmp_path}", "shallow")
    monkeypatch.chdir("shallow")
    for ref in ("main", "origin/main"):
        said = say(f"check --base {ref}")
        assert said.code == 0
        assert f"as committed; a shallow clone knows no merge base with {ref}" in said.out
    shutil.rmtree(".git")
    shutil.rmtree(tmp_path / ".git")
    said = say("check --base main")
    assert said.code == 0 and "no git repository, so --base main says nothing" in said.out


# --- what comes out --------------------------------------------------------------------------------------------------


def test_the_summary_goes_to_the_job_and_holds_what_moved(
    say: Say, baselines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Path("job.md")
    job.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    gated.stronger_respondent(monkeypatch)
    assert say("check --summary out.md").code == 4
    text = Path("out.md").read_text()
    assert job.read_text() == "before\n" + text
    head, *folded = text.split("<details>")
    assert head.startswith("## traitbench check: regression\n")
    assert "mine, choice, extraversion=high: extraversion" in head and "openness" not in head
    assert len(folded) == 2 and all(part.rstrip().endswith("</details>") for part in folded)
    assert sum("openness" in part for part in folded) == 2
    # Each line stands once: below the head what passes, and of what does not nothing again.
    rows = [line for line in text.splitlines() if line.startswith("| mine, ")]
    assert len(rows) == len({*rows}) == 5 + 2 * 2 * 5
    assert not any("| regression |" in part for part in folded) and not any(
        "| pass |" in row for row in rows if row in head
    )


def test_a_pipe_is_no_baseline_and_no_margin_is_not_a_number(say: Say, baselines: Path) -> None:
    (baselines / "unread.json").unlink()
    os.mkfifo(baselines / "unread.json")
    said = say("check")
    assert said.code == 1 and "unread.json" in said.err and "no regular file" in said.err
    (baselines / "unread.json").unlink()
    for margin in ("nan", "-1", "inf"):
        said = say(f"check --margin {margin}")
        assert said.code == 2 and "expected a number above 0" in said.err and said.err.count("\n") == 1


# --- a model's files -------------------------------------------------------------------------------------------------


@pytest.fixture
def own_model(say: Say, tiny: Callable[..., Path]) -> Path:
    """A copy of a tiny model in a folder, of which there is a baseline."""
    folder = Path("mymodel")
    shutil.copytree(tiny("llama"), folder)
    assert say(f"run --model ./{folder} --tasks mini_ipip --scoring choice --bootstrap_iters 20 -o runs").code == 0
    (run,) = Path("runs").glob("mymodel*")
    assert say(f"check --update '{run}' --name mine --reason first").code == 0
    return folder


def changed_template(folder: Path) -> None:
    """One word more in front of each turn."""
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text().replace("{{ m.content }}", "Kindly: {{ m.content }}"))


def test_a_changed_template_is_gated_as_changed_weights_are(say: Say, own_model: Path) -> None:
    same = say(f"check --model ./{own_model} --format json")
    assert same.code == 0 and not found(same)["mine"]["notes"]
    changed_template(own_model)
    said = say(f"check --model ./{own_model} --margin 0.001 --summary out.md --format json")
    one = found(said)["mine"]
    assert said.code in (4, 5) and not one["differs"], said.err
    assert max(line["largest"] for line in one["moved"]) > 0.01
    note = one["notes"][0]
    assert note.startswith("the model's chat template was ") and "mini_ipip: prompts: other prompts under" in note
    assert "chat template was" in Path("out.md").read_text()


def test_under_a_changed_template_the_harness_may_not_ask_in_other_words(
    say: Say, own_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_template(own_model)
    gated.changed_word(monkeypatch)
    said = say(f"check --model ./{own_model} --format json")
    assert said.code == 2 and found(said)["mine"]["differs"] == [
        "mini_ipip: what is asked: other words or options under the same version"
    ]


def test_without_a_model_under_test_the_file_that_changed_is_named(say: Say, own_model: Path) -> None:
    changed_template(own_model)
    said = say("check --format json")
    first, second, *_ = found(said)["mine"]["differs"]
    assert said.code == 2 and first == "the model's files are others: chat_template.jinja; the rest is as it was"
    assert second.startswith("the model's template_hash was ") and "weights was" not in said.out
