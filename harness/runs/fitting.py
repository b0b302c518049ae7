"""Tables of what was fitted: strengths chosen on development data, adapters as trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitbench.runs.trained import ALL, Stage, adapted, remarks
from traitbench.statistics.thresholds import FIND
from traitbench.tables import Table, number, ratio
from traitbench.tasks.findings import findings, unfound, untested

if TYPE_CHECKING:
    from traitbench.tasks.block import Facts
    from traitbench.types import Fit

__all__ = ["choices", "finds", "trainings"]


def finds(facts: Facts) -> list[Table]:
    """Whether the fits found anything, with the evidence: one table, or none where no fit tests itself."""
    found = findings(facts)
    if found is None:
        return []
    several = any(test.fits > 1 for test in found.tests)
    return [
        Table(
            title=f"Did {facts.method['name']} find anything?",
            columns=["target", "what", "observed", "by chance", "95 %", "shuffles", "p", "p over all", "found"],
            rows=[
                [
                    ", ".join(test.targets),
                    test.find.statistic,
                    number(test.find.observed, 3),
                    *(number(value, 3) for value in test.find.null),
                    str(test.find.draws),
                    *(number(value, 3) for value in (test.p, test.adjusted)),
                    "yes" if test.found else "nothing",
                ]
                for test in found.tests
            ],
            notes=[
                *(f"{line}." for line in unfound(facts)),
                "By chance: mean and 95th percentile of the same under shuffled labels of the poles. On: "
                f"{'; '.join(dict.fromkeys(test.find.on for test in found.tests))}. p over all: adjusted over the "
                f"tests of the run (Benjamini & Hochberg); up to {FIND.value:g} something was found.",
                *(
                    ["Several fits of a target: the first is shown, p is twice the median of theirs."]
                    if several
                    else []
                ),
                *([f"Not tested: {', '.join(found.untested)}."] if found.untested else []),
            ],
        )
    ]


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
                *(f"{line[0].upper()}{line[1:]}." for line in untested(facts)),
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
