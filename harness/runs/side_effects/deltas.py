"""What a control did to lm-eval's tasks, document by document: paired differences, from the kept lines alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.runs.side_effects.records import Delta, Graded, Measurement, SideEffects
from traitbench.samples import Condition
from traitbench.statistics.comparison import PairedDifference, holm, paired
from traitbench.statistics.equivalence import SHARE
from traitbench.tasks.board import Capability, Part
from traitbench.tasks.shifts import Shifts
from traitbench.types import digest

__all__ = ["compared", "shifts"]

_CLUSTERED = 3000
"""Documents up to which those that come in several tasks count as one draw: the matrices grow with their square."""
_EQUAL, _PERPLEXITY = "equal", "perplexity"
_MEANS = ("mean", "size", _EQUAL)
"""Aggregations of lm-eval's that are means over documents."""
Place = tuple[str, int, str]
"""Task, number and hash of a document: the same one under every condition."""
Values = Mapping[tuple[str, str], Mapping[Place, list[Graded]]]
"""Task and condition -> document -> its lines, one a fit."""


class _Pairs(NamedTuple):
    """Documents under a control and without, (k, fits) and (k,), NaN where there is no value."""

    places: list[Place]
    controlled: NDArray[np.float64]
    plain: NDArray[np.float64]

    def tested(self, strata: Sequence[str], alike: bool, clusters: Sequence[str] | None = None) -> PairedDifference:
        """The paired difference; `strata` are alike in weight, or have that of their documents."""
        fits = self.controlled.shape[1]
        plain = np.repeat(self.plain[:, None], fits, axis=1)
        a, b = (self.controlled, plain) if fits > 1 else (self.controlled[:, 0], self.plain)
        over = ("fits",) if fits > 1 else ()
        return paired(a, b, np.array(strata), "halves" if alike else "items", clusters=clusters, over=over)


def compared(found: SideEffects, lines: Sequence[Graded], conditions: Sequence[Condition]) -> SideEffects:
    """Compute every difference of `found` from its `lines`; `conditions` are the run's, the baseline first.

    BadData where lines of a condition or a task are missing.
    """
    values = _values(lines)
    baseline, *controlled = [condition for condition in conditions if condition.headline]
    for condition in (baseline, *controlled):
        for name, one in found.tasks.items():
            if one.kind == "task" and (name, condition.name) not in values:
                raise BadData(f"there is no line of {name} under {condition.name}; repeat the `traitbench run`")
    tasks = {}
    for name, one in found.tasks.items():
        deltas = []
        for metric in one.metrics:
            made = [_delta(name, one, metric, values, baseline.name, condition) for condition in controlled]
            adjusted = holm([each.p for each in made])
            deltas += [d.model_copy(update={"p_holm": p}) for d, p in zip(made, adjusted, strict=True)]
        tasks[name] = one.model_copy(update={"deltas": deltas})
    found = found.model_copy(update={"tasks": tasks})
    capability = _capability(found, values, baseline.name, controlled)
    return found.model_copy(update={"capability": capability})


def shifts(found: SideEffects, lines: Sequence[Graded], conditions: Sequence[Condition]) -> list[tuple[str, Shifts]]:
    """Task or group that is shown -> how far each document moved under each control: what two runs are compared by.

    Of zeros and ones under one fit, `hits` are the documents that are right under the control.
    """
    values = _values(lines)
    baseline, *controlled = [condition for condition in conditions if condition.headline]
    out = []
    for name in found.shown:
        one = found.tasks[name]
        for metric in one.metrics:
            way = one.aggregation.get(metric.partition(",")[0], "mean")
            if way not in (*_MEANS, _PERPLEXITY):
                continue
            known = [line.metrics.get(metric, 0.0) for task in _members(name, one) for mine in
                     values[task, baseline.name].values() for line in mine]  # fmt: skip
            unit = "nats" if way == _PERPLEXITY else SHARE if all(0 <= value <= 1 for value in known) else "its unit"
            for condition in controlled:
                pairs = _pairs(_members(name, one), metric, values, baseline.name, condition.name)
                part = _part(condition.name, pairs, "halves" if way == _EQUAL else "items")
                right = {unit: bool(after[0]) for unit, after in zip(part.values, pairs.controlled, strict=True)
                         if after.shape == (1,) and np.isfinite(after[0])}  # fmt: skip
                whole = set(known) <= {0.0, 1.0} and all(
                    x in (0, 1) for x in pairs.controlled.ravel() if np.isfinite(x)
                )
                out.append((name, Shifts(filter=metric.removesuffix(",none"), design="baseline", part=part, unit=unit,
                                         hits=right if whole else {}, asked=_asked(found, name))))  # fmt: skip
    return out


def _asked(found: SideEffects, name: str) -> dict[str, str]:
    """What decides how a task was put: two runs that differ in it were asked two things."""
    held = [found.tasks[task] for task in _members(name, found.tasks[name])]
    each = ", ".join(dict.fromkeys(f"version {one.version}" for one in held))
    made = digest([[one.version, one.task_hash, one.n_shot] for one in held])[:8]
    return {
        "apply_chat_template": str(found.chat_template).lower(), "side_effects": f"{name} of {each} ({made})"
    }  # fmt: skip


def _part(name: str, pairs: _Pairs, weights: Literal["items", "halves"]) -> Part:
    """The documents that have a value under both, controlled minus plain; each task of a group is a stratum."""
    moved = pairs.controlled - pairs.plain[:, None]
    tasks = list(dict.fromkeys(place[0] for place in pairs.places))
    units = {f"{task}, {number}, {hashed}": row for row, (task, number, hashed) in enumerate(pairs.places)}
    return Part(
        name=name,
        values={unit: [float(x) if np.isfinite(x) else None for x in moved[row]] for unit, row in units.items()},
        over=["fits"], shape=[moved.shape[1]],
        strata={unit: tasks.index(pairs.places[row][0]) for unit, row in units.items()}, weights=weights,
    )  # fmt: skip


def _values(lines: Sequence[Graded]) -> Values:
    found: dict[tuple[str, str], dict[Place, list[Graded]]] = {}
    for line in lines:
        mine = found.setdefault((line.task, line.condition), {})
        mine.setdefault((line.task, line.doc_id, line.doc_hash), []).append(line)
    return found


def _members(name: str, one: Measurement) -> list[str]:
    return one.members if one.kind == "group" else [name]


def _pairs(members: Sequence[str], metric: str, values: Values, plain: str, controlled: str) -> _Pairs:
    """The documents of some tasks, in order; one that was not asked under the control has no value there."""
    places = [place for task in members for place in values[task, plain]]
    fits = max(len(found) for task in members for found in values[task, controlled].values())
    after = np.full((len(places), fits), np.nan)
    before = np.full(len(places), np.nan)
    for row, place in enumerate(places):
        before[row] = values[place[0], plain][place][0].metrics.get(metric, np.nan)
        for column, line in enumerate(values[place[0], controlled].get(place, ())):
            after[row, column] = line.metrics.get(metric, np.nan)
    return _Pairs(places, after, before)


def _delta(
    name: str, one: Measurement, metric: str, values: Values, plain: str, condition: Condition
) -> Delta:  # fmt: skip
    bare = metric.partition(",")[0]
    way, better = one.aggregation.get(bare, "mean"), one.higher_is_better.get(bare)
    none = Delta(
        condition=condition.name, target=condition.target, metric=metric, better=better, delta=None,
        reason=f"lm-eval's {way} is no mean over documents",
    )  # fmt: skip
    if way == _PERPLEXITY:
        # lm-eval gives each document its log-likelihood, and more of that is better.
        none = none.model_copy(update={"measure": "log-likelihood", "better": True})
    elif way not in _MEANS:
        return none
    pairs = _pairs(_members(name, one), metric, values, plain, condition.name)
    found = pairs.tested([place[0] for place in pairs.places], alike=way == _EQUAL)
    if way != _PERPLEXITY and better and _shares([*pairs.plain, *pairs.controlled.ravel()]):
        found = found.within(1)
    return none.model_copy(update={
        "delta": found.difference, "se": found.se, "ci": found.ci if found.se else None, "n": found.n,
        "missing": found.missing, "p": found.p, "covers": found.covers, "reason": found.reason,
    })  # fmt: skip


def _accuracy(name: str, one: Measurement, values: Values, plain: str) -> str | None:
    """The first metric that is a share of right answers: a mean of zeros and ones, or between, where more is better."""
    for metric in one.metrics:
        bare = metric.partition(",")[0]
        mine = _members(name, one)
        held = [line.metrics.get(metric, np.nan) for task in mine for x in values[task, plain].values() for line in x]
        if one.aggregation.get(bare) in _MEANS and one.higher_is_better.get(bare) is True and _shares(held):
            return metric
    return None


def _shares(values: Sequence[float]) -> bool:
    """Whether all values that are there, and there are some, lie from 0 to 1."""
    known = [value for value in values if np.isfinite(value)]
    return bool(known) and all(0 <= value <= 1 for value in known)


def _capability(
    found: SideEffects, values: Values, plain: str, controlled: Sequence[Condition]
) -> Capability | None:  # fmt: skip
    """The mean over targets of the change of accuracy; tasks that are shown count alike, and documents within them."""
    metrics = {name: _accuracy(name, found.tasks[name], values, plain) for name in found.shown}
    chosen = {name: metric for name, metric in metrics.items() if metric is not None}
    if not chosen or not controlled:
        return None
    strata, hashes = [], []
    columns: list[NDArray[np.float64]] = []
    before: list[NDArray[np.float64]] = []
    for condition in controlled:
        mine = {
            name: _pairs(_members(name, found.tasks[name]), metric, values, plain, condition.name)
            for name, metric in chosen.items()
        }
        strata = [name for name, pairs in mine.items() for _ in pairs.places]
        hashes = [place[2] for pairs in mine.values() for place in pairs.places]
        before = [pairs.plain for pairs in mine.values()]
        # A document without a value in some fit has none: the fits would not be of the same documents.
        columns.append(np.concatenate([pairs.controlled.mean(axis=1) for pairs in mine.values()]))
    base = np.concatenate(before)
    repeated = len(set(hashes)) < len(hashes) <= _CLUSTERED
    whole = _Pairs([], np.mean(columns, axis=0)[:, None], base).tested(strata, True, hashes if repeated else None)
    falls = {
        condition.name: _Pairs([], column[:, None], base).tested(strata, True).difference
        for condition, column in zip(controlled, columns, strict=True)
    }
    known = {name: value for name, value in falls.items() if value is not None}
    worst = min(known, key=lambda name: known[name]) if known else None
    return Capability(
        value=whole.difference, ci=whole.within(1).ci if whole.se else None, n=whole.n, metrics=chosen,
        targets=len(controlled), worst=worst, worst_value=known[worst] if worst else None, limit=found.limit,
    )  # fmt: skip
