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
from scipy import stats
from tiny_models import roomy

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.weights import known_as, locate
from traitbench.errors import BadData, UnsupportedControl
from traitbench.leaderboard import board_of, published_results, render
from traitbench.report import page
from traitbench.report.board import board_page
from traitbench.runs.api import load_results
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
from traitbench.runs.projected import Projections, kept, tables
from traitbench.runs.projections import axes_of, project
from traitbench.runs.publish import publish
from traitbench.runs.verify import verify
from traitbench.samples import Sample
from traitbench.store import read_lines
from traitbench.tables import interval
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


def stored(model: Path, to: Path, target: str = HIGH, **given: Any) -> Path:
    """A control that adds VECTOR behind layer 1."""
    edit = Edit(**{"layer": 1, "site": "residual", "op": "add", "tensor": "v", **given})
    spec = resolve(str(model))
    fit = Fit(method="residual", version="3", model=known_as(spec, locate(spec)), target=target)
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
    ((found, file),) = project(str(path.parent), [control], "replies", None, None, pytest.fail, Quiet())
    assert file.parent == path.parent and read_lines(file, Projections) == [found] == kept(path)
    (along,) = found.layers
    rows = {(row.condition, row.read): row for row in along.rows}
    assert [*rows] == [("baseline", "alone"), (HIGH, "alone"), (HIGH, "controlled")]
    spoke = [s for s in samples(path) if str(s.resps[0][0]).strip()]
    means = {}
    for (condition, read), row in rows.items():
        mine = [
            (s.item, by_hand(model, s.arguments[0], s.resps[0][0], read == "controlled"))
            for s in spoke if s.condition == condition
        ]  # fmt: skip
        means[condition, read] = of_items(mine)
        assert row.texts == len(mine) and row.items == pytest.approx(
            {f"mini_ipip/{item}": value for item, value in means[condition, read].items()}, abs=1e-5
        )
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
    ((found, file),) = project(str(path.parent), [control], "prompts", tmp_path, 1, pytest.fail, Quiet())
    assert file.parent == tmp_path
    rows = {(row.condition, row.read): row for row in found.layers[0].rows}
    assert [*rows] == [("baseline", "alone"), (HIGH, "controlled")]
    for (condition, read), row in rows.items():
        prompts = {s.arguments[0] for s in samples(path) if s.condition == condition and s.doc_id == 0}
        assert row.texts == len(prompts) and len(row.items) == 1 and row.ci is None
        by = [by_hand(model, prompt, None, read == "controlled") for prompt in prompts]
        assert row.value == pytest.approx(np.mean(by), abs=1e-5)


def test_messages_of_a_control_stand_before_its_own_texts_alone(model: Path, held: Any, tmp_path: Path) -> None:
    path = spoken(model, tmp_path, method="prompting", target=HIGH)
    ((found, _),) = project(str(path.parent), [held[1]], "replies", None, None, pytest.fail, Quiet())
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
    elsewhere = tmp_path / "elsewhere" / control.name
    shutil.copytree(control, elsewhere)
    shutil.move(control, away := tmp_path / "away")
    try:
        ((found, _),) = project(str(copy), [elsewhere], "replies", None, None, told.append, Quiet())
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
        return project(str(run), [on], "replies", None, None, lambda line: None, Quiet())

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
        project(str(held[0]), [tmp_path / made.hash], "replies", None, None, lambda line: None, Quiet())


def test_the_command_prints_a_table_and_json(held: tuple[Path, Path], tmp_path: Path, say: Say) -> None:
    path, control = held
    done = say(f"project '{path.parent}' --on '{control}' --limit 1 --format json -o '{tmp_path}'")
    assert done.code == 0 and [one["of"] for one in json.loads(done.out)] == ["replies"]
    assert "kept in" in done.err and [*tmp_path.glob("projections_replies_*.jsonl")]
    shown = say(f"project '{path.parent}' --on '{control}' --of prompts --format markdown -o '{tmp_path}'")
    assert shown.code == 0 and "shift from baseline" in shown.out


@pytest.fixture(scope="module")
def both(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two controls, each with a direction of its own behind its own layer."""
    to = tmp_path_factory.mktemp("both")
    low = stored(model, to / "controls", target="extraversion=low", layer=2, strength=-2.0)
    return spoken(model, to, control=(str(stored(model, to / "controls")), str(low)))


def test_a_run_is_projected_on_its_own_directions(both: Path, tmp_path: Path) -> None:
    own = project(str(both.parent), [], "replies", tmp_path, None, pytest.fail, Quiet())
    assert [one.aim for one, _ in own] == [HIGH, "extraversion=low"]
    assert [one.method for one, _ in own] == ["residual", "residual"] and len({file for _, file in own}) == 1
    for one, _ in own:
        alone = tmp_path / one.control
        found = project(
            str(both.parent), [both.parents[1] / "controls" / one.control], "replies", alone, None, pytest.fail, Quiet()
        )
        assert [each for each, _ in found] == [one]
    # What was found on other controls stays in the file.
    first = both.parents[1] / "controls" / own[0][0].control
    ((again, file),) = project(str(both.parent), [first], "replies", tmp_path, 1, pytest.fail, Quiet())
    assert read_lines(file, Projections) == [own[1][0], again]


def test_controls_without_a_direction_are_no_direction(model: Path, tmp_path: Path) -> None:
    path = spoken(model, tmp_path, method="prompting", target=HIGH, limit=1)
    with pytest.raises(UnsupportedControl, match=r"hold no direction on the residual stream .* name one: --on DIR"):
        project(str(path.parent), [], "replies", None, None, lambda line: None, Quiet())


def test_the_board_tells_how_far_the_texts_moved_along_what_they_were_aimed_at(both: Path, tmp_path: Path) -> None:
    shutil.copytree(both.parents[1], tmp_path / "runs")
    path = tmp_path / "runs" / both.parent.name / both.name
    made = [one for one, _ in project(str(path.parent), [], "replies", None, None, pytest.fail, Quiet())]
    apart: dict[str, list[dict[str, float]]] = {"alone": [], "controlled": []}
    for one in made:
        (along,) = one.layers
        rows = {(row.condition, row.read): row.items for row in along.rows}
        assert along.sd
        for read, held in apart.items():
            mine, base = rows[str(one.aim), read], rows["baseline", "alone"]
            held.append({item: (mine[item] - base[item]) / along.sd for item in mine if item in base})
    published = tmp_path / "published"
    publish(path, published)
    board = board_of(published_results(published))
    (entry,) = board.entries
    assert entry.projection is not None
    assert (entry.projection.of, entry.projection.method, entry.projection.targets) == ("replies", "residual", 2)
    for read, value, ci in (
        ("alone", entry.projection.said, entry.projection.said_ci),
        ("controlled", entry.projection.inside, entry.projection.inside_ci),
    ):
        high, low = apart[read]
        means = [(high[item] + low[item]) / 2 for item in high if item in low]
        assert value == pytest.approx(np.mean(means)) and ci is not None
        half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means))
        assert ci[0] <= np.mean(means) - half + 1e-9 and ci[1] >= np.mean(means) + half - 1e-9
    shown = interval(entry.projection.said, entry.projection.said_ci)
    assert "projection [95 %], SD" in render(board) and shown in render(board)
    assert f"{shown} <span" in board_page(board, published_results(published), ".")
    results = load_results(path)
    (drawn,) = [figure for figure in results.figures() if figure.kind == "projection"]
    assert [line[:4] for line in drawn.table.rows] == [
        [str(one.aim), "replies", "residual", read] for one in made for read in ("said", "inside")
    ]
    for one, line in zip(made, drawn.table.rows[::2], strict=True):
        sds = next(row.sds for row in one.layers[0].rows if row.condition == one.aim)
        assert line[4].startswith(f"{sds:.2f} [")
    assert drawn.title in page({"run": results}, "run")
    (file,) = published.glob("*/projections_replies_*.jsonl")
    file.write_bytes(file.read_bytes().replace(b'"value": ', b'"value": 1').replace(b'"value":', b'"value":1'))
    with pytest.raises(BadData, match=r"line 1 is damaged \(its checksum is another"):
        board_of(published_results(published))
    assert [fault for fault in verify(published).faults if "its checksum is another" in fault]
