"""What a fit reads is a part of its name: every shipped file that it opens, changed by a word, makes it another fit.

The files are found by watching what is opened while a method fits, so that none is forgotten; those that decide nothing
are named here.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import gguf
import numpy as np
import pytest

from traitbench import controls, inventories
from traitbench.errors import BadData
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.fitted import fitted, is_kept
from traitbench.methods.method import Method
from traitbench.types import Person, Target

ROOT = Path(__file__).resolve().parents[2]
HIGH = Target(levels={"extraversion": 1.0})
PERSON = Target(person=Person(id="p", inventory="ipip_neo_300", answers={f"i{n}": 1 + n % 5 for n in range(1, 13)}))
TRAINED: dict[str, Any] = {"scenes": 2, "held_out": 0.5, "batch": 8, "lr": 0.02, "warmup": 0, "match_steps": 2,
                           "evaluations": 1}  # fmt: skip


class Case(NamedTuple):
    """A method, set up so that it fits an untrained model in seconds."""

    name: str
    config: dict[str, Any]
    own: str
    """The file that it lives on."""
    target: Target = HIGH
    item: str = "i2"
    """An item of the IPIP-NEO-300 that it reads."""


ITEMS, QUESTIONS = "inventories/ipip_neo_300.json", "methods/npti/questions.json"
OPEN = "methods/dialogues/open.jsonl"
WRITTEN: dict[str, Any] = {"search": "generate", "questions_per_pole": 4, "max_tokens": 3, "gammas": (0, 1)}
ANSWERED: dict[str, Any] = {"questions_per_pole": 6, "max_tokens": 3, "keep": "all"}
ONE: dict[str, Any] = {"strengths": (0.5, 1.0), "max_perplexity": 1e9}
CASES = {
    "residual": Case("residual", {"layers": (1,), **ONE}, "methods/prompting.json"),
    "vector": Case("vector", {"file": "v.gguf", **ONE}, ITEMS),
    "pas": Case("pas", {"heads": 2, "alphas": (0, 1), "shuffles": 19}, ITEMS),
    "pas, a person": Case("pas", {"heads": 2, "alphas": (0, 1), "shuffles": 19, "turn": "user"}, ITEMS, PERSON, "i1"),
    "npti": Case("npti", {"scenes": 12, "gammas": (0, 1)}, OPEN),
    "npti, questions": Case("npti", {**WRITTEN, "dev": "questions", "dev_questions": 1}, QUESTIONS),
    "npti, questions from scenes": Case("npti", {**WRITTEN, "questions": "scenes", "descriptions": "own"}, OPEN),
    "persona_vectors": Case("persona_vectors", {**ANSWERED, "layers": (1,), **ONE}, QUESTIONS),
    "persona_vectors, dialogues": Case(
        "persona_vectors", {"replies": "dialogues", "scenes": 12, "layers": (1,), **ONE}, OPEN
    ),
    "sft": Case("sft", TRAINED, OPEN),
    "dpo": Case("dpo", {**TRAINED, "adapters": "each"}, OPEN),
    "bipo": Case("bipo", {**TRAINED, "layers": (1,), **ONE}, OPEN),
    "p_tailor": Case("p_tailor", {**TRAINED, "experts": 2, "expert_rank": 1, "instruction": True}, OPEN),
    "persllm": Case("persllm", {
        "preset": "small", "per_kind": 1, "instructions": 1, "repeat": 1, "match_steps": 2, "lr": 0.02, "warmup": 0,
    }, "harness/targets/characters/extraversion=high.knowledge.txt"),
}  # fmt: skip
FITTED = {name for name in METHODS.shipped if METHODS.load(name).needs_model}

MOOT = {
    "pas, a person": {"inventories/ipip_neo_120.json"},  # says only in which company an item's activations are recorded
}
"""Files that are opened and decide nothing of such a fit. Restricted inventories hold no text, and so nothing to read
either, until their texts are there."""


def _inventory(text: str, item: str) -> str:
    """Let an item of an inventory say something else."""
    held = json.loads(text)
    mine = next((each for each in held["items"] if each["id"] == item), held["items"][0])
    mine["text"] = f"{mine['text']} indeed"
    mine["text_hash"] = inventories.text_hash(mine["text"])
    return json.dumps(held)


def _prompting(text: str, _: str) -> str:
    held = json.loads(text)
    held["extraversion"]["noun"] += " indeed"
    held["extraversion"]["high"]["adjectives"][0] = "brash"
    return json.dumps(held)


def _word(word: str, other: str) -> Callable[[str, str], str]:
    return lambda text, _: text.replace(word, other)


CHANGES: dict[str, Callable[[str, str], str]] = {
    "inventories/": _inventory,
    "harness/backends/neutral.json": _word(" the ", " that "),
    "methods/prompting.json": _prompting,
    QUESTIONS: lambda text, _: text.replace("?", "??").replace("You ", "Oh, you "),
    OPEN: _word(" the ", " that "),
    "methods/persllm/questions.json": _word("?", "??"),
    "harness/targets/characters/": _word(".", " indeed."),
}
"""Beginning of a file's name -> its text with a change, given the item that a case reads."""


def method(case: Case) -> Method:
    kind: Any = METHODS.load(case.name)
    return kind(kind.Config(**case.config))


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control vector where the tests run."""
    monkeypatch.chdir(tmp_path)
    writer = gguf.GGUFWriter("v.gguf", "controlvector")
    writer.add_tensor("direction.1", np.random.default_rng(0).normal(size=32).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def forget() -> None:
    """Empty every cache of ours, as a new process has none."""
    ours = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "traitbench"]
    for held in [value for module in ours for value in vars(module).values()]:
        if type(held) is functools._lru_cache_wrapper:
            held.cache_clear()


_OPENED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def watched() -> Iterator[None]:
    """Note what is opened for reading. A hook stays for ever, so it is told when to look."""
    looking = [True]

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if looking[0] and event == "open" and isinstance(given[0], str):
            _OPENED.append(given[0])

    sys.addaudithook(hook)
    yield
    looking[0] = False


def shipped(opened: list[str]) -> list[str]:
    """Of the files that were opened, the data that ship with the package."""
    rooms = ("harness", "inventories", "methods", "tasks")
    found = {Path(name).resolve() for name in opened}
    inside = [path.relative_to(ROOT) for path in sorted(found) if path.is_relative_to(ROOT)]
    return [str(path) for path in inside if path.parts[0] in rooms and path.suffix in (".json", ".jsonl", ".txt")]


@contextmanager
def changed(name: str, item: str) -> Iterator[None]:
    """Let a shipped file hold something else for the block."""
    make = next((make for start, make in CHANGES.items() if name.startswith(start)), None)
    assert make is not None, f"a fit reads {name}: say in CHANGES how to change a word of it"
    plain, whole = Path.read_text, (ROOT / name).read_text("utf-8")
    new = make(whole, item)
    assert new != whole

    def read(self: Path, *given: Any, **more: Any) -> str:
        return new if self == ROOT / name else plain(self, *given, **more)

    def opened(path: Any, *given: Any, **more: Any) -> int:
        return by_number(other if Path(path) == ROOT / name else path, *given, **more)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        by_number, other = os.open, Path(folder) / "changed"
        other.write_text(new, "utf-8")
        patch.setattr(Path, "read_text", read)
        patch.setattr(os, "open", opened)
        forget()
        yield
    forget()


def kept(case: Case, bench: Bench) -> bool:
    """Whether the fit is taken for one that is there; not where the files no longer go together."""
    try:
        return is_kept(method(case), case.target, bench)
    except BadData:
        return False


def test_every_method_that_is_fitted_stands_here() -> None:
    # What the method adapter reads is a setting, the folder, whose contents are in the name with the settings.
    assert {case.name for case in CASES.values()} == FITTED - {"adapter"}


def json_of(file: str) -> dict[str, Any]:
    """A JSON object of a file; empty for what is none."""
    held = json.loads((ROOT / file).read_text("utf-8")) if file.endswith(".json") else {}
    return held if isinstance(held, dict) else {}


@pytest.mark.parametrize("name", CASES)
def test_every_file_that_a_fit_reads_is_in_its_name_and_another_text_makes_another_control(
    name: str, bench: Bench
) -> None:
    case = CASES[name]
    forget()
    _OPENED.clear()
    first = fitted(method(case), case.target, bench)
    read = shipped(_OPENED)
    assert case.own in read and kept(case, bench)
    assert fitted(method(case), case.target, bench) == first == controls.read(bench.folder / first.hash)
    texts = {file for file in read if not json_of(file).get("restricted")}
    moot = MOOT.get(name, set())
    assert moot < texts
    for file in sorted(texts):
        with changed(file, case.item):
            assert kept(case, bench) == (file in moot), file
    assert kept(case, bench)
    with changed(case.own, case.item):
        second = fitted(method(case), case.target, bench)
        assert fitted(method(case), case.target, bench) == second
    assert first.fit and second.fit and first.fit.data.keys() == second.fit.data.keys()
    assert first.fit.data != second.fit.data
    # Of a vector only the strength is chosen, here the same.
    assert (first.hash == second.hash) == (case.name == "vector")


def test_the_messages_of_prompting_follow_its_texts() -> None:
    """It is fitted on no model and kept nowhere."""
    forget()
    made = METHODS.load("prompting")().fit(HIGH, Bench(0))
    with changed("methods/prompting.json", ""):
        other = METHODS.load("prompting")().fit(HIGH, Bench(0))
    assert "outgoing" in made.messages[0].content and "brash" in other.messages[0].content
    assert made.hash != other.hash


def test_item_texts_that_come_later_are_looked_for_in_what_was_trained_on(
    bench: Bench, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control that was fitted where restricted texts were missing would pass for clean of them."""
    case = CASES["sft"]
    monkeypatch.delenv("TRAITBENCH_DATA")
    without = fitted(method(case), HIGH, bench)
    assert kept(case, bench)
    monkeypatch.setenv("TRAITBENCH_DATA", str(shared))
    assert not kept(case, bench)
    found = fitted(method(case), HIGH, bench)
    assert found.hash == without.hash and found.fit and without.fit
    assert "sd3" in without.fit.details["leaks"]["missing"] and "sd3" in found.fit.details["leaks"]["inventories"]
