"""What a control does to neutral prose, asked on as many passages as it takes and never twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.backends import neutral
from traitbench.types import Control, Request, Response, digest

__all__ = ["Damage", "Harm"]

Ask = Callable[[Sequence[Request], Control | None], Mapping[int, Response]]
Arrays = Mapping[str, NDArray[Any]]
Once = Callable[[str, Callable[[], Arrays]], Arrays]


class Harm(NamedTuple):
    """Perplexity of neutral text, over that without control."""

    ratio: float
    error: float = 0.0
    """Standard error of its log over the passages that were left out; 0 where none was."""
    passages: int | None = None
    """On which it was measured; None: all there are."""


class Damage:
    """The answers to neutral passages under controls, which are kept in memory."""

    def __init__(self, ask: Ask, once: Once) -> None:
        """`ask` answers requests under a control, None for no control; `once` keeps arrays by a name."""
        self._ask, self._once = ask, once
        self._held: dict[str, list[Response]] = {}

    def of(self, control: Control, passages: int | None = None) -> Harm:
        """Measure `control` on the first `passages`, None: on all; its messages are left out, which do no damage."""
        whole = len(neutral.passages())
        if not control.edits and not control.weights:
            return Harm(1.0)
        control = control.model_copy(update={"messages": ()})
        under = self._answers(control.hash, control, passages or whole)
        count = len(under)
        plain = self._plain()[:count]
        ratio = neutral.perplexity(under) / neutral.perplexity(plain)
        return Harm(ratio) if count == whole else Harm(ratio, _error(under, plain, whole), count)

    def _plain(self) -> list[Response]:
        """The answers without a control, which all fits on a model share."""
        if not (held := self._held.setdefault("", [])):
            asked = neutral.requests()

            def said() -> dict[str, NDArray[np.float64]]:
                found = self._ask(asked, None)
                neutral.perplexity(found.values())  # refuses answers that say nothing, before they are kept
                return {"said": np.array([[found[i].loglik, found[i].tokens] for i in range(len(asked))], dtype=float)}

            name = digest(["prose", [request.content() for request in asked]])
            held += [Response(loglik=float(x), tokens=int(n)) for x, n in self._once(name, said)["said"]]
        return held

    def _answers(self, name: str, control: Control, count: int) -> list[Response]:
        """The answers to `count` passages, or more where more are there."""
        held = self._held.setdefault(name, [])
        if asked := neutral.requests()[len(held) : count]:
            found = self._ask(asked, control)
            held += [found[i] for i in range(len(asked))]
        return held


def _error(under: Sequence[Response], plain: Sequence[Response], whole: int) -> float:
    """Standard error of the log of a ratio of perplexities (Cochran 1977, 6.4: a ratio of sums, of a finite number)."""
    tokens = np.array([response.tokens or 0 for response in plain], dtype=float)
    more = np.array([(b.loglik or 0.0) - (a.loglik or 0.0) for a, b in zip(under, plain, strict=True)])
    n = len(tokens)
    if n < 2 or not np.isfinite(more).all():
        return 0.0 if n > 1 else math.inf
    rest = more - more.sum() / tokens.sum() * tokens
    return float(np.sqrt(n / (n - 1) * np.square(rest).sum() * (1 - n / whole)) / tokens.sum())
