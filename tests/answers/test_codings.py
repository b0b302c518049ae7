"""Tables coded in another way: refused with the cure, or read as the user says; and what else a pass comes upon."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from traitbench import inventories
from traitbench.answers import tablefiles
from traitbench.answers.analyze import analyze
from traitbench.answers.coding import parse_coding
from traitbench.answers.personscores import score_file
from traitbench.answers.reading import Answers, open_answers
from traitbench.cli.arguments import normalised
from traitbench.errors import BadData, TraitbenchUsage, UnknownName

MINI = inventories.load("mini_ipip")
NAMES = [item.id for item in MINI.items]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def go(rows: Sequence[Sequence[Any]], names: Sequence[str] = NAMES, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in [names, *rows]))
        return path

    return go


def drawn(n: int, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(1).integers(low, high + 1, (n, 20))


def read(answers: Answers) -> np.ndarray:
    return np.concatenate([*answers.batches(True)])


def test_a_table_coded_from_zero_is_refused_with_the_cure(shared: Path) -> None:
    path = shared / "cases" / "zero_based_raw.csv"
    with pytest.raises(BadData, match=r"119 of 150 rows hold a 0 and no answer is 5.*--coding 0-4 .*--missing 0"):
        analyze(path, MINI, keyed=False)
    found = analyze(path, MINI, keyed=False, coding=(0, 4))
    assert (found.n, found.n_complete) == (150, 150)
    given = np.genfromtxt(path, delimiter=",", skip_header=1)
    assert (read(open_answers(path, MINI, coding=(0, 4))) == given + 1).all()


def test_zeros_are_missing_where_the_user_says_so(shared: Path) -> None:
    found = analyze(shared / "cases" / "zero_based_raw.csv", MINI, keyed=False, missing=(0,))
    assert found.n == 150 and found.n_complete == 31


def test_zeros_in_most_rows_are_asked_about_where_a_stray_answer_lets_the_table_pass(write: Write) -> None:
    values = drawn(60, 0, 4)
    values[3, 5] = 5
    answers = open_answers(write(values), MINI)
    read(answers)
    rows = int((values == 0).any(axis=1).sum())
    assert (
        f"0 stands in {rows} of 60 rows: --coding 0-4 where it is the lowest answer, --missing 0 where it is none"
        in (answers.tally.notes())
    )
    told = open_answers(write(values), MINI, missing=(0,))
    read(told)
    assert not [note for note in told.tally.notes() if "--coding 0-4" in note]


def test_a_zero_now_and_then_is_a_missing_answer(write: Write) -> None:
    values = drawn(60, 1, 4)
    values[3, 5] = values[40, 7] = 0
    answers = open_answers(write(values), MINI)
    assert np.isnan(read(answers)).sum() == 2
    assert answers.tally.notes()[0] == "2 cells of 0 read as missing"


@pytest.mark.parametrize(
    ("low", "high", "cure"),
    [(1, 7, "--coding 1-7"), (-2, 2, "--coding -2-2"), (0, 6, "--coding 0-6"), (1, 6, "--coding 1-6")],
)
def test_answers_beyond_the_scale_name_the_cure(low: int, high: int, cure: str, write: Write) -> None:
    path = write(drawn(40, low, high))
    with pytest.raises(BadData, match=rf"is no answer; expected 1 to 5.*takes {cure} and --missing"):
        read(open_answers(path, MINI))
    mapped = read(open_answers(path, MINI, coding=parse_coding(cure.partition(" ")[2])))
    assert (mapped.min(), mapped.max()) == (1, 5)
    assert mapped == pytest.approx(1 + (drawn(40, low, high) - low) * 4 / (high - low))


def test_codes_of_missing_answers(write: Write) -> None:
    values = drawn(40, 1, 5)
    values[[1, 5, 9], [2, 2, 3]] = -9, 99, 99
    with pytest.raises(BadData, match=r"-9 is no answer.*takes --missing -9,99$"):
        read(open_answers(write(values), MINI))
    answers = open_answers(write(values), MINI, missing=(-9, 99))
    assert np.isnan(read(answers)).sum() == 3
    assert answers.tally.notes() == ["3 cells with a code of --missing read as missing"]
    with pytest.raises(BadData, match="6 is no answer; expected 0 to 5"):
        read(open_answers(write([[6] * 20] * 2), MINI, coding=(0, 5)))


def test_a_code_that_is_an_answer_is_warned_of(write: Write) -> None:
    values = drawn(60, 1, 5)
    values[0, 0] = -9
    found = analyze(write(values), MINI, keyed=True, missing=(3, -9))
    (warning,) = [warning for warning in found.warnings if "--missing" in warning and "missing 3" in warning]
    count = (values == 3).sum()
    assert warning.startswith(f"{count} answers of 3 read as missing (--missing 3), though 3 is an answer of the scale")
    assert not any("-9" in each for each in found.warnings)
    assert not any("though" in each for each in analyze(write(values), MINI, keyed=True, missing=(-9,)).warnings)


@pytest.mark.parametrize("code", [float("inf"), float("-inf"), float("nan")])
def test_codes_are_finite(code: float, write: Write) -> None:
    with pytest.raises(TraitbenchUsage, match=rf"--missing {code:g}: expected numbers, as in --missing -9,99"):
        open_answers(write(drawn(3, 1, 5)), MINI, missing=(-9, code))


@pytest.mark.parametrize(("low", "high", "end"), [(1, 4, "5, the highest"), (2, 5, "1, the lowest")])
def test_an_end_of_the_scale_that_nobody_takes(low: int, high: int, end: str, write: Write) -> None:
    few, many = (open_answers(write(drawn(n, low, high), name=f"{n}.csv"), MINI) for n in (40, 60))
    read(few)
    read(many)
    assert few.tally.notes() == [] and f"no answer of 1200 is {end} of the scale" in many.tally.notes()[0]
    assert "--coding LO-HI" in many.tally.notes()[0]
    whole = open_answers(write(drawn(60, 1, 5)), MINI)
    read(whole)
    assert whole.tally.notes() == []


@pytest.mark.parametrize("text", ["4-0", "1-1", "0:4", "x", "0-4-5"])
def test_a_coding_that_is_none(text: str) -> None:
    with pytest.raises(TraitbenchUsage, match=r"--coding .*as in 0-4"):
        parse_coding(text)


def test_negative_values_of_flags() -> None:
    """Argparse would take them for flags."""
    for line in (["--coding", "-2-2"], ["--missing", "-9,99"], ["--coefs", "-1,0,1"]):
        assert normalised(["analyze", *line]) == ["analyze", "=".join(line)]
    for line in (["--missing", "-9"], ["--effect", "-1.5"], ["--raw", "-x"], ["--missing=-9,99", "-1,2"]):
        assert normalised(["analyze", *line]) == ["analyze", *line]


# --- Blank rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [None, 512])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_blank_rows_are_left_out_with_a_word(
    block: int | None, kind: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that hold an id, NA or 0 are people without an answer; only empty ones are none."""
    if block:
        monkeypatch.setattr(tablefiles, "_BLOCK", block)
        monkeypatch.setattr(tablefiles, "_ROWS", 7)
    people = drawn(60, 1, 5).tolist()
    rows: list[list[Any]] = [[f"p{i}", *row] for i, row in enumerate(people)]
    rows[10:10] = [[""] * 21, ["x", *[""] * 20], ["", *[0] * 20], [""] * 21]
    rows += [[""] * 21, [" ", *[""] * 20]]
    path = write(rows, ["who", *NAMES])
    if kind == "parquet":
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))
        path = path.with_suffix(".parquet")
        parquet.write_table(table, path)
    answers = open_answers(path, MINI, id="WHO")
    batches = [*answers.read(True)]
    assert (len(batches) > 3) == (block is not None)
    numbers = [int(n) for batch in batches for n in batch.rows]
    assert numbers == [*range(1, 11), 12, 13, *range(15, 65)]
    ids = [id for batch in batches if batch.ids is not None for id in batch.ids.to_pylist()]
    assert ids == [row[0] for row in rows if row[0] or row[1] == 0][:62] and "" in ids
    assert answers.tally.notes() == [
        "4 blank rows left out", "2 rows with an answer to no item, kept", "20 cells of 0 read as missing",
        "1 row without an id",
    ]  # fmt: skip
    values = np.concatenate([batch.values for batch in batches])
    assert (values[[i for i in range(62) if i not in (10, 11)]] == people).all()


def test_blank_rows_do_not_count_as_people(shared: Path, tmp_path: Path) -> None:
    whole = (shared / "cases" / "missing_at_random_raw.csv").read_text()
    path = tmp_path / "t.csv"
    path.write_text(whole + ("," * 19 + "\n") * 7)
    found = analyze(path, MINI, keyed=False)
    assert found.n == 300 and "7 blank rows left out" in found.notes


@pytest.mark.parametrize("line", [" ", "   ", "\t", ",", " , ,", "," * 30])
@pytest.mark.parametrize("place", [1, 20, 41])
def test_a_line_of_spaces_is_a_blank_row(line: str, place: int, write: Write) -> None:
    """Though it has fewer or more cells than there are columns; read twice, it counts once."""
    people = drawn(40, 1, 5)
    path = write(people)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:place], line, *lines[place:]]) + ("" if place == 41 else "\n"))
    answers = open_answers(path, MINI)
    for _ in range(2):
        assert (read(answers) == people).all()
        assert answers.tally.notes() == ["1 blank row left out"] and answers.tally.rows == 40
    path.write_text(path.read_text().rstrip() + "\n1,2\n")
    with pytest.raises(BadData, match=r"row 41 below the header \(line 4[23]\) has 2 cells"):
        read(open_answers(path, MINI))


# --- Ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ids_are_kept_and_repeated_ones_said(suffix: str, write: Write, tmp_path: Path) -> None:
    ids = [f"00{i}" for i in range(30)]
    ids[7] = ids[9] = "003"
    path = write([[id, *row] for id, row in zip(ids, drawn(30, 1, 5), strict=True)], ["case", *NAMES])
    scores = tmp_path / f"scores{suffix}"
    answers = open_answers(path, MINI, id="case")
    assert answers.ignored == ()
    with score_file(scores, MINI, answers.items, id=answers.id) as write_batch:
        for batch in answers.read(True):
            write_batch(batch, ())
    texts = csv.ConvertOptions(column_types={"case": pa.string()})
    table = csv.read_csv(scores, convert_options=texts) if suffix == ".csv" else parquet.read_table(scores)
    assert table.column_names[:2] == ["case", "row"] and table["case"].to_pylist() == ids
    assert "1 id more than once, every row kept: '003' (3 times)" in answers.tally.notes()


def test_ids_that_cannot_be(write: Write, tmp_path: Path) -> None:
    path = write([["a", *row] for row in drawn(30, 1, 5)], ["row", *NAMES])
    with pytest.raises(UnknownName, match=r"unknown column of .*'rwo'; did you mean 'row'.*--id"):
        open_answers(path, MINI, id="rwo")
    with pytest.raises(TraitbenchUsage, match="--id mini_3 is the answers to an item"):
        open_answers(path, MINI, id="mini_3")
    with pytest.raises(BadData, match="--id row has the name of a column of the scores"):
        analyze(path, MINI, keyed=True, scores=tmp_path / "s.csv", id="row")
    twice = write([["a", "b", *row] for row in drawn(3, 1, 5)], ["id", "ID", *NAMES])
    assert open_answers(twice, MINI, id="ID").id == "ID"
    with pytest.raises(TraitbenchUsage, match="the name of 2 columns"):
        open_answers(twice, MINI, id="Id")


def test_the_command_takes_all_of_it(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from traitbench.cli import main

    names = [f"Q{i}" for i in range(1, 21)]
    rng = np.random.default_rng(3)
    lean = rng.normal(size=(80, 5))
    place = {scale: i for i, scale in enumerate("OCEAN")}
    columns = [i.keyed * lean[:, place[i.scale]] + rng.normal(size=80) for i in MINI.items]
    values = np.clip(np.rint(np.stack(columns, axis=1)), -2, 2).astype(int)
    path = write([[f"p{i}", *row] for i, row in enumerate(values)], ["who", *names])
    (tmp_path / "map.json").write_text(json.dumps(dict(zip(names, NAMES, strict=True))))
    line = [
        "analyze", str(path), "--inventory", "mini_ipip", "--raw", "--columns", str(tmp_path / "map.json"),
        "--coding", "-2-2", "--id", "who", "--scores", str(tmp_path / "s.csv"), "--format", "json",
    ]  # fmt: skip
    assert main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_complete"] == 80 and found["scales"]["E"]["alpha"] > 0.5 and found["ignored_columns"] == []
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0].startswith('"who","row",') and lines[1].startswith('"p0",1,')
