"""How a pair is asked: both replies weighed behind one prompt, shown as A and B, or the model's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from traitbench.statistics.replies import option_variants
from traitbench.tasks.administration import Administration, symbols_for
from traitbench.tasks.situations.pairs import Pair
from traitbench.types import Choose, Continue, Doc, Message, Record, Request, Write, digest

__all__ = ["MAX_TOKENS", "WORDINGS", "Wording", "presented", "requests"]

MAX_TOKENS = 64
"""Of a written reply, where --gen_kwargs does not say otherwise."""
CUE = "Answer:"


class Wording(Record):
    """One phrasing of the request."""

    open: str
    """Holds {situation}; the model's own words follow, or one of the two replies as if they were."""
    choice: str
    """Holds {symbol} (letter or number), then {situation} and {options}."""


WORDINGS = (
    Wording(
        open="{situation}\n\nWhat do you do, say or think? Reply in one sentence, in the first person.",
        choice="Read the situation and the two replies. Which of them is more like yours? Give the {symbol} of one "
        "reply and nothing else.\n\nSituation: {situation}\n\n{options}",
    ),
    Wording(
        open="Imagine yourself in this situation: {situation}\n\nTell me in one sentence how you respond.",
        choice="Here is a situation with two ways of responding to it. Pick the one that you would choose and write "
        "only its {symbol}.\n\n{situation}\n\n{options}",
    ),
    Wording(
        open="How do you react to what follows? Describe it briefly, as yourself.\n\n{situation}",
        choice="Put yourself in the place of the person described below. Which reaction fits you best? Answer with a "
        "single {symbol}.\n\n{situation}\n\nReactions:\n{options}",
    ),
    Wording(
        open="Picture this. {situation}\n\nYour reaction, in one or two sentences:",
        choice="Picture this. {situation}\n\nTwo people react in different ways:\n{options}\n\nWhich of the two could "
        "be you? Respond with the {symbol} alone.",
    ),
    Wording(
        open="{situation}\n\nSay in your own words what you do next or what goes through your mind.",
        choice="{situation}\n\nWhat comes closest to your own answer?\n{options}\n\nReply with just the {symbol}.",
    ),
)
"""Our own; as many as a questionnaire has, since --templates N draws among them by number."""


class Presented(NamedTuple):
    """Both replies as shown."""

    labels: tuple[tuple[str, str], ...]
    """Symbol and reply."""
    values: tuple[int, int]
    """1 for the reply that stands second in forward order, whichever pole it is of: the raw value of an answer."""


def presented(pair: Pair, symbols: str, order: str) -> Presented:
    """The replies of a pair in one order; reverse order keeps the symbols in place and turns the replies."""
    replies = (pair.low, pair.high) if pair.keyed == 1 else (pair.high, pair.low)
    marks = symbols_for("letters" if symbols == "letters" else "numbers", 2)
    turned = order == "reverse"
    shown = replies[::-1] if turned else replies
    return Presented(tuple(zip(marks, shown, strict=True)), (1, 0) if turned else (0, 1))


def requests(task: str, pairs: Sequence[Pair], administration: Administration, seed: int) -> list[Request]:
    """Everything that one condition asks: wording by wording, mode by mode, pair by pair.

    The two replies that are weighed (statement) follow each other behind the same prompt, the high one first.
    """
    out: list[Request] = []
    for template in administration.chosen_templates(seed):
        for mode in administration.scoring:
            if mode == "statement":
                out += [r for pair in pairs for r in _weighed(task, pair, template)]
            elif mode == "choice":
                out += _choices(task, pairs, template, administration)
            else:
                out += [
                    _written(task, pair, template, repeat, administration, seed)
                    for repeat in range(administration.repeats)
                    for pair in pairs
                ]
    return out


def _weighed(task: str, pair: Pair, template: int) -> Iterator[Continue]:
    """Both replies as the model's own words; in their place in the grid `keyed` is the pole of the reply."""
    ask = _user(WORDINGS[template].open.format(situation=pair.situation))
    place = Doc(
        task=task, scoring="statement", item=pair.id, trait=pair.trait, facet=pair.facet, keyed=1, template=template,
        evidence="behaviour",
    )  # fmt: skip
    yield Continue(doc=place, messages=ask, cue=CUE, text=pair.high)
    yield Continue(doc=place.model_copy(update={"keyed": -1}), messages=ask, cue=CUE, text=pair.low)


def _choices(task: str, pairs: Sequence[Pair], template: int, administration: Administration) -> Iterator[Choose]:
    for symbols in administration.symbols:
        word = "letter" if symbols == "letters" else "number"
        for order in administration.orders:
            for pair in pairs:
                shown = presented(pair, symbols, order)
                listing = "\n".join(f"{symbol}. {reply}" for symbol, reply in shown.labels)
                text = WORDINGS[template].choice.format(symbol=word, situation=pair.situation, options=listing)
                yield Choose(
                    doc=Doc(
                        task=task, scoring="choice", item=pair.id, trait=pair.trait, facet=pair.facet,
                        keyed=pair.keyed, order=order, symbols=symbols, template=template,
                        evidence="behaviour",
                    ),
                    messages=_user(text), cue=CUE,
                    options=tuple(option_variants(symbol) for symbol, _ in shown.labels), values=shown.values,
                )  # fmt: skip


def _written(task: str, pair: Pair, template: int, repeat: int, administration: Administration, seed: int) -> Write:
    given = "max_tokens" in administration.model_fields_set
    return Write(
        doc=Doc(
            task=task, scoring="generate", item=pair.id, trait=pair.trait, facet=pair.facet, keyed=pair.keyed,
            template=template, repeat=repeat, evidence="behaviour",
        ),
        messages=_user(WORDINGS[template].open.format(situation=pair.situation)), cue=CUE,
        seed=int(digest([seed, pair.id, template, repeat]), 16) % 2**31,
        max_tokens=administration.max_tokens if given else MAX_TOKENS,
        temperature=administration.temperature, repetition_penalty=administration.repetition_penalty,
    )  # fmt: skip


def _user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)
