"""The reasoning tasks in lm-eval, offline: on an untrained model, without a control and under one."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traitbench import controls
from traitbench.export.lm_tasks import lm_tasks
from traitbench.runs import reasoning
from traitbench.types import Message

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("ignore")

Tiny = Callable[..., Path]
GROUP = "traitbench_reasoning"
TASKS = ("traitbench_reasoning_choice", "traitbench_reasoning_cloze", "traitbench_reasoning_generate")


def run(
    model: str, *, chat: bool = False, limit: int | None = 8, tasks: str = GROUP, shots: int | None = None, **args: str
) -> Any:
    import lm_eval
    from lm_eval.tasks import TaskManager

    from traitbench.lm_eval import register

    register()
    found = TaskManager(include_path=str(reasoning.folder()), include_defaults=False)
    return lm_eval.simple_evaluate(
        model=model, model_args=args, tasks=[tasks], task_manager=found, apply_chat_template=chat, batch_size=8,
        device="cpu", limit=limit, num_fewshot=shots,
    )  # fmt: skip


def test_each_output_type_runs_on_the_whole_test_half(tiny: Tiny) -> None:
    found = run("hf", limit=None, pretrained=str(tiny("llama", None)), dtype="float32")
    assert {*found["results"]} == {*TASKS}
    kinds = {name: found["configs"][name]["output_type"] for name in TASKS}
    assert [*kinds.values()] == ["multiple_choice", "loglikelihood", "generate_until"]
    choice, cloze, generate = (found["results"][name] for name in TASKS)
    assert {"acc,none", "acc_norm,none"} <= {*choice} and 0.1 < choice["acc,none"] < 0.5
    assert cloze["acc,none"] < 0.1 and cloze["perplexity,none"] > 10
    assert generate["exact_match,named"] < 0.1
    for name in TASKS:
        assert found["n-samples"][name] == {"original": 224, "effective": 224}
        assert {row["doc"]["split"] for row in found["samples"][name]} == {"test"}


def test_what_is_asked_and_what_continues_it(tiny: Tiny) -> None:
    found = run("traitbench", limit=1, pretrained=str(tiny("llama", None)))
    choice, cloze, generate = (found["samples"][name][0] for name in TASKS)
    doc = choice["doc"]
    asked = [row["arguments"] for row in (choice, cloze, generate)]
    assert [pair[1] for pair in asked[0]] == [f" {option}" for option in doc["options"]]
    assert {pair[0] for pair in asked[0]} == {f"{doc['question']} {doc['lead']}"}
    assert asked[1] == [(f"{doc['question']} {doc['lead']}", f" {doc['answer']}")]
    assert asked[2][0][0] == f"{doc['question']} {doc['lead']}"


def test_behind_a_template_the_sentence_begins_the_reply(tiny: Tiny) -> None:
    found = run("traitbench", chat=True, limit=1, pretrained=str(tiny("llama")))
    choice, cloze, generate = (found["samples"][name][0] for name in TASKS)
    doc = cloze["doc"]
    for context, _ in (*choice["arguments"], *cloze["arguments"], *generate["arguments"]):
        assert context.endswith(doc["lead"]) and context.count(doc["question"]) == 1
    assert [answer for _, answer in choice["arguments"]] == [f" {option}" for option in doc["options"]]
    assert cloze["arguments"][0][1] == f" {doc['answer']}"


def test_examples_are_of_the_development_half(tiny: Tiny) -> None:
    found = run("hf", limit=2, tasks=TASKS[2], shots=4, pretrained=str(tiny("llama", None)), dtype="float32")
    rows = [json.loads(line) for line in reasoning.files()["items.jsonl"].splitlines()]
    for sample in found["samples"][TASKS[2]]:
        *shown, asked = sample["arguments"][0][0].split("\n\n")
        assert len(shown) == 4 and sample["doc"]["question"] in asked
        for example in shown:
            (row,) = [r for r in rows if r["question"] in example]
            assert row["split"] == "dev" and example.endswith(f" {row['answer']}")


@pytest.mark.parametrize("chat", [False, True])
def test_all_three_run_under_a_control_and_feel_it(tiny: Tiny, tmp_path: Path, chat: bool) -> None:
    made = controls.store(tmp_path / "controls", messages=(Message(role="system", content="You worry a lot."),))
    place = str(tmp_path / "controls" / made.hash)
    before = run("traitbench", chat=chat, pretrained=str(tiny("llama")))
    after = run("traitbench", chat=chat, pretrained=str(tiny("llama")), control=place)
    for name in TASKS[:2]:
        logs = [[float(x[0][0]) for row in r["samples"][name] for x in row["resps"]] for r in (before, after)]
        assert all(map(math.isfinite, logs[1])) and max(abs(a - b) for a, b in zip(*logs, strict=True)) > 1e-3
    assert len(after["samples"][TASKS[2]]) == 8


def test_lm_evals_own_command_runs_the_exported_folder(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    folder = lm_tasks()
    assert {p.name: p.read_text("utf-8") for p in (folder / "reasoning").iterdir()} == reasoning.files()
    source = reasoning.files()["functions.py"]
    assert "import traitbench" not in source and "from traitbench" not in source
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={tiny('llama', None)}",
         "--device", "cpu", "--tasks", "traitbench_reasoning", "--include_path", str(folder), "--limit", "2",
         "--output_path", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=540,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = (tmp_path / "out").rglob("results_*.json")
    assert {*json.loads(file.read_text())["results"]} == {*TASKS}
