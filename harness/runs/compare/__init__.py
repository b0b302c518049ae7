"""Two runs beside each other, item by item, of traitbench, lm-eval or Inspect; or a run of traitbench beside people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.files import user_path
from traitbench.runs.compare.foreign import ForeignComparison, compare_outcomes
from traitbench.runs.compare.judged import Amount
from traitbench.runs.compare.people import PeopleComparison, Reading, compare_people, people_tables
from traitbench.runs.compare.runs import Comparison, compare_runs
from traitbench.runs.compare.sources import Kind, kind_of, outcomes
from traitbench.runs.compare.tables import foreign_tables, run_tables
from traitbench.tables import Table

__all__ = ["Reading", "compare", "tables"]

AS_IS = Reading()
"""Nothing said of a table."""


def compare(
    a: str | Path,
    b: str | Path,
    tell: Callable[[str], None],
    effect: Amount | None = None,
    bounds: Amount | None = None,
    reading: Reading = AS_IS,
) -> Comparison | ForeignComparison | PeopleComparison:
    """Compare two runs over the items both have, from their samples, or a run's respondents with people.

    `a` and `b` are runs of traitbench, output of lm-eval (a folder, a samples_*.jsonl or results_*.json) or logs of
    Inspect (a folder, an .eval or .json), both of one kind. `effect`: a difference to state the power for; `bounds`:
    the difference below which two runs count as alike; each a number, or one a scoring mode or metric, in the unit of
    the difference. One of them may be a table of people's answers, which is read as `reading` says: then the items of
    a run's simulated respondents are compared with people's. `tell` gets a line on what is passed over. BadData where
    the two cannot be paired, TraitbenchUsage for what does not go with such a pair.
    """
    kinds = [kind_of(run) for run in (a, b)]
    if "table of answers" in kinds:
        return _with_people((a, b), kinds, tell, effect, bounds, reading)
    if reading != AS_IS:
        raise TraitbenchUsage(
            "--keyed, --raw, --coding, --missing and --columns say how a table of people's answers is to be read; "
            f"there is none: {a} is {_a(kinds[0])}, {b} {_a(kinds[1])}"
        )
    if kinds[0] != kinds[1]:
        told = " and ".join(f"{run} is {_a(kind)}" for run, kind in zip((a, b), kinds, strict=True))
        raise BadData(f"{told}: their items are no pairs; expected two runs of one tool")
    if kinds[0] == "traitbench run":
        return compare_runs(a, b, tell, effect, bounds)
    left, right = (outcomes(user_path(run), kinds[0], tell) for run in (a, b))
    return compare_outcomes((str(a), left), (str(b), right), tell, effect, bounds)


def _a(kind: Kind) -> str:
    return f"{'an' if kind[0] in 'Il' else 'a'} {kind}"


def _with_people(
    given: tuple[str | Path, str | Path],
    kinds: list[Kind],
    tell: Callable[[str], None],
    effect: Amount | None,
    bounds: Amount | None,
    reading: Reading,
) -> PeopleComparison:
    """A table on either side, with a run on the other."""
    place = kinds.index("table of answers")
    run, table = given[1 - place], given[place]
    if kinds[1 - place] != "traitbench run":
        raise BadData(
            f"{table} is a table of answers, and {run} is {kinds[1 - place]}; expected one table and one run of "
            "traitbench: traitbench compare RUN TABLE --raw"
        )
    if effect is not None or bounds is not None:
        raise TraitbenchUsage(f"--effect and --bounds are for two runs; leave them out to set {run} beside {table}")
    return compare_people(run, user_path(table), reading, tell)


def tables(comparison: Comparison | ForeignComparison | PeopleComparison) -> list[Table]:
    """The comparison as tables."""
    if isinstance(comparison, PeopleComparison):
        return people_tables(comparison)
    return run_tables(comparison) if isinstance(comparison, Comparison) else foreign_tables(comparison)
