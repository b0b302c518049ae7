"""Tables of answers in every form they come in, and what is wrong with them, with its place.

Over 300 lines: one reader, whose forms and faults share one small table.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from traitbench import inventories
from traitbench.answers import tablefiles
from traitbench.answers.analyze import analyze
from traitbench.answers.reading import Answers, open_answers
from traitbench.errors import BadData
from traitbench.inventories import Inventory

VALUES = [[1, 5, 3], [2, None, 4], [5, 1, None], [None, None, 2], [4, 4, 4]]
TABLE = np.array([[np.nan if v is None else v for v in row] for row in VALUES])
NAMES = ("q1", "q2", "q3")

WORDS = (".", "#N/A", "N/A", "n/a", "NULL", "null", "None", " NA", "NA ", "   ", '"#N/A"')

Make = Callable[..., Inventory]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An inventory of plus, minus, plus items on a scale of the caller's."""

    def go(low: int = 1, high: int = 5, names: tuple[str, ...] = NAMES) -> Inventory:
        labels = [str(v) for v in range(low, high + 1)]
        words = ("hum", "run", "sing")
        items = [
            {"id": name, "text": f"I {words[i]}", "scale": "E", "keyed": -1 if i == 1 else 1}
            for i, name in enumerate(names)
        ]
        content = {
            "id": "own", "licence": "CC0", "citation": "Us (2025).", "statement": {"prefix": ""},
            "scales": {"E": "extraversion"}, "response_scale": {"min": low, "max": high, "labels": labels},
            "items": items,
        }  # fmt: skip
        path = tmp_path / "own.json"
        path.write_text(json.dumps(content))
        return inventories.load(path)

    return go


def text(delimiter: str = ",", missing: str = "", end: str = "\n") -> str:
    rows = [[missing if v is None else str(v) for v in row] for row in VALUES]
    return end.join(delimiter.join(row) for row in [list(NAMES), *rows]) + end


def read(answers: Answers, keyed: bool = True) -> np.ndarray:
    return np.concatenate([*answers.batches(keyed)])


def opened(content: str | bytes, inventory: Inventory, folder: Path, name: str = "table.csv") -> Answers:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_answers(path, inventory)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("missing", ["", "NA", "NaN", "nan", "0", " ", '""', "0.0", *WORDS])
def test_separators_and_missing_answers(delimiter: str, missing: str, make: Make, tmp_path: Path) -> None:
    assert np.array_equal(read(opened(text(delimiter, missing), make(), tmp_path)), TABLE, equal_nan=True)


@pytest.mark.parametrize(
    "content",
    [
        text(end="\r\n"), "\ufeff" + text(), text().rstrip("\n"), text().replace("5", "5.0"),
        text().replace("5", '"5"'), text().replace("\n", "\n\n"), text().replace("q1", " q1 ").replace(",5", ", 5 "),
        text().replace("q2", '"q2"'),
    ],
)  # fmt: skip
def test_spellings_of_a_table(content: str, make: Make, tmp_path: Path) -> None:
    assert np.array_equal(read(opened(content, make(), tmp_path)), TABLE, equal_nan=True)


def test_gzip_is_told_by_content(make: Make, tmp_path: Path) -> None:
    found = opened(gzip.compress(text("\t").encode()), make(), tmp_path, "table.dat")
    assert np.array_equal(read(found), TABLE, equal_nan=True)


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(21, 1), pa.string(),
     pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int8(), pa.int64())],
)  # fmt: skip
def test_parquet_of_every_kind(kind: pa.DataType, make: Make, tmp_path: Path) -> None:
    columns = {}
    for i, name in enumerate(NAMES):
        values = [row[i] for row in VALUES]
        worded = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_string(worded) or pa.types.is_large_string(worded):
            words = [[" NA", "None", "."][i] if v is None else str(v) for v in values]
            columns[name] = pa.array(words, worded)
        else:
            columns[name] = pa.array(values).cast(worded)
        if pa.types.is_dictionary(kind):
            columns[name] = columns[name].dictionary_encode()
    path = tmp_path / "table.csv"  # told by content
    parquet.write_table(pa.table({"other": ["x"] * 5, **columns}), path)
    found = open_answers(path, make())
    assert found.ignored == ("other",)
    assert np.array_equal(read(found), TABLE, equal_nan=True)


def test_minus_keyed_items_of_a_raw_table_are_reversed(make: Make, tmp_path: Path) -> None:
    expected = TABLE.copy()
    expected[:, 1] = 6 - TABLE[:, 1]
    assert np.array_equal(read(opened(text(), make(), tmp_path), keyed=False), expected, equal_nan=True)


def test_zero_is_an_answer_where_the_scale_has_it(make: Make, tmp_path: Path) -> None:
    found = read(opened("q1,q2,q3\n0,3,-3\nNA,0,1\n", make(-3, 3), tmp_path), keyed=False)
    assert np.array_equal(found, [[0, -3, -3], [np.nan, 0, 1]], equal_nan=True)


def test_averaged_answers_keep_their_digits(make: Make, tmp_path: Path) -> None:
    found = read(opened("q1,q2,q3\n1.1,2,3\n", make(), tmp_path), keyed=False)
    assert found.dtype == np.float64 and found.tolist() == [[1.1, 4, 3]]
    assert read(opened(text(), make(), tmp_path)).dtype == np.float32


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_batches_follow_one_another(name: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablefiles, "_BLOCK", 64)
    monkeypatch.setattr(tablefiles, "_ROWS", 7)
    numbers = np.random.default_rng(0).integers(1, 6, (100, 3))
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("q1,q2,q3\n" + "".join(",".join(map(str, row)) + "\n" for row in numbers))
    else:
        parquet.write_table(pa.table(dict(zip(NAMES, numbers.T, strict=True))), path)
    batches = [*open_answers(path, make()).batches(True)]
    assert len(batches) > 5 and (np.concatenate(batches) == numbers).all()


def test_other_columns_may_hold_anything(make: Make, tmp_path: Path) -> None:
    content = 'q2,remark,q1,remark,q3\n5,"a, ""b""\nc",1,\xe9,3\n'.encode("latin-1")
    found = opened(content, make(), tmp_path)
    assert found.ignored == ("remark", "remark") and found.missing == ()
    assert read(found).tolist() == [[1, 5, 3]]


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ("Zoë", "Zoé", "Ωmega")),
        ("cp1252", ("Zoë", "Zoé", "5 € “x”")),
        ("latin-1", ("Zoë", "Zoé", "\x81", "Ã©")),
    ],
)
def test_names_and_ids_are_kept_in_every_encoding(
    encoding: str, names: tuple[str, ...], squeezed: bool, make: Make, tmp_path: Path
) -> None:
    """The first two differ in one byte above 127; cp1252 lacks byte 81."""
    head = ",".join(["wér", "wèr", *NAMES])
    content = "".join(f"{line}\n" for line in [head, *(f"{name},x,1,2,3" for name in names)]).encode(encoding)
    path, scores = tmp_path / "t.csv", tmp_path / "s.csv"
    path.write_bytes(gzip.compress(content) if squeezed else content)
    found = analyze(path, make(), keyed=True, scores=scores, id="wér")
    assert found.ignored_columns == ["wèr"]
    with scores.open(encoding="utf-8", newline="") as handle:
        assert [row["wér"] for row in csv.DictReader(handle)] == [*names]
    said = [note for note in found.notes if "no UTF-8" in note]
    assert said == [] if encoding == "utf-8" else f"read as {encoding};" in said[0]


def test_a_header_over_two_lines(make: Make, tmp_path: Path) -> None:
    assert read(opened('q1,"how\nold",q3\n1,2,3\n', make(), tmp_path)).tolist() == [[1, 3]]


def test_the_separator_is_the_one_that_finds_items(make: Make, tmp_path: Path) -> None:
    found = opened("q1;a,b,c,d;q3\n1;x;2\n", make(), tmp_path)
    assert read(found).tolist() == [[1, 2]] and found.missing == ("q2",)


def test_empty_lines_are_no_people(make: Make, tmp_path: Path) -> None:
    assert read(opened('q3\n1\n\n2\n""\n', make(), tmp_path)).tolist() == [[1], [2]]


def test_case_matters_only_where_no_name_is_exact(make: Make, tmp_path: Path) -> None:
    assert read(opened("Q1,Q2,q3\n1,2,3\n", make(), tmp_path)).tolist() == [[1, 2, 3]]
    found = opened("q1,Q1,q2,q3\n1,5,2,3\n", make(), tmp_path)
    assert read(found).tolist() == [[1, 2, 3]] and found.ignored == ("Q1",)
    both = make(names=("q1", "Q1", "q3"))
    assert opened("q1,q3\n1,2\n", both, tmp_path).missing == ("Q1",)


def test_left_out_items_are_not_read(make: Make, tmp_path: Path) -> None:
    found = opened(text(), make(), tmp_path).without({"q2"})
    assert found.missing == ("q2",) and read(found).shape == (5, 2)


def header(numbers: range, letter: str = "") -> str:
    return ",".join(f"{letter}{n}" for n in numbers) + "\n" + ",".join("3" for _ in numbers) + "\n"


@pytest.mark.parametrize("letter", ["i", "I", ""])
def test_item_numbers_of_the_ipip_neo(letter: str, tmp_path: Path) -> None:
    inventory = inventories.load("ipip_neo_300")
    found = opened(header(range(1, 301), letter), inventory, tmp_path)
    assert [item.number for item in found.items] == [column + 1 for column in found.columns] == [*range(1, 301)]
    assert found.missing == found.notes == ()


@pytest.mark.parametrize("letter", ["i", ""])
def test_the_short_form_in_a_long_table_goes_by_the_long_numbers(letter: str, tmp_path: Path) -> None:
    """i31 of the IPIP-NEO-120 is not i31 of the IPIP-NEO-300."""
    inventory = inventories.load("ipip_neo_120")
    found = opened(header(range(1, 301), letter), inventory, tmp_path)
    assert [item.number_300 for item in found.items] == [column + 1 for column in found.columns]
    assert len(found.items) == 120 and "IPIP-NEO-300" in found.notes[0]
    short = opened(header(range(1, 121), letter), inventory, tmp_path)
    assert [item.number for item in short.items] == [column + 1 for column in short.columns] and short.notes == ()


def test_a_short_table_is_remarked_on_for_the_long_form(tmp_path: Path) -> None:
    found = opened(header(range(1, 121), "i"), inventories.load("ipip_neo_300"), tmp_path)
    assert len(found.missing) == 180 and "--inventory ipip_neo_120" in found.notes[0]


def test_numbers_are_no_names_elsewhere(make: Make, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no column of own"):
        opened("1,2,3\n1,2,3\n", make(), tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("a,b\n1,2\n", r"no column of own, only 'a', 'b'; expected item ids \(q1 to q3\).*--inventory"),
        ("q1,q2,q1\n1,2,3\n", r"2 columns of item 'q1' \(columns 1 and 3\)"),
        ("Q1,q2,Q1\n1,2,3\n", "2 columns of item 'q1'"),
        ("q1,q2,q3\n1,2,3\n1,6,3\n", r"row 2 below the header, column 'q2': 6 is no answer; expected 1 to 5"),
        ("q1,q2,q3\n1,2,3\n1,2,-9\n", r"row 2 .*column 'q3': -9 is no answer.*or empty it"),
        ("q1,q2,q3\n1,2,3\n0.5,2,3\n", r"row 2 .*column 'q1': 0.5 is no answer"),
        ("q1,q2,q3\n1,inf,3\n", r"row 1 .*column 'q2': inf is no answer"),
        ("q1,q2,q3\n1,2,3\n\n1,agree,3\n", r"row 2 .*column 'q2': 'agree' is no number.*correct the cell"),
        ("q1;q2;q3\n1;2;3,5\n", r"row 1 .*column 'q3': '3,5' is no number; expected a decimal point, not a comma"),
        ("q1\tq2\tq3\n5,0\t2,0\t3,0\n1\t2\t3\n", r"row 1 .*column 'q1': '5,0' is no number; expected a decimal point"),
        ("q1,q2,q3\n1,     ,3\n", r"row 1 .*column 'q2': '     ' is no number.*correct the cell"),
        ("q1,q2,q3\n1,2,3\n1,2\n", r"row 2 .*\(line 3\) has 2 cells, but the header has 3"),
        ("q1,q2,q3\n1,1,2,3\n", r"row 1 .*has 4 cells"),
        ("", "is empty; expected a table"),
        ("\n\n", "is empty"),
        (b"PK\x03\x04rest", "workbook.*save it as CSV"),
        ("q1,q2\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"PAR1 and no more", "cannot read"),
        (b"\x1f\x8b\x08nothing", "cannot read"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_answers(content: str | bytes, match: str, make: Make, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=match):
        read(opened(content, make(), tmp_path))


def test_the_row_counts_over_batches(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablefiles, "_BLOCK", 64)
    rows = "1,2,3\n" * 99
    with pytest.raises(BadData, match=r"row 100 .*'q3': 7 is no answer"):
        read(opened(f"q1,q2,q3\n{rows}1,2,7\n", make(), tmp_path))
    with pytest.raises(BadData, match=r"row 100 .*'q3': 'x' is no number"):
        read(opened(f"q1,q2,q3\n{rows}1,2,x\n", make(), tmp_path))


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.array([1, 6]), "row 2 .*'q1': 6 is no answer"),
        (pa.array(["1", "yes"]), "row 2 .*'q1': 'yes' is no answer"),
        (pa.array([None, True]), "row 2 .*'q1': True is no answer"),
        (pa.array([[1], [2]]), r"row 1 .*'q1': \[1\] is no answer"),
    ],
)
def test_what_is_no_answer_in_parquet(column: pa.Array, match: str, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table({"q1": column}), path)
    with pytest.raises(BadData, match=match):
        read(open_answers(path, make()))


def test_a_cut_file(make: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = "".join(",".join(map(str, row)) + "\n" for row in rng.integers(1, 6, (5000, 3)))
    whole = gzip.compress(f"q1,q2,q3\n{lines}".encode())
    with pytest.raises(BadData, match=r"cannot read .*damaged or cut short"):
        read(opened(whole[: len(whole) // 2], make(), tmp_path))
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table({"q1": rng.integers(1, 6, 5000)}), path)
    path.write_bytes(path.read_bytes()[:200] + bytes(400) + path.read_bytes()[600:])
    with pytest.raises(BadData, match="cannot read"):
        read(open_answers(path, make()))


def test_no_file(make: Make, tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, Path("/dev/null")):
        with pytest.raises(BadData, match="cannot read"):
            open_answers(path, make())


@pytest.mark.parametrize("content", ["q1,q2,q3\n", "q1,q2,q3"])
def test_a_header_without_rows(content: str, make: Make, tmp_path: Path) -> None:
    assert [*opened(content, make(), tmp_path).batches(True)] == []
