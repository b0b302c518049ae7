"""Terminals that lack signs, answers that have none, and texts that would steer a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from traitbench import inventories
from traitbench.cli import commands
from traitbench.cli.guarded import guarded
from traitbench.errors import TraitbenchUsage
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.terminal import visible

RUN = ["run", "--model", "scripted:person", "--tasks", "mini_ipip", "--limit", "2", "--scoring", "choice"]


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_a_terminal_that_has_not_all_signs_gets_others(tmp_path: Path, encoding: str, form: str) -> None:
    def said(**more: str) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "traitbench", *RUN, "-o", str(tmp_path), "--format", form]
        return subprocess.run(words, capture_output=True, env={**os.environ, **more})

    odd, usual = said(PYTHONIOENCODING=encoding), said(PYTHONIOENCODING="utf-8")
    assert odd.returncode == usual.returncode == 0 and b"Traceback" not in odd.stderr
    odd.stdout.decode(encoding)
    if form == "json":
        mine, theirs = json.loads(odd.stdout.decode(encoding)), json.loads(usual.stdout)
        assert mine["results"] == theirs["results"] and mine["configs"] == theirs["configs"]


@pytest.mark.parametrize(
    ("many", "symbols", "message"),
    [
        (12, "numbers", r"12 options are more than the 9 numbers .*--symbols letters"),
        (27, "letters", r"27 options are more than the 26 letters .*--scoring statement"),
        (27, "numbers", r"27 options are more than the 9 numbers .*--scoring statement"),
        (12, "letters", None),
    ],
)
def test_more_options_than_symbols_are_refused_when_the_plan_is_made(
    tmp_path: Path, many: int, symbols: str, message: str | None
) -> None:
    source = json.loads((Path(inventories.__file__).parent / "mini_ipip.json").read_text())
    source |= {"id": "many", "response_scale": {"min": 1, "max": many, "labels": [f"Option {n}" for n in range(many)]}}
    (tmp_path / "many.json").write_text(json.dumps(source))
    plan = Plan.model_validate({
        "model": "scripted:person", "tasks": (str(tmp_path / "many.json"),), "symbols": (symbols,), "limit": 2,
    })  # fmt: skip
    if message is None:
        assert prepare(plan).tasks[0].id == "many"
        return
    with pytest.raises(TraitbenchUsage, match=message):
        prepare(plan)
    assert prepare(plan.model_copy(update={"scoring": ("statement",)})).tasks[0].id == "many"


def test_nothing_that_steers_or_turns_round_reaches_a_terminal() -> None:
    wrong = [chr(n) for n in (*range(32), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F),
                              *range(0x2066, 0x206A)) if chr(n) not in "\t\n"]  # fmt: skip
    assert visible("a".join(wrong)) == "a".join("\ufffd" * len(wrong))
    assert visible("tab\tline\nümlaut – 日本 עברית") == "tab\tline\nümlaut – 日本 עברית"


def test_an_interrupt_while_the_words_are_read_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "parser", interrupted)
    assert commands.main(["ls"]) == 130
    assert capsys.readouterr().err.startswith("error: interrupted;")


def test_what_lacks_memory_while_it_ends_is_not_told_beside_the_want_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    def closing() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise MemoryError

    def action() -> int:
        held = closing()
        next(held)
        del held
        raise MemoryError

    assert guarded(action) == 1
    assert capsys.readouterr().err.splitlines()[0].startswith("error: out of memory;")
