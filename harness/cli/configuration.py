"""From flags and a --config file to a Plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from traitbench.errors import BadData, TraitbenchUsage, UnknownName, unknown
from traitbench.runs.plan import Plan

__all__ = ["as_yaml", "from_command_line", "pairs"]

_LISTS = ("tasks", "include_path", "scoring", "orders", "symbols", "coefs")
_PAIRS = ("model_args", "method_args", "gen_kwargs")


def pairs(text: str, flag: str) -> dict[str, Any]:
    """Read `k=v,k2=[a,b]`; values are read as YAML does (numbers, true, false, null, lists), else they are text."""
    out: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in re.split(r",(?![^\[]*\])", text))):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UnknownName(f"--{flag} holds {part!r}; expected name=value pairs with commas between, e.g. a=1,b=x")
        try:
            out[key.strip()] = yaml.safe_load(value) if value.strip() else ""
        except yaml.YAMLError:
            out[key.strip()] = value.strip()
    return out


def from_command_line(flags: Mapping[str, Any]) -> Plan:
    """Merge the file of --config and the flags that were given; the flags win. UnknownName for a wrong key."""
    given = {k: v for k, v in flags.items() if k in Plan.model_fields and v is not None}
    values: dict[str, Any] = _file(Path(flags["config"])) if flags.get("config") else {}
    for key, value in given.items():
        if key in _PAIRS:
            values[key] = {**values.get(key, {}), **pairs(value, key)}
        elif key in _LISTS:
            values[key] = [part.strip() for part in value.split(",") if part.strip()]
        else:
            values[key] = value
    if values.get("batch_size") == "auto":
        values["batch_size"] = None
    for key in _LISTS:
        if key not in ("include_path", "coefs") and values.get(key) in ([], ()):
            raise TraitbenchUsage(f"--{key} is empty; name at least one, see `traitbench run --help`")
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        raise _usage(error) from None


def _usage(error: ValidationError) -> Exception:
    first = error.errors()[0]
    flag, value = str(first["loc"][0]), first["input"]
    allowed = (first.get("ctx") or {}).get("expected", "")
    if first["type"] == "literal_error" and isinstance(value, str):
        names = [word.strip("' ") for word in allowed.replace(" or ", ",").split(",")]
        return unknown(f"value of --{flag}", value, names)
    return TraitbenchUsage(f"--{flag} {value!r}: {first['msg']}; see `traitbench run --help`")


def _file(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadData(f"cannot read --config {path}: {error.strerror}; give a YAML or JSON file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadData(f"--config {path} is neither YAML nor JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BadData(
            f"--config {path} holds no keys; expected e.g. `model: smollm2`; --show_config prints a whole one"
        )
    values = {str(key).replace("-", "_"): value for key, value in raw.items()}
    for key in values:
        if key not in Plan.model_fields:
            raise unknown(f"key in {path}", key, Plan.model_fields)
    for key in _LISTS:
        if isinstance(values.get(key), str):
            values[key] = [part.strip() for part in values[key].split(",") if part.strip()]
    for key in _PAIRS:
        if isinstance(values.get(key), str):
            values[key] = pairs(values[key], key)
    return values


def as_yaml(plan: Plan) -> str:
    """The plan as a file that --config takes."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False)
