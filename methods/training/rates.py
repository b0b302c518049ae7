"""Which learning rate and batch a training takes: those that do best in short runs.

Best is the largest effect on development items; where no effect is asked for, the lowest loss on what is held out. Runs
that go over the limit of perplexity are out. Of strengths the weakest within a standard error of the largest effect is
taken; a lower rate is no weaker adapter, it has only learnt less in a short run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from traitbench.errors import BadData
from traitbench.methods.training import Example, once
from traitbench.methods.training.effects import Effect, Moved
from traitbench.methods.training.recipes import Recipe, Training
from traitbench.types import Record, Target

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Trial", "chosen_on", "search", "settled", "tried"]


class Trial(Record):
    """A short run that a recipe was chosen by."""

    lr: float
    batch: int
    held_out: float | None
    """Lowest loss on what is held out; None where the run went out of bounds: no number, or over the limit."""
    effect: float | None = None
    """On development items, nats a token; None where it was not asked for, or the run went out of bounds."""
    se: float | None = None
    """Standard error of the effect; those of several targets are taken as independent."""
    perplexity: float | None = None
    """Of neutral text at its end, over that without the adapter."""
    harmful: bool = False
    """Whether that is over the limit."""
    seconds: float


def settled(
    bench: Bench,
    plan: Recipe,
    rows: Sequence[Example],
    held: Sequence[Example],
    effect: Effect | None = None,
    **extra: Any,
) -> tuple[Recipe, tuple[Trial, ...]]:
    """Choose between the learning rates and batches of `plan` by the `effect` of short runs.

    The largest is taken; without an effect the lowest held-out loss. Where the best lies at an end of the rates that
    were tried with its batch, the next one is tried too, as far away as the grid's own step there, `plan.widen` times
    at most. BadData where every run goes out of bounds.
    """
    return search(bench, plan, lambda lr, batch: _trial(bench, plan, lr, batch, rows, held, effect, **extra))


def tried(plan: Recipe, config: Training, targets: Sequence[Target]) -> list[Target]:
    """The `targets` on whose items rates are tried: none where nothing is chosen, or where held-out loss chooses."""
    return list(targets) if config.dev == "items" and len(plan.lr) * len(plan.batch) > 1 else []


def search(bench: Bench, plan: Recipe, attempt: Callable[[float, int], Trial]) -> tuple[Recipe, tuple[Trial, ...]]:
    """As `settled`; `attempt` makes the short run of a learning rate and a batch."""
    grid = list(product(plan.lr, plan.batch))
    if len(grid) == 1:
        return plan, ()
    trials = [attempt(lr, batch) for lr, batch in grid]
    while len(trials) < len(grid) + plan.widen and (wider := _wider(trials)) is not None:
        trials.append(attempt(*wider))
    best = _best(trials)
    if best.held_out is None:
        rates = ", ".join(f"{trial.lr:g}" for trial in trials)
        limit = plan.max_perplexity
        kept = f" and a perplexity of neutral text under {limit:g} times that without" if limit is not None else ""
        raise BadData(
            f"no learning rate of {rates} leaves a held-out loss that is a number{kept}; give lower ones, e.g. "
            f"--method_args 'lr=[{min(t.lr for t in trials) / 100:g},{min(t.lr for t in trials) / 10:g}]'"
        )
    if _wider(trials) is not None and plan.widen:
        bench.tell(
            f"the best learning rate, {best.lr:g}, is still the {_end(trials)} of those tried; allow more with "
            f"--method_args widen={plan.widen * 2}"
        )
    return plan.model_copy(update={"lr": (best.lr,), "batch": (best.batch,)}), tuple(trials)


def chosen_on(trials: Sequence[Trial]) -> str:
    """What a training with these trials was chosen on: rate and batch, and then the step."""
    by_effect = any(trial.effect is not None for trial in trials)
    return "development effect, then held-out loss" if by_effect else "held-out loss"


def _trial(
    bench: Bench, plan: Recipe, lr: float, batch: int, rows: Sequence[Example], held: Sequence[Example],
    effect: Effect | None, **extra: Any,
) -> Trial:  # fmt: skip
    short = plan.model_copy(
        update={"lr": (lr,), "batch": (batch,), "match_steps": plan.trial_steps, "evaluations": 1, "patience": None}
    )
    found = once(bench, f"trying lr {lr:g}, batch {batch}", short, rows, held, **extra)
    moved = effect(found) if effect is not None and found.lowest is not None else Moved(None, None, 0.0)
    return Trial(
        lr=lr, batch=batch, held_out=found.lowest, effect=moved.effect, se=moved.se, perplexity=found.perplexity,
        harmful=found.harmful, seconds=found.seconds + moved.seconds,
    )  # fmt: skip


def _best(trials: Sequence[Trial]) -> Trial:
    """That with the largest effect; without any the lowest loss. Where all went out of bounds, one of those."""
    moved = [trial for trial in trials if trial.effect is not None]
    if moved:
        return max(moved, key=lambda trial: trial.effect or 0.0)
    return min(trials, key=lambda trial: math.inf if trial.held_out is None else trial.held_out)


def _wider(trials: Sequence[Trial]) -> tuple[float, int] | None:
    """The rate beyond the best, where that is at an end of those tried with its batch; None where it lies inside.

    Where every run went over the limit of perplexity, the one below the lowest.
    """
    best = _best(trials)
    rates = sorted({trial.lr for trial in trials if trial.batch == best.batch})
    if best.held_out is None:
        down = rates[0] / rates[1] if len(rates) > 1 else 0.5
        return (rates[0] * down, best.batch) if any(trial.harmful for trial in trials) else None
    if len(rates) < 2 or best.lr not in (rates[0], rates[-1]):
        return None
    neighbour = rates[1] if best.lr == rates[0] else rates[-2]
    return best.lr * (best.lr / neighbour), best.batch


def _end(trials: Sequence[Trial]) -> str:
    return "lowest" if _best(trials).lr == min(trial.lr for trial in trials) else "highest"
