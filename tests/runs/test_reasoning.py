"""The reasoning set: solved again from its words alone, by other routes than those that made it."""

from __future__ import annotations

import ast
import datetime
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.resources import files
from itertools import pairwise, permutations, product

import pytest

from traitbench.runs import reasoning
from traitbench.runs.reasoning import items
from traitbench.runs.reasoning.functions import INVALID, named
from traitbench.runs.reasoning.kinds import CATEGORIES, Question
from traitbench.types import TRAITS

FOLDER = reasoning.folder()
ROWS = [json.loads(line) for line in (FOLDER / "items.jsonl").read_text("utf-8").splitlines()]
KINDS = {"compare", "row", "count", "calendar", "turn", "syllogism", "odd", "events"}


# Solvers: the answers that the words of a question leave open


def compare(text: str) -> set[str]:
    """Every ranking of the colours that agrees with all comparisons."""
    more = {"heavier", "older", "taller", "bigger", "faster"}
    told = re.findall(r"The (\w+) \w+ is (\w+) than the (\w+) ", text)
    colours = {x for a, _, b in told for x in (a, b)}
    assert len(told) == 3 and len(colours) == 4
    most = re.search(r"is the (heaviest|oldest|tallest|biggest|fastest) ", text) is not None
    agree = [
        ranking for ranking in permutations(colours)
        if all((ranking.index(a) < ranking.index(b)) is (how in more) for a, how, b in told)
    ]  # fmt: skip
    return {ranking[0 if most else -1] for ranking in agree}


def row(text: str) -> set[str]:
    """Differences, or quotients, of neighbours: all alike, as is said."""
    shown = [Fraction(x) for x in re.findall(r"\d+", text)]
    assert len(shown) == 4
    if "two times the one before" in text:
        assert {b / a for a, b in pairwise(shown)} == {2}
        return {str(shown[-1] ** 2 / shown[-2])}
    assert len({b - a for a, b in pairwise(shown)}) == 1
    assert ("larger" in text) is (shown[1] > shown[0])
    return {str(3 * shown[3] - 3 * shown[2] + shown[1])}  # the parabola through the last three, here a line


def count(text: str) -> set[str]:
    """Things put down one by one."""
    if each := re.fullmatch(r"There are (\d+) \w+ with (\d+) (\w+) in each\. How many \3 are there in all\?", text):
        return {str(len([1 for _ in range(int(each[1])) for _ in range(int(each[2]))]))}
    held = [1] * int(re.findall(r"holds (\d+) ", text)[0])
    for many, how in re.findall(r"Then (\d+) \w+ are (put in|taken out)\.", text):
        held = held + [1] * int(many) if how == "put in" else held[int(many) :]
    assert len(re.findall(r"\d+", text)) == text.count("Then") + 1
    return {str(len(held))}


def calendar(text: str) -> set[str]:
    """Dates of a real calendar."""
    asked = r"^Which (day|month) comes (right|two (?:day|month)s) (before|after) (\w+)\?$"
    ((unit, many, side, start),) = re.findall(asked, text)
    steps = (1 if many == "right" else 2) * (-1 if side == "before" else 1)
    if unit == "day":
        week = [datetime.date(2024, 5, 6) + datetime.timedelta(days=k) for k in range(7)]
        return {f"{day + datetime.timedelta(days=steps):%A}" for day in week if f"{day:%A}" == start}
    year = [datetime.date(2024, 1, 15) + datetime.timedelta(days=30.4375 * k) for k in range(36)]
    return {f"{year[k + steps]:%B}" for k in range(12, 24) if f"{year[k]:%B}" == start}


def turn(text: str) -> set[str]:
    """Ways as complex numbers, turns as products."""
    ways, turns = {"east": 1, "north": 1j, "west": -1, "south": -1j}, {"left": 1j, "right": -1j, "around": -1}
    faces: complex = ways[re.findall(r"faces (\w+)\.", text)[0]]
    for how in re.findall(r"turns (\w+)\.", text):
        faces *= turns[how]
    return {name for name, way in ways.items() if way == faces}


def syllogism(text: str) -> set[str]:
    """Follow every `All a are b` until nothing new is reached; or go through every world, where a number is asked."""
    if text.startswith("There are"):
        return quantity(text)
    reached = {*re.findall(r"What colour are (\w+)\?", text)}
    steps = re.findall(r"All (\w+) are (\w+)\.", text)
    for _ in steps:
        reached |= {b for a, b in steps if a in reached}
    return reached & {*"red blue green white black brown yellow pink".split()}


def quantity(text: str) -> set[str]:
    """Every world: which of the eight regions of a Venn diagram hold something; a set without members is none."""
    form = r"There are ([^.]+)\. (.+\.) How many (.+): all, only some, none or unknown\?"
    ((there, told, asked),) = re.findall(form, text)
    names = re.findall(r"\w+", there.replace(" and ", " "))
    assert len(names) == 3

    def holds(world: set[frozenset[str]], sentence: str) -> bool:
        ((how, a, rest),) = re.findall(r"^(All|No|Some) (\w+) are (\w.*)$", sentence)
        b = rest.removeprefix("not ")
        shares = {b in region for region in world if a in region}
        return (b == rest) in shares if how == "Some" else shares == {how == "All"}

    regions = [frozenset(n for n, on in zip(names, held, strict=True) if on) for held in product((0, 1), repeat=3)]
    found = set()
    sentences = re.split(r"\. |\.$| and (?=some)", told)
    for held in product((0, 1), repeat=8):
        world = {region for region, on in zip(regions, held, strict=True) if on}
        if all(any(n in region for region in world) for n in names) and all(
            holds(world, sentence[0].upper() + sentence[1:]) for sentence in sentences if sentence
        ):
            a, c = asked.split(" are ")
            found.add(frozenset(c in region for region in world if a in region))
    words = {frozenset({True}): "all", frozenset({False}): "none", frozenset({True, False}): "some"}
    assert found
    return {words[found.pop()]} if len(found) == 1 else {"unknown"}


OF = {
    "animal": "horse cow goat sheep dog cat rabbit pig", "fruit": "apple pear plum banana cherry grape lemon mango",
    "tool": "hammer saw chisel wrench axe shovel rake pliers",
    "piece of furniture": "table chair sofa desk bed cupboard stool armchair",
    "piece of clothing": "shirt coat sock glove scarf dress skirt jacket",
    "vehicle": "car bus train truck tram van bicycle lorry",
    "musical instrument": "drum flute violin piano trumpet guitar harp cello",
    "part of the body": "hand foot nose ear knee elbow shoulder neck",
}  # fmt: skip


def odd(text: str) -> set[str]:
    """Look every word up in a list of its own."""
    ((isnt, what, words),) = re.findall(r"^Which of these is (not )?an? ([^:]+): (.+)\?$", text)
    listed = re.split(r", | or ", words)
    assert len(listed) == 4
    return {word for word in listed if (word in OF[what].split()) is (not isnt)}


def events(text: str) -> set[str]:
    """Put each event at its place, and look there."""
    places = ["first", "second", "third", "last"]
    if "After" in text:
        course = re.findall(r"The (\w+) comes first\.", text)
        after = dict(re.findall(r"After the (\w+) comes the (\w+)\.", text))
        while course[-1] in after:
            course.append(after[course[-1]])
    else:
        at = {place: what for what, place in re.findall(r"The (\w+) comes (first|second|third|last)\.", text)}
        course = [at[place] for place in places]
    assert len({*course}) == len(course) == 4
    if beside := re.search(r"What comes right after the (\w+)\?$", text):
        return {course[course.index(beside[1]) + 1]}
    return {course[places.index(re.findall(r"What comes (\w+)\?$", text)[0])]}


SOLVERS: dict[str, Callable[[str], set[str]]] = {
    "compare": compare, "row": row, "count": count, "calendar": calendar, "turn": turn, "syllogism": syllogism,
    "odd": odd, "events": events,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_question_has_the_one_right_answer_by_another_route(kind: str) -> None:
    held = [r for r in ROWS if r["kind"] == kind]
    assert len(held) == 35
    for each in held:
        assert SOLVERS[kind](each["question"]) == {each["answer"]}, each["id"]


def test_a_wrong_answer_would_be_found() -> None:
    told = "The red box is heavier than the blue box. The blue box is heavier than the pink box."
    assert compare(f"{told} The green box is heavier than the pink box. What colour is the heaviest box?") == {
        "red", "green",
    }  # fmt: skip
    assert odd("Which of these is a fruit: apple, pear, dog or cow?") == {"apple", "pear"}
    there = "There are as, bs and cs."
    assert syllogism(
        f"{there} All as are bs. Some bs are cs. How many as are cs: all, only some, none or unknown?"
    ) == {"unknown"}
    assert calendar("Which month comes two months before January?") == {"November"}


# The file


def test_the_file_is_what_the_script_writes() -> None:
    assert (FOLDER / "items.jsonl").read_bytes() == items.lines().encode()


def test_the_script_needs_nothing_but_python() -> None:
    for name in ("items.py", "kinds.py"):
        for node in ast.walk(ast.parse((FOLDER / name).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("traitbench.runs.reasoning"):
                assert (node.module or "").partition(".")[0] in sys.stdlib_module_names
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= sys.stdlib_module_names


def test_kinds_splits_and_places_are_balanced() -> None:
    assert len(ROWS) == 280 and Counter(r["kind"] for r in ROWS) == dict.fromkeys(KINDS, 35)
    assert Counter((r["kind"], r["split"]) for r in ROWS) == {
        **{(kind, "dev"): 7 for kind in KINDS}, **{(kind, "test"): 28 for kind in KINDS},
    }  # fmt: skip
    assert Counter((r["split"], r["target"]) for r in ROWS) == {
        **{("dev", place): 14 for place in range(4)}, **{("test", place): 56 for place in range(4)},
    }  # fmt: skip
    held = Counter((r["kind"], r["target"]) for r in ROWS if r["split"] == "test")
    assert held == {(kind, place): 7 for kind in KINDS for place in range(4)}
    for split in ("dev", "test"):
        first = [r["kind"] for r in ROWS if r["split"] == split][:8]
        assert {*first} == KINDS


def test_options_are_four_words_or_numbers_one_of_them_right() -> None:
    for each in ROWS:
        assert len({option.lower() for option in each["options"]}) == 4
        assert each["options"][each["target"]] == each["answer"]
        assert all(re.fullmatch(r"[A-Za-z]+|\d+", option) for option in each["options"])
    assert len({r["question"] for r in ROWS}) == len({r["id"] for r in ROWS}) == 280


def test_no_answer_stands_out_by_how_often_it_is_right_or_how_long_it_is() -> None:
    right = Counter(r["answer"] for r in ROWS if "unknown" in r["options"])
    assert sorted(right.values()) == [4, 4, 4, 5]
    for kind in ("turn", "events", "compare"):
        answers = Counter(r["answer"] for r in ROWS if r["kind"] == kind)
        assert answers.most_common(1)[0][1] <= 0.4 * answers.total(), kind
    longest = [len(r["answer"]) == max(map(len, r["options"])) for r in ROWS if len({*map(len, r["options"])}) > 1]
    assert 0.2 < sum(longest) / len(longest) < 0.6


def test_nothing_in_it_speaks_of_personality_or_persons() -> None:
    prompts = json.loads(files("traitbench.methods").joinpath("prompting.json").read_text("utf-8"))
    traits = {
        *TRAITS,
        *(word for trait in TRAITS for pole in ("high", "low") for word in prompts[trait][pole]["adjectives"]),
    }
    assert {"curious", "openness"} <= traits
    persons = {"i", "me", "my", "you", "your", "he", "she", "his", "her", "who", "person", "people", "man", "woman"}
    for each in ROWS:
        text = f"{each['question']} {each['lead']} {' '.join(each['options'])}"
        assert not {*re.findall("[a-z]+", text.lower())} & (traits | persons), each["id"]
        inner = re.findall(r"(?<![.?] )(?<!^)\b[A-Z]\w+", each["question"])
        assert {*inner} <= {*calendar_names()}, each["id"]


def calendar_names() -> Iterator[str]:
    for k in range(366):
        yield from f"{datetime.date(2024, 1, 1) + datetime.timedelta(days=k):%A %B}".split()


def test_a_question_whose_answer_is_offered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Question("1 + 1?", "It is", "2", ("3", "2", "4"))
    monkeypatch.setattr(items, "KINDS", {"row": lambda n, chance: made})
    with pytest.raises(ValueError, match="expected 4 different ones"):
        next(items.rows())


def test_categories_share_no_word() -> None:
    words = [word for held in CATEGORIES.values() for word in held]
    assert len(words) == len({*words})
    assert {name.partition(" ")[2]: {*held} for name, held in CATEGORIES.items()} == {
        name: {*held.split()} for name, held in OF.items()
    }


# What is taken out of a reply


@pytest.mark.parametrize(
    ("reply", "options", "taken"),
    [
        ("Red", ["red", "blue"], "red"),
        (" Red, since it is heavier than the blue box.", ["red", "blue"], "red"),
        ("The red box is the heaviest.", ["red", "blue"], "red"),
        ("The red box is heavier than the blue one.", ["red", "blue"], INVALID),
        ("It is a reddish box.", ["red", "blue"], INVALID),
        ("12", ["1", "2"], INVALID),
        ("1,200", ["1", "200"], INVALID),
        ("1.5", ["1", "5"], INVALID),
        ("**14** apples", ["4", "14"], "14"),
        (" 8 + 4 = 12 pens.", ["8", "12"], "12"),
        (" 8 + 4 =", ["8", "12"], INVALID),
        ("TUESDAY", ["Tuesday", "Monday"], "Tuesday"),
        ("", ["red", "blue"], INVALID),
        ("ни один 紅", ["red", "blue"], INVALID),
    ],
)
def test_the_answer_is_what_a_reply_begins_with_or_else_names_alone(reply: str, options: list[str], taken: str) -> None:
    assert named([[reply, reply]], [{"options": options}]) == [[taken, taken]]
