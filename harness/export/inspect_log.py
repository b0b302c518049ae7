"""A run as logs of Inspect, one a task and condition, written by Inspect itself.

A sample is a response. Its scores are values, not verdicts: the answer on the scale, reversed where the item is
minus-keyed, or nats a token. What may not be passed on is left out as in a published run.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traitbench.errors import MissingExtra
from traitbench.runs.finished import computed, graded
from traitbench.runs.publish import cleared, prompts_of
from traitbench.runs.results import Results, row_name
from traitbench.samples import Condition, Sample
from traitbench.types import digest

__all__ = ["inspect_logs"]


def inspect_logs(path: Path, to: Path) -> list[Path]:
    """Write the results file `path` below `to` as TASK-NUMBER-CONDITION.eval, in a folder of the run's name.

    MissingExtra without Inspect, BadData where the run is damaged.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        raise MissingExtra("logs of Inspect are written by it: pip install 'traitbench[inspect]'") from error
    found = graded(path)
    results = computed(path, found)
    made = []
    for task, rows in found.samples.items():
        restricted = found.tasks[task].restricted
        prompts = {} if restricted or results.persons else prompts_of(path, task, rows)
        for number, condition in enumerate(results.conditions):
            own = [cleared(row, restricted) for row in rows if row.condition == condition.name]
            verdicts = [row for row in own if row.judge is not None]
            own = [row for row in own if row.judge is None]
            name = f"{task}-{number:03d}-{re.sub(r'[^A-Za-z0-9=,.@_-]', '_', condition.name)}.eval"
            place = to / path.resolve().parent.name / name
            place.parent.mkdir(parents=True, exist_ok=True)
            write_eval_log(_log(path, results, task, condition, own, verdicts, prompts), place)
            made.append(place)
    return made


def _log(
    path: Path,
    results: Results,
    task: str,
    condition: Condition,
    rows: Sequence[Sample],
    verdicts: Sequence[Sample],
    prompts: Mapping[str, Sequence[str]],
) -> Any:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, EvalStats

    at = datetime.datetime.fromtimestamp(results.date, datetime.UTC).isoformat()
    run = f"{path.resolve().parent.name}/{path.name}"
    ids = list(dict.fromkeys(_id(row) for row in rows))
    config = results.configs.get(task, {})
    spec = EvalSpec(
        eval_id=digest([run, task, condition.name]),
        run_id=digest(run),
        task_id=digest([task, results.task_hashes[task]]),
        created=at,
        task=f"traitbench/{task}",
        task_version=results.versions[task],
        task_args={"condition": condition.name, **results.administration},
        dataset=EvalDataset(name=task, samples=len(ids), sample_ids=ids),
        model=f"traitbench/{results.model_name}",
        model_args={name: value for name, value in results.model.items() if isinstance(value, str | bool | int)},
        config=EvalConfig(limit=_limit(results), epochs=max((row.repeat + 1 for row in rows), default=1)),
        packages={"traitbench": _version()},
        metadata={
            "run": run,
            "condition": condition.model_dump(mode="json", exclude_defaults=True),
            "method": results.method,
            "score_direction": "none",
            "citation": config.get("citation", ""),
            "licence": config.get("licence", ""),
            "contaminated_items": results.contaminated.get(task, 0),
            "warnings": results.warnings,
        },
    )
    scores = _scores(results, task, condition, rows)
    judged = _by_reply(verdicts)
    return EvalLog(
        status="success",
        eval=spec,
        results=EvalResults(total_samples=len(rows), completed_samples=len(rows), scores=scores),
        stats=EvalStats(started_at=at, completed_at=at),
        samples=[_sample(row, prompts.get(row.prompt_hash, ()), results.model_name, judged) for row in rows],
    )


def _id(row: Sample) -> str:
    """Name a cell of the grid, without the repeat, which is Inspect's epoch."""
    cell = (row.scoring, row.item, row.order, row.symbols, row.template, row.respondent, row.fit)
    return "-".join(str(part) for part in cell if part is not None)


def _reply(row: Sample) -> tuple[Any, ...]:
    """Name the place of a reply, and of what judges say of it."""
    return (row.item, row.template, row.respondent, row.repeat, row.fit)


def _by_reply(verdicts: Sequence[Sample]) -> dict[tuple[Any, ...], list[Sample]]:
    out: dict[tuple[Any, ...], list[Sample]] = defaultdict(list)
    for row in verdicts:
        out[_reply(row)].append(row)
    return out


def _verdicts(rows: Sequence[Sample]) -> dict[str, Any]:
    """A score a judge and dimension, mean over the directions of its scale; a comparison of two replies has none."""
    from inspect_ai.scorer import Score

    held: dict[str, list[Sample]] = defaultdict(list)
    for row in rows:
        if row.against is None:
            held[f"{row.judge}/{row.trait}"].append(row)
    out = {}
    for name, mine in held.items():
        values = [row.value_raw for row in mine if row.value_raw is not None]
        reason = ", ".join(dict.fromkeys(row.status for row in mine))
        out[name] = Score(value=sum(values) / len(values)) if values else Score.unscored(reason=reason)
    return out


def _sample(row: Sample, known: Sequence[str], model: str, judged: Mapping[tuple[Any, ...], Sequence[Sample]]) -> Any:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    value = row.value_raw if row.scoring == "statement" else row.value_keyed
    said = {
        "raw": row.value_raw, "option_logprobs": row.option_logprobs, "option_values": row.option_values,
        "option_mass": row.option_mass, "loglik": row.loglik, "tokens": row.tokens,
    }  # fmt: skip
    metadata = {name: held for name, held in said.items() if held is not None}
    if value is None:
        score = Score.unscored(reason=row.status, metadata=metadata)
    else:
        score = Score(value=value, metadata=metadata)
    verdicts = _verdicts(judged.get(_reply(row), ())) if row.scoring == "generate" else {}
    reply = row.resps[0][0] if row.scoring == "generate" and row.resps else None
    output = ModelOutput(model=model)
    if isinstance(reply, str):
        output = ModelOutput.from_content(model, reply, stop_reason="max_tokens" if row.cut else "stop")
        # Inspect draws one, and the same run is to give the same log.
        output.choices[0].message.id = digest([_id(row), row.repeat, row.condition])
    return EvalSample(
        id=_id(row),
        epoch=row.repeat + 1,
        input=known[0] if known else f"sha256:{row.prompt_hash}",
        target="",
        output=output,
        scores={row.scoring: score, **verdicts},
        metadata=row.model_dump(
            mode="json",
            include={"item", "trait", "facet", "keyed", "order", "symbols", "template", "respondent", "fit", "seed",
                     "status", "control_hash", "doc_hash", "prompt_hash"},
        ),
    )  # fmt: skip


def _scores(results: Results, task: str, condition: Condition, rows: Sequence[Sample]) -> list[Any]:
    """The numbers of the results file, a score a scoring mode; those that are missing there are missing here."""
    from inspect_ai.log import EvalMetric, EvalScore

    line = results.results.get(row_name(task, condition.name, condition == results.conditions[0]), {})
    direction = results.higher_is_better.get(task, {})
    out = []
    for mode in dict.fromkeys(row.scoring for row in rows):
        own = [row for row in rows if row.scoring == mode]
        scored = sum((row.value_raw if mode == "statement" else row.value_keyed) is not None for row in own)
        metrics = {}
        for key, value in line.items():
            name, _, part = key.partition(",")
            if part == mode and isinstance(value, int | float):
                told = {"higher_is_better": direction.get(name.removesuffix("_stderr"))}
                metrics[name] = EvalMetric(name=name, value=value, metadata=told)
        out.append(EvalScore(
            name=mode, scorer=f"traitbench/{mode}", scored_samples=scored, unscored_samples=len(own) - scored,
            metrics=metrics,
        ))  # fmt: skip
    return out


def _version() -> str:
    from traitbench import __version__

    return __version__


def _limit(results: Results) -> int | None:
    """How many items a limited run asked; Inspect knows no shares."""
    limit = results.config.get("limit")
    return max(n["effective"] for n in results.n_samples.values()) if isinstance(limit, float) else limit
