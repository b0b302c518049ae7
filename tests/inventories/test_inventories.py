"""What holds for every inventory that ships, and how inventories are found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.errors import BadData, BadInventory, UnknownName
from traitbench.types import BIG_FIVE, DARK_TRIAD

# Items, and plus and minus items of each scale, as published.
COUNTS: dict[str, tuple[int, dict[str, tuple[int, int]]]] = {
    "ipip_neo_300": (300, {"O": (28, 32), "C": (31, 29), "E": (36, 24), "A": (24, 36), "N": (33, 27)}),
    "ipip_neo_120": (120, {"O": (12, 12), "C": (11, 13), "E": (18, 6), "A": (7, 17), "N": (17, 7)}),
    "ipip_50": (50, {"O": (7, 3), "C": (6, 4), "E": (5, 5), "A": (6, 4), "N": (8, 2)}),
    "mini_ipip": (20, {"O": (1, 3), "C": (2, 2), "E": (2, 2), "A": (2, 2), "N": (2, 2)}),
    "mini_ipip_model": (20, {"O": (1, 3), "C": (2, 2), "E": (2, 2), "A": (2, 2), "N": (2, 2)}),
    "bfi_44": (44, {"O": (8, 2), "C": (5, 4), "E": (5, 3), "A": (5, 4), "N": (5, 3)}),
    "sd3": (27, {"M": (9, 0), "N": (6, 3), "P": (7, 2)}),
    "dirty_dozen": (12, {"M": (4, 0), "N": (4, 0), "P": (4, 0)}),
}
RESTRICTED = ("bfi_44", "sd3", "dirty_dozen")
PUBLIC = tuple(name for name in COUNTS if name not in RESTRICTED)
every = pytest.mark.parametrize("name", COUNTS)
published = pytest.mark.parametrize("name", [name for name in COUNTS if name != "mini_ipip_model"])


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any data."""
    monkeypatch.delenv("TRAITBENCH_DATA", raising=False)
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def own(folder: Path, name: str, **changes: Any) -> Path:
    """Write a small sound inventory, with changes."""
    items = [
        {"id": "x1", "text": "I hum while I work", "scale": "E", "keyed": 1},
        {"id": "x2", "text": "I sit at the back", "scale": "E", "keyed": -1},
    ]
    content = {
        "id": name, "licence": "CC0", "citation": "Us (2025).", "scales": {"E": "extraversion"}, "items": items,
        "response_scale": {"min": 1, "max": 3, "labels": ["No", "Partly", "Yes"]}, "statement": {"prefix": ""},
    }  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**content, **changes}, indent=1))
    return path


def test_the_table_is_what_ships() -> None:
    assert inventories.names() == sorted(COUNTS)


@published
def test_agrees_with_the_digests(name: str, shared: Path) -> None:
    oracle = json.loads((shared / "oracles" / "instrument_digests.json").read_text())["instruments"][name]
    held = [
        {
            "id": item.id, "scale": item.scale, "facet": item.facet, "keyed": item.keyed,
            "number_300": item.number_300, "sha256_text": item.text_hash,
        }
        for item in inventories.load(name).items
    ]  # fmt: skip
    assert held == oracle


@every
def test_texts_have_their_hashes(name: str, shared: Path) -> None:
    inventory = inventories.load(name)
    assert all(item.text and inventories.text_hash(item.text) == item.text_hash for item in inventory.items)
    assert inventory.wordings == {}


@every
def test_counts_and_keys(name: str) -> None:
    inventory = inventories.load(name, texts=False)
    n, keys = COUNTS[name]
    assert inventory.id == name
    assert [item.number for item in inventory.items] == list(range(1, n + 1))
    counted = Counter((item.scale, item.keyed) for item in inventory.items)
    assert {scale: (counted[scale, 1], counted[scale, -1]) for scale in inventory.scales} == keys


@every
def test_traits_scales_and_options(name: str) -> None:
    inventory = inventories.load(name, texts=False)
    assert inventory.traits == (DARK_TRIAD if "M" in inventory.scales else BIG_FIVE)
    assert [item for trait in inventory.traits for item in inventory.scale_items(trait)] == sorted(
        inventory.items, key=lambda item: (inventory.traits.index(item.trait), item.number)
    )
    scale = inventory.response_scale
    assert len(scale.labels) == scale.max - scale.min + 1
    assert [inventory.reverse(value) for value in (scale.min, scale.max)] == [scale.max, scale.min]
    assert inventory.reverse(inventory.reverse(1.25)) == 1.25
    with pytest.raises(UnknownName, match="unknown trait"):
        inventory.scale_items("charm")


@every
def test_the_lint_finds_no_error(name: str) -> None:
    assert [finding for finding in inventories.validate(name) if finding.level == "error"] == []


@every
def test_statements_are_sentences(name: str, shared: Path) -> None:
    inventory = inventories.load(name)
    said = [inventory.statement(item) for item in inventory.items]
    assert all(re.fullmatch(r"[A-Z][^.]*\.", statement) for statement in said)
    if inventory.statement_rule.prefix:
        assert all(statement.startswith(inventory.statement_rule.prefix) for statement in said)


def test_statements_are_grammatical() -> None:
    neo = inventories.load("ipip_neo_300")
    said = {item.id: neo.statement(item) for item in neo.items}
    assert said["i1"] == "I worry about things."
    assert said["i16"] == "I am easily intimidated."
    assert said["i78"] == "I am interested in many things."
    assert said["i202"] == "I am willing to try anything once."


@pytest.mark.parametrize("name", ["ipip_neo_300", "ipip_neo_120"])
def test_facets_are_balanced_and_named(name: str) -> None:
    inventory = inventories.load(name)
    facets = Counter(item.facet for item in inventory.items)
    assert set(facets) == set(inventory.facets) and len(facets) == 30
    assert set(facets.values()) == {len(inventory.items) // 30}
    assert all(str(item.facet).startswith(item.scale) for item in inventory.items)
    assert inventory.facets["N1"] == "Anxiety"


def test_the_120_are_part_of_the_300() -> None:
    full = {item.number: item for item in inventories.load("ipip_neo_300").items}
    short = inventories.load("ipip_neo_120").items
    assert len({item.number_300 for item in short}) == 120
    for item in short:
        twin = full[item.number_300 or 0]
        assert (item.text, item.scale, item.facet, item.keyed) == (twin.text, twin.scale, twin.facet, twin.keyed)


def test_the_model_wording_is_the_mini_ipip_but_for_its_words() -> None:
    worded, first = inventories.load("mini_ipip_model"), inventories.load("mini_ipip")
    assert worded.wording_of == first.id and first.wording_of is None and worded.licence == "CC0-1.0"
    for name in ("instruction", "scales", "response_scale", "statement_rule"):
        assert getattr(worded, name) == getattr(first, name)
    assert [(i.id, i.number, i.trait, i.keyed) for i in worded.items] == [
        (i.id, i.number, i.trait, i.keyed) for i in first.items
    ]
    others = {item.text_hash for name in COUNTS if name != worded.id for item in inventories.load(name, False).items}
    assert not others & {item.text_hash for item in worded.items}
    said = " ".join(worded.statement(item) for item in worded.items).lower()
    assert not re.search(r"\b(party|parties|feel|body|blue|chores?|friends?|sleep|eat|home|family)\b", said)


def test_a_wording_names_another_inventory(tmp_path: Path) -> None:
    for wrong in ("x", 3, "a b", ""):
        with pytest.raises(BadInventory, match="wording_of"):
            inventories.load(own(tmp_path, "x", wording_of=wrong))
    assert inventories.load(own(tmp_path, "x", wording_of="sd3")).wording_of == "sd3"


def test_the_mini_ipip_is_part_of_the_50() -> None:
    full = {item.text_hash: (item.text, item.scale, item.keyed) for item in inventories.load("ipip_50").items}
    for item in inventories.load("mini_ipip").items:
        assert full[item.text_hash] == (item.text, item.scale, item.keyed)


@pytest.mark.parametrize("name", RESTRICTED)
def test_restricted_texts_do_not_ship(name: str, nowhere: Path) -> None:
    assert all(item.text is None for item in inventories.load(name, texts=False).items)
    with pytest.raises(BadData, match=f"traitbench data get {name} --accept_licence.*TRAITBENCH_DATA"):
        inventories.load(name)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_texts_need_no_data(name: str, nowhere: Path) -> None:
    assert all(item.text for item in inventories.load(name).items)


def test_a_statement_needs_the_text(nowhere: Path) -> None:
    sd3 = inventories.load("sd3", texts=False)
    with pytest.raises(BadData, match="without its text"):
        sd3.statement(sd3.items[0])


@pytest.mark.parametrize("name", ["IPIP-NEO-120", "ipip_neo-120", " ipip_neo_120 "])
def test_spelling_of_names(name: str) -> None:
    assert inventories.load(name).id == "ipip_neo_120"


def test_a_wrong_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="did you mean 'ipip_neo_120'"):
        inventories.load("ipip_neo_12")
    with pytest.raises(UnknownName, match="no such file"):
        inventories.load("./mine.json")


def test_the_users_own(tmp_path: Path) -> None:
    path = own(tmp_path, "hum-2")
    for found in (inventories.load(path), inventories.load("HUM_2", include=[tmp_path])):
        assert [item.trait for item in found.items] == ["extraversion", "extraversion"]
        assert [item.number for item in found.items] == [1, 2]
        assert found.items[0].text_hash == inventories.text_hash("I hum, while I work.")
        assert found.statement(found.items[0]) == "I hum while I work."
    assert "hum-2" in inventories.names([tmp_path])
    with pytest.raises(UnknownName, match="is no folder"):
        inventories.load("hum", include=[tmp_path / "none"])


def test_lower_case_spares_the_pronoun(tmp_path: Path) -> None:
    found = inventories.load(own(tmp_path, "hum", statement={"prefix": "Honestly, ", "lower": True}))
    assert found.statement(found.items[0]) == "Honestly, I hum while I work."


def test_a_name_that_ships_is_not_shadowed(tmp_path: Path) -> None:
    own(tmp_path, "sd3")
    with pytest.raises(BadInventory, match="has the name of an inventory that ships"):
        inventories.load("sd3", include=[tmp_path])


def test_a_bad_file_is_refused_by_item_and_line(tmp_path: Path) -> None:
    items = [
        {"id": f"x{n}", "text": word, "scale": scale, "keyed": 1} for n, word, scale in ((1, "A", "N"), (2, "B", "Q"))
    ]
    path = own(tmp_path, "hum", scales={"N": "neuroticism"}, items=items)
    line = path.read_text().splitlines().index('   "id": "x2",') + 1
    with pytest.raises(BadInventory, match=rf"hum.json:{line}, item 'x2': scale 'Q' is not among the scales \(N\)"):
        inventories.load(path)


def test_a_truncated_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{\n "id": "cut",\n "items": [')
    with pytest.raises(BadInventory, match=r"cut.json:3: the JSON ends too early"):
        inventories.load(path)


def _supply(folder: Path, name: str, texts: dict[str, str]) -> None:
    rows = [{"id": key, "text": text} for key, text in texts.items()]
    (folder / f"{name}.json").write_text(json.dumps({"items": rows}))


def test_another_published_wording_is_accepted_and_recorded(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = json.loads((shared / "inventories" / "sd3.json").read_text())["items"]
    _supply(tmp_path, "sd3", {row["id"]: row["text_openpsych_2011"] or row["text"] for row in rows})
    monkeypatch.setenv("TRAITBENCH_DATA", str(tmp_path))
    sd3 = inventories.load("sd3")
    assert set(sd3.wordings) == {"sd3_M7", "sd3_M8"}
    assert all("2011" in note for note in sd3.wordings.values())
    assert all(inventories.text_hash(item.text or "") == item.text_hash for item in sd3.items)


@pytest.mark.parametrize(("change", "says"), [("Something else.", "'dd_5' is not that of"), (None, "no text for")])
def test_wrong_and_missing_texts_are_refused(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str | None, says: str
) -> None:
    rows = json.loads((shared / "inventories" / "dirty_dozen.json").read_text())["items"]
    texts = {row["id"]: row["text"] for row in rows} | {"dd_5": change or ""}
    _supply(tmp_path, "dirty_dozen", texts)
    monkeypatch.setenv("TRAITBENCH_DATA", str(tmp_path))
    with pytest.raises(BadData, match=says):
        inventories.load("dirty_dozen")


def test_another_script_is_hashed_as_it_stands() -> None:
    assert inventories.text_hash("Я часто грущу") == inventories.text_hash("я часто  грущу")
    assert inventories.text_hash("Я часто грущу") != inventories.text_hash("Мне всё равно")


def test_the_import_is_light() -> None:
    code = "import sys, traitbench.inventories as i; i.load('ipip_neo_300'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "numpy", "transformers", "urllib.request"} & set(loaded)
