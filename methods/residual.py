"""Residual steering: add the difference of mean activations between two poles to the output of one layer.

The plain baseline of activation steering (differences of means as in Marks and Tegmark, 2023, and Rimsky et al., 2024),
here between personas. Layer and strength are chosen on development items, since the layer can decide even the sign of
an effect; the whole depth curve is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench import controls, vectors
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.prompting import Prompting, Style
from traitbench.types import (
    Aim,
    Control,
    Doc,
    Edit,
    Fit,
    Kind,
    Message,
    Method,
    Point,
    Record,
    Scope,
    Target,
    Trait,
    Write,
    digest,
)  # fmt: skip

if TYPE_CHECKING:
    from traitbench.bench import Bench
    from traitbench.inventories import Item

__all__ = ["QUESTIONS", "Residual", "contrast"]

Shifts = Mapping[int, NDArray[np.float32]]
"""Layer -> what a strength of 1 adds to its output, (width,)."""

QUESTIONS = (
    "What is a normal day like for you?",
    "What did you do last weekend?",
    "What are your plans for tomorrow?",
    "Tell me about the place where you live.",
    "What do other people say about you?",
    "What is on your mind at the moment?",
    "How would you describe yourself in a few words?",
    "What happened on the way here?",
)


class Residual(Method):
    """Add strength * (mean under the high pole - mean under the low pole) to the residual stream behind one layer.

    The vector is the raw difference, turned round for a low target, so that strength 1 moves from the mean of the
    opposite pole to the mean of the pole aimed at. Levels between the poles shorten it: layer and strength are chosen
    for the poles. Of several traits the vectors are added.
    """

    name = "residual"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "graded", "several"})
    needs_model = True
    strength = "strength"

    class Config(Record):
        """Where to add, how much, and what."""

        layer: int | None = Field(default=None, ge=0)
        """Counted from 0; None chooses among `layers`."""
        layers: tuple[int, ...] | None = Field(default=None, min_length=1)
        """What is tried; None: about eight layers, evenly between 20 % and 90 % of the depth."""
        strength: float | None = None
        """In differences between the poles, or in lengths of an imported vector; None chooses among `strengths`."""
        strengths: tuple[float, ...] = Field(default=(1.0, 2.0, 4.0, 6.0), min_length=1)
        limit: float = Field(default=2.0, gt=0)
        """Largest perplexity of neutral text, over that without control, that a chosen strength may cause."""
        positions: Scope = "all"
        styles: tuple[Literal["adjective", "instruction", "p2"], ...] = Field(default=("adjective",), min_length=1)
        """The personas that stand for a pole, as `prompting` words them. On SmolLM2 the differences under p2 point away
        from those under adjectives (cosine -.3 in most layers) and move the statements the wrong way."""
        vector: str | None = None
        """A control vector (.gguf) or lm-eval's steered .pt that points to the high pole of the target's trait. All of
        its layers are used at once, in place of a vector of our own."""

    config: Config

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control, at the strength chosen; 0 where none moved the development items the right way.

        BadData for a layer that the model lacks or a vector of another model; UnsupportedControl where a choice is
        left open and no development item measures the target.
        """
        assert target is not None
        began, config = time.perf_counter(), self.config
        trials, poles = self._trials(target, bench)
        choosing = config.strength is None or len(trials) > 1
        items = [item for item in bench.halves()[1] if choosing and item.trait in target.levels]
        if choosing and (missing := sorted(target.levels.keys() - {item.trait for item in items})):
            raise UnsupportedControl(
                f"residual chooses layer and strength on development items, and none measures {', '.join(missing)}; "
                "give both, e.g. --method_args layer=15,strength=1"
            )
        poles = poles or {trait: contrast(trait, config.styles, bench) for trait in target.levels}
        curve = self._curve(target, trials, poles, items, bench) if choosing else ()
        top = max(filter(self._sound, curve), key=lambda p: p.effect or 0.0, default=None)
        strength = top.strength if top and (top.effect or 0.0) > 0 else 0.0
        layers = next(t for t in trials if top is None or top.layer in (None, t[0]))
        shifts = _added(poles, target.levels, layers)
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, curve=curve,
            strength=strength if config.strength is None else config.strength,
            fitted_on=tuple(sorted(item.text_hash for item in items)),
            unit="lengths of the imported vector" if config.vector else "differences between the means of the poles",
            details={
                "layers": layers, "length": [round(float(np.linalg.norm(shift)), 4) for shift in shifts.values()],
                "effect": "nats a token, statements, for the poles",
            },
            licence="own texts (Apache-2.0), items in the public domain", seconds=time.perf_counter() - began,
            parameters=sum(map(len, shifts.values())),
        )  # fmt: skip
        return self._control(shifts, bench.folder, fit)

    def _trials(self, target: Target, bench: Bench) -> tuple[list[list[int]], dict[Trait, Shifts]]:
        """Return the sets of layers to try and, where a vector is imported, what it adds."""
        from traitbench.interventions import layers, site_width

        config, depth = self.config, layers(bench.backend.model)
        if config.vector is not None:
            if len(target.levels) > 1:
                raise UnsupportedControl(f"an imported vector points one way and cannot aim at {target.name}")
            found = vectors.read(Path(config.vector))
            shifts = vectors.fitting(found, depth, site_width(bench.backend.model, "residual"), config.vector)
            if found.made_for not in (None, bench.backend.model.config.model_type):
                bench.tell(f"{config.vector} says it was made for {found.made_for}; its sizes fit, so it is used")
            return [list(shifts)], dict.fromkeys(target.levels, shifts)
        even = range(depth // 5, depth * 9 // 10 + 1, max(1, round(depth * 0.7 / 8)))
        given = (config.layer,) if config.layer is not None else config.layers or tuple(even)
        if strange := [layer for layer in given if not 0 <= layer < depth]:
            raise BadData(f"layer {strange[0]} is out of range: this model has layers 0 to {depth - 1}")
        return [[layer] for layer in given], {}

    def _curve(
        self,
        target: Target,
        trials: Sequence[Sequence[int]],
        poles: Mapping[Trait, Shifts],
        items: Sequence[Item],
        bench: Bench,
    ) -> tuple[Point, ...]:
        """Effect at every layer and strength; perplexity, in falling order of effect, until one is sound."""
        strengths = self.config.strengths if self.config.strength is None else (self.config.strength,)
        signs = {trait: float(np.sign(level)) for trait, level in target.levels.items()}
        points, tried = [], []
        with (
            TemporaryDirectory() as folder,
            bench.progress(f"residual {target.name}", len(trials) * len(strengths)) as step,
        ):
            for layers in trials:
                control = self._control(_added(poles, signs, layers), Path(folder), None)
                for strength in sorted(set(strengths)):
                    effect = bench.effect(control.at(strength), target, items)
                    layer = layers[0] if len(layers) == 1 else None
                    points.append(Point(strength=strength, effect=effect, layer=layer))
                    tried.append(control.at(strength))
                    step(1)
            for n in sorted(range(len(points)), key=lambda n: -(points[n].effect or 0.0)):
                points[n] = points[n].model_copy(update={"perplexity": bench.perplexity(tried[n])})
                if self._sound(points[n]):
                    break
        return tuple(points)

    def _sound(self, point: Point) -> bool:
        return self.config.strength is not None or (
            point.perplexity is not None and point.perplexity <= self.config.limit
        )

    def _control(self, shifts: Shifts, folder: Path, fit: Fit | None) -> Control:
        edits = [
            Edit(
                layer=layer, site="residual", op="add", tensor=f"layer.{layer}", positions=self.config.positions,
                strength=fit.strength if fit and fit.strength is not None else 1.0,
            )
            for layer in shifts
        ]  # fmt: skip
        return controls.store(folder, edits=edits, tensors={f"layer.{n}": v for n, v in shifts.items()}, fit=fit)


def contrast(trait: Trait, styles: Sequence[Style], bench: Bench) -> dict[int, NDArray[np.float32]]:
    """Return per layer the mean at the last prompt token under the high pole minus that under the low, (width,).

    A mean is over styles x QUESTIONS. Kept in the bench's cache. BadData where both poles leave the same activations.
    """
    from traitbench.backends.packing import Item as Text

    doc = Doc(task="residual", scoring="generate", item="question", trait=trait, facet=None, keyed=1)
    requests = [
        Write(doc=doc, messages=(*persona.messages, Message(role="user", content=question)), cue="Answer:")
        for level in (1.0, -1.0)
        for style in styles
        for persona in [Prompting(Prompting.Config(style=style)).fit(Target(levels={trait: level}), bench)]
        for question in QUESTIONS
    ]
    name = digest([bench.backend.identity, [request.content() for request in requests]])
    path = bench.cache / f"residual-{name}.npy"
    if path.is_file():
        means = np.load(path)
    else:
        states = bench.backend.states([Text(bench.backend.encode_prompt(r), ()) for r in requests], "residual")
        means = states.reshape(2, -1, *states.shape[1:]).mean(axis=1)
        with path.with_suffix(".new").open("wb") as file:
            np.save(file, means)
        path.with_suffix(".new").replace(path)
    difference = means[0] - means[1]
    if not difference.any(axis=1).all():
        raise BadData(f"the personas of high and low {trait} leave the same activations; is the chat template sound?")
    return dict(enumerate(difference))


def _added(poles: Mapping[Trait, Shifts], levels: Mapping[Trait, float], layers: Sequence[int]) -> Shifts:
    """Sum level * shift over the traits, for each of `layers`."""
    return {n: np.sum([np.float32(v) * poles[t][n] for t, v in levels.items()], axis=0) for n in layers}
