"""Persona vectors: add what replies of one pole have, in the mean over their tokens, that replies of the other lack.

After Chen et al. (2025), "Persona vectors: monitoring and controlling character traits in language models"
(arXiv:2507.21509); the assistant axis of Lu et al. (2026) is the same between other poles.

1. The model answers everyday questions under descriptions of the high and of the low pole (`replies`), or it reads
   trait dialogues (`replies=dialogues`).
2. Keep the pairs whose replies both show their pole (`keeping`).
3. Take the mean of each layer's output over a reply's tokens; the vector of a layer is the mean difference between the
   poles, or the first principal component of the pairs (`axes`).
4. Try layers and strengths on development items; keep the weakest whose effect is within one standard error of the
   largest, among those whose prose stays in order.
5. Add strength * vector behind that layer; turned round for a low target, summed over traits.
6. Test whether the vector of some descriptions tells the poles of another pair of descriptions apart (`separation`).

Where it departs: replies are kept by how much likelier they are under another description of their pole than under one
of the other pole, unless the text scorer is asked for, and not by a large model; each question is answered once under
each of several descriptions, and not ten times at random; layer and strength are chosen on development items, which no
task asks; several layers are steered by what each vector has more than that of the steered layer before it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench import controls
from traitbench.errors import UnsupportedControl
from traitbench.methods import material
from traitbench.methods.dialogues import leaks
from traitbench.methods.layers import check, within
from traitbench.methods.method import Method
from traitbench.methods.npti.scenes import opened, scenes
from traitbench.methods.npti.sources import OWN, SCENES, own, texts
from traitbench.methods.persona_vectors.keeping import judge_of
from traitbench.methods.persona_vectors.poles import vectors
from traitbench.methods.persona_vectors.replies import drawn
from traitbench.methods.persona_vectors.settings import PRESETS, Settings, Writing
from traitbench.methods.strengths import bounded
from traitbench.methods.weakest import weakest
from traitbench.types import (
    BIG_FIVE,
    Aim,
    Control,
    Edit,
    Fit,
    Kind,
    Op,
    Point,
    Site,
    Target,
    Trait,
    digest,
)  # fmt: skip

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench

__all__ = ["PersonaVectors"]

Shifts = NDArray[np.float32]
"""What a strength of 1 adds to the output of each layer, (layers, width)."""
Shift = NDArray[np.float32]
"""The same for one layer, (width,)."""

_UNITS = {"project_out": "all of the projection on the vector"}
"""Op -> what a strength of 1 is, where it is not the way between the poles."""


class _Choice(NamedTuple):
    """Layers that are steered together, and how strongly."""

    layers: tuple[int, ...]
    strength: float
    curve: tuple[Point, ...] = ()


class PersonaVectors(Method):
    """Add strength * (mean over replies of the high pole - mean over those of the low one) to the residual stream.

    The vector keeps its length, so that strength 1 moves from the mean of the opposite pole to the mean of the pole
    aimed at. Levels between the poles shorten it. Of several traits the vectors are added.
    """

    name = "persona_vectors"
    version = "2"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "graded", "several"})
    needs_model = True
    seeded = True
    sites: ClassVar[frozenset[Site]] = frozenset({"residual"})
    strength = "strength"
    presets: ClassVar[Mapping[str, Writing]] = PRESETS

    class Config(Settings):
        """Where replies come from, which are kept, and where and how strongly to steer."""

    config: Config
    otherwise = (
        "aim at one of these; for another that there are questions on give layer and strength, e.g. --method_args "
        "layer=15,strength=1, or dialogues on it as well with replies=dialogues,data=FILE"
    )

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits that there are questions or dialogues on; where something is chosen, those of development items.

        What other dialogues than the open set hold is seen later.
        """
        config, measured = self.config, frozenset(BIG_FIVE)
        if config.replies == "dialogues":
            return measured if config.data == "open" or config.chooses() else None
        return frozenset(own()) & (measured if config.chooses() else frozenset(own()))

    @property
    def ops(self) -> frozenset[Op]:
        """What its edits do."""
        return frozenset({self.config.op})

    def check(self, targets: Sequence[Target | None]) -> None:
        """Look for questions or dialogues on every trait, and for the scorer.

        BadData for a set that says nothing on a trait; MissingExtra where the scorer is not installed,
        UnsupportedControl where it is not valid on a trait.
        """
        traits = sorted({trait for target in targets if target for trait in target.levels})
        judge_of(self.config.keep, traits)
        for trait in traits:
            if self.config.replies == "dialogues":
                scenes(trait, self.config.data, self.config.scenes, 0, 0)
                if self.config.keep == "likelihood" and trait not in own():
                    raise UnsupportedControl(
                        f"keep=likelihood needs descriptions of {trait}, and there are none; take keep=all"
                    )
            else:
                drawn(trait, self.config, 0)

    def check_model(self, config: Any, label: str) -> None:
        """Refuse an architecture whose layers are not known, and a layer that the model lacks."""
        super().check_model(config, label)
        check(config, self.config.layer, self.config.layers)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """Questions and descriptions, or dialogues; the scorer; where something is chosen, what it is chosen on."""
        assert target is not None
        config, traits = self.config, sorted(target.levels)
        found = dict[str, str]()
        if config.replies == "dialogues":
            found |= {"dialogues": opened(config.data).digest} | leaks.read()
        for trait in traits:
            where = config.writing.questions if config.replies == "generate" else OWN
            if config.replies == "generate" or trait in own():
                found[f"questions on {trait}"] = digest(texts(trait, where, OWN).model_dump(mode="json"))
        if (judge := judge_of(config.keep)) is not None:
            found["scorer"] = digest(judge.identity)
        if config.chooses():
            mine = [item for item in bench.halves()[1] if item.trait in target.levels]
            found |= material.items(bench, mine, ("statement",)) | material.prose()
        return found

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control, at the strength chosen; 0 where none moved the development items the right way.

        BadData for a layer that the model lacks, and where no pair of replies shows both poles; UnsupportedControl
        where a choice is left open and no development item measures the target.
        """
        assert target is not None
        began, config = time.perf_counter(), self.config
        layers = within(bench.backend.model, config.layer, config.layers)
        items = [item for item in bench.halves()[1] if config.chooses() and item.trait in target.levels]
        missing = sorted(target.levels.keys() - {item.trait for item in items}) if config.chooses() else []
        if missing:
            raise UnsupportedControl(
                f"persona_vectors chooses layer and strength on development items, and none measures "
                f"{', '.join(missing)}; give both, e.g. --method_args layer=15,strength=1"
            )
        poles = {trait: vectors(trait, config, layers, bench) for trait in target.levels}
        ways = {trait: pole.shifts for trait, pole in poles.items()}
        found = self._choice(ways, target, layers, items, bench)
        shifts, strength = self._added(ways, target.levels, found.layers), found.strength
        stored: dict[str, Any] = {"increments": True} if self._adds and len(shifts) > 1 else {}
        if config.strength is None:
            with TemporaryDirectory() as folder:
                draft = self._control(shifts, Path(folder))
                strength, held = bounded(draft, strength, config.strengths, config.max_perplexity, bench)
                stored |= held
        place = {"layer": found.layers[0]} if len(found.layers) == 1 else {"layers": list(found.layers)}
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, curve=found.curve, strength=strength,
            fitted_on=tuple(sorted({*self._leaked(target), *(item.text_hash for item in items)})),
            unit=_UNITS.get(config.op, "the difference between the means of the poles"),
            details={**place, "length": [round(float(np.linalg.norm(shift)), 4) for shift in shifts.values()],
                     "effect": "nats a token", **({"chosen_on": "development effect"} if items else {}), **stored,
                     "replies": {trait: pole.details for trait, pole in poles.items()}},
            find=weakest({trait: pole.find for trait, pole in poles.items()}),
            licence=self._licence(), seconds=time.perf_counter() - began, parameters=sum(map(len, shifts.values())),
        )  # fmt: skip
        return self._control(shifts, bench.folder, fit)

    def _choice(
        self,
        poles: Mapping[Trait, Shifts],
        target: Target,
        layers: Sequence[int],
        items: Sequence[Item],
        bench: Bench,
    ) -> _Choice:
        """Choose layer and strength at the poles of the target, where they are not given; 0 where nothing helps."""
        config, fixed = self.config, self.config.strength
        places = [tuple(sorted(layers))] if config.at_once else [(n,) for n in layers]
        if not items:
            return _Choice(places[0], fixed if fixed is not None else 0.0)
        signs = {trait: float(np.sign(level)) for trait, level in target.levels.items()}
        with TemporaryDirectory() as folder:
            drafts = {p: self._control(self._added(poles, signs, p), Path(folder)) for p in places}
            if len(places) == 1:
                found = bench.strongest(
                    drafts[places[0]], target, config.strengths, items, limit=config.max_perplexity,
                    within=config.within, sweep=config.sweep,
                )  # fmt: skip
                return _Choice(places[0], *found)
            strengths = config.strengths if fixed is None else (fixed,)
            limit = config.max_perplexity if fixed is None else math.inf
            top, curve = bench.deepest(
                {p[0]: draft for p, draft in drafts.items()},
                target,
                strengths,
                items,
                limit,
                config.within,
                config.sweep,
            )
        helps = top is not None and (top.effect or 0.0) > 0
        layer = layers[0] if top is None or top.layer is None else top.layer
        return _Choice((layer,), fixed if fixed is not None else top.strength if top and helps else 0.0, curve)

    def _control(self, shifts: Mapping[int, Shift], folder: Path, fit: Fit | None = None) -> Control:
        strength, config = fit.strength if fit and fit.strength is not None else 1.0, self.config
        edits = [
            Edit(layer=n, site="residual", op=config.op, tensor=f"layer.{n}", strength=strength,
                 positions=config.positions) for n in shifts
        ]  # fmt: skip
        return controls.store(folder, edits=edits, tensors={f"layer.{n}": s for n, s in shifts.items()}, fit=fit)

    @property
    def _adds(self) -> bool:
        """Whether what the edits of several layers do adds up; else each acts on what flows through its own layer."""
        return self.config.op in ("add", "rescale")

    def _added(
        self, poles: Mapping[Trait, Shifts], levels: Mapping[Trait, float], layers: Sequence[int]
    ) -> dict[int, Shift]:
        """Sum level * vector over the traits: layer -> the vector of its edit.

        Of edits that add up it is what lies beyond the layer before it.
        """
        shifts: dict[int, Shift] = {}
        before: Shift | None = None
        for n in layers:
            whole: Shift = np.sum([np.float32(level) * poles[trait][n] for trait, level in levels.items()], axis=0)
            shifts[n] = whole if before is None or not self._adds else whole - before
            before = whole
        return shifts

    def _leaked(self, target: Target) -> tuple[str, ...]:
        """Text hashes of items that stand whole in the dialogues that were read."""
        if self.config.replies == "generate":
            return ()
        mine = [d for d in opened(self.config.data).dialogues if d.trait in target.levels]
        return leaks.audit([text for d in mine for text in (d.input, d.output)]).whole

    def _licence(self) -> str:
        if self.config.replies == "dialogues":
            return opened(self.config.data).licence
        ours = self.config.writing.questions in (OWN, SCENES)
        return "texts of our own (Apache-2.0)" if ours else "of the given questions"
