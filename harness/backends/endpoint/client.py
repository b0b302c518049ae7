"""One request to a server, sent again where it failed: timeouts, waits, Retry-After and a limit on their number."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from traitbench.backends.endpoint.settings import Settings, key_of
from traitbench.masking import MASK

if TYPE_CHECKING:
    import httpx

__all__ = ["Bill", "Client", "Failed", "Hurried", "Malformed", "Refused"]

T = TypeVar("T")

_AGAIN = frozenset({408, 409, 425, 429})
"""Beside 500 and above: what passes by itself. 501 and 505 do not."""
_LONGEST = 60.0
"""Seconds between two tries where the server names none."""
_MOST = 64 * 2**20
"""Bytes of an answer; more is no answer to anything that is asked here."""
_FILTERS = ("content_filter", "content_policy_violation")
"""Codes of a refusal for what a prompt says."""
_SHOWN = 300
"""Characters of a server's message that are repeated."""


class Failed(Exception):
    """A request that failed for a reason that may pass. `final`: not within this run."""

    def __init__(self, message: str, final: bool = False) -> None:
        """Keep why, without the key."""
        super().__init__(message)
        self.final = final


class Refused(Exception):
    """The server understood a request and said no: it will say so again. `filtered`: for the words of this prompt."""

    def __init__(self, status: int, message: str, filtered: bool = False) -> None:
        """Keep what it said, without the key."""
        super().__init__(f"{status}: {message}" if message else str(status))
        self.status = status
        self.filtered = filtered


class Malformed(ValueError):
    """An answer that lacks what was asked for; it counts as one that failed."""


class _Again(NamedTuple):
    """Why a try failed, and the seconds that the server asks to wait."""

    reason: str
    wait: float | None = None


class Client:
    """Sends requests to one server, from many threads. `stop` ends all waiting."""

    def __init__(self, settings: Settings) -> None:
        """Open no connection yet."""
        import httpx

        self.settings = settings
        self.stop = threading.Event()
        self._key = key_of(settings)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx.Limits(max_connections=settings.concurrency)
        self._http = httpx.Client(
            headers=headers, timeout=httpx.Timeout(settings.timeout, connect=min(settings.timeout, 10)), limits=limits
        )
        self._lock = threading.Lock()
        self._next = 0.0

    def post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        """Send `body` to `path`, below the address or a whole one, and return what `read` makes of the answer.

        `read` raises Malformed where something is missing. Raises Refused where the server says no, Failed where every
        try failed.
        """
        url = path if "://" in path else f"{self.settings.base_url}/{path}"
        waited, asked = self.settings.backoff, 0.0
        reason = ""
        for number in range(self.settings.retries + 1):
            if number:
                self._wait(asked + waited * random.uniform(0.5, 1.0))
                waited = min(2 * waited, _LONGEST)
            self._turn()
            try:
                found = self._send(url, body)
                if not isinstance(found, _Again):
                    return read(found)
            except Malformed as error:
                found = _Again(f"an answer without what was asked for: {error}")
            reason, asked = found.reason, found.wait or 0.0
            self._hold(asked, reason)
        tries = self.settings.retries + 1
        raise Failed(f"{reason} ({tries} {'try' if tries == 1 else 'tries'})")

    def models(self) -> list[str]:
        """Names of the models that the server says it has; empty where it does not say."""
        try:
            rows = json.loads(self._exchange("GET", f"{self.settings.base_url}/models", None)[2])["data"]
            return [str(row["id"]) for row in rows]
        except Exception:
            # It only makes a message more helpful.
            return []

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(self, url: str, body: dict[str, Any]) -> Any:
        """One try: the answer's JSON, or why it failed."""
        import httpx

        try:
            status, headers, text = self._exchange("POST", url, body)
        except httpx.TimeoutException:
            return _Again(f"no answer within {self.settings.timeout:g} s (timeout)")
        except httpx.RequestError as error:
            return _Again(self._masked(f"{type(error).__name__}: {error}"))
        if status in _AGAIN or (status >= 500 and status not in (501, 505)):
            said = _said(text)
            if "insufficient_quota" in text:
                raise Failed(f"{status}: {said}", final=True)
            return _Again(f"{status}: {said}".rstrip(": "), _retry_after(headers.get("retry-after")))
        if status >= 300:
            # What refuses a key may repeat a part of it, which no mask would find.
            filtered = any(word in text for word in _FILTERS)
            raise Refused(status, "" if status in (401, 403) and not filtered else _said(text), filtered)
        try:
            return json.loads(text)
        except ValueError:
            return _Again(f"broken JSON: {text[:60]!r}")

    def _exchange(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, httpx.Headers, str]:
        """Send and read all of the answer within the timeout, however slowly it drips."""
        import httpx

        end = time.monotonic() + self.settings.timeout
        with self._http.stream(method, url, json=body) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("the answer takes too long")
                if size > _MOST:
                    raise httpx.ReadError(f"an answer of more than {_MOST >> 20} MiB")
            text = b"".join(parts).decode("utf-8", errors="replace")
            return response.status_code, response.headers, self._masked(text)

    def _masked(self, text: str) -> str:
        return text.replace(self._key, MASK) if self._key else text

    def _turn(self) -> None:
        """Wait for this request's turn among all of a minute."""
        with self._lock:
            at = max(self._next, time.monotonic())
            if self.settings.requests_per_minute:
                self._next = at + 60 / self.settings.requests_per_minute
        self._wait(at - time.monotonic())

    def _hold(self, seconds: float, reason: str) -> None:
        """Let no request begin for as long as the server asks."""
        if seconds > self.settings.longest_wait:
            raise Failed(
                f"{reason}; the server asks to wait {seconds:.0f} s, more than --model_args "
                f"longest_wait={self.settings.longest_wait:g}",
                final=True,
            )
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and self.stop.wait(seconds):
            raise Failed("the run stopped")


class Hurried(Client):
    """Tries once. After a failure, or when its `seconds` are used up, nothing is sent any more."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        """`seconds`: of all requests together."""
        self._left = seconds
        hurried = {"retries": 0, "longest_wait": 0.0, "timeout": min(settings.timeout, seconds / 2)}
        super().__init__(settings.model_copy(update=hurried))

    def post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        """Send as `Client.post` does; Failed where there is no time left."""
        if self._left <= 0:
            raise Failed("no time left", final=True)
        began = time.monotonic()
        try:
            found = super().post(path, body, read)
        except BaseException:
            self._left = 0.0
            raise
        self._left -= time.monotonic() - began
        return found


class Bill:
    """The requests that one answer takes, and the tokens that the server counts over them."""

    def __init__(self, client: Client) -> None:
        """Begin with nothing."""
        self._client = client
        self.tokens: tuple[int, int] | None = None

    def post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        """Send as `Client.post` does, and count."""

        def counted(answer: Any) -> T:
            found = read(answer)
            used = answer.get("usage") if isinstance(answer, dict) else None
            if isinstance(used, dict):
                before = self.tokens or (0, 0)
                self.tokens = (
                    before[0] + int(used.get("prompt_tokens") or 0),
                    before[1] + int(used.get("completion_tokens") or 0),
                )
            return found

        return self._client.post(path, body, counted)


def _said(text: str) -> str:
    """The message of an error's body, of whatever shape, in one line."""
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    while isinstance(told, dict):
        told = next((told[name] for name in ("error", "message", "detail") if told.get(name)), None)
    text = told if isinstance(told, str) else text
    return " ".join(text.split())[:_SHOWN]


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None where it holds neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except ValueError:
            return None
    return max(seconds, 0.0) if seconds == seconds else None
