"""Answers to values to scores, against hand-made numbers; the keying of real respondents."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench import inventories
from traitbench.samples import Sample
from traitbench.tasks.scoring import choice_value, item_values, parse_reply, scale_scores

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


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """Five items of extraversion on a scale of 1 to 5, three of them plus; two of neuroticism, both plus."""
    keys = [("E", 1), ("E", -1), ("E", 1), ("E", -1), ("E", 1), ("N", 1), ("N", 1)]
    words = ("hum", "run", "sing", "walk", "talk", "fret", "frown")
    content = {
        "id": "own", "licence": "CC0", "citation": "Us (2025).", "statement": {"prefix": ""},
        "scales": {"E": "extraversion", "N": "neuroticism"},
        "response_scale": {"min": 1, "max": 5, "labels": ACCURACY},
        "items": [{"id": f"x{i}", "text": f"I {words[i]}", "scale": s, "keyed": k} for i, (s, k) in enumerate(keys)],
    }  # fmt: skip
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    return inventories.load(path)


def sample(item: str, status: str, value: float | None) -> Sample:
    return Sample(
        doc_id=0, doc={}, arguments=[], resps=[], filtered_resps=[], doc_hash="", prompt_hash="", task="own",
        condition="baseline", scoring="choice", item=item, trait="extraversion", keyed=1, template=0, repeat=0, seed=0,
        status=status, value_raw=value,
    )  # type: ignore[arg-type]  # fmt: skip


def test_item_values_average_the_valid_answers_only(own: Any) -> None:
    rows = [sample("x0", "valid", 4.0), sample("x0", "valid", 5.0), sample("x0", "refusal", None),
            sample("x1", "unparsed", None), sample("x2", "valid", 0.0)]  # fmt: skip
    assert item_values(rows, own.items)[:3] == pytest.approx([4.5, np.nan, 0.0], nan_ok=True)
    assert np.isnan(item_values(rows, own.items)[3:]).all()


def test_scale_scores_reverse_once(own: Any) -> None:
    raw = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 2.0, 2.0])
    extraversion, neuroticism = scale_scores(raw, own, own.items, "choice")
    assert extraversion.value == pytest.approx((5 + 5 + 4 + 4 + 3) / 5)
    assert (extraversion.plus, extraversion.minus) == (pytest.approx(4.0), pytest.approx(4.5))
    assert extraversion.pomp == pytest.approx(100 * (4.2 - 1) / 4)
    assert (neuroticism.value, neuroticism.pomp, neuroticism.minus) == (2.0, 25.0, None)
    assert own.reverse(2.0) == 4.0


def test_missing_items_are_never_filled_in(own: Any) -> None:
    raw = np.array([5.0, np.nan, 4.0, np.nan, 3.0, np.nan, np.nan])
    extraversion, neuroticism = scale_scores(raw, own, own.items, "generate")
    assert (extraversion.value, extraversion.n, extraversion.unscored, extraversion.minus) == (4.0, 3, 2, None)
    assert (neuroticism.value, neuroticism.n, neuroticism.unscored) == (None, 0, 2)
    assert neuroticism.se is None and neuroticism.ci is None and neuroticism.pomp is None


def test_short_scales_carry_a_note(own: Any) -> None:
    assert "fewer than 8" in scale_scores(np.full(7, 3.0), own, own.items, "choice")[0].note
    full = inventories.load("ipip_50")
    assert {score.note for score in scale_scores(np.full(50, 3.0), full, full.items, "choice")} == {""}


def test_statement_is_the_mean_of_the_key_halves(own: Any) -> None:
    """Everything becomes likelier by 0.5 nats (agreement as such): it must cancel, though plus items are more."""
    before = np.array([-3.0, -2.0, -4.0, -3.0, -2.0, -3.0, -3.0])
    shift = np.array([0.6, -0.2, 0.8, -0.4, 1.0, 0.1, 0.3])
    score = scale_scores(before + shift + 0.5, own, own.items, "statement", before)[0]
    plus, minus = np.array([0.6, 0.8, 1.0]) + 0.5, -(np.array([-0.2, -0.4]) + 0.5)
    assert score.plus == pytest.approx(plus.mean()) and score.minus == pytest.approx(minus.mean())
    assert score.value == pytest.approx((0.8 + 0.3) / 2)
    variance = (((plus - plus.mean()) ** 2).sum() + ((minus - minus.mean()) ** 2).sum()) / (5 - 2)
    assert score.se == pytest.approx(math.sqrt(variance * (0.25 / 3 + 0.25 / 2)))
    assert score.d == pytest.approx(0.55 / math.sqrt(variance))
    assert score.pomp is None


def test_statement_has_no_level_without_a_reference(own: Any) -> None:
    score = scale_scores(np.full(7, -3.0), own, own.items, "statement")[0]
    assert score.value is None and score.unscored == 0
