"""A run's folder: what it is called, and which folder a name on the command line means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.errors import BadData
from traitbench.files import contents, user_path
from traitbench.store import read_json
from traitbench.tables import plain
from traitbench.types import digest

if TYPE_CHECKING:
    from traitbench.backends.models import ModelSpec
    from traitbench.runs.plan import Prepared
    from traitbench.tasks.task import Task
    from traitbench.types import Target

__all__ = ["UNDECIDING", "find_run", "plan_digest", "run_name", "strays", "without_digest"]

UNDECIDING = frozenset({
    "output_path", "no_resume", "write_out", "batch_size", "device", "mix_conditions", "side_effects",
    "side_effects_limit",
})  # fmt: skip
"""Of a plan: what decides no number by intent, or none but its own (`side_effects`). The device and the weights are in
the key of every response instead, so that a folder is named before anything is loaded, and alike on every machine."""

_JUDGED = frozenset({"judge", "judge_args", "self_judge"})
"""Of a plan: who rates the replies. Another judge rates those that are there, so that nothing is written twice."""

_RESOLVED = frozenset({
    "model", "backend", "method", "method_args", "control", "target", "tasks", "include_path", "reference", "keyed",
    "gen_kwargs",
})  # fmt: skip
_RUNS, _PUBLISHED = Path("results/runs"), Path("results/published")
_DIGEST = re.compile(r"\+[0-9a-f]{8}(?=/|$)")
_LONGEST = 160
"""Characters of a name before its digest; file systems take 255 bytes."""


def run_name(prepared: Prepared) -> str:
    """Name the folder of a run: model@method, the settings that are not the defaults, and its plan's digest."""
    settings = "".join(f",{key}={plain(value)}" for key, value in sorted(prepared.settings.items()))
    text = f"{_model(prepared.spec)}@{prepared.plan.method}{settings}"
    # A name that begins with a dot would be hidden.
    safe = re.sub(r"[^A-Za-z0-9._@,=+-]+", "__", text).lstrip(".")
    return f"{safe[:_LONGEST]}+{plan_digest(prepared)}"


def _model(spec: ModelSpec) -> str:
    """The short name where the weights have one, else as typed, the hub id, or the local folder's own name."""
    from traitbench.backends.models import SHORT_NAMES

    if spec.backend in ("scripted", "endpoint"):
        return spec.name
    if spec.backend == "lm_eval":
        return spec.name if spec.label == spec.name else f"{spec.name}:{spec.label}"
    short = {source: name for name, source in SHORT_NAMES.items()}
    return short.get(spec.source) or (spec.label if Path(spec.source).is_absolute() else spec.source)


def plan_digest(prepared: Prepared) -> str:
    """Digest everything that decides a run, by what its names stand for: the first 8 hexadecimal digits.

    Files count by their contents, a local model by its absolute path. A flag at its default is left out, so that a
    new flag renames no folder.
    """
    from traitbench.targets import drawn

    plan, spec, people = prepared.plan, prepared.spec, prepared.participants
    asked = plan.administration()
    left = UNDECIDING | _RESOLVED | _JUDGED | set(type(asked).model_fields)
    told = plan.model_dump(mode="json", exclude=set(left), exclude_defaults=True)
    if plan.control:
        told["control"] = [control.hash for _, control in prepared.conditions]
    return digest({
        **told,
        "model": [spec.source, spec.revision],
        "model_args": _arguments(prepared),
        "backend": prepared.backend,
        "method": [plan.method, prepared.method.version, _config(prepared)],
        "targets": [_aim(target) for target in prepared.targets],
        "profiles": drawn(plan.target),
        "persons": people.hashes if people else {},
        "tasks": [_task(task, prepared.own) for task in prepared.tasks],
        "administration": asked.model_dump(mode="json", exclude_defaults=True),
        "reference": prepared.reference.model_dump(mode="json") if prepared.reference else None,
    })[:8]  # fmt: skip


def _arguments(prepared: Prepared) -> dict[str, Any]:
    """What of --model_args decides answers; files by their contents."""
    given = prepared.plan.model_args
    if given:
        from traitbench.backends import BACKENDS

        undeciding = BACKENDS.load(prepared.backend).undeciding
        given = {name: value for name, value in given.items() if name not in undeciding}
    return {**given, **contents(given)}


def _config(prepared: Prepared) -> dict[str, Any]:
    config: dict[str, Any] = prepared.method.config.model_dump(mode="json")
    return {**config, **contents(config)}


def _task(task: Task, own: Mapping[str, str]) -> Any:
    """A task by its identity; one of the caller's own by its class and version too, which no table vouches for."""
    return [own[task.id], task.version, task.identity()] if task.id in own else task.identity()


def _aim(target: Target | None) -> Any:
    """A target by what it is: levels, a person's known answers, or a character's texts."""
    if target is None or target.character is None:
        return target and target.model_dump(mode="json", exclude_defaults=True)
    from traitbench.targets import characters

    return [target.name, characters.load(target.character).model_dump(mode="json")]


def without_digest(name: str) -> str:
    """A folder's name, or a path in it, without the plan's digest."""
    return _DIGEST.sub("", name)


def find_run(named: str | Path) -> Path:
    """Find the folder of a run, or a results file in it, by its path or by the beginning of the folder's name.

    An exact name wins, then one that is exact up to its digest; a run that is not finished is one that may be meant, so
    that no other stands in for it, but for one that failed before it had an answer. A bare name is looked for here,
    then in results/runs, then in results/published.
    BadData where there is none, more than one, or one that is not finished.
    """
    path = user_path(named)
    if str(named) and path.is_file():
        return path
    if str(named) and path.is_dir() and _is_run(path, None):
        return _finished(path)
    file = path.name if re.fullmatch(r"results_.*\.json", path.name) else None
    wanted = path.parent if file else path
    # A bare name is looked for where runs lie, unless there is one of that name here.
    places = [wanted.parent, *((_RUNS, _PUBLISHED) if len(wanted.parts) == 1 else ())]
    held = next((runs for place in places if (runs := _beginning(place, wanted.name, file))), [])
    found = [p for p in held if without_digest(p.name) == wanted.name] or held
    found = [p for p in found if _answered(p)] or found
    if not found:
        raise BadData(
            f"{str(named) or repr('')} holds no results_*.json; expected a folder that `traitbench run` wrote, or the "
            f"beginning of its name{_within(path) if str(named) else ''}{_near(places, wanted.name)}"
        )
    if len(found) > 1:
        told = "; ".join(f"{p.name} ({what})" for p, what in zip(found, _differ(found), strict=True))
        raise BadData(f"{named} is the beginning of {len(found)} runs: {told}; type more of one name, up to its digest")
    return found[0] / file if file else _finished(found[0])


def _beginning(place: Path, name: str, file: str | None) -> list[Path]:
    """The runs in `place` whose name begins so. Every name begins with an empty one, which therefore means none."""
    beside = place.iterdir() if name and place.is_dir() else ()
    return sorted(p for p in beside if p.name.startswith(name) and _is_run(p, file))


def _within(place: Path) -> str:
    """The runs in a folder that is none itself."""
    runs = _runs(place)
    many = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return f"; it holds {many}, such as {place / runs[0]}, and score and report take all with --all" if runs else ""


def _runs(place: Path) -> list[str]:
    return [p.name for p in sorted(place.iterdir()) if _is_run(p, None)] if place.is_dir() else []


def _near(places: Sequence[Path], name: str) -> str:
    """The run whose name is nearest, or else some that there are; nothing where there is none."""
    runs = [name for place in places for name in _runs(place)]
    bare = {without_digest(each): each for each in runs}
    if close := difflib.get_close_matches(without_digest(name), bare, n=1, cutoff=0.6):
        return f"; did you mean {close[0]!r}?"
    return f"; runs here: {', '.join(runs[:4])}{f' and {len(runs) - 4} more' if len(runs) > 4 else ''}" if runs else ""


def _finished(folder: Path) -> Path:
    if not any(folder.glob("results_*.json")):
        raise BadData(f"{folder} is not finished: repeat its `traitbench run`, which goes on where it stopped")
    return folder


def _is_run(path: Path, file: str | None) -> bool:
    if file:
        return (path / file).is_file()
    return any((path / begun).is_file() for begun in ("run.json", "responses.jsonl")) or any(
        path.glob("results_*.json")
    )


def strays(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """The settings by which results are of another plan than the folder in which they lie; none where that is unknown.

    Folders of before they were named by their plans hold several.
    """
    try:
        held = read_json(folder / "run.json") if _DIGEST.search(folder.resolve().name) else {}
        plan = held["plan"] if isinstance(held.get("plan"), dict) else {}
    except (BadData, AttributeError, KeyError):
        return []
    names = [name for name in plan if name in config and name not in UNDECIDING | _JUDGED]
    return [name for name in names if plan[name] != config[name]]


def _answered(path: Path) -> bool:
    journal = path / "responses.jsonl"
    return any(path.glob("results_*.json")) or (journal.is_file() and journal.stat().st_size > 0)


def _differ(folders: Sequence[Path]) -> list[str]:
    """Say of each folder what its plan has that those of the others have not, and whether it is unfinished."""
    plans = [_plan(folder) for folder in folders]
    names = [key for key in dict.fromkeys(k for plan in plans for k in plan) if key not in UNDECIDING]
    apart = [key for key in names if any(plan.get(key) != plans[0].get(key) for plan in plans)]
    told = [[f"{key}={_shown(plan.get(key))}" for key in apart] or ["other files or versions"] for plan in plans]
    unfinished = [[] if any(folder.glob("results_*.json")) else ["not finished"] for folder in folders]
    return [", ".join(what + more) for what, more in zip(told, unfinished, strict=True)]


def _plan(folder: Path) -> Mapping[str, Any]:
    """Read the plan that a folder's newest results, or run.json, were made by; empty where neither can be read."""
    for path in (*sorted(folder.glob("results_*.json"), reverse=True), folder / "run.json"):
        try:
            kept = read_json(path)
            plan = kept.get("config") or kept.get("plan")
        except (BadData, AttributeError):
            continue
        if isinstance(plan, dict):
            return plan
    return {}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key}:{_shown(each)}" for key, each in sorted(value.items())) or "none"
    return "none" if value is None else str(value)
