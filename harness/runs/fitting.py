"""Tables of what was fitted: strengths chosen on development data, dose curves of the run, adapters as trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.leaderboard.tables import ratio
from traitbench.runs.trained import ALL, Stage, adapted, remarks
from traitbench.tables import Table, interval, number

if TYPE_CHECKING:
    from traitbench.runs.results import Results
    from traitbench.tasks.questionnaire.dose import DosePoint
    from traitbench.types import Fit, Mode

__all__ = ["choices", "curves", "trainings"]


def choices(results: Results) -> list[Table]:
    """What each fit chose on development data: one table, or none where nothing was fitted with a strength."""
    fits = {name: fit for name, fit in results.fits.items() if fit.strength is not None}
    if not fits:
        return []
    sizes = {c.name: c for c in results.conditions}
    units = dict.fromkeys(fit.unit for fit in fits.values() if fit.unit)
    return [
        Table(
            title=f"Fitted controls of {results.method['name']}",
            columns=["target", "strength", "dev effect", "tried", "perplexity", "dose", "numbers stored", "seconds"],
            rows=[
                [
                    name,
                    number(fit.strength),
                    number(_chosen(fit)),
                    str(len(fit.curve)),
                    ratio(sizes[name].perplexity),
                    number(sizes[name].dose),
                    str(fit.parameters),
                    number(fit.seconds, 1),
                ]
                for name, fit in fits.items()
            ],
            notes=[
                "Strength: chosen on development items or questions only. Perplexity: of neutral text under the edits, "
                "over that without. Dose: size of the edits beside the activations that they change.",
                *(f"A strength of 1 is {unit}." for unit in units),
                *_contaminated(results),
            ],
        )
    ]  # fmt: skip


def _contaminated(results: Results) -> list[str]:
    return [
        f"{task}: {count} of its items were fitted on (contaminated, not ranked)."
        for task, count in results.contaminated.items()
    ]


def _chosen(fit: Fit) -> float | None:
    """The development effect at the chosen strength, in the chosen layer where layers were tried."""
    layer = fit.details.get("layer")
    found = (p.effect for p in fit.curve if p.strength == fit.strength and p.layer in (None, layer))
    return next(found, None)


def curves(results: Results, task: str) -> list[Table]:
    """Effect, leakage, option mass and fluency over strength, where more than one strength was run."""
    out = []
    for mode, found in results.dose.get(task, {}).items():
        mine = [dose for dose in found if len(dose.points) > 1]
        if not mine:
            continue
        told = {True: "rises throughout", False: "does not rise throughout"}
        out.append(
            Table(
                title=f"Dose, {mode}, {task}",
                columns=["target", "strength", "dose", "effect [95 %]", "leakage", "option mass", "perplexity"],
                rows=[[dose.target, *_line(point, mode)] for dose in mine for point in dose.points],
                notes=[
                    "Effect: shift of the trait aimed at from the baseline. A star marks the strength that was chosen "
                    "on development data.",
                    *(f"{d.target}: {told[d.monotone]}." for d in mine if d.monotone is not None),
                ],
            )
        )
    return out


def _line(point: DosePoint, mode: Mode) -> list[str]:
    effect, scale = point.effect, 1.0
    if effect is not None and effect.pomp is not None and effect.value:
        scale = effect.pomp / effect.value
    bounds = (effect.ci[0] * scale, effect.ci[1] * scale) if effect and effect.ci else None
    return [
        f"{point.coef:g}{'*' if point.headline else ''}",
        number(point.dose),
        interval(effect.value * scale, bounds) if effect and effect.value is not None else "–",
        number(None if point.leakage is None else point.leakage * scale),
        number(point.option_mass),
        ratio(point.perplexity),
    ]


def trainings(results: Results) -> list[Table]:
    """What was trained, and how the loss on what was held out fell: one table, or none where nothing was trained."""
    found = adapted(results)
    if not found:
        return []
    every = [stage for each in found for stage in each.stages]
    several = len(every) > len(found)
    measures = [m for m in ("accuracy", "margin") if any(getattr(s.best, m, None) is not None for s in every)]
    notes = [
        *([f"{ALL}: the targets share the training, so its seconds count once; numbers stored: of one adapter."]
          if any(each.name == ALL for each in found) else []),
        *(["Numbers stored and seconds are those of all stages together and stand beside the last."]
          if several else []),
    ]  # fmt: skip
    return [
        Table(
            title=f"Trained adapters of {results.method['name']}",
            columns=["target", *(["stage"] if several else []), "steps", "best step", "tokens", "learning rate",
                     "batch", "held-out loss", *measures, "numbers stored", "seconds"],
            rows=[
                [
                    each.name,
                    *([stage.recipe.loss] if several else []),
                    *_trained(stage),
                    *(number(getattr(stage.best, measure, None), 3) for measure in measures),
                    *([str(each.fit.parameters), number(each.fit.seconds, 1)]
                      if n == len(each.stages) else ["–", "–"]),
                ]
                for each in found
                for n, stage in enumerate(each.stages, 1)
            ],
            notes=[*remarks(results.method["name"], found), *notes, *_contaminated(results)],
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
