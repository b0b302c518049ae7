"""Two runs beside each other, item by item: of traitbench, of lm-eval or of Inspect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traitbench.errors import BadData
from traitbench.runs.compare.foreign import ForeignComparison, compare_outcomes
from traitbench.runs.compare.judged import Amount
from traitbench.runs.compare.runs import Comparison, compare_runs
from traitbench.runs.compare.sources import kind_of, outcomes
from traitbench.runs.compare.tables import foreign_tables, run_tables
from traitbench.tables import Table

__all__ = ["compare", "tables"]


def compare(
    a: str | Path,
    b: str | Path,
    tell: Callable[[str], None],
    effect: Amount | None = None,
    bounds: Amount | None = None,
) -> Comparison | ForeignComparison:
    """Compare two runs over the items both have, from their samples.

    `a` and `b` are runs of traitbench, output of lm-eval (a folder, a samples_*.jsonl or results_*.json) or logs of
    Inspect (a folder, an .eval or .json), both of one kind. `effect`: a difference to state the power for; `bounds`:
    the difference below which two runs count as alike; each a number, or one a scoring mode or metric, in the unit of
    the difference. `tell` gets a line on what is passed over. BadData where the two cannot be paired.
    """
    kinds = [kind_of(run) for run in (a, b)]
    if kinds[0] != kinds[1]:
        told = " and ".join(f"{run} is a {kind}" for run, kind in zip((a, b), kinds, strict=True))
        raise BadData(f"{told}: their items are no pairs; expected two runs of one tool")
    if kinds[0] == "traitbench run":
        return compare_runs(a, b, tell, effect, bounds)
    left, right = (outcomes(Path(run).expanduser(), kinds[0], tell) for run in (a, b))
    return compare_outcomes((str(a), left), (str(b), right), tell, effect, bounds)


def tables(comparison: Comparison | ForeignComparison) -> list[Table]:
    """The comparison as one table."""
    return run_tables(comparison) if isinstance(comparison, Comparison) else foreign_tables(comparison)
