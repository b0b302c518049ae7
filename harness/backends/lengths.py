"""Whether prompts fit into a model, told from the longest of them before anything is asked."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from traitbench.backends.rendering import Renderer
from traitbench.errors import BadData
from traitbench.types import Choose, Continue, Control, Request, Write

__all__ = [
    "TooLong", "check_answer", "check_positions", "longest", "named", "padding", "positions", "refuse_longest",
]  # fmt: skip

_MANY = 4
"""Prompts of each kind that are looked at: the one of most characters need not be that of most tokens."""


class TooLong(BadData):
    """Raised where a prompt does not fit with its answer; `over` says by how many tokens."""

    def __init__(self, message: str, over: int = 0) -> None:
        """Keep both."""
        super().__init__(message)
        self.over = over


T = TypeVar("T")


def refuse_longest(asked: Iterable[T], check: Callable[[T], object]) -> None:
    """Check each of `asked`, and raise what is said of the one that is too long by most: what fits it fits all."""
    found = []
    for each in asked:
        try:
            check(each)
        except TooLong as error:
            found.append(error)
    if found:
        raise max(found, key=lambda error: error.over)


def longest(
    renderer: Renderer, requests: Sequence[Request], control: Control, limit: int | None
) -> Iterator[tuple[Request, str]]:
    """Render the longest prompts of each kind of request, by their characters; those that surely fit are left out.

    A prompt has hardly ever more tokens than bytes, so one of fewer bytes than `limit`, answer included, need not be
    tokenised; none need where there is no limit (None).
    """
    if limit is None:
        return
    kinds: dict[type[Request], list[Request]] = {}
    for request in requests:
        kinds.setdefault(type(request), []).append(request)
    for mine in kinds.values():
        for request in heapq.nlargest(_MANY, mine, key=_characters):
            prompt = renderer.prompt(request, control)
            if len(prompt.encode()) + _behind(request) >= limit:
                yield request, prompt


def positions(config: Any) -> int | None:
    """Tokens that a model of transformers takes, by its config; None where it says nothing."""
    found: int | None = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return found


def check_positions(tokens: int, most: int | None, label: str, behind: int = 1) -> None:
    """Raise TooLong where a prompt of `tokens` leaves no place for an answer; `most` None: there is no limit."""
    if most is not None and tokens >= most:
        raise TooLong(
            f"a prompt of {tokens} tokens does not fit into the {most} positions of {label}; "
            "shorten the control or the item, or take a model with a longer context",
            tokens + behind - most,
        )


def check_answer(request: Request, prompt: int, behind: int, most: int | None, label: str) -> None:
    """Raise TooLong where a prompt of so many tokens and `behind` more, which are run, do not fit; names the item."""
    with named(request):
        check_positions(prompt, most, label, behind)
        if most is not None and prompt + behind > most:
            what, ways = f"an answer with {behind} tokens before its last", "shorten the control or the item"
            if isinstance(request, Write):
                what, ways = f"max_tokens={behind}", f"{ways}, lower --gen_kwargs max_tokens (to {most - prompt})"
            raise TooLong(
                f"a prompt of {prompt} tokens and {what} do not fit into the {most} positions of {label}; {ways}, or "
                "take a model with a longer context",
                prompt + behind - most,
            )


def padding(tokenizer: Any, known: int | None, others: Sequence[int] = ()) -> int:
    """A token to pad with: the tokenizer's where the model has a row for it (`known` in all), else one of `others`.

    Under the mask any token does; one that was added to the tokenizer alone has no row.
    """
    given = (tokenizer.pad_token_id, *others, tokenizer.eos_token_id, 0)
    return next(int(token) for token in given if token is not None and (known is None or token < known))


@contextmanager
def named(request: Request) -> Iterator[None]:
    """Say of which item a refusal is."""
    where = f"item {request.doc.item} of {request.doc.task}"
    try:
        yield
    except TooLong as error:
        raise TooLong(f"{where}: {error}", error.over) from None
    except BadData as error:
        raise BadData(f"{where}: {error}") from None


def _characters(request: Request) -> int:
    """Characters of a prompt besides the control and the template, which are the same for all, and of its answer."""
    return len(request.biography or "") + sum(len(turn.content) for turn in request.messages) + _behind(request)


def _behind(request: Request) -> int:
    """Bytes of the longest answer; of a reply its tokens at most."""
    if isinstance(request, Choose):
        return max(len(text.encode()) for option in request.options for text in option)
    return len(request.text.encode()) if isinstance(request, Continue) else request.max_tokens
