"""The texts that ship, and the user's own: form, originality, errors."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from traitbench import inventories
from traitbench.errors import BadData, UnknownName
from traitbench.targets import characters
from traitbench.targets.characters import Character
from traitbench.types import BIG_FIVE, Target

PEOPLE = ["ada@age", "ada@youth", "bruno", "mina"]
POLES = [f"{trait}={level}" for trait in BIG_FIVE for level in ("high", "low")]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("’", "'"))


def whole(character: Character) -> str:
    return "\n".join([*character.knowledge, character.style])


def shared_runs(texts: list[str], n: int = 4) -> list[tuple[str, ...]]:
    """Runs of `n` words that `texts` and the items of any inventory that ships its texts have in common."""
    theirs = set()
    for name in inventories.names():
        try:
            inventory = inventories.load(name)
        except BadData:
            continue
        for item in inventory.items:
            for text in (item.text or "", inventory.statement(item)):
                mine = words(text)
                theirs |= {tuple(mine[i : i + n]) for i in range(len(mine) - n + 1)}
    assert len(theirs) > 500
    found = [words(text) for text in texts]
    return [tuple(w[i : i + n]) for w in found for i in range(len(w) - n + 1) if tuple(w[i : i + n]) in theirs]


def test_what_ships() -> None:
    assert characters.names() == PEOPLE and characters.poles() == POLES
    files = {path.name for path in Path(characters.__file__).parent.glob("*.*.txt")}
    assert files == {f"{name}.{part}.txt" for name in PEOPLE + POLES for part in ("knowledge", "style")}
    for name in PEOPLE + POLES:
        found = characters.load(name)
        assert found.name == name and found.licence == "CC0-1.0" and found.pole == (name in POLES)
        assert found.stage == name.partition("@")[2] and found.who == name.partition("@")[0]
    for name in POLES:
        assert Target.parse(name).name == name


@pytest.mark.parametrize("name", PEOPLE)
def test_characters_have_a_dozen_paragraphs(name: str) -> None:
    found = characters.load(name)
    assert 12 <= len(found.knowledge) <= 16
    assert all(50 <= len(paragraph.split()) <= 80 for paragraph in found.knowledge)
    assert 60 <= len(found.style.split()) <= 120


@pytest.mark.parametrize("name", POLES)
def test_poles_have_eight_paragraphs(name: str) -> None:
    found = characters.load(name)
    assert len(found.knowledge) == 8
    assert all(40 <= len(paragraph.split()) <= 62 for paragraph in found.knowledge)
    assert 60 <= len(found.style.split()) <= 120


def test_no_text_repeats_another() -> None:
    every = [paragraph for name in PEOPLE + POLES for paragraph in characters.load(name).knowledge]
    parts = [part for text in every for part in re.split(r"(?<=[.!?])\s+", text)]
    assert len(set(parts)) == len(parts)


def test_no_four_words_in_a_row_come_from_an_item() -> None:
    assert shared_runs([whole(characters.load(name)) for name in PEOPLE + POLES]) == []
    item = next(i for i in inventories.load("ipip_neo_120").items if len(words(i.text or "")) > 3)
    assert shared_runs([f"They {item.text}, or so it was told."]) != []


def test_stages_and_poles_tell_of_the_same_things() -> None:
    young, old = (characters.load(f"ada@{stage}") for stage in ("youth", "age"))
    assert len(young.knowledge) == len(old.knowledge) and young.style != old.style
    for a, b in zip(young.knowledge, old.knowledge, strict=True):
        rare = {w for w in words(a) if len(w) > 3} & {w for w in words(b) if len(w) > 3}
        assert rare - {"have", "that", "this", "with", "when", "what"}, (a, b)
    for high, low in (POLES[i : i + 2] for i in range(0, 10, 2)):
        both = [[set(words(text)) for text in characters.load(name).knowledge] for name in (high, low)]
        alike = np.array([[len(a & b) / len(a | b) for b in both[1]] for a in both[0]])
        # The n-th paragraphs of two poles are about the same facet: more words in common than other paragraphs.
        assert np.diag(alike).mean() > 1.2 * alike[~np.eye(8, dtype=bool)].mean(), high


def write(folder: Path, name: str, knowledge: str | bytes | None, style: str | None) -> str:
    if knowledge is not None:
        data = knowledge if isinstance(knowledge, bytes) else knowledge.encode()
        (folder / f"{name}.knowledge.txt").write_bytes(data)
    if style is not None:
        (folder / f"{name}.style.txt").write_text(style, encoding="utf-8")
    return str(folder / name)


def test_your_own(tmp_path: Path) -> None:
    text = "\ufeffI bake.\r\nAt night.\r\n \r\n\r\n  I sleep by day.\n\nSo it is."
    path = write(tmp_path, "leo.v2@noon", text, "Short.\n\nVery short.\n")
    for given in (path, Path(path)):
        found = characters.load(given)
        assert found.knowledge == ("I bake. At night.", "I sleep by day.", "So it is.")
        assert (found.name, found.who, found.stage) == ("leo.v2@noon", "leo.v2", "noon")
        assert found.style == "Short. Very short." and found.licence != "CC0-1.0" and not found.pole


def test_a_name_without_a_folder_is_looked_for_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "leo", "One.\n\nTwo.", "Dry.")
    write(tmp_path, "mina", "One.\n\nTwo.", "Dry.")
    monkeypatch.chdir(tmp_path)
    assert characters.load("leo").knowledge == ("One.", "Two.")
    assert len(characters.load("mina").knowledge) == 14
    assert characters.load("./mina").knowledge == ("One.", "Two.")


@pytest.mark.parametrize(
    ("knowledge", "style", "message"),
    [
        ("One.\n\nTwo.", None, r"style\.txt is missing; a character is two files"),
        (None, "Dry.", r"knowledge\.txt is missing"),
        ("", "Dry.", r"knowledge\.txt is empty; expected paragraphs"),
        (" \n\n \n", "Dry.", r"knowledge\.txt is empty"),
        ("One.\n\nTwo.", "\n", r"style\.txt is empty"),
        ("One.\nTwo.", "Dry.", r"holds one paragraph; expected at least 2"),
        (b"\xff\xfe\x00", "Dry.", r"cannot read .*expected a text file in UTF-8"),
    ],
)
def test_bad_files(tmp_path: Path, knowledge: str | bytes | None, style: str | None, message: str) -> None:
    with pytest.raises(BadData, match=message):
        characters.load(write(tmp_path, "leo", knowledge, style))


@pytest.mark.parametrize(("name", "message"), [("ada@yout", "did you mean 'ada@youth'"), ("zzz", "known: ada@age"),
                                               ("", "known"), ("/", "known")])  # fmt: skip
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        characters.load(name)


def test_names_are_sorted_and_told_apart() -> None:
    assert all(a < b for a, b in pairwise(characters.names())) and not set(PEOPLE) & set(POLES)
