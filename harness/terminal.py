"""What may go to a terminal. Imports nothing heavy: help and errors are printed through it."""

from __future__ import annotations

import re

__all__ = ["visible"]


def visible(text: str) -> str:
    """Show what would steer a terminal, escapes above all, as a mark in its place; line breaks and tabs stay."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)
