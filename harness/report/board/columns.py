"""The columns of the board: a cell as it is shown, and what it is sorted by; a row as data, for downloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from traitbench.charts.chart import Estimate, plain, slug
from traitbench.charts.theme import VERDICTS
from traitbench.report.board import drawings
from traitbench.report.board.drawings import Scale
from traitbench.report.board.words import duration, lead, many, tied
from traitbench.report.overview import verdict
from traitbench.tables import ratio
from traitbench.tasks.board import Capability, Cell, Projection, capability_cell, projection_cell
from traitbench.tasks.standing import Standing

__all__ = ["Column", "Context", "columns", "doubts", "record"]


class Context(NamedTuple):
    """What the cells of one table share."""

    scale: Scale | None
    """Of the intervals."""
    best: Sequence[Standing]
    """Those that no other is surely better than."""
    farthest: float
    """The end of the drawings of distances to people."""
    first: Standing | None
    """Who is named first."""

    @classmethod
    def of(cls, lines: Sequence[Standing], shown: Sequence[Standing]) -> Context:
        """What the table of `shown` shares, some of an instrument's `lines` or of what is trivial beside them."""
        far = [d for x in shown if x.people for d in (x.people.distance, x.people.identity, x.people.sampled.high) if d]
        return cls(drawings.scale_of(shown), tied(lines), 1.05 * max(far, default=1.0), lead(lines))


class Column(NamedTuple):
    """One column of a table of lines."""

    key: str
    """In the address of the page: letters and hyphens."""
    name: str
    explains: str
    """For the heading's tooltip and the glossary; empty where the name says it."""
    cell: Callable[[Standing, Context], tuple[str, float | None]]
    """HTML and what it is sorted by; null stands last."""
    shown: bool = True
    """Unless the reader asks for it."""


def columns(lines: Sequence[Standing]) -> list[Column]:
    """Those that any of `lines` fills, in the order in which a newcomer asks, after rank and method."""
    measure = next((line.measure for line in lines if line.measure), "value")
    unit = next((f", {line.unit}" for line in lines if line.unit), "")
    fixed = [
        Column("effect", f"{measure} [95 %]{unit}", _EXPLAINS.get(measure, ""), _effect),
        Column("targets", "targets", "One dot a target, in order: full where it moved as aimed beyond doubt.", _dots),
        Column("specific", "specific [95 %]", "The effect less what made all traits look better or worse.", _specific),
        Column("leakage", "leakage", "How far the other traits moved along.", _leakage),
        Column("damage", "damage", "Perplexity of plain prose, over that of the plain model: 1 is none.", _damage),
        Column("capability", "capability [95 %]", _CAPABILITY, _capability, False),
        Column("projection", "projection [95 %], SD", _PROJECTION, _projection, False),
        Column("people", "distance to people", _PEOPLE, _people),
        Column(
            "cost", "fit time, stored", "Time that fitting took, all targets together; numbers that it stored.", _cost
        ),
        Column("better", "chance to be better", "Than another run of the table, ties counted half.", _better, False),
    ]
    filled = [c for c in fixed if any(c.cell(line, Context.of([], [line]))[1] is not None for line in lines)]
    told = [_told(name, shown) for name, shown in _names(lines).items()]
    return [*filled, *told, Column("verdict", "verdict", "Whether the numbers mean anything at all.", _verdict)]


_EXPLAINS = {
    "effect": "How far the traits aimed at moved, mean over targets, with its interval.",
    "error": "How far from the persons' own answers: less is nearer.",
}
_CAPABILITY = (
    "Points of accuracy that tasks of lm-eval lost (below zero) or gained under the controls, mean over tasks and "
    "targets. Runs on other tasks, or on fewer documents, are not comparable."
)
_PROJECTION = (
    "How far the texts lie from the baseline's along directions that aim at the targets, in standard deviations of "
    "these. Replies are read by the model without the control: whether words follow."
)
_PEOPLE = (
    "Of the correlations among traits. Band: people themselves, in samples of the same size; line: unrelated traits. "
    "Descriptive, never ranked."
)


def _names(lines: Sequence[Standing]) -> dict[str, bool]:
    """Further column -> whether it is shown unasked."""
    found = {name: True for line in lines for name, cell in line.beside.items() if cell.value is not None}
    return found | {name: False for line in lines for name, cell in line.more.items() if cell.value is not None}


def _told(name: str, shown: bool) -> Column:
    def cell(line: Standing, context: Context) -> tuple[str, float | None]:
        found = {**line.beside, **line.more}.get(name, Cell("–"))
        small = f' <span class="small below">{escape(found.small)}</span>' if found.small else ""
        return escape(found.text) + small, found.value

    return Column(slug(name), name, "", cell, shown)


def kind_of(line: Standing, context: Context) -> str:
    """How a line's point is drawn: among the best, another, or without a rank."""
    return "hollow" if line.rank is None else "best" if line in context.best else "other"


def _effect(line: Standing, context: Context) -> tuple[str, float | None]:
    if line.value.value is None:
        return "–", None
    drawn = drawings.interval(line, context.scale, kind_of(line, context)) if context.scale else ""
    return f'{drawn}<span class="value">{_numbers(line.value, line.places)}</span>', line.value.value


def _numbers(value: Estimate, places: int) -> str:
    """The number, and its interval in smaller print."""
    number, _, rest = value.text(places).partition(" ")
    return number + (f' <span class="ci">{rest}</span>' if rest else "")


def _dots(line: Standing, context: Context) -> tuple[str, float | None]:
    if not line.dots:
        return "–", None
    return drawings.dots(line.dots, line.places), sum(dot.ok for dot in line.dots) / len(line.dots)


def _specific(line: Standing, context: Context) -> tuple[str, float | None]:
    return _numbers(line.specific, line.places), line.specific.value


def _leakage(line: Standing, context: Context) -> tuple[str, float | None]:
    return plain(line.leakage, line.places), line.leakage


def _damage(line: Standing, context: Context) -> tuple[str, float | None]:
    if line.damage is None:
        return "–" if line.trivial else '<span class="small">no edits</span>', None
    return f"× {ratio(line.damage)}", line.damage


def _capability(line: Standing, context: Context) -> tuple[str, float | None]:
    return _whole(capability_cell(line.entry))


def _projection(line: Standing, context: Context) -> tuple[str, float | None]:
    return _whole(projection_cell(line.entry))


def _whole(found: Cell) -> tuple[str, float | None]:
    small = f' <span class="small below">{escape(found.small)}</span>' if found.small else ""
    return escape(found.text) + small, found.value


def _people(line: Standing, context: Context) -> tuple[str, float | None]:
    if line.people is None:
        return "–", None
    drawn = drawings.people(line.people, context.farthest)
    return f'{drawn}<span class="value">{plain(line.people.distance)}</span>', line.people.distance


def _cost(line: Standing, context: Context) -> tuple[str, float | None]:
    entry = line.entry
    if line.trivial or entry.fit_seconds is None:
        return "–", None
    return (
        f'{duration(entry.fit_seconds)}<span class="small">, {many(entry.stored_parameters)}</span>',
        entry.fit_seconds,
    )


def _better(line: Standing, context: Context) -> tuple[str, float | None]:
    return plain(line.superiority), line.superiority


def _verdict(line: Standing, context: Context) -> tuple[str, float | None]:
    worst = VERDICTS.index(line.verdict) if line.verdict in VERDICTS else None
    spoilt = "" if not line.entry.contaminated or line.trivial else '<strong class="spoilt">contaminated</strong>'
    return verdict(line.verdict, [*line.reasons, *doubts(line)]) + spoilt, None if worst is None else float(worst)


def doubts(line: Standing) -> list[str]:
    """Why targets are in doubt; those in doubt for the same reasons share a line."""
    whose: dict[str, list[str]] = {}
    for dot in line.dots:
        if dot.reasons:
            whose.setdefault("; ".join(dot.reasons), []).append(dot.label)
    return [f"{', '.join(labels)}: {why}" for why, labels in whose.items()]


def record(line: Standing, task: str, filter: str) -> dict[str, Any]:
    """A line as flat data: what the downloads hold. Missing is null."""
    entry, people = line.entry, line.people
    return {
        "task": task, "scoring": filter, "group": line.group_title, "run": line.label, "model": entry.model,
        "method": entry.method, "settings": ", ".join(f"{k}={v}" for k, v in entry.settings.items()),
        "rank": line.rank, "rank_high": line.rank_high, "unranked": line.unranked or None,
        "measure": line.measure, "unit": line.unit, **_ends("value", line.value),
        "targets_ok": sum(dot.ok for dot in line.dots) if line.dots else None, "targets": len(line.dots) or None,
        **{k: v for dot in line.dots for k, v in (_ends(dot.label, dot.shift) | {f"{dot.label}_ok": dot.ok}).items()},
        **_ends("specific", line.specific), "leakage": line.leakage, "damage": line.damage,
        **_ends("capability", _estimate(entry.capability)),
        **_along(entry.projection),
        "people_distance": people.distance if people else None, "people_identity": people.identity if people else None,
        **_ends("people_sampled", people.sampled if people else Estimate(None)),
        "fit_seconds": entry.fit_seconds, "stored_parameters": entry.stored_parameters,
        **({"steps": entry.effort.steps and entry.effort.steps[1], "tokens": entry.effort.tokens,
            "chosen_on": entry.effort.chosen_on} if entry.effort else {}),
        "superiority": line.superiority, "covers": ", ".join(line.covers) or None,
        **{name: cell.value for name, cell in {**line.beside, **line.more}.items()},
        "verdict": line.verdict or None, "reasons": "; ".join([*line.reasons, *doubts(line)]) or None,
        "file": entry.run,
    }  # fmt: skip


def _estimate(found: Capability | None) -> Estimate:
    return Estimate(None) if found is None else Estimate(found.value, *(found.ci or (None, None)))


def _along(found: Projection | None) -> dict[str, float | None]:
    """Of the texts and inside; nothing where it was not looked at."""
    if found is None:
        return {}
    said, inside = Estimate(found.said, *(found.said_ci or ())), Estimate(found.inside, *(found.inside_ci or ()))
    return {**_ends("projection_said", said), **_ends("projection_inside", inside)}


def _ends(name: str, value: Estimate) -> dict[str, float | None]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
