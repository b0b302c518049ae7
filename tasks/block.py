"""What a run knows of itself, and a task's part of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from traitbench.humans import Reference
from traitbench.samples import Condition, Sample
from traitbench.types import Fit, Reading, Record

__all__ = ["Block", "Facts", "by_condition"]


class Facts(Record):
    """What a run knows besides its samples."""

    model_name: str
    """As tables show it."""
    model_source: str
    """The backend."""
    model: dict[str, Any]
    """The backend's identity: weights, revision, precision, chat template."""
    method: dict[str, Any]
    """name, version, config and the label of the row."""
    conditions: list[Condition]
    controls: dict[str, list[dict[str, str]]]
    """Condition -> the control's messages."""
    fits: dict[str, Fit] = {}
    """Condition -> how its control was fitted, where it was; of several fits the first."""
    refits: dict[str, list[Fit]] = {}
    """Condition -> its further fits, with other seeds (`--fit_seeds`)."""
    contaminated: dict[str, int] = {}
    """Task -> how many of its items the method was fitted on; such a run is not ranked."""
    config: dict[str, Any]
    """The plan, as `--config` takes it."""
    administration: dict[str, Any]
    git_hash: str | None = None
    reference: Reference | None = None
    """The user's own sample of people (--reference), as summary figures."""
    reading: Reading | None = None
    """How well the model foresees neutral prose; null where the backend gives no likelihoods, in runs of scripted
    respondents, and in results of older versions."""
    judges: dict[str, dict[str, Any]] = {}
    """Judge -> its card: what decides its verdicts, and what is known of them."""
    persons: dict[str, str] = {}
    """Person aimed at -> digest of their answers, which are not kept here."""
    date: float = 0.0
    """Seconds since 1970, as in lm-eval."""
    total_evaluation_time_seconds: float = 0.0
    """Of the process that wrote this, fits included."""
    cost: dict[str, Any] = {}
    """fit_seconds of all fits, whenever they were made; evaluation_seconds without fits, of this process alone (a run
    that was resumed asked the rest before); peak_memory_bytes of this process; stored_parameters of the adapters."""
    warnings: list[str] = []

    @property
    def damage(self) -> float | None:
        """The largest perplexity of neutral text under a control, over that without; null where nothing is edited."""
        found = (c.perplexity for c in self.conditions if c.headline and c.perplexity is not None)
        return max(found, default=None)

    @property
    def every_fit(self) -> dict[str, Fit]:
        """Every fit by its condition, the further ones with their number."""
        out = {}
        for name, fit in self.fits.items():
            out[name] = fit
            out |= {f"{name} (fit {n})": other for n, other in enumerate(self.refits.get(name, ()), 2)}
        return out

    @property
    def iterations(self) -> int:
        """Redraws of a bootstrap."""
        return int(self.config["bootstrap_iters"])

    @property
    def seed(self) -> int:
        """Of every draw."""
        return int(self.config["seed"])


class Block(Record):
    """A task's part of a results file. A kind of block adds what it holds; whoever reads one tells it by `kind`."""

    kind: str
    """Name in TASKS, by which class and views are found."""
    version: str = "1"
    """Of the kind's fields."""

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Condition -> "name,filter" (and "name_stderr,filter") -> value: what lm-eval's `results` holds."""
        return {}

    def higher_is_better(self) -> dict[str, bool | None]:
        """Metric -> whether more is better; null where it is neither, as with the level of a trait."""
        found = {name.partition(",")[0] for line in self.metrics().values() for name in line}
        return dict.fromkeys(sorted(name for name in found if not name.endswith("_stderr")))

    def score_rows(self) -> list[dict[str, Any]]:
        """A dictionary a number, in long form, for data frames: condition, scoring, metric, value, se.

        `scoring` is the filter. A kind that has more says it under the names ci_low, ci_high, n and its own.
        """
        out = []
        for condition, line in self.metrics().items():
            for key, value in line.items():
                name, _, part = key.partition(",")
                if not name.endswith("_stderr"):
                    se = line.get(f"{name}_stderr,{part}")
                    out.append({"condition": condition, "scoring": part, "metric": name, "value": value, "se": se})
        return out

    def effect_rows(self) -> list[dict[str, Any]]:
        """A dictionary an effect of the control, for data frames; none where the task has no such thing.

        Keys are target, scoring, metric, aimed, value, se, ci_low, ci_high and verdict, where they are known, and those
        of the kind's own.
        """
        return []


def by_condition(facts: Facts, samples: Sequence[Sample]) -> Mapping[str, list[Sample]]:
    """Condition -> its samples, for every condition of the run in order."""
    found: dict[str, list[Sample]] = {condition.name: [] for condition in facts.conditions}
    for sample in samples:
        found[sample.condition].append(sample)
    return found
