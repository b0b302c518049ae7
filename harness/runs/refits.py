"""What cannot be fitted several times over (`--fit_seeds`), refused before a model loads."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.errors import TraitbenchUsage
from traitbench.methods import METHODS
from traitbench.methods.method import Method
from traitbench.tasks.task import Task

__all__ = ["check_fits"]


def check_fits(count: int, name: str, method: Method, coefs: Sequence[float], tasks: Sequence[Task]) -> None:
    """Refuse `count` fits of what no seed decides, beside strengths, and on tasks that would mix them up.

    `name` is what the plan calls the method. TraitbenchUsage.
    """
    said = f"--fit_seeds {count}"
    if not method.seeded:
        able = ", ".join(known for known in METHODS if METHODS.load(known).seeded)
        raise TraitbenchUsage(
            f"{said}: the method {name} has no fit that a seed decides; methods that have one: {able}"
        )
    if coefs:
        raise TraitbenchUsage(f"{said} with --coefs: a dose curve is that of one fit; run it without --fit_seeds")
    if strange := [task.id for task in tasks if not task.fits]:
        raise TraitbenchUsage(
            f"{said}: the task {strange[0]} cannot sum up several fits; run it once a --seed, or name inventories only"
        )
