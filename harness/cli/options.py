"""The options of a plug-in: what can be typed after `name=`, read off the fields of its record.

One source for `traitbench ls methods NAME` and the documentation. Everything is written as it is typed: null, true,
[1.0, 2.0].
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import types
from collections.abc import Iterable, Mapping
from functools import cache
from textwrap import dedent
from typing import Any, Literal, Union, get_args, get_origin

from traitbench.tables import Table
from traitbench.types import Record

__all__ = ["Option", "option_table", "options", "typed"]


class Option(Record):
    """A field of a record, as the command line takes it."""

    name: str
    kind: str
    """What may be typed: `one | each`, `whole number >= 1`, `list of numbers`."""
    default: str
    """As it is typed."""
    meaning: str
    """The string below the field; empty where there is none."""


def options(record: type[Record], names: Iterable[str] | None = None) -> list[Option]:
    """The fields of `record`, those that it declares itself first; `names` keeps some of them."""
    said: dict[str, str] = {}
    for kind in reversed(record.__mro__):
        said |= _declared(kind)
    kept = [name for name in record.model_fields if names is None or name in set(names)]
    own = [name for name in kept if name in _declared(record)]
    out = []
    for name in own + [name for name in kept if name not in own]:
        field = record.model_fields[name]
        out.append(Option(
            name=name,
            kind=_kind(field.annotation, _limits(field.metadata)),
            default="needed" if field.is_required() else typed(field.get_default(call_default_factory=True)),
            # The strings speak Python; on the command line None is null.
            meaning=re.sub(r"\bNone\b", "null", re.sub(r"[ \n]+", " ", said.get(name, ""))).strip(),
        ))  # fmt: skip
    return out


def option_table(title: str, found: Iterable[Option]) -> Table:
    """The options as a table."""
    rows = [[o.name, o.kind, o.default, o.meaning] for o in found]
    return Table(title=title, columns=["option", "type", "default", "meaning"], rows=rows)


def typed(value: Any) -> str:
    """Write a value as --method_args and --model_args read it."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, Mapping):
        return ",".join(f"{key}={typed(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(typed(each) for each in value)}]"
    return json.dumps(value)


_WORDS: dict[Any, str] = {int: "whole number", float: "number", bool: "true | false", str: "text"}
_MANY = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
_SIGNS = {"ge": ">= {:g}", "gt": "> {:g}", "le": "<= {:g}", "lt": "< {:g}", "min_length": "({} or more)"}


def _kind(annotation: Any, limits: str = "") -> str:
    """A type in words; `limits` hold of everything but null."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType) or type(None) in parts:
        some = [_kind(part, limits) for part in parts if part is not type(None)]
        return " | ".join([*dict.fromkeys(some), *(["null"] if type(None) in parts else [])])
    return _plain(annotation) + (f" {limits}" if limits else "")


def _plain(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(typed, parts))
    if origin in (tuple, list):
        inner = _plain(parts[0])
        return f"list of {_MANY.get(inner, inner)}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(metadata: Iterable[Any]) -> str:
    found = [(text, getattr(each, name, None)) for each in metadata for name, text in _SIGNS.items()]
    return ", ".join(text.format(value) for text, value in found if value is not None)


@cache
def _declared(record: type) -> dict[str, str]:
    """The fields that a record declares itself, each with the string below it; pydantic's own record has none."""
    if not issubclass(record, Record) or record is Record:
        return {}
    try:
        (node,) = ast.parse(dedent(inspect.getsource(record))).body
    except (OSError, TypeError, SyntaxError):  # made where no source is kept
        return dict.fromkeys(record.__annotations__, "")
    assert isinstance(node, ast.ClassDef)
    found, last = {}, ""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            last = line.target.id
            found[last] = ""
        elif last and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            found[last] = str(line.value.value)
        else:
            last = ""
    return found
