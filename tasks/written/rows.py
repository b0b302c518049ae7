"""Written replies in a results file's `results`, and as rows of data frames."""

from __future__ import annotations

from typing import Any

from traitbench.tasks.written.comparison import FILTER
from traitbench.tasks.written.records import Written

__all__ = ["effect_rows", "metrics", "score_rows"]


def metrics(found: Written) -> dict[str, dict[str, float | None]]:
    """Condition -> "trait,generate" and "trait_stderr,generate" of the run's number, and the share of valid replies."""
    out: dict[str, dict[str, float | None]] = {}
    for condition, replies in found.replies.items():
        line = out.setdefault(condition, {})
        for level in found.rated.levels[condition] if found.rated else ():
            line[f"{level.trait},{FILTER}"], line[f"{level.trait}_stderr,{FILTER}"] = level.value, level.se
        line[f"valid,{FILTER}"] = replies.share("valid")
    return out


def score_rows(found: Written) -> list[dict[str, Any]]:
    """A row a judge, condition and trait, and one a condition for the share of valid replies."""
    rows = [
        {"condition": condition, "scoring": FILTER, "judge": judge, "metric": level.trait, "value": level.value,
         "se": level.se, **_ends("ci", level.ci), "pomp": None if level.value is None else 20 * level.value,
         "shift": level.shift, "shift_se": level.shift_se, **_ends("shift_ci", level.shift_ci),
         "n": level.n, "unscored": level.unscored}
        for judge, rated in found.judges.items()
        for condition, mine in rated.levels.items()
        for level in mine
    ]  # fmt: skip
    return rows + [
        {"condition": condition, "scoring": FILTER, "judge": None, "metric": "valid", "value": replies.share("valid"),
         "se": None, "n": replies.n}
        for condition, replies in found.replies.items()
    ]  # fmt: skip


def effect_rows(found: Written) -> list[dict[str, Any]]:
    """A row a judge, contrast and trait; `aimed` marks the trait aimed at, which alone has a composite and lengths."""
    return [
        {"target": contrast.target, "high": contrast.high, "low": contrast.low, "scoring": FILTER, "judge": judge,
         "metric": shift.trait, "aimed": (own := shift.trait in contrast.aimed), "value": shift.value, "se": shift.se,
         **_ends("ci", shift.ci), "p": shift.p, "p_holm": shift.p_holm, "covers": ",".join(shift.covers), "d": shift.d,
         "moved": contrast.moved.value if own and contrast.moved else None,
         "composite": contrast.composite.value if own and contrast.composite else None,
         "composite_se": contrast.composite.se if own and contrast.composite else None,
         "longer": contrast.length.value if own and contrast.length else None,
         "leakage": contrast.leakage, "check": contrast.check, "verdict": found.verdict.verdict}
        for judge, rated in found.judges.items()
        for contrast in rated.contrasts
        for shift in contrast.shifts
    ]  # fmt: skip


def _ends(name: str, ci: tuple[float, float] | None) -> dict[str, float | None]:
    return {f"{name}_low": ci[0] if ci else None, f"{name}_high": ci[1] if ci else None}
