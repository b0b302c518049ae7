"""BiPO on an untrained model with a planted direction: its loss, that the direction is learnt, both poles, refusals."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from traitbench import controls
from traitbench.controls.interventions import applied
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.bipo import BiPO
from traitbench.methods.fitted import fitted
from traitbench.methods.training import example
from traitbench.methods.training.direction import learn, margins
from traitbench.methods.training.examples import Example
from traitbench.methods.training.recipes import Recipe
from traitbench.types import Control, Edit, Message, Target

HIGH, LOW = (Target(levels={"extraversion": level}) for level in (1.0, -1.0))
QUICK: dict[str, Any] = {
    "lr": 0.05, "batch": 4, "epochs": 3, "warmup": 0, "held_out": 0.25, "layers": (1, 2), "evaluations": 3,
    "strengths": (0.5, 1.0, 2.0), "max_perplexity": 1e6, "find": False,
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, bench: Bench) -> str:
    """Replies are statements of the half that directions are fitted on: agreed with under high, their opposites low."""
    items = [item for item in bench.halves()[0] if item.trait == "extraversion"]
    plus, minus = ([bench.inventory().statement(i) for i in items if i.keyed == key] for key in (1, -1))
    rows = [
        {"trait": "extraversion", "level": level, "scene": f"s{n}", "input": f"Who {n}?", "output": side[n % len(side)]}
        for n in range(24)
        for level, side in (("high", plus), ("low", minus))
    ]
    path = tmp_path / "dialogues.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def method(**config: Any) -> BiPO:
    return BiPO(BiPO.Config(**{**QUICK, **config}))


def vector(control: Control) -> Any:
    return controls.arrays(control)["vector"]


def test_both_poles_come_from_one_training_and_are_chosen_on_development_items(bench: Bench, data: str) -> None:
    trained: list[str] = []
    bench.begin = lambda what, total: trained.append(what) or (lambda n: None)  # type: ignore[func-returns-value]
    high, low = (fitted(method(data=data), target, bench) for target in (HIGH, LOW))
    assert [what for what in trained if what.startswith("bipo")] == [
        "bipo, extraversion, layer 1", "bipo, extraversion, layer 2",
    ]  # fmt: skip
    fit = high.fit
    assert fit is not None and fit.strength and fit.details["losses"][-1]["held_out"] < 0.69
    assert {edit.site for edit in high.edits} == {"residual"} and high.kinds == {"activations"}
    items = bench.halves()[1]
    (chosen,) = [p for p in fit.curve if (p.layer, p.strength) == (fit.details["layer"], fit.strength)]
    assert bench.effect(high, HIGH, items) == pytest.approx(chosen.effect, rel=1e-4) and (chosen.effect or 0) > 0
    assert fit.details["length"] == pytest.approx(np.linalg.norm(vector(high)), abs=1e-3)
    if high.edits[0].layer == low.edits[0].layer:
        np.testing.assert_array_equal(vector(high), -vector(low))
    assert {(p.layer, p.strength) for p in fit.curve} == {(n, s) for n in (1, 2) for s in (0.5, 1.0, 2.0)}
    assert fit.details["chosen_on"] == "held-out loss, then development effect" and fit.details["tokens"] > 0
    assert controls.read(bench.folder / high.hash) == high


def rows(bench: Bench, count: int, first: int = 0) -> list[Example]:
    return [
        example(bench.backend, [Message(role="user", content=f"Who {n}?")], f"I loves {n}.", 200, "Someone worries.")
        for n in range(first, first + count)
    ]


def test_a_planted_direction_is_learnt(bench: Bench, direction: torch.Tensor) -> None:
    """Of random replies that is chosen which the planted vector makes likelier: the learnt one turns others alike."""
    draw, words = random.Random(1), ("crowd", "plans", "worries", "answer", "someone", "loves", "makes", "sees")

    def gained(row: Example, planted: Any) -> float:
        sums = []
        for reply in (row.reply, row.rejected):
            for strength in (1.0, -1.0):
                edit = Edit(layer=1, site="residual", op="add", tensor="v", strength=strength)
                with applied(bench.backend.model, [edit], {"v": planted}), torch.no_grad():
                    logits = bench.backend.model(torch.tensor([[*row.prompt, *reply]])).logits[0].log_softmax(-1)
                sums.append(float(logits[len(row.prompt) - 1 : -1].gather(1, torch.tensor(reply)[:, None]).sum()))
        return sums[0] - sums[1] - sums[2] + sums[3]

    pairs = []
    for n in range(80):
        one, two = (" ".join(draw.choices(words, k=4)) for _ in range(2))
        pair = example(bench.backend, [Message(role="user", content=f"Who {n}?")], one, 200, two)
        turned = {"reply": pair.rejected, "rejected": pair.reply}
        pairs.append(pair if gained(pair, direction.numpy()) > 0 else pair.model_copy(update=turned))
    plan = Recipe(loss="dpo", lr=(0.1,), batch=(8,), epochs=2, warmup=0, evaluations=2, beta=1.0)
    found = learn(bench, "x", plan, 1, pairs[:60], pairs[60:])
    assert found.lowest is not None and found.lowest < 0.6
    gains = np.array([[gained(pair, v) for v in (direction.numpy(), found.vector)] for pair in pairs[60:]])
    assert np.corrcoef(gains.T)[0, 1] > 0.4 and (gains[:, 1] > 0).mean() >= 0.75


def test_the_loss_is_its_formula(bench: Bench) -> None:
    """By hand: both signs, from forwards of single texts under the edits that a control would hold."""
    plan = Recipe(loss="dpo", lr=(0.05,), batch=(4,), epochs=2, warmup=0, evaluations=2, beta=0.3, device_batch=3)
    before = bench.backend.model(torch.tensor([[5, 6, 7]])).logits
    weights = {name: p.requires_grad for name, p in bench.backend.model.named_parameters()}
    held = rows(bench, 5, 20)
    found = learn(bench, "x", plan, 1, rows(bench, 8), held)
    assert torch.equal(bench.backend.model(torch.tensor([[5, 6, 7]])).logits, before), "the model is only borrowed"
    assert {name: p.requires_grad for name, p in bench.backend.model.named_parameters()} == weights
    assert not any(module._forward_hooks for module in bench.backend.model.modules())

    def total(row: Example, reply: tuple[int, ...], strength: float) -> torch.Tensor:
        edit = Edit(layer=1, site="residual", op="add", tensor="v", strength=strength)
        with applied(bench.backend.model, [edit], {"v": found.vector}), torch.no_grad():
            logs = bench.backend.model(torch.tensor([[*row.prompt, *reply]])).logits[0].double().log_softmax(-1)
        return logs[len(row.prompt) - 1 : -1].gather(1, torch.tensor(reply)[:, None]).sum()

    losses = []
    for row in held:
        for sign in (1.0, -1.0):
            chosen, rejected = (total(row, r, sign) - total(row, r, 0.0) for r in (row.reply, row.rejected))
            losses.append(-logsigmoid(sign * 0.3 * (chosen - rejected)))
    points = {p.step: p.held_out for p in found.curve}
    assert points[0] == pytest.approx(np.log(2), abs=1e-6)
    assert points[found.best_step] == pytest.approx(float(torch.stack(losses).mean()), abs=1e-5)
    assert found.steps == found.planned == 4 and found.best_step in (2, 4)
    assert found.tokens == 2 * sum(2 * len(r.prompt) + len(r.reply) + len(r.rejected) for r in rows(bench, 8))
    gaps = [float(total(row, row.reply, 1.0) - total(row, row.rejected, 1.0)) for row in held]
    assert margins(bench, found.vector, 1, held, 2) == pytest.approx(gaps, abs=1e-4)
    again = learn(bench, "x", plan, 1, rows(bench, 8), held)
    np.testing.assert_array_equal(again.vector, found.vector)


def test_what_it_found_is_tested_and_steps_may_be_matched(bench: Bench, data: str) -> None:
    fit = fitted(method(data=data, find=True, find_steps=6, layers=(2,), match_steps=5, patience=1), HIGH, bench).fit
    assert fit is not None and fit.find is not None and fit.find.found and fit.find.p == 1 / 64
    assert (fit.details["steps"], fit.details["planned_steps"]) == (5, 5) and fit.details["find"]["steps"] == 6


def test_what_cannot_be_fitted_is_refused(bench: Bench, data: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="layer 9 is out of range: this model has layers 0 to 2"):
        method(data=data, layer=9).fit(HIGH, bench)
    with pytest.raises(BadData, match="holds no dialogue of openness=high"):
        method(data=data).check([Target(levels={"openness": 1.0})])
    lines = [json.loads(line) | {"trait": "narcissism"} for line in Path(data).read_text().splitlines()]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    dark = Target(levels={"narcissism": 1.0})
    with pytest.raises(UnsupportedControl, match="development items, and none measures narcissism; give both"):
        method(data=str(other)).fit(dark, bench)
    control = method(data=str(other), layer=1, strength=1.0, match_steps=1).fit(dark, bench)
    assert control.fit is not None and control.fit.curve == () and control.edits[0].strength == 1.0


def test_it_has_a_name_and_says_what_it_knows() -> None:
    kind: Callable[..., Any] = METHODS.load("bipo")
    assert kind is BiPO and kind().knows == {"extraversion", "agreeableness", "conscientiousness", "neuroticism",
                                             "openness"}  # fmt: skip
    assert kind().plan.lr == (5e-4,) and kind(BiPO.Config(preset="small")).plan.lr == (1e-2, 3e-2)
