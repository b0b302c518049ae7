"""Adapters on a model and off again: its own weights are bit for bit what they were."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import CONFIGS

from traitbench.controls.adapters import CONFIG, WEIGHTS, adapter_digest, check_tensors, read_config
from traitbench.controls.wearing import check_adapter, restored, worn
from traitbench.errors import BadData
from traitbench.types import Control

peft = pytest.importorskip("peft")

IDS = torch.tensor([[5, 9, 200, 31, 7, 64, 128, 250]])


@pytest.fixture(params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Return the function that makes the same untrained model again."""

    def make() -> Any:
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param]()).eval()

    return make


def perplexity(model: Any) -> float:
    with torch.inference_mode():
        return float(model(input_ids=IDS, labels=IDS).loss.exp())


def wrapped(model: Any, init: bool | str) -> Any:
    """The model in a LoRA begun as `init` says."""
    torch.manual_seed(1)
    turned = any("Conv1D" in type(module).__name__ for module in model.modules())
    return peft.get_peft_model(
        model, peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=init, fan_in_fan_out=turned)
    ).eval()


def trained(made: Any) -> Any:
    """Give the LoRA weights that change the model."""
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return made


def unchanged(model: Any, fresh: Any) -> None:
    mine, theirs = model.state_dict(keep_vars=True), fresh.state_dict()
    assert mine.keys() == theirs.keys() and len(mine) > 20
    assert all(torch.equal(mine[name], theirs[name]) and mine[name].dtype == theirs[name].dtype for name in theirs)
    trained = [{name: p.requires_grad for name, p in each.named_parameters()} for each in (model, fresh)]
    assert trained[0] == trained[1] and vars(model).keys() == vars(fresh).keys()
    assert perplexity(model) == perplexity(fresh)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("init", [True, False, "gaussian", "eva", "orthogonal"])
def test_a_plain_lora_moves_the_model_and_leaves_it_as_it_was(
    init: bool | str, base: Callable[[], Any], tmp_path: Path
) -> None:
    trained(wrapped(base(), init)).save_pretrained(tmp_path)
    model = base()
    owned = dict(model.named_parameters())
    plain = peft.PeftModel.from_pretrained(base(), tmp_path).eval()
    with worn(model, Control(adapter=tmp_path, weights=adapter_digest(tmp_path))):
        assert perplexity(model) == pytest.approx(perplexity(plain), rel=1e-6) != perplexity(base())
    unchanged(model, base())
    assert all(owned[name] is parameter for name, parameter in model.named_parameters())


@pytest.mark.parametrize(
    "init", ["pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq", "lora_ga", "of_next_year"]
)
def test_an_adapter_begun_by_editing_the_base_is_refused_by_name(
    init: str, base: Callable[[], Any], tmp_path: Path
) -> None:
    wrapped(base(), True).save_pretrained(tmp_path)
    control = Control(adapter=tmp_path, weights=adapter_digest(tmp_path))
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "init_lora_weights": init}))
    model = base()
    with (
        pytest.raises(BadData, match=f"begun with init_lora_weights='{init}'.*expected a plain LoRA"),
        worn(model, control),
    ):
        raise AssertionError("it was put on")
    unchanged(model, base())


@pytest.mark.parametrize("key", ["layer_replication", "kasa_config", "alora_invocation_tokens"])
def test_a_lora_that_is_more_than_a_sum_is_refused(key: str, base: Callable[[], Any], tmp_path: Path) -> None:
    wrapped(base(), True).save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    assert key in config and read_config(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps({**config, key: [[0, 2], [1, 3]]}))
    with pytest.raises(BadData, match=f"{key}.*expected a plain LoRA"):
        read_config(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_was_begun_with_pissa_is_taken_once_it_is_written_as_a_plain_lora(
    base: Callable[[], Any], tmp_path: Path
) -> None:
    made = wrapped(base(), "pissa")
    made.peft_config["default"].init_lora_weights = True
    made.save_pretrained(tmp_path / "begun")
    made.peft_config["default"].init_lora_weights = "pissa"
    wanted = perplexity(trained(made))
    made.save_pretrained(tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "begun"))
    model = base()
    with worn(model, Control(adapter=tmp_path / "plain", weights=adapter_digest(tmp_path / "plain"))):
        assert perplexity(model) == pytest.approx(wanted, rel=1e-4) != perplexity(base())
    unchanged(model, base())


def test_weights_that_peft_replaces_are_put_back(base: Callable[[], Any]) -> None:
    model = base()
    with restored(model):
        edited = wrapped(model, "pissa").base_model.model
        before = base().state_dict()
        layers = [name for name in edited.state_dict() if name.endswith("base_layer.weight")]
        moved = [n for n in layers if not torch.equal(edited.state_dict()[n], before[n.replace(".base_layer", "")])]
        assert len(moved) == len(layers) > 10
    unchanged(model, base())


def test_weights_that_peft_overwrites_are_noticed(base: Callable[[], Any]) -> None:
    model = base()
    with pytest.raises(BadData, match=r"\d+ of the model's own weights were overwritten"), restored(model):
        # On float32 OLoRA subtracts in the base model's own memory.
        wrapped(model, "olora")
    assert not any("lora" in name for name, _ in model.named_modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_bit_is_noticed(dtype: torch.dtype, base: Callable[[], Any]) -> None:
    for place in (0, -1):
        model = base().to(dtype)
        name, parameter = list(model.named_parameters())[5]
        with pytest.raises(BadData, match=name.replace(".", r"\.")), restored(model):
            # Through .data, where torch counts no version.
            bits = parameter.data.view(torch.int32 if dtype == torch.float32 else torch.int16).view(-1)
            bits[place] ^= 1
    model = base()
    with pytest.raises(KeyError), restored(model):
        raise KeyError
    unchanged(model, base())


def stirred(made: Any) -> Any:
    """Give everything that was trained other values."""
    torch.manual_seed(2)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return made


def table_of(model: Any) -> str:
    """The last name of the embedding."""
    (name,) = (n for n, m in model.named_modules() if m is model.get_input_embeddings())
    return str(name.rpartition(".")[2])


KINDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "dora": lambda _: {"use_dora": True},
    "modules_to_save": lambda _: {"modules_to_save": ["lm_head"]},
    "lora_bias": lambda _: {"lora_bias": True},
    "bias": lambda _: {"bias": "all"},
    "tokens": lambda _: {"trainable_token_indices": [5, 9, 200]},
    "embeddings": lambda table: {"target_modules": [table, "c_attn", "q_proj"]},
    "embeddings and dora": lambda table: {"target_modules": [table, "c_attn", "q_proj"], "use_dora": True},
    "ranks": lambda table: {
        "rank_pattern": {"down_proj" if table == "embed_tokens" else "mlp.c_proj": 2},
        "alpha_pattern": {"q_proj" if table == "embed_tokens" else "c_attn": 32},
    },
    "rslora": lambda _: {"use_rslora": True},
}


def adapter_of(kind: str, base: Callable[[], Any], folder: Path) -> Control:
    model = base()
    turned = any("Conv1D" in type(module).__name__ for module in model.modules())
    given = {"target_modules": "all-linear", "fan_in_fan_out": turned, **KINDS[kind](table_of(model))}
    made = stirred(peft.get_peft_model(model, peft.LoraConfig(r=4, **given)))
    made.save_pretrained(folder, save_embedding_layers=kind == "embeddings")
    return Control(adapter=folder, weights=adapter_digest(folder))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_plain_peft_takes_is_taken_and_comes_off_without_a_trace(
    kind: str, base: Callable[[], Any], tmp_path: Path
) -> None:
    control = adapter_of(kind, base, tmp_path)
    model, fresh = base(), base()
    plain = peft.PeftModel.from_pretrained(base(), tmp_path).eval()
    with worn(model, control):
        assert perplexity(model) == pytest.approx(perplexity(plain), rel=1e-6) != perplexity(fresh)
    unchanged(model, fresh)
    with torch.device("meta"):
        bones = transformers.AutoModelForCausalLM.from_config(fresh.config).eval()
    check_adapter(bones, control)
    assert [n for n, _ in bones.named_parameters()] == [n for n, _ in fresh.named_parameters()]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_embedding_that_was_saved_beside_its_adapter_is_loaded_and_taken_back(
    base: Callable[[], Any], tmp_path: Path
) -> None:
    """PEFT writes it into the base model's own memory."""
    control = adapter_of("embeddings", base, tmp_path)
    held = load_file(tmp_path / WEIGHTS)
    (name,) = (name for name in held if name.endswith(".base_layer.weight"))
    held[name] = held[name] + 0.5
    save_file(held, tmp_path / WEIGHTS)
    model = base()
    plain = peft.PeftModel.from_pretrained(base(), tmp_path).eval()
    with worn(model, control):
        assert perplexity(model) == pytest.approx(perplexity(plain), rel=1e-6)
    unchanged(model, base())


def halved(held: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor for name, tensor in held.items() if ".0." not in name}


def with_first(change: Callable[[Any], Any], part: str = "lora_B") -> Callable[[dict[str, Any]], dict[str, Any]]:
    def go(held: dict[str, Any]) -> dict[str, Any]:
        name = next(name for name in sorted(held) if part in name)
        return {**held, name: change(held[name].clone())}

    return go


def put(value: float) -> Callable[[Any], Any]:
    def go(tensor: Any) -> Any:
        tensor.view(-1)[3] = value
        return tensor

    return go


WRONG: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "none": (lambda held: {}, "holds no tensors"),
    "half": (halved, r"lacks \d+ tensors that adapter_config.json calls for"),
    "no B": (lambda held: {n: t for n, t in held.items() if "lora_B" not in n}, "lora_A of .* and no lora_B"),
    "nan": (with_first(put(float("nan"))), "lora_B.* holds nan; expected finite numbers"),
    "inf": (with_first(put(float("-inf")), "lora_A"), "lora_A.* holds -inf; expected finite numbers"),
    "more": (lambda held: {**held, "base_model.model.spare.weight": torch.ones(2)}, "holds 1 tensors that .*spare"),
    "elsewhere": (
        lambda held: {name.replace(".0.", ".7."): tensor for name, tensor in held.items()},
        "is for another model: it changes .*7.*, which this one has not",
    ),
    "wider": (with_first(lambda tensor: torch.cat([tensor, tensor])), "is for another model: at .* wide"),
    "rank": (
        lambda held: {
            n: torch.cat([t, t], 0 if "lora_A" in n else 1) if ".0." in n else t for n, t in held.items()
        },
        r"says rank 4 \(r\), and lora_A of .* has 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_other_tensors_than_the_config_calls_for_are_refused_in_one_line(
    how: str, base: Callable[[], Any], tmp_path: Path
) -> None:
    change, told = WRONG[how]
    trained(wrapped(base(), True)).save_pretrained(tmp_path)
    save_file(change(load_file(tmp_path / WEIGHTS)), tmp_path / WEIGHTS)
    control, model = Control(adapter=tmp_path, weights=adapter_digest(tmp_path)), base()
    with torch.device("meta"):
        bones = transformers.AutoModelForCausalLM.from_config(model.config).eval()
    for each in (model, bones):
        with pytest.raises(BadData, match=told) as caught:
            check_adapter(each, control)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    unchanged(model, base())


def test_a_rank_other_than_the_config_says_is_refused_whichever_is_wrong(
    base: Callable[[], Any], tmp_path: Path
) -> None:
    trained(wrapped(base(), True)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    for r, told in [(16, r"says rank 16 \(r\), and lora_A of .* has 4"), (0, "names no rank"), ("x", "names no rank")]:
        (tmp_path / CONFIG).write_text(json.dumps({**config, "r": r}))
        with pytest.raises(BadData, match=told):
            check_tensors(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps([config]))
    with pytest.raises(BadData, match="holds list; expected a PEFT folder"):
        check_tensors(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    check_tensors(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_alpha", "big"), ("lora_alpha", None), ("lora_alpha", "16"), ("lora_alpha", True), ("lora_dropout", 3),
        ("target_modules", 5), ("target_modules", [1]), ("alpha_pattern", {"q_proj": "x"}), ("use_rslora", "yes"),
        ("layers_to_transform", ["first"]), ("r", 4.5), ("r", "4"), ("rank_pattern", {"q_proj": "x"}),
        ("rank_pattern", 7),
    ],
)  # fmt: skip
def test_a_setting_of_the_wrong_kind_is_refused_by_name(
    name: str, value: Any, base: Callable[[], Any], tmp_path: Path
) -> None:
    trained(wrapped(base(), True)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, name: value}))
    with pytest.raises(BadData, match=rf"{CONFIG} .*{name}.*; expected ") as caught:
        check_tensors(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_modules_that_were_trained_whole_are_missed_where_they_are_missing(
    base: Callable[[], Any], tmp_path: Path
) -> None:
    control = adapter_of("modules_to_save", base, tmp_path)
    held = load_file(tmp_path / WEIGHTS)
    save_file({n: t for n, t in held.items() if "lm_head" not in n}, tmp_path / WEIGHTS)
    with pytest.raises(BadData, match=r"lacks 1 tensors .*lm_head\.weight"):
        check_adapter(base(), control)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_way_to_begin_that_peft_knows_leaves_the_base_model_alone_or_is_refused(
    base: Callable[[], Any], tmp_path: Path
) -> None:
    """Those that need data or quantised weights are refused with the rest."""
    annotation = typing.get_type_hints(peft.LoraConfig)["init_lora_weights"]
    known = {value for part in typing.get_args(annotation) for value in typing.get_args(part)} | {True, False}
    aside = {"corda", "loftq"}
    assert known >= {"pissa", "olora", *aside}
    for init in (known | {"pissa_niter_4"}) - {*aside, "pissa_niter_[number of iters]"}:
        model = base()
        before = {name: p.clone() for name, p in model.named_parameters()}
        folder = tmp_path / str(init)
        wrapped(model, init).save_pretrained(folder)
        after = {name.replace("base_layer.", ""): p for name, p in model.named_parameters()}
        same = all(torch.equal(after[name], p) for name, p in before.items())
        if same:
            assert read_config(folder)
        else:
            with pytest.raises(BadData, match="changes the base model's own weights"):
                read_config(folder)


def test_numbers_that_only_changed_places_are_noticed(base: Callable[[], Any]) -> None:
    for swap in (lambda w: w.flip(0), lambda w: w.flip(1), lambda w: w.roll(4, 1)):
        model = base()
        weight = model.get_input_embeddings().weight
        with pytest.raises(BadData, match="overwritten"), restored(model):
            weight.data.copy_(swap(weight.data.clone()))
