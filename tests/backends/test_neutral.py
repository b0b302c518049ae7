"""Neutral prose: its texts, its requests and its perplexity."""

from __future__ import annotations

import math
import re

import pytest

from traitbench import inventories
from traitbench.backends.neutral import passages, perplexity, requests
from traitbench.errors import BadData
from traitbench.methods.prompting import texts
from traitbench.types import TRAITS, Response


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z'-]+", text.lower()))


def test_passages_are_sixteen_of_a_size_and_without_a_speaker() -> None:
    assert len(passages()) == len(set(passages())) == 16
    for passage in passages():
        assert 25 <= len(passage.split()) <= 45, passage
        assert passage.endswith(".") and passage == passage.strip()
        assert not words(passage) & {"i", "me", "my", "mine", "myself", "we", "our", "us", "you", "your"}, passage


def test_no_passage_speaks_of_personality() -> None:
    said = {word for passage in passages() for word in words(passage)}
    poles = [pole for entry in texts().values() for pole in (entry.high, entry.low)]
    adjectives = {word.lower() for pole in poles for word in (pole.head, *pole.adjectives)}
    assert len(adjectives) > 100 and not said & adjectives
    assert not said & {*TRAITS, "person", "people", "personality", "character", "feel", "mood"}


def test_no_passage_holds_an_item() -> None:
    prose = " ".join(passages()).lower()
    items = [item.text for item in inventories.load("ipip_neo_300").items if item.text]
    assert len(items) == 300 and not [text for text in items if text.lower().rstrip(".") in prose]


def test_requests_share_one_prompt_and_name_each_passage() -> None:
    asked = requests()
    assert [request.text for request in asked] == list(passages())
    assert len({request.conversation(None) for request in asked}) == 1
    assert len({request.doc.item for request in asked}) == 16
    assert {request.doc.scoring for request in asked} == {"statement"}


def test_perplexity_weighs_tokens_alike() -> None:
    given = [Response(loglik=-10.0, tokens=4), Response(loglik=-6.0, tokens=2)]
    assert perplexity(given) == pytest.approx(math.exp(16 / 6), rel=1e-12)
    assert perplexity(given) != pytest.approx((math.exp(10 / 4) + math.exp(3)) / 2, rel=1e-2)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary() -> None:
    given = [Response(loglik=-n * math.log(320), tokens=n) for n in (3, 50, 7)]
    assert perplexity(given) == pytest.approx(320, rel=1e-12)


@pytest.mark.parametrize("loglik", [-math.inf, math.nan, -1e9])
def test_a_model_that_broke_down_is_infinitely_perplexed_in_a_finite_number(loglik: float) -> None:
    found = perplexity([Response(loglik=-1.0, tokens=1), Response(loglik=loglik, tokens=1)])
    assert math.isfinite(found) and found > 1e300


@pytest.mark.parametrize(
    "given",
    [[], [Response(loglik=-1.0, tokens=2), Response(status="error", error="out of memory")], [Response(tokens=3)]],
)
def test_a_missing_likelihood_is_an_error(given: list[Response]) -> None:
    with pytest.raises(BadData, match="expected"):
        perplexity(given)
