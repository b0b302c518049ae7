"""Whether directions in a model tell the poles of a trait apart: contrasts of single words, and two tests on them.

Two whole personas always leave different activations, in an untrained model too, so that a direction between them is no
finding yet. Here a pole is met in one word at a time: "You are a person who is extremely outgoing." beside the same
with "quiet", each two words with a question of their own. Only what the words of a pole have in common is the same from
one contrast to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traitbench.methods.prompting import texts
from traitbench.statistics.permutations import DRAWS, Permuted, compared, flips
from traitbench.types import Doc, Message, Trait, Write, digest

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["ON", "QUESTIONS", "aligned", "separated", "word_contrasts", "words"]

Contrasts = NDArray[np.float32]
"""Activations under a word of the high pole less those under one of the low, (pairs, layers, width)."""

ON = "single adjectives of either pole, each two with a question of their own"
QUESTIONS = (
    "What is a normal day like for you?",
    "What did you do last weekend?",
    "What are your plans for tomorrow?",
    "Tell me about the place where you live.",
    "What do other people say about you?",
    "What is on your mind at the moment?",
    "How would you describe yourself in a few words?",
    "What happened on the way here?",
)
"""Neutral: they name no trait."""


def word_contrasts(trait: Trait, bench: Bench) -> Contrasts | None:
    """Record the residual stream at the last prompt token under each two words; kept in the bench's cache.

    None for a trait that `prompting` has no words for.
    """
    from traitbench.backends.packing import Item as Text

    if not (requests := _asked(trait)):
        return None

    def differences() -> dict[str, Contrasts]:
        states = bench.backend.states([Text(bench.backend.encode_prompt(r), ()) for r in requests], "residual")
        return {"contrasts": states[::2] - states[1::2]}

    name = digest([bench.backend.identity, [request.content() for request in requests]])
    found: Contrasts = bench.once(f"separation-{name}", differences)["contrasts"]
    return found


def words(traits: Iterable[Trait]) -> dict[str, str]:
    """Digest what is asked about `traits`, for `Method.reads`."""
    return {"words of the poles": digest([[r.content() for r in _asked(trait)] for trait in sorted(traits)])}


def _asked(trait: Trait) -> list[Write]:
    """Ask under each two words in turn, that of the high pole first; nothing about a trait without words."""
    if trait not in texts():
        return []
    high, low = ((pole.head, *pole.adjectives) for pole in (texts()[trait].high, texts()[trait].low))
    doc = Doc(task="separation", scoring="generate", item="question", trait=trait, facet=None, keyed=1)
    return [
        Write(
            doc=doc, cue="Answer:",
            messages=(
                Message(role="system", content=f"You are a person who is extremely {word}."),
                Message(role="user", content=QUESTIONS[n % len(QUESTIONS)]),
            ),
        )
        for n, two in enumerate(zip(high, low, strict=False))
        for word in two
    ]  # fmt: skip


def separated(contrasts: Contrasts, layers: Sequence[int], draws: int = DRAWS, seed: int = 0) -> Permuted:
    """Test the difference of means: whether its direction, from all contrasts but one, tells that one's poles apart.

    At each of `layers` the gap between the poles of the contrast left out, projected on the direction of the others,
    over its own length (so the cosine of both), mean over contrasts; the statistic is the largest over layers. It is so
    under shuffles too, which turn contrasts round, so that choosing a layer costs nothing.
    """
    signs = np.concatenate([np.ones((1, len(contrasts))), flips(len(contrasts), draws, seed)])
    gaps = np.max([_left_out(contrasts[:, layer].astype(np.float64), signs) for layer in layers], axis=0)
    return compared(gaps[0], gaps[1:])


def _left_out(rows: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean cosine of each row (pairs, width) and the sum of the others, turned as `signs` (shuffles, pairs) say."""
    products = rows @ rows.T
    lengths = np.diag(products)
    # Of the sum of the others: its product with the row, and its square, for every shuffle and row.
    along = signs * (signs @ products) - lengths
    square = ((signs @ products) * signs).sum(axis=1)[:, None] - 2 * along - lengths
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = along / np.sqrt(np.maximum(square, 0) * lengths)
    found: NDArray[np.float64] = np.nan_to_num(cosines, nan=0.0, posinf=0.0, neginf=0.0).mean(axis=1)
    return found


def aligned(
    contrasts: Contrasts, vectors: Mapping[int, NDArray[np.float32]], draws: int = DRAWS, seed: int = 0
) -> Permuted:
    """Test whether vectors made elsewhere (layer -> (width,)), which point to the high pole, tell the poles apart.

    The statistic is the cosine of vector and contrast, mean over contrasts and layers. Under shuffles every coordinate
    of the vectors keeps its size and gets a random sign, the same in all layers: any vector has some projection on what
    the contrasts have in common, and this one must have more, and towards the high pole.
    """
    shares = np.mean([_coordinates(contrasts[:, layer], vector) for layer, vector in vectors.items()], axis=0)
    signs = flips(len(shares), draws, seed)
    return compared(float(shares.sum()), signs @ shares)


def _coordinates(rows: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each coordinate adds to the mean cosine of the rows (pairs, width) and a vector (width,)."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    units = np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 0)
    size = float(np.linalg.norm(vector.astype(np.float64))) or 1.0
    found: NDArray[np.float64] = units.mean(axis=0) * vector / size
    return found
