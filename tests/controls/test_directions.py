"""Edits of a whole state: projections taken away or bounded, lengths kept, conditions; against formulas and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from traitbench import controls
from traitbench.controls.edits import Row, merge, rows, staged
from traitbench.controls.interventions import applied, recorded
from traitbench.controls.numbers import check_config
from traitbench.errors import BadData
from traitbench.types import Control, Edit, Fit, Scope, When, at_strength

WIDTH = 16
IDS = torch.arange(1, 13).reshape(2, 6)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        initializer_range=0.3, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).double().eval()


def vector(seed: int, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=width)


@torch.no_grad()
def states(model: Any, edits: list[Edit], tensors: dict[str, Any], layer: int = 1) -> tuple[Tensor, Tensor]:
    """The output of a layer before and after edits of it, (positions, width)."""
    found: list[Tensor] = []
    with recorded(model, "residual", lambda n, a: found.append(a.clone()), [layer]):
        model(IDS)
        with applied(model, edits, tensors), recorded(model, "residual", lambda n, a: found.append(a.clone()), [layer]):
            model(IDS)
    return found[0].flatten(0, 1), found[2].flatten(0, 1)


def edit(op: str, tensor: str | None = "v", **more: Any) -> Edit:
    return Edit(layer=1, site="residual", op=op, tensor=tensor, **more)  # type: ignore[arg-type]


def along(a: Tensor, v: np.ndarray) -> Tensor:
    return a @ torch.from_numpy(v / np.linalg.norm(v)).to(a.dtype)


@pytest.mark.parametrize("length", [1.0, 1e-30, 40.0])
def test_projecting_out_takes_strength_times_the_projection_away(model: Any, length: float) -> None:
    v = vector(1)
    for strength, left in ((1.0, 0.0), (0.25, 0.75), (2.0, -1.0), (-1.0, 2.0)):
        before, after = states(model, [edit("project_out", strength=strength)], {"v": length * v})
        torch.testing.assert_close(along(after, v), left * along(before, v), rtol=1e-9, atol=1e-12)
        # Nothing else moves: what is left over is along the direction.
        unit = torch.from_numpy(v / np.linalg.norm(v))
        torch.testing.assert_close(
            after - before, torch.outer((left - 1) * along(before, v), unit), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize(("low", "high"), [(-0.4, None), (None, 0.3), (-0.4, 0.3), (0.2, 0.2)])
def test_a_cap_bounds_the_projection_and_leaves_the_rest(model: Any, low: float | None, high: float | None) -> None:
    v = vector(2)
    before, after = states(model, [edit("cap", low=low, high=high)], {"v": 3 * v})
    wanted = along(before, v).clamp(low, high)
    torch.testing.assert_close(along(after, v), wanted, rtol=1e-9, atol=1e-12)
    held = along(before, v) == wanted
    assert torch.equal(after[held], before[held]) and 0 < int((~held).sum())
    rest = before - torch.outer(along(before, v), torch.from_numpy(v / np.linalg.norm(v)))
    rest_after = after - torch.outer(along(after, v), torch.from_numpy(v / np.linalg.norm(v)))
    torch.testing.assert_close(rest_after, rest, rtol=1e-9, atol=1e-12)


def test_rescaling_keeps_the_length_and_takes_the_direction_of_the_sum(model: Any) -> None:
    v = vector(3)
    before, after = states(model, [edit("rescale", strength=1.7)], {"v": v})
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), rtol=1e-12, atol=0)
    summed = before + 1.7 * torch.from_numpy(v)
    cosine = torch.nn.functional.cosine_similarity(after, summed)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=1e-12, atol=0)


def test_with_units_the_state_is_those_places(model: Any) -> None:
    units, v = np.array([1, 4, 9, 12]), vector(4, 4)
    more = {"units": "u"}
    for made in (edit("project_out", **more), edit("cap", high=0.05, **more), edit("rescale", **more)):
        before, after = states(model, [made], {"v": v, "u": units})
        others = np.setdiff1d(np.arange(WIDTH), units)
        assert torch.equal(after[:, others], before[:, others])
        a, b = before[:, units], after[:, units]
        if made.op == "rescale":
            torch.testing.assert_close(b.norm(dim=-1), a.norm(dim=-1), rtol=1e-12, atol=0)
            moved = a + torch.from_numpy(v)
            torch.testing.assert_close(
                b, moved * (a.norm(dim=-1) / moved.norm(dim=-1))[:, None], rtol=1e-12, atol=1e-15
            )
        elif made.op == "cap":
            torch.testing.assert_close(along(b, v), along(a, v).clamp(max=0.05), rtol=1e-9, atol=1e-12)
        else:
            torch.testing.assert_close(along(b, v), torch.zeros(12).double(), rtol=0, atol=1e-12)


def test_a_sum_of_length_0_stays_0_and_a_state_of_length_0_too() -> None:
    from traitbench.controls.directions import Rescaled

    v = torch.from_numpy(vector(5)).float()
    found = Rescaled(v)(torch.stack([-v, torch.zeros(WIDTH), v]))
    assert torch.equal(found[:2], torch.zeros(2, WIDTH))
    torch.testing.assert_close(found[2], v)


# --- Conditions


@pytest.mark.parametrize("op", ["add", "clamp", "zero", "project_out", "cap", "rescale"])
def test_a_condition_reads_the_state_before_the_edit(model: Any, op: str) -> None:
    v, w = vector(6), vector(7)
    plain, _ = states(model, [], {})
    bound = float(along(plain, w).median()) + 1e-6
    more: dict[str, Any] = {"tensor": None if op == "zero" else "v", **({"low": 9.0} if op == "cap" else {})}
    for when, holds in (
        (When(tensor="w", above=bound), along(plain, w) > bound),
        (When(tensor="w", below=bound), along(plain, w) < bound),
        (When(tensor="w", above=bound - 0.2, below=bound + 0.2), (along(plain, w) - bound).abs() < 0.2),
    ):
        _, everywhere = states(model, [edit(op, **more)], {"v": v})
        _, found = states(model, [edit(op, when=when, **more)], {"v": v, "w": 5 * w})
        assert 0 < int(holds.sum()) < len(holds)
        assert torch.equal(found, torch.where(holds[:, None], everywhere, plain))


def test_a_condition_sees_what_earlier_edits_of_the_place_left(model: Any) -> None:
    w = vector(9)
    v = 0.5 * w
    steps = [edit("add", strength=2.0), edit("add", "w", when=When(tensor="w", above=0.5))]
    tensors = {"v": v, "w": w}
    for first, second in (steps, steps[::-1]):
        before, found = states(model, [first, second], tensors)
        expected = before
        for one in (first, second):
            holds = along(expected, w) > 0.5 if one.when else torch.ones(len(expected), dtype=torch.bool)
            moved = expected + one.strength * torch.from_numpy(tensors[one.tensor or ""])
            expected = torch.where(holds[:, None], moved, expected)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    # The order counts: these two differ.
    assert (states(model, steps, tensors)[1] - states(model, steps[::-1], tensors)[1]).abs().max() > 0.1


def test_a_bound_is_strict() -> None:
    from traitbench.controls.directions import Conditional, Projected

    unit = torch.tensor([1.0, 0.0])
    step = Conditional(Projected(unit, 1.0), unit, above=1.0, below=2.0)
    found = step(torch.tensor([[1.0, 5.0], [1.5, 5.0], [2.0, 5.0]]))
    assert found.tolist() == [[1.0, 5.0], [0.0, 5.0], [2.0, 5.0]]


# --- Numbers


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_sums_are_taken_in_float32_and_the_dtype_stays(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=32, hidden_size=512, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=0, eos_token_id=0, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(dtype).eval()
    v = vector(10, 512)
    edits = [
        Edit(layer=0, site="residual", op="project_out", tensor="v"),
        Edit(layer=0, site="residual", op="rescale", tensor="v", when=When(tensor="v", below=9.0)),
        Edit(layer=0, site="residual", op="cap", tensor="v", high=2.0),
    ]
    before, after = states(model, edits, {"v": v}, layer=0)
    assert after.dtype == before.dtype == dtype
    expected = before.double() - torch.outer(along(before.double(), v), torch.from_numpy(v / np.linalg.norm(v)))
    moved = expected + torch.from_numpy(v)
    expected = moved * (expected.norm(dim=-1) / moved.norm(dim=-1))[:, None]
    expected -= torch.outer((along(expected, v) - 2).clamp(min=0), torch.from_numpy(v / np.linalg.norm(v)))
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(after.double(), expected, rtol=2 * eps, atol=2 * eps * float(before.abs().max()))


@torch.no_grad()
def test_autocast_takes_no_sum_in_half_precision() -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=32, hidden_size=512, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=0, eos_token_id=0, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    model, v = LlamaForCausalLM(config).eval(), vector(10, 512)
    with torch.autocast("cpu", torch.bfloat16):
        _, after = states(model, [Edit(layer=0, site="residual", op="project_out", tensor="v")], {"v": v}, layer=0)
    assert along(after.float(), v).abs().max() < 1e-4 * float(after.float().norm(dim=-1).max())


def test_strength_0_switches_any_edit_off(model: Any) -> None:
    edits = [
        edit("add"), edit("rescale"), edit("project_out"), edit("clamp"), edit("zero", None), edit("cap", high=-9.0),
        edit("zero", None, when=When(tensor="v", above=-99.0)),
    ]  # fmt: skip
    tensors = {"v": vector(11)}
    for one in edits:
        assert len(merge(model, [one], tensors)) == 1
        assert merge(model, [one.model_copy(update={"strength": 0.0})], tensors) == {}
    assert all(
        (row.keep == 1).all() and not row.shift.any() for row in rows([edit("clamp", strength=0.0)], tensors, WIDTH)
    )


def test_a_dose_counts_the_positions_of_the_scope(model: Any) -> None:
    w = vector(12)
    plain, _ = states(model, [], {})
    when = When(tensor="w", above=float(along(plain, w).median()) + 1e-6)
    with torch.no_grad(), applied(model, [edit("zero", None, when=when)], {"w": w}, measure=True) as state:
        model(IDS)
    holds = along(plain, w) > (when.above or 0)
    assert state.dose == pytest.approx(float(plain[holds].norm(dim=-1).sum() / plain.norm(dim=-1).sum()), rel=1e-6)


def test_gradients_pass_through(model: Any) -> None:
    edits = [edit("project_out"), edit("rescale"), edit("cap", high=0.1, when=When(tensor="v", above=0.0))]
    with applied(model, edits, {"v": vector(13)}):
        model(IDS).logits.sum().backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0
    model.zero_grad()


# --- What is refused


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (edit("project_out", None), "project_out goes with a tensor"),
        (edit("project_out", "zeros"), "'zeros' is 0 everywhere, which is no direction"),
        (edit("cap", "zeros", low=1.0), "'zeros' is 0 everywhere"),
        (edit("cap"), "cap goes with low, high or both"),
        (edit("add", low=1.0), "add goes without bounds"),
        (edit("project_out", high=1.0), "project_out goes without bounds"),
        (edit("cap", low=2.0, high=1.0), "low=2 lies above high=1"),
        (edit("add", when=When(tensor="v")), "its condition on 'v' names no bound; expected above, below or both"),
        (edit("add", when=When(tensor="v", above=1, below=1)), "no projection lies above 1 and below 1"),
        (edit("add", when=When(tensor="w", above=1)), "names the tensor 'w'; there are holes, short, v, whole, zeros"),
        (edit("add", when=When(tensor="zeros", above=1)), "'zeros' is 0 everywhere"),
        (edit("add", when=When(tensor="holes", above=1)), "'holes' .*nan"),
        (edit("add", when=When(tensor="whole", above=1)), "'whole'"),
    ],
)
def test_edits_that_cannot_be_are_refused(made: Edit, says: str, model: Any, tmp_path: Path) -> None:
    tensors: dict[str, Any] = {
        "v": vector(0), "zeros": np.zeros(WIDTH), "short": vector(0, 4), "holes": np.full(WIDTH, np.nan),
        "whole": np.arange(WIDTH),
    }  # fmt: skip
    with pytest.raises(BadData, match=says):
        controls.store(tmp_path, edits=[made], tensors=tensors)
    if "'whole'" not in says:
        with pytest.raises(BadData, match=says), applied(model, [made], tensors):
            pass
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (edit("project_out", "short"), r"'short' has the shape \(4,\), expected \(16,\).*another model"),
        (edit("add", when=When(tensor="short", above=0)), r"'short' has the shape \(4,\), expected \(16,\)"),
        (edit("project_out", strength=float("inf")), "project_out at the strength inf"),
        (edit("rescale", strength=float("nan")), "'v' times its strength is nan"),
        (edit("rescale", strength=1e300), r"e\+300 is beyond torch.float16"),
    ],
)
def test_edits_for_another_model_are_refused(made: Edit, says: str, model: Any) -> None:
    half = LlamaForCausalLM(model.config).half()
    with pytest.raises(BadData, match=says), applied(half, [made], {"v": vector(0), "short": vector(0, 4)}):
        pass


def test_edits_for_another_model_are_told_by_its_config_alone(model: Any) -> None:
    tensors = {"v": vector(0), "short": vector(0, 4)}
    check_config(model.config, [edit("add"), Edit(layer=2, site="gate", op="zero")], tensors)
    for made, says in (
        (edit("add", "short"), "another model"),
        (edit("add", when=When(tensor="short", above=0)), "another model"),
        (edit("add").model_copy(update={"layer": 3}), "residual of layer 3: this model's layers are 0 to 2"),
    ):
        with pytest.raises(BadData, match=says):
            check_config(model.config, [made], tensors)


def test_rows_are_one_elementwise_step() -> None:
    for made in (edit("cap", high=1.0), edit("add", when=When(tensor="v", above=0)), edit("rescale")):
        with pytest.raises(ValueError, match="several steps, or one that is not elementwise"):
            rows([made], {"v": vector(0)}, WIDTH)


@pytest.mark.parametrize("seed", range(8))
def test_steps_are_what_the_edits_do_on_each_kind_of_token(seed: int, model: Any) -> None:
    """The formula of a row, written out, against the edits at work."""
    rng = np.random.default_rng(seed)
    scopes: tuple[Scope, ...] = ("all", "answer", "generated")
    edits, tensors = list[Edit](), {"u": np.array([1, 5, 6])}
    for n in range(6):
        op = str(rng.choice(["add", "clamp", "zero", "project_out", "cap", "rescale"]))
        units = "u" if rng.integers(2) else None
        tensors |= {f"v{n}": rng.normal(size=3 if units else WIDTH), f"w{n}": rng.normal(size=WIDTH)}
        more: dict[str, Any] = {"low": -0.2, "high": 0.3} if op == "cap" else {}
        when = When(tensor=f"w{n}", above=-0.1) if rng.integers(2) else None
        edits.append(edit(op, None if op == "zero" else f"v{n}", units=units, when=when, strength=1.5,
                          positions=scopes[rng.integers(3)], **more))  # fmt: skip
    found: list[Tensor] = []
    with torch.no_grad(), recorded(model, "residual", lambda n, a: found.append(a[0].clone()), [1]):
        model(IDS[:1])
        with applied(model, edits, tensors) as state, recorded(model, "residual", lambda n, a: found.append(a[0]), [1]):
            state.span(torch.tensor([[0, 0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 0, 0, 1, 1]]))
            model(IDS[:1])
    for token, kind in enumerate((0, 0, 0, 1, 2, 2)):
        a = found[0][token].numpy()
        for row in staged(edits, tensors, WIDTH)[kind]:
            a = by_formula(row, a)
        np.testing.assert_allclose(found[2][token].numpy(), a, rtol=1e-9, atol=1e-12)


def by_formula(row: Row, a: np.ndarray) -> np.ndarray:
    b = np.minimum(row.keep * a + row.shift, row.ceiling)
    if row.kept is not None:
        length = np.linalg.norm(b[row.kept])
        b[row.kept] *= np.linalg.norm(a[row.kept]) / length if length else 1.0
    if row.unit is not None:
        held = b @ row.unit
        b = b + (min(max(held * (1 - row.share), row.low), row.high) - held) * row.unit
    return b if row.reads is None or row.above < a @ row.reads < row.below else a


# --- On disk, and strengths


def test_they_are_stored_and_read(tmp_path: Path) -> None:
    edits = (
        edit("project_out", strength=0.5),
        edit("cap", low=-1.0, when=When(tensor="w", above=0.25)),
        edit("rescale", positions="answer"),
    )
    tensors = {"v": vector(0), "w": vector(1)}
    control = controls.store(tmp_path, edits=edits, tensors=tensors)
    again = controls.read(tmp_path / control.hash)
    assert again.edits == edits == control.edits and again.hash == control.hash
    other = edits[1].model_copy(update={"when": When(tensor="w", above=0.5)})
    assert controls.store(tmp_path, edits=(edits[0], other, edits[2]), tensors=tensors).hash != control.hash


def test_names_of_controls_that_were_there_before_stay() -> None:
    """Fields that an edit does not use are not written: kept answers are found by the hash."""
    made = Edit(layer=1, site="residual", op="add", tensor="shift", strength=2.0)
    control = Control(edits=(made,), contents="x")
    assert control.hash == "7e3f18e11fac5564"
    assert made.model_dump(mode="json").keys() == {"layer", "site", "op", "tensor", "units", "strength", "positions"}


def test_another_strength_is_that_of_what_adds_or_else_of_what_is_projected_out() -> None:
    add, out, cap = edit("add", strength=2.0), edit("project_out", strength=0.5), edit("cap", high=1.0)
    assert [e.strength for e in at_strength([add, out, cap], 4.0)] == [4.0, 0.5, 1.0]
    assert [e.strength for e in at_strength([edit("rescale"), cap], 4.0)] == [4.0, 1.0]
    assert [e.strength for e in at_strength([out, cap], 4.0)] == [4.0, 1.0]
    off = at_strength([add, out, cap], 0)
    assert [e.strength for e in off] == [0, 0, 0] and [e.strength for e in at_strength(off, 3.0)] == [3.0, 1.0, 1.0]
    assert Control(edits=(out,)).has_strength and not Control(edits=(cap, edit("zero", None))).has_strength


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_what_was_chosen_is_what_is_stored(strength: float, model: Any, tmp_path: Path) -> None:
    """Whoever applies the folder as it is does what a run does at the chosen strength."""
    edits = [edit("clamp"), edit("add"), edit("zero", None, units="u")]
    tensors = {"v": vector(14), "u": np.array([3])}
    fit = Fit(method="test", version="1", strength=strength)
    control = controls.read(tmp_path / controls.store(tmp_path, edits=edits, tensors=tensors, fit=fit).hash)
    before, found = states(model, list(control.edits), controls.arrays(control))
    chosen = control.at(strength)
    _, wanted = states(model, list(chosen.edits), tensors)
    assert torch.equal(found, wanted) and torch.equal(found, before) == (strength == 0)
    # Another strength can still be asked for, with the edits that have none.
    _, other = states(model, list(control.at(2.0).edits), tensors)
    expected = torch.minimum(before, torch.from_numpy(vector(14))) + 2 * torch.from_numpy(vector(14))
    expected[:, 3] = 0
    torch.testing.assert_close(other, expected, rtol=1e-12, atol=1e-12)
