"""Backends that ask a local server, and items to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from faulty_server import Server

from traitbench import inventories
from traitbench.backends.backend import Options
from traitbench.backends.endpoint import Endpoint
from traitbench.backends.models import resolve
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Request

KEY = "sk-not-for-anyone-1234567890"


@pytest.fixture(autouse=True)
def _keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAITBENCH_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def connect() -> Iterator[Callable[..., Endpoint]]:
    """Make the backend of a server; it does not wait long."""
    made: list[Endpoint] = []

    def go(server: Server, chat: bool | None = None, name: str = "fake", **arguments: Any) -> Endpoint:
        quick = {"base_url": server.url, "backoff": 0.01, "timeout": 0.5, **arguments}
        made.append(Endpoint.make(resolve(f"endpoint:{name}"), Options(chat_template=chat, arguments=quick)))
        return made[-1]

    yield go
    for backend in made:
        backend.close()


@pytest.fixture
def items() -> Callable[..., list[Request]]:
    """The Mini-IPIP in the modes asked for, forwards."""

    def go(*modes: Any, limit: int = 6) -> list[Request]:
        grid = Administration(scoring=modes, orders=("forward",), limit=limit)
        return Questionnaire(inventories.load("mini_ipip"), grid).requests(0)

    return go
