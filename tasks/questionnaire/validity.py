"""Whether scales measure different things over simulated respondents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.humans import Loadings
from traitbench.statistics.structure import minres, procrustes, tucker
from traitbench.tasks.questionnaire.respondents import Grid, Reliability
from traitbench.types import Record, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Item

__all__ = ["Structure", "congruence", "from_scores", "structure"]


class Structure(Record):
    """Whether the scales measure different things over the respondents."""

    traits: tuple[Trait, ...]
    n: int
    """Respondents with a score on every scale."""
    correlations: list[list[float | None]]
    """Of the scale scores; null for a scale without variance."""
    disattenuated_mean: float | None = None
    """Mean |r| / sqrt(alpha alpha') over the pairs of scales."""
    disattenuated_max: float | None = None
    general_share: float | None = None
    """First eigenvalue of the correlations over the number of scales: 1 means that all are one."""
    congruence: dict[Trait, float] | None = None
    """Tucker's phi of each factor of the items, or of the facets where people's loadings are of facets (minres, turned
    to the target), with people's loadings."""
    reasons: dict[str, str] = {}


def structure(answers: Grid, known: Sequence[Reliability], people: Loadings | None = None) -> Structure | None:
    """Correlate the scale scores over respondents; None where there are none or fewer than 2 scales.

    `people` are human loadings of the instrument's items, to compare the factors of the answers with.
    """
    if len(known) < 2:
        return None
    table = answers.people()
    traits = tuple(one.trait for one in known)
    index = {t: [i for i, item in enumerate(answers.items) if item.trait == t] for t in traits}
    scores = np.stack([table[:, index[t]].mean(axis=1) for t in traits], axis=1)
    scores = scores[~np.isnan(scores).any(axis=1)]
    found = from_scores(scores, traits, {one.trait: one.alpha for one in known})
    phi, reason = congruence(*_loading(table, answers.items, people), people)
    reasons = found.reasons | ({} if phi is not None else {"congruence": reason})
    return found.model_copy(update={"congruence": phi, "reasons": reasons})


def _loading(
    table: NDArray[np.float64], items: Sequence[Item], people: Loadings | None
) -> tuple[NDArray[np.float64], list[str]]:
    """What people's loadings are of: the items of `table` (n, items), or the means of its facets; and their names."""
    if people is None or people.of == "items":
        return table, [item.id for item in items]
    facets = list(dict.fromkeys(item.facet for item in items if item.facet))
    index = [[i for i, item in enumerate(items) if item.facet == facet] for facet in facets]
    return np.stack([table[:, mine].mean(axis=1) for mine in index], axis=1), facets


def congruence(
    table: NDArray[np.float64], items: Sequence[str], people: Loadings | None
) -> tuple[dict[Trait, float] | None, str]:
    """Tucker's (1951) phi with people's loadings, after an orthogonal rotation to them, or why there is none.

    `table` (n, items) keyed; `items` their names, or facets and theirs. More respondents than items are needed, else
    the correlations have no unique factors.
    """
    if people is None:
        return None, "no human loadings of this instrument are held"
    if any(item not in people.loadings for item in items):
        return None, f"one of the {people.of} has no human loading"
    whole = table[~np.isnan(table).any(axis=1)]
    if len(whole) <= len(items):
        return (
            None,
            f"{len(whole)} respondents for {len(items)} {people.of}; expected more respondents than {people.of}",
        )
    if (whole.std(axis=0) <= 1e-12).any():
        return None, f"one of the {people.of} has the same value for every respondent"
    target = people.matrix(items)
    turned = procrustes(minres(np.corrcoef(whole, rowvar=False), target.shape[1]).loadings, target)
    return dict(zip(people.traits, np.diag(tucker(turned, target)).tolist(), strict=True)), ""


def from_scores(
    scores: NDArray[np.float64], traits: Sequence[Trait], alphas: Mapping[Trait, float | None]
) -> Structure:
    """Summarise scale scores (n, traits). Correction for attenuation after Spearman (1904)."""
    n, k = scores.shape
    spread = scores.std(axis=0) if n > 1 else np.zeros(k)
    live = spread > 1e-12
    matrix: list[list[float | None]] = [[None] * k for _ in range(k)]
    if n > 2 and live.any():
        found = np.atleast_2d(np.corrcoef(scores[:, live], rowvar=False))
        for a, i in enumerate(np.flatnonzero(live)):
            for b, j in enumerate(np.flatnonzero(live)):
                matrix[i][j] = 1.0 if i == j else float(found[a, b])
    reasons, corrected, share = {}, [], None
    if n <= 2 or not live.all():
        flat = [trait for trait, alive in zip(traits, live, strict=True) if not alive]
        reasons["correlations"] = (
            f"no variance: {', '.join(flat)}" if n > 2 else f"complete respondents: {n}; expected at least 3"
        )
        reasons["general_share"] = reasons["disattenuated_mean"] = reasons["correlations"]
    else:
        share = float(np.linalg.eigvalsh(np.array(matrix, dtype=float))[-1]) / k
        weak = [t for t in traits if (alphas.get(t) or 0) <= 0]
        if weak:
            reasons["disattenuated_mean"] = f"alpha is not above zero: {', '.join(weak)}"
        else:
            size = np.sqrt(np.array([alphas[t] for t in traits], dtype=float))
            corrected = [abs(matrix[i][j] or 0.0) / float(size[i] * size[j]) for i in range(k) for j in range(i)]
    return Structure(
        traits=tuple(traits), n=n, correlations=matrix, general_share=share,
        disattenuated_mean=float(np.mean(corrected)) if corrected else None,
        disattenuated_max=max(corrected) if corrected else None, reasons=reasons,
    )  # fmt: skip
