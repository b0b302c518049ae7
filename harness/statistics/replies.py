"""What a kept answer says: the expected value of option probabilities, and a written reply read strictly."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from traitbench.types import Status

__all__ = ["choice_value", "parse_reply"]


def choice_value(logprobs: Sequence[float], values: Sequence[int]) -> tuple[float, float, list[float]]:
    """Expected value, option mass and renormalised probabilities (options,) from option log-probabilities."""
    top = max(logprobs)
    weights = [math.exp(lp - top) for lp in logprobs]
    total = sum(weights)
    shares = [w / total for w in weights]
    return sum(s * v for s, v in zip(shares, values, strict=True)), math.exp(top) * total, shares


_REASONING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.S | re.I)
_CLOSED_REASONING = re.compile(r"</(?:think|thinking|reasoning)>", re.I)
_OPEN_REASONING = re.compile(r"<(think|thinking|reasoning)>", re.I)
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
    # A template may have opened the block itself, so what stands before a lone closing tag is reasoning too.
    reply = _CLOSED_REASONING.split(_REASONING.sub("", text))[-1]
    unfinished = _OPEN_REASONING.search(reply) is not None
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
    if _REFUSAL.search(reply.replace("’", "'")):
        return "refusal", None
    return ("truncated" if truncated else "unparsed"), None
