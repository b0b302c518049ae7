"""Verdicts of judges: what is one, what is none, and ten thousand made replies of which none is read wrongly."""

from __future__ import annotations

import re
import time
from collections import Counter
from random import Random

import pytest
from written_verdicts import RUBRIC, check, made, named

from traitbench.errors import UnknownName
from traitbench.statistics.verdicts import Verdict, parse_verdict


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("3", 3), (" 0\n", 0), ("5.", 5), ("**4**", 4), ("`2`", 2), ('"1"', 1), ("(3)", 3), ("[3]", 3), ("3/5", 3),
        ("3 / 5", 3), ("4 out of 5.", 4), ("(4/5)", 4), ("Score: 3", 3), ("**Score:** 3", 3), ("score = 3", 3),
        ("The score is 3.", 3), ("My overall rating: 2/5", 2), ("Final answer: 0", 0),
        ("I would rate this text a 4.", 4),
        ("I give it a 1", 1), ("4\nThe writer seeks company and talks to everybody.", 4),
        ("4\n\nI chose 4 since it fits.", 4),
        ("4/5\nFour it is: 4/5.", 4), ("<think>Perhaps 2? No.</think>\n\n3", 3), ("2, or 4?</think>3", 3),
        ("<THINKING>5</thinking> 1 <reasoning>2</reasoning>", 1), ("3\r\nIn part.", 3),
    ],
)  # fmt: skip
def test_replies_that_are_numbers(reply: str, value: int) -> None:
    assert parse_verdict(reply) == Verdict("valid", value)


@pytest.mark.parametrize(
    "reply",
    [
        "", " ", "\n", "three", "Three.", "3.5", "3,5", "3.0", ".5", "-3", "−3", "- 3", "+3", "03", "6", "10", "33",
        "3 3",
        "3 or 4", "3-4", "3–4", "3 to 4", "2/4", "3/10", "3 out of 10", "3/5/7", "3/", "1e0", "3rd", "#3", "3%",
        "~3", "<3",
        "3?", "3,", "3:", "3 stars", "½", "3½", "3²", "３", "٣", "三", "III", "3\n4", "3\nor rather four",
        "3\nSo one is unsure.",
        "3\n.5", "3\r.5", "3\x0b.3", "3\n3.5", "3\n3/10", "3\nNo, three and a half.", "3\n-3", "3\n٤", "3\n一",
        "Score: 3 Score: 4",
        "Score: 3\nScore: 4", "3. in part", "3: in part", "Scale 0-5\n3", RUBRIC, f"{RUBRIC}\n3", f"3\n{RUBRIC}",
        "2*2",
        "0_3", "The text mentions 3 friends", "3 because it fits", "Rate: 3", "Score: 3, confidence: 5",
        "<think>3</think>",
        "3<think>4</think>4", "cannot tell, maybe 3", "cannot tell\nIf pressed, 3", "3\u200b5",
    ],
)  # fmt: skip
def test_replies_that_are_none(reply: str) -> None:
    assert parse_verdict(reply) == Verdict("unparsed")


@pytest.mark.parametrize("reply", ["cannot tell", "Cannot tell.", "I can't tell", "My answer: cannot tell",
"I can’t tell.",
                                   "**Cannot tell**\nThe text is about the weather."])  # fmt: skip
def test_cannot_tell_is_an_answer(reply: str) -> None:
    assert parse_verdict(reply) == Verdict("valid", None, True)


@pytest.mark.parametrize(
    "reply", ["I'm sorry, but I can't rate people.", "As an AI, I have no view.", "3\nAs an AI, no."]
)
def test_refusals(reply: str) -> None:
    assert parse_verdict(reply) == Verdict("refusal")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("3", Verdict("truncated")), ("3\nThe wri", Verdict("valid", 3)), ("3\nThe 4", Verdict("truncated")),
        ("Let me see", Verdict("truncated")), ("cannot tell", Verdict("truncated")), ("I'm sorry, as an",
        Verdict("refusal")),
    ],
)  # fmt: skip
def test_a_reply_that_was_cut_may_have_gone_on(reply: str, expected: Verdict) -> None:
    assert parse_verdict(reply, truncated=True) == expected


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("reply", ["<think>It is 3", "3 <think>or", "<think>a</think>3<reasoning>"])
def test_an_open_reasoning_block_is_truncated(reply: str, cut: bool) -> None:
    assert parse_verdict(reply, truncated=cut) == Verdict("truncated")


def test_the_scale_decides() -> None:
    assert parse_verdict("7", high=10).value == 7 and parse_verdict("7/10", high=10).value == 7
    assert parse_verdict("3/5", high=10).value is None and parse_verdict("0", low=1).value is None
    assert parse_verdict("12", low=0, high=100).value == 12 and parse_verdict("1*2", high=100).value is None
    for low, high in ((5, 0), (-2, 2), (3, 3)):
        with pytest.raises(UnknownName, match="low < high"):
            parse_verdict("3", low, high)


@pytest.mark.parametrize(
    "piece",
    ["<think>", "</think>", "<think></think>", "3", "3 ", "3\n", "the ", "my score is ", "i ", "( ", "*", "'",
    "as an ",
     "i'm i'm ", "-", "٣", "<", "cannot ", "<think", "</reasoning><"],
)  # fmt: skip
def test_the_time_grows_with_the_length(piece: str) -> None:
    """Twenty times as long may take sixty times as long; a quadratic step would take four hundred."""

    def seconds(text: str) -> float:
        begun = time.perf_counter()
        parse_verdict(text)
        return time.perf_counter() - begun

    short, long = piece * (8_000 // len(piece)), piece * (160_000 // len(piece))
    assert min(seconds(long) for _ in range(3)) < 60 * min(seconds(short) for _ in range(5)) + 0.02


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", {3}), ("3/5", {3}), ("3/4", {3, "/4"}), ("-3", {"-3"}), ("3.5", {"3.5", ".5"}), ("three of 4.", {3, 4}),
    ("03", {"03"}),
     ("a half", {"half"}), ("4 out of 5", {4}), ("٣", {"٣"}), ("often", set())],
)  # fmt: skip
def test_the_oracle(text: str, numbers: set[int | str]) -> None:
    assert named(text, 5) == numbers


def test_ten_thousand_replies_and_never_a_wrong_number() -> None:
    rng, seen, misread = Random(0), Counter[int | str](), 0
    for _ in range(10_000):
        reply = made(rng.choice, lambda most: rng.randint(0, most))
        found = check(*reply)
        seen[found.status if found.value is None else found.value] += 1
        first = re.search(r"\d", reply.said)
        misread += first is not None and named(reply.said, reply.high) != {int(first[0])}
    assert all(seen[value] >= 50 for value in range(6)), seen
    assert seen["valid"] >= 10 and seen["unparsed"] >= 3000, "the first are those that cannot tell"
    assert misread > 5000, "who takes the first digit is wrong about most of them"
