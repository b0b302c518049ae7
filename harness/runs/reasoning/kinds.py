"""The eight kinds of questions: each draws a small structure, puts it into words and solves it from the structure.

A function takes the number of the item within its kind, which decides how hard it is, and a source of chance; it
returns the question, the beginning of a sentence that the answer ends, the answer and wrong answers. Each right answer
follows from the words alone: where a row of numbers goes on by a rule the rule is said, an odd word is odd in a
category that is named, and what stands in a syllogism exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

__all__ = ["CATEGORIES", "KINDS", "Question"]


class Question(NamedTuple):
    """What is asked, before wrong answers are chosen and options ordered."""

    text: str
    lead: str
    """Beginning of a sentence that the answer ends."""
    answer: str
    """One word or number."""
    wrong: tuple[str, ...]
    """Three answers or more that are wrong; those that come first are offered."""


# Comparisons

_COMPARED = (
    ("box", "heavier", "lighter", "heaviest", "lightest"),
    ("tree", "older", "younger", "oldest", "youngest"),
    ("tower", "taller", "shorter", "tallest", "shortest"),
    ("ball", "bigger", "smaller", "biggest", "smallest"),
    ("boat", "faster", "slower", "fastest", "slowest"),
)
_COLOURS = ("red", "blue", "green", "white", "black", "brown", "yellow", "pink")


def compare(n: int, chance: Random) -> Question:
    """Four things in a row of comparisons: told in order, then with one turned round, then out of order too."""
    noun, more, less, most, least = _COMPARED[n % len(_COMPARED)]
    ranking = chance.sample(_COLOURS, 4)
    told = [f"The {a} {noun} is {more} than the {b} {noun}." for a, b in pairwise(ranking)]
    if n % 3:
        turned = chance.randrange(3)
        told[turned] = f"The {ranking[turned + 1]} {noun} is {less} than the {ranking[turned]} {noun}."
    if n % 3 == 2:
        chance.shuffle(told)
    asked, place = (least, 3) if n // 2 % 2 else (most, 0)
    return Question(
        f"{' '.join(told)} What colour is the {asked} {noun}?",
        f"The {asked} {noun} is the",
        ranking[place],
        tuple(x for x in ranking if x != ranking[place]),
    )


# Numbers


def row(n: int, chance: Random) -> Question:
    """Go on with four numbers: the same step each time, up or down, or, in every sixth item, twice the last one."""
    if n % 6 == 5:
        first = chance.randint(1, 9)
        numbers = [first * 2**k for k in range(5)]
        rule, step = "is two times the one before", numbers[3]
    else:
        step = (1, 2, 5, 10, 3)[n % 5]
        first = chance.randint(1, 12)
        numbers = [first + step * k for k in range(5)]
        rule = "is larger than the one before by the same amount"
        if n % 3 == 2:
            numbers.reverse()
            rule, step = "is smaller than the one before by the same amount", -step
    *shown, answer = numbers
    return Question(
        f"In the row {', '.join(map(str, shown))} each number {rule}. Which number comes next?",
        f"The row goes on like this: {', '.join(map(str, shown))},",
        str(answer),
        _near(answer, (answer + step, answer + 1, answer - 1, answer + 2, shown[-1], shown[-2]), chance),
    )


_HOLDERS = (
    ("basket", "apples"), ("box", "pens"), ("bag", "coins"), ("jar", "beans"), ("crate", "bottles"),
    ("drawer", "spoons"),
)  # fmt: skip


def count(n: int, chance: Random) -> Question:
    """Count what is left: one change, then two changes, then so many in each of some."""
    holder, things = _HOLDERS[n % len(_HOLDERS)]
    a, (b, c) = chance.randint(6, 9), chance.sample(range(2, 6), 2)
    if n % 3 == 2:
        text = f"There are {b} {_plural(holder)} with {c} {things} in each. How many {things} are there in all?"
        wrong = _near(b * c, (b + c, b * c + c, b * c - c, b * c + 1, b * c - 1, b * c + b), chance)
        return Question(text, "In all there are", str(b * c), wrong)
    told, now = [f"A {holder} holds {a} {things}."], a
    for k, many in enumerate((b, c)[: n % 3 + 1]):
        puts = (n // 3 + k) % 2 == 0
        told.append(f"Then {many} {things} are put in." if puts else f"Then {many} {things} are taken out.")
        now += many if puts else -many
    slips = (a + b, a - b, a, now + 1, now - 1, now + 2, now - 2)
    return Question(
        f"{' '.join(told)} How many {things} does the {holder} hold now?",
        f"The {holder} now holds",
        str(now),
        _near(now, slips, chance),
    )


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("x") else f"{noun}s"


def _near(answer: int, slips: Sequence[int], chance: Random) -> tuple[str, ...]:
    """Likely slips: three of them that are no answer, at random."""
    wrong = [str(x) for x in dict.fromkeys(slips) if x != answer and x >= 0]
    return tuple(chance.sample(wrong, 3))


# Days and ways

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def calendar(n: int, chance: Random) -> Question:
    """The day or month before or after a given one; one item in three goes two steps."""
    names, unit = (_MONTHS, "month") if n % 2 else (_DAYS, "day")
    start, steps, back = chance.randrange(len(names)), (1, 1, 2)[n // 2 % 3], n // 6 % 2 == 1
    there = (start - steps if back else start + steps) % len(names)
    side = "before" if back else "after"
    away = side.capitalize() if steps == 1 else f"Two {unit}s {side}"
    near = [names[(there + k) % len(names)] for k in (-2, -1, 1, 2)]
    chance.shuffle(near)
    return Question(
        f"Which {unit} comes {'right ' if steps == 1 else ''}{away.lower()} {names[start]}?",
        f"{away} {names[start]} comes",
        names[there],
        tuple(near[:3]),
    )


_WAYS = ("north", "east", "south", "west")
_TURNS = {"right": 1, "around": 2, "left": 3}
"""Turn -> quarters of a circle, clockwise."""
_TURNED = ("cart", "boat", "robot", "plane")


def turn(n: int, chance: Random) -> Question:
    """One turn, in one item of three two."""
    start, what = chance.randrange(4), _TURNED[n % len(_TURNED)]
    turns = [chance.choice(sorted(_TURNS)) for _ in range(2 if n % 3 == 2 else 1)]
    faces = _WAYS[(start + sum(_TURNS[x] for x in turns)) % 4]
    told = " ".join(f"{'Then it' if k else 'It'} turns {x}." for k, x in enumerate(turns))
    return Question(
        f"A {what} faces {_WAYS[start]}. {told} Which way does it face now?",
        f"Now the {what} faces",
        faces,
        tuple(x for x in _WAYS if x != faces),
    )


# Words

_INVENTED = ("zorbs", "plims", "fosks", "nurgs", "vimps", "quebs", "grolts", "murds", "tibbs", "yarps")
_PREMISES = (
    ("all", (("All {a} are {b}.", "All {b} are {c}."),)),
    ("none", (("All {a} are {b}.", "No {b} are {c}."), ("All {a} are {b}.", "No {c} are {b}."))),
    ("some", (("All {b} are {a}.", "Some {b} are {c} and some {b} are not {c}."),)),
    ("unknown", (("All {a} are {b}.", "All {c} are {b}."), ("All {b} are {a}.", "All {b} are {c}."))),
)
"""How many a are c -> the premises from which that follows, or nothing does."""


def syllogism(n: int, chance: Random) -> Question:
    """On invented things that exist: even items ask for a property over one step or two, odd ones how many are what."""
    if n % 2 == 0:
        return _property(n // 2, chance)
    answer, forms = _PREMISES[n // 2 % 4]
    a, b, c = chance.sample(_INVENTED, 3)
    told = [x.format(a=a, b=b, c=c) for x in forms[n // 8 % len(forms)]]
    there = sorted((a, b, c))
    return Question(
        f"There are {there[0]}, {there[1]} and {there[2]}. {' '.join(told[::-1] if n % 3 == 2 else told)} "
        f"How many {a} are {c}: all, only some, none or unknown?",
        "The answer is",
        answer,
        tuple(x for x, _ in _PREMISES if x != answer),
    )


def _property(n: int, chance: Random) -> Question:
    """Four kinds of things of four colours, and, in every second item, a fifth kind that all belong to one of them."""
    *kinds, inner = chance.sample(_INVENTED, 5)
    colours = chance.sample(_COLOURS, 4)
    told = [f"All {kind} are {colour}." for kind, colour in zip(kinds, colours, strict=True)]
    which = chance.randrange(4)
    if n % 2:
        told.insert(chance.randrange(5), f"All {inner} are {kinds[which]}.")
    asked = inner if n % 2 else kinds[which]
    return Question(
        f"{' '.join(told)} What colour are {asked}?",
        f"All {asked} are",
        colours[which],
        tuple(x for x in colours if x != colours[which]),
    )


CATEGORIES = {
    "an animal": ("horse", "cow", "goat", "sheep", "dog", "cat", "rabbit", "pig"),
    "a fruit": ("apple", "pear", "plum", "banana", "cherry", "grape", "lemon", "mango"),
    "a tool": ("hammer", "saw", "chisel", "wrench", "axe", "shovel", "rake", "pliers"),
    "a piece of furniture": ("table", "chair", "sofa", "desk", "bed", "cupboard", "stool", "armchair"),
    "a piece of clothing": ("shirt", "coat", "sock", "glove", "scarf", "dress", "skirt", "jacket"),
    "a vehicle": ("car", "bus", "train", "truck", "tram", "van", "bicycle", "lorry"),
    "a musical instrument": ("drum", "flute", "violin", "piano", "trumpet", "guitar", "harp", "cello"),
    "a part of the body": ("hand", "foot", "nose", "ear", "knee", "elbow", "shoulder", "neck"),
}
"""Category -> words that belong to it and to no other here."""


def odd(n: int, chance: Random) -> Question:
    """Three words of one category and one of another: it is asked for by its own, in one item of three by theirs."""
    names = sorted(CATEGORIES)
    single, rest = chance.sample(names, 2)
    answer = chance.choice(CATEGORIES[single])
    others = chance.sample(CATEGORIES[rest], 3)
    words = [*others]
    words.insert(chance.randrange(4), answer)
    asked = f"not {rest}" if n % 3 == 2 else single
    return Question(
        f"Which of these is {asked}: {', '.join(words[:3])} or {words[3]}?",
        f"The one that is {asked} is the",
        answer,
        tuple(others),
    )


# Events

_COURSES = (
    ("Four instruments play in turn.", ("drum", "flute", "horn", "bell", "harp", "organ")),
    ("A train passes four places.", ("mill", "lake", "bridge", "market", "castle", "harbour")),
    ("Four things go into a bowl.", ("milk", "oil", "flour", "sugar", "water", "salt")),
)
_PLACES = ("first", "second", "third", "last")


def events(n: int, chance: Random) -> Question:
    """Four events: even items tell each by the one before and ask so, odd ones tell their places, at times mixed up."""
    scene, pool = _COURSES[n % 3]
    course = chance.sample(pool, 4)
    place = chance.randrange(4)
    if n % 2 == 0:
        place = chance.randrange(1, 4)
        told = [f"The {course[0]} comes first.", *(f"After the {a} comes the {b}." for a, b in pairwise(course))]
        asked, lead = f"comes right after the {course[place - 1]}", f"After the {course[place - 1]} comes the"
    else:
        told = [f"The {what} comes {where}." for what, where in zip(course, _PLACES, strict=True)]
        asked, lead = f"comes {_PLACES[place]}", f"What comes {_PLACES[place]} is the"
        if n % 4 == 3:
            chance.shuffle(told)
    return Question(
        f"{scene} {' '.join(told)} What {asked}?",
        lead,
        course[place],
        tuple(x for x in course if x != course[place]),
    )


KINDS: dict[str, Callable[[int, Random], Question]] = {
    "compare": compare,
    "row": row,
    "count": count,
    "calendar": calendar,
    "turn": turn,
    "syllogism": syllogism,
    "odd": odd,
    "events": events,
}
