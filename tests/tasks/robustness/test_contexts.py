"""What the contexts are: texts of equal length, prefixes that are shared, wrong names that are refused."""

from __future__ import annotations

from itertools import groupby

import pytest
from said import Say

from traitbench.errors import UnknownName, UnsupportedControl
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.tasks import Administration, load
from traitbench.tasks.robustness.contexts import PLAIN, TURNS, chosen, contexts
from traitbench.types import Choose, Continue, Message

RUNGS = ["claim", "authority", "social_proof", "flattery", "persistence"]


def words(turns: tuple[Message, ...], role: str = "user") -> list[int]:
    return [len(turn.content.split()) for turn in turns if turn.role == role]


def test_a_rung_and_its_replay_are_of_one_length_and_begin_alike() -> None:
    every = contexts()
    assert [c.name for c in every.values() if c.kind == "pressure"] == RUNGS
    for step, name in enumerate(RUNGS, 1):
        pressed, after = every[name], every[f"after-{name}"]
        for context, turns in ((pressed, step), (after, step + 1)):
            replay = every[context.replay or ""]
            assert replay.kind == "calm" and len(context.turns) == len(replay.turns) == 2 * turns
            for mine, theirs in zip(words(context.turns), words(replay.turns), strict=True):
                assert abs(mine - theirs) <= 2, name
            # What the other side says is the same everywhere.
            assert {t.content for t in (*context.turns, *replay.turns) if t.role == "assistant"} == {
                every["claim"].turns[1].content
            }
        assert after.turns[: 2 * step] == pressed.turns
    assert every["drift-8"].turns[:4] == every["drift-2"].turns and [every[f"drift-{k}"].step for k in TURNS] == [
        *TURNS
    ]


def test_no_context_names_a_trait_or_borrows_an_item() -> None:
    (task,) = load("robustness", Administration())
    said = " ".join(turn.content.lower() for c in contexts().values() for turn in c.turns)
    assert not [trait for trait in task.traits if trait in said]
    assert not [item.id for item in task.items if (item.text or "").lower().rstrip(".") in said]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("now",), [PLAIN, "now"]),
        (("drift",), [PLAIN, "drift-1", "drift-2", "drift-4", "drift-8"]),
        (("claim",), [PLAIN, "calm-1", "calm-2", "claim", "after-claim"]),
        (("after-claim",), [PLAIN, "calm-2", "after-claim"]),
    ],
)
def test_a_context_brings_what_it_is_held_against(names: tuple[str, ...], expected: list[str]) -> None:
    assert [context.name for context in chosen(names, "statement")] == expected


def test_a_context_of_another_scoring_mode_is_refused() -> None:
    assert [context.name for context in chosen(("reversed",), "choice")] == [PLAIN, "reversed"]
    with pytest.raises(UnsupportedControl, match="--contexts reversed is asked in choice scoring alone"):
        chosen(("now", "reversed"), "statement")


def test_requests_share_what_precedes_the_items() -> None:
    (task,) = load("robustness", Administration(scoring=("statement",)))
    asked = task.requests(0)
    assert len(asked) == 23 * 20 and all(isinstance(request, Continue) for request in asked)
    runs = [(context, len(list(mine))) for context, mine in groupby(asked, key=lambda r: r.doc.context)]
    assert len(runs) == 23 and {count for _, count in runs} == {20}
    for _, mine in groupby(asked, key=lambda r: r.doc.context):
        assert len({request.messages for request in mine}) == 1
    by = {request.doc.context: request for request in asked}
    assert by["now"].messages[0].content == f"Answer as yourself now. {by[PLAIN].messages[0].content}"
    assert by["template"].messages != by[PLAIN].messages and by["template"].doc.template == 1
    assert by["drift-2"].messages[-1] == by[PLAIN].messages[-1] and len(by["drift-2"].messages) == 5


def test_turned_options_are_a_context_of_choice() -> None:
    (task,) = load("robustness", Administration(scoring=("choice",), contexts=("reversed",)))
    plain, turned = task.requests(0)[0], task.requests(0)[20]
    assert isinstance(plain, Choose) and isinstance(turned, Choose)
    assert (plain.doc.order, turned.doc.order) == ("forward", "reverse") and plain.values == turned.values[::-1]


def test_wrong_ones_are_refused_before_anything_is_asked(say: Say) -> None:
    with pytest.raises(UnknownName, match="unknown context 'drift-3'; did you mean 'drift-"):
        prepare(Plan(tasks=("robustness",), contexts=("drift-3",)))
    with pytest.raises(UnsupportedControl, match="statement or choice, and reads no written"):
        prepare(Plan(tasks=("robustness",), scoring=("generate",)))
    with pytest.raises(UnsupportedControl, match="--target characters: robustness asks what is left of an effect"):
        prepare(Plan(tasks=("robustness",), method="prompting", target="characters"))
    found = say("run --model scripted:person --tasks robustness --contexts flatery")
    assert found.code == 2 and "did you mean 'flattery'" in found.err
    assert "--contexts" in say("ls tasks robustness").out and "--contexts" not in say("ls tasks mini_ipip").out


def test_what_has_no_contexts_is_asked_and_named_as_before() -> None:
    """The digest of a plan, the keys of responses and the lines of samples know nothing of contexts that are not."""
    (request, *_) = load("mini_ipip", Administration())[0].requests(0)
    assert {"context", "evidence"}.isdisjoint(request.doc.model_dump())
    assert "contexts" not in Administration().model_dump() and "contexts" not in Plan().model_dump()
