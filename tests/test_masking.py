"""A key is taken from no flag and no file, and nothing that may be one is printed or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from traitbench.cli.commands import main
from traitbench.cli.configuration import as_yaml, from_command_line, pairs
from traitbench.errors import TraitbenchUsage, UnknownName
from traitbench.masking import is_key, masked, refuse_keys, shown
from traitbench.runs.flags import plan_of
from traitbench.runs.plan import Plan

SECRET = "sk-proj-0123456789abcdefghij"


@pytest.mark.parametrize(
    "name", ["api_key", "key", "apikey", "OPENAI_API_KEY", "hf-token", "clientSecret", "Authorization", "db.password"]
)
def test_names_of_keys(name: str) -> None:
    assert is_key(name) and masked({name: "x"}) == {name: "***"}
    with pytest.raises(TraitbenchUsage, match=rf"--model_args {name}: a key is not taken .* TRAITBENCH_API_KEY"):
        refuse_keys("model_args", {"dtype": "auto", name: "hunter2"})
    refuse_keys("model_args", {name: "env:MY_KEY"})
    assert masked({name: "env:MY_KEY"}) == {name: "env:MY_KEY"}


@pytest.mark.parametrize(
    "name", ["max_tokens", "answer_tokens", "keyed", "key_env", "tokenizer", "author", "keywords", "monkey", "model"]
)
def test_names_of_other_settings(name: str) -> None:
    assert not is_key(name) and masked({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://me:pass@host:8000/v1", "http://***@host:8000/v1"),
        ("https://host/v1?api_key=abc&route=top", "https://host/v1?api_key=***&route=top"),
        (f"Bearer {SECRET}", "Bearer ***"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"),
        ("held-by-the-environment", "***"),
        (3, 3),
        (None, None),
    ],
)
def test_values(value: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_API_KEY", "held-by-the-environment")
    assert masked({"a": [value]}) == {"a": [expected]}
    assert shown({"path": value, "model_args": {"a": value}}) == {"path": value, "model_args": {"a": expected}}


def test_a_key_in_the_place_of_its_variables_name_is_masked() -> None:
    assert masked({"key_env": SECRET}) == {"key_env": "***"}
    assert masked({"key_env": "OPENAI_API_KEY"}) == {"key_env": "OPENAI_API_KEY"}


@pytest.mark.parametrize("flag", ["model_args", "method_args", "gen_kwargs"])
def test_a_plan_holds_none_however_it_is_made(flag: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps({flag: {"api_key": SECRET}}))
    for make in (
        lambda: from_command_line({flag: f"api_key={SECRET}"}),
        lambda: from_command_line({"config": str(file)}),
        lambda: plan_of({flag: {"api_key": SECRET}}, dashes=""),
        lambda: Plan.model_validate({flag: {"api_key": SECRET}}),
    ):
        with pytest.raises(TraitbenchUsage, match="api_key: a key is not taken") as found:
            make()
        assert SECRET not in str(found.value)


@pytest.mark.parametrize("part", [SECRET, f"api_key:{SECRET[8:]}", f"token {SECRET[8:]}"])
def test_no_error_repeats_one(part: str) -> None:
    with pytest.raises(UnknownName, match=r"holds '\*\*\*'; expected name=value"):
        pairs(part, "model_args")


def test_show_config_prints_none_and_a_run_writes_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for model in ("smollm2", "endpoint:m", "scripted:person"):
        for words in (["--show_config"], []):
            assert main(["run", "--model", model, "--model_args", f"api_key={SECRET}", *words]) == 2
            said = capsys.readouterr()
            assert SECRET not in said.out + said.err and "a key is not taken" in said.err
    assert not list(tmp_path.rglob("*")), "nothing was begun"
    plan = plan_of({"model": "endpoint:m", "model_args": {"base_url": "http://me:pass@host/v1"}})
    assert "pass" not in as_yaml(plan) and "http://***@host/v1" in as_yaml(plan)
