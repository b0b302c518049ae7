"""Targets with drawn levels: independent, recovered as effects, and the ground of the model's own correlations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench.cli.commands import main
from traitbench.runs.finished import current
from traitbench.samples import Condition
from traitbench.targets import PROFILES, profiles
from traitbench.tasks.questionnaire.scorecard import differences

BIG = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


def run(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Measure a scripted person on Mini-IPIP and read the results from stdout."""
    command = f"run -t mini_ipip --bootstrap_iters 50 --format json {line}"
    assert main([*command.split(), "-o", str(folder)]) == 0
    return json.loads(capsys.readouterr().out)


def test_levels_are_independent_uniform_and_seeded() -> None:
    drawn = np.array([[t.levels[trait] for trait in BIG] for t in profiles(BIG, 4000, 0)])
    assert np.abs(drawn).max() <= 1
    assert drawn.mean(axis=0) == pytest.approx(np.zeros(5), abs=4 * (1 / 3 / 4000) ** 0.5)
    assert drawn.var(axis=0) == pytest.approx(np.full(5, 1 / 3), abs=0.03)
    apart = np.corrcoef(drawn, rowvar=False)[np.triu_indices(5, 1)]
    assert np.abs(apart).max() < 4 / 4000**0.5
    again = [t.levels for t in profiles(BIG, 5, 0)]
    assert again == [t.levels for t in profiles(BIG, 5, 0)] != [t.levels for t in profiles(BIG, 5, 1)]


def test_effects_over_profiles_are_those_of_the_respondent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Obedience .2 moves a trait by .2 of the range at level 1: 40 POMP, .4 nats a token from low to high."""
    found = run("-M scripted:person -a obedience=0.2,item_sd=0.02 -m prompting --target profiles", tmp_path, capsys)
    assert len(found["conditions"]) == PROFILES + 1
    for mode, truth in (("choice", 1.6), ("statement", 0.4)):
        card = found["tasks"]["mini_ipip"]["modes"][mode]["scorecard"]
        assert [c["target"] for c in card["contrasts"]] == list(BIG)
        for contrast in card["contrasts"]:
            assert (contrast["high"], contrast["low"]) == ("profiles", "profiles")
            for shift in contrast["shifts"]:
                expected = truth if shift["trait"] == contrast["target"] else 0
                assert shift["value"] == pytest.approx(expected, abs=0.02 * truth), (mode, contrast["target"], shift)
    similar = found["tasks"]["mini_ipip"]["modes"]["statement"]["human"]["similarity"][0]
    assert (similar["mode"], similar["n"]) == ("profiles", 100)
    levels = np.array([[c["levels"][t] for t in BIG] for c in found["conditions"][1:]])
    # The respondent has no correlations of its own, so its matrix is that of the levels that were drawn.
    ours = np.array(similar["matrix"])[np.ix_(*[[similar["traits"].index(t) for t in BIG]] * 2)]
    assert ours == pytest.approx(np.corrcoef(levels, rowvar=False), abs=0.01)


def test_slopes_are_those_of_a_regression_on_all_levels_together() -> None:
    rng = np.random.default_rng(0)
    conditions = [Condition(name="baseline")]
    values = {"baseline": np.zeros(3)}
    truth = rng.normal(size=(5, 3))
    for number, target in enumerate(profiles(BIG, 120, 3)):
        name = f"profile {number}"
        conditions.append(Condition(name=name, levels=target.levels, profile=True))
        values[name] = 1.5 + np.array([target.levels[t] for t in BIG]) @ truth
    values["profile 7"] = values["profile 7"].copy()
    values["profile 7"][1] = np.nan
    found = {each.target: each.moved for each in differences(values, conditions)}
    for row, trait in enumerate(BIG):
        assert found[trait] == pytest.approx(2 * truth[row])


@pytest.mark.parametrize(
    ("target", "said"), [("profiles:99", "at least 100"), ("profiles:x", "whole number"), ("profiles:", "whole number")]
)
def test_too_few_or_no_number_of_profiles_is_a_usage_error(
    target: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-M", "scripted:person", "-m", "prompting", "--target", target]) == 2
    assert said in capsys.readouterr().err


def test_a_method_that_takes_one_trait_at_a_time_refuses_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    line = "run -M scripted:person -m prompting --method_args style=p2 --target profiles"
    assert main(line.split()) != 0
    assert "cannot aim at" in capsys.readouterr().err


def test_paper_mode_needs_every_pole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run("-M scripted:person -a obedience=0.2 -m prompting --target openness=high", tmp_path / "1", capsys)
    human = one["tasks"]["mini_ipip"]["modes"]["choice"]["human"]
    assert human["similarity"] == []
    assert "--target profiles" in human["note"]
    every = run("-M scripted:person -a obedience=0.2 -m prompting", tmp_path / "2", capsys)
    found = every["tasks"]["mini_ipip"]["modes"]["choice"]["human"]["similarity"]
    assert [(s["mode"], s["n"]) for s in found] == [("paper", 10)] * len(found)
    assert {s["reference"] for s in found} >= {"mini_ipip_online", "ipip_neo_300_johnson", "davies_2015"}
    for s in found:  # high and low of one trait, nothing else moved: every correlation is 0
        assert s["distance"]["value"] == pytest.approx(s["identity"]["distance"]["value"], abs=1e-6)


def test_runs_that_asked_something_else_stand_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder of an older version, the newest of a design counts; other targets or another grid replace nothing."""
    base = "-M scripted:person -a obedience=0.2 -m prompting --scoring statement"
    for more in ("", "", "--target profiles", "--target profiles --seed 1", "--respondents 3 --target openness=high"):
        run(f"{base} {more}", tmp_path, capsys)
    made = sorted(tmp_path.glob("*/results_*.json"), key=lambda path: path.name)
    folder = tmp_path / "older"
    folder.mkdir()
    for path in made:
        shutil.copy(path, folder)
    told: list[str] = []
    found = current(folder, told.append)
    assert [path.name for path in found] == [made[n].name for n in (1, 3, 4)]
    assert [line.split(": ", 1)[0] for line in told] == [f"passed over {folder / made[n].name}" for n in (0, 2)]
    assert "the same plan, measured earlier" in told[0] and "seed 0, not 1" in told[1]
    assert [len(list(path.parent.glob("results_*"))) for path in made] == [2, 2, 1, 1, 1]
