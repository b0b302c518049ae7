"""A questionnaire's lines on the board."""

from __future__ import annotations

from traitbench.charts.chart import Estimate, digits, plain
from traitbench.tasks.board import Cell, Entry
from traitbench.tasks.questionnaire.metrics import Metrics
from traitbench.tasks.standing import Dot, People, Standing, plainly
from traitbench.types import Mode

__all__ = ["questionnaire_standing"]

Ci = tuple[float, float]


def questionnaire_standing(entry: Entry, mode: Mode) -> Standing:
    """The mean effect over targets, each target, and what the control did besides; without targets it is trivial."""
    m, places = Metrics.model_validate(entry.metrics[mode]), digits(mode)
    aimed, told = m.targets > 0, plainly(entry, mode)
    group = told.group if aimed else ""
    return told._replace(
        value=_estimate(m.effect, m.effect_ci),
        measure="effect",
        unit=m.unit,
        places=places - 1 if mode == "statement" else places,
        does="moves the traits that it is aimed at furthest",
        group=group,
        group_title=group,
        trivial=not aimed,
        dots=[Dot(c.target, _estimate(c.effect, c.effect_ci), c.check == "ok", c.reasons) for c in m.by_target],
        specific=_estimate(m.specific, m.specific_ci),
        leakage=m.leakage,
        damage=m.perplexity,
        people=_people(m),
        covers=m.covers,
        more={
            "effect in SDs": Cell(plain(m.effect_sds), m.effect_sds),
            "mean abs. shift": Cell(plain(m.mean_abs_shift, places), m.mean_abs_shift),
            "position bias": Cell(plain(m.position_bias), m.position_bias),
            "option mass": Cell(plain(m.option_mass), m.option_mass),
            "lowest alpha": Cell(plain(m.alpha), m.alpha),
        },
    )


def _estimate(value: float | None, ci: Ci | None) -> Estimate:
    return Estimate(value, *(ci or (None, None)))


def _people(m: Metrics) -> People | None:
    if m.human_distance is None:
        return None
    return People(m.human_distance, m.human_identity, _estimate(m.human_sampled, m.human_sampled_ci),
                  m.human_reference or "", m.human_mode or "")  # fmt: skip
