"""Short modules and functions: over 300 and 50 lines their docstring says why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE, FUNCTION = 300, 50


def sources() -> list[Path]:
    return [file for room in ("harness", "inventories", "methods", "tasks") for file in (ROOT / room).rglob("*.py")]


def long_parts(source: str) -> Iterator[str]:
    """What is too long and does not say why."""
    tree = ast.parse(source)
    lines = source.count("\n")
    if lines > MODULE and f"Over {MODULE} lines" not in (ast.get_docstring(tree) or ""):
        yield f"module of {lines} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION and f"Over {FUNCTION} lines" not in (ast.get_docstring(node) or ""):
                yield f"{node.name}, {length} lines"


def test_no_module_or_function_is_long_without_a_reason() -> None:
    found = {str(file.relative_to(ROOT)): list(long_parts(file.read_text("utf-8"))) for file in sources()}
    assert {name: parts for name, parts in found.items() if parts} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1\n" * 301, ["module of 301 lines"]),
        ('"""A table.\n\nOver 300 lines: it is one table.\n"""\n' + "x = 1\n" * 301, []),
        ("def f():\n" + "    x = 1\n" * 50, ["f, 51 lines"]),
        ("def f():\n" + "    x = 1\n" * 49, []),
    ],
)
def test_what_is_long_is_found(source: str, found: list[str]) -> None:
    assert list(long_parts(source)) == found
