"""What the tests of Inspect share: its own eval, on what is installed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Not the checkout itself is to be found but what is installed: its egg-info tells Inspect of no installation."""
    monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place or ".").resolve() != ROOT])
    yield
    gc.collect()  # here Inspect's open ends are forgiven, in other tests they would be errors


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """Put the Mini-IPIP to a model by `inspect_ai.eval`: ask(model, orders="forward") with the task's arguments.

    `more` are eval's own; a log that is no success fails the test.
    """
    import inspect_ai

    def go(model: Any, more: dict[str, Any] | None = None, **args: Any) -> Any:
        (log,) = inspect_ai.eval(
            "traitbench/mini_ipip", model=model, task_args=args, log_dir=str(tmp_path / "logs"), display="none",
            **(more or {}),
        )  # fmt: skip
        assert log.status == "success", log.error
        return log

    return go
