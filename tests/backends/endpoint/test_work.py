"""Tokens and dollars that are told beforehand, against what a server bills."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from faulty_server import served

from traitbench.backends.endpoint import Endpoint
from traitbench.runs.estimate import counted
from traitbench.types import Control, Message, Request

Connect = Callable[..., Endpoint]
Items = Callable[..., list[Request]]
TOLD = Control(messages=(Message(role="system", content="You are tidy."),))


@pytest.mark.parametrize(("kind", "route"), [("vllm", "token_ids"), ("old_vllm", "prompt_logprobs")])
@pytest.mark.parametrize("modes", [("choice",), ("statement",), ("generate",)])
def test_a_server_bills_what_was_counted(
    connect: Connect, items: Items, kind: str, route: str, modes: tuple[Any, ...]
) -> None:
    requests = items(*modes, limit=4)
    with served(kind) as server:
        backend = connect(server, input_price=1.0, output_price=10.0)
        assert backend.routes.choose == route
        work = backend.work(requests, TOLD)
        with backend.under(TOLD):
            found = backend.cost([r for batch in backend.run(requests) for r in batch.values()])
    assert work is not None and work.usd is not None
    assert (work.shared, work.own) == (0, found["input_tokens"])
    if modes == ("generate",):
        assert work.usd > found["usd"]  # Replies end before their limit.
    else:
        assert work.usd == pytest.approx(found["usd"])


def test_a_few_are_counted_for_many(connect: Connect, items: Items) -> None:
    requests = items("choice", limit=20)
    with served() as server:
        backend = connect(server)
        before = len(server.seen)
        work = backend.work(requests, Control())
        asked = [path for path, _, _ in server.seen[before:]]
        found = backend.cost([r for batch in backend.run(requests) for r in batch.values()])
    assert {*asked} == {"/tokenize", "/detokenize"} and asked.count("/detokenize") == 4
    assert work is not None and work.usd is None and work.own == pytest.approx(found["input_tokens"], rel=0.1)


@pytest.mark.parametrize(
    ("kind", "settings"), [("chat", {}), ("vllm", {"route": "top"}), ("vllm", {"requests_per_minute": 6000})]
)
def test_where_nothing_is_known_nothing_is_asked(
    connect: Connect, items: Items, kind: str, settings: dict[str, Any]
) -> None:
    with served(kind) as server:
        backend = connect(server, **settings)
        before = len(server.seen)
        assert backend.work(items("choice"), Control()) is None
        assert len(server.seen) == before


@pytest.mark.parametrize("fault", ["500", "stall", "drop"])
def test_a_tokenizer_that_fails_costs_one_try_and_the_estimate(connect: Connect, items: Items, fault: str) -> None:
    with served() as server:
        backend = connect(server, retries=5, backoff=30, timeout=120)
        server.fault = lambda number, path, body: fault if path == "/tokenize" else None
        before, began = len(server.seen), time.monotonic()
        ahead = [(Control(messages=(Message(role="system", content=str(n)),)), items("choice")) for n in range(30)]
        assert counted(backend, ahead) is None and backend.work(items("choice"), Control()) is None
        assert len(server.seen) == before + 1 and time.monotonic() - began < 3


def test_a_slow_tokenizer_is_not_waited_for(connect: Connect, items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traitbench.backends.endpoint._PATIENCE", 0.3)
    with served() as server:
        backend = connect(server)
        server.fault = lambda number, path, body: time.sleep(0.1) if path == "/tokenize" else None
        before = len(server.seen)
        assert backend.work(items("choice"), Control()) is None and len(server.seen) - before < 9


def test_many_short_conditions_are_counted_by_some_of_them(connect: Connect, items: Items) -> None:
    with served() as server:
        backend = connect(server)
        before = len(server.seen)
        ahead = [
            (Control(messages=(Message(role="system", content=f"You are {n}."),)), items("choice")) for n in range(150)
        ]
        found = counted(backend, ahead)
        asked = [path for path, _, _ in server.seen[before:]]
    assert found is not None and asked.count("/detokenize") <= 4 * 26
