"""What is never printed: keys and passwords, which come from the environment only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BeforeValidator, ValidationInfo

from traitbench.errors import TraitbenchUsage

__all__ = ["KEY", "MASK", "from_environment", "is_key", "keyless", "masked", "refuse_keys", "shown"]

KEY = "TRAITBENCH_API_KEY"
"""The environment variable that holds the key of any server."""
MASK = "***"
"""What stands in the place of a key."""

_WORDS = (
    "api_?keys?|keys?|token|(?:api|access|auth|bearer|hf|refresh|secret)[_-]?tokens|secrets?|passwords?|passwd|"
    "passphrase|pwd|auth|authorization|bearer|credentials?|headers?"
)
_NAME = re.compile(
    rf"(?:^|[_.\s-])(?:{_WORDS})$|apikeys?$|(?-i:[a-z](?:Keys?|Token|Secret|Password|Headers?|Authorization)$)", re.I
)
"""api_key, hf-token, clientSecret, but not max_tokens, keyed or key_env."""
_SPECIAL = re.compile(r"(?:^|_)(?:think_(?:start|end)|bos|eos|pad|unk|mask|sep|cls)_token$", re.I)
"""Tokens of a vocabulary."""
_HELD = (KEY, "OPENAI_API_KEY", "HF_TOKEN")
"""Variables whose values are masked wherever they turn up."""
_VARIABLE = re.compile(r"env:[A-Za-z_]\w*")
"""In the place of a key: the variable of the environment that holds it."""
_USER = re.compile(r"(?<=://)\S+(?=@)")
"""A password may hold a slash or a second @."""
_BEARER = re.compile(r"\b(bearer[\s:]+)[^\s\"',]+", re.I)
_PAIR = re.compile(
    rf"((?:^|[?&#;,\s{{\[(\"'])(?:[^=:&#;?,\s\"']*[_.-])?(?:{_WORDS})(?:\s*=\s*|[\"']\s*:\s*|:(?=[^\s/])))"
    r"(\"[^\"]*\"|'[^']*'|[^&#;,\s\"'\]})]+)",
    re.I,
)
"""In a text: api_key=x, in an address or before one, and "api_key": "x"."""
_SHAPE = re.compile(
    r"\b(?:(?:sk|hf|gsk|xai|gh[opsu]|glpat|github_pat|r8|pplx)[-_][A-Za-z0-9_-]{16,}|A[KS]IA[0-9A-Z]{16}|"
    r"AIza[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)"
)
"""What the keys of common vendors look like, and signed tokens (JWT)."""


def is_key(name: str) -> bool:
    """Tell by its name whether a setting holds a key or a password."""
    name = name.strip()
    return _NAME.search(name) is not None and _SPECIAL.search(name) is None


def masked(value: Any, name: str = "") -> Any:
    """Copy `value`, of the setting `name`, with its keys masked: by names of settings, in addresses, and by shape."""
    if isinstance(value, Mapping):
        return {masked(key): masked(each, str(key)) for key, each in value.items()}
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
    for pattern in (_BEARER, _PAIR):
        value = pattern.sub(rf"\1{MASK}", value)
    return _SHAPE.sub(MASK, _USER.sub(MASK, value))


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's values as they may be printed and written: those that hold settings of others are masked."""
    return {key: masked(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def refuse_keys(flag: str, values: Mapping[str, Any], declared: Collection[str] = (), variables: bool = True) -> None:
    """Raise TraitbenchUsage for the first of `values` that is a key; the message holds its name and no value.

    `declared` are names that are settings all the same. `variables`: whether `env:VARIABLE` may stand for a key.
    """
    for name, value in values.items():
        told = masked(name)
        named = is_key(name) and name not in declared and value is not None and not isinstance(value, bool)
        if told == name and (not named or (variables and _VARIABLE.fullmatch(str(value)))):
            continue
        lm_eval = f"; for a model of lm-eval's write {told}=env:VARIABLE" if told == name and variables else ""
        where = (
            f"put it into the environment variable {KEY} for an endpoint (or into another one, which key_env=NAME "
            f"names), HF_TOKEN for the hub{lm_eval}"
        )
        raise TraitbenchUsage(
            f"--{flag} {told}: a key is not taken from the command line or a file, where others can read it; "
            f"{where if flag in ('model_args', 'judge_args') else 'leave it out'}"
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


def keyless(declared: Callable[[Mapping[str, Any]], Collection[str]] = lambda _: ()) -> BeforeValidator:
    """Of a record's field that holds settings of others: none of them may be a key.

    `declared`: from the fields before it, the names that are settings whatever they look like.
    """

    def check(values: Any, field: ValidationInfo) -> Any:
        held = values if isinstance(values, Mapping) else {}
        if any(is_key(str(name)) or masked(name) != name for name in held):
            refuse_keys(str(field.field_name), held, declared(field.data))
        return values

    return BeforeValidator(check)
