"""Curves over strength and over layers: from runs whose control moves its trait by a known step a unit of strength."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import pytest

from traitbench.charts.chart import Figure, Run, named
from traitbench.report import page, svg
from traitbench.report.development import development
from traitbench.runs.results import Results
from traitbench.samples import Condition
from traitbench.tasks.questionnaire.figures.doses import CEILING, strengths
from traitbench.tasks.questionnaire.figures.effects import figures
from traitbench.types import Fit, Point

TASK = "mini_ipip"
HOSTILE = "<script>alert(1)</script>"
Made = Callable[..., Results]


@pytest.fixture(scope="module")
def results(strength_run: Made) -> Results:
    return strength_run()


@pytest.fixture(scope="module")
def deep(strength_run: Made) -> Results:
    """Layers tried too, and one strength run."""
    return strength_run("residual", layers=True, coefs=(), traits=("openness",))


def one(found: list[Figure]) -> Figure:
    assert len(found) == 1
    return found[0]


def panels(figure: Figure) -> dict[str, list[dict[str, Any]]]:
    return {panel["title"]["text"]: panel["data"]["values"] for panel in figure.spec["concat"]}


def test_a_strength_curve_is_the_doses_of_the_run_from_the_baseline_on(results: Results) -> None:
    figure = one(strengths(named([results], TASK), "statement"))
    found = panels(figure)
    assert list(found) == [
        f"{t}: {m}" for t in ("openness", "neuroticism") for m in ("effect", "leakage", "perplexity")
    ]
    assert figure.spec["columns"] == 3
    for aim, sign in (("high", 1), ("low", -1)):
        mine = [row for row in found["openness: effect"] if row["aim"] == aim]
        assert [row["strength"] for row in mine] == [0, 1, 2, 4]
        assert [row["effect"] for row in mine] == pytest.approx([0, 0.12 * sign, 0.24 * sign, 0.48 * sign])
        assert [row["chosen"] for row in mine] == [False, False, True, False]
    (curve,) = [d for d in results.dose[TASK]["statement"] if d.target == "neuroticism=low"]
    leaked = [row["leakage"] for row in found["neuroticism: leakage"] if row["aim"] == "low"]
    assert leaked == pytest.approx([0.0, *(point.leakage for point in curve.points)])
    fluency = [row["perplexity"] for row in found["openness: perplexity"] if row["aim"] == "high"]
    assert fluency == pytest.approx([1.0, 1.05, 1.05**2, CEILING]), "what is broken down ends at the ceiling"
    (line,) = [row for row in figure.table.rows if row[:2] == ["openness=high", "2*"]]
    assert line[2:] == ["0.20", "0.240 [0.240, 0.240]", "0.000", "–", "1.10", "yes"]
    assert [row[6] for row in figure.table.rows if row[1] == "4"] == ["> 1000"] * 4
    assert "openness=low: 2, effect -0.240" in figure.alternative
    assert figure.table.notes == ["A strength of 1 is gamma."]


def test_choice_is_in_pomp_with_its_interval_and_the_option_mass(results: Results) -> None:
    figure = one(strengths(named([results], TASK), "choice"))
    assert figure.spec["columns"] == 4
    found = panels(figure)
    (curve,) = [d for d in results.dose[TASK]["choice"] if d.target == "openness=high"]
    mine = [row for row in found["openness: effect"] if row["aim"] == "high"][1:]
    for row, point in zip(mine, curve.points, strict=True):
        assert point.effect is not None and point.effect.pomp is not None and point.effect.ci is not None
        assert row["effect"] == pytest.approx(point.effect.pomp)
        assert (row["low"], row["high"]) == pytest.approx([25 * end for end in point.effect.ci])
    mass = results.response_style[TASK]["baseline"]["choice"].option_mass
    assert found["openness: option mass"][0]["option_mass"] == pytest.approx(mass)
    assert mass == pytest.approx(0.951, abs=1e-3)


def test_the_baseline_is_no_point_where_messages_stay_at_strength_0(strength_run: Made) -> None:
    said = strength_run()
    with_messages = {name: [{"role": "system", "content": "x"}] for name in said.controls}
    run = named([said.model_copy(update={"controls": with_messages})], TASK)
    assert {row["strength"] for row in panels(one(strengths(run, "choice")))["openness: effect"]} == {1, 2, 4}
    tried = strength_run(coefs=(0.0, 2.0))
    figure = one(strengths(named([tried], TASK), "choice"))
    assert [row[1] for row in figure.table.rows] == ["0", "2*"] * 4, "strength 0 was run and stands for itself"


def test_one_strength_is_no_curve(deep: Results, results: Results) -> None:
    assert strengths(named([deep], TASK), "choice") == []
    assert strengths(named([results], TASK), "generate") == []
    both = strengths(named([results, results], TASK), "choice")
    assert [figure.title for figure in both] == [
        f"What grows with strength: npti #{number}, choice scoring" for number in (1, 2)
    ]


def test_the_limit_of_perplexity_is_drawn_where_a_strength_comes_near_it(results: Results, strength_run: Made) -> None:
    def limits(found: Results) -> list[float]:
        (figure,) = strengths(named([found], TASK), "statement")
        panel = next(p for p in figure.spec["concat"] if p["title"]["text"] == "openness: perplexity")
        return [layer["encoding"]["y"]["datum"] for layer in panel["layer"]
                if isinstance(layer["mark"], dict) and layer["mark"].get("style") == "limit"]  # fmt: skip

    assert limits(results) == [2.0]
    assert limits(strength_run(coefs=(1.0, 2.0))) == []


def test_the_depth_curve_is_the_fit(deep: Results) -> None:
    figure = one(development(named([deep], TASK)))
    assert list(panels(figure)) == ["openness=high", "openness=low"]
    rows = panels(figure)["openness=high"]
    curve = deep.fits["openness=high"].curve
    assert {(r["layer"], r["strength"]): r["effect"] for r in rows} == {(p.layer, p.strength): p.effect for p in curve}
    assert [(r["layer"], r["strength"]) for r in rows if r["chosen"]] == [(2, 2.0)]
    hollow = {(r["layer"], r["strength"]) for r in rows if r["over"]}
    assert hollow == {(p.layer, p.strength) for p in curve if p.perplexity is not None and p.perplexity > 2}
    assert hollow == {(layer, 8.0) for layer in range(4)}, "layer 4 was never measured"
    panel = figure.spec["concat"][0]
    assert panel["encoding"]["x"]["field"] == "layer"
    assert {row["field"] for row in panel["layer"][0]["encoding"]["detail"]} == {"target", "strength"}
    assert ["openness=high", "4", "8", "0.480", "–", "2.00", ""] in figure.table.rows
    assert "openness=high: strength 2, layer 2, effect 0.240" in figure.alternative


def test_both_poles_share_a_panel_over_strength(results: Results) -> None:
    found = panels(one(development(named([results], TASK))))
    assert list(found) == ["openness", "neuroticism"]
    assert [(r["aim"], r["strength"]) for r in found["openness"] if r["chosen"]] == [("high", 2.0), ("low", 2.0)]


def test_persons_share_one_panel(person_run: Made) -> None:
    run = person_run()
    figure = one(development(named([run], "person_alignment")))
    assert list(panels(figure)) == ["persons"]
    rows = panels(figure)["persons"]
    assert len(rows) == 5 * 4 and {row["target"] for row in rows} == set(run.fits)
    assert sum(row["over"] for row in rows) == 5, "strength 6 of each"


def test_fits_are_shown_once_and_where_nothing_helped_is_said(results: Results) -> None:
    two = results.model_copy(update={"versions": {TASK: "1", "other": "1"}})
    assert len(development([Run("a", TASK, two), Run("a", "other", two)])) == 1
    none = Fit(
        method="x", version="1", strength=0.0, curve=(Point(strength=1, effect=-0.1), Point(strength=2, effect=None))
    )
    every = {**results.fits, "openness=low": none}
    figure = one(development([Run("a", TASK, results.model_copy(update={"fits": every}))]))
    assert "the strength is 0, for openness=low." in figure.caption
    assert sum(row[0] == "openness=low" for row in figure.table.rows) == 1, "a trial without an effect is no point"
    assert development([Run("a", TASK, results.model_copy(update={"fits": {}}))]) == []


def test_figures_are_drawn_alike_twice_and_hostile_texts_stay_texts(
    results: Results, deep: Results, expressions: Any
) -> None:
    names = {"name": HOSTILE, "version": "1", "config": {}, "settings": {HOSTILE: "\u2028"}}

    def hostile(found: Results) -> Results:
        fits = {f"{HOSTILE} {name}": fit.model_copy(update={"unit": HOSTILE, "details": {"effect": HOSTILE}})
                for name, fit in found.fits.items()}  # fmt: skip
        dose = {TASK: {mode: [d.model_copy(update={"target": f"{HOSTILE} {d.target}"}) for d in mine]
                       for mode, mine in found.dose[TASK].items()}}  # fmt: skip
        conditions = [c.model_copy(update={"levels": {f"{HOSTILE} {t}": v for t, v in c.levels.items()}})
                      for c in found.conditions] + [Condition(name=name) for name in fits]  # fmt: skip
        return found.model_copy(update={"method": names, "fits": fits, "dose": dose, "conditions": conditions})

    for found in (results, deep):
        bad = hostile(found)
        drawn = [*strengths(named([bad], TASK), "choice"), *development(named([bad], TASK))]
        assert len(drawn) == 1 + (found is results)
        for figure in drawn:
            json.dumps(figure.spec, allow_nan=False)
            first = svg(figure)
            assert first == svg(figure)
            assert HOSTILE in "".join(ElementTree.fromstring(first).itertext())
            assert not [text for text in expressions(figure.spec) if HOSTILE in text or "\u2028" in text], figure.name


def test_the_page_holds_the_curves_of_every_run(results: Results, deep: Results) -> None:
    drawn = figures(named([results, deep], TASK))
    assert [f.kind for f in drawn].count("dose over strength") == 2, "one a scoring mode"
    assert [f.kind for f in drawn].count("development") == 2, "one a run"
    text = page({"a": results, "b": deep}, "t")
    for figure in drawn:
        assert figure.title in text
    assert text.count('id="mini-ipip-development"') == text.count('id="mini-ipip-development-2"') == 1
