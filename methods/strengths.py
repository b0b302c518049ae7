"""The grids that strengths are chosen from, and the limit that holds for what is stored.

A strength can be chosen with another control than the one that is stored: with heads that were fitted without a fold of
the data, at the poles of a target that is graded. The control that is stored is therefore measured once more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from traitbench.errors import TraitbenchUsage
from traitbench.types import Control

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Grid", "bounded"]


def _choice(values: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
    name = str(info.field_name)
    fixed = name.removesuffix("s")
    if info.data.get(fixed) is not None:
        return values
    shown = f"{name}=[{','.join(f'{value:g}' for value in values)}]"
    if strange := [value for value in values if not math.isfinite(value)]:
        raise TraitbenchUsage(f"{shown} holds {strange[0]:g}; expected finite numbers")
    if len(set(values)) < 2:
        holds = f"holds {values[0]:g} alone" if values else "is empty"
        raise TraitbenchUsage(
            f"{shown} {holds}, so there is nothing to choose; expected two or more values, or "
            f"--method_args {fixed}={values[0] if values else 1:g}, which takes one as it is"
        )
    return values


Grid = Annotated[tuple[float, ...], AfterValidator(_choice)]
"""Strengths that are tried: two or more, unless the field of the same name without its s, which stands before, is set.

TraitbenchUsage for fewer different values, and for one that is not finite.
"""


def bounded(
    control: Control, chosen: float, grid: Sequence[float], limit: float, bench: Bench
) -> tuple[float, dict[str, Any]]:
    """Step a `chosen` strength down the `grid` until `control`, as it will be stored, keeps the limit.

    `limit` is the largest perplexity of neutral text, over that without control. Returns the strength, 0 where none
    keeps it, and what the fit's details say of it: its `perplexity`, and the strengths that were too much with theirs,
    `stepped_down`.
    """
    lower = {strength for strength in grid if strength * chosen > 0 and abs(strength) < abs(chosen)}
    over: list[dict[str, float]] = []
    for strength in [chosen, *sorted(lower, key=abs, reverse=True)] if chosen else []:
        found = bench.perplexity(control.at(strength))
        if found <= limit:
            return strength, {"perplexity": round(found, 4), **({"stepped_down": over} if over else {})}
        over.append({"strength": strength, "perplexity": round(found, 4)})
        bench.tell(
            f"strength {strength:g} makes the perplexity of neutral text {found:.2f} times that without; the limit is "
            f"{limit:g}, so it is stepped down"
        )
    return 0.0, {"stepped_down": over} if over else {}
