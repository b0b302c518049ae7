"""Many answers at a time: each is handed on as it arrives, and what stops the run lets those under way arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from traitbench.backends.endpoint.client import Failed
from traitbench.backends.endpoint.settings import Settings
from traitbench.errors import Unreachable
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
    with ThreadPoolExecutor(settings.concurrency, "endpoint") as pool:
        try:
            while True:
                while (
                    reason is None and len(running) < settings.concurrency and (index := next(left, None)) is not None
                ):
                    running[pool.submit(answer, index)] = index
                if not running:
                    break
                try:
                    done = wait(running, return_when=FIRST_COMPLETED)[0]
                except KeyboardInterrupt as interrupt:
                    if reason is not None:  # whoever interrupts twice does not want to wait
                        raise
                    reason = interrupt
                    stop.set()
                    continue
                for future in done:
                    index, failure = running.pop(future), future.exception()
                    if failure is None:
                        row = 0
                        yield {index: future.result()}
                    elif not isinstance(failure, Failed):
                        reason = reason or failure
                    elif reason is None:
                        row += 1
                        if failure.final or row >= settings.give_up:
                            reason = _gave_up(settings, failure, row)
                        yield {index: Response(status="error", error=str(failure))}
                if reason is not None:
                    stop.set()
        finally:
            stop.set()
    if reason is not None:
        raise reason


def _gave_up(settings: Settings, failure: Failed, row: int) -> Unreachable:
    many = "" if row == 1 else f" {row} answers in a row, the last one"
    return Unreachable(
        f"{settings.server} failed{many}: {failure}. What it answered is kept: the same command goes on from there. "
        "Where the server is slow or busy, --model_args concurrency=2,timeout=300,retries=8 asks for fewer at a time "
        "and waits longer"
    )
