"""Runs whose nearness to the persons is made up, and so known."""

from __future__ import annotations

import pytest
from made_runs import person_run

from traitbench.runs.results import Results

TASK = "person_alignment"


@pytest.fixture(scope="session")
def made() -> dict[str, Results]:
    """Six runs: five with the same persons, one of them fitted on test items, and one with others."""
    return {
        "pas": person_run(),
        "none": person_run("none"),
        "prompting": person_run("prompting", prompt=None, own=0.3, settings={"style": "person"}),
        "leak": person_run(own=0.95, coefs=(), contaminated={TASK: 7}, settings={"heads": 48}),
        "flat": person_run("flat", own=0.0, prompt=None, noise=0.02),
        "others": person_run("others", persons=4, people=9, prompt=None, own=0.5),
    }
