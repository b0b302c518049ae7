"""Requests to put to tiny untrained models, and their tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_models import tokenizer

from traitbench.types import Choose, Continue, Doc, Message


@pytest.fixture
def make_tokenizer() -> Callable[..., Any]:
    """Return the function that makes a tokenizer with a given template."""
    return tokenizer


def _doc(name: str) -> Doc:
    return Doc(task="t", scoring="choice", item=name, trait="extraversion", facet=None, keyed=1)


STATEMENTS = ("I love the crowd.", "I make plans.", "I worry.", "I am the one who answers.", "I hum")


@pytest.fixture
def chooses() -> list[Choose]:
    """Five items behind one long instruction, with spellings of one token and of several."""
    ask = "How accurate is this? A very inaccurate, B neither, C very accurate.\nStatement: "
    options = (("A", " A", "(A"), ("B", "(B"), ("C", "answer C"))
    return [
        Choose(
            doc=_doc(f"i{n}"),
            messages=(Message(role="user", content=ask + text),),
            cue="Answer:",
            options=options,
            values=(1, 2, 3),
        )
        for n, text in enumerate(STATEMENTS)
    ]


@pytest.fixture
def continues() -> list[Continue]:
    """Five statements as the model's own words behind one and the same prompt."""
    ask = (Message(role="user", content="Describe yourself as someone who answers the crowd with a plan."),)
    return [Continue(doc=_doc(f"c{n}"), messages=ask, text=text) for n, text in enumerate(STATEMENTS)]
