"""Persons from the released answers and from files of one's own: what a method sees, and what is kept from it."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from traitbench import inventories
from traitbench.errors import BadData
from traitbench.methods.prompting import Prompting
from traitbench.targets import persons
from traitbench.targets.papi import key, split
from traitbench.targets.persons import Participants, from_csv

Write = Callable[..., Path]
Row = dict[str, int | str]
KNOWN = {item.number: item.number_300 for item in inventories.load("ipip_neo_120").items}


def made(seed: int = 0) -> np.ndarray:
    """Raw answers of one person to the 300 items, none missing."""
    return np.random.default_rng(seed).integers(1, 6, 300)


def people(n: int) -> np.ndarray:
    """Raw answers of `n` persons with traits: (n, 300)."""
    rng = np.random.default_rng(1)
    levels = {facet: rng.normal(0, 1, n) for facet in dict.fromkeys(item.facet for item in key())}
    rows = [3 + item.keyed * levels[item.facet] + rng.normal(0, 0.7, n) for item in key()]
    return np.clip(np.rint(np.column_stack(rows)), 1, 5).astype(int)


def keyed(raw: np.ndarray) -> np.ndarray:
    return np.where([item.keyed == -1 for item in key()], 6 - raw, raw)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def go(rows: Sequence[Row], name: str = "me.csv", delimiter: str = ",") -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return path

    return go


def wide(values: np.ndarray, **more: str) -> Row:
    return {**more, **{f"i{n}": int(v) for n, v in enumerate(values, 1)}}


def the_one(found: Participants) -> tuple[dict[str, int], dict[str, int]]:
    assert len(found.targets) == 1 and found.targets[0].person
    return found.targets[0].person.answers, found.tests[found.targets[0].person.id]


class TestPapi:
    def test_148_of_300_are_unkeyed(self, shared: Path) -> None:
        released = json.loads((shared / "data" / "papi" / "Test-set.json").read_text())
        with (shared / "data" / "papi" / "item_key.csv").open(newline="") as handle:
            signs = {int(r["Full#"]): r["Sign"][0] for r in csv.DictReader(handle)}
        short = json.loads((shared / "data" / "papi" / "mpi_300_split.json").read_text())["train_index"]
        found = persons.papi()
        assert len(found.targets) == 200 == len(found.tests)
        turned: dict[int, set[bool]] = {}
        for row, target in zip(released, found.targets, strict=True):
            person = target.person
            assert person and person.id == str(row["case"]) and target.name == f"person:{row['case']}"
            both = {**person.answers, **found.tests[person.id]}
            assert not person.answers.keys() & found.tests[person.id].keys()
            assert person.answers.keys() == {f"i{n}" for n in short if row[f"i{n}"]}, "known items, and no other"
            assert both.keys() == {f"i{n}" for n in range(1, 301) if row[f"i{n}"]}
            for id, value in both.items():
                number = int(id[1:])
                assert value == (6 - row[id] if signs[number] == "-" else row[id])
                if row[id] != 3:
                    turned.setdefault(number, set()).add(value != row[id])
        assert all(len(seen) == 1 for seen in turned.values()) and len(turned) == 300
        assert sum(seen == {True} for seen in turned.values()) == 148
        assert sum(turned[n] == {True} for n in short) == 55, "and 93 of the 180"

    def test_first_persons(self, shared: Path) -> None:
        assert persons.load("papi:3").targets == persons.papi(3).targets == persons.papi().targets[:3]
        assert persons.papi(3).tests.keys() == {t.person.id for t in persons.papi(3).targets if t.person}
        with pytest.raises(BadData, match="a limit of 0 persons"):
            persons.papi(0)
        with pytest.raises(BadData, match="'many' is no number of persons"):
            persons.load("papi:many")

    def test_missing_is_noted(self, shared: Path) -> None:
        found = persons.papi()
        missing = {id: 120 - len(mine) for id, mine in found.known.items() if len(mine) < 120}
        assert sum(missing.values()) == 14
        for id, count in missing.items():
            assert f"person {id}: {count} of 120 known items without an answer, left out" in found.notes
        assert sum(180 - len(mine) for mine in found.tests.values()) == 22

    def test_no_test_answer_reaches_a_method(self, shared: Path) -> None:
        found = persons.papi(2)
        _, test = split()
        for target in found.targets:
            control = Prompting(Prompting.Config(style="person")).fit(target, None)  # type: ignore[arg-type]
            said = control.messages[0].content
            statements = inventories.load("ipip_neo_300")
            assert said.count("Answer:") == 120
            assert not any(f"- {statements.statement(item)} " in said for item in test)
            assert not {item.id for item in test} & json.loads(target.model_dump_json())["person"]["answers"].keys()

    def test_another_split_is_refused(self, shared: Path, tmp_path: Path) -> None:
        source = shared / "data" / "papi"
        (tmp_path / "Test-set.json").write_bytes((source / "Test-set.json").read_bytes())
        given = json.loads((source / "mpi_300_split.json").read_text())
        given["train_index"][0], given["test_index"][0] = given["test_index"][0], given["train_index"][0]
        (tmp_path / "mpi_300_split.json").write_text(json.dumps(given))
        with pytest.raises(BadData, match="its known items are not the IPIP-NEO-120"):
            persons.papi(folder=tmp_path)

    def test_a_case_twice(self, shared: Path, tmp_path: Path) -> None:
        source = shared / "data" / "papi"
        (tmp_path / "mpi_300_split.json").write_bytes((source / "mpi_300_split.json").read_bytes())
        rows = json.loads((source / "Test-set.json").read_text())
        rows[5]["case"] = rows[2]["case"]
        (tmp_path / "Test-set.json").write_text(json.dumps(rows))
        with pytest.raises(BadData, match=f"two persons of case '{rows[2]['case']}'"):
            persons.papi(folder=tmp_path)

    def test_hash_covers_every_answer(self, shared: Path) -> None:
        found = persons.papi(2)
        assert len(set(found.hashes.values())) == 2
        first = next(iter(found.tests))
        other = found.model_copy(update={"tests": {**found.tests, first: {**found.tests[first], "i2": 9}}})
        assert other.hashes[first] != found.hashes[first]
        assert {id: h for id, h in other.hashes.items() if id != first} == {
            id: h for id, h in found.hashes.items() if id != first
        }

    def test_answers_as_arrays(self, shared: Path) -> None:
        found, (_, test) = persons.papi(), split()
        table = found.answers(test[:7])
        for id, row in table.items():
            assert row.shape == (7,)
            for item, value in zip(test[:7], row, strict=True):
                assert found.tests[id].get(item.id, None) == (None if np.isnan(value) else value)


class TestOwnFile:
    def test_forms_of_one_person_agree(self, write: Write, tmp_path: Path) -> None:
        values = made()
        files = [
            write([wide(values)]),
            write([wide(values, id="me")], "other.csv"),
            write([wide(values)], "me.tsv", "\t"),
            write([{str(n): int(v) for n, v in enumerate(values, 1)}], "me.CSV"),
            write([{"item": f"i{n}", "answer": int(v)} for n, v in enumerate(values, 1)], "me.long"),
            write([{"person": "me", "answer": int(v), "item": n} for n, v in enumerate(values, 1)], "x.csv"),
        ]
        packed = tmp_path / "me.csv.gz"
        packed.write_bytes(gzip.compress(files[0].read_bytes()))
        table = tmp_path / "table.parquet"
        parquet.write_table(pa.table({"id": ["me"], **{f"i{n}": [float(v)] for n, v in enumerate(values, 1)}}), table)
        known, test = split()
        for path in [*files, packed, table]:
            found = from_csv(path, keyed=False)
            assert [t.name for t in found.targets] == ["person:me"], path
            seen, kept = the_one(found)
            assert seen == {item.id: values[item.number - 1] for item in known}
            assert kept == {item.id: values[item.number - 1] for item in test}
            assert found.targets[0].person and found.targets[0].person.inventory == "ipip_neo_300"
            assert found.notes[0].startswith(f"{path.name}: read as the IPIP-NEO-300") and len(found.notes) == 1

    def test_keyed_answers_are_turned_once(self, write: Write) -> None:
        values = made()
        assert from_csv(write([wide(keyed(values))]), True).known == from_csv(write([wide(values)]), False).known
        long = [{"item": f"i{n}", "answer": int(v)} for n, v in enumerate(keyed(values), 1)]
        assert from_csv(write(long), True).known == from_csv(write([wide(values)]), False).known

    @pytest.mark.parametrize("form", ["wide", "long"])
    def test_the_short_form_has_nothing_to_test(self, form: str, write: Write) -> None:
        values = made()[:120]
        long = [{"item": f"i{n}", "answer": int(v)} for n, v in enumerate(values, 1)]
        found = from_csv(write([wide(values)] if form == "wide" else long), keyed=False)
        seen, kept = the_one(found)
        assert seen == {f"i{KNOWN[n]}": v for n, v in enumerate(values, 1)} and not kept
        texts = {item.id: item.text for item in inventories.load("ipip_neo_300").items}
        for item in inventories.load("ipip_neo_120").items:
            assert texts[f"i{item.number_300}"] == item.text, "ids are those of the long form"
        assert "read as the IPIP-NEO-120" in found.notes[0] and "nothing to score against" in found.notes[1]

    def test_several_persons(self, write: Write) -> None:
        rows = people(3)
        named = from_csv(write([wide(row, id=name) for row, name in zip(rows, "abc", strict=True)]), False)
        assert list(named.tests) == ["a", "b", "c"]
        unnamed = from_csv(write([wide(row) for row in rows]), False)
        assert list(unnamed.tests) == ["me-1", "me-2", "me-3"]
        assert [*named.known.values()] == [*unnamed.known.values()]
        long = [
            {"id": name, "item": f"i{n}", "answer": int(v)}
            for row, name in zip(rows, "abc", strict=True)
            for n, v in enumerate(row, 1)
        ]
        again = from_csv(write(long), False)
        assert again.known == named.known and again.tests == named.tests

    def test_blank_lines_are_no_persons(self, write: Write) -> None:
        path = write([wide(row, id=name) for row, name in zip(people(2), "ab", strict=True)])
        path.write_text(path.read_text().replace("\na,", "\n\na,").replace("\r\n", "\n") + "\n")
        assert list(from_csv(path, False).tests) == ["a", "b"]

    def test_missing_answers_are_left_out_and_noted(self, write: Write) -> None:
        row = wide(made())
        known, test = split()
        row[known[0].id], row[known[1].id], row[test[0].id] = "", 0, "NA"
        del row[known[2].id]
        found = from_csv(write([row]), False)
        seen, kept = the_one(found)
        assert len(seen) == 117 and len(kept) == 179 and test[0].id not in kept
        assert "person me: 3 of 120 known items without an answer, left out" in found.notes
        assert "person me: 1 of 180 test items without an answer, left out of the error" in found.notes

    def test_nothing_known_is_an_error(self, write: Write) -> None:
        row = wide(made())
        for item in split()[0]:
            row[item.id] = ""
        with pytest.raises(BadData, match="person 'me' answered none of the 120 known items"):
            from_csv(write([row]), False)

    @pytest.mark.parametrize("value", ["7", "-1", "five", "3.5"])
    def test_no_answer(self, value: str, write: Write) -> None:
        row: Row = {**wide(made()), "i12": value}
        with pytest.raises(
            BadData, match=rf"row 1 below the header, column .*'i12'.*{value}.*expected .*1 to 5|no num"
        ):
            from_csv(write([row]), False)
        long: list[Row] = [{"item": "i1", "answer": 3}, {"item": "i12", "answer": value}]
        with pytest.raises(BadData, match=rf"row 2 below the header, column 'answer': '{value}'.*expected 1 to 5"):
            from_csv(write(long), False)

    def test_a_person_twice(self, write: Write) -> None:
        rows = [wide(row, id=name) for row, name in zip(people(3), "aba", strict=True)]
        with pytest.raises(BadData, match="rows 1 and 3 below the header both have the id 'a'"):
            from_csv(write(rows), False)
        with pytest.raises(BadData, match="row 2 below the header has no id"):
            from_csv(write([wide(r, id=n) for r, n in zip(people(2), ("a", " "), strict=True)]), False)

    def test_an_item_twice(self, write: Write) -> None:
        long: list[Row] = [{"item": "i5", "answer": 3}, {"item": "i6", "answer": 3}, {"item": "I5", "answer": 4}]
        with pytest.raises(
            BadData, match="row 3 below the header: person 'me' answers item i5 a second time, after row 1"
        ):
            from_csv(write(long), False)

    @pytest.mark.parametrize("name", ["i301", "q5", ""])
    def test_no_item(self, name: str, write: Write) -> None:
        with pytest.raises(BadData, match=f"row 1 below the header, column 'item': '{name}' is no item"):
            from_csv(write([{"item": name, "answer": 3}]), False)

    def test_no_row(self, tmp_path: Path) -> None:
        for head in ("i1,i2,i3", "item,answer"):
            (tmp_path / "me.csv").write_text(head + "\n")
            with pytest.raises(BadData, match="has column names and no row"):
                from_csv(tmp_path / "me.csv", False)
        (tmp_path / "me.csv").write_text("age,name\n3,x\n")
        with pytest.raises(BadData, match="has no column of ipip_neo_120"):
            from_csv(tmp_path / "me.csv", False)

    def test_short_line(self, tmp_path: Path) -> None:
        (tmp_path / "me.csv").write_text("item,answer\ni1,3\ni2\n")
        with pytest.raises(BadData, match=r"row 2 below the header .*has 1 cells, but the header has 2"):
            from_csv(tmp_path / "me.csv", False)

    @pytest.mark.parametrize("value", [1, 3, 5])
    def test_nothing_sets_agreement_apart(self, value: int, write: Write) -> None:
        found = from_csv(write([wide(np.full(300, value))]), False)
        said = (
            "every known answer is 3 (neutral)"
            if value == 3
            else f"no known answer is {'above' if value < 3 else 'below'}"
        )
        assert said in found.notes[-1] and len(the_one(found)[0]) == 120

    def test_wrong_keying_is_refused(self, write: Write) -> None:
        raw = people(40)
        plain, turned = ([wide(row, id=str(i)) for i, row in enumerate(x)] for x in (raw, keyed(raw)))
        assert from_csv(write(plain), False).known == from_csv(write(turned), True).known
        with pytest.raises(BadData, match=r"declared raw, but .* Either it is keyed"):
            from_csv(write(turned), False)
        with pytest.raises(BadData, match=r"declared keyed, but .* Either it is raw"):
            from_csv(write(plain), True)
        few = from_csv(write(turned[:9]), False)
        assert len(few.targets) == 9, "nine cannot tell"

    def test_files_by_name(self, write: Write) -> None:
        path = write([wide(made())])
        assert persons.load(str(path), keyed=False) == from_csv(path, False)
        with pytest.raises(BadData, match=r"say whether .*--keyed.*--raw"):
            persons.load(str(path))
        with pytest.raises(BadData, match="there is no such file; expected papi, papi:N"):
            persons.load("nobody.csv", keyed=False)
