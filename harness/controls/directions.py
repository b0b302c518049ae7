"""What an edit does with a whole state: along a direction, keeping its length, or on a condition.

Unlike add, clamp and zero (see edits), which look at one place at a time, these need a sum over the places of a site.
It is taken in float32, or in float64 where the activations are that; what comes out has the activations' dtype.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

__all__ = ["Conditional", "Projected", "Rescaled", "Step"]


class Step(Protocol):
    """What happens to the activations of one place."""

    def __call__(self, a: Tensor) -> Tensor:
        """Return the activations (..., width) changed, as a new tensor."""

    def fits(self, a: Tensor) -> bool:
        """Tell whether the numbers are where `a` is, and of the dtype that goes with its own."""

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Move to where the activations are."""


@dataclass(slots=True)
class Projected:
    """a -> a + (new - p) unit, where p = a . unit and new is (1 - share) p, brought to between low and high.

    Ablation (share 1; Arditi et al. 2024) and activation capping (bounds; Lu et al. 2026).
    """

    unit: Tensor
    """(width,), of length 1."""
    share: float = 0.0
    low: float | None = None
    high: float | None = None

    def __call__(self, a: Tensor) -> Tensor:
        """Return the activations (..., width) changed, as a new tensor."""
        x = a.to(self.unit.dtype)
        held = _projection(x, self.unit)
        new = held * (1 - self.share)
        if self.low is not None or self.high is not None:
            new = new.clamp(self.low, self.high)
        return (x + (new - held) * self.unit).to(a.dtype)

    def fits(self, a: Tensor) -> bool:
        """Tell whether the numbers are where `a` is, and of the dtype that goes with its own."""
        return _fits(self.unit, a)

    def to(self, device: torch.device, dtype: torch.dtype) -> Projected:
        """Move to where the activations are."""
        return replace(self, unit=self.unit.to(device, _wide(dtype)))


@dataclass(slots=True)
class Rescaled:
    """a -> (a + shift) |a| / |a + shift|, both lengths over `places`; 0 where the sum is 0."""

    shift: Tensor
    """(width,)."""
    places: Tensor | None = None
    """Booleans (width,): what is changed; None: all."""

    def __call__(self, a: Tensor) -> Tensor:
        """Return the activations (..., width) changed, as a new tensor."""
        x = a.to(self.shift.dtype)
        moved = x + self.shift
        before, after = self._length(x), self._length(moved)
        # A sum of length 0 has no direction to be stretched in.
        moved = (moved * (before / torch.where(after > 0, after, 1.0))).to(a.dtype)
        return moved if self.places is None else torch.where(self.places, moved, a)

    def _length(self, x: Tensor) -> Tensor:
        """(..., 1)."""
        length: Tensor = torch.linalg.vector_norm(x if self.places is None else x * self.places, dim=-1, keepdim=True)
        return length

    def fits(self, a: Tensor) -> bool:
        """Tell whether the numbers are where `a` is, and of the dtype that goes with its own."""
        return _fits(self.shift, a)

    def to(self, device: torch.device, dtype: torch.dtype) -> Rescaled:
        """Move to where the activations are."""
        places = None if self.places is None else self.places.to(device)
        return Rescaled(self.shift.to(device, _wide(dtype)), places)


@dataclass(slots=True)
class Conditional:
    """Does its step where above < a . unit < below, and nothing elsewhere."""

    step: Step
    unit: Tensor
    """(width,), of length 1."""
    above: float | None = None
    below: float | None = None

    def __call__(self, a: Tensor) -> Tensor:
        """Return the activations (..., width) changed, as a new tensor."""
        held = _projection(a.to(self.unit.dtype), self.unit)
        met = torch.ones_like(held, dtype=torch.bool)
        if self.above is not None:
            met = met & (held > self.above)
        if self.below is not None:
            met = met & (held < self.below)
        return torch.where(met, self.step(a), a)

    def fits(self, a: Tensor) -> bool:
        """Tell whether the numbers are where `a` is, and of the dtype that goes with its own."""
        return _fits(self.unit, a) and self.step.fits(a)

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditional:
        """Move to where the activations are."""
        return replace(self, step=self.step.to(device, dtype), unit=self.unit.to(device, _wide(dtype)))


def _projection(x: Tensor, unit: Tensor) -> Tensor:
    """(..., width) and (width,) -> (..., 1). Not a product of matrices, which autocast would take in half precision."""
    return (x * unit).sum(-1, keepdim=True)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _fits(numbers: Tensor, a: Tensor) -> bool:
    return numbers.device == a.device and numbers.dtype == _wide(a.dtype)
