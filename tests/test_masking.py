"""A key is taken from no flag and no file, and nothing that may be one is printed or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from traitbench.backends.backend import Options
from traitbench.backends.endpoint.settings import settings_of
from traitbench.cli.commands import main
from traitbench.cli.configuration import as_yaml, from_command_line, pairs
from traitbench.errors import TraitbenchUsage, UnknownName
from traitbench.masking import is_key, masked, refuse_keys, shown
from traitbench.methods import METHODS
from traitbench.runs.flags import plan_of
from traitbench.runs.plan import Plan

SECRET = "sk-proj-0123456789abcdefghij"


@pytest.mark.parametrize(
    "name", ["api_key", "key", "apikey", "OPENAI_API_KEY", "hf-token", "clientSecret", "Authorization", "db.password",
     "api_keys", "keys", "headers", "header", "access_tokens", "secrets"],
)  # fmt: skip
def test_names_of_keys(name: str) -> None:
    assert is_key(name) and masked({name: "x"}) == {name: "***"}
    with pytest.raises(TraitbenchUsage, match=rf"--model_args {name}: a key is not taken .* TRAITBENCH_API_KEY"):
        refuse_keys("model_args", {"dtype": "auto", name: "hunter2"})
    refuse_keys("model_args", {name: "env:MY_KEY"})
    assert masked({name: "env:MY_KEY"}) == {name: "env:MY_KEY"}


@pytest.mark.parametrize(
    "name", ["max_tokens", "answer_tokens", "keyed", "key_env", "tokenizer", "author", "keywords", "monkey", "model",
     "think_end_token", "eos_token", "bos_token", "pad_token", "unk_token", "mask_token", "add_bos_token"],
)  # fmt: skip
def test_names_of_other_settings(name: str) -> None:
    assert not is_key(name) and masked({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://me:pass@host:8000/v1", "http://***@host:8000/v1"),
        ("https://host/v1?api_key=abc&route=top", "https://host/v1?api_key=***&route=top"),
        (f"Bearer {SECRET}", "Bearer ***"),
        ("http://u:p/w@x@host/v1", "http://***@host/v1"),
        ("http://host/v1#token=abc", "http://host/v1#token=***"),
        ("http://host/v1;api_key=abc", "http://host/v1;api_key=***"),
        ("api_key=abc", "api_key=***"),
        ('{"api_key": "abc", "a": 1}', '{"api_key": ***, "a": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("AIzaSyA0123456789abcdefghijklmnopqrstuv", "***"),
        ("github_pat_0123456789abcdefghijkl", "***"),
        ("r8_0123456789abcdefghijklmnop", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_123", "***"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("Find the keys: they are red. max_tokens=5", "Find the keys: they are red. max_tokens=5"),
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


@pytest.mark.parametrize("model", ["smollm2", "scripted:person", "endpoint:m"])
@pytest.mark.parametrize("name", ["api_keys", "apikay"])
def test_a_misspelt_name_is_refused_before_anything_is_written(
    model: str, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--model", model, "--model_args", f"{name}=hunter2", "--backend", "auto"]) == 2
    said = capsys.readouterr()
    assert name in said.err and "hunter2" not in said.out + said.err and not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "content",
    ["model_args: [api_key=hunter2]", "api_key=hunter2: 1", "model_args: {api_key: hunter2",
     "model: [x\napi_key: hunter2", "model_args: {api_key=hunter2: 1}", "model_args: {a: {api_key: hunter2}}",
     "api_key: hunter2"],
)  # fmt: skip
def test_a_file_with_one_is_refused_without_it(
    content: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(content)
    for words in ([], ["--show_config"]):
        assert main(["run", "--config", str(tmp_path / "c.yaml"), "--output_path", str(tmp_path / "out"), *words]) in (
            1,
            2,
        )
        said = capsys.readouterr()
        assert "hunter2" not in said.out + said.err and said.err.count("\n") <= 3
    assert not (tmp_path / "out").exists()


def test_what_holds_no_key_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_keys("model_args", {"use_auth_token": True, "token": None, "think_end_token": "</think>"})

    class Config(METHODS.load("prompting").Config):  # type: ignore[name-defined,misc]
        token: str = "last"

    monkeypatch.setattr(METHODS.load("prompting"), "Config", Config)
    assert plan_of({"method": "prompting", "method_args": {"token": "first"}}).method_args == {"token": "first"}
    with pytest.raises(TraitbenchUsage, match=r"--method_args token: a key is not taken .*; leave it out"):
        plan_of({"method": "none", "method_args": {"token": "first"}})


def test_the_message_says_what_each_kind_of_model_takes() -> None:
    with pytest.raises(TraitbenchUsage, match=r"key_env=NAME names.*HF_TOKEN.*lm-eval's write api_key=env:VARIABLE"):
        plan_of({"model_args": {"api_key": "x"}})
    with pytest.raises(TraitbenchUsage, match="key_env=NAME names") as found:
        settings_of(Options(arguments={"api_key": "env:MY_KEY"}))
    assert "env:VARIABLE" not in str(found.value)
