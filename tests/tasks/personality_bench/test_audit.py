"""The audit of questions, pole descriptions and rubrics finds nothing in what ships, and finds planted faults."""

from __future__ import annotations

from traitbench.methods import dialogues
from traitbench.tasks.personality_bench import audit
from traitbench.tasks.situations.pairs import load


def test_what_ships_has_no_fault() -> None:
    said = [text for each in dialogues.load("open").dialogues for text in (each.input, each.output)]
    said += [text for split in ("test", "dev") for pair in load(split) for text in (pair.text,)]
    assert list(audit.faults(said)) == []
    assert "180 questions" in audit.counts()


def test_planted_faults_are_named() -> None:
    (found,) = audit.shared({"a": "He went down to the old mill."}, ["We went down to the old shop."], 5)
    assert found.startswith("a: shares 5 words in a row with another text: 'went down to the old")
    (named,) = audit.naming({"b": "Are you a cheerful person?"})
    assert "'cheerful'" in named
