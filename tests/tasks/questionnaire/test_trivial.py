"""Who must fail in every scoring mode, and who must pass, as whole runs of scripted respondents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench import evaluate, inventories
from traitbench.humans import loadings
from traitbench.samples import Condition, Sample
from traitbench.tasks.questionnaire.scorecard import Setting, scorecard
from traitbench.tasks.questionnaire.summary import Scored
from traitbench.tasks.questionnaire.variance import Dependability, compared, dependability
from traitbench.tasks.questionnaire.verdict import verdict
from traitbench.tasks.variation import correlated
from traitbench.tasks.verdict import Verdict
from traitbench.types import BIG_FIVE

MODES = ("choice", "statement", "generate")
FLAT = "no variance: every item has the same answer"
TRIVIAL: dict[str, tuple[dict[str, Any], str]] = {
    "uniform": ({}, "the two option orders agree"),
    "first": ({}, FLAT),
    "last": ({}, FLAT),
    "person, the midpoint": ({}, FLAT),
    "person, always 3": ({"constant": 3}, FLAT),
    "person, always 5": ({"constant": 5}, FLAT),
}
"""Respondent -> its arguments, and the reason that decides choice and generate without a control."""


def scored(folder: Path, model: str, arguments: dict[str, Any], method: str, **more: Any) -> dict[str, Scored]:
    more = {"tasks": ["ipip_50"], "scoring": MODES, "bootstrap_iters": 20, **more}
    found = evaluate(model=f"scripted:{model}", model_args=arguments, method=method, output_path=folder, **more)
    modes: dict[str, Scored] = found.tasks[more["tasks"][0]].modes  # type: ignore[attr-defined]
    return modes


@pytest.mark.parametrize("method", ["none", "prompting"])
@pytest.mark.parametrize("who", TRIVIAL)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_trivial_respondent_is_not_interpretable_in_any_mode(
    who: str, method: str, seed: int, tmp_path: Path
) -> None:
    arguments, said = TRIVIAL[who]
    for mode, found in scored(tmp_path, who.split(",")[0], arguments, method, seed=seed).items():
        assert found.verdict.verdict == "not interpretable", (mode, found.verdict.reasons)
        deciding = [reason for reason in found.verdict.reasons if reason.startswith("not interpretable")]
        expected = FLAT if mode == "statement" else said
        assert any(expected in reason for reason in deciding), (mode, deciding)


def test_a_respondent_who_heeds_items_but_no_control_moves_nothing(tmp_path: Path) -> None:
    arguments = {"noise": 0.2, "extraversion": 0.7}
    for mode, found in scored(tmp_path, "person", arguments, "prompting").items():
        assert "not interpretable: nothing moved" in " ".join(found.verdict.reasons), mode
    for mode, found in scored(tmp_path, "person", arguments, "none").items():
        assert found.verdict.reasons == ["caution: no simulated respondents (--respondents N)"], mode


@pytest.mark.parametrize("inventory", ["mini_ipip", "ipip_50"])
@pytest.mark.parametrize("more", [{}, {"target": "openness=high"}, {"templates": 3}, {"target": "profiles"}])
def test_a_person_under_a_control_is_interpretable_in_every_mode(
    inventory: str, more: dict[str, Any], tmp_path: Path
) -> None:
    arguments = {"noise": 0.1, "item_sd": 0.05, "obedience": 0.3}
    modes = ("choice", "statement") if more.get("target") == "profiles" else MODES
    for mode, found in scored(
        tmp_path, "person", arguments, "prompting", tasks=[inventory], scoring=modes, **more
    ).items():
        assert (found.verdict.verdict, found.verdict.reasons) == ("interpretable", []), mode
        aimed = {trait for contrast in found.scorecard.contrasts for trait in contrast.aimed}
        studies = {trait: one.aimed.study for trait, one in found.dependability.items() if one.aimed}
        assert set(studies) == aimed
        assert all(study.generalizability > 0.9 for study in studies.values())  # type: ignore[operator]
        assert {study.object for study in studies.values()} == {"condition"}


def test_a_person_without_a_control_is_interpretable_over_respondents(tmp_path: Path) -> None:
    arguments = {"noise": 0.1, "item_sd": 0.05, "person_sd": 0.15}
    for mode, found in scored(tmp_path, "person", arguments, "none", respondents=40).items():
        assert found.verdict.verdict == "interpretable", (mode, found.verdict.reasons)
        assert found.dependability == {}


BASELINE = Condition(name="baseline")
POLES = [Condition(name=f"{trait}={level:g}", levels={trait: level}) for trait in BIG_FIVE for level in (1.0, -1.0)]


def judged(shift: float, halo: float, rng: np.random.Generator) -> tuple[Verdict, dict[str, Dependability]]:
    """Ten poles on IPIP-50: noise of SD .3 nats an item; `shift` of the own trait, `halo` of all traits alike."""
    inventory = inventories.load("ipip_50", texts=False)
    values: dict[str, Any] = {}
    for condition in (BASELINE, *POLES):
        common = halo * sum(condition.levels.values())
        moved = [item.keyed * (shift * condition.levels.get(item.trait, 0) + common) for item in inventory.items]
        values[condition.name] = rng.normal(-3, 0.3, len(moved)) + moved
    samples = {
        name: [
            Sample.model_construct(
                item=item.id, keyed=item.keyed, trait=item.trait, scoring="statement", condition=name, template=0,
                repeat=0, status="valid", value_raw=value, order=None, symbols=None, respondent=None,
            )
            for item, value in zip(inventory.items, raw, strict=True)
        ]
        for name, raw in values.items()
    }  # fmt: skip
    card = scorecard(values, [BASELINE, *POLES], Setting(inventory, inventory.items, "statement", 20, 0))
    between = {trait: compared(card.contrasts, POLES, trait) for trait in inventory.traits}
    found = dependability(samples, between, inventory.items, "statement")
    return verdict(None, card, [], None, 5, dependable=found), found


def test_shifts_at_random_are_never_interpretable() -> None:
    """Conditions that differ by noise alone, 200 whole runs: most are below a floor, the rest a caution."""
    rng = np.random.default_rng(0)
    words = [judged(0, 0, rng)[0].verdict for _ in range(200)]
    assert "interpretable" not in words
    assert words.count("not interpretable") >= 160


def test_a_control_is_not_the_worse_for_moving_nothing_but_its_own_trait() -> None:
    """An effect of 3 of its standard errors a trait: told apart by its own poles, drowned among all ten."""
    rng, shift = np.random.default_rng(0), 3 * 0.3 / (2 * 10) ** 0.5
    runs = [judged(shift, 0, rng) for _ in range(60)]
    own = [one.aimed.study.generalizability for _, found in runs for one in found.values() if one.aimed]
    every = [one.run.study.generalizability for _, found in runs for one in found.values()]
    assert np.median(own) > 0.8 and np.median(every) < 0.5  # type: ignore[type-var]
    assert [word.verdict for word, _ in runs].count("not interpretable") <= 6
    strong = [judged(0.5, 0, rng)[0].verdict for _ in range(30)]
    assert strong.count("interpretable") >= 28


def test_the_orders_of_answers_at_random_agree_by_chance() -> None:
    """The interval covers a true r at its level, and begins above zero for 2.5 % of respondents at random."""
    rng, above, covered = np.random.default_rng(1), 0, 0
    for _ in range(2000):
        r, interval = correlated(rng.normal(size=(1, 40)), rng.normal(size=(1, 40)))
        above += interval is not None and interval[0] > 0
        shared = rng.normal(size=(1, 40))
        noisy = [shared + rng.normal(size=(1, 40)) * 0.5 for _ in range(2)]
        r, interval = correlated(*noisy)
        assert r is not None and interval is not None
        covered += interval[0] < 0.8 < interval[1]
    assert above / 2000 == pytest.approx(0.025, abs=0.012)
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)


def test_conditions_do_not_count_as_further_items() -> None:
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(1, 30)), rng.normal(size=(1, 30))
    assert correlated(np.repeat(one, 11, axis=0), np.repeat(two, 11, axis=0))[1] == pytest.approx(
        correlated(one, two)[1]
    )


def test_two_hundred_respondents_make_factor_congruence_reachable(tmp_path: Path) -> None:
    arguments = {"noise": 0.15, "item_sd": 0.05, "person_sd": 0.15}
    more = {"tasks": ["ipip_50"], "scoring": ("choice",), "orders": ("forward",), "respondents": 200}
    found = scored(tmp_path, "person", arguments, "none", **more)["choice"].validity
    assert found is not None and found.n == 200
    assert loadings("ipip_50") is not None
    assert found.congruence is not None
    assert min(found.congruence.values()) > 0.85
    one = scored(tmp_path / "one", "person", {**arguments, "one_factor": 1}, "none", **more)["choice"].validity
    assert one is not None and one.congruence is not None
    assert min(one.congruence.values()) < 0.85
