"""Prompting: the wording of every style, what each refuses, and that no text of ours is an item of an instrument.

Over 300 lines: the checks of ten styles share their tables.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from traitbench import inventories
from traitbench.errors import BadData, UnknownName, UnsupportedControl
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.none import NoControl
from traitbench.methods.prompting import NEUTRAL, STYLES, Prompting, texts
from traitbench.tasks import Administration
from traitbench.tasks.biographies import MOST, WRITTEN, biographies, chosen
from traitbench.types import TRAITS, Control, Person, Target, digest

PERSON = Person(id="p1", inventory="ipip_neo_120", answers={})
WORDED = ("adjective", "instruction", "p2", "demo")
GRADED = ("adjective", "instruction")


def fit(style: str, target: str | Target | None, seed: int = 0, **config: Any) -> Control:
    parsed = Target.parse(target) if isinstance(target, str) else target
    return Prompting(Prompting.Config(style=style, **config)).fit(parsed, Bench(seed))  # type: ignore[arg-type]


def text(control: Control) -> str:
    return "\n".join(message.content for message in control.messages)


def adjectives() -> set[str]:
    poles = [pole for entry in texts().values() for pole in (entry.high, entry.low)]
    return {word.lower() for pole in poles for word in (pole.head, *pole.adjectives)}


def answered(**answers: int) -> Target:
    return Target(person=PERSON.model_copy(update={"answers": answers}))


@pytest.mark.parametrize("style", WORDED)
@pytest.mark.parametrize("trait", TRAITS)
def test_every_trait_and_pole_has_words(style: str, trait: str) -> None:
    high, low = fit(style, f"{trait}=high"), fit(style, f"{trait}=low")
    assert text(high).strip() and text(low).strip()
    assert text(high) != text(low) and high.hash != low.hash
    assert high.kinds == {"prompt"}


@pytest.mark.parametrize("style", WORDED)
def test_traits_have_different_words(style: str) -> None:
    assert len({text(fit(style, f"{trait}={pole}")) for trait in TRAITS for pole in ("high", "low")}) == 2 * len(TRAITS)


def test_texts_cover_the_traits_in_the_sizes_promised() -> None:
    assert list(texts()) == list(TRAITS)
    for entry in texts().values():
        assert len(entry.demo) == Prompting.Config.model_fields["k"].metadata[1].le == 6
        for pole in (entry.high, entry.low):
            assert len(set(pole.adjectives)) == 7 and pole.head not in pole.adjectives
            assert not any(word.startswith(("not ", "non")) for word in pole.adjectives)
            assert 60 <= len(pole.behaviour.split()) <= 90
        assert not set(entry.high.adjectives) & set(entry.low.adjectives)
    questions = [example.question for entry in texts().values() for example in entry.demo]
    assert len(set(questions)) == len(questions)


def test_wording_of_the_sentences() -> None:
    assert text(fit("adjective", "extraversion=high")) == (
        "You are a person who is extremely extraverted: extremely outgoing, talkative, sociable, energetic, lively, "
        "assertive and enthusiastic."
    )
    assert text(fit("instruction", "extraversion=high")) == "You are a person with high extraversion."
    assert text(fit("instruction", "machiavellianism=-0.5,openness=0")) == (
        "You are a person with average openness and moderately low Machiavellianism."
    )
    assert "average in extraversion" in text(fit("adjective", "extraversion=0"))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("adjective", ["average", "slightly", "somewhat", "fairly", "very", "extremely"]),
        ("instruction", ["average", "slightly", "somewhat", "moderately", "fairly", "with high|with low"]),
    ],
)
def test_grading_is_monotone(style: str, words: list[str], sign: int) -> None:
    def strength(level: float) -> int:
        said = text(fit(style, Target(levels={"agreeableness": sign * level})))
        found = [rank for rank, word in enumerate(words) if re.search(word, said.split(":")[0])]
        assert len(found) == 1, said
        return found[0]

    ranks = [strength(step / 20) for step in range(21)]
    assert ranks == sorted(ranks) and set(ranks) == set(range(6))
    assert strength(0.3) < strength(0.6) < strength(1)


@pytest.mark.parametrize("style", WORDED)
def test_several_traits_are_one_text_in_a_fixed_order(style: str) -> None:
    both = fit(style, "neuroticism=low,extraversion=high")
    assert both == fit(style, "extraversion=high,neuroticism=low")
    one, other = text(fit(style, "extraversion=high")), text(fit(style, "neuroticism=low"))
    if style in ("p2", "demo"):
        assert one in text(both) and other in text(both)
    else:
        assert len(both.messages) == 1
        assert "extraver" in text(both) and ("stable" in text(both) or "low neuroticism" in text(both))


def test_demo_is_seeded_and_shows_both_poles_the_same_questions() -> None:
    def questions(pole: str, seed: int) -> list[str]:
        return [m.content for m in fit("demo", f"openness={pole}", seed).messages if m.role == "user"]

    assert fit("demo", "openness=high", 3) == fit("demo", "openness=high", 3)
    assert questions("high", 3) == questions("low", 3)
    assert len({tuple(questions("high", seed)) for seed in range(20)}) > 5
    for k in range(1, 7):
        messages = fit("demo", "openness=high", k=k).messages
        assert [m.role for m in messages] == ["user", "assistant"] * k
        assert len({m.content for m in messages}) == 2 * k
    for k in (0, 7):
        with pytest.raises(ValidationError):
            Prompting.Config(k=k)


@pytest.mark.parametrize("style", [*GRADED, "p2", "neutral"])
def test_only_demo_depends_on_the_seed(style: str) -> None:
    assert fit(style, "openness=high", 0) == fit(style, "openness=high", 1)


def test_hashes_are_stable() -> None:
    """A changed text changes what published rows mean: raise Prompting.version together with these."""
    assert Prompting.version == "1"
    every = [",".join(f"{trait}={pole}" for trait in TRAITS) for pole in ("high", "low")]
    controls = {style: [fit(style, target) for target in every] for style in WORDED}
    assert {style: digest([text(control) for control in made]) for style, made in controls.items()} == {
        "adjective": "38fa37820222ae19",
        "instruction": "6a06f50855d14b22",
        "p2": "6192bb1e81dfe509",
        "demo": "f1b81d91e3ceccce",
    }
    for style in WORDED:
        assert [control.hash for control in controls[style]] == [fit(style, target).hash for target in every]


@pytest.mark.parametrize("style", ["adjective", "instruction", "p2", "neutral"])
def test_turn(style: str) -> None:
    for turn in ("system", "user"):
        (message,) = fit(style, "openness=high", turn=turn).messages
        assert message.role == turn


def test_direct_and_none_say_nothing() -> None:
    for target in (Target.parse("openness=0.5"), answered(i1=3), None):
        assert fit("direct", target) == Control() == NoControl().fit(target, Bench())
    assert not Control().kinds


def test_neutral_ignores_the_target() -> None:
    assert text(fit("neutral", None)) == text(fit("neutral", "openness=high")) == NEUTRAL
    assert not any(re.search(rf"\b{re.escape(word)}\b", NEUTRAL.lower()) for word in adjectives())


def test_person_writes_the_answers_in_order_and_skips_missing_ones() -> None:
    inventory = inventories.load("ipip_neo_120")
    first, second, third = inventory.items[:3]
    said = text(fit("person", answered(**{third.id: 5, first.id: 1}))).splitlines()
    assert said[1:] == [
        f"- {inventory.statement(first)} Answer: Very Inaccurate",
        f"- {inventory.statement(third)} Answer: Very Accurate",
    ]
    assert inventory.statement(second) not in "\n".join(said)


@pytest.mark.parametrize(
    ("answers", "match"),
    [({}, "nothing"), ({"i999999": 3}, "i999999"), ({"first": 0}, "1 to 5; leave a missing"), ({"first": 6}, "1 to 5")],
)
def test_person_refuses_answers_that_do_not_fit(answers: dict[str, int], match: str) -> None:
    first = inventories.load("ipip_neo_120").items[0].id
    with pytest.raises(BadData, match=match):
        fit("person", answered(**{first if name == "first" else name: value for name, value in answers.items()}))


@pytest.mark.parametrize(
    ("style", "target", "able"),
    [
        ("p2", "openness=0.5", ["adjective", "instruction"]),
        ("demo", "openness=0.5,neuroticism=low", ["adjective", "instruction"]),
        ("person", "openness=high", ["adjective", "instruction", "p2", "description", "demo"]),
        ("adjective", answered(i1=3), ["person"]),
    ],
)
def test_refusals_name_style_target_and_the_styles_that_can(style: str, target: str | Target, able: list[str]) -> None:
    with pytest.raises(UnsupportedControl) as refused:
        fit(style, target)
    message = str(refused.value)
    name = target if isinstance(target, str) else target.name
    assert f"style {style!r} cannot aim at {name} " in message
    assert f"styles that can: {', '.join(able)} (" in message


def test_a_description_is_of_the_pole() -> None:
    from traitbench.tasks.personality_bench.poles import descriptions

    high, low = (text(fit("description", f"openness={pole}")) for pole in ("high", "low"))
    assert high != low and high.startswith("You are the person who is described here.\n\n")
    first = {(each.trait, each.pole): each.text for each in reversed(descriptions())}
    assert high.endswith(first["openness", "high"]) and low.endswith(first["openness", "low"])
    both = text(fit("description", "neuroticism=low,openness=high"))
    assert both.index(first["openness", "high"]) < both.index(first["neuroticism", "low"])
    assert text(fit("description", "narcissism=high")).endswith(first["narcissism", "high"])


@pytest.mark.parametrize("style", [*WORDED, "person"])
def test_a_missing_target_is_refused(style: str) -> None:
    with pytest.raises(UnsupportedControl, match=f"{style}.*needs a target"):
        fit(style, None)


@pytest.mark.parametrize("style", STYLES)
def test_targets_follow_the_style_and_fit_agrees(style: str) -> None:
    method = Prompting(Prompting.Config(style=style))  # type: ignore[arg-type]
    assert method.targets == STYLES[style]  # type: ignore[index]
    assert method.targets <= Prompting.targets
    item = inventories.load("ipip_neo_120").items[0].id
    levels = ("openness=high", "openness=0.5", "openness=low,neuroticism=high")
    for target in (*map(Target.parse, levels), answered(**{item: 2})):
        if target.aims <= method.targets or style == "neutral":
            method.fit(target, Bench())
        else:
            with pytest.raises(UnsupportedControl):
                method.fit(target, Bench())


@pytest.mark.parametrize(
    ("written", "match"),
    [
        ("extravertion=high", "did you mean 'extraversion'"),
        ("narcisism=low", "did you mean 'narcissism'"),
        ("openness=higher", "expected high, low or a number"),
        ("openness", "e.g. openness=high"),
        ("openness=1.5", r"expected low, high or a number in \[-1, 1\]"),
    ],
)
def test_a_wrong_target_is_told_what_to_write(written: str, match: str) -> None:
    with pytest.raises(UnknownName, match=match):
        Target.parse(written)


def test_catalog_names_both_methods() -> None:
    assert METHODS.load("prompting") is Prompting
    assert METHODS.load("none") is NoControl
    assert (Prompting.name, NoControl.name, NoControl.targets, NoControl.makes) == (
        "prompting",
        "none",
        frozenset(),
        frozenset(),
    )


def test_biographies_are_five_hundred_and_say_nothing_of_traits() -> None:
    people = biographies()
    assert list(people) == list(range(1, MOST + 1))
    assert len(set(people.values())) == MOST >= 200
    for written in (range(1, WRITTEN + 1), range(WRITTEN + 1, MOST + 1)):
        ages = []
        for said in (people[id] for id in written):
            start = re.match(r"You are (an?) (\d\d)-year-old (?:woman|man) from ", said)
            assert start, said
            ages.append(int(start[2]))
            assert (start[1] == "an") == (ages[-1] in (18, *range(80, 90)))
            assert 25 <= len(said.split()) <= 42
            assert len(re.findall(r"\.(?: |$)", said)) == 2
            assert not {word for word in adjectives() if re.search(rf"\b{re.escape(word)}\b", said.lower())}, said
            assert not any(re.search(rf"\b{trait}\b", said.lower()) for trait in TRAITS)
        assert (min(ages), max(ages)) == (18, 80) and len(set(ages)) > 40
        assert sum(" woman " in people[id] for id in written) == len(written) / 2


def test_an_id_stands_for_one_text_for_ever() -> None:
    """Kept runs name their respondents by id: the written fifty, and every composed one, are what they were."""
    people = biographies()
    for last, known in ((50, "3a2e849fa5dd47a7"), (MOST, "5cdc0f841c342f5f")):
        said = "\n".join(people[id] for id in range(1, last + 1))
        assert hashlib.sha256(said.encode()).hexdigest()[:16] == known


def test_up_to_fifty_respondents_are_those_that_were_drawn_before_there_were_more() -> None:
    for n in (1, 20, 50):
        assert chosen(n, 3) == sorted(random.Random(3).sample(list(range(1, 51)), n))
    assert Administration(respondents=50).chosen_respondents(0) == list(range(1, 51))
    many = Administration(respondents=200).chosen_respondents(0)
    assert len(set(many)) == 200 and many[:50] == list(range(1, 51))
    assert many != Administration(respondents=200).chosen_respondents(1)
    assert len(Administration(respondents=MOST).chosen_respondents(0)) == MOST
    with pytest.raises(ValidationError, match=f"less than or equal to {MOST}"):
        Administration(respondents=MOST + 1)


def _ours() -> Iterator[str]:
    """Every text of prompting.json and of the biographies."""
    for entry in texts().values():
        for pole in (entry.high, entry.low):
            yield from (pole.behaviour, ", ".join((pole.head, *pole.adjectives)))
        for example in entry.demo:
            yield from (example.question, example.high, example.low)
    yield from biographies().values()


def _runs(text: str, longest: int) -> Iterator[tuple[str, str]]:
    """Yield every run of two or more words up to `longest`, and its hash as in instrument_digests.json."""
    words = text.split()
    for start in range(len(words)):
        for end in range(start + 2, min(start + longest, len(words)) + 1):
            run = " ".join(words[start:end])
            yield run, hashlib.sha256(re.sub("[^a-z]", "", run.lower()).encode()).hexdigest()


def _shared(hashes: set[str]) -> list[str]:
    return [run for text in _ours() for run, found in _runs(text, 30) if found in hashes]


def test_no_text_contains_an_item_of_the_inventories_that_ship() -> None:
    hashes = {item.text_hash for name in inventories.names() for item in inventories.load(name, texts=False).items}
    assert len(hashes) > 300 and "" not in hashes
    assert _shared(hashes) == []


def test_no_text_contains_an_item_of_the_shared_instruments(shared: Path) -> None:
    oracle = (shared / "oracles" / "instrument_digests.json").read_text(encoding="utf-8")
    instruments = json.loads(oracle)["instruments"]
    hashes = {item["sha256_text"] for items in instruments.values() for item in items}
    assert len(hashes) > 300
    for file in shared.glob("inventories/*.json"):
        items = json.loads(file.read_text(encoding="utf-8"))["items"]
        hashes |= {inventories.text_hash(item["text"]) for item in items if item.get("text")}
    assert _shared(hashes) == []


def test_the_search_for_items_finds_one_inside_a_sentence() -> None:
    item = inventories.load("ipip_neo_120").items[0]
    assert item.text is not None
    sentence = f"On most days I {item.text.lower()}, and then I sleep."
    assert item.text_hash in {found for _, found in _runs(sentence, 30)}
