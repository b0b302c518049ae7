"""What a control may be asked to aim at: poles, drawn profiles, persons."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.types import Method, Target, Task, Trait

__all__ = ["PROFILES", "drawn", "profiles", "targets"]

PROFILES = 100
"""Fewest drawn profiles, and the default of `--target profiles`."""


def targets(
    target: str | None, seed: int, method: Method, tasks: Sequence[Task], persons: Sequence[Target] = ()
) -> list[Target | None]:
    """List what `--target` asks for; [None] for a method that takes no target but makes a control.

    `persons` are those of `--target person:...`, one control each; a method without targets answers as itself.

    UnknownName or TraitbenchUsage for what cannot be read, UnsupportedControl where the method cannot aim at it.
    """
    if not method.targets:
        if not persons and target not in (None, "all"):
            raise UnsupportedControl(
                f"the method {method.name} takes no target, but --target {target} was given; leave it out"
            )
        return [None] if method.makes else []
    if persons:
        found: list[Target | None] = list(persons)
    elif target in (None, "all"):
        if not method.makes and target is None:
            return []
        traits = dict.fromkeys(trait for task in tasks for trait in task.traits)
        found = [Target(levels={t: v}) for t in traits for v in (1.0, -1.0)]
    elif number := drawn(target):
        traits = dict.fromkeys(trait for task in tasks for trait in task.traits)
        found = list(profiles(tuple(traits), number, seed))
    else:
        assert target is not None
        found = [Target.parse(target)]
    for aim in found:
        if aim and not aim.aims <= method.targets:
            raise UnsupportedControl(
                f"the method {method.name} cannot aim at {aim.name}; it takes {', '.join(sorted(method.targets))}"
            )
    return found


def drawn(target: str | None) -> int:
    """How many profiles `--target profiles[:N]` asks for; 0 for any other target."""
    word, colon, count = (target or "").partition(":")
    if word.strip().lower() != "profiles":
        return 0
    if colon and not count.strip().isdigit():
        raise TraitbenchUsage(
            f"--target {target}: expected profiles or profiles:N with a whole number N, e.g. profiles:100"
        )
    number = int(count) if colon else PROFILES
    if number < PROFILES:
        raise TraitbenchUsage(
            f"--target {target}: {number} profiles are too few to correlate traits; expected at least {PROFILES}"
        )
    return number


def profiles(traits: Sequence[Trait], number: int, seed: int) -> Iterator[Target]:
    """Draw `number` targets on all `traits`, every level independent and uniform on [-1, 1] in steps of .01.

    Since the levels do not correlate, a correlation between the traits that the model then shows is its own.
    """
    draw = random.Random(f"profiles {seed}")
    for _ in range(number):
        yield Target(levels={trait: draw.randint(-100, 100) / 100 for trait in traits})
