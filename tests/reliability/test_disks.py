"""Disks that are full, read-only or lose power, two writers at once, and a clock that is put back."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from torture import Ended, done, ended, left, size, started, stopped

from traitbench.errors import BadData
from traitbench.journal import RunFolder
from traitbench.runs.finished import current
from traitbench.store import replacing, write_json

RUN = ["run", "--model", "scripted:person", "--tasks", "mini_ipip", "--respondents", "8", "--bootstrap_iters", "20",
       "-o", "out"]  # fmt: skip
DRAW = random.Random(17)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("quiet")
    assert done(RUN, place).code == 0
    return place


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 8 MiB, at `out`."""
    place = tmp_path / "out"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here: root and the right to mount are needed")
    yield tmp_path
    subprocess.run(["umount", "-l", str(place)], check=True)


def mounted(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place / "out")], check=True)


def refused(found: Ended, said: str) -> None:
    """One line, exit code 1."""
    errors = [line for line in found.err.splitlines() if line.startswith("error: ")]
    assert found.code == 1 and len(errors) == 1 and re.search(said, errors[0]), found


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    disk: Path, quiet: Path, whole: bool, counts: Counter[str]
) -> None:
    """At the start, with the journal, or with the samples and results."""
    for share in (0.0, 0.2, 0.5, 0.9, 1.5) if whole else (0.5, 1.5):
        filler = disk / "out" / "filler"
        kept = int(share * size(quiet / "out", "responses.jsonl"))
        filler.write_bytes(b"\0" * (shutil.disk_usage(disk / "out").free - kept))
        refused(done(RUN, disk), r"cannot write to .*: the disk is full; free some space and run the same command")
        filler.unlink()
        assert done(RUN, disk).code == 0
        assert left(disk / "out") == left(quiet / "out")
        for folder in (disk / "out").iterdir():
            shutil.rmtree(folder)
        counts["full disks"] += 1


def test_a_disk_that_became_read_only_is_said_and_nothing_is_lost(
    disk: Path, quiet: Path, counts: Counter[str]
) -> None:
    half = size(quiet / "out", "responses.jsonl") // 2
    assert stopped(RUN, disk, lambda: size(disk / "out", "responses.jsonl") >= half)
    mounted(disk, "ro")
    refused(done(RUN, disk), r"the file system is read-only; choose another folder with --output_path")
    mounted(disk, "rw")
    assert size(disk / "out", "responses.jsonl") >= half
    assert done(RUN, disk).code == 0
    assert left(disk / "out") == left(quiet / "out")
    counts["read-only disks"] += 1


def test_a_power_cut_at_every_byte_of_the_last_lines_loses_those_alone(
    tmp_path: Path, quiet: Path, whole: bool, counts: Counter[str]
) -> None:
    """Cut off, or, as file systems that know the length before the contents leave it, zeros up to the end."""
    source = next((quiet / "out").rglob("responses.jsonl"))
    data = source.read_bytes()
    lines = data.splitlines(keepends=True)[:12]
    data, last = b"".join(lines), len(lines[-1]) + len(lines[-2])
    every = {json.loads(line)["key"]: line for line in lines}
    for cut in range(0, last + 1, 1 if whole else 5):
        for zeros in (0, cut, cut + 7):
            folder = RunFolder(tmp_path / f"{cut}-{zeros}")
            shutil.rmtree(folder.path, ignore_errors=True)
            folder.path.mkdir()
            journal = folder.path / "responses.jsonl"
            journal.write_bytes(data[: len(data) - cut] + b"\0" * zeros)
            with folder.open() as held:
                assert list(held) == list(every)[: len(held)] and len(held) >= 10
                assert len(held) == data[: len(data) - cut].count(b"\n")
                folder.append({key: answer for key, answer in _answers(lines).items() if key not in held})
            with folder.open() as again:
                assert list(again) == list(every) and not folder.damaged
            assert journal.read_bytes() == data
            counts["power cuts"] += 1


def _answers(lines: list[bytes]) -> dict:  # type: ignore[type-arg]
    from traitbench.types import Response

    rows = [json.loads(line) for line in lines]
    return {row.pop("key"): Response.model_validate({k: v for k, v in row.items() if k != "sum"}) for row in rows}


def test_of_two_writers_in_one_folder_one_is_refused_and_the_other_does_not_notice(
    tmp_path: Path, quiet: Path, whole: bool, counts: Counter[str]
) -> None:
    for number in range(4 if whole else 1):
        place = tmp_path / str(number)
        place.mkdir()
        first, second = started(RUN, place), started(RUN, place)
        both = [ended(first), ended(second)]
        codes = sorted(found.code for found in both)
        assert codes in ([0, 1], [0, 0]), both
        for found in both:
            if found.code:
                refused(found, r"another run is writing to out/.*; wait until it ends, or give this one its own folder")
        kept = {name: what for name, what in left(place / "out").items() if "results" not in name}
        assert kept == {name: what for name, what in left(quiet / "out").items() if "results" not in name}
        counts["two writers at once"] += 1


def test_what_was_measured_last_counts_though_the_clock_was_put_back(tmp_path: Path, counts: Counter[str]) -> None:
    assert done(RUN, tmp_path).code == 0
    (folder,) = (tmp_path / "out").iterdir()
    (earlier,) = folder.glob("results_*.json")
    ahead = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H-%M-%S.%f")
    for path in [earlier, *folder.glob("samples_*")]:
        path.rename(path.with_name(path.name.replace(earlier.stem.removeprefix("results_"), ahead)))
    assert done(RUN, tmp_path).code == 0
    newest = max(folder.glob("results_*.json"), key=lambda path: path.stat().st_mtime_ns)
    said: list[str] = []
    assert ahead not in newest.name and current(folder, said.append) == [newest]
    assert len(said) == 1 and ahead in said[0] and "measured earlier" in said[0]
    assert done(["score", str(folder)], tmp_path).code == 0
    counts["clocks put back"] += 1


def test_what_killed_writers_left_is_removed_by_the_next_and_that_of_running_ones_is_not(tmp_path: Path) -> None:
    """Of this machine alone: a disk may be shared."""
    script = (
        "import signal; from pathlib import Path; from traitbench.store import draft, replacing\n"
        "with draft(Path('cache')) as place, replacing(Path('kept.json')) as temporary:\n"
        "    (place / 'large').write_bytes(bytes(1000)); temporary.write_text('half'); print('there', flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"there\n"
        begun = sorted(path.name for path in tmp_path.iterdir())
        assert len(begun) == 2 and all(name.startswith(".") for name in begun)
        elsewhere = begun[1].replace("tmp-", "tmp-0000")
        (tmp_path / elsewhere).write_text("half")
        write_json(tmp_path / "mine.json", 1)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*begun, elsewhere, "mine.json"])
        other.send_signal(signal.SIGKILL)
    write_json(tmp_path / "mine.json", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([elsewhere, "mine.json"])


def test_a_file_whose_writing_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_json(path, 1)
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(BadData):
        write_json(tmp_path / "kept.json" / "below", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"] and path.read_text() == "1\n"
