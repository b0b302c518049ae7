"""A questionnaire's tables on the leaderboard, and its cells in the overview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from traitbench.charts.chart import Estimate, digits, plain
from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.board import Cell, Effort, Entry, capability_cell, rank_text, standing
from traitbench.tasks.questionnaire.metrics import Metrics

__all__ = ["GLOSSARY", "board_tables", "legend", "overview_cells"]

GLOSSARY = {
    "Effect": "How far a control moved the trait it was aimed at: high minus low, or the controlled model minus the "
    "plain one. Not how much of the trait there is. A level of a trait is neither good nor bad, so no level is ranked. "
    "In SDs: between people of the same instrument.",
    "Scoring": "choice: the model picks an answer option. statement: how likely the model finds the sentence itself, "
    "so that no order of options can pull it. generate: it writes a reply, which is parsed.",
    "Units": "POMP: percent of the way from the lowest to the highest possible score. nats a token: how much likelier "
    "each word became (0.1 is about a tenth). The two cannot be compared with each other.",
    "Leakage": "How far the other traits moved along, with chance movement taken out. Small is precise.",
    "Damage": "How much less likely plain prose became under the control's edits: its perplexity over that of the "
    "plain model, at its worst. 1 is no damage, 2 a model as unsure as between twice as many words.",
    "Lowest alpha": "Cronbach's alpha of the least consistent scale, over simulated respondents.",
}
"""Term -> what it means."""


def board_tables(task: str, mode: str, entries: Sequence[Entry]) -> list[Table]:
    """The leaderboard of one scoring mode: a table a group of rivals, the largest first, then what aims at nothing."""
    held = {entry.run: Metrics.model_validate(entry.metrics[mode]) for entry in entries}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(held[entry.run].group, []).append(entry)
    plain = groups.pop("", [])
    order = sorted(groups, key=lambda name: (-len(groups[name]), name))
    titles = _titles(order)
    out = [_board(f"{task}, {mode}: {titles[name]}", mode, groups[name], held) for name in order]
    return [*out, _plain(f"{task}, {mode}: baselines", mode, plain, held)] if plain else out


def _titles(groups: Sequence[str]) -> dict[str, str]:
    """Group -> the design, and the first of targets and questions by which it differs from others of that design."""
    parts = {name: name.split("; ") for name in groups}
    out = {}
    for name, mine in parts.items():
        others = [other for key, other in parts.items() if key != name and other[0] == mine[0]]
        odd = next((i for i in range(1, len(mine)) if any(other[i] != mine[i] for other in others)), None)
        out[name] = mine[0] if odd is None else f"{mine[0]}, {mine[odd]}"
    return out


def _board(title: str, mode: str, entries: Sequence[Entry], held: Mapping[str, Metrics]) -> Table:
    """Runs that are ranked with each other: those with a rank by their effect, then the others by theirs."""
    order = sorted(entries, key=lambda e: (held[e.run].rank is None, -(held[e.run].effect or 0), e.place))
    mine = [held[entry.run] for entry in order]
    shown = [name for name, has in _OPTIONAL.items() if any(has(e, m) for e, m in zip(order, mine, strict=True))]
    rows = []
    for entry, m in zip(order, mine, strict=True):
        cells = {
            "rank": rank_text(m.rank, m.rank_high),
            "model": entry.model,
            "method": entry.label or entry.method,
            f"effect ({m.unit}) [95 %]": interval(m.effect, m.effect_ci),
            "specific [95 %]": interval(m.specific, m.specific_ci),
            "leakage": number(m.leakage),
            "damage": ratio(m.perplexity),
            "capability [95 %]": capability_cell(entry).text,
            "targets ok": f"{m.targets - m.cautions}/{m.targets}",
            "P(better)": number(m.superiority),
            "distance to people": _people(m),
            "fit (s)": number(entry.fit_seconds, 0),
            "steps": _steps(entry.effort),
            "tokens": str(entry.effort.tokens) if entry.effort and entry.effort.tokens is not None else "–",
            "chosen on": entry.effort.chosen_on if entry.effort else "–",
            "verdict": _verdict(entry, m, mode),
        }
        rows.append({name: text for name, text in cells.items() if name not in _OPTIONAL or name in shown})
    return Table(title=title, columns=list(rows[0]), rows=[list(row.values()) for row in rows])


_OPTIONAL: dict[str, Callable[[Entry, Metrics], bool]] = {
    "specific [95 %]": lambda entry, m: m.specific is not None,
    "damage": lambda entry, m: m.perplexity is not None,
    "capability [95 %]": lambda entry, m: capability_cell(entry).value is not None,
    "P(better)": lambda entry, m: m.superiority is not None,
    "distance to people": lambda entry, m: m.human_distance is not None,
    "fit (s)": lambda entry, m: entry.fit_seconds is not None,
    "steps": lambda entry, m: entry.effort is not None and entry.effort.steps is not None,
    "tokens": lambda entry, m: entry.effort is not None and entry.effort.tokens is not None,
    "chosen on": lambda entry, m: entry.effort is not None,
}
"""Columns that stand only where a run has them."""


def _plain(title: str, mode: str, entries: Sequence[Entry], held: Mapping[str, Metrics]) -> Table:
    """What aims at nothing: no control, respondents that do not read, the same prompt without a trait."""
    rows = []
    for entry in sorted(entries, key=lambda e: e.place):
        m = held[entry.run]
        alpha = f"{number(m.alpha)} ({m.respondents})" if m.respondents else "–"
        rows.append([
            entry.model, entry.label or entry.method, number(m.mean_abs_shift), number(m.position_bias),
            number(m.option_mass), alpha, _verdict(entry, m, mode),
        ])  # fmt: skip
    columns = ["model", "method", "mean abs. shift", "position bias", "option mass", "lowest alpha (respondents)",
               "verdict"]  # fmt: skip
    kept = [place for place in range(len(columns)) if any(row[place] != "–" for row in rows)]
    return Table(title=title, columns=[columns[i] for i in kept], rows=[[row[i] for i in kept] for row in rows])


def _steps(effort: Effort | None) -> str:
    """Optimiser steps of an adapter; of several adapters, from the fewest to the most."""
    if effort is None or effort.steps is None:
        return "–"
    return "–".join(map(str, dict.fromkeys(effort.steps)))


def _people(m: Metrics) -> str:
    """Distance of the trait correlations to people's, with that of traits without any correlation in brackets."""
    return number(m.human_distance) + (f" ({number(m.human_identity)})" if m.human_identity is not None else "")


def _verdict(entry: Entry, m: Metrics, mode: str) -> str:
    """The verdict, and why there is no rank where that is not it."""
    return standing(entry, mode, m.unranked if m.targets else "")


def legend(entries: Sequence[Entry]) -> list[str]:
    """What the columns mean, and what is never ranked."""
    held = [Metrics.model_validate(m) for e in entries for m in e.metrics.values()]
    out = [
        "Effect: how far the traits aimed at moved, in the direction aimed at, mean over targets, with its 95 % "
        "interval. Specific: the same without what made everything look better or worse. Leakage: how far the other "
        "traits moved along. Targets ok: those that moved as aimed beyond doubt. Effects of two designs, or on other "
        "targets, are not compared: each has a table of its own.",
        "Trait levels and distances to people are never ranked; in brackets, the distance of traits that have nothing "
        "to do with each other.",
    ]
    if any(m.perplexity is not None for m in held):
        out.append(
            "Damage: the largest perplexity of neutral text under the edits, over that without. Fit (s): the time that "
            "fitting took, all targets together."
        )
    if any(entry.effort for entry in entries):
        out.append(
            "Steps: of the optimiser, for one adapter. Tokens: trained on, over all adapters. Chosen on: what decided "
            "between strengths, layers, steps and learning rates; never test items."
        )
    if any(entry.capability for entry in entries):
        out.append(
            "Capability: points of accuracy that tasks of lm-eval (--side_effects) gained or, below zero, lost under "
            "the controls, mean over tasks and targets, with its 95 % interval over documents."
        )
    return out


def overview_cells(entry: Entry, mode: str) -> dict[str, Cell]:
    """Column of the overview -> its cell."""
    m, places = Metrics.model_validate(entry.metrics[mode]), digits(mode)
    effect = Estimate(m.effect, *(m.effect_ci or (None, None))).text(places)
    seconds = entry.fit_seconds
    apart = ""
    if m.human_distance is not None and m.human_identity is not None:
        apart = f"no leakage: {plain(m.human_identity)}"
    fitted = f"fitted in {seconds:.0f} s" if seconds is not None else ""
    return {
        "effect [95 %]": Cell(effect, m.effect, m.unit, m.unit if m.effect is not None else ""),
        "effect in SDs": Cell(plain(m.effect_sds), m.effect_sds),
        "leakage": Cell(plain(m.leakage, places), m.leakage, m.unit),
        "damage": Cell(ratio(m.perplexity), m.perplexity, small=fitted),
        "targets in order": Cell(f"{m.targets - m.cautions} of {m.targets}" if m.targets else "–",
                                 (m.targets - m.cautions) / m.targets if m.targets else None),
        "position bias": Cell(plain(m.position_bias), m.position_bias),
        "option mass": Cell(plain(m.option_mass), m.option_mass),
        "lowest alpha": Cell(plain(m.alpha), m.alpha),
        "distance to people": Cell(plain(m.human_distance), m.human_distance, "", apart),
    }  # fmt: skip
