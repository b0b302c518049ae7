"""Tables of a run, as data first: one list of rows feeds the terminal, Markdown and the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from traitbench.tasks.persona_consistency.consistency import TASK as PERSONAS
from traitbench.types import Mode, Record

if TYPE_CHECKING:
    from rich.console import Console

    from traitbench.runs.results import Results
    from traitbench.statistics.style import Style
    from traitbench.tasks.questionnaire.scorecard import Contrast, Scorecard, Shift

__all__ = ["Table", "interval", "markdown", "number", "show", "tables"]


class Table(Record):
    """A titled grid of texts; the first column is a name, the others are numbers or remarks."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = []


def number(value: float | None, digits: int = 2) -> str:
    """Two decimals, zero without a sign; a dash where there is no value."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def interval(value: float | None, ci: tuple[float, float] | None) -> str:
    """The value and its 95 % interval."""
    return number(value) if ci is None else f"{number(value)} [{number(ci[0])}, {number(ci[1])}]"


def tables(results: Results) -> list[Table]:
    """Everything a reader of one run needs: effects, matrices, levels, what they rest on, and verdicts.

    The verdict of each scoring mode is the first note of every table.
    """
    from traitbench.runs.fitting import choices, curves, trainings
    from traitbench.tasks.person_alignment.views import tables as aligned
    from traitbench.tasks.persona_consistency.views import tables as spoken
    from traitbench.tasks.questionnaire.evidence import evidence, side_by_side

    out = []
    # Of a method with many settings those that were changed.
    config = results.method["config"]
    named = {k: v for k, v in config.items() if k not in ("k", "words")} if len(config) < 8 else {}
    settings = ", ".join(f"{k}={v}" for k, v in {**named, **results.method["settings"]}.items())
    for task in results.versions:
        head = f"{results.model_name} · {results.method['name']}{f' ({settings})' if settings else ''} · {task}"
        cards = results.scorecard[task]
        mine = [table for found in results.alignment.get(task, {}).values() for table in aligned(found)]
        if task == PERSONAS and results.personas is not None:
            mine += spoken(results.personas)
        if any(card.contrasts for card in cards.values()):
            mine.append(_effects(f"Effect of the control: how far the trait aimed at moved, {task}", cards))
            mine += [_matrix(mode, cards[mode]) for mode in _statement_first(cards)]
        mine += [
            *curves(results, task),
            _levels(results, task),
            *evidence(results, task),
            _styles(results, task),
            _verdicts(results, task),
        ]
        words = "; ".join(f"{mode} {results.verdict[task][mode].verdict}" for mode in _statement_first(cards))
        told = [f"Verdict: {words}."] if words else []
        shown = [table.model_copy(update={"notes": [*told, *table.notes]}) for table in mine if table.rows]
        out += [shown[0].model_copy(update={"title": f"{head}\n{shown[0].title}"}), *shown[1:]]
    return [*out, *choices(results), *trainings(results), *side_by_side(results)]


def _statement_first(modes: Iterable[Mode]) -> list[Mode]:
    return sorted(modes, key=lambda mode: mode != "statement")


def _effects(title: str, cards: Mapping[Mode, Scorecard]) -> Table:
    from traitbench.tasks.questionnaire.scorecard import PROFILES

    rows = []
    for mode in _statement_first(cards):
        for contrast in cards[mode].contrasts:
            rows.append(_effect_row(mode, contrast))
    drawn = any(c.high == PROFILES for card in cards.values() for c in card.contrasts)
    return Table(
        title=title,
        columns=["target", "scoring", "effect [95 %]", "unit", "SDs", "d", "plus", "minus", "leakage [95 %]", "check"],
        rows=rows,
        notes=[
            "Effect: high minus low, or the condition minus the baseline. plus, minus: the same from plus- and from "
            "minus-keyed items. Leakage: how far the other traits moved, noise removed. SDs: in between-person SDs of "
            "the same instrument.",
            *(["Over drawn profiles an effect is twice the slope on the level, all levels together."] if drawn else []),
        ],
    )


def _effect_row(mode: str, contrast: Contrast) -> list[str]:
    effect, scale = contrast.effect, 1.0
    if effect is not None and effect.pomp is not None and effect.value:
        scale = effect.pomp / effect.value
    unit = "nats/token" if mode == "statement" else "POMP"

    def scaled(value: float | None) -> float | None:
        return None if value is None else value * scale

    def bounds(ci: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if ci is None else (ci[0] * scale, ci[1] * scale)

    check = "; ".join([contrast.check or "–", *contrast.reasons]).replace("caution; ", "caution: ")
    return [
        contrast.target,
        mode,
        interval(scaled(effect.value), bounds(effect.ci)) if effect else "–",
        unit,
        number(effect.sds) if effect else "–",
        number(effect.d) if effect else "–",
        number(scaled(effect.plus)) if effect else "–",
        number(scaled(effect.minus)) if effect else "–",
        interval(scaled(contrast.leakage), bounds(contrast.leakage_ci)),
        check,
    ]


def _matrix(mode: str, card: Scorecard) -> Table:
    traits = [shift.trait for shift in card.contrasts[0].shifts]
    rows = [[c.target, *(_cell(s, s.trait in c.aimed) for s in c.shifts)] for c in card.contrasts]
    unit = "nats a token" if mode == "statement" else "POMP"
    return Table(title=f"Target x trait, {mode} ({unit}); own trait starred", columns=["target", *traits], rows=rows)


def _cell(shift: Shift, own: bool) -> str:
    return number(shift.pomp if shift.pomp is not None else shift.value) + ("*" if own else "")


def _levels(results: Results, task: str) -> Table:
    rows = []
    drawn = {c.name for c in results.conditions if c.profile}
    left_out = drawn | {c.name for c in results.conditions if not c.headline or c.person}
    for condition, modes in results.scores[task].items():
        for mode, scores in modes.items():
            if mode == "statement" or condition in left_out:
                continue
            cells = [interval(s.value, s.ci) + (f" ({s.unscored} unscored)" if s.unscored else "") for s in scores]
            rows.append([condition, mode, *cells])
    traits = [s.trait for modes in results.scores[task].values() for scores in modes.values() for s in scores]
    notes = ["A level is neither good nor bad; it is never ranked. Statement scoring has no absolute level."]
    if drawn:
        notes.append(f"The {len(drawn)} profiles are left out; every condition is in the results file.")
    if any(s.note for modes in results.scores[task].values() for scores in modes.values() for s in scores):
        notes.append("Scales of fewer than 8 items: their intervals are approximate and may leave the scale.")
    return Table(
        title=f"Levels on the instrument's scale [95 %], {task}",
        columns=["condition", "scoring", *dict.fromkeys(traits)],
        rows=rows,
        notes=notes,
    )


def _styles(results: Results, task: str) -> Table:
    rows = [_style_row(mode, style) for mode, style in results.response_style[task]["all"].items()]
    notes = []
    for mode, style in results.response_style[task]["all"].items():
        notes += _plain_words(mode, style)
    columns = [
        "scoring", "requests", "acquiescence", "extreme", "midpoint", "position bias", "option mass", "by position",
        "invalid",
    ]  # fmt: skip
    return Table(title=f"Response style over all conditions, {task}", columns=columns, rows=rows, notes=notes)


def _verdicts(results: Results, task: str) -> Table:
    """The verdict of each scoring mode, a line a reason."""
    rows = []
    for mode in _statement_first(results.verdict[task]):
        found = results.verdict[task][mode]
        for place, reason in enumerate(found.reasons or ["every criterion is met"]):
            rows.append(["" if place else mode, "" if place else found.verdict.upper(), reason])
    return Table(
        title=f"Verdicts, {task}",
        columns=["scoring", "verdict", "reasons"],
        rows=rows,
        notes=["Criteria and limits, each with its source: harness/statistics/thresholds.py."],
    )


def _style_row(mode: str, style: Style) -> list[str]:
    return [
        mode,
        str(style.n),
        number(style.acquiescence),
        number(style.extreme),
        number(style.midpoint),
        number(style.position_bias),
        number(style.option_mass),
        " ".join(f"{share:.0%}" for share in style.positions),
        ", ".join(f"{status} {share:.0%}" for status, share in style.invalid.items()) or "0 %",
    ]


def _plain_words(mode: str, style: Style) -> list[str]:
    """Say a position bias so that nobody reads past it."""
    biased = style.flags.get("position_bias", "").startswith("not interpretable") or style.degenerate
    top = max(range(len(style.positions)), key=lambda i: style.positions[i])
    middle = 2 * top + 1 == len(style.positions)  # the same text in both orders, so nothing tells the two apart
    if not biased or middle or style.positions[top] < 2 / len(style.positions):
        return []
    return [
        f"{mode}: {style.positions[top]:.0%} of all answers are option {top + 1} of {len(style.positions)} as printed, "
        "whichever text stands there: this is position bias, not personality."
    ]


_WORDS = (
    "check", "target", "model", "method", "row", "methods", "condition", "reasons", "verdict", "verdict a; b",
    "why they differ",
)  # fmt: skip
"""Columns of words, which begin at the left."""


def markdown(table: Table) -> str:
    """Render a table as GitHub Markdown; pipes and angle brackets of a run's texts are escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"

    sides = ["--:" if place > 1 and column not in _WORDS else "---" for place, column in enumerate(table.columns)]
    rule = f"|{'|'.join(sides)}|"
    title = "**" + "**  \n**".join(map(_escaped, table.title.split("\n"))) + "**"
    notes = [_escaped(note) for note in table.notes]
    return "\n".join([title, "", line(table.columns), rule, *map(line, table.rows), "", *(f"{n}\n" for n in notes)])


def _escaped(text: str) -> str:
    """Keep a text in its cell: no HTML, no link, no end of a cell or a row."""
    text = re.sub(r"[\r\n]+", " ", text).replace("\\", "\\\\").replace("|", "\\|").replace("](", "]\\(")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def show(found: Sequence[Table], console: Console) -> None:
    """Print tables to a terminal; texts are never read as markup."""
    from rich.table import Table as RichTable
    from rich.text import Text

    for table in found:
        grid = RichTable(title=Text(table.title, style="bold"), title_justify="left", show_lines=False)
        for index, column in enumerate(table.columns):
            wide = column in _WORDS
            grid.add_column(Text(column), justify="left" if index == 0 or wide else "right", overflow="fold")
        for row in table.rows:
            style = "yellow" if row[-1].startswith("caution") else ""
            grid.add_row(*(Text(cell) for cell in row), style=style)
        console.print(grid)
        for note in table.notes:
            loud = "not interpretable" in note or "position bias," in note
            console.print(Text(note, style="bold red" if loud else "dim"))
        console.print()
