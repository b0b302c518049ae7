"""The questionnaires as tasks of lm-eval: a folder for `lm_eval run --include_path`, the same whenever it is written.

Beside them lies the reasoning set, which is lm-eval's from the start.

An item is asked as a run of traitbench asks it first: choice scoring, options in the order of the scale, letters, the
first wording. Each spelling of an option is a choice of lm-eval's, so that its samples hold the same log-probabilities.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from traitbench import inventories
from traitbench.export import lm_functions
from traitbench.export.shelf import shelved
from traitbench.runs import reasoning
from traitbench.tasks.administration import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Choose

__all__ = ["files", "lm_tasks"]

_FORMS = {"": "with --apply_chat_template", "_plain": "for models without a chat template"}
"""Ending of a task's name -> what it is for: the prompts differ in the cue behind the item."""


class _Dumper(yaml.SafeDumper):
    """YAML that can name a function of the file beside it, as lm-eval reads it."""


class _Function(str):
    """The name of such a function."""


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))


def lm_tasks() -> Path:
    """Write the tasks to the cache, unless they are there, and return their folder."""
    return shelved("lm-eval", files())


def files() -> dict[str, str]:
    """Path of each file -> what stands in it. Of instruments whose texts are restricted there is none."""
    found = {"functions.py": Path(lm_functions.__file__).read_text("utf-8")}
    found |= {f"reasoning/{name}": text for name, text in reasoning.files().items()}
    for name in inventories.names():
        inventory = inventories.load(name, texts=False)
        if inventory.restricted:
            continue
        for ending, use in _FORMS.items():
            task = f"traitbench_{name}{ending}"
            found[f"{name}{ending}.json"] = json.dumps(_items(inventory, plain=bool(ending)), indent=1) + "\n"
            found[f"{task}.yaml"] = f"# {inventory.name}, {use}. {inventory.licence}\n{_task(task, inventory, ending)}"
    return found


def _items(inventory: inventories.Inventory, plain: bool) -> list[dict[str, Any]]:
    """The items as lm-eval's documents."""
    grid = Administration(scoring=("choice",), orders=("forward",), symbols=("letters",), templates=1)
    rows = []
    for request in Questionnaire(inventory, grid).requests(0):
        assert isinstance(request, Choose) and len(request.messages) == 1
        prompt, doc = request.messages[0].content, request.doc
        rows.append({
            "item": doc.item,
            "trait": doc.trait,
            "facet": doc.facet or "",
            "keyed": doc.keyed,
            "prompt": f"{prompt}\n{request.cue}" if plain else prompt,
            "spellings": [spelling for option in request.options for spelling in option],
            "option_of": [n for n, option in enumerate(request.options) for _ in option],
            "values": list(request.values),
            "target": 0,
        })  # fmt: skip
    return rows


def _task(task: str, inventory: inventories.Inventory, ending: str) -> str:
    metrics = [*inventory.traits, "option_mass"]
    config = {
        "task": task,
        "tag": "traitbench",
        "custom_dataset": _Function("functions.load"),
        "dataset_kwargs": {"file": f"{inventory.id}{ending}.json"},
        "test_split": "test",
        "output_type": "multiple_choice",
        "num_fewshot": 0,
        "doc_to_text": "prompt",
        "doc_to_choice": "spellings",
        "doc_to_target": "target",
        "target_delimiter": "",
        "process_results": _Function("functions.score"),
        # The level of a trait is neither good nor bad.
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": None} for name in metrics],
        "metadata": {"version": inventory.version},
    }
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
