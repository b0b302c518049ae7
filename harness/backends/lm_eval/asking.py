"""Requests and their answers, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from traitbench.backends.lm_eval.model import Model
from traitbench.backends.rendering import Tokens, continued, draw_seed
from traitbench.backends.trie import pooled
from traitbench.types import Message, Response, Write, prompt_hash

__all__ = ["Shown", "choose", "proceed", "write"]


class Shown(NamedTuple):
    """A request with what the model is shown."""

    request: Any
    conversation: tuple[Message, ...]
    prompt: str

    @property
    def hash(self) -> str:
        """Names the prompt."""
        return prompt_hash(self.prompt)


def choose(model: Model, asked: Sequence[Shown]) -> Iterator[Response]:
    """Answer Choose requests: the log-probability of each option, over all of its spellings."""
    options: list[Sequence[Sequence[Any]]]
    if model.way == "tokens":
        tokens = [_tokens(model, each) for each in asked]
        options = [each for _, each in tokens]
        rows = [
            (one.prompt, ids, answer)
            for one, (ids, each) in zip(asked, tokens, strict=True)
            for answer in _distinct(each)
        ]
        logs = iter(model.scored(rows))
    else:
        options = [one.request.options for one in asked]
        texts = zip(asked, options, strict=True)
        logs = iter(model.likely([(one.prompt, text) for one, each in texts for text in _distinct(each)]))
    for one, each in zip(asked, options, strict=True):
        known = {answer: next(logs) for answer in _distinct(each)}
        yield Response(prompt_hash=one.hash, option_logprobs=pooled(each, known))


def proceed(model: Model, asked: Sequence[Shown]) -> Iterator[Response]:
    """Answer Continue requests: the log-likelihood of a text, and its tokens."""
    if model.way == "tokens":
        tokens = [_tokens(model, each) for each in asked]
        rows = [(one.prompt, ids, each[0][0]) for one, (ids, each) in zip(asked, tokens, strict=True)]
        logs, sizes = model.scored(rows), [len(answer) for _, _, answer in rows]
    else:
        texts = [(one.prompt, continued(one.request.text, model.chat)) for one in asked]
        logs, sizes = model.likely(texts), [model.length(*text) for text in texts]
    for one, log, size in zip(asked, logs, sizes, strict=True):
        yield Response(prompt_hash=one.hash, loglik=log, tokens=size)


def write(model: Model, asked: Sequence[Shown]) -> Iterator[Response]:
    """Answer Write requests: greedy ones of one length together, sampled ones each with its own seed."""
    together = groupby(enumerate(asked), lambda pair: _together(*pair))
    for _, group in together:
        mine = [one for _, one in group]
        request = mine[0].request
        prompts = [model.written(one.conversation, one.prompt, request.max_tokens) for one in mine]
        seed = draw_seed(request.seed, mine[0].hash) if request.temperature > 0 else None
        for one, text in zip(mine, model.replies(prompts, request, seed), strict=True):
            if text is None:
                yield Response(status="error", prompt_hash=one.hash, error="the server gave no text")
                continue
            size, ended = model.said(one.prompt, text, request.max_tokens)
            yield Response(status="valid" if ended else "truncated", prompt_hash=one.hash, text=text, tokens=size)


def _together(place: int, one: Shown) -> tuple[int, int]:
    """Requests that are alike in this, one behind the other, are written together."""
    request: Write = one.request
    return request.max_tokens, place if request.temperature > 0 else -1


def _tokens(model: Model, one: Shown) -> tuple[Tokens, list[list[Tokens]]]:
    """The tokens of a prompt and of its answers; BadData where they do not fit."""
    assert model.renderer is not None
    ids = model.renderer.encode(one.prompt)
    options = model.renderer.options(one.request, one.prompt, ids)
    model.refuse_cut(ids, max(len(answer) for option in options for answer in option))
    return ids, options


def _distinct(options: Sequence[Sequence[Any]]) -> list[Any]:
    return list(dict.fromkeys(answer for option in options for answer in option))
