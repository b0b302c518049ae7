"""What a run aims at: `--target`, as method and tasks make it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.methods.method import Method
from traitbench.targets import cast, drawn, impressions, profiles
from traitbench.tasks.task import Task
from traitbench.types import TRAITS, Target, Trait

if TYPE_CHECKING:
    from traitbench.targets.persons import Participants

__all__ = ["meant", "targets", "unmeasured"]


def meant(target: str | None, tasks: Sequence[Task]) -> str | None:
    """The target as it was given, or that which a task brings with it where none was."""
    if target not in (None, "", "all"):
        return target
    return next((task.brings for task in tasks if task.brings), target)


def targets(
    given: str | None,
    method: Method,
    tasks: Sequence[Task],
    participants: Participants | None = None,
    seed: int = 0,
) -> list[Target | None]:
    """List what `--target` asks for; [None] for a method that takes no target but makes a control.

    `participants` are the persons that it names, one control each; a method without targets answers as itself. `all`
    and `profiles` are of the traits that the tasks measure and the method has words for.
    UnknownName or TraitbenchUsage for what cannot be read, UnsupportedControl where the method cannot aim at it.
    """
    if not method.targets:
        if participants is None and given not in (None, "all"):
            raise UnsupportedControl(
                f"the method {method.name} takes no target, but --target {given} was given; leave it out"
            )
        return [None] if method.makes else []
    target = meant(given, tasks)
    measured = _measured(tasks)
    known = method.knows
    traits = [trait for trait in measured if known is None or trait in known] or measured
    if participants is not None:
        found: list[Target | None] = list(participants.targets)
    elif named := [*cast(target), *impressions(target, traits)]:
        found = [*named]
    elif target in (None, "all"):
        if not method.makes and target is None:
            return []
        if not measured and method.makes:
            raise TraitbenchUsage(
                f"--target {given or 'all'}: {', '.join(task.id for task in tasks)} measures no trait, so there is "
                "nothing to aim at; name a target, e.g. --target agreeableness=high, or take --method none"
            )
        found = [Target(levels={t: v}) for t in traits for v in (1.0, -1.0)]
    elif number := drawn(target):
        found = list(profiles(traits, number, seed))
    else:
        assert target is not None
        found = [Target.parse(target, dict.fromkeys((*TRAITS, *measured, *(method.knows or ()))))]
    for aim in found:
        if aim:
            _check_words(aim, method)
        if aim and not aim.aims <= method.targets:
            raise UnsupportedControl(
                f"the method {method.name} cannot aim at {aim.name}; it takes {', '.join(sorted(method.targets))}"
            )
    return found


def _check_words(aim: Target, method: Method) -> None:
    known = method.knows
    if known is not None and (strange := [trait for trait in aim.levels if trait not in known]):
        raise UnsupportedControl(
            f"the method {method.name} has no words for {strange[0]}, only for {', '.join(sorted(known))}; "
            f"{method.otherwise}"
        )


def unmeasured(given: str | None, aimed: Iterable[Trait], method: Method, tasks: Sequence[Task]) -> list[str]:
    """Say which targets no task measures, and which measured traits `all` or `profiles` passes over.

    The first show what else moves, and no effect; for the others the method has no words.
    """
    measured = _measured(tasks)
    told = (
        "no effect on it can be shown, only what else moves" if measured else "what the tasks report is no effect on it"
    )
    every = method.targets and (meant(given, tasks) in (None, "all") or drawn(given))
    others = [trait for trait in measured if every and method.knows is not None and trait not in method.knows]
    return [
        *(f"no task measures {trait}, so {told}" for trait in aimed if trait not in measured),
        *(f"{method.name} has no words for {trait}: measured, and not aimed at" for trait in others),
    ]


def _measured(tasks: Sequence[Task]) -> list[Trait]:
    return list(dict.fromkeys(trait for task in tasks for trait in task.traits))
