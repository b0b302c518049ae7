"""The leaderboard: pure functions over the published results files. Imports no task, method or backend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from traitbench.errors import BadData
from traitbench.leaderboard.tables import preface, tables
from traitbench.runs.folders import without_digest
from traitbench.runs.results import Results
from traitbench.runs.trained import spent
from traitbench.store import check_samples, read_json, samples_file
from traitbench.tables import markdown
from traitbench.tasks.person_alignment.ranking import PersonRow, head, lines, person_rows, persons_hash, ranked
from traitbench.tasks.questionnaire.scorecard import Contrast
from traitbench.types import Mode, Record, digest

__all__ = ["SCHEMA_VERSION", "Entry", "Leaderboard", "Metrics", "build", "published_results", "render", "to_entry"]

SCHEMA_VERSION = 3


class Metrics(Record):
    """One run in one scoring mode."""

    unit: str
    effect: float | None
    """Mean over targets of the shift of the trait aimed at, in the direction aimed at."""
    effect_ci: tuple[float, float] | None
    """From the targets' standard errors: the targets are taken as they are, the items as a sample."""
    effect_sds: float | None
    """The effect in between-person SDs of the same instrument; null for statement, and where none are held."""
    leakage: float | None
    """Root mean square over targets."""
    mean_abs_shift: float | None
    option_mass: float | None
    position_bias: float | None
    acquiescence: float | None
    invalid: float | None
    respondents: int
    """Simulated respondents; 0: the model answered as itself."""
    alpha: float | None
    """Lowest Cronbach alpha of a scale over the simulated respondents."""
    retest: float | None
    """Lowest retest ICC of a scale."""
    split_half: float | None
    """Agreement of two halves of the items on all shifts."""
    human_distance: float | None
    """Off-diagonal Frobenius distance of the trait correlations to `human_reference`. Descriptive, never ranked."""
    human_identity: float | None
    """The same distance for uncorrelated traits."""
    human_reference: str | None
    human_mode: str | None
    """profiles, or paper (over the high and low conditions)."""
    perplexity: float | None
    """Damage: the largest perplexity of neutral text under the edits of a condition as the method made it, over that
    without; null where nothing is edited."""
    dose: float | None
    """Median over those conditions of the size of the edits beside the activations that they change."""
    cautions: int
    """Targets whose check is `caution`."""
    targets: int
    verdict: str
    rank: int | None
    """One plus the runs on the same task and mode whose interval lies wholly above; null where not interpretable, with
    no effect to rank, on part of the items, or contaminated. With `persons`, that of the run's own row there."""
    persons: list[PersonRow] = []
    """Task person_alignment: how near each row of the run comes; empty for every other task."""


class Entry(Record):
    """One published run on one task."""

    model: str
    revision: str | None
    method: str
    settings: dict[str, Any]
    method_version: str
    backend: str
    task: str
    conditions: int
    profiles: int
    """Of these, targets whose levels were drawn independently (`--target profiles`)."""
    n: int
    """Items."""
    limit: int | None
    contaminated: int
    """Of these, items that the method was fitted on; if any, the run is not ranked."""
    persons_hash: str | None
    """Names the persons aimed at and the test items; rows of persons are compared where it is the same."""
    metrics: dict[Mode, Metrics]
    evaluation_seconds: float | None
    fit_seconds: float | None
    """Over all targets; null where nothing was fitted."""
    stored_parameters: int | None
    """Numbers in the controls' tensors; null where nothing was fitted."""
    administration_hash: str
    run: str
    """The results file, below results/published."""

    @property
    def place(self) -> str:
        """The run by name and date, to order by: digests would shuffle the runs of one name."""
        return without_digest(self.run)


class Leaderboard(Record):
    """results/leaderboard.json."""

    schema_version: int = SCHEMA_VERSION
    generated_at: str
    """The date of the newest run in it, so that a rebuild gives the same bytes."""
    suite: str
    entries: list[Entry]


def build(published: Path) -> Leaderboard:
    """Read every results file below `published`; BadData where there is none or one is damaged."""
    newest, entries = 0.0, []
    for run, results in published_results(published).items():
        newest = max(newest, results.date)
        # A task without a scorecard is no instrument, and nothing of it is ranked.
        entries += [to_entry(results, task, run) for task in results.versions if results.scorecard[task]]
    entries.sort(key=lambda e: (e.task, e.model, e.method, e.place, e.run))
    stamp = datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Leaderboard(generated_at=stamp, suite="self-report", entries=_ranked(entries))


def published_results(published: Path) -> dict[str, Results]:
    """Every results file below `published`, by its path there.

    BadData where there is none, where one is damaged, or where samples are not those that it was computed from.
    """
    paths = sorted(published.glob("*/results_*.json"), key=lambda p: (Path(without_digest(p.as_posix())), p))
    if not paths:
        raise BadData(f"{published} holds no <run>/results_*.json; `traitbench export RUN` publishes a run there")
    found = {}
    for path in paths:
        try:
            results = Results.model_validate(read_json(path))
        except ValueError as error:
            raise BadData(
                f"{path} is no results file of this version: {str(error).splitlines()[0]}; compute it again with "
                f"`traitbench export '{path.parent}' --to '{published}'`"
            ) from None
        for task, expected in results.samples_sha256.items():
            stamp = path.stem.removeprefix("results_")
            check_samples(samples_file(path.parent, task, stamp), expected)
        found[path.relative_to(published).as_posix()] = results
    return found


def to_entry(results: Results, task: str, run: str) -> Entry:
    """One task of a run as a row, without a rank; `run` names the results file."""
    cost = spent(results)
    return Entry(
        model=results.model_name,
        revision=results.model.get("weights"),
        method=results.method["name"],
        settings=results.method["settings"],
        method_version=results.method["version"],
        backend=results.model_source,
        task=task,
        conditions=len(results.conditions),
        profiles=sum(c.profile for c in results.conditions),
        n=results.n_samples[task]["effective"],
        limit=results.config.get("limit"),
        contaminated=results.contaminated.get(task, 0),
        persons_hash=persons_hash(results, task),
        metrics={mode: _metrics(results, task, mode) for mode in results.scorecard[task]},
        evaluation_seconds=results.cost.get("evaluation_seconds"),
        fit_seconds=cost[0] if cost else None,
        stored_parameters=cost[1] if cost else None,
        administration_hash=digest({"administration": results.administration, "asked": results.task_hashes[task]}),
        run=run,
    )


def _metrics(results: Results, task: str, mode: Mode) -> Metrics:
    card = results.scorecard[task][mode]
    style = results.response_style[task]["all"].get(mode)
    contrasts = [c for c in card.contrasts if c.effect is not None and c.effect.value is not None]
    effect, ci = _mean_effect(contrasts, mode)
    factor = _pomp(card.contrasts, mode)
    leaks = [c.leakage for c in contrasts if c.leakage is not None]
    moved = [c.mean_abs_shift for c in card.contrasts if c.mean_abs_shift is not None]
    scales = results.reliability[task][mode]
    human = next(iter(results.human[task][mode].similarity), None)
    edited = [c for c in results.conditions if c.headline and c.perplexity is not None]
    doses = [c.dose for c in edited if c.dose is not None]
    sds = [next(iter(c.aimed.values())) * c.effect.sds for c in contrasts if c.effect and c.effect.sds is not None]
    return Metrics(
        unit="nats a token" if mode == "statement" else "POMP",
        effect=effect,
        effect_ci=ci,
        effect_sds=sum(sds) / len(sds) if sds and len(sds) == len(contrasts) else None,
        leakage=factor * (sum(x * x for x in leaks) / len(leaks)) ** 0.5 if leaks else None,
        mean_abs_shift=factor * sum(moved) / len(moved) if moved else None,
        option_mass=style.option_mass if style else None,
        position_bias=style.position_bias if style else None,
        acquiescence=style.acquiescence if style else None,
        invalid=sum(style.invalid.values()) if style else None,
        respondents=int(results.administration["respondents"]),
        alpha=_lowest([scale.alpha for scale in scales]),
        retest=_lowest([scale.retest for scale in scales]),
        split_half=card.split_half,
        human_distance=human.distance.value if human else None,
        human_identity=human.identity.distance.value if human else None,
        human_reference=human.reference if human else None,
        human_mode=human.mode if human else None,
        perplexity=max((c.perplexity for c in edited if c.perplexity is not None), default=None),
        dose=median(doses) if doses else None,
        cautions=sum(c.check == "caution" for c in contrasts),
        targets=len(contrasts),
        verdict=results.verdict[task][mode].verdict,
        rank=None,
        persons=person_rows(results, task, mode),
    )


def _lowest(values: Sequence[float | None]) -> float | None:
    """The least of them; null where one is unknown."""
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def _pomp(contrasts: Sequence[Contrast], mode: Mode) -> float:
    """Scale points -> POMP, from any shift that holds both."""
    shifts = [s for c in contrasts for s in c.shifts]
    return next((s.pomp / s.value for s in shifts if s.pomp is not None and s.value), 1.0)


def _mean_effect(contrasts: Sequence[Contrast], mode: Mode) -> tuple[float | None, tuple[float, float] | None]:
    """Mean effect over targets with its interval; other traits' items are other items, so the errors add up."""
    if not contrasts:
        return None, None
    factor = _pomp(contrasts, mode)
    signed = [next(iter(c.aimed.values())) * (c.effect.value or 0.0) for c in contrasts if c.effect]
    errors = [c.effect.se for c in contrasts if c.effect]
    mean = factor * sum(signed) / len(signed)
    known = [e for e in errors if e is not None]
    if len(known) < len(errors):
        return mean, None
    half = 1.96 * abs(factor) * sum(e * e for e in known) ** 0.5 / len(known)
    return mean, (mean - half, mean + half)


def _ranked(entries: list[Entry]) -> list[Entry]:
    """Rank inside one task and one scoring mode; no mode stands in for another."""
    out = []
    for entry in entries:
        metrics = {}
        for mode, mine in entry.metrics.items():
            rivals = [e for e in entries if e.task == entry.task and mode in e.metrics]
            if mine.persons:
                metrics[mode] = _beside_persons(entry, mode, rivals)
                continue
            rank = None
            if _stands(entry, mode) and mine.effect_ci:
                bounds = [e.metrics[mode].effect_ci for e in rivals if _stands(e, mode)]
                rank = 1 + sum(ci is not None and ci[0] > mine.effect_ci[1] for ci in bounds)
            metrics[mode] = mine.model_copy(update={"rank": rank})
        out.append(entry.model_copy(update={"metrics": metrics}))
    return out


def _beside_persons(entry: Entry, mode: Mode, rivals: Sequence[Entry]) -> Metrics:
    """Rank the rows of persons among those of the runs with the same persons and items."""
    rows = ranked(entry, mode, lines([e for e in rivals if e.persons_hash == entry.persons_hash], mode))
    own = head(rows)
    return entry.metrics[mode].model_copy(update={"persons": rows, "rank": own.rank if own else None})


def _stands(entry: Entry, mode: Mode) -> bool:
    mine = entry.metrics[mode]
    sound = mine.verdict != "not interpretable" and mine.effect_ci is not None
    return sound and entry.limit is None and not entry.contaminated


def render(board: Leaderboard) -> str:
    """The leaderboard as Markdown: a table a task and scoring mode."""
    out = [
        "# traitbench leaderboard",
        "",
        f"From the runs in results/published, the newest of {board.generated_at}. Rebuild with `make leaderboard`.",
        "A rank is one plus the number of runs whose interval lies wholly above; runs that are not interpretable, "
        "that were fitted on test items (contaminated), or that aim at nothing, stand in the table without one. Trait "
        "levels and distances to people are never ranked.",
        *preface(board.entries),
        "",
    ]
    for task in dict.fromkeys(e.task for e in board.entries):
        mine = [e for e in board.entries if e.task == task]
        for mode in sorted({m for e in mine for m in e.metrics}, key=lambda m: m != "statement"):
            out += [text for found in tables(task, mode, mine) for text in (markdown(found), "")]
    return "\n".join(out).rstrip() + "\n"
