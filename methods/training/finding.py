"""Whether a training found anything: an adapter beside one that was trained on shuffled labels of the poles.

Both are trained for the same few steps, by the same recipe, on the same scenes; for the second one the two poles have
changed places in half of the scenes of each trait. On scenes that neither saw, both read the reply of the level and the
one of the other level under the same label; how much more the first prefers the right one is tested by turning round
the sign of the difference scene by scene (Fisher, 1935). If labels say nothing, the two replies might as well have
changed places, whichever of the two adapters writes better on the whole. The unit is the scene: records of one scene
are averaged. It is one shuffled training, and not many: the test says that the labels taught this adapter something
which holds in other scenes, not how training would vary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.methods.training import Trained, train
from traitbench.methods.training.examples import Example, Extension
from traitbench.methods.training.rates import Trial
from traitbench.methods.training.recipes import Recipe
from traitbench.statistics.permutations import compared, flips
from traitbench.types import Control, Find, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["FEWEST", "Held", "Sought", "likelihoods", "seek", "tested"]

FEWEST = 5
"""Scenes held out: with fewer no result could be at .05, since n scenes have 2 ** n signs."""
DRAWS = 999

Array = NDArray[np.float64]
Score = Callable[["Bench", Path, Sequence[Example]], Array]
"""How well the adapter in a folder does on examples, a number each; more is better."""


class Held(NamedTuple):
    """What both adapters read: examples of the scenes that are held out."""

    right: Sequence[Example]
    wrong: Sequence[Example]
    """Each of `right` with what the other level says in its place; empty for pairs, which hold both."""
    scenes: Sequence[str]
    """Of each of `right`."""


class Sought(NamedTuple):
    """What the test says, what it took, and what method.json tells of it."""

    find: Find | None
    details: dict[str, Any]
    seconds: float


def seek(
    bench: Bench,
    what: str,
    plan: Recipe,
    full: Trained,
    rows: Sequence[Example],
    shuffled: Sequence[Example],
    held: Sequence[Example],
    read: Held,
    *,
    trials: Sequence[Trial] = (),
    extension: Callable[[], Extension] | None = None,
    score: Score | None = None,
) -> Sought:
    """Train on `rows` and on `shuffled` for the budget of `plan`, and compare both on what they `read`.

    `plan` is that of `full`, the training whose adapter is kept; `held` is what a training holds out. trials: the short
    runs that chose the rate, which cost nothing again. Without enough scenes, or where nothing could be shuffled,
    nothing is trained.
    """
    names = list(dict.fromkeys(read.scenes))
    if len(names) < FEWEST:
        told = (
            f"not tested: {len(names)} scenes with a reply of each level are held out, and fewer than {FEWEST} cannot "
            "tell at .05"
        )
        return Sought(None, {"test": told}, 0.0)
    if list(rows) == list(shuffled):
        return Sought(None, {"test": "not tested: no scene has a record of either pole to change places"}, 0.0)
    budget = min(plan.find_steps or plan.trial_steps, full.planned)
    short = plan.model_copy(update={"match_steps": budget, "evaluations": 1, "patience": None})
    made = []
    for labels, some in (("its labels", rows), ("shuffled labels", shuffled)):
        added = extension() if extension is not None else None
        made.append(
            train(bench, f"{what}: {budget} steps on {labels}", short, some, held, extension=added, anyhow=True)
        )
    score = score or (lambda at, folder, rows: likelihoods(at, folder, rows, plan.device_batch))
    found = _better(bench, made[0], made[1], read, score)
    statistic = "chosen less rejected reply" if plan.loss == "dpo" else "reply of the level less that of the other"
    find = tested(found, read.scenes, statistic, bench.seed)
    details = {
        "test": f"{budget} steps on the labels and on shuffled ones, {len(names)} held-out scenes, signs turned round",
        "steps": budget, "scenes": len(names), "unit": "nats a pair" if plan.loss == "dpo" else "nats a token",
        "trainings": [one.name for one in made],
    }  # fmt: skip
    known = any((t.lr, t.batch) == (plan.lr[0], plan.batch[0]) for t in trials) and budget == plan.trial_steps
    seconds = made[1].seconds + (0.0 if known else made[0].seconds)
    return Sought(find, details, seconds)


def _better(bench: Bench, one: Trained, other: Trained, read: Held, score: Score) -> Array:
    """How much more `one` prefers the right reply to the wrong one than `other` does, an example of `read` each."""

    def preferred(which: Trained) -> Array:
        right = score(bench, which.adapter, read.right)
        return right - score(bench, which.adapter, read.wrong) if read.wrong else right

    asked = digest([[row.model_dump() for row in rows] for rows in (read.right, read.wrong)])
    name = digest(["find", one.name, other.name, asked])
    found: Array = bench.once(f"find-{name}", lambda: {"better": preferred(one) - preferred(other)})["better"]
    return found


def tested(better: Array, scenes: Sequence[str], what: str, seed: int) -> Find:
    """Test whether examples (examples,) do `better` than under shuffled labels, by the signs of their scenes' means."""
    names, labels = list(dict.fromkeys(scenes)), np.array(scenes)
    differences = np.array([better[labels == scene].mean() for scene in names])
    null = (flips(len(names), DRAWS, seed) * differences).mean(axis=1)
    statistic = f"{what}, nats gained over one trained on shuffled labels"
    return compared(float(differences.mean()), null).find(statistic, "held-out scenes")


def likelihoods(bench: Bench, folder: Path, held: Sequence[Example], size: int) -> Array:
    """Score each of `held` under the adapter in `folder`: nats a token of its reply; of a pair chosen less rejected.

    `size` texts are run at a time.
    """
    import torch

    from traitbench.controls.adapters import adapter_digest
    from traitbench.controls.wearing import worn
    from traitbench.methods.training.likelihoods import reply_sums

    model = bench.backend.model
    texts = [(row.prompt, reply) for row in held for reply in (row.reply, row.rejected) if reply]
    with worn(model, Control(adapter=folder, weights=adapter_digest(folder))), torch.no_grad():
        sums = iter([x for n in range(0, len(texts), size) for x in reply_sums(model, texts[n : n + size]).tolist()])
    return np.array([next(sums) - next(sums) if row.rejected else next(sums) / len(row.reply) for row in held])
