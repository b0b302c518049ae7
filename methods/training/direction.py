"""A vector that is trained on pairs of replies, the model being as it is: bi-directional preference optimisation.

After Cao et al. (2024), "Personalized steering of large language models" (BiPO). The vector v is added to the output of
one layer, at every position; s is +1 or -1, drawn for each pair of a batch:

    loss = -log sigmoid(s beta (gain of the chosen - gain of the rejected)),

a gain being how much likelier a reply becomes by s v than it is without. So v is trained to turn the model to the
chosen replies when it is added and to the rejected ones when it is taken away.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from traitbench.controls.architectures import decoder_layers, part, site_width
from traitbench.methods.training.examples import Example, LossPoint, Tokens
from traitbench.methods.training.lending import lent
from traitbench.methods.training.likelihoods import reply_sums
from traitbench.methods.training.recipes import Recipe, shares
from traitbench.methods.training.settings import rate, steps
from traitbench.types import digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Learnt", "learn", "margins", "once"]

Vector = NDArray[np.float32]
"""What is added to a layer's output, (width,)."""
BOTH = (1.0, -1.0)
_FORMAT = 1
"""Of what is kept in the cache: raise it when an equal recipe trains another vector."""


class Learnt(NamedTuple):
    """A vector and how it came about."""

    vector: Vector
    """Of the step with the lowest held-out loss."""
    curve: tuple[LossPoint, ...]
    steps: int
    planned: int
    best_step: int
    tokens: int
    """Trained on, both replies of each pair, every epoch counted."""

    @property
    def lowest(self) -> float | None:
        """The lowest held-out loss; None where none is a number."""
        known = [point.held_out for point in self.curve if point.step and point.held_out is not None]
        return min(known, default=None)


def once(bench: Bench, what: str, plan: Recipe, layer: int, rows: Sequence[Example], held: Sequence[Example]) -> Learnt:
    """As `learn`, kept in the bench's cache by all that decides it."""
    texts = [[row.model_dump() for row in some] for some in (rows, held)]
    name = digest([bench.backend.identity, _FORMAT, plan.model_dump(mode="json"), layer, bench.seed, *texts])

    def make() -> dict[str, NDArray[Any]]:
        one = learn(bench, what, plan, layer, rows, held)
        points = [[p.step, *(np.nan if v is None else v for v in (p.loss, p.held_out))] for p in one.curve]
        counts = np.array([one.steps, one.planned, one.best_step, one.tokens], dtype=np.int64)
        return {"vector": one.vector, "points": np.array(points, dtype=np.float64), "counts": counts}

    kept = bench.once(f"direction-{name}", make)
    curve = tuple(
        LossPoint(step=int(step), loss=None if np.isnan(loss) else loss, held_out=None if np.isnan(out) else out)
        for step, loss, out in kept["points"].tolist()
    )
    return Learnt(kept["vector"], curve, *map(int, kept["counts"]))


def learn(
    bench: Bench, what: str, plan: Recipe, layer: int, rows: Sequence[Example], held: Sequence[Example]
) -> Learnt:
    """Train the vector of `layer`, counted from 0, on pairs `rows`; `plan` has one learning rate and one batch.

    AdamW from zeros without weight decay, as the published code runs it; warm-up and cosine as for adapters. Held-out
    loss is the mean over both signs; the vector of its lowest step is kept, and `plan.patience` stops early.
    """
    total, draw = steps(plan, len(rows)), random.Random(f"direction {bench.seed}")
    size, pile = plan.batch[0], list[int]()
    every = max(1, -(-total // plan.evaluations))
    points, best, tokens, worse, done = list[LossPoint](), (np.inf, 0, np.zeros(0)), 0, 0, 0
    warmup = min(plan.warmup, total - 1)
    with bench.progress(what, total) as tick, lent(bench.backend, False) as model, torch.random.fork_rng():
        model.requires_grad_(False)
        vector = nn.Parameter(torch.zeros(site_width(model, "residual"), device=model.device))
        optimizer = torch.optim.AdamW([vector], lr=plan.lr[0], weight_decay=0.0)
        before = [_plain(model, some, plan.device_batch) for some in (rows, held)]
        points.append(LossPoint(step=0, held_out=_held_out(model, vector, layer, held, before[1], plan)))
        for step in range(1, total + 1):
            while len(pile) < min(size, len(rows)):
                pile = [*draw.sample(range(len(rows)), len(rows)), *pile]
            mine, pile = [pile.pop() for _ in range(min(size, len(rows)))], pile
            signs = [draw.choice(BOTH) for _ in mine]
            for group in optimizer.param_groups:
                group["lr"] = plan.lr[0] * rate(step - 1, warmup, total)
            optimizer.zero_grad()
            loss, share = 0.0, shares(plan, len(mine))[1]
            for n in range(0, len(mine), share):
                some = mine[n : n + share]
                part_loss = _losses(
                    model, vector, layer, [rows[i] for i in some], before[0][some], signs[n : n + share], plan.beta
                ).sum() / len(mine)  # fmt: skip
                part_loss.backward()  # type: ignore[no-untyped-call]
                loss += float(part_loss.detach())
            optimizer.step()
            done = step
            tokens += sum(2 * len(rows[i].prompt) + len(rows[i].reply) + len(rows[i].rejected) for i in mine)
            found = None
            if step % every == 0 or step == total:
                found = _held_out(model, vector, layer, held, before[1], plan)
                better = found is not None and found < best[0]
                best = (found, step, vector.detach().cpu().numpy().copy()) if better and found is not None else best
                worse = 0 if better else worse + 1
            points.append(LossPoint(step=step, loss=loss if np.isfinite(loss) else None, held_out=found))
            tick(1)
            if plan.patience is not None and plan.match_steps is None and worse >= plan.patience:
                break
        kept = best[2] if best[1] else vector.detach().cpu().numpy()
    return Learnt(np.asarray(kept, dtype=np.float32), tuple(points), done, total, best[1], tokens)


def margins(bench: Bench, vector: Vector, layer: int, held: Sequence[Example], size: int) -> NDArray[np.float64]:
    """Log-likelihood of the chosen less the rejected reply of each pair with `vector` added, in nats, (pairs,)."""
    with lent(bench.backend, False) as model, torch.no_grad():
        moved = torch.tensor(vector, device=model.device)
        sums = [
            _sums(model, held[n : n + size], moved, layer, [1.0] * len(held[n : n + size]))
            for n in range(0, len(held), size)
        ]
    found = torch.cat(sums).double().cpu().numpy()
    return np.asarray(found[:, 0] - found[:, 1], dtype=np.float64)


def _losses(
    model: Any, vector: Tensor, layer: int, rows: Sequence[Example], before: Tensor, signs: Sequence[float], beta: float
) -> Tensor:
    """Loss of each pair (pairs,); `before` (pairs, 2) are the log-likelihoods without the vector."""
    gains = _sums(model, rows, vector, layer, signs) - before
    return -logsigmoid(torch.tensor(signs, device=gains.device) * beta * (gains[:, 0] - gains[:, 1]))


def _held_out(
    model: Any, vector: Tensor, layer: int, held: Sequence[Example], before: Tensor, plan: Recipe
) -> float | None:
    size, found = plan.device_batch, list[Tensor]()
    with torch.no_grad():
        for sign in BOTH:
            for n in range(0, len(held), size):
                some = held[n : n + size]
                signs = [sign] * len(some)
                found.append(_losses(model, vector, layer, some, before[n : n + size], signs, plan.beta))
    mean = float(torch.cat(found).mean())
    return mean if np.isfinite(mean) else None


def _plain(model: Any, rows: Sequence[Example], size: int) -> Tensor:
    with torch.no_grad():
        return torch.cat([_pairs(model, rows[n : n + size]) for n in range(0, len(rows), size)])


def _pairs(model: Any, rows: Sequence[Example]) -> Tensor:
    """Log-likelihoods of chosen and rejected replies (pairs, 2)."""
    texts: list[tuple[Tokens, Tokens]] = [(row.prompt, reply) for row in rows for reply in (row.reply, row.rejected)]
    return reply_sums(model, texts).view(-1, 2)


def _sums(model: Any, rows: Sequence[Example], vector: Tensor, layer: int, signs: Sequence[float]) -> Tensor:
    turned = torch.tensor([sign for sign in signs for _ in range(2)], device=vector.device)
    with _added(model, layer, turned[:, None, None] * vector):
        return _pairs(model, rows)


@contextmanager
def _added(model: Any, layer: int, shift: Tensor) -> Iterator[None]:
    """Add `shift` (rows, 1, width) to the output of a layer, at every position."""
    module, _ = part(model, decoder_layers(model)[layer], "residual")

    def add(_: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0] + shift.to(output[0].dtype), *output[1:])
        return output + shift.to(output.dtype)

    handle = module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
