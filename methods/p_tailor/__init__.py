"""P-Tailor: one mixture of LoRA experts for all ten poles of the Big Five, folded into an adapter for each target.

After Dan et al. (2024), "P-Tailor: customizing personality traits for language models via mixture of specialized LoRA
experts" (arXiv 2406.12548).

1. Put 16 LoRA experts of rank 16 beside each linear layer of the frozen model.
2. A router weighs them by the trait aimed at: softmax of a matrix times the target's embedding.
3. Train all of it on dialogues of all ten poles, by cross-entropy on the replies.
4. Add a loss that makes experts specialise: few for each trait, others for each other trait.
5. For a target, multiply each expert by its weight: what remains is one plain LoRA of rank 256.

Where it departs: it is a re-implementation, since the paper published neither code, nor data, nor the form of its loss.
Ours are therefore the data, the loss (see `experts`), its weight, and that the router sees the target alone: gates that
also see the prompt change with every prompt, so that no adapter holds them and no backend could serve the control.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from traitbench import controls
from traitbench.controls.adapters import parameters
from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.methods import dialogues, material
from traitbench.methods.dialogues.leaks import audit
from traitbench.methods.method import Method
from traitbench.methods.p_tailor.serving import folded, likelihoods
from traitbench.methods.sft import instruction, opened, trained_on
from traitbench.methods.strengths import Grid
from traitbench.methods.training import Example, Trained, check_extra, example, kept, train
from traitbench.methods.training.effects import fitted_on, on_items, read
from traitbench.methods.training.rates import chosen_on, settled, tried
from traitbench.methods.training.recipes import Recipe, Training, recipe
from traitbench.store import read_json, write_json
from traitbench.types import BIG_FIVE, Aim, Control, Find, Fit, Kind, Message, Record, Target, Trait, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.dialogues import Corpus, Dialogue
    from traitbench.methods.p_tailor.experts import Experts
    from traitbench.methods.training.finding import Sought

__all__ = ["P_Tailor"]

NOTE = "a re-implementation: the paper published neither code, nor data, nor the form of its loss"


EVERY = [Target(levels={trait: level}) for trait in BIG_FIVE for level in (1.0, -1.0)]
"""What it is trained for."""


class _Done(Record):
    """A training of all ten poles, as the cache keeps it."""

    training: str
    """Name of the run that was kept."""
    seconds: float
    """With the runs that chose its rate and weight."""
    find: Find | None = None
    """Whether anything was found."""
    fitted_on: tuple[str, ...]
    """Text hashes of the items that occur whole in the data, and of those that its rate was chosen on."""
    details: dict[str, Any]

    def adapter(self, cache: Path) -> Path:
        """Where the unfolded adapter and the router are."""
        return cache / f"training-{self.training}" / "adapter"


class P_Tailor(Method):
    """Train experts and a router on all ten poles once, then fold them for the target.

    Several traits at once: their slots in the target's embedding are summed. Levels between the poles are refused: a
    shorter embedding only makes the router less certain, which is no lower level.
    """

    name = "p_tailor"
    version = "4"
    makes: ClassVar[frozenset[Kind]] = frozenset({"prompt", "weights"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "several"})
    needs_model = True
    seeded = True
    presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="sft", batch=(64,)),
        "small": Recipe(
            loss="sft", lr=(5e-4, 2e-3), batch=(8,), epochs=2, warmup=3, scenes=60, evaluations=6, patience=2,
            trial_steps=8,
        ),
    }  # fmt: skip
    """Published: 16 experts of rank 16. The other values of `paper` are those of `sft`."""

    class Config(Training):
        """The experts, and how they are trained."""

        held_out: float = Field(default=0.1, gt=0, lt=1)
        """Share of the scenes that held-out loss is measured on; each holds ten records. Of fewer than five scenes none
        can tell whether anything was found."""
        experts: int = Field(default=16, ge=2)
        """On each linear layer."""
        expert_rank: int = Field(default=16, ge=1)
        """Of one; the adapter has experts * expert_rank, also its scaling."""
        embedding: int = Field(default=64, ge=1)
        """Numbers in the embedding of a target."""
        router: Literal["target", "uniform", "none", "state"] = "target"
        """uniform: all experts weigh the same, untrained. none: one LoRA of the same rank. Both are ablations, in which
        only the instruction tells the target. state is not offered."""
        specialisation: float | None = Field(default=0.1, ge=0)
        """Weight of the specialisation loss; None chooses among `specialisations` by held-out loss, 0 is the ablation
        without it."""
        specialisations: Grid = (0.0, 0.01, 0.1, 1.0)
        """Weights that are tried where `specialisation` is None."""
        instruction: bool | None = None
        """Whether records and control say the target in words too; None: only where no router tells it."""

        @model_validator(mode="after")
        def _possible(self) -> Self:
            if self.router == "state":
                raise UnsupportedControl(
                    "p_tailor offers no router=state: gates that change with the prompt fold into no adapter, and a "
                    "control is served as one; expected router=target, uniform or none"
                )
            if self.rank is not None or self.alpha is not None:
                raise TraitbenchUsage(
                    "p_tailor takes neither rank nor alpha: both are experts * expert_rank; e.g. --method_args "
                    "experts=8,expert_rank=16"
                )
            return self

        @property
        def worded(self) -> bool:
            """Whether the target is said in words."""
            return self.router != "target" if self.instruction is None else self.instruction

    config: Config

    @property
    def rank(self) -> int:
        """Rank of its adapters."""
        return self.config.experts * self.config.expert_rank

    @property
    def knows(self) -> frozenset[Trait]:
        """The traits that the router has slots for."""
        return frozenset(BIG_FIVE)

    def check(self, targets: Sequence[Target | None]) -> None:
        """Refuse targets without a slot, data that lack a trait, and a missing extra."""
        check_extra(self.config.four_bit)
        from traitbench.methods.p_tailor.experts import slots

        for target in filter(None, targets):
            slots(target)
        self._corpus()

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The dialogues, the sentences that name their levels, the items that are read, neutral prose."""
        return trained_on(self._corpus(), bench) | read(bench, self._tried()) | material.prose()

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Train, or take what was trained for another target, and fold.

        UnsupportedControl for what is not poles of the Big Five; BadData for data without one of its poles or with a
        record over the cutoff; MissingExtra without TRL and PEFT.
        """
        from traitbench.methods.p_tailor.experts import slots

        row, config = slots(target), self.config
        assert target is not None
        check_extra(config.four_bit)
        corpus = self._corpus()
        done = self._done(corpus, bench)
        began = time.perf_counter()
        with folded(bench, done.adapter(bench.cache), row) as folder:
            fit = Fit(
                method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
                config=config.model_dump(mode="json"), seed=bench.seed, fitted_on=done.fitted_on,
                details=done.details, find=done.find, licence=corpus.licence, parameters=parameters(folder),
                shared=done.training, seconds=done.seconds + time.perf_counter() - began,
            )  # fmt: skip
            messages = self._said(bench)(target)
            return controls.store(bench.folder, messages=messages, adapter=folder, base=bench.backend.base, fit=fit)

    def _corpus(self) -> Corpus:
        """Load the data; BadData where one of the ten poles is missing."""
        return opened(self.config.data, EVERY)

    def _tried(self) -> list[Target]:
        return tried(recipe(self.config, self.presets), self.config, EVERY)

    def _done(self, corpus: Corpus, bench: Bench) -> _Done:
        """Train all ten poles, or look up that they were trained."""
        config = self.config.model_dump(mode="json")
        told = self.reads(None, bench)
        name = digest([bench.backend.identity, self.name, self.version, config, told, bench.seed])
        note = bench.cache / f"{self.name}-{name}.json"
        if note.is_file():
            done = _Done.model_validate(read_json(note))
            place = done.adapter(bench.cache)
            if (place / "experts.safetensors").is_file() and kept(place.parent, bench.tell) is not None:
                return done
        began = time.perf_counter()
        trained, details, sought = self._train(corpus, bench)
        leaks = audit([text for each in corpus.dialogues for text in (each.input, each.output)])
        done = _Done(
            training=trained.name, find=sought.find, details={**details, "leaks": leaks.summary},
            fitted_on=fitted_on(bench, self._tried(), leaks.whole),
            # The clock of a run that was stopped and resumed knows more than this one.
            seconds=max(time.perf_counter() - began, trained.seconds + sought.seconds),
        )  # fmt: skip
        write_json(note, done.model_dump(mode="json"))
        return done

    def _train(self, corpus: Corpus, bench: Bench) -> tuple[Trained, dict[str, Any], Sought]:
        from traitbench.methods.p_tailor.experts import Experts

        plan = recipe(self.config, self.presets).model_copy(update={"rank": self.rank, "alpha": self.rank})
        some: Sequence[Dialogue] = [each for each in corpus.dialogues if each.trait in BIG_FIVE]
        if plan.scenes is not None:
            some = dialogues.subset(some, plan.scenes, seed=bench.seed)
        parts = dialogues.split(some, bench.seed, self.config.held_out)
        rows, held = ([self._example(each, plan.cutoff, bench) for each in part] for part in parts)
        trained, chosen = self._chosen(plan, rows, held, bench)
        sought = self._sought(trained, parts, rows, held, bench, chosen["specialisation"])
        details = {
            "note": NOTE, "data": {"name": corpus.name, "digest": corpus.digest},
            "routing": Experts.read(trained.adapter).state(), **trained.summary, **chosen, "find": sought.details,
        }  # fmt: skip
        return trained, details, sought

    def _sought(
        self, trained: Trained, parts: tuple[tuple[Dialogue, ...], tuple[Dialogue, ...]], rows: Sequence[Example],
        held: Sequence[Example], bench: Bench, weight: float,
    ) -> Sought:  # fmt: skip
        """Test whether the labels taught experts or router anything that holds in the scenes that are held out."""
        from traitbench.methods.training.finding import Held, Sought, seek

        if not self.config.find:
            return Sought(None, {"test": "left out (find=false)"}, 0.0)
        plan, both = trained.recipe, dialogues.whole(parts[1])
        shuffled, right, wrong = (
            [self._example(each, plan.cutoff, bench) for each in some]
            for some in (dialogues.relabelled(parts[0], bench.seed), both, dialogues.turned(both))
        )
        return seek(
            bench, "p_tailor", plan, trained, rows, shuffled, held, Held(right, wrong, [each.scene for each in both]),
            extension=lambda: self._experts(weight, bench),
            score=lambda at, folder, some: likelihoods(at, folder, some, plan.device_batch),
        )  # fmt: skip

    def _chosen(
        self, plan: Recipe, rows: Sequence[Example], held: Sequence[Example], bench: Bench
    ) -> tuple[Trained, dict[str, Any]]:
        """Choose rate and batch, then train with each weight of the loss; return the run of lowest held-out loss."""
        from traitbench.methods.p_tailor.experts import slots

        config = self.config
        sweep = config.specialisation is None and config.router == "target"
        weights = config.specialisations if sweep else (config.specialisation or 0.0,)
        effect = on_items(bench, self._tried(), self._said(bench), lambda at, aim: folded(bench, at, slots(aim)))
        plan, trials = settled(bench, plan, rows, held, effect, extension=self._experts(weights[0], bench))
        runs = []
        for weight in weights:
            what = f"p_tailor, all poles, specialisation {weight:g}" if sweep else "p_tailor, all poles"
            done = train(bench, what, plan, rows, held, extension=self._experts(weight, bench))
            runs.append((done.lowest or 0.0, weight, done))
        _, weight, best = min(runs, key=lambda run: run[0])
        return best, {
            "chosen_on": chosen_on(trials),
            "trials": [trial.model_dump(mode="json") for trial in trials],
            "specialisation": weight,
            "specialisations": [{"weight": tried, "held_out": loss} for loss, tried, _ in runs] if sweep else [],
        }

    def _said(self, bench: Bench) -> Callable[[Target], tuple[Message, ...]]:
        return lambda target: instruction(target, bench) if self.config.worded else ()

    def _experts(self, weight: float, bench: Bench) -> Experts:
        from traitbench.methods.p_tailor.experts import Experts

        config = self.config
        assert config.router != "state"
        return Experts(
            config.experts, config.expert_rank, embedding=config.embedding, weight=weight, routing=config.router,
            seed=bench.seed,
        )  # fmt: skip

    def _example(self, each: Dialogue, cutoff: int, bench: Bench) -> Example:
        from traitbench.methods.p_tailor.experts import slots

        messages = (*self._said(bench)(each.target), Message(role="user", content=each.input))
        return example(bench.backend, messages, each.output, cutoff, slots=slots(each.target), what=each.where)
