"""Tables of what numbers rest on: dependability, reliability, distinctness of scales, sources of variance, people."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from traitbench.answers.functioning import functioning_tables
from traitbench.tables import Table, interval, number
from traitbench.tasks.questionnaire.variance import TARGET

if TYPE_CHECKING:
    from traitbench.tasks.questionnaire.summary import QuestionnaireBlock
    from traitbench.tasks.questionnaire.validity import Structure
    from traitbench.tasks.questionnaire.variance import Variance

__all__ = ["evidence"]


def evidence(block: QuestionnaireBlock, task: str, drawn: Collection[str]) -> list[Table]:
    """The tables of one task; a table that would be empty is left out. `drawn` are the conditions that are profiles."""
    found = [
        _dependability(block, task), _human(block, task), _norms(block, task, drawn), _reliability(block, task),
        _variance(block, task),
    ]  # fmt: skip
    alike = [(mode, one) for mode, scored in block.modes.items() for one in scored.functioning]
    found += functioning_tables(alike, task)
    return [table for table in found if table.rows]


def _dependability(block: QuestionnaireBlock, task: str) -> Table:
    """Whether each scale tells the conditions of the control apart; a row a scale that the control aims at."""
    rows, notes = [], []
    for mode, scored in block.modes.items():
        for trait, found in scored.dependability.items():
            if (own := found.aimed) is None:
                continue
            rows.append([
                trait,
                mode,
                str(own.components.sizes["condition"]),
                number(own.study.generalizability),
                number(own.study.dependability),
                *(str(own.needed.get(facet) or "–") for facet in ("item", "template")),
                number(_percent(own, "condition"), 1),
                number(_percent(own, "item x condition"), 1),
                str(found.run.components.sizes["condition"]),
                number(found.run.study.generalizability),
            ])  # fmt: skip
            if own.study.reason:
                notes.append(f"{mode}, {trait}: no dependability: {own.study.reason}.")
        if (varies := scored.variation) is not None and varies.orders is not None and scored.dependability:
            between = interval(varies.orders, varies.orders_ci)
            notes.append(f"{mode}: an item's answers in the two option orders correlate {between}.")
    notes += [
        "E rho^2: how reliably the scale tells the conditions that aim at its trait apart, over items, orders and "
        "templates; phi counts the items' own levels as error too. items, templates: how many would give an E rho^2 of "
        f"{TARGET:.2f} (a dash: one was asked, or no number is enough). all conditions: the same over every condition "
        "that aims at some trait; shown, not judged, since it falls the more specific a control is.",
    ]
    return Table(
        title=f"Whether the control's conditions are told apart (G- and D-study), {task}",
        columns=[
            "scale", "scoring", "conditions", "E rho^2", "phi", "items", "templates", "% condition",
            "% item x condition", "all conditions", "E rho^2 of all",
        ],
        rows=rows,
        notes=notes,
    )  # fmt: skip


def _percent(study: Variance, name: str) -> float | None:
    """Share of the variance of one source; with two facets in the study the highest interaction is the residual."""
    effects = {frozenset(e.facets): e.percent for e in study.components.effects}
    return effects.get(frozenset(name.split(" x ")))


def _reliability(block: QuestionnaireBlock, task: str) -> Table:
    rows, notes = [], []
    for mode, scored in block.modes.items():
        scales = scored.reliability
        for scale in scales:
            rows.append([
                scale.trait,
                mode,
                str(scale.n),
                interval(scale.alpha, scale.alpha_ci),
                number(scale.omega_total),
                number(scale.lambda_6),
                number(scale.split_half),
                number(scale.retest),
                number(scale.mean_inter_item_r),
                number(scale.min_item_rest_r),
                number(scale.sd),
            ])  # fmt: skip
        for scale in scales[:1]:
            over = ", ".join(scale.retest_over)
            notes += [f"{mode}: retest over {over}." if over else f"{mode}: no retest, there was one occasion."]
        reasons = {f"{name}: {why}" for scale in scales for name, why in scale.reasons.items() if name != "retest"}
        notes += sorted(f"{mode}: no {reason}." for reason in reasons)
        if (found := scored.validity) is not None:
            notes.append(f"{mode}: {_distinct(found)}")
    return Table(
        title=f"Reliability over simulated respondents (baseline), {task}",
        columns=[
            "scale", "scoring", "respondents", "alpha [95 %]", "omega", "lambda-6", "split-half", "retest",
            "mean inter-item r", "min item-rest r", "SD",
        ],
        rows=rows,
        notes=notes,
    )  # fmt: skip


def _distinct(found: Structure) -> str:
    """Say whether the scales differ from each other."""
    if found.disattenuated_mean is None:
        text = f"whether the scales differ is unknown ({found.reasons.get('disattenuated_mean', 'no scores')})."
    else:
        text = (
            f"between scales mean |r| corrected for attenuation {number(found.disattenuated_mean)}, largest "
            f"{number(found.disattenuated_max)}; first eigenvalue {100 * (found.general_share or 0):.0f} % of all."
        )
    if found.congruence:
        phi = ", ".join(f"{trait} {number(value)}" for trait, value in found.congruence.items())
        text += f" Factor congruence (Tucker) with people: {phi}."
    return text


def _human(block: QuestionnaireBlock, task: str) -> Table:
    """Distances to people, each beside what no correlation and what mere sampling would score."""
    rows, notes = [], []
    for mode, scored in block.modes.items():
        for found in scored.human.similarity:
            rows.append([
                f"{found.reference}",
                mode,
                f"{found.mode} ({found.n})",
                interval(found.distance.value, found.distance.interval),
                number(found.identity.distance.value),
                interval(found.sampled.distance.value, found.sampled.distance.interval) if found.sampled else "–",
                interval(found.mean_abs_difference.value, found.mean_abs_difference.interval),
                number(found.sign_agreement.value),
                number(found.spearman.value),
                number(found.mantel_p.value, 3),
            ])  # fmt: skip
            notes += [f"{mode}, {found.reference}: {m.reason}." for m in [found.distance] if m.reason]
            notes += [f"{mode}, {found.reference}: {note}." for note in found.notes]
    if rows:
        notes.append(
            "distance: off-diagonal Frobenius norm of model minus people. Beside it what uncorrelated traits would "
            "score (identity) and what as many people would (sampled: mean and 95 % range). Brackets: profiles, 95 % "
            "bootstrap; paper, lowest and highest with one condition left out. Descriptive, never ranked."
        )
    return Table(
        title=f"Trait correlations beside people, {task}",
        columns=[
            "people", "scoring", "over (n)", "distance", "identity", "sampled", "mean |dr|", "same sign", "Spearman",
            "Mantel p",
        ],
        rows=rows,
        notes=notes,
    )  # fmt: skip


def _norms(block: QuestionnaireBlock, task: str, drawn: Collection[str]) -> Table:
    """Levels among people of one sex and age."""
    rows, groups = [], set()
    for mode, scored in block.modes.items():
        for condition, places in scored.human.norms.items():
            for trait, place in places.items() if condition not in drawn else ():
                percent = f"{place.percentile:.1f}" if place.percentile is not None else "–"
                rows.append([condition, mode, trait, number(place.value), number(place.z), number(place.t, 1), percent])
                groups.add(place.group)
    return Table(
        title=f"Levels among people: {', '.join(sorted(groups))}, {task}",
        columns=["condition", "scoring", "scale", "level", "z", "T", "percentile"],
        rows=rows,
        notes=["T is 50 + 10 z; percentile of a normal distribution. Norms: harness/humans/norms.json."],
    )


def _variance(block: QuestionnaireBlock, task: str) -> Table:
    """Percent of the variance by source, mean over scales, and the conditions that phi >= .80 would need."""
    rows, notes = [], []
    for mode, scored in block.modes.items():
        studies = scored.variance
        held = [study for study in studies.values() if study.components.effects]
        if not held:
            continue
        names = list(dict.fromkeys(e.name for study in held for e in study.components.effects))
        for name in names:
            mine = [e for study in held for e in study.components.effects if e.name == name]
            percents = [e.percent for e in mine if e.percent is not None]
            rows.append([
                name,
                mode,
                number(sum(percents) / len(percents) if percents else None, 1),
                number(min(e.variance for e in mine), 4),
                number(max(e.variance for e in mine), 4),
                str(sum(e.negative for e in mine)),
            ])  # fmt: skip
        if reason := next((study.study.reason for study in held if study.study.reason), ""):
            notes.append(f"{mode}: no dependability: {reason}.")
        else:
            each = "; ".join(_dependable(trait, study) for trait, study in studies.items())
            notes.append(
                f"{mode}: dependability (phi), and how many conditions of a kind would give {TARGET:.2f}: {each}."
            )
    return Table(
        title=f"Sources of variance in the baseline (G-study), {task}",
        columns=["source", "scoring", "% of variance", "lowest estimate", "highest", "negative"],
        rows=rows,
        notes=[*notes, "Over the scales; a negative estimate is shown and counts as 0 %. A dash: no number is enough."],
    )


def _dependable(trait: str, study: Variance) -> str:
    """Phi as the run was, and the number of conditions of each kind that phi >= .80 needs; a dash is out of reach."""
    wanted = ", ".join(f"{facet} {count or '–'}" for facet, count in study.needed.items())
    return f"{trait} {number(study.study.dependability)} ({wanted})"
