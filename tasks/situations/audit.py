"""What the pairs must keep to: `python -m traitbench.tasks.situations.audit` prints counts, and every fault.

A reply must show its pole by what is done, in words that no method is trained on and no inventory uses; else an effect
on situations would be one on self-report again. `--against FILE` (JSON lines, such as the trait dialogues) names texts
of which nothing may be shared, `--tokenizer DIR` counts tokens in place of words. Exit 1 where a fault is found.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from traitbench import inventories
from traitbench.errors import BadData
from traitbench.tasks.situations.pairs import FACETS, SPLITS, Pair, load
from traitbench.types import Trait

__all__ = [
    "TRAIT_WORDS",
    "Fault",
    "audit",
    "balance",
    "borrowed",
    "counts",
    "item_texts",
    "lengths",
    "named",
    "repeated",
    "worded",
    "words",
]  # fmt: skip

PAIRS, DEV = 11, 3
"""Pairs a facet, at least, and how many of them are for choosing."""
APART = 0.10
"""Difference in length that two replies may have, of the longer one."""
SHORTEST, LONGEST = 14, 45
"""Tokens of a reply."""
MEAN_APART = 0.5
"""Tokens by which the mean lengths of high and low replies of a trait may differ."""
MATCHED = (0.45, 0.60)
"""Share of pairs whose replies are equally desirable."""
NEGATED = 0.15
"""Difference between the shares of high and of low replies that negate something."""
OF_ITEMS, OF_TEXTS = 4, 5
"""Words in a row that may not be shared with an item of an inventory; with other texts, and between two pairs
of a trait."""
WHOLE = 3
"""Words from which an item may not occur whole."""
NEGATIONS = frozenset({"not", "no", "never", "nothing", "nobody", "without", "don't", "can't", "won't", "isn't"})
TRAIT_WORDS = frozenset({
    "openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism", "personality", "trait",
    "open-minded", "conscientious", "extravert", "extravert's", "extraverted", "extrovert", "extroverted", "introvert",
    "introverted", "agreeable", "disagreeable", "neurotic", "imaginative", "artistic", "adventurous", "intellectual",
    "liberal", "conservative", "orderly", "dutiful", "cautious", "self-discipline", "gregarious", "assertive",
    "cheerful", "trusting", "altruistic", "cooperative", "modest", "sympathetic", "anxious", "anxiety", "depressed",
    "depression", "self-conscious", "immoderate", "impulsive", "vulnerable", "vulnerability",
})  # fmt: skip
"""Names of traits and facets, and the adjectives made of them."""
TEXTS = ("situation", "high", "low")
REPLIES = ("high", "low")

Run = tuple[str, ...]


class Fault(NamedTuple):
    """Something that a pair, or the pairs of a trait, do not keep to."""

    where: str
    what: str


def words(text: str) -> list[str]:
    """The words of a text, in small letters; hyphens and apostrophes belong to them."""
    return re.findall(r"[a-z]+(?:['-][a-z]+)*", text.lower())


def runs(text: str, n: int) -> set[Run]:
    """Every `n` words in a row."""
    found = words(text)
    return {tuple(found[start : start + n]) for start in range(len(found) - n + 1)}


def item_texts() -> dict[str, str]:
    """Inventory and item id -> the item's words, of every inventory whose texts are on this machine."""
    found: dict[str, str] = {}
    for name in inventories.names():
        try:
            held = inventories.load(name)
        except BadData:
            continue
        found |= {f"{name}/{item.id}": item.text for item in held.items if item.text}
    return found


def worded(pairs: Sequence[Pair]) -> Iterator[Fault]:
    """Situations of two or three sentences in the second person, replies in the first, all in plain ASCII."""
    for pair in pairs:
        for part in TEXTS:
            if not re.fullmatch(r"[\x20-\x7e]+", text := getattr(pair, part)) or text != text.strip():
                yield Fault(pair.id, f"{part}: a character beyond ASCII, or a blank at an end")
        if not 2 <= (n := len(re.findall(r"[.!?]+(?:\s|$)", pair.situation))) <= 3:
            yield Fault(pair.id, f"the situation has {n} sentences, expected two or three")
        if not any(word.startswith("you") for word in words(pair.situation)):
            yield Fault(pair.id, "the situation does not speak of you")


def lengths(pairs: Sequence[Pair], tokens: Callable[[str], int] | None = None) -> Iterator[Fault]:
    """Two replies of one length: in tokens within APART; without a tokenizer in words, where one more is let pass."""
    for pair in pairs:
        high, low = ((tokens or _word_count)(getattr(pair, pole)) for pole in REPLIES)
        if abs(high - low) > APART * max(high, low) + (0 if tokens else 1):
            unit = "tokens" if tokens else "words"
            yield Fault(pair.id, f"replies of {high} (high) and {low} (low) {unit}, more than {APART:.0%} apart")
        if tokens and not (SHORTEST <= high <= LONGEST and SHORTEST <= low <= LONGEST):
            yield Fault(pair.id, f"replies of {high} and {low} tokens, expected {SHORTEST} to {LONGEST}")
    if tokens is not None:
        for trait, mine in _by_trait(pairs).items():
            high_mean, low_mean = (fmean(tokens(getattr(pair, pole)) for pair in mine) for pole in REPLIES)
            if abs(high_mean - low_mean) > MEAN_APART:
                yield Fault(trait, f"high replies have {high_mean:.1f} tokens in the mean, low ones {low_mean:.1f}")


def borrowed(pairs: Sequence[Pair], items: Mapping[str, str], texts: Sequence[str] = ()) -> Iterator[Fault]:
    """Words in a row shared with an item (named, its words are not printed) or with other texts."""
    of_items = {run: name for name, text in items.items() for run in runs(text, OF_ITEMS)}
    wholes = {tuple(found): name for name, text in items.items() if len(found := words(text)) >= WHOLE}
    longest = max(map(len, wholes), default=0)
    of_texts = {run for text in texts for run in runs(text, OF_TEXTS)}
    for pair in pairs:
        for part in TEXTS:
            text = getattr(pair, part)
            own = {run for n in range(WHOLE, longest + 1) for run in runs(text, n)}
            if shared := runs(text, OF_ITEMS) & of_items.keys():
                yield Fault(pair.id, f"{part}: shares {OF_ITEMS} words in a row with {of_items[min(shared)]}")
            if shared := own & wholes.keys():
                yield Fault(pair.id, f"{part}: holds the whole of {wholes[min(shared)]}")
            if shared := runs(text, OF_TEXTS) & of_texts:
                yield Fault(pair.id, f"{part}: shares {' '.join(min(shared))!r} with the texts held against")


def repeated(pairs: Sequence[Pair]) -> Iterator[Fault]:
    """Words in a row shared by two pairs of one trait, whose items count as drawn apart."""
    first: dict[tuple[Trait, Run], str] = {}
    for pair in pairs:
        for run in sorted({run for part in TEXTS for run in runs(getattr(pair, part), OF_TEXTS)}):
            if (other := first.setdefault((pair.trait, run), pair.id)) != pair.id:
                yield Fault(pair.id, f"shares {' '.join(run)!r} with {other}")


def named(pairs: Sequence[Pair], forbidden: Collection[str] = TRAIT_WORDS) -> Iterator[Fault]:
    """Trait words in a reply."""
    for pair in pairs:
        for pole in REPLIES:
            if found := sorted(set(words(getattr(pair, pole))) & set(forbidden)):
                yield Fault(pair.id, f"{pole}: the trait word {found[0]!r}")


def balance(pairs: Sequence[Pair]) -> Iterator[Fault]:
    """Counts by facet and split, keys, desirability and negations, a trait at a time."""
    for trait, mine in _by_trait(pairs).items():
        for facet in FACETS[trait]:
            own = [pair for pair in mine if pair.facet == facet]
            dev = sum(pair.split == "dev" for pair in own)
            if len(own) < PAIRS or dev != DEV:
                yield Fault(
                    trait, f"{facet} has {len(own)} pairs, {dev} of dev; expected {PAIRS} or more, {DEV} of dev"
                )
            for split in SPLITS:
                if abs(sum(pair.keyed for pair in own if pair.split == split)) > 1:
                    yield Fault(trait, f"{facet}, {split}: the high reply stands first in more than half of the pairs")
        share = fmean(pair.desirability == "matched" for pair in mine)
        if not MATCHED[0] <= share <= MATCHED[1]:
            yield Fault(trait, f"{share:.0%} of the pairs are matched in desirability, expected about half")
        high, low = (fmean(bool(NEGATIONS & set(words(getattr(pair, pole)))) for pair in mine) for pole in REPLIES)
        if abs(high - low) > NEGATED:
            yield Fault(trait, f"{high:.0%} of the high and {low:.0%} of the low replies negate something")


def audit(
    pairs: Sequence[Pair],
    items: Mapping[str, str],
    texts: Sequence[str] = (),
    tokens: Callable[[str], int] | None = None,
    forbidden: Collection[str] = TRAIT_WORDS,
) -> list[Fault]:
    """Every fault. `items`: see `item_texts`; `texts`: nothing may be shared with them; `tokens` counts of a text."""
    return [
        *worded(pairs), *lengths(pairs, tokens), *borrowed(pairs, items, texts), *repeated(pairs),
        *named(pairs, forbidden), *balance(pairs),
    ]  # fmt: skip


def counts(pairs: Sequence[Pair]) -> list[str]:
    """A line a trait: pairs by facet, split, desirability, and mean words of both replies."""
    out = []
    for trait, mine in _by_trait(pairs).items():
        facets, splits, marks = (
            ", ".join(f"{name} {n}" for name, n in sorted(Counter(getattr(p, of) for p in mine).items()))
            for of in ("facet", "split", "desirability")
        )
        high, low = (fmean(_word_count(getattr(pair, pole)) for pair in mine) for pole in REPLIES)
        out.append(f"{trait}: {facets}; {splits}; {marks}; {high:.1f} words in a high reply, {low:.1f} in a low one")
    return out


def _by_trait(pairs: Sequence[Pair]) -> dict[Trait, list[Pair]]:
    return {t: [p for p in pairs if p.trait == t] for t in dict.fromkeys(pair.trait for pair in pairs)}


def _word_count(text: str) -> int:
    return len(text.split())


def _texts(path: Path) -> list[str]:
    """Every string of a file of JSON lines."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [value for row in rows for value in row.values() if isinstance(value, str)]


def _counter(folder: str) -> Callable[[str], int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def main() -> int:
    """Print counts and faults."""
    parser = argparse.ArgumentParser(prog="python -m traitbench.tasks.situations.audit", description=__doc__)
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="JSON lines to share no five words with")
    parser.add_argument("--tokenizer", help="folder of the tokenizer that counts tokens")
    given = parser.parse_args()
    pairs = (*load("test"), *load("dev"))
    texts = [text for path in given.against for text in _texts(path)]
    found = audit(pairs, item_texts(), texts, _counter(given.tokenizer) if given.tokenizer else None)
    print(*counts(pairs), *(f"{where}: {what}" for where, what in found), f"{len(found)} faults", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
