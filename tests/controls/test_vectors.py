"""Steering vectors of other programs: files written with their own libraries, read back, and refused where wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from traitbench.controls.interventions import applied, recorded
from traitbench.controls.vectors import Vectors, check_width, fitting, read
from traitbench.errors import BadData
from traitbench.types import Edit

WIDTH, LAYERS = 16, 3


def vector(seed: int, width: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=width).astype(np.float32)


def control_vector(
    path: Path, tensors: dict[str, NDArray[Any]], kind: str = "controlvector", hint: str | None = "llama"
) -> Path:
    """As repeng's export_gguf lays a file out."""
    writer = gguf.GGUFWriter(path, kind)
    if hint is not None:
        writer.add_string("controlvector.model_hint", hint)
    writer.add_uint32("controlvector.layer_count", len(tensors))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def steered(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def entry(seed: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "steering_vector": torch.from_numpy(vector(seed)), "steering_coefficient": 2.0, "action": "add", "bias": None,
        "head_index": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_control_vector_keeps_layers_values_and_the_models_name(tmp_path: Path, dtype: Any) -> None:
    held = {2: vector(2).astype(dtype), 1: vector(1).astype(dtype), 11: vector(11).astype(dtype)}
    path = control_vector(tmp_path / "v.gguf", {f"direction.{n}": v for n, v in held.items()}, hint="mistral")
    found = read(path)
    assert found.made_for == "mistral" and list(found.layers) == [1, 2, 11]
    for layer, values in held.items():
        assert found.layers[layer].dtype == np.float32
        np.testing.assert_array_equal(found.layers[layer], values.astype(np.float32))


def test_steered_file_folds_the_coefficient_in(tmp_path: Path) -> None:
    bare = {"steering_vector": torch.from_numpy(vector(5)).to(torch.bfloat16), "action": "add"}
    path = steered(tmp_path / "s.pt", {"layers.4": entry(4, steering_coefficient=-1.5), "h.5": bare})
    found = read(path)
    assert found.made_for is None and list(found.layers) == [4, 5]
    np.testing.assert_array_equal(found.layers[4], -1.5 * vector(4))
    np.testing.assert_allclose(found.layers[5], vector(5), rtol=2**-8)


def test_a_steered_vector_with_a_leading_1_is_read(tmp_path: Path) -> None:
    path = steered(tmp_path / "s.pt", {"layers.1": entry(1, steering_vector=torch.from_numpy(vector(1))[None])})
    np.testing.assert_array_equal(read(path).layers[1], 2 * vector(1))


def rows(count: int, width: int = WIDTH) -> torch.Tensor:
    return torch.stack([torch.from_numpy(vector(n, width)) for n in range(count)])


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: {"axis": t, "n_roles": 3}, lambda t: {"vector": t, "type": "pos_3", "role": "sage"}]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_tensor_has_a_row_a_layer_with_or_without_the_embeddings(tmp_path: Path, dtype: Any, wrap: Any) -> None:
    whole = rows(LAYERS + 1).to(dtype)
    for held, first in ((whole, 1), (whole[:LAYERS], 0)):
        found = read(steered(tmp_path / "v.pt", wrap(held)))
        assert found.rows and found.made_for is None
        layers = fitting(found, LAYERS, WIDTH, "v.pt")
        assert list(layers) == list(range(LAYERS))
        for n, values in layers.items():
            np.testing.assert_array_equal(values, held[n + first].float().numpy())


@torch.no_grad()
def test_rows_of_hidden_states_are_those_of_the_layers(tmp_path: Path) -> None:
    """As persona vectors are made: a row for each of output_hidden_states, the embeddings first."""
    model, ids = small("llama"), torch.arange(12).reshape(2, 6)
    states = torch.stack([h.mean(dim=(0, 1)) for h in model(ids, output_hidden_states=True).hidden_states])
    layers = fitting(read(steered(tmp_path / "v.pt", states)), LAYERS, WIDTH, "v.pt")
    with recorded(model, "residual", lambda n, a: means.update({n: a.mean(dim=(0, 1)).numpy()})):
        means: dict[int, Any] = {}
        model(ids)
    for n in range(LAYERS - 1):  # the last of hidden_states is behind the final norm
        np.testing.assert_allclose(layers[n], means[n], rtol=1e-6)


def test_rows_for_another_model_are_refused(tmp_path: Path) -> None:
    found = read(steered(tmp_path / "v.pt", rows(LAYERS + 1)))
    said = f"{LAYERS + 1} rows of {WIDTH} values; this model has"
    for depth, width in ((LAYERS - 1, WIDTH), (LAYERS + 2, WIDTH), (LAYERS, WIDTH * 2)):
        with pytest.raises(
            BadData, match=rf"v\.pt was made for another model: it has {said} {depth} layers and {width}"
        ):
            fitting(found, depth, width, "v.pt")
    with pytest.raises(BadData, match=f"{said} 32 values a layer"):
        check_width(found, None, 32, "v.pt")
    check_width(found, None, WIDTH, "v.pt")


def small(kind: str) -> Any:
    torch.manual_seed(1)
    if kind == "gpt2":
        config: Any = transformers.GPT2Config(
            vocab_size=40, n_embd=WIDTH, n_layer=LAYERS, n_head=2, initializer_range=0.3, bos_token_id=0, eos_token_id=0
        )
    else:
        config = transformers.LlamaConfig(
            vocab_size=40, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=LAYERS, num_attention_heads=2,
            initializer_range=0.3, bos_token_id=0, eos_token_id=0, pad_token_id=0,
        )  # fmt: skip
    return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize(("kind", "name"), [("llama", "layers"), ("gpt2", "h")])
def test_our_edits_equal_lm_evals_own_hooks(kind: str, name: str, tmp_path: Path) -> None:
    hf_steered = pytest.importorskip("lm_eval.models.hf_steered")
    content = {f"{name}.1": entry(1), f"{name}.2": entry(2, steering_coefficient=-0.7)}
    path, model = steered(tmp_path / "s.pt", content), small(kind)
    ids = torch.arange(12).reshape(2, 6)
    hooks = {
        hookpoint: lambda acts, v=value["steering_vector"] * value["steering_coefficient"]: hf_steered.SteeredModel.add(
            acts, vector=v, head_index=None
        )
        for hookpoint, value in content.items()
    }
    with torch.no_grad():
        plain = model(ids).logits
        with hf_steered.steer(model, hooks):
            theirs = model(ids).logits
        shifts = fitting(read(path), LAYERS, WIDTH, path)
        edits = [Edit(layer=n, site="residual", op="add", tensor=str(n)) for n in shifts]
        with applied(model, edits, {str(n): v for n, v in shifts.items()}):
            ours = model(ids).logits
    assert (theirs - plain).abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_control_vector_is_added_behind_the_layer_that_it_names(tmp_path: Path) -> None:
    """repeng reads direction N from hidden_states[N + 1] and wraps block N."""
    path, model, ids = control_vector(tmp_path / "v.gguf", {"direction.1": vector(1)}), small("llama"), torch.arange(5)
    shifts = fitting(read(path), LAYERS, WIDTH, path)
    edits = [Edit(layer=n, site="residual", op="add", tensor=str(n), strength=3.0) for n in shifts]
    with torch.no_grad():
        before = model(ids[None], output_hidden_states=True).hidden_states
        with applied(model, edits, {str(n): v for n, v in shifts.items()}):
            after = model(ids[None], output_hidden_states=True).logits
        # By hand: the last block, final norm and head over hidden_states[2] + 3 * vector.
        inner, hidden = model.model, before[2] + 3 * torch.from_numpy(vector(1))
        places = ids[None]
        rotary = inner.rotary_emb(hidden, places)
        mask = torch.full((5, 5), torch.finfo(torch.float32).min).triu(1)[None, None]
        hidden = inner.layers[2](hidden, attention_mask=mask, position_ids=places, position_embeddings=rotary)
        wanted = model.lm_head(inner.norm(hidden))
    torch.testing.assert_close(after, wanted, rtol=1e-5, atol=1e-5)


def test_a_vector_for_another_model_is_refused() -> None:
    held = Vectors({0: vector(0), 7: vector(7)}, "mistral")
    assert fitting(held, 8, WIDTH, "v.gguf") == held.layers
    for depth, width in ((7, WIDTH), (8, WIDTH + 1)):
        with pytest.raises(BadData, match=r"v\.gguf was made for another model \(mistral\): it has layers up to 7"):
            fitting(held, depth, width, "v.gguf")


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        ({"direction.1": vector(1)}, "llama", "general.architecture 'llama'"),
        ({"output_norm.weight": vector(1)}, "controlvector", "output_norm.weight"),
        ({"direction.-1": vector(1)}, "controlvector", "counted from 0"),
        ({"direction.1": vector(1), "direction.01": vector(2)}, "controlvector", "2 vectors for 1 layers"),
        ({"direction.1": vector(1), "direction.2": vector(2, 8)}, "controlvector", "8, 16 values"),
        ({"direction.1": vector(1, 32).reshape(2, 16)}, "controlvector", "one dimension"),
        ({"direction.3": np.array([1, np.nan, 2, 3], np.float32)}, "controlvector", "layer 3 holds nan at place 1"),
        ({"direction.3": np.array([1, 1, np.inf, 3], np.float32)}, "controlvector", "layer 3 holds inf at place 2"),
        ({}, "controlvector", "0 vectors"),
    ],
)
def test_gguf_files_that_are_refused(tmp_path: Path, tensors: dict[str, Any], kind: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        read(control_vector(tmp_path / "v.gguf", tensors, kind))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all" * 20, "cut"])
def test_damaged_gguf_files_are_refused(tmp_path: Path, content: bytes | str) -> None:
    path = control_vector(tmp_path / "v.gguf", {"direction.1": vector(1, 256)})
    path.write_bytes(path.read_bytes()[:200] if isinstance(content, str) else content)
    with pytest.raises(BadData, match="cannot read"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layers.1": entry(action="clamp")}, "'clamp' cannot be imported: a clamp sets a projection"),
        ({"layers.1": entry(action="multiply")}, "'multiply' cannot be imported; expected add"),
        ({"layers.1.mlp": entry()}, r"'layers\.1\.mlp' is no decoder layer"),
        ({"model.layers.1": entry()}, "no decoder layer"),
        ({"layers.1": entry(head_index=2)}, "head_index is set"),
        ({"layers.1": entry(bias=torch.zeros(WIDTH))}, "bias is set"),
        ({"layers.1": entry(strenght=2.0)}, "unknown key 'strenght'"),
        ({"layers.1": entry(steering_vector=[1.0, 2.0])}, "steering_vector is list"),
        ({"layers.1": entry(steering_coefficient="much")}, "'much' is no number"),
        ({"layers.1": entry(steering_coefficient=float("nan"))}, "layer 1 holds nan at place 0"),
        ({"layers.1": entry(steering_vector=torch.zeros(2, WIDTH))}, "one dimension"),
        ({"layers.1": entry(), "h.1": entry()}, "2 vectors for 1 layers"),
        ({"layers.1": torch.zeros(WIDTH)}, "expected a dict of hookpoint"),
        (torch.zeros(WIDTH), "holds Tensor"),
        (torch.zeros(2, 3, WIDTH), r"shape \(2, 3, 16\); expected floats \(layers, width\)"),
        (torch.zeros(2, WIDTH, dtype=torch.int64), "int64"),
        ({"axis": torch.zeros(WIDTH)}, r"shape \(16,\); expected floats \(layers, width\)"),
        (torch.full((2, WIDTH), float("nan")), "row 0 holds nan at place 0"),
        (torch.zeros(0, WIDTH), "0 vectors"),
        ([torch.zeros(WIDTH)], "holds list; expected a dict of hookpoint"),
        ({}, "0 vectors"),
        ({"layers.1": entry(extra=Path("x"))}, "as plain tensors"),
    ],
)
def test_steered_files_that_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(BadData, match=message):
        read(steered(tmp_path / "s.pt", content))


def test_nothing_in_a_steered_file_is_run(tmp_path: Path) -> None:
    """lm-eval itself loads these files with weights_only=False; a pickle could run anything."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    with pytest.raises(BadData, match="as plain tensors"):
        read(steered(tmp_path / "s.pt", {"layers.1": entry(bias=Trap())}))
    assert not (tmp_path / "sprung").exists()


def test_other_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.pt").write_bytes(b"no zip")
    with pytest.raises(BadData, match="as plain tensors"):
        read(tmp_path / "s.pt")
    with pytest.raises(BadData, match="there is no steering vector"):
        read(tmp_path / "absent.gguf")
    with pytest.raises(BadData, match="is no steering vector; expected"):
        read(tmp_path / "v.safetensors")
