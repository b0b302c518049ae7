"""Residual steering: a planted direction is found and moves statements, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.prompting import Prompting
from traitbench.methods.residual import QUESTIONS, Residual, contrast
from traitbench.types import Control, Doc, Message, Target, Write

WIDTH, LAYERS = 32, 3
TRAIT = "extraversion"
HIGH, LOW = (Target(levels={TRAIT: level}) for level in (1.0, -1.0))
MANY: dict[str, Any] = {"strengths": (1.0, 2.0, 4.0), "max_perplexity": 1e6, "within": 0.0}


def fit(bench: Bench, target: Target | str, **config: Any) -> Control:
    parsed = Target.parse(target) if isinstance(target, str) else target
    return Residual(Residual.Config(**config)).fit(parsed, bench)


def cosine(a: Any, b: Any) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def added(control: Control) -> dict[int, Any]:
    held = controls.arrays(control)
    return {e.layer: held[e.tensor] for e in control.edits if e.tensor is not None}


def test_contrast_is_the_difference_of_means_of_plain_forward_passes(bench: Bench) -> None:
    backend, means = bench.backend, []
    for target in (HIGH, LOW):
        persona = Prompting().fit(target, bench).messages
        states = []
        for question in QUESTIONS:
            doc = Doc(task="t", scoring="generate", item="i", trait=TRAIT, facet=None, keyed=1)
            request = Write(doc=doc, messages=(*persona, Message(role="user", content=question)), cue="Answer:")
            ids = torch.tensor([backend.encode_prompt(request)])
            with torch.no_grad():
                hidden = backend.model(ids, output_hidden_states=True).hidden_states
            # The last entry is after the final norm, so the last layer is left out.
            states.append(torch.stack([h[0, -1] for h in hidden[1:-1]]))
        means.append(torch.stack(states).double().mean(0))
    found = contrast(TRAIT, ("adjective",), bench)
    assert found.shape == (LAYERS, WIDTH)
    for layer in range(LAYERS - 1):
        np.testing.assert_allclose(found[layer], (means[0] - means[1])[layer].numpy(), rtol=1e-3, atol=1e-6)


def test_the_planted_direction_is_found_and_moves_statements(bench: Bench, direction: torch.Tensor) -> None:
    items = [item for item in bench.halves()[1] if item.trait == TRAIT]
    vectors = contrast(TRAIT, ("adjective",), bench)
    assert cosine(vectors[1], direction) > 0.95 and abs(cosine(vectors[0], direction)) < 0.8
    high, low = (fit(bench, target, **MANY) for target in (HIGH, LOW))
    for control, sign, target in ((high, 1, HIGH), (low, -1, LOW)):
        assert control.fit is not None and control.fit.strength
        ((layer, vector),) = added(control).items()
        assert layer >= 1 and sign * cosine(vector, direction) > 0.95
        effect = bench.effect(control, target, items)
        assert effect > 0.01
        top = max(control.fit.curve, key=lambda p: p.effect or 0)
        assert effect == pytest.approx(top.effect, rel=1e-4)
        assert (top.layer, top.strength) == (layer, control.fit.strength)


def test_a_fit_says_whether_words_left_out_are_told_apart(bench: Bench) -> None:
    high, low, deep = (fit(bench, t, **given).fit for t, given in (
        (HIGH, MANY), (LOW, {"layer": 1, "strength": 1.0, **MANY}), (HIGH, {"layer": 1, "strength": 1.0})))  # fmt: skip
    assert high is not None and low is not None and deep is not None
    assert high.find is not None and high.find.found and high.find.draws == 255, "the planted trait"
    assert low.find == deep.find, "both poles rest on one test, of the layers that were tried"
    both = fit(bench, "extraversion=high,psychopathy=low", layer=1, strength=1.0).fit
    alone = fit(bench, "psychopathy=low", layer=1, strength=1.0).fit
    assert both is not None and both.find is not None and alone is not None and alone.find is not None
    assert deep.find is not None and both.find.p == max(deep.find.p, alone.find.p)


def test_the_depth_curve_is_kept(bench: Bench) -> None:
    fitted = fit(bench, HIGH, **MANY).fit
    assert fitted is not None
    tried = [(point.layer, point.strength) for point in fitted.curve]
    assert tried == [(layer, strength) for layer in range(LAYERS) for strength in (1.0, 2.0, 4.0)]
    assert all(point.effect is not None for point in fitted.curve)
    items = {item.text_hash for item in bench.halves()[1] if item.trait == TRAIT}
    assert set(fitted.fitted_on) == items and list(fitted.fitted_on) == sorted(items)
    assert fitted.parameters == WIDTH
    # The point that was chosen is the only one whose perplexity had to be known.
    assert [p for p in fitted.curve if p.perplexity] == [max(fitted.curve, key=lambda p: p.effect or 0)]


def test_low_is_high_turned_round(bench: Bench) -> None:
    high, low = (fit(bench, target, layer=1, strength=2.0) for target in (HIGH, LOW))
    np.testing.assert_array_equal(added(high)[1], -added(low)[1])
    np.testing.assert_array_equal(added(high)[1], contrast(TRAIT, ("adjective",), bench)[1])
    assert high.edits[0].strength == low.edits[0].strength == 2.0 and high.hash != low.hash


def test_levels_shorten_the_vector_and_traits_add(bench: Bench) -> None:
    e, n = (contrast(trait, ("adjective",), bench)[2] for trait in (TRAIT, "neuroticism"))
    half = fit(bench, "extraversion=0.5", layer=2, strength=1.0)
    both = fit(bench, "extraversion=-0.25,neuroticism=high", layer=2, strength=1.0)
    np.testing.assert_allclose(added(half)[2], 0.5 * e, rtol=1e-6)
    np.testing.assert_allclose(added(both)[2], n - 0.25 * e, rtol=1e-5, atol=1e-7)
    assert half.fit is not None and half.fit.fitted_on == () and half.fit.curve == ()


def test_a_graded_target_takes_the_layer_and_strength_of_its_pole(bench: Bench) -> None:
    whole, half = (fit(bench, target, **MANY).fit for target in (HIGH, "extraversion=0.5"))
    assert whole is not None and half is not None
    assert (whole.strength, whole.curve) == (half.strength, half.curve)


def test_a_fixed_strength_still_chooses_the_layer(bench: Bench) -> None:
    control = fit(bench, HIGH, strength=2.0, layers=(0, 2), max_perplexity=1e-6)
    assert control.fit is not None and control.fit.strength == control.edits[0].strength == 2.0
    assert [p.layer for p in control.fit.curve] == [0, 2] and list(added(control)) == [2]


def test_a_limit_that_nothing_meets_leaves_the_strength_at_zero(bench: Bench) -> None:
    control = fit(bench, HIGH, strengths=(1.0, 2.0), max_perplexity=1e-6)
    assert control.fit is not None and control.fit.strength == 0 and control.edits[0].strength == 0
    assert all(point.perplexity for point in control.fit.curve if (point.effect or 0) > 0)
    assert not control.at(0).edits
    assert control.at(3.0).edits[0].strength == 3.0


def test_the_choice_is_the_best_point_within_the_limit(bench: Bench) -> None:
    free = fit(bench, LOW, **MANY).fit
    assert free is not None
    damage = {}
    for point in free.curve:
        control = fit(bench, LOW, layer=point.layer, strength=point.strength)
        damage[point.layer, point.strength] = bench.perplexity(control)
    effects = {(point.layer, point.strength): point.effect or 0.0 for point in free.curve}
    limit = damage[max(effects, key=effects.__getitem__)] * 0.9999
    wanted = max((key for key in effects if damage[key] <= limit), key=effects.__getitem__)
    bound = fit(bench, LOW, **{**MANY, "max_perplexity": limit}).fit
    assert bound is not None and effects[wanted] > 0
    assert (bound.details["layer"], bound.strength) == wanted


def test_a_weaker_edit_is_taken_within_one_standard_error(bench: Bench) -> None:
    largest, weaker = (fit(bench, HIGH, **{**MANY, "within": within}).fit for within in (0.0, 3.0))
    assert largest is not None and weaker is not None and weaker.strength is not None and largest.strength is not None
    (most,) = [p for p in largest.curve if (p.layer, p.strength) == (largest.details["layer"], largest.strength)]
    near = [p for p in weaker.curve if (p.effect or 0) > max(0.0, most.effect - 3 * most.se)]  # type: ignore[operator]
    assert weaker.strength == min(p.strength for p in near) < largest.strength
    assert weaker.details["chosen_on"] == "development effect"
    chosen = [p for p in weaker.curve if (p.layer, p.strength) == (weaker.details["layer"], weaker.strength)]
    assert chosen[0].effect == max(p.effect or 0 for p in near if p.strength == weaker.strength)
    assert chosen[0].perplexity is not None, "what is stored was measured"


def test_the_limit_holds_for_what_is_stored_of_graded_traits(bench: Bench) -> None:
    """Layer and strength are chosen at the poles; graded levels add up to a vector of another direction."""
    whole, graded = (f"extraversion=high,openness={level}" for level in ("low", "-0.1"))
    some: dict[str, Any] = {"layer": 1, "strengths": (0.5, 1.0, 2.0, 4.0, 8.0), "within": 0.0}
    harm = {
        s: [bench.perplexity(fit(bench, target, layer=1, strength=s)) for target in (whole, graded)]
        for s in some["strengths"]
    }
    free = fit(bench, graded, **some, max_perplexity=1e9).fit
    assert free is not None and free.strength and "stepped_down" not in free.details
    poles, stored = harm[free.strength]
    assert free.details["perplexity"] == pytest.approx(stored, abs=1e-4) and stored > poles, harm
    limit = (poles + stored) / 2
    control = fit(bench, graded, **some, max_perplexity=limit)
    again = controls.read(controls.home(control, bench.folder))
    assert again.fit is not None and again.fit.strength and again.fit.strength < free.strength
    assert again.edits[0].strength == again.fit.strength
    assert bench.perplexity(again) <= limit
    assert again.fit.details["stepped_down"][0]["strength"] == free.strength
    fixed = fit(bench, graded, layer=1, strength=free.strength, max_perplexity=limit).fit
    assert fixed is not None and fixed.strength == free.strength, "a strength that is asked for is taken as it is"


def test_halving_chooses_what_the_exhaustive_search_chooses(bench: Bench) -> None:
    for target in (HIGH, LOW):
        for within in (0.0, 1.0):
            some: dict[str, Any] = {"strengths": (1.0, 2.0, 4.0), "max_perplexity": 1.2, "within": within}
            halved, full = (fit(bench, target, **some, sweep=sweep).fit for sweep in ("halving", "exhaustive"))
            assert halved is not None and full is not None
            assert (halved.strength, halved.details["layer"]) == (full.strength, full.details["layer"])
            assert all(p.perplexity and p.items is None and p.passages is None for p in full.curve)


def test_both_poles_share_what_they_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A low target after a high one, on another bench: nothing is asked without a control but what is there."""
    fit(bench, HIGH, **MANY)
    again = Bench(0, bench.backend, bench.folder, bench.cache)
    plain: list[Any] = []
    real = HuggingFace.run

    def run(self: HuggingFace, requests: Any, done: Any = ()) -> Any:
        plain.extend(r.doc.task for r in requests if not self.scorer.applied)
        return real(self, requests, done)

    monkeypatch.setattr(HuggingFace, "run", run)
    monkeypatch.setattr(HuggingFace, "states", lambda *_: pytest.fail("activations were recorded again"))
    fit(again, LOW, **MANY)
    assert plain == []


def test_means_are_recorded_once_a_trait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, calls = contrast(TRAIT, ("adjective",), bench), 0
    plain = HuggingFace.states

    def counted(self: HuggingFace, texts: Any, site: Any, which: Any = None) -> Any:
        nonlocal calls
        calls += 1
        return plain(self, texts, site, which)

    monkeypatch.setattr(HuggingFace, "states", counted)
    again = contrast(TRAIT, ("adjective",), bench)
    assert calls == 0 and (first == again).all()
    contrast(TRAIT, ("instruction",), bench)
    assert calls == 1


@pytest.fixture
def idle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose model may not be run."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(bench.backend.model, "forward", refuse)
    return bench


@pytest.mark.parametrize("config", [{"layer": LAYERS}, {"layers": (0, 7)}, {"layers": (-1,)}])
def test_a_layer_out_of_range_is_an_error_before_anything_is_run(idle: Bench, config: dict[str, Any]) -> None:
    with pytest.raises(BadData, match=f"layer .* is out of range: this model has layers 0 to {LAYERS - 1}"):
        fit(idle, HIGH, **config)


def test_traits_without_development_items_need_layer_and_strength(bench: Bench, idle: Bench) -> None:
    with pytest.raises(UnsupportedControl, match="none measures machiavellianism"):
        fit(idle, "extraversion=high,machiavellianism=low")


def test_traits_without_development_items_work_with_both_given(bench: Bench) -> None:
    control = fit(bench, "machiavellianism=high", layer=1, strength=1.0)
    assert control.fit is not None and list(added(control)) == [1] and control.fit.fitted_on == ()


def test_equal_means_are_an_error(bench: Bench) -> None:
    for weight in bench.backend.model.parameters():
        weight.data.zero_()
    with pytest.raises(BadData, match="leave the same activations"):
        fit(bench, HIGH, layer=1, strength=1.0)


def test_a_run_stores_what_it_can_read_again(bench: Bench) -> None:
    control = fit(bench, HIGH, layer=1, strength=2.0, positions="answer")
    again = controls.read(bench.folder / control.hash)
    assert again.edits == control.edits and again.edits[0].positions == "answer" and again.fit == control.fit
    assert control.kinds == {"activations"} and not control.messages
