"""What a written text is before a judge sees it: one that can be judged, or one of four that cannot.

Rules alone, so that a text has the same status on every machine: nothing is learnt and nothing optional is installed.
The limits stand in `traitbench.statistics.thresholds`. Whatever its length, a text is read once, and beyond its first
and its last `READ` characters only for a letter.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from traitbench.statistics.thresholds import TEXTS

__all__ = ["READ", "TextStatus", "language", "refused", "repeats", "status_of"]

TextStatus = Literal["ok", "empty", "repetitive", "other_language", "refusal"]

READ = 10_000
"""Characters at either end that are read."""
_RUN = 4
_TAILS = (60, 240)
"""Words at the end that are looked at by themselves: a text may begin well and end in a loop."""
_FEWEST = 20
"""Words from which on runs of words are counted."""
_BYTES = (200, 2048)
"""Fewest and most bytes that are compressed, the most from the end."""
_SHORT, _PROSE = 4, 30
"""Words from which on another language is recognised by its own words, and by the absence of English ones."""
_LETTERS = 0.85
"""Share of letters and apostrophes among the signs of prose; code has fewer."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)
_SENTENCE = re.compile(r"[.!?\n]+")
_QUOTES = "\"“”„«»'‘*_`# \t\n"

_MODEL = re.compile(
    r"(?:as|being|since i am|since i'm|because i am|because i'm) (?:just |only )?an? (?:large )?"
    r"(?:ai\b|artificial intelligence|language model|text-based|digital assistant|virtual assistant)"
    r"|i(?:'m| am) (?:just |only |sorry, i(?:'m| am) )?an? (?:large )?(?:ai\b|artificial intelligence|language model)"
    r"|i (?:don't|do not) have (?:any )?(?:personal|human) (?:opinions?|feelings?|emotions?|beliefs?|experiences?|"
    r"preferences?)",
    re.I,
)
_APOLOGY = re.compile(
    r"(?:(?:i'm|i am) (?:so |very |really |truly )?(?:sorry|afraid)|(?:very |so )?sorry|(?:my )?apologies|"
    r"unfortunately|i apologi[sz]e)(?: for [^.,!]{1,40})?[,.!;:]? ?(?:but )?(?:that )?",
    re.I,
)
_CANNOT = (
    r"i(?: (?:can't|cannot|can not|won't|will not|must decline to|have to decline to|decline to)"
    r"|(?:'m| am) (?:unable to|not able to|not comfortable|not going to be able to))"
)
_TASK = re.compile(
    _CANNOT + r" (?:comply|fulfill?|(?:provide|give) (?:that|this|a response|an answer|any)|role-?play|generate|"
    r"(?:assist|engage) (?:you )?(?:with|in)|assist\b|answer (?:this|that|your|the) (?:question|prompt)|"
    r"respond to (?:this|that|your|the)|(?:continue|help|proceed) (?:you )?(?:with )?(?:this|that|your) "
    r"(?:request|conversation|task|prompt))",
    re.I,
)
_PLAIN = re.compile(_CANNOT + r"(?: (?P<verb>help|do|answer|discuss|continue|say|write)\b[^.!?]{0,40})?[.!]?", re.I)
"""What a person may say too: a refusal only behind an apology, as the whole text, and where nobody asked for it."""


def status_of(text: str, asked: str = "") -> TextStatus:
    """Tell whether `text`, a written reply to `asked`, can be judged.

    The first that applies of `empty`, no letter in it; `repetitive`, it repeats itself, wholly or at its end;
    `other_language`, neither English nor the language of `asked`; `refusal`, it begins as a model's refusal does.
    Everything else is `ok`, also code, a short reply, and a text that speaks to its judge.
    """
    if not any(map(str.isalpha, text)):
        return "empty"
    head, tail = text[:READ], text[max(READ, len(text) - READ) :]
    if repeats(head) or (tail and repeats(tail)):
        return "repetitive"
    spoken = language(head)
    if spoken not in ("", "en") and spoken != language(asked[:READ]):
        return "other_language"
    return "refusal" if refused(head, asked[:READ]) else "ok"


def repeats(text: str) -> bool:
    """Whether a text says the same over and over: in runs of words, in sentences, or in characters."""
    words = [word.casefold() for word in _WORD.findall(_plain(text))]
    for part in (words, *(words[-size:] for size in _TAILS)):
        if len(part) >= _FEWEST and _distinct(part) < TEXTS["distinct_runs"].value:
            return True
    said = [" ".join(found) for part in _SENTENCE.split(_plain(text)) if (found := _WORD.findall(part.casefold()))]
    times = max(Counter(one for one in said if " " in one).values(), default=0)
    if times >= TEXTS["same_sentence"].value and 2 * times >= len(said):
        return True
    data = text.encode("utf-8", "replace")[-_BYTES[1] :]
    return len(data) >= _BYTES[0] and len(data) / len(zlib.compress(data, 9)) > TEXTS["compression"].value


def language(text: str) -> str:
    """The language of a text by its frequent words: a code such as "en"; a script such as "cyrillic"; "other".

    Empty where that is open: too few words, code, names.
    """
    prose = _CODE.sub(" ", _plain(text))
    letters = Counter(_script(sign) for sign in prose if sign.isalpha())
    everything = letters.total()
    if everything and (everything - letters["latin"]) / everything >= TEXTS["other_script"].value:
        return max((script for script in letters if script != "latin"), key=lambda script: (letters[script], script))
    words = [word.casefold() for word in _WORD.findall(prose)]
    if len(words) < _SHORT:
        return ""
    shares = {code: sum(word in known for word in words) / len(words) for code, known in _words().items()}
    english = shares.pop("en")
    best = max(shares, key=lambda code: shares[code])
    if shares[best] >= TEXTS["function_words"].value and shares[best] > 1.5 * english:
        return best
    if english >= TEXTS["function_words"].value:
        return "en"
    signs = sum(not sign.isspace() for sign in prose)
    alone = len(words) >= _PROSE and english < TEXTS["no_english"].value and everything >= _LETTERS * signs
    return "other" if alone else ""


def refused(text: str, asked: str = "") -> bool:
    """Whether a text begins as a model's refusal does; `asked` tells a person's "I can't help with that" from it."""
    start = " ".join(_plain(text)[:600].split())
    quoted = start[:1] in '"“„«' and start.rstrip(" .")[-1:] not in '"”“»'
    start = start if quoted else start.strip(_QUOTES)
    apology = _APOLOGY.match(start)
    rest = start[apology.end() :].lstrip() if apology else start
    if _MODEL.match(rest) or _MODEL.match(start) or _TASK.match(rest):
        return True
    plain = _PLAIN.fullmatch(rest) if apology else None
    return plain is not None and not (plain["verb"] and plain["verb"].casefold() in asked.casefold())


def _plain(text: str) -> str:
    return text.replace("’", "'")


def _distinct(words: Sequence[str]) -> float:
    runs = [tuple(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1)]
    return len(set(runs)) / len(runs)


@cache
def _words() -> dict[str, frozenset[str]]:
    """Language -> its most frequent function words."""
    held = json.loads(files("traitbench.judges").joinpath("words.json").read_text(encoding="utf-8"))
    return {code: frozenset(words) for code, words in held.items()}


@cache
def _script(letter: str) -> str:
    """Of a letter: the first word of its Unicode name, "latin" for every letter with that word in its name."""
    name = unicodedata.name(letter, "")
    return "latin" if "LATIN" in name or letter in "ªº" else name.partition(" ")[0].partition("-")[0].lower()
