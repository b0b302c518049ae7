"""From kept answers to grades, to item values, to scale scores. Nothing here knows a model.

Minus-keyed items are reversed once, here (min + max - value). An answer that is not valid is missing: it is counted
and never replaced by a midpoint, a zero or a mean.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Grade, Sample
from traitbench.samples import Item as Asked
from traitbench.statistics.intervals import Estimate, Weights, item_means, stratified_mean
from traitbench.statistics.replies import choice_bounds, choice_value, parse_reply
from traitbench.statistics.style import Answer, Style, response_style
from traitbench.tasks.administration import presented_options
from traitbench.types import Mode, Score, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item, ResponseScale

__all__ = [
    "COVERS", "RANDOM", "WIDEST", "answer", "chosen", "effect_size", "estimated", "facets_of", "grade", "item_grid",
    "item_values", "modes", "scale_scores", "style", "weights_of",
]  # fmt: skip

RANDOM = ("templates", "fits")
"""Axes of an item grid behind the items: each is a sample of what might as well have been asked or fitted."""
COVERS = ("items", "facets", *RANDOM)
"""What an interval may cover, in the order in which it is told."""


WIDEST = 0.05
"""Points of the response scale: where the options shown leave an expected value less certain, the answer is missing."""


def grade(sample: Sample, inventory: Inventory) -> Grade:
    """Grade an answer to an item of `inventory` from what was kept of it; the stored grade does not matter."""
    raw, mass, status, bounds = None, None, sample.status, None
    if sample.scoring == "statement":
        raw = sample.loglik / sample.tokens if sample.loglik is not None and sample.tokens else None
    elif sample.scoring == "choice" and sample.option_logprobs and sample.option_values:
        found = chosen(sample.option_logprobs, sample.option_bounds, sample.option_values)
        raw, mass, bounds = found.value_raw, found.option_mass, found.value_bounds
        status = found.status if sample.option_bounds else status
    elif sample.scoring == "generate" and sample.option_values:
        labels = presented_options(inventory, sample.symbols or "letters", sample.order or "forward")[0]
        status, value = parse_reply(sample.resps[0][0] or "", labels, sample.option_values, sample.cut)
        raw = None if value is None else float(value)
    keyed = None
    if raw is not None and sample.scoring != "statement":
        keyed = raw if sample.keyed == 1 else inventory.reverse(raw)
    return Grade(status=status, value_raw=raw, value_keyed=keyed, option_mass=mass, value_bounds=bounds)


def chosen(logprobs: Sequence[float | None], most: Sequence[float] | None, values: Sequence[int]) -> Grade:
    """Grade a choice by the log-probabilities of its options, before any reversing: their expected value.

    With `most` an option has between `logprobs` and `most`. The value is then halfway between its bounds, and missing,
    with the status `unseen`, where they lie more than WIDEST apart.
    """
    if not most:
        raw, mass, _ = choice_value(logprobs, values)
        return Grade(status="valid", value_raw=raw, option_mass=mass)
    low, high = choice_bounds(logprobs, most, values)
    mass = sum(math.exp(lp) for lp in logprobs if lp is not None)
    if high - low > WIDEST:
        return Grade(status="unseen", option_mass=mass, value_bounds=(low, high))
    return Grade(status="valid", value_raw=(low + high) / 2, option_mass=mass, value_bounds=(low, high))


def answer(sample: Sample) -> Answer:
    """Reduce a choice or generate sample to what response style looks at."""
    shares: Sequence[float] | None = None
    values = sample.option_values or []
    if sample.status == "valid" and sample.scoring == "choice" and sample.option_logprobs:
        shares = choice_value(sample.option_logprobs, values)[2]
    elif sample.status == "valid" and sample.value_raw is not None:
        shares = [float(v == sample.value_raw) for v in values]
    return Answer(
        item=sample.item, trait=sample.trait, keyed=sample.keyed, order=sample.order or "forward",
        status=sample.status, shares=shares, values=values, mass=sample.option_mass,
    )  # fmt: skip


def style(samples: Sequence[Sample], inventory: Inventory) -> Style:
    """Response style of choice or generate samples."""
    scale = inventory.response_scale
    return response_style([answer(sample) for sample in samples], scale.min, scale.max)


def modes(samples: Sequence[Sample]) -> list[Mode]:
    """The scoring modes of the samples, in the order in which they were asked."""
    return list(dict.fromkeys(sample.scoring for sample in samples))


def item_values(samples: Sequence[Sample], items: Sequence[Asked]) -> NDArray[np.float64]:
    """Raw value of each item (items,): the mean of its valid answers over the grid; NaN where there is none."""
    found: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.status == "valid" and sample.value_raw is not None:
            found[sample.item].append(sample.value_raw)
    return np.array([np.mean(found[item.id]) if found[item.id] else np.nan for item in items], dtype=float)


def item_grid(samples: Sequence[Sample], items: Sequence[Asked], templates: Sequence[int]) -> NDArray[np.float64]:
    """Raw value of each item under each template and fit of one condition: (items, templates, fits).

    A cell is the mean of its valid answers over orders, symbols, respondents and repeats; NaN where there is none. A
    condition that was not fitted, or once only, has one fit.
    """
    fits: list[int | None] = [*sorted({sample.fit for sample in samples if sample.fit is not None})] or [None]
    cells: dict[tuple[int, int | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        cells[sample.template, sample.fit].append(sample)
    grid = [[item_values(cells[template, fit], items) for fit in fits] for template in templates]
    return np.moveaxis(np.array(grid, dtype=float).reshape(len(templates), len(fits), len(items)), -1, 0)


def facets_of(items: Sequence[Item]) -> tuple[str, ...] | None:
    """Facet of each item, the clusters of its interval; None where an item has none."""
    facets = tuple(item.facet for item in items if item.facet)
    return facets if facets and len(facets) == len(items) else None


def weights_of(mode: Mode) -> Weights:
    """What counts alike in a mean over items: of statements each key, so that agreement as such cancels."""
    return "halves" if mode == "statement" else "items"


def estimated(
    values: NDArray[np.float64], keys: NDArray[np.int_], mode: Mode, facets: Sequence[str] | None = None
) -> Estimate:
    """Mean of keyed item values with its interval, over all that was drawn at random.

    `values` (items,) or (items, templates, fits); `keys` and `facets` (items,).
    """
    return stratified_mean(values, keys, weights_of(mode), clusters=facets, over=RANDOM[: values.ndim - 1])


def scale_scores(
    raw: NDArray[np.float64],
    inventory: Inventory,
    items: Sequence[Item],
    mode: Mode,
    reference: NDArray[np.float64] | None = None,
) -> list[Score]:
    """Score every trait of `items`; `raw` (items,) or (items, templates, fits), as `item_grid` returns them.

    Statement needs `reference`, the same items in the reference condition; without it the value is null, since a
    log-likelihood has no absolute level.
    """
    ends = inventory.response_scale.min + inventory.response_scale.max
    scores = []
    for trait in inventory.traits:
        index = [i for i, item in enumerate(items) if item.trait == trait]
        if not index:
            continue
        keys = np.array([items[i].keyed for i in index])
        facets = facets_of([items[i] for i in index])
        mine = raw[index]
        signs = keys.reshape(-1, *[1] * (raw.ndim - 1))
        unscored = int(np.isnan(item_means(mine)).sum())
        if mode == "statement":
            shift = signs * (mine - reference[index]) if reference is not None else np.full(mine.shape, np.nan)
            scores.append(_score(trait, shift, keys, facets, mode, None, unscored))
        else:
            keyed = np.where(signs == 1, mine, ends - mine)
            scores.append(_score(trait, keyed, keys, facets, mode, inventory.response_scale, unscored))
    return scores


def _score(
    trait: Trait,
    values: NDArray[np.float64],
    keys: NDArray[np.int_],
    facets: Sequence[str] | None,
    mode: Mode,
    scale: ResponseScale | None,
    unscored: int,
) -> Score:
    estimate, means = estimated(values, keys, mode, facets), item_means(values)
    halves = {key: _mean(means[keys == key]) for key in (1, -1)}
    value = estimate.value
    return Score(
        trait=trait,
        value=value,
        pomp=scale.pomp(value) if scale and value is not None else None,
        d=effect_size(estimate) if mode == "statement" else None,
        n=estimate.n,
        unscored=unscored,
        se=estimate.se,
        ci=estimate.ci,
        covers=list(estimate.covers),
        plus=halves[1],
        minus=halves[-1],
        note="fewer than 8 items: the interval is approximate" if 0 < estimate.n < 8 else "",
    )


def effect_size(estimate: Estimate) -> float | None:
    """The value over the SD between items; null where that is unknown or nothing but rounding."""
    if estimate.value is None or estimate.sd is None or estimate.sd <= 1e-9 * max(1.0, abs(estimate.value)):
        return None
    return estimate.value / estimate.sd


def _mean(values: NDArray[np.float64]) -> float | None:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else None
