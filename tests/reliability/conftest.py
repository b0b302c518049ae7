"""What all of these tests count, and how much of it they do: a part of it in CI, the whole by `make torture`."""

from __future__ import annotations

from collections import Counter

import pytest
from torture import COUNTS


@pytest.fixture(scope="session")
def whole(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--torture"))


@pytest.fixture(scope="session")
def counts() -> Counter[str]:
    return COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS:
        terminalreporter.section("what was tried")
        for what, many in COUNTS.items():
            terminalreporter.line(f"{many:>7,}  {what}")
