"""The scripted respondents are what the other tests take for the truth: their numbers must be the ones set."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import answers
from blocks import modes

from traitbench import inventories
from traitbench.backends.backend import Options
from traitbench.backends.models import resolve
from traitbench.backends.scripted import Respondent, Scripted
from traitbench.errors import UnknownName
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
from traitbench.tasks.scoring import item_values, scale_scores
from traitbench.types import BIG_FIVE


class Quiet:
    """Nobody is told."""

    def plan(self, ahead: Any) -> None: ...
    def condition(self, name: str) -> None: ...
    def done(self, requests: int) -> None: ...
    def begin(self, what: str, total: int) -> Any: ...


def measured(administer: Any, levels: np.ndarray, mode: Any = "choice", **me: Any) -> np.ndarray:
    """Measured levels (respondents, 5) as shares of the range, with mini_ipip: four items a trait."""
    inventory, out = inventories.load("mini_ipip"), []
    for seed, level in enumerate(levels):
        respondent = Respondent(**dict(zip(BIG_FIVE, map(float, level), strict=True)), seed=seed, **me)
        rows = administer("mini_ipip", respondent, scoring=(mode,), orders=("forward",))
        scores = scale_scores(item_values(rows, inventory.items), inventory, inventory.items, mode)
        out.append([score.pomp / 100 for score in scores if score.pomp is not None])
    return np.array(out)


def test_without_noise_the_measured_level_is_the_set_one(administer: Any) -> None:
    levels = np.random.default_rng(1).uniform(0, 1, (200, 5))
    found = measured(administer, levels)
    for trait in range(5):
        assert np.corrcoef(levels[:, trait], found[:, trait])[0, 1] >= 0.99
    assert np.abs((found - levels).mean(axis=0)).max() < 0.02
    assert np.abs(found - levels).max() < 1e-6


def test_written_answers_at_the_points_of_the_scale(administer: Any) -> None:
    levels = np.random.default_rng(2).integers(0, 5, (20, 5)) / 4
    assert measured(administer, levels, "generate") == pytest.approx(levels)


def test_with_noise_the_correlation_is_the_root_of_the_reliability(administer: Any) -> None:
    """Four items, noise SD .07: error variance .07^2 / 4. Levels lie 4 SD inside the scale, so nothing is clipped."""
    levels = np.random.default_rng(3).uniform(0.3, 0.7, (240, 5))
    found = measured(administer, levels, noise=0.07)
    true = levels.var()
    reliability = true / (true + 0.07**2 / 4)
    r = np.corrcoef(levels.ravel(), found.ravel())[0, 1]
    assert reliability < 0.93 and r == pytest.approx(np.sqrt(reliability), abs=0.01)
    assert np.std(found - levels) == pytest.approx(0.07 / 2, rel=0.05)


def test_noise_is_the_same_in_both_orders_and_other_for_other_seeds(administer: Any) -> None:
    def values(order: str, seed: int) -> list[float]:
        rows = administer("mini_ipip", Respondent(noise=0.1, seed=seed), orders=(order,))
        return [row.value_raw for row in rows]

    assert values("forward", 1) == pytest.approx(values("reverse", 1))
    assert values("forward", 1) != pytest.approx(values("forward", 2))


@pytest.mark.parametrize(("kind", "place"), [("first", 0), ("last", 4)])
def test_first_and_last_take_a_place(administer: Any, kind: str, place: int) -> None:
    rows = administer("mini_ipip", kind=kind)
    assert len(rows) == 40
    assert all(int(np.argmax(row.option_logprobs)) == place for row in rows)
    for order, value in (("forward", 1 + place), ("reverse", 5 - place)):
        assert [r.value_raw for r in rows if r.order == order] == pytest.approx([value] * 20)


def test_uniform_takes_every_place_as_often(administer: Any) -> None:
    places = [int(np.argmax(row.option_logprobs)) for row in administer("ipip_neo_120", kind="uniform", templates=5)]
    counts = np.bincount(places, minlength=5)
    assert counts.sum() == 1200 and ((counts - 240) ** 2 / 240).sum() < 13.3  # chi-squared, 4 df, 1 %


def test_uniform_follows_its_seed(administer: Any) -> None:
    def values(seed: int) -> list[float]:
        return [row.value_raw for row in administer("mini_ipip", Respondent(seed=seed), "uniform")]

    assert values(1) == values(1) != values(2)


def test_answers_do_not_depend_on_what_is_done() -> None:
    """A batch is skipped only when all of it is done."""
    from traitbench.tasks import Administration
    from traitbench.tasks.questionnaire import Questionnaire

    requests = Questionnaire(inventories.load("ipip_neo_120"), Administration(scoring=("choice",))).requests(0)
    backend = Scripted("person", Respondent(noise=0.2))
    whole = answers(backend, requests)
    rest = answers(backend, requests, done=range(130))
    assert sorted(whole) == list(range(240)) and sorted(rest) == list(range(120, 240))
    assert all(whole[i] == rest[i] for i in rest)


def test_unknown_kind() -> None:
    with pytest.raises(UnknownName, match="'unifrom'; did you mean 'uniform'"):
        Scripted("unifrom")
    with pytest.raises(UnknownName, match="did you mean 'first'"):
        Scripted.make(resolve("scripted:frist"), Options())


def test_unknown_and_impossible_arguments() -> None:
    spec = resolve("scripted:person")
    with pytest.raises(UnknownName, match="'extroversion'; did you mean 'extraversion'"):
        Scripted.make(spec, Options(arguments={"extroversion": 0.2}))
    with pytest.raises(UnknownName, match=r"--model_args position_bias=2: .*less than or equal to 1"):
        Scripted.make(spec, Options(arguments={"position_bias": 2}))
    made = Scripted.make(spec, Options(seed=7, arguments={"noise": 0.1}))
    assert made.respondent == Respondent(seed=7, noise=0.1)


def test_obedience_moves_choice_and_statement_by_the_known_amount(tmp_path: Path) -> None:
    """Level +-.2 on a range of 4: 1.6 points of the scale, 40 POMP; one nat a token from end to end: 0.4 nats."""
    plan = Plan(model="scripted:person", model_args={"obedience": 0.2, "item_sd": 0.01}, method="prompting",
                tasks=("mini_ipip",), output_path=str(tmp_path), bootstrap_iters=50)  # fmt: skip
    results, _ = evaluate(plan, Quiet(), lambda line: None)
    cards = {mode: scored.scorecard for mode, scored in modes(results).items()}
    assert [c.target for c in cards["choice"].contrasts] == list(BIG_FIVE)
    for contrast, mode in itertools.product(range(5), ("choice", "statement")):
        found = cards[mode].contrasts[contrast]  # type: ignore[index]
        assert found.effect and found.effect.trait == found.target
        assert found.effect.value == pytest.approx(1.6 if mode == "choice" else 0.4, abs=1e-6)
        assert found.effect.pomp == (pytest.approx(40, abs=1e-4) if mode == "choice" else None)
        assert found.effect.plus == pytest.approx(found.effect.value) == found.effect.minus
        assert [s.value for s in found.shifts if s.trait != found.target] == pytest.approx([0] * 4, abs=1e-6)
        assert found.check == "ok" and found.leakage == pytest.approx(0, abs=1e-6)
