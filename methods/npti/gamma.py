"""How NPTI puts its questions, and how it chooses gamma on scenes or questions that its search never saw.

Held-out scenes come with the replies of either pole; held-out questions a model answers once under a description of
either, without edits. An edit is good where it makes the replies of the pole aimed at likelier than those of the other
with no description in sight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData
from traitbench.methods.choosing import halves_error, spread
from traitbench.methods.halving import Candidate, Criterion, Sweep, settle
from traitbench.store import read_json, write_json
from traitbench.types import Continue, Control, Doc, Message, Point, Trait, Write, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.npti.scenes import Scene

__all__ = ["CUE", "EFFECTS", "Reply", "asked", "held_out", "known", "preference", "sweep", "write"]

Array = NDArray[np.float64]
ASK = "Answer in the first person, in two or three sentences."
CUE = "Answer:"
"""For models without a chat template."""

EFFECTS = {
    "questions": "nats a token by which held-out replies of the pole aimed at gain on those of the other",
    "items": "nats a token, statement",
}
"""What the effects of a curve are measured in."""


class Reply(NamedTuple):
    """A reply of one pole to what the search leaves out."""

    trait: Trait
    said: str
    """What it replies to, as the model is shown it."""
    sign: int
    """+1: of the pole aimed at; -1: of the other."""
    text: str


def asked(question: str) -> str:
    """Return a question as the model is shown it."""
    return f"{question}\n\n{ASK}"


def write(trait: Trait, description: str, question: str, max_tokens: int, penalty: float = 1.0) -> Write:
    """Ask `question` of somebody who is as described; `penalty` is the repetition penalty."""
    turns = (Message(role="system", content=description), Message(role="user", content=asked(question)))
    doc = _doc(trait, question, "generate")
    return Write(doc=doc, messages=turns, cue=CUE, max_tokens=max_tokens, repetition_penalty=penalty)


def known(trait: Trait, level: float, scenes: Sequence[Scene]) -> list[Reply]:
    """The replies of both poles to `scenes`; level: above 0 where the high pole is aimed at."""
    sign = 1 if level > 0 else -1
    return [Reply(trait, s.said, turn, text) for s in scenes for turn, text in ((sign, s.high), (-sign, s.low))]


def held_out(
    bench: Bench, trait: Trait, level: float, said: Sequence[str], high: Sequence[Write], low: Sequence[Write]
) -> list[Reply]:
    """Write the replies to what is `said` under the high and under the low pole, or take them from the cache.

    level: above 0 where the high pole is aimed at. high, low: a request for each. BadData where nothing is said under
    one of the poles.
    """
    requests = [*high, *low]
    shown = [[bench.backend.prompt(request), request.max_tokens, request.repetition_penalty] for request in requests]
    path = bench.cache / f"npti-replies-{digest(['npti', bench.backend.identity, shown])}.json"
    if not path.is_file():
        answers = bench.ask(requests, None)
        write_json(path, [answers[i].text or "" for i in range(len(requests))])
    sign = 1 if level > 0 else -1
    signs = [sign] * len(high) + [-sign] * len(low)
    rows = zip([*said, *said], signs, read_json(path), strict=True)
    replies = [Reply(trait, words, sign, text) for words, sign, text in rows if text.strip()]
    if {reply.sign for reply in replies} != {1, -1}:
        raise BadData(
            f"{bench.backend.spec.label} answers the held-out questions on {trait} with nothing under one of the "
            "poles, so that no gamma can be chosen; give one, e.g. --method_args gamma=1.4"
        )
    return replies


def likelihoods(bench: Bench, replies: Sequence[Reply], control: Control | None) -> Array:
    """How likely each reply is without any description, nats a token, (replies,)."""
    requests = [
        Continue(
            doc=_doc(reply.trait, reply.said, "statement"), messages=(Message(role="user", content=reply.said),),
            cue=CUE, text=reply.text,
        )
        for reply in replies
    ]  # fmt: skip
    answers = bench.ask(requests, control)
    return np.array([(answers[i].loglik or 0.0) / (answers[i].tokens or 1) for i in range(len(requests))])


def preference(moved: Array, replies: Sequence[Reply]) -> float:
    """How much more likely replies of the pole aimed at became than those of the other, nats a token.

    moved: of each reply, (replies,). A mean over replies for each trait and pole, the poles' difference, a mean over
    traits; a pole without a reply counts as unmoved.
    """
    differences = []
    for trait in dict.fromkeys(reply.trait for reply in replies):
        mine = [(reply.sign, m) for reply, m in zip(replies, moved, strict=True) if reply.trait == trait]
        sides = [[m for s, m in mine if s == sign] for sign in (1, -1)]
        differences.append(sum(sign * float(np.mean(side)) for sign, side in zip((1, -1), sides, strict=True) if side))
    return float(np.mean(differences))


def preference_error(moved: Array, replies: Sequence[Reply]) -> float | None:
    """Standard error of `preference` over replies, or over what they reply to where that varies more; or None."""
    groups: dict[Trait, list[tuple[float, int, str]]] = {}
    for reply, m in zip(replies, moved, strict=True):
        groups.setdefault(reply.trait, []).append((reply.sign * m, reply.sign, reply.said))
    error = halves_error(list(groups.values()))
    return None if error is None else 2 * error


def sweep(
    bench: Bench,
    control: Control,
    gammas: Sequence[float],
    replies: Sequence[Reply],
    limit: float,
    within: float = 1.0,
    how: Sweep = "halving",
) -> tuple[float, tuple[Point, ...]]:
    """Try `gammas`: the weakest within `within` SE of what raises the preference most under `limit`, and the curve.

    limit: of the perplexity of neutral text, over that without control. 0 where none raises the preference.
    """
    mine = spread(replies, lambda reply: (reply.trait, reply.sign))
    before = likelihoods(bench, mine, None)
    by = Criterion(
        size=len(mine),
        moved=lambda at, start, stop: likelihoods(bench, mine[start:stop], at) - before[start:stop],
        effect=lambda moved: preference(moved, mine[: len(moved)]),
        error=lambda moved: preference_error(moved, mine[: len(moved)]),
        harm=bench.harm, limit=limit, within=within,
    )  # fmt: skip
    tried = [Candidate(control.at(gamma), gamma) for gamma in sorted(set(gammas))]
    with bench.progress("gamma", len(tried)) as step:
        found, curve = settle(tried, by, how, step)
    return found.strength if found is not None and (found.effect or 0.0) > 0 else 0.0, curve


def _doc(trait: Trait, question: str, scoring: Literal["generate", "statement"]) -> Doc:
    return Doc(task="npti", scoring=scoring, item=digest(question), trait=trait, facet=None, keyed=1)
