"""Training an adapter: what decides a run, and one function that does it with TRL and PEFT.

1. `example` turns a conversation and its reply into tokens, as a run shows them (`examples`).
2. `settled` chooses learning rate and batch by the held-out loss of short runs, where a recipe names several.
3. `train` hands rows and recipe to TRL's trainer (`trainers`, told what `settings` say) on the lent model (`lending`).
4. Held-out loss is measured on the way; the adapter of the best step is kept, and the model is as it was.

The losses are TRL's: cross-entropy on the reply alone (SFT), or one of pairs (`preferences`). Ours are the rows, since
TRL's own tokens differ where a template writes something behind a turn; the choices on held-out loss; and that a killed
run goes on where it was. Nothing heavy is imported before something is trained.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.errors import BadData, MissingExtra
from traitbench.methods.training.examples import Example, Extension, LossPoint, example
from traitbench.methods.training.recipes import Recipe
from traitbench.store import locked, read_json, write_json
from traitbench.types import Record, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Example", "Extension", "LossPoint", "Trained", "Trial", "check_extra", "example", "settled", "train"]

_FORMAT = 2
"""Of what is kept in the cache: raise it when an equal recipe trains another adapter."""


class Trial(Record):
    """A short run that a recipe was chosen by."""

    lr: float
    batch: int
    held_out: float
    """Lowest loss on what is held out."""
    seconds: float


class Trained(Record):
    """What a training run left behind."""

    folder: str
    """The PEFT folder."""
    name: str
    """Digest of all that decided the run."""
    recipe: Recipe
    steps: int
    best_step: int
    """The step with the lowest held-out loss, whose adapter was kept."""
    tokens: int
    """Trained on, padding left out, every epoch counted; both replies of a pair."""
    seconds: float
    examples: int
    curve: tuple[LossPoint, ...]

    @property
    def adapter(self) -> Path:
        """The PEFT folder as a path."""
        return Path(self.folder)

    @property
    def summary(self) -> dict[str, Any]:
        """What method.json says of the run."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "training": self.name,
            "steps": self.steps,
            "best_step": self.best_step,
            "tokens": self.tokens,
            "examples": self.examples,
            "losses": [point.model_dump(mode="json", exclude_none=True) for point in self.curve],
        }


def check_extra(four_bit: bool = False) -> None:
    """Refuse, before a model is loaded, to train without the libraries or the GPU that it takes."""
    # Looked for, not imported: that alone takes seconds.
    if missing := [name for name in ("datasets", "peft", "trl") if find_spec(name) is None]:
        raise MissingExtra(f"training needs {missing[0]}: pip install 'traitbench[train]'")
    if four_bit:
        import torch

        if not torch.cuda.is_available():
            raise BadData("four_bit=true quantises with bitsandbytes on a GPU, and torch sees none; leave it out")
        if find_spec("bitsandbytes") is None:
            raise MissingExtra("four_bit=true needs bitsandbytes: pip install bitsandbytes")


def settled(
    bench: Bench, plan: Recipe, rows: Sequence[Example], held: Sequence[Example], **extra: Any
) -> tuple[Recipe, tuple[Trial, ...]]:
    """Choose between the learning rates and batches of `plan` by the held-out loss of short runs."""
    grid = list(product(plan.lr, plan.batch))
    if len(grid) == 1:
        return plan, ()
    trials = []
    for lr, batch in grid:
        short = plan.model_copy(
            update={"lr": (lr,), "batch": (batch,), "match_steps": plan.trial_steps, "evaluations": 1, "patience": None}
        )
        found = train(bench, f"trying lr {lr:g}, batch {batch}", short, rows, held, **extra)
        lowest = min(p.held_out for p in found.curve if p.held_out is not None)
        trials.append(Trial(lr=lr, batch=batch, held_out=lowest, seconds=found.seconds))
    best = min(trials, key=lambda trial: trial.held_out)
    return plan.model_copy(update={"lr": (best.lr,), "batch": (best.batch,)}), tuple(trials)


def train(
    bench: Bench,
    what: str,
    plan: Recipe,
    rows: Sequence[Example],
    held: Sequence[Example],
    *,
    extension: Extension | None = None,
    start: Path | None = None,
) -> Trained:
    """Train an adapter on `rows` and keep the one with the lowest loss on `held`.

    `what` names the run to the user. `start` is a PEFT folder to go on from; DPO then takes a frozen copy of it for its
    reference, else the base model. Kept in the bench's cache by all that decides it; a killed run resumes from its
    last checkpoint. `plan` holds one learning rate and one batch (see `settled`).
    """
    if not rows or not held:
        raise BadData(f"{what}: {len(rows)} examples to train on and {len(held)} held out; expected some of each")
    decides = [
        bench.backend.identity, plan.model_dump(mode="json"), bench.seed, digest([r.model_dump() for r in rows]),
        digest([r.model_dump() for r in held]), extension.identity if extension else None, _start_name(start), _FORMAT,
    ]  # fmt: skip
    name = digest(decides)
    folder = bench.cache / f"training-{name}"
    note = folder / "trained.json"
    if note.is_file():
        return Trained.model_validate({**read_json(note), "folder": str(folder / "adapter")})
    from traitbench.methods.training.trainers import run

    # Of several processes that train together the first one holds the folder.
    alone = os.environ.get("RANK", "0") == "0"
    with locked(folder, "train something else meanwhile") if alone else nullcontext():
        done = run(bench, what, plan, rows, held, folder, extension, start)
    trained = Trained(folder=str(folder / "adapter"), name=name, recipe=plan, examples=len(rows), **done)
    write_json(note, trained.model_dump(mode="json", exclude={"folder"}))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return trained


def _start_name(start: Path | None) -> str | None:
    from traitbench.controls.adapters import adapter_digest

    return adapter_digest(start) if start else None
