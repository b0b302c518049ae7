"""Grids of strengths: what leaves no choice is refused, by every method that has one and before anything is loaded."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from traitbench.errors import TraitbenchUsage
from traitbench.methods import METHODS
from traitbench.methods.strengths import Grid
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare

CHOICES = {
    "pas": ("alphas", "alpha"),
    "npti": ("gammas", "gamma"),
    "residual": ("strengths", "strength"),
    "vector": ("strengths", "strength"),
    "bipo": ("strengths", "strength"),
    "persona_vectors": ("strengths", "strength"),
    "p_tailor": ("specialisations", "specialisation"),
}


def config(method: str, **settings: Any) -> Any:
    return METHODS.load(method).Config(**({CHOICES[method][1]: None} | settings))


@pytest.mark.parametrize("method", CHOICES)
def test_a_grid_of_one_is_refused_with_what_to_type(method: str) -> None:
    grid, fixed = CHOICES[method]
    for values in ([2.0], [2.0, 2.0]):
        with pytest.raises(TraitbenchUsage, match=rf"{grid}=\[2.*holds 2 alone.*--method_args {fixed}=2, which takes"):
            config(method, **{grid: values})
    with pytest.raises(TraitbenchUsage, match=rf"{grid}=\[\] is empty.*{fixed}=1"):
        config(method, **{grid: []})
    for strange in ("nan", "inf"):
        with pytest.raises(TraitbenchUsage, match=f"holds {strange}; expected finite"):
            config(method, **{grid: [1.0, float(strange)]})
    with pytest.raises(ValidationError):
        config(method, **{grid: 2.0})
    assert getattr(config(method, **{grid: [2, 0]}), grid) == (2.0, 0.0)
    assert getattr(config(method, **{fixed: 2.0, grid: [2.0]}), grid) == (2.0,), "nothing is chosen from it"


def test_every_method_that_chooses_a_strength_is_among_them() -> None:
    fields = {name: METHODS.load(name).Config.model_fields for name in METHODS}
    grids = {
        name: [field for field, held in each.items() if list(Grid.__metadata__) == held.metadata]
        for name, each in fields.items()
    }
    assert {name: found for name, found in grids.items() if found} == {n: [g] for n, (g, _) in CHOICES.items()}
    strengths = {name: f"{METHODS.load(name).strength}s" for name in METHODS}
    assert {name for name in METHODS if strengths[name] in fields[name]} == set(CHOICES) - {"p_tailor"}


def test_a_run_says_so_before_anything_is_loaded() -> None:
    plan = Plan(
        model="no/such_model", method="residual", method_args={"strengths": [2.0]}, target="extraversion=high",
        tasks=("mini_ipip",),
    )  # fmt: skip
    with pytest.raises(TraitbenchUsage, match=r"strengths=\[2\] holds 2 alone.*strength=2"):
        prepare(plan)
