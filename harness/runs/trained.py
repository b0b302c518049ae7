"""What the fits of a run tell of the training of their adapters, and what a reader must know beside the losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ConfigDict, FiniteFloat, ValidationError

from traitbench.tables import number
from traitbench.tasks.board import Effort
from traitbench.types import Fit, Record

if TYPE_CHECKING:
    from traitbench.tasks.block import Facts

__all__ = ["ALL", "Adapted", "Audit", "Data", "Details", "LossRow", "Settings", "Stage", "Tried", "Weighed", "adapted",
           "effort", "remarks", "spent"]  # fmt: skip

ALL = "all levels"
"""Name of a training that several targets share."""


class _Read(Record):
    """Part of a fit's details; what else stands there belongs to the method."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class LossRow(_Read):
    """Where a training was after so many steps; the fields are those of `methods.training.LossPoint`."""

    step: int
    loss: FiniteFloat | None = None
    held_out: FiniteFloat | None = None
    accuracy: FiniteFloat | None = None
    margin: FiniteFloat | None = None


class Settings(_Read):
    """What is shown of a recipe."""

    loss: str
    loss_type: str = "sigmoid"
    """Of pairs."""
    lr: tuple[FiniteFloat, ...]
    batch: tuple[int, ...]


class Stage(_Read):
    """One training, as `methods.training.Trained.summary` tells of it."""

    recipe: Settings
    training: str = ""
    """Digest of all that decided it."""
    steps: int
    planned_steps: int | None = None
    """Steps, had it not been stopped before; null where nothing says so."""
    best_step: int
    """Its adapter was kept."""
    chosen_on: str = ""
    """What best step, learning rate and batch were chosen on."""
    tokens: int
    losses: tuple[LossRow, ...]

    @property
    def held(self) -> tuple[LossRow, ...]:
        """The points at which the loss on what is held out was measured."""
        return tuple(point for point in self.losses if point.held_out is not None)

    @property
    def first(self) -> LossRow | None:
        """The first of them: before training."""
        return next(iter(self.held), None)

    @property
    def best(self) -> LossRow | None:
        """The one whose adapter was kept."""
        return next((point for point in self.held if point.step == self.best_step), None)


class Tried(_Read):
    """A short run that learning rate and batch were chosen by."""

    lr: FiniteFloat
    batch: int
    held_out: FiniteFloat | None
    """Null where no loss was a number, or the run went over the limit of perplexity."""
    effect: FiniteFloat | None = None
    """On development items, nats a token; null where it was not asked for, or the run went out of bounds."""


class Weighed(_Read):
    """A run that the weight of a method's own loss was chosen by."""

    weight: FiniteFloat
    held_out: FiniteFloat


class Audit(_Read):
    """How much of the inventories' wording stands in the training texts: counts of `methods.dialogues.leaks`."""

    n: int
    texts: int
    texts_leaking: int
    items_whole: int
    items_shared: int
    missing: tuple[str, ...] = ()


class Data(_Read):
    """Of what kind the training data are."""

    name: str | None = None
    """A set of dialogues."""
    persona: str | None = None
    """A character's answers."""


class Details(_Read):
    """What is shown of a fit's details besides its trainings."""

    trials: tuple[Tried, ...] = ()
    specialisation: FiniteFloat = 0.0
    """Weight of the loss by which P-Tailor sets its experts apart."""
    specialisations: tuple[Weighed, ...] = ()
    leaks: Audit | None = None
    data: Data = Data()
    aim: str = ""
    note: str = ""


class Adapted(NamedTuple):
    """A fit and the trainings that made its adapter, in their order; of fits that share them, the first."""

    name: str
    """The target, or `ALL`."""
    fit: Fit
    stages: tuple[Stage, ...]
    details: Details


def adapted(facts: Facts) -> list[Adapted]:
    """Every training of a run once; empty where none was trained, or where the details have another form."""
    groups: dict[str, list[Adapted]] = {}
    for name, fit in facts.every_fit.items():
        if found := _read(name, fit):
            digests = [stage.training for stage in found.stages]
            key = fit.shared or ("+".join(digests) if all(digests) else name)
            groups.setdefault(key, []).append(found)
    return [
        mine[0] if len({each.fit.target or each.name for each in mine}) == 1 else mine[0]._replace(name=ALL)
        for mine in groups.values()
    ]


def _read(name: str, fit: Fit) -> Adapted | None:
    """Read details that are a training, or that hold one under the name of each stage."""
    details = fit.details
    parts: list[Any] = [details] if "losses" in details else [
        part for part in details.values() if isinstance(part, dict) and "losses" in part
    ]  # fmt: skip
    if not parts:
        return None
    try:
        return Adapted(name, fit, tuple(map(Stage.model_validate, parts)), Details.model_validate(details))
    except ValidationError:
        # Details are the method's own: those of a method from elsewhere may look otherwise.
        return None


def remarks(method: str, found: Sequence[Adapted]) -> list[str]:
    """What a reader must know of the losses and the data of `found`, a sentence or two each."""
    losses = {stage.recipe.loss for each in found for stage in each.stages}
    kinds = dict.fromkeys(s.recipe.loss_type for each in found for s in each.stages if s.recipe.loss == "dpo")
    details = [each.details for each in found]
    held = dict.fromkeys(
        "of scenes" if each.data.name else "on paragraphs of the description" if each.data.persona else ""
        for each in details
    )
    where = " or ".join(told for told in held if told)
    out = [
        f"Held-out loss: on examples {f'{where} ' if where else ''}that were not trained on; before training → at the "
        "best step, whose adapter was kept."
    ]
    if "sft" in losses:
        out.append("Loss of sft: mean negative log-likelihood of the replies' tokens, in nats.")
    out += map(_pairwise, kinds)
    if any(each.data.name == "open" for each in details):
        out.append(
            "The scenes of the open set are held out, but their replies are made of sentences that recur in other "
            "scenes: the loss says how well new combinations are met, and less how well new wording is."
        )
    out += [*_stopped(found), *_chosen(details), *_weights(details), *_leaks(details)]
    out += [f"Aim: {told}." for told in dict.fromkeys(each.aim for each in details if each.aim)]
    return out + [f"{method}: {told}." for told in dict.fromkeys(each.note for each in details if each.note)]


def _pairwise(loss: str) -> str:
    """What is minimised over pairs, and what margin and accuracy are."""
    what = {
        "sigmoid": "mean of ln(1 + exp(-margin)) over pairs, ln 2 = 0.693 before training",
        "orpo": "mean negative log-likelihood of prompt and chosen reply, in nats, and the odds ratio of both replies",
    }.get(loss, f"{loss}, a mean over pairs")
    margin = (
        "the chosen reply's mean log-likelihood of a token less that of the rejected one, times lambda"
        if loss == "orpo"
        else "how much more likely than under the reference the chosen reply has become (log-ratio times beta), less "
        "the same of the rejected one"
    )
    accuracy = "" if loss in ("kto", "apo_zero_unpaired") else " Accuracy: share of pairs with a margin above 0."
    return f"Loss of dpo: {what}. Margin: {margin}.{accuracy}"


def _stopped(found: Sequence[Adapted]) -> list[str]:
    """Which trainings ended early, and which might have gone on."""
    stages = [stage for each in found for stage in each.stages if stage.planned_steps is not None]
    early = sum(stage.steps < (stage.planned_steps or 0) for stage in stages)
    open_end = sum(stage.best_step == stage.steps == stage.planned_steps for stage in stages)
    return [
        *(["Stopped before the last step, since held-out loss no longer fell or the limit of perplexity was broken: "
           f"{early} of {len(stages)} trainings."] if early else []),
        *([f"Best at the last step planned, so that more steps might have helped: {open_end} of {len(stages)}."]
          if open_end else []),
    ]  # fmt: skip


def _chosen(details: Iterable[Details]) -> list[str]:
    out = []
    for trials in dict.fromkeys(each.trials for each in details if each.trials):
        moved = any(trial.effect is not None for trial in trials)
        by = "effect of short runs on development items, nats a token" if moved else "held-out loss of short runs"
        tried = [f"{t.lr:g}, {t.batch}: {number(t.effect if moved else t.held_out, 3)}" for t in trials]
        out.append(f"Learning rate and batch were chosen by the {by}: {'; '.join(tried)}.")
    return out


def _weights(details: Iterable[Details]) -> list[str]:
    """The term that P-Tailor adds while it trains."""
    out = []
    for each in dict.fromkeys((d.specialisation, d.specialisations) for d in details):
        weight, tried = each
        losses = "; ".join(f"{run.weight:g}: {number(run.held_out, 3)}" for run in tried)
        if weight or tried:
            by = f", chosen by held-out loss ({losses})" if tried else ""
            told = f"Weight of the specialisation loss: {weight:g}{by}."
            out.append(f"{told} Training loss includes it, held-out loss does not.")
    return out


def _leaks(details: Iterable[Details]) -> list[str]:
    """All audits in one line."""
    audits = list(dict.fromkeys(each.leaks for each in details if each.leaks))
    if not audits:
        return []
    missing = list(dict.fromkeys(name for audit in audits for name in audit.missing))
    return [
        f"Leak audit: {sum(a.texts_leaking for a in audits)} of {sum(a.texts for a in audits)} training texts hold "
        f"words of inventory items; items found whole: {max(a.items_whole for a in audits)}, by a run of "
        f"{audits[0].n} words: {max(a.items_shared for a in audits)}"
        + (" (of the training with most)" if len(audits) > 1 else "")
        + (f"; not looked for, their texts are not here: {', '.join(missing)}." if missing else ".")
    ]


def effort(facts: Facts) -> Effort | None:
    """What a run's fits took and by what they were chosen; None of runs that do not say by what."""
    found, chosen = adapted(facts), dict[str, None]()
    for each in found:
        chosen |= dict.fromkeys(stage.chosen_on for stage in each.stages if stage.chosen_on)
    for fit in facts.every_fit.values():
        chosen |= {str(said): None} if (said := fit.details.get("chosen_on")) else {}
    if not chosen:
        return None
    steps = [sum(stage.steps for stage in each.stages) for each in found]
    return Effort(
        steps=(min(steps), max(steps)) if steps else None,
        tokens=sum(stage.tokens for each in found for stage in each.stages) if found else None,
        chosen_on=" and ".join(chosen),
    )


def spent(facts: Facts) -> tuple[float, int] | None:
    """Seconds of fitting and numbers stored, what several controls share counted once; None where nothing was fitted.

    A run says so itself (`cost`); of results without it the fits are added up.
    """
    fits = [fit for fit in facts.every_fit.values() if fit.seconds or fit.parameters]
    if not fits:
        return None
    seconds = facts.cost.get("fit_seconds", sum(fit.seconds for fit in fits))
    return float(seconds), int(facts.cost.get("stored_parameters", sum(fit.parameters for fit in fits)))
