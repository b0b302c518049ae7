"""Choice in Inspect: exact of our own model, between bounds of others, and the same numbers as a run's."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import answers

import traitbench
from traitbench import controls, inventories
from traitbench.backends.endpoint.scoring import bounded, likeliest
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.samples import Sample
from traitbench.statistics.replies import choice_bounds
from traitbench.store import read_lines
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Edit, Message, Write

inspect_ai = pytest.importorskip("inspect_ai")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("elsewhere")]

Tiny = Callable[..., Path]
Ask = Callable[..., Any]
NAME = "mini_ipip"


def scores(log: Any) -> dict[str, Any]:
    return {sample.id.partition("-")[0]: sample.scores["expected_level"] for sample in log.samples}


def requests(**grid: Any) -> list[Any]:
    return Questionnaire(
        inventories.load(NAME), Administration(scoring=("choice",), orders=("forward",), **grid)
    ).requests(0)


@pytest.mark.parametrize(("kind", "template"), [("none", True), ("edits", True), ("none", False)])
def test_our_own_model_answers_as_a_run_does(kind: str, template: bool, ask: Ask, tiny: Tiny, tmp_path: Path) -> None:
    weights = tiny("llama") if template else tiny("llama", template=None)
    made = None
    if kind == "edits":
        with_edits = Edit(layer=1, site="residual", op="add", tensor="v", positions="answer", strength=2.0)
        width = HuggingFace(resolve(str(weights)), device="cpu").model.config.hidden_size
        made = controls.store(
            tmp_path / "controls", messages=(Message(role="system", content="You worry."),), edits=(with_edits,),
            tensors={"v": np.linspace(-1, 1, width, dtype=np.float32)},
        )  # fmt: skip
    place = f"@{tmp_path / 'controls' / made.hash}" if made else ""
    found = scores(ask(f"traitbench/{weights}{place}", {"limit": 3}, scoring="choice", orders="forward"))
    backend = HuggingFace(resolve(str(weights)), device="cpu")
    asked = requests(limit=3)
    responses = answers(backend, asked, made)
    for i, request in enumerate(asked):
        score, logprobs = found[request.doc.item], responses[i].option_logprobs
        assert score.metadata["option_logprobs"] == pytest.approx(logprobs, abs=2e-5)
        shares = np.exp(logprobs) / np.exp(logprobs).sum()
        raw = float(shares @ np.array(request.values))
        assert score.metadata["raw"] == pytest.approx(raw, abs=1e-5)
        assert score.value == pytest.approx(raw if request.doc.keyed == 1 else 6 - raw, abs=1e-5)
        assert "option_bounds" not in score.metadata


@pytest.mark.model
def test_the_embedded_model_scores_as_traitbench_run(ask: Ask, tmp_path: Path) -> None:
    found = scores(ask("traitbench/smollm2", {"limit": 3}, scoring="choice", orders="reverse"))
    results = traitbench.evaluate(
        model="smollm2", method="none", tasks=NAME, scoring="choice", orders="reverse", limit=3,
        output_path=tmp_path / "runs",
    )  # fmt: skip
    (path,) = results.path.parent.glob("samples_*.jsonl")
    rows = read_lines(path, Sample)
    assert {row.item: row.value_keyed for row in rows} == pytest.approx(
        {item: score.value for item, score in found.items()}, abs=1e-5
    )


def first(tops: list[tuple[str, float]], sampled: str) -> dict[str, Any]:
    """The first token of a chat's answer as a server's JSON has it."""
    return {
        "token": sampled, "logprob": -1.0, "bytes": None,
        "top_logprobs": [{"token": text, "logprob": log, "bytes": list(text.encode())} for text, log in tops],
    }  # fmt: skip


NARROW = [("A", math.log(0.6)), ("B", math.log(0.2)), ("C", math.log(0.1)), (" A", math.log(0.05)),
          ("D", math.log(0.03)), ("E", math.log(0.01)), ("z", math.log(1e-4)), ("x", math.log(1e-6))]  # fmt: skip
WIDE = [("A", math.log(0.4)), ("x", math.log(0.2)), ("y", math.log(0.1))]


def test_other_models_are_scored_as_an_endpoint_that_shows_its_likeliest_tokens(ask: Ask) -> None:
    from inspect_ai.model import Logprob, Logprobs, ModelOutput, ModelUsage, get_model

    config: list[Any] = []

    def reply(messages: Any, tools: Any, choice: Any, settings: Any) -> Any:
        config.append(settings)
        output = ModelOutput.from_content("mockllm", "A")
        output.usage = ModelUsage()
        if len(messages[-1].text) % 3 == 2:
            output.choices[0].stop_reason = "content_filter"
        else:
            tops = WIDE if len(messages[-1].text) % 3 else NARROW
            output.choices[0].logprobs = Logprobs(content=[Logprob.model_validate(first(tops, tops[-1][0]))])
        return output

    log = ask(get_model("mockllm/model", custom_outputs=reply), scoring="choice", orders="forward")
    assert {(c.logprobs, c.top_logprobs, c.temperature, c.extra_body) for c in config} == {(True, 20, 1.0, None)}
    found, seen = scores(log), set()
    for request in requests():
        score, kind = found[request.doc.item], len(request.messages[0].content) % 3
        seen.add(kind)
        if kind == 2:
            assert math.isnan(score.value) and score.reason == "refusal"
            continue
        answer = {"choices": [{"logprobs": {"content": [first(*((WIDE, "y") if kind else (NARROW, "x")))]}}]}
        least, most = bounded(likeliest(True)(answer), request.options)
        low, high = choice_bounds(least, most, request.values)
        assert score.metadata["value_bounds"] == pytest.approx([low, high])
        assert score.metadata["option_logprobs"] == pytest.approx(least) if kind == 0 else least[1:] == [None] * 4
        if kind == 1:
            assert high - low > 0.05 and math.isnan(score.value) and score.reason == "unseen"
        else:
            middle = (low + high) / 2
            assert score.value == pytest.approx(middle if request.doc.keyed == 1 else 6 - middle)
    assert seen == {0, 1, 2}


def test_a_model_that_shows_none_is_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    def reply(*_: Any) -> Any:
        output = ModelOutput.from_content("mockllm", "A")
        output.usage = ModelUsage()
        return output

    (log,) = inspect_ai.eval(
        f"traitbench/{NAME}", model=get_model("mockllm/model", custom_outputs=reply), limit=1, display="none",
        task_args={"scoring": "choice"}, log_dir=str(tmp_path / "logs"),
    )  # fmt: skip
    assert log.status == "error" and "shows no log-probabilities" in log.error.message
    assert "-T scoring=generate" in log.error.message


@pytest.mark.parametrize("scoring", ["statement", "choise", "choice,generate"])
def test_what_no_model_of_inspect_can_be_asked_is_refused(scoring: str) -> None:
    from traitbench.errors import UnknownName
    from traitbench.export.inspect_tasks import mini_ipip

    with pytest.raises(UnknownName, match="unknown value of scoring"):
        mini_ipip(scoring=scoring)


def test_the_likeliest_tokens_are_the_models_own_and_bound_what_is_exact(tiny: Tiny) -> None:
    import torch

    from traitbench.export.inspect_choice import options_of
    from traitbench.export.inspect_model import ControlledAPI

    api = ControlledAPI(str(tiny("llama")), device="cpu")
    backend = HuggingFace(resolve(str(tiny("llama"))), device="cpu")
    from inspect_ai.model import ChatMessageUser, GenerateConfig

    request = requests(limit=1)[0]
    turns = [ChatMessageUser(content=request.messages[0].content)]

    def say(**settings: Any) -> Any:
        import asyncio

        return asyncio.run(api.generate(turns, [], None, GenerateConfig(**settings)))

    greedy = say(logprobs=True, top_logprobs=20, max_tokens=1)
    (row,) = greedy.choices[0].logprobs.content
    ids = torch.tensor([backend.renderer.encode(backend.prompt(request))])
    logs = torch.log_softmax(backend.model(ids).logits[0, -1].float(), -1)
    best = logs.topk(20)
    assert [top.logprob for top in row.top_logprobs] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert row.token == row.top_logprobs[0].token and row.logprob == pytest.approx(float(logs.max()), abs=1e-5)
    least, most = options_of(greedy, request.options)
    exact = say(logprobs=True, top_logprobs=20, extra_body={"options": request.options, "cue": request.cue})
    logprobs, none = options_of(exact, request.options)
    assert none is None
    for low, value, high in zip(least, logprobs, most, strict=True):
        assert (low is None or low <= value + 1e-6) and value <= high + 1e-6
    drawn = say(logprobs=True, max_tokens=1, temperature=1.0, seed=7)
    write = Write(doc=request.doc, messages=request.messages, max_tokens=1, temperature=1.0, seed=7)
    ((_, response),) = next(iter(backend.run([write]))).items()
    assert drawn.completion == response.text, "the same draw as without log-probabilities"
    for settings, said in (
        ({"logprobs": True, "max_tokens": 2}, "set max_tokens=1"),
        ({"extra_body": {"guided": 1}}, "does not take an extra_body with guided"),
    ):
        with pytest.raises(traitbench.errors.UnsupportedControl, match=said):
            say(**settings)
    api.close()
