"""Task: something to measure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from traitbench.types import Request, Target, Trait

__all__ = ["Task"]


class Task(ABC):
    """Something to measure: it makes requests and turns responses into scores."""

    id: str
    version: ClassVar[str] = "1"
    traits: tuple[Trait, ...]

    def targets(self) -> Sequence[Target] | None:
        """Return the targets the task brings with it; None where the run's own are meant."""
        return None

    @abstractmethod
    def requests(self, seed: int) -> list[Request]:
        """Every request of one condition, in a fixed order."""
