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
