"""Many answers at a time: each is handed on as it arrives, and what stops the run lets those under way arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from traitbench.backends.endpoint.client import Failed
from traitbench.backends.endpoint.settings import Settings
from traitbench.errors import Unreachable
from traitbench.interrupts import held
from traitbench.types import Response

__all__ = ["answers"]


def answers(
    answer: Callable[[int], Response], wanted: Iterable[int], settings: Settings, stop: threading.Event
) -> Iterator[dict[int, Response]]:
    """Yield index -> response of each of `wanted`, at most `concurrency` under way.

    An answer that failed after all retries is a response with an error. Where `give_up` fail in a row, where the server
    says that waiting is of no use, and at an error or an interrupt, no further one is begun; those under way are still
    yielded, so that nothing that was paid for is lost, and then the reason is raised: Unreachable, or what it was.
    """
    stop.clear()
    left = iter(wanted)
    running: dict[Future[Response], int] = {}
    reason: BaseException | None = None
    row = 0
    caught: list[KeyboardInterrupt] = []
    with ThreadPoolExecutor(settings.concurrency, "endpoint") as pool:
        try:
            while True:
                try:
                    while (
                        reason is None
                        and len(running) < settings.concurrency
                        and (index := next(left, None)) is not None
                    ):
                        with held(caught):  # an answer that is asked for and not noted would be lost
                            running[pool.submit(answer, index)] = index
                        if caught:
                            raise caught.pop()
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED)[0]:
                        given, why, row = _outcome(future, settings, row)
                        taken = reason is None or future.exception() is None
                        batch = {running[future]: given} if given is not None and taken else None
                        reason = reason or why
                        # Nothing is called between these two, so no interrupt comes between.
                        del running[future]
                        if batch is not None:
                            yield batch
                except KeyboardInterrupt as interrupt:
                    if reason is not None:  # whoever interrupts twice does not want to wait
                        raise
                    reason = interrupt
                if reason is not None:
                    stop.set()
        finally:
            stop.set()
    if reason is not None:
        raise reason


def _outcome(
    future: Future[Response], settings: Settings, row: int
) -> tuple[Response | None, BaseException | None, int]:
    """What to hand on, why to ask no further, and how many answers in a row have failed by now."""
    failure = future.exception()
    if failure is None:
        return future.result(), None, 0
    if not isinstance(failure, Failed):
        return None, failure, row
    why = _gave_up(settings, failure, row + 1) if failure.final or row + 1 >= settings.give_up else None
    return Response(status="error", error=str(failure)), why, row + 1


def _gave_up(settings: Settings, failure: Failed, row: int) -> Unreachable:
    many = "" if row == 1 else f" {row} answers in a row, the last one"
    return Unreachable(
        f"{settings.server} failed{many}: {failure}. What it answered is kept: the same command goes on from there. "
        "Where the server is slow or busy, --model_args concurrency=2,timeout=300,retries=8 asks for fewer at a time "
        "and waits longer"
    )
