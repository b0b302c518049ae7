"""A steering vector from elsewhere: repeng's GGUF control vectors, lm-eval's steered .pt, persona vectors in a tensor.

After activation addition (Turner et al., 2023) and representation engineering (Zou et al., 2023).

1. Read a vector for each layer from the file, and hold its sizes against the model's.
2. Turn it round for a low target: it points to the high pole.
3. Add strength * vector to the output of each of the layers that the file names. Of one tensor with a row a layer
   (persona vectors, the assistant axis) one layer is steered: the one with the largest effect on development items.
4. Take the weakest strength whose effect on development items is within one standard error of the largest, among those
   that leave neutral prose in order.
5. Test on single words of the poles whether the vector tells them apart better than chance would (`separation`).

Where it departs: the files' own tools leave layer and strength to the user, or to the eye; here items choose them that
no task asks, since a strength that was chosen on the test items flatters itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench import controls
from traitbench.controls import vectors
from traitbench.errors import BadData, UnsupportedControl
from traitbench.files import user_path
from traitbench.inventories import Item
from traitbench.methods import material
from traitbench.methods.halving import Sweep
from traitbench.methods.layers import tried
from traitbench.methods.method import Method
from traitbench.methods.separation import ON, aligned, word_contrasts, words
from traitbench.methods.strengths import Grid
from traitbench.types import (
    BIG_FIVE,
    Aim,
    Control,
    Edit,
    Find,
    Fit,
    Kind,
    Op,
    Point,
    Record,
    Scope,
    Site,
    Target,
    Trait,
)  # fmt: skip

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Vector"]

STATISTIC = "cosine with the difference between words of the poles"
Shifts = Mapping[int, NDArray[np.float32]]
"""Layer -> vector (width,)."""

_UNITS = {"project_out": "all of the projection on the vector"}
"""Op -> what a strength of 1 is, where it is not the vector as its file scales it."""


class _Choice(NamedTuple):
    """Layers that are steered at once, and how strongly."""

    layers: tuple[int, ...]
    strength: float
    curve: tuple[Point, ...] = ()


class Vector(Method):
    """Add an imported vector behind all of its layers; it points to the high pole of the trait that is aimed at."""

    name = "vector"
    version = "4"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles"})
    needs_model = True
    sites: ClassVar[frozenset[Site]] = frozenset({"residual"})
    strength = "strength"

    class Config(Record):
        """What to add and how much."""

        file: str = ""
        """A control vector (.gguf), a steered file or a tensor with a row a layer (.pt)."""
        op: Literal["add", "rescale", "project_out"] = "add"
        """add; rescale: add, and bring the sum to the length that the activations had; project_out: take strength times
        the activations' projection on the vector away, whichever pole is aimed at."""
        layer: int | None = Field(default=None, ge=0)
        """Counted from 0: its vector alone. None: all that the file names at once; of a tensor the best of `layers`."""
        layers: tuple[int, ...] | None = Field(default=None, min_length=1)
        """Each is tried alone. None: of a tensor with a row a layer, about eight, evenly between 20 % and 90 % of the
        depth."""
        strength: float | None = None
        """In lengths of the vector, as its file scales it; None chooses among `strengths` on development items."""
        strengths: Grid = (0.5, 1.0, 2.0, 4.0)
        """What is tried."""
        max_perplexity: float = Field(default=2.0, gt=0)
        """Largest perplexity of neutral text, over that without control, that a chosen strength may cause."""
        within: float = Field(default=1.0, ge=0)
        """The weakest strength is chosen whose effect is so many standard errors, or fewer, below the largest; 0: that
        of the largest."""
        sweep: Sweep = "halving"
        """How layers and strengths are tried: by halving, so that what cannot be chosen is measured in part, or
        exhaustive."""
        positions: Scope = "all"
        """all; answer: from the last prompt token on; generated: only what the model writes."""

    config: Config

    @property
    def ops(self) -> frozenset[Op]:
        """What its edits do."""
        return frozenset({self.config.op})

    def check(self, targets: Sequence[Target | None]) -> None:
        """Refuse a file that cannot be read, and a choice that no development item can make."""
        found = self._read()
        traits = {trait for target in targets if target for trait in target.levels}
        if missing := sorted(traits - {*BIG_FIVE}) if self._chooses(found) else []:
            raise _unmeasured(missing[0], found.rows)

    def check_model(self, config: Any, label: str) -> None:
        """Refuse a vector of another width or depth, as far as the model's config tells them."""
        from traitbench.controls.architectures import depth_of

        super().check_model(config, label)
        depth = depth_of(config)
        vectors.check_width(self._read(), depth, int(config.hidden_size), self.config.file)
        if depth is not None:
            tried(depth, self.config.layer, self.config.layers)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The words of the test, and what layer or strength is chosen on; the vector's file is one of the settings."""
        assert target is not None
        if not self._chooses(self._read()):
            return words(target.levels)
        mine = [item for item in bench.halves()[1] if item.trait in target.levels]
        return words(target.levels) | material.items(bench, mine, ("statement",)) | material.prose()

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control, the vector turned round for a low target.

        UnsupportedControl without a file, or where no development item measures the trait and something is to be
        chosen; BadData for a file that cannot be read, a vector of another model, or a layer that it does not hold.
        """
        from traitbench.controls.interventions import layers, site_width

        assert target is not None
        began, config, model = time.perf_counter(), self.config, bench.backend.model
        found, depth = self._read(), layers(model)
        shifts = vectors.fitting(found, depth, site_width(model, "residual"), config.file)
        if found.made_for not in (None, model.config.model_type):
            bench.tell(f"{config.file} says it was made for {found.made_for}; its sizes fit, so it is used")
        if before := len(found.layers) > depth and found.rows:
            bench.tell(
                f"{config.file} has a row more than there are layers: row 0 is the embeddings', row n + 1 layer n's"
            )
        ((trait, level),) = target.levels.items()
        turned = {n: shift * np.float32(level) for n, shift in shifts.items()}
        items = [item for item in bench.halves()[1] if item.trait == trait] if self._chooses(found) else list[Item]()
        if self._chooses(found) and not items:
            raise _unmeasured(trait, found.rows)
        chosen = self._choice(turned, self._places(found, shifts, depth), target, items, bench)
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, strength=chosen.strength, curve=chosen.curve,
            fitted_on=tuple(sorted(item.text_hash for item in items)),
            unit=_UNITS.get(config.op, "the vector as its file scales it"),
            details={"layers": list(chosen.layers), "made_for": found.made_for, **_one(found, chosen, before),
                     **({"chosen_on": "development effect"} if items else {})},
            find=_find(trait, {n: shifts[n] for n in chosen.layers}, bench),
            seconds=time.perf_counter() - began, parameters=sum(len(shifts[n]) for n in chosen.layers),
        )  # fmt: skip
        return self._control(turned, chosen.layers, chosen.strength, bench.folder, fit)

    def _read(self) -> vectors.Vectors:
        if not self.config.file:
            raise UnsupportedControl("the method vector needs a file, e.g. --method_args file=happy.gguf")
        return vectors.read(user_path(self.config.file))

    def _chooses(self, found: vectors.Vectors) -> bool:
        """Whether a layer or the strength is chosen on development items."""
        config = self.config
        several = len(config.layers or ()) > 1 or (found.rows and config.layers is None)
        return config.strength is None or (config.layer is None and several)

    def _places(self, found: vectors.Vectors, shifts: Shifts, depth: int) -> list[tuple[int, ...]]:
        """The layers that are steered at once, as many ways as are tried."""
        config = self.config
        if config.layer is None and config.layers is None and not found.rows:
            return [tuple(shifts)]
        places = tried(depth, config.layer, config.layers)
        if missing := [n for n in places if n not in shifts]:
            raise BadData(
                f"{config.file} has no vector of layer {missing[0]}; it has those of {', '.join(map(str, shifts))}"
            )
        return [(n,) for n in places]

    def _choice(
        self,
        shifts: Shifts,
        places: Sequence[tuple[int, ...]],
        target: Target,
        items: Sequence[Item],
        bench: Bench,
    ) -> _Choice:
        """Choose layers and strength on `items`, where they are not given; strength 0 where nothing helps."""
        config, fixed = self.config, self.config.strength
        if len(places) == 1 and fixed is not None:
            return _Choice(places[0], fixed)
        with TemporaryDirectory() as folder:
            if len(places) == 1:
                plain = self._control(shifts, places[0], 1.0, Path(folder))
                found = bench.strongest(
                    plain, target, config.strengths, items, "statement", config.max_perplexity, config.within,
                    config.sweep,
                )  # fmt: skip
                return _Choice(places[0], *found)
            drafts = {place[0]: self._control(shifts, place, 1.0, Path(folder)) for place in places}
            strengths = config.strengths if fixed is None else (fixed,)
            limit = config.max_perplexity if fixed is None else math.inf
            top, curve = bench.deepest(drafts, target, strengths, items, limit, config.within, config.sweep)
        layer = places[0][0] if top is None or top.layer is None else top.layer
        helps = top is not None and (top.effect or 0.0) > 0
        strength = fixed if fixed is not None else top.strength if top is not None and helps else 0.0
        return _Choice((layer,), strength, curve)

    def _control(
        self, shifts: Shifts, layers: Sequence[int], strength: float, folder: Path, fit: Fit | None = None
    ) -> Control:
        edits = [
            Edit(layer=n, site="residual", op=self.config.op, tensor=f"layer.{n}", positions=self.config.positions,
                 strength=strength) for n in layers
        ]  # fmt: skip
        return controls.store(folder, edits=edits, tensors={f"layer.{n}": shifts[n] for n in layers}, fit=fit)


def _find(trait: Trait, shifts: Shifts, bench: Bench) -> Find | None:
    """Test the vector as its file has it; None for a trait without words to test it with."""
    contrasts = word_contrasts(trait, bench)
    return None if contrasts is None else aligned(contrasts, shifts, seed=bench.seed).find(STATISTIC, ON)


def _one(found: vectors.Vectors, chosen: _Choice, before: bool) -> dict[str, Any]:
    """What a fit says of one layer of a tensor: which it is, and whether the embeddings have a row before it."""
    layer = {"layer": chosen.layers[0]} if any(point.layer is not None for point in chosen.curve) else {}
    return {**layer, **({"embeddings": before} if found.rows else {})}


def _unmeasured(trait: str, rows: bool) -> UnsupportedControl:
    what, given = ("layer and strength", "layer=15,strength=1") if rows else ("the strength", "strength=1")
    return UnsupportedControl(
        f"no development item measures {trait}, so {what} cannot be chosen; give {'both' if rows else 'one'}, e.g. "
        f"--method_args {given}"
    )
