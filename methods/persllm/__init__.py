"""PersLLM: a persona trained into an adapter, by imitation and then by preference over other personas.

After Zeng et al. (2024), "PersLLM: a personified training approach for large language models".

1. From what a character knows make questions: ordinary, with a false premise, and for opinions (`questions`).
2. Have each answered in the character's manner from the best-fitting passages; drop near-duplicates (`data`).
3. Train a LoRA on the answers, each five times, among general instructions.
4. Reject, for each question, another character's answer to a similar one, from the sixth most similar on (`pairs`).
5. Go on with direct preference optimisation against a frozen copy of the first adapter.

Where it departs: stages of life are named in ordinary text, since new tokens could not be served as an adapter; texts
and questions are our own, split by paragraph; numbers of the second stage, beta among them, are assumed, as they were
not published; and a trait target is reached by transfer, from a description of the pole, never from items.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from traitbench import controls
from traitbench.controls.adapters import parameters
from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.methods.dialogues import leaks
from traitbench.methods.material import prose
from traitbench.methods.method import Method
from traitbench.methods.persllm import questions
from traitbench.methods.persllm.data import Building, Persona, build, marker
from traitbench.methods.persllm.pairs import Pair, pairs, rivals
from traitbench.methods.persllm.similarity import cosines
from traitbench.methods.persllm.writers import spec_of, writer
from traitbench.methods.training import Example, Trained, check_extra, example, train
from traitbench.methods.training.effects import fitted_on, on_items, read
from traitbench.methods.training.rates import chosen_on, settled, tried
from traitbench.methods.training.recipes import Recipe, Training, recipe
from traitbench.targets import characters
from traitbench.targets.characters import Character
from traitbench.types import Aim, Control, Fit, Kind, Message, Target, Trait, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["PersLLM", "character_of"]


NOT_TESTED = (
    "not tested: whole paragraphs are held out, one or two of a description, and fewer than five cannot tell at .05"
)
"""Why there is no test of whether anything was found."""


class PersLLM(Method):
    """A LoRA trained to be one character, or to live as a trait pole describes."""

    name = "persllm"
    version = "3"
    makes: ClassVar[frozenset[Kind]] = frozenset({"prompt", "weights"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "character"})
    needs_model: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="sft", lr=(5e-5,), batch=(8,), warmup=5),
        "small": Recipe(
            loss="sft", lr=(5e-4, 2e-3), batch=(8,), epochs=2, warmup=2, evaluations=6, patience=2, trial_steps=6
        ),
    }
    """Of the first stage. Published: five copies of the data, learning rate 5e-5; the rest is assumed."""
    preference_presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="dpo", lr=(1e-5,), batch=(8,), warmup=2),
        "small": Recipe(loss="dpo", lr=(5e-4,), batch=(8,), epochs=2, warmup=1, evaluations=6, patience=2),
    }
    """Of the second. Its numbers, beta among them, were not published."""

    class Config(Training, Building):
        """Every hyper-parameter; those of `Training` are of the first stage, the steps and limits of both."""

        writer: str | None = None
        """The model that writes answers and questions, as --model takes it; None: the one that is trained."""
        prompt: Literal["none", "marker", "style"] | None = None
        """What stands in front in training and in use. marker: who speaks, at which stage of life. style: the marker
        and how they talk. None: the marker for a character, nothing for a trait."""
        repeat: int | None = Field(default=None, ge=1)
        """Times that each answer is in the training data; None: 5, as published, and 2 in the preset `small`."""
        instructions: int | None = Field(default=None, ge=0, le=60)
        """General instructions mixed in; None: all 60, and 20 in the preset `small`."""
        preference: bool = True
        """Whether the second stage follows."""
        k: int = Field(default=5, ge=1)
        """Similar questions among which a rejected answer is drawn."""
        start: int = Field(default=6, ge=1)
        """The first of them, by similarity, counted from 1; published: the sixth."""
        beta: float = Field(default=0.1, gt=0)
        """Second stage: how strongly the reference holds back."""
        dpo_lr: float | None = Field(default=None, gt=0)
        """Second stage: learning rate at the peak; None takes the preset's value, as below."""
        dpo_batch: int | None = Field(default=None, ge=1)
        """Second stage: pairs a step."""
        dpo_epochs: float | None = Field(default=None, gt=0)
        """Second stage: passes over the pairs."""

    config: Config

    @property
    def rank(self) -> int:
        """Rank of the adapters that it makes."""
        return recipe(self.config, self.presets).rank

    otherwise = "aim at one of these, or describe it in two files of your own and give --target character:DIR/NAME"

    @property
    def knows(self) -> frozenset[Trait]:
        """The traits whose poles are described."""
        return frozenset(name.partition("=")[0] for name in characters.poles())

    def check(self, targets: Sequence[Target | None]) -> None:
        """Read the texts of every target and see that all is there that will be needed, before a model is loaded."""
        check_extra(self.config.four_bit)
        if self.config.data != "open" or self.config.scenes is not None:
            raise TraitbenchUsage(
                "persllm trains on characters; data and scenes belong to the methods that train on dialogues. Leave "
                "them out, and name your texts with --target character:DIR/NAME"
            )
        if self.config.find_steps is not None:
            raise TraitbenchUsage(
                f"persllm is {NOT_TESTED}, so that it takes no find_steps; leave it out, or take a method that trains "
                "on dialogues"
            )
        if self.config.writer is not None:
            spec_of(self.config.writer)
        cosines(["a"], ["a"], self.config.retrieval)
        for target in targets:
            if target is not None:
                character_of(target)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The texts of the cast, what questions and instructions are made of, items of the audit, and neutral prose."""
        assert target is not None
        cast = _cast(character_of(target))
        # Sets have no order of their own.
        made_of = {
            key: sorted(value) if isinstance(value, frozenset) else value
            for key, value in questions.texts().model_dump().items()
        }
        own = {"characters": digest([each.model_dump(mode="json") for each in cast]), "questions": digest(made_of)}
        return own | leaks.read() | read(bench, self._tried(cast[0])) | prose()

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the data of the whole cast, then train the two stages for `target`."""
        assert target is not None
        began, character = time.perf_counter(), character_of(target)
        self.check([target])
        cast = _cast(character)
        building = self._building()
        with writer(self.config.writer if building.answers == "written" else None, bench) as written:
            personas = build(bench, cast, building, written)
            wrote = "quoted" if building.answers == "quoted" else (written or bench.backend).identity
        persona, building_seconds = personas[character.name], time.perf_counter() - began
        plan = recipe(self.config, self.presets)
        # The learning rate is chosen once, on a character that does not depend on the targets of a run and that is
        # charged for it.
        asked = self._tried(cast[0])
        plan, trials = settled(
            bench, plan, *self._rows(bench, cast[0], personas[cast[0].name]),
            on_items(bench, asked, lambda aim: self._opening(cast[0])),
        )  # fmt: skip
        charged = sum(trial.seconds for trial in trials) if character == cast[0] else 0.0
        first = train(bench, f"persllm, {target.name}", plan, *self._rows(bench, character, persona))
        found, alone = pairs(
            persona, rivals(character.name, personas), self.config.k, self.config.retrieval, bench.seed,
            self.config.start,
        )  # fmt: skip
        second = self._prefer(bench, target, character, found, first)
        trained = second or first
        held = leaks.audit([record.answer for record in persona.records])
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=self.config.model_dump(mode="json"), seed=bench.seed,
            fitted_on=fitted_on(bench, asked, held.whole),
            licence=_licence(character, wrote), parameters=parameters(trained.adapter),
            seconds=building_seconds + charged + first.seconds + (second.seconds if second else 0.0),
            details={
                "aim": "transfer from a description of the trait pole" if character.pole else "character",
                "data": {**persona.summary, "writer": wrote, "pairs": len(found), "without_pair": alone},
                "sft": {**first.summary, "chosen_on": chosen_on(trials)},
                "dpo": {**second.summary, "chosen_on": chosen_on(())} if second else None, "leaks": held.summary,
                "trials": [trial.model_dump(mode="json") for trial in trials], "find": {"test": NOT_TESTED},
            },
        )  # fmt: skip
        return controls.store(
            bench.folder, messages=self._opening(character), adapter=trained.adapter, base=bench.backend.base, fit=fit
        )

    def _tried(self, first: Character) -> list[Target]:
        """What the rate is tried on; no items are about a character."""
        return tried(recipe(self.config, self.presets), self.config, [Target.parse(first.name)] if first.pole else [])

    def _building(self) -> Building:
        """Fill what the user left open from the preset."""
        given = self.config.model_dump(include=set(Building.model_fields))
        default = "quoted" if self.config.preset == "small" else "written"
        return Building.model_validate({**given, "answers": self.config.answers or default})

    def _opening(self, character: Character) -> tuple[Message, ...]:
        """What stands before the conversation, in training as in use."""
        prompt = self.config.prompt or ("none" if character.pole else "marker")
        if prompt == "none":
            return ()
        style = f" {character.style}" if prompt == "style" else ""
        return (Message(role="system", content=f"{marker(character)}{style}"),)

    def _rows(self, bench: Bench, character: Character, persona: Persona) -> tuple[list[Example], list[Example]]:
        """Tokenise the first stage: answers `repeat` times and instructions, and the held-out answers."""
        cutoff, opening = self.config.cutoff, self._opening(character)
        mine, held = (
            [
                example(
                    bench.backend, [*opening, Message(role="user", content=record.question)], record.answer, cutoff,
                    what=f"an answer of {persona.name}",
                )
                for record in records
            ]
            for records in (persona.half("train"), persona.half("held_out"))
        )  # fmt: skip
        small = self.config.preset == "small"
        repeat = self.config.repeat or (2 if small else 5)
        count = self.config.instructions if self.config.instructions is not None else 20 if small else 60
        general = [
            example(bench.backend, [Message(role="user", content=each.instruction)], each.answer, cutoff)
            for each in questions.texts().instructions[:count]
        ]
        return mine * repeat + general, held

    def _prefer(
        self, bench: Bench, target: Target, character: Character, found: Sequence[Pair], first: Trained
    ) -> Trained | None:
        """Train the second stage from the adapter of the first."""
        if not self.config.preference:
            return None
        opening = self._opening(character)
        rows: dict[str, list[Example]] = {"train": [], "held_out": []}
        for pair in found:
            asked = [*opening, Message(role="user", content=pair.question)]
            what = f"a pair of {pair.character} and {pair.other}"
            rows[pair.half].append(
                example(bench.backend, asked, pair.chosen, self.config.cutoff, pair.rejected, what=what)
            )
        own = {"lr": self.config.dpo_lr, "batch": self.config.dpo_batch, "epochs": self.config.dpo_epochs}
        # Its own where given, else the preset's: what the user set for the first stage is not meant.
        plan = recipe(self.config.model_copy(update={**own, "warmup": None}), self.preference_presets)
        plan = plan.model_copy(update={"rank": first.recipe.rank, "alpha": first.recipe.alpha})
        what = f"persllm against others, {target.name}"
        return train(bench, what, plan, rows["train"], rows["held_out"], start=first.adapter, setting="dpo_lr")


def character_of(target: Target) -> Character:
    """Load whom a target means: its character, or the description of its trait pole.

    UnsupportedControl for a trait that no description ships for, or for more than one pole; UnknownName and BadData
    as `characters.load`.
    """
    if target.character is not None:
        return characters.load(target.character)
    if target.name not in characters.poles():
        raise UnsupportedControl(
            f"persllm has no description of {target.name}; it has one of {', '.join(characters.poles())}. Describe it "
            "in two files of your own and give --target character:DIR/NAME"
        )
    return characters.load(target.name)


def _cast(character: Character) -> list[Character]:
    """Everyone whose answers are needed: the poles for a pole, else the characters that ship and one's own."""
    names = characters.poles() if character.pole else characters.names()
    shipped = [characters.load(name) for name in names]
    if character in shipped:
        return shipped
    return [*(each for each in shipped if each.name != character.name), character]


def _licence(character: Character, wrote: Any) -> str:
    by = "quoted from them" if wrote == "quoted" else f"answers written by {wrote['model']}"
    return f"texts: {character.licence}; {by}; instructions: {questions.texts().licence}"
