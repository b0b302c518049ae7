"""What the text scorer keeps on disk: a linear head a trait, and what each is worth on texts it has not seen."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from traitbench import store
from traitbench.errors import BadData, unknown
from traitbench.types import BIG_FIVE, Record, Trait, digest

__all__ = ["BARS", "FEATURES", "Evaluation", "Head", "Heads", "Row", "Validity", "evaluation", "heads", "place"]

FEATURES = ("wordllama", "minilm")
BARS: dict[str, tuple[float, float]] = {"wordllama": (0.72, 0.71), "minilm": (0.78, 0.71)}
"""Mean AUC to beat, dialogues -> IPIP statements and back: set beforehand by a first measurement."""
WARNING = "remembering: sentences of the held-out scenes stand in the training scenes too; no sign of validity"


class Head(Record):
    """One trait: log odds of the high pole are `weights` . vector + `intercept`, for one sentence."""

    weights: tuple[float, ...]
    intercept: float
    slope: float
    """Of Platt's (1999) map from mean log odds z to a probability: 1 / (1 + exp(-(slope * z + offset)))."""
    offset: float


class Heads(Record):
    """The heads of one kind of features, as `make scorer` writes them."""

    features: str
    vectors: str
    """Names what the features were made of: a digest of their weights."""
    dimension: int
    corpus: str
    """Digest of the dialogues."""
    penalty: float
    """Inverse strength of the ridge, as scikit-learn's C; chosen on dialogues alone."""
    tried: dict[str, float]
    """Penalty -> mean AUC over traits of held-out sentences, groups of sentences held out together."""
    traits: dict[Trait, Head]

    @property
    def digest(self) -> str:
        """Names the contents."""
        return digest(self.model_dump(mode="json"))


class Row(Record):
    """How well a trait's poles are told apart in texts of one kind by heads trained on another."""

    trained_on: str
    tested_on: str
    trait: Trait
    """Or "mean", over the traits."""
    auc: float
    ci: tuple[float, float] | None
    """95 %, from redraws of clusters."""
    n: int
    """Texts."""
    clusters: int
    """Items, pairs or situations."""
    bar: float | None = None
    """Mean AUC to beat, where there is one."""
    decides: bool = False
    """Whether a trait gets a number rests on these texts."""
    warning: str = ""

    @property
    def source(self) -> str:
        """From which texts to which."""
        return f"{self.trained_on} -> {self.tested_on}"


class Validity(Record):
    """Whether a trait's scores may be used, and why."""

    auc: float
    ci: tuple[float, float] | None
    """95 %."""
    n: int
    """Texts."""
    source: str
    """Of the texts that decide the ones on which the interval ends lowest."""
    bar: float | None
    """Mean AUC to beat on these texts, where there is one."""
    usable: bool
    reason: str
    """Why not; empty where it is usable."""


class Evaluation(Record):
    """What the heads are worth, as `make scorer` writes it."""

    features: str
    heads: str
    """Digest of the heads that were evaluated."""
    rows: tuple[Row, ...]

    def validity(self) -> dict[Trait, Validity]:
        """Say of each trait whether it gets a number: not where an interval that decides reaches .5."""
        found = {}
        for trait in BIG_FIVE:
            rows = [row for row in self.rows if row.trait == trait and row.decides]
            row = min(rows, key=lambda r: r.ci[0] if r.ci else 0.0)
            usable = row.ci is not None and row.ci[0] > 0.5
            interval = "no interval" if row.ci is None else f"95 % interval {row.ci[0]:.2f} to {row.ci[1]:.2f}"
            reason = "" if usable else f"AUC {row.auc:.2f} ({row.source}), {interval}: it reaches .5, so no number"
            found[trait] = Validity(
                auc=row.auc, ci=row.ci, n=row.n, source=row.source, bar=row.bar, usable=usable, reason=reason
            )
        return found


def place(kind: str, features: str) -> Path:
    """Where "heads" or "evaluation" of `features` ship; UnknownName for features that do not exist."""
    if features not in FEATURES:
        raise unknown("features", features, FEATURES)
    return Path(__file__).with_name(f"{kind}_{features}.json")


@cache
def heads(features: str) -> Heads:
    """Read the heads that ship."""
    return Heads.model_validate(_read("heads", features))


@cache
def evaluation(features: str = "wordllama") -> Evaluation:
    """Read the evaluation that ships; BadData where it is of other heads."""
    found = Evaluation.model_validate(_read("evaluation", features))
    if found.heads != heads(features).digest:
        raise BadData(
            f"{place('evaluation', features)} is of the heads {found.heads}, not of those that ship; run `make scorer`"
        )
    return found


def _read(kind: str, features: str) -> object:
    path = place(kind, features)
    if not path.is_file():
        raise BadData(f"{path} is missing; `make scorer FEATURES={features}` writes it")
    return store.read_json(path)
