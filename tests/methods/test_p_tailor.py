"""P-Tailor: gates against an explicit sum of experts, losses against finite differences, folds against the hooks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from tiny_models import CONFIGS, tokenizer
from torch import Tensor

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.adapters import adapter_digest
from traitbench.controls.wearing import restored
from traitbench.errors import BadData, TraitbenchUsage, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.fitted import fitted
from traitbench.methods.p_tailor import EVERY, P_Tailor
from traitbench.methods.p_tailor.experts import (
    POLES,
    Experts,
    Router,
    Routing,
    divergence,
    entropy,
    fold,
    slots,
    specialisation,
)  # fmt: skip
from traitbench.methods.p_tailor.serving import folded
from traitbench.methods.training import trainers
from traitbench.methods.training.recipes import Recipe
from traitbench.types import BIG_FIVE, Control, Target

EXPERTS, RANK = 4, 2
MODULES = {"llama": ["q_proj", "o_proj", "gate_proj", "down_proj"], "gpt2": ["c_attn", "c_proj", "c_fc"]}
TARGETS = [*(f"{t}={level}" for t in BIG_FIVE for level in ("high", "low")), "openness=low,neuroticism=high"]
IDS = torch.randint(4, 320, (3, 11), generator=torch.manual_seed(1))


def base(name: str) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()


def wrapped(name: str, seed: int = 3, **changes: Any) -> Any:
    """A PEFT model whose LoRA is not zero."""
    config = {"r": EXPERTS * RANK, "lora_alpha": EXPERTS * RANK, "fan_in_fan_out": name == "gpt2", **changes}
    made = peft.get_peft_model(base(name), peft.LoraConfig(target_modules=set(MODULES[name]), **config)).eval()
    draw = torch.Generator().manual_seed(seed)
    for key, value in made.named_parameters():
        if "lora_" in key:
            value.data = torch.randn(value.shape, generator=draw) * 0.2
    return made


def experts(model: Any, routing: Routing = "target", **changes: Any) -> Experts:
    made = Experts(EXPERTS, RANK, **{"embedding": 8, "routing": routing, "seed": 5, **changes})
    made.attach(model)
    return made


def row(target: str) -> tuple[float, ...]:
    return slots(Target.parse(target))


def logits(model: Any, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(ids).logits
    return found


def by_sum(mixture: Experts, model: Any, rows: list[tuple[float, ...]]) -> Tensor:
    """Logits with W x + sum_i w_i B_i A_i x written out: row by row and expert by expert, without PEFT's forward."""
    assert mixture.router is not None
    plain = base("gpt2" if hasattr(model.base_model.model, "transformer") else "llama")
    out = []
    for n, given in enumerate(rows):
        embedding = sum(v * mixture.router.poles[i] for i, v in enumerate(given))
        handles = []
        for layer, name in enumerate(mixture.layers):
            scores = [float((mixture.router.matrices[layer, i] @ embedding).detach()) for i in range(EXPERTS)]
            weights = [math.exp(s) / sum(map(math.exp, scores)) for s in scores]
            lora = model.get_submodule(name)
            a, b = lora.lora_A["default"].weight.detach(), lora.lora_B["default"].weight.detach()

            def add(module: Any, x: Any, y: Tensor, a: Tensor = a, b: Tensor = b, w: Any = weights) -> Tensor:
                for i, weight in enumerate(w):
                    own = slice(i * RANK, (i + 1) * RANK)
                    y = y + weight * (x[0] @ a[own].T @ b[:, own].T)
                return y

            handles.append(plain.get_submodule(name.removeprefix("base_model.model.")).register_forward_hook(add))
        out.append(logits(plain, IDS[n : n + 1]))
        for handle in handles:
            handle.remove()
    return torch.cat(out)


@pytest.mark.parametrize("name", MODULES)
def test_gates_are_the_weighted_sum_of_experts_and_each_row_has_its_own(name: str) -> None:
    model = wrapped(name)
    mixture = experts(model)
    rows = [row("extraversion=high"), row("neuroticism=low"), row("openness=low,agreeableness=high")]
    mixture.begin(torch.tensor(rows))
    found = logits(model)
    torch.testing.assert_close(found, by_sum(mixture, model, rows), rtol=0, atol=1e-5)
    mixture.begin(torch.tensor(rows[:1]))
    assert (logits(model)[1:] - found[1:]).abs().max() > 1e-3
    torch.testing.assert_close(logits(model)[0], found[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_a_fold_loaded_by_plain_peft_equals_the_gates(name: str, tmp_path: Path) -> None:
    model = wrapped(name)
    mixture = experts(model)
    model.save_pretrained(tmp_path / "trained")
    mixture.save(tmp_path / "trained")
    apart = []
    for target in TARGETS:
        mixture.begin(torch.tensor([row(target)]))
        folder = fold(tmp_path / "trained", row(target), tmp_path / target)
        plain = peft.PeftModel.from_pretrained(base(name), folder).eval()
        torch.testing.assert_close(logits(plain), logits(model), rtol=0, atol=1e-4)
        apart.append(logits(plain))
        config = json.loads((folder / "adapter_config.json").read_text())
        assert config["r"] == config["lora_alpha"] == EXPERTS * RANK and not config["rank_pattern"]
        assert config["target_modules"] == sorted(MODULES[name]) and list(config) == sorted(config)
        assert {p.name for p in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert min((a - b).abs().max() for a, b in pairwise(apart)) > 1e-3


@pytest.mark.parametrize(("routing", "gate"), [("uniform", 1 / EXPERTS), ("none", 1.0)])
def test_ablations_fold_to_one_adapter_for_all_targets(routing: Routing, gate: float, tmp_path: Path) -> None:
    model = wrapped("llama")
    without = logits(model)
    mixture = experts(model, routing, weight=1.0)
    assert mixture.router is None and not hasattr(model, "target_router") and float(mixture.loss()) == 0
    mixture.begin(torch.tensor([row(t) for t in TARGETS[:3]]))
    gated = logits(model)
    mixture.detach()
    for b in (m.lora_B["default"] for m in model.modules() if hasattr(m, "lora_B")):
        b.weight.data *= gate
    torch.testing.assert_close(gated, logits(model), rtol=0, atol=1e-5)
    assert routing != "none" or torch.equal(gated, without)
    for b in (m.lora_B["default"] for m in model.modules() if hasattr(m, "lora_B")):
        b.weight.data /= gate
    mixture.attach(model)
    model.save_pretrained(tmp_path)
    mixture.save(tmp_path)
    folders = [fold(tmp_path, row(t), tmp_path / t) for t in TARGETS[:2]]
    assert len({(f / "adapter_model.safetensors").read_bytes() for f in folders}) == 1
    torch.testing.assert_close(
        logits(peft.PeftModel.from_pretrained(base("llama"), folders[0]).eval()), gated, rtol=0, atol=1e-5
    )


def test_hooks_and_router_come_off() -> None:
    model = wrapped("llama")
    before = logits(model)
    mixture = experts(model)
    mixture.begin(torch.tensor([row("openness=high")]))
    assert (logits(model) - before).abs().max() > 1e-3
    assert [n for n, _ in model.named_parameters() if "target_router" in n]
    mixture.attach(model)
    with pytest.raises(RuntimeError, match="call begin"):
        logits(model)
    assert sum(len(m._forward_hooks) for m in model.modules()) == len(mixture.layers)
    mixture.detach()
    assert torch.equal(logits(model), before) and not any(m._forward_hooks for m in model.modules())
    assert not [n for n, _ in model.named_parameters() if "target_router" in n]


def test_the_adapter_switched_off_is_the_base_model() -> None:
    model = wrapped("llama")
    experts(model)
    with model.disable_adapter():
        torch.testing.assert_close(logits(model), logits(base("llama")), rtol=0, atol=1e-6)


def by_hand(log_gates: Any) -> tuple[float, float]:
    """Entropy and divergence with loops over layers, poles and experts; the divergence as a mean of KL to the mean."""
    gates = np.exp(np.asarray(log_gates, dtype=np.float64))
    layers, poles, number = gates.shape
    sums = [-sum(p * math.log(p) for p in gates[n, i]) for n in range(layers) for i in range(poles)]
    apart = []
    for n in range(layers):
        traits = [[(gates[n, 2 * t, e] + gates[n, 2 * t + 1, e]) / 2 for e in range(number)] for t in range(5)]
        middle = [sum(t[e] for t in traits) / 5 for e in range(number)]
        apart.append(sum(p * math.log(p / m) for t in traits for p, m in zip(t, middle, strict=True)) / 5)
    return sum(sums) / len(sums) / math.log(number), sum(apart) / layers / math.log(5)


def test_the_loss_is_entropy_less_divergence_computed_by_hand() -> None:
    logs = Router(3, EXPERTS, 8, seed=2)(torch.eye(10)).detach().double()
    wanted = by_hand(logs)
    assert (float(entropy(logs)), float(divergence(logs))) == pytest.approx(wanted, rel=1e-6)
    assert float(specialisation(logs)) == pytest.approx(wanted[0] - wanted[1], rel=1e-6)


def test_the_loss_is_least_where_each_trait_has_its_own_expert() -> None:
    uniform = torch.full((2, 10, 8), -math.log(8))
    own, shared, poles = (torch.full((2, 10, 8), -200.0) for _ in range(3))
    for pole in range(10):
        own[:, pole, pole // 2] = shared[:, pole, 0] = poles[:, pole, pole % 2] = 0.0
    found = [float(specialisation(logs)) for logs in (uniform, own, shared, poles)]
    assert found == pytest.approx([1.0, -1.0, 0.0, 0.0], abs=1e-6)


def test_gradients_of_loss_and_router_are_those_of_finite_differences() -> None:
    router = Router(2, EXPERTS, 6, seed=4).double()
    rows = torch.tensor([row("openness=high"), row("openness=low,neuroticism=high")], dtype=torch.float64)
    weights = torch.randn(2, 2, EXPERTS, generator=torch.manual_seed(0), dtype=torch.float64)

    def value() -> Tensor:
        return specialisation(router(torch.eye(10))) + (weights * router(rows).exp()).sum()

    value().backward()
    for parameter in router.parameters():
        assert parameter.grad is not None
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(len(flat)):
            kept, sides = float(flat[i]), []
            for step in (1e-5, -1e-5):
                flat[i] = kept + step
                sides.append(float(value().detach()))
            flat[i] = kept
            assert float(gradient[i]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=1e-9)


def test_the_gradient_through_the_model_is_that_of_finite_differences() -> None:
    # GPT-2: its norms keep float64, Llama's do not.
    model = wrapped("gpt2").double()
    mixture = experts(model, weight=0.3)
    router = mixture.router
    assert router is not None
    router.double()
    rows = torch.tensor([row(t) for t in ("openness=high", "neuroticism=low", "extraversion=high")])

    def value() -> Tensor:
        mixture.begin(rows)
        found: Tensor = model(IDS).logits[:, :-1].flatten(0, 1)
        return torch.nn.functional.cross_entropy(found, IDS[:, 1:].flatten()) + mixture.loss()

    value().backward()
    layer = mixture.layers.index("base_model.model.transformer.h.1.mlp.c_proj")
    for parameter, places in ((router.poles, (0, 37, 79)), (router.matrices, (layer * 32, layer * 32 + 19))):
        assert parameter.grad is not None
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in places:
            kept, sides = float(flat[i]), []
            for step in (1e-5, -1e-5):
                flat[i] = kept + step
                sides.append(float(value().detach()))
            flat[i] = kept
            assert float(gradient[i]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-9)
    # A pole that no row names is moved by the specialisation loss alone.
    untouched = POLES.index(("agreeableness", 1.0))
    assert router.poles.grad is not None
    moved = router.poles.grad[untouched].clone()
    router.zero_grad()
    mixture.loss().backward()
    torch.testing.assert_close(router.poles.grad[untouched], moved)


def test_gradient_checkpointing_leaves_the_gradients_as_they_are() -> None:
    found = []
    for checkpointing in (False, True):
        model = wrapped("llama").train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        mixture = experts(model)
        mixture.begin(torch.tensor([row(t) for t in TARGETS[:3]]))
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    assert any("target_router" in name for name in found[0])
    for name, gradient in found[0].items():
        assert gradient is not None and gradient.abs().max() > 0
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-7)


def test_a_gate_of_zero_leaves_finite_gradients() -> None:
    router = Router(1, EXPERTS, 6)
    router.matrices.data *= 1e4
    specialisation(router(torch.eye(10))).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in router.parameters())


@pytest.mark.parametrize("routing", ["target", "uniform", "none"])
def test_a_router_survives_its_folder(routing: Routing, tmp_path: Path) -> None:
    model, other = wrapped("llama"), wrapped("llama")
    mixture, again = experts(model, routing), experts(other, routing, seed=6)
    rows = torch.tensor([row(t) for t in TARGETS[:3]])
    mixture.begin(rows)
    wanted = logits(model)
    again.begin(rows)
    assert (routing == "target") == bool((logits(other) - wanted).abs().max() > 1e-3)
    mixture.save(tmp_path)
    again.load(tmp_path)
    again.begin(rows)
    assert torch.equal(logits(other), wanted)
    (tmp_path / "again").mkdir()
    again.save(tmp_path / "again")
    assert (tmp_path / "experts.safetensors").read_bytes() == (tmp_path / "again/experts.safetensors").read_bytes()


def test_a_router_of_something_else_is_refused(tmp_path: Path) -> None:
    experts(wrapped("llama")).save(tmp_path)
    with pytest.raises(BadData, match="is of another model or embedding"):
        experts(wrapped("gpt2")).load(tmp_path)
    with pytest.raises(BadData, match="is of routing 'target', expected 'none'"):
        experts(wrapped("llama"), "none").load(tmp_path)
    with pytest.raises(BadData, match="is of another model or embedding"):
        experts(wrapped("llama"), embedding=9).load(tmp_path)
    with pytest.raises(BadData, match="is no router of p_tailor"):
        experts(wrapped("llama")).load(tmp_path / "nowhere")
    with pytest.raises(BadData, match="is no router of p_tailor"):
        fold(tmp_path / "nowhere", row("openness=high"), tmp_path / "out")


@pytest.mark.parametrize(("changes", "said"), [({"r": 4, "lora_alpha": 4}, "rank 4"), ({"lora_alpha": 16}, "2.0")])
def test_a_lora_of_another_rank_or_scaling_is_refused(changes: Any, said: str) -> None:
    with pytest.raises(BadData, match=said):
        experts(wrapped("llama", **changes))


def test_a_batch_of_other_rows_is_refused() -> None:
    model = wrapped("llama")
    mixture = experts(model)
    mixture.begin(torch.tensor([row(t) for t in TARGETS[:2]]))
    with pytest.raises(UnsupportedControl, match="rows cannot be told apart"):
        logits(model)


def test_slots_of_targets() -> None:
    assert np.array_equal([row(t) for t in TARGETS[:10]], np.eye(10))
    assert row("neuroticism=high,openness=low") == (0, 1, 0, 0, 0, 0, 0, 0, 1, 0) == row(TARGETS[10])
    for target in (Target.parse("openness=0.5"), Target.parse("narcissism=high"), Target(character="ada"), None):
        with pytest.raises(UnsupportedControl, match="p_tailor"):
            slots(target)


@pytest.mark.parametrize("routing", ["target", "uniform", "none"])
def test_training_lowers_the_loss_and_parts_the_routings(routing: Routing) -> None:
    """Each pole says a token of its own: only the router can tell which, the prompt is the same for all."""
    model = wrapped("llama")
    for key, value in model.named_parameters():
        if "lora_B" in key:
            value.data.zero_()
    mixture = experts(model, routing, weight=0.1)
    rows, ids = torch.eye(10), torch.stack([torch.tensor([7, 8, 9, 20 + n]) for n in range(10)])
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or "target_router" in n for n in trainable)
    assert any("target_router" in n for n in trainable) == (routing == "target")
    optimiser = torch.optim.AdamW(trainable.values(), lr=0.04)
    losses, before = [], mixture.state()
    for _ in range(30):
        mixture.begin(rows)
        found = torch.nn.functional.cross_entropy(model(ids).logits[:, 2], ids[:, 3])
        optimiser.zero_grad()
        (found + mixture.loss()).backward()
        optimiser.step()
        losses.append(float(found.detach()))
    assert losses[-1] < losses[0] - 1
    if routing != "target":
        assert mixture.state() == {} and losses[-1] > math.log(10) - 1e-3
        return
    after = mixture.state()
    assert losses[-1] < math.log(10) / 2
    assert after["divergence"] > before["divergence"] + 0.2 and after["entropy"] < before["entropy"] - 0.2
    mixture.begin(rows)
    assert (logits(model, ids)[:, 2].argmax(1) == ids[:, 3]).all()


SMALL: dict[str, Any] = {
    "preset": "small", "experts": EXPERTS, "expert_rank": RANK, "embedding": 8, "lr": 0.01, "epochs": 4, "warmup": 0,
    "cutoff": 200, "held_out": 0.25, "find": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four scenes in which each pole has a word of its own to say; the input tells nothing."""
    path = tmp_path_factory.mktemp("data") / "dialogues.jsonl"
    lines = [
        {"trait": t, "level": level, "scene": f"s{n}", "input": f"Scene {n}?", "output": f"{t[0]}{level[0]}! " * 2}
        for n in range(4)
        for t in BIG_FIVE
        for level in ("high", "low")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def bench(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """One for the module: what is trained for one test serves the others."""
    place = tmp_path_factory.mktemp("bench")
    backend = HuggingFace(resolve(str(planted)), device="cpu")
    return Bench(0, backend, place / "controls", place / "cache")


@pytest.fixture
def fit(bench: Bench, data: str) -> Callable[..., Control]:
    def go(target: str, where: Bench = bench, **config: Any) -> Control:
        method = P_Tailor(P_Tailor.Config(**{**SMALL, "data": data, **config}))
        parsed = Target.parse(target)
        method.check([parsed])
        return fitted(method, parsed, where)

    return go


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the trainings that were run."""
    told: list[str] = []
    plain = trainers.run

    def counted(bench: Bench, what: str, *given: Any) -> Any:
        told.append(what)
        return plain(bench, what, *given)

    monkeypatch.setattr(trainers, "run", counted)
    return told


def trained(control: Control, bench: Bench) -> Path:
    assert control.fit is not None
    return bench.cache / f"training-{control.fit.shared}" / "adapter"


def test_all_targets_come_from_one_training(bench: Bench, fit: Callable[..., Control], runs: list[str]) -> None:
    before = logits(bench.backend.model)
    made = {target: fit(target) for target in (TARGETS[0], TARGETS[5], TARGETS[10])}
    assert runs == ["p_tailor, all poles"]
    assert torch.equal(logits(bench.backend.model), before)
    assert len({control.weights for control in made.values()}) == 3
    for target, control in made.items():
        assert control.kinds == {"weights"} and control.adapter is not None and not control.messages
        with bench.backend.under(control):
            worn = logits(bench.backend.model)
        assert (worn - before).abs().max() > 0.05
        with restored(bench.backend.model):
            model = peft.PeftModel.from_pretrained(bench.backend.model, trained(control, bench))
            mixture = Experts(EXPERTS, RANK, embedding=8)
            mixture.attach(model)
            mixture.load(trained(control, bench))
            mixture.begin(torch.tensor([row(target)]))
            torch.testing.assert_close(logits(model.eval()), worn, rtol=0, atol=1e-4)
            mixture.detach()
        assert control == controls.read(bench.folder / control.hash)


def test_what_a_fit_says_of_itself(bench: Bench, fit: Callable[..., Control], data: str) -> None:
    said = fit("openness=high").fit
    assert said is not None and said.target == "openness=high" and said.seconds > 0 and said.fitted_on == ()
    assert said.parameters == EXPERTS * RANK * sum(
        sum(m.weight.shape)
        for name, m in bench.backend.model.named_modules()
        if isinstance(m, torch.nn.Linear) and name != "lm_head"
    )
    details = said.details
    assert "neither code, nor data, nor the form of its loss" in details["note"]
    assert details["data"]["name"] == data and details["leaks"]["texts"] == 80
    assert details["specialisation"] == 0.1 and details["specialisations"] == []
    assert details["recipe"]["rank"] == details["recipe"]["alpha"] == EXPERTS * RANK
    held = [point["held_out"] for point in details["losses"] if "held_out" in point]
    assert details["examples"] == 30 and details["steps"] == 16 and min(held) < 0.9 * held[0]
    start = Router(7 * 3, EXPERTS, 8, seed=0)(torch.eye(10)).detach()
    assert details["routing"]["divergence"] > float(divergence(start))
    other = fit("openness=low").fit
    assert other is not None and other.shared == said.shared and other.details == details


def test_the_rate_is_chosen_by_the_effect_over_all_poles(bench: Bench, fit: Callable[..., Control]) -> None:
    control = fit("openness=high", lr=(0.005, 0.02), widen=0, epochs=1)
    assert control.fit is not None and control.adapter is not None
    details = control.fit.details
    assert details["chosen_on"] == "development effect, then held-out loss"
    items = bench.halves()[1]
    assert set(control.fit.fitted_on) == {item.text_hash for item in items}
    # That of the run that was kept, measured pole by pole on folded adapters.
    plan = Recipe.model_validate(details["recipe"])
    again = plan.model_copy(update={"match_steps": plan.trial_steps, "evaluations": 1, "patience": None})
    trial = next(one for one in details["trials"] if one["lr"] == plan.lr[0])
    place = next(
        path.parent for path in bench.cache.glob("training-*/trained.json")
        if json.loads(path.read_text())["recipe"] == again.model_dump(mode="json")
    )  # fmt: skip
    effects = []
    for target in EVERY:
        with folded(bench, place / "adapter", slots(target)) as folder:
            one = Control(adapter=folder, weights=adapter_digest(folder))
            effects.append(bench.effect(one, target, items))
    assert trial["effect"] == pytest.approx(np.mean(effects)) and len({round(e, 6) for e in effects}) == 10
    # The perplexity of what was kept is that of the pole that does most damage.
    kept, ratios = trained(control, bench), []
    for target in EVERY:
        with folded(bench, kept, slots(target)) as folder:
            ratios.append(bench.harm(Control(adapter=folder, weights=adapter_digest(folder))).ratio)
    assert details["perplexity"] == pytest.approx(max(ratios), rel=1e-4) and max(ratios) > min(ratios) * 1.0001


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
def test_conv1d_layers_are_trained_and_folded(tmp_path: Path, fit: Callable[..., Control]) -> None:
    base("gpt2").save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    backend = HuggingFace(resolve(str(tmp_path / "model")), device="cpu")
    control = fit("extraversion=low", Bench(0, backend, tmp_path / "controls", tmp_path / "cache"), epochs=1)
    before = logits(backend.model)
    with backend.under(control):
        worn = logits(backend.model)
    assert control.adapter is not None and control.fit is not None
    held = [point["held_out"] for point in control.fit.details["losses"] if "held_out" in point]
    assert (worn - before).abs().max() > 0.01 and min(held) < held[0]
    torch.testing.assert_close(
        logits(peft.PeftModel.from_pretrained(backend.model, control.adapter).eval()), worn, rtol=0, atol=1e-5
    )


def test_without_a_router_the_instruction_tells_the_target(fit: Callable[..., Control]) -> None:
    for router in ("uniform", "none"):
        both, one = (fit(t, router=router, epochs=1) for t in ("openness=high,neuroticism=low", "openness=low"))
        (message,) = both.messages
        assert message.role == "system" and "high openness" in message.content
        assert both.kinds == {"prompt", "weights"} and both.weights == one.weights and both.hash != one.hash
        assert both.fit is not None and both.fit.details["routing"] == {}


def test_the_instruction_can_be_added_to_the_router(fit: Callable[..., Control]) -> None:
    plain, worded = (fit("openness=high", instruction=told, epochs=1) for told in (False, True))
    assert worded.messages and not plain.messages and worded.weights != plain.weights
    assert plain.fit is not None and worded.fit is not None
    assert worded.fit.details["tokens"] > plain.fit.details["tokens"]


def test_the_weight_of_the_loss_is_chosen_by_held_out_loss(fit: Callable[..., Control], runs: list[str]) -> None:
    control = fit("openness=high", specialisation=None, specialisations=(0.0, 3.0), epochs=1)
    assert runs == [f"p_tailor, all poles, specialisation {w}" for w in ("0", "3")]
    assert control.fit is not None
    tried = control.fit.details["specialisations"]
    assert [each["weight"] for each in tried] == [0.0, 3.0]
    chosen = min(tried, key=lambda each: each["held_out"])
    assert control.fit.details["specialisation"] == chosen["weight"]
    assert chosen["held_out"] == min(p["held_out"] for p in control.fit.details["losses"] if "held_out" in p)
    fit("openness=low", specialisation=None, specialisations=(0.0, 3.0), epochs=1)
    assert len(runs) == 2
    # The same runs, one by one: both are in the cache, and the loss that was weighed parts the routings further.
    free, pressed = (fit("openness=high", specialisation=weight, epochs=1).fit for weight in (0.0, 3.0))
    assert len(runs) == 2 and free is not None and pressed is not None
    assert pressed.details["routing"]["divergence"] > free.details["routing"]["divergence"]
    assert pressed.details["routing"]["entropy"] < free.details["routing"]["entropy"]


def test_a_killed_training_resumes_to_the_same_experts(
    planted: Path, fit: Callable[..., Control], bench: Bench, tmp_path: Path
) -> None:
    whole = fit("openness=high")
    steps = 0

    def begin(what: str, total: int) -> Callable[[int], None]:
        def step(n: int) -> None:
            nonlocal steps
            steps += n
            if steps == 10:
                raise KeyboardInterrupt

        return step

    backend = HuggingFace(resolve(str(planted)), device="cpu")
    other = Bench(0, backend, tmp_path / "controls", tmp_path / "cache", begin=begin)
    with pytest.raises(KeyboardInterrupt):
        fit("openness=high", other)
    assert not any(m._forward_hooks for m in backend.model.modules())
    assert list(other.cache.glob("training-*/checkpoints/checkpoint-*/experts.safetensors"))
    resumed = fit("openness=high", other)
    assert steps > 7 and whole.fit is not None and resumed.fit is not None
    for a, b in zip(whole.fit.details["losses"], resumed.fit.details["losses"], strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    for name in ("experts.safetensors", "adapter_model.safetensors"):
        assert (trained(whole, bench) / name).read_bytes() == (trained(resumed, other) / name).read_bytes()
    assert whole.weights == resumed.weights


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"router": "state"}, UnsupportedControl, "offers no router=state"),
        ({"rank": 8}, TraitbenchUsage, "experts \\* expert_rank"),
        ({"cutoff": 10}, BadData, "over the cutoff of 10"),
    ],
)
def test_configurations_that_cannot_be_trained(
    fit: Callable[..., Control], config: dict[str, Any], error: type[Exception], said: str, runs: list[str]
) -> None:
    with pytest.raises(error, match=said):
        fit("openness=high", **config)
    assert not runs


@pytest.mark.parametrize("target", ["openness=0.5", "narcissism=high"])
def test_targets_without_a_slot_are_refused_before_anything_is_trained(
    fit: Callable[..., Control], target: str, runs: list[str]
) -> None:
    with pytest.raises(UnsupportedControl, match="p_tailor"):
        fit(target)
    assert not runs


def test_data_without_one_of_the_poles_are_refused(tmp_path: Path, data: str) -> None:
    short = tmp_path / "short.jsonl"
    lines = Path(data).read_text().splitlines(keepends=True)
    short.write_text("".join(line for line in lines if "agreeableness" not in line))
    with pytest.raises(BadData, match="holds no dialogue of agreeableness=high"):
        P_Tailor(P_Tailor.Config(data=str(short))).check([Target.parse("openness=high")])


def test_the_rank_is_that_of_all_experts() -> None:
    assert P_Tailor().rank == 256 and P_Tailor(P_Tailor.Config(experts=4, expert_rank=8)).rank == 32
