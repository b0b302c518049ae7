"""Invented persons with answers to the 300 items, for runs that aim at persons."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from traitbench.targets.papi import key


def people(table: Path, count: int) -> None:
    """Write invented persons' raw answers to the 300 items: a level a facet, and noise."""
    rng = np.random.default_rng(1)
    levels = {facet: rng.normal(0, 1, count) for facet in dict.fromkeys(item.facet for item in key())}
    columns = [3 + item.keyed * levels[item.facet] + rng.normal(0, 0.7, count) for item in key()]
    answers = np.clip(np.rint(np.column_stack(columns)), 1, 5).astype(int)
    with table.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", *(item.id for item in key())])
        writer.writerows([f"p{number}", *row] for number, row in enumerate(answers.tolist()))
