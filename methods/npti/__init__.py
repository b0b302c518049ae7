"""NPTI: raise the neurons of one pole of a trait and silence those of the other.

After Deng et al. (2025), "Neuron-based personality trait induction in large language models", ICLR.

1. Show the model replies of people of either pole to the same words (`reading`), or have it answer everyday questions
   under descriptions of either pole, as published (`search=generate`, `search`).
2. Count for each neuron (gate of an MLP) on which share of the replies' tokens it is active (`counting`).
3. delta is its share under one pole less that under the other; from delta = 0.1 on it is that pole's.
4. Raise the neurons of the pole: a += gamma * q95 * sigmoid(10 * (delta - 0.15)), with a = act(gate) and q95 the 95th
   percentile of a under that pole.
5. Silence those of the other pole: a = min(a, 0).
6. Test whether two halves of the scenes name the same neurons, against shuffled poles (`halves`).

Where it departs from the published code: replies are read and not written by default, since a small model that writes
its own needs more of them than can be had (50 questions of 32 tokens gave halves with 1 to 12 % of the neurons in
common); q95 is a true quantile with a relative error below 1 %, not the edge of a histogram that ends at 3; every token
of every reply counts once, whatever the size of the last batch; the least number of neurons (2,000 of Llama-3-8B's
458,752) is scaled to the model; gamma is chosen on development data and never on test items (`gamma`); nothing is drawn
anew at each step (see `legacy_dropout`); and by default the position that decides the answer's first token is edited
too, since a choice of letters is made there (`positions=generated` is literal).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from traitbench import controls
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.dialogues import leaks
from traitbench.methods.method import Method
from traitbench.methods.npti.digests import digests
from traitbench.methods.npti.gamma import EFFECTS, asked, held_out, known, sweep, write
from traitbench.methods.npti.placing import edits_of
from traitbench.methods.npti.scenes import Scenes, opened, scenes
from traitbench.methods.npti.settings import PRESETS, Generation, Settings
from traitbench.methods.npti.sources import (
    OWN,
    PERSONALITYBENCH,
    SCENES,
    Draw,
    Neurons,
    Pair,
    draw,
    own,
    read_neurons,
    texts,
)
from traitbench.methods.weakest import weakest
from traitbench.store import draft
from traitbench.types import BIG_FIVE, Aim, Control, Find, Fit, Kind, Point, Site, Target, Trait, Write

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.npti.reading import Both

__all__ = ["NPTI"]

CHOSEN_ON = {"items": "development effect", "questions": "held-out replies"}
UNTESTED = "not tested: the neurons were given, so that there are no two halves of a search to compare"
PUBLISHED_NEURONS = 32 * 14_336
"""Of Llama-3-8B, where `least` neurons were kept."""


class _Pair(NamedTuple):
    """The neurons of both poles, what is worth knowing of how they were found, and whether they are any."""

    high: Neurons
    low: Neurons
    details: dict[str, Any]
    find: Find | None = None


class NPTI(Method):
    """Raise the neurons of the pole aimed at and silence those of the other; several traits are added up."""

    name = "npti"
    version = "5"
    makes: ClassVar[frozenset[Kind]] = frozenset({"activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "several"})
    needs_model = True
    seeded = True
    sites: ClassVar[frozenset[Site]] = frozenset({"gate"})
    strength = "gamma"
    presets: ClassVar[Mapping[str, Generation]] = PRESETS

    class Config(Settings):
        """How neurons are searched for, which are kept, and how gamma is found."""

    config: Config

    otherwise = "aim at one of these, or give dialogues on it with --method_args data=FILE"

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits of the open set, or those that there are questions on; what other dialogues hold is seen later."""
        config = self.config
        if (config.neurons and config.reversed) or (config.search == "dialogues" and config.data != "open"):
            return None
        given = PERSONALITYBENCH in (config.generation.questions, config.descriptions)
        return frozenset(BIG_FIVE if config.search == "dialogues" or given else own())

    def check(self, targets: Sequence[Target | None]) -> None:
        """Read the dialogues or questions on every trait, and look for what gamma is chosen on.

        BadData for a set that is empty, has one pole only or says nothing on a trait; UnsupportedControl where no
        development item measures one.
        """
        config = self.config
        for trait in dict.fromkeys(trait for target in targets if target for trait in target.levels):
            if config.asks:
                self._scenes(trait, 0) if config.search == "dialogues" else self._draw(trait, 0)
            if config.gamma is None and config.dev == "items" and trait not in BIG_FIVE:
                raise UnsupportedControl(
                    f"npti chooses gamma on development items, and none measures {trait}; choose it on what the search "
                    "leaves out, with --method_args dev=questions, or give one, e.g. --method_args gamma=4"
                )

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The dialogues, or questions and descriptions of each trait; where gamma is chosen, what it is chosen on."""
        return digests(target, self.config, bench)

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Search, choose gamma and store the control.

        UnsupportedControl for a target that is not of poles, or a neuron list for several traits; BadData for a list
        of another model, for questions of a test set, for dialogues without the trait, and where a model does not
        answer.
        """
        if target is None or not target.aims <= self.targets:
            raise UnsupportedControl(
                f"npti aims at poles of traits, not at {target.name if target else 'nothing'}; e.g. "
                "--target extraversion=high"
            )
        self.check([target])
        began, config = time.perf_counter(), self.config
        found = {trait: self._neurons(trait, target, bench) for trait in target.levels}
        neurons = {trait: (pair.high, pair.low) for trait, pair in found.items()}
        edits, tensors = edits_of(target, neurons, config, bench.seed)
        # A control that changes nothing would pass for one without effect.
        if not edits:
            raise BadData(
                f"no neuron of {bench.backend.spec.label} tells the poles of {', '.join(target.levels)} apart; "
                "expected more dialogues or questions_per_pole, or a smaller threshold"
            )
        with draft(bench.cache / "npti") as place:
            gamma, curve, items = self._gamma(controls.store(place, edits=edits, tensors=tensors), target, bench)
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=config.model_dump(mode="json"), seed=bench.seed, strength=gamma, curve=curve,
            fitted_on=tuple(sorted({*items, *self._leaked(target)})),
            unit="gamma, in 95th percentiles of each neuron's activation",
            details={
                "effect": EFFECTS[config.dev], "traits": {trait: pair.details for trait, pair in found.items()},
                **({"chosen_on": CHOSEN_ON[config.dev]} if config.gamma is None else {}),
                **({"find": {"test": UNTESTED}} if config.imported else {}),
            },
            find=weakest({trait: pair.find for trait, pair in found.items()}),
            licence=self._licence(), seconds=time.perf_counter() - began,
            parameters=sum(v.size for v in tensors.values() if v.dtype.kind == "f"),
        )  # fmt: skip
        return controls.store(bench.folder, edits=edits, tensors=tensors, fit=fit)

    def _scenes(self, trait: Trait, seed: int) -> Scenes:
        config = self.config
        return scenes(trait, config.data, config.scenes, config.held_out, seed)

    def _draw(self, trait: Trait, seed: int) -> Draw:
        config, how = self.config, self.config.generation
        source = texts(trait, how.questions, config.descriptions)
        return draw(source, how.questions_per_pole, config.dev_questions, f"{trait} {seed}")

    def _neurons(self, trait: Trait, target: Target, bench: Bench) -> _Pair:
        """Find the neurons of both poles: search for them, or read the lists that were given."""
        from traitbench.controls.interventions import layers, site_width

        model = bench.backend.model
        shape = layers(model), site_width(model, "gate")
        if self.config.imported:
            return self._imported(target, bench, shape)
        if self.config.search == "dialogues":
            return self._read(trait, bench, shape)
        drawn = self._draw(trait, bench.seed)
        if len(drawn.search) < self.config.generation.questions_per_pole:
            bench.tell(f"npti: there are {len(drawn.search)} pairs of question and description on {trait}")
        return self._generated(trait, drawn, bench, shape)

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
            read_neurons(Path(path), *shape, bench.backend.spec.label) if path else Neurons.none()
            for path in (config.neurons, config.reversed)
        ]
        counted = {"high": lists[0].by_layer(), "low": lists[1].by_layer()}
        return _Pair(lists[0], lists[1], {"neurons": counted, "imported": [config.neurons, config.reversed]})

    def _read(self, trait: Trait, bench: Bench, shape: tuple[int, int]) -> _Pair:
        """Search by teacher forcing."""
        from traitbench.methods.npti.reading import read
        from traitbench.statistics.quantiles import Bins

        some, corpus = self._scenes(trait, bench.seed), opened(self.config.data)
        both = read(bench, some.search, trait, self.config.quantile, Bins())
        told = {"data": {"name": corpus.name, "digest": corpus.digest}, "scenes": len(some.search)}
        on = f"two halves of {len(some.search)} scenes of {some.situations} situations"
        return self._chosen(both, bench, shape, told, on)

    def _generated(self, trait: Trait, drawn: Draw, bench: Bench, shape: tuple[int, int]) -> _Pair:
        """Search in what the model writes."""
        from traitbench.methods.npti.reading import Both
        from traitbench.methods.npti.search import Asked, search
        from traitbench.statistics.quantiles import Bins

        config, found = self.config, []
        for pole in Both._fields:
            some = [Asked(self._write(trait, pole, pair), pair.block) for pair in drawn.search]
            found.append(search(bench, some, f"{trait}={pole}", config.quantile, config.batch_size, Bins()))
        number = len({pair.question for pair in drawn.search})
        return self._chosen(Both(*found), bench, shape, {"questions": number}, f"two halves of {number} questions")

    def _chosen(self, both: Both, bench: Bench, shape: tuple[int, int], told: dict[str, Any], on: str) -> _Pair:
        """Choose the neurons of both poles, and hold two halves against each other."""
        from traitbench.methods.npti.counting import choose, overlap
        from traitbench.methods.npti.halves import tested

        config, number = self.config, shape[0] * shape[1]
        least = round(config.least * number / PUBLISHED_NEURONS)
        chosen: list[Neurons] = []
        details: dict[str, Any] = {"neurons": {}, "stability": {}, "delta": {}, "tokens": {}, **told}
        for pole, (mine, theirs) in zip(both._fields, (both, both[::-1]), strict=True):
            kept = choose(mine, theirs, config.threshold, least)
            halves = [choose(mine, theirs, config.threshold, least, half) for half in (0, 1)]
            details["neurons"][pole] = kept.by_layer()
            details["stability"][pole] = overlap(halves[0], halves[1], number, shape[1])
            details["delta"][pole] = [float(kept.delta[-1]), float(kept.delta[0])] if len(kept.delta) else None
            details["tokens"][pole] = int(mine.tokens.sum())
            chosen.append(kept)
        return _Pair(chosen[0], chosen[1], details, tested(bench, both, config.threshold, least, on))

    def _write(self, trait: Trait, pole: str, pair: Pair) -> Write:
        """Ask a question under a description of `pole`."""
        how = self.config.generation
        source = texts(trait, how.questions, self.config.descriptions)
        described = source.high if pole == "high" else source.low
        return write(trait, described[pair.description], pair.question, how.max_tokens, how.repetition_penalty)

    def _gamma(self, control: Control, target: Target, bench: Bench) -> tuple[float, tuple[Point, ...], list[str]]:
        """Choose gamma: it, the curve, and the text hashes of the items that were used; 0 where none helps."""
        config = self.config
        if config.gamma is not None:
            return config.gamma, (), []
        if config.dev == "items":
            items = [item for item in bench.halves()[1] if item.trait in target.levels]
            gamma, curve = bench.strongest(
                control, target, config.gammas, items, "statement", config.max_perplexity, config.within, config.sweep
            )
            return gamma, curve, [item.text_hash for item in items]
        replies = []
        for trait, level in target.levels.items():
            if config.search == "dialogues":
                replies += known(trait, level, self._scenes(trait, bench.seed).development)
                continue
            pairs = self._draw(trait, bench.seed).development
            high, low = ([self._write(trait, pole, pair) for pair in pairs] for pole in ("high", "low"))
            replies += held_out(bench, trait, level, [asked(pair.question) for pair in pairs], high, low)
        return (*sweep(bench, control, config.gammas, replies, config.max_perplexity, config.within, config.sweep), [])

    def _leaked(self, target: Target) -> tuple[str, ...]:
        """Text hashes of items that stand whole in the dialogues that were read."""
        if not self.config.asks or self.config.search == "generate":
            return ()
        mine = [d for d in opened(self.config.data).dialogues if d.trait in target.levels]
        return leaks.audit([text for d in mine for text in (d.input, d.output)]).whole

    def _licence(self) -> str:
        config, how = self.config, self.config.generation
        if config.imported:
            return "of the imported list"
        if config.search == "dialogues":
            return opened(config.data).licence
        if PERSONALITYBENCH in (how.questions, config.descriptions):
            return "PersonalityBench: none stated"
        return "texts of our own (Apache-2.0)" if how.questions in (OWN, SCENES) else "of the given questions"
