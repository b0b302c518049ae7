"""From flags and a --config file to a Plan."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from traitbench.cli.theirs import model_of
from traitbench.errors import BadData, TraitbenchUsage, UnknownName, refuse_others
from traitbench.files import parsed_yaml, read_text
from traitbench.masking import masked, shown
from traitbench.runs.flags import LISTS, listed, plan_of
from traitbench.runs.plan import Plan

__all__ = ["amount", "as_yaml", "from_command_line", "pairs"]

_PAIRS = ("model_args", "method_args", "gen_kwargs", "judge_args")


def pairs(text: str, flag: str) -> dict[str, Any]:
    """Read `k=v,k2=[a,b]`; values are read as YAML does (numbers, true, false, null, lists), else they are text."""
    out: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in re.split(r",(?![^\[]*\])", text))):
        key, equals, value = part.partition("=")
        if not equals or not key:
            part = masked(part, re.split(r"[:\s]", part)[0])
            raise UnknownName(f"--{flag} holds {part!r}; expected name=value pairs with commas between, e.g. a=1,b=x")
        try:
            out[key.strip()] = parsed_yaml(value) if value.strip() else ""
        except yaml.YAMLError:
            out[key.strip()] = value.strip()
    return out


def amount(text: str | None, flag: str) -> float | dict[str, Any] | None:
    """Read a number, or `k=number,...`; None where the flag was not given. UnknownName for anything else."""
    if text is None or "=" in text:
        return None if text is None else pairs(text, flag)
    try:
        value = float(text)
        if not 0 < value < math.inf:
            raise TraitbenchUsage(f"--{flag} {text}: expected a number above 0, e.g. --{flag} 0.1")
        return value
    except ValueError:
        raise UnknownName(f"--{flag} {text}: expected a number, e.g. --{flag} 0.1, or choice=3,statement=0.1") from None


def from_command_line(flags: Mapping[str, Any]) -> Plan:
    """Merge the file of --config and the flags that were given; the flags win. UnknownName for a wrong key."""
    given = {k: v for k, v in flags.items() if k in Plan.model_fields and v is not None}
    values: dict[str, Any] = _file(Path(flags["config"])) if flags.get("config") else {}
    for key, value in given.items():
        if key in _PAIRS:
            values[key] = {**values.get(key, {}), **pairs(value, key)}
        elif key in LISTS:
            values[key] = listed(value)
        else:
            values[key] = value
    values, wrong = model_of(values)
    if wrong:
        raise TraitbenchUsage(wrong)
    return plan_of(values)


def _file(path: Path) -> dict[str, Any]:
    try:
        raw = parsed_yaml(read_text(path, largest=1 << 20))
    except OSError as error:
        raise BadData(f"cannot read --config {path}: {error.strerror}; give a YAML or JSON file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # What stands there may be a key.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        where = f": {error}" if type(error) is yaml.YAMLError else where
        raise BadData(f"--config {path} is neither YAML nor JSON{where}; give `name: value`, one a line") from None
    if not isinstance(raw, dict):
        raise BadData(
            f"--config {path} holds no keys; expected e.g. `model: smollm2`; --show_config prints a whole one"
        )
    values = {str(key).replace("-", "_"): value for key, value in raw.items()}
    refuse_others(f"key in {path}", map(masked, values), Plan.model_fields)
    for key in _PAIRS:
        if isinstance(values.get(key), str):
            values[key] = pairs(values[key], key)
    return values


def as_yaml(plan: Plan) -> str:
    """The plan as a file that --config takes; what may be a key is masked."""
    return yaml.safe_dump(shown(plan.model_dump(mode="json")), sort_keys=False)
