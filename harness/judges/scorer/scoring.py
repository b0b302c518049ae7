"""The text scorer: how likely a text was written by one who is high on a trait, without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traitbench.errors import BadData, MissingExtra, TraitbenchUsage
from traitbench.judges.scorer.features import Features, sentences
from traitbench.judges.scorer.features import features as load
from traitbench.judges.scorer.heads import Evaluation, Heads, Validity, evaluation, heads
from traitbench.types import Trait

__all__ = ["Scorer", "log_odds", "scorer"]

Array = NDArray[np.float64]

_BATCH = 2048
"""Sentences whose vectors are held at once."""


class Scorer:
    """Linear heads over the sentences of a text, one a Big Five trait; `scorer` makes one."""

    def __init__(self, kept: Heads, worth: Evaluation, made_of: Features) -> None:
        """Join heads, their evaluation and the features that they are for; BadData where these are others."""
        if made_of.digest != kept.vectors or made_of.dimension != kept.dimension:
            raise BadData(
                f"the vectors of {', '.join(f'{k} {v}' for k, v in made_of.versions.items())} are not those that the "
                "heads were trained on; install the versions of constraints.txt, or run `make scorer`"
            )
        self._heads, self._evaluation, self._features = kept, worth, made_of

    def score(self, texts: Sequence[str]) -> dict[Trait, Array]:
        """Probability (n,) of the high pole for each of `texts`, by trait.

        It is calibrated on sentences of the trait dialogues that held-out heads scored, and too sure of other texts: a
        scale, not a forecast. NaN where there is no number: a text without a letter, and all texts for a trait that
        `validity` does not call usable. TraitbenchUsage for a single string.
        """
        found, worth = self.decisions(texts), self.validity()
        for trait, head in self._heads.traits.items():
            chance = special.expit(head.slope * found[trait] + head.offset)
            found[trait] = chance if worth[trait].usable else np.full(len(texts), np.nan)
        return found

    def decisions(self, texts: Sequence[str]) -> dict[Trait, Array]:
        """Log odds (n,) of the high pole, mean over a text's sentences and not calibrated, usable or not; else NaN."""
        if isinstance(texts, str):
            raise TraitbenchUsage("texts is one string; expected several, e.g. [text]")
        return log_odds(self._features, self._heads, texts)

    def validity(self) -> dict[Trait, Validity]:
        """What each trait's scores are worth, from the evaluation that ships."""
        return self._evaluation.validity()

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a score: features, versions of their packages, digest of the heads, places of a vector."""
        return {
            "features": self._heads.features,
            "versions": self._features.versions,
            "heads": self._heads.digest,
            "dimension": self._heads.dimension,
        }

    def evaluation(self) -> Evaluation:
        """The whole evaluation: AUCs by trait from one kind of texts to another."""
        return self._evaluation


@cache
def scorer(features: str = "wordllama") -> Scorer:
    """The scorer that ships, loaded once: `features` wordllama or minilm.

    UnknownName for other features, MissingExtra where theirs are not installed.
    """
    kept = heads(features)
    if find_spec("wordllama") is None:
        raise MissingExtra("the text scorer needs wordllama: pip install 'traitbench[judges]'")
    return Scorer(kept, evaluation(features), load(features))


def log_odds(made_of: Features, kept: Heads, texts: Sequence[str]) -> dict[Trait, Array]:
    """Mean log odds (n,) over each text's sentences, by trait; NaN for a text without any."""
    parts = [(row, part) for row, text in enumerate(texts) for part in sentences(text)]
    rows = np.array([row for row, _ in parts], dtype=np.intp)
    names = list(kept.traits)
    weights = np.array([kept.traits[name].weights for name in names]).T
    intercepts = np.array([kept.traits[name].intercept for name in names])
    found = np.zeros((len(texts), len(names)))
    for start in range(0, len(parts), _BATCH):
        batch = parts[start : start + _BATCH]
        distinct = {part: place for place, part in enumerate(dict.fromkeys(part for _, part in batch))}
        values = made_of.vectors(list(distinct)) @ weights + intercepts
        np.add.at(found, rows[start : start + _BATCH], values[[distinct[part] for _, part in batch]])
    counts = np.bincount(rows, minlength=len(texts)).astype(float)[:, None]
    means = np.divide(found, counts, out=np.full_like(found, np.nan), where=counts > 0)
    return {name: means[:, place].copy() for place, name in enumerate(names)}
