"""A steering vector from elsewhere: repeng's GGUF control vectors and the steered .pt files of lm-eval.

After activation addition (Turner et al., 2023) and representation engineering (Zou et al., 2023).

1. Read a vector for each layer from the file, and hold its sizes against the model's.
2. Turn it round for a low target: it points to the high pole.
3. Add strength * vector to the output of each of these layers.
4. Take the weakest strength whose effect on development items is within one standard error of the largest, among those
   that leave neutral prose in order.
5. Test on single words of the poles whether the vector tells them apart better than chance would (`separation`).

Where it departs: the files' own tools leave the strength to the user, or to the eye; here items choose it that no task
asks, since a strength that was chosen on the test items flatters itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench import controls
from traitbench.controls import vectors
from traitbench.errors import UnsupportedControl
from traitbench.inventories import Item
from traitbench.methods import material
from traitbench.methods.method import Method
from traitbench.methods.separation import ON, aligned, word_contrasts, words
from traitbench.types import Aim, Control, Edit, Find, Fit, Kind, Point, Record, Scope, Target, Trait

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Vector"]

STATISTIC = "cosine with the difference between words of the poles"


class Vector(Method):
    """Add an imported vector behind all of its layers; it points to the high pole of the trait that is aimed at."""

    name = "vector"
    version = "2"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles"})
    needs_model = True
    strength = "strength"

    class Config(Record):
        """What to add and how much."""

        file: str = ""
        """A control vector (.gguf) or a steered file (.pt)."""
        strength: float | None = None
        """In lengths of the vector, as its file scales it; None chooses among `strengths` on development items."""
        strengths: tuple[float, ...] = Field(default=(0.5, 1.0, 2.0, 4.0), min_length=1)
        """What is tried."""
        max_perplexity: float = Field(default=2.0, gt=0)
        """Largest perplexity of neutral text, over that without control, that a chosen strength may cause."""
        within: float = Field(default=1.0, ge=0)
        """The weakest strength is chosen whose effect is so many standard errors, or fewer, below the largest; 0: that
        of the largest."""
        positions: Scope = "all"
        """all; answer: from the last prompt token on; generated: only what the model writes."""

    config: Config

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The words of the test, and what a strength is chosen on; the vector's file is one of the settings."""
        assert target is not None
        if self.config.strength is not None:
            return words(target.levels)
        mine = [item for item in bench.halves()[1] if item.trait in target.levels]
        return words(target.levels) | material.items(bench, mine, ("statement",)) | material.prose()

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control, the vector turned round for a low target.

        UnsupportedControl without a file, or where no development item measures the trait and no strength is given;
        BadData for a file that cannot be read or a vector of another model.
        """
        from traitbench.controls.interventions import layers, site_width

        assert target is not None
        began, config, model = time.perf_counter(), self.config, bench.backend.model
        if not config.file:
            raise UnsupportedControl("the method vector needs a file, e.g. --method_args file=happy.gguf")
        found = vectors.read(Path(config.file).expanduser())
        shifts = vectors.fitting(found, layers(model), site_width(model, "residual"), config.file)
        if found.made_for not in (None, model.config.model_type):
            bench.tell(f"{config.file} says it was made for {found.made_for}; its sizes fit, so it is used")
        ((trait, level),) = target.levels.items()
        edits = [
            Edit(layer=n, site="residual", op="add", tensor=f"layer.{n}", positions=config.positions) for n in shifts
        ]
        tensors = {f"layer.{n}": shift * level for n, shift in shifts.items()}
        strength, curve, items = config.strength, tuple[Point, ...](), list[Item]()
        if strength is None:
            items = [item for item in bench.halves()[1] if item.trait == trait]
            if not items:
                raise UnsupportedControl(
                    f"no development item measures {trait}, so the strength cannot be chosen; give one, e.g. "
                    "--method_args strength=1"
                )
            plain = controls.store(bench.cache, edits=edits, tensors=tensors)
            strength, curve = bench.strongest(
                plain, target, config.strengths, items, limit=config.max_perplexity, within=config.within
            )
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, strength=strength, curve=curve,
            fitted_on=tuple(sorted(item.text_hash for item in items)), unit="the vector as its file scales it",
            details={"layers": list(shifts), "made_for": found.made_for,
                     **({"chosen_on": "development effect"} if config.strength is None else {})},
            find=_find(trait, shifts, bench), seconds=time.perf_counter() - began,
            parameters=sum(map(len, shifts.values())),
        )  # fmt: skip
        chosen = [edit.model_copy(update={"strength": strength}) for edit in edits]
        return controls.store(bench.folder, edits=chosen, tensors=tensors, fit=fit)


def _find(trait: Trait, vectors: Mapping[int, NDArray[np.float32]], bench: Bench) -> Find | None:
    """Test the vector as its file has it; None for a trait without words to test it with."""
    contrasts = word_contrasts(trait, bench)
    return None if contrasts is None else aligned(contrasts, vectors, seed=bench.seed).find(STATISTIC, ON)
