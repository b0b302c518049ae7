"""How a pair is asked: both statements weighed as the model's own words, or shown as A and B."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from traitbench.statistics.replies import option_variants
from traitbench.tasks.administration import TEMPLATES, Administration, symbols_for
from traitbench.tasks.forced_choice.pairs import Pair, Statement
from traitbench.types import Choose, Continue, Doc, Message, Mode, Request, Write, digest

__all__ = ["WORDINGS", "presented", "requests"]

CUE = "Answer:"
WORDINGS = (
    "Which of the two statements describes you better? Reply with the {symbol} of one statement and nothing else."
    "\n\n{options}",
    "Below are two statements. Pick the one that is more true of you and give only its {symbol}.\n\n{options}",
    "Think of yourself as you usually are. Which statement fits you more? Answer with a single {symbol}.\n\n{options}",
    "Two people describe themselves:\n{options}\n\nWhich of them is more like you? Write the {symbol} only.",
    "Please choose honestly, even where both or neither seem true.\n\n{options}\n\nRespond with just the {symbol} of "
    "the statement that is closer to you.",
)
"""Our own phrasings, as many as a questionnaire has: {symbol} is letter or number."""


def presented(pair: Pair, symbols: str, order: str) -> tuple[tuple[tuple[str, str], ...], tuple[int, int]]:
    """Symbols and statements as shown, and the value of each: 1 for the one that stands second in forward order."""
    shown, values = (pair.first.text, pair.second.text), (0, 1)
    if order == "reverse":
        shown, values = (shown[1], shown[0]), (1, 0)
    return tuple(zip(symbols_for("letters" if symbols == "letters" else "numbers", 2), shown, strict=True)), values


def requests(task: str, pairs: Sequence[Pair], administration: Administration, seed: int) -> list[Request]:
    """Everything that one condition asks: wording by wording, mode by mode, pair by pair."""
    out: list[Request] = []
    for template in administration.chosen_templates(seed):
        for mode in administration.scoring:
            if mode == "statement":
                out += [r for pair in pairs for r in _weighed(task, pair, template)]
            else:
                out += _choices(task, pairs, template, mode, administration, seed)
    return out


def _weighed(task: str, pair: Pair, template: int) -> Iterator[Continue]:
    """Both statements as the model's own words, the second one first, behind one prompt."""
    ask = (Message(role="user", content=TEMPLATES[template].statement),)
    for own in (pair.second, pair.first):
        doc = Doc(
            task=task, scoring="statement", item=pair.id, trait=own.trait, facet=own.facet, keyed=own.keyed,
            template=template,
        )  # fmt: skip
        yield Continue(doc=doc, messages=ask, cue=CUE, text=own.text)


def _choices(
    task: str, pairs: Sequence[Pair], template: int, mode: Mode, administration: Administration, seed: int
) -> Iterator[Request]:
    for symbols in administration.symbols:
        word = "letter" if symbols == "letters" else "number"
        for order in administration.orders:
            for repeat in range(administration.repeats if mode == "generate" else 1):
                for pair in pairs:
                    labels, values = presented(pair, symbols, order)
                    listing = "\n".join(f"{symbol}. {text}" for symbol, text in labels)
                    own = pair.second
                    doc = Doc(
                        task=task, scoring=mode, item=pair.id, trait=own.trait, facet=own.facet, keyed=own.keyed,
                        order=order, symbols=symbols, template=template, repeat=repeat, rival=_rival(pair.first),
                    )  # fmt: skip
                    ask = (Message(role="user", content=WORDINGS[template].format(symbol=word, options=listing)),)
                    if mode == "choice":
                        options = tuple(option_variants(symbol) for symbol, _ in labels)
                        yield Choose(doc=doc, messages=ask, cue=CUE, options=options, values=values)
                        continue
                    yield Write(
                        doc=doc, messages=ask, cue=CUE, labels=labels, values=values,
                        seed=int(digest([seed, pair.id, template, symbols, order, repeat]), 16) % 2**31,
                        max_tokens=administration.max_tokens, temperature=administration.temperature,
                        repetition_penalty=administration.repetition_penalty,
                    )  # fmt: skip


def _rival(first: Statement) -> str:
    return f"{'-' if first.keyed == -1 else ''}{first.trait}"
