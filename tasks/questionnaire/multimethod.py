"""Instruments and scoring modes of one run beside each other, over the respondents of the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast

import numpy as np

from traitbench.samples import Sample
from traitbench.statistics.structure import multitrait_multimethod
from traitbench.tables import Table, number
from traitbench.tasks.across import Across
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.questionnaire.respondents import Grid, grid
from traitbench.tasks.scoring import modes
from traitbench.tasks.task import Task
from traitbench.types import Record, Trait

__all__ = ["Convergent", "Multimethod", "Multimethods", "multimethod"]


class Convergent(Record):
    """One trait by two methods."""

    trait: Trait
    methods: tuple[str, str]
    r: float


class Multimethod(Block):
    """Multitrait-multimethod summary (Campbell & Fiske 1959); a method is an instrument in a scoring mode."""

    kind: Literal["multimethod"] = "multimethod"
    methods: tuple[str, ...]
    """"task,mode"."""
    n: int
    """Respondents with a score on every scale by every method."""
    convergent: list[Convergent]
    mean_convergent: float | None
    """Mean r of one trait by two methods."""
    heterotrait_monomethod: float | None
    """Mean |r| of different traits by one method."""
    heterotrait_heteromethod: float | None
    """Mean |r| of different traits by different methods."""
    exceeding: float | None
    """Share of comparisons in which a convergent r exceeds a heterotrait |r| that shares a measure with it."""
    reasons: dict[str, str] = {}


class Multimethods(Across):
    """The same trait by several instruments and scoring modes (Campbell & Fiske 1959)."""

    @classmethod
    def block(cls) -> type[Block]:
        """A multitrait-multimethod summary."""
        return Multimethod

    def join(
        self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]
    ) -> Multimethod | None:
        """Set every instrument and scoring mode beside each other."""
        grids: dict[str, Grid] = {}
        traits: dict[str, Sequence[Trait]] = {}
        baseline = facts.conditions[0].name
        for name, task in tasks.items():
            if task.inventory is None:
                continue
            asked = {row.item for row in samples[name]}
            items = [item for item in task.inventory.items if item.id in asked]
            for mode in modes(samples[name]):
                mine = [row for row in samples[name] if row.scoring == mode and row.condition == baseline]
                grids[f"{name},{mode}"] = grid(mine, items, mode)
                traits[f"{name},{mode}"] = task.inventory.traits
        return multimethod(grids, traits)

    def tables(self, block: Block) -> list[Table]:
        """One table, or none."""
        found = cast(Multimethod, block)
        if not found.convergent:
            return []
        rows = [[c.trait, " and ".join(c.methods), number(c.r)] for c in found.convergent]
        return [
            Table(
                title=f"The same trait by two methods, over {found.n} respondents (multitrait-multimethod)",
                columns=["trait", "methods", "r"],
                rows=rows,
                notes=[
                    f"Mean r of one trait by two methods {number(found.mean_convergent)}; mean |r| of different traits "
                    f"by one method {number(found.heterotrait_monomethod)}, by different methods "
                    f"{number(found.heterotrait_heteromethod)}. The first should exceed the others: it does in "
                    f"{100 * (found.exceeding or 0):.0f} % of the comparisons (Campbell & Fiske 1959).",
                    *sorted(f"No {name.replace('_', ' ')}: {why}." for name, why in found.reasons.items()),
                ],
            )
        ]


def multimethod(grids: Mapping[str, Grid], traits: Mapping[str, Sequence[Trait]]) -> Multimethod | None:
    """Set every instrument and scoring mode of a run beside each other; None without two of them or respondents.

    `grids` and `traits`: method -> the respondents' answers and the traits that it measures.
    """
    named = {method: grid for method, grid in grids.items() if grid.levels["respondent"] != (None,)}
    if len(named) < 2:
        return None
    if any(a.levels["respondent"] != b.levels["respondent"] for a, b in pairwise(named.values())):
        return None
    labels, columns = [], []
    for method, answers in named.items():
        people = answers.people()
        for trait in traits[method]:
            index = [i for i, item in enumerate(answers.items) if item.trait == trait]
            if index:
                labels.append((trait, method))
                columns.append(people[:, index].mean(axis=1))
    scores = np.stack(columns, axis=1)
    scores = scores[~np.isnan(scores).any(axis=1)]
    correlations = np.full((len(labels), len(labels)), np.nan)
    live = scores.std(axis=0) > 1e-12 if len(scores) > 2 else np.zeros(len(labels), dtype=bool)
    if live.sum() > 1:
        correlations[np.ix_(live, live)] = np.corrcoef(scores[:, live], rowvar=False)
    found = multitrait_multimethod(correlations, [trait for trait, _ in labels], [method for _, method in labels])
    known = {
        name: getattr(found, name)
        for name in ("mean_convergent", "heterotrait_monomethod", "heterotrait_heteromethod", "exceeding")
    }
    return Multimethod(
        methods=tuple(named), n=len(scores),
        convergent=[Convergent(trait=c.trait, methods=c.methods, r=c.r) for c in found.convergent],
        reasons={name: c.reason for name, c in known.items() if c.value is None},
        **{name: c.value for name, c in known.items()},
    )  # fmt: skip
