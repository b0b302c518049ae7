"""What scripted writers say: balanced, of our own, and as much of either pole as the level asks for."""

from __future__ import annotations

import random
import re

import pytest

from traitbench.backends import stock
from traitbench.backends.scripted import Respondent, Scripted
from traitbench.methods import dialogues
from traitbench.tasks.situations.pairs import load
from traitbench.types import BIG_FIVE, Control, Doc, Message, Target, Write

HELD = stock.sentences()
EVERY = [said for poles in HELD.values() for mine in poles.values() for said in mine]


def test_ten_a_pole_in_the_first_person() -> None:
    assert list(HELD) == list(BIG_FIVE) and {len(mine) for poles in HELD.values() for mine in poles.values()} == {10}
    assert len(set(EVERY)) == 100 and all(said.endswith(".") and len(said.split()) <= 20 for said in EVERY)
    longest = {t: [sum(len(s.split()) for s in HELD[t][p]) for p in ("high", "low")] for t in BIG_FIVE}
    assert all(abs(high - low) <= 0.25 * max(high, low) for high, low in longest.values())


def test_they_are_no_sentence_that_the_scorer_or_the_situations_have_seen() -> None:
    seen = [text for each in dialogues.load("open").dialogues for text in (each.input, each.output)]
    seen += [pair.text for split in ("test", "dev") for pair in load(split)]
    known = {_plain(part) for text in seen for part in re.split(r"(?<=[.!?])\s+", text)}
    assert len(known) > 4000 and not [said for said in EVERY if _plain(said) in known]


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


@pytest.mark.parametrize(("level", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.3, 0.3)])
def test_the_level_is_the_share_of_sentences_of_the_high_pole(level: float, share: float) -> None:
    high = set(HELD["neuroticism"]["high"])
    own = high | set(HELD["neuroticism"]["low"])
    told = [stock.speech({"neuroticism": level}, "neuroticism", random.Random(n)) for n in range(400)]
    said = [part for text in told for part in re.split(r"(?<=[.!?])\s+", text) if part in own]
    assert len(said) == 1600
    assert sum(part in high for part in said) / len(said) == pytest.approx(share, abs=0.03)


def ask(**more: int) -> Write:
    doc = Doc(task="t", scoring="generate", item="i", trait="openness", facet=None, keyed=1)
    return Write.model_validate(
        {"doc": doc, "messages": (Message(role="user", content="?"),), "max_tokens": 80, **more}
    )


def test_a_writer_heeds_a_control_and_the_length_allowed() -> None:
    writer = Scripted("person", Respondent(openness=0.5, obedience=0.5))
    control = Control(target=Target(levels={"openness": 1.0}))
    with writer.under(control):
        (found,) = [r for batch in writer.run([ask()]) for r in batch.values()]
        (short,) = [r for batch in writer.run([ask(max_tokens=5)]) for r in batch.values()]
    assert sum(said in str(found.text) for said in HELD["openness"]["high"]) == 4 and found.status == "valid"
    assert short.status == "truncated" and short.tokens == 5 and str(found.text).startswith(str(short.text))


def test_what_is_about_no_trait_gets_a_sentence_a_trait() -> None:
    text = stock.speech({}, "opinion", random.Random(0))
    assert [sum(said in text for said in [*HELD[t]["high"], *HELD[t]["low"]]) for t in BIG_FIVE] == [1] * 5
