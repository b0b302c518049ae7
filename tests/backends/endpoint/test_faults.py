"""A server that fails: what was answered is kept, nothing is asked twice, and nobody waits longer than they must."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from asked import answers
from faulty_server import served

from traitbench.backends.endpoint import Endpoint
from traitbench.errors import BadData, Unreachable
from traitbench.types import Request, Response

Connect = Callable[..., Endpoint]
Items = Callable[..., list[Request]]


def in_turn(*ways: str | None) -> Callable[[int, str, dict[str, Any]], str | None]:
    """Fail each item's requests in these ways, one after another; what finds out about the server is spared."""
    turn, lock = itertools.cycle(ways), threading.Lock()

    def fault(number: int, path: str, body: dict[str, Any]) -> str | None:
        if "Statement" not in str(body):
            return None
        with lock:
            return next(turn)

    return fault


WAYS = ("drop", "408", "409", "425", "429", "500", "503", "stall", "drip", "broken", "nologprobs")


@pytest.mark.parametrize("way", WAYS)
def test_a_fault_that_passes_changes_no_answer(connect: Connect, items: Items, way: str) -> None:
    requests = items("choice")
    with served("chat") as healthy, served("chat", healthy.model, in_turn(way, None)) as faulty:
        want, found = answers(connect(healthy), requests), answers(connect(faulty, retries=20), requests)
        assert found == want and len(found) == 6
        assert set(faulty.answered().values()) == {1}
        assert sum(fault is not None for *_, fault in faulty.seen) >= 6, "it did fail"
        assert set(healthy.answered()) == set(faulty.answered())


def test_all_faults_at_once_over_the_exact_route(connect: Connect, items: Items) -> None:
    requests = items("choice", "statement", limit=3)
    fault = in_turn("drop", None, "429", None, "500", None, "broken", None, "nologprobs", None)
    with served("vllm") as healthy, served("vllm", healthy.model, fault) as faulty:
        want, found = answers(connect(healthy), requests), answers(connect(faulty, retries=30), requests)
    assert {i: r.option_logprobs or r.loglik for i, r in found.items()} == {
        i: r.option_logprobs or r.loglik for i, r in want.items()
    }


def test_an_answer_that_cannot_be_had_is_an_error_and_the_others_go_on(connect: Connect, items: Items) -> None:
    requests = items("choice")
    words = requests[2].messages[-1].content[-25:]
    with served("chat", fault=lambda n, path, body: "500" if words in str(body) else None) as server:
        backend = connect(server, retries=2)
        found = answers(backend, requests)
        failed = found.pop(2)
        assert (failed.status, failed.option_logprobs) == ("error", None)
        assert failed.error and failed.error.startswith("500: fault 500") and failed.error.endswith("(3 tries)")
        assert all(response.status == "valid" for response in found.values()) and len(found) == 5
        server.fault = None
        assert list(answers(backend, requests, done=found)) == [2]
        assert set(server.answered().values()) == {1}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_server_that_vanishes_stops_the_run_and_what_it_answered_is_kept(
    connect: Connect, items: Items, concurrency: int
) -> None:
    requests = items("choice", limit=20)
    found: dict[int, Response] = {}
    gone = threading.Event()

    def fault(number: int, path: str, body: dict[str, Any]) -> str | None:
        return "drop" if gone.is_set() else None

    with served("chat", fault=fault) as server:
        backend = connect(server, concurrency=concurrency, retries=1, give_up=3)
        with pytest.raises(Unreachable, match=r"failed 3 answers in a row.*the same command goes on") as stop:
            for batch in backend.run(requests):
                found |= {i: r for i, r in batch.items() if r.status == "valid"}
                if len(found) >= 7:
                    gone.set()
        assert stop.value.exit_code == 3 and 7 <= len(found) < 7 + concurrency
        assert len(found) == sum(server.answered().values()), "no answer was lost"
        gone.clear()
        rest = answers(backend, requests, done=found)
        assert sorted([*found, *rest]) == list(range(20)), "and none is asked again"
        assert set(server.answered().values()) == {1} and len(server.answered()) == 20


def test_a_refusal_stops_at_once_and_keeps_what_is_under_way(connect: Connect, items: Items) -> None:
    requests = items("choice", limit=20)
    words = requests[4].messages[-1].content[-25:]
    with served("chat", fault=lambda n, path, body: "400" if words in str(body) else None) as server:
        backend = connect(server, concurrency=2)
        found: dict[int, Response] = {}
        with pytest.raises(BadData, match=r"refuses the model 'fake', or how it is asked .*400: fault 400"):
            for batch in backend.run(requests):
                found |= batch
        assert {0, 1, 2, 3} <= set(found) and 4 not in found and len(found) <= 6
        assert len(found) == len(server.answered())


def test_a_content_filter_costs_one_answer(connect: Connect, items: Items) -> None:
    requests = items("choice", limit=3)
    words = requests[1].messages[-1].content[-25:]
    with served("chat", fault=lambda n, path, body: "filter" if words in str(body) else None) as server:
        found = answers(connect(server), requests)
    assert [found[i].status for i in range(3)] == ["valid", "error", "valid"]
    assert found[1].error == "refused by the server's content filter: 400: The prompt was filtered."


def test_retry_after_in_seconds_and_as_a_date(connect: Connect, items: Items) -> None:
    requests = items("choice", limit=4)
    for dated in (False, True):
        with served("chat", fault=in_turn("429", *[None] * 50)) as server:
            backend = connect(server, concurrency=1)
            then = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
            server.retry_after = then if dated else "1"
            start = time.monotonic()
            assert len(answers(backend, requests)) == 4
            assert 0.9 < time.monotonic() - start < 4


def test_a_wait_that_is_too_long_stops_the_run(connect: Connect, items: Items) -> None:
    with served("chat", fault=in_turn("429")) as server:
        server.retry_after = "3600"
        backend = connect(server, concurrency=1)
        with pytest.raises(Unreachable, match=r"429: .* asks to wait 3600 s, more than --model_args longest_wait=120"):
            answers(backend, items("choice"))
        assert sum(fault == "429" for *_, fault in server.seen) == 1


FINAL: dict[str, tuple[type[Exception], str]] = {
    "quota": (Unreachable, r"failed: 429: You have used it all\."),
    "302": (BadData, r"is elsewhere \(302\); give its own address in --model_args base_url"),
    "401": (BadData, r"refuses the key \(401\); set the environment variable TRAITBENCH_API_KEY"),
    "403": (BadData, r"refuses the key \(403\)"),
    "404": (BadData, r"expected --model endpoint:NAME with a name that it has"),
    "422": (BadData, r"or how it is asked \(422: fault 422"),
    "501": (BadData, r"or how it is asked \(501: fault 501"),
}


@pytest.mark.parametrize("way", FINAL)
def test_what_does_not_pass_is_not_tried_again(connect: Connect, items: Items, way: str) -> None:
    kind, said = FINAL[way]
    with served("chat", fault=in_turn(None, way)) as server:
        backend = connect(server, concurrency=1)
        found: dict[int, Response] = {}
        with pytest.raises(kind, match=said):
            for batch in backend.run(items("choice")):
                found |= batch
        assert found[0].status == "valid" and sum(fault == way for *_, fault in server.seen) == 1


def test_the_limits_on_requests_are_kept(connect: Connect, items: Items) -> None:
    requests = items("choice", limit=20)
    with served("chat", fault=lambda n, path, body: time.sleep(0.02)) as server:
        assert len(answers(connect(server, concurrency=3), requests)) == 20
        assert 2 <= server.busiest <= 3
        backend = connect(server, requests_per_minute=1200)
        start = time.monotonic()
        answers(backend, requests)
        assert time.monotonic() - start > 19 * 60 / 1200 * 0.95


def test_an_interrupt_keeps_what_is_under_way(connect: Connect, items: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while answers are waited for."""
    from traitbench.backends.endpoint import asking

    waits = itertools.count()
    wait = asking.wait

    def interrupted(*given: Any, **more: Any) -> Any:
        if next(waits) == 2:
            raise KeyboardInterrupt
        return wait(*given, **more)

    monkeypatch.setattr(asking, "wait", interrupted)
    requests = items("choice", limit=20)
    found: dict[int, Response] = {}
    with served("chat") as server:
        backend = connect(server, concurrency=4)
        with pytest.raises(KeyboardInterrupt):
            for batch in backend.run(requests):
                found |= batch
        assert 4 <= len(found) < 20 and len(found) == len(server.answered())


def test_an_answer_that_is_not_taken_up_ends_the_threads(connect: Connect, items: Items) -> None:
    with served("chat") as server:
        run = connect(server, concurrency=2).run(items("choice", limit=20))
        next(run)
        run.close()  # type: ignore[attr-defined]
        assert not [t for t in threading.enumerate() if t.name.startswith("endpoint")]
        assert len(server.answered()) < 20
