"""Training on an untrained model: the losses are what their formulas say, a killed run goes on, nothing is left."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from datasets import Dataset
from safetensors.torch import load_file
from tiny_models import CHATML, tokenizer
from torch.nn.functional import logsigmoid
from trl import SFTConfig, SFTTrainer

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.rendering import Renderer
from traitbench.backends.weights import locate
from traitbench.controls.adapters import CONFIG, WEIGHTS, adapter_digest
from traitbench.controls.wearing import worn
from traitbench.errors import BadData
from traitbench.methods import training
from traitbench.methods.bench import Bench
from traitbench.methods.training import Example, Trained, example, train, trainers
from traitbench.methods.training.effects import on_items
from traitbench.methods.training.lending import lent, unrounded
from traitbench.methods.training.rates import Trial, _best, _wider, chosen_on, settled
from traitbench.methods.training.recipes import Recipe, Training, recipe
from traitbench.methods.training.settings import rate
from traitbench.types import Control, Message, Target

WORDS = ("crowd", "plans", "worries", "answer", "accurate", "someone", "loves", "makes", "sees", "or", "and", "who")
SFT = Recipe(loss="sft", lr=(0.02,), batch=(4,), epochs=3, warmup=1, evaluations=3)
DPO = SFT.model_copy(update={"loss": "dpo", "beta": 0.3})
Bencher = Callable[..., Bench]


@pytest.fixture(scope="module")
def backend(planted: Path) -> HuggingFace:
    return HuggingFace(resolve(str(planted)), device="cpu")


@pytest.fixture
def make(backend: HuggingFace, tmp_path: Path) -> Bencher:
    """A bench with a cache of its own by name, so that nothing is taken from another one."""

    def go(name: str = "a", seed: int = 0, **more: Any) -> Bench:
        return Bench(seed, backend, tmp_path / name / "controls", tmp_path / name / "cache", **more)

    return go


def texts(backend: HuggingFace, count: int, first: int = 0, dpo: bool = False) -> list[Example]:
    """Questions with a reply of their own and, for DPO, another one."""
    rows = []
    for n in range(first, first + count):
        ask = [Message(role="user", content=f"{WORDS[n % 12]} {WORDS[n * 5 % 12]}?")]
        reply, other = (f"I {WORDS[(n + k) % 12]} the {WORDS[(n * 7 + k) % 12]}." for k in (1, 4))
        rows.append(example(backend, ask, reply + " Yes." * (n % 3), 200, other if dpo else None))
    return rows


def logprobs(model: Any, prompt: tuple[int, ...], reply: tuple[int, ...]) -> torch.Tensor:
    """Of each token of the reply, from one forward of the whole text."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *reply]])).logits[0].double()
    found = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return found.gather(1, torch.tensor(reply)[:, None])[:, 0]


def held_out(found: Trained, step: int) -> training.LossPoint:
    return next(point for point in found.curve if point.step == step)


def under(bench: Bench, found: Trained) -> Any:
    return worn(bench.backend.model, Control(adapter=found.adapter, weights=adapter_digest(found.adapter)))


def test_the_loss_of_sft_is_cross_entropy_on_the_reply_alone(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    found = train(make(), "sft", SFT, rows, held)

    def wanted() -> float:
        each = [logprobs(backend.model, row.prompt, row.reply) for row in held]
        return float(-torch.cat(each).mean())

    assert held_out(found, 0).held_out == pytest.approx(wanted(), abs=1e-5)
    with under(make(), found):
        assert held_out(found, found.best_step).held_out == pytest.approx(wanted(), abs=1e-5)
    assert found.steps == 6 and found.examples == 8 and found.best_step == 6
    assert held_out(found, 6).held_out < held_out(found, 0).held_out - 0.3  # type: ignore[operator]
    assert found.tokens == 3 * sum(len(row.prompt) + len(row.reply) for row in rows)


def test_the_loss_of_dpo_is_its_formula(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8, dpo=True), texts(backend, 4, first=20, dpo=True)
    found = train(make(), "dpo", DPO, rows, held)

    def sums() -> torch.Tensor:
        """Log-likelihood of chosen and rejected replies, (2, pairs)."""
        return torch.stack([
            torch.stack([logprobs(backend.model, row.prompt, reply).sum() for row in held for reply in [side(row)]])
            for side in (lambda row: row.reply, lambda row: row.rejected)
        ])  # fmt: skip

    reference = sums()
    with under(make(), found):
        gained = sums() - reference
    margin = 0.3 * (gained[0] - gained[1])
    last = held_out(found, found.best_step)
    assert last.held_out == pytest.approx(float(-logsigmoid(margin).mean()), abs=1e-5)
    assert last.margin == pytest.approx(float(margin.mean()), abs=1e-5)
    assert last.accuracy == pytest.approx(float((margin > 0).double().mean()))
    assert held_out(found, 0).held_out == pytest.approx(0.693147, abs=1e-5)
    assert last.held_out < 0.6  # type: ignore[operator]


def test_dpo_on_an_adapter_takes_a_frozen_copy_of_it_for_reference(make: Bencher, backend: HuggingFace) -> None:
    bench, held = make(), texts(backend, 4, first=20, dpo=True)
    before = train(bench, "sft", SFT, texts(backend, 8), texts(backend, 4, first=20))
    found = train(bench, "dpo", DPO, texts(backend, 8, dpo=True), held, start=before.adapter)

    def gap() -> torch.Tensor:
        return torch.stack([
            logprobs(backend.model, r.prompt, r.reply).sum() - logprobs(backend.model, r.prompt, r.rejected).sum()
            for r in held
        ])  # fmt: skip

    with under(bench, before):
        reference = gap()
    with under(bench, found):
        margin = 0.3 * (gap() - reference)
    assert held_out(found, 0).held_out == pytest.approx(0.693147, abs=1e-5)
    assert held_out(found, found.best_step).held_out == pytest.approx(float(-logsigmoid(margin).mean()), abs=1e-5)
    assert sorted(path.name for path in found.adapter.iterdir()) == [CONFIG, WEIGHTS]


class Killed(Exception):
    """Stands for a signal at a given step."""


def killed_at(step: int) -> Callable[[str, int], Callable[[int], None]]:
    def begin(what: str, total: int) -> Callable[[int], None]:
        done = 0

        def go(n: int) -> None:
            nonlocal done
            done += n
            if n and done >= step:
                raise Killed

        return go

    return begin


@pytest.mark.parametrize("loss", ["sft", "dpo"])
@pytest.mark.parametrize("step", [1, 4, 5])
def test_a_killed_run_goes_on_as_if_nothing_had_been(loss: str, step: int, make: Bencher, backend: HuggingFace) -> None:
    plan = SFT if loss == "sft" else DPO
    rows, held = (texts(backend, n, first, loss == "dpo") for n, first in ((8, 0), (4, 20)))
    whole = train(make("whole"), loss, plan, rows, held)
    with pytest.raises(Killed):
        train(make("cut", begin=killed_at(step)), loss, plan, rows, held)
    seen: list[int] = []
    again = train(make("cut", begin=lambda what, total: seen.append), loss, plan, rows, held)
    assert sum(seen) == 6 and seen[0] == (0 if step == 1 else 4 if step > 4 else 2)
    assert [p.step for p in again.curve] == [p.step for p in whole.curve] == list(range(7))
    assert again.tokens == whole.tokens > 0
    for mine, theirs in zip(again.curve, whole.curve, strict=True):
        assert mine.model_dump() == pytest.approx(theirs.model_dump(), abs=1e-5)
    assert (again.adapter / WEIGHTS).read_bytes() == (whole.adapter / WEIGHTS).read_bytes()


def test_a_seed_decides_the_bytes(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    one, two, other = (train(make(n, s), "sft", SFT, rows, held) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    for name in (CONFIG, WEIGHTS):
        assert (one.adapter / name).read_bytes() == (two.adapter / name).read_bytes()
    assert adapter_digest(one.adapter) == adapter_digest(two.adapter) != adapter_digest(other.adapter)
    config = json.loads((one.adapter / CONFIG).read_text())
    assert config["target_modules"] == sorted(config["target_modules"]) and len(config["target_modules"]) == 7
    assert config["r"] == 8 and config["lora_alpha"] == 16


def test_the_model_is_only_borrowed(make: Bencher, backend: HuggingFace) -> None:
    model, ids = backend.model, torch.tensor([[5, 6, 7, 8]])
    before = model(ids).logits
    kept = {name: p.requires_grad for name, p in model.named_parameters()}
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    held, config, generation = vars(model).keys() | set(), model.config.to_dict(), model.generation_config.to_dict()
    train(make(), "sft", SFT, texts(backend, 8), texts(backend, 4, first=20))
    saving = DPO.model_copy(update={"gradient_checkpointing": True})
    train(make(), "dpo", saving, texts(backend, 8, dpo=True), texts(backend, 4, first=20, dpo=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(ids).logits, before) and vars(model).keys() == held and not model.training
    assert {name: p.requires_grad for name, p in model.named_parameters()} == kept
    assert all(torch.equal(weights[name], p) for name, p in model.named_parameters())
    assert model.config.to_dict() == config and model.generation_config.to_dict() == generation


@pytest.mark.parametrize(
    ("loss", "part"), [("sft", "trainers.arguments"), ("dpo", "preferences._Pairs._prepare_dataset")]
)
def test_a_trainer_that_cannot_be_made_leaves_the_model_as_it_was(
    loss: str, part: str, make: Bencher, backend: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = backend.model, torch.tensor([[5, 6, 7, 8]])
    before, parts, held = model(ids).logits, dict(model.named_modules()), vars(model).keys() | set()

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(f"traitbench.methods.training.{part}", refuse)
    plan, dpo = (DPO, True) if loss == "dpo" else (SFT, False)
    with pytest.raises(OSError, match="no space"):
        train(make(), loss, plan, texts(backend, 8, dpo=dpo), texts(backend, 4, first=20, dpo=dpo))
    assert dict(model.named_modules()) == parts and vars(model).keys() == held
    assert torch.equal(model(ids).logits, before)


def test_an_adapter_loads_in_plain_peft(make: Bencher, backend: HuggingFace, planted: Path) -> None:
    found = train(make(), "sft", SFT, texts(backend, 8), texts(backend, 4, first=20))
    ids = torch.tensor([[5, 6, 7, 8]])
    plain = transformers.AutoModelForCausalLM.from_pretrained(planted)
    elsewhere = peft.PeftModel.from_pretrained(plain, found.adapter).eval()(ids).logits
    with under(make(), found):
        assert torch.allclose(backend.model(ids).logits, elsewhere, atol=1e-6)
    assert not torch.allclose(backend.model(ids).logits, elsewhere, atol=1e-2)


def test_what_was_trained_is_not_trained_again(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    first = train(make(), "sft", SFT, rows, held)

    def refuse(what: str, total: int) -> Any:
        raise AssertionError(what)

    assert train(make(begin=refuse), "sft", SFT, rows, held) == first
    assert not (first.adapter.parent / "checkpoints").exists()
    with pytest.raises(AssertionError, match="sft"):
        train(make(begin=refuse), "sft", SFT, rows[:-1], held)


def changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_an_adapter_that_was_changed_in_the_cache_is_trained_anew(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    first = train(make(), "sft", SFT, rows, held)
    weights = (first.adapter / WEIGHTS).read_bytes()
    changed(first.adapter / WEIGHTS)
    bench = make()
    told: list[str] = []
    bench.tell = told.append
    again = train(bench, "sft", SFT, rows, held)
    assert (again.adapter / WEIGHTS).read_bytes() == weights and again.files == first.files
    assert len(told) == 1 and "was changed since it was trained: it is trained anew" in told[0]


@pytest.mark.parametrize("what", ["changed", "half"])
def test_a_checkpoint_is_gone_on_from_only_as_it_was_saved(what: str, make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    whole = train(make(), "sft", SFT, rows, held)
    weights = (whole.adapter / WEIGHTS).read_bytes()
    shutil.rmtree(whole.adapter.parent)

    def begin(what: str, total: int) -> Callable[[int], None]:
        done = 0

        def step(n: int) -> None:
            nonlocal done
            done += n
            if done == total:
                raise KeyboardInterrupt

        return step

    bench = make(begin=begin)
    with pytest.raises(KeyboardInterrupt):
        train(bench, "sft", SFT, rows, held)
    places = whole.adapter.parent / "checkpoints"
    last = max(places.glob("checkpoint-*"), key=lambda place: int(place.name.rpartition("-")[2]))
    if what == "changed":
        changed(last / WEIGHTS)
    else:
        # As a kill in the middle leaves it.
        (last / "trainer_state.json").unlink()
        (last / "sealed.json").unlink()
    bench, told = make(), list[str]()
    bench.tell = told.append
    again = train(bench, "sft", SFT, rows, held)
    assert (again.adapter / WEIGHTS).read_bytes() == weights
    assert [("was changed since it was saved" in line) for line in told] == ([True] if what == "changed" else [])


def test_two_runs_do_not_train_the_same_at_once(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)

    def begin(what: str, total: int) -> Callable[[int], None]:
        with pytest.raises(BadData, match=r"another run is writing to .*training-\w+; wait until it ends"):
            train(make(), "sft", SFT, rows, held)
        return lambda n: None

    assert train(make(begin=begin), "sft", SFT, rows, held).steps == 6


def test_the_rate_is_chosen_on_held_out_loss(make: Bencher, backend: HuggingFace) -> None:
    plan = SFT.model_copy(update={"lr": (1e-5, 0.02), "batch": (2, 4), "trial_steps": 3, "widen": 0})
    chosen, trials = settled(make(), plan, texts(backend, 8), texts(backend, 4, first=20))
    assert len(trials) == 4 and {(t.lr, t.batch) for t in trials} == {(r, b) for r in plan.lr for b in plan.batch}
    best = min(trials, key=lambda trial: trial.held_out)
    assert (chosen.lr, chosen.batch) == ((best.lr,), (best.batch,)) and best.lr == 0.02
    assert settled(make(), chosen, [], []) == (chosen, ())


def test_a_grid_of_rates_widens_until_the_best_is_inside(make: Bencher, backend: HuggingFace) -> None:
    plan = SFT.model_copy(update={"lr": (0.002, 0.01), "trial_steps": 3, "widen": 6})
    chosen, trials = settled(make(), plan, texts(backend, 8), texts(backend, 4, first=20))
    rates = sorted(trial.lr for trial in trials)
    assert 2 < len(trials) < 8 and rates[0] < chosen.lr[0] < rates[-1]
    assert all(after / before == pytest.approx(5) for before, after in pairwise(rates))
    said: list[str] = []
    short = plan.model_copy(update={"lr": (1e-5, 2e-5), "widen": 1})
    chosen, trials = settled(make(tell=said.append), short, texts(backend, 8), texts(backend, 4, first=20))
    assert [trial.lr for trial in trials] == pytest.approx([1e-5, 2e-5, 4e-5]) and chosen.lr[0] == trials[2].lr
    assert len(said) == 1 and "4e-05, is still the highest of those tried; allow more with" in said[0]


def test_where_a_grid_goes_on() -> None:
    def next_of(*losses: float | None, batch: int = 4) -> tuple[float, int] | None:
        rates = (0.001, 0.004, 0.008)
        made = [Trial(lr=r, batch=batch, held_out=v, seconds=0) for r, v in zip(rates, losses, strict=False)]
        return _wider([*made, Trial(lr=1.0, batch=9, held_out=9.0, seconds=0)])

    assert next_of(3.0, 2.0, 2.5) is None and next_of(2.0) is None and next_of(None, None) is None
    assert next_of(1.0, 2.0) == (pytest.approx(0.00025), 4) and next_of(3.0, 2.0, 1.0) == (pytest.approx(0.016), 4)
    assert next_of(3.0, 2.0, None) is None


def test_the_rate_with_the_largest_effect_is_chosen_and_the_grid_goes_on_around_it() -> None:
    def made(*effects: float | None) -> list[Trial]:
        # Loss would choose the highest rate.
        return [
            Trial(lr=lr, batch=4, held_out=None if e is None else 1 / lr, perplexity=1.0, effect=e, se=0.1, seconds=0)
            for lr, e in zip((0.001, 0.002, 0.004, 0.008), effects, strict=False)
        ]

    for trials, lr, beyond in (
        (made(0.1, 0.35, 0.4, 0.3), 0.004, None),
        (made(0.35, 0.38, 0.4, None), 0.004, None),
        (made(-0.3, -0.2, -0.1), 0.004, 0.008),
        (made(0.5, 0.4), 0.001, 0.0005),
        (made(None, 0.1, 0.5), 0.004, 0.008),
    ):
        wider = _wider(trials)
        assert (_best(trials).lr, wider and wider[0]) == (lr, beyond and pytest.approx(beyond))


def test_rates_are_chosen_by_what_their_adapters_do_to_development_items(make: Bencher, backend: HuggingFace) -> None:
    bench, rows, held = make(), texts(backend, 8), texts(backend, 4, first=20)
    aims = [Target(levels={"extraversion": 1.0}), Target(levels={"openness": -1.0})]
    said = (Message(role="system", content="crowd"),)
    effect = on_items(bench, aims, lambda aim: said if "openness" in aim.levels else ())
    assert effect is not None and on_items(bench, []) is None
    assert on_items(bench, [*aims, Target(levels={"narcissism": 1.0})]) is None
    found = train(bench, "a", SFT, rows, held)
    weights = adapter_digest(found.adapter)
    items = [item for item in bench.halves()[1] if item.trait in ("extraversion", "openness")]
    apart = [
        bench.measured(Control(messages=words, adapter=found.adapter, weights=weights), aim, items)
        for aim, words in zip(aims, ((), said), strict=True)
    ]
    (e, e_error), (o, o_error) = apart
    assert e_error and o_error and e != 0.0 and o != 0.0
    moved = effect(found)
    assert moved.effect == pytest.approx((e + o) / 2) and moved.se == pytest.approx(math.hypot(e_error, o_error) / 2)
    assert moved.seconds > 0 and effect(found) == moved
    plan = SFT.model_copy(update={"lr": (0.005, 0.02), "trial_steps": 3, "widen": 0})
    chosen, trials = settled(bench, plan, rows, held, effect)
    best = max(trials, key=lambda trial: trial.effect or 0.0)
    assert chosen.lr == (best.lr,) and all(trial.effect is not None and trial.se for trial in trials)
    assert chosen_on(trials) == "development effect, then held-out loss"
    # Turned round, the other one does more.
    turned = on_items(bench, [Target(levels={"extraversion": -1.0}), Target(levels={"openness": 1.0})],
                      lambda aim: said if "openness" in aim.levels else ())  # fmt: skip
    other, mirrored = settled(bench, plan, rows, held, turned)
    assert [t.effect for t in mirrored] == pytest.approx([-(t.effect or 0.0) for t in trials])
    assert other.lr != chosen.lr and chosen_on(settled(bench, plan, rows, held)[1]) == "held-out loss"


@pytest.mark.parametrize("dpo", [False, True])
def test_prose_is_measured_at_each_step_as_a_run_measures_it(make: Bencher, backend: HuggingFace, dpo: bool) -> None:
    plan = (DPO if dpo else SFT).model_copy(update={"max_perplexity": 1e9})
    bench = make()
    found = train(bench, "a", plan, texts(backend, 8, dpo=dpo), texts(backend, 4, first=20, dpo=dpo))
    assert held_out(found, 0).perplexity == pytest.approx(1.0, abs=1e-6)
    control = Control(adapter=found.adapter, weights=adapter_digest(found.adapter))
    assert found.perplexity == pytest.approx(bench.perplexity(control), rel=1e-5) and found.perplexity != 1.0
    assert found.summary["perplexity"] == found.perplexity and not found.harmful


LONG = SFT.model_copy(update={"lr": (0.005,), "match_steps": 12, "evaluations": 6, "max_perplexity": 1e9})
"""Here held-out loss falls to the end, and from the fourth step on the perplexity of prose rises."""


def test_a_step_over_the_limit_is_not_kept_whatever_its_loss(make: Bencher, backend: HuggingFace) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    free = train(make("free"), "a", LONG, rows, held)
    measured = {p.step: (p.held_out, p.perplexity) for p in free.curve if p.step and p.perplexity is not None}
    assert list(measured) == [2, 4, 6, 8, 10, 12] and free.best_step == 12
    assert measured[4][1] < measured[6][1] < measured[8][1] < measured[12][1]  # type: ignore[operator]
    limit = (measured[6][1] + measured[8][1]) / 2  # type: ignore[operator]
    bound = train(make("bound"), "a", LONG.model_copy(update={"max_perplexity": limit}), rows, held)
    assert bound.curve == free.curve and bound.best_step == 6 and bound.lowest == measured[6][0]
    under_it, over_it = (Control(adapter=one.adapter, weights=adapter_digest(one.adapter)) for one in (bound, free))
    assert make().perplexity(under_it) <= limit < make().perplexity(over_it)


def test_a_rate_over_the_limit_is_not_chosen_and_halved_where_it_is_the_only_one(
    make: Bencher, backend: HuggingFace
) -> None:
    rows, held = texts(backend, 8), texts(backend, 4, first=20)
    plan = LONG.model_copy(update={"lr": (0.002, 0.005), "trial_steps": 12, "widen": 0})
    free, trials = settled(make("free"), plan, rows, held)
    slow, fast = (trial.perplexity for trial in trials)
    assert free.lr == (0.005,) and slow is not None and fast is not None and slow < fast
    bound = {"max_perplexity": (slow + fast) / 2}
    chosen, trials = settled(make("a"), plan.model_copy(update=bound), rows, held)
    assert chosen.lr == (0.002,) and [trial.held_out is None for trial in trials] == [False, True]
    said: list[str] = []
    alone = LONG.model_copy(update={**bound, "evaluations": 1})
    unbound = train(make("a"), "it", alone.model_copy(update={"max_perplexity": 1e9}), rows, held)
    found = train(make("a", tell=said.append), "it", alone, rows, held)
    assert found.recipe.lr == (0.0025,) and found.perplexity is not None and found.perplexity <= (slow + fast) / 2
    assert len(said) == 1 and said[0].endswith("times that without; 0.0025 is tried")
    (before,) = found.refused
    assert before.lr == 0.005 and before.perplexity == pytest.approx(fast) and 0 < before.seconds < found.seconds
    assert found.summary["refused"] == [before.model_dump(mode="json")] and "refused" not in unbound.summary
    never = alone.model_copy(update={"max_perplexity": 1e-9})
    with pytest.raises(BadData, match=r"at a learning rate of 0\.0003125 every step breaks the limit of perplexity"):
        train(make("b"), "it", never, rows, held)
    assert train(make("b"), "it", never, rows, held, anyhow=True).harmful


def test_where_every_rate_breaks_the_limit_lower_ones_are_tried() -> None:
    over = [Trial(lr=lr, batch=4, held_out=None, harmful=True, seconds=0) for lr in (0.002, 0.01)]
    assert _wider(over) == (pytest.approx(0.0004), 4) and _wider(over[:1]) == (0.001, 4)
    assert _wider([one.model_copy(update={"harmful": False}) for one in over]) is None


def test_rates_out_of_bounds_are_named(make: Bencher, backend: HuggingFace) -> None:
    plan = SFT.model_copy(update={"lr": (1e30, 1e34), "trial_steps": 2})
    with pytest.raises(BadData, match=r"no learning rate of 1e\+30, 1e\+34 leaves a held-out loss that is a number"):
        settled(make(), plan, texts(backend, 8), texts(backend, 4, first=20))
    with pytest.raises(BadData, match=r"sft: at a learning rate of 1e\+30 no held-out loss is a number"):
        train(make(), "sft", plan.model_copy(update={"lr": (1e30,)}), texts(backend, 8), texts(backend, 4, first=20))


def test_training_stops_when_held_out_loss_no_longer_falls(make: Bencher, backend: HuggingFace) -> None:
    plan = SFT.model_copy(update={"lr": (0.05,), "epochs": 12, "evaluations": 12, "patience": 2})
    ask = [Message(role="user", content="crowd?")]
    rows = [example(backend, ask, "answer " * n, 200) for n in range(1, 9)]
    found = train(make(), "sft", plan, rows, [example(backend, ask, "I makes plans and worries.", 200)])
    losses = {p.step: p.held_out for p in found.curve if p.held_out is not None and p.step}
    assert max(losses) == found.steps < 24 and found.best_step == found.steps - 4
    assert found.best_step == min(losses, key=lambda step: losses[step])


def test_steps_may_be_matched(make: Bencher, backend: HuggingFace) -> None:
    plan = SFT.model_copy(update={"match_steps": 5, "batch": (6,), "device_batch": 4})
    found = train(make(), "sft", plan, texts(backend, 8), texts(backend, 4, first=20))
    assert found.steps == 5 and found.recipe == plan
    rising = plan.model_copy(update={"lr": (0.5,), "match_steps": 8, "evaluations": 8, "patience": 1})
    assert train(make(), "sft", rising, texts(backend, 8), texts(backend, 4, first=20)).steps == 8


def test_a_learning_rate_is_never_0() -> None:
    """That of transformers a step later, so that the first step of a warm-up counts."""
    from transformers.optimization import get_cosine_schedule_with_warmup

    for warmup, total in ((0, 1), (0, 7), (3, 12), (5, 6)):
        rates = [rate(step, warmup, total) for step in range(total)]
        assert min(rates) > 0 and max(rates) == 1
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        theirs = get_cosine_schedule_with_warmup(optimizer, warmup + 1, total + 1)
        for mine in rates:
            optimizer.step()
            theirs.step()
            assert mine == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)


@pytest.mark.parametrize("loss", ["sft", "sigmoid", "kto", "orpo"])
def test_the_first_step_of_a_warm_up_counts(loss: str, make: Bencher, backend: HuggingFace) -> None:
    plan = SFT if loss == "sft" else DPO.model_copy(update={"loss_type": loss})
    short, pairs = plan.model_copy(update={"match_steps": 2, "warmup": 20}), loss != "sft"
    found = train(make(), loss, short, texts(backend, 8, dpo=pairs), texts(backend, 4, first=20, dpo=pairs))
    held = load_file(found.adapter / WEIGHTS)
    # The second matrix starts at 0 and AdamW's first step is as long as the rate: half of the peak, then all of it.
    longest = max(float(value.abs().max()) for name, value in held.items() if "lora_B" in name)
    assert 0.02 * 0.5 < longest < 0.02 * 1.6


def test_what_is_trained_around_four_bits_is_not_rounded(make: Bencher, backend: HuggingFace) -> None:
    """AdamW's first step is as long as the learning rate: lost to bfloat16 above .004, not to 32 bits."""
    for kind, moves in ((torch.bfloat16, [True, False]), (torch.float32, [True, True])):
        weight = torch.nn.Parameter(torch.tensor([0.003, 0.005], dtype=kind))
        before = weight.detach().clone()
        optimizer = torch.optim.AdamW([weight], lr=1e-5, weight_decay=0.0)
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert (weight.detach() != before).tolist() == moves
    layer = torch.nn.Linear(4, 4, dtype=torch.bfloat16).requires_grad_(False)
    whole = torch.nn.Sequential(layer, torch.nn.Linear(4, 4, dtype=torch.bfloat16))
    unrounded(whole)
    assert [p.dtype for p in whole.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2


@pytest.mark.parametrize("loss", ["sft", "sigmoid", "kto", "orpo"])
def test_a_trainer_around_four_bits_trains_in_32(
    loss: str, make: Bencher, backend: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL rounds what is trained to bfloat16 where the model says that it is quantised, to 4 bits or 8."""
    kinds = set()

    def lend(backend: Any, four_bit: bool) -> Any:
        assert four_bit
        return lent(backend, False)

    def watch(trainer: Any, folder: Path, tell: Callable[[str], None]) -> Any:
        kinds.update(p.dtype for p in trainer.model.parameters() if p.requires_grad)
        return trained_as_before(trainer, folder, tell)

    trained_as_before = trainers._train
    monkeypatch.setattr(trainers, "lent", lend)
    monkeypatch.setattr(trainers, "_train", watch)
    monkeypatch.setattr(backend.model, "is_loaded_in_8bit", True, raising=False)
    plan = SFT if loss == "sft" else DPO.model_copy(update={"loss_type": loss})
    short, pairs = plan.model_copy(update={"match_steps": 1, "four_bit": True}), loss != "sft"
    train(make(), loss, short, texts(backend, 8, dpo=pairs), texts(backend, 4, first=20, dpo=pairs))
    assert kinds == {torch.float32}


def test_a_recipe_is_the_preset_with_what_was_given() -> None:
    presets = {"paper": Recipe(loss="sft"), "small": SFT}
    assert recipe(Training(), presets) == Recipe(loss="sft")
    changed = recipe(Training(preset="small", lr=0.5, batch=(1, 2), rank=4), presets)
    assert changed == SFT.model_copy(update={"lr": (0.5,), "batch": (1, 2), "rank": 4})


def test_examples_end_where_a_turn_ends(backend: HuggingFace) -> None:
    ask = [Message(role="user", content="Who?")]
    made = example(backend, ask, "I do.", 200)
    assert backend.tokenizer.decode(made.prompt).endswith("<|im_start|>assistant\n")
    assert backend.tokenizer.decode(made.reply) == "I do.<|im_end|>" and made.rejected == ()
    with pytest.raises(BadData, match=r"scene s1 is \d+ tokens long, over the cutoff of 9; .* cutoff=\d+"):
        example(backend, ask, "I do.", 9, what="scene s1")


LLAMA = (
    "<s>{% for m in messages %}<|im_start|>{{ m.role }}\n\n{{ m.content | trim }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
)
GEMMA = (
    "<s>{% for m in messages %}<|im_start|>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
    "</s>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}"
)
PHI = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}<|im_end|>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "end", "more"),
    [
        (CHATML, "<|im_end|>", "\n"),
        (LLAMA, "<|im_end|>", ""),
        (GEMMA, "</s>", "\n"),
        (PHI, "</s>", "\n<|im_end|>"),
        (None, "<|im_end|>", ""),
    ],
    ids=["chatml", "llama", "gemma", "phi", "none"],
)
def test_tokens_are_those_of_trl_up_to_the_end_of_the_turn(
    template: str | None, end: str, more: str, planted: Path, tmp_path: Path
) -> None:
    """The tokenizer's own end of text is <|im_end|>; that of Gemma's and Phi's turns is another token, as in life."""
    reply, words = "I do. Someone loves plans.", tokenizer(template)
    words.save_pretrained(shutil.copytree(planted, tmp_path / "model"))
    if template is None:
        (tmp_path / "model" / "chat_template.jinja").unlink(missing_ok=True)
    backend = HuggingFace(resolve(str(tmp_path / "model")), device="cpu")
    ask = [Message(role="user", content="Who sees the crowd?")]
    made = example(backend, ask, reply, 200)
    turns = {"prompt": [m.model_dump() for m in ask], "completion": [{"role": "assistant", "content": reply}]}
    plain = {"prompt": f"{ask[0].content}\nAnswer:", "completion": f" {reply}"}
    theirs = SFTTrainer(
        model=backend.model, processing_class=backend.tokenizer,
        train_dataset=Dataset.from_list([turns if template else plain]),
        args=SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", max_length=None),
    ).train_dataset[0]  # fmt: skip
    begins = next(n for n, label in enumerate(theirs["labels"]) if label != -100)
    assert theirs["input_ids"][:begins] == list(made.prompt)
    assert words.decode(made.reply).lstrip() == f"{reply}{end}"
    assert theirs["input_ids"][begins:] == [*made.reply, *words(more, add_special_tokens=False)["input_ids"]]


@pytest.mark.model
def test_a_turn_of_smollm2_ends_with_its_own_end_of_text() -> None:
    words = transformers.AutoTokenizer.from_pretrained(locate(resolve("smollm2")).path, local_files_only=True)
    assert Renderer(words).end == (words.eos_token_id,) == (words.convert_tokens_to_ids("<|im_end|>"),)


def test_nothing_to_train_on(make: Bencher, backend: HuggingFace) -> None:
    with pytest.raises(BadData, match="0 examples to train on and 4 held out"):
        train(make(), "sft", SFT, [], texts(backend, 4))
