"""Curves of training, from hand-made fits with losses that are known."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from drawn import expressions, published, shown
from made_runs import doubled

from traitbench.charts.chart import Figure
from traitbench.report import page, svg
from traitbench.report.training import MOST, training
from traitbench.runs.results import Results
from traitbench.tasks.views import Shown
from traitbench.types import Fit

TASK = "ipip_neo_120"
HOSTILE = "<script>alert(1)</script>"
IMITATION = [
    {"step": 0, "held_out": 4.5},
    {"step": 1, "loss": 4.25},
    {"step": 2, "loss": 3.75, "held_out": 3.5},
    {"step": 3, "loss": 3.0},
    {"step": 4, "loss": 2.5, "held_out": 3.625},
    {"step": 5, "loss": 2.0},
]
PREFERENCE = [
    {"step": 0, "held_out": 0.693147, "accuracy": 0.0, "margin": 0.0},
    {"step": 1, "loss": 0.693147},
    {"step": 2, "loss": 0.5, "held_out": 0.375, "accuracy": 0.875, "margin": 1.25},
]


def stage(loss: str, losses: list[dict[str, Any]], best: int = 2) -> dict[str, Any]:
    recipe = {"loss": loss, "lr": [0.001], "batch": [8]}
    steps = max((point["step"] for point in losses), default=0)
    return {"recipe": recipe, "steps": steps, "best_step": best, "tokens": 100, "losses": losses}


@pytest.fixture(scope="module")
def plain() -> Results:
    """A run without fits."""
    return published("smollm2@prompting", TASK)


def made(plain: Results, method: str, details: dict[str, dict[str, Any]], shared: str | None = None) -> Results:
    """The run with a fit for each target."""
    fits = {
        target: Fit(method=method, version="1", target=target, details=found, shared=shared)
        for target, found in details.items()
    }
    name = {**plain.method, "name": method, "settings": {}, "config": {}}
    return plain.model_copy(update={"fits": fits, "method": name})


def one(results: Results) -> Figure:
    (figure,) = training(shown([results], TASK))
    return figure


def panels(figure: Figure) -> dict[str, list[dict[str, Any]]]:
    return {panel["title"]["text"]: panel["data"]["values"] for panel in figure.spec["concat"]}


def curve(rows: list[dict[str, Any]], kind: str) -> list[tuple[int, float]]:
    return [(row["step"], row["value"]) for row in rows if row["kind"] == kind]


def test_the_curves_are_the_losses_with_the_best_step_ringed(plain: Results) -> None:
    details = {t: stage("sft", IMITATION) for t in ("openness=high", "openness=low")}
    figure = one(made(plain, "sft", details))
    found = panels(figure)
    assert list(found) == ["openness=high", "openness=low"] and figure.spec["columns"] == 2
    rows = found["openness=high"]
    assert curve(rows, "training") == [(1, 4.25), (2, 3.75), (3, 3.0), (4, 2.5), (5, 2.0)]
    assert curve(rows, "held out") == [(0, 4.5), (2, 3.5), (4, 3.625)]
    assert [(row["kind"], row["step"]) for row in rows if row["chosen"]] == [("held out", 2)]
    assert figure.table.columns == ["training", "step", "training loss", "held-out loss", "kept"]
    assert figure.table.rows[:4] == [
        ["openness=high", "0", "–", "4.500", ""],
        ["openness=high", "2", "4.000", "3.500", "yes"],
        ["openness=high", "4", "2.750", "3.625", ""],
        ["openness=high", "5", "2.000", "–", ""],
    ]
    assert "openness=high: 4.500 to 3.500 at step 2; openness=low" in figure.alternative
    assert "step by step" in figure.caption and "pairs" not in figure.caption


def test_preferences_have_a_panel_of_accuracy_beside(plain: Results) -> None:
    details = {t: {"sft": stage("sft", IMITATION), "dpo": stage("dpo", PREFERENCE)} for t in ("a=high", "b=high")}
    figure = one(made(plain, "persllm", details))
    found = panels(figure)
    assert list(found) == [f"{t}: {p}" for t in ("a=high", "b=high") for p in ("sft", "dpo", "dpo, accuracy")]
    assert figure.spec["columns"] == 3 and figure.spec["usermeta"]["whole"], "a row a target"
    assert curve(found["a=high: dpo, accuracy"], "held out") == [(0, 0.0), (2, 0.875)]
    assert figure.table.columns[4:6] == ["accuracy", "margin"]
    assert ["a=high: dpo", "2", "0.597", "0.375", "0.875", "1.250", "yes"] in figure.table.rows
    assert ["a=high: sft", "2", "4.000", "3.500", "–", "–", "yes"] in figure.table.rows
    assert "b=high: dpo: 0.693 to 0.375 at step 2, accuracy 0.875" in figure.alternative


def test_a_shared_training_is_drawn_once(plain: Results) -> None:
    details = {**stage("sft", IMITATION), "data": {"name": "open"}}
    figure = one(made(plain, "sft", {"openness=high": details, "openness=low": details}, shared="x"))
    assert list(panels(figure)) == ["all levels"]
    assert any("sentences that recur" in note for note in figure.table.notes)


def test_runs_with_the_same_adapters_share_a_figure(plain: Results) -> None:
    same, other = ({"a": {**stage("sft", IMITATION), "training": name}} for name in ("1", "2"))
    runs = [Shown(label, "x", plain.tasks[TASK], made(plain, "p_tailor", found))
            for label, found in (("m (matched)", same), ("m", same), ("n", other))]  # fmt: skip
    assert [figure.title.rpartition(": ")[2] for figure in training(runs)] == ["m", "n"]
    assert {figure.name for figure in training(runs)} == {"x-training-p-tailor"}


def test_a_long_line_of_training_loss_is_drawn_as_means(plain: Results) -> None:
    losses = [{"step": n, "loss": float(n)} for n in range(1, 2 * MOST + 2)] + [{"step": 402, "held_out": 1.0}]
    figure = one(made(plain, "sft", {"a": stage("sft", losses, 402)}))
    drawn = curve(panels(figure)["a"], "training")
    assert drawn[:2] == [(3, 2.0), (6, 5.0)] and drawn[-1] == (401, 400.5) and len(drawn) == 134
    assert "the mean of up to 3 steps a point" in figure.caption


def test_a_run_without_training_has_no_figure_and_a_run_of_two_tasks_one(plain: Results) -> None:
    assert training(shown([plain], TASK)) == []
    assert training(shown([made(plain, "sft", {"a": stage("sft", [])})], TASK)) == []
    two = doubled(made(plain, "sft", {"a": stage("sft", IMITATION)}), TASK)
    text = page({"a": two}, "t")
    assert text.count('<section id="task-') == 2
    heading = "<h4>How the adapters were trained: sft"
    assert text.count(heading) == 1
    assert text.index(heading) < text.index('<section id="task-other"')


def test_a_training_without_a_held_out_point_says_so(plain: Results) -> None:
    figure = one(made(plain, "sft", {"a": stage("sft", [{"step": 1, "loss": 2.0}])}))
    assert "a: none was measured" in figure.alternative
    assert figure.table.rows == [["a", "1", "2.000", "–", ""]]
    svg(figure)


def test_figures_are_drawn_alike_twice_and_hostile_texts_stay_texts(plain: Results) -> None:
    nasty = f"{HOSTILE} datum.x' \u2028"
    preference = {**stage(nasty, PREFERENCE), "note": nasty, "aim": nasty, "data": {"name": nasty}}
    bad = made(plain, nasty, {f"{nasty} {n}": preference for n in range(12)})
    figure = one(bad)
    assert "and 2 more" in figure.alternative
    json.dumps(figure.spec, allow_nan=False)
    first = svg(figure)
    assert first == svg(figure)
    assert HOSTILE in "".join(ElementTree.fromstring(first).itertext())
    assert not [text for text in expressions(figure.spec) if HOSTILE in text or "\u2028" in text]


def test_the_page_holds_the_figure_and_escapes_its_texts(plain: Results) -> None:
    run = made(plain, "sft", {HOSTILE: {**stage("sft", IMITATION), "note": HOSTILE}})
    (figure,) = training(shown([run], TASK))
    text = page({"a": run}, "t")
    assert text.count("<h3>training</h3>") == text.count(f'<figure id="{figure.name}"') == 1
    assert "How the adapters were trained: sft" in text
    assert HOSTILE not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
