"""The open dialogue set: `python -m traitbench.methods.dialogues.open_set` writes open.jsonl from blocks.json.

The blocks were written for this project and are given away under CC0-1.0, and so is the set. A situation is what
somebody says, with slots; a scene is one such line with its slots filled, the same for all traits and levels. A reply
is a core that answers the situation, one sentence on what the person is like at large (a habit, from one of the
trait's six facets), and in 60 % of the scenes a closer. Nothing is drawn at random: every choice takes the block used
least so far, then the one that repeats the fewest words, then the first by a hash, so the file is the same everywhere.

216 scenes x 5 traits x 2 levels = 2,160 replies of 35 words in the mean; among their 75,600 words 3,220 distinct ones,
among their 5,914 sentences 2,536, and 44 % of the runs of three words are distinct.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path

from traitbench.errors import BadData
from traitbench.methods.dialogues import Dialogue, Level
from traitbench.types import BIG_FIVE, Record, Trait

__all__ = ["Blocks", "Situation", "Texts", "blocks", "lines", "make", "scenes"]

SCENES = 9
"""A situation."""
CLOSED = 0.6
"""Share of the scenes whose replies end with a closer; the same scenes at both levels of a trait, so that the longer
reply is no sign of the level."""
LEVELS: tuple[Level, ...] = ("high", "low")


class Situation(Record):
    """Something that one person may say to another."""

    id: str
    domain: str
    inputs: tuple[str, ...]
    """What is said, with slots in braces; an input need not name every slot."""
    slots: dict[str, tuple[str, ...]]
    """Slot -> what may stand in it."""
    in_reply: dict[str, str] = {}
    """What a slot's value becomes when the other one says it: my sister -> your sister."""


class Texts(Record):
    """The blocks of one trait at one level."""

    core: dict[str, tuple[str, ...]]
    """Situation id -> replies; one fits an input that names all of its slots."""
    habits: tuple[str, ...]
    closers: tuple[str, ...]


class Blocks(Record):
    """What blocks.json holds."""

    licence: str
    about: str
    situations: tuple[Situation, ...]
    traits: dict[Trait, dict[Level, Texts]]


class Scene(Record):
    """An input with its slots filled."""

    id: str
    situation: Situation
    input: str
    values: dict[str, str]
    """Slot -> value, of the slots that the input names."""


def blocks() -> Blocks:
    """Read blocks.json."""
    return Blocks.model_validate_json(
        files("traitbench.methods.dialogues").joinpath("blocks.json").read_text(encoding="utf-8")
    )


def scenes(situation: Situation, count: int = SCENES) -> list[Scene]:
    """Fill the inputs `count` times, inputs and slot values about equally often; BadData where they run out."""
    fillings = []
    for line in situation.inputs:
        names = _slots(line)
        fillings += [
            (line, dict(zip(names, values, strict=True)))
            for values in product(*(situation.slots[name] for name in names))
        ]
    if len(fillings) < count:
        raise BadData(f"situation {situation.id!r} makes {len(fillings)} scenes, expected {count}; add an input to it")
    chosen: list[Scene] = []
    used: Counter[str] = Counter()
    for number in range(1, count + 1):
        line, values = min(
            fillings,
            key=lambda f: (used[f[0]], sum(used[v] for v in f[1].values()), _key(situation.id, f[0], *f[1].values())),
        )
        fillings.remove((line, values))
        used.update((line, *values.values()))
        chosen.append(
            Scene(id=f"{situation.id}-{number}", situation=situation, input=_filled(line, values), values=values)
        )
    return chosen


def make(source: Blocks) -> tuple[Dialogue, ...]:
    """Make all dialogues: by scene, then trait, then level. BadData where two replies would be the same."""
    stage = [scene for situation in source.situations for scene in scenes(situation)]
    made: dict[tuple[str, Trait, Level], Dialogue] = {}
    for trait in (name for name in BIG_FIVE if name in source.traits):
        closed = set(sorted((scene.id for scene in stage), key=lambda s: _key(trait, s))[: round(CLOSED * len(stage))])
        for level in LEVELS:
            for scene, reply in _replies(stage, source.traits[trait][level], closed, f"{trait} {level}"):
                made[scene.id, trait, level] = Dialogue(
                    trait=trait, level=level, scene=scene.id, input=scene.input, output=reply
                )
    twice = [text for text, n in Counter(each.output for each in made.values()).items() if n > 1]
    if twice:
        raise BadData(f"{len(twice)} replies occur twice, such as {twice[0]!r}; add habits or closers")
    return tuple(
        made[scene.id, trait, level]
        for scene in stage for trait in BIG_FIVE if trait in source.traits for level in LEVELS
    )  # fmt: skip


def lines(dialogues: Iterable[Dialogue]) -> str:
    """Write dialogues as JSON lines."""
    return "".join(json.dumps(each.model_dump(), ensure_ascii=False) + "\n" for each in dialogues)


def _replies(stage: Sequence[Scene], texts: Texts, closed: set[str], salt: str) -> list[tuple[Scene, str]]:
    """Put the replies of one trait and level together, scene by scene."""
    uses: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    """Situation and habit."""
    found = []
    for scene in stage:
        kind = scene.situation.id
        fitting = [core for core in texts.core[kind] if set(_slots(core)) <= set(scene.values)]
        if not fitting:
            raise BadData(f"no core of {salt} fits {scene.input!r}; write one of {kind!r} without slots")
        said = {name: scene.situation.in_reply.get(value, value) for name, value in scene.values.items()}
        core = min(fitting, key=lambda text: (uses[text], _key(salt, scene.id, text)))
        parts = [_filled(core, said)]
        habit = min(
            (text for text in texts.habits if (kind, text) not in seen), key=_least(uses, parts, salt, scene.id)
        )
        parts.append(habit)
        seen.add((kind, habit))
        if scene.id in closed:
            parts.append(min(texts.closers, key=_least(uses, parts, salt, scene.id)))
            uses[parts[-1]] += 1
        uses.update((core, habit))
        found.append((scene, " ".join(parts)))
    return found


def _least(uses: Counter[str], before: Sequence[str], *salt: str) -> Callable[[str], tuple[int, int, bytes]]:
    """Order blocks: the one used least, then the one that shares the fewest long words with what stands before it."""
    words = set(_long(" ".join(before)))
    return lambda text: (uses[text], len(words & set(_long(text))), _key(*salt, text))


def _long(text: str) -> list[str]:
    return re.findall(r"[a-z]{5,}", text.lower())


def _slots(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"{(\w+)}", text)))


def _filled(text: str, values: dict[str, str]) -> str:
    """Fill the slots; a value that begins a sentence gets a capital."""
    filled = text.format(**values)
    return re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), filled)


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


def main() -> None:
    """Write open.jsonl beside this module."""
    made = make(blocks())
    path = Path(__file__).with_name("open.jsonl")
    path.write_text(lines(made), encoding="utf-8", newline="\n")
    print(f"{path}: {len(made)} dialogues")


if __name__ == "__main__":
    main()
