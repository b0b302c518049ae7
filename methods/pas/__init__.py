"""PAS: shift the attention heads that tell a person's agreement, beside the person's answers as a prompt.

After Personality Activation Search (Zhu et al., 2024), from inference-time intervention (Li et al., 2023).

1. Answer every item for the model with "Very Accurate" and with "Very Inaccurate"; record each head (`contrasts`).
2. Label an answer 1 where it agrees with the person, and fit a logistic probe a head (`heads`).
3. Keep the 24 heads with the most accurate probes.
4. Direction of a head: difference of the class means, of length 1; sigma: SD of the projections on it.
5. Add alpha * sigma * direction to each of them at every position, and show the person's answers as a prompt.

Where it departs from the published code: directions are of raw agreement, since keyed values turn the minus-keyed items
round; both option orders are asked, so that a direction is no letter; an item is on one side of every split; a missing
answer is no answer; and alpha is chosen on items that are in neither prompt nor probes, never on test items. Trait
targets, the answers of an idealised person, are an addition of ours.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from traitbench import controls
from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods import material
from traitbench.methods.bench import top
from traitbench.methods.method import Method
from traitbench.methods.pas.contrasts import Contrasts
from traitbench.methods.pas.heads import NEUTRAL, Heads, parted, select, sided
from traitbench.methods.prompting import Prompting
from traitbench.types import BIG_FIVE, Aim, Control, Edit, Fit, Kind, Message, Person, Point, Record, Target, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item
    from traitbench.methods.bench import Bench

__all__ = ["LEAST", "PAS"]

LEAST = 5
"""Items that must be agreed or disagreed with: below, a probe would have next to nothing to be tried on."""


class _Goal(NamedTuple):
    """The items that directions are fitted on, and which way each is to be answered."""

    items: list[Item]
    labels: NDArray[np.int_]
    """(items,) 1 agree, 0 disagree."""
    sides: list[tuple[str, int]]
    """Groups of items that weigh equally."""
    inventory: str


class _Work(NamedTuple):
    """What a control is made of, and how it came about."""

    said: tuple[Message, ...]
    heads: Heads | None
    alpha: float | None
    curve: tuple[Point, ...]
    used: list[Item]
    details: dict[str, Any]
    licence: str


class PAS(Method):
    """Static shifts of the best-probed attention heads, at every position; for a person their answers as well."""

    name = "pas"
    version = "2"
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
        alphas: tuple[float, ...] = Field(default=(0.0, 1.0, 2.0, 4.0, 6.0, 8.0), min_length=1)
        """Strengths that are tried; on the command line 'alphas=[0,2,4]'."""
        answer: Literal["symbol", "text"] = "symbol"
        """What the contrast answers are: the option's symbol, or its text, which says more to a model that takes any
        letter. On SmolLM2 the best probes tell .95 of the texts apart and .67 of the symbols."""
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
        messages: bool = True
        """Person: put the answers into the prompt as well."""
        turn: Literal["system", "user"] = "system"
        """Who says the answers."""

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        """Keep the configuration; contrast activations are held from target to target."""
        super().__init__(config)
        self._contrasts = Contrasts(self.config.answer)

    @property
    def knows(self) -> frozenset[Trait]:
        """The traits of the development items."""
        return frozenset(BIG_FIVE)

    def reads(self, target: Target | None, bench: Bench) -> dict[str, str]:
        """The items that are answered for the model and those that alpha is chosen on, and a person's prompt."""
        assert target is not None
        if target.person is None:
            mine = [item for half in bench.halves() for item in half if item.trait in target.levels]
            return material.items(bench, mine, ("choice", "statement")) | material.prose()
        person = target.person
        answered = [item for item in bench.inventory(person.inventory).items if item.id in person.answers]
        said = [message.content for message in self._messages(person, bench)]
        asked = material.items(bench, answered, ("choice",), person.inventory)
        return asked | material.prose() | material.words("answers", said)

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
        goal = _answered(person, inventory)
        details: dict[str, Any] = {
            "effect": "minus the mean |answer - expected answer| on the fold",
            "agree": int(goal.labels.sum()),
            "disagree": len(goal.items) - int(goal.labels.sum()),
            "neutral": len(person.answers) - len(goal.items),
        }
        heads: Heads | None = None
        alpha, curve = self.config.alpha, tuple[Point, ...]()
        if len(goal.items) < LEAST:
            few = f"person {person.id!r} agrees or disagrees with {len(goal.items)} items, probes need {LEAST}"
            if not said:
                raise BadData(f"{few}; without messages nothing is left to make a control of; expected more answers")
            details["warning"] = f"{few}: the control is the answers as a prompt"
            bench.tell(f"pas: {details['warning']}")
            alpha = None
        else:
            if alpha is None:
                alpha, curve, details["fold"] = self._by_fold(person, inventory, bench)
            heads = self._heads(goal, bench)
        used = [item for item in inventory.items if item.id in person.answers]
        return _Work(said, heads, alpha, curve, used, details, inventory.licence)

    def _traits(self, target: Target, bench: Bench) -> _Work:
        first, second = ([i for i in half if i.trait in target.levels] for half in bench.halves())
        measured = {i.trait for i in first} & {i.trait for i in second}
        if missing := [trait for trait in target.levels if trait not in measured]:
            able = ", ".join(sorted({i.trait for half in bench.halves() for i in half}))
            raise UnsupportedControl(f"pas has no items to fit {', '.join(missing)} on; it can aim at {able}")
        labels = np.array([i.keyed * target.levels[i.trait] > 0 for i in first], dtype=int)
        goal = _Goal(first, labels, [(i.trait, i.keyed) for i in first], bench.inventory().id)
        heads, config = self._heads(goal, bench), self.config
        alpha, curve, used = config.alpha, tuple[Point, ...](), first
        if alpha is None:
            used = [*first, *second]
            with TemporaryDirectory() as folder:
                control = _control(Path(folder), (), heads, 1.0, bench)
                alpha, curve = bench.strongest(
                    control, target, config.alphas, second, config.dev_scoring, config.max_perplexity
                )
        unit = "nats a token" if config.dev_scoring == "statement" else "points of the scale"
        details = {"effect": f"{unit} ({config.dev_scoring}) towards the target, on the development items"}
        details |= {"chosen_on": "development effect"} if config.alpha is None else {}
        return _Work((), heads, alpha, curve, used, details, bench.inventory().licence)

    def _messages(self, person: Person, bench: Bench) -> tuple[Message, ...]:
        """Write the answers down, which checks them; nothing where the configuration wants no messages."""
        style = Prompting(Prompting.Config(style="person", turn=self.config.turn))
        said = style.fit(Target(person=person), bench).messages
        return said if self.config.messages else ()

    def _by_fold(self, person: Person, inventory: Inventory, bench: Bench) -> tuple[float, tuple[Point, ...], int]:
        """Choose alpha on a fold of the answers that neither prompt nor probes have seen: alpha, curve, items."""
        items = [item for item in inventory.items if item.id in person.answers]
        drawn = parted([i.text_hash for i in items], [i.trait for i in items], self.config.fold, bench.seed)
        fold = [item for item, out in zip(items, drawn, strict=True) if out]
        others = {i.id: person.answers[i.id] for i, out in zip(items, drawn, strict=True) if not out}
        known = person.model_copy(update={"answers": others})
        goal = _answered(known, inventory)
        if len(goal.items) < LEAST:
            bench.tell(f"pas: person {person.id!r} takes a side on too few items to choose alpha; it stays 0")
            return 0.0, (), 0
        answers = np.array([person.answers[item.id] for item in fold], dtype=float)
        curve = []
        with TemporaryDirectory() as folder, bench.progress("alpha", len(self.config.alphas)) as step:
            control = _control(Path(folder), self._messages(known, bench), self._heads(goal, bench), 1.0, bench)
            for alpha in sorted(set(self.config.alphas)):
                at = control.at(alpha)
                missed = np.abs(bench.values(fold, "choice", at, inventory=person.inventory) - answers)
                curve.append(
                    Point(
                        strength=alpha,
                        effect=-float(missed.mean()),
                        perplexity=bench.perplexity(at) if at.edits else None,
                    )
                )
                step(1)
        found = top(curve, self.config.max_perplexity)
        return (found.strength if found else 0.0), tuple(curve), len(fold)

    def _heads(self, goal: _Goal, bench: Bench) -> Heads:
        texts, config = self._contrasts.of(goal.items, goal.inventory, bench), self.config
        names = [item.text_hash for item in goal.items]
        return select(
            texts, goal.labels, names, goal.sides, keep=config.heads, split=config.split, c=config.c, seed=bench.seed
        )

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
                    details["dose"] = bench.dose(_control(Path(folder), (), heads, work.alpha, bench))
        fit = Fit(
            method=self.name, version=self.version, model=bench.backend.identity, target=target.name,
            config=self.config.model_dump(mode="json"), seed=bench.seed, strength=work.alpha, curve=work.curve,
            fitted_on=tuple(sorted({item.text_hash for item in work.used})),
            unit="SDs of the activations along the direction", details=details, licence=work.licence,
            seconds=time.perf_counter() - began, parameters=heads.shifts.size if heads is not None else 0,
        )  # fmt: skip
        return _control(bench.folder, work.said, heads, work.alpha or 0.0, bench, fit)


def _control(
    folder: Path, said: Sequence[Message], heads: Heads | None, alpha: float, bench: Bench, fit: Fit | None = None
) -> Control:
    """Write the control, an edit a layer; its edits stay at alpha 0 too, so that another strength can be asked for."""
    from traitbench.controls.interventions import head_shape

    edits, tensors = [], {}
    if heads is not None:
        count, width = head_shape(bench.backend.model)
        for layer in sorted({int(head) // count for head in heads.chosen}):
            mine = sorted(np.flatnonzero(heads.chosen // count == layer), key=lambda n: int(heads.chosen[n]))
            first = heads.chosen[mine] % count * width
            shift, places = f"shift.{layer}", f"places.{layer}"
            tensors[shift] = heads.shifts[mine].ravel().astype(np.float32)
            tensors[places] = (first[:, None] + np.arange(width)).ravel().astype(np.int64)
            edits.append(Edit(layer=layer, site="heads", op="add", tensor=shift, units=places, strength=alpha))
    return controls.store(folder, messages=said, edits=edits, tensors=tensors, fit=fit)


def _answered(person: Person, inventory: Inventory) -> _Goal:
    """Keep the items that the person takes a side on."""
    scale = inventory.response_scale
    items = [item for item in inventory.items if item.id in person.answers]
    labels = sided([person.answers[item.id] for item in items], (scale.min + scale.max) / 2)
    held = [item for item, label in zip(items, labels, strict=True) if label != NEUTRAL]
    return _Goal(held, labels[labels != NEUTRAL], [("", 0)] * len(held), person.inventory)
