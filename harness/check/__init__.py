"""The gate: baselines of runs, kept beside the code, asked afresh and compared item by item.

A baseline is a finished run in one small file: its plan, what was asked, and the value of every item. What is under
test is the code, and then the model is part of what must be the same; or a model (`--model`), and then all the rest is.
"""

from __future__ import annotations

from traitbench.check.gate import Asking, Checked, check
from traitbench.check.showing import summary, tables
from traitbench.check.updating import update

__all__ = ["Asking", "Checked", "check", "summary", "tables", "update"]
