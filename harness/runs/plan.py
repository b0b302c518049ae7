"""Plan: everything that decides a run, as it is given, and as it is once its names are resolved (`prepare`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, SkipValidation, ValidationError, field_validator, model_validator

from traitbench.backends.backend import Options
from traitbench.backends.models import ModelSpec
from traitbench.errors import TraitbenchUsage, refuse_others
from traitbench.humans import Reference
from traitbench.masking import keyless, masked
from traitbench.methods import METHODS
from traitbench.methods.method import Method
from traitbench.samples import Condition
from traitbench.tasks import Administration, for_target
from traitbench.tasks.administration import Limit
from traitbench.tasks.task import Task
from traitbench.types import Control, Mode, Record, Request, Target, storable

if TYPE_CHECKING:
    from traitbench.targets.persons import Participants
else:
    Participants = Any  # pydantic would import it, and numpy with it; a plan imports nothing heavy

__all__ = ["NOTHING", "Argument", "Given", "Plan", "Prepared", "validated"]

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
    limit: Limit | None = None
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
    fit_seeds: int = Field(default=1, ge=1, le=100)
    """How often each control is fitted, with the seeds `seed`, `seed` + 1 and so on; every fit is measured."""
    matched: bool = False
    """Put one instruction, the same for every method, in front of each control."""
    mix_conditions: bool = False
    """Requests of several conditions may share a batch, where the backend can; each keeps its own control."""
    side_effects: tuple[str, ...] = ()
    """Tasks, groups and tags of lm-eval to put to the model under every condition, e.g. mmlu,gsm8k."""
    side_effects_limit: int | None = Field(default=None, ge=1)
    """Of each of these tasks the first so many documents."""
    bootstrap_iters: int = Field(default=1000, ge=2, le=1_000_000)
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

    @field_validator("*", mode="before")
    @classmethod
    def _kept_as_it_is(cls, given: Any) -> Any:
        """What a file cannot hold is refused before anything is asked."""
        storable(given)
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
        validated(Administration, generation, "--gen_kwargs ")
        made: Administration = validated(Administration, {**shared, **generation}, "--")
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


def validated(kind: Any, values: dict[str, Any], prefix: str) -> Any:
    """Make the record `kind` of `values`; TraitbenchUsage for the first that it refuses, named behind `prefix`."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TraitbenchUsage(f"{prefix}{where} = {masked(first['input'], where)!r}: {first['msg']}") from None
