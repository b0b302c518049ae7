"""An inventory of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from answer_tables import Keys, Make, inventory_of

from traitbench.inventories import Inventory


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """An inventory of (id, scale, key, facet) on a scale from 1 to `high`."""

    def go(keys: Keys, high: int = 5) -> Inventory:
        return inventory_of(tmp_path / "own.json", keys, high)

    return go
