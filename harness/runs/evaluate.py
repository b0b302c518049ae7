"""evaluate(plan): make the controls, administer under each, keep every response, compute the results.

The only place where methods, backends, tasks and the store meet.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from traitbench import store
from traitbench.backends import BACKENDS, neutral
from traitbench.backends.backend import Backend
from traitbench.errors import UnsupportedControl
from traitbench.files import user_path
from traitbench.journal import RunFolder
from traitbench.judges.families import family
from traitbench.masking import shown
from traitbench.methods.bench import Bench
from traitbench.progress import Progress
from traitbench.runs.administer import administer, check_lengths, key_of
from traitbench.runs.aims import unmeasured
from traitbench.runs.checkout import git_hash
from traitbench.runs.checks import check_edits, check_here, check_kinds
from traitbench.runs.conditions import conditions, once
from traitbench.runs.estimate import before_fits
from traitbench.runs.folders import run_name
from traitbench.runs.judging import Judging, judges_of
from traitbench.runs.keeping import keep
from traitbench.runs.plan import NOTHING, Given, Plan, Prepared
from traitbench.runs.prepare import prepare
from traitbench.runs.reading import reading
from traitbench.runs.results import Results
from traitbench.runs.side_effects import loaded, measured, refuse_unasked
from traitbench.runs.stored import check_model, remarks
from traitbench.runs.suited import check_suited
from traitbench.runs.summary import summarise
from traitbench.samples import Condition, Item
from traitbench.targets import drawn
from traitbench.tasks.administration import limited
from traitbench.tasks.block import Facts
from traitbench.tasks.findings import unfound
from traitbench.types import Control, Fit, Response

__all__ = ["evaluate", "fitter", "served", "workbench"]


def evaluate(
    plan: Plan, progress: Progress, tell: Callable[[str], None], given: Given = NOTHING
) -> tuple[Results, Path]:
    """Run `plan` and return its results and their file. Safe to kill: the same call goes on where it stopped.

    `tell` gets diagnostics, one line each; `given` holds what the plan names and no table does. Raises TraitbenchError
    before any model is loaded where the plan cannot work.
    """
    started, began = time.time(), time.monotonic()
    prepared = prepare(plan, given)
    kind = served(prepared)
    check_model(prepared)
    check_suited(prepared)
    others = loaded(plan.side_effects, plan.include_path, plan.side_effects_limit, prepared.conditions, tell)
    judges = judges_of(prepared)
    folder = RunFolder(user_path(plan.output_path) / run_name(prepared))
    with folder.open(fresh=plan.no_resume) as held:
        if folder.damaged:
            tell(folder.told)
        told = {"plan": shown(prepared.plan.model_dump(mode="json")), "version": version("traitbench")}
        store.write_json(folder.path / "run.json", told)
        for judge in judges:
            judge.reach(plan.seed)
        backend = kind.make(prepared.spec, plan.options())
        try:
            check_lengths(prepared, backend)
            # Before anything is fitted, where what answers is what is fitted on.
            known = None if backend.fits_on else reading(backend, prepared.spec, folder, held, tell)
            prepared = _fitted(prepared, backend, tell, progress)
            known = known or reading(backend, prepared.spec, folder, held, tell)
            refuse_unasked(others, prepared.conditions)
            fitted = time.monotonic()
            of = family(prepared.spec)
            with Judging(judges, {task.id: task for task in prepared.tasks}, folder, held, plan.seed, of) as judging:
                samples = administer(prepared, backend, folder, held, progress, tell, judging)
                cards, notes = judging.cards, judging.notes
            made = _damage(prepared, backend, folder, held, progress)
            prepared = prepared.model_copy(update={"conditions": made})
            beyond = measured(others, made, backend, folder, held, progress, plan.bootstrap_iters)
            evaluation = time.monotonic() - fitted
            billed = backend.cost(judging.others)
        finally:
            identity = backend.identity
            backend.close()
        taken = (started, time.monotonic() - began)
        facts = _facts(prepared, identity, taken, {"evaluation_seconds": evaluation, **billed})
        warnings = [*facts.warnings, *backend.notes, *notes, *unfound(facts)]
        facts = facts.model_copy(update={"judges": cards, "reading": known, "warnings": warnings})
        results = summarise(facts, {task.id: task for task in prepared.tasks}, samples)
        return keep(results, folder.path, samples, beyond, datetime.fromtimestamp(started, UTC))


def served(prepared: Prepared) -> type[Backend]:
    """Return the backend of a plan; UnsupportedControl where it cannot apply the controls or answer the requests."""
    plan, method = prepared.plan, prepared.method
    needed = method.makes if method.needs_model else frozenset(kind for _, c in prepared.conditions for kind in c.kinds)
    check_kinds(plan.method, needed, prepared.backend)
    check_here(plan.device, prepared.backend)
    kind = BACKENDS.load(prepared.backend)
    if method.rank is not None and kind.ranks is not None and method.rank not in kind.ranks:
        raise UnsupportedControl(
            f"the method {plan.method} makes adapters of rank {method.rank}, which the backend {prepared.backend} "
            f"cannot serve; it serves the ranks {', '.join(map(str, sorted(kind.ranks)))}"
        )
    edits = (edit for _, control in prepared.conditions for edit in control.edits)
    check_edits(plan.method, kind, edits, method.ops)
    if plan.mix_conditions and not kind.mixes:
        raise UnsupportedControl(
            f"--mix_conditions: the backend {prepared.backend} asks under one control at a time; leave it out"
        )
    kind.check(prepared.spec, plan.options())
    for task, asked in prepared.requests.items():
        if refused := next(filter(None, (kind.refuses(request, prepared.spec) for request in asked)), None):
            raise UnsupportedControl(f"the task {task}: {refused}")
    return kind


def workbench(
    plan: Plan, backend: Backend, tell: Callable[[str], None], begin: Callable[[str, int], Callable[[int], None]]
) -> Bench:
    """Make the bench that methods are fitted on; all runs below one output path share the fitted controls."""
    from traitbench.backends.fingerprints import cache_folder

    return Bench(
        plan.seed, backend, user_path(plan.output_path) / "controls", cache_folder() / "fits", tell, begin,
        fresh=plan.no_resume,
    )  # fmt: skip


def _fitted(prepared: Prepared, backend: Backend, tell: Callable[[str], None], progress: Progress) -> Prepared:
    """Make the controls that need the model, and make the backend ready for all of them.

    What is fitted on another backend than it is served by has that one open meanwhile, and closed before anything is
    asked: two copies of the weights need not fit.
    """
    plan, other = prepared.plan, backend.fits_on
    looked_into = prepared.method.needs_model or any(control.edits for _, control in prepared.conditions)
    opened = fitter(prepared, other) if other is not None and looked_into else None
    try:
        bench = workbench(plan, opened or backend, tell, progress.begin)
        if told := before_fits(prepared, backend, bench):
            tell(told)
        made = _conditions(prepared, bench)
        check_edits(plan.method, type(backend), (edit for _, control in made for edit in control.edits))
        dose = {name: bench.dose(edits) for name, edits in _edited(made).items() if edits.edits}
        made = [(c.model_copy(update={"dose": dose.get(_bare(control).hash)}), control) for c, control in made]
        backend.prepare([control for _, control in made], opened)
    finally:
        if opened is not None:
            opened.close()
    prepared = prepared.model_copy(update={"conditions": made})
    if prepared.method.needs_model:
        check_lengths(prepared, backend)
    return prepared


def fitter(prepared: Prepared, name: str) -> Backend:
    """Open the backend on which methods are fitted for another one; of the arguments it gets those that it takes."""
    kind, options = BACKENDS.load(name), prepared.plan.options()
    taken = {key: value for key, value in options.arguments.items() if key in kind.Arguments.model_fields}
    return kind.make(prepared.spec, options.model_copy(update={"arguments": taken, "batch_size": None}))


def _edited(made: Sequence[tuple[Condition, Control]]) -> dict[str, Control]:
    """Hash -> what changes the model itself: the controls' edits and adapters without their messages."""
    bare = [_bare(control) for _, control in made]
    return {control.hash: control for control in bare if control.kinds}


def _bare(control: Control) -> Control:
    return control.model_copy(update={"messages": ()})


def _conditions(prepared: Prepared, bench: Bench) -> list[tuple[Condition, Control]]:
    """Fit the controls of a method that needs the model; the others are there already."""
    if not prepared.method.needs_model:
        return prepared.conditions
    plan = prepared.plan
    profiles = drawn(plan.target) > 0
    return conditions(
        prepared.method, prepared.settings, prepared.targets, plan.coefs, bench, profiles, plan.matched, plan.fit_seeds
    )  # fmt: skip


def _damage(
    prepared: Prepared, backend: Backend, folder: RunFolder, held: dict[str, Response], progress: Progress
) -> list[tuple[Condition, Control]]:
    """Measure what edits or an adapter do to neutral text: its perplexity."""
    requests = neutral.requests()
    edited = _edited(prepared.conditions)
    step = progress.begin("perplexity of neutral text", len(edited)) if edited else None
    perplexity: dict[str, float] = {}
    for control in (Control(), *edited.values()) if edited else ():
        keys = [key_of(backend, control, request) for request in requests]
        done = [i for i, key in enumerate(keys) if key in held]
        with backend.under(control):
            for batch in backend.run(requests, done):
                new = {keys[i]: neutral.floored(response) for i, response in batch.items() if keys[i] not in held}
                folder.append(new)
                held.update(new)
        perplexity[control.hash] = neutral.perplexity(held[key] for key in keys)
        if step and control.kinds:
            step(1)
    out = []
    for condition, control in prepared.conditions:
        if (bare := _bare(control)).kinds:
            ratio = perplexity[bare.hash] / perplexity[Control().hash]
            condition = condition.model_copy(update={"perplexity": ratio})
        out.append((condition, control))
    return out


def _facts(
    prepared: Prepared, identity: Mapping[str, Any], taken: tuple[float, float], cost: Mapping[str, Any]
) -> Facts:
    """What of a run its results say beside the numbers; `taken`: when it began, and the seconds since."""
    plan = prepared.plan
    aimed = dict.fromkeys(trait for condition, _ in prepared.conditions for trait in condition.levels)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cut = [f"--limit {plan.limit}: the {limited(plan.limit)} only, not a score of the instrument"] if plan.limit else []
    notes = [note for task in prepared.tasks for note in task.notes()]
    config = shown(plan.model_dump(mode="json", exclude={"write_out", "no_resume", "output_path"}))
    told = list(prepared.participants.notes) if prepared.participants else []
    fits: dict[str, list[Fit]] = {}
    seconds: dict[tuple[int | None, str], float] = {}
    held: dict[str | tuple[str, int | None], int] = {}
    for c, control in prepared.conditions:
        if control.fit and c.headline:
            fits.setdefault(c.name, []).append(control.fit)
            # Work that several fits have in common, and an adapter that serves several targets, count once.
            seconds[c.fit, control.fit.shared or c.name] = control.fit.seconds
            held[control.weights or (c.name, c.fit)] = control.fit.parameters
    return Facts(
        model_name=prepared.spec.label,
        model_source=prepared.backend,
        model=dict(identity),
        method={"name": plan.method, "version": prepared.method.version,
                "config": prepared.method.config.model_dump(mode="json"), "settings": prepared.settings},
        conditions=once(prepared.conditions),
        controls={c.name: [m.model_dump() for m in control.messages] for c, control in prepared.conditions},
        fits={name: mine[0] for name, mine in fits.items()},
        refits={name: mine[1:] for name, mine in fits.items() if mine[1:]},
        persons=prepared.participants.hashes if prepared.participants else {},
        contaminated=_contaminated(prepared),
        config=config,
        administration=plan.administration().model_dump(mode="json"),
        reference=prepared.reference,
        git_hash=git_hash(),
        date=taken[0],
        total_evaluation_time_seconds=taken[1],
        cost={"fit_seconds": sum(seconds.values()), **cost,
              "peak_memory_bytes": peak, "stored_parameters": sum(held.values())},
        warnings=cut + unmeasured(plan.target, aimed, prepared.method, prepared.tasks) + _alike(prepared) + notes + told
        + remarks(prepared.method, identity),
    )  # fmt: skip


def _contaminated(prepared: Prepared) -> dict[str, int]:
    """Count, for each task, the items that a method was fitted on too; a task without any is left out."""
    seen = {text for _, control in prepared.conditions if control.fit for text in control.fit.fitted_on}
    found = {task.id: sum(not seen.isdisjoint(_hashes(item)) for item in task.items) for task in prepared.tasks}
    return {task: count for task, count in found.items() if count}


def _hashes(item: Item) -> tuple[str, ...]:
    """What names the words of an item, and those of the items of an inventory that it is made of."""
    return item.text_hash, *getattr(item, "holds", ())


def _alike(prepared: Prepared) -> list[str]:
    """Say which targets' fits are the same in spite of their seeds, as where every choice is a setting."""
    made: dict[str, set[str]] = {}
    for condition, control in prepared.conditions:
        if condition.fit is not None and condition.headline:
            made.setdefault(condition.name, set()).add(control.hash)
    same = [name for name, hashes in made.items() if len(hashes) == 1]
    return [f"all fits are the same control, whatever the seed: {', '.join(same)}"] if same else []
