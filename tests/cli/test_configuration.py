"""From flags and a file to a plan: what is read, what wins, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from traitbench.cli.configuration import as_yaml, from_command_line, pairs
from traitbench.errors import BadData, TraitbenchError, UnknownName
from traitbench.runs.plan import Plan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1,b=x", {"a": 1, "b": "x"}),
        (" a = 1 , b = x ", {"a": 1, "b": "x"}),
        ("a=0.5,b=true,c=null,d=false", {"a": 0.5, "b": True, "c": None, "d": False}),
        ("a=1=2", {"a": "1=2"}),
        ("a=", {"a": ""}),
        ("a=[", {"a": "["}),
        ("revision=main,dtype=bfloat16", {"revision": "main", "dtype": "bfloat16"}),
        ("a=1,,b=2,", {"a": 1, "b": 2}),
        ("a=1,a=2", {"a": 2}),
        ("", {}),
    ],
)
def test_pairs(text: str, expected: dict[str, Any]) -> None:
    assert pairs(text, "model_args") == expected


@pytest.mark.parametrize("text", ["a", "a=1,b", "=1"])
def test_pairs_without_a_name_or_a_value_name_the_flag_and_an_example(text: str) -> None:
    with pytest.raises(UnknownName, match=r"--method_args holds .*expected name=value .*a=1,b=x"):
        pairs(text, "method_args")


def test_lists_are_split_at_commas_and_blanks_dropped() -> None:
    plan = from_command_line({"tasks": " sd3 , bfi_44,", "scoring": "choice", "orders": "reverse"})
    assert plan.tasks == ("sd3", "bfi_44")
    assert plan.scoring == ("choice",)
    assert plan.orders == ("reverse",)


def test_numbers_and_truth_values_are_read_from_text() -> None:
    plan = from_command_line({"limit": "5", "seed": "-3", "batch_size": "8", "apply_chat_template": "false"})
    assert (plan.limit, plan.seed, plan.batch_size, plan.apply_chat_template) == (5, -3, 8, False)


def test_nothing_given_is_the_plan_of_the_defaults_and_foreign_entries_are_ignored() -> None:
    assert from_command_line({"command": "run", "format": "table", "model": None}) == Plan()


@pytest.mark.parametrize("batch_size", ["auto", "'auto'"])
def test_batch_size_auto_is_the_default_on_the_line_and_in_a_file(tmp_path: Path, batch_size: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"batch_size: {batch_size}\n")
    assert from_command_line({"batch_size": "auto"}).batch_size is None
    assert from_command_line({"config": str(file)}).batch_size is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"limit": "0"}, "--limit '0': expected how many items, 1 or more, or a share of them between 0 and 1"),
        ({"limit": "many"}, "--limit 'many': expected how many items"),
        ({"seed": "1.5"}, "--seed '1.5': .*integer"),
        ({"batch_size": "0"}, "--batch_size '0'"),
        ({"bootstrap_iters": "1"}, "--bootstrap_iters '1': .*greater than or equal to 2"),
        ({"apply_chat_template": "perhaps"}, "--apply_chat_template 'perhaps'"),
        ({"scoring": "chioce"}, "unknown value of --scoring 'chioce'; did you mean 'choice'"),
        ({"orders": "forward,backward"}, "unknown value of --orders 'backward'"),
        ({"symbols": "leters"}, "unknown value of --symbols 'leters'; did you mean 'letters'"),
        ({"tasks": ""}, "--tasks is empty; name at least one"),
        ({"scoring": " , "}, "--scoring is empty"),
        ({"orders": ","}, "--orders is empty"),
    ],
)
def test_wrong_values_are_errors_of_usage_that_name_flag_and_value(flags: dict[str, str], message: str) -> None:
    with pytest.raises(TraitbenchError, match=message) as caught:
        from_command_line(flags)
    assert caught.value.exit_code == 2


def test_a_file_takes_the_keys_of_the_line_in_yaml_and_json(tmp_path: Path) -> None:
    content = {"model": "scripted:person", "method-args": {"style": "p2"}, "tasks": "sd3,bfi_44", "limit": 3}
    made = []
    for name, text in (
        ("c.json", json.dumps(content)),
        ("c.yaml", "model: scripted:person\nmethod-args: style=p2\ntasks: [sd3, bfi_44]\nlimit: 3\n"),
    ):
        (tmp_path / name).write_text(text)
        made.append(from_command_line({"config": str(tmp_path / name)}))
    assert made[0] == made[1]
    assert made[0].tasks == ("sd3", "bfi_44")
    assert made[0].method_args == {"style": "p2"}


def test_the_line_wins_over_the_file_key_by_key_also_inside_pairs(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("limit: 3\nseed: 7\nmodel_args: {noise: 0.1, seed: 1}\ntasks: [sd3]\n")
    plan = from_command_line({"config": str(file), "limit": "9", "model_args": "noise=0.2", "tasks": "bfi_44"})
    assert (plan.limit, plan.seed, plan.tasks) == (9, 7, ("bfi_44",))
    assert plan.model_args == {"noise": 0.2, "seed": 1}


@pytest.mark.parametrize(
    ("content", "message", "code"),
    [
        (b"modle: smollm2\n", "unknown key in .*c.yaml 'modle'; did you mean 'model'", 2),
        (b"- a\n- b\n", "holds no keys; expected e.g. `model: smollm2`", 1),
        (b"", "holds no keys", 1),
        (b"a: [\n", "neither YAML nor JSON", 1),
        (b"\xff\xfe\x00", "neither YAML nor JSON", 1),
        (b"tasks: 5\n", "--tasks 5", 2),
        (b"tasks: []\n", "--tasks is empty", 2),
        (b"model_args: [1]\n", r"--model_args \[1\]", 2),
        (b"backend: 5\n", "--backend 5", 2),
        (b"seed:\n", "--seed None", 2),
        (b"write_out: perhaps\n", "--write_out 'perhaps'", 2),
    ],
)
def test_wrong_files_name_the_file_or_the_key(tmp_path: Path, content: bytes, message: str, code: int) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(content)
    with pytest.raises(TraitbenchError, match=message) as caught:
        from_command_line({"config": str(file)})
    assert caught.value.exit_code == code


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"cannot read --config .*none.yaml: No such file.*give a YAML or JSON file"):
        from_command_line({"config": str(tmp_path / "none.yaml")})


def test_what_show_config_prints_is_read_back_as_the_same_plan(tmp_path: Path) -> None:
    plan = from_command_line({
        "model": "scripted:person", "model_args": "noise=0.1,constant=null", "method": "prompting", "limit": "4",
        "method_args": "style=p2", "target": "extraversion=high,openness=-0.5", "tasks": "sd3,mini_ipip",
        "symbols": "numbers,letters", "gen_kwargs": "temperature=0.7", "apply_chat_template": "true", "no_resume": True,
    })  # fmt: skip
    file = tmp_path / "c.yaml"
    file.write_text(as_yaml(plan))
    assert from_command_line({"config": str(file)}) == plan
    assert as_yaml(from_command_line({"config": str(file)})) == as_yaml(plan)
