"""What a control may be asked to aim at: poles, drawn profiles, persons, characters."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from traitbench.errors import TraitbenchUsage
from traitbench.types import DESIRABILITY, Target, Trait

__all__ = ["PROFILES", "cast", "drawn", "impression", "impressions", "profiles"]

PROFILES = 100
"""Fewest drawn profiles, and the default of `--target profiles`."""
MOST = 10_000
"""Most of them: each is a condition of its own."""


def cast(target: str | None) -> list[Target]:
    """List the characters of `characters` (all that ship, the poles of traits left out) or `character:NAME,...`.

    None for any other target. A name may be a path (see `characters.load`). UnknownName or BadData for a character that
    cannot be loaded.
    """
    word, colon, names = (target or "").partition(":")
    word = word.strip().lower()
    if word not in ("character", "characters"):
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
    if colon and not re.fullmatch(r"[0-9]{1,9}", count.strip()):
        raise TraitbenchUsage(
            f"--target {target}: expected profiles or profiles:N with a whole number N, e.g. profiles:100"
        )
    number = int(count) if colon else PROFILES
    if number < PROFILES:
        raise TraitbenchUsage(
            f"--target {target}: {number} profiles are too few to correlate traits; expected at least {PROFILES}"
        )
    if number > MOST:
        raise TraitbenchUsage(f"--target {target}: {number:,} profiles; expected at most {MOST:,}")
    return number


def impressions(target: str | None, traits: Sequence[Trait]) -> list[Target]:
    """The targets of `--target impression`: all traits at their desirable ends, in between, and at the other ends.

    Nothing for any other target. TraitbenchUsage with fewer than two traits whose desirable end is known.
    """
    if (target or "").strip().lower() != "impression":
        return []
    known = [trait for trait in traits if trait in DESIRABILITY]
    if len(known) < 2:
        raise TraitbenchUsage(
            f"--target impression: {', '.join(known) or 'no trait'} is all that is measured of which it is known what "
            "looks good; expected two traits or more, e.g. --tasks ipip_neo_120"
        )
    return [Target(levels={trait: float(side * DESIRABILITY[trait]) for trait in known}) for side in (1, 0, -1)]


def impression(levels: Mapping[Trait, float]) -> int | None:
    """What a condition with these levels aims at: 1 to look good, -1 to look bad, 0 neither; None: at traits."""
    if len(levels) < 2 or any(trait not in DESIRABILITY for trait in levels):
        return None
    sides = {level * DESIRABILITY[trait] for trait, level in levels.items()}
    return int(sides.pop()) if len(sides) == 1 and sides <= {1.0, 0.0, -1.0} else None


def profiles(traits: Sequence[Trait], number: int, seed: int) -> Iterator[Target]:
    """Draw `number` targets on all `traits`, every level independent and uniform on [-1, 1] in steps of .01.

    Since the levels do not correlate, a correlation between the traits that the model then shows is its own.
    """
    draw = random.Random(f"profiles {seed}")
    for _ in range(number):
        yield Target(levels={trait: draw.randint(-100, 100) / 100 for trait in traits})
