"""A judge's written number, read strictly: what could be another number is none.

For judges without log-probabilities. A reply is its verdict on the first line, by itself, and whatever reason follows
on later lines; a reason that names another number, or takes the verdict back, leaves nothing. Every step walks the
reply once, so that the longest and strangest reply costs no more than its length.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from traitbench.errors import UnknownName
from traitbench.statistics.replies import refuses
from traitbench.types import Status

__all__ = ["Verdict", "parse_verdict"]


class Verdict(NamedTuple):
    """What a judge wrote."""

    status: Status
    value: int | None = None
    """The number on the scale; None where the status is not valid, and where the judge cannot tell."""
    cannot_tell: bool = False
    """The judge chose to say so: a valid answer without a number."""


_TAG = re.compile(r"<(/?)(?:think|thinking|reasoning)>", re.I)
_MARKS = str.maketrans('*_`"“”', " " * 6)
_LEAD = (
    r"(?:(?:(?:the|my|overall|final) ){0,2}(?:score|rating|answer|verdict|number)(?: is| would be)? ?[:=]? ?"
    r"|i (?:would )?(?:rate|give|score) (?:it|this|this text|the text)(?: a| an)?:? )?"
)
_NUMBER = re.compile(
    _LEAD + r"[(\[]? ?(?P<value>[0-9]{1,9})(?:(?: ?/ ?| out of )(?P<top>[0-9]{1,9}))? ?[)\]]? ?[.!]?", re.I | re.A
)
_CANNOT_TELL = re.compile(_LEAD + r"(?:i )?(?:cannot|can't|can not) tell[.!]?", re.I | re.A)
_TAKEN_BACK = re.compile(r"\b(?:cannot|can't|can not) tell\b", re.I)
_WORD = re.compile(r"[a-z]+", re.I | re.A)
_WORDS = {word: place for place, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve".split()
)} | {"nil": 0, "half": -1, "nought": 0}  # fmt: skip
_BEFORE, _AFTER = "([{'\"“‘*_`", ")]}'\"”’*_`.,;:!?"


def parse_verdict(text: str, low: int = 0, high: int = 5, truncated: bool = False) -> Verdict:
    """Read the number from `low` to `high` that a judge wrote, or that it cannot tell.

    Valid are the number alone on the first line, with a few words before it ("Score: 3", "I would rate it 3."), in
    brackets or marks, and over the scale's own top ("3/5", "3 out of 5" where `high` is 5). Decimals, signs, ranges,
    ordinals, leading zeros, other fractions, numbers in words, other digits than 0 to 9 and numbers out of range have
    no value. Later lines may hold a reason, in which no other number stands, in digits or in words up to twelve, "one"
    included. Text inside a reasoning block is not an answer. A reply cut at its limit has a value where its first line
    is whole.

    The status is `valid`, `refusal`, `truncated` or `unparsed`. UnknownName for a scale that is none.
    """
    if not 0 <= low < high:
        raise UnknownName(f"a scale from {low} to {high}; expected whole numbers, 0 <= low < high, e.g. 0 and 5")
    outside = _outside_reasoning(text)
    if outside is None:
        return Verdict("truncated")
    lines = outside.strip().replace("’", "'").splitlines() or [""]
    head, rest = " ".join(lines[0].translate(_MARKS).split()), "\n".join(lines[1:])
    nothing = Verdict("refusal" if refuses(outside) else "truncated" if truncated else "unparsed")
    if truncated and len(lines) == 1:
        return nothing
    if _CANNOT_TELL.fullmatch(head):
        return Verdict("valid", None, True) if not _names_others(rest, None, high) else Verdict("unparsed")
    found = _NUMBER.fullmatch(head)
    if found is None or found["top"] not in (None, str(high)):
        return nothing
    value = int(found["value"])
    if found["value"] != str(value) or not low <= value <= high or _names_others(rest, value, high):
        return nothing
    if refuses(rest) or _TAKEN_BACK.search(rest):
        return nothing
    return Verdict("valid", value)


def _outside_reasoning(text: str) -> str | None:
    """What stands outside reasoning blocks; None where one is left open.

    A template may have opened the block itself, so that what stands before a lone closing tag is reasoning too.
    """
    parts: list[str] = []
    start, inside = 0, False
    for tag in _TAG.finditer(text):
        if not inside:
            parts.append(text[start : tag.start()])
        if tag[1]:
            parts = parts if inside else []
            inside = False
        else:
            inside = True
        start = tag.end()
    return None if inside else "\n".join([*parts, text[start:]])


def _names_others(reason: str, value: int | None, high: int) -> bool:
    """Whether `reason` names a number other than `value`, in digits or words."""
    same = {str(value), f"{value}/{high}"} if value is not None else set()
    for token in reason.split():
        if any(letter.isnumeric() for letter in token) and token.lstrip(_BEFORE).rstrip(_AFTER) not in same:
            return True
    return any(_WORDS.get(word.casefold(), value) != value for word in _WORD.findall(reason))
