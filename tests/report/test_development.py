"""How strengths were chosen: from fits whose trials are known."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from drawn import expressions, shown
from made_runs import doubled, person_run, strength_run

from traitbench.charts.chart import Figure
from traitbench.report import page, svg
from traitbench.report.development import development
from traitbench.runs.results import Results
from traitbench.samples import Condition
from traitbench.tasks.questionnaire.figures import figures
from traitbench.types import Fit, Point

TASK = "mini_ipip"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results() -> Results:
    return strength_run()


@pytest.fixture(scope="module")
def deep() -> Results:
    """Layers tried too, and one strength run."""
    return strength_run("residual", layers=True, coefs=(), traits=("openness",))


def one(found: list[Figure]) -> Figure:
    assert len(found) == 1
    return found[0]


def panels(figure: Figure) -> dict[str, list[dict[str, Any]]]:
    return {panel["title"]["text"]: panel["data"]["values"] for panel in figure.spec["concat"]}


def test_the_depth_curve_is_the_fit(deep: Results) -> None:
    figure = one(development(shown([deep], TASK)))
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
    found = panels(one(development(shown([results], TASK))))
    assert list(found) == ["openness", "neuroticism"]
    assert [(r["aim"], r["strength"]) for r in found["openness"] if r["chosen"]] == [("high", 2.0), ("low", 2.0)]


def test_persons_share_one_panel() -> None:
    run = person_run()
    figure = one(development(shown([run], "person_alignment")))
    assert list(panels(figure)) == ["persons"]
    rows = panels(figure)["persons"]
    assert len(rows) == 5 * 4 and {row["target"] for row in rows} == set(run.fits)
    assert sum(row["over"] for row in rows) == 5, "strength 6 of each"


def test_fits_are_shown_once_and_where_nothing_helped_is_said(results: Results) -> None:
    text = page({"a": doubled(results, TASK)}, "t")
    assert text.count('<section id="task-') == 2
    assert text.count("<h4>How the strength was chosen: npti</h4>") == 1, "fits belong to no task"
    assert text.index("<h4>How the strength was chosen: npti</h4>") < text.index('<section id="task-other"')
    none = Fit(
        method="x", version="1", strength=0.0, curve=(Point(strength=1, effect=-0.1), Point(strength=2, effect=None))
    )
    every = {**results.fits, "openness=low": none}
    figure = one(development(shown([results.model_copy(update={"fits": every})], TASK)))
    assert "the strength is 0, for openness=low." in figure.caption
    assert sum(row[0] == "openness=low" for row in figure.table.rows) == 1, "a trial without an effect is no point"
    assert development(shown([results.model_copy(update={"fits": {}})], TASK)) == []


def test_figures_are_drawn_alike_twice_and_hostile_texts_stay_texts(results: Results, deep: Results) -> None:
    names = {"name": HOSTILE, "version": "1", "config": {}, "settings": {HOSTILE: "\u2028"}}
    for found in (results, deep):
        fits = {f"{HOSTILE} {name}": fit.model_copy(update={"unit": HOSTILE, "details": {"effect": HOSTILE}})
                for name, fit in found.fits.items()}  # fmt: skip
        conditions = [c.model_copy(update={"levels": {f"{HOSTILE} {t}": v for t, v in c.levels.items()}})
                      for c in found.conditions] + [Condition(name=name) for name in fits]  # fmt: skip
        bad = found.model_copy(update={"method": names, "fits": fits, "conditions": conditions})
        figure = one(development(shown([bad], TASK)))
        json.dumps(figure.spec, allow_nan=False)
        first = svg(figure)
        assert first == svg(figure)
        assert HOSTILE in "".join(ElementTree.fromstring(first).itertext())
        assert not [text for text in expressions(figure.spec) if HOSTILE in text or "\u2028" in text]


def test_the_page_holds_the_curves_of_every_run_after_the_tasks_own(results: Results, deep: Results) -> None:
    runs = shown([results, deep], TASK)
    own, fitted = figures(runs), development(runs)
    assert len(fitted) == 2, "one a run"
    text = page({"a": results, "b": deep}, "t")
    places = [text.index(f"<h4>{figure.title}</h4>") for figure in [*own, *fitted]]
    assert places == sorted(places)
    assert text.count('id="mini-ipip-development"') == text.count('id="mini-ipip-development-2"') == 1
