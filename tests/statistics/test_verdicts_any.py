"""Any reply that Hypothesis can make, and the smallest one that is read wrongly where there is one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from written_verdicts import JOINS, LEADS, NUMBERS, THOUGHTS, WORDS, check

PIECES = st.sampled_from([*NUMBERS, *WORDS, *JOINS * 4])
SAID = st.tuples(st.sampled_from(LEADS), st.sampled_from(NUMBERS), st.sampled_from(JOINS), st.lists(PIECES, max_size=5))


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(THOUGHTS), SAID, st.sampled_from([5, 10]), st.booleans())
def test_pieces(thoughts: str, said: tuple[str, str, str, list[str]], high: int, cut: bool) -> None:
    lead, number, join, pieces = said
    check(thoughts, lead + number + join + "".join(pieces), high, cut)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(["", "3", "3\n", "Score: "]), st.text(st.characters(exclude_characters="<>"), max_size=30))
def test_text(before: str, text: str) -> None:
    check("", before + text, 5, False)
