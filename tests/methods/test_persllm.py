"""PersLLM: questions, retrieval, answers by any backend, pairs, and both stages of training on a tiny model."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench import controls
from traitbench.backends.backend import Backend, Options
from traitbench.errors import BadData, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.persllm import PersLLM, _cast, character_of, questions
from traitbench.methods.persllm import data as data
from traitbench.methods.persllm.data import Answered, Building, Loss, Persona
from traitbench.methods.persllm.pairs import pairs, rivals
from traitbench.methods.persllm.questions import Question
from traitbench.methods.persllm.quotes import quote, sentences
from traitbench.methods.persllm.similarity import cosines, nearest
from traitbench.targets import characters
from traitbench.targets.characters import Character
from traitbench.types import Control, Request, Response, Target, Write

YOUTH = characters.load("ada@youth")
OTHERS = [characters.load(name) for name in characters.names() if name != "ada@youth"]
CAST = [YOUTH, *OTHERS]


def small(name: str, *knowledge: str, style: str = "Dry.") -> Character:
    return Character(name=name, stage=name.partition("@")[2], knowledge=knowledge, style=style, licence="own")


LEO = small(
    "leo",
    "I bake black bread in a clay oven. The village sleeps. My brother carried the flour.",
    "A storm broke the old bridge. I crossed the river with a rope, and the rope held.",
    "The school was a cold house. I left it early. Learning is for rain.",
)
EVA = small(
    "eva",
    "I sell maps at the harbour. Sailors pay with stories. Every story is a debt.",
    "A storm sank the yellow boat. I laughed, since the boat was not mine.",
    "The school had a garden. I stayed there for years. Learning is all I own.",
)


class Told(Backend):
    """Writes what a function says; counts what it was asked."""

    name = "told"
    applies = frozenset({"prompt"})

    def __init__(self, reply: Any, fail_after: int | None = None) -> None:
        self.reply, self.fail_after = reply, fail_after
        self.asked: list[Write] = []

    @classmethod
    def make(cls, spec: Any, options: Options) -> Told:
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, Any]:
        return {"backend": "told", "model": "told"}

    @contextmanager
    def under(self, control: Control | None) -> Iterator[None]:
        assert control is None
        yield

    def prompt(self, request: Request) -> str:
        return "\n".join(m.content for m in request.messages)

    def run(self, requests: Sequence[Request], done: Collection[int] = ()) -> Iterator[Mapping[int, Response]]:
        for i, request in enumerate(requests):
            assert isinstance(request, Write)
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise KeyboardInterrupt
            self.asked.append(request)
            yield {i: self.reply(request)}


def echo(request: Write) -> Response:
    question = request.messages[-1].content.rpartition("Question: ")[2]
    return Response(text=f" {request.messages[0].content.split(' How')[0]} {question} \n")


@pytest.fixture
def desk(tmp_path: Path) -> Bench:
    """A bench without a model."""
    return Bench(0, None, tmp_path / "controls", tmp_path / "cache")


# --- questions ---------------------------------------------------------------------------------------------------


def test_phrases_are_the_noun_phrases_of_a_paragraph() -> None:
    text = "My old uncle carried a tin box slowly to the harbour gate. There Jonas waited for the end of our own road."
    assert questions.phrases(text) == ["your old uncle", "the tin box", "the harbour gate", "Jonas", "your road"]
    assert questions.phrases("I am. You were not. It is so.") == []


def test_templates_are_deterministic_and_cover_every_paragraph() -> None:
    made, missing = questions.from_templates(YOUTH, OTHERS, 2, 0)
    assert made == questions.from_templates(YOUTH, OTHERS, 2, 0)[0] != questions.from_templates(YOUTH, OTHERS, 2, 1)[0]
    assert missing == 0
    assert Counter((q.paragraph, q.kind) for q in made) == {
        (n, kind): 2 for n in range(len(YOUTH.knowledge)) for kind in questions.KINDS
    }
    for question in made:
        assert question.text.strip().endswith("?") or "." in question.text
        assert not re.search(r"[{}]", question.text)
        text = YOUTH.knowledge[question.paragraph].lower()
        for phrase in question.about:
            words = phrase.lower().removeprefix("the ").removeprefix("your ")
            assert words in text and (phrase in question.text or question.kind == "false_premise")


def test_false_premises_are_false() -> None:
    known = " ".join(YOUTH.knowledge).lower()
    foreign = " ".join(text for other in OTHERS for text in other.knowledge).lower()
    made = [q for q in questions.from_templates(YOUTH, OTHERS, 3, 0)[0] if q.kind == "false_premise"]
    assert len(made) == 3 * len(YOUTH.knowledge)
    for question in made:
        phrase = question.premise.removeprefix("the ")
        assert phrase.lower() in foreign and question.premise in question.text
        assert not any(re.search(rf"\b{re.escape(word)}\b", known) for word in phrase.lower().split())


def test_what_cannot_be_asked_is_counted() -> None:
    mute = small("mute", "I am.", "You were not.")
    assert questions.from_templates(mute, [], 2, 0) == ([], 12)
    made, missing = questions.from_templates(LEO, [], 1, 0)
    # Without anyone else there is nothing foreign to ask for.
    assert missing == 3 and {q.kind for q in made} == {"ordinary", "opinion"}


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("Question: Why did you stay?", "Why did you stay?"),
        ('1. "What is tar for?" Because', "What is tar for?"),
        ("Sure.\n\nWho is Harl? And why?", "Who is Harl?"),
        ("I do not ask.", None),
        ("", None),
    ],
)
def test_written_questions_are_read(reply: str, found: str | None) -> None:
    assert questions.read(reply) == found


# --- similarity --------------------------------------------------------------------------------------------------


def by_hand(texts: Sequence[str]) -> np.ndarray:
    """TF-IDF cosines from their definition: (1 + ln tf) (1 + ln((1 + n) / (1 + df))), unit length."""
    bags = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    spread = Counter(word for bag in bags for word in bag)
    rows = [{w: (1 + math.log(c)) * (1 + math.log((1 + len(bags)) / (1 + spread[w]))) for w, c in bag.items()}
            for bag in bags]  # fmt: skip
    size = [math.sqrt(sum(v * v for v in row.values())) for row in rows]
    table = [
        [sum(a[w] * b.get(w, 0) for w in a) / (p * q) if p and q else 0.0 for b, q in zip(rows, size, strict=True)]
        for a, p in zip(rows, size, strict=True)
    ]
    return np.round(np.array(table), 9)


def test_tfidf_is_the_formula() -> None:
    texts = ["the red boat and the sea", "a boat", "the sea sea sea", "nothing in common", "..."]
    want = by_hand(texts)
    np.testing.assert_allclose(cosines(texts[:2], texts[2:], "tfidf"), want[:2, 2:], atol=2e-9)
    assert want[0, 2] > 0.3 and cosines(["?", "!"], ["."], "tfidf").tolist() == [[0.0], [0.0]]


def test_embeddings_see_what_words_do_not() -> None:
    pytest.importorskip("wordllama")
    texts = ["Her violin is old.", "Taxes are due in January."]
    found = cosines(["What do you think of the fiddle?"], texts, "embedding")[0]
    assert found[0] > found[1] and np.isfinite(cosines(["", "a boat"], ["a boat", ""], "embedding")).all()
    np.testing.assert_allclose(cosines(["a boat"], ["a boat"], "embedding"), 1, atol=1e-6)


def test_nearest_are_the_best_first() -> None:
    passages = ["apples and pears", "a boat on the sea", "the sea is grey, the boat is green", "the the the"]
    found = nearest(["my boat, the sea", "pears"], passages, 2, "tfidf")
    want = by_hand(["my boat, the sea", "pears", *passages])[:2, 2:]
    assert found == [list(np.argsort(-row, kind="stable")[:2]) for row in want]


def test_duplicates_are_dropped() -> None:
    texts = ["What of the boat?", "What of the boat", "And the sea?", "what OF the boat!", "Who is Harl?"]
    asked = [Question(character="a", paragraph=0, kind="ordinary", text=text) for text in texts]
    assert [q.text for q in data.without_duplicates(asked, 0.95, "tfidf")] == [texts[0], texts[2], texts[4]]
    assert (
        data.without_duplicates(asked, 1.0, "tfidf")[0].text == texts[0]
        and data.without_duplicates([], 1, "tfidf") == []
    )
    close = by_hand([*texts, *texts])[0, 2]
    for step, kept in ((0.001, 3), (-0.001, 2)):
        assert len(data.without_duplicates(asked, close + step, "tfidf")) == kept


def test_held_out_paragraphs() -> None:
    assert data.held_out(14, 0.1, 0) == data.held_out(14, 0.1, 0) and len(data.held_out(14, 0.3, 0)) == 4
    assert {data.held_out(14, 0.1, seed) for seed in range(9)} != {data.held_out(14, 0.1, 0)}
    assert len(data.held_out(2, 0.01, 0)) == len(data.held_out(2, 0.99, 0)) == 1
    assert all(n < 5 for n in data.held_out(5, 0.9, 3)) and len(data.held_out(5, 0.9, 3)) == 4


# --- answers -----------------------------------------------------------------------------------------------------


def test_answers_are_grounded_in_passages_of_their_half(desk: Bench) -> None:
    writer = Told(echo)
    found = data.build(desk, CAST, Building(per_kind=1, passages=2, held_out=0.3), writer)
    assert list(found) == [character.name for character in CAST]
    held = data.held_out(14, 0.3, 0)
    mine = found["ada@youth"]
    assert mine.asked == len(mine.records) and mine.lost.empty == mine.lost.truncated == 0
    assert {record.paragraph for record in mine.half("held_out")} == held and len(mine.half("train")) >= 28
    for record in mine.records:
        usable = [n for n in range(14) if record.half == "held_out" or n not in held]
        texts = [record.question for record in mine.half(record.half)] + [YOUTH.knowledge[n] for n in usable]
        place = [record.question for record in mine.half(record.half)].index(record.question)
        row = by_hand(texts)[place, -len(usable) :]
        assert record.passages == tuple(usable[n] for n in np.argsort(-row, kind="stable")[:2])
        # A stage of life is told as ordinary text; the reply is stripped.
        assert record.answer == f"You are Ada. Stage of life: youth. {record.question}"


def test_prompts_hold_style_passages_and_question(desk: Bench) -> None:
    writer = Told(echo)
    found = data.build(desk, [LEO, EVA], Building(per_kind=1, passages=1), writer)
    record = next(r for r in found["leo"].records if r.kind == "false_premise")
    request = next(r for r in writer.asked if r.messages[1].content.endswith(f"Question: {record.question}"))
    system, user = (message.content for message in request.messages)
    assert system == "You are Leo. How you talk: Dry." and LEO.knowledge[record.passages[0]] in user
    assert "not true" in user and request.temperature == 0 and request.max_tokens == Building().answer_tokens
    assert sum(text in user for text in LEO.knowledge) == 1


def test_empty_and_truncated_answers_are_dropped_and_counted(desk: Bench) -> None:
    def reply(request: Write) -> Response:
        kind = request.messages[-1].content
        if "Say what you think" in kind:
            return Response(text="and so on and", status="truncated")
        return Response(text="  ") if "not true" in kind else echo(request)

    found = data.build(desk, [LEO, EVA], Building(per_kind=1), Told(reply))["leo"]
    assert found.asked == 9 and found.lost == Loss(empty=3, truncated=3)
    assert {record.kind for record in found.records} == {"ordinary"} and len(found.records) == 3


def test_a_writer_that_never_ends_is_an_error(desk: Bench) -> None:
    writer = Told(lambda request: Response(text="on and on", status="truncated"))
    with pytest.raises(BadData, match=r"leo is left without an answer in the half train \(9 questions asked, 9 trunc"):
        data.build(desk, [LEO, EVA], Building(per_kind=1), writer)


def test_a_killed_build_goes_on(desk: Bench) -> None:
    whole = Told(echo)
    want = data.build(Bench(0, None, desk.folder, desk.cache / "other"), CAST, Building(), whole)
    killed = Told(echo, fail_after=100)
    with pytest.raises(KeyboardInterrupt):
        data.build(desk, CAST, Building(), killed)
    rest = Told(echo)
    assert data.build(desk, CAST, Building(), rest) == want
    assert len(killed.asked) == 100 and len(whole.asked) - 100 <= len(rest.asked) <= len(whole.asked) - 100 + 32
    idle = Told(echo, fail_after=0)
    assert data.build(desk, CAST, Building(), idle) == want


def test_damaged_replies_are_asked_again(desk: Bench) -> None:
    want = data.build(desk, [LEO, EVA], Building(), Told(echo))
    for path in desk.cache.glob("persllm-*.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert set(json.loads(lines[0])) == {"status", "text"}
        path.write_text("\n".join([*lines[:3], lines[3][:9]]), encoding="utf-8")
    again = Told(echo)
    assert data.build(desk, [LEO, EVA], Building(), again) == want and again.asked
    # Another prompt is another file.
    more = Told(echo)
    data.build(desk, [LEO, EVA], Building(answer_tokens=99), more)
    assert len(more.asked) == sum(p.asked for p in want.values())


def test_questions_written_by_a_model(desk: Bench) -> None:
    def reply(request: Write) -> Response:
        text = request.messages[-1].content
        if "Write only the question" not in text:
            return echo(request)
        if "opinion" in text:
            return Response(text="I would rather not.")
        return Response(text=f"1. What about {len(text)} and {text.split()[3]}?\n2. And?")

    found = data.build(desk, [LEO, EVA], Building(questions="written", per_kind=1), Told(reply))["leo"]
    assert found.lost.unmade == 3 and found.asked + found.lost.duplicates == 6
    assert all(record.question.startswith("What about ") for record in found.records)
    sampled = [request for _, request in questions.written(LEO, 2, 64, 7)]
    assert [r.temperature for r in sampled[:2]] == [0, 1] and [r.seed for r in sampled[:2]] == [7, 8]
    assert len(sampled) == 18


def test_quoted_answers_are_the_characters_own_sentences(desk: Bench) -> None:
    found = data.build(desk, CAST, Building(answers="quoted"), Told(echo, fail_after=0))["ada@youth"]
    own = {part for text in YOUTH.knowledge for part in sentences(text)}
    assert len(own) > 40 and all(part in " ".join(YOUTH.knowledge) for part in own)
    held = data.held_out(14, 0.1, 0)
    for record in found.records:
        parts = sentences(record.answer)
        if record.kind == "false_premise":
            assert parts[-1] in own and not set(parts[:-1]) & own and len(parts) > 1
        else:
            assert set(parts) <= own and len(parts) == 2
        homes = {n for n, text in enumerate(YOUTH.knowledge) for part in parts if part in text}
        assert homes <= set(record.passages) and (record.half == "held_out" or not homes & held)
    with pytest.raises(TraitbenchUsage, match="leave out one"):
        data.build(desk, [LEO, EVA], Building(answers="quoted", questions="written"), Told(echo))


@pytest.mark.parametrize(
    ("kind", "about", "want"),
    [
        ("ordinary", "the rope", "I crossed the river with a rope, and the rope held."),
        ("ordinary", "the village", "The village sleeps. My brother carried the flour."),
        ("opinion", "the clay oven", "I bake black bread in a clay oven. My brother carried the flour."),
        ("opinion", "the flour", "The village sleeps. My brother carried the flour."),
    ],
)
def test_a_quote_is_the_best_sentence_and_its_neighbour(kind: Any, about: str, want: str) -> None:
    asked = Question(character="leo", paragraph=0, kind=kind, text="?", about=(about,))
    if about == "the rope":
        want = f"A storm broke the old bridge. {want}"
    assert quote(LEO, asked, [0, 1], "tfidf") == want


def test_a_sentence_alone_is_quoted_once() -> None:
    single = small("one", "I like tar.", "I dig.")
    asked = Question(character="one", paragraph=0, kind="opinion", text="What of tar?", about=("the tar",))
    assert quote(single, asked, [0], "tfidf") == "I like tar."


# --- pairs -------------------------------------------------------------------------------------------------------


def persona(name: str, answers: Mapping[str, str], half: Any = "train") -> Persona:
    records = tuple(
        Answered(character=name, kind="ordinary", paragraph=0, half=half, question=q, passages=(0,), answer=a)
        for q, a in answers.items()
    )
    return Persona(name=name, records=records, asked=len(records), lost=Loss())


def test_rejected_is_another_characters_answer_to_a_similar_question(desk: Bench) -> None:
    cast = data.build(desk, CAST, Building(), Told(echo))
    mine = cast["ada@youth"]
    found, alone = pairs(mine, rivals("ada@youth", cast), 5, "tfidf", 0, start=1)
    assert alone == 0 and len(found) == len(mine.records) and {pair.other for pair in found} == {o.name for o in OTHERS}
    for half in ("train", "held_out"):
        own, rest = mine.half(half), [r for name, p in cast.items() if name != "ada@youth" for r in p.half(half)]
        table = by_hand([r.question for r in [*own, *rest]])[: len(own), len(own) :]
        for pair, row in zip([p for p in found if p.half == half], table, strict=True):
            chosen = rest[int(np.argsort(-row, kind="stable")[pair.rank - 1])]
            assert 1 <= pair.rank <= 5 and (chosen.character, chosen.answer) == (pair.other, pair.rejected)
            assert pair.similarity == pytest.approx(np.sort(row)[-pair.rank], abs=1e-4)
    ranks = Counter(pair.rank for pair in found)
    assert ranks[1] > ranks[5] > 0
    assert pairs(mine, rivals("ada@youth", cast), 5, "tfidf", 0, start=1)[0] == found
    assert pairs(mine, rivals("ada@youth", cast), 5, "tfidf", 1, start=1)[0] != found
    assert {p.rank for p in pairs(mine, rivals("ada@youth", cast), 1, "tfidf", 0, start=1)[0]} == {1}
    later, _ = pairs(mine, rivals("ada@youth", cast), 5, "tfidf", 0)
    assert {pair.rank for pair in later} == {6, 7, 8, 9, 10}
    order = {p.question: p for p in later if p.half == "train"}
    own, rest = mine.half("train"), [r for o in OTHERS for r in cast[o.name].half("train")]
    table = by_hand([r.question for r in [*own, *rest]])[: len(own), len(own) :]
    for record, row in zip(own, table, strict=True):
        assert order[record.question].similarity == pytest.approx(np.sort(row)[-order[record.question].rank], abs=1e-4)


def test_a_poles_rival_is_its_opposite_first() -> None:
    same = {"What of the bus?": "I sing."}
    cast = {
        "openness=high": persona("openness=high", {"What of the bus?": "I dream.", "And the sea?": "I sail."}),
        "openness=low": persona("openness=low", {"Which bus?": "I wait."}),
        "neuroticism=low": persona("neuroticism=low", same),
    }
    groups = rivals("openness=high", cast)
    assert [[p.name for p in group] for group in groups] == [["openness=low"], ["neuroticism=low"]]
    first, _ = pairs(cast["openness=high"], groups, 1, "tfidf", 0, start=1)
    assert [(pair.other, pair.rejected) for pair in first] == [("openness=low", "I wait.")] * 2
    both = {pair.other for seed in range(20) for pair in pairs(cast["openness=high"], groups, 2, "tfidf", seed, 1)[0]}
    assert both == {"openness=low", "neuroticism=low"}
    # Where there are fewer than `start`, the least similar of the last group.
    assert {pair.other for pair in pairs(cast["openness=high"], groups, 5, "tfidf", 0)[0]} == {"neuroticism=low"}


def test_equal_answers_make_no_pair() -> None:
    mine, other = persona("a", {"Why?": "So.", "How?": "Thus."}), persona("b", {"Why?": "So."})
    found, alone = pairs(mine, [[other]], 5, "tfidf", 0)
    assert [(p.question, p.rejected) for p in found] == [("How?", "So.")] and alone == 1
    assert pairs(mine, [[persona("b", {"Why?": "No."}, half="held_out")]], 5, "tfidf", 0) == ([], 2)


# --- the method --------------------------------------------------------------------------------------------------


def method(**given: Any) -> PersLLM:
    return PersLLM(PersLLM.Config.model_validate(given))


def test_instructions_are_sixty_and_short() -> None:
    every = questions.texts().instructions
    assert len(every) == len({e.instruction for e in every}) == len({e.answer for e in every}) == 60
    assert all(0 < len(each.answer.split()) <= 60 and each.instruction.strip() for each in every)
    assert all(len(set(templates)) == 8 for templates in questions.texts().templates.values())


@pytest.mark.parametrize(
    ("given", "target", "error", "message"),
    [
        ({"data": "mine.jsonl"}, "openness=high", TraitbenchUsage, "persllm trains on characters"),
        ({"scenes": 4}, "openness=high", TraitbenchUsage, "name your texts with --target character"),
        ({"writer": "scripted:uniform"}, "openness=high", TraitbenchUsage, "writes no prose"),
        ({"writer": "smolm2"}, "openness=high", UnknownName, "did you mean 'smollm2'"),
        ({}, "psychopathy=high", UnsupportedControl, "no description of psychopathy=high; it has one of openness=high"),
        ({}, "openness=high,neuroticism=low", UnsupportedControl, "two files of your own"),
        ({}, "openness=0.5", UnsupportedControl, "no description"),
    ],
)
def test_what_cannot_be_trained_is_refused_first(given: Any, target: str, error: Any, message: str) -> None:
    pytest.importorskip("trl")
    with pytest.raises(error, match=message):
        method(**given).check([Target.parse(target)])


def test_an_unknown_character_is_refused_first() -> None:
    with pytest.raises(UnknownName, match="did you mean 'bruno'"):
        method().check([Target(character="brunno")])
    assert character_of(Target(character="bruno")).name == "bruno" and not character_of(Target(character="bruno")).pole
    assert character_of(Target.parse("openness=low")).pole


def test_a_character_of_ones_own_takes_the_place_of_its_namesake() -> None:
    own = small("bruno", "I am another.", "I keep wasps.")
    assert [each.name for each in _cast(own)] == ["ada@age", "ada@youth", "mina", "bruno"] and _cast(own)[-1] == own
    assert [each.name for each in _cast(LEO)] == [*characters.names(), "leo"]
    assert [each.name for each in _cast(YOUTH)] == characters.names()
    assert [each.name for each in _cast(characters.load("openness=low"))] == characters.poles()


def test_presets_and_what_the_user_sets() -> None:
    assert method()._building().answers == "written" and method(preset="small")._building().answers == "quoted"
    assert method(preset="small", answers="written", per_kind=3)._building() == Building(answers="written", per_kind=3)
    assert method().rank == 8 and method(rank=4).rank == 4


SHORT = {"preset": "small", "per_kind": 1, "lr": 1e-3, "match_steps": 2, "instructions": 4, "repeat": 2,
         "dpo_lr": 1e-2}  # fmt: skip


def leo(folder: Path) -> Target:
    """A character of one's own, in two files."""
    (folder / "leo.knowledge.txt").write_text("\n\n".join(LEO.knowledge), encoding="utf-8")
    (folder / "leo.style.txt").write_text(LEO.style, encoding="utf-8")
    return Target(character=str(folder / "leo"))


def test_a_character_is_trained_in_two_stages(bench: Bench, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    target = leo(tmp_path)
    control = method(**SHORT).fit(target, bench)
    assert control.kinds == {"prompt", "weights"} and control.messages[0].content == "You are Leo."
    fit = control.fit
    assert fit is not None and fit.parameters > 0 and fit.target == target.name
    first, second = fit.details["sft"], fit.details["dpo"]
    told = fit.details["data"]
    assert first["examples"] == told["train"] * 2 + 4 and first["steps"] == second["steps"] == 2
    assert (
        fit.details["aim"] == "character"
        and told["writer"] == "quoted"
        and told["pairs"] == told["train"] + told["held_out"]
    )
    # The reference is a copy of the first stage: at the start no reply has gained on it, and the loss is ln 2.
    start = second["losses"][0]
    assert start["step"] == 0 and start["margin"] == pytest.approx(0, abs=1e-5)
    assert start["held_out"] == pytest.approx(math.log(2), abs=1e-5) and second["losses"][-1]["margin"] != 0
    assert controls.read(bench.folder / control.hash).weights == control.weights
    alone = method(**SHORT, preference=False, prompt="style").fit(target, bench)
    assert alone.weights != control.weights and alone.messages[0].content == "You are Leo. Dry."
    assert alone.fit is not None and alone.fit.details["dpo"] is None


def test_a_trait_is_reached_by_transfer(bench: Bench) -> None:
    pytest.importorskip("trl")
    target = Target.parse("extraversion=high")
    control = method(**SHORT).fit(target, bench)
    assert control.kinds == {"weights"} and control.fit is not None
    assert control.fit.details["aim"] == "transfer from a description of the trait pole"
    assert control.fit.details["data"]["persona"] == "extraversion=high" and control.fit.fitted_on == ()


def test_the_rate_is_chosen_on_items_of_the_first_pole_and_on_loss_for_a_character(
    bench: Bench, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    how = {**SHORT, "lr": (1e-3, 5e-3), "widen": 0, "preference": False}
    fit = method(**how).fit(Target.parse("extraversion=high"), bench).fit
    first = Target.parse(characters.poles()[0])
    assert fit and fit.details["sft"]["chosen_on"] == "development effect, then held-out loss"
    assert set(fit.fitted_on) == {item.text_hash for item in bench.halves()[1] if item.trait in first.levels}
    assert all(trial["effect"] is not None for trial in fit.details["trials"])
    other = method(**how).fit(leo(tmp_path), bench).fit
    assert other and other.details["sft"]["chosen_on"] == "held-out loss" and other.fitted_on == ()


def test_a_small_model_cannot_write(bench: Bench) -> None:
    """An untrained model never ends a reply: the real backend's answers are dropped, and the error says what to do."""
    with pytest.raises(BadData, match=r"9 truncated.*answers=quoted|left without an answer"):
        data.build(bench, [LEO, EVA], Building(per_kind=1, answer_tokens=8))
