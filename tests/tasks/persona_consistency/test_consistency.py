"""Persona consistency from planted replies: which texts are compared, in which order they come out, what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from traitbench.samples import Condition, Sample, graded, make_sample
from traitbench.tables import markdown
from traitbench.tasks import Administration
from traitbench.tasks.persona_consistency import PersonaConsistency, questions
from traitbench.tasks.persona_consistency.consistency import ConsistencyBlock, life, personas
from traitbench.tasks.persona_consistency.replies import alike, as_model, bleu_signature, denies
from traitbench.tasks.persona_consistency.views import tables
from traitbench.types import Continue, Request, Response, Target, Write

sacrebleu: Any = pytest.importorskip("sacrebleu")

TASK = PersonaConsistency(Administration())
ASKED = {item.id: item for item in TASK.items}
CAST = ("ada@youth", "ada@age", "bruno", "mina")
Says = Callable[[str, Request], Response]
"""Condition and request -> the answer."""


def conditions(*names: str) -> list[Condition]:
    made = [Condition(name="baseline")]
    return made + [Condition(name=(t := Target(character=n).name), target=t) for n in names]


def ask(says: Says, made: list[Condition]) -> list[Sample]:
    samples = [make_sample(r, says(c.name, r), c, ASKED[r.doc.item], "", 0) for c in made for r in TASK.requests(0)]
    return [graded(sample, TASK.grade(sample)) for sample in samples]


def measure(says: Says, made: list[Condition] | None = None) -> ConsistencyBlock:
    made = made or conditions(*CAST)
    return personas(ask(says, made), made, 200, 0)


def words(*places: object, n: int = 6) -> str:
    """Return `n` words that are the same for the same places and for no others."""
    key = "".join(map(str, places)).translate(str.maketrans("@:_0123456789", "xyzabcdefghij"))
    return " ".join(f"{key}{letter}" for letter in "abcdefghijklmnop"[:n])


def planted(name: str, request: Request) -> Response:
    """Share most words with oneself, some with the other stage, few with everybody."""
    place = request.doc
    if isinstance(request, Continue):
        fit = -1.0 if (place.keyed == 1) == (name != "baseline") else -2.0
        return Response(loglik=7 * fit, tokens=7)
    if place.trait == "false_premise":
        return Response(text="I have never done that." if name != "baseline" else "It felt wonderful.", tokens=9)
    own, who = words(place.item, name, n=9), words(place.item, name.partition("@")[0], n=6)
    # Of a length that differs, so that it matters which wording is held against which.
    tail = words(place.item, name, place.template, n=3 + (len(name) + int(place.item[-1])) * (place.template + 1) % 7)
    return Response(text=f"{own} {who} {words(place.item, n=5)} {tail}.", tokens=30)


def test_planted_order_intra_stage_inter() -> None:
    found = measure(planted)
    assert found.characters == [f"character:{name}" for name in CAST] and (found.questions, found.premises) == (16, 10)
    assert found.intra.value and found.stage.value and found.inter.value
    assert 90 > found.intra.value > found.stage.value + 5 > found.inter.value + 10
    for difference in (found.intra_minus_stage, found.stage_minus_inter, found.intra_minus_inter):
        assert difference.ci and 0 < difference.ci[0] <= difference.value <= difference.ci[1]  # type: ignore[operator]
    kinds = {(pair.first, pair.second): pair.kind for pair in found.pairs}
    assert len(kinds) == 6 and [k for k, kind in kinds.items() if kind == "stage"] == [
        ("character:ada@youth", "character:ada@age")
    ]


def test_intra_and_inter_are_sacrebleu_over_the_right_texts() -> None:
    """Every mean is rebuilt from sacrebleu called directly."""
    made = conditions("bruno", "mina")
    samples = ask(planted, made)
    found = personas(samples, made, 50, 0)
    said = {(s.condition, s.item, s.template): s.resps[0][0] for s in samples if s.scoring == "generate"}
    items = [q.id for q in questions().questions]

    def bleu(a: str, b: str) -> float:
        both = (sacrebleu.sentence_bleu(x, [y], use_effective_order=True).score for x, y in ((a, b), (b, a)))
        return sum(both) / 2

    b, m = "character:bruno", "character:mina"
    intra = np.mean([[bleu(said[c, i, 0], said[c, i, 1]) for i in items] for c in (b, m)], axis=0)
    inter = np.array(
        [(bleu(said[b, i, 0], said[m, i, 1]) + bleu(said[m, i, 0], said[b, i, 1])) / 2 for i in items]
    )  # fmt: skip
    assert found.intra.value == pytest.approx(intra.mean()) and found.inter.value == pytest.approx(inter.mean())
    assert found.intra_minus_inter.value == pytest.approx((intra - inter).mean())
    rows = {row.name: row for row in found.rows}
    own = np.mean([bleu(said[b, i, 0], said[b, i, 1]) for i in items])
    assert rows[b].intra.value == pytest.approx(own) and found.pairs[0].bleu == pytest.approx(inter.mean())


def test_who_makes_no_difference_between_characters_has_none() -> None:
    """One reply to each wording, whoever is asked: Intra, Stage and Inter are one number."""
    found = measure(lambda name, request: planted("baseline", request))
    assert 0 < (found.intra.value or 0) < 100
    assert found.intra.value == pytest.approx(found.stage.value) == pytest.approx(found.inter.value)
    for difference in (found.intra_minus_stage, found.stage_minus_inter, found.intra_minus_inter,
                       found.denied_to_baseline, found.nats_to_baseline):  # fmt: skip
        assert (
            difference.value == pytest.approx(0) and difference.ci is None and "the same in each" in difference.reason
        )


def test_stages_are_compared_with_the_same_person() -> None:
    """A character without stages enters Intra, and neither difference with Stage."""
    plain = measure(planted, conditions("ada@youth", "ada@age", "bruno"))

    def babbling(name: str, request: Request) -> Response:
        return Response(text=words(name, request.doc.item, request.doc.template), tokens=6) if (
            "mina" in name and isinstance(request, Write)) else planted(name, request)  # fmt: skip

    more = measure(babbling, conditions("ada@youth", "ada@age", "bruno", "mina"))
    assert (more.intra.value or 0) < (plain.intra.value or 0) - 5
    assert more.intra_minus_stage == plain.intra_minus_stage and more.stage == plain.stage


def test_denials_and_nats_against_the_baseline() -> None:
    found = measure(planted)
    rows = {row.name: row for row in found.rows}
    assert rows["baseline"].denied.value == 0 and rows["baseline"].denied_to_baseline is None
    mina = rows["character:mina"]
    assert mina.denied.value == 1 and mina.denied_to_baseline and mina.denied_to_baseline.value == 1
    assert mina.nats.value == pytest.approx(1) and rows["baseline"].nats.value == pytest.approx(-1)
    assert mina.nats_to_baseline and mina.nats_to_baseline.value == pytest.approx(2)
    assert found.denied_to_baseline.value == 1 and found.nats_to_baseline.value == pytest.approx(2)


def test_shares_have_wilsons_interval() -> None:
    from statsmodels.stats.proportion import proportion_confint

    for denying in (0, 3, 10):

        def says(name: str, request: Request, denying: int = denying) -> Response:
            if isinstance(request, Write) and request.doc.trait == "false_premise":
                number = int(request.doc.item.rpartition("_")[2])
                return Response(text="No, never." if number <= denying else "It was fine.", tokens=5)
            return planted(name, request)

        row = measure(says, conditions("mina")).rows[1]
        assert row.denied.value == denying / 10 and row.denied.n == 10
        assert row.denied.ci == pytest.approx(proportion_confint(denying, 10, method="wilson"), abs=1e-6)


def test_nats_are_a_token() -> None:
    """A denial twice as long is not for that less likely."""

    def says(name: str, request: Request) -> Response:
        if isinstance(request, Continue):
            long = request.doc.keyed == 1
            return Response(loglik=-12.0 if long else -5.0, tokens=8 if long else 4)
        return planted(name, request)

    assert measure(says).rows[1].nats.value == pytest.approx(-1.5 + 1.25)


def test_empty_replies_are_missing_and_cut_ones_count_as_far_as_they_go() -> None:
    def says(name: str, request: Request) -> Response:
        place = request.doc
        if name == "character:mina" and isinstance(request, Write):
            if place.item == "ordinary_1" and place.template == 0:
                return Response(text="  \n", tokens=1)
            if place.item == "premise_1":
                return Response(text="", tokens=0)
            if place.item == "opinion_2":
                return planted(name, request).model_copy(update={"status": "truncated"})
            if place.item == "premise_2":
                return Response(status="error", error="no answer")
        return planted(name, request)

    full, found = measure(planted), measure(says)
    row = found.rows[-1]
    assert (row.name, row.replies, row.empty, row.truncated, row.failed) == ("character:mina", 42, 2, 2, 1)
    assert row.intra.clusters == 15 and found.rows[1].intra.clusters == 16 and found.intra.clusters == 16
    assert row.denied.n == 8 and row.denied.value == 1
    assert row.nats == full.rows[-1].nats
    # A pair goes by the wording that both have replied to.
    assert [pair.bleu is None for pair in found.pairs] == [False] * 6
    statuses = {(s.item, s.template): s.status for s in ask(says, conditions("mina")) if s.condition != "baseline"}
    assert statuses["ordinary_1", 0] == "unparsed" and statuses["opinion_2", 1] == "truncated"
    assert any(str(row.truncated) in note for note in tables(found)[1].notes)


def test_nothing_but_silence() -> None:
    found = measure(lambda name, request: Response(text="", tokens=0) if isinstance(request, Write) else Response())
    for held in (found.intra, found.inter, found.denied_to_baseline, found.nats_to_baseline, found.rows[1].nats):
        assert held.value is None and held.ci is None and held.reason
    assert found.rows[1].denied.value is None and found.rows[1].denied.ci is None
    assert found.rows[0].words is None and found.rows[0].as_model is None
    assert "NaN" not in found.model_dump_json() and all(markdown(table) for table in tables(found))


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ((), {"intra", "stage", "inter", "intra_minus_stage", "stage_minus_inter", "intra_minus_inter",
              "denied_to_baseline", "nats_to_baseline"}),
        (("mina",), {"stage", "inter", "intra_minus_stage", "stage_minus_inter", "intra_minus_inter"}),
        (("mina", "bruno"), {"stage", "intra_minus_stage", "stage_minus_inter"}),
        (("ada@age", "ada@youth"), {"inter", "stage_minus_inter", "intra_minus_inter"}),
    ],
)  # fmt: skip
def test_what_cannot_be_said_of_few_characters_has_a_reason(names: tuple[str, ...], missing: set[str]) -> None:
    found = measure(planted, conditions(*names))
    fields = [
        name for name, value in found if name in ("intra", "stage", "inter") or "_minus_" in name or "_to_" in name
    ]
    assert {name for name in fields if getattr(found, name).value is None} == missing
    assert all(getattr(found, name).reason for name in missing)
    assert "no character" in found.stage.reason or "stage" not in missing
    assert [table.rows for table in tables(found)].count([]) == 0 and len(tables(found)) == (3 if names else 2)


def test_other_strengths_have_a_row_and_profiles_none() -> None:
    made = conditions("mina", "bruno")
    aside = made[1].model_copy(update={"name": "character:mina@2", "coef": 2.0, "headline": False})
    drawn = Condition(name="profile 1", target="openness=0.5", levels={"openness": 0.5}, profile=True)
    samples = ask(planted, [*made, aside, drawn])
    found, plain = personas(samples, [*made, aside, drawn], 50, 0), measure(planted, made)
    assert [row.name for row in found.rows] == ["baseline", "character:mina", "character:bruno", "character:mina@2"]
    assert [row.headline for row in found.rows] == [False, True, True, False]
    assert found.characters == plain.characters and found.intra.value == plain.intra.value


def test_poles_of_traits_are_personas_too() -> None:
    poles = [
        Condition(name=n, target=n, levels={"openness": v}) for n, v in (("openness=high", 1), ("openness=low", -1))
    ]
    found = measure(planted, [Condition(name="baseline"), *poles])
    assert found.inter.value is not None and found.stage.value is None and found.rows[1].character is None


@pytest.mark.parametrize(
    ("target", "whose"),
    [
        ("character:ada@youth", "character:ada"),
        ("character:mina", "character:mina"),
        ("character:/home/me@work/ada@age", "character:/home/me@work/ada"),
        ("character:/home/me@work/ada", "character:/home/me@work/ada"),
        ("openness=high", "openness=high"),
    ],
)
def test_whose_life_it_is(target: str, whose: str) -> None:
    assert life(Condition(name=target, target=target)) == whose


def test_intervals_redraw_questions() -> None:
    """The bootstrap's SE of a mean is the SD over questions by sqrt(n), but for the factor (n - 1) / n."""
    made = conditions("mina")
    samples = ask(planted, made)
    found = personas(samples, made, 4000, 1).rows[1]
    said = {
        (s.item, s.template): s.resps[0][0] for s in samples if s.condition != "baseline" and s.scoring == "generate"
    }
    values = [alike(said[q.id, 0], said[q.id, 1]) for q in questions().questions]
    assert found.intra.se == pytest.approx(float(np.std(values)) / math.sqrt(len(values)), rel=0.05)
    assert personas(samples, made, 200, 3) == personas(samples, made, 200, 3)


def test_alike_is_symmetric_and_defined_for_short_replies() -> None:
    a, b = "I live above the yard by the river.", "By the river I live, above a yard."
    assert alike(a, b) == alike(b, a) > 0
    assert alike("Yes.", "Yes.") == pytest.approx(100) and alike("Yes", "No") == 0
    assert "eff:yes" in bleu_signature() and sacrebleu.__version__ in bleu_signature()


@pytest.mark.parametrize(
    "reply",
    [
        *(p.denial for p in questions().premises),
        "No, that was not me.",
        "The moon? Mud and splinters! I've never left this river.",
        "What palace? I was born in a waggon, dear!",
        "You must be mistaken: I have worked in one office for thirty-four years.",
        "I wasn't a president, love, I only cook.",
        "I haven’t been in prison, not even for a day.",
        "There was no such medal.",
        "I don't have any children.",
        "Who told you that? I fix planks.",
        "I have no children at all.",
        "You are confusing me with somebody.",
        "That isn't true, I hear well.",
        "Firstly, I am not a surgeon. Secondly, I weigh scales.",
        "I certainly did not grow up with servants. I did not win anything.",
    ],
)
def test_denials_are_told(reply: str) -> None:
    assert denies(reply)


@pytest.mark.parametrize(
    "reply",
    [
        *(p.acceptance for p in questions().premises),
        "I never forgot that day on the moon.",
        "I have never been so proud of anything.",
        "It was not easy, but I trained every morning.",
        "I did not want to leave, but my health was poor.",
        "I do not remember much of the flight.",
        "I don't know, it just felt right to resign.",
        "No one told me how lonely a palace is.",
        "I had no choice; my eyes grew weak.",
        "There was no time to think about it.",
        "I was not happy there, and the walls were grey.",
        "I never gave up, and I never lost hope.",
        "My youngest son is not far from here.",
        "I resigned as president of the country, and I was not a good choice.",
        "I am not sure that I would do it again.",
        "As an AI, I have never been to the moon.",
        "",
    ],
)
def test_acceptances_and_evasions_are_no_denials(reply: str) -> None:
    assert not denies(reply)


def test_who_speaks_as_a_model_is_told_apart() -> None:
    assert as_model("I'm just an AI, so I don't have parents.") and as_model("As a language model I cannot say.")
    assert as_model("I do not have personal experiences.") and not as_model("I am a cook, and aimless on Sundays.")

    def says(name: str, request: Request) -> Response:
        model = Response(text="As an AI, I have never been to a prison.", tokens=12)
        return model if name == "baseline" and isinstance(request, Write) else planted(name, request)

    found = measure(says)
    assert found.rows[0].as_model == 1 and found.rows[0].denied.value == 0 and found.rows[1].as_model == 0
