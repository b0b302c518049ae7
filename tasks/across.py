"""What joins the tasks of a run: a block of its own, from the samples of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from traitbench.samples import Sample
from traitbench.tables import Table
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.task import Task

__all__ = ["Across"]


class Across(ABC):
    """A comparison of tasks within one run."""

    @classmethod
    @abstractmethod
    def block(cls) -> type[Block]:
        """Return the class of what `join` returns."""

    @abstractmethod
    def join(self, facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]) -> Block | None:
        """Compute the block from the run's samples (task -> samples); None where the run holds too little for it."""

    @abstractmethod
    def tables(self, block: Block) -> list[Table]:
        """What a reader of one run needs."""
