"""What users of lm-eval and of Inspect type: the forms that mean the same here, and where else a flag of theirs is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from traitbench.files import user_path

__all__ = ["FLAGS", "model_of"]

_KEPT = "every answer is kept and none is asked twice, leave it out (--no_resume asks again)"
_LEFT = "it has no counterpart here, leave it out"
_PUBLISH = "`traitbench export RUN --format hf` writes what the hub takes"

FLAGS: dict[str, str] = {
    "--num_fewshot": "a questionnaire has no examples to show, leave it out",
    "--fewshot_as_multiturn": "a questionnaire has no examples to show, leave it out",
    "--log_samples": "every answer is kept in samples_*.jsonl, leave it out",
    "--use_cache": _KEPT,
    "--cache_requests": _KEPT,
    "--predict_only": "a run keeps its answers and `traitbench score` computes from them, leave it out",
    "--system_instruction": "what a model is told is a control: --method prompting, or a method of your own",
    "--trust_remote_code": "use --model_args trust_remote_code=true",
    "--max_batch_size": "--batch_size auto finds the batch, leave it out",
    "--check_integrity": "use `traitbench validate INVENTORY`",
    "--wandb_args": _PUBLISH,
    "--hf_hub_log_args": _PUBLISH,
    "--verbosity": _LEFT,
    "--metadata": _LEFT,
    "--confirm_run_unsafe_code": "no task here runs code, leave it out",
    "--epochs": "use --repeats",
    "--log_dir": "use --output_path",
    "--log_level": _LEFT,
    "--display": _LEFT,
    "--sandbox": "no task here runs code, leave it out",
    "--no_log_samples": "every answer is kept, leave it out",
    "--solver": "what steers a model is --method",
    "--model_base_url": "use --model endpoint:NAME --model_args base_url=URL",
    "--max_connections": "use --model_args concurrency=N",
    "--max_samples": "use --batch_size",
    "--max_retries": "use --model_args retries=N",
    "--timeout": "use --model_args timeout=SECONDS",
    "--temperature": "use --gen_kwargs temperature=X",
    "--max_tokens": "use --gen_kwargs max_tokens=N",
    "-T": "what a task takes are flags here, such as --scoring, --orders and --templates; see `traitbench run --help`",
    "-S": "what steers a model is --method, with --method_args k=v",
    "--sample_id": "use --limit, which asks the first items",
}
"""Flag of lm-eval (first) or Inspect -> what does the same here; those that are flags here too are left out."""

_WEIGHTS = {"hf": "hf", "huggingface": "hf", "hf-auto": "hf", "vllm": "vllm"}
"""Name of lm-eval's and Inspect's for what runs weights -> backend."""
_SETTING = re.compile(r"[A-Za-z_]\w*=")
"""How a setting begins; Inspect's -M takes those of the model."""
_LISTS = (["list"], ["list_groups"], ["list_tags"], ["list_subtasks"])
"""What lm-eval's --tasks takes in place of tasks, to print them."""
_SERVERS = ("local-completions", "local-chat-completions", "openai-completions", "openai-chat-completions")


def model_of(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Read `--model hf --model_args pretrained=X`, as lm-eval has it, and `--model hf/org/name`, as Inspect has it.

    Returns `values` (flag -> value) with the model and the backend that are meant, and what is wrong, empty where
    nothing is.
    """
    name, arguments = str(values.get("model", "")), values.get("model_args")
    if _SETTING.match(name) and not user_path(name).exists():
        from traitbench.masking import masked

        told = masked(name, name.partition("=")[0])
        return dict(values), (
            f"--model {told} is no model; settings of a model are --model_args {told}, and --model (-M) names it"
        )
    if values.get("tasks") in _LISTS:
        return dict(values), f"--tasks {values['tasks'][0]}: type `traitbench ls tasks`, which lists them"
    arguments = dict(arguments) if isinstance(arguments, Mapping) else {}
    tool, slash, rest = name.partition("/")
    if tool in _WEIGHTS and slash and rest.count("/") == 1 and not user_path(name).exists():
        return _with(values, rest, _WEIGHTS[tool], arguments)
    if name in _SERVERS:
        served = arguments.get("model") or arguments.get("pretrained") or "NAME"
        return dict(values), (
            f"--model {name} is a kind of lm-eval's; use --model endpoint:{served} --model_args base_url=URL, or "
            f"--model lm_eval:{name} to have lm-eval ask it"
        )
    if name in _WEIGHTS and not user_path(name).exists():
        if "pretrained" not in arguments:
            return dict(values), (
                f"--model {name} says what runs a model and not which; use --model NAME --backend {_WEIGHTS[name]}, or "
                f"--model {name} --model_args pretrained=NAME"
            )
        pretrained = str(arguments.pop("pretrained"))
        return _with(values, pretrained, _WEIGHTS[name], arguments)
    if "pretrained" in arguments and not name.replace("-", "_").startswith("lm_eval"):
        named = f"beside --model {name}" if name else "which is --model here"
        return dict(values), f"--model_args pretrained={arguments['pretrained']} names a model {named}; name one"
    return dict(values), ""


def _with(values: Mapping[str, Any], model: str, backend: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
    given = values.get("backend", "auto")
    wrong = f"--backend {given} and --model {values['model']} name two backends; name one"
    return (
        {**values, "model": model, "backend": backend, "model_args": arguments},
        "" if given in ("auto", backend) else wrong,
    )
