"""JSON Schemas of the files a run writes; `python -m traitbench.schemas` writes them beside this module."""

from __future__ import annotations

import json
from pathlib import Path

from traitbench.leaderboard import Leaderboard
from traitbench.runs.results import Results
from traitbench.samples import Sample
from traitbench.types import Record

__all__ = ["SCHEMAS", "path", "text"]

SCHEMAS: dict[str, type[Record]] = {"results": Results, "samples": Sample, "leaderboard": Leaderboard}
"""Name -> the record of one file, or of one line of samples."""


def path(name: str) -> Path:
    """Where the schema ships."""
    return Path(__file__).with_name(f"{name}.schema.json")


def text(name: str) -> str:
    """The schema as it should ship."""
    return json.dumps(SCHEMAS[name].model_json_schema(by_alias=True), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    for each in SCHEMAS:
        path(each).write_text(text(each), encoding="utf-8")
