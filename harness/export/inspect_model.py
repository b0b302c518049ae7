"""A model provider of Inspect that answers under a control: `--model traitbench/NAME@CONTROL`."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio.to_thread
from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, ModelUsage

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import SHORT_NAMES
from traitbench.errors import BadData, UnsupportedControl
from traitbench.export.controlled import control_of, model_of
from traitbench.export.inspect_choice import EXACT, Asked, asked
from traitbench.export.inspect_token import first_token
from traitbench.files import user_path
from traitbench.types import Choose, Control, Doc, Message, Response, Write, digest

__all__ = ["ControlledAPI", "named"]

_DOC = Doc(task="inspect", scoring="generate", item="sample", trait="none", facet=None, keyed=1)
_TAKEN = {
    "max_tokens", "temperature", "seed", "stop_seqs", "system_message", "logprobs", "top_logprobs", "extra_body",
}  # fmt: skip
"""Settings that change a reply and are heeded; `system_message` Inspect itself makes a turn, `extra_body` is ours."""
_TRANSPORT = {
    "max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
    "cache", "cache_prompt", "batch", "max_tool_output", "fail_on_refusal",
}  # fmt: skip
"""Settings that change no reply of a model in this process: how often and how patiently it is asked, and what is kept.

The last two Inspect heeds itself, for tools and for content filters, neither of which there is here.
"""
_REFUSED = GenerateConfig.model_fields.keys() - _TAKEN - _TRANSPORT
"""All others, so that one that Inspect adds is refused until it is heeded."""
_SCHEME = "traitbench:"
"""Begins what stands in the place of a server's address: a digest of all that decides a reply besides the settings."""


def named(name: str) -> tuple[str, Path | None]:
    """Split NAME@CONTROL: what follows the last @ is a control where it is a folder, else a revision of the hub.

    BadData for a folder without a control, and where there can be no revision.
    """
    model, at, place = name.rpartition("@")
    folder = user_path(place)
    if at and (folder / "control.json").is_file():
        return model, folder
    # Behind a model that has no revisions, only a folder can be meant.
    if at and not Path(name).is_dir() and (folder.is_dir() or Path(model).is_dir() or model in SHORT_NAMES):
        raise BadData(f"{place} holds no control (control.json); expected the folder that traitbench fit prints")
    return name, None


class ControlledAPI(ModelAPI):  # type: ignore[misc]
    """A causal language model of transformers under a control."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (as in every provider of Inspect)
        control: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the model and put the control on; `-M control=DIR` is another way to name it.

        Inspect keeps answers (`--cache`) by the model's name and address, and knows neither a folder's contents nor
        `-M`. So the address is a digest of model, precision and control. UnsupportedControl for an address or a key.
        """
        if api_key or (base_url and not base_url.startswith(_SCHEME)):
            what = "key" if api_key else "address (base_url)"
            raise UnsupportedControl(f"traitbench/{model_name} runs in this process and takes no {what}; leave it out")
        super().__init__(model_name, None, None, [], config)
        model, place = named(model_name)
        self._control: Control | None = control_of(place if control is None else control)
        self._backend = HuggingFace(model_of(model), device=device, dtype=dtype, trust_remote_code=trust_remote_code)
        self.base_url = _SCHEME + digest([self._backend.identity, self._control.hash if self._control else None])
        self._open = ExitStack()
        self._open.enter_context(self._backend.under(self._control))
        self._alone = threading.Lock()

    def close(self) -> None:
        """Take the control off and free the model."""
        self._open.close()
        self._backend.close()

    def max_connections(self) -> int:
        """Ask for one reply at a time: they are written in this process."""
        return 1

    async def generate(
        self, input: list[ChatMessage], tools: list[Any], tool_choice: Any, config: GenerateConfig
    ) -> ModelOutput:
        """Write one reply; UnsupportedControl for tools and settings that are not heeded here."""
        _check(config, bool(tools))
        choice = asked(config.extra_body)
        if (config.logprobs or config.top_logprobs) and choice is None and config.max_tokens != 1:
            raise UnsupportedControl("log-probabilities are given of a reply's first token alone; set max_tokens=1")
        if not input:
            raise UnsupportedControl("there is no message to reply to; expected one at least")
        turns = tuple(_turn(message) for message in input)
        return await anyio.to_thread.run_sync(self._answer, turns, choice, config)

    def _answer(self, turns: tuple[Message, ...], choice: Asked | None, config: GenerateConfig) -> ModelOutput:
        """Write a reply; of a choice, and with log-probabilities, its first token."""
        request = Write(
            doc=_DOC, messages=turns, cue=choice.cue if choice else "", max_tokens=config.max_tokens or 2048,
            seed=config.seed or 0, temperature=config.temperature or 0.0,
        )  # fmt: skip
        logprobs = None
        told: dict[str, Any] = {"control_hash": self._control.hash if self._control else None}
        with self._alone:
            tokens = len(self._backend.encode_prompt(request))
            if choice is not None or config.logprobs or config.top_logprobs:
                first = first_token(self._backend, request, config.top_logprobs or 0)
                text, ended, written, logprobs = first.text, first.ended, 0 if first.ended else 1, first.logprobs
            else:
                response = self._ask(request)
                text, ended, written = response.text or "", response.status == "valid", response.tokens or 0
            if choice is not None:
                told |= {EXACT: self._ask(_choose(request, choice)).option_logprobs}
        for end in config.stop_seqs or ():
            if end in text:
                text, ended = text.partition(end)[0], True
        output = ModelOutput.from_content(self.model_name, text, stop_reason="stop" if ended else "max_tokens")
        output.choices[0].logprobs = logprobs
        output.usage = ModelUsage(input_tokens=tokens, output_tokens=written, total_tokens=tokens + written)
        output.metadata = told
        return output

    def _ask(self, request: Write | Choose) -> Response:
        ((_, response),) = next(iter(self._backend.run([request]))).items()
        return response


def _choose(request: Write, choice: Asked) -> Choose:
    """The request for the options of `choice` behind the prompt of `request`."""
    return Choose(
        doc=_DOC.model_copy(update={"scoring": "choice"}), messages=request.messages, cue=request.cue,
        options=choice.options, values=tuple(range(len(choice.options))),
    )  # fmt: skip


def _check(config: GenerateConfig, tools: bool) -> None:
    """Refuse settings that are not heeded here, and values that make no sense."""
    refused = sorted(name for name in _REFUSED if getattr(config, name) is not None) or ["tools"] * tools
    if refused:
        raise UnsupportedControl(f"this provider does not take {', '.join(refused)}; it takes {sorted(_TAKEN)}")
    for name, least in (("max_tokens", 1), ("temperature", 0), ("top_logprobs", 0)):
        value = getattr(config, name)
        if value is not None and not least <= value < math.inf:
            raise UnsupportedControl(f"{name}={value}; expected {least} or more")
    if "" in (config.stop_seqs or ()):
        raise UnsupportedControl("stop_seqs holds an empty text; expected the words that end a reply")


def _turn(message: Any) -> Message:
    """One of Inspect's messages as ours; UnsupportedControl where it holds more than text."""
    if message.role not in ("system", "user", "assistant"):
        raise UnsupportedControl(f"a message of the role {message.role!r}; expected system, user or assistant")
    parts = [] if isinstance(message.content, str) else [part.type for part in message.content]
    parts += ["tool calls"] if getattr(message, "tool_calls", None) else []
    if others := sorted({part for part in parts if part != "text"}):
        raise UnsupportedControl(f"a {message.role} message with {', '.join(others)}; this provider takes text alone")
    return Message(role=message.role, content=message.text)
