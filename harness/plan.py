"""Plan: everything that decides a run, checked before anything is loaded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from traitbench.backends import BACKENDS
from traitbench.errors import BadData, TraitbenchError, UnknownName, UnsupportedControl, refuse_others, unknown
from traitbench.humans import Reference
from traitbench.methods import METHODS
from traitbench.models import ModelSpec, resolve
from traitbench.samples import Condition
from traitbench.tasks import Administration
from traitbench.types import Control, Method, Mode, Options, Record, Target, Task, Trait

if TYPE_CHECKING:
    from traitbench.inventories import Inventory

__all__ = ["BASELINE", "PROFILES", "Plan", "Prepared", "make_method", "prepare", "profiles"]

BASELINE = "baseline"
PROFILES = 100
"""Fewest drawn profiles, and the default of `--target profiles`."""
Scalar = str | int | float | bool | None


class Plan(Record):
    """The flags of `traitbench run`, which are also the keys of a --config file."""

    model: str = "smollm2"
    model_args: dict[str, Scalar] = {}
    method: str = "none"
    method_args: dict[str, Scalar] = {}
    target: str | None = None
    tasks: tuple[str, ...] = ("ipip_neo_120",)
    backend: str = "auto"
    """Name of a backend; auto: hf for weights, scripted for scripted respondents."""
    limit: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    device: str | None = None
    output_path: str = "results/runs"
    seed: int = 0
    gen_kwargs: dict[str, Scalar] = {}
    apply_chat_template: bool | None = None
    include_path: tuple[str, ...] = ()
    scoring: tuple[Mode, ...] = ("choice", "statement")
    orders: tuple[Literal["forward", "reverse"], ...] = ("forward", "reverse")
    symbols: tuple[Literal["letters", "numbers"], ...] = ("letters",)
    templates: int = 1
    respondents: int = 0
    repeats: int = 1
    reference: str | None = None
    """A table of people's answers to one of the tasks, to compare with: CSV, TSV or Parquet."""
    keyed: bool | None = None
    """Whether the minus-keyed items of `reference` are reversed already; must be said where there is one."""
    norms: str | None = None
    """SEX,AGE of the people to give z, T and percentile among, e.g. F,30."""
    bootstrap_iters: int = Field(default=1000, ge=2)
    write_out: bool = False
    no_resume: bool = False

    def options(self) -> Options:
        """Return what the backend is told."""
        return Options(
            device=self.device, batch_size=self.batch_size, chat_template=self.apply_chat_template, seed=self.seed,
            arguments=self.model_args,
        )  # fmt: skip

    def administration(self) -> Administration:
        """Return the part that says how items are asked."""
        known = {"max_tokens": "max_tokens", "max_gen_toks": "max_tokens", "temperature": "temperature"}
        refuse_others("key of --gen_kwargs", self.gen_kwargs, known)
        generation: dict[str, Any] = {known[key]: value for key, value in self.gen_kwargs.items()}
        made: Administration = _validated(
            Administration,
            {"scoring": self.scoring, "orders": self.orders, "symbols": self.symbols, "templates": self.templates,
             "respondents": self.respondents, "repeats": self.repeats, "limit": self.limit, **generation},
            "--",
        )  # fmt: skip
        return made


class Prepared(Record):
    """A plan with its names resolved and its controls made."""

    model_config = {"frozen": True, "extra": "forbid", "arbitrary_types_allowed": True}

    plan: Plan
    spec: ModelSpec
    backend: str
    tasks: list[Any]
    """Tasks, in the order of the plan."""
    method: Any
    settings: dict[str, Any]
    """The method's non-default settings."""
    conditions: list[tuple[Condition, Control]]
    reference: Reference | None
    """The people of `plan.reference`."""


def prepare(plan: Plan) -> Prepared:
    """Resolve every name and make the controls. Nothing heavy is imported, no model is loaded.

    UnknownName with a suggestion for a wrong name, UnsupportedControl for parts that do not go together.
    """
    spec = resolve(plan.model)
    backend = spec.backend if plan.backend == "auto" else plan.backend
    if backend not in BACKENDS:
        raise unknown("backend", backend, {*BACKENDS, "auto"})
    if "scripted" in {backend, spec.backend} and backend != spec.backend:
        raise UnsupportedControl(
            f"the backend {backend} cannot run the model {plan.model!r}; use --backend {spec.backend} or auto"
        )
    administration = plan.administration()
    method, settings = make_method(plan.method, plan.method_args)
    tasks: list[Any] = _tasks(plan, administration)
    if plan.norms:
        norms(plan.norms, [task.id for task in tasks])
    reference = people(plan, [task.inventory for task in tasks])
    conditions = [(Condition(name=BASELINE), Control())]
    drawn = _profiles(plan.target) > 0
    for number, target in enumerate(_targets(plan, method, tasks), 1):
        control = method.fit(target, plan.seed).model_copy(update={"target": target})
        name = target.name if target else str(settings.get("style", plan.method))
        conditions.append((
            Condition(name=f"profile {number}" if drawn else name, target=target.name if target else None,
                      levels=target.levels if target else {}, profile=drawn, control_hash=control.hash),
            control,
        ))  # fmt: skip
    return Prepared(
        plan=plan, spec=spec, backend=backend, tasks=tasks, method=method, settings=settings, conditions=conditions,
        reference=reference,
    )  # fmt: skip


def norms(group: str, tasks: Sequence[str]) -> None:
    """Check --norms before anything is asked: sex and age are known, and a task has norms."""
    from traitbench.humans.likeness import norm_group
    from traitbench.humans.norms import normed, standing

    held = [task for task in tasks if task in normed()]
    if not held:
        raise TraitbenchUsage(
            f"--norms {group}: none of {', '.join(tasks)} has norms; those that do: {', '.join(normed())}"
        )
    standing({}, held[0], *norm_group(group))


def people(plan: Plan, inventories: Sequence[Inventory]) -> Reference | None:
    """Summarise the user's own sample of people; its declared keying is checked. BadData where no inventory fits it."""
    if plan.reference is None:
        if plan.keyed is not None:
            raise TraitbenchUsage("--keyed and --raw say how --reference FILE is coded; there is no --reference")
        return None
    if plan.keyed is None:
        raise TraitbenchUsage(
            f"--reference {plan.reference}: say how it is coded; --keyed if minus-keyed items are reversed already, "
            "--raw if the answers are as given"
        )
    from traitbench.answers.analyze import analyze
    from traitbench.answers.reading import open_answers
    from traitbench.humans import reference_from_analysis

    path = Path(plan.reference).expanduser()
    held = {}
    for inventory in inventories:
        try:
            held[len(open_answers(path, inventory).items)] = inventory
        except BadData as error:
            problem = error
    if not held:
        raise problem
    inventory = held[max(held)]
    return reference_from_analysis(analyze(path, inventory, plan.keyed), inventory, path.name)


def make_method(name: str, arguments: dict[str, Scalar]) -> tuple[Method, dict[str, Any]]:
    """Build the method with its configuration, and return it with the settings that are not the defaults."""
    kind = METHODS.load(name)
    refuse_others(f"key of --method_args for {name}", arguments, kind.Config.model_fields)
    config = _validated(kind.Config, dict(arguments), f"--method_args of {name}: ")
    default = kind.Config()
    changed = {k: getattr(config, k) for k in kind.Config.model_fields if getattr(config, k) != getattr(default, k)}
    return kind(config), changed


def _tasks(plan: Plan, administration: Administration) -> list[Task]:
    from traitbench import tasks

    include = [Path(folder) for folder in plan.include_path]
    found = [task for name in plan.tasks for task in tasks.load(name, administration, include)]
    if len({task.id for task in found}) < len(found):
        raise UnknownName(f"--tasks {','.join(plan.tasks)} names a task twice; name each once")
    return found


def _targets(plan: Plan, method: Method, tasks: list[Task]) -> list[Target | None]:
    """List the conditions besides the baseline; [None] for a method that takes no target but makes a control."""
    if not method.targets:
        if plan.target not in (None, "all"):
            raise UnsupportedControl(
                f"the method {plan.method} takes no target, but --target {plan.target} was given; leave it out"
            )
        return [None] if method.makes else []
    if plan.target in (None, "all"):
        if not method.makes and plan.target is None:
            return []
        traits = dict.fromkeys(trait for task in tasks for trait in task.traits)
        targets: list[Target | None] = [Target(levels={t: v}) for t in traits for v in (1.0, -1.0)]
    elif number := _profiles(plan.target):
        traits = dict.fromkeys(trait for task in tasks for trait in task.traits)
        targets = list(profiles(tuple(traits), number, plan.seed))
    else:
        assert plan.target is not None
        targets = [Target.parse(plan.target)]
    for target in targets:
        if target and not target.aims <= method.targets:
            raise UnsupportedControl(
                f"the method {plan.method} cannot aim at {target.name}; it takes {', '.join(sorted(method.targets))}"
            )
    return targets


def _profiles(target: str | None) -> int:
    """How many profiles `--target profiles[:N]` asks for; 0 for any other target."""
    word, colon, count = (target or "").partition(":")
    if word.strip().lower() != "profiles":
        return 0
    if colon and not count.strip().isdigit():
        raise TraitbenchUsage(
            f"--target {target}: expected profiles or profiles:N with a whole number N, e.g. profiles:100"
        )
    number = int(count) if colon else PROFILES
    if number < PROFILES:
        raise TraitbenchUsage(
            f"--target {target}: {number} profiles are too few to correlate traits; expected at least {PROFILES}"
        )
    return number


def profiles(traits: Sequence[Trait], number: int, seed: int) -> Iterator[Target]:
    """Draw `number` targets on all `traits`, every level independent and uniform on [-1, 1] in steps of .01.

    Since the levels do not correlate, a correlation between the traits that the model then shows is its own.
    """
    draw = random.Random(f"profiles {seed}")
    for _ in range(number):
        yield Target(levels={trait: draw.randint(-100, 100) / 100 for trait in traits})


def _validated(kind: Any, values: dict[str, Any], prefix: str) -> Any:
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TraitbenchUsage(f"{prefix}{where} = {first['input']!r}: {first['msg']}") from None


class TraitbenchUsage(TraitbenchError):
    """A value of the right name and the wrong kind."""

    exit_code = 2
