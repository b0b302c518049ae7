"""The style `character` of prompting: what it tells of a character, and what it makes of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitbench.errors import BadData, TraitbenchUsage, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.prompting import Prompting, story
from traitbench.targets import characters
from traitbench.types import Target


def test_the_style_character_tells_style_and_knowledge_within_its_length() -> None:
    character = characters.load("mina")
    for limit in (150, 400, 2000):
        text, told = story(character, limit)
        assert len(text.split()) <= limit and text.startswith("You are Mina.") and character.style in text
        assert [p in text for p in character.knowledge] == [n < told for n in range(len(character.knowledge))]
    assert told == len(character.knowledge) and story(character, 400)[1] >= 3
    assert "Stage of life: youth." in story(characters.load("ada@youth"), 400)[0]
    assert story(characters.load("openness=high"), 400)[0].startswith("You are a person.")
    with pytest.raises(TraitbenchUsage, match="method_args words="):
        story(character, 60)


def test_prompting_makes_a_control_of_a_character(tmp_path: Path) -> None:
    method = Prompting(Prompting.Config(style="character", words=300))
    mine = [method.fit(Target(character=name), Bench()) for name in ("mina", "ada@age", "ada@youth")]
    assert len({control.hash for control in mine}) == 3 and {c.kinds for c in mine} == {frozenset({"prompt"})}
    assert all(c.fit and c.fit.licence == characters.LICENCE and c.fit.details["words"] <= 300 for c in mine)
    for kind, text in (("knowledge", "I was born at sea.\n\nI own a parrot."), ("style", "Kim whispers.")):
        (tmp_path / f"kim_lee.{kind}.txt").write_text(text, encoding="utf-8")
    own = method.fit(Target(character=str(tmp_path / "kim_lee")), Bench()).messages[0].content
    assert own.startswith("You are Kim lee.") and own.endswith("- I was born at sea.\n- I own a parrot.")
    with pytest.raises(UnsupportedControl, match="styles that can: character"):
        Prompting().fit(Target(character="mina"), Bench())
    with pytest.raises(UnsupportedControl, match="style 'character' cannot aim at openness=high"):
        method.fit(Target.parse("openness=high"), Bench())
    with pytest.raises(BadData, match="missing"):
        (tmp_path / "kim_lee.style.txt").unlink()
        method.fit(Target(character=str(tmp_path / "kim_lee")), Bench())
