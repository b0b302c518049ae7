"""Labels of runs that are shown together."""

from __future__ import annotations

from drawn import published, shown

from traitbench.samples import Condition

TASK = "ipip_neo_120"


def test_labels_tell_runs_apart() -> None:
    results = published("smollm2@prompting", TASK)
    other = results.model_copy(update={"model_name": "another"})
    limited = results.model_copy(update={"config": {**results.config, "limit": 10}})
    drawn = results.model_copy(update={"conditions": [Condition(name="p", profile=True)] * 3})
    labels = [run.label for run in shown([results, results, limited, drawn], TASK)]
    assert labels == ["prompting #1", "prompting #2", "prompting · first 10 items", "prompting (3 profiles)"]
    asked = results.model_copy(update={"administration": {**results.administration, "respondents": 50}})
    assert [run.label for run in shown([results, asked], TASK)] == ["prompting", "prompting (50 respondents)"]
    assert [run.label for run in shown([results, other], TASK)][1] == "prompting · another"
    assert shown([results], "sd3") == []
