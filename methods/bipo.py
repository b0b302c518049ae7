"""Bi-directional preference optimisation: one trained vector on the residual stream, between steering and adapters.

After Cao et al. (2024), "Personalized steering of large language models: versatile steering vectors through
bi-directional preference optimization". A supervised baseline of rank one: what it does more than a difference of means
on the same stream is what supervision buys, what an adapter does more than it is what rank buys.

1. Pair the two replies of a scene: chosen is that of the high level of a trait, rejected that of the low.
2. Behind one layer add a vector, from zeros, at every position; draw for each pair whether it is added or taken away.
3. Train it alone, so that added it makes the chosen replies likelier, and taken away the rejected ones.
4. Do so for several layers; keep layer and strength by the effect on development items, as every method that edits.

Where it departs: pairs and scenes are those of `dpo`; the sign is drawn for each pair and not for each batch; held-out
loss chooses step and learning rate, since a small set is soon learnt by heart; and the layer is chosen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench import controls
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import dialogues, material
from traitbench.methods.dialogues import leaks
from traitbench.methods.halving import Sweep
from traitbench.methods.method import Method
from traitbench.methods.sft import opened
from traitbench.methods.strengths import Grid
from traitbench.methods.training import check_extra, example
from traitbench.methods.training.rates import Trial, search
from traitbench.methods.training.recipes import Recipe, recipe
from traitbench.types import (
    BIG_FIVE,
    Aim,
    Control,
    Edit,
    Find,
    Fit,
    Kind,
    Message,
    Point,
    Record,
    Site,
    Target,
    Trait,
)  # fmt: skip

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench
    from traitbench.methods.dialogues import Corpus, Dialogue
    from traitbench.methods.training.examples import Example

__all__ = ["BiPO"]


class BiPO(Method):
    """Add strength * a trained vector behind one layer; turned round for a low target."""

    name = "bipo"
    version = "3"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles"})
    needs_model = True
    seeded = True
    sites: ClassVar[frozenset[Site]] = frozenset({"residual"})
    strength = "strength"
    presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="dpo", lr=(5e-4,), batch=(4,), epochs=20, warmup=100),
        "small": Recipe(
            loss="dpo", lr=(1e-2, 3e-2), batch=(4,), epochs=3, warmup=4, scenes=60, evaluations=6, patience=2
        ),
    }
    """Published: beta 0.1, learning rate 5e-4, batch 4, 100 steps of warm-up, 20 epochs on Llama-2."""

    class Config(Record):
        """Where the vector is added, and how it is trained."""

        data: str = "open"
        """Dialogues, as `dpo` takes them."""
        preset: Literal["paper", "small"] = "paper"
        """paper: the published values. small: for small models and data, chosen on held-out loss."""
        layer: int | None = Field(default=None, ge=0)
        """Counted from 0; None chooses among `layers`."""
        layers: tuple[int, ...] | None = Field(default=None, min_length=1)
        """What is tried; None: three layers, at 30, 50 and 70 % of the depth. A vector is trained for each."""
        strength: float | None = None
        """In vectors as trained; None chooses among `strengths`."""
        strengths: Grid = (1.0, 2.0, 4.0, 8.0)
        """What is tried."""
        max_perplexity: float = Field(default=2.0, gt=0)
        """Largest perplexity of neutral text, over that without control, that a chosen strength may cause."""
        within: float = Field(default=1.0, ge=0)
        """The weakest strength within so many standard errors of the largest effect is taken; 0: the largest's."""
        sweep: Sweep = "halving"
        """How layers and strengths are tried: by halving or exhaustive (see `halving`)."""
        lr: tuple[float, ...] | float | None = None
        """Learning rate at the peak; several: short runs at the middle layer choose between them, and go on beyond."""
        widen: int | None = Field(default=None, ge=0)
        """Learning rates that may be tried beyond those of `lr`."""
        batch: int | None = Field(default=None, ge=1)
        """Pairs a step."""
        epochs: float | None = Field(default=None, gt=0)
        """Passes over the pairs."""
        warmup: int | None = Field(default=None, ge=0)
        """Steps of linear warm-up."""
        beta: float = Field(default=0.1, gt=0)
        """How strongly the model without the vector holds back."""
        scenes: int | None = Field(default=None, ge=2)
        """Train on so many scenes only."""
        held_out: float = Field(default=0.1, gt=0, lt=1)
        """Share of the scenes that held-out loss is measured on."""
        evaluations: int | None = Field(default=None, ge=1)
        """Times that held-out loss is measured on the way."""
        patience: int | None = Field(default=None, ge=1)
        """Stop when held-out loss has not fallen so many evaluations in a row."""
        match_steps: int | None = Field(default=None, ge=1)
        """Optimiser steps in place of `epochs`; nothing stops earlier."""
        find: bool = True
        """Whether a second vector, trained on shuffled labels of the poles, tests if anything was found."""
        find_steps: int | None = Field(default=None, ge=1)
        """Steps of that vector and of the one that it is compared with; None: those of a run that chooses rates."""
        cutoff: int = Field(default=1024, ge=8)
        """Longest example in tokens; a longer one is an error."""
        device_batch: int = Field(default=8, ge=1)
        """Pairs that are run at a time."""

    config: Config
    otherwise = "aim at one of these, or give dialogues on it with --method_args data=FILE,layer=15,strength=1"

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits of the open set; what other dialogues are on is seen when they are read."""
        return frozenset(BIG_FIVE) if self.config.data == "open" else None

    @property
    def plan(self) -> Recipe:
        """How it is trained: the preset with what the user gave; the limit of perplexity is that of strengths alone."""
        return recipe(self.config, self.presets).model_copy(update={"max_perplexity": None})

    def check(self, targets: Sequence[Target | None]) -> None:
        """Read the data and pair what is needed. MissingExtra, BadData, UnknownName."""
        check_extra()
        corpus = opened(self.config.data, targets)
        for target in filter(None, targets):
            for part in self._parts(corpus, next(iter(target.levels)), 0):
                dialogues.pairs(part)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The dialogues with the items that they are held against; where something is chosen, what it is chosen on."""
        assert target is not None
        found = {"dialogues": opened(self.config.data, [target]).digest, **leaks.read()}
        if self.config.strength is None or self.config.layer is None:
            mine = [item for item in bench.halves()[1] if item.trait in target.levels]
            found |= material.items(bench, mine, ("statement",)) | material.prose()
        return found

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Train a vector at each layer, once for both poles, and choose layer and strength.

        UnsupportedControl where no development item measures the trait and there is something to choose; BadData for
        a layer that the model has not, or a record over the cutoff.
        """
        from traitbench.methods.training.direction import once

        assert target is not None
        began, config, corpus = time.perf_counter(), self.config, opened(self.config.data, [target])
        ((trait, level),) = target.levels.items()
        layers = self._layers(bench)
        choosing = config.strength is None or len(layers) > 1
        items = [item for item in bench.halves()[1] if choosing and item.trait == trait]
        if choosing and not items:
            raise UnsupportedControl(
                f"bipo chooses layer and strength on development items, and none measures {trait}; give both, e.g. "
                "--method_args layer=15,strength=1"
            )
        parts = self._parts(corpus, trait, bench.seed)
        rows, held = ([self._example(pair, bench) for pair in _high(part)] for part in parts)
        plan, trials = self._settled(bench, trait, layers, rows, held)
        learnt = {n: once(bench, f"bipo, {trait}, layer {n}", plan, n, rows, held) for n in layers}
        sign = 1.0 if level > 0 else -1.0
        chosen, curve = self._choice(bench, target, {n: sign * one.vector for n, one in learnt.items()}, items)
        layer = layers[0] if chosen is None or chosen.layer is None else chosen.layer
        strength = config.strength
        if strength is None:
            strength = chosen.strength if chosen is not None and (chosen.effect or 0.0) > 0 else 0.0
        one, (find, found) = learnt[layer], self._find(bench, trait, plan, layer, parts, rows, held)
        held_against = leaks.audit([text for part in parts for each in part for text in (each.input, each.output)])
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, strength=strength, curve=curve, find=find,
            fitted_on=tuple(sorted({*held_against.whole, *(item.text_hash for item in items)})),
            unit="the vector as it was trained", licence=corpus.licence, parameters=len(one.vector),
            details={
                "layer": layer, "length": round(float(np.linalg.norm(one.vector)), 4), "effect": "nats a token",
                "recipe": plan.model_dump(mode="json"), "steps": one.steps, "planned_steps": one.planned,
                "best_step": one.best_step, "tokens": one.tokens, "examples": len(rows),
                "losses": [point.model_dump(mode="json", exclude_none=True) for point in one.curve],
                "chosen_on": "held-out loss, then development effect" if choosing else "held-out loss",
                "data": {"name": corpus.name, "digest": corpus.digest}, "leaks": held_against.summary, "find": found,
                "trials": [trial.model_dump(mode="json") for trial in trials],
            },
            seconds=time.perf_counter() - began,
        )  # fmt: skip
        return self._control(sign * one.vector, layer, strength, bench.folder, fit)

    def _parts(self, corpus: Corpus, trait: Trait, seed: int) -> tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]:
        some: Sequence[Dialogue] = [each for each in corpus.dialogues if each.trait == trait]
        if (scenes := self.plan.scenes) is not None:
            some = dialogues.subset(some, scenes, seed=seed)
        return dialogues.split(some, seed, self.config.held_out)

    def _layers(self, bench: Bench) -> tuple[int, ...]:
        from traitbench.controls.interventions import layers

        depth = layers(bench.backend.model)
        spread = tuple(dict.fromkeys(min(depth - 1, round(depth * share)) for share in (0.3, 0.5, 0.7)))
        given = (self.config.layer,) if self.config.layer is not None else self.config.layers or spread
        if strange := [layer for layer in given if not 0 <= layer < depth]:
            raise BadData(f"layer {strange[0]} is out of range: this model has layers 0 to {depth - 1}")
        return given

    def _example(self, pair: Any, bench: Bench) -> Example:
        turns = [Message(role="user", content=pair.input)]
        return example(bench.backend, turns, pair.chosen, self.config.cutoff, pair.rejected, what=pair.where)

    def _settled(
        self, bench: Bench, trait: Trait, layers: Sequence[int], rows: Sequence[Example], held: Sequence[Example]
    ) -> tuple[Recipe, tuple[Trial, ...]]:
        """Choose the learning rate at the middle one of the layers."""
        from traitbench.methods.training.direction import once

        plan, middle = self.plan, layers[len(layers) // 2]

        def attempt(lr: float, batch: int) -> Trial:
            short = plan.model_copy(
                update={"lr": (lr,), "batch": (batch,), "match_steps": plan.trial_steps, "evaluations": 1}
            )
            began, what = time.perf_counter(), f"bipo, {trait}, trying lr {lr:g}"
            found = once(bench, what, short, middle, rows, held)
            return Trial(lr=lr, batch=batch, held_out=found.lowest, seconds=time.perf_counter() - began)

        return search(bench, plan, attempt)

    def _choice(
        self, bench: Bench, target: Target, vectors: dict[int, NDArray[np.float32]], items: Sequence[Item]
    ) -> tuple[Point | None, tuple[Point, ...]]:
        config = self.config
        if not items:
            return None, ()
        with TemporaryDirectory() as folder:
            tried = {n: self._control(vector, n, 1.0, Path(folder)) for n, vector in vectors.items()}
            strengths = config.strengths if config.strength is None else (config.strength,)
            limit = config.max_perplexity if config.strength is None else math.inf
            return bench.deepest(tried, target, strengths, items, limit, config.within, config.sweep)

    def _find(
        self, bench: Bench, trait: Trait, plan: Recipe, layer: int,
        parts: tuple[Sequence[Dialogue], Sequence[Dialogue]], rows: Sequence[Example], held: Sequence[Example],
    ) -> tuple[Find | None, dict[str, Any]]:  # fmt: skip
        """Test the vector of the chosen layer against one that was trained on shuffled labels."""
        from traitbench.methods.training.direction import margins, once
        from traitbench.methods.training.finding import FEWEST, tested

        scenes = [pair.scene for pair in _high(parts[1])]
        if not self.config.find:
            return None, {"test": "left out (find=false)"}
        if len(set(scenes)) < FEWEST:
            return None, {"test": f"not tested: {len(set(scenes))} scenes are held out, fewer than {FEWEST}"}
        budget = plan.find_steps or plan.trial_steps
        short = plan.model_copy(update={"match_steps": budget, "evaluations": 1})
        shuffled = [self._example(pair, bench) for pair in _high(dialogues.relabelled(parts[0], bench.seed))]
        found = [
            margins(
                bench, once(bench, f"bipo, {trait}: {budget} steps on {what}", short, layer, some, held).vector,
                layer, held, self.config.device_batch,
            )
            for what, some in (("its labels", rows), ("shuffled labels", shuffled))
        ]  # fmt: skip
        find = tested(found[0] - found[1], scenes, "chosen less rejected reply", bench.seed)
        return find, {"test": f"{budget} steps on the labels and on shuffled ones", "steps": budget}

    def _control(
        self, vector: NDArray[np.float32], layer: int, strength: float, folder: Path, fit: Fit | None = None
    ) -> Control:
        edit = Edit(layer=layer, site="residual", op="add", tensor="vector", strength=strength)
        return controls.store(folder, edits=[edit], tensors={"vector": np.asarray(vector, dtype=np.float32)}, fit=fit)


def _high(part: Sequence[Dialogue]) -> list[dialogues.Pair]:
    """The pairs whose chosen reply is that of the high level."""
    return [pair for pair in dialogues.pairs(part) if pair.level == "high"]
