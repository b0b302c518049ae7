"""Trait dialogues: somebody says something, and a person answers as one who is high or low on one trait.

They are what adapters are trained on. A set is named by a source: "open" (original, CC0-1.0, ships with the package;
made by `open_set` from blocks of our own), the path of a file, or the id of a data set on the Hugging Face hub.
Our columns and those of BIG5-CHAT (Li et al. 2024, arXiv:2410.16491) are read. Everything below a `Corpus` is plain
functions over sequences of `Dialogue`; what is drawn depends on seed and scene names alone, never on order.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Literal

from traitbench.errors import BadData, TraitbenchUsage, UnsupportedControl, unknown
from traitbench.files import user_path
from traitbench.methods.dialogues.rows import ENDINGS, EXAMPLE, Row, file_rows, hub_rows, json_rows
from traitbench.types import TRAITS, Record, Target, Trait, digest, is_name

__all__ = ["Corpus", "Dialogue", "Level", "Pair", "load", "of_target", "pairs", "split", "subset", "turned", "whole"]

Level = Literal["high", "low"]
_OPEN = "open.jsonl"
_LICENCE = "CC0-1.0"
_COLUMNS = ("trait", "level", "scene", "input", "output")
_BIG5_CHAT = ("trait", "level", "train_input", "train_output")
_OTHER_FILES = (".gz", ".json", ".parquet", ".txt", ".xlsx", ".zip")
"""Endings of files that are not read; what has one is no hub id."""
_SCENES = ("scene", "original_index", "env_idx", "scene_id", "env", "idx")
"""Columns that may name the scene, the best first: BIG5-CHAT counts env_idx within each trait, original_index over
all of them."""


class Said(Record):
    """What somebody says to a person of a trait and level."""

    trait: Trait
    """Full name, as the inventories have it: one of `traitbench.types.TRAITS`, or of your own."""
    level: Level
    """Of the reply, and of the better one of two."""
    scene: str
    """Names the situation. The records of a trait that share it answer the same input at different levels."""
    input: str
    """What is said to the person."""

    @property
    def target(self) -> Target:
        """The trait and level as a control aims at them."""
        return Target(levels={self.trait: 1.0 if self.level == "high" else -1.0})

    @property
    def where(self) -> str:
        """Name the record in a message."""
        return f"scene {self.scene}, {self.trait} {self.level}"


class Dialogue(Said):
    """One turn and its reply."""

    output: str
    """How the person answers."""


class Pair(Said):
    """A preference: in one scene, the reply of the level aimed at and that of the opposite level."""

    chosen: str
    rejected: str


class Corpus(Record):
    """A set of dialogues and where it comes from."""

    name: str
    """The source, with the revision of a hub set that was asked for."""
    licence: str
    digest: str
    """Sixteen hexadecimal digits over the contents of all records in order."""
    dialogues: tuple[Dialogue, ...]
    left_out: int = 0
    """Records of a set in BIG5-CHAT's columns that were dropped because they, or their opposite, have an empty text."""


def load(source: str) -> Corpus:
    """Load a set: "open", the path of a .jsonl, .csv or .tsv file (also .gz), or a hub id `owner/name[@revision]`.

    A local folder in the layout of the hub may stand for the id. Columns: trait, level, scene, input, output; or
    BIG5-CHAT's trait, level, train_input, train_output with the scene in original_index or env_idx, else made from
    the input. UnknownName for a source that is none of the three and for a trait or level that does not exist;
    MissingExtra where a hub id is given without `datasets`; BadData for an empty set, a trait with one level only, an
    empty text, unreadable lines or columns, and a hub that cannot be reached.
    """
    if source == "open":
        text = files("traitbench.methods.dialogues").joinpath(_OPEN).read_text(encoding="utf-8")
        return _corpus("open", _LICENCE, json_rows(_OPEN, text.split("\n")))
    path = user_path(source)
    if path.name.lower().removesuffix(".gz").endswith(ENDINGS):
        return _corpus(source, "that of the file's owner", file_rows(path))
    name, _, revision = source.partition("@")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not path.is_file() and path.suffix.lower() not in _OTHER_FILES:
        return _corpus(source, f"see https://huggingface.co/datasets/{name}", hub_rows(name, revision or None))
    raise unknown("dialogue set", source, ["open"], f"(or give a file that ends in {', '.join(ENDINGS)}, or a hub id)")


def split(
    dialogues: Sequence[Dialogue], seed: int, held_out: float = 0.1
) -> tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]:
    """Return what is trained on and what is held out, with no scene on both sides.

    round(`held_out` * scenes) scenes, and at least one, are held out: the same ones for every trait and level, since
    scenes are ordered by a hash of seed and name. BadData with fewer than two scenes. In the open set scenes are made
    from shared sentences (three quarters of those held out also stand in the training part), so its held-out figures
    say how well new combinations are met, and less how well new wording is.
    """
    if not 0 < held_out < 1:
        raise TraitbenchUsage(f"held_out {held_out} is out of range; expected a share between 0 and 1, e.g. 0.1")
    ordered = _shuffled(dialogues, f"split {seed}")
    if len(ordered) < 2:
        raise BadData(f"{len(ordered)} scene cannot be split; expected two or more, so that one can be held out")
    held = set(ordered[: min(max(round(held_out * len(ordered)), 1), len(ordered) - 1)])
    return (
        tuple(each for each in dialogues if each.scene not in held),
        tuple(each for each in dialogues if each.scene in held),
    )


def subset(dialogues: Sequence[Dialogue], n_scenes: int, seed: int) -> tuple[Dialogue, ...]:
    """Return the records of the first `n_scenes` scenes of a seeded shuffle; all of them where there are fewer.

    Nested: with one seed, the scenes of a smaller subset are among those of a larger one.
    """
    if n_scenes < 1:
        raise TraitbenchUsage(f"n_scenes is {n_scenes}; expected 1 or more")
    kept = set(_shuffled(dialogues, f"subset {seed}")[:n_scenes])
    return tuple(each for each in dialogues if each.scene in kept)


def relabelled(dialogues: Sequence[Dialogue], seed: int) -> tuple[Dialogue, ...]:
    """Let the two levels change places in half of the scenes of each trait, which is drawn by `seed`.

    The replies stay where they are, and so do scenes that do not have one record of each level: what is said under a
    level then says nothing of it.
    """
    both = whole(dialogues)
    changed: set[tuple[Trait, str]] = set()
    for trait in dict.fromkeys(each.trait for each in both):
        scenes = _shuffled([each for each in both if each.trait == trait], f"relabelled {seed} {trait}")
        changed |= {(trait, scene) for scene in scenes[: (len(scenes) + 1) // 2]}
    return tuple(
        each.model_copy(update={"level": _opposite(each.level)}) if (each.trait, each.scene) in changed else each
        for each in dialogues
    )


def whole(dialogues: Sequence[Dialogue]) -> tuple[Dialogue, ...]:
    """The records of the scenes that have one record of each level of a trait, and no more."""
    held: dict[tuple[Trait, str], list[Dialogue]] = {}
    for each in dialogues:
        held.setdefault((each.trait, each.scene), []).append(each)
    both = {key for key, mine in held.items() if sorted(each.level for each in mine) == ["high", "low"]}
    return tuple(each for each in dialogues if (each.trait, each.scene) in both)


def turned(dialogues: Sequence[Dialogue]) -> tuple[Dialogue, ...]:
    """Put in each record's place the other one of its scene, under the level of the first; the scenes are `whole`."""
    held = {(each.trait, each.scene, each.level): each for each in dialogues}
    return tuple(
        held[each.trait, each.scene, _opposite(each.level)].model_copy(update={"level": each.level})
        for each in dialogues
    )


def of_target(dialogues: Sequence[Dialogue], target: Target) -> tuple[Dialogue, ...]:
    """Return the records of the target's trait and level.

    UnsupportedControl for a target that is not one trait at high or low; BadData where the set holds none of it.
    """
    if target.aims != {"poles"}:
        raise UnsupportedControl(
            f"dialogues show one trait at high or low, not {target.name}; give e.g. --target extraversion=high"
        )
    ((trait, value),) = target.levels.items()
    level = "high" if value > 0 else "low"
    found = tuple(each for each in dialogues if each.trait == trait and each.level == level)
    if not found:
        have = Counter(f"{each.trait}={each.level}" for each in dialogues)
        raise BadData(
            f"the dialogues hold no record of {trait}={level}; they hold {_told(have) or 'nothing'}; choose a target "
            f"among those, or a set that has {trait} at both levels"
        )
    return found


def pairs(dialogues: Sequence[Dialogue], trait: Trait | None = None) -> tuple[Pair, ...]:
    """Return one pair a record: it is chosen, and the record of the other level in its trait and scene rejected.

    The input is that of the chosen record. With `trait` only of that trait. BadData where there is no record, where a
    record has no opposite ("unequal pairs") or where a scene holds two records of a level.
    """
    wanted = [each for each in dialogues if trait is None or each.trait == trait]
    if not wanted:
        have = ", ".join(sorted({each.trait for each in dialogues})) or "no record at all"
        raise BadData(f"no dialogue of {trait or 'any trait'} to pair; the set holds {have}")
    held = {(each.trait, each.scene, each.level): each for each in wanted}
    if len(held) < len(wanted):
        counts = Counter((each.trait, each.scene, each.level) for each in wanted)
        (name, scene, level), times = counts.most_common(1)[0]
        raise BadData(
            f"unequal pairs: scene {scene!r} has {times} records of {name}={level} (records too many in all: "
            f"{len(wanted) - len(held)}); expected one a level, so that it is clear what is preferred to what"
        )
    lone = [each for each in wanted if (each.trait, each.scene, _opposite(each.level)) not in held]
    if lone:
        first, counted = lone[0], Counter(f"{each.trait}={each.level}" for each in lone)
        raise BadData(
            f"unequal pairs: {len(lone)} of {len(wanted)} records have no opposite in their trait and scene "
            f"({_told(counted)}), the first {first.trait}={first.level} in scene {first.scene!r}; "
            f"add its {_opposite(first.level)} record, or remove it"
        )
    return tuple(
        Pair(
            trait=each.trait, level=each.level, scene=each.scene, input=each.input, chosen=each.output,
            rejected=held[each.trait, each.scene, _opposite(each.level)].output,
        )
        for each in wanted
    )  # fmt: skip


def _opposite(level: Level) -> Level:
    return "low" if level == "high" else "high"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} x {name}" for name, n in sorted(counts.items()))


def _shuffled(dialogues: Iterable[Dialogue], salt: str) -> list[str]:
    """Order the scenes by a hash: the order of two scenes does not depend on which others are there."""
    return sorted(
        {each.scene for each in dialogues}, key=lambda s: (hashlib.sha256(f"{salt}\0{s}".encode()).digest(), s)
    )


def _corpus(name: str, licence: str, rows: Iterable[tuple[str, Row]]) -> Corpus:
    """Check every row and the set as a whole. A row comes with the words that say where it stands."""
    dialogues: list[Dialogue] = []
    empty: set[tuple[str, str]] = set()
    for place, row in rows:
        made = _dialogue(place, row)
        if not made.input or not made.output:
            if _ours(row):
                blank = "output" if made.input else "input"
                raise BadData(f"{place}: the {blank} of scene {made.scene!r} is empty; write it, or remove the line")
            empty.add((made.trait, made.scene))
        dialogues.append(made)
    kept = tuple(each for each in dialogues if (each.trait, each.scene) not in empty)
    if not kept:
        raise BadData(f"{name} holds no dialogue; expected lines such as {EXAMPLE}")
    for trait in dict.fromkeys(each.trait for each in kept):
        levels = {each.level for each in kept if each.trait == trait}
        if len(levels) == 1:
            (level,) = levels
            raise BadData(
                f"{name} is a one-class set: {trait} has records at {level} only; add records of {trait} at "
                f"{_opposite(level)} (the same scenes), or leave {trait} out"
            )
    contents = digest([list(each.model_dump().values()) for each in kept])
    return Corpus(name=name, licence=licence, digest=contents, dialogues=kept, left_out=len(dialogues) - len(kept))


def _ours(row: Row) -> bool:
    return "input" in row and "output" in row


def _dialogue(place: str, row: Row) -> Dialogue:
    """Make the record of a row; its texts may still be empty."""
    asked, replied = ("input", "output") if _ours(row) else ("train_input", "train_output")
    lacking = [name for name in ("trait", "level", asked, replied) if name not in row]
    if lacking:
        raise BadData(
            f"{place}: no {' and no '.join(lacking)} among the columns {', '.join(map(str, row)) or '(none)'}; "
            f"expected {', '.join(_COLUMNS)}, or BIG5-CHAT's {', '.join(_BIG5_CHAT)}"
        )
    trait, level = (str(row[name] or "").strip().lower() for name in ("trait", "level"))
    if not is_name(trait) or (trait not in TRAITS and difflib.get_close_matches(trait, TRAITS, cutoff=0.8)):
        raise unknown("trait", trait, TRAITS, f"({place})")
    if level not in ("high", "low"):
        raise unknown("level", level, ("high", "low"), f"({place})")
    said = str(row[asked] or "").strip()
    scene = next((str(row[name]).strip() for name in _SCENES if row.get(name) not in (None, "")), "")
    if not scene and _ours(row):
        raise BadData(f"{place}: no scene; expected a name in the column scene that both levels of the scene share")
    scene = scene or hashlib.sha256(said.encode()).hexdigest()[:16]
    answer = str(row[replied] or "").strip()
    return Dialogue(trait=trait, level="high" if level == "high" else "low", scene=scene, input=said, output=answer)
