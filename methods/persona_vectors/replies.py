"""Replies of both poles to the same words: written by the model under descriptions, or taken from trait dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from traitbench.errors import BadData
from traitbench.methods.npti.gamma import CUE, asked, write
from traitbench.methods.npti.scenes import scenes
from traitbench.methods.npti.sources import Pair, Texts, draw, own, texts
from traitbench.store import read_json, write_json
from traitbench.types import Continue, Doc, Message, Trait, Write, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench
    from traitbench.methods.persona_vectors.settings import Settings

__all__ = ["Replies", "Two", "behind", "drawn", "replies", "shown"]

TASK = "persona_vectors"


class Two(NamedTuple):
    """What is answered to one thing that is said, by either pole."""

    said: str
    """As the model is shown it."""
    high: str
    low: str
    group: int
    """What labels of the poles are shuffled by: a pair of descriptions, or the situations of a block."""
    described: tuple[str, str] | None = None
    """Descriptions of the high and the low pole that the replies were written under."""
    other: tuple[str, str] = ("", "")
    """Descriptions of both poles that nothing was written under, to tell by whose the replies are likelier."""


class Replies(NamedTuple):
    """All pairs of a trait, and how many tokens the model wrote for them."""

    pairs: tuple[Two, ...]
    written: int = 0


def drawn(trait: Trait, config: Settings, seed: int) -> tuple[Texts, tuple[Pair, ...]]:
    """Draw the pairs of question and description of `trait`; BadData for a file without questions on it."""
    source = texts(trait, config.writing.questions, "own")
    return source, draw(source, config.writing.questions_per_pole, 0, f"{TASK} {trait} {seed}").search


def replies(trait: Trait, config: Settings, bench: Bench) -> Replies:
    """Find the replies of both poles; a pair of which one says nothing is left out. BadData where no pair is left."""
    if config.replies == "dialogues":
        mine = own()[trait] if trait in own() else None
        turns = [
            Two(s.said, s.high, s.low, s.block, other=_of(mine, s.block) if mine else ("", ""))
            for s in scenes(trait, config.data, config.scenes, 0, bench.seed).search
        ]
        return Replies(tuple(turns))
    source, pairs = drawn(trait, config, bench.seed)
    asking = [_write(trait, pair, source, pole, config, bench.seed) for pole in ("high", "low") for pair in pairs]
    answers, written = _written(trait, asking, bench)
    found = [
        Two(asked(pair.question), high, low, pair.description, _of(source, pair.description),
            _of(source, pair.description + 1))
        for pair, high, low in zip(pairs, answers[: len(pairs)], answers[len(pairs) :], strict=True)
        if high.strip() and low.strip()
    ]  # fmt: skip
    if not found:
        raise BadData(
            f"{bench.backend.spec.label} answers no question on {trait} under descriptions of both poles with a word, "
            "so that there is nothing to make a vector of; give --method_args replies=dialogues"
        )
    return Replies(tuple(found), written)


def shown(trait: Trait, pair: Two) -> tuple[Continue, Continue]:
    """The replies of the high and the low pole as they are read: behind the description that they were written under.

    Those of dialogues stand behind what was said alone.
    """
    under = pair.described or (None, None)
    return behind(trait, under[0], pair.said, pair.high), behind(trait, under[1], pair.said, pair.low)


def behind(trait: Trait, description: str | None, said: str, text: str) -> Continue:
    """A reply to what was `said` to somebody who is as described."""
    system = () if description is None else (Message(role="system", content=description),)
    doc = Doc(task=TASK, scoring="statement", item=digest(said), trait=trait, facet=None, keyed=1)
    return Continue(doc=doc, messages=(*system, Message(role="user", content=said)), cue=CUE, text=text)


def _of(source: Texts, number: int) -> tuple[str, str]:
    """Descriptions of both poles; numbers go round."""
    return source.high[number % len(source.high)], source.low[number % len(source.low)]


def _write(trait: Trait, pair: Pair, source: Texts, pole: Literal["high", "low"], config: Settings, seed: int) -> Write:
    how, described = config.writing, source.high if pole == "high" else source.low
    made = write(trait, described[pair.description], pair.question, how.max_tokens)
    return made.model_copy(update={"temperature": how.temperature, "seed": seed if how.temperature else 0})


def _written(trait: Trait, asking: Sequence[Write], bench: Bench) -> tuple[list[str], int]:
    """Let the model write, or take what it wrote before from the cache: the replies, and their tokens in all."""
    backend = bench.backend
    named = [[backend.prompt(r), r.max_tokens, r.temperature, r.seed] for r in asking]
    path = bench.cache / f"persona-replies-{digest([TASK, backend.identity, named])}.json"
    if not path.is_file():
        texts, tokens = [""] * len(asking), 0
        with backend.under(None), bench.progress(f"replies, {trait}", len(asking)) as step:
            for batch in backend.run(asking):
                for n, answer in batch.items():
                    texts[n] = answer.text or ""
                    tokens += answer.tokens or 0
                step(len(batch))
        write_json(path, {"replies": texts, "tokens": tokens})
    held: dict[str, Any] = read_json(path)
    return list(held["replies"]), int(held["tokens"])
