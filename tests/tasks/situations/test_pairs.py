"""The pairs: what ships is whole and balanced, its audit finds planted faults, a damaged file is named."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from traitbench.errors import BadData
from traitbench.methods import dialogues
from traitbench.methods.prompting import texts as described
from traitbench.tasks.situations import audit as auditing
from traitbench.tasks.situations import pairs as module
from traitbench.tasks.situations.audit import audit, item_texts, words
from traitbench.tasks.situations.pairs import FACETS, Pair, load, read
from traitbench.types import BIG_FIVE

FOLDER = Path(module.__file__).with_name("pairs")
EVERY = (*load("test"), *load("dev"))


def adjectives() -> set[str]:
    return {
        word
        for trait in BIG_FIVE
        for pole in (described()[trait].high, described()[trait].low)
        for word in (pole.head, *pole.adjectives)
    }


def test_the_audit_finds_nothing() -> None:
    said = [text for each in dialogues.load("open").dialogues for text in (each.input, each.output)]
    items = item_texts()
    assert len(items) > 300 and len(said) > 4000
    assert audit(EVERY, items, said, forbidden=auditing.TRAIT_WORDS | adjectives()) == []


def test_nothing_of_the_restricted_inventories_is_in_them(shared: Path) -> None:
    items = item_texts()
    assert any(name.startswith("bfi_44/") for name in items)
    assert list(auditing.borrowed(EVERY, items)) == []


def test_replies_are_of_one_length_in_tokens() -> None:
    """By the tokenizer of the embedded model."""
    from traitbench.backends.models import resolve
    from traitbench.backends.weights import locate

    assert list(auditing.lengths(EVERY, auditing._counter(str(locate(resolve("smollm2")).path)))) == []


def test_there_are_as_many_as_promised() -> None:
    count = Counter(pair.trait for pair in EVERY)
    assert set(count) == set(BIG_FIVE) and min(count.values()) >= 66
    assert len({pair.id for pair in EVERY}) == len({pair.text_hash for pair in EVERY}) == len(EVERY)
    assert Counter(pair.facet for pair in load("dev")) == {f: 3 for mine in FACETS.values() for f in mine}
    assert [line.partition(":")[0] for line in auditing.counts(EVERY)] == list(dict.fromkeys(p.trait for p in EVERY))


def test_the_first_so_many_are_spread_over_traits_and_facets() -> None:
    test = load("test")
    assert [pair.number for pair in test] == list(range(1, len(test) + 1))
    assert Counter(pair.trait for pair in test[:20]) == dict.fromkeys(BIG_FIVE, 4)
    assert len({pair.facet for pair in test[:30]}) == 30


def test_half_of_the_high_replies_stand_first() -> None:
    for split in ("dev", "test"):
        for trait in BIG_FIVE:
            keys = [pair.keyed for pair in load(split) if pair.trait == trait]
            assert abs(sum(keys)) <= 1, (split, trait)


def planted(**changes: Any) -> list[Pair]:
    pair = EVERY[0].model_copy(update=changes)
    return [pair, *EVERY[1:]]


SIBLING = next(pair for pair in EVERY[1:] if pair.trait == EVERY[0].trait)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"high": "I go."}, "replies of 2 (high) and"),
        ({"high": EVERY[0].high + " café"}, "a character beyond ASCII"),
        ({"situation": "You wait."}, "the situation has 1 sentences"),
        ({"situation": "The shop is full. It rains."}, "does not speak of you"),
        ({"low": "I am a neurotic and go on to the next house with my old red bag and the two of them."}, "'neurotic'"),
        ({"high": SIBLING.high}, "shares"),
        ({"split": "dev"}, "O1 has 12 pairs, 4 of dev"),
    ],
)
def test_a_planted_fault_is_found(changes: dict[str, str], told: str) -> None:
    assert any(told in fault.what for fault in audit(planted(**changes), {}))


def test_borrowed_words_are_found_and_not_printed() -> None:
    pair = EVERY[0]
    run = words(pair.high)[:5]
    (of_item,) = auditing.borrowed([pair], {"mine/i1": " ".join(run[:4]).upper() + " and so on"})
    assert of_item.where == pair.id and of_item.what == "high: shares 4 words in a row with mine/i1"
    (whole,) = auditing.borrowed([pair], {"mine/i2": " ".join(run[:3])})
    assert whole.what == "high: holds the whole of mine/i2"
    (of_text,) = auditing.borrowed([pair], {}, ["So " + " ".join(run)])
    assert " ".join(run) in of_text.what
    assert list(auditing.borrowed([pair], {"mine/i3": " ".join(run[:2])}, [" ".join(run[:4])])) == []


def damaged(folder: Path, edit: Any) -> Path:
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    file = folder / "extraversion.json"
    held = json.loads(file.read_text())
    text = edit(held)
    file.write_text(text if isinstance(text, str) else json.dumps(held))
    return folder


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda held: '{"licence"', "extraversion.json: the file: Invalid JSON"),
        (
            lambda held: held["pairs"][3].pop("low") and None,
            r"pairs\.3\.low: Field required; expected licence",
        ),
        (lambda held: held["pairs"][0].update(extra=1), r"pairs\.0\.extra: Extra inputs"),
        (
            lambda held: held["pairs"][0].update(desirability="both"),
            r"pairs\.0\.desirability: Input should be",
        ),
        (lambda held: held["pairs"][0].update(facet="E9"), "unknown facet 'E9'; expected one of E1, E2"),
        (lambda held: held.update(trait="openness"), "the trait is 'openness', expected 'extraversion'"),
        (lambda held: held["pairs"][1].update(id=held["pairs"][0]["id"]), "stands twice; expected one id a pair"),
        (lambda held: held.update(pairs=[p for p in held["pairs"] if p["facet"] != "E4"]), "E4 has no test pair"),
    ],
)
def test_a_damaged_file_is_named_with_its_fault(tmp_path: Path, edit: Any, told: str) -> None:
    with pytest.raises(BadData, match=told):
        read(damaged(tmp_path, edit), "test")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "neuroticism.json").unlink()
    with pytest.raises(BadData, match=r"neuroticism.json cannot be read; expected the pairs of neuroticism"):
        read(tmp_path, "test")


def test_the_script_prints_counts_and_no_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["audit"])
    assert auditing.main() == 0
    out = capsys.readouterr().out
    assert out.count("words in a high reply") == 5 and out.endswith("0 faults\n")
    text = tmp_path / "texts.jsonl"
    text.write_text(json.dumps({"output": f"So {EVERY[0].high}", "n": 1}) + "\n")
    monkeypatch.setattr("sys.argv", ["audit", "--against", str(text)])
    assert auditing.main() == 1 and f"{EVERY[0].id}: high: shares" in capsys.readouterr().out
