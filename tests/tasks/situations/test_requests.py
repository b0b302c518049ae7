"""What the task asks, and what an answer is worth."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest

from traitbench.errors import UnsupportedControl
from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.tasks import Administration, load
from traitbench.tasks.administration import TEMPLATES
from traitbench.tasks.situations import Situations
from traitbench.tasks.situations.asking import MAX_TOKENS, WORDINGS
from traitbench.types import BIG_FIVE, Choose, Continue, Response, Write

GRID = Administration(
    scoring=("choice", "statement", "generate"), symbols=("letters", "numbers"), templates=2, repeats=2, limit=10
)


@pytest.fixture(scope="module")
def task() -> Situations:
    return Situations(GRID)


def test_it_is_a_task_by_name() -> None:
    (found,) = load("situations", Administration())
    assert isinstance(found, Situations) and found.traits == BIG_FIVE
    assert found.original == len(found.items) >= 240 and found.about.licence == "CC0-1.0"
    assert {pair.split for pair in found.items} == {"test"}
    dev = Situations(Administration(), split="dev")
    assert {pair.split for pair in dev.items} == {"dev"} and len(dev.items) == 90
    assert not {p.text_hash for p in dev.items} & {p.text_hash for p in found.items}


def test_every_cell_of_the_grid_is_a_request_of_its_own(task: Situations) -> None:
    requests = task.requests(0)
    # a wording: two replies weighed; choice by symbols and orders; written twice
    assert len(requests) == 10 * 2 * (2 + 2 * 2 + 2)
    assert len({r.doc for r in requests}) == len({r.model_dump_json(exclude={"doc"}) for r in requests}) == 160
    assert task.requests(0) == requests and task.requests(1) != requests
    assert {r.doc.trait for r in requests} == set(BIG_FIVE) and all(r.doc.facet for r in requests)


def test_there_is_a_wording_for_every_template() -> None:
    assert len(WORDINGS) == len(TEMPLATES)
    for wording in WORDINGS:
        assert wording.open.count("{situation}") == wording.choice.count("{situation}") == 1
        assert wording.choice.count("{options}") == wording.choice.count("{symbol}") == 1
    assert len({w.open for w in WORDINGS}) == len({w.choice for w in WORDINGS}) == len(WORDINGS)


def test_both_replies_stand_behind_one_prompt_and_next_to_each_other(task: Situations) -> None:
    weighed = [r for r in task.requests(0) if isinstance(r, Continue)]
    pairs = {pair.id: pair for pair in task.items}
    for high, low in zip(weighed[::2], weighed[1::2], strict=True):
        pair = pairs[high.doc.item]
        assert (high.messages, high.cue) == (low.messages, low.cue)
        assert (high.doc.keyed, low.doc.keyed, high.doc.item) == (1, -1, low.doc.item)
        assert (high.text, low.text) == (pair.high, pair.low)
        assert pair.situation in high.messages[0].content
        assert pair.high not in high.messages[0].content and pair.low not in high.messages[0].content


def test_reverse_order_turns_the_replies_and_the_values(task: Situations) -> None:
    pairs = {pair.id: pair for pair in task.items}
    cells: dict[Any, dict[Any, Choose]] = defaultdict(dict)
    for request in task.requests(0):
        if isinstance(request, Choose):
            cells[request.doc.model_copy(update={"order": None})][request.doc.order] = request
    assert len(cells) == 10 * 2 * 2
    for place, both in cells.items():
        pair, (forward, reverse) = pairs[place.item], (both["forward"], both["reverse"])
        assert (forward.values, reverse.values) == ((0, 1), (1, 0)) and forward.options == reverse.options
        at = [forward.messages[0].content.index(reply) for reply in (pair.high, pair.low)]
        turned = [reverse.messages[0].content.index(reply) for reply in (pair.high, pair.low)]
        assert (at[0] > at[1]) == (turned[0] < turned[1]) == (place.keyed == 1) == (pair.keyed == 1)
        assert forward.messages[0].content.endswith(WORDINGS[place.template].choice.partition("{options}")[2].format(
            symbol="letter" if place.symbols == "letters" else "number"
        ))  # fmt: skip


def test_the_length_of_a_reply_is_the_users() -> None:
    def lengths(**given: Any) -> set[int]:
        task = Situations(Administration(scoring=("generate",), limit=3, **given))
        return {r.max_tokens for r in task.requests(0) if isinstance(r, Write)}

    assert lengths() == {MAX_TOKENS} == {64} and lengths(max_tokens=16) == {16}


def test_simulated_respondents_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedControl, match="--respondents 20: situations asks the model as itself"):
        Situations(Administration(respondents=20))


def answered(task: Situations, place: int, kind: type, response: Response, **where: Any) -> Sample:
    """The sample of the first request of a kind that fits."""
    item = task.items[place]
    request = next(
        r for r in task.requests(0)
        if isinstance(r, kind) and r.doc.item == item.id and all(getattr(r.doc, k) == v for k, v in where.items())
    )  # fmt: skip
    sample = make_sample(request, response, Condition(name="baseline"), item, "", 0)
    return graded(sample, task.grade(sample))


def test_a_choice_is_worth_the_probability_of_the_high_reply(task: Situations) -> None:
    place = {pair.keyed: n for n, pair in reversed(list(enumerate(task.items)))}
    said = Response(option_logprobs=(math.log(0.6), math.log(0.2)))
    for keyed, order, high in (
        (1, "forward", 0.25),
        (1, "reverse", 0.75),
        (-1, "forward", 0.75),
        (-1, "reverse", 0.25),
    ):
        found = answered(task, place[keyed], Choose, said, order=order)
        assert found.value_keyed == pytest.approx(high) and found.option_mass == pytest.approx(0.8)
        assert found.value_raw == pytest.approx(high if keyed == 1 else 1 - high)


def test_where_too_little_was_shown_a_choice_is_missing(task: Situations) -> None:
    said = Response(option_logprobs=(math.log(0.4), None), option_bounds=(math.log(0.4), math.log(0.1)))
    found = answered(task, 0, Choose, said)
    assert (found.status, found.value_raw, found.value_keyed) == ("unseen", None, None)


def test_a_weighed_reply_is_worth_its_nats_a_token(task: Situations) -> None:
    found = answered(task, 0, Continue, Response(loglik=-30.0, tokens=12))
    assert (found.value_raw, found.value_keyed) == (-2.5, None)
    assert answered(task, 0, Continue, Response(status="error", error="gone")).value_raw is None


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (Response(text="I would say hello.", tokens=5), "valid"),
        (Response(text="I would say", tokens=64, status="truncated"), "truncated"),
        (Response(text=" \n", tokens=1), "empty"),
        (Response(status="error", error="gone"), "error"),
    ],
)
def test_a_written_reply_has_a_status_and_no_value(task: Situations, response: Response, status: str) -> None:
    found = answered(task, 0, Write, response)
    assert (found.status, found.value_raw) == (status, None)
