"""What is read off one written reply: how alike two replies are, and whether a reply denies what it was asked about."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from traitbench.errors import MissingExtra

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

__all__ = ["alike", "as_model", "bleu_signature", "denies"]

_HARMLESS = (
    r"(?:again|been (?:so|more|happier|prouder|as|able)|dream\w*|expect\w*|felt|forg[eo]t\w*|g[ai]ve\w*|imagin\w*|"
    r"l[eo]s[et]|looked back|mind\w*|quite|really|regret\w*|seen (?:so|such)|stop\w*|thought|tire\w*|wanted)"
)
"""What may follow "never" in a reply that accepts: I never forgot it."""
_OPINION = r"(?:bad|best|big|fan|good|great|happy|hero|lonely|particularly|quitter|right|saint|strong|very|wise)"
_SURELY = r"(?: certainly| simply| surely)?"
_MARKERS = tuple(
    re.compile(pattern)
    for pattern in (
        r"^(?:no|never|nonsense|not me)\s*(?:[,.;:!?—–-]|$)",
        r"^(?:what|which) (?:\w+ ){0,2}\w+\?",
        rf"\bi(?: have| had)?{_SURELY} never (?!{_HARMLESS}\b)",
        rf"\bi have{_SURELY} not (?:ever|been (?:a|an|the|in|to)|had (?:a|an|any)|won|lived)\b",
        rf"\bi (?:am|was){_SURELY} not (?:(?:a|an|any|the) (?!{_OPINION}\b)|(?:deaf|in|born|from)\b)",
        rf"\bi{_SURELY} did{_SURELY} not (?:ever |actually |really )?"
        r"(?:become|grow up|have (?:a|an|any)|resign|spend|train|walk|win|write)\b",
        rf"\bi{_SURELY} do{_SURELY} not (?:actually |even )?"
        r"(?:have (?:a|an|any|one|two|seven|children)|hold|own|possess)\b",
        r"\bi (?:have|have got|had) no (?!choice|doubt|fear|idea|memor|regret|time|words)\w+",
        r"\bthere (?:is|are|was|were|has been|have been) (?:no|never|not) (?!choice|doubt|need|time|way|words)\w+",
        r"\b(?:that|this|it) (?:is |was )(?:simply |just )?not (?:me|right|so|the case|true|correct)\b|\buntrue\b",
        r"\byou (?:are|were|must be|have been|seem to be) (?:mistaken|misinformed|wrong|confus\w+|mixing)\b",
        r"\bthinking of (?:some|any|an)|\bmistak\w+ me for\b|\bconfus\w+ me with\b|\bmix\w* me up with\b",
        r"\bhave (?:it|that|this) wrong\b|\b(?:to|must|let me) correct you\b|\bwrong person\b|\bno such\b",
        r"\bwho(?:ever)? (?:has )?told you\b|\bwhere (?:did you get|you got|you get) that\b",
    )
)
"""Of lower-case text without contractions. English only; a rule of thumb that misses denials in other words."""
_AS_MODEL = re.compile(
    r"\bas an? (?:ai|artificial|language model|large language)|\blanguage model\b|\bi am (?:just |only )?an? (?:ai|"
    r"artificial|chatbot|computer|digital|virtual|text-based|machine)\b|\bi do not have (?:personal|physical|feelings|"
    r"emotions|human|a (?:physical|personal))"
)
_CONTRACTIONS = (
    (r"\bcan(?:no|')t\b", "can not"), (r"\bwon't\b", "will not"), (r"n't\b", " not"), (r"'m\b", " am"),
    (r"'ve\b", " have"), (r"'re\b", " are"), (r"\b(that|this|it|there)'s\b", r"\1 is"),
)  # fmt: skip


def denies(reply: str) -> bool:
    """Whether a reply to a false premise denies it, by the words of a small lexicon: "I have never been to the moon".

    A reply that speaks as a language model is no denial of a character's, see `as_model`.
    """
    text = _plain(reply)
    return not _AS_MODEL.search(text) and any(marker.search(text) for marker in _MARKERS)


def as_model(reply: str) -> bool:
    """Whether a reply falls out of any character: "As an AI, I have no parents"."""
    return _AS_MODEL.search(_plain(reply)) is not None


def alike(a: str, b: str) -> float:
    """How alike two replies are: the mean of sentence BLEU in both directions, 0 to 100.

    BLEU (Papineni et al. 2002) as sacrebleu (Post 2018) scores a sentence: exponential smoothing and effective order,
    so that a reply shorter than four words has a value too. It takes one text as the reference; neither is one here.
    """
    metric = _metric()
    return float(metric.sentence_score(a, [b]).score + metric.sentence_score(b, [a]).score) / 2


def bleu_signature() -> str:
    """Say how BLEU was computed, as sacrebleu does, its version included."""
    metric = _metric()
    metric.sentence_score("a", ["a"])
    return str(metric.get_signature())


@cache
def _metric() -> BLEU:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MissingExtra("replies are compared with sacrebleu: pip install 'traitbench[lm-eval]'") from None
    return BLEU(effective_order=True)


def _plain(reply: str) -> str:
    text = " ".join(reply.replace("’", "'").lower().split()).lstrip("\"'“*_ ")
    for contraction, words in _CONTRACTIONS:
        text = re.sub(contraction, words, text)
    return text
