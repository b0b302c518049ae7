"""Residual steering: add the difference of mean activations between two poles to the output of one layer.

After differences of means (Marks and Tegmark, 2023) and contrastive activation addition (Rimsky et al., 2024).

1. Ask neutral questions under a persona of either pole; record every layer's output at the last prompt token.
2. The vector of a layer is the mean under the high pole less the mean under the low one, or along the first principal
   component of the pairs (`axes`).
3. Try layers and strengths on development items, by halving; keep the weakest whose effect is within one standard
   error of the largest, among those whose prose stays in order.
4. Add strength * vector behind that layer, at every position; turned round for a low target, summed over traits.
5. Test on single words of the poles whether such a direction tells apart a pair that it was not made of (`separation`).

Where it departs: the contrast is between personas and not between answers to one item, so that no item's words enter;
the vector keeps its own length, so that strength 1 is the way from one pole's mean to the other's; and the layer is
chosen on development items, since it can decide even the sign of an effect. The whole depth curve is kept. A strength
is chosen at the poles; the vector that is stored, shorter for a graded target, is held to the same perplexity.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench import controls
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import material
from traitbench.methods.axes import Direction, between
from traitbench.methods.halving import Sweep
from traitbench.methods.layers import check, within
from traitbench.methods.method import Method
from traitbench.methods.prompting import Prompting, Style, texts
from traitbench.methods.separation import ON, QUESTIONS, separated, word_contrasts, words
from traitbench.methods.strengths import Grid, bounded
from traitbench.methods.weakest import weakest
from traitbench.types import (
    BIG_FIVE,
    Aim,
    Control,
    Doc,
    Edit,
    Find,
    Fit,
    Kind,
    Message,
    Point,
    Record,
    Scope,
    Site,
    Target,
    Trait,
    Write,
    digest,
)  # fmt: skip

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench

__all__ = ["QUESTIONS", "Residual", "contrast"]

STATISTIC = "projection gap of words left out"
Shift = NDArray[np.float32]
"""What a strength of 1 adds to the output of a layer, (width,)."""
Shifts = NDArray[np.float32]
"""The same for every layer, (layers, width)."""


class Residual(Method):
    """Add strength * (mean under the high pole - mean under the low pole) to the residual stream behind one layer.

    The vector is the raw difference, turned round for a low target, so that strength 1 moves from the mean of the
    opposite pole to the mean of the pole aimed at. Levels between the poles shorten it: layer and strength are chosen
    for the poles. Of several traits the vectors are added.
    """

    name = "residual"
    version = "4"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "graded", "several"})
    needs_model = True
    seeded = True
    sites: ClassVar[frozenset[Site]] = frozenset({"residual"})
    strength = "strength"

    class Config(Record):
        """Where to add and how much."""

        layer: int | None = Field(default=None, ge=0)
        """Counted from 0; None chooses among `layers`."""
        layers: tuple[int, ...] | None = Field(default=None, min_length=1)
        """What is tried; None: about eight layers, evenly between 20 % and 90 % of the depth."""
        strength: float | None = None
        """In differences between the poles; None chooses among `strengths`."""
        strengths: Grid = (1.0, 2.0, 4.0, 6.0)
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
        styles: tuple[Literal["adjective", "instruction", "p2"], ...] = Field(default=("adjective",), min_length=1)
        """The personas that stand for a pole, as `prompting` words them. On SmolLM2 the differences under p2 point away
        from those under adjectives (cosine -.3 in most layers) and move the statements the wrong way."""
        direction: Direction = "mean"
        """mean: difference of the means. pca: first principal component of the pairs of personas, as repeng."""

    config: Config
    otherwise = (
        "aim at one of these; for another that prompting has words for, give layer and strength, e.g. --method_args "
        "layer=15,strength=1"
    )

    @property
    def knows(self) -> frozenset[Trait]:
        """The traits that prompting has words for; where layer or strength is chosen, those of development items."""
        choosing = self.config.strength is None or self.config.layer is None
        return frozenset(texts()) & frozenset(BIG_FIVE if choosing else texts())

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The personas with their questions, the words of the test; where something is chosen, what it is chosen on."""
        assert target is not None
        config = self.config
        asked = [r.content() for trait in sorted(target.levels) for r in _asked(trait, config.styles, bench)]
        found = {"personas": digest(asked), **words(target.levels)}
        if config.strength is None or config.layer is None:
            mine = [item for item in bench.halves()[1] if item.trait in target.levels]
            found |= material.items(bench, mine, ("statement",)) | material.prose()
        return found

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control, at the strength chosen; 0 where none moved the development items the right way.

        BadData for a layer that the model lacks; UnsupportedControl where a choice is left open and no development item
        measures the target.
        """
        assert target is not None
        began, config = time.perf_counter(), self.config
        layers = within(bench.backend.model, config.layer, config.layers)
        choosing = config.strength is None or len(layers) > 1
        items = [item for item in bench.halves()[1] if choosing and item.trait in target.levels]
        if choosing and (missing := sorted(target.levels.keys() - {item.trait for item in items})):
            raise UnsupportedControl(
                f"residual chooses layer and strength on development items, and none measures {', '.join(missing)}; "
                "give both, e.g. --method_args layer=15,strength=1"
            )
        poles = {trait: contrast(trait, config.styles, bench, config.direction) for trait in target.levels}
        top, curve = self._choice(poles, target, layers, items, bench) if choosing else (None, ())
        layer = layers[0] if top is None or top.layer is None else top.layer
        shift, strength, stored = _added(poles, target.levels, layer), config.strength, dict[str, Any]()
        if strength is None:
            strength = top.strength if top is not None and (top.effect or 0.0) > 0 else 0.0
            with TemporaryDirectory() as folder:
                draft = self._control(shift, layer, Path(folder))
                strength, stored = bounded(draft, strength, config.strengths, config.max_perplexity, bench)
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, curve=curve, strength=strength,
            fitted_on=tuple(sorted(item.text_hash for item in items)),
            unit="the difference between the means of the poles",
            details={"layer": layer, "length": round(float(np.linalg.norm(shift)), 4), "effect": "nats a token",
                     **({"chosen_on": "development effect"} if choosing else {}), **stored},
            find=weakest({trait: _find(trait, layers, bench) for trait in target.levels}),
            licence="own texts (Apache-2.0), items in the public domain", seconds=time.perf_counter() - began,
            parameters=len(shift),
        )  # fmt: skip
        return self._control(shift, layer, bench.folder, fit)

    def check_model(self, config: Any, label: str) -> None:
        """Refuse an architecture whose layers are not known, and a layer that the model lacks."""
        super().check_model(config, label)
        check(config, self.config.layer, self.config.layers)

    def _choice(
        self,
        poles: Mapping[Trait, Shifts],
        target: Target,
        layers: Sequence[int],
        items: Sequence[Item],
        bench: Bench,
    ) -> tuple[Point | None, tuple[Point, ...]]:
        """Try every layer and strength at the poles of the target."""
        fixed = self.config.strength
        signs = {trait: float(np.sign(level)) for trait, level in target.levels.items()}
        with TemporaryDirectory() as folder:
            drafts = {n: self._control(_added(poles, signs, n), n, Path(folder)) for n in layers}
            strengths = self.config.strengths if fixed is None else (fixed,)
            limit = self.config.max_perplexity if fixed is None else math.inf
            return bench.deepest(drafts, target, strengths, items, limit, self.config.within, self.config.sweep)

    def _control(self, shift: Shift, layer: int, folder: Path, fit: Fit | None = None) -> Control:
        strength = fit.strength if fit and fit.strength is not None else 1.0
        edit = Edit(layer=layer, site="residual", op="add", tensor="shift", strength=strength,
                    positions=self.config.positions)  # fmt: skip
        return controls.store(folder, edits=[edit], tensors={"shift": shift}, fit=fit)


def contrast(trait: Trait, styles: Sequence[Style], bench: Bench, direction: Direction = "mean") -> Shifts:
    """What lies between the last prompt token under the low pole and that under the high one, (layers, width).

    A pair is a style with one of QUESTIONS (see `axes`). Kept in the bench's cache. BadData where both poles leave the
    same activations.
    """
    from traitbench.backends.packing import Item as Text

    requests = _asked(trait, styles, bench)

    def found() -> dict[str, Shifts]:
        states = bench.backend.states([Text(bench.backend.encode_prompt(r), ()) for r in requests], "residual")
        high, low = np.split(states, 2)
        return {"between": between(high - low, direction)}

    name = digest([bench.backend.identity, [request.content() for request in requests]])
    difference: Shifts = bench.once(f"residual-{direction}-{name}", found)["between"]
    if not difference.any(axis=1).all():
        raise BadData(f"the personas of high and low {trait} leave the same activations; is the chat template sound?")
    return difference


def _asked(trait: Trait, styles: Sequence[Style], bench: Bench) -> list[Write]:
    """Every question under the personas of the high pole, then under those of the low one."""
    doc = Doc(task="residual", scoring="generate", item="question", trait=trait, facet=None, keyed=1)
    return [
        Write(doc=doc, messages=(*persona.messages, Message(role="user", content=question)), cue="Answer:")
        for level in (1.0, -1.0)
        for style in styles
        for persona in [Prompting(Prompting.Config(style=style)).fit(Target(levels={trait: level}), bench)]
        for question in QUESTIONS
    ]


def _find(trait: Trait, layers: Sequence[int], bench: Bench) -> Find | None:
    """Test the layers that were tried, whichever was chosen."""
    contrasts = word_contrasts(trait, bench)
    return None if contrasts is None else separated(contrasts, layers).find(STATISTIC, ON)


def _added(poles: Mapping[Trait, Shifts], levels: Mapping[Trait, float], layer: int) -> Shift:
    """Sum level * difference over the traits, at `layer`."""
    shift: Shift = np.sum([np.float32(level) * poles[trait][layer] for trait, level in levels.items()], axis=0)
    return shift
