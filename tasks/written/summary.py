"""Every number of written replies, from their samples and what judges said of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from traitbench.judges.pairs import checks
from traitbench.samples import Sample
from traitbench.statistics.agreement import Agreement, agreement
from traitbench.statistics.intervals import item_means
from traitbench.tasks.block import Facts, by_condition
from traitbench.tasks.effects import Placed, Setting, levels, overall
from traitbench.tasks.variation import varied
from traitbench.tasks.verdict import Verdict
from traitbench.tasks.written.cards import chosen, no_number, too_few
from traitbench.tasks.written.effects import Doubt, contrasts
from traitbench.tasks.written.ratings import MEAN, Place, asking, grid, over_judges, place_of, ratings, table
from traitbench.tasks.written.ratings import Ratings as Told
from traitbench.tasks.written.records import Rated, Written
from traitbench.tasks.written.replies import READABLE, replies, written
from traitbench.tasks.written.verdict import disagreed, verdict
from traitbench.types import BIG_FIVE, Trait

__all__ = ["summarise"]


def summarise(facts: Facts, samples: Sequence[Sample], units: Sequence[Placed]) -> Written:
    """Compute everything of the written replies among `samples`; `units` hold at least the questions asked."""
    rows = written(samples)
    mine = [unit for unit in units if unit.id in {row.item for row in rows}]
    own = {unit.id: unit.trait for unit in mine}
    told = [row for row in samples if row.judge is not None and row.against is None]
    found = ratings(told)
    judges, templates = list(facts.judges) or list(found), sorted({row.template for row in rows})
    counted = [judge for judge in chosen(judges, facts) if judge in found]
    agreed = _agreed({judge: found[judge] for judge in counted}, own, facts)
    doubts = {trait: doubt for trait, each in agreed.items() if (doubt := disagreed(each))}
    setting = Setting(mine, facts.iterations, facts.seed)
    lengths = {place_of(row): float(row.tokens) for row in rows if row.status in READABLE and row.tokens is not None}
    rate = partial(_rated, facts, rows, lengths, setting, templates, doubts)
    held = {judge: rate(told_of, no_number(judge, facts, BIG_FIVE)) for judge, told_of in found.items()}
    by_judge: dict[str, list[Sample]] = defaultdict(list)
    for row in told:
        by_judge[str(row.judge)].append(row)
    held = {
        judge: each.model_copy(update={"asking": asking(by_judge[judge], found[judge], own)})
        for judge, each in held.items()
    }
    if len(counted) > 1:
        held[MEAN] = rate(over_judges({judge: found[judge] for judge in counted}), _without(held, counted))
    made = Written(
        replies={name: replies(each) for name, each in by_condition(facts, rows).items()},
        judges=held, pairs=checks(samples, facts.conditions), counted=counted, agreement=agreed,
        templates=len(templates), unranked=too_few(counted, facts), verdict=Verdict(verdict="caution", reasons=[]),
    )  # fmt: skip
    return made.model_copy(update={"verdict": verdict(made.rated, made, facts)})


def _rated(
    facts: Facts,
    rows: Sequence[Sample],
    lengths: Mapping[Place, float],
    setting: Setting,
    templates: Sequence[int],
    doubts: Mapping[Trait, Doubt],
    found: Told,
    without: Mapping[Trait, str],
) -> Rated:
    """All numbers of one set of ratings."""
    names = [condition.name for condition in facts.conditions]
    own = {unit.id: unit.trait for unit in setting.units}
    known = {dimension for _, dimension in found}
    by_dimension: dict[Trait, dict[Place, float]] = {dimension: {} for dimension in sorted(known)}
    mine: dict[Place, float] = {}
    for (place, dimension), value in found.items():
        by_dimension[dimension][place] = value
        if dimension == own[place.item]:
            mine[place] = value

    def gridded(values: Mapping[Place, float]) -> dict[str, NDArray[np.float64]]:
        return {name: grid(values, name, setting.units, templates) for name in names}

    values = gridded(mine)
    asked = sum(own[row.item] in known for row in rows)
    apart = [trait for trait, doubt in doubts.items() if doubt.level == "not interpretable"]
    return Rated(
        levels=levels(values, names[0], setting),
        contrasts=contrasts(
            values, {d: gridded(each) for d, each in by_dimension.items()}, gridded(lengths), facts.conditions, setting,
            doubts,
        ),
        effect=overall(values, facts.conditions, setting, [*apart, *(t for t in setting.traits if t not in known)]),
        coverage=sum(np.isfinite(list(mine.values()))) / asked if asked else None,
        variation=varied(np.array([item_means(values[c.name]) for c in facts.conditions if c.headline])),
        without={**without, **{t: "the judge was not asked" for t in setting.traits if t not in known | {*without}}},
    )  # fmt: skip


def _without(held: Mapping[str, Rated], counted: Sequence[str]) -> dict[Trait, str]:
    """Trait -> why none of the judges whose mean is taken has a number for it."""
    return {
        trait: "; ".join(f"{judge}: {held[judge].without[trait]}" for judge in counted)
        for trait in BIG_FIVE
        if all(trait in held[judge].without for judge in counted)
    }


def _agreed(found: Mapping[str, Told], own: Mapping[str, Trait], facts: Facts) -> dict[Trait, Agreement]:
    """Trait -> agreement of the judges that have a say on it, where they are several."""
    out = {}
    for trait in dict.fromkeys(own.values()):
        judges = [mine for mine in found.values() if any(dimension == trait for _, dimension in mine)]
        if len(judges) > 1:
            out[trait] = agreement(table(judges, trait, own), iterations=facts.iterations, seed=facts.seed)
    return out
