"""Plan: everything that decides a run, checked before anything is loaded."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from traitbench.backends import BACKENDS
from traitbench.errors import TraitbenchError, UnknownName, UnsupportedControl, refuse_others, unknown
from traitbench.methods import METHODS
from traitbench.models import ModelSpec, resolve
from traitbench.samples import Condition
from traitbench.tasks import Administration
from traitbench.types import Control, Method, Mode, Options, Record, Target, Task

__all__ = ["BASELINE", "Plan", "Prepared", "make_method", "prepare"]

BASELINE = "baseline"
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
    tasks = _tasks(plan, administration)
    conditions = [(Condition(name=BASELINE), Control())]
    for target in _targets(plan, method, tasks):
        control = method.fit(target, plan.seed).model_copy(update={"target": target})
        name = target.name if target else str(settings.get("style", plan.method))
        conditions.append((
            Condition(name=name, target=target.name if target else None, levels=target.levels if target else {},
                      control_hash=control.hash),
            control,
        ))  # fmt: skip
    return Prepared(
        plan=plan, spec=spec, backend=backend, tasks=tasks, method=method, settings=settings, conditions=conditions
    )


def make_method(name: str, arguments: dict[str, Scalar]) -> tuple[Method, dict[str, Any]]:
    """Build the method with its configuration, and return it with the settings that are not the defaults."""
    kind = METHODS.load(name)
    refuse_others(f"key of --method_args for {name}", arguments, kind.Config.model_fields)
    config = _validated(kind.Config, dict(arguments), f"--method_args of {name}: ")
    default = kind.Config()
    changed = {k: getattr(config, k) for k in kind.Config.model_fields if getattr(config, k) != getattr(default, k)}
    return kind(config), changed


def _tasks(plan: Plan, administration: Administration) -> list[Task]:
    from pathlib import Path

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
    else:
        assert plan.target is not None
        targets = [Target.parse(plan.target)]
    for target in targets:
        if target and not target.aims <= method.targets:
            raise UnsupportedControl(
                f"the method {plan.method} cannot aim at {target.name}; it takes {', '.join(sorted(method.targets))}"
            )
    return targets


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
