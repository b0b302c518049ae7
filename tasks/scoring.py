"""From kept answers to item values to scale scores. Nothing here knows a model.

Minus-keyed items are reversed once, here (min + max - value). An answer that is not valid is missing: it is counted
and never replaced by a midpoint, a zero or a mean.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.statistics.intervals import Estimate, stratified_mean
from traitbench.types import Mode, Score, Status, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item, ResponseScale
    from traitbench.samples import Sample

__all__ = ["choice_value", "effect_size", "item_values", "parse_reply", "scale_scores"]


def choice_value(logprobs: Sequence[float], values: Sequence[int]) -> tuple[float, float, list[float]]:
    """Expected value, option mass and renormalised probabilities (options,) from option log-probabilities."""
    top = max(logprobs)
    weights = [math.exp(lp - top) for lp in logprobs]
    total = sum(weights)
    shares = [w / total for w in weights]
    return sum(s * v for s, v in zip(shares, values, strict=True)), math.exp(top) * total, shares


_REASONING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.S | re.I)
_CLOSED_REASONING = re.compile(r"</(?:think|thinking|reasoning)>", re.I)
_OPEN_REASONING = re.compile(r"<(think|thinking|reasoning)>", re.I)
_REFUSAL = re.compile(
    r"\b(i('| a)?m sorry|i apologi[sz]e|as an ai|as a language model|i (can(no|')t|am (not able|unable)|do(n't| not) "
    r"have (personal|feelings|a personality|opinions))|i('m| am) (just |only )?(an ai|a language model|not able))",
    re.I,
)


def parse_reply(
    text: str, labels: Sequence[tuple[str, str]], values: Sequence[int], truncated: bool = False
) -> tuple[Status, int | None]:
    """Read a written reply strictly: the symbol, the symbol with its own text, or the text of one option alone.

    Text inside a reasoning block is not an answer. Anything else is `refusal`, `truncated` or `unparsed`, and has no
    value.
    """
    # A template may have opened the block itself, so what stands before a lone closing tag is reasoning too.
    reply = _CLOSED_REASONING.split(_REASONING.sub("", text))[-1]
    unfinished = _OPEN_REASONING.search(reply) is not None
    reply = reply.strip().strip("*_`\"' \n\t").strip()
    if unfinished:
        return "truncated", None
    for (symbol, label), value in zip(labels, values, strict=True):
        if reply.casefold().rstrip(".!") == label.casefold():
            return "valid", value
        match = re.fullmatch(
            rf"(?:(?:my |the )?answer(?: is)?:?\s*)?[\(\[]?{re.escape(symbol)}[\)\]]?(?:[.:,)\s-]+(?P<rest>.*))?",
            reply,
            re.S | re.I if len(reply) > 1 and not reply[:1].islower() else re.S,
        )
        if match is None:
            continue
        rest = (match["rest"] or "").strip().strip("*_`\"'()").rstrip(".!").casefold()
        if not rest or rest == label.casefold() or (truncated and label.casefold().startswith(rest)):
            return "valid", value
    if _REFUSAL.search(reply.replace("’", "'")):
        return "refusal", None
    return ("truncated" if truncated else "unparsed"), None


def item_values(samples: Sequence[Sample], items: Sequence[Item]) -> NDArray[np.float64]:
    """Raw value of each item (items,): the mean of its valid answers over the grid; NaN where there is none."""
    found: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.status == "valid" and sample.value_raw is not None:
            found[sample.item].append(sample.value_raw)
    return np.array([np.mean(found[item.id]) if found[item.id] else np.nan for item in items], dtype=float)


def scale_scores(
    raw: NDArray[np.float64],
    inventory: Inventory,
    items: Sequence[Item],
    mode: Mode,
    reference: NDArray[np.float64] | None = None,
) -> list[Score]:
    """Score every trait of `items`; `raw` (items,) as `item_values` returns them.

    Statement needs `reference` (items,), the same items in the reference condition; without it the value is null,
    since a log-likelihood has no absolute level.
    """
    ends = inventory.response_scale.min + inventory.response_scale.max
    scores = []
    for trait in inventory.traits:
        index = [i for i, item in enumerate(items) if item.trait == trait]
        if not index:
            continue
        keys = np.array([items[i].keyed for i in index])
        mine = raw[index]
        if mode == "statement":
            shift = keys * (mine - reference[index]) if reference is not None else np.full(len(index), np.nan)
            scores.append(_score(trait, shift, keys, mode, None, int(np.isnan(mine).sum())))
        else:
            keyed = np.where(keys == 1, mine, ends - mine)
            scores.append(_score(trait, keyed, keys, mode, inventory.response_scale, int(np.isnan(mine).sum())))
    return scores


def _score(
    trait: Trait,
    values: NDArray[np.float64],
    keys: NDArray[np.int_],
    mode: Mode,
    scale: ResponseScale | None,
    unscored: int,
) -> Score:
    estimate = stratified_mean(values, keys, "halves" if mode == "statement" else "items")
    halves = {key: _mean(values[keys == key]) for key in (1, -1)}
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
