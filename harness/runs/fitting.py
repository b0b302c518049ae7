"""Tables of what was fitted: strengths chosen on development data, adapters as trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.runs.trained import ALL, Stage, adapted, remarks
from traitbench.tables import Table, number, ratio

if TYPE_CHECKING:
    from traitbench.tasks.block import Facts
    from traitbench.types import Fit

__all__ = ["choices", "trainings"]


def choices(facts: Facts) -> list[Table]:
    """What each fit chose on development data: one table, or none where nothing was fitted with a strength."""
    fits = {name: fit for name, fit in facts.every_fit.items() if fit.strength is not None}
    if not fits:
        return []
    sizes = {c.name: c for c in facts.conditions}
    says = any(fit.details.get("chosen_on") for fit in fits.values())
    units = dict.fromkeys(fit.unit for fit in fits.values() if fit.unit)
    return [
        Table(
            title=f"Fitted controls of {facts.method['name']}",
            columns=["target", "strength", "dev effect", "tried", "perplexity", "dose", "numbers stored", "seconds",
                     *(["chosen on"] if says else [])],
            rows=[
                [
                    name,
                    number(fit.strength),
                    number(_chosen(fit)),
                    str(len(fit.curve)),
                    ratio(sizes[name].perplexity) if name in sizes else "–",
                    number(sizes[name].dose) if name in sizes else "–",
                    str(fit.parameters),
                    number(fit.seconds, 1),
                    *([str(fit.details.get("chosen_on") or "–")] if says else []),
                ]
                for name, fit in fits.items()
            ],
            notes=[
                "Strength: chosen on development items or questions only. Perplexity: of neutral text under the edits, "
                "over that without. Dose: size of the edits beside the activations that they change.",
                *(f"A strength of 1 is {unit}." for unit in units),
                *_contaminated(facts),
            ],
        )
    ]  # fmt: skip


def _contaminated(facts: Facts) -> list[str]:
    return [
        f"{task}: {count} of its items were fitted on (contaminated, not ranked)."
        for task, count in facts.contaminated.items()
    ]


def _chosen(fit: Fit) -> float | None:
    """The development effect at the chosen strength, in the chosen layer where layers were tried."""
    layer = fit.details.get("layer")
    found = (p.effect for p in fit.curve if p.strength == fit.strength and p.layer in (None, layer))
    return next(found, None)


def trainings(facts: Facts) -> list[Table]:
    """What was trained, and how the loss on what was held out fell: one table, or none where nothing was trained."""
    found = adapted(facts)
    if not found:
        return []
    every = [stage for each in found for stage in each.stages]
    several, says = len(every) > len(found), any(stage.chosen_on for stage in every)
    measures = [m for m in ("accuracy", "margin") if any(getattr(s.best, m, None) is not None for s in every)]
    notes = [
        *([f"{ALL}: the targets share the training, so its seconds count once; numbers stored: of one adapter."]
          if any(each.name == ALL for each in found) else []),
        *(["Numbers stored and seconds are those of all stages together and stand beside the last."]
          if several else []),
    ]  # fmt: skip
    return [
        Table(
            title=f"Trained adapters of {facts.method['name']}",
            columns=["target", *(["stage"] if several else []), "steps", "best step", "tokens", "learning rate",
                     "batch", "held-out loss", *measures, "numbers stored", "seconds",
                     *(["chosen on"] if says else [])],
            rows=[
                [
                    each.name,
                    *([stage.recipe.loss] if several else []),
                    *_trained(stage),
                    *(number(getattr(stage.best, measure, None), 3) for measure in measures),
                    *([str(each.fit.parameters), number(each.fit.seconds, 1)]
                      if n == len(each.stages) else ["–", "–"]),
                    *([stage.chosen_on or "–"] if says else []),
                ]
                for each in found
                for n, stage in enumerate(each.stages, 1)
            ],
            notes=[*remarks(facts.method["name"], found), *notes, *_contaminated(facts)],
        )
    ]  # fmt: skip


def _trained(stage: Stage) -> list[str]:
    first, best = (point.held_out if point else None for point in (stage.first, stage.best))
    return [
        str(stage.steps),
        str(stage.best_step),
        str(stage.tokens),
        " or ".join(f"{rate:g}" for rate in stage.recipe.lr),
        " or ".join(map(str, stage.recipe.batch)),
        f"{number(first, 3)} → {number(best, 3)}",
    ]
