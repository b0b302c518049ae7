"""What results hold of a questionnaire, for the tests that look into it."""

from __future__ import annotations

from traitbench.runs.results import Results
from traitbench.tasks.questionnaire.summary import QuestionnaireBlock, Scored
from traitbench.types import Mode


def modes(results: Results, task: str = "mini_ipip") -> dict[Mode, Scored]:
    """Every scoring mode of the questionnaire `task`."""
    block = results.tasks[task]
    assert isinstance(block, QuestionnaireBlock)
    return block.modes
