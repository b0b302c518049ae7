"""What a kept answer says: expected values by hand, and written replies that are answers, refusals or neither."""

from __future__ import annotations

import itertools
import math
import re

import pytest

from traitbench.statistics import replies
from traitbench.statistics.replies import choice_value, parse_reply

ACCURACY = ("Very Inaccurate", "Moderately Inaccurate", "Neither Accurate Nor Inaccurate", "Moderately Accurate",
            "Very Accurate")  # fmt: skip
FIVE = tuple(zip("ABCDE", ACCURACY, strict=True))
NINE = tuple((symbol, f"Answer {symbol}") for symbol in "ABCDEFGHI")
NUMBERS = tuple(zip("12345", ACCURACY, strict=True))


def test_choice_value_by_hand() -> None:
    logs = [math.log(p) for p in (0.1, 0.0, 0.3, 0.0, 0.1) if p]
    value, mass, shares = choice_value(logs, (1, 3, 5))
    assert value == pytest.approx((0.1 * 1 + 0.3 * 3 + 0.1 * 5) / 0.5)
    assert mass == pytest.approx(0.5)
    assert shares == pytest.approx([0.2, 0.6, 0.2])


def test_choice_value_follows_the_values_not_the_places() -> None:
    logs = [math.log(0.7), math.log(0.3)]
    assert choice_value(logs, (1, 5))[0] == pytest.approx(2.2)
    assert choice_value(logs, (5, 1))[0] == pytest.approx(3.8)


def test_choice_value_survives_tiny_probabilities() -> None:
    value, mass, shares = choice_value([-2000.0, -2000.0], (1, 5))
    assert value == 3 and mass == 0 and shares == [0.5, 0.5]


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("A", 1), (" B", 2), ("(B)", 2), ("[C]", 3), ("D.", 4), ("E)", 5), ("**B**", 2), ("`B`", 2), ('"B"', 2),
        ("B\n", 2), ("B. Moderately Inaccurate", 2), ("(B) Moderately Inaccurate.", 2), ("B: moderately inaccurate", 2),
        ("B - Moderately Inaccurate", 2), ("Answer: C", 3), ("The answer is C.", 3), ("My answer: (C)", 3),
        ("Very Accurate", 5), ("very accurate.", 5), ("<think>Perhaps A? No.</think>\n\nD", 4),
        ("<reasoning>E\nE</reasoning>B", 2),
        ("E would be wrong, so</think>\n\nB", 2),
    ],
)  # fmt: skip
def test_replies_that_are_answers(reply: str, value: int) -> None:
    assert parse_reply(reply, FIVE, range(1, 6)) == ("valid", value)


@pytest.mark.parametrize(
    "reply",
    [
        "", " ", "C. Very Accurate", "A or B", "A B", "AB", "F", "a", "Accurate", "I think it is B", "Bob", "A. B. C.",
        "Between A and B", "3", "B, because I like parties", "A very social person", "Very Inaccurate or Very Accurate",
        "<think>A</think>",
    ],
)  # fmt: skip
def test_replies_that_are_none(reply: str) -> None:
    assert parse_reply(reply, FIVE, range(1, 6)) == ("unparsed", None)


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry, but I can't answer that.", "I am sorry, no.", "As an AI, I have no personality.", "I cannot say.",
        "I don't have feelings.", "I do not have personal opinions.", "I'm just a language model.", "I apologize.",
        "I’m sorry, but I can’t answer that.", "<think>C</think>I'm not able to choose.",
    ],
)  # fmt: skip
@pytest.mark.parametrize("labels", [FIVE, NINE])
def test_refusals(reply: str, labels: tuple[tuple[str, str], ...]) -> None:
    assert parse_reply(reply, labels, range(1, len(labels) + 1)) == ("refusal", None)


@pytest.mark.parametrize("reply", ["<think>The answer is A", "<think>I'm sorry, as an AI", "<THINKING>B\nA\n"])
@pytest.mark.parametrize("cut", [True, False])
def test_an_open_reasoning_block_is_truncated(reply: str, cut: bool) -> None:
    assert parse_reply(reply, FIVE, range(1, 6), cut) == ("truncated", None)


def test_an_answer_then_an_open_reasoning_block_is_no_answer() -> None:
    assert parse_reply("A <think>or", FIVE, range(1, 6)) == ("truncated", None)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("B. Moderately Ina", ("valid", 2)),
        ("B. Moderately Acc", ("truncated", None)),
        ("B", ("valid", 2)),
        ("Well, if I had to pick one of these I would", ("truncated", None)),
        ("I'm sorry, but as", ("refusal", None)),
        ("Very", ("truncated", None)),
    ],
)
def test_replies_cut_at_their_limit(reply: str, expected: tuple[str, int | None]) -> None:
    assert parse_reply(reply, FIVE, range(1, 6), truncated=True) == expected


def test_a_label_prefix_counts_only_where_the_reply_was_cut() -> None:
    assert parse_reply("B. Moderately Ina", FIVE, range(1, 6)) == ("unparsed", None)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("I", ("valid", 9)), ("I.", ("valid", 9)), ("I. Answer I", ("valid", 9)), ("I am outgoing", ("unparsed", None)),
     ("I - a social person", ("unparsed", None)), ("I, for one, agree", ("unparsed", None))],
)  # fmt: skip
def test_the_ninth_letter_is_also_a_word(reply: str, expected: tuple[str, int | None]) -> None:
    assert parse_reply(reply, NINE, range(1, 10)) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("1", ("valid", 1)), ("(5)", ("valid", 5)), ("2. Moderately Inaccurate", ("valid", 2)),
     ("3.5", ("unparsed", None)), ("10", ("unparsed", None)), ("1-2", ("unparsed", None)),
     ("2. Very Accurate", ("unparsed", None)), ("6", ("unparsed", None)), ("A", ("unparsed", None))],
)  # fmt: skip
def test_numbers(reply: str, expected: tuple[str, int | None]) -> None:
    assert parse_reply(reply, NUMBERS, range(1, 6)) == expected


def test_the_value_is_that_of_the_place() -> None:
    reverse = tuple(zip("ABCDE", ACCURACY[::-1], strict=True))
    assert parse_reply("A", reverse, range(5, 0, -1)) == ("valid", 5)
    assert parse_reply("A. Very Inaccurate", reverse, range(5, 0, -1)) == ("unparsed", None)
    assert parse_reply("Very Inaccurate", reverse, range(5, 0, -1)) == ("valid", 1)


def test_reasoning_is_left_out_as_by_the_definition_and_in_one_pass() -> None:
    """Beside the definition as regular expressions, over all short orders of tags; then the longest replies."""
    block = re.compile(r"<(think|reasoning)>.*?</\1>", re.S)
    pieces = ["A", "<think>", "</think>", "<reasoning>", "</reasoning>", "B"]
    for size in range(1, 6):
        for chosen in itertools.product(pieces, repeat=size):
            text = "".join(chosen)
            rest = re.split(r"</(?:think|reasoning)>", block.sub("", text))[-1]
            assert replies._answer(text) == (rest, re.search("<(think|reasoning)>", rest) is not None), text
    # Pairs of tags would take hours to try.
    assert parse_reply("<think>" * 300_000, FIVE, range(1, 6)) == ("truncated", None)
    assert parse_reply("<think>" * 300_000 + "</think>B", FIVE, range(1, 6)) == ("valid", 2)
