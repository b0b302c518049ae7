"""What a run refuses by a model's config alone: its weights here cannot be loaded, so that loading would say so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from quiet import Quiet

from traitbench import controls
from traitbench.backends import BACKENDS
from traitbench.backends.hf import HuggingFace
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.runs.checks import check_edits
from traitbench.runs.evaluate import evaluate
from traitbench.runs.fit import fit
from traitbench.runs.plan import Given, Plan
from traitbench.types import Control, Edit, Fit, Record, Target, When

Tiny = Callable[..., Path]
WIDTH, LAYERS = 32, 3


@pytest.fixture
def hollow(tiny: Tiny, tmp_path: Path) -> Callable[[str], Path]:
    """A model folder with the config and tokenizer of a tiny model, and weights that are none."""

    def made(name: str) -> Path:
        folder = tmp_path / "models" / name
        shutil.copytree(tiny(name), folder)
        (folder / "model.safetensors").write_bytes(b"no weights")
        return folder

    return made


def plan(model: Path, to: Path, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": str(model), "device": "cpu", "target": "extraversion=high", "tasks": ("mini_ipip",),
        "output_path": str(to / "runs"), "scoring": ("statement",), **changes,
    })  # fmt: skip


def both_ways(asked: Plan) -> Iterator[Callable[[], object]]:
    """A run, and a fit alone."""
    yield lambda: evaluate(asked, Quiet(), lambda line: None)
    yield lambda: list(fit(asked, lambda line: None, Quiet().begin))


def rows(path: Path, count: int, width: int) -> str:
    torch.save(torch.ones(count, width), path)
    return str(path)


def test_the_weights_are_none(hollow: Callable[[str], Path], tmp_path: Path) -> None:
    """Without anything to refuse, it is the weights that cannot be loaded."""
    file = rows(tmp_path / "v.pt", LAYERS, WIDTH)
    for go in both_ways(plan(hollow("llama"), tmp_path, method="vector", method_args={"file": file})):
        with pytest.raises(BadData, match="cannot load"):
            go()


@pytest.mark.parametrize(
    ("count", "width", "says"),
    [
        (
            LAYERS,
            48,
            r"3 rows of 48 values; this model has 3 layers and 32 values, so 3 rows, or 4 with the embeddings'",
        ),
        (LAYERS + 2, WIDTH, "5 rows of 32 values; this model has 3 layers"),
    ],
)
def test_a_vector_of_another_model(
    count: int, width: int, says: str, hollow: Callable[[str], Path], tmp_path: Path
) -> None:
    file = rows(tmp_path / "v.pt", count, width)
    for go in both_ways(plan(hollow("llama"), tmp_path, method="vector", method_args={"file": file})):
        with pytest.raises(BadData, match=says):
            go()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "method", "says"),
    [
        ("mixtral", "pas", "heads of the architecture 'mixtral' cannot be edited.*known: arcee"),
        ("falcon_mamba", "pas", "heads of the architecture 'falcon_mamba'"),
        ("qwen3_moe", "npti", "gate of the architecture 'qwen3_moe' cannot be edited"),
        ("gemma3n", "npti", "gate of the architecture 'gemma3n_text' cannot be edited"),
    ],
)
def test_a_site_that_is_not_known(
    name: str, method: str, says: str, hollow: Callable[[str], Path], tmp_path: Path
) -> None:
    for go in both_ways(plan(hollow(name), tmp_path, method=method)):
        with pytest.raises(BadData, match=says):
            go()


def test_a_layer_that_the_model_lacks(hollow: Callable[[str], Path], tmp_path: Path) -> None:
    for go in both_ways(plan(hollow("llama"), tmp_path, method="residual", method_args={"layer": 7})):
        with pytest.raises(BadData, match="layer 7 is out of range: this model has layers 0 to 2"):
            go()


class Stored(Method):
    """Edits that are there before any model is."""

    name = "stored"
    makes: ClassVar[Any] = frozenset({"activations"})
    targets: ClassVar[Any] = frozenset({"poles"})
    strength = "strength"

    class Config(Record):
        """The edit."""

        edit: Edit = Edit(layer=1, site="residual", op="add", tensor="v")
        width: int = WIDTH
        chosen: float | None = None
        strength: float = 1.0

    def fit(self, target: Target | None, bench: Bench) -> Control:
        tensors = {"v": np.ones(self.config.width, np.float32)}
        fit = Fit(method="stored", version="1", strength=self.config.chosen)
        return controls.store(bench.folder, edits=[self.config.edit], tensors=tensors, fit=fit)


class Plain(HuggingFace):
    """A backend that can do no more than one of the interface must."""

    name = "plain"
    ops = frozenset({"add", "clamp", "zero"})
    conditional = False


ADD = Edit(layer=1, site="residual", op="add", tensor="v")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"edit": ADD, "width": 48}, r"'v' has the shape \(48,\), expected \(32,\)"),
        ({"edit": ADD.model_copy(update={"layer": 5})}, "residual of layer 5: this model's layers are 0 to 2"),
    ],
)
def test_stored_edits_of_another_model(
    config: dict[str, Any], says: str, hollow: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = Given(method=Stored(Stored.Config(**config)))
    with pytest.raises(BadData, match=says):
        evaluate(plan(hollow("llama"), tmp_path, method="stored"), Quiet(), lambda line: None, given)


@pytest.mark.parametrize("edit", [
    Edit(layer=1, site="residual", op="cap", tensor="v", high=1.0),
    Edit(layer=1, site="residual", op="add", tensor="v", when=When(tensor="v", above=0.0)),
])  # fmt: skip
def test_what_a_backend_cannot_do_is_refused_by_name(
    edit: Edit, hollow: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BACKENDS._table, "plain", f"{__name__}:Plain")
    what = "edits that cap, which" if edit.op == "cap" else "edits on a condition, which"
    with pytest.raises(UnsupportedControl, match=f"the method stored makes {what} the backend plain cannot"):
        given = Given(method=Stored(Stored.Config(edit=edit)))
        asked = plan(hollow("llama"), tmp_path, method="stored", backend="plain")
        evaluate(asked, Quiet(), lambda line: None, given)
    # Also what a method only says that it is going to do.
    with pytest.raises(UnsupportedControl, match="rescale"):
        check_edits("vector", Plain, (), {"rescale"})
    check_edits("vector", HuggingFace, [edit], {"rescale"})


def test_strengths_of_edits_that_have_none_are_refused(
    hollow: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cap = Edit(layer=1, site="residual", op="cap", tensor="v", high=1.0)
    given = Given(method=Stored(Stored.Config(edit=cap, chosen=1.0)))
    asked = plan(hollow("llama"), tmp_path, method="stored", coefs=(0, 2.0))
    with pytest.raises(UnsupportedControl, match=r"--coefs 2: the edits of extraversion=high \(cap\) have no strength"):
        evaluate(asked, Quiet(), lambda line: None, given)
    with pytest.raises(BadData, match="cannot load"):
        evaluate(asked.model_copy(update={"coefs": (0.0, 1.0)}), Quiet(), lambda line: None, given)
