"""Files that are none, are too deep or too large, and machines that refuse: one line on stderr, the right exit code."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from said import Said, Say

from traitbench import inventories
from traitbench.backends.respondents import Respondent, forgotten
from traitbench.errors import BadData, UnknownName
from traitbench.files import contents, parsed, parsed_yaml, unzipped
from traitbench.humans.likeness import norm_group
from traitbench.store import read_json

RUN = "run --model scripted:person --tasks mini_ipip --limit 2 --scoring choice --bootstrap_iters 20 -o out"
ITEMS = json.loads((Path(inventories.__file__).parent / "mini_ipip.json").read_text("utf-8"))
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


def line(found: Said, code: int, said: str) -> None:
    told = found.err.splitlines()
    assert found.code == code and found.out == "", found
    assert len(told) == 1 and told[0].startswith("error: ") and said in told[0], found.err


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "words",
    [
        "run --config {}",
        "analyze {} --inventory mini_ipip --raw",
        "analyze table.csv --inventory mini_ipip --raw --columns {}",
        RUN + " --target person:{}",
        RUN + " --method prompting --method_args texts={}",
        RUN + " --include_path own --tasks own",
    ],
)
def test_only_regular_files_are_read(say: Say, tmp_path: Path, words: str, kind: str) -> None:
    """A pipe would wait for a writer, /dev/zero has no end."""
    place, own = tmp_path / "given", tmp_path / "own"
    own.mkdir()
    if kind == "pipe":
        os.mkfifo(place)
        os.mkfifo(own / "own.json")
    elif kind == "folder":
        place.mkdir()
        (own / "own.json").mkdir()
    else:
        place.symlink_to("/dev/zero")
        (own / "own.json").symlink_to("/dev/zero")
    (tmp_path / "table.csv").write_text("E1\n1\n")
    found = say(words.format(place))
    assert found.code in (1, 2) and found.out == "" and len(found.err.splitlines()) == 1, found
    assert contents({"data": str(place)}).keys() <= ({"data"} if kind == "folder" else set())


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5000])
def test_json_that_is_too_deep_or_whose_numbers_are_too_long_is_said(say: Say, tmp_path: Path, text: str) -> None:
    (tmp_path / "deep.json").write_text(text)
    with pytest.raises(json.JSONDecodeError):
        parsed(text)
    with pytest.raises(BadData, match=r"deep.json, line 1"):
        read_json(tmp_path / "deep.json")
    line(say(f"{RUN} --tasks ./deep.json"), 1, "deep.json:1: ")


@pytest.mark.parametrize(
    "text",
    ["model: " + "[" * 20_000, LAUGHS + "model_args: {x: *h}", "model_args: {x: 2001-99-99}", "a: " + "1" * 5000],
)
def test_yaml_that_is_too_deep_or_wide_is_said(say: Say, tmp_path: Path, text: str) -> None:
    import yaml

    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(yaml.YAMLError):
        parsed_yaml(text)
    line(say("run --config c.yaml"), 1, "c.yaml is neither YAML nor JSON")


def test_a_value_that_is_too_deep_is_a_text(say: Say) -> None:
    line(say(f"{RUN} --model_args extraversion={'[' * 5000}"), 2, "extraversion")


def test_a_bomb_is_not_unpacked(say: Say, tmp_path: Path) -> None:
    """A real file of answers is 40 times as large unpacked at most; this is 1000."""
    bomb = gzip.compress(b"1,2,3\n" * 30_000_000, 9)
    with pytest.raises(OSError, match="more than 300 times as large"):
        unzipped(bomb)
    (tmp_path / "bomb.csv.gz").write_bytes(bomb)
    line(say("analyze bomb.csv.gz --inventory mini_ipip --raw"), 1, "more than 300 times as large unpacked")
    assert unzipped(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    for cut in range(1, 20):
        with pytest.raises((OSError, EOFError)):
            unzipped(gzip.compress(b"some words")[:-cut])


@pytest.mark.parametrize("name", ["a/b", "a b", "..", "a\n", "\x1b[31m", "a\u202eb", ""])
def test_ids_of_items_are_names(tmp_path: Path, name: str) -> None:
    items = [{**ITEMS["items"][0], "id": name}, *ITEMS["items"][1:]]
    (tmp_path / "own.json").write_text(json.dumps({**ITEMS, "id": "own", "items": items}))
    found = [finding.message for finding in inventories.validate(tmp_path / "own.json") if finding.level == "error"]
    assert found == [f"id {name!r} is no name; expected letters, digits, _, . and -"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--method prompting --target profiles:100000000", "expected at most 10,000"),
        ("--method prompting --target profiles:" + "9" * 5000, "expected profiles or profiles:N"),
        ("--method prompting --target profiles:²", "expected profiles or profiles:N"),
        ("--respondents 501", "less than or equal to 500"),
        ("--scoring generate --repeats 1001", "less than or equal to 1000"),
        ("--fit_seeds 101", "less than or equal to 100"),
        ("--bootstrap_iters 1000001", "less than or equal to 1000000"),
    ],
)
def test_no_number_is_so_large_that_nothing_ends(say: Say, tmp_path: Path, more: str, said: str) -> None:
    line(say(f"{RUN} {more}"), 2, said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "given",
    [{"extraversion": 7}, {"openness": -0.1}, {"psychopathy": "nan"}, {"noise": "inf"}, {"item_sd": 1e400},
     {"unsteady": "inf"}, {"acquiescence": 2}],
)  # fmt: skip
def test_levels_and_habits_of_respondents_have_bounds(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        Respondent.model_validate(given)
    with pytest.raises(ValueError, match="expected context=share"):
        forgotten("drift-8=2")


def shell(text: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $T is our command."""
    held = {k: v for k, v in os.environ.items() if k != "TRAITBENCH_DEBUG"}
    words = {
        **held,
        "T": f"{sys.executable} -m traitbench",
        "OMP_NUM_THREADS": "1",
        "TRAITBENCH_CACHE": str(place),
    }
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=place, env=words, timeout=300)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (f"$T {RUN} > /dev/full", 1, "error: No space left on device; what was answered is kept"),
        ("$T --version > /dev/full", 1, "error: No space left on device"),
        ("$T ls > /dev/full", 1, "error: No space left on device"),
        ("$T ls 2> /dev/full", 0, ""),
        ("$T run --model scripted:nobody 2> /dev/full", 2, ""),
        ("$T ls | head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", 0, ""),
        # One large piece: of many small ones the last may be refused to a library that ends the process.
        ("mkdir big; truncate -s 1G big/results_1.json; ulimit -v 900000; $T score big", 1, "error: out of memory; "),
        (f"$T {RUN} >&-", 0, "results: "),
        (f"$T {RUN} -o /proc/none", 1, "error: cannot write to /proc/none"),
        ("T2='import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (5, 5))'; "
         f"{sys.executable} -c \"$T2; import sys; from traitbench.cli.commands import main; sys.exit(main())\" {RUN}",
         1, "Too many open files"),
    ],
)  # fmt: skip
def test_what_a_machine_refuses_is_a_line_and_a_code(tmp_path: Path, text: str, code: int, said: str) -> None:
    found = shell(text, tmp_path)
    assert found.returncode == code and "Traceback" not in found.stderr, found
    assert said in found.stderr


def test_what_a_full_output_lost_is_shown_by_the_same_command(tmp_path: Path) -> None:
    assert shell(f"$T {RUN} > /dev/full", tmp_path).returncode == 1
    (folder,) = (tmp_path / "out").iterdir()
    before = (folder / "responses.jsonl").read_bytes()
    assert shell(f"$T {RUN}", tmp_path).returncode == 0
    assert before and (folder / "responses.jsonl").read_bytes() == before


def test_texts_of_an_inventory_do_not_steer_the_terminal(say: Say, tmp_path: Path) -> None:
    items = [{**item, "text": f"Sing \x1b[31m \u202e {n}"} for n, item in enumerate(ITEMS["items"])]
    for item in items:
        item.pop("text_hash", None)
    (tmp_path / "own.json").write_text(json.dumps({**ITEMS, "id": "own", "items": items}))
    found = say("prompt --tasks ./own.json --limit 2")
    assert found.code == 0 and "sing" in found.out and "\x1b" not in found.out and "\u202e" not in found.out
    assert "\x1b" not in say("validate ./own.json").out


@pytest.mark.parametrize("age", ["²", "9" * 5000, "-1", ""])
def test_an_age_is_a_number_that_can_be_one(age: str) -> None:
    with pytest.raises(UnknownName, match="expected a sex and an age"):
        norm_group(f"F,{age}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("model_args: {noise: .nan}", "expected a finite number"),
        ("model: scripted:first", "line 3 has a name that stands there already"),
        ("judge_args: {x: .inf}", "expected a finite number"),
        (f"model_args: {{seed: 0x{'f' * 5000}}}", "a number of over 64 bits"),
        ('output_path: "x\\ud800"', "expected text without zeros and halves of signs"),
        ('output_path: "x\\0y"', "expected text without zeros and halves of signs"),
    ],
)
def test_what_no_file_of_a_run_can_hold_is_refused_before_anything_is_asked(
    say: Say, tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "plan.yaml").write_text(f"model: scripted:person\ntasks: [mini_ipip]\n{line}\n")
    found = say("run --config plan.yaml")
    assert found.code in (1, 2) and said in found.err and found.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


def test_a_key_that_was_written_behind_an_unknown_flag_is_not_shown(say: Say) -> None:
    found = say("run --api_key=sk-abcdefghijklmnopqrstuvwx")
    assert found.code == 2 and "unknown argument '--api_key=" in found.err and "sk-abc" not in found.err


def test_half_a_sign_in_an_inventory_is_found_by_validate(say: Say, tmp_path: Path) -> None:
    held = json.loads((files("traitbench.inventories") / "mini_ipip.json").read_text("utf-8"))
    (tmp_path / "own.json").write_text(json.dumps({**held, "id": "own", "citation": "x\ud800"}))
    found = say("validate own.json")
    assert found.code == 1 and "half of a sign" in found.out + found.err
    (tmp_path / "own.json").write_text(json.dumps({**held, "id": "o" * 250}))
    found = say("validate own.json")
    assert found.code == 1 and "cannot be part of a file's name" in found.out + found.err
