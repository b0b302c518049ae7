"""New baselines: of a finished run, or of the plans that are there, asked again; each says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from traitbench.check.baseline import Baseline, made_of, named, parsed, write
from traitbench.check.comparing import undecidable
from traitbench.check.gate import Asking, asked, asked_in, chosen, held
from traitbench.check.repository import changes, commit
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.files import read_text
from traitbench.progress import Progress
from traitbench.runs.checkout import git_hash
from traitbench.runs.compare.judged import Amount, amounts
from traitbench.runs.finished import current
from traitbench.runs.folders import without_digest
from traitbench.runs.stored import folders
from traitbench.store import read_json

__all__ = ["update"]


def update(
    folder: Path,
    reason: str | None,
    asking: Asking,
    progress: Progress,
    tell: Callable[[str], None],
    run: str = "",
    name: str | None = None,
    margin: Amount | None = None,
) -> list[Path]:
    """Write baselines into `folder` and return their files: of the run `run`, or those that are there, asked again.

    `name` is what the baseline of a run is called, its folder's name where it is left out. `margin` stays in the file
    and is what later checks go by. TraitbenchUsage without a reason, or with uncommitted changes: values of code that
    nobody else can get are no baseline. BadData for a run that cannot be one.
    """
    reason = " ".join((reason or "").split())
    if not reason:
        raise TraitbenchUsage("--update says what becomes right from now on, so it needs --reason TEXT: why is it?")
    if changed := changes(folder):
        told = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise TraitbenchUsage(
            f"--update: {len(changed)} files have uncommitted changes ({told}), so nobody could get these values "
            "again; commit them first"
        )
    at = commit(folder)
    if at is None:
        tell(f"{folder} is in no git repository: whether the code is as committed cannot be said")
    if run:
        made = [_of_run(folder, run, name, reason, margin, tell)]
    else:
        made = _again(folder, name, reason, margin, asking, progress, tell)
    for one in made:
        _warn(one, tell)
    return [write(one.model_copy(update={"commit": at}), folder) for one in made]


def _warn(made: Baseline, tell: Callable[[str], None]) -> None:
    """Say of which lines a check of a model could never pass."""
    if never := undecidable(made):
        limit = made.plan.get("limit")
        tell(
            f"{made.name}: with --model, {len(never)} of {len(made.lines)} lines can never pass, e.g. {never[0].name}: "
            f"{never[0].items} items, {never[0].why}; it is good for a check of the code alone. For a model, make the "
            f"baseline of a run {f'without --limit {limit:g}' if limit else 'of a longer instrument'}"
        )


def _of_run(
    folder: Path, run: str, name: str | None, reason: str, margin: Amount | None, tell: Callable[[str], None]
) -> Baseline:
    paths = current(run, tell)
    if len(paths) > 1:
        raise BadData(f"{run} holds results of {len(paths)} designs; name one: {', '.join(str(p) for p in paths)}")
    (path,) = paths
    _check_code(path)
    called = named(name or without_digest(path.resolve().parent.name))
    made = made_of(path, called, reason)
    if failed := sum(read_json(path)["n_failed"].values()):
        raise BadData(f"{path}: {failed} calls failed; repeat its `traitbench run`, which asks them again")
    if made.plan.get("control"):
        made = made.model_copy(update={"plan": {**made.plan, "control": _kept(folder, made.plan["control"])}})
    there = folder / f"{called}.json"
    if there.is_file():
        before = parsed(read_text(there, "utf-8"), str(there))
        if before.plan != made.plan:
            raise TraitbenchUsage(f"{there} is the baseline of another plan; give this one another name: --name NAME")
    return _with_margins(made, margin)


def _check_code(path: Path) -> None:
    """Refuse a run that other code made: what was asked is told by the code that is here. BadData."""
    held, run = read_json(path), path.parent / "run.json"
    was = (held.get("git_hash"), read_json(run).get("version") if run.is_file() else None)
    here = (git_hash(), version("traitbench"))
    for before, now in zip(was, here, strict=True):
        if before and now and before != now:
            raise BadData(
                f"{path} was made by traitbench {before}, and this is {now}; repeat its `traitbench run` first"
            )


def _kept(folder: Path, controls: list[str]) -> list[str]:
    """Copy stored controls beside the baselines, and return where they lie there."""
    out = []
    for place in folders(controls):
        to = folder / "controls" / place.resolve().name
        if not to.exists():
            shutil.copytree(place, to)
        out.append(f"controls/{to.name}")
    return out


def _again(
    folder: Path, name: str | None, reason: str, margin: Amount | None, asking: Asking, progress: Progress,
    tell: Callable[[str], None],
) -> list[Baseline]:  # fmt: skip
    if name is not None:
        raise TraitbenchUsage("--name is of a new baseline: --update RUN; those that are there are named by --only")
    read: Mapping[str, Baseline | str] = {
        key: parsed(text, f"{folder / key}.json") for key, text in held(folder).items()
    }
    made = []
    with asked_in(asking.keep) as place:
        for key, one in chosen(read, asking, folder).items():
            assert isinstance(one, Baseline)
            tell(f"asking {key}")
            now = asked(one, folder, place, asking, progress, tell)
            now = now.model_copy(update={"reason": reason})
            made.append(_with_margins(now, margin))
    return made


def _with_margins(made: Baseline, margin: Amount | None) -> Baseline:
    """The baseline with the margins that were given for its modes, beside those that it has."""
    if isinstance(margin, Mapping):
        margin = {mode: value for mode, value in margin.items() if mode in made.units}
    return made.model_copy(update={"margins": made.margins | amounts(margin, "margin", made.units)})
