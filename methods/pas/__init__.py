"""PAS: shift the attention heads that tell a person's agreement, beside the person's answers as a prompt.

After Personality Activation Search (Zhu et al., 2024), from inference-time intervention (Li et al., 2023).

1. Have every item agreed and disagreed with, in three wordings; record each head (`contrasts`).
2. Label a text 1 where it does with its item what the person does, and fit a logistic probe a head (`heads`).
3. Keep the 24 heads with the most accurate probes, in the wording that beats shuffled labels the most (`chance`).
4. Direction of a head: difference of the class means, of length 1; sigma: SD of the projections on it.
5. Add alpha * sigma * direction to each of them at every position, and show the person's answers as a prompt.

Where it departs from the published code: directions are of raw agreement, since keyed values turn the minus-keyed items
round; agreed and disagreed items weigh equally, and what is left of plain agreement in a direction is taken off, since
whoever agrees with most items is otherwise steered to say yes (`legacy`); both option orders are asked, so that a
direction is no letter; an item is on one side of every split; a missing answer is no answer; alpha is chosen on items
that are in neither prompt nor probes, never on test items, and what is stored keeps the limit on perplexity. The
published wording is the option's symbol. Trait targets, the answers of an idealised person, are an addition of ours, as
are the test against shuffled labels and the other wordings.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import material
from traitbench.methods.halving import Candidate, Criterion, Sweep, settle
from traitbench.methods.method import Method
from traitbench.methods.pas.chance import Chosen, choose
from traitbench.methods.pas.contrasts import QUESTIONS, TRUE, WORDINGS, Contrasts, Wording
from traitbench.methods.pas.goals import LEAST, Goal, aimed, answered
from traitbench.methods.pas.heads import Array, Heads, parted, select, yes_saying
from traitbench.methods.pas.shift import shifting
from traitbench.methods.prompting import Prompting
from traitbench.methods.strengths import Grid, bounded
from traitbench.types import (
    BIG_FIVE,
    Aim,
    Control,
    Find,
    Fit,
    Kind,
    Message,
    Person,
    Point,
    Record,
    Target,
    Trait,
)

if TYPE_CHECKING:
    from traitbench.inventories import Item
    from traitbench.methods.bench import Bench

__all__ = ["LEAST", "PAS"]


class _Work(NamedTuple):
    """What a control is made of, and how it came about."""

    said: tuple[Message, ...]
    heads: Heads | None
    alpha: float | None
    curve: tuple[Point, ...]
    find: Find | None
    used: list[Item]
    details: dict[str, Any]
    licence: str


class PAS(Method):
    """Static shifts of the best-probed attention heads, at every position; for a person their answers as well."""

    name = "pas"
    version = "4"
    makes: ClassVar[frozenset[Kind]] = frozenset({"prompt", "activations"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "several", "person"})
    needs_model = seeded = True
    sites = frozenset({"heads"})
    strength = "alpha"

    class Config(Record):
        """How heads and strength are chosen."""

        heads: int = Field(default=24, ge=1)
        """Heads that are shifted; all where the model has fewer."""
        alpha: float | None = None
        """Strength in SDs; None chooses among `alphas`."""
        alphas: Grid = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0)
        """Strengths that are tried; on the command line 'alphas=[0,2,4]'."""
        answer: Literal["symbol", "text", "persona"] | None = None
        """How agreeing and disagreeing are worded: by an option's symbol, as published, by its text, or as what is true
        or not true of somebody. None chooses by the test against shuffled labels."""
        shuffles: int = Field(default=399, ge=19)
        """Of the labels, in that test; so many that one person of twenty can pass where all are corrected for."""
        legacy: bool = False
        """As published: every item weighs alike, however many are agreed with, and a direction may be yes-saying."""
        split: float = Field(default=0.6, gt=0, lt=1)
        """Share of the items that probes are fitted on; the others try them."""
        fold: float = Field(default=0.2, gt=0, lt=1)
        """Person: share of the answers on which alpha is chosen."""
        c: float = Field(default=1.0, gt=0)
        """Inverse penalty of the probes."""
        dev_scoring: Literal["choice", "statement"] = "statement"
        """Trait: how the development items are asked on which alpha is chosen."""
        max_perplexity: float = Field(default=2.0, gt=0)
        """Largest perplexity of neutral text, over that without control, that a chosen shift may cause."""
        sweep: Sweep = "halving"
        """How alphas are tried: by halving, so that what cannot be chosen is measured in part, or exhaustive."""
        messages: bool = True
        """Person: put the answers into the prompt as well."""
        turn: Literal["system", "user"] = "system"
        """Who says the answers."""

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        """Keep the configuration; contrast activations are held from target to target."""
        super().__init__(config)
        self._contrasts = {wording: Contrasts(wording) for wording in WORDINGS}

    @property
    def knows(self) -> frozenset[Trait]:
        """The traits of the development items."""
        return frozenset(BIG_FIVE)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The items that are answered for the model and those that alpha is chosen on, and a person's prompt."""
        assert target is not None
        found = material.prose()
        if self.config.answer in (None, "persona"):
            found |= material.words("personas", [*TRUE, *QUESTIONS])
        if target.person is None:
            mine = [item for half in bench.halves() for item in half if item.trait in target.levels]
            return found | material.items(bench, mine, ("choice", "statement"))
        person = target.person
        mine = [item for item in bench.inventory(person.inventory).items if item.id in person.answers]
        said = [message.content for message in self._messages(person, bench)]
        return found | material.items(bench, mine, ("choice",), person.inventory) | material.words("answers", said)

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control.

        For a person who takes a side on too few items it is the answers as a prompt, with a warning in the fit's
        details. BadData for answers that do not fit their inventory, or where nothing at all would be left;
        UnsupportedControl for a trait without development items.
        """
        assert target is not None
        began = time.perf_counter()
        work = self._person(target.person, bench) if target.person else self._traits(target, bench)
        return self._store(target, work, bench, began)

    def _person(self, person: Person, bench: Bench) -> _Work:
        inventory = bench.inventory(person.inventory)
        said = self._messages(person, bench)
        goal = answered(person, inventory)
        agree = int(goal.labels.sum())
        details: dict[str, Any] = {
            "effect": "minus the mean |answer - expected answer| on the fold",
            "agree": agree,
            "disagree": len(goal.items) - agree,
            "neutral": len(person.answers) - len(goal.items),
        }
        used = [item for item in inventory.items if item.id in person.answers]
        if len(goal.items) < LEAST:
            few = f"person {person.id!r} agrees or disagrees with {len(goal.items)} items, probes need {LEAST}"
            if not said:
                raise BadData(f"{few}; without messages nothing is left to make a control of; expected more answers")
            details["warning"] = f"{few}: the control is the answers as a prompt"
            bench.tell(f"pas: {details['warning']}")
            return _Work(said, None, None, (), None, used, details, inventory.licence)
        alpha, curve = self.config.alpha, tuple[Point, ...]()
        fold, others = self._fold(person, used, bench) if alpha is None else ([], person)
        known = answered(others, inventory)
        if alpha is None and len(known.items) < LEAST:
            bench.tell(f"pas: person {person.id!r} takes a side on too few items to choose alpha; it stays 0")
            alpha, fold, known = 0.0, [], goal
        on = f"the person's answers{', without the fold' if fold else ''}"
        chosen = self._chosen(known, on, bench)
        if alpha is None:
            alpha, curve = self._by_fold(person, others, fold, self._heads(known, chosen.wording, bench), bench)
        heads = self._heads(goal, chosen.wording, bench)
        if self.config.alpha is None:
            alpha, stored = self._bounded(heads, alpha, bench)
            details |= {"fold": len(fold), **stored}
        details |= {"wording": chosen.wording, "wordings": chosen.tried}
        texts = self._contrasts[chosen.wording].of(goal.items, goal.inventory, bench)
        details["yes"] = round(yes_saying(texts, heads), 4)
        return _Work(said, heads, alpha, curve, chosen.find, used, details, inventory.licence)

    def _traits(self, target: Target, bench: Bench) -> _Work:
        first, second = ([i for i in half if i.trait in target.levels] for half in bench.halves())
        measured = {i.trait for i in first} & {i.trait for i in second}
        if missing := [trait for trait in target.levels if trait not in measured]:
            able = ", ".join(sorted({i.trait for half in bench.halves() for i in half}))
            raise UnsupportedControl(f"pas has no items to fit {', '.join(missing)} on; it can aim at {able}")
        goal, config = aimed(target, first, bench.inventory().id), self.config
        chosen = self._chosen(goal, "IPIP-NEO-300 items outside the IPIP-NEO-120, the half that is fitted on", bench)
        heads = self._heads(goal, chosen.wording, bench)
        unit = "nats a token" if config.dev_scoring == "statement" else "points of the scale"
        details: dict[str, Any] = {
            "effect": f"{unit} ({config.dev_scoring}) towards the target, on the development items",
            "wording": chosen.wording,
            "wordings": chosen.tried,
            **({"chosen_on": "development effect"} if config.alpha is None else {}),
        }
        alpha, curve, used = config.alpha, tuple[Point, ...](), first
        if alpha is None:
            used = [*first, *second]
            with TemporaryDirectory() as folder:
                control = shifting(Path(folder), (), heads, 1.0, bench)
                alpha, curve = bench.strongest(
                    control, target, config.alphas, second, config.dev_scoring, config.max_perplexity, 1.0, config.sweep
                )
        return _Work((), heads, alpha, curve, chosen.find, used, details, bench.inventory().licence)

    def _chosen(self, goal: Goal, on: str, bench: Bench) -> Chosen:
        """Test the wordings, or the one that is asked for, on the items of `goal`."""
        config = self.config
        return choose(
            goal, (config.answer,) if config.answer else WORDINGS,
            lambda wording: self._contrasts[wording].of(goal.items, goal.inventory, bench), on,
            keep=config.heads, split=config.split, c=config.c, draws=config.shuffles, legacy=config.legacy,
            seed=bench.seed,
        )  # fmt: skip

    def _bounded(self, heads: Heads, alpha: float, bench: Bench) -> tuple[float, dict[str, Any]]:
        """Step a chosen alpha down until the heads that are stored keep the limit."""
        with TemporaryDirectory() as folder:
            control = shifting(Path(folder), (), heads, 1.0, bench)
            return bounded(control, alpha, self.config.alphas, self.config.max_perplexity, bench)

    def _messages(self, person: Person, bench: Bench) -> tuple[Message, ...]:
        """Write the answers down, which checks them; nothing where the configuration wants no messages."""
        style = Prompting(Prompting.Config(style="person", turn=self.config.turn))
        said = style.fit(Target(person=person), bench).messages
        return said if self.config.messages else ()

    def _fold(self, person: Person, items: list[Item], bench: Bench) -> tuple[list[Item], Person]:
        """Draw the answered items that alpha is chosen on, and leave them out of the person's answers."""
        drawn = parted([i.text_hash for i in items], [i.trait for i in items], self.config.fold, bench.seed)
        others = {i.id: person.answers[i.id] for i, out in zip(items, drawn, strict=True) if not out}
        return [i for i, out in zip(items, drawn, strict=True) if out], person.model_copy(update={"answers": others})

    def _by_fold(
        self, person: Person, others: Person, fold: list[Item], heads: Heads, bench: Bench
    ) -> tuple[float, tuple[Point, ...]]:
        """Choose alpha on a fold of the answers that neither the prompt, of the `others`, nor `heads` have seen."""
        answers = np.array([person.answers[item.id] for item in fold], dtype=float)

        def missed(at: Control, start: int, stop: int) -> Array:
            off: Array = bench.values(fold[start:stop], "choice", at, inventory=person.inventory) - answers[start:stop]
            return off

        # Each is asked of the whole fold: the prompt with the answers costs most, and every part would have it again.
        by = Criterion(
            size=len(fold), moved=missed, effect=lambda off: -float(np.abs(off).mean()), error=lambda off: None,
            harm=bench.harm, limit=self.config.max_perplexity, shares=(),
        )  # fmt: skip
        grid = sorted(set(self.config.alphas))
        with TemporaryDirectory() as folder, bench.progress("alpha", len(grid)) as step:
            control = shifting(Path(folder), self._messages(others, bench), heads, 1.0, bench)
            tried = [Candidate(control.at(alpha), alpha) for alpha in grid]
            found, curve = settle(tried, by, self.config.sweep, step)
        return (found.strength if found else 0.0), curve

    def _heads(self, goal: Goal, wording: Wording, bench: Bench) -> Heads:
        texts, config = self._contrasts[wording].of(goal.items, goal.inventory, bench), self.config
        return select(
            texts, goal.labels, goal.names, goal.sides(config.legacy), keep=config.heads, split=config.split,
            c=config.c, seed=bench.seed, yes=config.legacy,
        )  # fmt: skip

    def _store(self, target: Target, work: _Work, bench: Bench, began: float) -> Control:
        """Keep the finished control with what was chosen, how large it is and what it cost."""
        from traitbench.controls.interventions import head_shape

        heads, details = work.heads, dict(work.details)
        if heads is not None:
            count = head_shape(bench.backend.model)[0]
            details["heads"] = [
                [*divmod(int(h), count), round(float(heads.train[h]), 4), round(float(heads.validation[h]), 4)]
                for h in heads.chosen
            ]
            if work.alpha:
                with TemporaryDirectory() as folder:
                    details["dose"] = bench.dose(shifting(Path(folder), (), heads, work.alpha, bench))
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=self.config.model_dump(mode="json"), seed=bench.seed, strength=work.alpha, curve=work.curve,
            find=work.find, fitted_on=tuple(sorted({item.text_hash for item in work.used})),
            unit="SDs of the activations along the direction", details=details, licence=work.licence,
            seconds=time.perf_counter() - began, parameters=heads.shifts.size if heads is not None else 0,
        )  # fmt: skip
        return shifting(bench.folder, work.said, heads, work.alpha or 0.0, bench, fit)
