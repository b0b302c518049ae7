"""What NPTI searches with: questions and pole descriptions, of our own or given, and neuron lists made elsewhere.

The texts of questions.json are our own: for each trait 25 everyday situations that leave both poles room without
naming the trait, and six descriptions of each pole.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from traitbench import data
from traitbench.errors import BadData
from traitbench.files import parsed, read_text
from traitbench.inventories import text_hash
from traitbench.methods.dialogues import load
from traitbench.types import Record, Trait

__all__ = [
    "BLOCKS", "OWN", "PERSONALITYBENCH", "SCENES", "Draw", "Neurons", "Pair", "Texts", "draw", "own", "read_neurons",
    "texts",
]  # fmt: skip

OWN = "own"
SCENES = "scenes"
PERSONALITYBENCH = "personalitybench"
BLOCKS = 64
"""Shares of the scenes or questions that counts are kept by; even ones are one half, odd ones the other."""

_FORMS = 'a list of questions or of {"question": ...}, one such object a line, or {trait: {"questions": [...]}}'


class Texts(Record):
    """What a trait is searched with."""

    questions: tuple[str, ...] = Field(min_length=1)
    high: tuple[str, ...] = Field(min_length=1)
    """Descriptions of the high pole, in the second person."""
    low: tuple[str, ...] = Field(min_length=1)


class Pair(NamedTuple):
    """A question under one description of each pole."""

    question: str
    description: int
    """Which of the descriptions; the same number for both poles."""
    block: int
    """The share of the questions that it belongs to, from 0."""

    @property
    def half(self) -> int:
        """0 or 1: the half of the questions, to see how stable a choice is."""
        return self.block % 2


class Draw(NamedTuple):
    """What the search asks, and what is kept apart for the choice of gamma."""

    search: tuple[Pair, ...]
    development: tuple[Pair, ...]


class Neurons(NamedTuple):
    """Neurons of one pole, each array (n,)."""

    layer: NDArray[np.int64]
    unit: NDArray[np.int64]
    delta: NDArray[np.float64]
    """P(active) under this pole less that under the other."""
    share: NDArray[np.float64]
    """P(active) under this pole."""
    high: NDArray[np.float64]
    """The quantile of its activation under this pole."""

    @classmethod
    def none(cls) -> Neurons:
        """Not one."""
        places, numbers = np.zeros(0, dtype=np.int64), np.zeros(0)
        return cls(places, places, numbers, numbers, numbers)

    def by_layer(self) -> dict[str, int]:
        """Count the neurons of each layer that has any."""
        found, counts = np.unique(self.layer, return_counts=True)
        return {str(layer): int(count) for layer, count in zip(found, counts, strict=True)}


@cache
def own() -> dict[Trait, Texts]:
    """Read questions.json: trait -> its texts."""
    source = files("traitbench.methods.npti").joinpath("questions.json").read_text(encoding="utf-8")
    return TypeAdapter(dict[Trait, Texts]).validate_json(source)


def texts(trait: Trait, questions: str = OWN, descriptions: str | None = None) -> Texts:
    """Return the texts of `trait`.

    questions: `own`, `scenes` (what is said in the open dialogues), `personalitybench` (its search set, in the folder
    search/ beside description.json) or a file.
    descriptions: `own` or `personalitybench`; None takes those that go with the questions. BadData for a file without
    questions on the trait, a trait that PersonalityBench does not have, and for questions of its test set: to search
    with these would spoil every result on it.
    """
    where = questions
    if questions == OWN:
        found: Sequence[str] = own()[trait].questions
    elif questions == SCENES:
        found = tuple(dict.fromkeys(each.input for each in load("open").dialogues))
    else:
        path = _search_set(trait) if questions == PERSONALITYBENCH else Path(questions)
        where = str(path)
        found = tuple(dict.fromkeys(_questions(path, trait)))
        _refuse_test(found, where)
    if descriptions is None and questions == PERSONALITYBENCH:
        descriptions = PERSONALITYBENCH
    high, low = _described(trait) if descriptions == PERSONALITYBENCH else (own()[trait].high, own()[trait].low)
    if not found:
        raise BadData(f"{where} holds no question on {trait}; expected {_FORMS}")
    return Texts(questions=tuple(found), high=high, low=low)


def draw(source: Texts, count: int, held_out: int, seed: str) -> Draw:
    """Draw `count` different pairs of question and description, and `held_out` questions that no pair has.

    Every question is used before one is used again, each time under another description; where there are fewer pairs
    than `count`, all of them. BadData where fewer than two questions are left to search with.
    """
    chance = random.Random(f"npti {seed}")
    questions = chance.sample(source.questions, len(source.questions))
    kept, asked = questions[:held_out], questions[held_out:]
    if len(asked) < 2:
        raise BadData(
            f"{len(questions)} questions, of which {held_out} are held out, leave {len(asked)} to search with; "
            "expected at least 2; give more questions or a smaller dev_questions"
        )
    number = min(len(source.high), len(source.low))
    orders = [chance.sample(range(number), number) for _ in asked]
    pairs = [
        Pair(question, orders[place][turn], place % BLOCKS)
        for turn in range(number)
        for place, question in enumerate(asked)
    ]
    return Draw(tuple(pairs[:count]), tuple(Pair(question, chance.randrange(number), 0) for question in kept))


def read_neurons(path: Path, layers: int, width: int, model: str) -> Neurons:
    """Read a published neuron list: {layer: [[layer, index, delta, P, q95], ...]}, the layer named twice.

    layers, width: of the model it is for, whose name is `model`. BadData for another model's list, a row of another
    shape, a number that is not finite or a neuron named twice. Rows whose q95 is not above 0 are left out.
    """
    held = _json(path)
    rows = [(key, row) for key, group in held.items() for row in group] if isinstance(held, dict) else []
    if not rows:
        raise BadData(f"{path} is no neuron list; expected {{layer: [[layer, index, delta, P, q95], ...]}}")
    for key, row in rows:
        plain = isinstance(row, list) and len(row) == 5 and all(type(x) in (int, float) for x in row)
        if (
            not plain
            or not np.isfinite(row).all()
            or row[0] != int(row[0])
            or row[1] != int(row[1])
            or min(row[:2]) < 0
        ):
            raise BadData(f"{path}, layer {key}: {row} is not [layer, index, delta, P, q95] in finite numbers")
        if key != str(int(row[0])):
            raise BadData(f"{path}, layer {key}: the row {row} names another layer; is the file damaged?")
    table = np.array([row for _, row in rows], dtype=np.float64)
    layer, unit = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    if layer.max() >= layers or unit.max() >= width:
        raise BadData(
            f"{path} goes up to layer {layer.max()} and neuron {unit.max()}; {model} has {layers} layers of {width} "
            f"neurons (0 to {layers - 1}, 0 to {width - 1}); expected a list that was made for this model"
        )
    if len(np.unique(layer * width + unit)) < len(table):
        raise BadData(f"{path} names a neuron twice; expected each once")
    table = table[np.argsort(-table[:, 2], kind="stable")]
    table = table[table[:, 4] > 0]
    return Neurons(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3], table[:, 4])


def _search_set(trait: Trait) -> Path:
    folder = data.path(PERSONALITYBENCH)
    path = folder / "search" / f"{trait.capitalize()}.json"
    if not path.is_file():
        raise BadData(
            f"{path} is missing: PersonalityBench's search questions are not among the files at the pinned commit, and "
            "its test questions must not be searched with; give questions of your own with --method_args "
            "questions=FILE.json,descriptions=personalitybench, or leave questions=own"
        )
    return path


def _described(trait: Trait) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return PersonalityBench's descriptions of the high and the low pole, those of one line side by side."""
    path = data.path(PERSONALITYBENCH) / "description.json"
    rows, name = [row for row in _lines(path) if isinstance(row, dict)], trait.capitalize()
    pairs = [(row[name], row[f"{name}_reversed"]) for row in rows if name in row and f"{name}_reversed" in row]
    if not pairs:
        raise BadData(f"{path} describes no pole of {trait}; expected a Big Five trait, or descriptions=own")
    return tuple(high for high, _ in pairs), tuple(low for _, low in pairs)


def _questions(path: Path, trait: Trait) -> list[str]:
    held = _lines(path)
    if len(held) == 1 and isinstance(held[0], list):
        held = held[0]
    if len(held) == 1 and isinstance(held[0], Mapping) and "question" not in held[0]:
        mine = held[0].get(trait, [])
        held = mine.get("questions", []) if isinstance(mine, dict) else mine
    rows = [{"question": row} if isinstance(row, str) else row for row in held]
    try:
        asked = TypeAdapter(list[dict[str, Any]]).validate_python(rows)
        # NPTI's own search files name the trait in every row.
        return TypeAdapter(list[str]).validate_python(
            [row["question"] for row in asked if str(row.get("BFI", trait)).lower() == trait]
        )
    except (ValidationError, KeyError) as error:
        raise BadData(
            f"{path} holds a row that is no question ({str(error).splitlines()[0]}); expected {_FORMS}"
        ) from None


def _refuse_test(questions: Sequence[str], where: str) -> None:
    """Refuse questions of PersonalityBench's test set; without the data there is nothing to compare with."""
    folder = data.find(PERSONALITYBENCH)
    if folder is None or not folder.is_dir():
        return
    test = {text_hash(row["question"]) for path in sorted(folder.glob("test/*.json")) for row in _lines(path)}
    if same := [question for question in questions if text_hash(question) in test]:
        raise BadData(
            f"{len(same)} questions of {where} are test questions of PersonalityBench, e.g. {same[0]!r}; a search with "
            "them would contaminate its results; expected questions that are not in its test folder"
        )


def _json(path: Path) -> Any:
    try:
        return parsed(read_text(path))
    except (OSError, ValueError) as error:
        raise BadData(f"cannot read {path}: {error}; expected a JSON file") from None


def _lines(path: Path) -> list[Any]:
    """Read one JSON value, or one a line."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise BadData(f"cannot read {path}: {error}; expected a JSON file") from None
    try:
        return [parsed(text)]
    except ValueError:
        pass
    held = []
    # splitlines would also part a text at U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        try:
            held += [parsed(line)] if line.strip() else []
        except ValueError as error:
            raise BadData(f"{path}, line {number}: {error}; expected JSON, or one JSON object a line") from None
    return held
