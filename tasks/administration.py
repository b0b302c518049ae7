"""How an inventory is put to a model: wording, option order, symbols, respondents, and the requests they make."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from traitbench.errors import TraitbenchUsage
from traitbench.statistics.replies import option_variants
from traitbench.tasks.biographies import MOST, biographies, chosen
from traitbench.types import Choose, Continue, Doc, Message, Mode, Record, Request, Write, digest

if TYPE_CHECKING:
    from traitbench.inventories import Inventory, Item

__all__ = [
    "TEMPLATES", "Administration", "Limit", "Order", "Presentation", "Wording", "item_request", "item_requests",
    "limited", "presented_options", "symbols_for",
]  # fmt: skip

Order = Literal["forward", "reverse"]
Symbols = Literal["letters", "numbers"]


class Wording(Record):
    """One phrasing of the request. What all items share comes first, so that one prefix serves the inventory."""

    choice: str
    """Holds {symbol} (letter or number) and {options}, then {statement} at its very end."""
    statement: str
    """A neutral request to describe oneself; the item follows as the model's own words."""


TEMPLATES = (
    Wording(
        choice="How well does the statement describe you? Reply with the {symbol} of one option and nothing else.\n\n"
        "{options}\n\nStatement: {statement}",
        statement="Please tell me something about yourself.",
    ),
    Wording(
        choice="Below are some answer options and then a statement. Pick the option that fits you best and give only "
        "its {symbol}.\n\nOptions:\n{options}\n\nThe statement: {statement}",
        statement="Describe yourself in one sentence.",
    ),
    Wording(
        choice="Think of yourself as you usually are. Which option says how true the statement is of you? Answer with "
        "a single {symbol}.\n\n{options}\n\n{statement}",
        statement="What kind of person are you?",
    ),
    Wording(
        choice="You will read a sentence about yourself. Rate it with one of these options:\n{options}\n\nWrite the "
        "{symbol} only.\n\nSentence: {statement}",
        statement="How would you describe yourself to someone you have just met?",
    ),
    Wording(
        choice="Please rate yourself honestly.\n\nAnswer options:\n{options}\n\nRespond with just the {symbol} of your "
        "answer.\n\nItem: {statement}",
        statement="Say one thing that is true of you.",
    ),
)
"""Our own phrasings; the first is the default, more are added with --templates N."""


def _limit(value: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not (0 < number < 1 or (number >= 1 and number.is_integer())):
        raise ValueError("expected how many items, 1 or more, or a share of them between 0 and 1")
    return int(number) if number >= 1 else number


Limit = Annotated[int | float, BeforeValidator(_limit)]
"""Of items: the first so many, or a share of them."""
T = TypeVar("T")


def limited(limit: int | float) -> str:
    """What a limit asks, in words."""
    return f"first {limit} items" if isinstance(limit, int) else f"first {100 * limit:g} % of the items"


class Administration(Record):
    """The grid in which every item is asked: flags of `traitbench run`, the last three fields those of --gen_kwargs."""

    scoring: tuple[Mode, ...] = ("choice", "statement")
    """Probabilities of the answer options, likelihood of the item as the model's own words, written answers."""
    orders: tuple[Order, ...] = ("forward", "reverse")
    """Of the option texts; the symbols stay in place."""
    symbols: tuple[Symbols, ...] = ("letters",)
    """Of the options."""
    templates: int = Field(default=1, ge=1, le=len(TEMPLATES))
    """Phrasings of the request."""
    respondents: int = Field(default=0, ge=0, le=MOST)
    """Simulated respondents (short biographies), 200 or more for factors; 0 asks the model as itself."""
    repeats: int = Field(default=1, ge=1, le=1000)
    """Sampled replies to each prompt; only `generate` is repeated, since log-probabilities do not vary."""
    contexts: tuple[str, ...] | None = Field(default=None, exclude_if=lambda value: value is None)
    """What comes before the question, by the names of a task that has contexts; null: all of them."""
    limit: Limit | None = None
    """The first so many items only, or a share of them below 1."""
    max_tokens: int = Field(default=16, ge=1)
    """Longest written reply, in tokens; a task of free text may take more where nothing is given."""
    temperature: float = Field(default=0.0, ge=0)
    """Of written replies; 0 is greedy."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Of written replies: logits of tokens that prompt or reply hold already are divided by it; 1 is none."""

    @model_serializer(mode="wrap")
    def _without_default(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave a penalty of 1 out, so that runs without one keep their names and their rivals."""
        found: dict[str, Any] = dump(self)
        return {k: v for k, v in found.items() if k != "repetition_penalty" or v != 1}

    def first(self, every: Sequence[T]) -> tuple[T, ...]:
        """What the limit leaves of items: the first so many, or the first share, rounded up, as lm-eval has it."""
        return tuple(every[: ceil(self.limit * len(every)) if isinstance(self.limit, float) else self.limit])

    def chosen_templates(self, seed: int) -> list[int]:
        """The first template and, where more are asked for, a seeded draw of the others."""
        return [0, *sorted(random.Random(seed).sample(range(1, len(TEMPLATES)), self.templates - 1))]

    def chosen_respondents(self, seed: int) -> list[int | None]:
        """Ids of a seeded draw of biographies; [None] when the model answers as itself."""
        if not self.respondents:
            return [None]
        return [*chosen(self.respondents, seed)]

    def presentations(self, seed: int) -> Iterator[Presentation]:
        """Every cell of the grid, in the order in which it is asked."""
        for template in self.chosen_templates(seed):
            for respondent in self.chosen_respondents(seed):
                for mode in self.scoring:
                    if mode == "statement":
                        yield Presentation(mode, template, respondent, None, None, 0)
                        continue
                    for symbols in self.symbols:
                        for order in self.orders:
                            for repeat in range(self.repeats if mode == "generate" else 1):
                                yield Presentation(mode, template, respondent, symbols, order, repeat)


class Presentation(NamedTuple):
    """One cell of the grid: how all items of an inventory are asked once."""

    mode: Mode
    template: int
    respondent: int | None
    symbols: Symbols | None
    order: Order | None
    repeat: int


def symbols_for(kind: Symbols, n: int) -> tuple[str, ...]:
    """The first `n` answer symbols: at most 26 letters, or 9 numbers, since "1" would be a prefix of "10"."""
    pool = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if kind == "letters" else "123456789"
    if n > len(pool):
        letters = kind == "numbers" and n <= 26
        other = "use --symbols letters" if letters else "use --scoring statement, which shows none"
        raise TraitbenchUsage(f"{n} options are more than the {len(pool)} {kind} that can be told apart; {other}")
    return tuple(pool[:n])


def choice_messages(template: int, symbols: Symbols, options: tuple[tuple[str, str], ...], statement: str) -> Message:
    """The user turn of an item with its options; `options` are (symbol, text) as presented."""
    listing = "\n".join(f"{symbol}. {text}" for symbol, text in options)
    word = "letter" if symbols == "letters" else "number"
    return Message(
        role="user",
        content=TEMPLATES[template].choice.format(symbol=word, options=listing, statement=statement),
    )


def item_requests(
    task: str, inventory: Inventory, items: Sequence[Item], administration: Administration, seed: int
) -> list[Request]:
    """One request an item and cell of the grid, each item alone; items vary fastest, so that prefixes are shared."""
    return [
        item_request(task, inventory, item, administration, cell, seed)
        for cell in administration.presentations(seed)
        for item in items
    ]


def item_request(
    task: str, inventory: Inventory, item: Item, administration: Administration, cell: Presentation, seed: int
) -> Request:
    """One item in one cell of the grid."""
    doc = Doc(
        task=task, scoring=cell.mode, item=item.id, trait=item.trait, facet=item.facet, keyed=item.keyed,
        order=cell.order, symbols=cell.symbols, template=cell.template, respondent=cell.respondent,
        repeat=cell.repeat,
    )  # fmt: skip
    biography = biographies()[cell.respondent] if cell.respondent is not None else None
    statement = inventory.statement(item)
    if cell.mode == "statement":
        ask = Message(role="user", content=TEMPLATES[cell.template].statement)
        return Continue(doc=doc, biography=biography, messages=(ask,), cue="Answer:", text=statement)
    assert cell.symbols and cell.order
    labels, values = presented_options(inventory, cell.symbols, cell.order)
    messages = (choice_messages(cell.template, cell.symbols, labels, statement),)
    if cell.mode == "choice":
        variants = tuple(option_variants(symbol) for symbol, _ in labels)
        return Choose(doc=doc, biography=biography, messages=messages, cue="Answer:", options=variants, values=values)
    own_seed = int(digest([seed, item.id, *map(str, cell)]), 16) % 2**31
    return Write(
        doc=doc, biography=biography, messages=messages, cue="Answer:", labels=labels, values=values,
        seed=own_seed, max_tokens=administration.max_tokens, temperature=administration.temperature,
        repetition_penalty=administration.repetition_penalty,
    )  # fmt: skip


def presented_options(
    inventory: Inventory, symbols: str, order: str
) -> tuple[tuple[tuple[str, str], ...], tuple[int, ...]]:
    """The options as shown: (symbol, text) pairs and the value each stands for.

    Reverse order keeps the symbols in place and reverses the texts, so a liking for "A" and a liking for a meaning
    come apart.
    """
    scale = inventory.response_scale
    values = tuple(range(scale.min, scale.max + 1))
    texts = tuple(scale.labels)
    if order == "reverse":
        values, texts = values[::-1], texts[::-1]
    return tuple(
        zip(symbols_for("letters" if symbols == "letters" else "numbers", len(texts)), texts, strict=True)
    ), values
