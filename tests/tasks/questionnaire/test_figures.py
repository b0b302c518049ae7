"""Figures hold the numbers of the results and nothing else: against published runs and hand-made ones."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
import vl_convert
from blocks import modes
from drawn import expressions, must, published, shown
from made_runs import changed

from traitbench.charts.chart import Estimate
from traitbench.humans import reference
from traitbench.humans.likeness import Human
from traitbench.humans.similarity import similarity
from traitbench.report import svg
from traitbench.runs.results import Results
from traitbench.samples import Condition
from traitbench.tasks.questionnaire.figures import figures
from traitbench.tasks.questionnaire.figures.correlations import correlations, distances
from traitbench.tasks.questionnaire.figures.diagnostics import COEFFICIENTS, reliability, response_style
from traitbench.tasks.questionnaire.figures.doses import dose
from traitbench.tasks.questionnaire.figures.effects import forest, matrices
from traitbench.tasks.questionnaire.figures.runs import Run, per_point, runs, scaled
from traitbench.tasks.questionnaire.respondents import Reliability
from traitbench.tasks.questionnaire.summary import Scored
from traitbench.tasks.views import Shown
from traitbench.types import BIG_FIVE, Mode, Score

HOSTILE = "<script>alert(1)</script>"
TASK = "ipip_neo_120"


@pytest.fixture(scope="module")
def results() -> Results:
    return published("smollm2@prompting", TASK)


@pytest.fixture(scope="module")
def three(results: Results) -> list[Run]:
    others = [published(name, TASK) for name in ("smollm2@prompting,style=p2", "smollm2@none")]
    return runs(shown([results, *others], TASK))


def one(label: str, results: Results) -> Run:
    (found,) = runs([Shown(label, TASK, results.tasks[TASK], results)])
    return found


def scored(results: Results, mode: Mode) -> Scored:
    return modes(results, TASK)[mode]


def values(spec: Any) -> list[dict[str, Any]]:
    """The specification's own rows, wherever they stand first."""
    return list(spec["data"]["values"])


def test_the_forest_holds_the_effects_of_the_results(results: Results, three: list[Run]) -> None:
    for mode, factor in (("statement", 1), ("choice", 100 / 4)):
        figure = must(forest(three, mode))  # type: ignore[arg-type]
        rows = [row for row in values(figure.spec) if row["run"] == three[0].label]
        card = scored(results, mode).scorecard  # type: ignore[index]
        assert len(rows) == len(card.contrasts) == 5
        for row, contrast_ in zip(rows, card.contrasts, strict=True):
            effect = contrast_.effect
            assert effect is not None and effect.value is not None and effect.ci is not None
            assert row["target"] == contrast_.target
            assert row["value"] == pytest.approx(effect.value * factor, abs=1e-12)
            assert row["low"] == pytest.approx(effect.ci[0] * factor, abs=1e-9)
            assert row["high"] == pytest.approx(effect.ci[1] * factor, abs=1e-9)
            assert row["verdict"] == scored(results, mode).verdict.verdict  # type: ignore[index]
        assert [line[0] for line in figure.table.rows[:5]] == [c.target for c in card.contrasts]
        assert f"{len(values(figure.spec))} effects" in figure.alternative
    places = {row["target"]: row["place"] for row in values(must(forest(three, "statement")).spec)}
    assert places == {trait: place for place, trait in enumerate(BIG_FIVE)}


def test_a_run_that_aims_at_nothing_has_no_effects(three: list[Run]) -> None:
    without = shown([published("smollm2@none", TASK)], TASK)
    none = [three[2]]
    assert forest(none, "choice") is matrices(none, "choice") is dose(none, "choice") is None
    assert correlations(none, "choice") is distances(none, "choice") is None
    assert [figure.kind for figure in figures(without)] == ["response style"]


def test_the_range_of_the_scale_is_read_off_the_scores(results: Results, three: list[Run]) -> None:
    assert per_point(three[0], "choice") == 25.0
    assert per_point(three[0], "statement") == 1.0
    flat = {"baseline": [Score(trait="openness", value=3.0, pomp=50.0)]}
    same = one("flat", changed(results, TASK, "choice", scores=flat))
    assert per_point(same, "choice") is None
    shift = scored(results, "choice").scorecard.contrasts[0].shifts[0]
    assert scaled(shift, same, "choice") == Estimate(shift.pomp), "no interval rather than a wrong one"


def test_the_matrix_is_the_shifts_with_the_own_trait_marked(results: Results, three: list[Run]) -> None:
    figure = must(matrices(three, "choice"))
    panel = figure.spec["concat"][0]
    cells = {(row["target"], row["trait"]): row for row in values(panel)}
    for contrast_ in scored(results, "choice").scorecard.contrasts:
        for shift in contrast_.shifts:
            cell = cells[contrast_.target, shift.trait]
            assert cell["value"] == pytest.approx(shift.pomp, abs=1e-12)
            assert cell["own"] is (shift.trait == contrast_.target)
    colour = panel["layer"][0]["encoding"]["color"]["scale"]
    assert colour["domain"][0] == -colour["domain"][1] < 0, "zero is in the middle"
    assert colour["domain"] == figure.spec["concat"][1]["layer"][0]["encoding"]["color"]["scale"]["domain"]


def test_a_missing_shift_stays_null(results: Results) -> None:
    card = scored(results, "choice").scorecard
    first = card.contrasts[0]
    gone = first.shifts[1].model_copy(update={"value": None, "pomp": None, "ci": None})
    shifts = [first.shifts[0], gone, *first.shifts[2:]]
    other = card.model_copy(update={"contrasts": [first.model_copy(update={"shifts": shifts}), *card.contrasts[1:]]})
    run = one("r", changed(results, TASK, "choice", scorecard=other))
    rows = values(must(matrices([run], "choice")).spec["concat"][0])
    assert [row["value"] is None for row in rows].count(True) == 1
    assert (rows[1]["value"], rows[1]["cell"], rows[1]["shown"]) == (None, "", "–")


def with_people(results: Results, matrix: list[list[float | None]]) -> Run:
    found = similarity(matrix, BIG_FIVE, reference("ipip_neo_300_johnson"), 100)
    human = Human(similarity=[found], standing={}, note="")
    return one("run", changed(results, TASK, "choice", human=human))


def test_a_correlation_without_variance_stays_null(results: Results) -> None:
    matrix: list[list[float | None]] = [[1.0 if i == j else 0.3 for j in range(5)] for i in range(5)]
    for i in range(5):
        matrix[2][i] = matrix[i][2] = None
    run = with_people(results, matrix)
    figure = must(correlations([run], "choice"))
    people, model = (values(panel) for panel in figure.spec["concat"])
    nulls = {(row["trait"], row["other"]) for row in model if row["value"] is None}
    assert nulls == {(a, b) for a in BIG_FIVE for b in BIG_FIVE if "extraversion" in (a, b)}
    assert all(row["shown"] == "no variance" and row["cell"] == "" for row in model if row["value"] is None)
    assert {row["value"] for row in model if row["value"] is not None} == {1.0, 0.3}
    known = reference("ipip_neo_300_johnson")
    assert known.correlations is not None
    places = [known.traits.index(trait) for trait in BIG_FIVE]
    assert [row["value"] for row in people] == pytest.approx([known.correlations[i][j] for i in places for j in places])
    assert "none (" in figure.caption, "no distance where a cell is undefined"
    assert distances([run], "choice") is None


def test_the_distance_stands_beside_both_baselines(results: Results) -> None:
    run = with_people(results, [[1.0 if i == j else 0.0 for j in range(5)] for i in range(5)])
    figure = must(distances([run], "choice"))
    rows = {row["label"]: row for row in values(figure.spec)}
    identity = rows["no leakage (identity matrix)"]
    assert identity["value"] == pytest.approx(1.18, abs=0.005), "as published for this sample"
    assert rows["run"]["value"] == pytest.approx(identity["value"]), "the model is the identity matrix"
    drawn = rows["samples of 100 people"]
    assert 0 < drawn["low"] < drawn["value"] < drawn["high"] < identity["value"]
    assert "1.18" in must(correlations([run], "choice")).caption


def graded(results: Results) -> Results:
    """Scores that rise with the level of one trait's target; another strength of it is no point of the curve."""
    steps = [-1.0, -0.5, 1.0]
    conditions = [Condition(name="baseline")] + [
        Condition(name=f"level {step}", levels={"openness": step}, coef=2 + step) for step in steps
    ]
    named = list(zip(conditions, [0.0, *steps], strict=True))
    choice = {
        c.name: [
            Score(trait="openness", value=3 + 0.5 * s, pomp=50 + 12.5 * s, ci=(2.9 + 0.5 * s, 3.2 + 0.5 * s)),
            Score(trait="neuroticism", value=2.0, pomp=25.0),
        ]
        for c, s in named
    }
    statement = {c.name: [Score(trait="openness", value=s or None)] for c, s in named}
    aside = conditions[-1].model_copy(update={"name": "level 1.0@9", "coef": 9.0, "headline": False})
    for scores in (choice, statement):
        scores[aside.name] = scores["level -1.0"]
    made = changed(changed(results, TASK, "choice", scores=choice), TASK, "statement", scores=statement)
    return made.model_copy(update={"conditions": [*conditions, aside]})


def test_a_dose_curve_is_the_scores_in_the_order_of_the_levels(results: Results) -> None:
    panel = must(dose([one("run", graded(results))], "choice")).spec["concat"][0]
    own = [row for row in values(panel) if row["own"]]
    assert [row["dose"] for row in own] == [-1.0, -0.5, 0.0, 1.0], "the baseline is dose 0"
    assert [row["value"] for row in own] == pytest.approx([37.5, 43.75, 50.0, 62.5])
    assert [row["low"] for row in own] == pytest.approx([35.0, 41.25, 47.5, 60.0]), "2.9 is 47.5 POMP"
    assert [row["high"] for row in own] == pytest.approx([42.5, 48.75, 55.0, 67.5])
    assert {row["value"] for row in values(panel) if not row["own"]} == {25.0}
    shifts = values(must(dose([one("run", graded(results))], "statement")).spec["concat"][0])
    assert [row["value"] for row in shifts] == [-1.0, -0.5, 0.0, 1.0]


def test_two_poles_are_no_dose_curve(three: list[Run]) -> None:
    assert dose(three, "choice") is dose(three, "statement") is None


def test_response_style_is_that_of_all_conditions(results: Results, three: list[Run]) -> None:
    style = scored(results, "choice").response_style["all"]
    figure = must(response_style(three, "choice"))
    stack, agreement, bias, mass, invalid = figure.spec["hconcat"]
    mine = [row["share"] for row in values(stack) if row["run"] == three[0].label]
    assert mine == list(style.positions)
    for panel, name in ((agreement, "acquiescence"), (bias, "position_bias"), (mass, "option_mass")):
        assert values(panel)[0][name] == getattr(style, name)
    assert [row["share"] for row in values(invalid)] == [0.0] * 3
    assert {row["run"] for row in values(stack)} == {run.label for run in three}
    assert response_style(three, "statement") is None


def test_reliability_shows_what_there_is_and_says_what_is_missing(results: Results) -> None:
    scales = [
        Reliability(trait="openness", items=24, n=30, alpha=0.81, alpha_ci=(0.7, 0.89), omega_total=0.83, retest=0.6),
        Reliability(trait="neuroticism", items=24, n=30, alpha=-0.2, alpha_ci=(-0.9, 0.3), reasons={"retest": HOSTILE}),
    ]
    run = one("run", changed(results, TASK, "choice", reliability=scales))
    figure = must(reliability([run], "choice"))
    rows = {(row["scale"], row["coefficient"]): row for row in values(figure.spec)}
    assert [rows["openness", name]["value"] for name in COEFFICIENTS.values()] == [0.81, 0.83, 0.6]
    assert (rows["openness", "alpha"]["low"], rows["openness", "alpha"]["high"]) == (0.7, 0.89)
    assert rows["neuroticism", "retest"]["value"] is rows["neuroticism", "omega"]["value"] is None
    points = figure.spec["layer"][-1]
    assert points["encoding"]["x"]["scale"]["domain"][0] <= -0.9, "a negative interval is in the picture"
    assert figure.table.rows[1][3:] == ["-0.20 [-0.90, 0.30]", "–", "–", f"retest: {HOSTILE}"]
    assert reliability([one("run", results)], "generate") is None


def test_an_alpha_off_the_axis_is_written_not_placed(results: Results) -> None:
    scales = [Reliability(trait="openness", items=24, n=30, alpha=-2.5, alpha_ci=(-5.0, -1.2), omega_total=0.4)]
    run = one("run", changed(results, TASK, "choice", reliability=scales))
    texts = [e for e in ElementTree.fromstring(svg(must(reliability([run], "choice")))).iter() if e.text]
    assert [e.text for e in texts].count("◂ alpha -2.50") == 1
    drawn = vl_convert.vegalite_to_scenegraph(must(reliability([run], "choice")).spec)
    assert json.dumps(drawn).count('"shape": "circle"') == 1, "alpha in the legend, and nowhere else"


def test_no_text_of_a_run_gets_into_an_expression(results: Results) -> None:
    scale = Reliability(trait=HOSTILE, items=24, n=30, alpha=0.8, alpha_ci=(0.7, 0.9))
    names = {"name": HOSTILE, "version": "1", "config": {}, "settings": {"k": "\u2028"}}
    style = scored(results, "choice").response_style["all"].model_copy(update={"invalid": {HOSTILE: 0.1}})
    bad = changed(results, TASK, "choice", reliability=[scale], response_style={"all": style})
    for mode, found in modes(results, TASK).items():
        aimed = [c.model_copy(update={"target": f"{HOSTILE} {c.target}"}) for c in found.scorecard.contrasts]
        bad = changed(bad, TASK, mode, scorecard=found.scorecard.model_copy(update={"contrasts": aimed}))
    bad = bad.model_copy(update={"method": names})
    for many in (2, 4):
        drawn = figures([Shown(f"{HOSTILE} \u2028 {i}", TASK, bad.tasks[TASK], bad) for i in range(many)])
        assert len(drawn) == 10
        for figure in drawn:
            assert HOSTILE in json.dumps(figure.spec)
            said = expressions(figure.spec)
            assert not [text for text in said if HOSTILE in text or "\u2028" in text], figure.name
            svg(figure)


def every_colour(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [c for k, v in value.items() if k != "values" for c in every_colour(v)]
    if isinstance(value, list):
        return [c for v in value for c in every_colour(v)]
    return [value] if isinstance(value, str) and value.startswith("#") else []


def test_every_figure_is_drawn_alike_twice_and_a_hostile_name_stays_text(results: Results) -> None:
    scale = Reliability(trait="openness", items=24, n=30, alpha=0.8, alpha_ci=(0.7, 0.9))
    names = {"name": HOSTILE, "version": "1", "config": {}, "settings": {}}
    curve = changed(graded(results), TASK, "choice", reliability=[scale]).model_copy(update={"method": names})
    hostile = results.model_copy(update={"method": names, "date": 0.0})
    drawn = figures(shown([curve, hostile, published("smollm2@prompting,style=p2", TASK)], TASK))
    kinds = {"effects", "targets and traits", "dose", "compared with people", "response style", "reliability"}
    assert {figure.kind for figure in drawn} == kinds
    for figure in drawn:
        assert every_colour(figure.spec) == [], "colours belong to the configuration"
        json.dumps(figure.spec, allow_nan=False)
        first, second = svg(figure), svg(figure)
        assert first == second
        tree = ElementTree.fromstring(first)
        tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
        assert tags <= {"svg", "rect", "g", "path", "text", "line", "defs", "linearGradient", "stop", "clipPath"}
        known = {element.get("id") for element in tree.iter()}
        used = set(re.findall(r"url\(#([^)]*)\)", first))
        assert used <= known, "every gradient and clip that is used is there"
        assert figure.title in "".join(tree.itertext())
    named_in = [figure.kind for figure in drawn if HOSTILE in "".join(ElementTree.fromstring(svg(figure)).itertext())]
    assert {"effects", "response style"} <= set(named_in)
