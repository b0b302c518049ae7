"""Tokens a second: the arithmetic, and the file that keeps them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from traitbench.progress import Pace
from traitbench.runs import paces
from traitbench.runs.paces import Key, Measured, Meter, keep, pace_key, pace_of
from traitbench.types import Continue, Doc, Message, Request, Response, Write

DOC = Doc(task="t", scoring="statement", item="i", trait="t", facet=None, keyed=1)
ASK = (Message(role="user", content="?"),)
KEY = Key("k", "a model on a device")


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    return tmp_path / "paces" / "paces.json"


def test_seconds_are_tokens_over_their_pace() -> None:
    assert Pace(100, 10).seconds(1000, 500, 20) == 10 + 5 + 2
    assert Pace(100, None).seconds(1000, 0, 0) == 10
    assert Pace(None, 10).seconds(0, 500, 20) == 2
    assert Pace(None, 10).seconds(1, 0, 20) is None and Pace(100, None).seconds(1000, 500, 20) is None
    assert Pace().seconds(0, 0, 0) == 0


def test_reading_the_prompts_of_replies_is_taken_off_their_time() -> None:
    assert Measured(read=1000, read_seconds=10, prompts=500, written=20, written_seconds=9).pace == Pace(100, 5)
    assert Measured(prompts=500, written=20, written_seconds=4).pace == Pace(None, 5)
    assert Measured(read=1000, read_seconds=10, prompts=500, written=20, written_seconds=2).pace == Pace(100, 100)
    assert Measured().pace == Pace(None, None)


def answered(clock: list[float], *times: float) -> Iterator[dict[int, Response]]:
    """Batches of one request each, which take `times`."""
    for n, seconds in enumerate(times):
        clock[0] += seconds
        yield {n: Response(tokens=3)}


def test_batches_are_measured_by_kind_and_the_first_is_left_out() -> None:
    score, write = Continue(doc=DOC, messages=ASK, text="x"), Write(doc=DOC, messages=ASK)
    other = Write(doc=DOC, messages=ASK)
    requests: list[Request] = [score, score, write, other, score]
    clock = [0.0]
    meter = Meter({id(score): 50.0, id(write): 40.0}, lambda: clock[0])
    found = list(meter.timed(answered(clock, 100, 2, 5, 70, 3), requests))
    assert [list(batch) for batch in found] == [[0], [1], [2], [3], [4]]
    assert meter.measured == Measured(read=100, read_seconds=5, prompts=40, written=3, written_seconds=5)


def test_what_a_server_bills_counts_as_written() -> None:
    write, clock = Write(doc=DOC, messages=ASK), [0.0]
    meter = Meter({id(write): 1.0}, lambda: clock[0])
    batches: list[dict[int, Response]] = [{0: Response()}, {0: Response(tokens=3, billed=(9, 4))}, {0: Response()}]
    list(meter.timed(batches, [write]))
    assert meter.measured.written == 4


def test_earlier_runs_count_half(file: Path) -> None:
    assert pace_of(KEY) == Pace(None, None)
    keep(KEY, Measured(read=1000, read_seconds=10))
    assert pace_of(KEY) == Pace(100, None)
    keep(KEY, Measured(read=1000, read_seconds=5))
    assert pace_of(KEY) == Pace(1500 / 10, None) and pace_of(Key("other", "")) == Pace(None, None)
    (row,) = json.loads(file.read_text()).values()
    assert row["about"] == "a model on a device"


def test_a_run_that_measured_nothing_writes_nothing(file: Path) -> None:
    keep(KEY, Measured())
    assert not file.exists()


SOUND = {"read": 10, "read_seconds": 1}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "\0\1", '"k"', '{"k": 3}', '{"k": {"read": "10", "read_seconds": 1}}', '{"k": {}}',
     '{"k": {"read": NaN, "read_seconds": 1}}', '{"k": {"read": -1, "read_seconds": 1}}',
     '{"k": {"read": true, "read_seconds": 1}}', '{"k": {"read": 1e999, "read_seconds": 1}}',
     f'{{"k": {{"read": 1{"0" * 400}, "read_seconds": 1}}}}', f'{{"d": {{"read": 1{"0" * 400}, "read_seconds": 1}}}}',
     '{"k": {"read": 1e300, "read_seconds": 1}}', '{"k": {"read": 1, "read_seconds": 1e-300}}',
     '{"k": {"read": 10, "read_seconds": 1, "about": "\\ud800"}}',
     '{"\\ud800": {"read": 10, "read_seconds": 1}}', f'{{"k": {{"read": 1{"0" * 9000}}}}}',
     '{"k": {"read": 10, "read_seconds": null}}', "[" * 100_000, " " * (1 << 21)],
)  # fmt: skip
def test_a_damaged_file_is_no_error_and_is_written_anew(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    assert pace_of(KEY) == Pace(None, None)
    keep(KEY, Measured(**SOUND))
    assert pace_of(KEY) == Pace(10, None)


def test_rows_of_another_version_are_read_as_far_as_they_go(file: Path) -> None:
    file.parent.mkdir()
    file.write_text(json.dumps({"k": {**SOUND, "watts": [3]}, "strange": {"watts": 3}, "version": 9}))
    assert pace_of(KEY) == Pace(10, None)
    keep(Key("new", ""), Measured(**SOUND))
    assert {*json.loads(file.read_text())} == {"k", "new"} and pace_of(KEY) == Pace(10, None)


def test_a_damaged_row_costs_no_other_one(file: Path) -> None:
    keep(KEY, Measured(**SOUND))
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, "a": [SOUND], "b": {**SOUND, "read": "ten"}, "c": {**SOUND, "date": 3}}))
    assert pace_of(KEY) == Pace(10, None) and {pace_of(Key(name, "")) for name in "abc"} == {Pace(None, None)}
    keep(Key("b", "mended"), Measured(**SOUND))
    assert {name: row["about"] for name, row in json.loads(file.read_text()).items()} == {"k": KEY.about, "b": "mended"}


def test_what_is_measured_no_more_fades_and_stops_nothing(file: Path) -> None:
    keep(KEY, Measured(read=10, read_seconds=1))
    for _ in range(120):
        keep(KEY, Measured(written=6, written_seconds=2))
    assert pace_of(KEY) == Pace(None, 3)


def test_the_file_holds_the_newest_only(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "_MOST", 3)
    for n in range(6):
        keep(Key(f"k{n}", ""), Measured(**SOUND))
    assert [*json.loads(file.read_text())] == ["k3", "k4", "k5"]


def test_a_cache_that_cannot_be_written_is_no_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "_WAIT", 0)
    file.parent.write_text("in the way")
    keep(KEY, Measured(**SOUND))
    assert pace_of(KEY) == Pace(None, None)


WRITER = """
import sys
from traitbench.runs.paces import Key, Measured, keep
for n in range(20):
    keep(Key(f"{sys.argv[1]}-{n}", ""), Measured.model_validate_json(sys.argv[2]))
"""


def test_two_writers_lose_nothing(file: Path) -> None:
    sound = Measured(**SOUND).model_dump_json()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(n), sound]) for n in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert {*json.loads(file.read_text())} == {f"{w}-{n}" for w in range(2) for n in range(20)}
    assert {path.name for path in file.parent.iterdir()} == {"paces.json", ".lock"}


LOADED: dict[str, Any] = {
    "backend": "hf",
    "model": "m",
    "weights": "sha256:1",
    "dtype": "float32",
    "template_hash": "t",
}


def test_a_pace_belongs_to_weights_precision_device_and_settings() -> None:
    mine = pace_key(LOADED, "cpu", None, {})
    assert pace_key({**LOADED, "model": "n", "template_hash": "u"}, "cpu", None, {}).digest == mine.digest
    others = [
        *(pace_key({**LOADED, part: "other"}, "cpu", None, {}) for part in ("dtype", "weights", "backend")),
        pace_key(LOADED, "cpu", 4, {}), pace_key(LOADED, "cpu", None, {"packed": False}),
    ]  # fmt: skip
    assert len({key.digest for key in (mine, *others)}) == 6
    served = {"backend": "endpoint", "model": "m", "server": "here/v1", "top": 20}
    assert pace_key(served, None, None, {}).digest != pace_key({**served, "server": "there/v1"}, None, None, {}).digest
