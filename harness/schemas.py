"""JSON Schemas of the files a run writes; `python -m traitbench.schemas` writes them beside this module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from traitbench.leaderboard import Leaderboard
from traitbench.runs.results import Results, UnknownBlock
from traitbench.samples import Sample
from traitbench.tasks import ACROSS, TASKS
from traitbench.tasks.block import Block
from traitbench.types import Record

__all__ = ["SCHEMAS", "path", "text"]

SCHEMAS: dict[str, type[Record]] = {"results": Results, "samples": Sample, "leaderboard": Leaderboard}
"""Name -> the record of one file, or of one line of samples."""


def path(name: str) -> Path:
    """Where the schema ships."""
    return Path(__file__).with_name(f"{name}.schema.json")


def text(name: str) -> str:
    """The schema as it should ship."""
    schema = SCHEMAS[name].model_json_schema(by_alias=True)
    if SCHEMAS[name] is Results:
        _told_apart(schema, "tasks", [TASKS.load(kind).block() for kind in TASKS.shipped])
        _told_apart(schema, "across", [b for kind in ACROSS.shipped if (b := ACROSS.load(kind).block())])
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def _told_apart(schema: dict[str, Any], field: str, blocks: list[type[Block]]) -> None:
    """Say of a field of blocks what each kind that ships holds; a block of another kind holds what it likes."""
    kinds = []
    for block in blocks:
        mine = block.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        _define(schema["$defs"], mine.pop("$defs", {}))
        # Pydantic takes what has a default for optional; without its kind nobody could tell what a block is.
        mine["required"] = sorted({*mine.get("required", ()), "kind"})
        _define(schema["$defs"], {block.__name__: mine})
        kinds.append({"$ref": f"#/$defs/{block.__name__}"})
    names = sorted(str(block.model_fields["kind"].default) for block in blocks)
    other = UnknownBlock.model_json_schema(by_alias=True)
    other["properties"]["kind"] = {"type": "string", "not": {"enum": names}}
    schema["properties"][field]["additionalProperties"] = {"anyOf": [*kinds, other]}


def _define(held: dict[str, Any], more: dict[str, Any]) -> None:
    """Add definitions; ValueError where two records of one name differ, of which one would take the other's place."""
    for name, definition in more.items():
        if held.setdefault(name, definition) != definition:
            raise ValueError(f"two records of the results are called {name}; rename one of them")


if __name__ == "__main__":
    for each in SCHEMAS:
        path(each).write_text(text(each), encoding="utf-8")
