"""What a control may be asked to aim at: poles, drawn profiles, persons, characters."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.methods.method import Method
from traitbench.tasks.task import Task
from traitbench.types import Target, Trait

__all__ = ["PROFILES", "cast", "drawn", "profiles", "targets"]

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
    elif characters := cast(target, tasks):
        found = list(characters)
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


def cast(target: str | None, tasks: Sequence[Task] = ()) -> list[Target]:
    """List the characters of `--target characters` or `character:NAME,...`; none for any other target.

    All that ship, the poles of traits left out, are meant where persona_consistency is asked without a target. A name
    may be a path (see `characters.load`). UnknownName or BadData for a character that cannot be loaded.
    """
    word, colon, names = (target or "").partition(":")
    word = word.strip().lower()
    asked = any(task.id == "persona_consistency" for task in tasks)
    if word not in ("character", "characters") and not (asked and target in (None, "all")):
        return []
    from traitbench.targets import characters

    if word != "character":
        if colon:
            raise TraitbenchUsage(f"--target {target}: expected characters, or character:NAME, e.g. character:mina")
        return [Target(character=name) for name in characters.names()]
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found:
        raise TraitbenchUsage(
            f"--target {target}: expected character:NAME or character:PATH, e.g. character:mina, or characters for all"
        )
    if twice := [name for name in found if found.count(name) > 1]:
        raise TraitbenchUsage(f"--target {target} names {twice[0]} twice; name each character once")
    for name in found:
        characters.load(name)
    return [Target(character=name) for name in found]


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
