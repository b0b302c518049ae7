"""Other tools: our controlled model and our questionnaires in lm-eval and Inspect, and runs in their formats.

Each module but this one may import the tool it is for, so a name is looked up when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traitbench.catalog import Catalog

__all__ = ["FORMATS", "PATHS"]

FORMATS: Catalog[Callable[..., list[Path]]] = Catalog(
    "format",
    {
        "eee": "traitbench.export.every_eval_ever:every_eval_ever",
        "hf": "traitbench.export.eval_results:eval_results",
        "inspect": "traitbench.export.inspect_log:inspect_logs",
    },
)
"""Name -> what writes a results file in that format below a folder, and returns the files made; `hf` also takes a
`dataset_id`."""

PATHS: Catalog[Callable[..., Path]] = Catalog(
    "path",
    {
        "inspect-register": "traitbench.export.inspect_register:entries",
        "lm-eval": "traitbench.export.lm_tasks:lm_tasks",
    },
)
"""Tool -> what gives the folder in which it finds our questionnaires; `inspect-register` takes a `source`."""
