"""Tables that every task with answers on a scale shows: response style, and the verdict of each scoring mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from traitbench.statistics.style import Style
from traitbench.tables import Table, number
from traitbench.tasks.verdict import Verdict
from traitbench.types import Mode

__all__ = ["headed", "statement_first", "styles", "verdicts"]


def statement_first(modes: Iterable[Mode]) -> list[Mode]:
    """The scoring modes as they are shown: statement first."""
    return sorted(modes, key=lambda mode: mode != "statement")


def headed(tables: Iterable[Table], judged: Mapping[Mode, Verdict]) -> list[Table]:
    """The tables that have rows, each with the verdict of every scoring mode as its first note."""
    words = "; ".join(f"{mode} {judged[mode].verdict}" for mode in statement_first(judged))
    told = [f"Verdict: {words}."] if words else []
    return [table.model_copy(update={"notes": [*told, *table.notes]}) for table in tables if table.rows]


def styles(task: str, found: Mapping[Mode, Style]) -> Table:
    """Response style over all conditions, a row a scoring mode."""
    rows = [_style_row(mode, style) for mode, style in found.items()]
    notes = [words for mode, style in found.items() for words in _plain_words(mode, style)]
    columns = [
        "scoring", "requests", "acquiescence", "extreme", "midpoint", "position bias", "option mass", "by position",
        "invalid",
    ]  # fmt: skip
    return Table(title=f"Response style over all conditions, {task}", columns=columns, rows=rows, notes=notes)


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


def verdicts(task: str, judged: Mapping[Mode, Verdict]) -> Table:
    """The verdict of each scoring mode, a line a reason."""
    rows = []
    for mode in statement_first(judged):
        found = judged[mode]
        for place, reason in enumerate(found.reasons or ["every criterion is met"]):
            rows.append(["" if place else mode, "" if place else found.verdict.upper(), reason])
    return Table(
        title=f"Verdicts, {task}",
        columns=["scoring", "verdict", "reasons"],
        rows=rows,
        notes=["Criteria and limits, each with its source: harness/statistics/thresholds.py."],
    )
