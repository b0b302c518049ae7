"""Whole runs: writers with known levels are ordered by the text scorer; judges held to account; ranks, comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from quiet import Quiet
from said import Say
from scipy import stats

from traitbench.errors import UnsupportedControl
from traitbench.judges.planted import First
from traitbench.judges.scorer import evaluation
from traitbench.leaderboard import build, render
from traitbench.reproduce.scorer import table as evaluation_table
from traitbench.runs import judging
from traitbench.runs.compare import compare
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import graded, rescore
from traitbench.runs.plan import Plan
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.samples import Sample
from traitbench.tables import markdown
from traitbench.tasks import Administration, personality_bench
from traitbench.tasks.personality_bench.block import BenchBlock
from traitbench.tasks.personality_bench.questions import load
from traitbench.tasks.situations import Situations
from traitbench.tasks.situations.summary import SituationsBlock
from traitbench.tasks.written.cards import identity
from traitbench.tasks.written.comparison import group, shifts
from traitbench.tasks.written.records import Written
from traitbench.types import BIG_FIVE, Trait

NAME = "personality_bench"
USABLE = {"openness", "conscientiousness", "extraversion", "neuroticism"}
pytest.importorskip("wordllama")


def run(folder: Path, **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": (NAME,), "bootstrap_iters": 20, **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def written(results: Results, task: str = NAME) -> Written:
    block = results.tasks[task]
    found = block.written if isinstance(block, BenchBlock | SituationsBlock) else None
    assert found is not None
    return found


def levels(found: Written, condition: str = "baseline") -> dict[str, float | None]:
    assert found.rated is not None
    return {level.trait: level.value for level in found.rated.levels[condition]}


@pytest.mark.parametrize("task", [NAME, pytest.param("situations", marks=pytest.mark.slow)])
def test_writers_are_ordered_by_their_levels(tmp_path: Path, task: str) -> None:
    """Fifteen writers with noise, each with a level of its own on every trait."""
    rng = np.random.default_rng(0)
    planted = np.array([rng.permutation(np.linspace(0.05, 0.95, 15)) for _ in BIG_FIVE]).T
    found = []
    for seed, row in enumerate(planted):
        given = {**dict(zip(BIG_FIVE, map(float, row), strict=True)), "noise": 0.1, "seed": seed}
        results, _ = run(
            tmp_path, model_args=given, limit=80 if task == "situations" else 50, tasks=(task,), scoring=("generate",)
        )
        mine = levels(written(results, task))
        assert {trait for trait, value in mine.items() if value is not None} == USABLE
        found.append([mine[trait] or np.nan for trait in BIG_FIVE])
    for place, trait in enumerate(BIG_FIVE):
        if trait in USABLE:
            assert stats.spearmanr(planted[:, place], np.array(found)[:, place]).statistic >= 0.9, trait


def test_situations_are_written_beside_being_weighed(tmp_path: Path) -> None:
    given = {"obedience": 0.4}
    results, path = run(
        tmp_path, tasks=("situations",), scoring=("statement", "generate"), method="prompting", model_args=given,
        target="extraversion=high", limit=40,
    )  # fmt: skip
    block = results.tasks["situations"]
    assert isinstance(block, SituationsBlock) and list(block.modes) == ["statement"] and block.written is not None
    (weighed,), (own,) = block.modes["statement"].contrasts, block.written.judges["scorer:text"].contrasts
    assert weighed.effect and own.effect and (weighed.effect.value or 0) > 0 and (own.effect.value or 0) > 0
    assert own.effect.n == weighed.effect.n == 8
    assert {row["scoring"] for row in block.effect_rows()} == {"statement", "generate"}
    assert rescore(path) == results and len(results.figures()) == 2
    assert [row.filter for row in Situations(Administration()).shifts(results, _kept(path))] == [
        "statement",
        "generate",
    ]


def _kept(path: Path) -> list[Sample]:
    return graded(path).samples["situations"]


@pytest.fixture(scope="module")
def obeyed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """A writer who does as told, under every target."""
    given = {"obedience": 0.4, "seed": 1}
    folder = tmp_path_factory.mktemp("obeyed")
    return run(folder, method="prompting", target="all", limit=60, model_args=given)


def test_a_control_moves_its_own_trait_and_says_why_one_has_no_number(obeyed: tuple[Results, Path]) -> None:
    results, path = obeyed
    found = written(results)
    assert found.rated is not None and found.counted == ["scorer:text"] and found.unranked == ""
    by_target = {c.target: c for c in found.rated.contrasts}
    for trait in USABLE:
        assert by_target[trait].check == "ok" and by_target[trait].composite is not None
    assert "it reaches .5, so no number" in found.rated.without["agreeableness"]
    assert by_target["agreeableness"].effect is not None and by_target["agreeableness"].effect.value is None
    assert found.rated.effect is not None and found.rated.effect.value > 1
    assert found.verdict.verdict == "caution" and "no number for agreeableness" in found.verdict.reasons[0]
    said = "\n".join(map(markdown, tables(results)))
    for words in ("composite (SE; SD)", "Judge cards", "Validity of the scorer", "scorer:text", "distinct pairs"):
        assert words in said
    assert rescore(path) == results
    frame = results.effects()
    assert set(frame["judge"]) == {"scorer:text"} and frame.loc[frame["aimed"], "composite"].max() > 7


def test_a_run_prints_every_direction_beside_its_bar(obeyed: tuple[Results, Path]) -> None:
    results, _ = obeyed
    (shown,) = [table for table in tables(results) if "Validity of the scorer" in table.title]
    expected = evaluation_table(evaluation()).rows
    assert [row[1:] for row in shown.rows[:-1]] == expected and len(expected) == 6
    by = {row[1]: dict(zip(shown.columns, row, strict=True)) for row in shown.rows}
    for source, bar, met in [
        ("dialogues -> ipip_neo_300", "0.72", "yes"),
        ("ipip_neo_300 -> dialogues", "0.71", "yes"),
        ("ipip_neo_120 -> dialogues", "0.71", "no"),
        ("dialogues -> situations", "", ""),
    ]:
        line = by[source]
        assert (line["bar of the mean"], line["met"]) == (bar, met)
        assert all(re.fullmatch(r"0\.\d\d \[0\.\d\d, \d\.\d\d\]", line[name]) for name in (*BIG_FIVE, "mean"))
    assert {trait for trait in BIG_FIVE if by["number given"][trait] == "yes"} == USABLE
    # A judge is the same whether its card tells the whole evaluation or, as in older results, what decides alone.
    card = results.judges["scorer:text"]
    older = results.model_copy(update={"judges": {"scorer:text": {k: card[k] for k in ("identity", "validity")}}})
    assert identity("scorer:text", older) == identity("scorer:text", results)
    (few,) = [table for table in tables(older) if "Validity of the scorer" in table.title]
    assert {row[1] for row in few.rows} == {"dialogues -> ipip_neo_300", "dialogues -> situations", "number given"}


def test_a_judge_is_named_by_what_decides_its_ratings(obeyed: tuple[Results, Path]) -> None:
    results, _ = obeyed

    def name(**card: Any) -> str:
        return identity("j", results.model_copy(update={"judges": {"j": {"model": "m", "prompts": "p", **card}}}))

    told = {"cost": {"dollars": 1}, "calibration": {"made": 3.0}, "families": {"judge": "a", "subject": "b"}}
    assert name(**told) == name() != name(prompts="q")


def test_replies_that_were_written_otherwise_are_no_rivals(obeyed: tuple[Results, Path]) -> None:
    results, _ = obeyed
    how = {"max_tokens": 120, "temperature": 0.7, "repetition_penalty": 1.1}
    made = [
        results.model_copy(update={"administration": {**results.administration, name: value}})
        for name, value in how.items()
    ]
    groups = {group(written(results), facts) for facts in (results, *made)}
    assert len(groups) == 4 and "" not in groups
    asked = [shifts(written(results), facts, {})[0].asked for facts in (results, *made)]
    assert all(asked[0] != other for other in asked[1:])


def test_it_is_ranked_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personality_bench, "load", lambda split: load(split)[:50])
    kept, folders = tmp_path / "published", []
    for obedience in (0.45, 0.2):
        given = {"obedience": obedience, "seed": 1}
        results, path = run(tmp_path, method="prompting", model_args=given, target="extraversion=high")
        folders.append(str(path.parent))
        publish(path, kept)
    assert results.figures()
    board = build(kept)
    ranks = sorted((e.metrics["generate"]["effect"], e.metrics["generate"]["rank"]) for e in board.entries)
    assert [rank for _, rank in ranks] == [2, 1]
    assert "rated by scorer:text" in render(board)
    assert compare(folders[0], folders[1], lambda line: None) is not None


def test_a_judge_that_is_the_subject_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedControl, match="smollm2 is the model that is measured"):
        run(tmp_path, model="smollm2", judge=("smollm2",))
    assert not list(tmp_path.iterdir())


class Blind(First):
    """Takes the first number, whatever was written."""

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        return float(values[0])


class Counts(Blind):
    """Goes by the number of letters."""

    def _rating(self, trait: Trait, text: str, values: Sequence[int]) -> float | None:
        return float(len(text) % 6)


def test_planted_judges_are_named_by_their_own_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"own:first": Blind, "own:counts": Counts}
    monkeypatch.setattr(judging, "made", lambda names, arguments: [own[name](name) for name in names])
    results, _ = run(tmp_path, judge=("own:first", "own:counts"), limit=20)
    found = written(results)
    first = found.judges["own:first"].asking
    assert first is not None and first.direction_gap == pytest.approx(5) == -(first.direction_bias or 0)
    assert first.spread == 0
    assert found.verdict.verdict == "not interpretable"
    assert any("own:first rates all replies alike" in why for why in found.verdict.reasons)
    assert set(found.agreement) == set(BIG_FIVE)


def test_a_verdict_names_the_judge_that_rated_nothing(tmp_path: Path) -> None:
    """The planted judge knows other texts only; that the scorer has no number for agreeableness is not why."""
    results, _ = run(tmp_path, judge=("planted:honest", "scorer:text"), limit=20)
    found = written(results)
    assert found.counted == ["planted:honest", "scorer:text"] and found.judges["scorer:text"].coverage == 1
    (why,) = found.verdict.reasons
    assert why == "not interpretable: no reply was rated: planted:honest rated none (cannot tell 100%)"


def test_a_judge_without_any_number_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = [question for question in load("test") if question.trait == "agreeableness"][:8]
    monkeypatch.setattr(personality_bench, "load", lambda split: only)
    found = written(run(tmp_path)[0])
    (why,) = found.verdict.reasons
    assert why.startswith("not interpretable: no reply was rated: scorer:text gives no number: AUC 0.59")


def test_a_judgement_is_asked_once(tmp_path: Path) -> None:
    run(tmp_path, limit=10)
    kept = next(tmp_path.rglob("responses.jsonl")).read_text().count("\n")
    results, _ = run(tmp_path, limit=10)
    assert next(tmp_path.rglob("responses.jsonl")).read_text().count("\n") == kept
    assert results.n_responses[NAME] == 10 + 4 * 10


def test_only_those_who_read_can_write(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedControl, match="scripted:uniform answers items and cannot speak freely"):
        run(tmp_path, model="scripted:uniform")


def test_the_command_line_knows_it(say: Say) -> None:
    found = say("ls tasks personality_bench")
    assert found.code == 0 and "CC0-1.0" in found.out and "--scoring" not in found.out and "max_tokens" in found.out
    assert "personality_bench_published" in say("ls tasks").out
