"""Every number of a run, from its samples: a block a task, what joins them, and lm-eval's keys beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.runs.owed import block_owed, finite
from traitbench.runs.results import Results, row_name
from traitbench.runs.side_effects.records import SideEffects
from traitbench.samples import Sample
from traitbench.tasks import ACROSS
from traitbench.tasks.block import Block, Facts
from traitbench.tasks.task import Task

__all__ = ["beside", "summarise"]


def summarise(facts: Facts, tasks: Mapping[str, Task], samples: Mapping[str, Sequence[Sample]]) -> Results:
    """Compute every number of a run from its samples (task -> samples). No model, no randomness but the seed's.

    TraitbenchUsage where a task gives no block, BadData where a number in it is not finite.
    """
    blocks = {name: block_owed(tasks[name], tasks[name].summarise(facts, rows)) for name, rows in samples.items()}
    for name, block in blocks.items():
        finite(name, block.model_dump())
        finite(name, block.metrics())
    joined = {name: ACROSS.load(name)().join(facts, tasks, samples) for name in ACROSS}
    counts = {
        name: {"original": tasks[name].original or len(tasks[name].items), "effective": len({row.item for row in rows})}
        for name, rows in samples.items()
    }
    known: dict[str, Any] = {"n-shot": dict.fromkeys(samples, 0), "n-samples": counts}
    known |= {name: getattr(facts, name) for name in Facts.model_fields}
    return Results(
        results=_table(blocks, facts.conditions[0].name),
        configs={name: {"task": name, **tasks[name].about.model_dump()} for name in samples},
        versions={name: tasks[name].version for name in samples},
        higher_is_better={name: block.higher_is_better() for name, block in blocks.items()},
        n_failed={name: sum(row.status == "error" for row in rows) for name, rows in samples.items()},
        n_responses={name: len(rows) for name, rows in samples.items()},
        task_hashes={name: _task_hash(rows) for name, rows in samples.items()},
        uncertainty={"level": 0.95, "bootstrap_iters": facts.iterations, "seed": facts.seed},
        tasks=blocks,
        across={name: block for name, block in joined.items() if block is not None},
        **known,
    )


def _table(blocks: Mapping[str, Block], baseline: str) -> dict[str, dict[str, Any]]:
    """lm-eval's `results`: task or task@condition -> the block's metrics."""
    table: dict[str, dict[str, Any]] = {}
    for task, block in blocks.items():
        for condition, line in block.metrics().items():
            key = row_name(task, condition, condition == baseline)
            table[key] = {"alias": key, **line}
    return table


def beside(results: Results, found: SideEffects | None) -> Results:
    """Put what was found of lm-eval's tasks into the results: their own part, and lines in lm-eval's `results`."""
    if found is None:
        return results
    table = dict(results.results)
    for task, one in found.tasks.items():
        for condition in (c for c in results.conditions if c.headline):
            key = row_name(task, condition.name, condition is results.conditions[0])
            table[key] = {"alias": key}
            for name, values in one.metrics.items():
                metric, _, part = name.partition(",")
                mine = values[condition.name]
                table[key] |= {name: mine.value, f"{metric}_stderr,{part}": mine.stderr}
    return results.model_copy(update={"results": table, "side_effects": found})


def _task_hash(rows: Sequence[Sample]) -> str:
    """Hash of the documents and the grid they were asked in, in order: the same where two runs asked the same."""
    first = rows[0].condition if rows else ""
    asked = [
        (r.doc_hash, r.scoring, r.order, r.symbols, r.template, r.respondent, r.repeat)
        for r in rows
        if r.condition == first and r.judge is None
    ]
    return hashlib.sha256(repr(asked).encode()).hexdigest()
