"""A run in the format of Every Eval Ever 0.3: a file a condition, below data/, as its datastore has them.

A control makes another system of a model, so the condition and the control's hash stand with the model. The format has
no word for a metric that is neither better high nor low: `lower_is_better` is then false, and `score_direction` in the
metric's details says none.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from traitbench.runs.finished import computed, graded
from traitbench.runs.results import Results, row_name
from traitbench.samples import Condition, Sample
from traitbench.store import write_json

__all__ = ["every_eval_ever"]

VERSION = "0.3.0"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DIRECTION = {True: "higher", False: "lower", None: "none"}


def every_eval_ever(path: Path, to: Path) -> list[Path]:
    """Write the results file `path` below `to`/data/traitbench; BadData where the run is damaged.

    Names and contents follow from the run alone, so that the same run gives the same files.
    """
    found = graded(path)
    results = computed(path, found)
    made = []
    for condition in results.conditions:
        numbers = [
            number
            for task, rows in found.samples.items()
            for number in _numbers(results, task, condition, [row for row in rows if row.condition == condition.name])
        ]
        if not numbers:
            continue
        told = _told(path, results, condition, numbers)
        name = uuid.UUID(bytes=hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()[:16], version=4)
        developer, _, model = told["model_info"]["id"].partition("/")
        place = to / "data" / "traitbench" / developer / model / f"{name}.json"
        write_json(place, told)
        made.append(place)
    return made


def _told(path: Path, results: Results, condition: Condition, numbers: Sequence[Any]) -> dict[str, Any]:
    from traitbench import __version__

    model, at = _model(results, condition), f"{results.date:.6f}"
    return {
        "schema_version": VERSION,
        "evaluation_id": f"traitbench:{condition.name}/{model['id']}/{at}",
        "evaluation_timestamp": at,
        "retrieved_timestamp": at,
        "source_metadata": {
            "source_name": "traitbench",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
            "additional_details": _strings({"run": f"{path.resolve().parent.name}/{path.name}"}),
        },
        "eval_library": {
            "name": "traitbench",
            "version": __version__,
            "additional_details": _strings({"git_hash": results.git_hash, "schema_version": results.schema_version}),
        },
        "model_info": model,
        "evaluation_results": list(numbers),
    }


def _model(results: Results, condition: Condition) -> dict[str, Any]:
    """The model with what was done to it. One that is not of the hub is called local, and known by its weights."""
    source, hub = str(results.model.get("source") or ""), results.model_source != "scripted"
    flat = re.sub(r"[^A-Za-z0-9._-]+", "-", results.model_name).strip("-.") or "model"
    return {
        "name": results.model_name,
        "id": source if _HUB_ID.fullmatch(source) else f"local/{flat}",
        "inference_engine": {"name": "transformers" if results.model_source == "hf" else results.model_source},
        "additional_details": {
            "deployment_type": "self_deployed",
            "model_availability": "open_weights" if hub else "unknown",
            **_strings({
                "weights": results.model.get("weights"),
                "dtype": results.model.get("dtype"),
                "chat_template": results.model.get("chat_template"),
                "condition": condition.name,
                "control_hash": condition.control_hash,
                "control_method": results.method["name"],
                "control_method_version": results.method["version"],
                "control_settings": results.method["settings"],
                "control_strength": condition.coef,
            }),
        },
    }  # fmt: skip


def _numbers(results: Results, task: str, condition: Condition, rows: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """Each number of the task under the condition; a missing one is left out."""
    first = condition == results.conditions[0]
    line = results.results.get(row_name(task, condition.name, first), {})
    directions, config = results.higher_is_better.get(task, {}), results.configs.get(task, {})
    grid = {name: value for name, value in results.administration.items() if name != "scoring"}
    for key, value in line.items():
        name, _, mode = key.partition(",")
        if name.endswith("_stderr") or not mode or not isinstance(value, int | float):
            continue
        low, high = _bounds(name, mode, rows)
        error = line.get(f"{name}_stderr,{mode}")
        args = {"temperature": grid.get("temperature"), "max_tokens": grid.get("max_tokens")}
        yield {
            "evaluation_result_id": f"{task}/{name}/{mode}/{condition.name}",
            "evaluation_name": f"{task} {name} ({mode})",
            "source_data": {
                "dataset_name": task,
                "source_type": "other",
                "additional_details": _strings({
                    "name": config.get("name"), "version": results.versions[task], "citation": config.get("citation"),
                    "licence": config.get("licence"), "hash": results.task_hashes[task],
                }),
            },
            "metric_config": {
                "metric_id": f"traitbench.{name}.{mode}",
                "metric_name": name,
                "lower_is_better": directions.get(name) is False,
                "score_type": "continuous",
                "min_score": low,
                "max_score": high,
                "additional_details": _strings({"score_direction": _DIRECTION[directions.get(name)], "scoring": mode}),
            },
            "score_details": {
                "score": value,
                "details": _strings({"contaminated_items": results.contaminated.get(task, 0)}),
                **({"uncertainty": {"standard_error": {"value": error}}} if isinstance(error, int | float) else {}),
            },
            "generation_config": {
                **({"generation_args": args} if mode == "generate" else {}),
                "additional_details": _strings({**grid, "seed": results.seed}),
            },
        }  # fmt: skip


def _bounds(name: str, mode: str, rows: Sequence[Sample]) -> tuple[float | str, float | str]:
    """The ends of the response scale for the level of a trait, where there are options; else the number has none."""
    values = [v for row in rows if row.scoring == mode and row.trait == name for v in row.option_values or ()]
    return (min(values), max(values)) if values else ("-Infinity", "Infinity")


def _strings(given: dict[str, Any]) -> dict[str, str]:
    """What is known, as the strings that the format takes."""
    known = {name: value for name, value in given.items() if value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items()}
