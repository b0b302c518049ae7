"""Plan: everything that decides a run, checked before anything is loaded.

Over 300 lines, since the fields of a plan and what checks them belong together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, SkipValidation, ValidationError, field_validator, model_validator

from traitbench.backends import BACKENDS
from traitbench.backends.backend import Options
from traitbench.backends.models import ModelSpec, automatic, resolve
from traitbench.errors import TraitbenchUsage, UnknownName, UnsupportedControl, refuse_others, unknown
from traitbench.humans import Reference
from traitbench.masking import keyless, masked
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.methods.stored import Stored
from traitbench.runs import stored
from traitbench.runs.aims import meant, targets
from traitbench.runs.checks import check_matched, check_strengths
from traitbench.runs.conditions import conditions
from traitbench.runs.owed import requests_owed
from traitbench.runs.people import aimed_at, norms, people
from traitbench.runs.refits import check_fits
from traitbench.runs.side_effects import check as check_side_effects
from traitbench.samples import Condition
from traitbench.targets import drawn
from traitbench.tasks import Administration, for_target, load
from traitbench.tasks.task import Task
from traitbench.types import Control, Mode, Record, Request, Target, is_name

if TYPE_CHECKING:
    from traitbench.targets.persons import Participants
else:
    Participants = Any  # pydantic would import it, and numpy with it; a plan imports nothing heavy

__all__ = ["NOTHING", "Given", "Plan", "Prepared", "make_method", "prepare"]

Scalar = str | int | float | bool | None
Argument = Scalar | tuple[Scalar, ...]


def _declared(plan: Mapping[str, Any]) -> Collection[str]:
    """Settings of the plan's method, whatever their names look like."""
    return METHODS.load(plan["method"]).Config.model_fields if plan.get("method") in METHODS else ()


class Plan(Record):
    """The flags of `traitbench run`, which are also the keys of a --config file."""

    model: str = "smollm2"
    model_args: Annotated[dict[str, Scalar], keyless()] = {}
    method: str = "none"
    method_args: Annotated[dict[str, Argument], keyless(_declared)] = {}
    control: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Folders of controls that were fitted before, in place of a method."""
    target: str | None = None
    tasks: tuple[str, ...] = ("ipip_neo_120",)
    backend: str = "auto"
    """Name of a backend; auto: scripted for scripted respondents, endpoint for servers, lm_eval for lm-eval's models;
    for weights vllm where it is installed and a GPU is there, else hf."""
    limit: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    device: str | None = None
    output_path: str = "results/runs"
    seed: int = 0
    gen_kwargs: Annotated[dict[str, Scalar], keyless()] = {}
    apply_chat_template: bool | None = None
    include_path: tuple[str, ...] = ()
    scoring: tuple[Mode, ...] = ("choice", "statement")
    orders: tuple[Literal["forward", "reverse"], ...] = ("forward", "reverse")
    symbols: tuple[Literal["letters", "numbers"], ...] = ("letters",)
    templates: int = 1
    respondents: int = 0
    repeats: int = 1
    contexts: tuple[str, ...] | None = Field(default=None, exclude_if=lambda value: value is None)
    reference: str | None = None
    """A table of people's answers to one of the tasks, to compare with: CSV, TSV or Parquet."""
    keyed: bool | None = None
    """Whether the minus-keyed items of `reference` are reversed already; must be said where there is one."""
    norms: str | None = None
    """SEX,AGE of the people to give z, T and percentile among, e.g. F,30."""
    judge: tuple[str, ...] = ()
    """Who rates written replies: scorer:text, or models as `model` takes them; scorer:text where nobody is named."""
    judge_args: Annotated[dict[str, Scalar], keyless()] = {}
    """As model_args, of the judges."""
    self_judge: bool = False
    """Let a model judge its own replies."""
    coefs: tuple[float, ...] = ()
    """Strengths of the method's edits to run besides the one it chose; 0 is its messages alone."""
    fit_seeds: int = Field(default=1, ge=1)
    """How often each control is fitted, with the seeds `seed`, `seed` + 1 and so on; every fit is measured."""
    matched: bool = False
    """Put one instruction, the same for every method, in front of each control."""
    mix_conditions: bool = False
    """Requests of several conditions may share a batch, where the backend can; each keeps its own control."""
    side_effects: tuple[str, ...] = ()
    """Tasks, groups and tags of lm-eval to put to the model under every condition, e.g. mmlu,gsm8k."""
    side_effects_limit: int | None = Field(default=None, ge=1)
    """Of each of these tasks the first so many documents."""
    bootstrap_iters: int = Field(default=1000, ge=2)
    write_out: bool = False
    no_resume: bool = False

    @model_validator(mode="before")
    @classmethod
    def _persons_task(cls, given: Any) -> Any:
        """Persons and characters have a task of their own, unless another one is named."""
        if isinstance(given, dict) and "tasks" not in given:
            if task := for_target(str(given.get("target") or "")):
                return {**given, "tasks": (task,)}
        return given

    @field_validator("control", mode="before")
    @classmethod
    def _one_control(cls, given: Any) -> Any:
        """A single folder is a list of one; it may have a comma in its name."""
        return (given,) if isinstance(given, str) else given

    def options(self) -> Options:
        """Return what the backend is told."""
        return Options(
            device=self.device, batch_size=self.batch_size, chat_template=self.apply_chat_template, seed=self.seed,
            arguments=self.model_args,
        )  # fmt: skip

    def administration(self) -> Administration:
        """Return the part that says how items are asked."""
        known = ("max_tokens", "max_gen_toks", "temperature", "repetition_penalty")
        refuse_others("key of --gen_kwargs", self.gen_kwargs, known)
        generation = {key.replace("max_gen_toks", "max_tokens"): value for key, value in self.gen_kwargs.items()}
        shared = {n: getattr(self, n) for n in Administration.model_fields if n in type(self).model_fields}
        _validated(Administration, generation, "--gen_kwargs ")
        made: Administration = _validated(Administration, {**shared, **generation}, "--")
        return made


class Given(NamedTuple):
    """Objects that a plan names and no table does: the caller's own."""

    method: Method | type[Method] | None = None
    """What `Plan.method` names."""
    tasks: Mapping[str, Task | type[Task]] = {}
    """Name in `Plan.tasks` -> the task, or the class that makes it of the plan's administration."""


NOTHING = Given()


class Prepared(Record):
    """A plan with its names resolved and its controls made."""

    model_config = {"frozen": True, "extra": "forbid", "arbitrary_types_allowed": True}

    plan: Plan
    spec: ModelSpec
    backend: str
    tasks: list[Task]
    """Tasks, in the order of the plan."""
    requests: SkipValidation[dict[str, list[Request]]]
    """Id of a task -> what each condition asks of it at first."""
    own: dict[str, str] = {}
    """Id of a task that is the caller's own -> its name in the plan."""
    method: Method
    settings: dict[str, Any]
    """The method's non-default settings."""
    targets: list[Target | None]
    """What is aimed at, one a condition."""
    conditions: list[tuple[Condition, Control]]
    """The baseline alone where the method is fitted on the model: evaluate makes the rest."""
    reference: Reference | None
    """The people of `plan.reference`."""
    participants: Participants | None = None
    """The persons of `--target person:...` with their answers; None where traits are aimed at."""


def prepare(plan: Plan, given: Given = NOTHING) -> Prepared:
    """Resolve every name and make the controls. Nothing heavy is imported, no model is loaded.

    `given` holds what the plan names and no table does. UnknownName with a suggestion for a wrong name,
    UnsupportedControl for parts that do not go together.
    """
    if plan.control:
        plan, given = stored.taken(plan, given)
    spec = resolve(plan.model, plan.model_args)
    backend = automatic(spec) if plan.backend == "auto" else plan.backend
    if backend not in BACKENDS:
        raise unknown("backend", backend, {*BACKENDS, "auto"})
    if {"scripted", "endpoint", "lm_eval"} & {backend, spec.backend} and backend != spec.backend:
        raise UnsupportedControl(
            f"the backend {backend} cannot run the model {plan.model!r}; use --backend {spec.backend} or auto"
        )
    check_side_effects(plan.side_effects, plan.side_effects_limit, backend)
    administration = plan.administration()
    method, settings = make_method(plan.method, plan.method_args, given.method)
    tasks, own = _tasks(plan, administration, given)
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
        config = _validated(kind.Config, dict(arguments), f"--method_args of {name}: ")
    default = kind.Config()
    changed = {k: getattr(config, k) for k in kind.Config.model_fields if getattr(config, k) != getattr(default, k)}
    return given if isinstance(given, Method) else kind(config), changed


def _tasks(plan: Plan, administration: Administration, given: Given) -> tuple[list[Task], dict[str, str]]:
    """Make the tasks; id -> name in the plan of those that are the caller's own."""
    include = [Path(folder) for folder in plan.include_path]
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


def _validated(kind: Any, values: dict[str, Any], prefix: str) -> Any:
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TraitbenchUsage(f"{prefix}{where} = {masked(first['input'], where)!r}: {first['msg']}") from None
