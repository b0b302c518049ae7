"""Curves over strength: from runs whose control moves its trait by a known step a unit of strength."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from blocks import modes
from drawn import expressions, shown
from made_runs import changed, strength_run

from traitbench.charts.chart import Figure
from traitbench.report import svg
from traitbench.runs.results import Results
from traitbench.tasks.questionnaire.figures import doses, figures
from traitbench.tasks.questionnaire.figures.doses import CEILING
from traitbench.tasks.questionnaire.figures.runs import runs
from traitbench.types import Mode

TASK = "mini_ipip"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results() -> Results:
    return strength_run()


@pytest.fixture(scope="module")
def deep() -> Results:
    """One strength run."""
    return strength_run("residual", layers=True, coefs=(), traits=("openness",))


def strengths(sources: list[Results], mode: Mode) -> list[Figure]:
    return doses.strengths(runs(shown(sources, TASK)), mode)


def one(found: list[Figure]) -> Figure:
    assert len(found) == 1
    return found[0]


def panels(figure: Figure) -> dict[str, list[dict[str, Any]]]:
    return {panel["title"]["text"]: panel["data"]["values"] for panel in figure.spec["concat"]}


def test_a_strength_curve_is_the_doses_of_the_run_from_the_baseline_on(results: Results) -> None:
    figure = one(strengths([results], "statement"))
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
    (curve,) = [d for d in modes(results)["statement"].dose if d.target == "neuroticism=low"]
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
    figure = one(strengths([results], "choice"))
    assert figure.spec["columns"] == 4
    found = panels(figure)
    (curve,) = [d for d in modes(results)["choice"].dose if d.target == "openness=high"]
    mine = [row for row in found["openness: effect"] if row["aim"] == "high"][1:]
    for row, point in zip(mine, curve.points, strict=True):
        assert point.effect is not None and point.effect.pomp is not None and point.effect.ci is not None
        assert row["effect"] == pytest.approx(point.effect.pomp)
        assert (row["low"], row["high"]) == pytest.approx([25 * end for end in point.effect.ci])
    mass = modes(results)["choice"].response_style["baseline"].option_mass
    assert found["openness: option mass"][0]["option_mass"] == pytest.approx(mass)
    assert mass == pytest.approx(0.951, abs=1e-3)


def test_the_baseline_is_no_point_where_messages_stay_at_strength_0() -> None:
    said = strength_run()
    with_messages = {name: [{"role": "system", "content": "x"}] for name in said.controls}
    run = [said.model_copy(update={"controls": with_messages})]
    assert {row["strength"] for row in panels(one(strengths(run, "choice")))["openness: effect"]} == {1, 2, 4}
    tried = strength_run(coefs=(0.0, 2.0))
    figure = one(strengths([tried], "choice"))
    assert [row[1] for row in figure.table.rows] == ["0", "2*"] * 4, "strength 0 was run and stands for itself"


def test_one_strength_is_no_curve(deep: Results, results: Results) -> None:
    assert strengths([deep], "choice") == []
    assert strengths([results], "generate") == []
    both = strengths([results, results], "choice")
    assert [figure.title for figure in both] == [
        f"What grows with strength: npti #{number}, choice scoring" for number in (1, 2)
    ]


def test_the_limit_of_perplexity_is_drawn_where_a_strength_comes_near_it(results: Results) -> None:
    def limits(found: Results) -> list[float]:
        (figure,) = strengths([found], "statement")
        panel = next(p for p in figure.spec["concat"] if p["title"]["text"] == "openness: perplexity")
        return [layer["encoding"]["y"]["datum"] for layer in panel["layer"]
                if isinstance(layer["mark"], dict) and layer["mark"].get("style") == "limit"]  # fmt: skip

    assert limits(results) == [2.0]
    assert limits(strength_run(coefs=(1.0, 2.0))) == []


def test_the_figures_of_the_task_hold_a_curve_of_every_run(results: Results, deep: Results) -> None:
    drawn = figures(shown([results, deep], TASK))
    assert [f.kind for f in drawn].count("dose over strength") == 2, "one a scoring mode"


def test_figures_are_drawn_alike_twice_and_hostile_texts_stay_texts(results: Results) -> None:
    fits = {name: fit.model_copy(update={"unit": HOSTILE}) for name, fit in results.fits.items()}
    dose = [d.model_copy(update={"target": f"{HOSTILE} {d.target}"}) for d in modes(results)["choice"].dose]
    bad = changed(results, TASK, "choice", dose=dose).model_copy(update={
        "fits": fits, "method": {"name": HOSTILE, "version": "1", "config": {}, "settings": {HOSTILE: "\u2028"}},
        "conditions": [c.model_copy(update={"levels": {f"{HOSTILE} {t}": v for t, v in c.levels.items()}})
                       for c in results.conditions],
    })  # fmt: skip
    figure = one(strengths([bad], "choice"))
    json.dumps(figure.spec, allow_nan=False)
    first = svg(figure)
    assert first == svg(figure)
    assert HOSTILE in "".join(ElementTree.fromstring(first).itertext())
    assert not [text for text in expressions(figure.spec) if HOSTILE in text or "\u2028" in text]
