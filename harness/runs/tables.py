"""Everything a reader of one run needs, as tables: what each task shows, what was fitted, what joins the tasks."""

from __future__ import annotations

from traitbench.runs.fitting import choices, finds, trainings
from traitbench.runs.reading import tables as reading
from traitbench.runs.results import Results
from traitbench.runs.side_effects.tables import tables as side_effects
from traitbench.tables import Table
from traitbench.tasks import ACROSS, views_of
from traitbench.tasks.block import Block

__all__ = ["tables"]


def tables(results: Results) -> list[Table]:
    """The tables of each task, headed by model, method and task; then those of the whole run."""
    out = []
    # Of a method with many settings those that were changed.
    config = results.method["config"]
    named = {k: v for k, v in config.items() if k not in ("k", "words")} if len(config) < 8 else {}
    settings = ", ".join(f"{k}={v}" for k, v in {**named, **results.method["settings"]}.items() if v is not None)
    for task, block in results.tasks.items():
        head = f"{results.model_name} · {results.method['name']}{f' ({settings})' if settings else ''} · {task}"
        mine = views_of(block.kind).tables(task, block, results)
        if mine:
            out += [mine[0].model_copy(update={"title": f"{head}\n{mine[0].title}"}), *mine[1:]]
    joined = [table for name, block in results.across.items() if name in ACROSS for table in _joined(name, block)]
    damage = side_effects(results.side_effects, results.conditions)
    fits = [*finds(results), *choices(results), *trainings(results)]
    return [*out, *damage, *fits, *reading(results.reading), *joined]


def _joined(name: str, block: Block) -> list[Table]:
    return ACROSS.load(name)().tables(block)
