"""A baseline: the plan of a run, what it asked and whom, and the value of every item, in one small file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from traitbench.backends.fingerprints import held, joined
from traitbench.check.values import Line, lines_of, unit_of
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.runs.finished import Graded, graded
from traitbench.runs.flags import plan_of
from traitbench.runs.folders import UNDECIDING
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.sealed import sealed
from traitbench.store import write_json
from traitbench.types import Doc, Record, Request, Trait, digest

__all__ = ["SCHEMA_VERSION", "Asked", "Baseline", "Suite", "is_name", "made_of", "named", "parsed", "plan_for", "write"]

SCHEMA_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@,=+-]*")
_DECIDING = ("torch", "transformers", "numpy")
"""Packages that compute: another version of them may change the last digits."""


class Asked(Record):
    """One task, as it was asked."""

    version: str
    responses: int
    """Samples, over all conditions."""
    keys: dict[Trait, dict[str, Literal[1, -1]]]
    """Trait -> item -> its key; of a task with contexts an item stands once in each."""
    clusters: dict[str, str] = {}
    """Item -> its facet, or the item of which it is one context."""
    requests: str
    """Digest of what is asked at first, before a model's own template wraps it: words, options, seeds."""
    prompts: dict[str, str]
    """Condition -> digest of the prompts as the model read them."""


class Suite(Record):
    """Who was asked, and under what."""

    backend: str
    model: dict[str, Any]
    """The backend's identity: weights, precision, chat template; of scripted respondents their levels."""
    files: dict[str, str] = {}
    """Of a model in a folder: name of each file that decides an answer -> its sha256."""
    method: str
    """Name and version."""
    messages: str
    """Digest of what each control says."""
    controls: dict[str, str | None] = {}
    """Condition -> hash of its control, where the plan names stored ones; what is fitted anew differs in its digits."""


class Baseline(Record):
    """BASELINES/{name}.json."""

    schema_version: int = SCHEMA_VERSION
    name: str
    reason: str
    """Why these are the values to hold on to."""
    made: str
    """Date of the run."""
    commit: str | None = None
    """Of the repository in which the baselines lie, when this was written."""
    plan: dict[str, Any]
    """As `--config` takes it."""
    margins: dict[str, float] = {}
    """Scoring mode -> the shift from which on something is wrong, where it is not that of the mode's unit."""
    suite: Suite
    versions: dict[str, str] = {}
    """Package -> its version; another one is said, and no verdict."""
    tasks: dict[str, Asked]
    lines: list[Line]
    checksum: str = ""
    """In a file: the beginning of the sha256 of all that stands beside it."""

    @property
    def exact(self) -> bool:
        """Whether the same code gives the same digits on every machine: scripted respondents compute with no model."""
        return self.suite.backend == "scripted"

    @property
    def units(self) -> dict[str, str]:
        """Scoring mode -> unit."""
        return {line.scoring: line.unit for line in self.lines}


def is_name(name: str) -> bool:
    """Whether a baseline may be called so."""
    return bool(_NAME.fullmatch(name))


def named(name: str) -> str:
    """Return `name`; TraitbenchUsage where it cannot be that of a file."""
    if not is_name(name):
        raise TraitbenchUsage(f"--name {name!r}: expected letters, digits and . _ @ , = + -, e.g. --name mymodel")
    return name


def made_of(path: Path, name: str, reason: str = "", margins: Mapping[str, float] | None = None) -> Baseline:
    """Make the baseline of a results file, from the samples beside it. BadData where they are damaged."""
    found = graded(path)
    kept = found.kept
    plan = {key: value for key, value in kept.config.items() if key not in UNDECIDING}
    prepared = prepare(plan_of(kept.config))
    controls = {c.name: c.control_hash for c in kept.conditions} if kept.config.get("control") else {}
    files = _files(prepared.spec.source, kept.model)
    computing = _DECIDING if kept.model_source != "scripted" else ()
    return Baseline(
        name=name,
        reason=reason,
        made=datetime.fromtimestamp(kept.date, UTC).date().isoformat(),
        plan=plan,
        margins=dict(margins or {}),
        suite=Suite(
            backend=kept.model_source, model=kept.model, files=files,
            method=f"{kept.method['name']} {kept.method['version']}", messages=digest(kept.controls), controls=controls,
        ),
        versions={package: metadata.version(package) for package in ("traitbench", *computing)},
        tasks={task: _asked(found, task, prepared.requests[task]) for task in kept.versions},
        lines=[line for task in kept.versions for line in lines_of(task, kept, found.samples[task])],
    )  # fmt: skip


def _files(source: str, model: Mapping[str, Any]) -> dict[str, str]:
    """The files of a model in a folder, as long as they are those that were asked."""
    folder = Path(source)
    files = held(folder) if "weights" in model and folder.is_dir() else {}
    return files if joined(files) == model.get("weights") else {}


def _asked(found: Graded, task: str, requests: list[Request]) -> Asked:
    keys: dict[Trait, dict[str, Literal[1, -1]]] = {}
    clusters: dict[str, str] = {}
    prompts: dict[str, list[list[str]]] = {}
    first = {_place(request.doc) for request in requests}
    for row in found.samples[task]:
        unit = unit_of(row)
        keys.setdefault(row.trait, {}).setdefault(unit, row.keyed)
        if cluster := row.facet if row.context is None else row.item:
            clusters.setdefault(unit, cluster)
        # What is asked later holds what the model said, and that is for the values to show.
        if (place := _place(row.place)) in first:
            prompts.setdefault(row.condition, []).append([place, row.prompt_hash])
    content = [[_place(request.doc), request.content()] for request in requests]
    return Asked(
        version=found.kept.versions[task],
        responses=len(found.samples[task]),
        keys=keys,
        clusters=clusters,
        requests=digest(content),
        prompts={condition: digest(sorted(told)) for condition, told in prompts.items()},
    )


def _place(doc: Doc) -> str:
    """The cell of the grid; keys are compared by themselves."""
    return doc.model_dump_json(exclude={"keyed"})


def plan_for(baseline: Baseline, folder: Path, given: Mapping[str, Any]) -> Plan:
    """The plan that asks `baseline` again; `given` are flags of the caller's, `folder` that of the baselines.

    Of stored controls those beside the baselines are meant. With another model the revision of the first is left out.
    """
    told = dict(baseline.plan)
    for flag, value in given.items():
        if flag == "model":
            told["model_args"] = {k: v for k, v in told.get("model_args", {}).items() if k != "revision"}
        told[flag] = {**told.get(flag, {}), **value} if isinstance(value, Mapping) else value
    if told.get("control"):
        told["control"] = [str(folder / place) for place in told["control"]]
        # The controls say by themselves which method made them.
        told = {key: value for key, value in told.items() if key not in ("method", "method_args")}
    return plan_of(told)


def parsed(text: str, where: str) -> Baseline:
    """Read a baseline; `where` is for messages. BadData for what is none, or was changed by hand."""
    read: Any = None
    try:
        read = json.loads(text)
        found = Baseline.model_validate({**read, "checksum": ""})
    except (ValueError, TypeError, RecursionError) as error:
        version = read.get("schema_version") if isinstance(read, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise BadData(
                f"{where} was made by a newer traitbench: its schema version is {version}, and this one reads up to "
                f"{SCHEMA_VERSION}; upgrade: pip install --upgrade traitbench"
            ) from None
        raise BadData(
            f"{where} is no baseline: {str(error).splitlines()[0]}; expected a file that `traitbench check --update` "
            "wrote"
        ) from None
    if read.get("checksum") != _sealed(found)["checksum"]:
        raise BadData(
            f"{where} was changed by hand: its checksum is not that of what it holds; take the committed file, or "
            "write it anew: traitbench check --update --reason TEXT"
        )
    return found


def write(baseline: Baseline, folder: Path) -> Path:
    """Write a baseline into `folder` under its name, and return the file."""
    path = folder / f"{named(baseline.name)}.json"
    write_json(path, _sealed(baseline))
    return path


def _sealed(baseline: Baseline) -> dict[str, Any]:
    # Where no file is known none is written, as in baselines of before there were any.
    files = () if baseline.suite.files else ("files",)
    return sealed(baseline.model_dump(mode="json", exclude={"checksum": True, "suite": set(files)}))
