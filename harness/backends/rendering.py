"""From a conversation to the exact text and tokens that a model is shown, and from answers to their tokens."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import Any

from traitbench.backends.thinking import CLOSED, SWITCHED, closed, opened
from traitbench.errors import BadData
from traitbench.types import Choose, Continue, Control, Message, Request, Write

__all__ = [
    "TAIL", "TEMPLATE", "TOLD", "Renderer", "Tokens", "apart", "continued", "draw_seed", "plain",
    "system_in_user_turn",
]  # fmt: skip

Tokens = tuple[int, ...]

_DATE = datetime.datetime(2024, 7, 26)
"""What templates that print today's date are told, so that a prompt is the same every day (Llama 3.1's own default)."""

TEMPLATE: dict[str, Any] = {"enable_thinking": False, "date_string": _DATE.strftime("%d %b %Y")}
"""What chat templates are told; they read what they know and ignore the rest."""

TOLD: dict[str, Any] = {**TEMPLATE, "strftime_now": _DATE.strftime}
"""The same where they are rendered here; the function takes the place of the clock's."""

_PROBE = "traitbench-probe"
"""Words that no template writes itself."""

TAIL = 32
"""Characters of a prompt that decide how what follows is tokenised; pre-tokenisers split within a word or two."""


class Renderer:
    """Renders and tokenises for one tokenizer."""

    def __init__(self, tokenizer: Any, chat_template: bool | None = None) -> None:
        """Decide on the template: None takes it where the tokenizer has one; BadData if True and it has none."""
        self.tokenizer = tokenizer
        template = tokenizer.chat_template
        if chat_template and not template:
            raise BadData(
                f"the tokenizer of {tokenizer.name_or_path} has no chat template, but one was asked for; "
                "expected a chat model, or chat_template=False"
            )
        self.chat = bool(template) if chat_template is None else chat_template
        self.begins: Tokens = ()
        """What is put in front of every prompt: a first token that the tokenizer leaves out (see reading)."""
        self.known: int | None = None
        """Tokens that the model has a row for, where that is known; a text with others is refused."""
        self._template_hash = hashlib.sha256(str(template).encode()).hexdigest()[:16] if self.chat else None
        self._answers: dict[tuple[str, str], Tokens] = {}
        self._parts = self.chat and self._takes_parts()
        self.system_role = not self.chat or self._takes_system()
        self.thinks, self.notes = self._thinks() if self.chat else (False, ())

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the text of a prompt besides the request."""
        return {
            "chat_template": self.chat,
            "template_hash": self._template_hash,
            "system_role": self.system_role,
            "date": _DATE.date().isoformat() if self.chat else None,
            **({"content_parts": True} if self._parts else {}),
            **({"thinking": "closed"} if self.thinks else {}),
            **({"begins": self.tokenizer.decode(list(self.begins))} if self.begins else {}),
        }

    def prompt(self, request: Request, control: Control | None) -> str:
        """Render what a request shows under a control."""
        return self.render(request.conversation(control), request.cue, thinks=isinstance(request, Write))

    def render(self, conversation: Sequence[Message], cue: str = "", thinks: bool = False) -> str:
        """Return the prompt: the template's text up to the answer, or the contents and the cue without a template.

        A block of reasoning that the template opens there is closed unless the model `thinks`. BadData where the
        template refuses the turns or leaves words of them out.
        """
        if not self.chat:
            return plain(conversation, cue)
        if not self.system_role:
            conversation = system_in_user_turn(conversation)
        try:
            prompt = self._apply(conversation, self._parts)
        except Exception as error:
            # Jinja's own errors and whatever a template raises itself.
            roles = ", ".join(m.role for m in conversation)
            raise BadData(
                f"the chat template of {self.tokenizer.name_or_path} refuses turns of the roles {roles}: {error}; "
                "expected user and assistant in turn; use another placement or pass chat_template=False"
            ) from error
        shown = _dense(prompt)
        for turn in conversation:
            if _dense(turn.content) not in shown:
                raise BadData(
                    f"the chat template of {self.tokenizer.name_or_path} leaves out words of the {turn.role} turn "
                    f"{turn.content[:60]!r}; expected all of them in the prompt; use another placement or pass "
                    "chat_template=False"
                )
        return prompt if thinks else closed(prompt)

    def opened(self, prompt: str) -> str:
        """The tag of a block of reasoning that a prompt ends in, which a reply goes on from; empty without one."""
        return opened(prompt) if self.thinks else ""

    def encode(self, prompt: str) -> Tokens:
        """Tokenise a rendered prompt. A template writes its special tokens itself; else the defaults are added."""
        return self.encode_all([prompt])[0]

    def encode_all(self, prompts: Sequence[str]) -> list[Tokens]:
        """Tokenise rendered prompts, on all cores where the tokenizer can."""
        if not prompts:
            return []
        found = self.tokenizer(list(prompts), add_special_tokens=not self.chat)["input_ids"]
        end = self.tokenizer.eos_token_id
        for prompt, ids in zip(prompts, found, strict=True):
            if not self.chat and len(ids) > 1 and ids[-1] == end and not prompt.endswith(self.tokenizer.eos_token):
                # A tokenizer that closes every text would have the model answer after the end.
                del ids[-1]
        return [self._known((*self.begins, *ids)) for ids in found]

    def _known(self, ids: Tokens) -> Tokens:
        """Return the tokens; BadData for one that the model has no row for."""
        if self.known is not None and ids and (strange := max(ids)) >= self.known:
            raise BadData(
                f"the tokenizer of {self.tokenizer.name_or_path} writes {self.tokenizer.decode([strange])!r} as token "
                f"{strange}, and the model's embedding has rows for 0 to {self.known - 1}; expected the tokenizer that "
                "the model was trained with, or a model whose embedding was resized to it"
            )
        return ids

    def answer(self, prompt: str, prompt_ids: Tokens, text: str) -> Tokens:
        """Tokenise `text` as it follows `prompt`; BadData if nothing is left of it.

        Prompt and answer are tokenised together and the prompt's tokens taken off. Where they merge across the border,
        the answer is tokenised alone: the prompt's tokens are given, so that is what the model could say.
        """
        key = (prompt[-TAIL:], text)
        if key not in self._answers:
            both = self.encode(prompt + text)
            if both[: len(prompt_ids)] == prompt_ids and len(both) > len(prompt_ids):
                found = both[len(prompt_ids) :]
            else:
                found = self._known(tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]))
            if not found:
                raise BadData(f"the answer {text!r} has no tokens with the tokenizer of {self.tokenizer.name_or_path}")
            self._answers[key] = found
        return self._answers[key]

    def options(self, request: Request, prompt: str, ids: Tokens) -> list[list[Tokens]]:
        """Tokenise the answers to `prompt`, whose tokens are `ids`: each option's spellings, or a Continue's one text.

        BadData where a spelling of one option is the start of another's.
        """
        if isinstance(request, Continue):
            return [[self.answer(prompt, ids, self.continuation(request.text))]]
        assert isinstance(request, Choose)
        options = [list(dict.fromkeys(self.answer(prompt, ids, text) for text in option)) for option in request.options]
        apart(request, options, f"tokenizer of {self.tokenizer.name_or_path}", self.tokenizer.decode)
        return options

    @cached_property
    def end(self) -> Tokens:
        """The token that ends an answer: the first special one that the template writes behind an assistant turn.

        Without a template, or where it writes none, the tokenizer's end of text; empty where there is none either.
        """
        ending: int | None = self.tokenizer.eos_token_id
        if self.chat:
            turns = (Message(role="user", content="question"), Message(role="assistant", content=_PROBE))
            try:
                behind = self._apply(turns, self._parts, asks=False).rpartition(_PROBE)[2]
            except Exception:
                # A template that takes no assistant turn has no end of one.
                behind = ""
            special = {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
            written = self.tokenizer(behind, add_special_tokens=False)["input_ids"]
            ending = next((number for number in written if number in special), ending)
        return () if ending is None else (int(ending),)

    def stops(self, given: Iterable[int]) -> list[int]:
        """The tokens that end a reply: those `given`, of the generation settings, and the one that ends a turn."""
        return list(dict.fromkeys([*given, *self.end]))

    def continuation(self, request_text: str) -> str:
        """Return the text as it stands behind a prompt."""
        return continued(request_text, self.chat)

    def _apply(self, conversation: Sequence[Message], parts: bool, asks: bool = True, **more: Any) -> str:
        turns: list[dict[str, Any]] = [m.model_dump() for m in conversation]
        if parts:
            turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
        told = {"tokenize": False, "add_generation_prompt": asks, **TOLD, **more}
        text: str = self.tokenizer.apply_chat_template(turns, **told)
        return text

    def _thinks(self) -> tuple[bool, tuple[str, ...]]:
        """Tell whether the template opens a block of reasoning, and what a reader should know of it."""
        probe = (Message(role="user", content=_PROBE),)
        prompt = self._apply(probe, self._parts)
        if opened(prompt):
            return True, (CLOSED,)
        with suppress(Exception):
            return False, (SWITCHED,) if self._apply(probe, self._parts, enable_thinking=True) != prompt else ()
        return False, ()

    def _takes_parts(self) -> bool:
        """Tell whether words arrive only as a list of parts, as with models that also see; BadData if not even so."""
        probe = (Message(role="user", content=_PROBE),)
        reasons = []
        for parts in (False, True):
            try:
                if _PROBE in self._apply(probe, parts):
                    return parts
                reasons.append("its prompt holds no word of it")
            except Exception as error:
                reasons.append(str(error))
        raise BadData(
            f"the chat template of {self.tokenizer.name_or_path} shows nothing of a user turn: given as text, "
            f"{reasons[0]}; given as a list of parts, {reasons[1]}; expected the turn's words in the prompt; mend the "
            "template or pass chat_template=False"
        )

    def _takes_system(self) -> bool:
        """Tell whether a system turn arrives: some templates raise an error on it, others drop it without a word."""
        probe = (Message(role="system", content=_PROBE), Message(role="user", content="question"))
        try:
            return _PROBE in self._apply(probe, self._parts)
        except Exception:
            return False


def plain(conversation: Sequence[Message], cue: str) -> str:
    """The prompt where there is no chat template: the contents and the cue."""
    return "\n\n".join(turn.content for turn in conversation) + (f"\n{cue}" if cue else "")


def continued(text: str, chat: bool) -> str:
    """A text as it stands behind a prompt: with a blank in front where no template ends the prompt."""
    return text if chat else f" {text.lstrip()}"


def apart(
    request: Choose, options: Sequence[Sequence[Tokens]], by: str, decode: Callable[[Tokens], str] | None = None
) -> None:
    """Raise BadData where a spelling of one option is the start of another's: their probabilities would overlap.

    `by` names the tokenizer that `options` were tokenised by; `decode` gives the texts of its tokens.
    """
    # In sorted order an answer that starts another stands right before one that it starts.
    ordered = sorted((answer, n) for n, option in enumerate(options) for answer in option)
    for (a, m), (b, n) in pairwise(ordered):
        if b[: len(a)] == a:
            shown = f" ({decode(a)!r}, {decode(b)!r})" if decode else ""
            raise BadData(
                f"item {request.doc.item}: with the {by} a spelling of option {request.options[m]} is the start of one "
                f"of {request.options[n]}{shown}, so their probabilities overlap; expected spellings that differ"
            )


def draw_seed(seed: int, name: str) -> int:
    """Seed of a sampled reply. The prompt's hash enters, so that the items of one seed get different numbers."""
    return int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:8], 16)


def _dense(text: str) -> str:
    """The text without its blanks and line ends, which templates trim."""
    return "".join(text.split())


def system_in_user_turn(conversation: Sequence[Message]) -> tuple[Message, ...]:
    """Put the text of system turns in front of the user turn that follows, for templates without a system role."""
    turns: list[Message] = []
    waiting: list[str] = []
    for turn in conversation:
        if turn.role == "system":
            waiting.append(turn.content)
            continue
        if turn.role == "user" and waiting:
            turn = Message(role="user", content="\n\n".join([*waiting, turn.content]))
            waiting = []
        if turns and turns[-1].role == turn.role:
            turn = Message(role=turn.role, content=f"{turns.pop().content}\n\n{turn.content}")
        turns.append(turn)
    if waiting:
        turns.append(Message(role="user", content="\n\n".join(waiting)))
    return tuple(turns)
