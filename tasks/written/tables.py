"""Written replies as tables: effects and composite, other traits, levels, judges, their cards, and what was written."""

from __future__ import annotations

from collections.abc import Mapping

from traitbench.judges import pairs
from traitbench.tables import Table, interval, number
from traitbench.tasks.block import Facts
from traitbench.tasks.scoring import COVERS
from traitbench.tasks.style_tables import verdicts
from traitbench.tasks.verdict import Verdict
from traitbench.tasks.written.card_tables import cards
from traitbench.tasks.written.comparison import FILTER
from traitbench.tasks.written.effects import ReplyContrast
from traitbench.tasks.written.records import Written
from traitbench.tasks.written.replies import Replies
from traitbench.types import Mode

__all__ = ["tables"]


def tables(task: str, found: Written, facts: Facts) -> list[Table]:
    """Everything a reader of one run needs; the verdict is the first note of every table of ratings."""
    rated = [effects(task, found), others(task, found), levels(task, found, facts), judges(task, found)]
    rated += [agreement(task, found)]
    told = f"Verdict: {FILTER} {found.verdict.verdict}."
    out = [t.model_copy(update={"notes": [told, *t.notes]}) for t in rated if t.rows]
    judged: dict[Mode, Verdict] = {FILTER: found.verdict}
    return [
        *out,
        *pairs.tables(found.pairs),
        *cards(task, found, facts),
        replies(task, found.replies),
        verdicts(task, judged),
    ]


def effects(task: str, found: Written) -> Table:
    """How far the ratings of the trait aimed at moved, a row a contrast and judge."""
    several = len(found.judges) > 1
    rows, told, covers = [], dict[str, None](), set[str]()
    for judge, rated in found.judges.items():
        for contrast in rated.contrasts:
            rows.append([contrast.target, *([judge] if several else []), *_effect(contrast)])
            covers.update(contrast.effect.covers if contrast.effect else [])
            if contrast.reasons:
                told[f"{contrast.target} by {judge}: {'; '.join(contrast.reasons)}."] = None
            elif contrast.effect is not None and contrast.effect.value is None:
                why = rated.without.get(contrast.effect.trait, "no rating")
                told[f"{contrast.target}: {judge} gives no number: {why}."] = None
    columns = ["target", *(["judge"] if several else []), "effect [95 %]", "p", "d", "composite (SE; SD)",
               "moved as aimed", "leakage", "longer by [95 %]", "check"]  # fmt: skip
    over = [f"Intervals cover what varies over {', '.join(name for name in COVERS if name in covers)}."]
    return Table(
        title=f"Effect of the control: how far written replies moved, {task}",
        columns=columns,
        rows=rows,
        notes=[
            "Effect: high minus low, or the condition minus the baseline, of the judge's rating, in points of a scale "
            "from 0 to 5, on the questions about the trait. d: over the SD between questions. p: two-sided, adjusted "
            "(Holm) over the targets. Composite: high mean + 6 - low mean of ratings taken to 1 to 5 (1 + 0.8 x "
            "rating): 6 is no effect, 10 the largest. Longer by: tokens of these replies, high minus low.",
            *(over if covers else []),
            *told,
        ],
    )


def _effect(contrast: ReplyContrast) -> list[str]:
    effect, moved, whole, longer = contrast.effect, contrast.moved, contrast.composite, contrast.length
    return [
        interval(effect.value, effect.ci) if effect else "–",
        number(effect.p_holm if effect else None, 3),
        number(effect.d if effect else None),
        f"{number(whole.value)} ({number(whole.se)}; {number(whole.sd)})" if whole else "–",
        "–" if moved is None or moved.value is None else f"{moved.value:.0%}",
        number(contrast.leakage),
        interval(longer.value, longer.ci, 1) if longer else "–",
        contrast.check or "–",
    ]


def others(task: str, found: Written) -> Table:
    """Target x trait: how far each trait moved on its own questions, and in the replies about the trait aimed at."""
    rated = found.rated
    rows = []
    for contrast in rated.contrasts if rated else ():
        own = [number(s.value) + ("*" if s.trait in contrast.aimed else "") for s in contrast.shifts]
        rows.append([contrast.target, "own questions", *own])
        if contrast.spill:
            beside = {s.trait: number(s.value) for s in contrast.spill}
            rows.append([contrast.target, "same replies", *(beside.get(s.trait, "*") for s in contrast.shifts)])
    traits = [shift.trait for shift in rated.contrasts[0].shifts] if rated and rated.contrasts else []
    return Table(
        title=f"Target x trait, points; own trait starred, {task}",
        columns=["target", "read in", *traits],
        rows=rows,
        notes=[
            "Own questions: each trait in the replies to the questions about it. Same replies: the other traits in the "
            "replies to the questions about the trait aimed at."
        ],
    )


def levels(task: str, found: Written, facts: Facts) -> Table:
    """The mean rating in every condition that the method made; drawn profiles are left out."""
    shown = {c.name for c in facts.conditions if c.headline and not c.profile}
    rows, traits = [], dict[str, None]()
    for judge, rated in found.judges.items():
        for condition, mine in rated.levels.items():
            if condition in shown:
                traits.update(dict.fromkeys(level.trait for level in mine))
                cells = [interval(v.value, v.ci) + (f" ({v.unscored} unscored)" if v.unscored and v.n else "")
                         for v in mine]  # fmt: skip
                rows.append([condition, judge, *cells])
    return Table(
        title=f"Rating, 0 to 5 [95 %], {task}",
        columns=["condition", "judge", *traits],
        rows=rows,
        notes=["5 is the high pole. A level is neither good nor bad, and is never ranked."],
    )


def judges(task: str, found: Written) -> Table:
    """How each judge answered, over all conditions."""
    rows = []
    for judge, rated in found.judges.items():
        if (asked := rated.asking) is not None:
            rows.append([
                judge, str(asked.n), _percent(rated.coverage), _percent(asked.abstained),
                _percent(asked.unseen + asked.failed), number(asked.option_mass), number(asked.direction_gap),
                number(asked.direction_bias), number(asked.spread),
            ])  # fmt: skip
    return Table(
        title=f"How the judges answered, {task}",
        columns=["judge", "judgements", "replies rated", "cannot tell", "no verdict", "option mass", "directions apart",
                 "likes high numbers", "SD"],
        rows=rows,
        notes=[
            "Replies rated: of all replies, those with a rating on the trait of their question. Directions apart: "
            "points between the ratings of a reply with 5 and with 0 as the high pole; the rating is their mean."
        ],
    )  # fmt: skip


def agreement(task: str, found: Written) -> Table:
    """How far judges agree, trait by trait."""
    return Table(
        title=f"Agreement of the judges, {task}",
        columns=["trait", "ICC(2,1) [95 %]", "ICC(2,k) [95 %]", "alpha [95 %]", "judges", "replies"],
        rows=[
            [trait, interval(a.single, a.single_ci), interval(a.mean, a.mean_ci), interval(a.alpha, a.alpha_ci),
             str(a.judges), str(a.texts)]
            for trait, a in found.agreement.items()
        ],
        notes=["Alpha: Krippendorff's, ordinal. Below .60 a trait is a caution; below .40 it is not "
               "interpretable, and its effect does not count.",
               *(f"{trait}: {a.reason}." for trait, a in found.agreement.items() if a.reason)],
    )  # fmt: skip


def replies(task: str, found: Mapping[str, Replies]) -> Table:
    """What became of the written replies, and how fluent they are."""
    statuses = list(dict.fromkeys(status for each in found.values() for status in each.statuses))
    return Table(
        title=f"Written replies, {task}",
        columns=["condition", "replies", *statuses, "tokens", "cut off", "distinct pairs", "over all replies"],
        rows=[
            [name, str(r.n), *(str(r.statuses.get(status, 0)) for status in statuses), number(r.tokens, 1),
             _percent(r.cut), number(r.distinct), number(r.varied)]
            for name, r in found.items()
        ],
        notes=["Judged are those that are valid or truncated, which is cut off at the longest that was allowed "
               "(--gen_kwargs max_tokens=N). Tokens, cut off and distinct pairs are of these. Distinct pairs: of "
               "neighbouring words, within a reply; over all replies it falls where all questions get the same words."],
    )  # fmt: skip


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
