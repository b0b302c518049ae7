"""Which replies show their pole: by how much likelier descriptions make them, or by the text scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import UnsupportedControl
from traitbench.judges import JUDGES, Judge
from traitbench.judges.records import Text
from traitbench.judges.texts import status_of
from traitbench.methods.persona_vectors.replies import Two, behind
from traitbench.types import Doc, Trait, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.persona_vectors.settings import Keep

__all__ = ["judge_of", "showing"]

Masks = NDArray[np.bool_]
"""Whether each pair's reply of the high and of the low pole shows its pole, (pairs, 2)."""


def judge_of(keep: Keep, traits: Sequence[Trait] = ()) -> Judge | None:
    """Open the text scorer that `keep` names; None where it names none.

    MissingExtra where it is not installed; UnsupportedControl where it is not valid on one of `traits`.
    """
    if keep not in JUDGES:
        return None
    judge = JUDGES.load(keep).make(keep, {})
    judge.open(0)
    if deaf := [trait for trait in traits if not judge.ratings(_text(trait, "", "I am."), trait)]:
        raise UnsupportedControl(
            f"keep={keep}: the scorer is not valid on {', '.join(deaf)}; take --method_args keep=likelihood"
        )
    return judge


def showing(trait: Trait, pairs: Sequence[Two], keep: Keep, bench: Bench) -> Masks:
    """Tell of each pair's two replies whether they show their pole."""
    if (judge := judge_of(keep, [trait])) is not None:
        return _scored(trait, pairs, judge)
    return _likelier(trait, pairs, bench) if keep != "all" else np.ones((len(pairs), 2), dtype=bool)


def _scored(trait: Trait, pairs: Sequence[Two], judge: Judge) -> Masks:
    """A reply of the high pole is to be rated above the middle of the scale, one of the low pole below."""
    told = [(pair.said, reply) for pair in pairs for reply in (pair.high, pair.low)]
    asked = [judge.ratings(_text(trait, said, reply), trait)[0] for said, reply in told]
    leans = np.full(len(told), np.nan)
    for batch in judge.answer(asked):
        for n, response in batch.items():
            if response.option_logprobs and None not in response.option_logprobs:
                low, high = response.option_logprobs
                leans[n] = (high or 0.0) - (low or 0.0)
    sound = np.array([status_of(reply, said) == "ok" for said, reply in told])
    signs = np.tile([1.0, -1.0], len(pairs))
    # What has no rating compares as False.
    found: Masks = (sound & (leans * signs > 0)).reshape(-1, 2)
    return found


def _likelier(trait: Trait, pairs: Sequence[Two], bench: Bench) -> Masks:
    """Hold the likelihood of a reply under a high description against that under a low one.

    The gap is that of the log-likelihoods a token. What is asked and which descriptions they are move the gaps of both
    replies of a pair alike, and far more than their pole does, so that each is seen from the mean of the two.
    """
    requests = [
        behind(trait, description, pair.said, reply)
        for pair in pairs for reply in (pair.high, pair.low) for description in pair.other
    ]  # fmt: skip

    def told() -> dict[str, NDArray[np.float64]]:
        answers = bench.ask(requests, None)
        return {"nats": np.array([(a.loglik or 0.0) / (a.tokens or 1) for _, a in sorted(answers.items())])}

    backend = bench.backend
    name = digest(["keeping", backend.identity, [[backend.prompt(request), request.text] for request in requests]])
    nats = np.asarray(bench.once(f"persona-{name}", told)["nats"]).reshape(-1, 2, 2)
    gaps = nats[..., 0] - nats[..., 1]
    found: Masks = (gaps - gaps.mean(axis=1, keepdims=True)) * np.array([1.0, -1.0]) > 0
    return found


def _text(trait: Trait, said: str, reply: str) -> Text:
    doc = Doc(task="persona_vectors", scoring="generate", item=digest(said), trait=trait, facet=None, keyed=1)
    return Text(doc=doc, question=said, text=reply, dimensions=(trait,))
