"""What users of lm-eval and Inspect type means the same here, or is answered with what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from traitbench.cli.arguments import normalised, parser
from traitbench.cli.configuration import from_command_line
from traitbench.cli.theirs import FLAGS
from traitbench.errors import TraitbenchUsage, UnknownName
from traitbench.runs.folders import run_name
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare


def plan(*words: str) -> Plan:
    """Of a command line."""
    return from_command_line(vars(parser().parse_args(normalised(["run", *words]))))


@pytest.mark.parametrize(
    "words",
    [
        ["--tasks", "mini_ipip", "ipip_50", "--method_args", "style=p2", "turn=user"],
        ["--tasks", "sd3", "-t", "mini_ipip", "ipip_50", "--method_args", "style=p2", "--method_args", "turn=user"],
        ["--tasks", "mini_ipip,ipip_50", "--method_args", "style=p2,turn=user"],
        ["--tasks", "mini_ipip,", "ipip_50", "--method_args", "style=p1,", "--method_args=style=p2,turn=user"],
    ],
)
def test_several_values_may_have_blanks_or_commas_between_and_pairs_a_flag_each(words: list[str]) -> None:
    found = plan(*words, "--model", "scripted:person")
    assert found.tasks == ("mini_ipip", "ipip_50") and found.method_args == {"style": "p2", "turn": "user"}
    assert found.model == "scripted:person"


def test_targets_that_would_add_up_as_pairs_elsewhere_do_not_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    person = ["--model", "scripted:person", "--target", "extraversion=high"]
    assert plan(*person, "--target", "openness=low").target == "openness=low"
    assert capsys.readouterr().err == (
        "warning: --target extraversion=high does not count, the last does; for both at once: "
        "--target extraversion=high,openness=low\n"
    )
    assert plan(*person, "--target", "all").target == "all" and plan(*person, *person).target == "extraversion=high"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "flag", ["model_args", "gen_kwargs", "judge_args", "side_effects", "coefs", "scoring", "judge"]
)
def test_it_is_so_for_every_flag_of_several_values(flag: str) -> None:
    values = ["1", "2"] if flag == "coefs" else ["choice", "statement"] if flag == "scoring" else ["a=1", "b=2"]
    joined, apart = plan(f"--{flag}", ",".join(values)), plan(f"--{flag}", values[0], f"--{flag}", values[1])
    last = plan(f"--{flag}", values[1])
    assert joined == plan(f"--{flag}", *values) != last
    assert apart == (joined if "=" in values[0] and flag not in ("side_effects", "judge") else last)


@pytest.mark.parametrize(
    ("words", "model", "backend", "rest"),
    [
        (["--model", "hf", "-a", "pretrained=org/name,dtype=float16"], "org/name", "hf", {"dtype": "float16"}),
        (["--model", "hf", "-a", "pretrained=org/name", "dtype=float16"], "org/name", "hf", {"dtype": "float16"}),
        (["--model", "vllm", "--model_args", "pretrained=smollm2"], "smollm2", "vllm", {}),
        (["--model", "hf/org/name"], "org/name", "hf", {}),
        (["--model", "vllm/org/name", "--backend", "vllm"], "org/name", "vllm", {}),
        (["--model", "org/name"], "org/name", "auto", {}),
        (["--model", "lm_eval:hf", "--model_args", "pretrained=org/name"], "lm_eval:hf", "auto",
         {"pretrained": "org/name"}),
    ],
)  # fmt: skip
def test_their_names_of_a_model(words: list[str], model: str, backend: str, rest: dict[str, Any]) -> None:
    found = plan(*words)
    assert (found.model, found.backend, found.model_args) == (model, backend, rest)


def test_a_folder_that_is_called_like_their_backend_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hf" / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert plan("--model", "hf/org/name").model == "hf/org/name" and plan("--model", "hf").model == "hf"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "hf"], "--model NAME --backend hf, or --model hf --model_args pretrained=NAME"),
        (
            ["--model", "smollm2", "--model_args", "pretrained=gpt2"],
            "pretrained=gpt2 names a model beside --model smollm2",
        ),
        (["--model_args", "pretrained=gpt2"], "pretrained=gpt2 names a model which is --model here"),
        (["--model", "hf", "--model_args", "pretrained=gpt2", "--backend", "vllm"], "name two backends"),
        (
            ["--model", "local-chat-completions", "--model_args", "model=x"],
            "--model endpoint:x --model_args base_url=URL",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_type(words: list[str], message: str) -> None:
    with pytest.raises(TraitbenchUsage, match=message.replace("(", r"\(")):
        plan(*words)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_of_theirs_is_none_here_and_is_answered(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan(flag.replace("_", "-"), "1")
    assert capsys.readouterr().err == f"error: unknown argument {flag!r}; {FLAGS[flag]}\n"


def test_no_flag_of_another_meaning_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--shuffle", "--approval", "--cache", "--samples"):
        with pytest.raises(SystemExit):
            plan(word)
        assert "did you mean" not in capsys.readouterr().err


def test_patterns_name_the_tasks_that_they_match() -> None:
    scripted = ("--model", "scripted:person", "--tasks")
    assert prepare(plan(*scripted, "mini_*")).plan.tasks == ("mini_ipip", "mini_ipip_model")
    assert prepare(plan(*scripted, "ipip_50", "mini_ipi[p]", "ipip_5?")).plan.tasks == ("ipip_50", "mini_ipip")
    with pytest.raises(UnknownName, match=r"no task matches 'maxi_\*'"):
        prepare(plan(*scripted, "maxi_*"))


def test_a_limit_is_a_number_or_a_share_and_none_where_it_leaves_nothing_out() -> None:
    def made(limit: str) -> Any:
        return prepare(plan("--model", "scripted:person", "--tasks", "mini_ipip", "--limit", limit))

    whole = prepare(plan("--model", "scripted:person", "--tasks", "mini_ipip"))
    assert [len(made(limit).tasks[0].items) for limit in ("3", "0.1", "0.11", "0.999", "19", "20", "21")] == [
        3, 2, 3, 20, 19, 20, 20]  # fmt: skip
    for all_of_it in ("20", "21", "0.999"):
        assert made(all_of_it).plan == whole.plan and run_name(made(all_of_it)) == run_name(whole)
    assert made("0.1").plan.limit == 0.1 and run_name(made("0.1")) != run_name(whole)
    for wrong in ("0", "-3", "1.5", "all", "nan", "inf"):
        with pytest.raises(TraitbenchUsage, match=r"--limit .*expected how many items, 1 or more, or a share"):
            made(wrong)


@pytest.mark.parametrize("device", ["cudda", "cpu:x", "gpuu", "auto:1", "cuda:", ""])
def test_an_unknown_device_is_refused_before_anything_is_loaded(device: str) -> None:
    with pytest.raises(UnknownName, match=r"unknown device .*\(a number may follow, cuda:1\)"):
        prepare(plan("--model", "smollm2", "--tasks", "mini_ipip", f"--device={device}"))


@pytest.mark.parametrize(("device", "meant"), [("gpu", "cuda"), ("gpu:1", "cuda:1")])
def test_a_gpu_is_called_as_torch_calls_it(device: str, meant: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown device {device!r}; did you mean {meant!r}?"):
        prepare(plan("--model", "smollm2", "--tasks", "mini_ipip", "--device", device))
