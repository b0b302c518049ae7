"""What a results file holds of written replies."""

from __future__ import annotations

from typing import Literal

from traitbench.judges.pairs import PairCheck
from traitbench.statistics.agreement import Agreement
from traitbench.tasks.differences import Overall
from traitbench.tasks.effects import UnitLevel
from traitbench.tasks.variation import Variation
from traitbench.tasks.verdict import Verdict
from traitbench.tasks.written.effects import ReplyContrast
from traitbench.tasks.written.ratings import MEAN, Asking
from traitbench.tasks.written.replies import Replies
from traitbench.types import Record, Trait

__all__ = ["Rated", "Written"]


class Rated(Record):
    """All ratings of one judge, or the mean over judges."""

    levels: dict[str, list[UnitLevel]]
    """Condition -> mean rating a trait, 0 to 5, on the questions about it."""
    contrasts: list[ReplyContrast]
    effect: Overall | None
    """Mean over the contrasts that aim at one trait; null without any."""
    coverage: float | None
    """Share of all replies with a rating on the trait that the question is about, where there are numbers for it."""
    variation: Variation
    """Whether the ratings vary, over questions and conditions."""
    without: dict[Trait, str] = {}
    """Trait -> why there is no number."""
    asking: Asking | None = None
    """How the judge answered; null of the mean."""


class Written(Record):
    """The written replies of a task: what became of them, and what judges say of them."""

    unit: Literal["points"] = "points"
    """Of ratings, 0 to 5."""
    replies: dict[str, Replies]
    """Condition -> its replies."""
    judges: dict[str, Rated]
    """Judge, and "mean" for the mean over those in `counted` where they are several; empty where none was asked."""
    pairs: list[PairCheck] = []
    """Which of two replies shows more of a trait, a judge and trait; empty where no judge can compare."""
    counted: list[str] = []
    """Judges whose mean is the number of the run."""
    agreement: dict[Trait, Agreement] = {}
    """Trait -> how far the judges in `counted` agree about replies to the questions about it; empty with one judge."""
    templates: int
    """Wordings that each question was asked in: `items` of a contrast has their values in this order, with its fits."""
    unranked: str = ""
    """Why the judges are too few for a rank; empty where they are not."""
    verdict: Verdict

    @property
    def rated(self) -> Rated | None:
        """The number of the run; null where nothing was judged."""
        return self.judges.get(MEAN if len(self.counted) > 1 else next(iter(self.counted), ""))
