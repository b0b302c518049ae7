"""What --model_args says of a server, checked before a folder is made; and the key, which is never among them."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, ValidationError

from traitbench.backends.backend import Options
from traitbench.errors import BadData, MissingExtra, TraitbenchUsage, refuse_others
from traitbench.masking import KEY, masked, refuse_keys
from traitbench.types import Record

__all__ = ["UNDECIDING", "Settings", "key_of", "settings_of"]

_OPENAI = ("OPENAI_API_KEY", "api.openai.com")
"""A key that is sent to its own host unasked, and to no other."""

UNDECIDING = frozenset({
    "key_env", "concurrency", "requests_per_minute", "timeout", "retries", "backoff", "longest_wait", "give_up",
    "input_price", "output_price",
})  # fmt: skip
"""Settings that change no answer: how fast and how patiently it is asked, and what it costs."""


class Settings(Record):
    """Where the server is and how it is asked."""

    base_url: str = ""
    """Where the server is, up to the version, e.g. http://localhost:8000/v1; must be given."""
    key_env: str | None = None
    """Name of the environment variable that holds the key; None: TRAITBENCH_API_KEY, or no key."""
    route: Literal["auto", "token_ids", "prompt_logprobs", "echo", "top"] = "auto"
    """How option probabilities are had; auto: the first of these that the server has."""
    top_logprobs: int = Field(default=20, ge=1)
    """How many of the likeliest tokens to ask for where only those are shown."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Answers asked for at a time."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Most requests a minute, over all that are under way; None: no limit of our own."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that a request may take."""
    retries: int = Field(default=5, ge=0)
    """How often a request that failed is sent again."""
    backoff: float = Field(default=1.0, ge=0)
    """Seconds before the first of them; doubled each time up to 60, less up to half of it by chance."""
    longest_wait: float = Field(default=120.0, ge=0)
    """Seconds; where a server asks to wait longer (Retry-After), the run stops."""
    give_up: int = Field(default=5, ge=1)
    """Answers that failed in a row, each after all its retries, at which the run stops."""
    input_price: float | None = Field(default=None, ge=0)
    """US dollars for a million tokens read, for the cost in the results."""
    output_price: float | None = Field(default=None, ge=0)
    """US dollars for a million tokens written."""

    @property
    def server(self) -> str:
        """Host, port and path: what names the server in files."""
        return urlsplit(self.base_url).netloc + urlsplit(self.base_url).path

    @property
    def root(self) -> str:
        """The address without the version, below which vLLM has its tokeniser."""
        return self.base_url.removesuffix("/v1")


def settings_of(options: Options) -> Settings:
    """Check what --model_args holds. An error names the setting and, of what may be secret, never the value."""
    given = options.arguments
    refuse_keys("model_args", given, variables=False)
    refuse_others("key of --model_args for endpoint", given, Settings.model_fields)
    if given.get("base_url") in (None, ""):
        raise TraitbenchUsage("an endpoint needs the server's address: --model_args base_url=http://localhost:8000/v1")
    for flag, value, cure in (
        ("--batch_size", options.batch_size, "each answer is asked alone; write --model_args concurrency=N"),
        ("--device", options.device, "the server has its own; leave it out"),
    ):
        if value is not None:
            raise TraitbenchUsage(f"{flag} {value}: {cure}")
    try:
        found = Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        shown = "" if name in ("base_url", "key_env") else f"={masked(first['input'], name)}"
        raise TraitbenchUsage(f"--model_args {name}{shown}: {first['msg']}") from None
    found = found.model_copy(update={"base_url": _checked(found.base_url)})
    key = key_of(found)
    if key and key in found.base_url:
        raise TraitbenchUsage("--model_args base_url: holds the key, and addresses are kept in files; leave it out")
    if find_spec("httpx") is None:
        raise MissingExtra("endpoints are asked with httpx: pip install 'traitbench[endpoint]'")
    return found


def key_of(settings: Settings) -> str | None:
    """Read the key from the environment; None where there is none to send. No message holds any of it."""
    if settings.key_env is not None:
        if not re.fullmatch(r"[A-Za-z_]\w*", settings.key_env) or not os.environ.get(settings.key_env):
            raise TraitbenchUsage(
                "--model_args key_env: no environment variable of that name is set; expected the name of one that "
                f"holds the key, not the key itself, e.g. key_env={KEY}"
            )
        name = settings.key_env
    else:
        name = _OPENAI[0] if not os.environ.get(KEY) and _host(settings) == _OPENAI[1] else KEY
    key = os.environ.get(name, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise BadData(f"the key in {name} holds a blank, a line end or a letter beyond ASCII; copy it again")
    return key or None


def _host(settings: Settings) -> str | None:
    return urlsplit(settings.base_url).hostname


def _checked(url: str) -> str:
    """The address without slashes at its end; nothing of one that may hold a secret is repeated."""
    expected = "expected one such as http://localhost:8000/v1 or https://api.openai.com/v1"
    try:
        parts: SplitResult | None = urlsplit(url.strip())
        assert parts is not None
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, sound = None, False
    if parts is not None and "@" in parts.netloc:
        raise TraitbenchUsage(
            f"--model_args base_url: holds a user name or a password, and addresses are kept in files; take it out and "
            f"put the key into the environment variable {KEY}"
        )
    if parts is None or not sound or re.search(r"\s", url.strip()):
        raise TraitbenchUsage(f"--model_args base_url: no address of a server; {expected}")
    if parts.query or parts.fragment:
        raise TraitbenchUsage(f"--model_args base_url: holds a query (? or #), which may be a secret; {expected}")
    path = parts.path.rstrip("/")
    if path.endswith("/completions"):
        raise TraitbenchUsage(f"--model_args base_url: ends in /completions, which is added here; {expected}")
    return f"{parts.scheme}://{parts.netloc}{path}"
