"""Controls on disk: what is written is read back, what is wrong is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitbench import controls
from traitbench.errors import BadData
from traitbench.types import Control, Edit, Fit, Message

ADD = Edit(layer=1, site="residual", op="add", tensor="shift", strength=2.0)
CLAMP = Edit(layer=0, site="gate", op="clamp", tensor="top", units="which", positions="answer")
ZERO = Edit(layer=0, site="heads", op="zero", units="which")
TENSORS: dict[str, Any] = {
    "shift": np.arange(4, dtype=np.float32),
    "top": np.zeros(2, np.float32),
    "which": np.array([3, 1]),
}
FIT = Fit(method="test", version="1", strength=2.0, details={"layers": [1]})


def stored(folder: Path, **changes: Any) -> Control:
    given: dict[str, Any] = {"edits": (ADD, CLAMP, ZERO), "tensors": TENSORS, "fit": FIT, **changes}
    return controls.store(folder, messages=(Message(role="system", content="You."),), **given)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    control = stored(tmp_path)
    again = controls.read(tmp_path / control.hash)
    assert again == control and again.hash == control.hash and again.fit == FIT
    held = controls.arrays(again)
    assert held.keys() == TENSORS.keys()
    assert all(np.array_equal(held[name], value) and held[name].dtype == value.dtype for name, value in TENSORS.items())
    assert sorted(p.name for p in (tmp_path / control.hash).iterdir()) == [
        "control.json", "method.json", "tensors.safetensors",
    ]  # fmt: skip


def test_two_fits_of_the_same_contents_keep_what_each_says(tmp_path: Path) -> None:
    """Two persons without enough answers, two targets at strength 0: the later one left no word of the first."""
    fits = [FIT.model_copy(update={"target": f"extraversion={pole}"}) for pole in ("high", "low")]
    first, second = (stored(tmp_path, fit=fit) for fit in fits)
    places = [controls.home(control, tmp_path) for control in (first, second)]
    assert first.hash == second.hash and places[0] == tmp_path / first.hash
    assert places[1].parent == tmp_path and places[1].name.startswith(f"{first.hash}-")
    assert [controls.read(place).fit for place in places] == fits
    told = [fit.model_copy(update={"data": {"items": "x"}, "seconds": 9.0}) for fit in fits]
    kept = [
        controls.keep(c.model_copy(update={"fit": f}), tmp_path) for c, f in zip((first, second), told, strict=True)
    ]
    assert kept == places and [controls.read(place).fit for place in places] == told
    assert len(list(tmp_path.iterdir())) == 2
    (places[0] / "method.json").write_text("{")
    assert controls.home(first, tmp_path) == places[0], "what is damaged is written again"


def test_the_hash_is_of_the_contents(tmp_path: Path) -> None:
    control = stored(tmp_path / "a")
    assert stored(tmp_path / "b", fit=None).hash == control.hash
    other = {**TENSORS, "shift": TENSORS["shift"] + 1}
    assert stored(tmp_path / "c", tensors=other).hash != control.hash
    assert control.at(3.0).hash != control.hash == control.at(2.0).hash


def test_a_strength_scales_what_is_added_and_0_is_the_messages_alone(tmp_path: Path) -> None:
    control = stored(tmp_path)
    assert [e.strength for e in control.at(5.0).edits] == [5.0, 1.0, 1.0]
    plain = Control(messages=control.messages)
    assert control.at(0).hash == plain.hash and control.at(0).kinds == {"prompt"}
    assert control.kinds == {"prompt", "activations"} and Control().kinds == frozenset()


def test_a_control_of_messages_needs_no_tensors(tmp_path: Path) -> None:
    control = controls.store(tmp_path, messages=(Message(role="user", content="Be."),))
    assert controls.read(tmp_path / control.hash) == control and controls.arrays(control) == {}


def test_what_is_kept_at_another_strength_stands_alone(tmp_path: Path) -> None:
    control = stored(tmp_path / "a").at(4.0)
    place = controls.keep(control, tmp_path / "b")
    again = controls.read(place)
    assert again.hash == control.hash == place.name and again.edits[0].strength == 4.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tensors": {**TENSORS, "shift": np.array([0, np.nan, 1], np.float32)}}, "'shift' holds nan at place 1"),
        ({"tensors": {**TENSORS, "shift": np.array([np.inf], np.float32)}}, "'shift' holds inf"),
        ({"tensors": {"shift": TENSORS["shift"]}}, "names the tensor 'top'"),
        ({"tensors": {**TENSORS, "which": np.array([1, 1])}}, "different whole numbers"),
        ({"tensors": {**TENSORS, "which": np.array([0.5, 1])}}, "different whole numbers"),
        ({"tensors": {**TENSORS, "top": np.zeros(3, np.float32)}}, "3 values for 2 units"),
        ({"tensors": {**TENSORS, "shift": np.zeros((2, 2), np.float32)}}, "floats of one dimension"),
        ({"edits": (ADD.model_copy(update={"tensor": None}),)}, "add goes with a tensor"),
        ({"edits": (ZERO.model_copy(update={"tensor": "shift"}),)}, "zero goes without"),
    ],
)
def test_numbers_that_cannot_be_are_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=said):
        stored(tmp_path, **changes)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_damage_is_told(tmp_path: Path) -> None:
    control = stored(tmp_path)
    assert control.tensors is not None
    place = control.tensors.parent
    whole = control.tensors.read_bytes()
    control.tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadData, match="has the digest"):
        controls.read(place)
    control.tensors.write_bytes(whole[:40])
    with pytest.raises(BadData, match="cannot read"):
        controls.read(place)
    control.tensors.unlink()
    with pytest.raises(BadData, match="cannot read"):
        controls.read(place)
    (place / "control.json").write_text(json.dumps({"messages": [], "edits": [], "more": 1}))
    with pytest.raises(BadData, match="no control of this version"):
        controls.read(place)
