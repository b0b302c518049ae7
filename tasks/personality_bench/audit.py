"""What is wrong with the open questions, the pole descriptions and the rubrics.

    python -m traitbench.tasks.personality_bench.audit [TEXTS ...]

prints one fault a line, then the counts, and exits with 1 where there is a fault. TEXTS are further files, such as the
trait dialogues, the situations or a published question set: no text here may share a run of `SHARED` words with any
string in them (JSON, JSON Lines) or with the whole of them (anything else). Every inventory whose items can be loaded
is looked at in any case, with runs of `ITEM` words, for a model that was trained on an item's words must not be led to
it by a question.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from traitbench import inventories
from traitbench.errors import BadData
from traitbench.types import BIG_FIVE, TRAITS

__all__ = [
    "anchors", "counts", "faults", "form", "items", "naming", "poles", "runs", "scene", "shared", "strings", "twice",
    "words",
]  # fmt: skip

ITEM, SHARED = 4, 5
"""Words: the run that no text shares with an inventory item, and the one that it shares with no other text."""
FACETS = {letter: trait for letter, trait in zip("OCEAN", BIG_FIVE, strict=True)}
"""First letter of a facet's name -> trait."""
NUMBERS = "123456"
EACH, DEV = 6, 1
"""Questions of a facet, and those of them that are for development."""
SENTENCES = 3
DESCRIPTION = (80, 120)
"""Words of a pole's description."""
DESCRIPTIONS, DARK_DESCRIPTIONS = 2, 1
"""Of a pole of the Big Five, and of the Dark Triad."""
"""Descriptions of each pole."""
GRADES = "012345"
NAMES = frozenset(
    (
        "openness open-minded conscientiousness conscientious extraversion extraverted extravert extrovert introvert "
        "introverted agreeableness agreeable disagreeable neuroticism neurotic personality trait facet imagination "
        "imaginative creative artistic emotionality emotional adventurousness adventurous intellect intellectual "
        "liberalism liberal conservative self-efficacy competent orderliness orderly organised organized dutifulness "
        "dutiful reliable achievement ambitious self-discipline disciplined lazy cautiousness cautious careful "
        "impulsive friendliness friendly outgoing shy gregariousness gregarious sociable assertiveness assertive "
        "energetic excitement-seeking cheerfulness cheerful trust trusting suspicious morality honest altruism "
        "altruistic generous selfish cooperation cooperative stubborn modesty modest arrogant sympathy sympathetic "
        "compassionate anxiety anxious worried depression depressed self-consciousness self-conscious embarrassed "
        "immoderation vulnerability vulnerable calm"
    ).split()
)
"""Words that name a trait, a facet or one of their poles outright."""


def words(text: str) -> list[str]:
    """Words of `text` in lower case, punctuation left out; hyphens and apostrophes join."""
    return re.findall(r"\w+(?:['-]\w+)*", text.lower().replace("\u2019", "'"))


def runs(text: str, n: int) -> set[tuple[str, ...]]:
    """All runs of `n` words in `text`; hyphens separate words here, so that no spelling hides a run."""
    found = words(text.replace("-", " "))
    return {tuple(found[start : start + n]) for start in range(len(found) - n + 1)}


def scene(question: str) -> str:
    """All of `question` but its last sentence, which asks: many may well ask the same."""
    return " ".join(re.split(r"(?<=[.!?])\s+", question)[:-1])


def shared(texts: Mapping[str, str], others: Iterable[str], n: int) -> Iterator[str]:
    """Name each of `texts` (id -> text) that has `n` words in a row with one of `others`, and a run that it has."""
    held = {run for other in others for run in runs(other, n)}
    for id, text in texts.items():
        if common := sorted(runs(text, n) & held):
            yield f"{id}: shares {n} words in a row with another text: {' '.join(common[0])!r}"


def twice(texts: Mapping[str, str], n: int) -> Iterator[str]:
    """Name each of `texts` that has `n` words in a row with an earlier one, what they ask in the end left out."""
    owner: dict[tuple[str, ...], str] = {}
    for id, text in texts.items():
        found = runs(scene(text), n)
        if common := sorted(found & owner.keys()):
            yield f"{id}: shares {n} words in a row with {owner[common[0]]}: {' '.join(common[0])!r}"
        owner |= {run: id for run in found if run not in owner}


def naming(texts: Mapping[str, str]) -> Iterator[str]:
    """Name each of `texts` that says a trait, a facet or a pole outright."""
    for id, text in texts.items():
        found = words(text)
        if named := sorted(NAMES & {*found, *(part for word in found for part in word.split("-"))}):
            yield f"{id}: holds the word {named[0]!r}; expected behaviour, not the name of a trait or pole"


def form(questions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Look at the shape of the questions: ids, facets, splits, length and person."""
    for id, n in Counter(each["id"] for each in questions).items():
        if n > 1:
            yield f"{id}: stands {n} times"
    for each in questions:
        id, facet, text = each["id"], each["facet"], each["question"]
        if not re.fullmatch(rf"pq-{facet.lower()}-\d", id):
            yield f"{id}: its facet is {facet}; expected an id such as pq-{facet.lower()}-1"
        if FACETS.get(facet[0]) != each["trait"] or facet[1:] not in NUMBERS:
            yield f"{id}: facet {facet} is none of {each['trait']}"
        if each["split"] not in ("dev", "test"):
            yield f"{id}: split {each['split']!r}; expected dev or test"
        if not text.isascii():
            yield f"{id}: has a character beyond ASCII"
        if (n := len(re.findall(r"[.!?]\"?(?=\s|$)", text))) > SENTENCES:
            yield f"{id}: has {n} sentences; expected at most {SENTENCES}"
        if not {"you", "your", "yourself"} & set(words(text)):
            yield f"{id}: speaks to nobody; expected the second person"
        if not (text.endswith("?") or re.search(r"\b(Tell me|Describe)\b", text)):
            yield f"{id}: asks for no reply"
    for facet in (f"{letter}{number}" for letter in FACETS for number in NUMBERS):
        splits = Counter(each["split"] for each in questions if each["facet"] == facet)
        if splits.total() != EACH or splits["dev"] != DEV:
            yield f"{facet}: {splits.total()} questions, {splits['dev']} for development; expected {EACH} and {DEV}"


def poles(descriptions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Look at the shape of the pole descriptions: how many there are of each pole, person and length."""
    held = Counter((each["trait"], each["pole"]) for each in descriptions)
    for trait, pole in ((trait, pole) for trait in TRAITS for pole in ("high", "low")):
        many = DESCRIPTIONS if trait in BIG_FIVE else DARK_DESCRIPTIONS
        if held[trait, pole] != many:
            yield f"{trait}, {pole}: {held[trait, pole]} descriptions; expected {many}"
    low, high = DESCRIPTION
    for each in descriptions:
        n = len(words(each["text"]))
        if not low <= n <= high:
            yield f"{each['id']}: {n} words; expected {low} to {high}"
        if not each["text"].isascii():
            yield f"{each['id']}: has a character beyond ASCII"
        if {"you", "your"} & set(words(each["text"])):
            yield f"{each['id']}: speaks to the reader; expected the third person"


def anchors(rubrics: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Look at the shape of the rubrics: one a trait, both poles, a text for every grade, mirrored in length.

    Grades equally far from the middle differ by less than a third in length, so that neither pole is better described.
    """
    if sorted(each["trait"] for each in rubrics) != sorted(BIG_FIVE):
        yield f"rubrics of {[each['trait'] for each in rubrics]}; expected one of each of {list(BIG_FIVE)}"
    for each in rubrics:
        sides = {"high and low": (each["high"], each["low"])}
        if "".join(each["anchors"]) != GRADES:
            yield f"{each['trait']}: anchors {list(each['anchors'])}; expected {list(GRADES)}"
            continue
        sides |= {f"{a} and {b}": (each["anchors"][a], each["anchors"][b]) for a, b in ("05", "14", "23")}
        for names, pair in sides.items():
            short, long = sorted(len(words(text)) for text in pair)
            if 3 * (long - short) >= long:
                yield f"{each['trait']}: {names} have {short} and {long} words; expected nearly the same"


def items() -> tuple[list[str], list[str]]:
    """Item texts of every inventory that can be loaded, and the names of those that cannot."""
    texts, missing = [], []
    for name in inventories.names():
        try:
            texts += [item.text for item in inventories.load(name).items if item.text]
        except BadData:
            missing.append(name)
    return texts, missing


def strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for held in value.values():
            yield from strings(held)
    elif isinstance(value, Sequence):
        for held in value:
            yield from strings(held)


def faults(others: Sequence[str] = ()) -> Iterator[str]:
    """Audit the three files of this folder against the inventories and against `others`."""
    questions, descriptions, rubrics = (_read(name) for name in ("questions", "poles", "rubrics"))
    asked = {each["id"]: each["question"] for each in questions}
    told = {each["id"]: each["text"] for each in descriptions}
    graded = {f"rubric {each['trait']}": " / ".join(strings(each)) for each in rubrics}
    known, _ = items()
    yield from form(questions)
    yield from poles(descriptions)
    yield from anchors(rubrics)
    yield from naming(asked | told)
    yield from shared(asked | told | graded, known, ITEM)
    yield from shared(asked | told | graded, others, SHARED)
    yield from twice(asked, SHARED)
    yield from shared(told, asked.values(), SHARED)


def counts() -> str:
    """Write what there is: questions of each trait and split, words of a question, descriptions, rubrics."""
    questions, descriptions, rubrics = (_read(name) for name in ("questions", "poles", "rubrics"))
    traits = Counter(each["trait"] for each in questions)
    splits = Counter(each["split"] for each in questions)
    lengths = sorted(len(words(each["question"])) for each in questions)
    return (
        f"{len(questions)} questions ({', '.join(f'{trait} {n}' for trait, n in traits.items())}; dev {splits['dev']}, "
        f"test {splits['test']}) of {lengths[0]} to {lengths[-1]} words, median {lengths[len(lengths) // 2]}; "
        f"{len(descriptions)} pole descriptions, {len(rubrics)} rubrics"
    )


def _read(name: str) -> Any:
    room = files("traitbench.judges") if name == "rubrics" else files("traitbench.tasks") / "personality_bench"
    return json.loads((room / f"{name}.json").read_text("utf-8"))[name]


def _texts(path: Path) -> list[str]:
    """Read the strings of a file; BadData where it is no file of text."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read ({error}); expected a JSON, JSON Lines or plain text file") from None
    for parts in ([text], text.splitlines()):
        try:
            return [each for part in parts if part.strip() for each in strings(json.loads(part))]
        except json.JSONDecodeError:
            continue
    return [text]


def main(paths: Sequence[str]) -> int:
    """Print faults and counts; 1 where there is a fault, 2 where one of `paths` cannot be read."""
    try:
        others = [text for path in paths for text in _texts(Path(path))]
    except BadData as error:
        print(error, file=sys.stderr)
        return 2
    found = list(faults(others))
    print("\n".join(found), end="\n" if found else "")
    _, missing = items()
    unseen = f"; items of {', '.join(missing)} are not on this machine and were not looked at" if missing else ""
    print(f"{len(found)} faults; {counts()}{unseen}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
