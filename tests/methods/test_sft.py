"""SFT and DPO on trait dialogues: what is trained on, what a control says of it, whole runs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from quiet import Quiet

from traitbench import controls, inventories
from traitbench.backends import BACKENDS
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.cli.commands import main
from traitbench.controls.adapters import CONFIG, WEIGHTS
from traitbench.errors import BadData, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.fitted import fitted
from traitbench.methods.method import Method
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.plan import Plan
from traitbench.types import Control, Target

HIGH, LOW = (Target(levels={"extraversion": level}) for level in (1.0, -1.0))
QUICK: dict[str, Any] = {"lr": 0.02, "batch": 4, "epochs": 2, "warmup": 0, "held_out": 0.25, "find": False}
SAYS = {"high": "I loves the crowd and makes plans.", "low": "I worries or sees someone."}


def lines(traits: tuple[str, ...] = ("extraversion", "openness"), scenes: int = 8) -> list[dict[str, str]]:
    return [
        {
            "trait": trait,
            "level": level,
            "scene": f"s{n}",
            "input": f"Scene {n}?",
            "output": f"{SAYS[level]} {trait} {n}",
        }
        for n in range(scenes)
        for trait in traits
        for level in ("high", "low")
    ]


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., str]:
    def write(rows: list[dict[str, str]], name: str = "dialogues.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def method(name: str, **config: Any) -> Method:
    kind: Any = METHODS.load(name)
    return kind(kind.Config(**{**QUICK, **config}))


def text(bench: Bench, ids: tuple[int, ...]) -> str:
    return str(bench.backend.tokenizer.decode(ids))


def test_one_adapter_a_target_is_told_half_of_the_time(bench: Bench, data: Callable[..., str]) -> None:
    sft: Any = method("sft", data=data(lines()), adapters="each")
    from traitbench.methods.sft import opened

    train, held = sft._examples(bench, opened(sft.config.data, [HIGH]), HIGH)
    assert len(train) == 6 and len(held) == 2
    assert all(SAYS["high"] in text(bench, row.reply) and "extraversion" in text(bench, row.reply) for row in train)
    told = ["high extraversion" in text(bench, row.prompt) for row in train]
    assert told == [True, False] * 3
    train, held = method("sft", data=sft.config.data)._examples(bench, opened(sft.config.data, [HIGH]), None)  # type: ignore[attr-defined]
    assert len(train) == 24 and len(held) == 8 and all("You are a person with" in text(bench, r.prompt) for r in train)


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_the_seed_draws_the_scenes_that_are_held_out(name: str, bench: Bench, data: Callable[..., str]) -> None:
    made: Any = method(name, data=data(lines(scenes=12)), adapters="each", scenes=8)
    from traitbench.methods.sft import opened

    corpus = opened(made.config.data, [HIGH])
    parts = {seed: made._parts(corpus, HIGH, seed) for seed in range(4)}
    kept = {seed: [{row.scene for row in part} for part in both] for seed, both in parts.items()}
    assert all(len(train) == 6 and len(held) == 2 and not train & held for train, held in kept.values())
    assert len({frozenset(held) for _, held in kept.values()}) > 1
    first, second = (made._examples(other, corpus, HIGH) for other in bench.reseeded(2))
    assert made._examples(bench, corpus, HIGH) == first != second


def test_pairs_prefer_the_level_aimed_at(bench: Bench, data: Callable[..., str]) -> None:
    from traitbench.methods.sft import opened

    dpo: Any = method("dpo", data=data(lines()), adapters="each")
    train, _ = dpo._examples(bench, opened(dpo.config.data, [LOW]), LOW)
    assert len(train) == 6
    for row in train:
        assert SAYS["low"] in text(bench, row.reply) and SAYS["high"] in text(bench, row.rejected)


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_one_adapter_for_all_levels_is_used_with_its_instruction(
    name: str, bench: Bench, data: Callable[..., str]
) -> None:
    made = method(name, data=data(lines()))
    high, low = (fitted(made, target, bench) for target in (HIGH, LOW))
    assert high.weights == low.weights and high.hash != low.hash and high.kinds == {"prompt", "weights"}
    assert high.messages[0].content == "You are a person with high extraversion."
    assert high.fit and low.fit and high.fit.shared == low.fit.shared and high.fit.seconds == low.fit.seconds
    assert controls.read(bench.folder / high.hash) == high


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_one_adapter_a_target_moves_the_model_towards_it(name: str, bench: Bench, data: Callable[..., str]) -> None:
    made = method(name, data=data(lines()), adapters="each", epochs=8)
    said = {}
    for target in (HIGH, LOW):
        control = fitted(made, target, bench)
        assert control.kinds == {"weights"} and not control.messages
        ids = [(*bench.backend.renderer.encode("Scene 9? "), *bench.backend.renderer.encode(t)) for t in SAYS.values()]
        with bench.backend.under(control), torch.no_grad():
            both = [
                bench.backend.model(torch.tensor([i])).logits[0, :-1].log_softmax(-1)
                .gather(1, torch.tensor(i)[1:, None]).sum() for i in ids
            ]  # fmt: skip
        said[target.name] = float(both[0] - both[1])
    assert said["extraversion=high"] > said["extraversion=low"] + 1


def test_what_a_fit_says(bench: Bench, data: Callable[..., str]) -> None:
    item = next(i for i in inventories.load("mini_ipip").items if len(i.text.split()) > 3)
    rows = lines()
    rows[0]["output"] = f"I will tell you: {item.text}"
    fit = fitted(method("dpo", data=data(rows), adapters="each", lr=(0.01, 0.02), widen=0), HIGH, bench).fit
    assert fit and fit.model["model"] and fit.target == "extraversion=high" and fit.seconds > 0
    details = fit.details
    assert details["recipe"]["lr"] in ([0.01], [0.02]) and len(details["trials"]) == 2
    assert details["steps"] == 4 and details["tokens"] > 0 and details["data"]["name"].endswith("dialogues.jsonl")
    assert [p["step"] for p in details["losses"]] == list(range(5)) and "accuracy" in details["losses"][-1]
    assert details["leaks"]["items_whole"] == 1 and item.text_hash in fit.fitted_on
    assert fit.parameters == sum(
        8 * sum(m.weight.shape) for n, m in bench.backend.model.named_modules()
        if isinstance(m, torch.nn.Linear) and n != "lm_head"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_steps_may_be_matched(name: str, bench: Bench, data: Callable[..., str]) -> None:
    fit = fitted(method(name, data=data(lines()), adapters="each", match_steps=3), HIGH, bench).fit
    assert fit and (fit.details["steps"], fit.details["planned_steps"]) == (3, 3)
    assert fit.details["chosen_on"] == "held-out loss"


@pytest.mark.parametrize("name", ["sft", "dpo"])
@pytest.mark.parametrize("adapters", ["one", "each"])
def test_rates_are_chosen_on_development_items(
    name: str, adapters: str, bench: Bench, data: Callable[..., str]
) -> None:
    made = method(name, data=data(lines()), adapters=adapters, lr=(0.005, 0.02), widen=0)
    fit = fitted(made, HIGH, bench).fit
    assert fit and fit.details["chosen_on"] == "development effect, then held-out loss"
    assert all(trial["effect"] is not None and trial["se"] > 0 for trial in fit.details["trials"])
    asked = {"extraversion"} if adapters == "each" else {"extraversion", "openness"}
    hashes = {item.text_hash for item in bench.halves()[1] if item.trait in asked}
    assert hashes == set(fit.fitted_on) and any("IPIP" in key or "items of" in key for key in made.reads(HIGH, bench))
    by_loss = method(name, data=data(lines()), adapters=adapters, lr=(0.005, 0.02), widen=0, dev="loss")
    other = fitted(by_loss, HIGH, bench).fit
    assert other and other.details["chosen_on"] == "held-out loss" and not other.fitted_on
    assert [trial["effect"] for trial in other.details["trials"]] == [None, None]
    assert not any("items of" in key for key in by_loss.reads(HIGH, bench))


def test_a_trait_without_development_items_has_its_rate_chosen_on_loss(bench: Bench, data: Callable[..., str]) -> None:
    made = method("sft", data=data(lines(("narcissism",))), adapters="each", lr=(0.005, 0.02), widen=0)
    fit = fitted(made, Target(levels={"narcissism": 1.0}), bench).fit
    assert fit and fit.details["chosen_on"] == "held-out loss" and not fit.fitted_on


def test_a_changed_file_is_fitted_again(bench: Bench, data: Callable[..., str]) -> None:
    path = data(lines())
    first = fitted(method("sft", data=path, adapters="each"), HIGH, bench)
    assert fitted(method("sft", data=path, adapters="each"), HIGH, bench) == first
    data([{**row, "output": row["output"] + " Yes."} for row in lines()])
    assert fitted(method("sft", data=path, adapters="each"), HIGH, bench).weights != first.weights


@pytest.mark.parametrize(
    ("rows", "target", "message"),
    [
        ([], HIGH, "holds no dialogue"),
        ([r for r in lines() if r["level"] == "high"], HIGH, "one-class set"),
        (lines(("openness",)), HIGH, "holds no dialogue of extraversion=high; it has openness=high, openness=low"),
        (lines()[1:], LOW, "unequal pairs: 1 of"),
        ([{**lines()[0], "trait": "extroversion"}], HIGH, "unknown trait 'extroversion'"),
        ([{**lines()[0], "level": "middle"}], HIGH, "unknown level 'middle'"),
    ],
)  # fmt: skip
def test_bad_data_is_refused_before_a_model_is_loaded(
    rows: list[dict[str, str]], target: Target, message: str, data: Callable[..., str]
) -> None:
    with pytest.raises((BadData, UnknownName), match=message):
        method("dpo", data=data(rows)).check([target])


def test_a_record_over_the_cutoff_is_refused_before_anything_is_trained(
    planted: Path, tmp_path: Path, data: Callable[..., str]
) -> None:
    def begin(what: str, total: int) -> Any:
        raise AssertionError(what)

    rows = lines()
    rows[-1]["output"] *= 9
    backend = HuggingFace(resolve(str(planted)), device="cpu")
    bench = Bench(0, backend, tmp_path / "controls", tmp_path / "cache", begin=begin)
    with pytest.raises(BadData, match=r"scene s7, openness low is \d+ tokens long, over the cutoff of 150; .*cutoff="):
        fitted(method("sft", data=data(rows), adapters="each", cutoff=150), HIGH, bench)


def plan(model: Path, to: Path, source: str, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": str(model), "method": "dpo", "device": "cpu", "target": "extraversion=high", "tasks": ("mini_ipip",),
        "method_args": {**QUICK, "data": source, "adapters": "each"}, "output_path": str(to), "bootstrap_iters": 50,
        "scoring": ("statement",), **changes,
    })  # fmt: skip


def test_a_whole_run(planted: Path, tmp_path: Path, data: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    source = data(lines())
    every = {**QUICK, "data": data(lines(tuple(inventories.load("mini_ipip").traits)), "five.jsonl"), "adapters": "one"}
    wanted = plan(planted, tmp_path / "runs", source, target="all", limit=8, method_args=every)
    results, path = evaluate(wanted, Quiet(), print)
    assert len(results.conditions) == 11 and all(c.perplexity for c in results.conditions[1:])
    assert len({c.control_hash for c in results.conditions[1:]}) == 10
    one = results.fits["extraversion=high"]
    assert results.cost["stored_parameters"] == one.parameters and results.cost["fit_seconds"] == one.seconds
    assert rescore(path) == results
    told, _ = evaluate(plan(planted, tmp_path / "runs", source, matched=True), Quiet(), print)
    assert told.controls["extraversion=high"][0]["content"] == "You are a person with high extraversion."
    alone, _ = evaluate(plan(planted, tmp_path / "runs", source), Quiet(), print)
    assert alone.controls["extraversion=high"] == [] and alone.tasks != told.tasks
    assert alone.fits["extraversion=high"].details["training"] == told.fits["extraversion=high"].details["training"]
    assert told.method["settings"]["matched"] is True


def test_fit_and_run_share_what_was_fitted(
    planted: Path, tmp_path: Path, data: Callable[..., str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    settings = ",".join(f"{k}={v}" for k, v in {**QUICK, "data": data(lines()), "adapters": "each"}.items())
    words = ["--model", str(planted), "--method", "sft", "--method_args", settings, "--target", "extraversion=high",
             "--device", "cpu", "-o", str(tmp_path / "runs")]  # fmt: skip
    assert main(["fit", *words]) == 0
    (place,) = map(Path, capsys.readouterr().out.split())
    assert sorted(p.name for p in place.iterdir()) == ["adapter", "control.json", "method.json"]
    assert sorted(p.name for p in (place / "adapter").iterdir()) == [CONFIG, WEIGHTS]
    note = json.loads((place / "method.json").read_text())
    assert note["licence"] and note["seconds"] > 0 and note["model"]["model"] == planted.name
    (tmp_path / "cache" / "fits").rename(tmp_path / "cache" / "gone")
    assert main(["run", *words, "--tasks", "mini_ipip", "--scoring", "statement", "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["conditions"][1]["control_hash"] == place.name

    folder = place / "adapter"
    words[3:6] = ["adapter", "--method_args", f"folder={folder}"]
    assert main(["run", *words, "--tasks", "mini_ipip", "--scoring", "statement", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == printed["tasks"]


def test_fit_refuses_what_is_not_fitted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--method", "prompting", "--target", "extraversion=high"]) == 2
    assert "is not fitted on a model" in capsys.readouterr().err


@pytest.fixture
def trained(bench: Bench, data: Callable[..., str]) -> Control:
    return fitted(method("sft", data=data(lines()), adapters="each", epochs=1), HIGH, bench)


def test_an_adapter_of_another_model_is_refused(trained: Control, tmp_path: Path) -> None:
    import transformers
    from tiny_models import tokenizer

    sizes = {
        "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 0, "eos_token_id": 3,
        "pad_token_id": 1,
    }  # fmt: skip
    for name, changed, message in (
        ("wide", {"hidden_size": 40}, "wide, this model's weight is"),
        ("short", {"num_hidden_layers": 2}, "which this one has not"),
    ):
        config = transformers.LlamaConfig(**{**sizes, **changed})
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        tokenizer().save_pretrained(tmp_path / name)
        other = HuggingFace(resolve(str(tmp_path / name)), device="cpu")
        with pytest.raises(BadData, match=message), other.under(trained):
            raise AssertionError


def test_a_damaged_adapter_is_refused(trained: Control, bench: Bench) -> None:
    assert trained.adapter is not None
    weights = trained.adapter / WEIGHTS
    held = weights.read_bytes()
    weights.write_bytes(held[:-4] + b"\0\0\0\1")
    with pytest.raises(BadData, match=r"has the digest .* fit it again"):
        controls.read(bench.folder / trained.hash)
    weights.unlink()
    with pytest.raises(BadData, match=f"holds no {WEIGHTS}"):
        controls.read(bench.folder / trained.hash)


def test_the_model_is_itself_again(trained: Control, bench: Bench) -> None:
    model, ids = bench.backend.model, torch.tensor([[5, 6, 7]])
    before, names = model(ids).logits, [name for name, _ in model.named_modules()]
    with pytest.raises(KeyError), bench.backend.under(trained):
        assert not torch.equal(model(ids).logits, before)
        raise KeyError
    assert torch.equal(model(ids).logits, before) and [name for name, _ in model.named_modules()] == names


def test_a_rank_that_the_backend_cannot_serve(
    planted: Path, tmp_path: Path, data: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BACKENDS.load("hf"), "ranks", frozenset({16, 32}))
    monkeypatch.setattr(HuggingFace, "make", None)
    with pytest.raises(
        UnsupportedControl, match="rank 8, which the backend hf cannot serve; it serves the ranks 16, 32"
    ):
        evaluate(plan(planted, tmp_path, data(lines())), Quiet(), print)


def test_the_adapter_method_says_what_it_needs(tmp_path: Path) -> None:
    kind: Any = METHODS.load("adapter")
    with pytest.raises(TraitbenchUsage, match="needs a PEFT folder"):
        kind().check([HIGH])
    with pytest.raises(TraitbenchUsage, match="one target"):
        kind(kind.Config(folder=str(tmp_path))).check([HIGH, LOW])
    with pytest.raises(BadData, match=f"holds no {CONFIG}"):
        kind(kind.Config(folder=str(tmp_path))).check([HIGH])
    (tmp_path / CONFIG).write_text(json.dumps({"peft_type": "IA3"}))
    (tmp_path / "adapter_model.bin").touch()
    with pytest.raises(BadData, match="is a pickle and is not read"):
        kind(kind.Config(folder=str(tmp_path))).check([HIGH])


def test_matched_needs_levels_and_something_to_match(planted: Path, tmp_path: Path) -> None:
    from traitbench.runs.prepare import prepare

    with pytest.raises(TraitbenchUsage, match="has nothing to put an instruction in front of"):
        prepare(plan(planted, tmp_path, "open", method="prompting", method_args={}, matched=True))
