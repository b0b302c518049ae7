"""Inspect finds our questionnaires and our provider by its entry point, and its numbers are ours."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asked import answers

from traitbench import controls, inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.errors import BadData
from traitbench.statistics.replies import parse_reply
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Message, Write

inspect_ai = pytest.importorskip("inspect_ai")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("elsewhere")]

Tiny = Callable[..., Path]
Ask = Callable[..., Any]
NAME = "mini_ipip"


def test_scores_are_answers_read_and_keyed_as_ours(ask: Ask, tmp_path: Path) -> None:
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    said = ["A", "B.", "(C)", "Very Accurate", "E", "I'm sorry, but I can't answer that.", "Perhaps"]

    def reply(messages: Any, *_: Any) -> Any:
        output = ModelOutput.from_content("mockllm", said[sum(map(ord, messages[-1].text)) % len(said)])
        output.usage = ModelUsage()  # else it fetches a tokenizer to count with
        return output

    log = ask(get_model("mockllm/model", custom_outputs=reply))
    task = Questionnaire(inventories.load(NAME), Administration(scoring=("generate",)))
    values: dict[str, list[float]] = {}
    found = {sample.id: sample for sample in log.samples}
    for request in task.requests(0):
        assert isinstance(request, Write)
        text, doc = request.messages[-1].content, request.doc
        sample = found.pop(f"{doc.item}-{doc.order}-letters-0")
        assert sample.input[-1].text == text
        status, value = parse_reply(said[sum(map(ord, text)) % len(said)], request.labels, request.values)
        score = sample.scores["level"]
        if value is None:
            assert math.isnan(score.value) and score.reason == status
            continue
        keyed = value if doc.keyed == 1 else 6 - value
        assert score.value == keyed and score.metadata["raw"] == value
        values.setdefault(doc.trait, []).append(keyed)
    assert not found and len(log.samples) == 40
    (score,) = log.results.scores
    metrics = {name: metric.value for name, metric in score.metrics.items()}
    assert {n for n in metrics if not n.endswith("_stderr")} == set(values) and len(values) == 5
    for trait, each in values.items():
        assert metrics[trait] == pytest.approx(sum(each) / len(each))
    assert any(metrics[f"{trait}_stderr"] > 0 for trait in values)
    assert score.unscored_samples == 40 - sum(map(len, values.values())) > 0
    assert log.eval.task_registry_name == f"traitbench/{NAME}" and log.eval.metadata["score_direction"] == "none"


@pytest.mark.parametrize("kind", ["none", "control"])
def test_the_provider_writes_what_our_backend_writes(kind: str, ask: Ask, tiny: Tiny, tmp_path: Path) -> None:
    messages = (
        Message(role="system", content="You worry."),
        Message(role="user", content="Answer as one who worries."),
    )
    made = controls.store(tmp_path / "controls", messages=messages) if kind == "control" else None
    place = f"@{tmp_path / 'controls' / made.hash}" if made else ""
    log = ask(f"traitbench/{tiny('llama')}{place}", orders="forward")
    task = Questionnaire(inventories.load(NAME), Administration(scoring=("generate",), orders=("forward",)))
    backend = HuggingFace(resolve(str(tiny("llama"))), device="cpu")
    expected = answers(backend, task.requests(0), made)
    found = {sample.id.partition("-")[0]: sample.output for sample in log.samples}
    outputs = [found[item.id] for item in task.items]
    assert [output.completion for output in outputs] == [expected[i].text for i in range(20)]
    assert [output.usage.output_tokens for output in outputs] == [expected[i].tokens for i in range(20)]
    assert {sample.output.metadata["control_hash"] for sample in log.samples} == {made.hash if made else None}
    plain = {i: r.text for i, r in answers(backend, task.requests(0)).items()}
    assert ([output.completion for output in outputs] == [plain[i] for i in range(20)]) is (made is None)


def test_what_the_provider_does_not_heed_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    from traitbench.export.inspect_model import named

    (log,) = inspect_ai.eval(
        f"traitbench/{NAME}", model=f"traitbench/{tiny('llama')}", top_p=0.5, limit=1, display="none",
        log_dir=str(tmp_path / "logs"),
    )  # fmt: skip
    assert log.status == "error" and "does not take top_p" in log.error.message
    made = controls.store(tmp_path / "controls", messages=(Message(role="system", content="You worry."),))
    place = tmp_path / "controls" / made.hash
    assert named(f"smollm2@{place}") == ("smollm2", place)
    assert named("org/name@main") == ("org/name@main", None) and named("smollm2") == ("smollm2", None)
    for missing in (f"smollm2@{place}/nowhere", f"org/name@{place.parent}"):
        with pytest.raises(BadData, match=r"holds no control \(control.json\); expected the folder"):
            named(missing)


def test_content_and_settings_that_would_be_dropped_are_refused(tiny: Tiny) -> None:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ContentImage, ContentText, GenerateConfig
    from inspect_ai.tool import ToolCall

    from traitbench.errors import UnsupportedControl

    model = inspect_ai.model.get_model(f"traitbench/{tiny('llama')}", memoize=False)
    text, seen = ContentText(text="What is it?"), ContentImage(image="data:image/png;base64,iVBORw0KGgo=")
    called = ChatMessageAssistant(content="hi", tool_calls=[ToolCall(id="1", function="f", arguments={})])

    asked: list[tuple[list[Any], dict[str, Any], str]] = [
        ([ChatMessageUser(content=[text, seen])], {}, "with image"),
        ([ChatMessageUser(content="hi"), called], {}, "with tool calls"),
        ([], {}, "no message"),
        *(([ChatMessageUser(content="hi")], given, said) for given, said in (
            ({"reasoning_effort": "high"}, "not take reasoning_effort"), ({"modalities": ["image"]}, "modalities"),
            ({"extra_headers": {"a": "b"}}, "extra_headers"), ({"temperature": -1}, "temperature=-1"),
            ({"temperature": math.nan}, "temperature=nan"), ({"max_tokens": 0}, "max_tokens=0"),
            ({"top_logprobs": -1}, "top_logprobs=-1"), ({"stop_seqs": [""]}, "stop_seqs"),
            ({"extra_body": {"options": []}}, "an extra_body with options"),
            ({"extra_body": {"options": [[]]}}, "an extra_body with options"),
        )),
    ]  # fmt: skip

    async def ask_all() -> None:
        for messages, given, said in asked:
            with pytest.raises(UnsupportedControl, match=said) as error:
                await model.generate(messages, config=GenerateConfig(**{"max_tokens": 1, **given}))
            assert "\n" not in str(error.value)
        fine = GenerateConfig(max_tokens=1, temperature=0, max_retries=1, timeout=60, max_connections=1, cache=False)
        plain = await model.generate("What is it?", config=fine)
        assert plain.completion == (await model.generate([ChatMessageUser(content=[text])], config=fine)).completion

    asyncio.run(ask_all())


def test_inspects_cache_tells_controls_apart(
    ask: Ask, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path / "cache"))
    place = tmp_path / "control"
    made = {
        word: controls.store(tmp_path / "made", messages=(Message(role="system", content=word * 20),))
        for word in ("calm ", "worry ")
    }
    found: list[tuple[str, str | None, str]] = []
    for word in ("calm ", "worry ", "calm ", ""):
        shutil.rmtree(place, ignore_errors=True)
        if word:
            # The same folder: Inspect sees neither -M nor what a folder holds.
            shutil.copytree(tmp_path / "made" / made[word].hash, place)
        args = {"control": str(place)} if word else {}
        model = inspect_ai.model.get_model(f"traitbench/{tiny('llama')}", memoize=False, **args)
        log = ask(model, {"limit": 1, "cache": True}, orders="forward")
        (sample,) = log.samples
        (event,) = [event for event in sample.events if event.event == "model"]
        found.append((event.cache, sample.output.metadata["control_hash"], sample.output.completion))
    assert [cache for cache, *_ in found] == ["write", "write", "read", "write"]
    assert [name for _, name, _ in found] == [made["calm "].hash, made["worry "].hash, made["calm "].hash, None]
    assert found[0][2] == found[2][2]


def test_an_address_or_a_key_is_refused_before_anything_is_loaded() -> None:
    from traitbench.errors import UnsupportedControl
    from traitbench.export.inspect_model import ControlledAPI

    for given, said in (({"api_key": "sk-1"}, "takes no key"), ({"base_url": "http://host/v1"}, "takes no address")):
        with pytest.raises(UnsupportedControl, match=said) as found:
            ControlledAPI("no-such-model", **given)
        assert "sk-1" not in str(found.value)


def test_every_public_inventory_is_a_task_and_no_restricted_one() -> None:
    from traitbench.export import inspect_registry

    public = {name for name in inventories.names() if not inventories.load(name, texts=False).restricted}
    assert {name for name in inspect_registry.__all__ if name in inventories.names()} == public


def test_its_command_line_finds_task_and_provider_by_the_entry_point(tiny: Tiny, tmp_path: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    words = [
        "eval", f"traitbench/{NAME}", "--model", f"traitbench/{tiny('llama')}", "-T", "orders=forward", "--limit", "2",
        "--display", "none", "--log-dir", str(tmp_path / "logs"),
    ]  # fmt: skip
    code = "from inspect_ai._cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (place,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(place)
    assert log.status == "success" and log.eval.model == f"traitbench/{tiny('llama')}" and len(log.samples or []) == 2


def test_the_entry_point_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, traitbench.export.inspect_registry; print({'torch', 'transformers'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr
