"""A writer and judges behind real servers, with known traits: what the whole way of a judged run is tried with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Server, served
from quiet import Quiet
from replies_task import Replies, written

from traitbench.judges.asking import rubrics
from traitbench.judges.trials import texts
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Given, Plan
from traitbench.runs.results import Results
from traitbench.tasks import TASKS
from traitbench.types import Control, Message, Target

FENCED = re.compile(r"^\[([0-9a-f]{8})\]\n(.*?)\n\[\1\]$", re.S | re.M)


class Poles(Method):
    """Tells the writer which pole to write."""

    name = "poles"
    makes = frozenset({"prompt"})
    targets = frozenset({"poles"})

    def fit(self, target: Target | None, bench: Bench) -> Control:
        assert target is not None
        word = "HIGH" if next(iter(target.levels.values())) > 0 else "LOW"
        return Control(messages=(Message(role="system", content=f"Write as {word}."),), target=target)


def says(content: str, tokens: dict[str, float] | None = None) -> dict[str, Any]:
    """A chat's answer; `tokens` are the probabilities that it shows."""
    choice: dict[str, Any] = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
    if tokens:
        rows = [{"token": t, "logprob": math.log(p), "bytes": list(t.encode())} for t, p in tokens.items()]
        first = max(rows, key=lambda row: float(row["logprob"]))
        choice["logprobs"] = {"content": [{**first, "top_logprobs": rows}]}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}


def verdict(prompt: str) -> str:
    """What a good judge answers: 1 or 4 on the scale as shown, or the letter of the high pole's reply."""
    shown = [text for _, text in FENCED.findall(prompt)]
    high = [any(pair.high == text for pair in texts().pairs) for text in shown]
    known = [any(text in (pair.high, pair.low) for pair in texts().pairs) for text in shown]
    if not shown or not all(known):
        return "X" if "\nX: " in prompt else "cannot tell"
    if len(shown) == 2:
        return "T" if high[0] == high[1] else "A" if high[0] else "B"
    turned = any(f"\n0: {rubric.anchors['5']}" in prompt for rubric in rubrics().rubrics)
    return "4" if high[0] != turned else "1"


def judging(logprobs: bool) -> Callable[[dict[str, Any]], Any]:
    def answer(body: dict[str, Any]) -> Any:
        said = verdict(body["messages"][-1]["content"])
        if not logprobs or not body.get("logprobs"):
            return says(said)
        others = {t: 1e-4 for t in ("0", "1", "2", "3", "4", "5", "A", "B", "T", "X", *"abcdefghij") if t != said}
        return says(said, {said: 0.95, **others})

    return answer


@pytest.fixture
def writer() -> Iterator[Server]:
    """A server whose model writes the pole that its system prompt names."""
    with served("chat") as server:
        server.content = lambda body: says(written(body["messages"]))
        yield server


@pytest.fixture
def judges() -> Iterator[Callable[[bool], Server]]:
    """Start servers whose model judges well, with log-probabilities or without."""
    with ExitStack() as stack:

        def start(logprobs: bool) -> Server:
            server = stack.enter_context(served("chat"))
            server.content = judging(logprobs)
            return server

        yield start


Judged = Callable[..., tuple[Results, Path]]


@pytest.fixture
def judged(writer: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    """Run the task `replies` on the writer with some judges."""
    pytest.importorskip("httpx", reason="needs traitbench[endpoint]")
    monkeypatch.setitem(TASKS._table, "replies", "replies_task:Replies")
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))

    def go(judge: tuple[str, ...], judge_args: dict[str, Any] | None = None, **more: Any) -> tuple[Results, Path]:
        plan = Plan.model_validate({
            "model": "endpoint:writer", "model_args": {"base_url": writer.url, "retries": 0}, "method": "poles",
            "tasks": ("replies",), "output_path": str(tmp_path / "runs"), "bootstrap_iters": 50, "judge": judge,
            "judge_args": judge_args or {}, **more,
        })  # fmt: skip
        return evaluate(plan, Quiet(), print, Given(Poles, {"replies": Replies}))

    return go
