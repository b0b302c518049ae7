"""What heads are worth: AUCs from one kind of texts to another, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from traitbench.judges.scorer.features import Features
from traitbench.judges.scorer.heads import BARS, WARNING, Evaluation, Head, Heads, Row
from traitbench.judges.scorer.scoring import log_odds
from traitbench.judges.scorer.training import Text, fit, remembered, units
from traitbench.statistics.discrimination import area_interval
from traitbench.types import Trait

__all__ = ["Texts", "back", "evaluate"]

Texts = Mapping[Trait, Sequence[Text]]
_ROUNDED = 4


def evaluate(
    kept: Heads,
    made_of: Features,
    trained: Texts,
    others: Mapping[str, Texts],
    deciding: Sequence[str],
    iterations: int = 2000,
) -> Evaluation:
    """Score `others` (name -> texts) with the heads, and `trained` with heads fitted on those that are statements.

    Whether a trait gets a number rests on the `deciding` ones of `others`. `trained` are the texts that the heads were
    trained on: what is printed of them is marked as remembering.
    """
    bars = BARS[kept.features]
    rows: list[Row] = []
    for name, texts in others.items():
        forward = bars[0] if name.startswith("ipip") else None
        found = _rows("dialogues", name, texts, _scored(made_of, kept, texts), forward, iterations)
        rows += [row.model_copy(update={"decides": name in deciding}) for row in found]
    for name, texts in others.items():
        if name.startswith("ipip"):
            odds = _scored(made_of, back(kept, made_of, texts), trained)
            rows += _rows(name, "dialogues", trained, odds, bars[1], iterations)
    seen = {trait: remembered(texts, made_of, kept.penalty)[0] for trait, texts in trained.items()}
    own = _rows("dialogues", "dialogues, held-out scenes", trained, seen, None, iterations)
    rows += [row.model_copy(update={"warning": WARNING}) for row in own]
    return Evaluation(features=kept.features, heads=kept.digest, rows=tuple(rows))


def back(kept: Heads, made_of: Features, texts: Texts) -> Heads:
    """Heads fitted on `texts` with the penalty of `kept`, not calibrated."""
    made = {}
    for trait, mine in texts.items():
        parts = units(mine)
        high = np.array([unit.high for unit in parts], dtype=float)
        weights, intercept = fit(made_of.vectors([unit.text for unit in parts]), high, kept.penalty)
        made[trait] = Head(weights=tuple(map(float, weights)), intercept=intercept, slope=1.0, offset=0.0)
    return kept.model_copy(update={"traits": made})


def _scored(made_of: Features, kept: Heads, texts: Texts) -> dict[Trait, np.ndarray]:
    return {trait: log_odds(made_of, kept, [each.text for each in mine])[trait] for trait, mine in texts.items()}


def _rows(
    source: str, target: str, texts: Texts, odds: Mapping[Trait, np.ndarray], bar: float | None, iterations: int
) -> list[Row]:
    """A row a trait and one of their mean, whose redraws take the clusters of all traits together."""
    every = [
        (trait, each, value) for trait, mine in texts.items() for each, value in zip(mine, odds[trait], strict=True)
    ]
    found = []
    for name in (*texts, "mean"):
        mine = [row for row in every if name in (row[0], "mean")]
        auc = area_interval(
            [value for _, _, value in mine],
            [each.high for _, each, _ in mine],
            [each.cluster for _, each, _ in mine],
            [trait for trait, _, _ in mine],
            iterations,
        )
        assert auc.value is not None
        ci = None if auc.ci is None else (round(auc.ci[0], _ROUNDED), round(auc.ci[1], _ROUNDED))
        found.append(
            Row(
                trained_on=source, tested_on=target, trait=name, auc=round(auc.value, _ROUNDED), ci=ci, n=len(mine),
                clusters=auc.clusters, bar=bar,
            )
        )  # fmt: skip
    return found
