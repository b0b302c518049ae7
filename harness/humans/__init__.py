"""Human reference samples: what people's scores on the same instruments look like, and where each figure is from.

The figures are data (`references.json`), not code. A sample has a name, a size, a source and a licence; what a
source does not state is null. Nothing here ranks: people are a reference, not a goal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from traitbench.errors import BadData, unknown
from traitbench.types import BIG_FIVE, DARK_TRIAD, Record, Trait

if TYPE_CHECKING:
    from traitbench.answers.analysis import Analysis
    from traitbench.inventories import Inventory

__all__ = [
    "Loadings", "Reference", "between_person_sd", "default_reference", "loadings", "reference",
    "reference_from_analysis", "references",
]  # fmt: skip

_FILE = Path(__file__).parent / "references.json"


class Reference(Record):
    """A named sample of people, by its summary figures. Every list follows the order of `traits`."""

    name: str
    label: str
    """For tables and figures."""
    instrument: str | None = None
    """Inventory id; None where the sample answered another instrument, or several."""
    scale: tuple[int, int] | None = None
    """Lowest and highest answer these people could give; it need not be the inventory's own."""
    n: int
    """People; where correlations rest on different numbers, the smallest."""
    country: str | None = None
    """`several` where the source names more than one."""
    year: str | None = None
    """Of the answers where the source says so, else of the publication."""
    licence: str | None = None
    source: str
    """Citation, and where the figures were read."""
    note: str = ""
    traits: tuple[Trait, ...]
    """Full names."""
    correlations: tuple[tuple[float | None, ...], ...] | None = None
    """Between the traits; a cell is None where a trait has no scores or no variance."""
    means: tuple[float | None, ...] | None = None
    """Mean over people of the mean of a scale's keyed items."""
    sds: tuple[float | None, ...] | None = None
    """Between-person SD of the same item means (n - 1)."""
    alphas: tuple[float | None, ...] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        t = len(self.traits)
        for field in ("means", "sds", "alphas"):
            values = getattr(self, field)
            if values is not None and len(values) != t:
                raise ValueError(f"{self.name}: {field} has {len(values)} values for {t} traits")
        if self.correlations is not None:
            matrix = _array(self.correlations)
            if matrix.shape != (t, t) or not np.allclose(matrix, matrix.T, rtol=0, atol=1e-8, equal_nan=True):
                raise ValueError(f"{self.name}: the correlations are no symmetric {t} x {t} matrix")
            if np.nanmax(np.abs(matrix), initial=0) > 1 + 1e-9:
                raise ValueError(f"{self.name}: a correlation is outside [-1, 1]")
        return self

    def matrix(self, traits: Sequence[Trait]) -> NDArray[np.float64]:
        """Correlations (t, t) in the order of `traits`, NaN where undefined, 1 on the diagonal.

        UnknownName for a trait the sample has not; BadData for a sample without correlations.
        """
        if self.correlations is None:
            held = [r.name for r in references() if r.correlations is not None]
            raise BadData(f"reference sample {self.name!r} holds no correlations; take one of {', '.join(held)}")
        rows = [self._row(trait) for trait in traits]
        matrix = _array(self.correlations)[np.ix_(rows, rows)]
        np.fill_diagonal(matrix, 1.0)
        return matrix

    def sd(self, trait: Trait) -> float | None:
        """Between-person SD of `trait` on item means; None where it is not held or is 0."""
        if self.sds is None or trait not in self.traits:
            return None
        return self.sds[self.traits.index(trait)] or None

    def _row(self, trait: Trait) -> int:
        if trait not in self.traits:
            raise unknown(f"trait of reference sample {self.name}", trait, self.traits)
        return self.traits.index(trait)


class Loadings(Record):
    """Factor loadings of an instrument's items or facets in a sample of people: the target of factor congruence."""

    instrument: str
    of: Literal["items", "facets"] = "items"
    """What loads: facets (means of their keyed items) where the source gives no more."""
    sample: str
    """Name of the reference sample."""
    n: int
    extraction: Literal["minres"]
    rotation: Literal["varimax", "oblimin"]
    note: str = ""
    traits: tuple[Trait, ...]
    """The factors, named by the trait whose items load on them, which they are turned towards."""
    loadings: dict[str, tuple[float, ...]]
    """Item id or facet -> its loadings, in the order of `traits`, of what is keyed: own loadings are positive."""

    def matrix(self, items: Sequence[str]) -> NDArray[np.float64]:
        """Loadings (items, factors) in the order of `items` (ids or facets); UnknownName for one that is not there."""
        for item in items:
            if item not in self.loadings:
                raise unknown(f"{self.of[:-1]} with human loadings on {self.instrument}", item, self.loadings)
        return np.array([self.loadings[item] for item in items], dtype=float).reshape(len(items), len(self.traits))


def references(instrument: str | None = None) -> tuple[Reference, ...]:
    """Every sample that ships, or those that answered `instrument` (an inventory id)."""
    return tuple(r for r in _load()[0] if instrument is None or r.instrument == instrument)


def reference(name: str) -> Reference:
    """Return the sample called `name`; UnknownName with the nearest name for another."""
    found = {r.name: r for r in references()}
    key = name.strip().lower().replace("-", "_")
    if key not in found:
        raise unknown("reference sample", name, found)
    return found[key]


def default_reference(traits: Sequence[Trait]) -> Reference | None:
    """Return the sample whose trait correlations stand beside a model's.

    The IPIP-NEO-300 sample for Big Five traits, the SD3 sample for the Dark Triad, None for anything else.
    """
    for names, family in (("ipip_neo_300_johnson", BIG_FIVE), ("sd3_online", DARK_TRIAD)):
        if traits and set(traits) <= set(family):
            return reference(names)
    return None


def between_person_sd(instrument: str, trait: Trait) -> float | None:
    """SD between people of `trait` on the item-mean metric of the SAME instrument and response scale.

    None where none is held: another instrument's SD is never borrowed.
    """
    name = _load()[1].get(instrument)
    return reference(name).sd(trait) if name else None


def loadings(instrument: str) -> Loadings | None:
    """Human factor loadings of `instrument`'s items or facets; None where none are held."""
    return next((found for found in _load()[2] if found.instrument == instrument), None)


def reference_from_analysis(analysis: Analysis, inventory: Inventory, name: str) -> Reference:
    """Make a reference sample of a user's table, as `analyze` summarised it.

    `analysis` has had its declared keying checked. BadData where the analysis is of another inventory, or fewer than
    two respondents stand behind a correlation.
    """
    if analysis.inventory != inventory.id:
        raise BadData(
            f"the table is of {analysis.inventory!r}, the reference was to be of {inventory.id!r}; "
            f"analyse it with --inventory {inventory.id}, or name {analysis.inventory} here"
        )
    n = analysis.correlations.n
    if n < 2:
        raise BadData(
            f"reference {name!r}: {n} of {analysis.n} respondents answered every item of two scales; expected at "
            f"least 2 (missing is empty, NA or 0)"
        )
    order = analysis.correlations.order
    scales = [analysis.scales[letter] for letter in order]
    return Reference(
        name=name,
        label=name,
        instrument=inventory.id,
        scale=(inventory.response_scale.min, inventory.response_scale.max),
        n=n,
        source=f"a table of the user's own ({name})",
        note=f"{n} of {analysis.n} respondents behind each correlation, at least",
        traits=tuple(inventory.scales[letter] for letter in order),
        correlations=tuple(map(tuple, analysis.correlations.matrix)),
        means=tuple(scale.mean for scale in scales),
        sds=tuple(scale.sd for scale in scales),
        alphas=tuple(scale.alpha for scale in scales),
    )


@cache
def _load() -> tuple[tuple[Reference, ...], dict[str, str], tuple[Loadings, ...]]:
    raw: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    samples = tuple(Reference.model_validate(entry) for entry in raw["references"])
    found = tuple(Loadings.model_validate(entry) for entry in raw.get("loadings", ()))
    return samples, dict(raw["standard"]), found


def _array(rows: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    return np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float)
