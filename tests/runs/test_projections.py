"""Projections of a run's texts on a stored direction: what they are by plain forward passes, and what is refused."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quiet import Quiet
from said import Say
from tiny_models import roomy

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.weights import known_as, locate
from traitbench.errors import BadData, UnsupportedControl
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
from traitbench.runs.projections import axes_of, project, tables
from traitbench.samples import Sample
from traitbench.store import read_lines
from traitbench.types import Control, Edit, Fit

HIGH = "extraversion=high"
VECTOR = np.random.default_rng(3).normal(size=32).astype(np.float32)


def spoken(model: Path, to: Path, **given: Any) -> Path:
    """A run of a few written answers."""
    asked = Plan.model_validate({
        "model": str(model), "device": "cpu", "tasks": ("mini_ipip",), "limit": 3, "scoring": ("generate",),
        "gen_kwargs": {"max_tokens": 4}, "bootstrap_iters": 20, "output_path": str(to), **given,
    })  # fmt: skip
    return evaluate(asked, Quiet(), lambda line: None)[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tmp_path_factory.mktemp("model"))


def stored(model: Path, to: Path, **given: Any) -> Path:
    """A control that adds VECTOR behind layer 1."""
    edit = Edit(**{"layer": 1, "site": "residual", "op": "add", "tensor": "v", **given})
    spec = resolve(str(model))
    fit = Fit(method="residual", version="3", model=known_as(spec, locate(spec)), target=HIGH)
    return to / controls.store(to, edits=[edit], tensors={"v": VECTOR}, fit=fit).hash


@pytest.fixture(scope="module")
def held(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of a control, and the control."""
    to = tmp_path_factory.mktemp("runs")
    control = stored(model, to / "controls")
    return spoken(model, to, control=(str(control),)), control


@functools.cache
def loaded(model: Path) -> HuggingFace:
    return HuggingFace(resolve(str(model)), device="cpu")


def by_hand(model: Path, prompt: str, reply: str | None, added: bool) -> float:
    """Project the output of layer 1 in one plain forward pass."""
    backend = loaded(model)
    net = backend.model
    before = list(backend.renderer.encode(prompt))
    after = list(backend.renderer.answer(prompt, tuple(before), reply)) if reply is not None else []
    with torch.no_grad():
        states = net(torch.tensor([before + after]), output_hidden_states=True).hidden_states[2][0].double()
    # Nothing is changed before that layer.
    states = states + torch.tensor(VECTOR).double() * added
    mine = states[len(before) :] if reply is not None else states[-1:]
    return float((mine @ torch.tensor(VECTOR).double()).mean() / np.linalg.norm(VECTOR.astype(np.float64)))


def samples(path: Path) -> list[Sample]:
    (file,) = path.parent.glob("samples_mini_ipip_*.jsonl*")
    return list(read_lines(file, Sample))


def of_items(rows: list[tuple[str, float]]) -> dict[str, float]:
    return {item: float(np.mean([v for i, v in rows if i == item])) for item, _ in rows}


def test_replies_are_projected_as_plain_forward_passes_have_it(model: Path, held: tuple[Path, Path]) -> None:
    path, control = held
    ((found, file),) = project(str(path.parent), control, "replies", None, None, pytest.fail, Quiet())
    assert file.parent == path.parent and json.loads(file.read_text("utf-8")) == found.model_dump(mode="json")
    (along,) = found.layers
    rows = {(row.condition, row.read): row for row in along.rows}
    assert [*rows] == [("baseline", "alone"), (HIGH, "alone"), (HIGH, "controlled")]
    kept = [s for s in samples(path) if str(s.resps[0][0]).strip()]
    means = {}
    for (condition, read), row in rows.items():
        mine = [
            (s.item, by_hand(model, s.arguments[0], s.resps[0][0], read == "controlled"))
            for s in kept if s.condition == condition
        ]  # fmt: skip
        means[condition, read] = of_items(mine)
        assert row.texts == len(mine) and row.items == len(means[condition, read])
        assert row.value == pytest.approx(np.mean([*means[condition, read].values()]), abs=1e-5)
        if condition == "baseline":
            assert along.sd == pytest.approx(np.std([v for _, v in mine], ddof=1), abs=1e-5) and row.shift is None
            continue
        base = means["baseline", "alone"]
        apart = [v - base[item] for item, v in means[condition, read].items() if item in base]
        assert row.shift == pytest.approx(np.mean(apart), abs=1e-5) and along.sd
        assert row.sds == pytest.approx(row.shift / along.sd)
    moved = rows[HIGH, "controlled"].value - rows[HIGH, "alone"].value
    assert moved == pytest.approx(np.linalg.norm(VECTOR), abs=1e-4), "the vector itself, in its own layer"
    (table,) = tables(found)
    assert [line[:3] for line in table.rows] == [[r.condition, r.read, str(r.texts)] for r in along.rows]


def test_prompts_are_projected_at_their_last_token(model: Path, held: tuple[Path, Path], tmp_path: Path) -> None:
    path, control = held
    ((found, file),) = project(str(path.parent), control, "prompts", tmp_path, 1, pytest.fail, Quiet())
    assert file.parent == tmp_path
    rows = {(row.condition, row.read): row for row in found.layers[0].rows}
    assert [*rows] == [("baseline", "alone"), (HIGH, "controlled")]
    for (condition, read), row in rows.items():
        prompts = {s.arguments[0] for s in samples(path) if s.condition == condition and s.doc_id == 0}
        assert row.texts == len(prompts) and row.items == 1 and row.ci is None
        by = [by_hand(model, prompt, None, read == "controlled") for prompt in prompts]
        assert row.value == pytest.approx(np.mean(by), abs=1e-5)


def test_messages_of_a_control_stand_before_its_own_texts_alone(model: Path, held: Any, tmp_path: Path) -> None:
    path = spoken(model, tmp_path, method="prompting", target=HIGH)
    ((found, _),) = project(str(path.parent), held[1], "replies", None, None, pytest.fail, Quiet())
    rows = {(row.condition, row.read): row for row in found.layers[0].rows}
    assert rows[HIGH, "alone"].value != rows[HIGH, "controlled"].value
    plain = {(s.item, s.order): s.arguments[0] for s in samples(path) if s.condition == "baseline"}
    for read in ("alone", "controlled"):
        by = [
            (s.item, by_hand(model, s.arguments[0] if read == "controlled" else plain[s.item, s.order], s.resps[0][0],
                             False))
            for s in samples(path) if s.condition == HIGH and str(s.resps[0][0]).strip()
        ]  # fmt: skip
        assert rows[HIGH, read].value == pytest.approx(np.mean([*of_items(by).values()]), abs=1e-5)


def test_a_control_that_is_gone_leaves_its_replies_to_be_read_alone(held: tuple[Path, Path], tmp_path: Path) -> None:
    path, control = held
    copy, told = tmp_path / "copy", list[str]()
    shutil.copytree(path.parent, copy)
    kept = tmp_path / "elsewhere" / control.name
    shutil.copytree(control, kept)
    shutil.move(control, away := tmp_path / "away")
    try:
        ((found, _),) = project(str(copy), kept, "replies", None, None, told.append, Quiet())
    finally:
        shutil.move(away, control)
    assert [row.read for row in found.layers[0].rows] == ["alone", "alone"]
    assert (
        told == found.notes == [f"the controls of {HIGH} are not beside the run, so they are read without them alone"]
    )


def test_directions_point_where_the_control_aims(model: Path, tmp_path: Path) -> None:
    unit = VECTOR / np.linalg.norm(VECTOR)
    for op, sign, more in (("add", -1.0, {"strength": -2.0}), ("rescale", 1.0, {}), ("cap", 1.0, {"high": 1.0})):
        (axis,) = axes_of(controls.read(stored(model, tmp_path, op=op, **more)), "it").values()
        np.testing.assert_allclose(axis, sign * unit, rtol=1e-5)
    for control in (Control(), controls.read(stored(model, tmp_path, site="heads"))):
        with pytest.raises(UnsupportedControl, match="it holds no direction to project on; expected a control that"):
            axes_of(control, "it")


def test_what_cannot_be_projected_is_refused(
    held: tuple[Path, Path], model: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, control = held
    chosen = spoken(model, tmp_path, scoring=("choice",), limit=1)
    scripted = spoken(Path("scripted:first"), tmp_path)
    monkeypatch.setattr(HuggingFace, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))

    def go(run: Path, on: Path) -> Any:
        return project(str(run), on, "replies", None, None, lambda line: None, Quiet())

    with pytest.raises(UnsupportedControl, match=r"holds no written reply; .* or --of prompts"):
        go(chosen, control)
    with pytest.raises(UnsupportedControl, match="is a run of scripted:first, which has no activations to look into"):
        go(scripted, control)
    with pytest.raises(BadData, match=r"nothing is no control \(control.json\)"):
        go(path, tmp_path / "nothing")
    wide = tmp_path / "wide"
    shutil.copytree(control, wide)
    note = json.loads((wide / "method.json").read_text("utf-8"))
    note["model"]["weights"] = "0" * 16
    (wide / "method.json").write_text(json.dumps(note), "utf-8")
    with pytest.raises(BadData, match=r"wide was fitted on .* expected the same weights"):
        go(path, wide)
    done = say(f"project '{path.parent}' --on '{control}' --limit 0")
    assert (done.code, "expected a number of items of 1 or more" in done.err) == (2, True)


def test_a_control_of_another_width_is_refused_by_its_shape(
    model: Path, held: tuple[Path, Path], tmp_path: Path
) -> None:
    edit = Edit(layer=1, site="residual", op="add", tensor="v")
    made = controls.store(
        tmp_path, edits=[edit], tensors={"v": np.ones(48, dtype=np.float32)}, fit=Fit(method="vector", version="3")
    )
    with pytest.raises(BadData, match="48"):
        project(str(held[0]), tmp_path / made.hash, "replies", None, None, lambda line: None, Quiet())


def test_the_command_prints_a_table_and_json(held: tuple[Path, Path], tmp_path: Path, say: Say) -> None:
    path, control = held
    done = say(f"project '{path.parent}' --on '{control}' --limit 1 --format json -o '{tmp_path}'")
    assert done.code == 0 and [one["of"] for one in json.loads(done.out)] == ["replies"]
    assert "kept in" in done.err and [*tmp_path.glob("projections_replies_*.json")]
    shown = say(f"project '{path.parent}' --on '{control}' --of prompts --format markdown -o '{tmp_path}'")
    assert shown.code == 0 and "shift from baseline" in shown.out
