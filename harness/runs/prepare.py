"""From a plan to what can be run: every name resolved, everything that does not go together refused."""

from __future__ import annotations

from typing import Any

from traitbench.backends import BACKENDS
from traitbench.backends.arguments import ARGUMENTS, check_arguments
from traitbench.backends.models import ModelSpec, automatic, resolve
from traitbench.errors import TraitbenchUsage, UnknownName, UnsupportedControl, refuse_others, unknown
from traitbench.files import user_path
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.methods.stored import Stored
from traitbench.runs import stored
from traitbench.runs.aims import meant, targets
from traitbench.runs.checks import check_device, check_kinds, check_matched, check_strengths
from traitbench.runs.conditions import conditions
from traitbench.runs.owed import requests_owed
from traitbench.runs.people import aimed_at, norms, people
from traitbench.runs.plan import NOTHING, Argument, Given, Plan, Prepared, validated
from traitbench.runs.refits import check_fits
from traitbench.runs.side_effects import check as check_side_effects
from traitbench.targets import drawn
from traitbench.tasks import Administration, load, matching
from traitbench.tasks.task import Task
from traitbench.types import is_name

__all__ = ["make_method", "prepare"]


def prepare(plan: Plan, given: Given = NOTHING) -> Prepared:
    """Resolve every name and make the controls. Nothing heavy is imported, no model is loaded.

    `given` holds what the plan names and no table does. UnknownName with a suggestion for a wrong name,
    UnsupportedControl for parts that do not go together.
    """
    check_device(plan.device)
    plan = _spelt(plan, given)
    if plan.control:
        plan, given = stored.taken(plan, given)
    spec = resolve(plan.model, plan.model_args)
    backend = _backend(plan, spec)
    check_side_effects(plan.side_effects, plan.side_effects_limit, backend)
    method, settings = make_method(plan.method, plan.method_args, given.method)
    if method.needs_model:
        check_kinds(plan.method, method.makes, backend)
    plan, tasks, own = _tasks(plan, given)
    if plan.norms:
        norms(plan.norms, [task.id for task in tasks])
    instruments = [task.inventory for task in tasks if task.inventory is not None]
    reference = people(plan.reference, plan.keyed, plan.target, instruments)
    target = meant(plan.target, tasks)
    participants = aimed_at(target, plan.model_dump())
    for task in tasks:
        task.check(target, participants)
    requests = {task.id: requests_owed(task, task.requests(plan.seed)) for task in tasks}
    if isinstance(method, Stored):
        aims, participants = stored.aims(plan, method, tasks, participants)
    else:
        aims = targets(plan.target, method, tasks, participants, plan.seed)
    check_strengths(plan.method, method, plan.coefs, plan.scoring)
    if plan.fit_seeds > 1:
        check_fits(plan.fit_seeds, plan.method, method, plan.coefs, tasks)
    method.check(aims)
    # Methods that are fitted on the model make their controls once it is loaded.
    bench = None if method.needs_model else Bench(plan.seed)
    if plan.matched:
        check_matched(plan.method, method, aims)
        settings = {**settings, "matched": True}
    made = conditions(method, settings, aims, plan.coefs, bench, drawn(plan.target) > 0, plan.matched)
    return Prepared(
        plan=plan, spec=spec, backend=backend, tasks=tasks, requests=requests, own=own, method=method,
        settings=settings, targets=aims, conditions=made, reference=reference, participants=participants,
    )  # fmt: skip


def _backend(plan: Plan, spec: ModelSpec) -> str:
    """The backend that is to run the model; what of it can be told without importing it is checked."""
    backend = automatic(spec) if plan.backend == "auto" else plan.backend
    if backend not in BACKENDS:
        raise unknown("backend", backend, {*BACKENDS, "auto"})
    if {"scripted", "endpoint", "lm_eval"} & {backend, spec.backend} and backend != spec.backend:
        raise UnsupportedControl(
            f"the backend {backend} cannot run the model {plan.model!r}; use --backend {spec.backend} or auto"
        )
    if backend in ARGUMENTS:
        check_arguments(backend, ARGUMENTS[backend], plan.model_args)
    return backend


def _spelt(plan: Plan, given: Given) -> Plan:
    """The plan with patterns of tasks replaced by what they match; the same where there is none."""
    names = matching(plan.tasks, [user_path(folder) for folder in plan.include_path], given.tasks)
    return plan if names == plan.tasks else plan.model_copy(update={"tasks": names})


def make_method(
    name: str, arguments: dict[str, Argument], given: Method | type[Method] | None = None
) -> tuple[Method, dict[str, Any]]:
    """Build the method with its configuration, and return it with the settings that are not the defaults.

    `given`: a method that no table names: a class, or an object with its configuration, which takes no arguments.
    """
    if isinstance(given, Stored):
        return given, given.settings
    if isinstance(given, Method):
        if arguments:
            raise TraitbenchUsage(
                f"method_args {arguments}: the method is an object, which has its configuration already; give its "
                "class, or set them in its Config"
            )
        kind, config = type(given), given.config
    else:
        kind = given or METHODS.load(name)
        refuse_others(f"key of --method_args for {name}", arguments, kind.Config.model_fields)
        config = validated(kind.Config, dict(arguments), f"--method_args of {name}: ")
    default = kind.Config()
    changed = {k: getattr(config, k) for k in kind.Config.model_fields if getattr(config, k) != getattr(default, k)}
    return given if isinstance(given, Method) else kind(config), changed


def _tasks(plan: Plan, given: Given) -> tuple[Plan, list[Task], dict[str, str]]:
    """Make the tasks; id -> name in the plan of those that are the caller's own.

    A limit that leaves nothing out is none: the plan comes back without it, so that the run is that of the whole.
    """
    tasks, own = _limited(plan, plan.administration(), given)
    if plan.limit is not None and all(task.original == len(task.items) for task in tasks):
        plan = plan.model_copy(update={"limit": None})
        tasks, own = _limited(plan, plan.administration(), given)
    return plan, tasks, own


def _limited(plan: Plan, administration: Administration, given: Given) -> tuple[list[Task], dict[str, str]]:
    include = [user_path(folder) for folder in plan.include_path]
    found: list[Task] = []
    own: dict[str, str] = {}
    for name in plan.tasks:
        if (task := given.tasks.get(name)) is None:
            found += load(name, administration, include)
            continue
        make: Any = task
        made: Task = make(administration) if isinstance(task, type) else task
        _check_task(name, made)
        found.append(made)
        own[made.id] = name
    if len({task.id for task in found}) < len(found):
        raise UnknownName(f"--tasks {','.join(plan.tasks)} names a task twice; name each once")
    return found, own


def _check_task(name: str, task: Task) -> None:
    """Refuse a task of the caller's own that lacks what the frame reads."""
    if missing := [what for what in ("id", "items") if not hasattr(task, what)]:
        lacks = " and no ".join(missing)
        raise TraitbenchUsage(f"the task {name} has no {lacks}; see traitbench.Task for what each is")
    for item in task.items:
        if lacking := [what for what in ("id", "number", "text", "text_hash") if not hasattr(item, what)]:
            raise TraitbenchUsage(
                f"the task {name} has an item without {' and without '.join(lacking)}; expected id, number, text and "
                "text_hash"
            )
    if not is_name(task.id):
        raise TraitbenchUsage(
            f"the task {name} has the id {task.id!r}, which cannot be part of a file's name; expected letters, digits "
            "and _"
        )
