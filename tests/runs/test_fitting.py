"""Tables of what was fitted: choices and dose curves from a published run with edits, trainings from made-up fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from traitbench.methods.dialogues.leaks import audit
from traitbench.methods.training import LossPoint, Trained
from traitbench.methods.training.rates import Trial, chosen_on
from traitbench.methods.training.recipes import Recipe
from traitbench.runs.fitting import choices, trainings
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.runs.trained import effort
from traitbench.store import read_json
from traitbench.tables import number
from traitbench.tasks.board import Effort
from traitbench.tasks.questionnaire.board import board_tables
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock
from traitbench.tasks.questionnaire.tables import curves
from traitbench.types import Fit

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
TASK = "ipip_neo_120"


@pytest.fixture(scope="module")
def results() -> Results:
    every = [Results.model_validate(read_json(path)) for path in PUBLISHED.glob("smollm2@residual+*/results_*.json")]
    (found,) = [one for one in every if TASK in one.tasks]
    return found


def questionnaire(results: Results, task: str) -> QuestionnaireBlock:
    block = results.tasks[task]
    assert isinstance(block, QuestionnaireBlock)
    return block


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
    block = questionnaire(results, TASK)
    found = curves(block, TASK)
    assert [t.title.split(",")[1].strip() for t in found] == list(block.modes)
    for table, scored in zip(found, block.modes.values(), strict=True):
        # Ten targets at three strengths and at the chosen one, which two chose among the three.
        assert len(table.rows) == sum(len(dose.points) for dose in scored.dose) == 38
        starred = {row[0]: row[1] for row in table.rows if row[1].endswith("*")}
        assert starred == {name: f"{fit.strength:g}*" for name, fit in results.fits.items()}
    titles = [table.title for table in tables(results)]
    assert any("Dose, statement" in title for title in titles) and titles[-2].startswith("Fitted controls")
    assert titles[-1].startswith("How well the model reads")


def test_methods_without_a_strength_have_neither() -> None:
    path = next(PUBLISHED.glob("smollm2@prompting+*/results_*.json"))
    plain = Results.model_validate(read_json(path))
    assert choices(plain) == [] and all(curves(questionnaire(plain, task), task) == [] for task in plain.versions)


def stage(loss: str = "sft", best: int = 4, name: str = "one", **points: list[float]) -> dict[str, Any]:
    """What a training over steps 0 to 6 tells of itself; held-out values stand at the even steps."""
    held = points or {"held_out": [4.5, 3.25, 2.125, 2.5]}
    curve = [LossPoint(step=n, loss=5 - n / 2 if n else None,
                       **({} if n % 2 else {key: values[n // 2] for key, values in held.items()}))
             for n in range(7)]  # fmt: skip
    recipe = Recipe(loss="sft" if loss == "sft" else "dpo", lr=(0.0005,), batch=(8,))
    done = Trained(folder="", name=name, recipe=recipe, steps=6, planned=6, best_step=best, tokens=1234, seconds=1.0,
                   examples=48, curve=tuple(curve))  # fmt: skip
    return {**done.summary, "chosen_on": chosen_on(())}


PREFERENCE = {"held_out": [0.693147, 0.5, 0.375, 0.25], "accuracy": [0.0, 0.75, 0.875, 1.0],
              "margin": [0.0, 0.5, 1.0, 1.5]}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> Results:
    return Results.model_validate(read_json(next(PUBLISHED.glob("smollm2@prompting+*/results_*.json"))))


def trained(plain: Results, method: str, *fits: Fit) -> Results:
    """The run with fits by target in place of its own."""
    own = {**plain.method, "name": method}
    return plain.model_copy(update={"fits": {str(fit.target): fit for fit in fits}, "method": own})


def fit(target: str, details: dict[str, Any], **more: Any) -> Fit:
    return Fit(method="x", version="1", target=target, details=details, parameters=640, seconds=12.34, **more)


def test_a_training_that_targets_share_is_shown_once(plain: Results) -> None:
    leaks = audit(["I make friends easily at any party.", "Nothing of the kind."]).summary
    trials = [Trial(lr=lr, batch=8, held_out=loss, seconds=1).model_dump() for lr, loss in ((5e-4, 2.75), (2e-3, 3.0))]
    details = {**stage(), "data": {"name": "open", "digest": "x"}, "leaks": leaks, "trials": trials}
    both = [fit(target, details, shared="one") for target in ("extraversion=high", "extraversion=low")]
    (table,) = trainings(trained(plain, "sft", *both))
    assert table.title == "Trained adapters of sft"
    assert dict(zip(table.columns, table.rows[0], strict=True)) == {
        "target": "all levels", "steps": "6", "best step": "4", "tokens": "1234", "learning rate": "0.0005",
        "batch": "8", "held-out loss": "4.500 → 2.125", "numbers stored": "640", "seconds": "12.3",
        "chosen on": "held-out loss",
    }  # fmt: skip
    assert len(table.rows) == 1, "no accuracy or margin, which only preferences have"
    notes = "\n".join(table.notes)
    assert "Held-out loss: on examples of scenes that were not trained on;" in notes
    assert "sentences that recur" in notes and "in nats" in notes and "ln 2" not in notes
    assert "held-out loss of short runs: 0.0005, 8: 2.750; 0.002, 8: 3.000." in notes
    moved = [trial | {"effect": value, "se": 0.1} for trial, value in zip(trials, (0.5, None), strict=True)]
    (other,) = trainings(trained(plain, "sft", fit("extraversion=high", {**details, "trials": moved})))
    by = "chosen by the effect of short runs on development items, nats a token: 0.0005, 8: 0.500; 0.002, 8: –."
    assert any(by in note for note in other.notes) and not any("loss of short runs" in note for note in other.notes)
    assert "Leak audit: 1 of 2 training texts hold words of inventory items; items found whole: 1," in notes
    assert "its seconds count once" in notes
    shown = tables(trained(plain, "sft", *both))
    assert [t.rows for t in shown if t.title.startswith("Trained adapters")] == [table.rows]


def test_adapters_of_their_own_have_a_row_each(plain: Results) -> None:
    data = {"name": "mine.csv", "digest": "x"}
    high = fit("openness=high", {**stage("dpo", 6, "a", **PREFERENCE), "data": data}, shared="a")
    low = fit("openness=low", {**stage("dpo", 2, "b", **PREFERENCE), "data": data}, shared="b")
    (table,) = trainings(trained(plain, "dpo", high, low))
    at = table.columns.index("held-out loss")
    assert table.columns[at + 1 : at + 3] == ["accuracy", "margin"]
    assert [[row[0], row[2], *row[at : at + 3]] for row in table.rows] == [
        ["openness=high", "6", "0.693 → 0.250", "1.000", "1.500"],
        ["openness=low", "2", "0.693 → 0.500", "0.750", "0.500"],
    ]
    notes = "\n".join(table.notes)
    assert "ln 2 = 0.693 before training" in notes and "recur" not in notes and "all levels" not in notes
    (table,) = trainings(trained(plain, "sft", fit("openness=high", stage(), shared="one")))
    assert table.rows[0][0] == "openness=high", "a run of one target names it"


def test_what_a_fit_took_is_on_the_board_where_it_says_what_it_was_chosen_on(plain: Results, results: Results) -> None:
    (path,) = PUBLISHED.glob("smollm2@pas+*/results_*.json")
    silent_run = Results.model_validate(read_json(path))
    assert effort(results) == Effort(chosen_on="development effect")
    silent = {key: value for key, value in stage().items() if key != "chosen_on"}
    assert effort(trained(plain, "sft", fit("openness=high", silent))) is None and effort(silent_run) is None
    high, low = fit("openness=high", stage(name="a")), fit("openness=low", {**stage(name="b"), "steps": 4})
    run = trained(plain, "sft", high, low)
    assert effort(run) == Effort(steps=(4, 6), tokens=2468, chosen_on="held-out loss")
    edits = trained(plain, "mine", fit("openness=high", {"chosen_on": "development effect"}, strength=1.0))
    assert effort(edits) == Effort(chosen_on="development effect")
    entries = [each.entry(TASK, f"run{n}/results.json") for n, each in enumerate((plain, run, edits))]
    assert ["effort" in entry.model_dump() for entry in entries] == [False, True, True]
    (table,) = board_tables(TASK, "statement", entries)
    shown = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert sorted((row["steps"], row["tokens"], row["chosen on"]) for row in shown) == [
        ("4–6", "2468", "held-out loss"), ("–", "–", "development effect"), ("–", "–", "–"),
    ]  # fmt: skip
    (table,) = board_tables(TASK, "statement", entries[:1])
    assert not {"steps", "tokens", "chosen on"} & set(table.columns)
    (told,) = choices(edits)
    assert told.columns[-1] == "chosen on" and told.rows[0][-1] == "development effect"
    assert "chosen on" not in choices(silent_run)[0].columns


def test_where_a_training_ended_is_said(plain: Results) -> None:
    early = {**stage(best=4), "planned_steps": 12}
    late = {**stage(best=6, name="b"), "planned_steps": 6}
    (table,) = trainings(trained(plain, "sft", fit("openness=high", early), fit("openness=low", late)))
    assert any(n.endswith("or the limit of perplexity was broken: 1 of 2 trainings.") for n in table.notes)
    assert any(n.startswith("Best at the last step planned") and n.endswith("1 of 2.") for n in table.notes)


def test_a_training_of_two_stages_has_a_row_each(plain: Results) -> None:
    def told(target: str, second: dict[str, Any] | None) -> Fit:
        first = stage(name=f"{target} 1")
        aim = "transfer from a description of the trait pole"
        return fit(target, {"aim": aim, "data": {"persona": target}, "sft": first, "dpo": second})

    second = stage("dpo", 4, "2", **PREFERENCE)
    (table,) = trainings(trained(plain, "persllm", told("openness=high", second), told("openness=low", None)))
    named = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["target"], row["stage"], row["accuracy"], row["numbers stored"], row["seconds"]) for row in named] == [
        ("openness=high", "sft", "–", "–", "–"),
        ("openness=high", "dpo", "0.875", "640", "12.3"),
        ("openness=low", "sft", "–", "640", "12.3"),
    ]
    assert "Aim: transfer from a description of the trait pole." in table.notes
    assert any("on paragraphs of the description that were not trained on" in note for note in table.notes)
    (table,) = trainings(trained(plain, "persllm", told("openness=low", None)))
    assert "stage" not in table.columns and "accuracy" not in table.columns


def test_a_method_of_ones_own_loss_says_so(plain: Results) -> None:
    details = {
        **stage(), "note": "a re-implementation", "specialisation": 0.1,
        "specialisations": [{"weight": 0, "held_out": 2.5}, {"weight": 0.1, "held_out": 2.125}],
    }  # fmt: skip
    run = trained(plain, "p_tailor", fit("openness=high", details)).model_copy(update={"contaminated": {TASK: 2}})
    (table,) = trainings(run)
    assert "p_tailor: a re-implementation." in table.notes
    assert "Weight of the specialisation loss: 0.1, chosen by held-out loss (0: 2.500; 0.1: 2.125)." in " ".join(
        table.notes
    )
    assert f"{TASK}: 2 of its items were fitted on (contaminated, not ranked)." in table.notes
    (table,) = trainings(trained(plain, "sft", fit("openness=high", {**stage(), "specialisation": 0.0})))
    assert not any("specialisation" in note for note in table.notes)


def test_without_a_training_there_is_no_table(plain: Results, results: Results) -> None:
    assert trainings(plain) == [] and trainings(results) == []
    assert trainings(trained(plain, "mine", fit("openness=high", {"losses": [0.5, 0.25]}))) == [], "of another form"


def test_what_was_never_measured_is_a_dash(plain: Results) -> None:
    details = {**stage(), "losses": [{"step": 1, "loss": 2.0}]}
    (table,) = trainings(trained(plain, "sft", fit("openness=high", details)))
    assert table.rows[0][table.columns.index("held-out loss")] == "– → –"
