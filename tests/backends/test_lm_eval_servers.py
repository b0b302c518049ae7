"""lm-eval's models of servers as a backend: hf's numbers, what is kept where one fails, and where no key may be."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from asked import answers
from faulty_server import Fault, answering, served
from said import Say, folder, results

pytest.importorskip("lm_eval")

from lm_eval_parity import KEY, PROMPT, SAME, Tiny, alike, command, hf, lm_eval, writes

from traitbench.backends.backend import Options
from traitbench.backends.hf import HuggingFace
from traitbench.errors import Unreachable
from traitbench.types import Choose, Continue, Request, Response

OTHER_KEY = "sk-nor-for-others-1234567890"


def completed(model: HuggingFace, body: dict[str, Any]) -> dict[str, Any]:
    """An answer of OpenAI's completions: prompts are tokens, `echo` gives their log-probabilities."""
    return {"choices": [{"index": n, **_choice(model, body, ids)} for n, ids in enumerate(body["prompt"])]}


@torch.no_grad()
def _choice(model: HuggingFace, body: dict[str, Any], ids: list[int]) -> dict[str, Any]:
    if not body.get("echo"):
        out = model.model.generate(
            torch.tensor([ids]), max_new_tokens=body["max_tokens"], do_sample=False, pad_token_id=1
        )
        return {"text": model.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)}
    rows = torch.log_softmax(model.model(torch.tensor([ids])).logits[0], -1)
    logs = [None, *(float(rows[n, token]) for n, token in enumerate(ids[1:])), -1.0]
    return {"text": "", "logprobs": {"token_logprobs": logs, "top_logprobs": [{"x": 0.0}] * len(logs)}}


@pytest.mark.parametrize("template", ["chat", "none"])
def test_a_server_of_completions_answers_as_hf(
    template: str, tiny: Tiny, chooses: list[Choose], continues: list[Continue]
) -> None:
    weights = tiny("llama") if template == "chat" else tiny("llama", None)
    requests: list[Request] = [*chooses[:2], *continues[:2], *writes(chooses)[:2]]
    model = hf(weights)
    with answering(lambda body: completed(model, body)) as server:
        given = {"base_url": f"{server.url}/completions", "tokenizer": str(weights), "tokenizer_backend": "huggingface"}
        backend = lm_eval("local-completions", Options(), model="tiny", **given)
        # Of a reply lm-eval gives the text alone, whose tokens are not always those that were written.
        alike(answers(backend, requests, PROMPT), answers(model, requests, PROMPT), same=SAME - {"tokens"})
    assert backend.identity["model"] == "tiny" and backend.identity["arguments"]["tokenizer"].startswith("sha256:")


def fails(after: int) -> Fault:
    return lambda number, path, body: "500" if number >= after else None


def test_a_chat_server_writes(say: Say, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The server repeats the key where it fails, and lm-eval logs what a server says."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MY_KEY", OTHER_KEY)
    more = "--limit 3 --method prompting --target extraversion=high --scoring generate"
    with served("chat", fault=fails(5)) as server:
        server.key = KEY
        given = f"model=fake,base_url={server.url}/chat/completions,max_retries=1,auth_token=env:MY_KEY"
        stopped = say(command("local-chat-completions", given, more))
        assert stopped.code == 3 and "answered in full is kept, and the same command goes on from there" in stopped.err
        assert (folder("lm_eval__*") / "responses.jsonl").read_text().count("\n") == 5
        server.fault, before = None, len(server.seen)
        done = say(command("local-chat-completions", given, more))
        assert done.code == 0, done.err
        assert len(server.seen) - before == 2 * 3 * 2 - 5
    found = results("lm_eval__*")
    assert found["model_name"] == "fake" and found["model"]["way"] == "turns"
    files = [path.read_text() for path in Path("runs").rglob("*") if path.is_file()]
    for key in (KEY, OTHER_KEY):
        assert files and not any(key in text for text in files)
        assert key not in done.out + done.err + stopped.err + caplog.text


@pytest.mark.parametrize("concurrent", [1, 4])
def test_a_server_that_refuses_the_key_is_told_another(
    concurrent: int, say: Say, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests beside one that fails are errors that nobody hears, and asyncio prints such with their headers."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MY_HEADERS", json.dumps({"Authorization": f"Bearer {OTHER_KEY}"}))
    with served("chat") as server:
        server.key = OTHER_KEY
        given = f"model=fake,base_url={server.url}/chat/completions,max_retries=1,num_concurrent={concurrent}"
        refused = say(command("local-chat-completions", given, "--limit 1 --scoring generate"))
        gc.collect()
        assert refused.code == 1 and "HTTP 401; put a key" in refused.err and "same command" not in refused.err
        done = say(command("local-chat-completions", f"{given},header=env:MY_HEADERS", "--limit 1 --scoring generate"))
    assert done.code == 0, done.err
    for key in (KEY, OTHER_KEY):
        assert key not in refused.out + refused.err + done.out + done.err + caplog.text
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize("concurrent", [1, 4])
@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ({"oops": KEY}, "JSON that holds no reply"),
        ({"choices": [{"message": {"content": "A"}}]}, "JSON that holds no reply"),
        (["A"], "JSON that holds no reply"),
        ({"choices": [{"index": 0, "message": {"content": None}}]}, None),
        ({"choices": []}, None),
    ],
)
def test_an_answer_without_a_text_is_no_empty_reply(
    answer: Any, match: str | None, concurrent: int, say: Say, chooses: list[Choose]
) -> None:
    with answering(lambda body: answer) as server:
        url = f"{server.url}/chat/completions"
        given = {"model": "m", "base_url": url, "max_retries": 1, "num_concurrent": concurrent}
        backend = lm_eval("local-chat-completions", Options(), **given)
        if match is None:
            found = answers(backend, writes(chooses))
            assert {(r.status, r.text, r.error) for r in found.values()} == {("error", None, "the server gave no text")}
        else:
            with pytest.raises(Unreachable, match=match):
                answers(backend, writes(chooses))
        told = ",".join(f"{k}={v}" for k, v in given.items())
        stopped = say(command("local-chat-completions", told, "--scoring generate"))
    assert stopped.code == 3 and KEY not in stopped.out + stopped.err
    kept = [
        json.loads(line) for path in Path("runs").rglob("responses.jsonl") for line in path.read_text().splitlines()
    ]
    assert [each["status"] for each in kept] == ([] if match else ["error"] * 40)


def test_an_empty_reply_is_one(chooses: list[Choose]) -> None:
    with answering(lambda body: {"choices": [{"index": 0, "message": {"content": ""}}]}) as server:
        url = f"{server.url}/chat/completions"
        found = answers(lm_eval("local-chat-completions", Options(), model="m", base_url=url), writes(chooses))
    assert {(r.status, r.text) for r in found.values()} == {("valid", "")}


@pytest.mark.parametrize(("concurrent", "lost"), [(1, 0), (4, 3)])
def test_answers_before_a_failure_are_kept(concurrent: int, lost: int, chooses: list[Choose]) -> None:
    with served("chat", fault=fails(7)) as server:
        given = {"base_url": f"{server.url}/chat/completions", "max_retries": 1, "num_concurrent": concurrent}
        backend = lm_eval("local-chat-completions", Options(), model="fake", **given)
        asked = [request.model_copy(update={"seed": n}) for n in range(3) for request in writes(chooses)]
        found: dict[int, Response] = {}
        with pytest.raises(Unreachable, match="in full is kept" if concurrent == 1 else "save for the last 4 requests"):
            for batch in backend.run(asked):
                found |= batch
    assert sorted(found) == list(range(7 - lost))
    assert {r.status for r in found.values()} == {"valid"}
