"""The server's own tokeniser, as vLLM offers it at /tokenize: prompts and answers as the model is given them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from traitbench.backends.endpoint.client import Malformed
from traitbench.backends.rendering import TAIL, TEMPLATE, Tokens
from traitbench.types import Message

__all__ = ["Post", "Tokenizer", "turns"]

T = TypeVar("T")

Post = Callable[[str, dict[str, Any], Callable[[Any], Any]], Any]
"""Path, body, reader -> what the reader made of the answer: `Client.post` or `Bill.post`."""

_KEPT = 256
"""Prompts whose tokens are remembered; items that are asked one after another share them."""


def turns(conversation: Sequence[Message]) -> list[dict[str, str]]:
    """The conversation as a request holds it."""
    return [{"role": turn.role, "content": turn.content} for turn in conversation]


class Tokenizer:
    """Tokenises at the server and remembers what it was told."""

    def __init__(self, post: Post, root: str, model: str, detokenizes: bool = True) -> None:
        """`root` is the address below which /tokenize is."""
        self._post, self._root, self._model, self._detokenizes = post, root, model, detokenizes
        self._answers: dict[tuple[str, str], Tokens] = {}
        self._lock = threading.Lock()
        self._prompt = lru_cache(_KEPT)(self._prompt_unkept)

    def prompt(self, conversation: Sequence[Message] | str) -> tuple[Tokens, str | None]:
        """Tokens of a prompt and its text; turns are put through the chat template first.

        The text is None where the server does not tell what the template made of the turns.
        """
        return self._prompt(conversation if isinstance(conversation, str) else tuple(conversation))

    def answer(self, prompt: tuple[Tokens, str | None], text: str, chat: bool) -> Tokens:
        """Tokenise `text` as it follows a prompt.

        Together with the prompt, whose tokens are taken off; where the two merge across the border, alone.
        """
        ids, before = prompt
        key = ((before or "")[-TAIL:], text)
        with self._lock:
            if key not in self._answers:
                found: Tokens = ()
                if before is not None:
                    both = self.encode(before + text, special=not chat)
                    found = both[len(ids) :] if both[: len(ids)] == ids else ()
                self._answers[key] = found or self.encode(text, special=False)
            return self._answers[key]

    def encode(self, text: str, special: bool) -> Tokens:
        """Tokenise a text; `special` adds the tokens that begin one."""
        return self._tokens({"prompt": text, "add_special_tokens": special})

    def _prompt_unkept(self, conversation: tuple[Message, ...] | str) -> tuple[Tokens, str | None]:
        if isinstance(conversation, str):
            return self.encode(conversation, special=True), conversation
        ids = self._tokens(
            {"messages": turns(conversation), "add_generation_prompt": True, "chat_template_kwargs": TEMPLATE}
        )
        if not self._detokenizes:
            return ids, None
        body = {"model": self._model, "tokens": list(ids)}
        return ids, self._post(f"{self._root}/detokenize", body, _text)

    def _tokens(self, body: dict[str, Any]) -> Tokens:
        found: Tokens = self._post(f"{self._root}/tokenize", {"model": self._model, **body}, _ids)
        return found


def _ids(answer: Any) -> Tokens:
    found = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(each, int) for each in found):
        raise Malformed("no tokens")
    return tuple(found)


def _text(answer: Any) -> str:
    found = answer.get("prompt") if isinstance(answer, dict) else None
    if not isinstance(found, str):
        raise Malformed("no text of the tokens")
    return found
