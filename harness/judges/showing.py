"""How calibrations are shown."""

from __future__ import annotations

from collections.abc import Sequence

from traitbench.judges.calibration import Calibration
from traitbench.judges.trials import DEGRADED
from traitbench.statistics.judge_probes import Probe
from traitbench.statistics.thresholds import JUDGES
from traitbench.tables import Table, interval, number

__all__ = ["tables"]

_MEANING = {
    "pole_auc": "ratings of the high over those of the low pole, AUC",
    "score_spread": "SD of ratings",
    "direction": "difference of a text's two scales",
    "length_preference": "for a text twice as long",
    "position_preference": "for the reply shown first",
    "injection": "towards the number that a text asks for",
    "self_preference": "for its own family's name",
    "abstention": "cannot tell, where nothing is to be seen",
    "verdict_mass": "probability of all options",
    "coverage": "texts with a rating",
}


def tables(found: Sequence[Calibration]) -> list[Table]:
    """Checks of each judge, its traits, and what it did with texts that show nothing."""
    return [_checks(found), _traits(found), _nothing(found)]


def _checks(found: Sequence[Calibration]) -> Table:
    rows = []
    for one in found:
        for index in one.indices:
            rows.append([
                one.judge, index.name, _MEANING[index.name], interval(index.value, index.ci), str(index.n),
                _said(index),
            ])  # fmt: skip
    notes = [
        "all but the AUC are shares: of the range of 0 to 5, of verdicts or of texts; where a faultless judge has 0, "
        "an index counts only if its interval excludes 0",
        "self_preference is for a name under the same words, not for words of its own family",
    ]
    if any(one.limit for one in found):
        notes.append(f"on the first {found[0].limit} pairs of each trait only: not cited on cards")
    if failed := sum(one.failed for one in found):
        notes.append(f"{failed} calls failed; the same command asks them again")
    return Table(
        title="Calibration of judges", columns=["judge", "check", "what it is", "value", "n", "verdict"], rows=rows,
        notes=notes,
    )  # fmt: skip


def _said(index: Probe) -> str:
    """What an index says against its judge, as it is: a value on a limit of what counts from there on is past it."""
    if index.level is None or index.limit is None or index.value is None:
        return index.reason if index.value is None else "nothing against it"
    if index.reason:
        return f"{index.level}: {index.reason}"
    if JUDGES[index.name].side == "below":
        return f"{index.level}: below {index.limit:g}"
    return f"{index.level}: " + (f"{index.limit:g} or more" if index.value >= 0 else f"{-index.limit:g} or less")


def _traits(found: Sequence[Calibration]) -> Table:
    rows = []
    for one in found:
        for trait in one.traits:
            side = trait.pairs
            rows.append([
                one.judge, trait.trait, interval(trait.auc.value, trait.auc.ci), number(trait.high), number(trait.low),
                interval(side.high.value, side.high.ci) if side else "–",
                interval(side.flips.value, side.flips.ci) if side else "–",
            ])  # fmt: skip
    return Table(
        title="Replies of known pole", columns=["judge", "trait", "AUC", "high", "low", "for high", "flips"], rows=rows,
        notes=["high, low: mean ratings, 0 to 5; for high: verdicts for the high pole's reply, side by side; flips: "
               "pairs whose order decided"],
    )  # fmt: skip


def _nothing(found: Sequence[Calibration]) -> Table:
    rows = [[one.judge, *(interval(one.abstained[k].value, one.abstained[k].ci) for k in DEGRADED)] for one in found]
    return Table(title="Texts that show nothing: share of cannot tell", columns=["judge", *DEGRADED], rows=rows)
