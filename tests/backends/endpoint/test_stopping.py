"""A run that is stopped while it asks a server keeps every answer: none is asked twice when it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Server, served
from quiet import Quiet

from traitbench.interrupts import Stopped, stoppable
from traitbench.journal import RunFolder
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan


@pytest.fixture(autouse=True)
def unignored() -> Iterator[None]:
    """Signals as at a terminal: what runs in the background of a shell is started with some of them ignored."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}  # type: ignore[arg-type]
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def slowly(number: int, path: str, body: dict[str, Any]) -> None:
    if "Statement" in json.dumps(body):
        time.sleep(0.1)


def plan(server: Server, folder: Path) -> Plan:
    return Plan.model_validate({
        "model": "endpoint:fake", "model_args": {"base_url": server.url}, "tasks": ("mini_ipip",),
        "scoring": ("generate",), "bootstrap_iters": 20, "output_path": str(folder),
    })  # fmt: skip


def kept(folder: Path) -> int:
    return sum(len(place.read_text("utf-8").splitlines()) for place in folder.rglob("responses.jsonl"))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_stops_the_command_as_ctrl_c_does(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    number = getattr(signal, name)
    with served("vllm", fault=slowly) as server:
        words = [
            "run", "--model", "endpoint:fake", "--model_args", f"base_url={server.url}", "--tasks", "mini_ipip",
            "--scoring", "generate", "--bootstrap_iters", "20", "-o", str(tmp_path),
        ]  # fmt: skip
        run = subprocess.Popen([sys.executable, "-m", "traitbench", *words], stderr=subprocess.PIPE, text=True)
        while run.poll() is None and sum(server.answered().values()) < 9:
            time.sleep(0.02)
        run.send_signal(number)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == 128 + number and "interrupted; what was answered is kept" in said
        assert 9 <= kept(tmp_path) == sum(server.answered().values()) < 40
        server.fault = None
        evaluate(plan(server, tmp_path), Quiet(), lambda line: None)
        assert set(server.answered().values()) == {1} and kept(tmp_path) == 40


def test_an_interrupt_while_a_batch_is_written_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = RunFolder.append
    written: list[int] = []

    def interrupted(folder: RunFolder, responses: Any) -> None:
        written.append(len(responses))
        if len(written) == 5:
            signal.raise_signal(signal.SIGINT)
        append(folder, responses)

    with served("vllm", fault=slowly) as server:
        monkeypatch.setattr(RunFolder, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate(plan(server, tmp_path), Quiet(), lambda line: None)
        assert 5 <= kept(tmp_path) == sum(server.answered().values()) < 40
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        server.fault = None
        evaluate(plan(server, tmp_path), Quiet(), lambda line: None)
        assert set(server.answered().values()) == {1} and kept(tmp_path) == 40


def test_handlers_are_as_before_and_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(Stopped, match="SIGTERM") as stop, stoppable():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert stop.value.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
