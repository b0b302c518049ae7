"""Whether the fits of a run found anything: the one place that decides; tables, ranks and pages ask it.

Every fit that tests itself says how surely (`Fit.find`). The tests of a run are a family, and their p values are
adjusted after Benjamini and Hochberg (1995): up to an adjusted p of .05 a target's fit found something, and of those at
most one in twenty is expected to be wrong. On a model that holds nothing at all the smallest adjusted p is that of
Simes (1986), so that something is said to be found in one run of twenty at most. Holm's correction, which the effects
have, would ask a p of .05 / targets of the best, and so of an adapter twenty trainings for each target.

- Targets whose fits rest on one search, as both poles of a trait do, are one test.
- Several fits of a target (`--fit_seeds`) have twice the median of their p values, which is a p value whatever they
  have in common (Meinshausen, Meier & Buehlmann 2009).
- A run whose targets were all tested and found nothing has FOUND_NOTHING in place of a verdict, and no rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from traitbench.statistics.thresholds import FIND
from traitbench.tables import number
from traitbench.tasks.block import Facts
from traitbench.types import Find, Fit, Record

__all__ = ["FOUND_NOTHING", "Findings", "FitTest", "evidence", "findings", "unfound", "untested"]

MOST_NAMED = 6
FOUND_NOTHING = "found nothing on this model"
NOT_TESTED = "not tested"
"""How a fit begins to say why it has no test."""


class FitTest(Record):
    """One test, and the targets whose fits rest on it."""

    targets: list[str]
    """Names of conditions."""
    find: Find
    """Of several fits, that of the first."""
    fits: int = 1
    """Whose p values are taken together."""
    p: float
    adjusted: float
    """Over the tests of the run."""

    @property
    def found(self) -> bool:
        """Whether the fits found anything."""
        return self.adjusted <= FIND.value


class Findings(Record):
    """What the tests of a run's fits come to."""

    tests: list[FitTest]
    untested: list[str] = []
    """Targets whose fits do not test themselves."""

    @property
    def targets(self) -> list[str]:
        """All of them, those that were tested first."""
        return [target for test in self.tests for target in test.targets] + self.untested

    @property
    def nothing(self) -> list[str]:
        """The targets that nothing was found for."""
        return [target for test in self.tests if not test.found for target in test.targets]

    @property
    def whole(self) -> bool:
        """Whether nothing was found for any target, and all were tested."""
        return not self.untested and not any(test.found for test in self.tests)

    def lacks(self, aim: str) -> bool:
        """Whether nothing was found for `aim`: a target, or a trait that several targets aim at alone."""
        mine = [name for name in self.targets if name == aim or (name.startswith(f"{aim}=") and "," not in name)]
        return bool(mine) and set(mine) <= set(self.nothing)

    @property
    def lacking(self) -> str:
        """The targets that nothing was found for, in words: a trait where that holds of all that aim at it alone."""
        traits = [(target.partition("=")[0], target) for target in self.nothing]
        names = dict.fromkeys(trait if self.lacks(trait) else target for trait, target in traits)
        return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(self.nothing)} of {len(self.targets)} targets"


def findings(facts: Facts) -> Findings | None:
    """Adjust the tests of the run's fits for each other; None where no fit tests itself."""
    held = {name: [fit, *facts.refits.get(name, ())] for name, fit in facts.fits.items()}
    tested = {name: found for name, fits in held.items() if (found := _finds(fits))}
    if not tested:
        return None
    groups: dict[tuple[Find, ...], list[str]] = {}
    for name, finds in tested.items():
        groups.setdefault(finds, []).append(name)
    from scipy import stats  # a plan reads this module

    ps = [min(1.0, 2 * median(find.p for find in finds)) if len(finds) > 1 else finds[0].p for finds in groups]
    adjusted = stats.false_discovery_control(ps)
    tests = [
        FitTest(targets=names, find=finds[0], fits=len(finds), p=p, adjusted=float(q))
        for (finds, names), p, q in zip(groups.items(), ps, adjusted, strict=True)
    ]
    return Findings(tests=tests, untested=[name for name in held if name not in tested])


def _finds(fits: Sequence[Fit]) -> tuple[Find, ...]:
    """The tests of a target's fits; empty where one has none."""
    finds = [fit.find for fit in fits if fit.find is not None]
    return tuple(finds) if len(finds) == len(fits) else ()


def evidence(found: Findings) -> Iterator[str]:
    """A line a test: what was compared, with what chance gives."""
    for test in found.tests:
        find = test.find
        yield (
            f"{', '.join(test.targets)}: {find.statistic} {number(find.observed, 3)}, by chance "
            f"{number(find.null[0], 3)} (95 %: {number(find.null[1], 3)}), p = {number(test.p, 3)}, over all tests "
            f"{number(test.adjusted, 3)}"
        )


def unfound(facts: Facts) -> list[str]:
    """What a run warns of: that nothing was found, or for whom, and what could not be tested."""
    found = findings(facts)
    if found is None or not found.nothing:
        return untested(facts)
    if found.whole:
        return [f"{facts.method['name']} {FOUND_NOTHING}: a result; its numbers are shown, and not ranked"]
    return [f"{facts.method['name']} {FOUND_NOTHING} for {found.lacking}", *untested(facts)]


def untested(facts: Facts) -> list[str]:
    """A line for each reason why fits could not be tested, where they give one (`details`, find, test)."""
    reasons: dict[str, list[str]] = {}
    for name, fit in facts.fits.items():
        told = fit.details.get("find")
        reason = str(told.get("test") or "") if isinstance(told, dict) else ""
        if fit.find is None and reason.startswith(NOT_TESTED):
            reasons.setdefault(reason.removeprefix(NOT_TESTED).lstrip(" :,"), []).append(name)
    return [
        f"whether {facts.method['name']} found anything is not tested for {', '.join(names[:MOST_NAMED])}"
        f"{f' and {len(names) - MOST_NAMED} more' if len(names) > MOST_NAMED else ''}: {reason}"
        for reason, names in reasons.items()
    ]
