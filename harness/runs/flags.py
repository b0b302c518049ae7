"""From values by the names of flags to a Plan, with the same errors on the command line, in a file and in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from traitbench.errors import TraitbenchUsage, UnknownName, refuse_others, unknown
from traitbench.masking import masked
from traitbench.runs.plan import Plan

__all__ = ["LISTS", "listed", "plan_of"]

LISTS = ("tasks", "include_path", "scoring", "orders", "symbols", "contexts", "coefs", "side_effects", "judge")
"""Flags that take several values, written with commas between."""
_EXPECTED = {
    "batch_size": "expected auto, which finds the batch, or a whole number from 1 on",
    "seed": "expected one integer, which all draws follow",
}
"""Of flags that take more elsewhere: lm-eval has auto:N, and a seed each of four libraries."""
_MAY_BE_EMPTY = ("include_path", "coefs", "side_effects", "judge")


def listed(value: Any) -> Any:
    """`a,b` as a list; what is no text stays as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _written(value: Any) -> Any:
    """Paths as text, wherever in `value` they stand: Python's users have objects where files and flags have words."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return {key: _written(each) for key, each in value.items()}
    return [_written(each) for each in value] if isinstance(value, list | tuple) else value


def _several(value: Any) -> Any:
    """The value of a flag that takes several: a single one is a list of one."""
    value = listed(value)
    return [value] if isinstance(value, int | float) else value


def plan_of(values: Mapping[str, Any], dashes: str = "--", help: str = "; see `traitbench run --help`") -> Plan:
    """Check `values` (flag -> value; those left out have Plan's defaults) and make the plan of them.

    UnknownName with a suggestion for a flag or a value that does not exist, TraitbenchUsage for a wrong value.
    `dashes` stand before a flag in an error, and `help` behind it.
    """
    refuse_others("flag", map(masked, values), Plan.model_fields)
    given = {key: _several(_written(value)) if key in LISTS else _written(value) for key, value in values.items()}
    if given.get("batch_size") == "auto":
        given["batch_size"] = None
    for key in LISTS:
        if key not in _MAY_BE_EMPTY and given.get(key) in ([], ()):
            raise TraitbenchUsage(f"{dashes}{key} is empty; name at least one{help}")
    try:
        return Plan.model_validate(given)
    except ValidationError as error:
        raise _usage(error, dashes, help) from None


def _usage(error: ValidationError, dashes: str, help: str) -> TraitbenchUsage | UnknownName:
    first = error.errors()[0]
    flag, value = str(first["loc"][0]), masked(first["input"], str(first["loc"][-1]))
    allowed = (first.get("ctx") or {}).get("expected", "")
    if first["type"] == "literal_error" and isinstance(value, str):
        names = [word.strip("' ") for word in allowed.replace(" or ", ",").split(",")]
        return unknown(f"value of {dashes}{flag}", value, names)
    told = _EXPECTED.get(flag) or first["msg"].removeprefix("Value error, ")
    return TraitbenchUsage(f"{dashes}{flag} {value!r}: {told}{help}")
