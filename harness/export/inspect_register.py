"""Entries for the register of Inspect evals, which lists evals that live in repositories of their own.

The format is that of inspect_evals 0.28 (ExternalEvalMetadata): an eval.yaml a task, in a folder that names the entry.
It holds what is known here. Who submits it adds a paper; contributors are left empty.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from traitbench import inventories
from traitbench.errors import TraitbenchUsage
from traitbench.export.shelf import shelved
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire

__all__ = ["entries", "files"]

TASKS = "harness/export/inspect_tasks.py"
"""Where a checkout has the tasks."""
_PLACE = re.compile(r"(https://github\.com/[\w.-]+/[\w.-]+)/(?:tree|commit)/([0-9a-f]{40})/?")


def entries(source: str) -> Path:
    """Write the entries of the public-domain inventories to the cache and return their folder.

    `source` is the address of the repository at the commit to register. TraitbenchUsage where it is none.
    """
    return shelved("inspect-register", files(source))


def files(source: str) -> dict[str, str]:
    """Path of each entry -> what stands in it."""
    place = _PLACE.fullmatch(source.strip())
    if place is None:
        raise TraitbenchUsage(
            f"--source {source or '(missing)'}: the register points at a public repository and one commit; expected "
            "https://github.com/OWNER/NAME/tree/COMMIT with all 40 digits of the commit"
        )
    repository, commit = place.groups()
    lines = _lines()
    found = {}
    for name in inventories.names():
        inventory = inventories.load(name, texts=False)
        if inventory.restricted:
            continue
        told = yaml.safe_dump(_entry(inventory, repository, commit), sort_keys=False, allow_unicode=True, width=10**6)
        form = f"# Source URL in the form of a submission: {repository}/blob/{commit}/{TASKS}#L{lines[name]}\n"
        found[f"register/traitbench_{name}/eval.yaml"] = form + told
    return found


def _entry(inventory: inventories.Inventory, repository: str, commit: str) -> dict[str, Any]:
    asked = Questionnaire(inventory, Administration(scoring=("generate",))).requests(0)
    return {
        "full_title": f"{inventory.name}: a language model's Big Five self-report",
        "common_title": inventory.name,
        "description": _description(inventory),
        "contributors": [],
        "tasks": [{"name": inventory.id, "dataset_samples": len(asked), "task_path": TASKS}],
        "source": {
            "repository_url": repository,
            "repository_commit": commit,
            "comment": "inspect_ai is in the package's extra of the name inspect: uv sync --extra inspect",
        },
    }


def _description(inventory: inventories.Inventory) -> str:
    """At most 80 words, which is what the register asks for."""
    scale, cited = inventory.response_scale, re.match(r"(\w+).*?\((\d{4})\)", inventory.citation)
    by = f" ({cited[1]}{' et al.' if '&' in cited[0] else ''}, {cited[2]})" if cited else ""
    return (
        f"Self-report of a language model on the {len(inventory.items)} public-domain statements of the "
        f"{inventory.name}{by}. Each statement is asked alone, with {len(scale.labels)} labelled options in both "
        "orders. The written answer is read strictly, or, with scoring=choice, the options' expected value is taken "
        f"from log-probabilities. Metrics are levels of {', '.join(inventory.traits)} from {scale.min} to {scale.max}, "
        "minus-keyed items reversed, with standard errors over items; no level is better. Unreadable answers are "
        "unscored."
    )


def _lines() -> dict[str, int]:
    """Task -> the line of its decorator."""
    tree = ast.parse(Path(__file__).with_name("inspect_tasks.py").read_text("utf-8"))
    return {
        node.name: node.decorator_list[0].lineno
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    }
