"""A real HTTP server with a model of known probabilities, which can be made to fail in every way that servers do.

The model's next token depends on all of the text so far, so that every item has answers of its own; `logprob` is what
any route must come to.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Model", "Server", "answering", "served"]

LETTERS = ("A", "B", "C", "D", "E")
OTHERS = tuple(f" word{n}" for n in range(30))
CANDIDATES = (*LETTERS, *(f" {letter}" for letter in LETTERS), "(", "\n", *OTHERS)
"""What the model says; anything else has a log-probability of -15 to -12."""


def split(text: str) -> list[str]:
    """The tokens of a text."""
    return re.findall(r" ?\w+| ?[^\w\s]|\s", text)


def chance(context: str, token: str) -> float:
    """A number from 0 to 1 that depends on all of the text."""
    return int(hashlib.sha256(f"{context}|{token}".encode()).hexdigest()[:8], 16) / 2**32


class Model:
    """`flat` makes every candidate about as likely, so that letters fall out of the likeliest 20."""

    def __init__(self, flat: bool = False) -> None:
        self.flat = flat
        self.ids: dict[str, int] = {}
        self.words: list[str] = []
        self.lock = threading.Lock()

    def id(self, token: str) -> int:
        with self.lock:
            if token not in self.ids:
                self.ids[token] = len(self.words)
                self.words.append(token)
            return self.ids[token]

    @lru_cache(4096)  # noqa: B019
    def next(self, context: str) -> dict[str, float]:
        """Log-probability of every candidate behind `context`."""
        logits = {}
        for token in CANDIDATES:
            base = 0.0 if self.flat else 5.0 if token in LETTERS else 1.0 if token.strip() in LETTERS else -7.0
            logits[token] = base + 3 * chance(context, token)
        total = math.log(sum(map(math.exp, logits.values())))
        return {token: logit - total for token, logit in logits.items()}

    def logprob(self, context: str, token: str) -> float:
        return self.next(context)[token] if token in CANDIDATES else -12 - 3 * chance(context, token)

    def loglik(self, context: str, text: str) -> float:
        """By hand: the sum along the tokens of `text`."""
        total = 0.0
        for token in split(text):
            total += self.logprob(context, token)
            context += token
        return total

    def top(self, context: str, many: int) -> list[tuple[str, float]]:
        return sorted(self.next(context).items(), key=lambda pair: -pair[1])[:many]


def rendered(messages: list[dict[str, str]]) -> str:
    """The chat template."""
    return "".join(f"<{m['role']}>{m['content']}\n" for m in messages) + "<assistant>"


Fault = Callable[[int, str, dict[str, Any]], str | None]


class Server:
    """`kind`: vllm (everything), old_vllm (no token ids), plain (completions with echo), chat (top 20), mute (no
    log-probabilities). `fault` says, by the number of the request, which way it fails."""

    def __init__(self, kind: str = "vllm", model: Model | None = None, fault: Fault | None = None) -> None:
        self.kind, self.model, self.fault = kind, model or Model(), fault
        self.key: str | None = None
        self.content: Callable[[dict[str, Any]], Any] | None = None
        self.system_role, self.limit_name, self.most = True, "max_tokens", 20
        self.retry_after = "0"
        self.seen: list[tuple[str, dict[str, Any], str | None]] = []
        self.under_way = self.busiest = 0
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"owner": self}))
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=lambda: self.http.serve_forever(0.01), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    def answered(self, probes: bool = False) -> Counter[str]:
        """How often each item's request got its answer; what only finds out what the server can do is left out."""
        found: Counter[str] = Counter()
        for path, body, fault in self.seen:
            if path.endswith("completions") and fault is None and (probes or "Statement" in json.dumps(body)):
                found[json.dumps(body, sort_keys=True)] += 1
        return found

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self.reply(200, {"data": [{"id": "fake"}, {"id": "other"}]})

    def do_POST(self) -> None:
        me = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with me.lock:
            number = len(me.seen)
            me.under_way += 1
            me.busiest = max(me.busiest, me.under_way)
        fault = me.fault(number, self.path, body) if me.fault else None
        with me.lock:
            me.seen.append((self.path, body, fault))
        try:
            self.answer(body, fault)
        except BrokenPipeError:
            pass
        finally:
            with me.lock:
                me.under_way -= 1

    def answer(self, body: dict[str, Any], fault: str | None) -> None:
        me = self.owner
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "stall":
            time.sleep(1.2)
            self.close_connection = True
        elif fault == "drip":
            self.send_response(200)
            self.end_headers()
            for _ in range(40):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
            self.close_connection = True
        elif fault == "filter":
            self.reply(400, {"error": {"message": "The prompt was filtered.", "code": "content_filter"}})
        elif fault == "quota":
            self.reply(429, {"error": {"message": "You have used it all.", "code": "insufficient_quota"}})
        elif fault and fault.isdigit():
            headers = {"Retry-After": me.retry_after} if fault == "429" else {}
            said = f"fault {fault}, the key is {self.headers.get('Authorization', '')}"
            self.reply(int(fault), {"error": {"message": said}}, headers)
        elif fault in ("broken", "nologprobs"):
            status, found = self.found(body)
            for choice in found.get("choices", []):
                choice.pop("logprobs", None)
                choice.pop("prompt_logprobs", None)
            self.reply(status, found, cut=fault == "broken")
        else:
            self.reply(*self.found(body))

    def reply(self, status: int, content: Any, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        data = json.dumps(content).encode()
        data = data[: len(data) // 2] if cut else data
        self.send_response(status)
        always = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in {**(headers or {}), **always}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def found(self, body: dict[str, Any]) -> tuple[int, Any]:
        me = self.owner
        if me.key and self.headers.get("Authorization") != f"Bearer {me.key}":
            return 401, {"error": {"message": f"wrong key {self.headers.get('Authorization')}"}}
        if me.content:
            return 200, me.content(body)
        vllm = me.kind in ("vllm", "old_vllm")
        if self.path == "/tokenize" and vllm:
            text = body["prompt"] if "prompt" in body else rendered(body["messages"])
            return 200, {"tokens": [me.model.id(token) for token in split(text)]}
        if self.path == "/detokenize" and vllm:
            return 200, {"prompt": "".join(me.model.words[token] for token in body["tokens"])}
        if body.get("model") != "fake":
            return 404, {"error": {"message": f"The model {body.get('model')!r} does not exist."}}
        if self.path == "/v1/chat/completions":
            return self.chat(body)
        if self.path == "/v1/completions" and (vllm or me.kind == "plain"):
            return self.completions(body)
        return 404, {"detail": "Not Found"}

    def chat(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        me = self.owner
        if not me.system_role and any(m["role"] == "system" for m in body["messages"]):
            return 400, {"error": {"message": "System role not supported"}}
        if me.limit_name not in body:
            return 400, {"error": {"message": f"Unsupported parameter; use {me.limit_name!r}"}}
        if body.get("top_logprobs", 0) > me.most:
            return 400, {"error": {"message": f"top_logprobs must be at most {me.most}"}}
        context = rendered(body["messages"])
        said, log = me.model.top(context, 1)[0]
        choice: dict[str, Any] = {"index": 0, "message": {"content": said}, "finish_reason": "stop"}
        if body.get("logprobs") and me.kind != "mute":
            rows = [
                {"token": t, "logprob": lp, "bytes": list(t.encode())}
                for t, lp in me.model.top(context, body["top_logprobs"])
            ]
            choice["logprobs"] = {"content": [{"token": said, "logprob": log, "top_logprobs": rows}]}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": len(split(context)), "completion_tokens": 1}}

    def completions(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        me, prompts = self.owner, body["prompt"]
        if not (isinstance(prompts, list) and isinstance(prompts[0], list)):
            prompts = [prompts]
        choices = []
        used = 0
        for index, prompt in enumerate(prompts):
            tokens = split(prompt) if isinstance(prompt, str) else [me.model.words[token] for token in prompt]
            choices.append({"index": index, **self.completion(body, tokens)})
            used += len(tokens)
        return 200, {
            "choices": choices[::-1],
            "usage": {"prompt_tokens": used, "completion_tokens": len(choices)},
        }

    def completion(self, body: dict[str, Any], tokens: list[str]) -> dict[str, Any]:
        model, kind = self.owner.model, self.owner.kind
        context = "".join(tokens)
        said, log = model.top(context, 1)[0]
        logs = [model.logprob("".join(tokens[:n]), token) for n, token in enumerate(tokens)]
        out: dict[str, Any] = {"text": said, "finish_reason": "length"}
        if "prompt_logprobs" in body and kind != "plain":
            pairs = zip(tokens, logs, strict=True)
            out["prompt_logprobs"] = [{str(model.id(t)): {"logprob": lp, "rank": 1}} for t, lp in pairs]
            out["prompt_logprobs"][0] = None
        if body.get("logprob_token_ids") and kind == "vllm":
            top = {f"token_id:{t}": model.logprob(context, model.words[t]) for t in body["logprob_token_ids"]}
            top[f"token_id:{model.id(said)}"] = log
            out["logprobs"] = {"tokens": [f"token_id:{model.id(said)}"], "token_logprobs": [log], "top_logprobs": [top]}
        elif body.get("logprobs"):
            top = dict(model.top(context, body["logprobs"]))
            out["logprobs"] = {"tokens": [said], "token_logprobs": [log], "top_logprobs": [top]}
            if body.get("echo"):
                out["text"] = context + said
                out["logprobs"] = {
                    "tokens": [*tokens, said], "token_logprobs": [None, *logs[1:], log],
                    "top_logprobs": [None, *({} for _ in tokens[1:]), top],
                }  # fmt: skip
        return out


@contextmanager
def served(kind: str = "vllm", model: Model | None = None, fault: Fault | None = None) -> Iterator[Server]:
    """A server for the block."""
    server = Server(kind, model, fault)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def answering(answer: Callable[[dict[str, Any]], Any]) -> Iterator[Server]:
    """A server for the block that answers every request with `answer` of its body, as JSON, and says no more."""
    with served() as server:
        server.content = answer
        yield server
