"""The open set: it is what its script makes, balanced, varied, and free of the inventories' wording."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from traitbench.errors import BadData
from traitbench.methods.dialogues import Dialogue, load, open_set, pairs
from traitbench.methods.dialogues.leaks import audit
from traitbench.methods.dialogues.open_set import Situation, Texts, blocks, lines, make, scenes
from traitbench.types import BIG_FIVE

SHIPPED = Path(open_set.__file__).with_name("open.jsonl")


@pytest.fixture(scope="module")
def whole() -> tuple[Dialogue, ...]:
    return load("open").dialogues


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?!]) ", text)


def test_the_file_is_what_the_script_makes() -> None:
    assert SHIPPED.read_bytes() == lines(make(blocks())).encode()


def test_the_order_of_the_blocks_does_not_matter() -> None:
    source = blocks()
    turned = source.model_copy(update={"traits": {
        trait: {level: Texts(
            core={kind: texts.core[kind][::-1] for kind in reversed(texts.core)},
            habits=texts.habits[::-1], closers=texts.closers[::-1],
        ) for level, texts in reversed(levels.items())} for trait, levels in reversed(source.traits.items())
    }})  # fmt: skip
    assert lines(make(turned)) == lines(make(source))


def test_each_scene_has_a_reply_of_every_trait_and_level(whole: tuple[Dialogue, ...]) -> None:
    count = Counter((each.trait, each.level) for each in whole)
    assert set(count) == {(trait, level) for trait in BIG_FIVE for level in ("high", "low")}
    assert set(count.values()) == {216}
    assert len({(each.scene, each.input) for each in whole}) == len({each.input for each in whole}) == 216
    assert len(pairs(whole)) == len(whole) == len({each.output for each in whole}) == 2160


def test_texts_are_whole_sentences_without_slots(whole: tuple[Dialogue, ...]) -> None:
    for text in {text for each in whole for text in (each.input, each.output)}:
        assert re.fullmatch(r"[A-Z][\x20-\x7e]+[.?!]", text), text
        assert not re.search(r"[{}]|  |[.,;:?!]{2}|\b(\w+) \1\b|\b[Aa] [aei]|\b[Aa]n [bcdfgjklmnpqrstvwxyz]", text), (
            text
        )
        assert not re.search(r"[.?!] [a-z]", text), text


def test_every_block_of_a_kind_is_used_equally_often(whole: tuple[Dialogue, ...]) -> None:
    for trait, levels in blocks().traits.items():
        for level, texts in levels.items():
            used = Counter(
                s for each in whole if (each.trait, each.level) == (trait, level) for s in sentences(each.output)
            )
            habits, closers = (
                [sum(used[s] for s in sentences(b)[:1]) for b in kind] for kind in (texts.habits, texts.closers)
            )
            assert max(habits) - min(habits) <= 1 and sum(habits) == 216
            assert max(closers) - min(closers) <= 1 and sum(closers) == round(0.6 * 216)


def test_chosen_and_rejected_are_of_like_length(whole: tuple[Dialogue, ...]) -> None:
    for trait in BIG_FIVE:
        made = [pair for pair in pairs(whole, trait) if pair.level == "high"]
        longer = [len(words(pair.chosen)) - len(words(pair.rejected)) for pair in made]
        assert abs(mean(longer)) < 1.5
        # A preference for the longer reply would not tell the levels apart.
        assert 0.4 < sum(gap > 0 for gap in longer) / sum(gap != 0 for gap in longer) < 0.65


def test_the_set_is_varied(whole: tuple[Dialogue, ...]) -> None:
    told = [words(each.output) for each in whole]
    triples = [tuple(text[k : k + 3]) for text in told for k in range(len(text) - 2)]
    assert len({word for text in told for word in text}) > 3000
    assert len({s for each in whole for s in sentences(each.output)}) > 2400
    assert len(set(triples)) / len(triples) > 0.4
    starts = Counter(" ".join(text[:3]) for text in told)
    assert starts.most_common(1)[0][1] < 0.03 * len(told)


def test_no_reply_names_its_trait(whole: tuple[Dialogue, ...]) -> None:
    stems = "openness|conscientious|extraver|introver|agreeabl|neurotic|personality|trait"
    assert not [each.output for each in whole if re.search(stems, each.output, re.I)]


def test_nothing_of_the_inventories_is_in_it(whole: tuple[Dialogue, ...]) -> None:
    texts = [text for each in whole for text in (each.input, each.output)]
    for n in (4, 5):
        found = audit(texts, n)
        assert found.items > 300 and (found.shared, found.whole, found.leaking) == ({}, (), 0)


def test_nothing_of_the_restricted_inventories_is_in_it(whole: tuple[Dialogue, ...], shared: Path) -> None:
    found = audit([each.output for each in whole])
    assert "bfi_44" in found.inventories and (found.shared, found.whole) == ({}, ())


# The script


def test_scenes_use_inputs_and_slots_evenly() -> None:
    situation = Situation(
        id="x", domain="d", inputs=("{who} is here {when}.", "Where is {who}?"),
        slots={"who": ("my aunt", "Tom", "Mei"), "when": ("now", "today")},
    )  # fmt: skip
    made = scenes(situation, 6)
    assert len({scene.input for scene in made}) == 6 and [scene.id for scene in made] == [f"x-{n}" for n in range(1, 7)]
    assert Counter(set(scene.values) == {"who"} for scene in made) == {True: 3, False: 3}
    assert set(Counter(scene.values["who"] for scene in made).values()) == {2}
    assert any(scene.input.startswith("My aunt is here") for scene in made)
    assert any(scene.input == "Where is my aunt?" for scene in made)
    with pytest.raises(BadData, match="situation 'x' makes 9 scenes, expected 10"):
        scenes(situation, 10)


def test_a_core_answers_only_an_input_that_names_its_slots() -> None:
    source = blocks()
    museum = next(s for s in source.situations if s.id == "museum")
    assert any("{person}" not in line for line in museum.inputs)
    high = source.traits["openness"]["high"]
    lone = high.model_copy(update={"core": {**high.core, "museum": ("I will ask {person}.",)}})
    with pytest.raises(BadData, match=r"no core of openness high fits .*; write one of 'museum' without slots"):
        make(source.model_copy(update={"traits": {"openness": {"high": lone, "low": high}}}))


def test_a_value_is_said_from_the_other_side_in_the_reply(whole: tuple[Dialogue, ...]) -> None:
    refunds = [each for each in whole if each.scene.startswith("money") and "a tax refund" in each.input]
    assert refunds and any("the refund" in each.output for each in refunds)
    assert not any("a tax refund" in each.output for each in refunds)


def test_two_equal_replies_are_refused() -> None:
    source = blocks()
    few = source.traits["openness"]["high"]
    levels = {"high": few, "low": few}
    with pytest.raises(BadData, match="replies occur twice"):
        make(source.model_copy(update={"traits": {"openness": {
            level: texts.model_copy(update={"core": dict.fromkeys(texts.core, ("Yes.",)), "closers": ("So.",)})
            for level, texts in levels.items()
        }}}))  # fmt: skip
