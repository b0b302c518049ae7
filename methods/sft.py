"""Supervised fine-tuning on dialogues that show a trait.

After BIG5-CHAT (Li et al., 2024).

1. Take replies of people high and low on each trait to what others say, and split them by scene.
2. Put a sentence in front that names the level ("You are a person with high extraversion.").
3. Train a LoRA (rank 8, one epoch, cosine) by cross-entropy on the tokens of the replies alone.
4. In use, put the sentence of the level aimed at in front again.

Where it departs: of the steps that leave neutral prose in order the adapter of that with the lowest held-out loss is
kept, since a small set is soon learnt by heart; learning rate and batch are chosen by the effect on development items
where several are given (`dev`); and `adapters=each` trains one adapter a level, with the sentence left out of half of
its examples, and is used without any: does the trait hold unconditionally?

Whether it found anything is tested against an adapter of shuffled labels, on held-out scenes (`training.finding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from traitbench import controls
from traitbench.controls.adapters import parameters
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import dialogues, material
from traitbench.methods.dialogues import Corpus, Dialogue, Pair, leaks
from traitbench.methods.method import Method
from traitbench.methods.prompting import Prompting
from traitbench.methods.training import Example, Trained, check_extra, example, train
from traitbench.methods.training.effects import fitted_on, on_items, read
from traitbench.methods.training.rates import Trial, chosen_on, settled, tried
from traitbench.methods.training.recipes import Recipe, Training, recipe
from traitbench.types import BIG_FIVE, Aim, Control, Fit, Kind, Message, Target, Trait

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.training.finding import Sought

__all__ = ["Sft", "instruction", "opened", "trained_on"]


class Sft(Method):
    """A LoRA trained on replies of the level aimed at."""

    name = "sft"
    version = "4"
    makes: ClassVar[frozenset[Kind]] = frozenset({"prompt", "weights"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles"})
    needs_model: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="sft", batch=(64,)),
        "small": Recipe(
            loss="sft", lr=(5e-4, 2e-3), batch=(8,), epochs=4, warmup=3, scenes=100, evaluations=8, patience=2
        ),
    }
    """Published: r 8, alpha 16, learning rate 1e-5, one epoch, cosine, 20 steps of warm-up."""

    class Config(Training):
        """Every hyper-parameter."""

        adapters: Literal["one", "each"] = "one"
        """one: one adapter for all levels, used with its instruction. each: one a level, used without."""

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        """Keep the configuration."""
        super().__init__(config)
        self._measured: set[str] = set()

    @property
    def plan(self) -> Recipe:
        """How it is trained: the preset with what the user gave."""
        return recipe(self.config, self.presets)

    @property
    def rank(self) -> int:
        """Rank of the adapters that it makes."""
        return self.plan.rank

    otherwise = "aim at one of these, or give dialogues on it with --method_args data=FILE"

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits of the open set; what other dialogues are on is seen when they are read."""
        return frozenset(BIG_FIVE) if self.config.data == "open" else None

    def check(self, targets: Sequence[Target | None]) -> None:
        """Read the data and look for every level that is needed. MissingExtra, BadData, UnknownName."""
        check_extra(self.config.four_bit)
        corpus = opened(self.config.data, targets)
        if self.config.adapters == "one":
            known = Prompting(Prompting.Config(style="instruction")).spoken
            if strange := sorted({d.trait for d in corpus.dialogues} - known.keys()):
                raise UnsupportedControl(
                    f"{self.name} with adapters=one shows an instruction, and there are no words for {strange[0]}, "
                    f"only for {', '.join(known)}; give --method_args adapters=each"
                )
        for target in targets if self.config.adapters == "each" else [None]:
            for part in self._parts(corpus, target, 0):
                self.chosen(part, target)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The dialogues, the sentences that name their levels, the items that are read, neutral prose."""
        corpus = opened(self.config.data, [target])
        return trained_on(corpus, bench) | read(bench, self._tried(corpus)) | material.prose()

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Train the adapter for `target`, or the one for all; the same one is not trained twice."""
        assert target is not None
        corpus, plan = opened(self.config.data, [target]), self.plan
        each = self.config.adapters == "each"
        self._measure(bench, corpus)
        # Learning rate and batch are chosen once, on a level that does not depend on the targets of a run.
        first, asked = self._first(corpus), self._tried(corpus)

        def said(aim: Target) -> tuple[Message, ...]:
            return () if each else instruction(aim, bench)

        plan, trials = settled(
            bench, plan, *self._examples(bench, corpus, first if each else None), on_items(bench, asked, said)
        )
        what = f"{self.name}, {target.name if each else 'all levels'}"
        trained = train(bench, what, plan, *self._examples(bench, corpus, target if each else None))
        sought = self._sought(bench, what, trained, trials, corpus, target if each else None)
        # The trials are shared by all targets; they are charged to the level they were made on.
        charged = sum(trial.seconds for trial in trials) if not each or target == first else 0.0
        found = leaks.audit([text for d in corpus.dialogues for text in (d.input, d.output)])
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=self.config.model_dump(mode="json"), seed=bench.seed, licence=corpus.licence,
            fitted_on=fitted_on(bench, asked, found.whole),
            details={
                **trained.summary, "chosen_on": chosen_on(trials),
                "data": {"name": corpus.name, "digest": corpus.digest}, "leaks": found.summary,
                "trials": [trial.model_dump(mode="json") for trial in trials], "find": sought.details,
            },
            find=sought.find, seconds=trained.seconds + charged + sought.seconds, shared=trained.name,
            parameters=parameters(trained.adapter),
        )  # fmt: skip
        return controls.store(
            bench.folder, messages=said(target), adapter=trained.adapter, base=bench.backend.base, fit=fit
        )

    def _sought(
        self, bench: Bench, what: str, trained: Trained, trials: Sequence[Trial], corpus: Corpus, target: Target | None
    ) -> Sought:  # fmt: skip
        """Test whether the labels taught it anything that holds in the scenes that are held out."""
        from traitbench.methods.training.finding import Held, Sought, seek

        if not self.config.find:
            return Sought(None, {"test": "left out (find=false)"}, 0.0)
        rows, held = self._examples(bench, corpus, target)
        train, kept = self._parts(corpus, target, bench.seed)
        shuffled = self._tokens(bench, dialogues.relabelled(train, bench.seed), target)
        both = dialogues.whole(kept)
        scenes = [each.scene for each in self.chosen(both, target)] if both else []
        right = self._tokens(bench, both, target) if scenes else []
        # A pair holds both replies.
        wrong = self._tokens(bench, dialogues.turned(both), target) if scenes and self.plan.loss == "sft" else []
        read = Held(right, wrong, scenes)
        return seek(bench, what, trained.recipe, trained, rows, shuffled, held, read, trials=trials)

    def _first(self, corpus: Corpus) -> Target:
        return Target(levels={corpus.dialogues[0].trait: 1.0})

    def _tried(self, corpus: Corpus) -> list[Target]:
        """What rates are tried on: the first level, or all of them where one adapter serves all."""
        every = {each.target.name: each.target for each in corpus.dialogues}
        first = self.config.adapters == "each"
        return tried(
            self.plan, self.config, [self._first(corpus)] if first else [every[name] for name in sorted(every)]
        )

    def _measure(self, bench: Bench, corpus: Corpus) -> None:
        """Refuse a record over the cutoff before anything is trained, whichever target it belongs to."""
        name = f"{corpus.digest} {bench.seed}"
        if name not in self._measured:
            for part in self._parts(corpus, None, bench.seed):
                for each in part:
                    self._example(bench, each, told=True)
            self._measured.add(name)

    def _parts(
        self, corpus: Corpus, target: Target | None, seed: int
    ) -> tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]]:
        """What is trained on and what is held out, by scene: both levels of the target's trait, or everything.

        Which scenes these are is drawn by the seed of the fit.
        """
        some = [d for d in corpus.dialogues if target is None or d.trait in target.levels]
        if (scenes := self.plan.scenes) is not None:
            some = list(dialogues.subset(some, scenes, seed=seed))
        return dialogues.split(some, seed, self.config.held_out)

    def _examples(self, bench: Bench, corpus: Corpus, target: Target | None) -> tuple[list[Example], list[Example]]:
        """Tokenise both parts; with a target the instruction is left out of every other example."""
        train, held = (self._tokens(bench, part, target) for part in self._parts(corpus, target, bench.seed))
        return train, held

    def _tokens(self, bench: Bench, part: Sequence[Dialogue], target: Target | None) -> list[Example]:
        return [
            self._example(bench, each, target is None or n % 2 == 0) for n, each in enumerate(self.chosen(part, target))
        ]

    def chosen(self, part: Sequence[Dialogue], target: Target | None) -> Sequence[Dialogue | Pair]:
        """Pick what is learnt: the dialogues of the target's level, or all."""
        return dialogues.of_target(part, target) if target else part

    def _example(self, bench: Bench, each: Dialogue | Pair, told: bool) -> Example:
        messages = [*(instruction(each.target, bench) if told else ()), Message(role="user", content=each.input)]
        reply, rejected = (each.chosen, each.rejected) if isinstance(each, Pair) else (each.output, None)
        return example(bench.backend, messages, reply, self.config.cutoff, rejected, what=each.where)


def opened(source: str, targets: Sequence[Target | None]) -> Corpus:
    """Load the dialogues; BadData where a trait that is aimed at is not in them."""
    corpus = dialogues.load(source)
    held = {(d.trait, d.level) for d in corpus.dialogues}
    for target in targets:
        for trait, level in target.levels.items() if target else ():
            if (trait, "high" if level > 0 else "low") not in held:
                raise BadData(
                    f"{corpus.name} holds no dialogue of {target.name if target else trait}; it has "
                    f"{', '.join(sorted({f'{t}={v}' for t, v in held}))}; give another --target or data=FILE"
                )
    return corpus


def trained_on(corpus: Corpus, bench: Bench) -> dict[str, str]:
    """Digests of what is read to train on a corpus: itself, the instructions of its levels, the items of the audit."""
    levels = {(d.trait, d.level): d.target for d in corpus.dialogues}
    named = material.instructions((levels[key] for key in sorted(levels)), bench)
    return {"dialogues": corpus.digest} | named | leaks.read()


def instruction(target: Target, bench: Bench) -> tuple[Message, ...]:
    """Return the sentence that names the level: that of prompting, style=instruction."""
    return Prompting(Prompting.Config(style="instruction")).fit(target, bench).messages
