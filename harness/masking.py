"""Keys and passwords: they come from the environment only, and what may be one is never printed or written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator, ValidationInfo

from traitbench.errors import TraitbenchUsage

__all__ = ["KEY", "KEYLESS", "MASK", "from_environment", "is_key", "masked", "refuse_keys", "shown"]

KEY = "TRAITBENCH_API_KEY"
"""The environment variable that holds the key of any server."""
MASK = "***"
"""What stands in the place of a key."""

_WORDS = "key|apikey|token|secret|password|passwd|passphrase|pwd|auth|authorization|bearer|credentials?"
_NAME = re.compile(rf"(?:^|[_.\s-])(?:{_WORDS})$|apikey$|(?-i:[a-z](?:Key|Token|Secret|Password)$)", re.I)
"""api_key, hf-token, clientSecret, but not max_tokens, keyed or key_env."""
_HELD = (KEY, "OPENAI_API_KEY", "HF_TOKEN")
"""Variables whose values are masked wherever they turn up."""
_VARIABLE = re.compile(r"env:[A-Za-z_]\w*")
"""In the place of a key: the variable of the environment that holds it."""
_USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY = re.compile(rf"([?&](?:[^=&#\s]*[_.-])?(?:{_WORDS})=)[^&#\s]+", re.I)
_SHAPE = re.compile(r"\b(?:sk|hf|gsk|xai|ghp|glpat)[-_][A-Za-z0-9_-]{16,}")
"""What the keys of common vendors look like."""


def is_key(name: str) -> bool:
    """Tell by its name whether a setting holds a key or a password."""
    return _NAME.search(name.strip()) is not None


def masked(value: Any, name: str = "") -> Any:
    """Copy `value`, of the setting `name`, with its keys masked: by names of settings, in addresses, and by shape."""
    if isinstance(value, Mapping):
        return {key: masked(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each, name) for each in value]
    if value in (None, "") or isinstance(value, bool):
        return value
    if isinstance(value, str) and _VARIABLE.fullmatch(value):
        return value
    # A key typed where the name of its variable belongs.
    misplaced = name.lower().endswith("_env") and re.fullmatch(r"[A-Za-z_]\w*", str(value)) is None
    if misplaced or is_key(name):
        return MASK
    if not isinstance(value, str):
        return value
    for held in filter(None, (os.environ.get(variable, "").strip() for variable in _HELD)):
        value = value.replace(held, MASK)
    return _SHAPE.sub(MASK, _QUERY.sub(rf"\1{MASK}", _USER.sub(MASK, value)))


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's values as they may be printed and written: those that hold settings of others are masked."""
    return {key: masked(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def refuse_keys(flag: str, values: Mapping[str, Any]) -> None:
    """Raise TraitbenchUsage for the first of `values` that is a key and no `env:VARIABLE`; the message has no value."""
    for name, value in values.items():
        if is_key(name) and not _VARIABLE.fullmatch(str(value)):
            raise TraitbenchUsage(
                f"--{flag} {name}: a key is not taken from the command line or a file, where others can read it; put "
                f"it into the environment variable {KEY} for a server (or into another one, which key_env=NAME names), "
                "HF_TOKEN for the hub"
            )


def from_environment(name: str, value: Any) -> str:
    """Read the key of the setting `name` from the variable that its value, `env:VARIABLE`, names.

    TraitbenchUsage where it names none, or one that is not set.
    """
    variable = str(value).partition(":")[2]
    if not _VARIABLE.fullmatch(str(value)) or not os.environ.get(variable):
        raise TraitbenchUsage(
            f"--model_args {name}: a key is not taken from the command line, where others can read it, and arguments "
            f"are kept in files; put it into a variable of the environment and write {name}=env:VARIABLE"
        )
    return os.environ[variable]


def _keyless(values: Any, field: ValidationInfo) -> Any:
    refuse_keys(str(field.field_name), values if isinstance(values, Mapping) else {})
    return values


KEYLESS = BeforeValidator(_keyless)
"""Of a record's field that holds settings of others: none of them may be a key."""
