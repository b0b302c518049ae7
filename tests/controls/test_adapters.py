"""Adapters on a model and off again: its own weights are bit for bit what they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_models import CONFIGS

from traitbench.controls.adapters import CONFIG, adapter_digest, read_config, restored, worn
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


@pytest.mark.parametrize("whole", [False, True])
def test_an_adapter_of_embeddings_is_refused_as_what_it_is(
    whole: bool, base: Callable[[], Any], tmp_path: Path
) -> None:
    """Their factors are turned round, and would pass for another model's."""
    model = base()
    (table,) = (n for n, m in model.named_modules() if m is model.get_input_embeddings())
    made = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=[table.rpartition(".")[2]]))
    made.save_pretrained(tmp_path, save_embedding_layers=whole)
    with (
        pytest.raises(BadData, match="an adapter of embeddings is not taken; leave them out"),
        worn(base(), Control(adapter=tmp_path, weights=adapter_digest(tmp_path))),
    ):
        pass
