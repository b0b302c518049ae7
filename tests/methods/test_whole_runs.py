"""Whole runs of a method that edits activations, on an untrained model: strengths, damage, resuming, leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blocks import modes
from quiet import Quiet

from traitbench import inventories
from traitbench.backends.hf import HuggingFace
from traitbench.cli.commands import main
from traitbench.methods.bench import halves
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.runs.results import Results
from traitbench.runs.tables import tables
from traitbench.tasks.findings import FOUND_NOTHING


def plan(model: Path, to: Path, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": str(model), "method": "residual", "method_args": {"layer": 1, "strength": 2.0}, "device": "cpu",
        "target": "extraversion=high", "tasks": ("mini_ipip",), "output_path": str(to), "bootstrap_iters": 50,
        **changes,
    })  # fmt: skip


def run(model: Path, to: Path, **changes: Any) -> tuple[Results, Path]:
    return evaluate(plan(model, to, **changes), Quiet(), lambda line: None)


def test_strengths_stand_beside_the_headline(planted: Path, tmp_path: Path) -> None:
    results, path = run(planted, tmp_path, coefs=(0, 4))
    names = ["baseline", "extraversion=high", "extraversion=high@0", "extraversion=high@4"]
    assert [c.name for c in results.conditions] == names
    assert [key for key in results.results] == ["mini_ipip", *(f"mini_ipip@{name}" for name in names[1:])]
    for mode, scored in modes(results).items():
        card = scored.scorecard
        assert [c.high for c in card.contrasts] == ["extraversion=high"]
        (curve,) = scored.dose
        assert [(p.coef, p.headline) for p in curve.points] == [(0, False), (2, True), (4, False)]
        assert curve.points[0].effect and curve.points[0].effect.value == 0
        assert curve.points[1].effect and card.contrasts[0].effect
        assert curve.points[1].effect.value == pytest.approx(card.contrasts[0].effect.value)
        masses = [p.option_mass for p in curve.points]
        assert all(m is None for m in masses) if mode == "statement" else all(0 < m < 1 for m in masses if m)
    weak, strong = results.conditions[1], results.conditions[3]
    assert weak.dose and strong.dose == pytest.approx(2 * weak.dose, rel=0.3) and weak.perplexity and strong.perplexity
    assert results.conditions[2].perplexity is None and results.fits["extraversion=high"].strength == 2
    assert rescore(path) == results and results.contaminated == {}
    assert results.cost["stored_parameters"] == 32


def test_a_run_says_whether_its_fits_found_anything(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model has the poles of extraversion planted, and none of openness."""
    found, _ = run(planted, tmp_path, scoring=("statement",))
    nothing, path = run(planted, tmp_path, scoring=("statement",), target="openness=high")
    said = f"residual {FOUND_NOTHING}: a result; its numbers are shown, and not ranked"
    assert said in nothing.warnings and not any(FOUND_NOTHING in line for line in found.warnings)
    for results, title in ((found, "yes"), (nothing, "nothing")):
        (table,) = [table for table in tables(results) if table.title == "Did residual find anything?"]
        assert [line[-1] for line in table.rows] == [title]
    entry = nothing.entry("mini_ipip", "run/results_1.json")
    assert entry.findings and entry.findings.whole and entry.rows["statement"].contenders[0].unranked == FOUND_NOTHING
    assert rescore(path) == nothing
    capsys.readouterr()
    flags = "-m residual --method_args layer=1,strength=2 --device cpu --target openness=high --tasks mini_ipip"
    assert main(["fit", "-M", str(planted), *flags.split(), "-o", str(tmp_path)]) == 0
    assert ", nothing found: p = 0.4" in capsys.readouterr().err


def test_no_control_and_strength_0_answer_alike(planted: Path, tmp_path: Path) -> None:
    results, _ = run(planted, tmp_path, coefs=(0,), scoring=("choice",))
    none, nothing = (modes(results)["choice"].scores[name] for name in ("baseline", "extraversion=high@0"))
    assert none == nothing


def test_a_run_that_was_stopped_fits_nothing_twice(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    calls = 0
    plain = HuggingFace.states

    def counted(self: HuggingFace, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        return plain(self, *given)

    monkeypatch.setattr(HuggingFace, "states", counted)

    class Stop(Quiet):
        def done(self, requests: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(planted, tmp_path), Stop(), lambda line: None)
    assert calls == 2, "the personas, and the words that the fit is tested on"
    results, _ = run(planted, tmp_path)
    again, _ = run(planted, tmp_path, coefs=(4,))
    assert calls == 2
    assert results.fits == again.fits
    for mode, scored in modes(results).items():
        assert scored.scores == {name: modes(again)[mode].scores[name] for name in scored.scores}


def test_items_that_were_fitted_on_are_counted_and_cost_the_rank(planted: Path, tmp_path: Path) -> None:
    results, path = run(
        planted, tmp_path, method_args={"layer": 1, "strengths": [1.0, 2.0], "max_perplexity": 1e9},
        tasks=("ipip_50", "mini_ipip"), scoring=("statement",),
    )  # fmt: skip
    used = {item.text_hash for item in halves(0)[1] if item.trait == "extraversion"}
    by_hand = {
        name: count
        for name in ("ipip_50", "mini_ipip")
        if (count := sum(item.text_hash in used for item in inventories.load(name).items))
    }
    assert results.contaminated == by_hand and "ipip_50" in by_hand
    entry = results.entry("ipip_50", path.name)
    assert entry.contaminated == by_hand["ipip_50"]
    assert all(metrics["rank"] is None for metrics in entry.metrics.values())
    assert not {item.text_hash for item in inventories.load("ipip_neo_120").items} & used


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["-m", "prompting", "--coefs", "1"], 2, "prompting has no strength; methods that have one: bipo, npti, pas"),
        (["-m", "residual", "--method_args", "positions=generated"], 2, "cannot move a choice"),
        (["-m", "residual", "--method_args", "layr=1"], 2, "did you mean 'layer'"),
        (["-m", "residual", "--model", "scripted:uniform"], 2, "backends that can: hf"),
        (["-m", "residual", "--target", "person:x.csv"], 1, "no such file"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_loads(
    flags: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(HuggingFace, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))
    assert main(["run", "-o", str(tmp_path), *flags]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
