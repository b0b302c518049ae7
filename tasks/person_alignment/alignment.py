"""How near answers given in a person's place come to the person's own, beside what can be guessed without a model.

Everything is in raw-agreement space: 5 is "very accurate", whichever way the item is keyed. The error of a row is the
mean |answer - person's answer| over all cells (person x item) of a trait, added up over the traits: the composite of
PAPI (Zhu et al. 2024), but with missing answers left out. Persons are what varies, see `statistics.redraws`.

Over 300 lines with its records: what a figure is and how it comes about are best read in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench.errors import BadData
from traitbench.statistics.redraws import Average, Difference, Redraws, mean_over_persons, pearson
from traitbench.targets.papi import guesses, key
from traitbench.tasks.scoring import answer
from traitbench.types import TRAITS, Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.samples import Sample

__all__ = ["BASELINES", "Alignment", "AlignmentRow", "Oracle", "PersonFit", "alignment", "most_likely"]

Array = NDArray[np.float64]
Answers = Mapping[str, Array]
"""Person id -> answers (items,), NaN where there is none."""

OPTIONS = (1, 2, 3, 4, 5)
RANDOM = "uniform random"
MEANS = ("overall mean", "trait mean", "facet mean")
BASELINES = (*(f"constant {k}" for k in OPTIONS), RANDOM, *MEANS)
"""Rows of every table, in this order."""


class PersonFit(Record):
    """One person in one row."""

    mae_sum: float | None
    """Null where an item of some trait has neither answer nor value."""
    correlation: float | None
    coverage: float


class AlignmentRow(Record):
    """One way of answering in a person's place: a trivial baseline, or a model under a condition."""

    name: str
    kind: Literal["baseline", "method"]
    mae_sum: Average
    """Mean |value - answer| by trait, summed over the traits, of expected values; missing answers are left out."""
    mae: Average
    """`mae_sum` over the number of traits: points of the response scale."""
    mae_sum_argmax: Average
    """`mae_sum` of the likeliest option (of a mean: the nearest option) in place of the expected value."""
    published: Average
    """`mae_sum_argmax` as the paper counts: in keyed space, a missing answer being an answer of 0."""
    correlation: Average
    """Mean over persons of Pearson's r over the test items between expected values and answers. In this space whoever
    endorses what most people endorse correlates with everybody, so read it beside the row without a control."""
    coverage: float
    """Share of persons x test items with a valid value."""
    traits: dict[Trait, float | None]
    """Mean |value - answer| of each trait, of expected values."""
    options: list[float]
    """Share of each option, 1 to 5, among the likeliest options; empty where none was taken."""
    to_reference: Difference | None = None
    """Against the reference row (prompt only, or no control)."""
    to_nearest: Difference | None = None
    """Against the nearest trivial baseline, means also rounded, which is looked for anew in every redraw."""
    persons: dict[str, PersonFit]


class Oracle(Record):
    """The best strength for each person ON THE TEST ITEMS: a bound that no method reaches, never a result."""

    sweep: str
    mae_sum: Average
    strengths: dict[str, float]
    """Person -> the strength."""


class Alignment(Record):
    """How near each row comes to the persons."""

    persons: int
    """Persons with answers to the test items."""
    unscored: list[str]
    """Persons without any: there is nothing to hold their rows against."""
    items: int
    """Test items."""
    missing: int
    """Test answers that the persons left out."""
    traits: list[Trait]
    """What `mae_sum` adds up; comparable with published sums only where all of the instrument are there."""
    measured: int = 5
    """Traits of the instrument."""
    options: list[float]
    """Share of each option, 1 to 5, among the persons' own answers to the test items."""
    reference: str | None
    """Row that `to_reference` compares with."""
    rows: list[AlignmentRow]
    """Trivial baselines, then methods."""
    oracle: list[Oracle] = Field(default_factory=list)
    iterations: int
    seed: int


class _Row(NamedTuple):
    """Answers of a row. Several draws of equal probability stand for answers at random."""

    name: str
    kind: Literal["baseline", "method"]
    values: Array
    """(draws, persons, items) raw."""
    options: Array
    """The same as whole options."""
    keyed: Array
    """The same as `options`, in keyed space."""


class _Frame(NamedTuple):
    """What all rows are held against."""

    ids: list[str]
    answers: Array
    """(persons, items) raw, NaN where missing."""
    minus: NDArray[np.bool_]
    """(items,) minus-keyed."""
    groups: NDArray[np.str_]
    """(items,) traits."""
    redraws: Redraws


def alignment(
    values: Mapping[str, Answers],
    argmax: Mapping[str, Answers],
    tests: Answers,
    known: Mapping[str, Mapping[str, int]],
    items: Sequence[Item],
    *,
    every: Sequence[Item] = (),
    reference: str | None = None,
    sweeps: Mapping[str, Mapping[float, str]] | None = None,
    iterations: int = 2000,
    seed: int = 0,
) -> Alignment:
    """Hold every row of `values` and every trivial baseline against the persons' own answers to `items`.

    `values` maps a row to its persons' expected values (items,), raw, NaN where there is none; `argmax` the same with
    the likeliest option (a row may be missing). `tests` are the persons' answers (items,), `known` their answers to
    the known items by id: both raw. `every` are the items of the instrument (nothing: the IPIP-NEO-300); one
    without facets has no row of facet means, which would be its trait means. `reference` is the row to compare with;
    `sweeps` maps a method to strength -> row, for the oracle. BadData for a shape, person, row or value that cannot be.
    """
    instrument = every or key()
    _check(values, argmax, tests, known, items, reference, sweeps or {}, instrument)
    answered = {id: np.asarray(tests[id], dtype=float) for id in tests}
    held = {id: found for id, found in answered.items() if np.isfinite(found).any()}
    frame = _frame(held, items, iterations, seed)
    rows: list[AlignmentRow] = []
    oracle: list[Oracle] = []
    if held:
        given = [*_baselines(frame, known, items, instrument), *_methods(frame, values, argmax)]
        errors = {row.name: _errors(row.values, frame.answers) for row in given}
        trivial = {row.name: errors[row.name] for row in given if row.kind == "baseline"}
        # Rounded to whole answers, as the answers are, a mean comes nearer.
        trivial |= {f"{r.name}, rounded": _errors(r.options, frame.answers) for r in given if r.name in MEANS}
        rows = [_row(frame, row, errors, reference, trivial) for row in given]
        oracle = [_oracle(frame, name, mine, errors) for name, mine in (sweeps or {}).items() if mine]
    return Alignment(
        persons=len(held),
        unscored=[id for id in answered if id not in held],
        items=len(items),
        missing=int(np.isnan(frame.answers).sum()),
        traits=_traits(frame),
        measured=len({item.trait for item in instrument}),
        options=_shares(frame.answers),
        reference=reference,
        rows=rows,
        oracle=oracle,
        iterations=iterations,
        seed=seed,
    )


def most_likely(samples: Sequence[Sample], items: Sequence[Item]) -> Array:
    """The likeliest option of each item (items,), raw: of its probabilities averaged over the valid answers.

    NaN where there is none. Of options that are equally likely, the one nearest to the expected value, then the lowest.
    """
    found: dict[str, list[dict[int, float]]] = {}
    for sample in samples:
        mine = answer(sample)
        if mine.shares is not None:
            found.setdefault(sample.item, []).append(dict(zip(mine.values, mine.shares, strict=True)))
    return np.array([_likeliest(found[item.id]) if item.id in found else np.nan for item in items], dtype=float)


def _likeliest(answers: Sequence[Mapping[int, float]]) -> float:
    options = sorted({value for shares in answers for value in shares})
    mass = {value: sum(shares.get(value, 0.0) for shares in answers) / len(answers) for value in options}
    expected, top = sum(value * share for value, share in mass.items()), max(mass.values())
    return float(min((v for v in options if mass[v] > top - 1e-9), key=lambda v: (round(abs(v - expected), 9), v)))


def _check(
    values: Mapping[str, Answers],
    argmax: Mapping[str, Answers],
    tests: Answers,
    known: Mapping[str, Mapping[str, int]],
    items: Sequence[Item],
    reference: str | None,
    sweeps: Mapping[str, Mapping[float, str]],
    instrument: Sequence[Item],
) -> None:
    if not items:
        raise BadData("there are no test items; expected at least one")
    for kind, table in (("expected values", values), ("likeliest options", argmax)):
        for name, row in table.items():
            if kind == "likeliest options" and name not in values:
                raise BadData(f"row {name!r} has likeliest options and no expected values; give both")
            for id, mine in row.items():
                if id not in tests:
                    raise BadData(f"row {name!r} answers for person {id!r}, who is none of the {len(tests)} persons")
                _check_answers(f"{kind} of row {name!r} for person {id!r}", mine, len(items), kind != "expected values")
    own, tested = {item.id for item in instrument}, {item.id for item in items}
    for id, mine in tests.items():
        _check_answers(f"answers of person {id!r}", mine, len(items), whole=True)
        seen = known.get(id, {})
        if not seen or seen.keys() - own:
            wrong = f"the known answers {', '.join(sorted(seen.keys() - own)) or 'none'}"
            raise BadData(f"person {id!r} has {wrong}; expected ids of the instrument, e.g. {instrument[0].id}")
        if both := sorted(seen.keys() & tested):
            raise BadData(f"person {id!r}: {both[0]} is both known and a test item; expected one or the other")
    if clash := [name for name in BASELINES if name in values]:
        raise BadData(f"row {clash[0]!r} has the name of a trivial baseline; give it another")
    for name in [*([reference] if reference else []), *(row for mine in sweeps.values() for row in mine.values())]:
        if name not in values:
            raise BadData(f"there is no row {name!r}; rows: {', '.join(values) or 'none'}")


def _check_answers(what: str, found: Array, n: int, whole: bool) -> None:
    if np.shape(found) != (n,):
        raise BadData(f"{what}: shape {np.shape(found)}; expected ({n},), one a test item")
    wrong = [v for v in np.asarray(found, dtype=float) if not (np.isnan(v) or 1 - 1e-9 <= v <= 5 + 1e-9)]
    if wrong:
        raise BadData(f"{what}: {wrong[0]:g} is out of range; expected 1 to 5 in raw agreement, or NaN where missing")
    if part := [v for v in np.asarray(found, dtype=float) if whole and np.isfinite(v) and v != np.rint(v)]:
        raise BadData(f"{what}: {part[0]:g} is no option; expected a whole number, 1 to 5")


def _frame(tests: Answers, items: Sequence[Item], iterations: int, seed: int) -> _Frame:
    traits = np.array([item.trait for item in items])
    return _Frame(
        ids=list(tests),
        answers=np.array(list(tests.values()), dtype=float).reshape(len(tests), len(items)),
        minus=np.array([item.keyed == -1 for item in items]),
        groups=traits,
        redraws=Redraws(len(tests), traits, iterations, seed),
    )


def _baselines(
    frame: _Frame, known: Mapping[str, Mapping[str, int]], items: Sequence[Item], every: Sequence[Item]
) -> list[_Row]:
    """What can be answered without a model. `constant k` is k in whichever space; means are turned back."""
    seen = {id for person in known.values() for id in person}
    shown = [item for item in every if item.id in seen]
    raw = np.array([[known[id].get(item.id, np.nan) for item in shown] for id in frame.ids], dtype=float)
    rows = []
    made = guesses(np.where([i.keyed == -1 for i in shown], 6 - raw, raw), shown, items)
    if not any(item.facet for item in every):
        made.pop(MEANS[-1])
    for name, found in made.items():
        keyed, whole = found[None], np.rint(found)[None]
        if name.startswith("constant"):
            rows.append(_Row(name, "baseline", keyed, whole, whole))
        else:
            # 6 is even, so rounding half to even gives the same option in both spaces.
            turned, turned_whole = (np.where(frame.minus, 6 - x, x) for x in (keyed, whole))
            rows.append(_Row(name, "baseline", turned, turned_whole, whole))
    drawn = np.stack([np.full(frame.answers.shape, float(k)) for k in OPTIONS])
    rows.insert(len(OPTIONS), _Row(RANDOM, "baseline", drawn, drawn, drawn))
    return rows


def _methods(frame: _Frame, values: Mapping[str, Answers], argmax: Mapping[str, Answers]) -> list[_Row]:
    nothing = np.full(len(frame.minus), np.nan)

    def table(row: Answers) -> Array:
        return np.array([np.asarray(row.get(id, nothing), dtype=float) for id in frame.ids])[None]

    rows = []
    for name, row in values.items():
        options = table(argmax.get(name, {}))
        rows.append(_Row(name, "method", table(row), options, np.where(frame.minus, 6 - options, options)))
    return rows


def _errors(predicted: Array, answers: Array) -> Array:
    """Mean over the draws of |predicted - answers|, (persons, items), NaN where one is missing."""
    return np.asarray(np.abs(predicted - answers).mean(axis=0))


def _row(
    frame: _Frame, row: _Row, errors: Mapping[str, Array], reference: str | None, trivial: Mapping[str, Array]
) -> AlignmentRow:
    mine, redraws = errors[row.name], frame.redraws
    keyed = np.where(np.isnan(frame.answers), 0, np.where(frame.minus, 6 - frame.answers, frame.answers))
    total = redraws.average(mine)
    persons = _persons(frame, row, mine)
    drawn = len(row.values) > 1
    found = [np.nan if p.correlation is None else p.correlation for p in persons.values()]
    correlation = mean_over_persons(found)
    if correlation.value is None:
        flat = "no person's values and answers vary over three items or more"
        correlation = Average(value=None, reason="answers at random correlate with nothing" if drawn else flat)
    return AlignmentRow(
        name=row.name,
        kind=row.kind,
        mae_sum=total,
        mae=_divided(total, len(np.unique(frame.groups))),
        mae_sum_argmax=redraws.average(_errors(row.options, frame.answers)),
        published=redraws.average(_errors(row.keyed, keyed)),
        correlation=correlation,
        coverage=float(np.isfinite(row.values[0]).mean()),
        traits={trait: _mean(mine[:, frame.groups == trait]) for trait in _traits(frame)},
        options=_shares(row.options),
        to_reference=redraws.difference(mine, {reference: errors[reference]})
        if reference and row.name != reference
        else None,
        to_nearest=redraws.difference(mine, trivial) if row.kind == "method" else None,
        persons=persons,
    )


def _persons(frame: _Frame, row: _Row, errors: Array) -> dict[str, PersonFit]:
    """Each person's own figures; answers at random have no one correlation."""
    alone = len(row.values) == 1
    return {
        id: PersonFit(
            mae_sum=float(total) if np.isfinite(total) else None,
            correlation=pearson(values, answers) if alone else None,
            coverage=float(np.isfinite(values).mean()),
        )
        for id, total, values, answers in zip(
            frame.ids, frame.redraws.each(errors), row.values[0], frame.answers, strict=True
        )
    }


def _oracle(frame: _Frame, sweep: str, strengths: Mapping[float, str], errors: Mapping[str, Array]) -> Oracle:
    """Give each person the strength whose answers are nearest; of equal ones the weakest."""
    tried = sorted(strengths, key=lambda strength: (abs(strength), strength))
    tables = [errors[strengths[strength]] for strength in tried]
    sums = np.array([frame.redraws.each(table) for table in tables])
    chosen: dict[str, float] = {}
    best = np.full(frame.answers.shape, np.nan)
    for index, id in enumerate(frame.ids):
        mine = sums[:, index]
        if np.isfinite(mine).any():
            at = int(np.nanargmin(mine))
            chosen[id], best[index] = tried[at], tables[at][index]
    return Oracle(sweep=sweep, mae_sum=frame.redraws.average(best), strengths=chosen)


def _traits(frame: _Frame) -> list[Trait]:
    return sorted(map(str, np.unique(frame.groups)), key=TRAITS.index)


def _divided(average: Average, by: int) -> Average:
    if average.value is None:
        return average
    ci = None if average.ci is None else (average.ci[0] / by, average.ci[1] / by)
    return average.model_copy(update={"value": average.value / by, "ci": ci})


def _mean(values: Array) -> float | None:
    found = values[np.isfinite(values)]
    return float(found.mean()) if found.size else None


def _shares(options: Array) -> list[float]:
    found = options[np.isfinite(options)]
    return [float((found == k).mean()) for k in OPTIONS] if found.size else []
