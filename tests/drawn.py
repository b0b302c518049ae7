"""Figures in tests: the runs that they are drawn from, and the texts that a drawing is compiled to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import vl_convert

from traitbench.charts.chart import Figure
from traitbench.charts.theme import CONFIGS
from traitbench.runs.results import Results
from traitbench.store import read_json
from traitbench.tasks.views import Shown, named

__all__ = ["PUBLISHED", "expressions", "must", "published", "shown"]

PUBLISHED = Path(__file__).resolve().parents[1] / "results" / "published"


def published(run: str, task: str) -> Results:
    """The oldest published results of `run`, named without its digest, that hold `task` and aim at poles of traits."""
    paths = sorted(PUBLISHED.glob(f"{run}+*/results_*.json"), key=lambda path: path.name)
    found = [Results.model_validate(read_json(path)) for path in paths]
    return next(r for r in found if task in r.tasks and not any(c.profile for c in r.conditions))


def shown(sources: Iterable[Results], task: str) -> list[Shown]:
    """The runs of `task`, labelled as on a page."""
    return named(Shown("", task, results.tasks[task], results) for results in sources if task in results.tasks)


def must(figure: Figure | None) -> Figure:
    """The figure, which is there."""
    assert figure is not None
    return figure


def expressions(spec: dict[str, Any]) -> list[str]:
    """Every text of the Vega that a figure compiles to which is neither data nor what a title or description says."""
    return _texts(vl_convert.vegalite_to_vega(spec, config=CONFIGS["light"]))


def _texts(value: Any, key: str = "") -> list[str]:
    if isinstance(value, dict):
        return [t for k, v in value.items() if k not in ("values", "description") for t in _texts(v, k)]
    if isinstance(value, list):
        return [t for v in value for t in _texts(v, key)]
    return [value] if isinstance(value, str) and key != "text" else []
