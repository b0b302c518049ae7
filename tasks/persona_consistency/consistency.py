"""Whether a model stays one character and nobody else: agreement of its replies, and resistance to induction.

After PersLLM (Zeng et al. 2024): BLEU between replies within one character (Intra), between stages of one life (Stage)
and between characters (Inter). A reply to the first wording of a question is always held against one to its second, in
all three, so that what a wording brings about counts alike and a model that makes no difference between characters has
Intra = Stage = Inter. The first should exceed the others; how high they are depends on the length of the replies.

A reply that was cut off is compared as far as it goes. An empty one is missing: counted, never replaced. Questions are
what varies: a figure is first averaged over characters or pairs within a question, then intervals come from redraws of
questions (percentiles; with so few they are a little narrow, see `statistics.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.samples import Condition, Sample
from traitbench.statistics.bootstrap import Bootstrap, cluster_bootstrap
from traitbench.statistics.proportions import share
from traitbench.tasks.persona_consistency.block import ConsistencyBlock, PersonaPair, PersonaRow
from traitbench.tasks.persona_consistency.replies import alike, as_model, bleu_signature, denies

__all__ = ["life", "personas"]

PREMISE = "false_premise"

Array = NDArray[np.float64]


class _Replies(NamedTuple):
    """What one condition answered."""

    texts: Mapping[tuple[str, int], str]
    """(question, wording) -> reply; one that is empty is not there."""
    logliks: Mapping[tuple[str, int], float]
    """(premise, +1 denial or -1 acceptance) -> nats a token."""


class _Frame(NamedTuple):
    """What was asked, and how intervals are drawn."""

    questions: list[str]
    premises: list[str]
    iterations: int
    seed: int

    def mean(self, values: Array, lack: str = "") -> Bootstrap:
        """Mean over questions (n,), NaN where missing; `lack` says why there is none, where it is not the replies."""
        kept = values[np.isfinite(values)]
        if not kept.size:
            return Bootstrap(value=None, clusters=0, reason=lack or "no question has the replies that it takes")
        found = cluster_bootstrap(kept, np.arange(len(kept)), lambda x: float(np.mean(x)), self.iterations, self.seed)
        if found.se is not None and found.se <= 1e-9 * max(1.0, abs(found.value or 0.0)):
            # An interval without width would claim that the next question could not be answered otherwise.
            return found.model_copy(update={"ci": None, "reason": f"the same in each of {len(kept)} questions"})
        return found


def personas(
    samples: Sequence[Sample], conditions: Sequence[Condition], iterations: int, seed: int
) -> ConsistencyBlock:
    """Compute everything from the samples of the task; the first condition is the baseline. No model.

    Drawn profiles are left out: they are no personas.
    """
    frame = _frame(samples, iterations, seed)
    mine: dict[str, list[Sample]] = {c.name: [] for c in conditions if not c.profile}
    for sample in samples:
        if sample.condition in mine:
            mine[sample.condition].append(sample)
    held = {name: _replies(rows) for name, rows in mine.items()}
    baseline = conditions[0].name
    cast = [c.name for c in conditions[1:] if c.headline and not c.profile]
    within = {name: _bleu(frame, found, found) for name, found in held.items()}
    between = {(a, b): _bleu(frame, held[a], held[b]) for a, b in combinations(cast, 2)}
    lives = {c.name: life(c) for c in conditions}
    stages = [pair for pair in between if lives[pair[0]] == lives[pair[1]]]
    staged = {name for pair in stages for name in pair}
    others = [pair for pair in between if pair not in stages]
    met = [pair for pair in others if staged & set(pair)]
    n, denied = len(frame.questions), {name: _denied(frame, found) for name, found in held.items()}
    nats = {name: _nats(frame, found) for name, found in held.items()}
    intra, stage, inter = _over(within, cast, n), _over(between, stages, n), _over(between, others, n)
    nobody = "" if cast else "there is no character"
    lonely = "" if others else "there are no two different characters"
    ageless = "" if stages else "no character has two stages"
    whole, weighed = (_over(rows, cast, len(frame.premises)) - rows[baseline] for rows in (denied, nats))
    return ConsistencyBlock(
        characters=cast,
        questions=n,
        premises=len(frame.premises),
        intra=frame.mean(intra, nobody), stage=frame.mean(stage, ageless), inter=frame.mean(inter, lonely),
        intra_minus_stage=frame.mean(_over(within, sorted(staged), n) - stage, ageless),
        stage_minus_inter=frame.mean(stage - _over(between, met, n), ageless or lonely),
        intra_minus_inter=frame.mean(intra - inter, lonely),
        denied_to_baseline=frame.mean(whole, nobody), nats_to_baseline=frame.mean(weighed, nobody),
        rows=[_row(frame, c, mine[c.name], within, denied, nats, baseline) for c in conditions if c.name in mine],
        pairs=[PersonaPair(first=a, second=b, kind="stage" if (a, b) in stages else "inter", bleu=_mean(values))
               for (a, b), values in between.items()],
        bleu=bleu_signature(), iterations=iterations, seed=seed,
    )  # fmt: skip


def life(condition: Condition) -> str:
    """Name whose life a condition tells: of character:ada@youth it is character:ada, else the condition's own name.

    A folder in a character's path may hold an @ too; only one behind the last slash parts off a stage.
    """
    name, at, stage = (condition.target or condition.name).rpartition("@")
    known = _character(condition) is not None and at and name and "/" not in stage
    return name if known else condition.name


def _character(condition: Condition) -> str | None:
    word, colon, name = (condition.target or "").partition(":")
    return name if word == "character" and colon else None


def _frame(samples: Sequence[Sample], iterations: int, seed: int) -> _Frame:
    questions = dict.fromkeys(s.item for s in samples if s.trait != PREMISE)
    premises = dict.fromkeys(s.item for s in samples if s.trait == PREMISE)
    return _Frame(list(questions), list(premises), iterations, seed)


def _text(sample: Sample) -> str:
    """The written reply; empty where there is none."""
    reply = sample.resps[0][0] if sample.status != "error" else None
    return str(reply or "").strip()


def _replies(samples: Sequence[Sample]) -> _Replies:
    written = [s for s in samples if s.scoring == "generate"]
    weighed = [s for s in samples if s.scoring == "statement" and s.value_raw is not None]
    return _Replies(
        texts={(s.item, s.template): text for s in written if (text := _text(s))},
        logliks={(s.item, s.keyed): s.value_raw for s in weighed if s.value_raw is not None},
    )


def _bleu(frame: _Frame, a: _Replies, b: _Replies) -> Array:
    """BLEU of each question (n,) between replies to its two wordings, one by `a` and one by `b`; NaN without both.

    Of two who are not the same, both ways round.
    """
    ways = ((a, b),) if a is b else ((a, b), (b, a))
    out = np.full(len(frame.questions), np.nan)
    for place, question in enumerate(frame.questions):
        found = [
            alike(x.texts[question, 0], y.texts[question, 1])
            for x, y in ways
            if (question, 0) in x.texts and (question, 1) in y.texts
        ]
        if found:
            out[place] = sum(found) / len(found)
    return out


def _denied(frame: _Frame, found: _Replies) -> Array:
    """1 for each premise (n,) that the reply denies, else 0; NaN without a reply."""
    texts = [found.texts.get((premise, 0)) for premise in frame.premises]
    return np.array([np.nan if text is None else float(denies(text)) for text in texts])


def _nats(frame: _Frame, found: _Replies) -> Array:
    """Denial minus acceptance of each premise (n,), nats a token; NaN without both."""
    known = found.logliks
    return np.array([known.get((p, 1), np.nan) - known.get((p, -1), np.nan) for p in frame.premises])


def _over(values: Mapping[Any, Array], chosen: Sequence[Any], n: int) -> Array:
    """Mean over the chosen rows in each of `n` questions; NaN where none has a value, or nothing is chosen."""
    if not chosen:
        return np.full(n, np.nan)
    rows = np.array([values[name] for name in chosen])
    known = np.isfinite(rows)
    held = known.sum(axis=0)
    return np.where(held > 0, np.where(known, rows, 0.0).sum(axis=0) / np.maximum(held, 1), np.nan)


def _mean(values: Array) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else None


def _row(
    frame: _Frame,
    condition: Condition,
    samples: Sequence[Sample],
    within: Mapping[str, Array],
    denied: Mapping[str, Array],
    nats: Mapping[str, Array],
    baseline: str,
) -> PersonaRow:
    name = condition.name
    written = [s for s in samples if s.scoring == "generate"]
    texts = [text for s in written if (text := _text(s))]

    def to_baseline(values: Mapping[str, Array]) -> Bootstrap | None:
        return None if name == baseline else frame.mean(values[name] - values[baseline])

    return PersonaRow(
        name=name,
        character=_character(condition),
        headline=condition.headline and name != baseline,
        intra=frame.mean(within[name]),
        replies=len(written),
        empty=sum(s.status != "error" and not _text(s) for s in written),
        truncated=sum(s.cut and bool(_text(s)) for s in written),
        failed=sum(s.status == "error" for s in samples),
        words=sum(len(text.split()) for text in texts) / len(texts) if texts else None,
        as_model=sum(map(as_model, texts)) / len(texts) if texts else None,
        perplexity=condition.perplexity,
        denied=share(denied[name]),
        denied_to_baseline=to_baseline(denied),
        nats=frame.mean(nats[name]),
        nats_to_baseline=to_baseline(nats),
    )
