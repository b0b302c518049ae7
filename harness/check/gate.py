"""Ask every baseline afresh and compare: one verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from traitbench.check.baseline import Baseline, is_name, made_of, parsed, plan_for
from traitbench.check.comparing import EXIT_CODES, POWER, Compared, Verdict, compared, margins_of, worst
from traitbench.check.repository import from_base
from traitbench.errors import BadData, TraitbenchError, TraitbenchUsage, unknown
from traitbench.files import read_text
from traitbench.progress import Progress
from traitbench.runs.compare.judged import Amount
from traitbench.runs.evaluate import evaluate
from traitbench.types import Record

__all__ = ["Asking", "Checked", "asked", "check", "chosen", "held"]


class Asking(NamedTuple):
    """Which baselines are asked again, and what of their plans is said anew."""

    only: Sequence[str] = ()
    """Names; empty: all."""
    tasks: Sequence[str] = ()
    """Only those that ask one of these."""
    method: str | None = None
    """Only those of this method."""
    flags: Mapping[str, Any] = {}
    """model, model_args, device, batch_size: in place of what the plan says."""
    keep: Path | None = None
    """Where what was asked is kept; a temporary folder otherwise."""

    @property
    def same_model(self) -> bool:
        """Whether the code is under test; a model that is named is itself."""
        return "model" not in self.flags


class Checked(Record):
    """What `traitbench check` found."""

    verdict: Verdict
    source: str
    """Where the baselines come from."""
    model: str | None = None
    """The model under test; null where the code is."""
    power: float
    baselines: list[Compared]

    @property
    def exit_code(self) -> int:
        """0 pass, 4 regression, 5 inconclusive, 2 invalid."""
        return EXIT_CODES[self.verdict]


def check(
    folder: Path,
    asking: Asking,
    progress: Progress,
    tell: Callable[[str], None],
    base: str | None = None,
    margin: Amount | None = None,
    power: float = POWER,
) -> Checked:
    """Ask the baselines of `folder` again and compare what comes back, item by item.

    `base`: a branch whose baselines count where this one did not write them anew. `margin`: a number, or one a scoring
    mode, in the unit of the values. Nothing that was answered before is used. BadData where there is no baseline; what
    goes wrong with one of them makes that one invalid.
    """
    if not 0 < power < 1:
        raise TraitbenchUsage(f"--power {power:g}: expected a share between 0 and 1, e.g. --power 0.8")
    source, texts, notes = _texts(folder, base)
    read: dict[str, Baseline | str] = {}
    for name, text in texts.items():
        try:
            read[name] = _as_named(name, parsed(text, f"{folder / name}.json"))
        except BadData as error:
            read[name] = str(error)
    read, found = chosen(read, asking, folder), []
    _check_margin(read, margin, asking.same_model)
    with asked_in(asking.keep) as place:
        for name, then in read.items():
            tell(f"checking {name}")
            one = _one(name, then, folder, place, asking, progress, tell, margin, power)
            found.append(one.model_copy(update={"notes": [*notes.get(name, ()), *one.notes]}))
    return Checked(
        verdict=worst([one.verdict for one in found]), source=source, model=asking.flags.get("model"), power=power,
        baselines=found,
    )  # fmt: skip


def _one(
    name: str, then: Baseline | str, folder: Path, place: Path, asking: Asking, progress: Progress,
    tell: Callable[[str], None], margin: Amount | None, power: float,
) -> Compared:  # fmt: skip
    if isinstance(then, str):
        return Compared(name=name, verdict="invalid", differs=[then])
    try:
        now = asked(then, folder, place, asking, progress, tell)
        return compared(then, now, margin, power, asking.same_model)
    except TraitbenchError as error:
        return Compared(name=name, verdict="invalid", differs=[str(error)])


def asked(
    baseline: Baseline, folder: Path, place: Path, asking: Asking, progress: Progress, tell: Callable[[str], None]
) -> Baseline:
    """Ask the plan of a baseline afresh, below `place`. BadData where calls failed."""
    plan = plan_for(baseline, folder, asking.flags)
    plan = plan.model_copy(update={"output_path": str(place / baseline.name), "no_resume": True})
    results, path = evaluate(plan, progress, tell)
    if failed := sum(results.n_failed.values()):
        raise BadData(f"{failed} calls failed, so there is nothing to compare; check again when the model answers")
    made = made_of(path, baseline.name, baseline.reason, baseline.margins)
    if plan.control:
        made = made.model_copy(update={"plan": baseline.plan})
    return made


@contextmanager
def asked_in(keep: Path | None) -> Iterator[Path]:
    """A folder for what is asked: `keep`, or one that goes when all is compared."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="traitbench-check-") as made:
        yield Path(made)


def chosen(read: Mapping[str, Baseline | str], asking: Asking, folder: Path) -> dict[str, Baseline | str]:
    """Those of the baselines that are meant. UnknownName for a wrong name, BadData where none is left."""
    if not read:
        raise BadData(
            f"{folder} holds no baseline; make one of a run: traitbench run ..., then "
            "traitbench check --update RUN --reason TEXT"
        )
    for name in asking.only:
        if name not in read:
            raise unknown("baseline", name, read)
    found = {name: one for name, one in read.items() if not asking.only or name in asking.only}
    if asking.tasks or asking.method:
        found = {name: one for name, one in found.items() if isinstance(one, str) or _of(one, asking)}
    if not found:
        told = f"asks {','.join(asking.tasks) or 'anything'}{f' under {asking.method}' if asking.method else ''}"
        raise BadData(f"no baseline of {folder} {told}; it holds {', '.join(read)}")
    return found


def _of(baseline: Baseline, asking: Asking) -> bool:
    named = {*baseline.tasks, *baseline.plan.get("tasks", ())}
    return (not asking.tasks or bool(named & {*asking.tasks})) and asking.method in (None, baseline.plan.get("method"))


def held(folder: Path) -> dict[str, str]:
    """Name -> text of the baselines that lie in a folder."""
    found = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            found[path.stem] = read_text(path, "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadData(f"cannot read {path}: {error}; expected a file that `traitbench check` wrote") from None
    return found


def _texts(folder: Path, ref: str | None) -> tuple[str, dict[str, str], dict[str, list[str]]]:
    """Where baselines come from, name -> text, and what is to be said of each.

    Of two that differ the one written on this branch counts: its reason stands in it, and a reader is told.
    """
    mine, base = held(folder), from_base(folder, ref)
    if base.texts is None:
        return base.told, mine, {}
    texts, notes = dict(base.texts), {}
    for name, text in mine.items():
        if texts.get(name) == text:
            continue
        try:
            reason = parsed(text, str(folder / f"{name}.json")).reason
        except BadData:
            reason = "?"
        notes[name] = [f"{'written anew' if name in texts else 'new'} on this branch: {reason}"]
        texts[name] = text
    for name in texts.keys() - mine.keys():
        notes[name] = ["taken away on this branch; that of the base counts"]
    return base.told, dict(sorted(texts.items())), notes


def _as_named(name: str, baseline: Baseline) -> Baseline:
    if baseline.name != name or not is_name(name):
        raise BadData(f"{name}.json holds the baseline {baseline.name}; expected the name of its file")
    return baseline


def _check_margin(read: Mapping[str, Baseline | str], margin: Amount | None, same_model: bool) -> None:
    """Refuse a margin before anything is asked."""
    known = [one for one in read.values() if not isinstance(one, str)]
    if isinstance(margin, Mapping):
        for mode in margin:
            if not any(mode in one.units for one in known):
                raise unknown("part of --margin", mode, {mode for one in known for mode in one.units})
    for one in known:
        if not (one.exact and same_model):
            margins_of(one, margin)
