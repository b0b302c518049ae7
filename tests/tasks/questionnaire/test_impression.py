"""Fake good, honest and fake bad: effect sizes and the desirability index, of a scripted faker and of nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quiet import Quiet
from said import Say

from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.methods.impression import IMPRESSION
from traitbench.methods.prompting import Prompting
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.targets import impression, impressions
from traitbench.tasks.questionnaire.impression import ImpressionBlock
from traitbench.types import BIG_FIVE, DARK_TRIAD, DESIRABILITY, Target

FAKING = {"method": "prompting", "method_args": {"style": "impression"}, "target": "impression"}


def run(folder: Path, **changes: Any) -> tuple[Results, Path]:
    plan = Plan.model_validate({
        "model": "scripted:person", "output_path": str(folder), "tasks": ("mini_ipip",), "bootstrap_iters": 50,
        **FAKING, **changes,
    })  # fmt: skip
    return evaluate(plan, Quiet(), lambda line: None)


def block(results: Results) -> ImpressionBlock:
    found = results.across["impression"]
    assert isinstance(found, ImpressionBlock)
    return found


def test_targets_put_every_trait_at_its_desirable_end() -> None:
    good, honest, bad = impressions("impression", [*BIG_FIVE, "thrift"])
    assert good.levels == {trait: float(DESIRABILITY[trait]) for trait in BIG_FIVE}, "nothing is known of thrift"
    assert set(honest.levels.values()) == {0.0} and bad.levels == {t: -v for t, v in good.levels.items()}
    assert [impression(t.levels) for t in (good, honest, bad)] == [1, 0, -1]
    assert impression({"openness": 1.0, "neuroticism": 1.0}) is None and impression({"openness": 1.0}) is None
    assert impression({"openness": 0.5, "neuroticism": -0.5}) is None
    assert impressions("all", BIG_FIVE) == [] and len(impressions("impression", DARK_TRIAD)) == 3
    with pytest.raises(TraitbenchUsage, match="expected two traits or more"):
        impressions("impression", ["openness"])


def test_words_name_no_trait_and_say_whether_the_target_looks_good() -> None:
    style = Prompting(Prompting.Config(style="impression"))
    for target, side in zip(impressions("impression", BIG_FIVE), (1, 0, -1), strict=True):
        (message,) = style.fit(target, None).messages  # type: ignore[arg-type]
        assert message.content == IMPRESSION[side] and not [t for t in BIG_FIVE if t in message.content]
    for words, side in (("openness=high", 1), ("neuroticism=high", -1), ("openness=high,neuroticism=high", 0)):
        assert style.fit(Target.parse(words), None).messages[0].content == IMPRESSION[side]  # type: ignore[arg-type]
    with pytest.raises(UnsupportedControl, match="it is not known what looks good"):
        style.fit(Target(levels={"thrift": 1.0}), None)  # type: ignore[arg-type]


def test_a_faker_shows_its_effect_and_keeps_it(tmp_path: Path) -> None:
    results, path = run(tmp_path, model_args={"obedience": 0.3, "item_sd": 0.1}, tasks=("ipip_neo_120",))
    found = block(results)
    assert [(e.mode, e.looks, e.against) for e in found.found] == [
        (mode, looks, against) for mode in ("choice", "statement")
        for looks, against in (("fake good", "honest"), ("honest", "baseline"), ("fake bad", "honest"))
    ]  # fmt: skip
    for each in found.found:
        whole = 1.2 if each.mode == "choice" else 0.3
        expected = {"fake good": whole, "honest": 0.0, "fake bad": -whole}[each.looks]
        for trait in each.traits:
            assert trait.value == pytest.approx(expected, rel=0.15) and trait.n == 24
            assert each.looks == "honest" or (trait.ci and trait.ci[0] * trait.ci[1] > 0)
            assert (trait.sds is None) == (each.mode == "statement")
        assert each.index is None if each.looks == "honest" else abs(each.index or 0) > 0.95
        assert each.items == 120
    shown = [table for table in tables(results) if "Impression management" in table.title]
    assert len(shown) == 1 and len(shown[0].rows) == 2 * 3 * 5
    assert rescore(path) == results


def test_a_form_matched_in_desirability_is_moved_less(tmp_path: Path) -> None:
    """Who fakes by as much on every trait has nothing to choose between two statements that sound equally good."""
    results, path = run(
        tmp_path, model_args={"obedience": 0.3, "item_sd": 0.1}, tasks=("ipip_neo_120", "forced_choice"),
        scoring=("choice",),
    )  # fmt: skip
    for each in block(results).found:
        assert len(each.traits) == 5
        if each.looks == "honest":
            assert each.against == "baseline" and {trait.value for trait in each.traits} == {0.0}
            continue
        assert each.against == "honest" and each.index is not None
        assert abs(each.index) > 0.95 if each.task == "ipip_neo_120" else 0.4 < abs(each.index) < 0.75
    assert {e.items for e in block(results).found if e.task == "forced_choice"} == {81}
    (shown,) = [table for table in tables(results) if table.title.startswith("Impression management, forced_choice")]
    assert len(shown.rows) == 3 * 5 and {row[5] for row in shown.rows} == {"–"}
    assert rescore(path) == results


def test_who_does_not_fake_shows_nothing(tmp_path: Path) -> None:
    results, _ = run(tmp_path, model_args={"obedience": 0.0})
    assert all(each.index is None for each in block(results).found)
    assert {trait.value for each in block(results).found for trait in each.traits} == {0.0}


def test_agreeing_more_is_no_faking(tmp_path: Path) -> None:
    results, _ = run(tmp_path, model="scripted:uniform", seed=3, scoring=("choice",))
    good = block(results).found[0]
    assert good.index is None or (good.index_ci and good.index_ci[0] < 0 < good.index_ci[1])


def test_other_targets_have_no_such_block(tmp_path: Path) -> None:
    results, _ = run(tmp_path, target="all", method_args={})
    assert "impression" not in results.across


def test_the_command_line_says_what_is_missing(say: Say) -> None:
    found = say("run --model scripted:person -m prompting --target impression --tasks forced_choice --limit 1")
    assert found.code == 0
    found = say("run --model scripted:person -m prompting --target impression --tasks persona_consistency")
    assert found.code != 0 and "expected two traits or more" in found.err
    found = say("run --model scripted:person -m none --target impression --tasks mini_ipip")
    assert found.code != 0 and "takes no target" in found.err


def test_two_traits_at_their_desirable_ends_are_no_instruction_to_look_good(tmp_path: Path) -> None:
    args = {"method_args": {}, "model_args": {"obedience": 0.3}}
    results, _ = run(tmp_path, target="extraversion=high,neuroticism=low", **args)
    assert "impression" not in results.across
