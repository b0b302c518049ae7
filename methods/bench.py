"""The bench a method is fitted on: the loaded model, the run's own way of asking, and a place to keep work.

Everything that is chosen here is chosen on development items: of the IPIP-NEO-300 the 180 that are not in the
IPIP-NEO-120, in halves. A strength is the smallest whose effect is within one standard error of the largest, among
those that leave the model's prose in order (`choosing`); what cannot be chosen is measured in part (`halving`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from traitbench.errors import BadData, UnsupportedControl
from traitbench.methods.choosing import best, shift_error, spread, target_shift, top
from traitbench.methods.damage import Damage, Harm
from traitbench.methods.development import DEVELOPMENT, halves
from traitbench.methods.halving import Candidate, Criterion, Sweep, settle
from traitbench.statistics.replies import choice_value
from traitbench.store import replacing
from traitbench.targets.papi import split
from traitbench.tasks.administration import Administration, item_requests
from traitbench.types import Choose, Control, Point, Request, Response, Target, digest

if TYPE_CHECKING:
    from traitbench.backends.backend import Backend
    from traitbench.backends.hf import HuggingFace
    from traitbench.inventories import Inventory, Item
    from traitbench.types import Mode

__all__ = ["Bench", "best", "halves", "target_shift", "top"]

Array = NDArray[np.float64]


class Bench:
    """What `Method.fit` may use. Without a backend it serves the methods that need no model."""

    def __init__(
        self,
        seed: int = 0,
        backend: Backend | None = None,
        folder: Path | None = None,
        cache: Path | None = None,
        tell: Callable[[str], None] | None = None,
        begin: Callable[[str, int], Callable[[int], None]] | None = None,
        fresh: bool = False,
    ) -> None:
        """Lay out the bench.

        `folder` takes the finished controls, `cache` what can be computed again; `tell` takes a line of diagnostics;
        `begin` (what, how much) starts a progress bar and returns what moves it on; `fresh` fits again what is there.
        """
        self.seed = seed
        self._backend = backend
        self._folder, self._cache = folder, cache
        self.tell = tell or (lambda line: None)
        self.begin = begin or (lambda what, total: lambda n: None)
        self.fresh = fresh
        self._plain: dict[tuple[Mode, str], float] = {}
        self._damage = Damage(self.ask, self._unsteered)

    @property
    def backend(self) -> HuggingFace:
        """The loaded model; UnsupportedControl where the run has none that can be looked into."""
        from traitbench.backends.hf import HuggingFace

        if not isinstance(self._backend, HuggingFace):
            raise UnsupportedControl("this method is fitted on a model's activations; run it with --backend hf")
        return self._backend

    @property
    def folder(self) -> Path:
        """Where finished controls go."""
        return _made(self._folder, "results/controls")

    @property
    def cache(self) -> Path:
        """Where work is kept that can be done again; name a file by a digest of all that decides its contents."""
        return _made(self._cache, "results/controls/cache")

    def reseeded(self, fits: int) -> list[Bench]:
        """A bench for each of several fits, this one first: the same model and folders, with the seeds that follow."""
        benches = [self, *(copy(self) for _ in range(1, fits))]
        for n, other in enumerate(benches[1:], 1):
            other.seed, other._plain = self.seed + n, {}
        return benches

    def once(self, name: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
        """Take arrays from the cache, or make them and keep them there; a damaged file is made again.

        `name` goes into the file's name: it ends in a digest of all that decides them.
        """
        path = self.cache / f"{name}.safetensors"
        with suppress(OSError, SafetensorError):
            held: Mapping[str, NDArray[Any]] = load_file(path)
            return held
        found = {key: np.ascontiguousarray(value) for key, value in make().items()}
        with replacing(path) as temporary:
            save_file(found, temporary)
        return found

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar of `total` steps; call what is yielded with the number of steps done."""
        yield self.begin(what, total)

    def inventory(self, name: str = DEVELOPMENT) -> Inventory:
        """Load an inventory with its texts."""
        return _inventory(name)

    def known_split(self) -> tuple[list[Item], list[Item]]:
        """The items of the IPIP-NEO-300 that are in the IPIP-NEO-120, and the other 180."""
        known, rest = split()
        return list(known), list(rest)

    def halves(self) -> tuple[list[Item], list[Item]]:
        """The 180 in two halves, to fit on and to choose on; the same for every method of a seed."""
        return halves(self.seed)

    def requests(self, items: Sequence[Item], scoring: Mode, inventory: str = DEVELOPMENT) -> list[Request]:
        """Ask `items` as a run does: choice in both option orders (items vary fastest), statement once."""
        whole = _inventory(inventory)
        some = whole.model_copy(update={"items": tuple(items)})
        return item_requests(whole.id, some, some.items, Administration(scoring=(scoring,)), self.seed)

    def values(
        self, items: Sequence[Item], scoring: Mode, control: Control | None, inventory: str = DEVELOPMENT
    ) -> Array:
        """Raw value of each item (items,) under `control`: expected answer over both orders, or nats a token."""
        requests = self.requests(items, scoring, inventory)
        found: list[list[float]] = [[] for _ in items]
        for index, response in self.ask(requests, control).items():
            found[index % len(items)].append(_value(requests[index], response))
        return np.array([np.mean(values) for values in found])

    def effect(
        self,
        control: Control,
        target: Target,
        items: Sequence[Item],
        scoring: Mode = "statement",
        against: Control | None = None,
    ) -> float:
        """How far `control` moves `items` of the target's traits towards it, from where `against` leaves them.

        Choice: points of the scale; statement: nats a token. Plus- and minus-keyed items weigh equally.
        """
        return self.measured(control, target, items, scoring, against)[0]

    def measured(
        self,
        control: Control,
        target: Target,
        items: Sequence[Item],
        scoring: Mode = "statement",
        against: Control | None = None,
    ) -> tuple[float, float | None]:
        """`effect`, and its standard error over items, or over facets where they vary more; None where it has none."""
        mine = [item for item in items if item.trait in target.levels]
        if not mine:
            raise BadData(f"no development item measures {', '.join(target.levels)}; expected Big Five traits")
        moved = self.values(mine, scoring, control) - self._reference(mine, scoring, against)
        return target_shift(moved, mine, target), shift_error(moved, mine, target)

    def _reference(self, items: Sequence[Item], scoring: Mode, against: Control | None = None) -> Array:
        """Values under `against`; without any control they are kept, for every target that is asked the same."""
        if against is not None:
            return self.values(items, scoring, against)
        if missing := [item for item in items if (scoring, item.id) not in self._plain]:
            asked = digest([request.content() for request in self.requests(missing, scoring)])
            found = self._unsteered(asked, lambda: {"values": self.values(missing, scoring, None)})["values"]
            self._plain |= {(scoring, item.id): float(value) for item, value in zip(missing, found, strict=True)}
        return np.array([self._plain[scoring, item.id] for item in items])

    def _unsteered(self, name: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
        """Keep what the model answers without a control, for every fit on it; `name` is of what it is asked."""
        return self.once(f"plain-{digest([self.backend.identity, name])}", make)

    def criterion(
        self,
        target: Target,
        items: Sequence[Item],
        scoring: Mode = "statement",
        limit: float = 2.0,
        within: float = 1.0,
    ) -> Criterion:
        """What candidates for `target` are judged by: `measured` on `items` of its traits, and `perplexity`."""
        mine = spread([i for i in items if i.trait in target.levels], lambda item: (item.trait, item.keyed))
        if not mine:
            raise BadData(f"no development item measures {', '.join(target.levels)}; expected Big Five traits")

        def moved(control: Control, start: int, stop: int) -> Array:
            if not control.kinds:
                return np.zeros(stop - start)
            plain = self._reference(mine, scoring)[start:stop]
            return self.values(mine[start:stop], scoring, control) - plain

        return Criterion(
            size=len(mine),
            moved=moved,
            effect=lambda moved: target_shift(moved, mine[: len(moved)], target),
            error=lambda moved: shift_error(moved, mine[: len(moved)], target),
            harm=self.harm,
            limit=limit,
            within=within,
        )

    def perplexity(self, control: Control) -> float:
        """Perplexity on neutral text, as a run measures it, over that without control; messages are left out."""
        return self.harm(control).ratio

    def harm(self, control: Control, passages: int | None = None) -> Harm:
        """`perplexity` on the first `passages`, None: all, with its error; no passage is asked twice of a control."""
        return self._damage.of(control, passages)

    def dose(self, control: Control) -> float | None:
        """How large the edits are beside what they change, on neutral text; None for a control without edits."""
        from traitbench.backends import neutral

        return self.backend.dose(control, neutral.passages()[::2])

    def strongest(
        self,
        control: Control,
        target: Target,
        strengths: Sequence[float],
        items: Sequence[Item],
        scoring: Mode = "statement",
        limit: float = 2.0,
        within: float = 1.0,
        sweep: Sweep = "halving",
    ) -> tuple[float, tuple[Point, ...]]:
        """Try `strengths` and return the weakest within `within` SE of the largest effect on `items`, and the curve.

        A strength counts only while the perplexity of neutral text stays under `limit` times that without a control. It
        is 0, the messages alone, where none moves the items the right way. `sweep` as in `halving`.
        """
        tried = [Candidate(control.at(strength), strength) for strength in sorted(set(strengths))]
        found, curve = settle(tried, self.criterion(target, items, scoring, limit, within), sweep)
        return found.strength if found is not None and (found.effect or 0.0) > 0 else 0.0, curve

    def deepest(
        self,
        layers: Mapping[int, Control],
        target: Target,
        strengths: Sequence[float],
        items: Sequence[Item],
        limit: float = 2.0,
        within: float = 1.0,
        sweep: Sweep = "halving",
    ) -> tuple[Point | None, tuple[Point, ...]]:
        """Try `strengths` at each of `layers`; return the point that is chosen, None without any, and all of them.

        Statement scoring; the choice is that of `strongest`, of equal strengths the layer with the largest effect.
        """
        tried = [
            Candidate(control.at(strength), strength, layer)
            for layer, control in layers.items()
            for strength in sorted(set(strengths))
        ]
        with self.progress(f"layers and strengths, {target.name}", len(tried)) as step:
            return settle(tried, self.criterion(target, items, "statement", limit, within), sweep, step)

    def ask(self, requests: Sequence[Request], control: Control | None) -> dict[int, Response]:
        """Answer `requests` under `control`: index -> response."""
        held: dict[int, Response] = {}
        with self.backend.under(control):
            for batch in self.backend.run(requests):
                held.update(batch)
        return held


@cache
def _inventory(name: str) -> Inventory:
    from traitbench import inventories

    return inventories.load(name)


def _value(request: Request, response: Response) -> float:
    if isinstance(request, Choose):
        assert response.option_logprobs is not None
        return choice_value(response.option_logprobs, request.values)[0]
    assert response.loglik is not None and response.tokens
    return response.loglik / response.tokens


def _made(folder: Path | None, default: str) -> Path:
    (found := folder or Path(default)).mkdir(parents=True, exist_ok=True)
    return found
