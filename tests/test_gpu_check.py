"""How the check of a GPU goes about its work, tried on checks made up here and with what needs no engine."""

from __future__ import annotations

import csv
import json
import textwrap
import time
from pathlib import Path

import pytest
from gpu import cards, check, cost, llama, persons, suite
from gpu.rows import Here, Row, figure

from traitbench.targets.persons import from_csv

MADE = """
    import os, subprocess, sys, time
    from gpu.rows import figure, yes
    def good(here):
        here.report(figure("speed", 2.0, "s", most=3))
        here.report(yes("dry", here.dry))
    def raises(here):
        here.report(figure("before", 1.0))
        raise ValueError("no such kernel")
    def dies(here):
        here.report(figure("before", 1.0))
        os.kill(os.getpid(), 11)
    def hangs(here):
        here.report(figure("before", 1.0))
        child = subprocess.Popen(["sleep", "60"])
        here.report(figure("child", child.pid))
        time.sleep(60)
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of checks that the processes can import: one that works, and three ways to fail."""
    (tmp_path / "made_checks.py").write_text(textwrap.dedent(MADE))
    environment = check._environment
    monkeypatch.setattr(
        check, "_environment",
        lambda device: {**environment(device), "PYTHONPATH": f"{environment(device)['PYTHONPATH']}:{tmp_path}"},
    )  # fmt: skip
    return "made_checks"


def test_a_crash_or_a_hang_of_one_check_leaves_the_others_and_what_it_measured(made: str, tmp_path: Path) -> None:
    names = ("raises", "dies", "hangs", "good")
    checks = [check.Check(name, f"{made}:{name}", 6) for name in names]
    begun = time.monotonic()
    rows, ended = check.run(checks, "cpu", check.MINUTES, tmp_path)
    assert time.monotonic() - begun < 4 * 6 + 5
    assert [each.how for each in ended] == [
        "crashed with exit code 1", "crashed with exit code -11", "over its time", "finished",
    ]  # fmt: skip
    for name in names[:3]:
        first, *_, last = (row for row in rows if row.check == name)
        assert first == Row(check=name, what="before", value=1.0) and last.what == "the check itself"
        assert last.holds is (None if name == "hangs" else False)
    (child,) = (int(row.value or 0) for row in rows if row.what == "child")
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z", "what a check started is ended"
    assert "no such kernel" in next(row.note for row in rows if row.check == "raises" and row.holds is False)
    assert [(row.what, row.holds) for row in rows if row.check == "good"] == [("speed", True), ("dry", True)]


def test_the_table_and_the_file_say_the_same(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--device", "cpu", "--output_path", str(tmp_path / "out")]
    monkeypatch.setattr(check, "CHECKS", (check.Check("a good one", f"{made}:good", 30),))
    assert check.main(given) == 0
    out = capsys.readouterr().out
    assert "speed" in out and "≤ 3" in out and "the figures mean nothing" in out
    kept = json.loads((tmp_path / "out" / "gpu-check.json").read_text())
    assert [Row.model_validate(row).what for row in kept["rows"]] == ["speed", "dry"]
    assert kept["checks"][0]["how"] == "finished" and kept["device"] == "cpu" and "torch" in kept["versions"]
    monkeypatch.setattr(check, "CHECKS", (check.Check("a bad one", f"{made}:raises", 30),))
    assert check.main(given) == 4
    monkeypatch.setattr(check, "CHECKS", (check.Check("a slow one", f"{made}:hangs", 5),))
    assert check.main(given) == 5
    assert check.main([*given, "--only", "nothing"]) == 2
    assert "no check 'nothing'; there are: a slow one" in capsys.readouterr().err


def test_without_a_gpu_one_line_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(check, "has_gpu", lambda: False)
    assert check.main([]) == 5
    assert capsys.readouterr().err.count("\n") == 1


def test_all_checks_together_take_ten_minutes() -> None:
    assert sum(each.seconds for each in check.CHECKS) == 60 * check.MINUTES
    assert len({each.name for each in check.CHECKS}) == len(check.CHECKS)


@pytest.mark.parametrize("value", [float("nan"), 4.0])
def test_what_is_missing_or_beyond_keeps_no_bound(value: float) -> None:
    row = figure("x", value, most=3)
    assert row.holds is False and json.loads(row.model_dump_json())["bound"] == "≤ 3"


def test_the_shape_is_llama_3_8b() -> None:
    """8.03 thousand million weights, of which the embedding is only looked up."""
    table = llama.SHAPE["vocab_size"] * llama.SHAPE["hidden_size"]
    norms = (2 * llama.SHAPE["num_hidden_layers"] + 1) * llama.SHAPE["hidden_size"]
    assert llama._matrices(llama.SHAPE) + 2 * table + norms == 8_030_261_248
    assert llama.bytes_of_step(llama.SHAPE, 1, 0) == 2 * (8_030_261_248 - table - norms)
    # A step of one reply reads 128 KiB of keys and values a token before it.
    assert llama.bytes_of_step(llama.SHAPE, 1, 1) - llama.bytes_of_step(llama.SHAPE, 1, 0) == 131072


def test_operations_of_a_prompt_are_those_of_its_products() -> None:
    """Counted one product at a time, of a tiny shape."""
    shape, length = llama.TINY, 5
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    heads, shared = 4 * 32, 2 * 32
    total = 0
    for _ in range(shape["num_hidden_layers"]):
        for rows in range(1, length + 1):
            for inputs, outputs in (
                (width, heads), (width, shared), (width, shared), (heads, width), (width, inner), (width, inner),
                (inner, width), (heads, rows), (rows, heads),
            ):  # fmt: skip
                total += 2 * inputs * outputs
    assert llama.flops_of_prefill(shape, length) == total + 2 * width * shape["vocab_size"]


def test_a_card_is_known_by_its_whole_name() -> None:
    card = cards.known("NVIDIA H100 80GB HBM3")
    assert card is not None and card.source.startswith("NVIDIA H100")
    assert cards.known("NVIDIA H100 80GB HBM3 MIG 1g.10gb") is None and cards.known("") is None
    for each in cards.CARDS.values():
        assert 5e13 < each.flops < 1e15 and 2e11 < each.bandwidth < 6e12 and each.source


def test_invented_persons_are_a_table_that_a_run_takes(tmp_path: Path) -> None:
    persons.people(tmp_path / "people.csv", 12)
    with (tmp_path / "people.csv").open(newline="") as handle:
        assert len(list(csv.DictReader(handle))) == 12
    assert len(from_csv(tmp_path / "people.csv", keyed=False).targets) == 12


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("tests/a.py::test_b[c-True] PASSED                [ 10%]\n", {"tests/a.py::test_b[c-True]": "PASSED"}),
        ("tests/a.py::test_b FAILED [ 20%]\n", {"tests/a.py::test_b": "FAILED"}),
        ("FAILED tests/a.py::test_b - AssertionError\n", {}),
        ("WARNING something PASSED\n", {}),
    ],
)
def test_outcomes_of_tests_are_read_as_they_come(line: str, found: dict[str, str]) -> None:
    assert suite.outcomes(line) == found


def test_what_the_benchmark_lends_is_there() -> None:
    """The check of what edits cost takes controls and questions from there, by name."""
    assert all(callable(getattr(cost._bench(), name)) for name in ("asked", "answering", "heads"))
    assert cost._bench().HEADS % len(cost._bench().LAYERS) == 0


def test_a_dry_run_takes_the_tiny_size(tmp_path: Path) -> None:
    assert [Here(device, 1, tmp_path, print).size(8, 2) for device in ("cuda", "cpu")] == [8, 2]
