"""The board in words: which method works best, what it costs and breaks, how sure that is. A tie is told as a tie."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from traitbench.charts.chart import plain
from traitbench.report.board.instruments import Instrument
from traitbench.report.parts import count, in_words
from traitbench.tables import ratio
from traitbench.tasks.board import Entry
from traitbench.tasks.standing import Standing

__all__ = ["Told", "duration", "effort", "lead", "many", "place", "tell", "tied"]

MOST_NAMED = 5


class Told(NamedTuple):
    """An instrument in words; HTML, escaped."""

    sentence: str
    facts: dict[str, str]
    """Question -> its answer."""


def duration(seconds: float | None) -> str:
    """Time as people say it."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def many(number: int | None) -> str:
    """A large number with three digits at most."""
    if number is None:
        return "–"
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return str(number)


def effort(entry: Entry) -> str:
    """What a run's controls cost."""
    if entry.fit_seconds is None:
        return "nothing to fit"
    stored = "" if entry.stored_parameters is None else f", {many(entry.stored_parameters)} numbers stored"
    chosen = f", chosen on {entry.effort.chosen_on}" if entry.effort else ""
    return f"fitted in {duration(entry.fit_seconds)}{stored}{chosen}"


def tied(lines: Sequence[Standing]) -> list[Standing]:
    """Those that no other is surely better than."""
    return [line for line in lines if line.rank == 1]


def lead(lines: Sequence[Standing]) -> Standing | None:
    """Who is named first: of those that no other beats, the one with most targets in order, then the largest value."""
    best = tied(lines)
    return max(best, key=lambda line: _share(line), default=None)


def _share(line: Standing) -> float:
    return sum(dot.ok for dot in line.dots) / len(line.dots) if line.dots else 0.0


def place(line: Standing, of: int) -> str:
    """The rank interval in words."""
    if line.rank is None:
        return "not ranked" + (f": {line.unranked}" if line.unranked else "")
    if of == 1:
        return "the only run that is ranked"
    if line.rank_high is None or line.rank_high == line.rank:
        return f"rank {line.rank} of {of}"
    return f"rank {line.rank} to {line.rank_high} of {of}"


def tell(found: Instrument, of: int, where: str) -> Told:
    """One sentence and four answers on the lines of `found`; `of`: how many are ranked among all models."""
    on = f"On {escape(where)}"
    first = lead(found.lines)
    if not found.lines:
        return Told(f"{on}, nothing was controlled: only baselines were measured.", {})
    if first is None:
        return Told(*_nobody(found, on, of))
    several = len(found.models) > 1
    name, value = _name(first, several), first.value.text(first.places)
    number = f"{escape(first.measure)} {value}" + (f" {escape(first.unit)}" if first.unit else "")
    rivals = [line for line in tied(found.lines) if line is not first]
    told = f"{on}, {name} {first.does} ({number})."
    if of == 1:
        told = f"{on}, {name} is the only run that is ranked ({number}): there is none to compare it with."
    if rivals:
        named = [_name(line, several) for line in rivals[:MOST_NAMED]]
        more = len(rivals) - len(named)
        named += [count(more, "other run")] if more > 0 else []
        told = f"{on}, no run is surely better than {name} ({number}){_why(first, rivals)}, nor than {in_words(named)}."
    if first.dots and not _share(first):
        told += f" But it moves none of its {len(first.dots)} targets beyond doubt."
    return Told(told, _facts(first, len(rivals), of))


def _name(line: Standing, several: bool) -> str:
    """What a run is called, its model too where there are several."""
    return f"<b>{escape(line.label)}</b>" + (f" on {escape(line.entry.model)}" if several else "")


def _why(first: Standing, rivals: Sequence[Standing]) -> str:
    """Why it is the one that is named."""
    ok, of, sign = sum(dot.ok for dot in first.dots), len(first.dots), 1 if first.higher_is_better else -1
    if all(sign * (first.value.value or 0) >= sign * (line.value.value or 0) for line in rivals):
        return f", which has the {'largest' if sign > 0 else 'smallest'} {escape(first.measure)}"
    if ok:
        alone = "alone " if _share(first) > max(_share(line) for line in rivals) else ""
        return f", which {alone}moves {f'all {of}' if ok == of else f'{ok} of {of}'} targets beyond doubt"
    return ""


def _nobody(found: Instrument, on: str, of: int) -> tuple[str, dict[str, str]]:
    if of:
        return f"{on}, no run of this model is ranked first; the table says where each stands.", {}
    reasons = list(dict.fromkeys(line.unranked for line in found.lines if line.unranked))
    why = f" Why not: {escape(in_words(reasons))}." if reasons else ""
    return f"{on}, <b>nothing is ranked</b>: none of {count(len(found.lines), 'run')} can be said to work.{why}", {}


def _verdict(line: Standing) -> str:
    reasons = line.reasons
    if len(reasons) == 1 and not any(dot.reasons for dot in line.dots):
        return f"verdict {reasons[0]}"
    return f"verdict {line.verdict}" + (f" for {count(len(reasons), 'reason')}" if reasons else "")


def _facts(line: Standing, others: int, of: int) -> dict[str, str]:
    ok, targets = sum(dot.ok for dot in line.dots), len(line.dots)
    sure = [place(line, of)]
    sure += [f"{ok} of {targets} targets in order"] if targets else []
    sure += [f"interval over {in_words(list(line.covers))}"] if line.covers else []
    sure += [_verdict(line)] if line.verdict else []
    broken = ["nothing is edited" if line.damage is None else f"plain prose × {ratio(line.damage)} as perplexing"]
    broken += [] if line.leakage is None else [f"other traits move {plain(line.leakage, line.places)} along"]
    specific = line.specific.text(line.places) if line.specific.value is not None else ""
    works = line.value.text(line.places) + (f" {line.unit}" if line.unit else "")
    works += f"; {specific} beyond looking better or worse" if specific else ""
    works += f"; {count(others, 'other run')} not surely beaten either" if others else ""
    return {
        "Works best" if of > 1 else "What it does": f"<b>{escape(line.label)}</b> <span>{escape(works)}</span>",
        "Costs": escape(effort(line.entry)),
        "Breaks": escape("; ".join(broken)),
        "How sure": escape("; ".join(sure)),
    }
