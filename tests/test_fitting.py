"""Tables of what was fitted and of dose curves, from a published run with edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from traitbench.fitting import choices, curves
from traitbench.results import Results
from traitbench.store import read_json
from traitbench.tables import number, tables

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published"
TASK = "ipip_neo_120"


@pytest.fixture(scope="module")
def results() -> Results:
    (path,) = (PUBLISHED / "smollm2@residual").glob("results_*.json")
    return Results.model_validate(read_json(path))


def test_every_fit_shows_the_development_effect_of_what_it_chose(results: Results) -> None:
    (table,) = choices(results)
    assert [row[0] for row in table.rows] == list(results.fits) and len(table.rows) == 10
    for row, (name, fit) in zip(table.rows, results.fits.items(), strict=True):
        (point,) = [p for p in fit.curve if (p.layer, p.strength) == (fit.details["layer"], fit.strength)]
        (condition,) = [c for c in results.conditions if c.name == name]
        assert row[1:5] == [number(fit.strength), number(point.effect), "32", number(condition.perplexity)]
    assert any(note.startswith("A strength of 1 is the difference between the means") for note in table.notes)
    assert not any("contaminated" in note for note in table.notes)
    spoilt = results.model_copy(update={"contaminated": {TASK: 3}})
    assert f"{TASK}: 3 of its items were fitted on (contaminated, not ranked)." in choices(spoilt)[0].notes


def test_a_curve_has_a_row_a_strength_and_a_star_at_the_chosen_one(results: Results) -> None:
    found = curves(results, TASK)
    assert [t.title.split(",")[1].strip() for t in found] == list(results.dose[TASK])
    for table, doses in zip(found, results.dose[TASK].values(), strict=True):
        assert len(table.rows) == sum(len(dose.points) for dose in doses) == 30
        starred = {row[0]: row[1] for row in table.rows if row[1].endswith("*")}
        assert starred == {name: f"{fit.strength:g}*" for name, fit in results.fits.items()}
    titles = [table.title for table in tables(results)]
    assert any("Dose, statement" in title for title in titles) and titles[-1].startswith("Fitted controls")


def test_methods_without_a_strength_have_neither() -> None:
    path = next((PUBLISHED / "smollm2@prompting").glob("results_*.json"))
    plain = Results.model_validate(read_json(path))
    assert choices(plain) == [] and all(curves(plain, task) == [] for task in plain.versions)
