"""The bench that methods are fitted on: development items, effects by hand, the choice of a strength, kept fits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from asked import answers

from traitbench import controls, inventories
from traitbench.backends import neutral
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.scripted import Scripted
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import bench as module
from traitbench.methods.bench import Bench, best, halves, target_shift
from traitbench.methods.choosing import shift_error
from traitbench.methods.fitted import fitted
from traitbench.methods.method import Method
from traitbench.statistics.replies import choice_value
from traitbench.types import BIG_FIVE, Control, Edit, Fit, Message, Point, Target

Tiny = Callable[..., Path]
HIGH = Target(levels={"extraversion": 1.0})


@pytest.fixture
def bench(tiny: Tiny, tmp_path: Path) -> Bench:
    return Bench(0, HuggingFace(resolve(str(tiny("llama"))), device="cpu"), tmp_path / "controls", tmp_path / "cache")


def test_the_halves_are_apart_from_the_short_form_and_hold_every_facet_and_key() -> None:
    fit, dev = halves(0)
    short = {item.text_hash for item in inventories.load("ipip_neo_120").items}
    texts = [item.text_hash for item in (*fit, *dev)]
    assert len(texts) == len(set(texts)) == 180 and not short & set(texts)
    for half in (fit, dev):
        assert {item.facet for item in half} == set(inventories.load("ipip_neo_300").facets)
        counts = Counter((item.trait, item.keyed) for item in half)
        assert set(counts) == {(trait, key) for trait in BIG_FIVE for key in (1, -1)} and min(counts.values()) >= 6
    assert halves(0) == (fit, dev) != halves(1)


def test_a_shift_towards_the_target_weighs_both_keys_alike() -> None:
    items = [i for i in halves(0)[1] if i.trait == "extraversion"]
    plus = sum(i.keyed == 1 for i in items)
    assert 0 < plus != len(items) - plus
    moved = np.array([0.4 if i.keyed == 1 else -0.2 for i in items])
    assert target_shift(moved, items, HIGH) == pytest.approx(0.3)
    assert target_shift(moved, items, Target(levels={"extraversion": -1.0})) == pytest.approx(-0.3)
    both = [*items, *(i for i in halves(0)[1] if i.trait == "openness")]
    two = Target(levels={"extraversion": 1.0, "openness": 1.0})
    more = np.concatenate([moved, np.array([0.1 * i.keyed for i in both[len(items) :]])])
    assert target_shift(more, both, two) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("curve", "chosen"),
    [
        ([(1, 0.1, 1.1), (2, 0.3, 1.5), (4, 0.9, 2.5)], 2),
        ([(1, -0.1, 1.0), (2, -0.3, 1.0)], 0),
        ([(1, 0.2, 1.0), (2, 0.2, 1.0)], 1),
        ([(1, 0.2, 3.0)], 0),
        ([(1, 0.2, None)], 1),
        ([], 0),
    ],
)
def test_the_strongest_is_the_largest_effect_that_leaves_prose_in_order(curve: Any, chosen: float) -> None:
    points = [Point(strength=s, effect=e, perplexity=p) for s, e, p in curve]
    assert best(points, 2.0).strength == chosen


@pytest.mark.parametrize(
    ("curve", "within", "chosen"),
    [
        ([(1, 0.2, 0.1), (2, 0.35, 0.1), (4, 0.4, 0.1)], 1.0, 2),
        ([(1, 0.2, 0.1), (2, 0.35, 0.1), (4, 0.4, 0.1)], 2.0, 1),
        ([(1, 0.2, 0.1), (2, 0.35, 0.1), (4, 0.4, 0.1)], 0.0, 4),
        ([(1, 0.2, 9.0), (4, 0.4, None)], 1.0, 4),
        ([(0, 0.0, 0.0), (1, -0.1, 0.1), (2, 0.1, 0.3)], 1.0, 2),
        ([(1, -0.3, 0.1), (2, -0.35, 0.1), (4, -0.2, 0.12)], 1.0, 0),
    ],
)
def test_the_weakest_within_one_standard_error_of_the_largest_is_chosen(
    curve: Any, within: float, chosen: float
) -> None:
    points = [Point(strength=s, effect=e, se=se, perplexity=1.0) for s, e, se in curve]
    assert best(points, 2.0, within).strength == chosen
    assert "se" not in Point(strength=1, effect=0.1).model_dump(), "older fits are written as they were"


def test_points_over_the_limit_lend_no_standard_error() -> None:
    points = [Point(strength=s, effect=e, se=0.2, perplexity=p) for s, e, p in ((1, 0.1, 1), (2, 0.2, 1), (4, 0.9, 3))]
    assert best(points, 2.0).strength == 1


def test_the_error_of_a_shift_is_that_of_its_halves() -> None:
    """By hand without facets: sqrt of the sum over keys of variance / n, halved; traits are independent."""
    items = [i.model_copy(update={"facet": None}) for i in halves(0)[1] if i.trait in ("extraversion", "openness")]
    moved = np.random.default_rng(2).normal(size=len(items))
    two = Target(levels={"extraversion": 1.0, "openness": -1.0})
    errors = []
    for trait in two.levels:
        sides = [np.array([m for m, i in zip(moved, items, strict=True) if (i.trait, i.keyed) == (trait, key)])
                 for key in (1, -1)]  # fmt: skip
        errors.append(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides)) / 2)
    assert shift_error(moved, items, two) == pytest.approx(np.hypot(*errors) / 2)
    assert shift_error(moved[:1], items[:1], HIGH) is None


def test_values_are_those_of_the_run(bench: Bench) -> None:
    items = halves(0)[1][:3]
    found = bench.values(items, "choice", None)
    requests = bench.requests(items, "choice")
    responses = answers(bench.backend, requests)
    by_hand = [
        np.mean([choice_value(responses[n].option_logprobs or (), requests[n].values)[0] for n in (i, i + 3)])  # type: ignore[union-attr]
        for i in range(3)
    ]
    assert [r.doc.item for r in requests] == [i.id for i in items] * 2
    assert {r.doc.order for r in requests[:3]} == {"forward"} and {r.doc.order for r in requests[3:]} == {"reverse"}
    assert found == pytest.approx(by_hand, abs=1e-12)


def push(folder: Path, strength: float = 1.0) -> Control:
    shift = np.random.default_rng(1).normal(size=32).astype(np.float32)
    edit = Edit(layer=1, site="residual", op="add", tensor="v", strength=strength)
    return controls.store(folder, edits=(edit,), tensors={"v": shift}, fit=Fit(method="push", version="1"))


def test_an_effect_is_the_difference_to_no_control(bench: Bench, tmp_path: Path) -> None:
    items = [i for i in halves(0)[1] if i.trait == "extraversion"]
    control = push(tmp_path)
    by_hand = target_shift(
        bench.values(items, "statement", control) - bench.values(items, "statement", None), items, HIGH
    )
    assert bench.effect(control, HIGH, halves(0)[1]) == pytest.approx(by_hand)
    assert bench.effect(control, HIGH, items, against=control) == 0
    assert bench.effect(control.at(0), HIGH, items) == 0 and bench.perplexity(control.at(0)) == 1
    with pytest.raises(BadData, match="no development item measures narcissism"):
        bench.effect(control, Target(levels={"narcissism": 1.0}), items)


def test_perplexity_is_what_a_run_measures(bench: Bench, tmp_path: Path) -> None:
    """A limit on half of the text would be no limit on the figure that is published."""
    control, requests = push(tmp_path), neutral.requests()
    with bench.backend.under(control):
        under = answers(bench.backend, requests)
    plain = answers(bench.backend, requests)
    measured = neutral.perplexity(under.values()) / neutral.perplexity(plain.values())
    assert len(requests) == 16 and bench.perplexity(control) == pytest.approx(measured) != 1
    said = control.model_copy(update={"messages": (Message(role="system", content="x"),)})
    assert bench.perplexity(said) == bench.perplexity(control), "a prompt is no damage"


def test_no_passage_is_asked_twice(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control, asked = push(tmp_path), list[int]()
    whole = Bench(0, bench.backend, tmp_path / "c", tmp_path / "d").perplexity(control)
    real = HuggingFace.run
    monkeypatch.setattr(
        HuggingFace, "run", lambda self, some, done=(): (asked.append(len(some)), real(self, some, done))[1]
    )
    few = bench.harm(control, 4)
    assert few.passages == 4 and few.error > 0 and asked == [4, 16], "without a control all at once, for every fit"
    assert bench.perplexity(control) == pytest.approx(whole, rel=1e-5) and asked == [4, 16, 12]
    assert bench.harm(control, 4) == bench.harm(control) and bench.harm(control).error == 0 and asked == [4, 16, 12]
    again = Bench(0, bench.backend, bench.folder, bench.cache)
    assert again.perplexity(control) == pytest.approx(whole, rel=1e-5) and asked == [4, 16, 12, 16]
    assert bench.harm(Control()) == (1.0, 0.0, None)


def test_a_criterion_measured_in_parts_is_the_effect(bench: Bench, tmp_path: Path) -> None:
    control, items = push(tmp_path), halves(0)[1]
    by = bench.criterion(HIGH, items)
    moved = np.concatenate([by.moved(control, start, min(start + 6, by.size)) for start in range(0, by.size, 6)])
    effect, se = bench.measured(control, HIGH, items)
    assert by.size == len([i for i in items if i.trait == "extraversion"]) and by.effect(moved) == pytest.approx(
        effect, abs=1e-5
    )
    assert se is not None and by.error(moved) == pytest.approx(se, rel=1e-3)
    with pytest.raises(BadData, match="no development item measures narcissism"):
        bench.criterion(Target(levels={"narcissism": 1.0}), items)


def test_a_curve_holds_every_strength_that_was_tried(bench: Bench, tmp_path: Path) -> None:
    items = [i for i in halves(0)[1] if i.trait == "extraversion"][:4]
    whole: dict[str, Any] = {"limit": 1e9, "sweep": "exhaustive"}
    strength, curve = bench.strongest(push(tmp_path), HIGH, (2.0, 0.0, 1.0), items, **whole)
    assert [p.strength for p in curve] == [0, 1, 2] and curve[0].effect == 0 and curve[0].perplexity == 1
    assert curve[2].effect == pytest.approx(bench.effect(push(tmp_path).at(2.0), HIGH, items))
    assert strength == best(curve, 1e9).strength
    largest, again = bench.strongest(push(tmp_path), HIGH, (2.0, 0.0, 1.0), items, within=0, **whole)
    assert again == curve and largest == max(curve, key=lambda p: p.effect or 0).strength
    halved, part = bench.strongest(push(tmp_path), HIGH, (2.0, 0.0, 1.0), items, limit=1e9)
    assert halved == strength and [p.strength for p in part] == [0, 1, 2] and part[0].perplexity == 1


class Push(Method):
    """Pushes one layer and counts how often it was asked to."""

    name = "push"
    makes: ClassVar[Any] = frozenset({"activations"})
    targets: ClassVar[Any] = frozenset({"poles"})
    needs_model = True
    strength = "strength"
    fits = 0

    def fit(self, target: Target | None, bench: Bench) -> Control:
        type(self).fits += 1
        return push(bench.folder)


def test_a_fit_is_made_once_and_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Push, "fits", 0)
    first, again = fitted(Push(), HIGH, bench), fitted(Push(), HIGH, bench)
    assert Push.fits == 1 and first.hash == again.hash and again.fit == first.fit
    fitted(Push(), Target(levels={"extraversion": -1.0}), bench)
    assert Push.fits == 2
    fresh = Bench(0, bench.backend, bench.folder, bench.cache, fresh=True)
    assert fitted(Push(), HIGH, fresh).hash == first.hash and Push.fits == 3
    (bench.folder / first.hash / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(BadData, match="cannot read"):
        fitted(Push(), HIGH, bench)


def test_a_note_that_names_another_control_is_refused(bench: Bench) -> None:
    fitted(Push(), HIGH, bench)
    (note,) = (bench.folder / "fits").glob("*.json")
    held = json.loads(note.read_text())
    for other, told in (({**held, "target": "openness=low"}, "is another one; remove the note"), ({}, "no control")):
        note.write_text(json.dumps(other))
        with pytest.raises(BadData, match=told):
            fitted(Push(), HIGH, bench)
    note.write_text(json.dumps({"control": held["control"]}))
    assert fitted(Push(), HIGH, bench).hash == held["control"][:16], "as notes were before"


def test_benches_of_several_fits_have_the_seeds_that_follow(bench: Bench) -> None:
    first, second, third = bench.reseeded(3)
    assert first is bench and [b.seed for b in (first, second, third)] == [bench.seed + n for n in range(3)]
    assert second.backend is bench.backend and second.folder == bench.folder
    assert [halves(b.seed) for b in (second, third)] == [b.halves() for b in (second, third)]
    first.effect(Control(), HIGH, [i for i in first.halves()[0] if i.trait == "extraversion"][:4])
    assert first._plain and not second._plain
    assert bench.reseeded(1) == [bench]


def test_a_model_that_cannot_be_looked_into_is_refused() -> None:
    with pytest.raises(UnsupportedControl, match="--backend hf"):
        fitted(Push(), HIGH, Bench(0, Scripted("uniform")))
    assert module.Bench().seed == 0
