"""Made replies of judges, and an oracle for the numbers in them that shares nothing with the parser under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from traitbench.statistics.verdicts import Verdict, parse_verdict

__all__ = ["JOINS", "LEADS", "NUMBERS", "RUBRIC", "THOUGHTS", "WORDS", "Reply", "check", "made", "named"]

RUBRIC = "0: none of it\n1: hardly\n2: a little\n3: in part\n4: mostly\n5: all through"
THOUGHTS = ["", "", "", "<think>Is it 2? Or four.</think>", "It may be 1.</think>\n", "<think>"]
NUMBERS = ["0", "1", "2", "3", "4", "5", "6", "7", "03", "10", "55", "3.5", "4.0", "2,5", "-2", "−1", "+4", "3/5",
           "4 / 5",
           "2/10", "5 out of 5", "1 out of 3", "2-3", "1–4", "3 to 5", "50%", "4th", "1e0", "½", "２", "٤", "(3)",
           "[4]",
           "**2**", "`5`", "'1'", "1.", "4!", "5:", "0,"]  # fmt: skip
WORDS = ["zero", "One", "two", "three", "FOUR", "five", "six", "ten", "twelve", "half", "cannot tell", "Can't tell.",
         "Score:", "The score is", "My rating:", "I would rate this text", "Final answer =", "out of", "/", ".",
         "-", ",", "or",
         "to", "because the writer is warm", "it fits the text", RUBRIC, "Scale: 0 (low) to 5 (high)", "I'm sorry",
         "As an AI",
         "tension", "someone", "attention", "3 friends", "**", "`", "(", ")", "\"", "’", "\u200b", "Ⅲ",
         "三"]  # fmt: skip
JOINS = ["", " ", "\n", "\n\n", "\r\n", "\t", "\x0b", "\u2028"]
LEADS = ["", "", "", "Score: ", "**Score:** ", "The score is ", "I would rate it ", "<b>", "cannot tell ", "-", "0-"]
SPELLED = "zero one two three four five six seven eight nine ten eleven twelve".split()


def named(text: str, high: int) -> set[int | str]:
    """Every number that a reader may find in `text`; as text where it is no whole number of a scale.

    Letter by letter and by the neighbours of each run of digits,
    with none of the parser's expressions. The scale's own
    top behind a slash or "out of" is no number of its own.
    """
    found: set[int | str] = set()
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and text[end].isnumeric():
            end += 1
        if end == at:
            at += 1
            continue
        run, before, after = text[at:end], text[:at], text[end:]
        bare = before.rstrip(' `*_"')
        top = (bare.endswith("/") or bare.endswith("out of")) and run == str(high)
        if top and not after[:1].isalnum() and after[:1] not in ("/", "%"):
            pass
        elif set(run) - set("0123456789") or str(int(run)) != run:
            found.add(run)
        elif (
            before[-1:] in tuple("+-−–/.,~#<")
            or before[-1:].isalnum()
            or after[:1].isalnum()
            or after[:1] in ("%", "-", "–")
        ):
            found.add(before[-1:] + run + after[:1])
        elif after[:1] in (".", ",") and after[1:2].isnumeric():
            found.add(run + after[:2])
        else:
            found.add(int(run))
        at = end
    letters = "".join(letter if letter.isascii() and letter.isalpha() else " " for letter in text).lower().split()
    return found | {SPELLED.index(word) if word in SPELLED else word for word in letters if word in (*SPELLED, "half")}


class Reply(NamedTuple):
    """What is read, and what of it stands outside reasoning."""

    thoughts: str
    said: str
    high: int
    cut: bool


def made(choose: Callable[[Sequence[str]], str], upto: Callable[[int], int]) -> Reply:
    """A reply of some pieces: half of the first ones are plain numbers, so that many replies have a value."""
    first = choose([*NUMBERS, *NUMBERS[:8] * 4, *["cannot tell"] * 4])
    pieces = [choose([*NUMBERS, *WORDS, *JOINS * 4]) for _ in range(upto(6))]
    said = choose(LEADS) + first + choose(JOINS) + "".join(pieces)
    return Reply(choose(THOUGHTS), said, [5, 5, 5, 10][upto(3)], bool(upto(1)))


def check(thoughts: str, said: str, high: int, cut: bool) -> Verdict:
    """Read a reply and hold what is read against the oracle."""
    found = parse_verdict(thoughts + said, 0, high, cut)
    if thoughts == "<think>":
        assert found == Verdict("truncated")
    if found.value is not None:
        assert named(said, high) == {found.value} and 0 <= found.value <= high and found.status == "valid", said
        assert not cut or len(said.strip().splitlines()) > 1, said
    if found.cannot_tell:
        assert found == Verdict("valid", None, True) and not named(said, high), said
    return found
