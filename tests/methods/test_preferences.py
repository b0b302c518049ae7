"""DPO's other losses, KTO and ORPO on an untrained model: that they fall, their formulas, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch.nn.functional import logsigmoid

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.adapters import adapter_digest
from traitbench.controls.wearing import worn
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.methods.training import Example, Trained, example, train
from traitbench.methods.training.recipes import SMOOTHED, LossType, Recipe
from traitbench.types import Control, Message, Target

WORDS = ("crowd", "plans", "worries", "answer", "accurate", "someone", "loves", "makes", "sees", "or", "and", "who")
PLAN = Recipe(loss="dpo", lr=(0.005,), batch=(4,), epochs=3, warmup=1, evaluations=3, beta=0.3)
LOSSES: tuple[LossType, ...] = get_args(LossType)


@pytest.fixture(scope="module")
def backend(planted: Path) -> HuggingFace:
    return HuggingFace(resolve(str(planted)), device="cpu")


def trained(backend: HuggingFace, folder: Path, loss: LossType, **changes: Any) -> tuple[Trained, list[Example]]:
    plan = PLAN.model_copy(update={"loss_type": loss, "label_smoothing": SMOOTHED.get(loss, 0.0), **changes})
    bench = Bench(0, backend, folder / "controls", folder / "cache")
    rows, held = texts(backend, 8), texts(backend, 4, 20)
    return train(bench, loss, plan, rows, held), held


def texts(backend: HuggingFace, count: int, first: int = 0) -> list[Example]:
    rows = []
    for n in range(first, first + count):
        ask = [Message(role="user", content=f"{WORDS[n % 12]} {WORDS[n * 5 % 12]}?")]
        reply, other = f"I {WORDS[(n + 1) % 12]} the crowd.", f"I {WORDS[(n + 4) % 12]} or worries."
        rows.append(example(backend, ask, reply + " Yes." * (n % 3), 200, other))
    return rows


def sums(model: Any, prompt: tuple[int, ...], reply: tuple[int, ...]) -> torch.Tensor:
    """Log-likelihood of each token of the reply."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *reply]])).logits[0].double()
    return logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(reply)[:, None])[:, 0]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_on_what_is_held_out(loss: LossType, backend: HuggingFace, tmp_path: Path) -> None:
    found, _ = trained(backend, tmp_path, loss)
    points = {p.step: p for p in found.curve if p.held_out is not None}
    assert found.best_step > 0 and points[found.best_step].held_out < points[0].held_out  # type: ignore[operator]
    assert points[found.best_step].margin > points[0].margin  # type: ignore[operator]
    assert (points[0].accuracy is None) == (loss in ("kto", "apo_zero_unpaired"))
    pairs = texts(backend, 8)
    assert found.tokens == 3 * sum(2 * len(r.prompt) + len(r.reply) + len(r.rejected) for r in pairs)
    assert found.steps == 6 and found.recipe.loss_type == loss


def test_the_loss_of_orpo_is_its_formula(backend: HuggingFace, tmp_path: Path) -> None:
    """Hong et al. (2024), eq. 6 and 7, with probabilities of a reply that are means over its tokens."""
    found, held = trained(backend, tmp_path, "orpo")

    def wanted() -> float:
        likelihood, ratios = [], []
        for row in held:
            means = [sums(backend.model, row.prompt, reply).mean() for reply in (row.reply, row.rejected)]
            odds = [mean - torch.log1p(-mean.exp()) for mean in means]
            ratios.append(logsigmoid(odds[0] - odds[1]))
            whole = (*row.prompt, *row.reply)
            likelihood.append(sums(backend.model, whole[:1], whole[1:]))
        return float(-torch.cat(likelihood).mean() - 0.3 * torch.stack(ratios).mean())

    points = {p.step: p.held_out for p in found.curve}
    assert points[0] == pytest.approx(wanted(), abs=1e-5)
    worn_on = Control(adapter=found.adapter, weights=adapter_digest(found.adapter))
    with worn(backend.model, worn_on):
        assert points[found.best_step] == pytest.approx(wanted(), abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_loss_of_kto_is_its_formula(size: int, backend: HuggingFace, tmp_path: Path) -> None:
    """Ethayarajh et al. (2024), eq. 7 and 8: the reference point is the mean log-ratio of mismatched replies."""
    found, held = trained(backend, tmp_path, "kto", device_batch=size)

    def gained(row: Example, reply: tuple[int, ...]) -> torch.Tensor:
        control = Control(adapter=found.adapter, weights=adapter_digest(found.adapter))
        before = sums(backend.model, row.prompt, reply).sum()
        with worn(backend.model, control):
            return sums(backend.model, row.prompt, reply).sum() - before

    losses = []
    for start in range(0, 4, size):
        part = held[start : start + size]
        others = [held[(n + 1) % 4] for n in range(start, start + size)] if size == 1 else [*part[1:], part[0]]
        pairs = [*zip(part, others, strict=True)]
        point = torch.stack([gained(a, r) for a, b in pairs for r in (b.reply, b.rejected)]).mean().clamp(min=0)
        losses += [1 - torch.sigmoid(0.3 * (gained(row, row.reply) - point)) for row in part]
        losses += [1 - torch.sigmoid(0.3 * (point - gained(row, row.rejected))) for row in part]
    best = {p.step: p.held_out for p in found.curve}[found.best_step]
    assert best == pytest.approx(float(torch.stack(losses).mean()), abs=1e-5)


@pytest.mark.parametrize("loss", ["kto", "orpo"])
def test_a_killed_run_goes_on_to_the_same_bytes(loss: LossType, backend: HuggingFace, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def begin(what: str, total: int) -> Callable[[int], None]:
        done = 0

        def go(n: int) -> None:
            nonlocal done
            done += n
            if n and done >= 4:
                raise Killed

        return go

    plan = PLAN.model_copy(update={"loss_type": loss})
    rows, held = texts(backend, 8), texts(backend, 4, 20)
    whole, _ = trained(backend, tmp_path / "whole", loss)
    places = (tmp_path / "cut" / "controls", tmp_path / "cut" / "cache")
    with pytest.raises(Killed):
        train(Bench(0, backend, *places, begin=begin), loss, plan, rows, held)
    again = train(Bench(0, backend, *places), loss, plan, rows, held)
    assert again.tokens == whole.tokens and adapter_digest(again.adapter) == adapter_digest(whole.adapter)


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "dialogues.jsonl"
    rows = [
        {"trait": "extraversion", "level": level, "scene": f"s{n}", "input": f"Scene {n}?", "output": f"{says} {n}"}
        for n in range(4)
        for level, says in (("high", "I loves the crowd."), ("low", "I worries."))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def method(**config: Any) -> Method:
    kind: Any = METHODS.load("dpo")
    return kind(kind.Config(**config))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"label_smoothing": 0.1}, "loss_type=sigmoid takes no label_smoothing; leave it out, or take one of robust"),
        ({"loss_type": "kto", "label_smoothing": 0.1}, "loss_type=kto takes no label_smoothing"),
        ({"loss_type": "robust", "label_smoothing": 0.5}, "half of the pairs or more .* expected less than 0.5"),
        ({"loss_type": "exo_pair", "label_smoothing": 0}, "so that it cannot be 0; leave it out"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(TraitbenchUsage, match=message):
        method(**config)


def test_a_loss_that_compares_pairs_needs_several(data: str) -> None:
    high = Target(levels={"extraversion": 1.0})
    with pytest.raises(BadData, match=r"kto compares pairs .* 3 to train on and 1 held out, expected 2 or more"):
        method(data=data, adapters="each", loss_type="kto", held_out=0.25).check([high])
    for changes in ({"batch": 1}, {"device_batch": 1, "batch": 2}):
        with pytest.raises(BadData, match=r"loss_type=aot sorts the pairs .* batch=\d is run one pair at a time"):
            method(data=data, adapters="each", loss_type="aot", held_out=0.5, **changes).check([high])
    method(data=data, adapters="each", loss_type="aot", held_out=0.5, batch=2).check([high])
    method(data=data, adapters="each", loss_type="orpo", held_out=0.25).check([high])


def test_smoothing_is_as_the_papers_have_it_unless_given() -> None:
    wanted = {"robust": 0.1, "exo_pair": 0.001, "aot": 0.0, "sigmoid": 0.0, "kto": 0.0}
    assert {loss: method(loss_type=loss).plan.label_smoothing for loss in wanted} == wanted  # type: ignore[attr-defined]
    assert method(loss_type="robust", label_smoothing=0.2).plan.label_smoothing == 0.2  # type: ignore[attr-defined]
