"""What may go to a terminal. Imports nothing heavy: help and errors are printed through it."""

from __future__ import annotations

import os
import re
import sys

__all__ = ["lenient", "visible"]


def visible(text: str) -> str:
    """Show what would steer a terminal or turn text round, as a mark in its place; line breaks and tabs stay.

    Escapes above all, and marks of direction, behind which a reader sees another order than what is there.
    """
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def lenient() -> None:
    """Let a terminal that has not all signs show another one in their place, rather than end a command.

    What is told to an output that was closed goes nowhere.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
