"""What notebooks and other packages call: evaluate, fit and load_results, by names or with objects of one's own."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traitbench import controls
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.methods.fitted import name_of
from traitbench.methods.method import Method
from traitbench.progress import Bar
from traitbench.runs import evaluate as engine
from traitbench.runs import fit as fits
from traitbench.runs.finished import current, rescore
from traitbench.runs.flags import listed, plan_of
from traitbench.runs.plan import Given, Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.results import SCHEMA_VERSION, Results, expected_sha256
from traitbench.runs.sealed import opened
from traitbench.store import check_samples, read_json
from traitbench.tasks.task import Task
from traitbench.types import Control, Target

__all__ = ["evaluate", "fit", "load_results"]

_Method = str | Method | type[Method]
_Task = str | Task | type[Task]
_LOGGER = logging.getLogger("traitbench")


def evaluate(
    plan: Plan | None = None,
    /,
    *,
    model: str | None = None,
    method: _Method | None = None,
    tasks: _Task | Sequence[_Task] | None = None,
    target: str | Target | None = None,
    **flags: Any,
) -> Results:
    """Measure a model with and without a control, as `traitbench run` does, and return the results.

    What is left out has the default of the command. `flags` are its other flags, which are the fields of `Plan`:
    `evaluate(model="smollm2", method="prompting", method_args={"style": "p2"}, limit=20)`. A ready plan can be given
    instead of all of them. Progress goes to stderr; the run's folder lies below `output_path` (results/runs), the file
    is `Results.path`, and the same call goes on where it stopped.

    In place of a name a method may be a class or an object, a task a class (made of the plan's administration) or an
    object, and a target a `Target`. What no table names, plan and results call `module:Class` (a task object
    `module:Class:id`); that name, its `version` and its configuration (a task's `identity()`) decide the run's folder,
    so raise the version when the code changes what is made or asked. Commands find tasks by name, so only the same call
    of evaluate computes such a task again.

    Raises TraitbenchError before a model is loaded where the plan cannot work: UnknownName with a suggestion for a
    wrong flag, name or value.
    """
    asked, given = _asked(plan, model, method, tasks, target, flags)
    with Bar() as bar:
        results, path = engine.evaluate(asked, bar, bar.tell, given)
    if failed := sum(results.n_failed.values()):
        _LOGGER.warning("%d calls failed; the same call asks them again", failed)
    return results.kept_at(path)


def fit(
    plan: Plan | None = None,
    /,
    *,
    model: str | None = None,
    method: _Method | None = None,
    tasks: _Task | Sequence[_Task] | None = None,
    target: str | Target | None = None,
    **flags: Any,
) -> list[Control]:
    """Make a method's controls, one a target, without measuring anything; none for the method `none`.

    Unlike `traitbench fit`, which refuses a method that needs no model, this gives the controls of such a method too.
    Arguments are those of `evaluate`; `tasks` say what is aimed at where there is no target. A control has its
    `messages`, its `edits` with the file `tensors` (safetensors), or its `adapter` (a PEFT folder), its `target`, and
    in `fit` how it came about. Fitted controls lie below output_path/controls, where runs find them; nothing is fitted
    twice.
    """
    asked, given = _asked(plan, model, method, tasks, target, flags)
    prepared = prepare(asked, given)
    if not prepared.method.needs_model:
        return [control for condition, control in prepared.conditions[1:] if condition.headline]
    with Bar() as bar:
        places = list(fits.fit(asked, bar.tell, bar.begin, given))
    if not places:  # accelerate started several processes, and only the first is told the places
        return []
    made = [controls.read(place) for place in places]
    return [control.model_copy(update={"target": aim}) for control, aim in zip(made, prepared.targets, strict=True)]


def load_results(run: str | Path) -> Results:
    """Read the results of a run: its folder, any beginning of the folder's path that means one run, or a results file.

    Of several measurements in a folder the newest whole one counts, and what is passed over is logged. A file of
    an older version is computed again from the samples beside it. BadData where there is no such run, more than one,
    where its file or the samples beside it are damaged, or where a newer version wrote them. A results file alone,
    without samples, is read too.
    """
    paths = current(run, _LOGGER.warning)
    if len(paths) > 1:
        named = ", ".join(path.name for path in paths)
        raise BadData(f"{run} holds results of {len(paths)} designs: {named}; name one of these files")
    (path,) = paths
    held = read_json(path)
    if held.get("schema_version") != SCHEMA_VERSION:
        return rescore(path).kept_at(path)
    try:
        results = opened(path, held).kept_at(path)
    except ValueError as error:
        detail = str(error).splitlines()[0]
        raise BadData(f"{path} is damaged: {detail}; `traitbench score '{path}'` computes it again") from None
    stamp = path.stem.removeprefix("results_")
    for task in results.versions:
        expected = expected_sha256(path, results, task)
        for name in (f"samples_{task}_{stamp}.jsonl", f"samples_{task}_{stamp}.jsonl.gz"):
            if (path.parent / name).is_file():
                check_samples(path.parent / name, expected)
                break
    return results


def _asked(
    plan: Plan | None,
    model: str | None,
    method: _Method | None,
    tasks: _Task | Sequence[_Task] | None,
    target: str | Target | None,
    flags: dict[str, Any],
) -> tuple[Plan, Given]:
    """Put names in the place of objects, and check everything as the command line is checked."""
    values = {"model": model, "method": method, "tasks": tasks, "target": target}
    values = {**{name: value for name, value in values.items() if value is not None}, **flags}
    if plan is not None:
        if values:
            raise TraitbenchUsage(
                f"a plan was given, and {', '.join(values)} beside it; give the plan alone, or "
                "plan.model_copy(update={...})"
            )
        return plan, Given()
    own: Method | type[Method] | None = None
    if method is not None and not isinstance(method, str):
        own = _method(method)
        values["method"] = name_of(own if isinstance(own, type) else type(own))
    mine: dict[str, Task | type[Task]] = {}
    if tasks is not None:
        given = listed(tasks)
        every = list(given) if isinstance(given, list | tuple) else [given]
        mine = {_named(task): task for task in every if not isinstance(task, str)}
        values["tasks"] = [task if isinstance(task, str) else _named(task) for task in every]
    if isinstance(target, Target):
        values["target"] = _written(target)
    return plan_of(values, dashes="", help="; see traitbench.Plan for what each takes"), Given(own, mine)


def _method(given: object) -> Method | type[Method]:
    kind = given if isinstance(given, type) else type(given)
    if not issubclass(kind, Method):
        raise TraitbenchUsage(f"method = {given!r}: expected a name, or a class or an object of traitbench.Method")
    if missing := [what for what in ("name", "makes", "targets") if not hasattr(kind, what)]:
        raise TraitbenchUsage(
            f"the method {kind.__qualname__} has no {' and no '.join(missing)}; traitbench.Method says what each is"
        )
    _refuse_abstract("method", kind)
    return given  # type: ignore[return-value]


def _named(task: object) -> str:
    """The name of a task of the caller's own in the plan."""
    kind = task if isinstance(task, type) else type(task)
    if not issubclass(kind, Task):
        raise TraitbenchUsage(f"tasks: {task!r}: expected a name, or a class or an object of traitbench.Task")
    _refuse_abstract("task", kind)
    name = f"{kind.__module__}:{kind.__qualname__}"
    return name if isinstance(task, type) else f"{name}:{getattr(task, 'id', '')}"


def _refuse_abstract(what: str, kind: type) -> None:
    if inspect.isabstract(kind):
        lacking = " and no ".join(sorted(getattr(kind, "__abstractmethods__", ())))
        raise TraitbenchUsage(
            f"the {what} {kind.__qualname__} has no {lacking}; see traitbench.{what.title()} for what each does"
        )


def _written(target: Target) -> str:
    """A target as --target takes it; a person is named by a table of answers there."""
    if target.person is not None:
        raise TraitbenchUsage(
            f"target = {target.name}: a person is aimed at by their table of answers; give person:FILE or person:papi"
        )
    if target.character is not None or Target.parse(target.name, target.levels) == target:
        return target.name
    return ",".join(f"{trait}={level!r}" for trait, level in target.levels.items())
