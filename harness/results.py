"""The results file of a run: lm-eval's keys where they exist, our own blocks beside them, all from the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from traitbench.samples import Condition, Sample, answer
from traitbench.scorecard import Scorecard, Verdict, scorecard, verdict
from traitbench.scoring import item_values, scale_scores
from traitbench.statistics.style import Style, response_style
from traitbench.types import Mode, Record, Score

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["SCHEMA_VERSION", "Facts", "Results", "summarise"]

SCHEMA_VERSION = 1


class Facts(Record):
    """What a run knows besides its samples."""

    model_name: str
    """As tables show it."""
    model_source: str
    """The backend."""
    model: dict[str, Any]
    """The backend's identity: weights, revision, precision, chat template."""
    method: dict[str, Any]
    """name, version, config and the label of the row."""
    conditions: list[Condition]
    controls: dict[str, list[dict[str, str]]]
    """Condition -> the control's messages."""
    config: dict[str, Any]
    """The plan, as `--config` takes it."""
    administration: dict[str, Any]
    git_hash: str | None = None
    date: float = 0.0
    """Seconds since 1970, as in lm-eval."""
    total_evaluation_time_seconds: float = 0.0
    cost: dict[str, Any] = {}
    warnings: list[str] = []


class Results(Facts):
    """results_{date}.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: int = SCHEMA_VERSION
    results: dict[str, dict[str, Any]]
    """task or task@condition -> "trait,mode" and "trait_stderr,mode"."""
    configs: dict[str, dict[str, Any]]
    versions: dict[str, str]
    n_shot: dict[str, int] = Field(alias="n-shot")
    higher_is_better: dict[str, dict[str, None]]
    """A trait level is neither good nor bad: always null."""
    n_samples: dict[str, dict[str, int]] = Field(alias="n-samples")
    n_responses: dict[str, int]
    """task -> lines of its samples file."""
    n_failed: dict[str, int]
    """task -> calls that ended in an error; `run` then exits with 3."""
    task_hashes: dict[str, str]
    uncertainty: dict[str, Any]
    scores: dict[str, dict[str, dict[Mode, list[Score]]]]
    """task -> condition -> mode -> a score a trait."""
    response_style: dict[str, dict[str, dict[Mode, Style]]]
    """task -> condition, and "all" for every condition together -> mode; none for statement."""
    scorecard: dict[str, dict[Mode, Scorecard]]
    verdict: dict[str, dict[Mode, Verdict]]


def summarise(facts: Facts, samples: Mapping[str, Sequence[Sample]], inventories: Mapping[str, Inventory]) -> Results:
    """Compute every number of a run from its samples (task -> samples). No model, no randomness but the seed's."""
    iterations, seed = int(facts.config["bootstrap_iters"]), int(facts.config["seed"])
    respondents = int(facts.administration["respondents"])
    table: dict[str, dict[str, Any]] = {}
    scores: dict[str, dict[str, dict[Mode, list[Score]]]] = {}
    styles: dict[str, dict[str, dict[Mode, Style]]] = {}
    cards: dict[str, dict[Mode, Scorecard]] = {}
    verdicts: dict[str, dict[Mode, Verdict]] = {}
    for task, rows in samples.items():
        inventory = inventories[task]
        asked = {row.item for row in rows}
        items = [item for item in inventory.items if item.id in asked]
        modes = list(dict.fromkeys(row.scoring for row in rows))
        scores[task] = {condition.name: {} for condition in facts.conditions}
        styles[task] = {name: {} for name in (*scores[task], "all")}
        cards[task], verdicts[task] = {}, {}
        for mode in modes:
            by_condition = {
                c.name: [r for r in rows if r.condition == c.name and r.scoring == mode] for c in facts.conditions
            }
            values = {name: item_values(mine, items) for name, mine in by_condition.items()}
            for name, mine in by_condition.items():
                reference = values[facts.conditions[0].name] if name != facts.conditions[0].name else None
                scored = scale_scores(values[name], inventory, items, mode, reference)
                scores[task][name][mode] = scored
                key = task if name == facts.conditions[0].name else f"{task}@{name}"
                for score in scored:
                    line = table.setdefault(key, {"alias": key})
                    line[f"{score.trait},{mode}"], line[f"{score.trait}_stderr,{mode}"] = score.value, score.se
                if mode != "statement":
                    styles[task][name][mode] = _style(mine, inventory)
            if mode != "statement":
                styles[task]["all"][mode] = _style([r for r in rows if r.scoring == mode], inventory)
            cards[task][mode] = scorecard(values, facts.conditions, inventory, items, mode, iterations, seed)
            verdicts[task][mode] = verdict(
                mode, styles[task]["all"].get(mode), cards[task][mode].contrasts, respondents
            )
    counts = {
        t: {"original": len(inventories[t].items), "effective": len({r.item for r in rows})}
        for t, rows in samples.items()
    }
    known: dict[str, Any] = {"n-shot": dict.fromkeys(samples, 0), "n-samples": counts}
    known |= {name: getattr(facts, name) for name in Facts.model_fields}
    return Results(
        results=table,
        configs={t: {"task": t, "name": i.name, "citation": i.citation, "licence": i.licence}
                 for t, i in inventories.items()},
        versions={task: inventory.version for task, inventory in inventories.items()},
        higher_is_better={task: dict.fromkeys(inventories[task].traits) for task in samples},
        n_failed={task: sum(r.status == "error" for r in rows) for task, rows in samples.items()},
        n_responses={task: len(rows) for task, rows in samples.items()},
        task_hashes={task: _task_hash(rows) for task, rows in samples.items()},
        uncertainty={
            "level": 0.95, "clusters": "items", "strata": "key", "distribution": "t, items - keys degrees of freedom",
            "leakage_bootstrap_iters": iterations, "seed": seed,
        },
        scores=scores, response_style=styles, scorecard=cards, verdict=verdicts,
        **known,
    )  # fmt: skip


def _style(rows: Sequence[Sample], inventory: Inventory) -> Style:
    return response_style([answer(r) for r in rows], inventory.response_scale.min, inventory.response_scale.max)


def _task_hash(rows: Sequence[Sample]) -> str:
    """Hash of the documents and the grid they were asked in, in order: the same where two runs asked the same."""
    first = rows[0].condition if rows else ""
    asked = [
        (r.doc_hash, r.scoring, r.order, r.symbols, r.template, r.respondent, r.repeat)
        for r in rows
        if r.condition == first
    ]
    return hashlib.sha256(repr(asked).encode()).hexdigest()
