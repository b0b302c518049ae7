"""The results file of a run: lm-eval's keys where they exist, our own blocks beside them, all from the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ConfigDict, Field

from traitbench.humans import Reference, loadings
from traitbench.humans.likeness import Human, between_person_sds, likeness
from traitbench.samples import Condition, Sample, answer
from traitbench.statistics.style import Style, response_style
from traitbench.tasks.person_alignment.alignment import Alignment
from traitbench.tasks.person_alignment.rows import align
from traitbench.tasks.persona_consistency.consistency import TASK as PERSONAS
from traitbench.tasks.persona_consistency.consistency import PersonaConsistency, personas
from traitbench.tasks.questionnaire.dose import Dose, doses
from traitbench.tasks.questionnaire.respondents import Grid, Reliability, grid, reliability
from traitbench.tasks.questionnaire.scorecard import Scorecard, Setting, scorecard
from traitbench.tasks.questionnaire.validity import Multimethod, Structure, multimethod, structure
from traitbench.tasks.questionnaire.variance import Variance, variance
from traitbench.tasks.questionnaire.verdict import Verdict, verdict
from traitbench.tasks.scoring import item_values, scale_scores
from traitbench.types import Fit, Mode, Record, Score, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory
    from traitbench.targets.persons import Participants

__all__ = ["SCHEMA_VERSION", "Facts", "Kept", "Results", "summarise"]

SCHEMA_VERSION = 3


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
    fits: dict[str, Fit] = {}
    """Condition -> how its control was fitted, where it was."""
    contaminated: dict[str, int] = {}
    """Task -> how many of its items the method was fitted on; such a run is not ranked."""
    config: dict[str, Any]
    """The plan, as `--config` takes it."""
    administration: dict[str, Any]
    git_hash: str | None = None
    reference: Reference | None = None
    """The user's own sample of people (--reference), as summary figures."""
    persons: dict[str, str] = {}
    """Person aimed at -> digest of their answers, which are not kept here."""
    date: float = 0.0
    """Seconds since 1970, as in lm-eval."""
    total_evaluation_time_seconds: float = 0.0
    """Of the process that wrote this, fits included."""
    cost: dict[str, Any] = {}
    """fit_seconds of all fits, whenever they were made; evaluation_seconds without fits, of this process alone (a run
    that was resumed asked the rest before); peak_memory_bytes of this process; stored_parameters of the adapters."""
    warnings: list[str] = []


class Kept(Facts):
    """What of a results file the numbers are computed from again, whatever version wrote the rest of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    versions: dict[str, str]
    n_responses: dict[str, int]
    samples_sha256: dict[str, str] = {}


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
    samples_sha256: dict[str, str] = {}
    """task -> sha256 of those lines, uncompressed; files of older versions have none, and theirs are not checked."""
    n_failed: dict[str, int]
    """task -> calls that ended in an error; `run` then exits with 3."""
    task_hashes: dict[str, str]
    uncertainty: dict[str, Any]
    scores: dict[str, dict[str, dict[Mode, list[Score]]]]
    """task -> condition -> mode -> a score a trait."""
    response_style: dict[str, dict[str, dict[Mode, Style]]]
    """task -> condition, and "all" for every condition together -> mode; none for statement."""
    reliability: dict[str, dict[Mode, list[Reliability]]]
    """task -> mode -> a scale each, over the simulated respondents of the baseline; empty without them."""
    validity: dict[str, dict[Mode, Structure | None]]
    """Whether the scales differ from each other over those respondents."""
    variance: dict[str, dict[Mode, dict[Trait, Variance]]]
    """Where the variance of each scale's answers comes from, in the baseline."""
    human: dict[str, dict[Mode, Human]]
    """Trait correlations and levels beside people."""
    multimethod: Multimethod | None
    """Instruments and scoring modes beside each other, over the respondents of the baseline."""
    scorecard: dict[str, dict[Mode, Scorecard]]
    alignment: dict[str, dict[Mode, Alignment]] = {}
    """How near the answers come to those of the persons aimed at."""
    dose: dict[str, dict[Mode, list[Dose]]] = {}
    """A curve a target, of methods whose controls have a strength."""
    verdict: dict[str, dict[Mode, Verdict]]
    personas: PersonaConsistency | None = None
    """Task persona_consistency, which is no instrument: it has no scores, scorecard or verdict."""


class _Block(NamedTuple):
    """Everything about one task in one scoring mode."""

    scores: dict[str, list[Score]]
    """Condition -> a score a trait."""
    styles: dict[str, Style]
    """Condition, and "all"; empty for statement."""
    card: Scorecard
    dose: list[Dose]
    answers: Grid
    scales: list[Reliability]
    structure: Structure | None
    variance: dict[Trait, Variance]
    human: Human
    verdict: Verdict


def summarise(
    facts: Facts,
    samples: Mapping[str, Sequence[Sample]],
    inventories: Mapping[str, Inventory],
    participants: Participants | None = None,
) -> Results:
    """Compute every number of a run from its samples (task -> samples). No model, no randomness but the seed's.

    `participants` are the persons that the run aims at, with the answers that it is tested on.
    """
    blocks: dict[str, dict[Mode, _Block]] = {
        task: {mode: _block(facts, rows, inventories[task], mode) for mode in dict.fromkeys(r.scoring for r in rows)}
        if task != PERSONAS
        else {}
        for task, rows in samples.items()
    }
    names = [condition.name for condition in facts.conditions]

    def each(field: str) -> dict[str, dict[Mode, Any]]:
        return {task: {mode: getattr(block, field) for mode, block in mine.items()} for task, mine in blocks.items()}

    counts = {
        t: {"original": len(inventories[t].items), "effective": len({r.item for r in rows})}
        for t, rows in samples.items()
    }
    known: dict[str, Any] = {"n-shot": dict.fromkeys(samples, 0), "n-samples": counts}
    known |= {name: getattr(facts, name) for name in Facts.model_fields}
    grids = {f"{task},{mode}": block.answers for task, mine in blocks.items() for mode, block in mine.items()}
    return Results(
        results=_table(blocks, names),
        configs={t: {"task": t, "name": i.name, "citation": i.citation, "licence": i.licence}
                 for t, i in inventories.items()},
        versions={task: inventory.version for task, inventory in inventories.items()},
        higher_is_better={task: dict.fromkeys(inventories[task].traits) for task in samples},
        n_failed={task: sum(r.status == "error" for r in rows) for task, rows in samples.items()},
        n_responses={task: len(rows) for task, rows in samples.items()},
        task_hashes={task: _task_hash(rows) for task, rows in samples.items()},
        uncertainty={
            "level": 0.95, "clusters": "items", "strata": "key", "distribution": "t, items - keys degrees of freedom",
            "leakage_bootstrap_iters": facts.config["bootstrap_iters"], "seed": facts.config["seed"],
        },
        scores={t: {n: {mode: b.scores[n] for mode, b in mine.items()} for n in names} for t, mine in blocks.items()},
        response_style={
            t: {n: {mode: b.styles[n] for mode, b in mine.items() if n in b.styles} for n in (*names, "all")}
            for t, mine in blocks.items()
        },
        reliability=each("scales"), validity=each("structure"), variance=each("variance"), human=each("human"),
        scorecard=each("card"), dose=each("dose"),
        alignment=_alignments(facts, samples, inventories, participants), verdict=each("verdict"),
        personas=_personas(facts, samples.get(PERSONAS)),
        multimethod=multimethod(grids, {key: inventories[key.rpartition(",")[0]].traits for key in grids}),
        **known,
    )  # fmt: skip


def _block(facts: Facts, every: Sequence[Sample], inventory: Inventory, mode: Mode) -> _Block:
    """Compute one task in one scoring mode from all samples of the task."""
    asked, rows = {row.item for row in every}, [row for row in every if row.scoring == mode]
    items = [item for item in inventory.items if item.id in asked]
    traits = [trait for trait in inventory.traits if any(item.trait == trait for item in items)]
    iterations, seed = int(facts.config["bootstrap_iters"]), int(facts.config["seed"])
    baseline = facts.conditions[0].name
    by_condition: dict[str, list[Sample]] = {c.name: [] for c in facts.conditions}
    for row in rows:
        by_condition[row.condition].append(row)
    values = {name: item_values(mine, items) for name, mine in by_condition.items()}
    reference = {name: None if name == baseline else values[baseline] for name in values}
    scores = {n: scale_scores(raw, inventory, items, mode, reference[n]) for n, raw in values.items()}
    headline = {condition.name for condition in facts.conditions if condition.headline}
    styles = {}
    if mode != "statement":
        styles = {name: _style(mine, inventory) for name, mine in by_condition.items()} | {
            "all": _style([row for row in rows if row.condition in headline], inventory)
        }
    sds = between_person_sds(inventory.id, traits, facts.reference)
    setting = Setting(inventory, items, mode, iterations, seed, sds)
    card = scorecard(values, facts.conditions, setting)
    answers = grid(by_condition[baseline], items, mode)
    scales = reliability(answers, traits)
    shape = structure(answers, scales, loadings(inventory.id))
    damage = [c.perplexity for c in facts.conditions if c.headline and c.perplexity is not None]
    return _Block(
        scores=scores, styles=styles, card=card,
        dose=doses(values, facts.conditions, styles, setting),
        answers=answers, scales=scales, structure=shape,
        variance=variance(answers, traits),
        human=likeness(
            scores, facts.conditions, inventory.id, mode, facts.reference, facts.config.get("norms"), iterations, seed
        ),
        verdict=verdict(mode, styles.get("all"), card, scales, shape, len(inventory.traits), max(damage, default=None)),
    )  # fmt: skip


def _alignments(
    facts: Facts,
    samples: Mapping[str, Sequence[Sample]],
    inventories: Mapping[str, Inventory],
    participants: Participants | None,
) -> dict[str, dict[Mode, Alignment]]:
    """Hold the answers of tasks that ask nothing a method has seen of a person against that person's own."""
    if participants is None:
        return {}
    return {
        task: {
            mode: align(facts.method["name"], facts.conditions, [r for r in rows if r.scoring == mode],
                        inventories[task], participants, facts.config)
            for mode in dict.fromkeys(r.scoring for r in rows)
        }
        for task, rows in samples.items()
        if task == "person_alignment"
    }  # fmt: skip


def _personas(facts: Facts, rows: Sequence[Sample] | None) -> PersonaConsistency | None:
    config = facts.config
    return personas(rows, facts.conditions, int(config["bootstrap_iters"]), int(config["seed"])) if rows else None


def _table(blocks: Mapping[str, Mapping[Mode, _Block]], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """lm-eval's `results`: task or task@condition -> "trait,mode" and "trait_stderr,mode"."""
    table: dict[str, dict[str, Any]] = {}
    for task, mine in blocks.items():
        for mode, block in mine.items():
            for name, scored in block.scores.items():
                key = task if name == names[0] else f"{task}@{name}"
                line = table.setdefault(key, {"alias": key})
                for score in scored:
                    line[f"{score.trait},{mode}"], line[f"{score.trait}_stderr,{mode}"] = score.value, score.se
    return table


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
