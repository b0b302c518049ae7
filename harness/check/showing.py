"""What a check found, as tables, and as the Markdown of a job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.check.comparing import Compared, Moved
from traitbench.check.gate import Checked
from traitbench.tables import Table, escaped, markdown, number

__all__ = ["summary", "tables"]

_COLUMNS = ["what", "items", "baseline", "now", "difference [95 %]", "margin", "power", "verdict", "why"]
_DIGITS = 4


def tables(found: Checked) -> list[Table]:
    """One table of the baselines, and one of the lines of each."""
    return [_overview(found), *(_lines(one, one.moved) for one in found.baselines if one.moved)]


def summary(found: Checked) -> str:
    """A job's summary in Markdown: the verdict, what did not pass, and folded away what did; each line once."""
    parts = [f"## traitbench check: {found.verdict}", markdown(_overview(found))]
    for one in found.baselines:
        if wrong := [line for line in one.moved if line.verdict != "pass"]:
            parts.append(markdown(_lines(one, wrong)))
    for one in found.baselines:
        if passed := [line for line in one.moved if line.verdict == "pass"]:
            head = f"<details><summary>Lines that pass of {escaped(one.name)}: {len(passed)}</summary>"
            parts.append(f"{head}\n\n{markdown(_lines(one, passed))}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _overview(found: Checked) -> Table:
    what = f"the model {found.model}" if found.model else "the code"
    rows = []
    for one in found.baselines:
        passed = sum(line.verdict == "pass" for line in one.moved)
        told = [*one.differs, *([] if one.differs else _first(one)), *one.notes]
        rows.append([one.name, f"{passed} of {len(one.moved)}", one.verdict, "; ".join(told)])
    return Table(
        title=f"Check of {what}: {found.verdict}",
        columns=["baseline", "lines that pass", "verdict", "why"],
        rows=rows,
        notes=[found.source],
    )


def _first(one: Compared) -> list[str]:
    """The first line that did not pass, and how many there are."""
    wrong = [line for line in one.moved if line.verdict == one.verdict != "pass"]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return [f"{wrong[0].name}: {wrong[0].why}{more}"] if wrong else []


def _lines(one: Compared, lines: Sequence[Moved]) -> Table:
    units = dict.fromkeys(line.unit for line in lines if line.unit)
    return Table(
        title=f"{one.name}, in {' and '.join(units)}" if units else one.name,
        columns=_COLUMNS,
        rows=[_row(line) for line in lines],
        notes=_notes(lines),
    )


def _notes(lines: Sequence[Moved]) -> list[str]:
    told = []
    if any(line.shift for line in lines):
        told.append("Under a control the values are shifts from the run's own answers without one.")
    if any(line.ci is not None and line.power is None for line in lines):
        told.append(
            "Power –: no item moved, or all by the same; how they would scatter under a change is not known from that."
        )
    return told


def _row(line: Moved) -> list[str]:
    ci = "" if line.ci is None else f" [{number(line.ci[0], _DIGITS)}, {number(line.ci[1], _DIGITS)}]"
    return [
        line.name,
        str(line.items),
        number(line.then, _DIGITS),
        number(line.now, _DIGITS),
        f"{number(line.difference, _DIGITS)}{ci}",
        "–" if line.margin is None else f"{line.margin:g}",
        number(line.power),
        line.verdict,
        line.why,
    ]
