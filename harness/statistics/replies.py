"""What a kept answer says: the expected value of option probabilities, and a written reply read strictly."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from traitbench.types import Status

__all__ = ["choice_bounds", "choice_value", "option_variants", "parse_reply", "refuses"]


def option_variants(symbol: str) -> tuple[str, ...]:
    """The spellings of a symbol that count as choosing it: bare, after a space, after a bracket."""
    return (symbol, f" {symbol}", f"({symbol}")


def choice_value(logprobs: Sequence[float | None], values: Sequence[int]) -> tuple[float, float, list[float]]:
    """Expected value, option mass and renormalised probabilities (options,) from option log-probabilities.

    Options without one (None) do not count; ValueError where none has one.
    """
    top = max(lp for lp in logprobs if lp is not None)
    weights = [0.0 if lp is None else math.exp(lp - top) for lp in logprobs]
    total = sum(weights)
    shares = [w / total for w in weights]
    return sum(s * v for s, v in zip(shares, values, strict=True)), math.exp(top) * total, shares


def choice_bounds(
    logprobs: Sequence[float | None], bounds: Sequence[float], values: Sequence[int]
) -> tuple[float, float]:
    """The least and the most that the expected value can be, where option i has between logprobs[i] and bounds[i].

    A ratio of sums over a box is extreme where all options beyond some value have their most and the others their
    least, so every such threshold is tried. None among `logprobs` is a probability of 0.
    """
    top = max(bounds)
    ranked = sorted(
        (value, 0.0 if lp is None else math.exp(lp - top), math.exp(bound - top))
        for lp, bound, value in zip(logprobs, bounds, values, strict=True)
    )
    found = []
    for cut in range(len(ranked) + 1):
        for above in (True, False):
            weights = [(v, most if (n >= cut) == above else least) for n, (v, least, most) in enumerate(ranked)]
            total = sum(weight for _, weight in weights)
            found += [sum(v * weight for v, weight in weights) / total] if total > 0 else []
    return min(found), max(found)


_TAG = re.compile(r"<(/?)(think|thinking|reasoning)>", re.I)
_REFUSAL = re.compile(
    r"\b(i('| a)?m sorry|i apologi[sz]e|as an ai|as a language model|i (can(no|')t|am (not able|unable)|do(n't| not) "
    r"have (personal|feelings|a personality|opinions))|i('m| am) (just |only )?(an ai|a language model|not able))",
    re.I,
)


def parse_reply(
    text: str, labels: Sequence[tuple[str, str]], values: Sequence[int], truncated: bool = False
) -> tuple[Status, int | None]:
    """Read a written reply strictly: the symbol, the symbol with its own text, or the text of one option alone.

    Text inside a reasoning block is not an answer. Anything else is `refusal`, `truncated` or `unparsed`, and has no
    value.
    """
    reply, unfinished = _answer(text)
    reply = reply.strip().strip("*_`\"' \n\t").strip()
    if unfinished:
        return "truncated", None
    for (symbol, label), value in zip(labels, values, strict=True):
        if reply.casefold().rstrip(".!") == label.casefold():
            return "valid", value
        match = re.fullmatch(
            rf"(?:(?:my |the )?answer(?: is)?:?\s*)?[\(\[]?{re.escape(symbol)}[\)\]]?(?:[.:,)\s-]+(?P<rest>.*))?",
            reply,
            re.S | re.I if len(reply) > 1 and not reply[:1].islower() else re.S,
        )
        if match is None:
            continue
        rest = (match["rest"] or "").strip().strip("*_`\"'()").rstrip(".!").casefold()
        if not rest or rest == label.casefold() or (truncated and label.casefold().startswith(rest)):
            return "valid", value
    if refuses(reply):
        return "refusal", None
    return ("truncated" if truncated else "unparsed"), None


def _answer(text: str) -> tuple[str, bool]:
    """What a reply says outside of its reasoning, and whether a block of reasoning was begun and not ended.

    A template may have opened the block itself, so what stands before a lone closing tag is reasoning too. One pass
    over the tags: a reply may hold thousands that nothing closes.
    """
    tags = [(tag.start(), tag.end(), bool(tag[1]), tag[2].lower()) for tag in _TAG.finditer(text)]
    ends: dict[str, list[int]] = {}
    for _, end, closing, name in reversed(tags):
        if closing:
            ends.setdefault(name, []).append(end)
    parts, at, unfinished = list[str](), 0, False
    for start, end, closing, name in tags:
        if start < at:
            continue  # within a block
        rest = ends.get(name, [])
        while rest and rest[-1] <= start:
            rest.pop()
        if closing:
            parts, at, unfinished = [], end, False
        elif rest:
            parts.append(text[at:start])
            at = rest[-1]
        else:
            unfinished = True
    return "".join(parts) + text[at:], unfinished


def refuses(text: str) -> bool:
    """Whether a text holds the words of a refusal, as "as an AI" and "I'm not able to" are."""
    return _REFUSAL.search(text.replace("’", "'")) is not None
