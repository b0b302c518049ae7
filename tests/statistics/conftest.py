"""The values of R psych and the answers they were computed from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def golden(shared: Path) -> Any:
    return json.loads((shared / "oracles" / "golden_psych.json").read_text())


@pytest.fixture
def people(shared: Path) -> np.ndarray:
    """2,800 people by 25 items, NaN where missing."""
    return np.genfromtxt(shared / "oracles" / "bfi25_keyed.csv.gz", delimiter=",", skip_header=1)
