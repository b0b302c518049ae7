"""NPTI: planted neurons are found and move the answer; what is counted, chosen, imported, resumed and refused.

Over 300 lines: the search by writing and all that both searches share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from planted_neurons import PLANTED, build
from pydantic import ValidationError
from tiny_models import CONFIGS, tokenizer

from traitbench import controls, inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.errors import BadData, UnsupportedControl
from traitbench.inventories import text_hash
from traitbench.methods.bench import Bench
from traitbench.methods.npti import NPTI
from traitbench.methods.npti import search as npti_search
from traitbench.methods.npti.counting import Activity, Tally, choose, overlap
from traitbench.methods.npti.gamma import Reply, preference, preference_error
from traitbench.methods.npti.search import Asked, replies
from traitbench.methods.npti.sources import Neurons, Texts, draw, own, read_neurons, texts
from traitbench.methods.prompting import texts as prompting
from traitbench.statistics.quantiles import Bins
from traitbench.types import BIG_FIVE, TRAITS, Continue, Control, Doc, Message, Target, Write

TRAIT = "extraversion"
HIGH, LOW = (Target(levels={TRAIT: level}) for level in (1.0, -1.0))

# --- texts


def test_every_trait_has_questions_and_descriptions_of_both_poles() -> None:
    assert list(own()) == list(TRAITS)
    questions = [question for entry in own().values() for question in entry.questions]
    assert len(set(questions)) == len(questions) == 25 * len(TRAITS)
    for trait, entry in own().items():
        assert len(set(entry.high)) == len(set(entry.low)) == 6
        assert all(re.match(r"(You|Other|Hardly|Your|When|Riddles)\b", text) for text in entry.high + entry.low)
        assert not [q for q in entry.questions if re.search(trait[:8], q.lower())], "a question names its trait"
        assert len(draw(entry, 100, 8, "0").search) == 100


def test_our_texts_are_nobody_elses(request: pytest.FixtureRequest) -> None:
    ours = [text for entry in own().values() for text in (*entry.questions, *entry.high, *entry.low)]
    other = [e.question for entry in prompting().values() for e in entry.demo]
    other += [pole.behaviour for entry in prompting().values() for pole in (entry.high, entry.low)]
    taken = {text_hash(text) for text in other}
    for name in inventories.names():
        taken |= {item.text_hash for item in inventories.load(name, texts=False).items}
    said = [part for text in ours for part in (text, *re.split(r"(?<=[.?!]) ", text))]
    assert not [part for part in said if text_hash(part) in taken or text_hash(re.sub("^You ", "", part)) in taken]


def test_our_questions_are_not_those_of_personalitybench(shared: Path) -> None:
    rows = [line for path in shared.glob("data/personalitybench/test/*.json") for line in path.read_text().splitlines()]
    test = {text_hash(json.loads(row)["question"]) for row in rows}
    assert len(rows) == 459
    assert not [q for entry in own().values() for q in entry.questions if text_hash(q) in test]


def test_pairs_are_drawn_without_repetition_and_development_questions_are_kept_out() -> None:
    source = own()[TRAIT]
    drawn = draw(source, 60, 8, "extraversion 0")
    assert drawn == draw(source, 60, 8, "extraversion 0") != draw(source, 60, 8, "extraversion 1")
    assert len(set(drawn.search)) == 60 and len(drawn.development) == 8
    held = {pair.question for pair in drawn.development}
    assert not held & {pair.question for pair in drawn.search}
    assert len({pair.question for pair in drawn.search[:17]}) == 17, "all questions come before one comes again"
    halves = [{pair.question for pair in drawn.search if pair.half == half} for half in (0, 1)]
    assert not halves[0] & halves[1] and len(halves[0] | halves[1]) == 17
    assert len(draw(source, 10_000, 8, "0").search) == 17 * 6
    with pytest.raises(BadData, match="leave 1 to search"):
        draw(source, 10, 24, "0")


FORMS = {
    "strings": '["One?", "Two?"]',
    "objects": '[{"question": "One?"}, {"question": "Two?"}]',
    "lines": '{"question": "One?", "BFI": "Extraversion"}\n{"question": "x", "BFI": "Openness"}\n{"question": "Two?"}',
    "traits": '{"extraversion": ["One?", "Two?"], "openness": ["x"]}',
    "ours": '{"extraversion": {"questions": ["One?", "Two?"]}}',
}


@pytest.mark.parametrize("form", FORMS)
def test_questions_of_a_file(form: str, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(FORMS[form])
    found = texts(TRAIT, str(tmp_path / "q.json"))
    assert found.questions == ("One?", "Two?") and found.high == own()[TRAIT].high


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"openness": ["x"]}', "no question on extraversion"),
        ("[1, 2]", "no question"),
        ('[{"text": "x"}]', "no question"),
        ("{not json", "line 1"),
        (None, "cannot read"),
    ],
)
def test_questions_that_cannot_be_used(text: str | None, match: str, tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadData, match=match):
        texts(TRAIT, str(path))


def test_personalitybench_describes_the_poles_and_its_test_questions_are_refused(shared: Path, tmp_path: Path) -> None:
    found = texts(TRAIT, descriptions="personalitybench")
    assert len(found.high) == len(found.low) == 80 and found.questions == own()[TRAIT].questions
    with pytest.raises(BadData, match=r"(?s)search.Extraversion.json is missing.*descriptions=personalitybench"):
        texts(TRAIT, "personalitybench")
    with pytest.raises(BadData, match="describes no pole of narcissism"):
        texts("narcissism", descriptions="personalitybench")
    test = shared / "data" / "personalitybench" / "test" / "Extraversion.json"
    with pytest.raises(BadData, match=r"90 questions .* test questions of PersonalityBench"):
        texts(TRAIT, str(test))
    one = json.loads(test.read_text().splitlines()[0])["question"]
    (tmp_path / "q.json").write_text(json.dumps(["Mine?", one.upper() + " "]))
    with pytest.raises(BadData, match=r"1 questions .* contaminate"):
        texts(TRAIT, str(tmp_path / "q.json"))


# --- choosing neurons


def activity(
    share: list[list[float]], high: list[list[float]], halves: list[list[list[float]]] | None = None
) -> Activity:
    parts = np.array(halves if halves is not None else [share, share]) * 1000
    return Activity(parts.round().astype(np.int64), np.array([1000, 1000]), np.array(high, dtype=np.float32))


def places(found: Neurons) -> list[tuple[int, int]]:
    return list(zip(found.layer.tolist(), found.unit.tolist(), strict=True))


def test_neurons_are_chosen_as_by_hand() -> None:
    mine = activity([[0.9, 0.3, 0.5], [0.6, 0.2, 0.4]], [[1.0, 2.0, 0.0], [3.0, 0.5, 0.7]])
    other = activity([[0.2, 0.2, 0.1], [0.5, 0.2, 0.45]], [[1.0] * 3] * 2)
    found = choose(mine, other, 0.1, 0)
    assert places(found) == [(0, 0), (0, 1), (1, 0)], "0.3 - 0.2 is 0.1; the third of layer 0 has a quantile of 0"
    assert np.allclose(found.delta, [0.7, 0.1, 0.1]) and np.allclose(found.share, [0.9, 0.3, 0.6])
    assert np.allclose(found.high, [1, 2, 3]) and found.by_layer() == {"0": 2, "1": 1}
    assert places(choose(mine, other, 0.5, 0)) == [(0, 0)]
    assert places(choose(mine, other, 0.5, 2)) == [(0, 0), (0, 1)]
    assert len(choose(mine, other, 0.5, 99).layer) == 3, "delta must be above 0 at any rate"
    assert places(choose(other, mine, 0.04, 0)) == [(1, 2)]
    nothing = choose(mine, mine, 0.1, 5)
    assert len(nothing.layer) == 0 and nothing.by_layer() == {}


def test_a_half_of_the_questions_can_choose_differently() -> None:
    mine = activity([], [[1.0, 1.0]], [[[0.9, 0.1]], [[0.1, 0.9]]])
    other = activity([], [[1.0, 1.0]], [[[0.1, 0.1]], [[0.1, 0.1]]])
    assert places(choose(mine, other, 0.1, 0, half=0)) == [(0, 0)]
    assert places(choose(mine, other, 0.1, 0, half=1)) == [(0, 1)]
    assert len(choose(mine, other, 0.1, 0).layer) == 2


def neurons(*units: int, **values: list[float]) -> Neurons:
    n = len(units)
    rest = [np.array(values.get(key, [0.5] * n)) for key in ("delta", "share", "high")]
    return Neurons(np.zeros(n, np.int64), np.array(units, np.int64), *rest)


def test_overlap_and_what_chance_gives() -> None:
    found = overlap(neurons(1, 2, 3, 4), neurons(3, 4, 5), 24, 24)
    assert found == {
        "first": 4, "second": 3, "jaccard": 2 / 5, "jaccard_by_chance": 0.5 / 6.5, "share": 2 / 3,
        "share_by_chance": 0.5 / 3,
    }  # fmt: skip
    assert overlap(neurons(), neurons(3), 24, 24)["jaccard"] is None


# --- recording


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> HuggingFace:
    """A random Llama of three layers."""
    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return HuggingFace(resolve(str(folder)), device="cpu")


def ask(text: str, max_tokens: int = 12) -> Write:
    doc = Doc(task="t", scoring="generate", item=text, trait=TRAIT, facet=None, keyed=1)
    return Write(doc=doc, messages=(Message(role="user", content=text),), max_tokens=max_tokens)


TEXTS = ("I love the crowd.", "I make plans and answer, and then I worry again.", "Hm", "What is accurate?", "Why so?")


class Manual(NamedTuple):
    reply: list[int]
    gates: NDArray[np.float64]
    """(layers, tokens, width) at each token that is shown again."""


@torch.inference_mode()
def by_hand(backend: HuggingFace, request: Write, end: int | None) -> Manual:
    """Decode one prompt alone, without a cache, and compute each gate from the weights."""
    model, prompt = backend.model, list(backend.encode_prompt(request))
    said: list[int] = []
    while len(said) < request.max_tokens:
        token = int(model(torch.tensor([prompt + said]), use_cache=False).logits[0, -1].argmax())
        if token == end:
            break
        said.append(token)
    shown = said if len(said) < request.max_tokens else said[:-1]
    gates: list[NDArray[np.float64]] = []
    hooks = [
        layer.mlp.register_forward_pre_hook(
            lambda module, args: gates.append(torch.nn.functional.silu(args[0] @ module.gate_proj.weight.T)[0].numpy())
        )
        for layer in model.model.layers
    ]
    model(torch.tensor([prompt + shown]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return Manual(said, np.stack(gates)[:, len(prompt) :])


def test_only_written_tokens_are_counted_and_none_after_the_end(
    untrained: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(text) for text in TEXTS]
    free = [by_hand(untrained, request, None).reply for request in requests]
    # A token that ends some replies early and leaves others whole.
    end = max({t for reply in free for t in reply[1:]}, key=lambda t: len({r.index(t) if t in r else -1 for r in free}))
    monkeypatch.setattr(untrained.model, "generation_config", transformers.GenerationConfig(eos_token_id=[end]))
    alone = [by_hand(untrained, request, end) for request in requests]
    lengths = [len(manual.reply) for manual in alone]
    assert len(set(lengths)) > 1 and any(end in reply for reply in free), lengths

    tally = Tally(3, 48, Bins(), 2)
    assert replies(untrained, requests[:3], tally) == [m.reply for m in alone[:3]] == replies(untrained, requests[:3])
    assert replies(untrained, requests[3:], tally, [1, 1]) == [m.reply for m in alone[3:]]
    found = tally.activity(0.9)
    for half, part in enumerate((alone[:3], alone[3:])):
        gates = np.concatenate([manual.gates for manual in part], axis=1)
        assert found.tokens[half] == gates.shape[1]
        assert (found.positive[half] == (gates > 0).sum(axis=1)).all()
    every = np.concatenate([manual.gates for manual in alone], axis=1)
    true = np.quantile(every, 0.9, axis=1, method="inverted_cdf")
    expected = np.where(true >= 2.0**-10, true, 0.0)
    assert np.allclose(found.high, expected, rtol=1.02 * Bins().error, atol=1e-5) and (found.high > 0).any()
    assert np.allclose(found.share(), (every > 0).mean(axis=1))


def test_recording_changes_no_reply_and_leaves_no_hook(untrained: HuggingFace) -> None:
    requests = [ask(text) for text in TEXTS]
    plain = replies(untrained, requests)
    assert replies(untrained, requests, Tally(3, 48, Bins())) == plain == replies(untrained, requests)
    assert not [m for m in untrained.model.modules() if m._forward_hooks or m._forward_pre_hooks]


def test_a_model_that_says_nothing_is_an_error(untrained: HuggingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    every = transformers.GenerationConfig(eos_token_id=list(range(320)))
    monkeypatch.setattr(untrained.model, "generation_config", every)
    tally = Tally(3, 48, Bins())
    assert replies(untrained, [ask("Hm")], tally) == [[]]
    with pytest.raises(BadData, match=r"0 tokens to record .*ends its replies at once"):
        tally.activity(0.95)


def test_activations_that_are_not_finite_are_an_error() -> None:
    tally = Tally(1, 2, Bins())
    tally.take(0, torch.tensor([[1.0, float("nan")]]), torch.tensor([0]))
    with pytest.raises(BadData, match=r"layer 0 .* not finite"):
        tally.flush()


# --- a model with planted neurons


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("planted"))


class Place(NamedTuple):
    bench: Bench
    folder: Path
    told: list[str]


@pytest.fixture
def place(planted: Path, tmp_path: Path) -> Place:
    backend, told = HuggingFace(resolve(str(planted)), device="cpu"), list[str]()
    return Place(Bench(0, backend, tmp_path / "controls", tmp_path / "cache", told.append), tmp_path, told)


SMALL: dict[str, Any] = {
    "search": "generate",
    "dev": "questions",
    "questions_per_pole": 12,
    "max_tokens": 10,
    "threshold": 0.6,
    "least": 0,
    "max_perplexity": 1e9,
}


def fit(place: Place, target: Target = HIGH, **config: Any) -> Control:
    return NPTI(NPTI.Config(**{**SMALL, **config})).fit(target, place.bench)


def stored(control: Control) -> dict[str, dict[int, float]]:
    """Op -> unit -> value of layer 1; other layers must have none."""
    held = controls.arrays(control)
    assert {edit.layer for edit in control.edits} == {1} and {edit.site for edit in control.edits} == {"gate"}
    return {
        edit.op: dict(zip(held[edit.units or ""].tolist(), held[edit.tensor or ""].tolist(), strict=True))
        for edit in control.edits
    }


def leaning(place: Place, control: Control | None) -> float:
    """How much likelier the high words are than the low ones after a plain question, in nats a token."""
    doc = Doc(task="t", scoring="statement", item="x", trait=TRAIT, facet=None, keyed=1)
    question = (Message(role="user", content="How do you feel?"),)
    asked = [Continue(doc=doc, messages=question, text=" ".join(f"{p}{n}" for n in range(4, 9))) for p in "hl"]
    found = place.bench.ask(asked, control)
    return ((found[0].loglik or 0) - (found[1].loglik or 0)) / (found[0].tokens or 1)


@pytest.mark.parametrize(("target", "mine", "other", "sign"), [(HIGH, "high", "low", 1), (LOW, "low", "high", -1)])
def test_planted_neurons_are_found_and_move_the_answer(
    place: Place, target: Target, mine: str, other: str, sign: int
) -> None:
    control = fit(place, target, sweep="exhaustive")
    assert fit(place, target).fit.strength == control.fit.strength  # type: ignore[union-attr]
    held = stored(control)
    assert set(held["add"]) == PLANTED[mine] and set(held["clamp"]) == PLANTED[other]
    assert set(held["clamp"].values()) == {0.0} and min(held["add"].values()) > 0
    assert all(edit.positions == "answer" for edit in control.edits)
    assert control.fit is not None and control.fit.strength and control.fit.fitted_on == ()
    assert [p.strength for p in control.fit.curve] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert all(p.effect is not None and p.effect > 0.1 and p.perplexity for p in control.fit.curve)
    assert {e.strength for e in control.edits if e.op == "add"} == {control.fit.strength}
    shifts = [sign * (leaning(place, control.at(gamma)) - leaning(place, None)) for gamma in (0.5, 2.0)]
    assert 0.02 < shifts[0] < shifts[1]
    assert leaning(place, control.at(0)) == leaning(place, None)
    details = control.fit.details["traits"][TRAIT]
    assert details["neurons"] == {"high": {"1": 3}, "low": {"1": 2}} and details["delta"]["high"][0] > 0.6
    assert details["stability"]["high"]["jaccard"] == 1.0 > 0.1 > details["stability"]["high"]["jaccard_by_chance"]
    assert control.fit.parameters == 5 and control.fit.config["questions_per_pole"] == 12


def test_what_is_added_is_the_published_formula(place: Place) -> None:
    control, steep = fit(place, gamma=1.4), fit(place, gamma=1.4, slope=0.0)
    assert control.fit is not None and control.fit.curve == () and control.fit.strength == 1.4
    (lowest, highest), half = control.fit.details["traits"][TRAIT]["delta"]["high"], stored(steep)["add"]
    for unit, value in stored(control)["add"].items():
        # With a slope of 0 the sigmoid is one half, which leaves the quantile.
        weight = value / (2 * half[unit])
        assert (
            1 / (1 + np.exp(-10 * (lowest - 0.15))) - 1e-6 <= weight <= 1 / (1 + np.exp(-10 * (highest - 0.15))) + 1e-6
        )


def test_the_same_fit_again_asks_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(place)
    monkeypatch.setattr(npti_search, "replies", _refuse)
    monkeypatch.setattr(HuggingFace, "_write_batch", _refuse)
    again = fit(place)
    assert again.fit is not None and first.fit is not None
    assert again.hash == first.hash and again.fit.curve == first.fit.curve
    assert fit(place, LOW).hash != first.hash, "both poles come from the same search"
    with pytest.raises(AssertionError, match="asked"):
        fit(place, max_tokens=11)
    for path in place.bench.cache.glob("npti-*.safetensors"):
        path.write_bytes(b"damaged")
    with pytest.raises(AssertionError, match="asked"):
        fit(place)


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("the model was asked")


def test_a_killed_search_goes_on_at_the_next_pole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve questions in batches of two, six for each pole: the power fails in the second batch of the second pole."""
    real, calls = npti_search.replies, list[int]()

    def failing(limit: int) -> Callable[..., Any]:
        def go(*args: Any) -> Any:
            calls.append(1)
            if len(calls) > limit:
                raise KeyboardInterrupt
            return real(*args)

        return go

    monkeypatch.setattr(npti_search, "replies", failing(7))
    with pytest.raises(KeyboardInterrupt):
        fit(place, batch_size=2)
    assert len(list(place.bench.cache.glob("npti-*.safetensors"))) == 1
    calls.clear()
    monkeypatch.setattr(npti_search, "replies", failing(99))
    resumed = fit(place, batch_size=2)
    assert len(calls) == 6
    fresh = Place(Bench(0, place.bench.backend, place.folder / "b", place.folder / "c"), place.folder, [])
    assert fit(fresh, batch_size=2).hash == resumed.hash


def test_gamma_can_be_chosen_on_items_and_says_which(place: Place) -> None:
    control = fit(place, dev="items", gammas=(1.0, 2.0))
    items = {item.text_hash for item in place.bench.halves()[1] if item.trait == TRAIT}
    assert control.fit is not None and set(control.fit.fitted_on) == items and len(items) > 12
    assert [p.strength for p in control.fit.curve] == [1.0, 2.0]


def test_no_gamma_within_the_limit_is_strength_0_and_keeps_the_edits(place: Place) -> None:
    control = fit(place, max_perplexity=1e-9)
    assert control.fit is not None and control.fit.strength == 0 and len(control.edits) == 2
    assert not control.at(control.fit.strength).edits
    # What was chosen is what is stored: as it is read from disk it changes nothing, and clamps nothing.
    again = controls.read(place.bench.folder / control.hash)
    assert [e.strength for e in again.edits] == [0.0, 0.0] and {e.op for e in again.edits} == {"clamp", "add"}
    assert leaning(place, again) == leaning(place, None)
    assert leaning(place, again.at(2.0)) == leaning(place, fit(place, gamma=2.0)) != leaning(place, None)


def test_the_preference_and_its_error_by_hand() -> None:
    """The mean gain of the pole aimed at less that of the other; variances of both means add up, traits halve it."""
    replies = [Reply(t, f"s{n}", sign, "x") for t in ("extraversion", "openness") for n in range(3) for sign in (1, -1)]
    moved = np.random.default_rng(0).normal(size=len(replies))
    table = moved.reshape(2, 3, 2)
    assert preference(moved, replies) == pytest.approx((table[:, :, 0] - table[:, :, 1]).mean())
    sides = [[table[t, :, s] for s in (0, 1)] for t in (0, 1)]
    # Fewer than five of a side: one variance for both sides of a trait.
    pooled = [sum(((x - x.mean()) ** 2).sum() for x in mine) / 4 for mine in sides]
    assert preference_error(moved, replies) == pytest.approx(np.sqrt(sum(v * 2 / 3 for v in pooled)) / 2)
    assert preference_error(moved[:2], replies[:2]) is None


def test_gamma_on_held_out_replies_follows_the_same_rule(place: Place) -> None:
    some: dict[str, Any] = {"gammas": (0.5, 1.0, 2.0), "sweep": "exhaustive"}
    largest, weaker = (fit(place, within=within, **some).fit for within in (0.0, 50.0))
    assert largest is not None and weaker is not None and largest.strength is not None and weaker.strength is not None
    assert all(point.se is not None for point in largest.curve) and largest.details["chosen_on"] == "held-out replies"
    effects = {point.strength: point.effect or 0.0 for point in largest.curve}
    assert largest.strength == max(effects, key=effects.__getitem__)
    assert weaker.strength == min(gamma for gamma, effect in effects.items() if effect > 0) <= largest.strength
    for within, full in ((0.0, largest), (50.0, weaker)):
        halved = fit(place, within=within, gammas=(0.5, 1.0, 2.0)).fit
        assert halved is not None and halved.strength == full.strength


def test_a_share_of_the_raised_neurons_can_be_dropped(place: Place) -> None:
    whole, part = (stored(fit(place, gamma=1.0, legacy_dropout=share)) for share in (0.0, 0.34))
    assert len(part["add"]) == 2 and part["add"].items() < whole["add"].items() and part["clamp"] == whole["clamp"]
    assert fit(place, gamma=1.0, legacy_dropout=0.34).hash == fit(place, gamma=1.0, legacy_dropout=0.34).hash


def test_several_traits_are_added_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = {
        "extraversion": (neurons(1, 2, high=[1.0, 2.0]), neurons(7)),
        "openness": (neurons(2, 3, high=[4.0, 8.0]), neurons(1, 9)),
    }

    def found(self: Any, trait: str, *_: Any) -> Any:
        from traitbench.methods.npti import _Pair

        return _Pair(*lists[trait], {})

    monkeypatch.setattr(NPTI, "_neurons", found)
    control = fit(place, Target(levels={"extraversion": 1.0, "openness": 1.0}), gamma=1.0, slope=0.0)
    held = controls.arrays(control)
    assert [edit.op for edit in control.edits] == ["clamp", "add"], "first silenced, then raised"
    assert held["add.0.units"].tolist() == [1, 2, 3] and held["add.0"].tolist() == [0.5, 3.0, 4.0]
    assert held["clamp.0.units"].tolist() == [1, 7, 9]
    other = fit(place, Target(levels={"extraversion": 1.0, "openness": -1.0}), gamma=1.0, slope=0.0)
    assert controls.arrays(other)["add.0.units"].tolist() == [1, 2, 9]


# --- lists made elsewhere

LLAMA = (32, 14_336)


def test_the_published_lists_are_read_for_their_model_and_refused_for_others(shared: Path, place: Place) -> None:
    folder = shared / "data" / "npti_neurons"
    high = read_neurons(folder / "Conscientiousness_dict.json", *LLAMA, "llama3")
    low = read_neurons(folder / "Conscientiousness_reversed_dict.json", *LLAMA, "llama3")
    assert len(high.layer) == 10_278 and len(low.layer) == 16_997
    assert (high.delta[0], high.delta.min()) == (pytest.approx(0.50442, abs=1e-5), pytest.approx(0.1, abs=1e-5))
    assert (np.diff(high.delta) <= 0).all() and high.by_layer()["13"] == 489
    assert not set(places(high)) & set(places(low))
    with pytest.raises(BadData, match=r"layer 31 and neuron 1433\d; mine has 30 layers of 1536"):
        read_neurons(folder / "Conscientiousness_dict.json", 30, 1536, "mine")
    with pytest.raises(BadData, match="has 2 layers of 48"):
        fit(place, neurons=str(folder / "Conscientiousness_dict.json"), gamma=1.0)


ROW = [0, 3, 0.4, 0.5, 1.5]


@pytest.mark.parametrize(
    ("held", "match"),
    [
        ('{"0": [[0, 3, NaN, 0.5, 1.5]]}', "finite numbers"),
        ('{"0": [[0, 3, 0.4, 0.5, Infinity]]}', "finite numbers"),
        ({"0": [[0, 3, 0.4, 0.5]]}, "finite numbers"),
        ({"0": [[0, 3.5, 0.4, 0.5, 1]]}, "finite numbers"),
        ({"0": [[0, -3, 0.4, 0.5, 1]]}, "finite numbers"),
        ({"0": [[0, "3", 0.4, 0.5, 1]]}, "finite numbers"),
        ({"1": [ROW]}, "names another layer"),
        ({"0": [ROW, ROW]}, "twice"),
        ({"0": [[0, 48, 0.4, 0.5, 1]]}, "goes up to layer 0 and neuron 48"),
        ({"2": [[2, 0, 0.4, 0.5, 1]]}, "goes up to layer 2"),
        ([ROW], "no neuron list"),
        ({}, "no neuron list"),
        ("{", "expected a JSON file"),
    ],
)
def test_lists_that_are_refused(held: Any, match: str, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(held if isinstance(held, str) else json.dumps(held))
    with pytest.raises(BadData, match=match):
        read_neurons(path, 2, 48, "tiny")


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[dict[str, str]]:
    rows = {"neurons": [[1, unit, 0.9, 0.9, 2.0] for unit in PLANTED["high"]] + [[1, 40, 0.9, 0.9, 0.0]],
            "reversed": [[1, unit, 0.9, 0.9, 2.0] for unit in PLANTED["low"]]}  # fmt: skip
    for name, held in rows.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"1": held}))
    yield {name: str(tmp_path / f"{name}.json") for name in rows}


def test_imported_lists_work_without_a_search(
    place: Place, lists: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npti_search, "replies", _refuse)
    high, low = (fit(place, target, gamma=1.0, **lists) for target in (HIGH, LOW))
    value = 2.0 / (1 + np.exp(-7.5))
    assert stored(high)["add"] == pytest.approx(dict.fromkeys(PLANTED["high"], value)), "a q95 of 0 raises nothing"
    assert set(stored(high)["clamp"]) == PLANTED["low"] and set(stored(low)["add"]) == PLANTED["low"]
    assert leaning(place, low) < leaning(place, None) < leaning(place, high)
    assert high.fit is not None and high.fit.licence == "of the imported list"
    assert high.fit.find is None and high.fit.details["find"]["test"].startswith("not tested: the neurons were given")
    alone = fit(place, gamma=1.0, neurons=lists["neurons"])
    assert set(stored(alone)) == {"add"}
    with pytest.raises(BadData, match="reversed=FILE, which is not given"):
        fit(place, LOW, gamma=1.0, neurons=lists["neurons"])
    with pytest.raises(UnsupportedControl, match="of one trait"):
        fit(place, Target(levels={"extraversion": 1.0, "openness": 1.0}), **lists)


# --- what else is refused


def test_targets_and_settings_that_are_refused(place: Place) -> None:
    for target in (None, Target(levels={TRAIT: 0.5})):
        with pytest.raises(UnsupportedControl, match="aims at poles"):
            NPTI().fit(target, place.bench)
    with pytest.raises(UnsupportedControl, match="activations"):
        NPTI().fit(HIGH, Bench())
    with pytest.raises(ValidationError, match="dev_questions"):
        NPTI.Config(dev="questions", dev_questions=0)


def test_poles_that_no_neuron_tells_apart_are_an_error(place: Place) -> None:
    with torch.no_grad():
        place.bench.backend.model.model.layers[1].mlp.gate_proj.weight[sorted(PLANTED["high"] | PLANTED["low"])] = 0
    with pytest.raises(BadData, match=r"no neuron .* tells the poles"):
        fit(place, threshold=0.001, gamma=1.0)


def test_fewer_pairs_than_asked_for_are_told(place: Place, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps(list(own()[TRAIT].questions[:6])))
    fit(place, questions=str(tmp_path / "q.json"), dev_questions=2, questions_per_pole=50, gamma=1.0, max_tokens=4)
    assert any("24 pairs" in line for line in place.told)


def test_texts_refuse_an_empty_set() -> None:
    with pytest.raises(ValidationError):
        Texts(questions=(), high=("x",), low=("y",))
    assert set(BIG_FIVE) < set(own())
    assert Asked(ask("x"), 1).block == 1
