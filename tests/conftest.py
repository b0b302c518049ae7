"""Where the tests find the data that does not ship."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder, and TRAITBENCH_DATA pointing at it: the first folder of TRAITBENCH_DATA, else ../shared."""
    given = os.environ.get("TRAITBENCH_DATA", "").split(os.pathsep)[0]
    folder = Path(given) if given else BESIDE
    if not folder.is_dir():
        pytest.skip(f"no data folder: set TRAITBENCH_DATA, or put one at {BESIDE}")
    monkeypatch.setenv("TRAITBENCH_DATA", str(folder))
    return folder
