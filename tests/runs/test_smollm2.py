"""The main job on the embedded model: a real effect where there is one, and a real warning where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from blocks import modes
from quiet import Quiet

from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
from traitbench.runs.results import Results


def measured(folder: Path, **plan: object) -> Results:
    values = {"model": "smollm2", "output_path": str(folder), **plan}
    return evaluate(Plan.model_validate(values), Quiet(), lambda line: None)[0]


@pytest.mark.model
def test_the_adjective_prompt_moves_what_it_aims_at(tmp_path: Path) -> None:
    results = measured(tmp_path, method="prompting", scoring=["statement"])
    contrasts = {c.target: c for c in modes(results, "ipip_neo_120")["statement"].scorecard.contrasts}
    assert len(contrasts) == 5
    matrix = {target: {s.trait: s.value for s in c.shifts} for target, c in contrasts.items()}
    for trait, contrast in contrasts.items():
        assert contrast.effect is not None and contrast.effect.value is not None and contrast.effect.ci is not None
        assert contrast.effect.value > 0, trait
        if trait != "agreeableness":
            assert contrast.effect.ci[0] > 0, trait
        disagree = contrast.effect.plus * contrast.effect.minus < 0
        assert (contrast.check == "caution") >= disagree
    for trait in ("conscientiousness", "extraversion"):
        assert max(matrix, key=lambda target: matrix[target][trait]) == trait


@pytest.mark.model
def test_letter_choice_is_called_what_it_is(tmp_path: Path) -> None:
    results = measured(tmp_path, scoring=["choice"])
    choice = modes(results, "ipip_neo_120")["choice"]
    style = choice.response_style["all"]
    assert style.degenerate or abs(style.position_bias or 0) >= 0.2
    assert choice.verdict.verdict == "not interpretable"
    assert all(s.value is not None and s.n == 24 for s in choice.scores["baseline"])
