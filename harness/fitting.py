"""Tables of what was fitted and at which strength: the choice on development data, and the dose curves of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.leaderboard_tables import ratio
from traitbench.tables import Table, interval, number

if TYPE_CHECKING:
    from traitbench.dose import DosePoint
    from traitbench.results import Results
    from traitbench.types import Fit, Mode

__all__ = ["choices", "curves"]


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
                *(f"{task}: {count} of its items were fitted on (contaminated, not ranked)."
                  for task, count in results.contaminated.items()),
            ],
        )
    ]  # fmt: skip


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
