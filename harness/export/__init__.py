"""Other tools: our controlled model and our questionnaires in lm-eval and Inspect, runs and controls in their formats.

Each module but this one may import the tool it is for, so a name is looked up when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from traitbench.catalog import Catalog

__all__ = ["CONTROLS", "FORMATS", "PATHS"]

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

CONTROLS: Catalog[Callable[..., list[Path]]] = Catalog(
    "control-format",
    {
        "bias": "traitbench.export.checkpoints:bias",
        "gguf": "traitbench.export.vector_files:gguf",
        "peft": "traitbench.export.plain:peft",
        "pt": "traitbench.export.vector_files:pt",
        "transformers": "traitbench.export.plain:transformers",
    },
)
"""Name -> what writes a stored control (`portable.leaving`) in that format into a folder, and returns what it made;
`model` names the model that it is for, where the control does not say."""

PATHS: Catalog[Callable[..., Path]] = Catalog(
    "path",
    {
        "inspect-register": "traitbench.export.inspect_register:entries",
        "lm-eval": "traitbench.export.lm_tasks:lm_tasks",
    },
)
"""Tool -> what gives the folder in which it finds our questionnaires; `inspect-register` takes a `source`."""
