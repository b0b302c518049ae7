"""A model of lm-eval that answers under a control: the loaded model of the backend hf, so that nothing is loaded twice.

lm-eval's own class for transformers models does the talking, ours the computing. Without a control and a chat template
both give the same numbers. A chat prompt has the tokens that a run of traitbench gives it: lm-eval itself takes the
line break at its end for a part of the answer, and puts a tokenizer's first token before a template that writes none.
What an edit counts as generated is the continuation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import torch
from lm_eval.models.huggingface import HFLM

from traitbench.backends.hf import HuggingFace
from traitbench.backends.lengths import padding
from traitbench.backends.lm_eval.scoring import Row, Scored, Tokens, scored
from traitbench.errors import BadData, UnsupportedControl
from traitbench.types import Control, Message

__all__ = ["Controlled"]

logger = logging.getLogger("traitbench")

_PROBE = Message(role="user", content="question")


class _Asked(NamedTuple):
    """A request as this model is given it: lm-eval's, with another context."""

    args: tuple[Any, ...]
    task_name: str | None


class Controlled(HFLM):  # type: ignore[misc]
    """A causal language model under a control, for any task of lm-eval."""

    add_bos_token: bool | None

    def __init__(
        self, ours: HuggingFace, control: Control | None = None, size: int | None = None, max_length: int | None = None
    ) -> None:
        """Let the model of `ours` answer under `control`; None measures it as it is.

        `size`: texts a pass, None for as many as fill one. `max_length`: tokens of a prompt with its answer, None for
        what the model takes.
        """
        self._control: Control | None = control
        self._ours = ours
        self._size = size
        self._held = False
        self._warn_of_another_model()
        super().__init__(
            pretrained=ours.model, tokenizer=ours.tokenizer, backend="causal", max_length=max_length,
            batch_size=size or ours.writer.plain_rows,
        )  # fmt: skip

    @property
    def chat(self) -> bool:
        """Whether prompts go into a chat template, as they do in a run of ours."""
        return bool(self._ours.renderer.chat)

    @property
    def tokenizer_name(self) -> str:
        """Name the tokenizer and the control: lm-eval keeps the prompts that it has built under this name."""
        told = f"-control-{self._control.hash}" if self._control is not None else ""
        return f"{super().tokenizer_name}{told}"

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Refuse lm-eval's cache of answers under a control: its keys know the prompt alone. UnsupportedControl."""
        if self._control is not None:
            raise UnsupportedControl(
                "--use_cache keeps answers by their prompt, whatever the model was made to be, so it cannot be used "
                f"under the control {self._control.hash}; leave --use_cache away"
            )
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """Say in lm-eval's results what was measured: the model by its contents, and the control."""
        told = {
            "model_num_parameters": self.model.num_parameters(),
            "model_dtype": str(self.model.dtype),
            "model_revision": self._ours.weights.revision or "",
            "model_sha": self._ours.weights.fingerprint,
        }
        if self._control is None:
            return told
        fit = self._control.fit
        return {
            **told,
            "control_hash": self._control.hash,
            "control_kinds": sorted(self._control.kinds),
            "control_method": fit.method if fit else None,
            "control_target": fit.target if fit else None,
        }

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render turns, the control's messages behind the leading system turns and in front of all others.

        BadData where the template refuses them or leaves words of the control out.
        """
        turns = self._with_messages([Message(role=_role(t["role"]), content=t["content"]) for t in chat_history])
        if add_generation_prompt:
            return self._ours.renderer.render(turns)
        if not self._ours.renderer.system_role and any(turn.role == "system" for turn in turns):
            raise BadData(
                f"the chat template of {self._ours.spec.label} takes no system turn, and this task begins the answer "
                "itself; expected a control without system messages"
            )
        text: str = super().apply_chat_template([turn.model_dump() for turn in turns], add_generation_prompt=False)
        if not self._told(text):
            raise BadData(f"the chat template of {self._ours.spec.label} leaves out words of the control's messages")
        return text

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[Scored]:
        """Score continuations under the control."""
        with self._under():
            found: list[Scored] = super().loglikelihood(self._asked(requests), disable_tqdm=disable_tqdm)
            return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Score whole texts under the control's edits or adapter; UnsupportedControl for messages, see below.

        A text that is scored from its first word on follows no prompt, so that there is no place for messages.
        """
        if self._messages:
            raise UnsupportedControl(
                "the control holds messages, and this task scores texts from their first word on, where no prompt "
                "stands; expected a control without messages, or a task with a question"
            )
        with self._under():
            found: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
            return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Write replies under the control."""
        with self._under():
            found: list[str] = super().generate_until(self._asked(requests), disable_tqdm=disable_tqdm)
            return found

    def tok_batch_encode(
        self, strings: Any, padding_side: str = "left", left_truncate_len: int | None = None, truncation: bool = False
    ) -> Any:
        """Tokenise prompts to write after; BadData where the control's messages would be cut off."""
        if self._messages and left_truncate_len:
            for text in strings:
                self._refuse_cut(len(self.tok_encode(text)), left_truncate_len)
        before = self.add_bos_token
        if all(map(self._rendered, strings)):
            self.add_bos_token = False
        try:
            ids, mask = super().tok_batch_encode(strings, padding_side, left_truncate_len, truncation)
        finally:
            self.add_bos_token = before
        return self._begun(ids, mask, left_truncate_len) if self._ours.renderer.begins else (ids, mask)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **settings: Any) -> list[int]:
        """Tokenise a text. A chat template writes its special tokens itself; to other texts the defaults are added.

        A prompt begins as ours do, with a first token that the tokenizer leaves out.
        """
        begins = [] if add_special_tokens is False else self._ours.renderer.begins
        if add_special_tokens is None and self._rendered(string):
            add_special_tokens = False
        ids: list[int] = super().tok_encode(string, add_special_tokens=add_special_tokens, **settings)
        return [*begins, *ids]

    def _begun(self, ids: torch.Tensor, mask: torch.Tensor, most: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the first token in front of each prompt of a batch that is padded at the left."""
        texts = [row[seen.bool()].tolist() for row, seen in zip(ids, mask, strict=True)]
        rows = [[*self._ours.renderer.begins, *text][-(most or 0) :] for text in texts]
        width = max(map(len, rows))
        pad = padding(self.tokenizer, self._ours.renderer.known)
        padded = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
        seen = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return padded, seen

    @property
    def _messages(self) -> tuple[Message, ...]:
        return self._control.messages if self._control is not None else ()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the control on for the whole block, in which every call would put it on anew."""
        with self._ours.under(self._control):
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def _under(self) -> AbstractContextManager[None]:
        return nullcontext() if self._held else self._ours.under(self._control)

    def _with_messages(self, turns: Sequence[Message]) -> tuple[Message, ...]:
        first = next((n for n, turn in enumerate(turns) if turn.role != "system"), len(turns))
        joined: list[Message] = []
        for turn in (*turns[:first], *self._messages, *turns[first:]):
            if joined and joined[-1].role == turn.role and self._messages:
                turn = Message(role=turn.role, content=f"{joined.pop().content}\n\n{turn.content}")
            joined.append(turn)
        return tuple(joined)

    def _told(self, context: str) -> bool:
        """Tell whether a prompt holds the control's messages already; templates trim blanks and line ends."""
        shown = "".join(context.split())
        return all("".join(message.content.split()) in shown for message in self._messages)

    def _asked(self, requests: Sequence[Any]) -> list[Any]:
        """Put the control's messages in front of prompts that no chat template was applied to."""
        if not self._messages:
            return list(requests)
        front = "\n\n".join(message.content for message in self._messages)
        seen: dict[str, str] = {}
        for request in requests:
            context = request.args[0]
            if context not in seen:
                seen[context] = context if self._told(context) else "\n\n".join(filter(None, [front, context]))
        return [_Asked((seen[r.args[0]], *r.args[1:]), getattr(r, "task_name", None)) for r in requests]

    @cached_property
    def _opening(self) -> str:
        """What a chat template writes behind the last turn, where the answer begins; empty without a template."""
        if not self._ours.renderer.chat:
            return ""
        behind = self._ours.renderer.render([_PROBE]).rpartition(_PROBE.content)[2]
        return behind if behind.strip() else ""

    def _rendered(self, text: str) -> bool:
        """Tell whether a chat template made `text`."""
        return bool(self._opening) and self._opening in text

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokenise both together; behind a chat prompt the answer begins where the prompt ends."""
        if not self._opening or not context.endswith(self._opening):
            pair: tuple[list[int], list[int]] = super()._encode_pair(context, continuation)
            return pair
        ids = tuple(self.tok_encode(context))
        both = tuple(self.tok_encode(context + continuation))
        if both[: len(ids)] == ids and len(both) > len(ids):
            return list(ids), list(both[len(ids) :])
        return list(ids), self.tok_encode(continuation, add_special_tokens=False)

    def _loglikelihood_tokens(
        self, requests: Sequence[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[Scored]:
        """Score continuations given as tokens; those that differ in their last token alone share a pass."""
        rows = []
        for key, context, continuation in requests:
            prompt, answer = self._fitted(tuple(context), tuple(continuation))
            # A text scored as a whole comes without a key: all of it but the first token counts as generated.
            rows.append(Row(prompt, answer, 1 if key is None else len(prompt)))
        found = scored(self._ours.scorer, rows, self._size)
        for (key, _, _), answered in zip(requests, found, strict=True):
            if key is not None:
                self.cache_hook.add_partial("loglikelihood", key, answered)
        return found

    def _fitted(self, prompt: Tokens, answer: Tokens) -> tuple[Tokens, Tokens]:
        """Cut a prompt that is too long at its start, as lm-eval does; BadData where that would cut the control."""
        room = self.max_length - len(answer) + 1
        if not answer or room < 1:
            raise BadData(f"a continuation of {len(answer)} tokens cannot be scored in {self.max_length} positions")
        if len(prompt) > room:
            self._refuse_cut(len(prompt), room)
            logger.warning("a prompt of %d tokens is cut at its start to %d", len(prompt), room)
        return prompt[-room:], answer

    def _refuse_cut(self, tokens: int, room: int) -> None:
        if self._messages and tokens > room:
            raise BadData(
                f"a prompt of {tokens} tokens does not fit into {room}, and cutting it would take the control's "
                "messages away; take fewer examples (--num_fewshot) or a model with a longer context"
            )

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:
        edits = self._ours.scorer.applied
        with edits.generating() if edits is not None else nullcontext():
            return super()._model_generate(context, max_length, stop, **settings)

    def _warn_of_another_model(self) -> None:
        """Say that the control was fitted on other weights; where its shapes do not fit either, it is refused later."""
        made = self._control
        fitted = made.fit.model.get("weights") if made is not None and made.fit is not None else None
        if made is not None and fitted and fitted != self._ours.weights.fingerprint:
            logger.warning("control %s was fitted on other weights than %s", made.hash, self._ours.spec.label)


def _role(name: str) -> Any:
    if name not in ("system", "user", "assistant"):
        raise BadData(f"a turn of the role {name!r}; expected system, user or assistant")
    return name
