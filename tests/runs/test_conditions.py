"""The conditions a run is made of: targets, strengths, parts of a control."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from traitbench import controls
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.runs.conditions import conditions
from traitbench.types import Control, Edit, Fit, Message, Person, Target

HIGH, LOW = (Target(levels={"openness": level}) for level in (1.0, -1.0))
SOMEBODY = Target(person=Person(id="7", inventory="ipip_neo_300", answers={"i1": 4}))


class Push(Method):
    """Pushes layer 0, twice as hard as it was told to on low targets."""

    name = "push"
    makes: ClassVar[Any] = frozenset({"prompt", "activations"})
    targets: ClassVar[Any] = frozenset({"poles", "person"})
    strength = "strength"

    def fit(self, target: Target | None, bench: Bench) -> Control:
        assert target is not None
        chosen = 2.0 if target.levels.get("openness", 1.0) > 0 else 4.0
        messages = (Message(role="system", content="You are 7."),) if target.person else ()
        return controls.store(
            bench.folder,
            messages=messages,
            edits=(Edit(layer=0, site="residual", op="add", tensor="v", strength=chosen),),
            tensors={"v": np.ones(3, np.float32)},
            fit=Fit(method=self.name, version="1", strength=chosen),
        )


def named(tmp_path: Path, targets: list[Target], coefs: tuple[float, ...]) -> dict[str, Any]:
    bench = Bench(0, None, tmp_path)
    return {c.name: (c, control) for c, control in conditions(Push(), {}, list(targets), coefs, bench)}


def test_the_chosen_strength_is_the_headline_and_the_others_stand_aside(tmp_path: Path) -> None:
    made = named(tmp_path, [HIGH, LOW], (0, 2, 8))
    assert list(made) == [
        "baseline", "openness=high", "openness=high@0", "openness=high@8",
        "openness=low", "openness=low@0", "openness=low@2", "openness=low@8",
    ]  # fmt: skip
    assert {n: c.coef for n, (c, _) in made.items() if c.headline} == {
        "baseline": None, "openness=high": 2.0, "openness=low": 4.0,
    }  # fmt: skip
    for name, (condition, control) in made.items():
        if name != "baseline":
            assert condition.control_hash == control.hash
            assert [e.strength for e in control.edits] == ([condition.coef] if condition.coef else [])
    # A control without messages at strength 0 is no control at all.
    assert made["openness=high@0"][1].hash == Control().hash


def test_the_two_parts_of_a_control_are_asked_alone(tmp_path: Path) -> None:
    made = named(tmp_path, [SOMEBODY], ())
    assert list(made) == ["baseline", "person:7", "person:7@prompt", "person:7@shift"]
    assert {c.person for c, _ in made.values()} == {None, "7"}
    both, prompt, shift = (made[n][1] for n in list(made)[1:])
    assert both.kinds == {"prompt", "activations"} and prompt.kinds == {"prompt"} and shift.kinds == {"activations"}
    assert [made[n][0].variant for n in made] == [None, None, "prompt only", "shift only"]
    assert not made["person:7@prompt"][0].headline


def test_without_a_bench_there_is_the_baseline_alone() -> None:
    assert [c.name for c, _ in conditions(Push(), {}, [HIGH], (), None)] == ["baseline"]


@pytest.mark.parametrize("drawn", [False, True])
def test_drawn_profiles_are_numbered(drawn: bool, tmp_path: Path) -> None:
    made = conditions(Push(), {}, [HIGH, LOW], (), Bench(0, None, tmp_path), drawn)
    assert [c.name for c, _ in made][1:] == (["profile 1", "profile 2"] if drawn else ["openness=high", "openness=low"])
    assert all(c.profile is drawn for c, _ in made[1:])
