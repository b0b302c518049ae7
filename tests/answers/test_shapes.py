"""One table in the shapes that survey programs write: the same answers, whatever stands around them."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from traitbench import inventories
from traitbench.answers import spss
from traitbench.answers.analyze import analyze
from traitbench.answers.columns import known_names, load_map
from traitbench.answers.reading import Answers, open_answers
from traitbench.errors import BadData, MissingExtra, UnknownName
from traitbench.inventories import Inventory

MINUS = {"A1", "C4", "C5", "E1", "E2", "O2", "O5"}
NAMES = [f"{scale}{i}" for scale in "ACENO" for i in range(1, 6)]
TRAITS = ("agreeableness", "conscientiousness", "extraversion", "neuroticism", "openness")

Write = Callable[[Sequence[Sequence[Any]]], Path]


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """Twenty-five items on a scale from 1 to 6."""
    items = [
        {"id": n, "text": f"I do {chr(97 + i) * 3}", "scale": n[0], "keyed": -1 if n in MINUS else 1}
        for i, n in enumerate(NAMES)
    ]
    content = {
        "id": "own25", "licence": "CC0", "citation": "Us (2025).", "statement": {"prefix": ""}, "items": items,
        "scales": dict(zip("ACENO", TRAITS, strict=True)),
        "response_scale": {"min": 1, "max": 6, "labels": list("123456")},
    }  # fmt: skip
    path = tmp_path / "own25.json"
    path.write_text(json.dumps(content))
    return inventories.load(path)


@pytest.fixture
def answers() -> np.ndarray:
    """(400, 25) raw answers with gaps (NaN)."""
    rng = np.random.default_rng(4)
    key = np.array([-1 if n in MINUS else 1 for n in NAMES])
    lean = np.repeat(rng.normal(size=(400, 5)), 5, axis=1) * key + rng.normal(size=(400, 25))
    values = np.clip(np.rint(3.5 + lean), 1, 6)
    values[rng.random(values.shape) < 0.03] = np.nan
    return values


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def go(rows: Sequence[Sequence[Any]], delimiter: str = ",") -> Path:
        path = tmp_path / "t.csv"
        with path.open("w", newline="") as handle:
            csv.writer(handle, delimiter=delimiter).writerows(rows)
        return path

    return go


def cells(values: np.ndarray) -> list[list[str]]:
    return [["" if np.isnan(v) else f"{v:g}" for v in row] for row in values]


def read(found: Answers) -> np.ndarray:
    return np.concatenate([*found.batches(True)])


def test_three_shapes_give_one_analysis(
    inventory: Inventory, answers: np.ndarray, write: Write, tmp_path: Path
) -> None:
    """Plain text, a Qualtrics export, and SPSS with a declared missing code, system-missing cells and a text column."""
    plain = analyze(write([NAMES, *cells(answers)]), inventory, keyed=False)
    lead = ["StartDate", "ResponseId"]
    labels = [["Start Date", "Response ID", *[f'"{n}"\n- please,\nanswer' for n in NAMES]]]
    labels.append(['{"ImportId":"startDate"}', '{"ImportId":"_recordId"}', *[f'{{"ImportId":"Q_{n}"}}' for n in NAMES]])
    rows = [["2024-01-01 10:00", f"R_{i}", *row] for i, row in enumerate(cells(answers))]
    qualtrics = analyze(write([lead + NAMES, *labels, *rows]), inventory, keyed=False, id="ResponseId")

    frame = pd.DataFrame(answers, columns=[n.lower() for n in NAMES])
    gaps = np.flatnonzero(np.isnan(answers[:, 0]))
    assert len(gaps) > 4
    frame.loc[gaps[::2], "a1"] = 9.0
    frame.insert(0, "Kommentar", ["grüße"] * 400)
    path = tmp_path / "t.sav"
    pyreadstat.write_sav(frame, path, missing_ranges={"a1": [9]}, variable_value_labels={"a1": {1: "never", 9: "?"}})
    sav = analyze(path, inventory, keyed=False)

    assert plain.n == 400 and plain.notes == [] and 100 < plain.n_complete < 300
    assert qualtrics.ignored_columns == ["StartDate"] and "2 rows of labels" in qualtrics.notes[0]
    assert sav.ignored_columns == ["Kommentar"] and sav.notes == []
    for found in (qualtrics, sav):
        assert found.model_copy(update={"notes": [], "ignored_columns": []}) == plain


def test_spss_in_pieces(
    inventory: Inventory, answers: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.zsav"
    frame = pd.DataFrame(answers, columns=NAMES)
    frame.insert(0, "person", [f"p{i} " for i in range(400)])
    frame.insert(1, "number", np.arange(400.0))
    pyreadstat.write_sav(frame, path, compress=True)
    for rows in (33, 400, 65_536):
        monkeypatch.setattr(spss, "_ROWS", rows)
        assert np.array_equal(read(open_answers(path, inventory)), answers, equal_nan=True)
    for id, expected in (("person", "p399"), ("number", "399")):
        batches = [*open_answers(path, inventory, id=id).read(True)]
        assert batches[-1].ids is not None and batches[-1].ids.to_pylist()[-1] == expected


def test_spss_that_cannot_be_read(inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.sav"
    pyreadstat.write_sav(pd.DataFrame({"A1": ["often", "never"]}), path)
    with pytest.raises(BadData, match="row 1 below the header, column 'A1': 'often' is no answer"):
        read(open_answers(path, inventory))
    path.write_bytes(b"$FL2 and no more")
    with pytest.raises(BadData, match="cannot read"):
        open_answers(path, inventory)
    pyreadstat.write_sav(pd.DataFrame({"A1": np.ones(400)}), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BadData, match="damaged or cut short"):
        read(open_answers(path, inventory))
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(MissingExtra, match=r"pip install 'traitbench\[tables\]'"):
        open_answers(path, inventory)


# --- Labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([NAMES, [f"(1-6) {n}" for n in NAMES]], r"a row of labels .*\('\(1-6\) A1'\)"),
        ([NAMES, ["Response", *[""] * 24], ["label"] * 25], "2 rows of labels"),
        ([["How do you see yourself?", *[""] * 24], NAMES], "the column names are in row 2"),
        ([["Q1"] * 25, NAMES, ["x"] * 25], "the column names are in row 2"),
    ],
)
def test_rows_of_labels_are_passed_over(
    rows: list[list[str]], note: str, inventory: Inventory, answers: np.ndarray, write: Write
) -> None:
    found = open_answers(write([*rows, *cells(answers)]), inventory)
    assert np.array_equal(read(found), answers, equal_nan=True)
    assert re.search(note, " ".join(found.notes))


def test_labels_before_people_without_answers(inventory: Inventory, answers: np.ndarray, write: Write) -> None:
    head, rows = ["name", *NAMES], [["x", *row] for row in cells(answers)]
    found = open_answers(write([head, ["", *NAMES], ["y", *[""] * 25], *rows]), inventory)
    assert read(found).shape == (401, 25) and len(found.notes) == 1


@pytest.mark.parametrize("words", [1, 5, 12])
def test_words_for_answers_are_no_labels(words: int, inventory: Inventory, write: Write) -> None:
    """A table of words throughout, and one cell with a word, stay errors with their place."""
    with pytest.raises(BadData, match="row 1 below the header, column 'A1': 'agree' is no number"):
        read(open_answers(write([NAMES, *[["agree"] * 25] * words]), inventory))
    with pytest.raises(BadData, match="row 1 below the header, column 'A2': 'agree' is no number"):
        read(open_answers(write([NAMES, ["1", "agree", *["3"] * 23], ["1"] * 25]), inventory))


# --- Other names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.json", '{"q one": "A1", "q2": "O5"}'),
        ("map.csv", "column,item\nq one,A1\nq2,O5\n"),
        ("map.txt", "\ufeffq one, A1\n\nq2,O5"),
    ],
)
def test_a_map_names_columns(name: str, content: str, inventory: Inventory, write: Write, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    columns = load_map(tmp_path / name)
    assert columns == {"q one": "A1", "q2": "O5"}
    found = open_answers(write([["Q2", "C3", "q one"], [1, 2, 3], [4, 5, 6]]), inventory, columns=columns)
    assert [item.id for item in found.items] == ["A1", "C3", "O5"] and found.ignored == ()
    assert read(found).tolist() == [[3, 2, 1], [6, 5, 4]]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "is empty"), ("{}", "is empty"), ("{", "Expecting"), ('["a"]', "entry 1"), ('{"q": 3}', "entry 1"),
        ("q,A1,x\n", "entry 1"), ("q\n", "entry 1"), ("q,A1\nq,A2\n", "'q' twice"), ('{"q": "A1", "q": "A2"}', "twice"),
    ],
)  # fmt: skip
def test_a_map_that_is_none(content: str, match: str, tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text(content)
    with pytest.raises(BadData, match=rf"--columns .*{match}"):
        load_map(path)
    with pytest.raises(BadData, match="cannot read --columns"):
        load_map(tmp_path / "none")


def test_a_map_that_does_not_fit(inventory: Inventory, write: Write) -> None:
    path = write([["q1", "q2"], [1, 2]])
    with pytest.raises(UnknownName, match=r"unknown item of own25 'A9'; (did you mean|known:).*--columns"):
        open_answers(path, inventory, columns={"q1": "A9"})
    with pytest.raises(UnknownName, match=r"unknown column of .*'q3'; (did you mean|known:).*--columns"):
        open_answers(path, inventory, columns={"q3": "A1"})
    with pytest.raises(BadData, match="'A1' two columns, 'q1' and 'q2'"):
        open_answers(path, inventory, columns={"q1": "A1", "q2": "A1"})
    with pytest.raises(BadData, match="--columns MAP"):
        open_answers(path, inventory)


def test_known_names_are_items_each_once() -> None:
    for name, scales in (("ipip_50", "ENACO"), ("sd3", "MNP")):
        inventory = inventories.load(name, texts=False)
        (columns,) = known_names(inventory).values()
        assert sorted(columns.values()) == sorted(item.id for item in inventory.items)
        letter = {item.id: item.scale for item in inventory.items}
        assert all(letter[item] == column[0] for column, item in columns.items())
        assert list(dict.fromkeys(column[0] for column in columns)) == list(scales)


@pytest.mark.parametrize(
    ("name", "file", "n", "first"),
    [
        ("ipip_50", "openpsych_ipip50.tsv.gz", 19_719, "E1 is ipip50_1"),
        ("sd3", "openpsych_sd3.tsv.gz", 18_192, "sd3_M1"),
    ],
)
def test_data_of_open_psychometrics_as_it_is(name: str, file: str, n: int, first: str, shared: Path) -> None:
    """Its own column names, tabs, and 0 where an answer is missing; a table by item ids gives the same."""
    path, inventory = shared / "data" / "human" / file, inventories.load(name, texts=False)
    found = analyze(path, inventory, keyed=False)
    assert found.n == n and found.missing_items == [] and first in found.notes[0]
    assert all(scale.alpha is not None and scale.alpha > 0.75 for scale in found.scales.values())
    with gzip.open(path, "rt") as handle:
        names, *rows = csv.reader(handle, delimiter="\t")
    (columns,) = known_names(inventory).values()
    values = np.array([[float(row[names.index(column)]) for column in columns] for row in rows])
    values[values == 0] = np.nan
    order = [list(columns.values()).index(item.id) for item in inventory.items]
    assert np.array_equal(read(open_answers(path, inventory)), values[:, order], equal_nan=True)
