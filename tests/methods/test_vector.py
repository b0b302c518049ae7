"""Imported steering vectors as a method: where they are added, how strongly, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from traitbench import controls
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.vector import Vector
from traitbench.types import Control, Target

WIDTH, LAYERS = 32, 3
TRAIT = "extraversion"
HIGH, LOW = (Target(levels={"extraversion": level}) for level in (1.0, -1.0))


def fit(bench: Bench, target: Target, **config: Any) -> Control:
    return Vector(Vector.Config(**config)).fit(target, bench)


def control_vector(path: Path, layers: dict[int, Any], hint: str = "llama") -> str:
    writer = gguf.GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", hint)
    for layer, values in layers.items():
        writer.add_tensor(f"direction.{layer}", np.asarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


@pytest.mark.parametrize(("target", "sign"), [(HIGH, 1), (LOW, -1)])
def test_an_imported_vector_is_added_at_all_of_its_layers(
    target: Target, sign: int, bench: Bench, direction: torch.Tensor, tmp_path: Path
) -> None:
    path = control_vector(tmp_path / "v.gguf", {1: direction, 2: 0.5 * direction})
    control = fit(bench, target, file=path, strengths=(1.0, 2.0, 4.0), max_perplexity=1e6)
    assert control.fit is not None and control.fit.strength == control.edits[0].strength == 4.0
    assert [p.strength for p in control.fit.curve] == [1, 2, 4] and control.fit.details["layers"] == [1, 2]
    effects = [p.effect or 0.0 for p in control.fit.curve]
    assert effects == sorted(effects) and effects[0] > 0
    held = controls.arrays(control)
    assert [(e.layer, e.site) for e in control.edits] == [(1, "residual"), (2, "residual")]
    for edit, share in zip(control.edits, (1.0, 0.5), strict=True):
        np.testing.assert_allclose(held[edit.tensor or ""], sign * share * direction.numpy(), rtol=1e-6)
    items = {item.text_hash for item in bench.halves()[1] if item.trait == "extraversion"}
    assert set(control.fit.fitted_on) == items and control.fit.parameters == 2 * WIDTH


def test_a_vector_is_held_against_words_of_the_poles(bench: Bench, direction: torch.Tensor, tmp_path: Path) -> None:
    given = {
        "own": direction, "turned": -direction, "noise": torch.randn(WIDTH, generator=torch.manual_seed(0)),
    }  # fmt: skip
    finds = {}
    for name, vector in given.items():
        path = control_vector(tmp_path / f"{name}.gguf", {1: vector, 2: vector})
        high, low = (fit(bench, target, file=path, strength=1.0).fit for target in (HIGH, LOW))
        assert high is not None and low is not None and high.find == low.find is not None
        finds[name] = high.find
    assert finds["own"] and finds["own"].found and finds["own"].observed > 0.2
    assert finds["turned"] and not finds["turned"].found and finds["turned"].observed == -finds["own"].observed
    assert finds["noise"] and not finds["noise"].found
    path = control_vector(tmp_path / "v.gguf", {1: direction})
    untold = fit(bench, Target(levels={"honesty_humility": 1.0}), file=path, strength=1.0).fit
    assert untold is not None and untold.find is None, "a trait without words"


def test_a_strength_that_is_given_needs_no_development_items(
    bench: Bench, direction: torch.Tensor, tmp_path: Path
) -> None:
    path = control_vector(tmp_path / "v.gguf", {1: direction})
    control = fit(bench, Target(levels={"narcissism": 1.0}), file=path, strength=1.5)
    assert control.edits[0].strength == 1.5 and control.fit is not None and control.fit.fitted_on == ()
    with pytest.raises(UnsupportedControl, match="no development item measures narcissism"):
        fit(bench, Target(levels={"narcissism": 1.0}), file=path)


def test_vectors_that_do_not_fit_are_refused(bench: Bench, direction: torch.Tensor, tmp_path: Path) -> None:
    told: list[str] = []
    bench.tell = told.append
    with pytest.raises(UnsupportedControl, match=r"file=happy\.gguf"):
        fit(bench, HIGH)
    with pytest.raises(BadData, match="was made for another model"):
        fit(bench, HIGH, file=control_vector(tmp_path / "deep.gguf", {LAYERS: direction}))
    with pytest.raises(BadData, match="was made for another model"):
        fit(bench, HIGH, file=control_vector(tmp_path / "wide.gguf", {1: np.ones(WIDTH + 8)}))
    assert not told
    fit(bench, HIGH, file=control_vector(tmp_path / "other.gguf", {1: direction}, hint="mistral"), strength=1.0)
    assert len(told) == 1 and "mistral" in told[0]


def stacked(path: Path, direction: torch.Tensor, rows: int, at: int) -> str:
    """A tensor with a row a layer, the planted direction in one of them and noise in the others."""
    noise = torch.nn.functional.normalize(torch.randn(rows, WIDTH, generator=torch.manual_seed(1)), dim=1)
    noise[at] = direction
    torch.save(noise, path)
    return str(path)


@pytest.mark.parametrize("embeddings", [False, True])
def test_of_a_row_a_layer_the_layer_with_the_largest_effect_is_steered(
    embeddings: bool, bench: Bench, direction: torch.Tensor, tmp_path: Path
) -> None:
    told: list[str] = []
    bench.tell = told.append
    path = stacked(tmp_path / "v.pt", direction, LAYERS + embeddings, 1 + embeddings)
    control = fit(bench, HIGH, file=path, strengths=(1.0, 4.0), max_perplexity=1e6)
    assert control.fit is not None and control.fit.strength == 4.0
    assert [(p.layer, p.strength) for p in control.fit.curve] == [(n, s) for n in range(LAYERS) for s in (1.0, 4.0)]
    (edit,) = control.edits
    assert (edit.layer, edit.strength) == (1, 4.0)
    assert {"layers": [1], "layer": 1, "embeddings": embeddings}.items() <= control.fit.details.items()
    np.testing.assert_allclose(controls.arrays(control)["layer.1"], direction.numpy(), rtol=1e-6)
    assert [line for line in told if "row 0 is the embeddings'" in line] == told and len(told) == embeddings
    # Given, the layer is that one, and counts layers of the model.
    given = fit(bench, HIGH, file=path, layer=1, strength=4.0)
    assert given.edits == control.edits and given.contents == control.contents and given.fit.fitted_on == ()
    tried = fit(bench, HIGH, file=path, layers=(0, 2), strength=1.0)
    assert {p.layer for p in tried.fit.curve} == {0, 2} and tried.edits[0].layer in (0, 2)


def test_a_layer_can_be_picked_from_any_file(bench: Bench, direction: torch.Tensor, tmp_path: Path) -> None:
    path = control_vector(tmp_path / "v.gguf", {1: direction, 2: 0.5 * direction})
    control = fit(bench, LOW, file=path, layer=2, strength=1.5)
    assert [(e.layer, e.strength) for e in control.edits] == [(2, 1.5)] and control.fit.parameters == WIDTH
    np.testing.assert_allclose(controls.arrays(control)["layer.2"], -0.5 * direction.numpy(), rtol=1e-6)
    with pytest.raises(BadData, match="has no vector of layer 0; it has those of 1, 2"):
        fit(bench, HIGH, file=path, layer=0, strength=1.0)
    with pytest.raises(BadData, match="layer 7 is out of range"):
        fit(bench, HIGH, file=path, layer=7, strength=1.0)


def test_other_operations_with_their_strengths(bench: Bench, direction: torch.Tensor, tmp_path: Path) -> None:
    path = control_vector(tmp_path / "v.gguf", {1: direction})
    kept = fit(bench, HIGH, file=path, op="rescale", strengths=(2.0, 8.0), max_perplexity=1e6)
    assert kept.fit is not None and kept.edits[0].op == "rescale" and kept.edits[0].strength == kept.fit.strength
    assert (kept.fit.curve[-1].effect or 0) > 0
    out = fit(bench, HIGH, file=path, op="project_out", strength=1.0)
    assert out.edits[0].op == "project_out" and out.at(0.5).edits[0].strength == 0.5
    # What leans along the direction in the states is gone behind the layer.
    items = bench.halves()[1][:2]
    requests = bench.requests(items, "statement")
    from traitbench.backends.packing import Item

    with bench.backend.under(out):
        states = bench.backend.states([Item(bench.backend.encode_prompt(r), ()) for r in requests], "residual", [1])
    assert np.abs(states[:, 0] @ direction.numpy()).max() < 1e-5
    assert Vector(Vector.Config(op="rescale")).ops == {"rescale"}


def test_a_strength_of_0_is_stored_as_it_was_chosen(bench: Bench, direction: torch.Tensor, tmp_path: Path) -> None:
    for path, more in (
        (control_vector(tmp_path / "v.gguf", {1: direction}), {}),
        (stacked(tmp_path / "v.pt", direction, LAYERS, 1), {}),
        (control_vector(tmp_path / "v.gguf", {1: direction}), {"op": "project_out"}),
    ):
        control = fit(bench, HIGH, file=path, strengths=(1.0, 2.0), max_perplexity=1e-6, **more)
        again = controls.read(bench.folder / control.hash)
        assert again.fit is not None and again.fit.strength == 0 and {e.strength for e in again.edits} == {0.0}
        assert again.at(2.0).edits[0].strength == 2.0


def test_what_is_wrong_is_told_before_a_model_is_there(direction: torch.Tensor, tmp_path: Path) -> None:
    from transformers import LlamaConfig, Qwen3MoeConfig

    small = LlamaConfig(hidden_size=WIDTH, num_hidden_layers=LAYERS)
    path = stacked(tmp_path / "v.pt", direction, LAYERS, 1)
    gguf_path = control_vector(tmp_path / "v.gguf", {1: direction})

    def made(**config: Any) -> Vector:
        return Vector(Vector.Config(**config))

    with pytest.raises(UnsupportedControl, match=r"file=happy\.gguf"):
        made().check([HIGH])
    with pytest.raises(BadData, match="there is no steering vector"):
        made(file=str(tmp_path / "absent.pt")).check([HIGH])
    dark = Target(levels={"narcissism": 1.0})
    for config, says in (
        ({"file": path}, "layer and strength cannot be chosen; give both, e.g. --method_args layer=15,strength=1"),
        ({"file": path, "strength": 1.0}, "layer and strength cannot be chosen"),
        ({"file": gguf_path}, "the strength cannot be chosen; give one"),
    ):
        with pytest.raises(UnsupportedControl, match=f"no development item measures narcissism, so {says}"):
            made(**config).check([HIGH, dark])
    made(file=path, layer=1, strength=1.0).check([dark])
    made(file=gguf_path, strength=1.0).check([dark])
    made(file=path).check_model(small, "small")
    for other in (LlamaConfig(hidden_size=64, num_hidden_layers=LAYERS), LlamaConfig(hidden_size=WIDTH),
                  Qwen3MoeConfig(hidden_size=64)):  # fmt: skip
        with pytest.raises(BadData, match=r"v\.pt was made for another model: it has 3 rows of 32 values"):
            made(file=path).check_model(other, "other")
    # How many layers such a model has, its config does not say for all architectures.
    made(file=path).check_model(Qwen3MoeConfig(hidden_size=WIDTH), "other")
    with pytest.raises(BadData, match="layer 9 is out of range"):
        made(file=path, layer=9).check_model(small, "small")
