"""The reference condition: the model as it is, without control messages.

1. Nothing is put in front of the task and nothing in the model is changed.

From no paper: it is what every other control is compared with, and is part of every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.methods.method import Method
from traitbench.types import Control, Target

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["NoControl"]


class NoControl(Method):
    """No control at all; it takes no target and is part of every run."""

    name = "none"
    matched = False
    makes = frozenset()
    targets = frozenset()

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Return the empty control, whatever is asked for."""
        return Control()
