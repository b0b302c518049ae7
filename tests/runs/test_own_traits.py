"""Traits of one's own: measured, aimed at by their names, and refused by methods without words for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from traitbench import inventories
from traitbench.errors import BadData, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.prompting import Prompting
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.results import Results
from traitbench.types import Target

SCALES = {"H": "honesty_humility", "X": "extraversion", "L": "Lie-1"}
TEXTS = {
    "H": ("Give back money that I was handed by mistake", "Flatter people to get what I want"),
    "X": ("Start talking to strangers on the train", "Leave a party early to be alone"),
    "L": ("Have never been late", "Have told tales about a friend"),
}
WORDS: dict[str, Any] = {
    "noun": "honesty and humility",
    "high": {"head": "sincere", "adjectives": ["fair", "modest"]},
    "low": {"head": "sly", "adjectives": ["boastful", "greedy"]},
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    items = [
        {"id": f"{scale}{i}", "text": text, "scale": scale, "keyed": 1 - 2 * i}
        for scale, both in TEXTS.items()
        for i, text in enumerate(both)
    ]
    content = {
        "id": "my_six", "licence": "CC0", "citation": "Us (2026).", "statement": {"prefix": "I ", "lower": True},
        "scales": SCALES, "response_scale": {"min": 1, "max": 5, "labels": ["no", "hardly", "partly", "mostly", "yes"]},
        "items": items,
    }  # fmt: skip
    path = tmp_path / "my_six.json"
    path.write_text(json.dumps(content))
    return path


def words(folder: Path, **entries: Any) -> str:
    path = folder / "words.json"
    path.write_text(json.dumps(entries))
    return str(path)


class Watcher:
    """Looks on."""

    def plan(self, ahead: Any) -> None: ...

    def condition(self, name: str) -> None: ...

    def begin(self, what: str, total: int) -> Any: ...

    def done(self, requests: int) -> None: ...


def plan(inventory: Path, **fields: Any) -> Plan:
    return Plan.model_validate({
        "model": "scripted:person", "model_args": {"obedience": 0.3, "noise": 0.05}, "tasks": (str(inventory),),
        "output_path": str(inventory.parent / "runs"), **fields,
    })  # fmt: skip


def run(inventory: Path, **fields: Any) -> Results:
    return evaluate(plan(inventory, **fields), Watcher(), lambda line: None)[0]


def test_its_traits_are_measured(inventory: Path) -> None:
    assert inventories.validate(inventory) == [] and inventories.load(inventory).traits == tuple(SCALES.values())
    found = run(inventory)
    scores = found.scores()
    assert set(scores["metric"]) == set(SCALES.values()) and found.warnings == []
    assert scores[scores["scoring"] == "choice"]["value"].between(1, 5).all()


def test_they_are_aimed_at_in_any_spelling(inventory: Path, tmp_path: Path) -> None:
    own = {"texts": words(tmp_path, honesty_humility=WORDS)}
    aims = prepare(plan(inventory, method="prompting", method_args=own, target="Honesty-Humility=HIGH")).targets
    assert aims == [Target(levels={"honesty_humility": 1.0})]
    with pytest.raises(UnknownName, match="unknown trait 'honsty_humility'; did you mean 'honesty_humility'"):
        prepare(plan(inventory, method="prompting", method_args=own, target="honsty_humility=high"))


def test_all_passes_over_those_without_words(inventory: Path, tmp_path: Path) -> None:
    """The others are measured, and the run says so."""
    found = run(inventory, method="prompting", target="all")
    assert {s.name for s in found.conditions} == {"baseline", "extraversion=high", "extraversion=low"}
    told = [
        f"prompting has no words for {trait}: measured, and not aimed at" for trait in ("honesty_humility", "Lie-1")
    ]
    assert [w for w in found.warnings if "no words" in w] == told
    own = {"texts": words(tmp_path, honesty_humility=WORDS, **{"Lie-1": WORDS})}
    aims = prepare(plan(inventory, method="prompting", method_args=own, target="all")).targets
    assert [aim.name for aim in aims if aim] == [f"{t}={pole}" for t in SCALES.values() for pole in ("high", "low")]
    aims = prepare(plan(inventory, method="prompting", target="profiles")).targets
    assert all(aim and set(aim.levels) == {"extraversion"} for aim in aims)


def test_a_run_that_aims_at_one_moves_it(inventory: Path, tmp_path: Path) -> None:
    own = {"texts": words(tmp_path, honesty_humility=WORDS)}
    found = run(inventory, method="prompting", method_args=own, target="honesty_humility=high")
    assert "no task measures" not in " ".join(found.warnings)
    effects = found.effects()
    moved = effects[effects["scoring"] == "choice"].set_index("metric")
    assert set(moved.index) == set(SCALES.values()) and moved["aimed"].to_dict()["honesty_humility"]
    assert moved["pomp"]["honesty_humility"] > 15 and abs(moved["pomp"]["Lie-1"]) < 10


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"none", "adapter", "vector"}))
def test_a_method_without_words_refuses_before_a_model_is_loaded(name: str, inventory: Path) -> None:
    """It names itself, the trait, those that it has words for, and what to do."""
    with pytest.raises(
        UnsupportedControl, match=rf"{name} has no .* honesty_humility.*openness.*; .*(--method_args|--target)"
    ):
        prepare(plan(inventory, model="smollm2", model_args={}, method=name, target="honesty_humility=high"))
    with pytest.raises(UnsupportedControl, match=rf"{name} has no .* Lie-1"):
        prepare(plan(inventory, model="smollm2", model_args={}, method=name, target="lie_1=low"))


@pytest.mark.parametrize("style", ["p2", "demo"])
def test_a_style_needs_its_own_part_of_the_words(style: str, inventory: Path, tmp_path: Path) -> None:
    args: dict[str, Any] = {"style": style, "texts": words(tmp_path, honesty_humility=WORDS)}
    with pytest.raises(UnsupportedControl, match="prompting has no words for honesty_humility"):
        prepare(plan(inventory, method="prompting", method_args=args, target="honesty_humility=high"))
    examples = [{"question": f"Q{i}?", "high": "Yes.", "low": "No."} for i in range(3)]
    poles = {pole: {**WORDS[pole], "behaviour": f"You are {pole}."} for pole in ("high", "low")}
    args["texts"] = words(tmp_path, honesty_humility={**WORDS, **poles, "demo": examples})
    control = Prompting(Prompting.Config(**args)).fit(Target(levels={"honesty_humility": -1.0}), Bench())
    said = [message.content for message in control.messages]
    assert said == ["You are low."] if style == "p2" else sorted(said) == ["No."] * 3 + ["Q0?", "Q1?", "Q2?"]


def test_words_of_ones_own_are_said_after_those_that_ship(tmp_path: Path) -> None:
    method = Prompting(Prompting.Config(texts=words(tmp_path, zeal=WORDS, airs={**WORDS, "noun": "airs"})))
    said = [
        method.fit(Target(levels=dict(pairs)), Bench()).messages[0].content
        for pairs in (
            [("zeal", 1.0), ("openness", 1.0), ("airs", 0.0)],
            [("airs", 0.0), ("zeal", 1.0), ("openness", 1.0)],
        )
    ]
    assert said[0] == said[1]
    assert said[0].index("open-minded") < said[0].index("average in airs") < said[0].index("extremely sincere")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "Invalid JSON"),
        ('{"honesty": {"noun": "honesty"}}', r"honesty\.high: Field required"),
        (json.dumps({"a b": WORDS}), "'a b' is no name of a trait"),
        (
            json.dumps({"a": {**WORDS, "low": {"head": "sly", "adjectives": []}}}),
            r"a\.low\.adjectives: Tuple should have at least 1 item",
        ),
    ],
)
def test_words_that_cannot_be_read(content: str, match: str, inventory: Path, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(content)
    args = {"texts": str(tmp_path / "words.json")}
    with pytest.raises(BadData, match=rf"texts=.*{match}.*expected JSON"):
        prepare(plan(inventory, method="prompting", method_args=args, target="extraversion=high"))
    with pytest.raises(BadData, match="cannot read texts="):
        prepare(plan(inventory, method="prompting", method_args={"texts": "none.json"}, target="extraversion=high"))


def test_matched_needs_words_too(inventory: Path) -> None:
    file = inventory.with_name("happy.gguf")
    writer = gguf.GGUFWriter(file, "controlvector")
    writer.add_tensor("direction.1", np.ones(576, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    given = {"file": str(file), "layer": "1", "strength": "4"}
    line = plan(inventory, model="smollm2", model_args={}, method="vector", method_args=given, target="Lie-1=high")
    assert prepare(line).targets == [Target(levels={"Lie-1": 1.0})]
    with pytest.raises(TraitbenchUsage, match=r"--matched: .* no words for Lie-1, only for openness"):
        prepare(line.model_copy(update={"matched": True}))


@pytest.mark.parametrize("trait", ["two words", "a=b", "a,b", "..", ""])
def test_what_is_no_name_of_a_trait(trait: str, inventory: Path) -> None:
    content = json.loads(inventory.read_text())
    inventory.write_text(json.dumps({**content, "scales": {**SCALES, "H": trait}}))
    (first, *_) = inventories.validate(inventory)
    assert first.level == "error" and f"scale 'H' measures {trait!r}; expected a name of letters" in first.message
    with pytest.raises(UnknownName, match="is no name of a trait"):
        Target(levels={trait: 1.0})


@pytest.mark.parametrize(
    ("trait", "level", "message"),
    [
        ("Extraversion", "error", "another spelling of 'extraversion'"),
        ("lie_1", "error", "another spelling of 'lie_1'"),
        ("agreableness", "warning", "a trait of its own; did you mean 'agreeableness'?"),
    ],
)
def test_near_misses(trait: str, level: str, message: str, inventory: Path) -> None:
    content = json.loads(inventory.read_text())
    inventory.write_text(json.dumps({**content, "scales": {**SCALES, "H": trait}}))
    (found,) = inventories.validate(inventory)
    assert found.level == level and message in found.message


@pytest.mark.parametrize("id", ["../../x", "a b", "..", "x/y"])
def test_an_id_that_cannot_be_a_files_name(id: str, inventory: Path) -> None:
    inventory.write_text(json.dumps({**json.loads(inventory.read_text()), "id": id}))
    assert any(f.level == "error" and "part of a file's name" in f.message for f in inventories.validate(inventory))
