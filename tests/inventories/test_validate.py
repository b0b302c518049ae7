"""Each fault of an inventory file is found, and told with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.errors import BadInventory, UnknownName

Content = dict[str, Any]


def sound() -> Content:
    """An inventory without fault: two plus and two minus items."""
    keyed = {"x1": ("I hum", 1), "x2": ("I sing", 1), "x3": ("I sit at the back", -1), "x4": ("I hide", -1)}
    return {
        "id": "mine", "licence": "CC0", "citation": "Us (2025).", "scales": {"E": "extraversion"},
        "facets": {"E1": "Noise"}, "response_scale": {"min": 1, "max": 3, "labels": ["No", "Partly", "Yes"]},
        "statement": {"prefix": ""},
        "items": [{"id": i, "text": t, "scale": "E", "facet": "E1", "keyed": k} for i, (t, k) in keyed.items()],
    }  # fmt: skip


def validate(folder: Path, content: Content) -> list[inventories.Finding]:
    path = folder / "mine.json"
    path.write_text(json.dumps(content, indent=1))
    return inventories.validate(path)


def test_a_sound_file_has_no_findings(tmp_path: Path) -> None:
    assert validate(tmp_path, sound()) == []


def item(n: int, **changes: Any) -> Callable[[Content], None]:
    return lambda content: content["items"][n].update(changes)


def every(n: int, **changes: Any) -> Callable[[Content], None]:
    def spoil(content: Content) -> None:
        for each in content["items"][:n]:
            each.update(changes)

    return spoil


def top(**changes: Any) -> Callable[[Content], None]:
    return lambda content: content.update(changes)


def without(key: str) -> Callable[[Content], None]:
    return lambda content: content.pop(key)


def options(low: int, high: int, *labels: str) -> Callable[[Content], None]:
    return top(response_scale={"min": low, "max": high, "labels": labels})


FAULTS: dict[str, tuple[Callable[[Content], None], str]] = {
    "duplicate id": (item(1, id="x1"), "id 'x1' stands twice"),
    "duplicate number": (every(2, number=7), "number 7 is also that of item 'x1'"),
    "duplicate text": (item(1, text="I  hum!"), "the text is also that of item 'x1'"),
    "unknown scale": (item(1, scale="Q"), "scale 'Q' is not among the scales (E)"),
    "unknown facet": (item(1, facet="E9"), "facet 'E9' is not among the facets"),
    "no name of a trait": (top(scales={"E": "warm heart"}), "scale 'E' measures 'warm heart'; expected a name"),
    "empty scale": (top(scales={"E": "extraversion", "N": "neuroticism"}), "scale 'N' (neuroticism) has no items"),
    "keyed": (item(1, keyed=0), "keyed is 0; expected 1 or -1"),
    "keyed as text": (item(1, keyed="+"), "keyed is '+'; expected 1 or -1"),
    "empty text": (item(1, text=" "), "the text is empty"),
    "no text": (item(1, text=None), "the text is empty"),
    "wrong hash": (item(1, text_hash="00"), "text_hash is not that of the text"),
    "own trait": (item(1, trait="neuroticism"), "comes from its scale"),
    "missing key": (lambda c: c["items"][1].pop("keyed"), "key 'keyed' is missing"),
    "unknown key": (item(1, keyd=1), "unknown key 'keyd'; did you mean 'keyed'?"),
    "unknown key at the top": (top(citations="x"), "unknown key 'citations'; did you mean 'citation'?"),
    "too few labels": (options(1, 5, "No", "Yes"), "2 labels for 5 options (1 to 5)"),
    "range upside down": (options(3, 1, "a", "b", "c"), "min 3 is not below max 1"),
    "one option": (options(1, 1, "a"), "min 1 is not below max 1"),
    "same labels": (options(1, 3, "No", "no", "Yes"), "two options have the same label"),
    "empty label": (options(1, 3, "No", "", "Yes"), "a label is empty"),
    "no licence": (without("licence"), "licence is missing"),
    "no citation": (top(citation=""), "citation is missing"),
    "no items": (top(items=[]), "there are no items"),
    "items of a wrong type": (top(items=7), "items is 7"),
    "alternatives of nothing": (top(alternatives={"x9": {"hash": "00", "note": "old"}}), "alternatives name item 'x9'"),
    "restricted without data": (lambda c: c.update(restricted=True), "`data` does not name the data set"),
}  # fmt: skip


def test_texts_that_differ_in_a_number_are_different(tmp_path: Path) -> None:
    content = sound()
    for number, one in enumerate(content["items"], 1):
        one["text"] = f"Statement {number}"
    assert validate(tmp_path, content) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_errors_and_refused(fault: str, tmp_path: Path) -> None:
    spoil, message = FAULTS[fault]
    content = sound()
    spoil(content)
    errors = [finding for finding in validate(tmp_path, content) if finding.level == "error"]
    assert any(message in finding.message for finding in errors), errors
    assert all(str(tmp_path / "mine.json") in finding.where for finding in errors)
    with pytest.raises(BadInventory, match=r"mine\.json"):
        inventories.load(tmp_path / "mine.json")


WARNINGS: dict[str, tuple[Callable[[Content], None], str]] = {
    "all plus": (every(4, keyed=1), "is all-plus"),
    "all minus": (every(4, keyed=-1), "is all-minus"),
    "one item": (lambda c: c.update(items=c["items"][:1]), "has one item: too few for reliability and for an interval"),
    "unbalanced": (item(2, keyed=1), "is unbalanced: 3 plus and 1 minus items"),
    "no statement": (without("statement"), "no `statement`"),
    "id": (top(id="other"), "is not the file's name 'mine'"),
    "text in two scales": (
        lambda c: (
            c["items"].append({"id": "n1", "text": "I hide", "scale": "N", "keyed": 1})
            or c["scales"].update(N="neuroticism")
        ),
        "the text is also that of item 'x4'",
    ),
    "restricted text": (top(restricted=True, data="mine"), "yet its file holds the item's text"),
}


@pytest.mark.parametrize("doubt", WARNINGS)
def test_doubts_are_warnings(doubt: str, tmp_path: Path) -> None:
    spoil, message = WARNINGS[doubt]
    content = sound()
    spoil(content)
    found = validate(tmp_path, content)
    assert any(message in finding.message for finding in found), found
    assert {finding.level for finding in found} == {"warning"}
    assert inventories.load(tmp_path / "mine.json", texts=False).traits[0] == "extraversion"


def test_everything_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    content = sound()
    content["items"][1]["keyed"] = 2
    content["items"][3]["id"] = "x1"
    del content["licence"]
    found = validate(tmp_path, content)
    assert {finding.message.split(";")[0] for finding in found if finding.level == "error"} == {
        "keyed is 2", "id 'x1' stands twice", "licence is missing",
    }  # fmt: skip
    lines = (tmp_path / "mine.json").read_text().splitlines()
    second = [n for n, line in enumerate(lines, 1) if '"id": "x1"' in line][1]
    assert any(f"mine.json:{second}, item 'x1'" in finding.where for finding in found)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ('{\n "id": "mine",\n "items": [{"id": "x1",', ":3", "ends too early"),
        ('{\n "id": "mi', ":2", "ends too early"),
        ("", ":1", "ends too early"),
        ('{"id": "mine"\n "items": []}', ":2", "not valid JSON"),
        ("[1, 2]", "", "holds a list; expected an object"),
    ],
)
def test_damaged_json(text: str, where: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    (found,) = inventories.validate(path)
    assert found.level == "error" and found.where == f"{path}{where}" and message in found.message
    with pytest.raises(BadInventory, match=message):
        inventories.load(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xff\xfe{}")
    assert "UTF-8" in inventories.validate(path)[0].message


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(sound()).replace('"keyed": -1', '"keyed": 1, "keyed": -1'))
    (found,) = inventories.validate(path)
    assert found.level == "error" and "'keyed' stands twice" in found.message


def test_by_name_and_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(sound()))
    assert inventories.validate("mine", include=[tmp_path]) == []
    assert {finding.level for finding in inventories.validate("dirty_dozen")} == {"warning"}
    with pytest.raises(UnknownName):
        inventories.validate("mien", include=[tmp_path])
