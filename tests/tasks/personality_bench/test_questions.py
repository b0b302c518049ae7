"""The questions: our own are whole and spread over traits from the first on; published ones come from the folder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from traitbench import data, tasks
from traitbench.errors import BadData, UnsupportedControl
from traitbench.tasks import Administration
from traitbench.tasks.personality_bench import PersonalityBench, PublishedBench
from traitbench.tasks.personality_bench.questions import load, published
from traitbench.types import BIG_FIVE


def test_our_own_are_thirty_a_trait_over_all_facets() -> None:
    test, dev = load("test"), load("dev")
    assert Counter(q.trait for q in test) == dict.fromkeys(BIG_FIVE, 30) and len(dev) == 30
    assert set(Counter(q.facet for q in test).values()) == {5} and set(Counter(q.facet for q in dev).values()) == {1}
    assert len({q.id for q in (*test, *dev)}) == 180 and not {q.text_hash for q in test} & {q.text_hash for q in dev}


@pytest.mark.parametrize("limit", [5, 20, 60])
def test_the_first_so_many_are_spread_over_traits_and_facets(limit: int) -> None:
    items = PersonalityBench(Administration(limit=limit)).items
    assert Counter(q.trait for q in items) == dict.fromkeys(BIG_FIVE, limit // 5)
    assert [q.number for q in items] == list(range(1, limit + 1))
    assert set(Counter(q.facet for q in items).values()) <= {1, 2}


def test_respondents_are_refused() -> None:
    with pytest.raises(UnsupportedControl, match="--respondents 3: personality_bench asks the model as itself"):
        PersonalityBench(Administration(respondents=3))


def test_the_published_questions_are_asked_for_where_they_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    with pytest.raises(BadData, match="traitbench data get personalitybench"):
        tasks.load("personality_bench_published", Administration())
    assert "none stated" in data.SOURCES["personalitybench"].licence


def test_a_damaged_file_of_published_questions_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "personalitybench" / "test"
    folder.mkdir(parents=True)
    for trait in BIG_FIVE:
        (folder / f"{trait.capitalize()}.json").write_text(json.dumps({"question": f"How {trait}?"}) + "\n")
    monkeypatch.setenv("TRAITBENCH_DATA", str(tmp_path))
    assert [q.trait for q in published()] == list(BIG_FIVE)
    (folder / "Openness.json").write_text('{"question": "How?"}\n{"query": 1}\n')
    with pytest.raises(BadData, match=r"Openness.json:2: expected \{\"question\""):
        published()
    (folder / "Openness.json").write_text("\n")
    with pytest.raises(BadData, match="holds no question"):
        published()


def test_the_published_ones_are_459_and_are_not_passed_on(shared: Path) -> None:
    task = PublishedBench(Administration())
    assert Counter(q.trait for q in task.items) == {
        "openness": 90, "conscientiousness": 89, "extraversion": 90, "agreeableness": 90, "neuroticism": 100,
    }  # fmt: skip
    assert task.restricted and {q.facet for q in task.items} == {None}
    assert Counter(q.trait for q in task.items[:50]) == dict.fromkeys(BIG_FIVE, 10)
