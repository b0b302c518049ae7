"""Several fits of a control: each is measured, costs add up, and the intervals are over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocks import modes
from quiet import Quiet
from safetensors.numpy import load_file

from traitbench import controls
from traitbench.cli.commands import main
from traitbench.methods.bench import Bench
from traitbench.methods.residual import Residual
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import current, rescore
from traitbench.runs.folders import plan_digest
from traitbench.runs.plan import Given, Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.results import Results
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock
from traitbench.types import Control, Target


class Shaken(Residual):
    """The residual method with a random part in its direction, which the seed draws."""

    name = "shaken"

    def fit(self, target: Target | None, bench: Bench) -> Control:
        control = super().fit(target, bench)
        assert control.fit and control.tensors
        tensors = load_file(control.tensors)
        noise = np.random.default_rng(bench.seed).standard_normal(32).astype(np.float32)
        moved = {name: value + 0.3 * np.linalg.norm(value) * noise / 32**0.5 for name, value in tensors.items()}
        return controls.store(bench.folder, edits=control.edits, tensors=moved, fit=control.fit)


def plan(model: Path, to: Path, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": str(model), "method": "residual", "method_args": {"layer": 1, "strength": 2.0}, "device": "cpu",
        "tasks": ("mini_ipip",), "output_path": str(to), "bootstrap_iters": 50,
        "scoring": ("statement",), **changes, "target": "extraversion=high",
    })  # fmt: skip


def run(model: Path, to: Path, **changes: Any) -> tuple[Results, Path]:
    asked = plan(model, to, **{"method": "test:Shaken", **changes})
    return evaluate(asked, Quiet(), lambda line: None, Given(Shaken if asked.method == "test:Shaken" else None))


def test_fits_that_no_seed_changes_are_said(planted: Path, tmp_path: Path) -> None:
    results, _ = run(planted, tmp_path, fit_seeds=2, method="residual")
    said = "all fits are the same control, whatever the seed: extraversion=high"
    assert said in results.warnings and said not in run(planted, tmp_path, fit_seeds=2)[0].warnings


def test_every_fit_is_measured_and_the_interval_is_over_them(planted: Path, tmp_path: Path) -> None:
    results, path = run(planted, tmp_path, fit_seeds=3)
    single = [run(planted, tmp_path, seed=seed)[0] for seed in range(3)]
    assert [c.name for c in results.conditions] == ["baseline", "extraversion=high"]
    assert results.conditions[1].coef == 2 and results.conditions[1].control_hash is None

    frame = results.kept_at(path).samples()
    mine = frame[frame.condition == "extraversion=high"]
    assert sorted(mine.fit.unique()) == [0, 1, 2] and len(mine) == 3 * 20
    assert frame[frame.condition == "baseline"].fit.isna().all()
    (contrast,) = modes(results)["statement"].scorecard.contrasts
    alone = [modes(each)["statement"].scorecard.contrasts[0] for each in single]
    assert len({c.effect.value for c in alone if c.effect}) == 3, "the seeds must not all give one direction"
    assert contrast.effect and contrast.effect.covers == ["items", "fits"]
    assert contrast.specific and contrast.specific.covers == ["items", "fits"]
    assert contrast.effect.value == pytest.approx(np.mean([c.effect.value for c in alone if c.effect]))
    for item, shifts in contrast.items.items():
        assert shifts == pytest.approx([c.items[item][0] for c in alone])

    block = results.tasks["mini_ipip"]
    assert isinstance(block, QuestionnaireBlock) and block.uncertainty["random"] == "items, fits"
    assert set(block.effect_rows()[0]["covers"].split(",")) == {"items", "fits"}
    scores = modes(results)["statement"].scores
    assert scores["extraversion=high"][0].covers == ["items", "fits"] and scores["baseline"][0].covers == []

    fits = results.every_fit
    assert [fit.seed for fit in fits.values()] == [0, 1, 2]
    assert list(fits) == ["extraversion=high", "extraversion=high (fit 2)", "extraversion=high (fit 3)"]
    assert results.cost["fit_seconds"] == pytest.approx(sum(fit.seconds for fit in fits.values()))
    assert results.cost["stored_parameters"] == 3 * single[0].cost["stored_parameters"]
    assert rescore(path) == results and current(path.parent, print) == [path]


def test_fits_and_templates_together(planted: Path, tmp_path: Path) -> None:
    results, _ = run(planted, tmp_path, fit_seeds=2, templates=2)
    (contrast,) = modes(results)["statement"].scorecard.contrasts
    assert contrast.effect and contrast.effect.covers == ["items", "templates", "fits"]
    assert {len(shifts) for shifts in contrast.items.values()} == {4}


def test_one_fit_leaves_the_folder_its_name(planted: Path, tmp_path: Path) -> None:
    once, plain, thrice = (
        plan_digest(prepare(plan(planted, tmp_path, **given))) for given in ({"fit_seeds": 1}, {}, {"fit_seeds": 3})
    )
    assert once == plain != thrice


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-m", "prompting"], "prompting has no fit that a seed decides; methods that have one: bipo, dpo"),
        (["-m", "vector", "--method_args", "file=x.gguf"], "the method vector has no fit that a seed decides"),
        (["-m", "residual", "--coefs", "1"], "--fit_seeds 3 with --coefs: a dose curve is that of one fit"),
        (["-m", "persllm", "--target", "characters"], "the task persona_consistency cannot sum up several fits"),
    ],
)  # fmt: skip
def test_what_has_no_seeded_fit_is_refused(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *flags, "--fit_seeds", "3"]) == 2
    assert said in capsys.readouterr().err
