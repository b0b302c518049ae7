"""The questionnaires in lm-eval: its own numbers for every option are those of a run of traitbench."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asked
import pytest

from traitbench import controls, inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.cli.commands import main
from traitbench.export import lm_functions
from traitbench.export.lm_tasks import files, lm_tasks
from traitbench.samples import Condition, make_sample
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Control, Message, Response

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("ignore")

Tiny = Callable[..., Path]
NAME = "mini_ipip"
GRID = Administration(scoring=("choice",), orders=("forward",))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))


def ours(folder: Path, control: Control | None = None) -> tuple[Questionnaire, dict[int, Response]]:
    """Every item of the questionnaire as a run of traitbench asks it."""
    task, backend = Questionnaire(inventories.load(NAME), GRID), HuggingFace(resolve(str(folder)), device="cpu")
    return task, asked.answers(backend, task.requests(0), control)


def theirs(model: str, task: str, chat: bool, **args: str) -> Any:
    """The task as lm-eval runs it."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    from traitbench.lm_eval import register

    register()
    found = TaskManager(include_path=str(lm_tasks()), include_defaults=False)
    return lm_eval.simple_evaluate(
        model=model, model_args=args, tasks=[task], task_manager=found, apply_chat_template=chat, batch_size=8,
        device="cpu",
    )  # fmt: skip


def options(rows: list[dict[str, Any]]) -> list[list[float]]:
    """Log-probabilities of the options, from the samples that lm-eval keeps."""
    found = []
    for row in rows:
        logs = [float(value) for ((value, _),) in row["resps"]]
        by_option: list[list[float]] = [[], [], [], [], []]
        for option, value in zip(row["doc"]["option_of"], logs, strict=True):
            by_option[option].append(value)
        found.append([math.log(sum(map(math.exp, each))) for each in by_option])
    return found


def scored(task: Questionnaire, answers: dict[int, Response]) -> dict[str, float]:
    """Our own scale scores of the answers: the mean over a trait's items, reversed where minus-keyed."""
    items, values = {item.id: item for item in task.items}, {}
    for i, request in enumerate(task.requests(0)):
        item = items[request.doc.item]
        grade = task.grade(make_sample(request, answers[i], Condition(name="baseline"), item, "", 0))
        values.setdefault(item.trait, []).append(grade.value_keyed)
    return {trait: sum(each) / len(each) for trait, each in values.items()}


def test_options_have_our_log_probabilities_under_a_control(tiny: Tiny, tmp_path: Path) -> None:
    messages = (Message(role="system", content="You worry."),)
    made = controls.store(tmp_path / "controls", messages=messages)
    task, answers = ours(tiny("llama"), made)
    place = str(tmp_path / "controls" / made.hash)
    found = theirs("traitbench", f"traitbench_{NAME}", True, pretrained=str(tiny("llama")), control=place)
    rows = found["samples"][f"traitbench_{NAME}"]
    assert len(rows) == len(task.items) == 20
    for i, (row, logprobs) in enumerate(zip(rows, options(rows), strict=True)):
        assert row["doc"]["item"] == task.items[i].id
        assert logprobs == pytest.approx(answers[i].option_logprobs, abs=1e-4)
    results = found["results"][f"traitbench_{NAME}"]
    for trait, value in scored(task, answers).items():
        assert results[f"{trait},none"] == pytest.approx(value, abs=1e-4)
    mass = [sum(map(math.exp, answers[i].option_logprobs or ())) for i in answers]
    assert results["option_mass,none"] == pytest.approx(sum(mass) / len(mass), abs=1e-4)
    assert set(found["higher_is_better"][f"traitbench_{NAME}"].values()) == {None}
    before = ours(tiny("llama"))[1]
    assert max(abs(a - b) for a, b in zip(before[0].option_logprobs or (), options(rows)[0], strict=True)) > 0.01


def test_lm_evals_own_model_gives_the_same_without_a_template(tiny: Tiny) -> None:
    task, answers = ours(tiny("llama", None))
    found = theirs("hf", f"traitbench_{NAME}_plain", False, pretrained=str(tiny("llama", None)), dtype="float32")
    for i, logprobs in enumerate(options(found["samples"][f"traitbench_{NAME}_plain"])):
        assert logprobs == pytest.approx(answers[i].option_logprobs, abs=1e-4)
    for trait, value in scored(task, answers).items():
        assert found["results"][f"traitbench_{NAME}_plain"][f"{trait},none"] == pytest.approx(value, abs=1e-4)


def test_lm_evals_own_model_gives_the_same_shares_behind_a_template(tiny: Tiny) -> None:
    """It counts the line break that ends the prompt as answered, which is the same for all options."""
    from tiny_models import CHATML

    folder = tiny("llama", "<s>" + CHATML)  # lm-eval would put <s> before a template that does not write it
    answers = ours(folder)[1]
    found = theirs("hf", f"traitbench_{NAME}", True, pretrained=str(folder), dtype="float32")
    for i, logprobs in enumerate(options(found["samples"][f"traitbench_{NAME}"])):
        apart = [a - b for a, b in zip(logprobs, answers[i].option_logprobs or (), strict=True)]
        assert max(apart) - min(apart) < 1e-4


def test_its_command_line_runs_them_under_a_control(tiny: Tiny, tmp_path: Path) -> None:
    made = controls.store(tmp_path / "controls", messages=(Message(role="system", content="You worry."),))
    words = [
        "run", "--model", "traitbench", "--model_args",
        f"pretrained={tiny('llama')},control={tmp_path / 'controls' / made.hash}", "--tasks", f"traitbench_{NAME}",
        "--include_path", str(lm_tasks()), "--apply_chat_template", "--limit", "3", "--output_path",
        str(tmp_path / "out"), "--log_samples",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "traitbench.lm_eval", *words], capture_output=True, text=True, timeout=540,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"traitbench_{NAME}" in done.stdout
    (file,) = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(file.read_text())["config"]["control_hash"] == made.hash
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    answers = ours(tiny("llama"), made)[1]
    for row, logprobs in zip(rows, options(rows), strict=True):
        assert logprobs == pytest.approx(answers[row["doc_id"]].option_logprobs, abs=1e-4)


def test_the_folder_is_printed_and_the_same_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--path", "lm-eval"]) == 0
    folder = Path(capsys.readouterr().out.strip())

    def held() -> dict[str, bytes]:
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    first = held()
    assert first == {name: text.encode() for name, text in files().items()}
    # What was changed is written again, and what is whole stays.
    (folder / "functions.py").write_text("nonsense")
    assert main(["export", "--path", "lm-eval"]) == 0
    assert Path(capsys.readouterr().out.strip()) == folder
    assert held() == first
    assert main(["export"]) == 2 and main(["export", "--path", "lm_eval"]) == 2


def test_no_restricted_instrument_is_among_them() -> None:
    held = files()
    for name in inventories.names():
        inventory = inventories.load(name, texts=False)
        assert (f"traitbench_{name}.yaml" in held) is not inventory.restricted
        assert (f"{name}_plain.json" in held) is not inventory.restricted
    assert f"traitbench_{NAME}.yaml" in held and "traitbench_bfi_44.yaml" not in held


def test_the_copied_functions_stand_alone(tmp_path: Path) -> None:
    """They import nothing of traitbench, so that the folder can be taken elsewhere."""
    source = files()["functions.py"]
    assert "import traitbench" not in source and "from traitbench" not in source
    (tmp_path / "functions.py").write_text(source)
    spec = importlib.util.spec_from_file_location("functions", tmp_path / "functions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    doc = {"values": [1, 2, 3], "option_of": [0, 0, 1, 2], "keyed": -1, "trait": "neuroticism"}
    results = [(math.log(p), False) for p in (0.1, 0.2, 0.4, 0.1)]
    # (0.3 * 1 + 0.4 * 2 + 0.1 * 3) / 0.8 = 1.75, reversed on 1..3.
    expected = {"neuroticism": pytest.approx(2.25), "option_mass": pytest.approx(0.8)}
    assert module.score(doc, results) == lm_functions.score(doc, results) == expected


@pytest.mark.parametrize("more", [["--source", "x"], ["--to", "x"], ["--format", "eee"], ["--dataset_id", "a/b"]])
def test_a_flag_that_would_do_nothing_is_refused(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--path", "lm-eval", *more]) == 2
    assert f"export --path lm-eval takes no {more[0]}" in capsys.readouterr().err
