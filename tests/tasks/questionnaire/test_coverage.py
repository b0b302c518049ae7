"""Intervals of scale scores that cover what they say, from a respondent's answers on."""

from __future__ import annotations

import numpy as np

from traitbench import inventories
from traitbench.backends.scripted import Respondent, Scripted
from traitbench.statistics.replies import choice_value
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.tasks.scoring import scale_scores
from traitbench.types import BIG_FIVE


def test_coverage_of_ten_items_through_the_pipeline() -> None:
    """1,000 administrations, each with other items of the same traits: 95 % intervals cover 95 %, scale by scale."""
    levels = dict(zip(BIG_FIVE, (0.35, 0.45, 0.5, 0.55, 0.65), strict=True))
    inventory = inventories.load("ipip_50")
    requests = Questionnaire(inventory, Administration(scoring=("choice",), orders=("forward",))).requests(0)
    hits = dict.fromkeys(BIG_FIVE, 0)
    for seed in range(1000):
        backend = Scripted("person", Respondent(**levels, item_sd=0.1, seed=seed))
        answers = [response.option_logprobs for batch in backend.run(requests) for response in batch.values()]
        raw = np.array([choice_value(logs, range(1, 6))[0] for logs in answers if logs])
        for score in scale_scores(raw, inventory, inventory.items, "choice"):
            assert score.ci
            hits[score.trait] += score.ci[0] <= 1 + 4 * levels[score.trait] <= score.ci[1]
    assert all(920 <= count <= 980 for count in hits.values()), hits
    assert 4680 <= sum(hits.values()) <= 4820, hits
