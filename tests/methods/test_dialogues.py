"""Trait dialogues: what is read from where, what is refused, how scenes are split, paired and audited."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.errors import BadData, MissingExtra, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.inventories import text_hash
from traitbench.methods.dialogues import Dialogue, load, of_target, pairs, split, subset
from traitbench.methods.dialogues.leaks import audit
from traitbench.types import Person, Target

OURS = ("trait", "level", "scene", "input", "output")
SMALL = [
    Dialogue(
        trait=trait, level=level, scene=f"s{n}", input=f"Question {n}, of one thing?", output=f"{trait} {level} {n}"
    )
    for trait in ("openness", "neuroticism")
    for n in range(20)
    for level in ("high", "low")
]


def rows(dialogues: Iterable[Dialogue] = SMALL) -> list[dict[str, Any]]:
    return [each.model_dump() for each in dialogues]


def chat(dialogues: Iterable[Dialogue] = SMALL, **named: Callable[[Dialogue], Any]) -> list[dict[str, Any]]:
    """The same records in BIG5-CHAT's columns, with further ones of `named`."""
    return [
        {
            "trait": each.trait, "level": each.level, "train_instruction": "You are a person.",
            "train_input": each.input, "train_output": each.output, **{k: make(each) for k, make in named.items()},
        }
        for each in dialogues
    ]  # fmt: skip


def written(path: Path, table: Sequence[dict[str, Any]]) -> str:
    """Write `table` in the format that the path ends in."""
    kind = path.name.removesuffix(".gz")
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as stream:
        if kind.endswith(".jsonl"):
            stream.writelines(json.dumps(row) + "\n" for row in table)
        else:
            writer = csv.DictWriter(stream, list(table[0]), delimiter="\t" if kind.endswith(".tsv") else ",")  # type: ignore[type-var]
            writer.writeheader()
            writer.writerows(table)
    return str(path)


def changed(index: int, **values: Any) -> list[dict[str, Any]]:
    table = rows()
    table[index].update(values)
    return table


# Reading


def test_the_open_set_loads_with_its_licence() -> None:
    corpus = load("open")
    assert (corpus.name, corpus.licence, corpus.left_out) == ("open", "CC0-1.0", 0)
    assert len(corpus.dialogues) == 2160 and len({each.scene for each in corpus.dialogues}) == 216
    assert re.fullmatch(r"[0-9a-f]{16}", corpus.digest) and load("open") == corpus


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "csv.gz", "tsv"])
def test_every_format_gives_the_same_records(tmp_path: Path, ending: str) -> None:
    corpus = load(written(tmp_path / f"set.{ending}", rows()))
    assert list(corpus.dialogues) == SMALL
    assert corpus.digest == load(written(tmp_path / "other.jsonl", rows())).digest


def test_the_digest_is_of_the_contents(tmp_path: Path) -> None:
    table = changed(3, output="something else")
    digests = {load(written(tmp_path / f"{n}.jsonl", t)).digest for n, t in enumerate((rows(), table, rows()[::-1]))}
    assert len(digests) == 3


def test_texts_may_hold_separators_line_breaks_and_a_byte_order_mark(tmp_path: Path) -> None:
    texts = ('He said, "No"\tand left.\nThen?', "Line\u2028separator and a\vtab")
    table = [row | {"output": f"{texts[n % 2]} {n}"} for n, row in enumerate(rows())]
    for ending in ("csv", "tsv", "jsonl"):
        path = Path(written(tmp_path / f"set.{ending}", table))
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert [each.output for each in load(str(path)).dialogues] == [row["output"] for row in table]


def test_columns_of_big5_chat_are_read_with_their_scene(tmp_path: Path) -> None:
    named = {
        "env_idx": lambda d: int(d.scene[1:]) + 500,
        "original_index": lambda d: int(d.scene[1:]),
        "head": lambda d: "x",
    }
    found = load(written(tmp_path / "set.csv", chat(SMALL, **named)))
    assert [each.scene for each in found.dialogues] == [each.scene[1:] for each in SMALL]
    assert [each.model_copy(update={"scene": f"s{each.scene}"}) for each in found.dialogues] == SMALL
    del named["original_index"]
    found = load(written(tmp_path / "other.csv", chat(SMALL, **named)))
    assert {each.scene for each in found.dialogues} == {str(n + 500) for n in range(20)}


def test_without_a_scene_column_records_of_one_input_share_a_scene(tmp_path: Path) -> None:
    found = load(written(tmp_path / "set.csv", chat())).dialogues
    assert len({each.scene for each in found}) == 20
    assert len({(each.scene, each.input) for each in found}) == 20
    assert len(pairs(found)) == len(SMALL)


def test_an_empty_text_of_big5_chat_is_left_out_with_its_opposite(tmp_path: Path) -> None:
    table = chat(SMALL, original_index=lambda d: d.scene)
    table[4]["train_output"] = None
    table[9]["train_input"] = "  "
    found = load(written(tmp_path / "set.jsonl", table))
    assert found.left_out == 4 and len(found.dialogues) == len(SMALL) - 4
    assert not [each for each in found.dialogues if each.trait == "openness" and each.scene in ("s2", "s4")]
    assert len(pairs(found.dialogues)) == len(found.dialogues)


def test_case_of_trait_and_level_does_not_matter(tmp_path: Path) -> None:
    table = [row | {"trait": row["trait"].title(), "level": f" {row['level'].upper()}"} for row in rows()]
    assert list(load(written(tmp_path / "set.csv", table)).dialogues) == SMALL


# What is refused


def test_an_unknown_source_is_named() -> None:
    for source in ("opne", "data/set.json", "a/b/c"):
        with pytest.raises(UnknownName, match=f"dialogue set '{source}'.*open"):
            load(source)


@pytest.mark.parametrize(
    ("table", "error", "told"),
    [
        (changed(2, trait="opennes"), UnknownName, r"trait 'opennes'; did you mean 'openness'\? \(.*line 3\)"),
        (changed(5, level="medium"), UnknownName, r"level 'medium'; known: high, low \(.*line 6\)"),
        (changed(5, level=None), UnknownName, r"level ''.*line 6"),
        (changed(7, output=" "), BadData, r"line 8: the output of scene 's3' is empty; write it, or remove"),
        (changed(7, input=None), BadData, r"line 8: the input of scene 's3' is empty"),
        (changed(0, scene=None), BadData, r"line 1: no scene; expected a name in the column scene"),
        ([{"trait": "openness", "text": "x"}], BadData, r"line 1: no level and no train_input.*trait, text; expected"),
        ([], BadData, r"holds no dialogue; expected lines such as \{"),
        (rows(d for d in SMALL if d.level == "high"), BadData, r"one-class set: openness .* at high only; add"),
        (rows(SMALL[:40] + SMALL[41::2]), BadData, "neuroticism has records at low only"),
    ],
)  # fmt: skip
def test_bad_records_are_refused(tmp_path: Path, table: list[dict[str, Any]], error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        load(written(tmp_path / "set.jsonl", table))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    with pytest.raises(BadData, match=r"cannot read .*set\.jsonl"):
        load(str(path))
    for text, told in (("{}\nnot json\n", "line 1: no trait"), ("\n[1]\n", "line 2: a list"), ("{", "line 1: no JSON")):
        path.write_text(text)
        with pytest.raises(BadData, match=told):
            load(str(path))
    path.write_bytes(b'{"trait": "\xff"}')
    with pytest.raises(BadData, match=r"cannot read .*UTF-8"):
        load(str(path))
    packed = tmp_path / "set.jsonl.gz"
    for content in (b"plain text", gzip.compress(json.dumps(rows()[0]).encode())[:-9]):
        packed.write_bytes(content)
        with pytest.raises(BadData, match=r"cannot read .*gz"):
            load(str(packed))


def test_ragged_tables_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    for line in ("openness,high,s1,hello", "openness,high,s1,hello,there,friend", 'openness,high,s1,"hello"x,there'):
        path.write_text(",".join(OURS) + "\n" + line + "\n")
        with pytest.raises(BadData, match=r"set\.csv, line 2.*quote texts"):
            load(str(path))
    path.write_text(",".join(OURS) + "\n")
    with pytest.raises(BadData, match="holds no dialogue"):
        load(str(path))


# The hub


def test_a_hub_set_needs_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'traitbench\[train\]'"):
        load("wenkai-li/big5_chat")


def test_a_hub_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(
        BadData, match=r"cannot load wenkai-li/big5_chat at revision abc from .*check name and connection"
    ):
        load("wenkai-li/big5_chat@abc")


def test_a_folder_in_the_layout_of_the_hub_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "wenkai-li" / "big5_chat"
    folder.mkdir(parents=True)
    written(folder / "big5_chat_dataset.csv", chat(SMALL, original_index=lambda d: d.scene))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    corpus = load("wenkai-li/big5_chat")
    assert list(corpus.dialogues) == SMALL and corpus.name == "wenkai-li/big5_chat"
    assert corpus.licence == "see https://huggingface.co/datasets/wenkai-li/big5_chat"


# Splitting


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_split_has_no_scene_on_both_sides(share: float) -> None:
    whole = load("open").dialogues
    for seed in range(3):
        train, held = split(whole, seed, share)
        scenes = {each.scene for each in train}, {each.scene for each in held}
        assert not scenes[0] & scenes[1] and len(scenes[1]) == round(share * 216)
        assert sorted(map(str, (*train, *held))) == sorted(map(str, whole))
        assert not {each.input for each in train} & {each.input for each in held}


def test_a_split_is_the_same_for_every_trait_level_and_order() -> None:
    held = {each.scene for each in split(SMALL, 4)[1]}
    assert held == {each.scene for each in split(SMALL[::-1], 4)[1]}
    for target in ("openness=high", "neuroticism=low"):
        assert held == {each.scene for each in split(of_target(SMALL, Target.parse(target)), 4)[1]}
    assert len({frozenset(each.scene for each in split(SMALL, seed)[1]) for seed in range(20)}) > 10


def test_a_split_holds_out_at_least_one_scene_and_trains_on_one() -> None:
    two = [each for each in SMALL if each.scene in ("s0", "s1")]
    for share in (0.01, 0.99):
        train, held = split(two, 0, share)
        assert len({each.scene for each in train}) == len({each.scene for each in held}) == 1
    with pytest.raises(BadData, match="1 scene cannot be split"):
        split(SMALL[:2], 0)
    for share in (0, 1, -0.5):
        with pytest.raises(TraitbenchUsage, match="between 0 and 1"):
            split(SMALL, 0, share)


def test_subsets_are_whole_scenes_and_nested() -> None:
    sizes = [{each.scene for each in subset(SMALL, n, 1)} for n in range(1, 21)]
    assert [len(scenes) for scenes in sizes] == list(range(1, 21))
    assert all(a < b for a, b in pairwise(sizes))
    assert len(subset(SMALL, 3, 1)) == 12 and subset(SMALL, 99, 1) == tuple(SMALL)
    assert len({frozenset(each.scene for each in subset(SMALL, 3, seed)) for seed in range(20)}) > 10
    with pytest.raises(TraitbenchUsage, match="expected 1 or more"):
        subset(SMALL, 0, 1)


# Targets and pairs


def test_the_records_of_a_target() -> None:
    found = of_target(SMALL, Target.parse("neuroticism=low"))
    assert len(found) == 20 and {(each.trait, each.level) for each in found} == {("neuroticism", "low")}
    with pytest.raises(
        BadData, match=r"no record of extraversion=high; they hold 20 x neuroticism=high, .*choose a target"
    ):
        of_target(SMALL, Target.parse("extraversion=high"))
    person = Target(person=Person(id="p1", inventory="ipip_neo_120", answers={}))
    for target in (Target.parse("openness=0.5"), Target.parse("openness=high,neuroticism=low"), person):
        with pytest.raises(UnsupportedControl, match="one trait at high or low"):
            of_target(SMALL, target)


def test_a_pair_prefers_a_record_to_its_opposite() -> None:
    made = pairs(SMALL)
    assert len(made) == len(SMALL)
    for pair, each in zip(made, SMALL, strict=True):
        assert (pair.trait, pair.level, pair.scene, pair.input, pair.chosen) == tuple(rows([each])[0].values())
        opposite = "low" if each.level == "high" else "high"
        assert pair.rejected == each.output.replace(each.level, opposite)
    assert {pair.trait for pair in pairs(SMALL, "openness")} == {"openness"} and len(pairs(SMALL, "openness")) == 40


def test_unequal_pairs_are_refused() -> None:
    with pytest.raises(BadData, match=r"2 of 78 records have no opposite .*\(1 x neuroticism=high, 1 x openness=low\)"):
        pairs([each for n, each in enumerate(SMALL) if n not in (4, 79)])
    assert len(pairs([each for n, each in enumerate(SMALL) if n != 79], "openness")) == 40
    with pytest.raises(BadData, match=r"scene 's0' has 2 records of openness=high .*in all: 1"):
        pairs([*SMALL, SMALL[0]])
    for few, trait in ((SMALL, "extraversion"), ([], None)):
        with pytest.raises(BadData, match="no dialogue of"):
            pairs(few, trait)


# Leaks


def plain_words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("\u2019", "'")).split()


def grams(text: str, n: int) -> set[str]:
    words = plain_words(text)
    return {" ".join(words[k : k + n]) for k in range(len(words) - n + 1)}


def loadable() -> dict[str, str]:
    """Every item text that can be loaded, by inventory and item id."""
    found = {}
    for name in inventories.names():
        with suppress(BadData):
            found |= {f"{name}/{item.id}": str(item.text) for item in inventories.load(name).items}
    return found


# What an audit finds depends on the inventories at hand: both sides are tried, with the restricted ones and without.
DATA = ["without", pytest.param("shared", marks=pytest.mark.data)]


@pytest.mark.parametrize("data", DATA)
def test_an_audit_agrees_with_a_plain_search(data: str, request: pytest.FixtureRequest) -> None:
    if data == "shared":
        request.getfixturevalue(data)
    items = loadable()
    texts = [
        "You know that I worry about things, like everybody.",
        "I believe that criminals should receive help rather than punishment, said she.",
        "I DON\u2019T LIKE the idea of change -- at all!",
        "Nothing of the sort is in here, as far as anybody can tell.",
    ]
    for n, without, restricted in ((3, 4, ["sd3/sd3_N4"]), (4, 2, []), (5, 2, [])):
        found = audit(texts, n)
        ours = set().union(*(grams(text, n) for text in texts))
        expected = {" ".join(plain_words(text)): len(grams(text, n) & ours) / len(grams(text, n))
                    for text in items.values() if grams(text, n) & ours}  # fmt: skip
        shares = {" ".join(plain_words(items[key])): share for key, share in found.shared.items()}
        assert shares == pytest.approx(expected) and len(shares) == len(found.shared)
        assert len(found.shared) == without + (len(restricted) if data == "shared" else 0)
        assert [key for key in found.shared if key.startswith("sd3/")] == (restricted if data == "shared" else [])
    bare = [f" {' '.join(plain_words(text))} " for text in texts]
    whole = {text_hash(text) for text in items.values() if len(plain_words(text)) > 2
             and any(f" {' '.join(plain_words(text))} " in each for each in bare)}  # fmt: skip
    assert len(whole) >= 3 and set(audit(texts).whole) == whole


def test_an_audit_tells_items_of_one_id_apart() -> None:
    texts = [str(inventories.load(name).items[8].text) for name in ("ipip_neo_120", "ipip_neo_300")]
    found = audit(["Nothing.", *texts], 3)
    assert {"ipip_neo_120/i9": 1.0, "ipip_neo_300/i9": 1.0}.items() <= found.shared.items()
    assert [(each.text, each.item) for each in found.examples][:2] == [(1, "ipip_neo_120/i9"), (2, "ipip_neo_300/i9")]


def test_an_audit_says_where_and_how_much() -> None:
    text = next(i.text for i in inventories.load("ipip_neo_300").items if len((i.text or "").split()) >= 7)
    assert text
    found = audit(["Something harmless is said here.", f"I {text.upper()}!", "And I am sad."])
    assert (found.texts, found.leaking, found.n) == (3, 1, 5) and found.items > 300
    assert [each.text for each in found.examples] == [1] * len(found.examples)
    assert found.examples[0].words == " ".join(re.findall(r"[\w']+", text.lower()))
    assert list(found.shared.values()) == [1.0] and len(found.whole) >= 1
    summary = found.summary
    assert summary["texts_leaking"] == 1 and summary["items_whole"] == len(found.whole)
    assert json.loads(json.dumps(summary)) == summary


def test_an_audit_of_nothing_finds_nothing() -> None:
    found = audit(["", "one two"])
    assert (found.shared, found.whole, found.examples, found.leaking) == ({}, (), (), 0)
    with pytest.raises(TraitbenchUsage, match="expected 3 or more"):
        audit([], 2)


def test_an_audit_without_restricted_texts_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRAITBENCH_DATA", raising=False)
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    found = audit([])
    assert {"bfi_44", "sd3"} <= set(found.missing) and "ipip_neo_300" in found.inventories


def test_words_of_a_restricted_inventory_are_not_shown(shared: Path) -> None:
    item = max(inventories.load("bfi_44").items, key=lambda i: len((i.text or "").split()))
    found = audit([f"It is said that I {item.text}."])
    assert item.text_hash in found.whole and f"bfi_44/{item.id}" in found.shared
    assert found.examples and all(each.words is None for each in found.examples if each.item == f"bfi_44/{item.id}")
    assert str(item.text).lower() not in json.dumps(found.summary).lower()
