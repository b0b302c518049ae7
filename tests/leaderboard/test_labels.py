"""Short names of runs on the leaderboard: no two alike, and no word more than tells them apart."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from traitbench.leaderboard import build
from traitbench.leaderboard.labels import labelled, labels, left_out
from traitbench.tasks.board import Entry

ROOT = Path(__file__).resolve().parents[2]


def entry(run: str, method: str = "dpo", settings: dict[str, Any] | None = None, **more: Any) -> Entry:
    given = {
        "model": "m", "revision": "sha256:12345678abc", "method_version": "1", "backend": "hf", "task": "t",
        "kind": "k",
        "conditions": 11, "profiles": 0, "n": 120, "limit": None, "contaminated": 0, "metrics": {},
        "evaluation_seconds": None, "fit_seconds": None, "stored_parameters": None, "administration_hash": "1",
        "method": method, "settings": settings or {}, "run": run, "place": run,
    }  # fmt: skip
    return Entry.model_validate({**given, **more})


def names(*entries: Entry) -> list[str]:
    found = labels(entries)
    return [found[e.task, e.run] for e in entries]


def test_what_all_runs_of_a_method_share_is_left_out_and_told_elsewhere() -> None:
    both = [
        entry("a", settings={"preset": "small", "adapters": "each", "matched": True}),
        entry("b", settings={"preset": "small", "adapters": "each"}),
    ]
    assert names(*both) == ["dpo + instruction", "dpo"]
    assert left_out(both) == {("m", "dpo"): {"preset": "small", "adapters": "each"}}
    assert names(both[0]) == ["dpo (preset=small, adapters=each) + instruction"], "alone, nothing is shared"
    other = entry("c", settings={"preset": "full", "adapters": "each"}, model="another")
    assert names(*both, other)[2] == "dpo (preset=full, adapters=each)", "of another model"


def test_values_are_written_as_the_folders_names_write_them() -> None:
    assert names(entry("a", "pas", {"alphas": [0.0, 2.0, 4.5]}), entry("b", "pas", {"centred": False})) == [
        "pas (alphas=0+2+4.5)", "pas (centred=False)",
    ]  # fmt: skip
    assert names(entry("a", "x", {"centred": True})) == ["x + centred"]


def test_how_runs_were_scored_tells_apart_what_else_is_alike() -> None:
    runs = [entry("a", metrics={"statement": {}}), entry("b", metrics={"choice": {}})]
    assert names(*runs) == ["dpo, statement", "dpo, choice"]
    assert names(runs[0], entry("b", metrics={"statement": {}})) == ["dpo #1", "dpo #2"]


def test_what_was_asked_tells_apart_where_settings_do_not() -> None:
    runs = [
        entry("a", asked={"templates": 1, "orders": ["forward", "reverse"]}),
        entry("b", asked={"templates": 3, "orders": ["forward", "reverse"]}),
        entry("c", profiles=100),
        entry("d", respondents=50),
        entry("e", limit=10),
    ]
    assert names(*runs) == [
        "dpo", "dpo, templates=3", "dpo, profiles", "dpo, 50 respondents", "dpo, first 10 items",
    ]  # fmt: skip
    assert names(entry("a", profiles=100), entry("b", profiles=300)) == [
        "dpo, profiles, 100 drawn", "dpo, profiles, 300 drawn",
    ]  # fmt: skip


def test_a_number_is_the_last_resort_and_taken_from_the_order_of_names() -> None:
    assert names(entry("a", backend="vllm"), entry("b")) == ["dpo, vllm", "dpo, hf"]
    assert names(entry("a", revision="sha256:ffffffffee"), entry("b")) == ["dpo, ffffffff", "dpo, 12345678"]
    assert names(entry("a", method_version="2"), entry("b")) == ["dpo, version 2", "dpo, version 1"]
    assert names(entry("b"), entry("c"), entry("a")) == ["dpo #2", "dpo #3", "dpo #1"]
    clash = names(entry("a"), entry("b"), entry("c", "dpo #1"))
    assert len(set(clash)) == 3, clash
    assert names(entry("a"), entry("a", task="another"), entry("b", model="another")) == ["dpo"] * 3


def test_no_two_published_runs_of_a_task_and_model_are_called_alike() -> None:
    entries = build(ROOT / "results" / "published").entries
    assert len({(e.task, e.model, e.label) for e in entries}) == len(entries)
    assert max(len(e.label) for e in entries) < 45
    shuffled = entries[:]
    random.Random(1).shuffle(shuffled)
    assert sorted(labelled(shuffled), key=lambda e: (e.task, e.run)) == sorted(entries, key=lambda e: (e.task, e.run))
    assert {"dpo + instruction", "pas (answer=text)", "prompting, profiles"} <= {e.label for e in entries}
