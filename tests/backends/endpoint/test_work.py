"""Tokens and dollars that are told beforehand, against what a server bills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from faulty_server import served

from traitbench.backends.endpoint import Endpoint
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


def test_a_tokenizer_that_fails_costs_the_estimate_only(connect: Connect, items: Items) -> None:
    with served() as server:
        backend = connect(server, retries=1)
        server.fault = lambda number, path, body: "500" if path == "/tokenize" else None
        assert backend.work(items("choice"), Control()) is None
