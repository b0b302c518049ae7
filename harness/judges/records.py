"""A written reply as a judge is given it, and what a judge is asked."""

from __future__ import annotations

from traitbench.types import Choose, Doc, Record, Trait, Write

__all__ = ["Ask", "Text"]

Ask = Choose | Write
"""Options whose probabilities are the verdict; of a judge that gives none, a verdict to write."""


class Text(Record):
    """A reply to be judged. What it was written under is not said, since a judge must not know it."""

    doc: Doc
    """The reply's place in the grid; a judgement has the same, but for what is judged."""
    question: str
    """What it replies to."""
    text: str
    dimensions: tuple[Trait, ...]
    """What is judged, each in a call of its own; the dimension that the question is about among them."""
