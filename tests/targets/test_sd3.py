"""Persons by their answers to the Short Dark Triad: the two halves, what a table may hold, and who is drawn."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from traitbench.errors import BadData
from traitbench.targets import persons, sd3
from traitbench.targets.persons import dark

Write = Callable[..., Path]
NAMES = [item.id.removeprefix("sd3_") for item in sd3.key()]
MINUS = np.array([item.keyed == -1 for item in sd3.key()])


def people(n: int, seed: int = 0) -> np.ndarray:
    """Raw answers (n, 27) of people with a level on each scale."""
    rng = np.random.default_rng(seed)
    scales = [item.scale for item in sd3.key()]
    levels = {scale: rng.normal(0, 1, n) for scale in dict.fromkeys(scales)}
    signed = np.where(MINUS, -1, 1)
    values = 3 + np.column_stack([levels[s] for s in scales]) * signed + rng.normal(0, 0.8, (n, 27))
    return np.clip(np.rint(values), 1, 5)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(
        raw: np.ndarray, name: str = "me.tsv", names: list[str] | None = None, ids: list[str] | None = None
    ) -> Path:
        head = [*(["id"] if ids else []), *(names or NAMES), "country"]
        lines = ["\t".join(head)]
        for place, row in enumerate(raw):
            cells = ["" if np.isnan(v) else f"{v:g}" for v in row]
            lines.append("\t".join([*([ids[place]] if ids else []), *cells, "NL"]))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return made


@pytest.fixture
def public(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Forty invented people in the place of the public answers; the first three may not be drawn."""
    raw = people(40)
    raw[0, 4], raw[1, :10], raw[2] = 0, 4, 3
    write(raw, "data/human/openpsych_sd3.tsv.gz")
    monkeypatch.setenv("TRAITBENCH_DATA", str(tmp_path))
    return raw


def test_halves_are_balanced_by_scale_and_key() -> None:
    known, test = sd3.split()
    assert {item.id for item in known} == set(sd3.KNOWN) == set(sd3.halved()), "as drawn"
    assert sd3.halved(1) != sd3.KNOWN
    assert [*known, *test] != [*sd3.key()] and {*known, *test} == {*sd3.key()} and not {*known} & {*test}
    seen, tested = (Counter((item.scale, item.keyed) for item in half) for half in (known, test))
    assert seen.keys() == tested.keys() and all(abs(seen[group] - tested[group]) <= 1 for group in seen)
    assert len(known) == 14 and Counter(item.scale for item in test) == {"M": 4, "N": 5, "P": 4}


def test_drawn_people_are_complete_attentive_and_the_same_each_time(public: np.ndarray) -> None:
    found = dark("20")
    assert found.inventory == "sd3" and found.source == "sd3" and len(found.targets) == 20
    ids = [target.person.id for target in found.targets if target.person]
    assert not {"r1", "r2", "r3"} & set(ids), "a missing answer, ten alike in a row, all alike"
    assert ids != sorted(ids, key=lambda id: int(id[1:])) and dark("5").targets == found.targets[:5]
    known, test = sd3.split()
    for target in found.targets:
        assert target.person is not None
        row = public[int(target.person.id[1:]) - 1]
        assert target.person.inventory == "sd3"
        assert target.person.answers == {item.id: row[item.number - 1] for item in known}, "raw, and no test item"
        assert found.tests[target.person.id] == {item.id: row[item.number - 1] for item in test}
    assert persons.load("sd3:20").targets == found.targets and persons.load("SD3:5").hashes == dark("5").hashes
    assert dark("37").tests.keys() == {f"r{n}" for n in range(4, 41)}
    with pytest.raises(BadData, match="person:sd3:38: only 37 persons are complete and attentive"):
        dark("38")


def test_one_of_the_public_answers(public: np.ndarray) -> None:
    found = dark("r1")
    assert [t.name for t in found.targets] == ["person:r1"]
    assert "person r1: 1 of 14 known items without an answer, left out" in found.notes, "0 is no answer"
    for wrong in ("r41", "many", "-2", "nobody.csv"):
        with pytest.raises(BadData, match=f"person:sd3:{wrong}: is no person and no file; .*r1 to r40"):
            dark(wrong)
    with pytest.raises(BadData, match="leaves no person"):
        dark("0")


def test_a_table_of_ones_own(write: Write) -> None:
    raw = people(60, seed=3)
    path = write(raw, ids=[f"p{n}" for n in range(60)])
    found = dark(str(path), keyed=False)
    assert [*found.tests] == [f"p{n}" for n in range(60)] and found.source == "me.tsv"
    ids = [item.id for item in sd3.key()]
    turned = write(np.where(MINUS, 6 - raw, raw), "keyed.tsv", names=ids, ids=[f"p{n}" for n in range(60)])
    assert dark(str(turned), keyed=True).hashes == found.hashes, "in either keying, by either name of the items"
    with pytest.raises(BadData, match="correct --raw or --keyed"):
        dark(str(path), keyed=True)
    with pytest.raises(BadData, match="say whether the minus-keyed items"):
        persons.load(f"sd3:{path}")
    part = raw[:1].copy()
    part[0, [0, 2]] = np.nan
    notes = dark(str(write(part, "part.tsv")), keyed=False).notes
    assert "person r1: 1 of 14 known items without an answer, left out" in notes
    assert "person r1: 1 of 13 test items without an answer, left out of the error" in notes


@pytest.mark.parametrize(("cell", "expected"), [(7.0, "7"), (2.5, "row 2 below the header, column of item 'sd3_N1'")])
def test_what_is_no_answer(cell: float, expected: str, write: Write) -> None:
    raw = people(3)
    raw[1, NAMES.index("N1")] = cell
    with pytest.raises(BadData, match=expected):
        dark(str(write(raw)), keyed=False)


def test_tables_that_name_nobody(write: Write) -> None:
    raw = people(2)
    with pytest.raises(BadData, match="'p' in column 'id' names no one person"):
        dark(str(write(raw, ids=["p", "p"])), keyed=False)
    with pytest.raises(BadData, match="no row"):
        dark(str(write(raw[:0])), keyed=False)
    raw[0, [item.number - 1 for item in sd3.split()[0]]] = np.nan
    with pytest.raises(BadData, match="'r1' answered none of the 14 known items; expected answers to the SD3's sd3_M3"):
        dark(str(write(raw)), keyed=False)


def test_without_the_public_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_DATA", str(tmp_path))
    with pytest.raises(BadData, match=r"put the public answers there as data/human/openpsych_sd3\.tsv\.gz"):
        dark()


@pytest.mark.data
def test_the_public_answers_themselves(shared: Path) -> None:
    _, raw, _ = sd3.read(sd3.table())
    assert raw.shape == (18192, 27) and int(np.isfinite(raw).all(axis=1).sum()) == 17740, "as the reference counts"
    assert int(sd3.attentive(raw).sum()) == 17419
    complete = raw[np.isfinite(raw).all(axis=1)]
    assert complete[:, NAMES.index("N2")].mean() == pytest.approx(3.1215, abs=1e-4), "raw, not keyed"
    found = dark()
    assert len(found.targets) == sd3.DRAWN and dark("3").targets == found.targets[:3]
