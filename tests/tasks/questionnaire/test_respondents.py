"""Reliability over simulated respondents: the right tables, the known truths, and what cannot be had."""

from __future__ import annotations

import numpy as np
import pytest

from traitbench import inventories
from traitbench.backends.scripted import Respondent
from traitbench.humans import loadings
from traitbench.tasks.questionnaire.multimethod import multimethod
from traitbench.tasks.questionnaire.respondents import Grid, Reliability, grid, reliability
from traitbench.tasks.questionnaire.validity import congruence, from_scores, structure

BIG = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


def table(values: np.ndarray, items: int = 5) -> Grid:
    """Answers (respondents, items) of Mini-IPIP as a grid with one occasion."""
    inventory = inventories.load("mini_ipip")
    n, k = values.shape
    levels = {"item": tuple(i.id for i in inventory.items), "respondent": tuple(range(n))}
    levels |= {axis: (None,) for axis in ("order", "symbols", "template", "repeat")}
    return Grid(inventory.items[:k], levels, values.T.reshape(k, 1, 1, 1, n, 1))


def people(rng: np.random.Generator, n: int, loading: float, phi: float) -> np.ndarray:
    """Keyed answers to Mini-IPIP (n, 20): five factors that correlate phi, every loading the same, unit variance."""
    inventory = inventories.load("mini_ipip")
    traits = rng.multivariate_normal(np.zeros(5), np.full((5, 5), phi) + (1 - phi) * np.eye(5), n)
    place = [inventory.traits.index(i.trait) for i in inventory.items]
    return loading * traits[:, place] + np.sqrt(1 - loading**2) * rng.standard_normal((n, 20))


def test_alpha_and_omega_are_those_of_the_model_that_made_the_answers() -> None:
    """Four parallel items of loading .8: alpha = omega = 4 * .64 / (1 + 3 * .64) (Spearman-Brown)."""
    known = reliability(table(people(np.random.default_rng(7), 4000, 0.8, 0.3)), BIG)
    truth = 4 * 0.64 / (1 + 3 * 0.64)
    assert [one.trait for one in known] == list(BIG)
    for one in known:
        assert (one.n, one.items, one.occasions, one.retest) == (4000, 4, 1, None)
        assert one.alpha == pytest.approx(truth, abs=0.015)
        assert one.omega_total == pytest.approx(truth, abs=0.015)
        assert one.alpha_ci and one.alpha_ci[0] < truth < one.alpha_ci[1]
        assert one.mean_inter_item_r == pytest.approx(0.64, abs=0.03)
        assert "one occasion" in one.reasons["retest"]


def test_correction_for_attenuation_recovers_the_correlation_of_the_traits() -> None:
    answers = table(people(np.random.default_rng(2), 4000, 0.6, 0.4))
    found = structure(answers, reliability(answers, BIG))
    assert found is not None
    assert found.disattenuated_mean == pytest.approx(0.4, abs=0.04)
    assert found.general_share == pytest.approx((1 + 4 * 0.4 * 0.6923) / 5, abs=0.03)  # observed r is .4 times alpha


def test_the_grid_of_a_run_holds_each_answer_where_it_was_given(administer) -> None:  # type: ignore[no-untyped-def]
    samples = administer("mini_ipip", Respondent(noise=0.2, person_sd=0.2, seed=4), respondents=6, templates=2)
    items = inventories.load("mini_ipip").items
    answers = grid(samples, items, "choice")
    assert answers.values.shape == (20, 2, 1, 2, 6, 1)
    assert answers.varied() == ("order", "template")
    one = samples[137]
    where = [answers.levels[axis].index(getattr(one, axis)) for axis in ("item", "order")]
    where += [0, *(answers.levels[axis].index(getattr(one, axis)) for axis in ("template", "respondent")), 0]
    assert answers.values[tuple(where)] == one.value_keyed
    by_hand = [s.value_keyed for s in samples if s.respondent == one.respondent and s.item == one.item]
    person = answers.levels["respondent"].index(one.respondent)
    assert answers.people()[person, where[0]] == pytest.approx(sum(by_hand) / len(by_hand))


def test_retest_is_the_agreement_over_occasions(administer) -> None:  # type: ignore[no-untyped-def]
    """The same answer in both orders is perfect agreement; noise drawn anew for each template is not."""
    items = inventories.load("mini_ipip").items
    same = grid(administer("mini_ipip", Respondent(noise=0.3, person_sd=0.2), respondents=20), items, "choice")
    assert all(one.retest == pytest.approx(1) for one in reliability(same, BIG))
    noisy = administer("mini_ipip", Respondent(noise=0.15, person_sd=0.15), respondents=40, templates=3)
    found = reliability(grid(noisy, items, "choice"), BIG)
    # Mean of 4 items: error variance .15^2 / 4 against .15^2 between people, both before clipping to the scale.
    assert np.mean([one.retest for one in found]) == pytest.approx(0.8, abs=0.08)


def test_statement_scores_do_not_see_a_biography_that_makes_every_sentence_likelier() -> None:
    rng = np.random.default_rng(3)
    inventory = inventories.load("mini_ipip")
    from traitbench.samples import Condition, graded, make_sample
    from traitbench.tasks import Administration
    from traitbench.tasks.questionnaire import Questionnaire
    from traitbench.types import Response

    task = Questionnaire(inventory, Administration(scoring=("statement",), respondents=20))
    requests, items = task.requests(0), {item.id: item for item in task.items}
    fluency = {who: rng.normal(0, 5) for who in {r.doc.respondent for r in requests}}
    logs = [float(rng.normal(-30, 1)) for _ in requests]

    def told(shift: float) -> list[Reliability]:
        made = [
            make_sample(
                r, Response(loglik=log + shift * 10 * fluency[r.doc.respondent], tokens=10),
                Condition(name="baseline"), items[r.doc.item], "", 0,
            )
            for r, log in zip(requests, logs, strict=True)
        ]  # fmt: skip
        rows = [graded(sample, task.grade(sample)) for sample in made]
        return reliability(grid(rows, inventory.items, "statement"), BIG)

    for plain, shifted in zip(told(0), told(1), strict=True):
        assert plain.alpha is not None
        assert shifted.alpha == pytest.approx(plain.alpha, abs=1e-9)
        assert shifted.sd == pytest.approx(plain.sd, abs=1e-9)


@pytest.mark.parametrize("case", ["constant", "one respondent", "half missing", "all missing", "one item flat"])
def test_what_cannot_be_had_is_null_with_a_reason(case: str) -> None:
    values = people(np.random.default_rng(0), 30, 0.7, 0.2)
    if case == "constant":
        values[:] = 3.0
    elif case == "one respondent":
        values = values[:1]
    elif case == "half missing":
        values[:28, 0] = np.nan
    elif case == "all missing":
        values[:] = np.nan
    else:
        values[:, 0] = 2.0
    answers = table(values)
    known = reliability(answers, BIG)
    found = structure(answers, known)
    assert found is not None
    for one in known:
        for name in ("alpha", "omega_total", "lambda_6", "split_half", "mean_inter_item_r", "retest"):
            value = getattr(one, name)
            assert (value is None) == (name in one.reasons), (name, one)
            assert value is None or np.isfinite(value)
    touched = known if case in ("constant", "one respondent", "all missing") else [known[2]]  # item 1 is extraversion
    assert all(one.omega_total is None for one in touched)
    if case == "constant":
        assert found.correlations == [[None] * 5] * 5
        assert "no variance" in found.reasons["correlations"]
    if case == "half missing":
        assert (known[2].n, found.n) == (2, 2)


def test_a_scale_without_variance_leaves_its_cells_empty_and_the_others_as_they_are() -> None:
    scores = np.random.default_rng(0).normal(size=(50, 3))
    scores[:, 1] = 4.0
    found = from_scores(scores, ("a", "b", "c"), {"a": 0.8, "b": None, "c": 0.8})
    assert [row[1] for row in found.correlations] == [None, None, None]
    assert found.correlations[0][2] == pytest.approx(np.corrcoef(scores[:, 0], scores[:, 2])[0, 1])
    assert found.disattenuated_mean is None


def test_two_instruments_side_by_side() -> None:
    rng = np.random.default_rng(5)
    traits = rng.standard_normal((300, 5))
    inventory = inventories.load("mini_ipip")
    place = [inventory.traits.index(i.trait) for i in inventory.items]

    def method() -> Grid:
        return table(0.8 * traits[:, place] + 0.6 * rng.standard_normal((300, 20)))

    found = multimethod({"a,choice": method(), "b,choice": method()}, {"a,choice": BIG, "b,choice": BIG})
    assert found is not None
    assert found.mean_convergent == pytest.approx(4 * 0.64 / (1 + 3 * 0.64), abs=0.03)
    assert found.heterotrait_heteromethod is not None and found.heterotrait_heteromethod < 0.12
    assert found.exceeding == 1
    assert multimethod({"a,choice": method()}, {"a,choice": BIG}) is None


def test_factors_of_people_like_answers_agree_with_peoples_loadings() -> None:
    """Answers made from the human loadings themselves give phi near 1; answers of one factor do not."""
    items = [i.id for i in inventories.load("mini_ipip").items]
    human = loadings("mini_ipip")
    assert human is not None
    target = human.matrix(items)
    rng = np.random.default_rng(0)
    unique = np.sqrt(1 - (target**2).sum(axis=1))
    alike = rng.standard_normal((2000, 5)) @ target.T + rng.standard_normal((2000, 20)) * unique
    phi, _ = congruence(alike, items, human)
    assert phi is not None
    assert min(phi.values()) > 0.98
    one = rng.standard_normal((2000, 1)) * 0.7 + rng.standard_normal((2000, 20)) * 0.7
    other, _ = congruence(one, items, human)
    assert other is not None
    assert min(other.values()) < 0.7
    assert congruence(alike[:20], items, human) == (
        None, "20 respondents for 20 items; expected more respondents than items"
    )  # fmt: skip
    assert congruence(alike, items, None)[0] is None


def test_loadings_of_facets_are_held_against_facets() -> None:
    """BFI-44 answers whose facets have people's loadings, plus noise of the items' own that averages out."""
    inventory, human = inventories.load("bfi_44", texts=False), loadings("bfi_44")
    assert human is not None and human.of == "facets"
    rng, n = np.random.default_rng(0), 2000
    facets = list(human.loadings)
    target = human.matrix(facets)
    scores = rng.standard_normal((n, 5)) @ target.T
    scores += rng.standard_normal((n, 10)) * np.sqrt(1 - (target**2).sum(axis=1))
    noise = rng.normal(0, 0.2, (n, 44))
    place = [facets.index(i.facet) if i.facet else None for i in inventory.items]
    values = np.stack([noise[:, k] if f is None else scores[:, f] + noise[:, k] for k, f in enumerate(place)], axis=1)
    levels: dict[str, tuple[object, ...]] = {axis: (None,) for axis in ("order", "symbols", "template", "repeat")}
    levels |= {"item": tuple(i.id for i in inventory.items), "respondent": tuple(range(n))}
    answers = Grid(inventory.items, levels, values.T.reshape(44, 1, 1, 1, n, 1))
    found = structure(answers, reliability(answers, BIG), human)
    assert found is not None and found.congruence is not None
    assert min(found.congruence.values()) > 0.95
    few = Grid(inventory.items, levels | {"respondent": tuple(range(10))}, answers.values[..., :10, :])
    said = structure(few, reliability(few, BIG), human)
    assert said is not None
    assert said.reasons["congruence"] == "10 respondents for 10 facets; expected more respondents than facets"
