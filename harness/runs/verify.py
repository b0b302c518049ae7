"""Whether what runs wrote is still as it was written: results, samples, side effects, answers and controls.

Nothing is computed or changed. What `score`, `export`, `report`, `compare` and `leaderboard` refuse is found here for a
whole shelf at once, and each fault is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from traitbench import controls
from traitbench.errors import BadData
from traitbench.files import user_path
from traitbench.journal import damaged, fault
from traitbench.runs.folders import find_run, strays
from traitbench.runs.projected import kept
from traitbench.runs.results import SCHEMA_VERSION, Kept, Results, expected_sha256
from traitbench.runs.sealed import check_file
from traitbench.runs.side_effects import checked
from traitbench.samples import Sample
from traitbench.store import check_samples, read_json, read_lines, samples_file

__all__ = ["Found", "verify"]


@dataclass
class Found:
    """What was looked at, and what is wrong with it."""

    results: int = 0
    """Results files."""
    unsealed: int = 0
    """Those of older versions, which have no checksum: their samples are checked, and their numbers cannot be."""
    lines: int = 0
    """Samples and kept answers."""
    controls: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """In one line."""
        older = f" ({self.unsealed} of older versions, without a checksum of their own)" if self.unsealed else ""
        files = "1 results file" if self.results == 1 else f"{self.results} results files"
        seen = f"{files}{older}, {self.lines:,} lines of answers, {self.controls} controls"
        return f"{seen}: {f'{len(self.faults)} faults' if self.faults else 'all as they were written'}"


def verify(named: str | Path, begin: Callable[[str, int], Callable[[int], None]] | None = None) -> Found:
    """Look at everything in a folder, of one run or of many; `begin` is told of progress.

    `named` is a folder, or names a run as for `score`. BadData where there is nothing to look at.
    """
    place = user_path(named) if user_path(named).is_dir() else find_run(named)
    found, parts = Found(), list(_parts(place))
    step = begin(f"verifying {place}", len(parts)) if begin else None
    for look, path in parts:
        try:
            look(found, path)
        except BadData as error:
            found.faults.append(f"{error}{_newer(path)}")
        if step:
            step(1)
    if not (found.results or found.lines or found.controls or found.faults):
        raise BadData(f"{place} holds no run and no control; expected a folder that `traitbench run` or `fit` wrote")
    return found


def _parts(place: Path) -> Iterator[tuple[Callable[[Found, Path], None], Path]]:
    within = [place] if place.is_file() else []
    yield from ((_results, path) for path in within or sorted(place.rglob("results_*.json")))
    if place.is_dir():
        yield from ((_read, path) for name in ("run.json", "prompts_*.json.gz") for path in sorted(place.rglob(name)))
        yield from ((_answers, path) for path in sorted(place.rglob("responses.jsonl")))
        yield from ((_control, path.parent) for path in sorted(place.rglob("control.json")))


def _newer(path: Path) -> str:
    """What may be done about results that were made again."""
    later = sorted(p.name for p in path.parent.glob("results_*.json") if p.name > path.name)
    if not path.name.startswith("results_") or not later:
        return ""
    return f"; where {later[-1]}, made later, has no fault, delete this one with its samples"


def _results(found: Found, path: Path) -> None:
    found.results += 1
    try:
        raw = read_json(path)
        check_file(path, raw)
        older = isinstance(raw, dict) and raw.get("schema_version") != SCHEMA_VERSION
        held = (Kept if older else Results).model_validate(raw)
        found.unsealed += "checksum" not in raw
    except ValueError as error:
        raise BadData(f"{path} is no results file of this version: {str(error).splitlines()[0]}") from None
    if apart := strays(path.parent, held.config):
        raise BadData(f"{path} is of another plan than run.json beside it: {', '.join(apart)}; copy both again")
    for task in held.versions:
        source = samples_file(path.parent, task, path.stem.removeprefix("results_"))
        rows = read_lines(source, Sample)
        found.lines += len(rows)
        check_samples(source, expected_sha256(path, held, task))
        if len(rows) != held.n_responses[task]:
            raise BadData(f"{source} holds {len(rows)} samples, but {path.name} says {held.n_responses[task]}")
    checked(path, held.side_effects)
    kept(path)


def _read(found: Found, path: Path) -> None:
    if not isinstance(read_json(path), dict):
        raise BadData(f"{path} is not what `traitbench` wrote; copy it again")


def _answers(found: Found, path: Path) -> None:
    many, wrong = damaged(path)
    found.lines += many
    if wrong:
        raise BadData(fault(path, wrong))


def _control(found: Found, folder: Path) -> None:
    found.controls += 1
    controls.read(folder)
