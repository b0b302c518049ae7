"""Servers as lm-eval asks them: what is no reply, which failures pass, and where a key would be printed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any

from traitbench.errors import BadData, TraitbenchError, Unreachable, first_line

__all__ = ["NoText", "failure", "guard"]

_SHAPES = frozenset({"choices", "content", "text", "meta_info"})
"""What the answers of the servers that lm-eval knows hold, one of them each."""
_PASSING = frozenset({408, 409, 425, 429})
"""Statuses from 400 to 499 that another try may not meet."""
_KEY = (
    "put a key that it takes into the variable that lm-eval reads (OPENAI_API_KEY, ANTHROPIC_API_KEY, ...), or give "
    "--model_args header=env:VARIABLE"
)
_CURES = {
    401: _KEY,
    403: _KEY,
    404: "expected --model_args base_url as the address of the route itself (http://HOST:PORT/v1/chat/completions) and "
    "model as the server names it",
}
_CALLERS = ("aiohttp", "tenacity", "requests", "urllib3", "litellm", "openai", "anthropic")


class NoText(str):
    """Stands for a reply in which a server gave no text, so that it is told from an empty one."""


def guard(name: str, lm: Any) -> None:
    """Have a server's model, lm-eval's `--model name`, tell answers without a text, and print no request.

    lm-eval takes any JSON for an empty reply. Of requests under way beside one that fails, asyncio prints the errors,
    which hold the headers, and with them the key: at the latest when they are collected as garbage.
    """
    generations, logprobs, batched = lm.parse_generations, lm.parse_logprobs, lm.get_batched_requests
    unlike = Unreachable(
        f"lm-eval's model {name}: the server answered with JSON that holds no reply; see that --model_args base_url is "
        "the address of the route itself"
    )

    def written(outputs: Any, **given: Any) -> list[str]:
        if not _shaped(outputs):
            raise unlike
        try:
            silent = _silent(outputs)
            found = [NoText() if silent or text is None else text for text in generations(outputs=outputs, **given)]
        except (LookupError, TypeError, AttributeError):
            raise unlike from None
        return found or [NoText()]

    def scored(outputs: Any, **given: Any) -> Any:
        if not _shaped(outputs):
            raise unlike
        return logprobs(outputs=outputs, **given)

    async def unheard(*asked: Any, **given: Any) -> Any:
        # The loop's own handler also hears what is collected once the loop is closed; logging's would print it.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await batched(*asked, **given)

    lm.parse_generations, lm.parse_logprobs, lm.get_batched_requests = written, scored, unheard


def failure(name: str, error: BaseException, together: int) -> TraitbenchError | None:
    """Say what `error` means for a run: Unreachable where it may pass, BadData with the setting to change.

    None for what no server and no address is the cause of. Requests are kept `together` at a time. Of an HTTP status
    its number alone is told, since the words are the server's, and may hold the key.
    """
    model = f"lm-eval's model {name}"
    code = _status(error)
    if code is not None and 400 <= code < 500 and code not in _PASSING:
        cure = _CURES.get(code, f"see --model_args model, and what lm-eval says of --model {name}")
        return BadData(f"{model}: the server refuses with HTTP {code}; {cure}")
    if type(error).__name__ in ("MissingSchema", "InvalidSchema", "InvalidURL", "InvalidUrlClientError"):
        return BadData(f"{model}: --model_args base_url is no address; expected http://HOST:PORT/v1/chat/completions")
    caller = type(error).__module__.partition(".")[0]
    if code is not None and code >= 400:
        told = f"HTTP {code}"
    elif isinstance(error, JSONDecodeError) or type(error).__name__ in ("JSONDecodeError", "ContentTypeError"):
        told = "the server answered with no JSON; see that --model_args base_url is the address of the route itself"
    elif isinstance(error, OSError) or caller in _CALLERS:
        told = f"{type(error).__name__}: {first_line(error)}"
    else:
        return None
    lost = "every request that it answered in full is kept"
    if together > 1:
        lost = f"what it answered is kept, save for the last {together} requests at most"
    return Unreachable(f"{model} failed: {told}; {lost}, and the same command goes on from there")


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error of requests, aiohttp or a vendor's package."""
    response = getattr(error, "response", None)
    for holder in (response, error):
        for field in ("status_code", "status"):
            if isinstance(found := getattr(holder, field, None), int):
                return found
    return None


def _shaped(outputs: Any) -> bool:
    """Tell whether a server's answers are ones that hold replies or log-probabilities."""
    answers = outputs if isinstance(outputs, list) else [outputs]
    return bool(answers) and all(isinstance(each, Mapping) and _SHAPES & each.keys() for each in answers)


def _silent(outputs: Any) -> bool:
    """Tell whether a chat server's turn holds no text; anything but a turn is an error of the caller's kinds."""
    answers = outputs if isinstance(outputs, list) else [outputs]
    choices = [choice for each in answers for choice in each.get("choices", ()) if "text" not in choice]
    if any(choice["index"] not in range(len(choices)) for choice in choices):
        raise LookupError("a choice without its place")
    return any(choice["message"].get("content") is None for choice in choices)
