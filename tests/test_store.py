"""The run folder: what survives a kill, what is refused, and that a failed write leaves the old file."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from traitbench.backends.scripted import Respondent
from traitbench.errors import BadData
from traitbench.journal import RunFolder
from traitbench.samples import Sample
from traitbench.store import read_json, read_lines, replacing, write_json, write_lines, write_text
from traitbench.types import Response

ANSWERS = {f"key{i}": Response(option_logprobs=(-0.1 * i, -2.0), prompt_hash="ab") for i in range(5)}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder with five answers."""
    made = RunFolder(tmp_path / "run")
    with made.open() as held:
        assert held == {}
        made.append(dict(list(ANSWERS.items())[:3]))
        made.append(dict(list(ANSWERS.items())[3:]))
    return made


@pytest.fixture
def rows(administer: Any) -> list[Sample]:
    return administer("mini_ipip", Respondent(noise=0.1), scoring=("choice", "statement", "generate"))  # type: ignore[no-any-return]


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may grow beyond 700 bytes: the kernel itself refuses the write half way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def held(folder: RunFolder) -> dict[str, Response]:
    with folder.open() as answers:
        return dict(answers)


def test_what_was_appended_is_held(folder: RunFolder) -> None:
    assert held(folder) == ANSWERS


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_an_incomplete_last_line_is_dropped_and_asked_again(folder: RunFolder, cut: int) -> None:
    journal = folder.path / "responses.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data[:-cut])
    with folder.open() as answers:
        assert answers == {key: ANSWERS[key] for key in list(ANSWERS)[:4]}
        folder.append({"key4": ANSWERS["key4"]})
    assert journal.read_bytes() == data


def test_a_damaged_last_line_is_dropped(folder: RunFolder) -> None:
    journal = folder.path / "responses.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"key": "x", "opt\0\0\0\n')
    assert held(folder) == ANSWERS and journal.read_bytes() == whole


DAMAGE = [b"{", b"[1]", b'{"key": "x", "loglik": "?"}', b'{"loglik": 1.0}', b"\xff", b"", b"[" * 100_000]


@pytest.mark.parametrize("line", DAMAGE)
def test_a_damaged_line_is_set_aside_and_the_others_count(folder: RunFolder, line: bytes) -> None:
    journal = folder.path / "responses.jsonl"
    lines = journal.read_bytes().splitlines()
    lost, lines[2] = lines[2], line
    journal.write_bytes(b"\n".join(lines) + b"\n")
    with folder.open() as answers:
        assert answers == {key: ANSWERS[key] for key in ANSWERS if key != "key2"}
        assert folder.damaged == [3] and "line 3 was damaged" in folder.told
        folder.append({"key2": ANSWERS["key2"]})
    assert (folder.path / "responses.damaged.jsonl").read_bytes() == line + b"\n"
    assert journal.read_bytes().splitlines() == [*lines[:2], *lines[3:], lost]
    assert held(folder) == ANSWERS and folder.damaged == []


def test_a_line_that_was_changed_is_found_whatever_was_changed(folder: RunFolder) -> None:
    """Every byte of every line, one at a time, and lines whose ends were exchanged."""
    journal = folder.path / "responses.jsonl"
    whole = journal.read_bytes()
    lines = whole.splitlines()
    for number, line in enumerate(lines):
        for place in range(0, len(line), 7):
            for bit in (1, 16):
                torn = line[:place] + bytes([line[place] ^ bit]) + line[place + 1 :]
                if b"\n" in torn or torn.endswith(b"\r"):
                    continue
                journal.write_bytes(b"\n".join([*lines[:number], torn, *lines[number + 1 :]]) + b"\n")
                found = held(folder)
                assert found == {k: v for k, v in ANSWERS.items() if k in found} and len(found) == len(ANSWERS) - 1
    ends = [line[-19:] for line in lines]
    journal.write_bytes(
        b"".join(line[:-19] + end + b"\n" for line, end in zip(lines, ends[1:] + ends[:1], strict=True))
    )
    assert held(folder) == {} and len(folder.damaged) == len(lines)


def test_lines_of_before_there_were_checksums_are_read(folder: RunFolder) -> None:
    journal = folder.path / "responses.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "sum"}) + "\n" for row in rows))
    assert held(folder) == ANSWERS and folder.damaged == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_never_kept(folder: RunFolder, number: float) -> None:
    before = (folder.path / "responses.jsonl").read_bytes()
    with folder.open(), pytest.raises(BadData, match=r"not finite.*another dtype"):
        folder.append({"good": ANSWERS["key1"], "bad": Response(loglik=number, tokens=3)})
    assert (folder.path / "responses.jsonl").read_bytes() == before


def test_fresh_keeps_every_old_file(folder: RunFolder) -> None:
    old = (folder.path / "responses.jsonl").read_bytes()
    for _ in range(2):
        with folder.open(fresh=True) as answers:
            assert answers == {}
            folder.append({"new": ANSWERS["key1"]})
    assert (folder.path / "responses.1.jsonl").read_bytes() == old
    assert b"new" in (folder.path / "responses.2.jsonl").read_bytes()
    assert held(folder) == {"new": ANSWERS["key1"]}


def test_a_second_run_is_refused_until_the_first_ends(folder: RunFolder) -> None:
    with folder.open():
        with pytest.raises(BadData, match=r"another run is writing to .*run; wait .*--output_path"):
            held(RunFolder(folder.path))
        script = f"from pathlib import Path; from traitbench.journal import RunFolder; RunFolder(Path({str(folder.path)!r})).open().__enter__()"  # noqa: E501
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert other.returncode == 1 and "another run is writing" in other.stderr
    assert held(RunFolder(folder.path)) == ANSWERS


def test_what_fails_before_anything_is_kept_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "results" / "runs").mkdir(parents=True)
    for place in (tmp_path / "results" / "runs" / "a", tmp_path / "other" / "deep" / "a"):
        with pytest.raises(ValueError, match="refused"), RunFolder(place).open():
            write_json(place / "run.json", {})
            raise ValueError("refused")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["results", "runs"]


@pytest.mark.parametrize("left", ["an answer", "a file", "a folder from before", "a run beside it"])
def test_a_folder_that_holds_anything_stays(tmp_path: Path, left: str) -> None:
    place = tmp_path / "runs" / "a"
    if left == "a folder from before":
        place.mkdir(parents=True)
    made = RunFolder(place)
    with pytest.raises(KeyboardInterrupt), made.open():
        write_json(place / "run.json", {})
        if left == "an answer":
            made.append({"key": ANSWERS["key1"]})
        if left == "a file":
            write_text(place / "notes.txt", "mine")
        if left == "a run beside it":
            (place.parent / "b").mkdir()
        raise KeyboardInterrupt
    assert place.parent.is_dir() and (place / "run.json").is_file() == (left != "a run beside it")
    assert held(made) == ({"key": ANSWERS["key1"]} if left == "an answer" else {})


def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadData, match=r"cannot write to .*part of the path is a file.*--output_path"):
        held(RunFolder(tmp_path / "file" / "run"))
    with pytest.raises(BadData, match="a file of that name is in the way"):
        held(RunFolder(tmp_path / "file"))
    with pytest.raises(BadData, match="--output_path"):
        write_json(tmp_path / "file" / "x.json", {})


def test_a_full_disk_keeps_what_was_whole(folder: RunFolder) -> None:
    """The write stops half way through a line; the message comes through, and the next run goes on."""
    more = {f"more{i}": ANSWERS["key1"] for i in range(20)}
    with small_disk(), pytest.raises(BadData, match="cannot write to"), folder.open():
        folder.append(more)
    assert (folder.path / "responses.jsonl").stat().st_size == 700
    again = held(folder)
    assert ANSWERS.items() < again.items() < (ANSWERS | more).items()
    assert (folder.path / "responses.jsonl").stat().st_size < 700


def test_no_space_says_what_to_do(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadData, match="the disk is full; free some space and run the same command again, it resumes"):
        with folder.open():
            folder.append({"x": ANSWERS["key1"]})
    write = folder.path / "results.json"
    with pytest.raises(BadData, match="the disk is full"):
        write_json(write, {})
    assert not write.exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"a": 1})
    with small_disk(), pytest.raises(BadData, match="cannot write to"):
        write_json(path, {"a": "long" * 200})
    assert read_json(path) == {"a": 1} and list(tmp_path.iterdir()) == [path]
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"a": float("nan")})


def test_a_cut_json_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": [1, 2, 3]})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(BadData, match=r"x\.json, line \d+, column \d+: .*cut short"):
        read_json(path)


@pytest.mark.parametrize("name", ["samples.jsonl", "samples.jsonl.gz"])
def test_samples_come_back_as_they_were(tmp_path: Path, rows: list[Sample], name: str) -> None:
    """Replies may hold line separators that are no ends of lines here."""
    odd = rows[-1].model_copy(update={"resps": [["A\u2028B\u0085C\r\nD é 𝄞"]]})
    write_lines(tmp_path / name, [*rows, odd])
    assert read_lines(tmp_path / name, Sample) == [*rows, odd]


def test_gzip_is_the_same_bytes(tmp_path: Path, rows: list[Sample]) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "b.jsonl.gz"):
        write_lines(tmp_path / name, rows)
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == (tmp_path / "a.jsonl").read_bytes()
    write_lines(tmp_path / "c.jsonl.gz", read_lines(tmp_path / "a.jsonl.gz", Sample))
    kept = [(tmp_path / f"{n}.jsonl.gz").read_bytes() for n in "abc"]
    assert kept[0] == kept[1] == kept[2]


def test_samples_cut_within_a_line_name_it(tmp_path: Path, rows: list[Sample]) -> None:
    path = tmp_path / "samples.jsonl"
    write_lines(path, rows)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadData, match=rf"samples\.jsonl, line {len(rows)} is damaged .*repeat the `traitbench run`"):
        read_lines(path, Sample)


@pytest.mark.parametrize("place", [30, 300, -9])
def test_damaged_gzip(tmp_path: Path, rows: list[Sample], place: int) -> None:
    path = tmp_path / "samples.jsonl.gz"
    write_lines(path, rows)
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(BadData, match=r"cannot read .*samples\.jsonl\.gz"):
        read_lines(path, Sample)
    path.write_bytes(bytes(data)[:200])
    with pytest.raises(BadData, match=r"cannot read .*samples\.jsonl\.gz"):
        read_lines(path, Sample)


def test_failed_calls_are_made_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.open():
        folder.append({"a": Response(status="error", error="lost"), "b": Response(loglik=-1.0, tokens=1)})
    with folder.open() as held:
        assert set(held) == {"b"}
        folder.append({"a": Response(loglik=-2.0, tokens=1)})
    with folder.open() as held:
        assert held["a"].loglik == -2.0


def test_a_device_or_a_pipe_is_written_to_and_nothing_takes_its_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "said")
    reader.join(timeout=60)
    assert heard == [b"said"] and pipe.is_fifo()
    with pytest.raises(OSError, match="it is no regular file"), replacing(pipe):
        pass
    assert pipe.is_fifo() and [path.name for path in tmp_path.iterdir()] == ["pipe"]
