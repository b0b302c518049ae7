"""The gap on the leaderboard: beside each row of self-report, what is known of behaviour under the same controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.tables import Table, interval, number
from traitbench.tasks.across import Told, fitted_on, whole
from traitbench.tasks.board import Cell, Entry
from traitbench.tasks.gap.effects import MEAN, Pairing, Side, TargetGap, paired, pairings
from traitbench.tasks.gap.tables import SCALE

__all__ = ["KEY", "apart", "board_table", "cells", "lines"]

KEY = "gap"
"""In `Entry.joined`."""


def lines(told: Sequence[Told]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Run, task and filter of a row of self-report -> a dictionary for each kind of behaviour.

    Behaviour of the row's own run counts before that of another one; the first of these in order stands for all.
    """
    mine = [(one, side) for one in told if (side := _side(one)) is not None]
    out: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one, said in mine:
        if said.evidence != "self-report":
            continue
        others = [(other, side) for other, side in mine if other.made == one.made and side.evidence == "behaviour"]
        others.sort(key=lambda pair: pair[0].run != one.run)
        kinds: dict[tuple[str, str], tuple[Told, Side]] = {}
        for other, side in others:
            kinds.setdefault((side.task, side.filter), (other, side))
        # What modes the task has otherwise decides which is set beside which.
        own = [side for other, side in mine if other.run == one.run and side.task == said.task]
        done = [side for _, side in kinds.values()]
        wanted = {(b.task, b.filter) for a, b in paired([*own, *done]) if a is said}
        for key in [key for key in kinds if key in wanted]:
            for found in pairings([said, kinds[key][1]]):
                line = _line(found, one, kinds[key][0])
                out.setdefault((one.run, one.task, one.filter), []).append(line)
    return out


def _side(told: Told) -> Side | None:
    """The item shifts of a row: those of its first contender, in the direction aimed at, by their controls."""
    held = told.row.contenders[0].parts if told.row.contenders else []
    parts = {(told.controls.get(part.name, told.run), part.name): part for part in held if part.sized}
    return Side(told.task, told.filter, told.evidence, parts) if told.evidence and parts else None


def _line(found: Pairing, said: Told, done: Told) -> dict[str, Any]:
    """Flat: the mean over targets, or the one target."""
    gap = found.mean or found.targets[0]
    return {
        "behaviour_task": found.behaviour, "behaviour_filter": found.behaviour_filter, "behaviour_run": done.run,
        "targets": len(found.targets),
        "self_report": gap.self_report.d, "self_report_ci": gap.self_report.ci,
        "behaviour": gap.behaviour.d, "behaviour_ci": gap.behaviour.ci, "gap": gap.gap.d, "gap_ci": gap.gap.ci,
        "r": found.r, "r_ci": found.r_ci, "r_n": found.r_n, "verdict": gap.verdict,
        "only_self_report": _named(found.targets, "only self-report moved"),
        **said.fitted("self_report_"), **done.fitted("behaviour_"),
    }  # fmt: skip


def _named(targets: Sequence[TargetGap], word: str) -> list[str]:
    return [gap.target for gap in targets if gap.verdict == word and gap.target != MEAN]


def cells(lines: Sequence[Mapping[str, Any]]) -> dict[str, Cell]:
    """Self-report, then each kind of behaviour and the gap to it.

    Self-report stands once where it is the same for all of them; else beside each, over the targets that both have.
    """
    out: dict[str, Cell] = {}
    once = len({(line["self_report"], line["targets"]) for line in lines}) == 1
    for line in lines:
        what = f"{line['behaviour_task']}, {line['behaviour_filter']}"
        several = len(lines) > 1
        mine = _cell(line, "self_report")
        if once:
            out["self-report (d)"] = mine
        else:
            small = "; ".join(filter(None, [f"{line['targets']} targets", mine.small]))
            out[f"self-report beside {what} (d)"] = mine._replace(small=small)
        out[f"{what} (d)"] = _cell(line, "behaviour")
        gap = _cell(line, "gap")
        out[f"gap to {what} (d)" if several else "gap (d)"] = gap._replace(small=str(line["verdict"]))
    return out


def apart(line: Mapping[str, Any]) -> dict[str, Cell]:
    """One kind of behaviour beside the self-report of the targets that both have."""
    return {
        "behaviour by": Cell(f"{line['behaviour_task']}, {line['behaviour_filter']}"),
        "targets": Cell(str(line["targets"])),
        "self-report (d)": _cell(line, "self_report"),
        "behaviour (d)": _cell(line, "behaviour"),
        "gap (d)": _cell(line, "gap")._replace(small=str(line["verdict"])),
    }


def _cell(line: Mapping[str, Any], name: str) -> Cell:
    return Cell(interval(line[name], line[f"{name}_ci"]), line[name], "d", fitted_on(line, f"{name}_"))


def board_table(entries: Sequence[Entry]) -> list[Table]:
    """Every run that has both, the largest gap last in its table; no rank: a gap is no merit."""
    rows = []
    for entry in entries:
        for filter, found in entry.joined.get(KEY, {}).items():
            for line in found:
                only = ", ".join(line["only_self_report"])
                rows.append([
                    entry.model, entry.label or entry.method, f"{entry.task}, {filter}",
                    f"{line['behaviour_task']}, {line['behaviour_filter']}",
                    *(whole(_cell(line, name)) for name in ("self_report", "behaviour", "gap")),
                    f"{number(line['r'])} ({line['r_n']})", line["verdict"] + (f"; only self-report: {only}" if only
                    and line["targets"] > 1 else ""),
                ])  # fmt: skip
    if not rows:
        return []
    columns = ["model", "method", "self-report by", "behaviour by", "self-report d [95 %]", "behaviour d [95 %]",
               "gap [95 %]", "r (targets)", "what moved"]  # fmt: skip
    return [Table(title="Self-report beside behaviour", columns=columns, rows=rows, notes=[SCALE])]
