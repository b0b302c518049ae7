"""NPTI: raise the neurons of one pole of a trait and silence those of the other.

After Deng et al. (2025), "Neuron-based personality trait induction in large language models", ICLR.

1. Have the model answer everyday questions under descriptions of either pole (`sources`).
2. Count for each neuron (gate of an MLP) on which share of the written tokens it is active (`search`).
3. delta is its share under one pole less that under the other; from delta = 0.1 on it is that pole's.
4. Raise the neurons of the pole: a += gamma * q95 * sigmoid(10 * (delta - 0.15)), with a = act(gate) and q95 the 95th
   percentile of a under that pole.
5. Silence those of the other pole: a = min(a, 0).

Where it departs from the published code: q95 is a true quantile with a relative error below 1 %, not the edge of a
histogram that ends at 3; every token of every reply counts once, whatever the size of the last batch; the least number
of neurons (2,000 of Llama-3-8B's 458,752) is scaled to the model; gamma is chosen on held-out questions and never on
test items (`gamma`); nothing is drawn anew at each step (see `legacy_dropout`); and by default the position that
decides the answer's first token is edited too, since a choice of letters is made there (`positions=generated` is
literal).
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from traitbench import controls
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.method import Method
from traitbench.methods.npti import sources
from traitbench.methods.npti.gamma import EFFECTS, held_out, sweep, write
from traitbench.methods.npti.sources import OWN, PERSONALITYBENCH, Draw, Neurons, Pair, draw, read_neurons, texts
from traitbench.types import BIG_FIVE, Aim, Control, Edit, Fit, Kind, Point, Record, Scope, Target, Trait, Write

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["NPTI"]

PUBLISHED_NEURONS = 32 * 14_336
"""Of Llama-3-8B, where `least` neurons were kept."""
Pole = Literal["high", "low"]
_POLES: tuple[Pole, Pole] = ("high", "low")


class _Pair(NamedTuple):
    """The neurons of both poles, and what is worth knowing of how they were found."""

    high: Neurons
    low: Neurons
    details: dict[str, Any]


class NPTI(Method):
    """Raise the neurons of the pole aimed at and silence those of the other; several traits are added up."""

    name = "npti"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "several"})
    needs_model = True
    seeded = True
    strength = "gamma"

    class Config(Record):
        """How neurons are searched for, which are kept, and how gamma is found."""

        questions: str = OWN
        """own: our 25 questions a trait. personalitybench: its search set, where you have it. Or a file: a JSON list of
        questions, or NPTI's own lines of {"question": ..., "BFI": trait}."""
        descriptions: Literal["own", "personalitybench"] | None = None
        """Who describes the poles; None: own, with questions=personalitybench its own."""
        questions_per_pole: int = Field(default=100, ge=2)
        """Pairs of question and description; published: 1,000. All there are where these are fewer."""
        max_tokens: int = Field(default=32, ge=2)
        """Of a reply. Published: 500."""
        batch_size: int = Field(default=16, ge=1)
        """Replies written at a time; it can change the last digits."""
        threshold: float = Field(default=0.1, gt=0, lt=1)
        """The least delta."""
        least: int = Field(default=2000, ge=0)
        """Neurons kept at least, whatever their delta, for a model of Llama-3-8B's size; scaled to others."""
        quantile: float = Field(default=0.95, gt=0, lt=1)
        """Of a neuron's activation under its own pole: what gamma is a multiple of."""
        slope: float = 10.0
        """Of the sigmoid of delta."""
        middle: float = 0.15
        """The delta at which the sigmoid is one half."""
        positions: Scope = "answer"
        """answer: from the last prompt token on. generated: literal to the paper. all: the prompt too."""
        gamma: float | None = Field(default=None, ge=0)
        """None chooses among `gammas`."""
        gammas: tuple[float, ...] = Field(default=(0.5, 1.0, 2.0, 4.0, 8.0), min_length=1)
        """Published: 0.6 to 1.5, by the results on the test questions. A small model takes, and needs, more."""
        dev: Literal["questions", "items"] = "questions"
        """What gamma is chosen on: replies to held-out questions, or statements of the IPIP-NEO-300 that are not in the
        IPIP-NEO-120."""
        dev_questions: int = Field(default=8, ge=0)
        """Questions of each trait that are kept out of the search."""
        max_perplexity: float = Field(default=2.0, gt=0)
        """Of neutral text, over that without control: what a chosen gamma may cause."""
        legacy_dropout: float = Field(default=0.0, ge=0, lt=1)
        """A seeded share of the raised neurons is dropped, once. The published code drops 10 %, drawn anew without a
        seed for every layer and token, so that its runs cannot be repeated; on average that raises each by 0.9."""
        neurons: str | None = None
        """A published list of the high pole's neurons, not searched: {layer: [[layer, index, delta, P, q95]]}."""
        reversed: str | None = None
        """The same of the low pole."""

        @model_validator(mode="after")
        def _development(self) -> Self:
            if self.gamma is None and self.dev == "questions" and not self.dev_questions:
                raise ValueError("gamma is chosen on dev_questions, of which there are 0; give some, or a gamma")
            return self

    config: Config

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits that there are questions on; any where the neurons are given."""
        return None if self.config.neurons and self.config.reversed else frozenset(BIG_FIVE)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """Questions and descriptions of each trait; where gamma is chosen, what it is chosen on."""
        return sources.read(target, self.config, bench)

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Search, choose gamma and store the control.

        UnsupportedControl for a target that is not of poles, or a neuron list for several traits; BadData for a list
        of another model, for questions of a test set, and where a model does not answer.
        """
        if target is None or not target.aims <= self.targets:
            raise UnsupportedControl(
                f"npti aims at poles of traits, not at {target.name if target else 'nothing'}; e.g. "
                "--target extraversion=high"
            )
        began, config = time.perf_counter(), self.config
        drawn = {trait: self._draw(trait, bench.seed) for trait in target.levels}
        found = {trait: self._neurons(trait, target, bench, drawn) for trait in target.levels}
        edits, tensors = self._edits(target, found, bench.seed)
        # A control that changes nothing would pass for one without effect.
        if not edits:
            raise BadData(
                f"no neuron of {bench.backend.spec.label} tells the poles of {', '.join(target.levels)} apart; "
                "expected more questions_per_pole, or a smaller threshold"
            )
        with tempfile.TemporaryDirectory(dir=bench.cache) as draft:
            gamma, curve, hashes = self._gamma(
                controls.store(Path(draft), edits=edits, tensors=tensors), target, bench, drawn
            )
        # At 0 the edits stay in the control, so that --coefs can still show the curve; Fit.strength says what is used.
        at = [e.model_copy(update={"strength": gamma}) if e.op == "add" and gamma else e for e in edits]
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, fitted_on=hashes, strength=gamma,
            unit="gamma, in 95th percentiles of each neuron's activation", curve=curve,
            details={"effect": EFFECTS[config.dev], "traits": {trait: pair.details for trait, pair in found.items()}},
            licence=self._licence(), seconds=time.perf_counter() - began,
            parameters=sum(v.size for v in tensors.values() if v.dtype.kind == "f"),
        )  # fmt: skip
        return controls.store(bench.folder, edits=at, tensors=tensors, fit=fit)

    def _draw(self, trait: Trait, seed: int) -> Draw:
        config = self.config
        source = texts(trait, config.questions, config.descriptions)
        return draw(source, config.questions_per_pole, config.dev_questions, f"{trait} {seed}")

    def _neurons(self, trait: Trait, target: Target, bench: Bench, drawn: dict[Trait, Draw]) -> _Pair:
        """Find the neurons of both poles: search for them, or read the lists that were given."""
        from traitbench.controls.interventions import layers, site_width

        model = bench.backend.model
        shape = layers(model), site_width(model, "gate")
        if self.config.neurons or self.config.reversed:
            return self._imported(target, bench, shape)
        if len(drawn[trait].search) < self.config.questions_per_pole:
            bench.tell(f"npti: there are {len(drawn[trait].search)} pairs of question and description on {trait}")
        return self._searched(trait, drawn[trait], bench, shape)

    def _imported(self, target: Target, bench: Bench, shape: tuple[int, int]) -> _Pair:
        config = self.config
        if len(target.levels) > 1:
            raise UnsupportedControl(
                f"the lists {config.neurons} and {config.reversed} are of one trait, the target is {target.name}; "
                "expected one trait"
            )
        (level,) = target.levels.values()
        raised, key = (config.neurons, "neurons") if level > 0 else (config.reversed, "reversed")
        if raised is None:
            raise BadData(
                f"the target {target.name} raises the neurons of --method_args {key}=FILE, which is not given"
            )
        lists = [
            read_neurons(Path(path), *shape, bench.backend.spec.label) if path else sources.none()
            for path in (config.neurons, config.reversed)
        ]
        counted = {"high": lists[0].by_layer(), "low": lists[1].by_layer()}
        return _Pair(lists[0], lists[1], {"neurons": counted, "imported": [config.neurons, config.reversed]})

    def _searched(self, trait: Trait, drawn: Draw, bench: Bench, shape: tuple[int, int]) -> _Pair:
        from traitbench.methods.npti.search import Asked, choose, overlap, search
        from traitbench.statistics.quantiles import Bins

        config, number = self.config, shape[0] * shape[1]
        found = {}
        for pole in _POLES:
            asked = [Asked(self._write(trait, pole, pair), pair.half) for pair in drawn.search]
            label = f"{trait}={pole}"
            found[pole] = search(bench, asked, label, config.quantile, config.batch_size, Bins())
        least = round(config.least * number / PUBLISHED_NEURONS)
        chosen: dict[Pole, Neurons] = {}
        details: dict[str, Any] = {"neurons": {}, "stability": {}, "delta": {}, "tokens": {}}
        for pole, other in (_POLES, _POLES[::-1]):
            mine, theirs = found[pole], found[other]
            kept = chosen[pole] = choose(mine, theirs, config.threshold, least)
            halves = [choose(mine, theirs, config.threshold, least, half) for half in (0, 1)]
            details["neurons"][pole] = kept.by_layer()
            details["stability"][pole] = overlap(halves[0], halves[1], number, shape[1])
            details["delta"][pole] = [float(kept.delta[-1]), float(kept.delta[0])] if len(kept.delta) else None
            details["tokens"][pole] = int(mine.tokens.sum())
        return _Pair(chosen["high"], chosen["low"], details)

    def _write(self, trait: Trait, pole: Pole, pair: Pair) -> Write:
        """Ask a question under a description of `pole`."""
        source = texts(trait, self.config.questions, self.config.descriptions)
        described = source.high if pole == "high" else source.low
        return write(trait, described[pair.description], pair.question, self.config.max_tokens)

    def _edits(
        self, target: Target, found: dict[Trait, _Pair], seed: int
    ) -> tuple[list[Edit], dict[str, NDArray[Any]]]:
        """Write edits and tensors: in each layer first what is silenced, then what is raised, as published.

        A neuron that several traits raise gets the sum; one that is silenced by one trait and raised by another gets
        both, in this order.
        """
        config = self.config
        raised: dict[tuple[int, int], float] = {}
        silenced: dict[tuple[int, int], float] = {}
        for trait, level in target.levels.items():
            mine, other = (found[trait].high, found[trait].low)[:: 1 if level > 0 else -1]
            # The logistic function, in a form that does not overflow.
            size = mine.high * (1 + np.tanh(config.slope * (mine.delta - config.middle) / 2)) / 2
            chance = random.Random(f"npti dropout {trait} {seed}")
            dropped = set(chance.sample(range(len(size)), round(config.legacy_dropout * len(size))))
            for n, place in enumerate(zip(mine.layer.tolist(), mine.unit.tolist(), strict=True)):
                if n not in dropped:
                    raised[place] = raised.get(place, 0.0) + float(size[n])
            silenced |= dict.fromkeys(zip(other.layer.tolist(), other.unit.tolist(), strict=True), 0.0)
        return _edits_by_layer({"clamp": silenced, "add": raised}, config.positions)

    def _gamma(
        self, control: Control, target: Target, bench: Bench, drawn: dict[Trait, Draw]
    ) -> tuple[float, tuple[Point, ...], tuple[str, ...]]:
        """Choose gamma: it, the curve, and the text hashes of the items that were used; 0 where none helps."""
        config = self.config
        if config.gamma is not None:
            return config.gamma, (), ()
        if config.dev == "items":
            items = [item for item in bench.halves()[1] if item.trait in target.levels]
            gamma, curve = bench.strongest(control, target, config.gammas, items, limit=config.max_perplexity)
            return gamma, curve, tuple(sorted(item.text_hash for item in items))
        replies = []
        for trait, level in target.levels.items():
            pairs = drawn[trait].development
            high, low = ([self._write(trait, pole, pair) for pair in pairs] for pole in _POLES)
            replies += held_out(bench, trait, level, [pair.question for pair in pairs], high, low)
        return (*sweep(bench, control, config.gammas, replies, config.max_perplexity), ())

    def _licence(self) -> str:
        config = self.config
        if config.neurons or config.reversed:
            return "of the imported list"
        if PERSONALITYBENCH in (config.questions, config.descriptions):
            return "PersonalityBench: none stated"
        return "texts of our own (Apache-2.0)" if config.questions == OWN else "of the given questions"


def _edits_by_layer(
    values: Mapping[Literal["clamp", "add"], Mapping[tuple[int, int], float]], positions: Scope
) -> tuple[list[Edit], dict[str, NDArray[Any]]]:
    """Write for each layer and op one edit with its two tensors; values: op -> (layer, neuron) -> number."""
    tensors, edits = dict[str, NDArray[Any]](), list[Edit]()
    layers = sorted({layer for places in values.values() for layer, _ in places})
    for layer in layers:
        for op, places in values.items():
            units = sorted(unit for where, unit in places if where == layer)
            if not units:
                continue
            name = f"{op}.{layer}"
            tensors[name] = np.array([places[layer, unit] for unit in units], dtype=np.float32)
            tensors[f"{name}.units"] = np.array(units, dtype=np.int64)
            edits.append(Edit(layer=layer, site="gate", op=op, tensor=name, units=f"{name}.units", positions=positions))
    return edits, tensors
