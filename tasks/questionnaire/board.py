"""A questionnaire's tables on the leaderboard, and its cells in the overview."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.charts.chart import Estimate, digits, plain
from traitbench.tables import Table, interval, number, ratio
from traitbench.tasks.board import Cell, Entry, standing
from traitbench.tasks.questionnaire.metrics import Metrics

__all__ = ["GLOSSARY", "board_table", "legend", "overview_cells"]

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


def board_table(task: str, mode: str, entries: Sequence[Entry]) -> Table:
    """The leaderboard of one scoring mode."""
    mine = {entry.run: Metrics.model_validate(entry.metrics[mode]) for entry in entries}
    unit = mine[entries[0].run].unit
    # A wide interval can leave a larger effect behind a smaller one.
    order = sorted(entries, key=lambda e: (mine[e.run].rank or len(entries) + 1, -(mine[e.run].effect or 0), e.place))
    damage = any(m.perplexity is not None for m in mine.values())
    cost = any(e.fit_seconds is not None for e in entries)
    rows = []
    for entry in order:
        m = mine[entry.run]
        settings = ", ".join([f"{k}={v}" for k, v in entry.settings.items()]
                             + ([f"{entry.profiles} profiles"] if entry.profiles else []))  # fmt: skip
        rows.append([
            "–" if m.rank is None else str(m.rank),
            entry.model,
            f"{entry.method}{f' ({settings})' if settings else ''}",
            interval(m.effect, m.effect_ci),
            number(m.effect_sds),
            number(m.leakage),
            number(m.mean_abs_shift),
            f"{m.targets - m.cautions}/{m.targets}" if m.targets else "–",
            number(m.position_bias),
            number(m.option_mass),
            f"{number(m.alpha)} ({m.respondents})" if m.respondents else "–",
            f"{number(m.human_distance)} ({m.human_mode})" if m.human_distance is not None else "–",
            *([ratio(m.perplexity)] if damage else []),
            *([number(entry.fit_seconds, 0)] if cost else []),
            standing(entry, mode),
        ])  # fmt: skip
    columns = [
        "rank", "model", "method", f"effect ({unit}) [95 %]", "effect (SDs)", "leakage", "mean abs. shift", "traits ok",
        "position bias", "option mass", "lowest alpha (respondents)", "distance to people",
        *(["damage (perplexity)"] if damage else []), *(["fit (s)"] if cost else []), "verdict",
    ]  # fmt: skip
    return Table(title=f"{task}, {mode}", columns=columns, rows=rows)


def legend(entries: Sequence[Entry]) -> list[str]:
    """What is never ranked, and the columns that stand only where a run has them."""
    out = ["Trait levels and distances to people are never ranked."]
    if any(Metrics.model_validate(m).perplexity is not None for e in entries for m in e.metrics.values()):
        out.append(
            "Damage is the largest perplexity of neutral text under the edits, over that without; fit (s) is the time "
            "that fitting took, all targets together."
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
