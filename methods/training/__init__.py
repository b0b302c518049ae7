"""Training an adapter: what decides a run, and one function that does it with TRL and PEFT.

1. `example` turns a conversation and its reply into tokens, as a run shows them (`examples`).
2. `rates.settled` chooses learning rate and batch by short runs, where a recipe names several, by what they do to
   development items (`effects`), and tries further rates until the best lies between two others.
3. `train` hands rows and recipe to TRL's trainer (`trainers`, told what `settings` say) on the lent model (`lending`).
4. Held-out loss is measured on the way; the adapter of the best step is kept, and the model is as it was.

The losses are TRL's: cross-entropy on the reply alone (SFT), or one of pairs (`preferences`). Ours are the rows, since
TRL's own tokens differ where a template writes something behind a turn; the choices on held-out loss; and that a killed
run goes on where it was. Nothing heavy is imported before something is trained.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.backends.fingerprints import fingerprint
from traitbench.errors import BadData, MissingExtra
from traitbench.methods.material import prose
from traitbench.methods.training.examples import Example, Extension, LossPoint, example
from traitbench.methods.training.recipes import Recipe
from traitbench.store import locked, read_json, write_json
from traitbench.types import Record, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Example", "Extension", "LossPoint", "Trained", "check_extra", "example", "kept", "once", "train"]

_NOTE = "trained.json"
_HALVINGS = 4
_FORMAT = 3
"""Of what is kept in the cache: raise it when an equal recipe trains another adapter."""


class Refused(Record):
    """A training that went over the limit of perplexity at every step, and was made again at half the rate."""

    lr: float
    perplexity: float | None
    """Of neutral text at the step with the lowest held-out loss, over that without the adapter."""
    seconds: float


class Trained(Record):
    """What a training run left behind."""

    folder: str
    """The PEFT folder."""
    name: str
    """Digest of all that decided the run."""
    recipe: Recipe
    steps: int
    planned: int
    """Steps, had it not been stopped before."""
    best_step: int
    """The step with the lowest held-out loss of those under the limit of perplexity, whose adapter was kept."""
    tokens: int
    """Trained on, padding left out, every epoch counted; both replies of a pair."""
    seconds: float
    """Those of trainings that were refused before included."""
    examples: int
    curve: tuple[LossPoint, ...]
    files: str = ""
    """Digest of the files of the PEFT folder."""
    refused: tuple[Refused, ...] = ()
    """What was trained before, at higher rates."""

    @property
    def adapter(self) -> Path:
        """The PEFT folder as a path."""
        return Path(self.folder)

    @property
    def lowest(self) -> float | None:
        """The lowest loss on what is held out, of steps under the limit of perplexity; None where there is none."""
        found = [p.held_out for p in self.curve if p.step and p.held_out is not None and self._sound(p)]
        return min(found, default=None)

    @property
    def harmful(self) -> bool:
        """Whether a loss is a number, and every such step is over the limit."""
        known = any(point.step and point.held_out is not None for point in self.curve)
        return known and self.lowest is None

    @property
    def perplexity(self) -> float | None:
        """Of neutral text under the adapter that was kept, over that without; None where it was not measured."""
        return next((point.perplexity for point in self.curve if point.step == self.best_step), None)

    def _sound(self, point: LossPoint) -> bool:
        limit = self.recipe.max_perplexity
        return limit is None or (point.perplexity is not None and point.perplexity <= limit)

    @property
    def summary(self) -> dict[str, Any]:
        """What method.json says of the run."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "training": self.name,
            "steps": self.steps,
            "planned_steps": self.planned,
            "best_step": self.best_step,
            "perplexity": self.perplexity,
            "tokens": self.tokens,
            "examples": self.examples,
            "losses": [point.model_dump(mode="json", exclude_none=True) for point in self.curve],
            **({"refused": [one.model_dump(mode="json") for one in self.refused]} if self.refused else {}),
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


def train(
    bench: Bench,
    what: str,
    plan: Recipe,
    rows: Sequence[Example],
    held: Sequence[Example],
    *,
    extension: Extension | None = None,
    start: Path | None = None,
    anyhow: bool = False,
    setting: str = "lr",
) -> Trained:
    """Train an adapter on `rows` and keep the one with the lowest loss on `held` under the limit of perplexity.

    Where every step is over the limit, it is trained again at half the learning rate, a few times; `anyhow`: it is only
    measured, and the limit decides nothing.

    `what` names the run to the user, `setting` what sets its rate. `start` is a PEFT folder to go on from; DPO then
    takes a frozen copy of it for its reference, else the base model. Kept in the bench's cache by all that decides it;
    a killed run resumes from its last checkpoint. `plan` holds one learning rate and one batch (see `settled`). BadData
    where nothing is given to train on, or where the held-out loss ends as no number.
    """
    found = once(bench, what, plan, rows, held, extension=extension, start=start)
    refused: list[Refused] = []
    for _ in range(_HALVINGS):
        if anyhow or not found.harmful:
            break
        refused.append(Refused(lr=plan.lr[0], perplexity=found.perplexity, seconds=found.seconds))
        plan = plan.model_copy(update={"lr": (plan.lr[0] / 2,)})
        bench.tell(
            f"{what}: at a learning rate of {found.recipe.lr[0]:g} every step takes the perplexity of neutral text "
            f"over {plan.max_perplexity:g} times that without; {plan.lr[0]:g} is tried"
        )
        found = once(bench, what, plan, rows, held, extension=extension, start=start)
    if found.lowest is None and not (anyhow and found.harmful):
        why = "every step breaks the limit of perplexity" if found.harmful else "no held-out loss is a number"
        raise BadData(
            f"{what}: at a learning rate of {plan.lr[0]:g} {why}; give a lower one, e.g. "
            f"--method_args {setting}={plan.lr[0] / 10:g}"
        )
    seconds = found.seconds + sum(one.seconds for one in refused)
    return found.model_copy(update={"refused": tuple(refused), "seconds": seconds})


def once(
    bench: Bench,
    what: str,
    plan: Recipe,
    rows: Sequence[Example],
    held: Sequence[Example],
    *,
    extension: Extension | None = None,
    start: Path | None = None,
) -> Trained:
    """As `train`, at the rate of `plan` alone, and whatever became of it."""
    if not rows or not held:
        raise BadData(f"{what}: {len(rows)} examples to train on and {len(held)} held out; expected some of each")
    decides = [
        bench.backend.identity, plan.model_dump(mode="json"), bench.seed, digest([r.model_dump() for r in rows]),
        digest([r.model_dump() for r in held]), extension.identity if extension else None, _start_name(start), _FORMAT,
        prose() if plan.max_perplexity is not None else None, *(["all passages"] if extension else []),
    ]  # fmt: skip
    name = digest(decides)
    folder = bench.cache / f"training-{name}"
    if (before := kept(folder, bench.tell)) is not None:
        return before
    from traitbench.methods.training.trainers import run

    # Of several processes that train together the first one holds the folder.
    alone = os.environ.get("RANK", "0") == "0"
    with locked(folder, "train something else meanwhile") if alone else nullcontext():
        done = run(bench, what, plan, rows, held, folder, extension, start)
    trained = Trained(
        folder=str(folder / "adapter"), name=name, recipe=plan, examples=len(rows),
        files=fingerprint(folder / "adapter"), **done,
    )  # fmt: skip
    write_json(folder / _NOTE, trained.model_dump(mode="json", exclude={"folder"}))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return trained


def kept(folder: Path, tell: Callable[[str], None]) -> Trained | None:
    """What was trained into a folder of the cache before; None where nothing was, or where its files are others now."""
    if not (folder / _NOTE).is_file():
        return None
    found = Trained.model_validate({**read_json(folder / _NOTE), "folder": str(folder / "adapter")})
    if found.files and not (found.adapter.is_dir() and found.files == fingerprint(found.adapter)):
        tell(f"{found.adapter} was changed since it was trained: it is trained anew")
        return None
    return found


def _start_name(start: Path | None) -> str | None:
    from traitbench.controls.adapters import adapter_digest

    return adapter_digest(start) if start else None
