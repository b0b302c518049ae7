"""lm-eval's models as a backend: the numbers of the backend hf, what is refused, and where no secret may be."""

from __future__ import annotations

import gc
import json
import random
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from asked import answers
from faulty_server import Fault, served

pytest.importorskip("lm_eval")

from traitbench import inventories
from traitbench.backends.backend import Options
from traitbench.backends.hf import HuggingFace
from traitbench.backends.lm_eval import LMEval
from traitbench.backends.lm_eval.kinds import answered, instance, kind_of
from traitbench.backends.models import resolve
from traitbench.cli.commands import main
from traitbench.errors import (
    BadData,
    MissingExtra,
    TraitbenchError,
    TraitbenchUsage,
    UnknownName,
    Unreachable,
    UnsupportedControl,
)
from traitbench.runs.evaluate import served as served_by
from traitbench.runs.plan import Plan, prepare
from traitbench.store import read_json
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Choose, Continue, Control, Message, Request, Response, Write

Tiny = Callable[..., Path]
KEY, OTHER_KEY = "sk-not-for-anyone-1234567890", "sk-nor-for-others-1234567890"
PROMPT = Control(messages=(Message(role="system", content="You love the crowd and worry."),))
ASKS = ("Who are you?", "Describe the crowd.", "A crowd of plans, a plan of crowds and more of it.", "Answer.")


def lm_eval(name: str, options: Options | None = None, **arguments: Any) -> LMEval:
    told = (options or Options(device="cpu")).model_copy(update={"arguments": arguments})
    spec = resolve(f"lm_eval:{name}", arguments)
    LMEval.check(spec, told)
    return LMEval.make(spec, told)


def hf(folder: Path | str) -> HuggingFace:
    return HuggingFace(resolve(str(folder)), device="cpu")


def writes(chooses: Sequence[Choose], temperature: float = 0.0) -> list[Write]:
    return [
        Write(
            doc=chooses[0].doc.model_copy(update={"item": ask}), messages=(Message(role="user", content=ask),),
            cue="Answer:", max_tokens=9, temperature=temperature, seed=n,
        )
        for n, ask in enumerate(ASKS)
    ]  # fmt: skip


SAME = {"text", "tokens", "prompt_hash", "status"}


def alike(
    found: dict[int, Response], expected: dict[int, Response], within: float = 2e-5, same: set[str] = SAME
) -> None:
    """Numbers to `within` nats; texts, tokens, prompts and what became of a reply to the letter."""
    assert found.keys() == expected.keys()
    for i, response in expected.items():
        assert found[i].option_logprobs == (
            None if response.option_logprobs is None else pytest.approx(response.option_logprobs, abs=within)
        )
        assert found[i].loglik == (None if response.loglik is None else pytest.approx(response.loglik, abs=within))
        assert found[i].model_dump(include=same) == response.model_dump(include=same)


@pytest.mark.parametrize("template", ["chat", "none"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_every_answer_is_that_of_the_backend_hf(
    name: str, template: str, tiny: Tiny, chooses: list[Choose], continues: list[Continue]
) -> None:
    """The tokenizer puts a token in front of every text, and the template ends in a line break: lm-eval's two traps."""
    folder = tiny(name) if template == "chat" else tiny(name, None)
    ours, theirs = hf(folder), lm_eval("hf", pretrained=str(folder))
    requests: list[Request] = [*chooses, *continues, *writes(chooses), *writes(chooses, 1.5)]
    plain: dict[int, Response] = {}
    for control in (None, PROMPT):
        expected = answers(ours, requests, control)
        alike(answers(theirs, requests, control), expected)
        assert {r.status for r in expected.values() if r.text is not None} >= {"truncated"}
        assert expected[0].option_logprobs != plain.get(0, Response()).option_logprobs
        plain = expected
    assert theirs.prompt(chooses[0]) == ours.prompt(chooses[0])


def test_lm_eval_itself_splits_elsewhere(tiny: Tiny, chooses: list[Choose]) -> None:
    """Given texts, it scores the template's line break too, behind a token that no template wrote."""
    folder = tiny("llama")
    ours, theirs = hf(folder), kind_of("hf")(pretrained=str(folder), device="cpu")
    (ids, options) = ours.encode_prompt(chooses[0]), (("A",),)
    request = chooses[0].model_copy(update={"options": options, "values": (1,)})
    ((exact,),) = [r.option_logprobs for r in answers(ours, [request]).values()]
    ((split, _),) = theirs.loglikelihood([instance("loglikelihood", ours.prompt(request), "A")], disable_tqdm=True)
    assert abs(split - exact) > 0.1 and len(theirs.tok_encode(ours.prompt(request))) == len(ids) + 1


def test_habits_of_a_checkpoint_change_no_reply(tiny: Tiny, chooses: list[Choose], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny("llama"), folder)
    place = folder / "generation_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "repetition_penalty": 3.0, "do_sample": True}))
    requests = writes(chooses)
    alike(answers(lm_eval("hf", pretrained=str(folder)), requests), answers(hf(tiny("llama")), requests))


def test_batches_are_the_same_in_a_resumed_run(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = lm_eval("hf", pretrained=str(tiny("llama")))
    many = [c.model_copy(update={"seed": n}) for n in range(7) for c in chooses]
    batches = [set(batch) for batch in backend.run(many)]
    assert [len(batch) for batch in batches] == [16, 16, 3]
    assert [set(batch) for batch in backend.run(many, done=range(16))] == batches[1:]
    assert [set(batch) for batch in backend.run(many, done=range(1, 20))] == batches
    assert list(backend.run(many, done=range(35))) == []


@pytest.mark.model
def test_the_embedded_model_answers_alike() -> None:
    grid = Administration(scoring=("choice", "statement", "generate"), orders=("forward",), limit=1)
    requests = Questionnaire(inventories.load("mini_ipip"), grid).requests(0)
    assert len(requests) == 3
    ours, theirs = hf("smollm2"), lm_eval("hf", pretrained="smollm2")
    for control in (None, PROMPT):
        alike(answers(theirs, requests, control), answers(ours, requests, control), within=5e-5)
    assert theirs.identity["weights"] == ours.identity["weights"] and theirs.identity["source"] == "embedded:smollm2"
    assert theirs.spec.label == ours.spec.label


# A whole run


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Say = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Run some items of the Mini-IPIP in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAITBENCH_DEBUG", raising=False)

    def go(name: str, arguments: str, more: str = "") -> Said:
        line = f"run --model lm_eval:{name} --model_args {arguments} --tasks mini_ipip --bootstrap_iters 20 -o runs"
        code = main(shlex.split(f"{line} {more}"))
        return Said(code, *capsys.readouterr())

    return go


def results() -> dict[str, Any]:
    found: dict[str, Any] = read_json(max(Path("runs").glob("*/results_*.json")))
    return found


def numbers(found: dict[str, Any]) -> Any:
    return found["results"], found["tasks"], found["n-samples"]


def test_a_run_and_its_second_half(run: Say, tiny: Tiny) -> None:
    more = "--method prompting --target extraversion=high --limit 3 --device cpu --scoring choice,statement,generate"
    done = run("hf", f"pretrained={tiny('llama')}", more)
    assert done.code == 0, done.err
    assert "%|" not in done.out + done.err, "no bar of lm-eval's"
    found = results()
    assert found["model_source"] == "lm_eval" and found["model"]["lm_eval_model"] == "hf"
    assert found["model_name"] == tiny("llama").name
    (folder,) = Path("runs").glob(f"lm_eval__hf__{tiny('llama').name}@prompting+*")
    kept = (folder / "responses.jsonl").read_text().splitlines(keepends=True)
    (folder / "responses.jsonl").write_text("".join(kept[: len(kept) // 2]))
    assert run("hf", f"pretrained={tiny('llama')}", more).code == 0
    assert numbers(results()) == numbers(found)
    assert len((folder / "responses.jsonl").read_text().splitlines()) == len(kept)


def test_the_dummy_answers_letters(run: Say) -> None:
    random.seed(0)
    done = run("dummy", "max_length=9", "--limit 2 --scoring choice,generate")
    assert done.code == 0 and "%|" not in done.err, done.err
    refused = run("dummy", "max_length=9", "--limit 2")
    assert refused.code == 2 and "tells no number of tokens" in refused.err and "--scoring choice" in refused.err


# What names the model


def test_the_identity_holds_what_decides(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(tiny("llama"), folder)
    one, two = lm_eval("hf", pretrained=str(tiny("llama"))).identity, lm_eval("hf", pretrained=str(folder)).identity
    assert one["weights"] == two["weights"] and one["dtype"] == "float32" and one["lm_eval"]
    (folder / "chat_template.jinja").write_text((tiny("llama") / "chat_template.jinja").read_text() + "{# other #}")
    other = lm_eval("hf", pretrained=str(folder)).identity
    assert other["weights"] != one["weights"] and other["template_hash"] != one["template_hash"]
    assert lm_eval("hf", pretrained=str(folder), logits_cache=False).identity["arguments"] == {"logits_cache": False}
    plain = lm_eval("hf", Options(device="cpu", chat_template=False), pretrained=str(folder)).identity
    assert plain["chat_template"] is False and plain["template_shows"] is None


def test_what_a_template_is_told_counts(tiny: Tiny) -> None:
    """lm-eval passes `chat_template_args` on, and a template that prints the day gets the same one every day."""
    dated = (
        "{{ strftime_now('%Y') }} {{ note or '-' }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}>"
    )
    backend = lm_eval("hf", pretrained=str(tiny("llama", dated)))
    shown = backend.identity["template_shows"]
    assert backend.model.render((Message(role="user", content="hi"),), "").startswith("2024 -")
    backend.model.lm.chat_template_args = {"note": "loud"}
    assert backend.model.identity["template_shows"] != shown


# What is refused


@pytest.mark.parametrize(
    ("name", "arguments", "error", "match"),
    [
        ("hff", "", UnknownName, "unknown model of lm-eval 'hff'; did you mean 'hf'"),
        ("traitbench", "", UnsupportedControl, "would ask in a circle"),
        ("vllm-vlm", "", MissingExtra, "vllm-vlm cannot be imported"),
        ("ipex", "", BadData, "lm-eval cannot load its model ipex"),
        ("", "", UnknownName, "known: .*hf, .*local-completions"),
        ("hf", "", TraitbenchUsage, "needs --model_args pretrained=..., e.g. pretrained=smollm2"),
        ("hf", "max_length=abc", TraitbenchUsage, "max_length=abc: expected a whole number from 1 on"),
        ("local-completions", "num_concurrent=abc", TraitbenchUsage, "expected a whole number from 0 on"),
        ("local-completions", "model=m", TraitbenchUsage, "base_url=http://localhost:8000/v1/completions"),
        ("local-chat-completions", "base_url=localhost:8000/v1", TraitbenchUsage, "8000/v1/chat/completions"),
        ("gguf", "", TraitbenchUsage, "base_url=http://localhost:8000$"),
        ("local-completions", f"header={KEY}", TraitbenchUsage, "write header=env:VARIABLE"),
        ("local-completions", "header=env:NO_JSON", TraitbenchUsage, "expected a JSON object of texts"),
        ("anthropic-chat", "header=env:NO_JSON", TraitbenchUsage, "writes its headers itself"),
        ("hf", "device=cpu", TraitbenchUsage, "write --device NAME"),
        ("hf", "batch_size=2", TraitbenchUsage, "write --batch_size N"),
        ("hf", "add_bos_token=true", TraitbenchUsage, "the first token"),
        ("hf", "enable_thinking=true", TraitbenchUsage, "first word"),
        ("hf", f"token={KEY}", TraitbenchUsage, "write token=env:VARIABLE"),
        ("local-completions", f"auth_token={KEY}", TraitbenchUsage, "write auth_token=env:VARIABLE"),
        ("local-completions", f"base_url=http://me:{KEY}@x/v1/completions", TraitbenchUsage, "OPENAI_API_KEY"),
        ("local-completions", f"base_url=http://x/v1?key={KEY}", TraitbenchUsage, "OPENAI_API_KEY"),
        ("local-completions", "num_concurent=4", UnknownName, "did you mean 'num_concurrent'"),
        ("hf", "pretrained=no-such-model", UnknownName, "unknown model 'no-such-model'"),
        ("hf", "pretrained=scripted:uniform", BadData, "no weights"),
    ],
)
def test_wrong_arguments_say_what_to_type(
    name: str, arguments: str, error: type[TraitbenchError], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_JSON", KEY)
    given = dict([arguments.split("=", 1)]) if arguments else {}
    given = {key: {"true": True, "2": 2}.get(value, value) for key, value in given.items()}
    if name == "vllm-vlm" and __import__("importlib").util.find_spec("vllm"):
        pytest.skip("vLLM is installed")
    with pytest.raises(error, match=match) as told:
        lm_eval(name, Options(), **given)
    assert KEY not in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        ({"method": "residual"}, "makes activations, which the backend lm_eval cannot apply; backends that can: hf"),
        ({"method": "sft"}, "makes prompt, weights, which the backend lm_eval cannot apply"),
        ({"backend": "hf"}, "the backend hf cannot run the model 'lm_eval:hf'; use --backend lm_eval"),
        ({"model": "smollm2", "backend": "lm_eval"}, "the backend lm_eval cannot run the model 'smollm2'"),
        ({"model": "lm_eval:local-chat-completions", "model_args": {"model": "m", "base_url": "http://x/v1/chat/completions"}},
         "has no log-likelihoods, which choice and statement need; use --scoring generate"),
    ],
)  # fmt: skip
def test_plans_that_cannot_work_are_refused_before_anything_is_loaded(flags: dict[str, Any], match: str) -> None:
    given = {"model": "lm_eval:hf", "model_args": {"pretrained": "llama3-70b"}, "tasks": ("mini_ipip",), **flags}
    with pytest.raises(UnsupportedControl, match=match):
        served_by(prepare(Plan.model_validate(given)))


def test_what_each_kind_answers() -> None:
    everything, texts = {Choose, Continue, Write}, {Choose, Write}
    for name in ("hf", "local-completions", "openai-completions", "mamba_ssm"):
        assert answered(name) == everything
    for name in ("dummy", "gguf"):
        assert answered(name) == texts
    for name in ("local-chat-completions", "openai-chat-completions", "anthropic-chat", "anthropic-completions"):
        assert answered(name) == {Write}


def test_a_prompt_is_never_cut(tiny: Tiny, chooses: list[Choose]) -> None:
    for requests in (chooses, writes(chooses)):
        backend = lm_eval("hf", pretrained=str(tiny("llama")), max_length=20)
        with pytest.raises(BadData, match="do not fit into the 20 positions"):
            answers(backend, requests)


def test_pickles_are_not_read(tiny: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny("llama"), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadData, match="pickles and are not read"):
        lm_eval("hf", pretrained=str(folder))


# Servers


@contextmanager
def completions(folder: Path) -> Iterator[str]:
    """A server of OpenAI's completions with a tiny model: prompts are tokens, `echo` gives their log-probabilities."""
    model = hf(folder)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            choices = [{"index": n, **self.choice(body, ids)} for n, ids in enumerate(body["prompt"])]
            data = json.dumps({"choices": choices}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def choice(self, body: dict[str, Any], ids: list[int]) -> dict[str, Any]:
            with torch.no_grad():
                if not body.get("echo"):
                    out = model.model.generate(
                        torch.tensor([ids]), max_new_tokens=body["max_tokens"], do_sample=False, pad_token_id=1
                    )
                    return {"text": model.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)}
                rows = torch.log_softmax(model.model(torch.tensor([ids])).logits[0], -1)
            logs = [None, *(float(rows[n, token]) for n, token in enumerate(ids[1:])), -1.0]
            return {"text": "", "logprobs": {"token_logprobs": logs, "top_logprobs": [{"x": 0.0}] * len(logs)}}

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("template", ["chat", "none"])
def test_a_server_of_completions_answers_as_hf(
    template: str, tiny: Tiny, chooses: list[Choose], continues: list[Continue]
) -> None:
    folder = tiny("llama") if template == "chat" else tiny("llama", None)
    requests: list[Request] = [*chooses[:2], *continues[:2], *writes(chooses)[:2]]
    with completions(folder) as url:
        given = {"base_url": url, "tokenizer": str(folder), "tokenizer_backend": "huggingface"}
        backend = lm_eval("local-completions", Options(), model="tiny", **given)
        # Of a reply lm-eval gives the text alone, whose tokens are not always those that were written.
        alike(answers(backend, requests, PROMPT), answers(hf(folder), requests, PROMPT), same=SAME - {"tokens"})
    assert backend.identity["model"] == "tiny" and backend.identity["arguments"]["tokenizer"].startswith("sha256:")


def fails(after: int) -> Fault:
    return lambda number, path, body: "500" if number >= after else None


def test_a_chat_server_writes(run: Say, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The server repeats the key where it fails, and lm-eval logs what a server says."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MY_KEY", OTHER_KEY)
    more = "--limit 3 --method prompting --target extraversion=high --scoring generate"
    with served("chat", fault=fails(5)) as server:
        server.key = KEY
        given = f"model=fake,base_url={server.url}/chat/completions,max_retries=1,auth_token=env:MY_KEY"
        stopped = run("local-chat-completions", given, more)
        assert stopped.code == 3 and "answered in full is kept, and the same command goes on from there" in stopped.err
        server.fault, before = None, len(server.seen)
        done = run("local-chat-completions", given, more)
        assert done.code == 0, done.err
        assert len(server.seen) - before == 2 * 3 * 2 - 5
    found = results()
    assert found["model_name"] == "fake" and found["model"]["way"] == "turns"
    files = [path.read_text() for path in Path("runs").rglob("*") if path.is_file()]
    for key in (KEY, OTHER_KEY):
        assert files and not any(key in text for text in files)
        assert key not in done.out + done.err + stopped.err + caplog.text


@pytest.mark.parametrize("concurrent", [1, 4])
def test_a_server_that_refuses_the_key_is_told_another(
    concurrent: int, run: Say, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests beside one that fails are errors that nobody hears, and asyncio prints such with their headers."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MY_HEADERS", json.dumps({"Authorization": f"Bearer {OTHER_KEY}"}))
    with served("chat") as server:
        server.key = OTHER_KEY
        given = f"model=fake,base_url={server.url}/chat/completions,max_retries=1,num_concurrent={concurrent}"
        refused = run("local-chat-completions", given, "--limit 1 --scoring generate")
        gc.collect()
        assert refused.code == 1 and "HTTP 401; put a key" in refused.err and "same command" not in refused.err
        done = run("local-chat-completions", f"{given},header=env:MY_HEADERS", "--limit 1 --scoring generate")
    assert done.code == 0, done.err
    for key in (KEY, OTHER_KEY):
        assert key not in refused.out + refused.err + done.out + done.err + caplog.text
    assert not [record for record in caplog.records if record.name == "asyncio"]


@contextmanager
def saying(answer: Any) -> Iterator[str]:
    """A server that answers everything with the same JSON."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
    answer: Any, match: str | None, concurrent: int, run: Say, chooses: list[Choose]
) -> None:
    with saying(answer) as url:
        given = {"model": "m", "base_url": url, "max_retries": 1, "num_concurrent": concurrent}
        backend = lm_eval("local-chat-completions", Options(), **given)
        if match is None:
            found = answers(backend, writes(chooses))
            assert {(r.status, r.text, r.error) for r in found.values()} == {("error", None, "the server gave no text")}
        else:
            with pytest.raises(Unreachable, match=match):
                answers(backend, writes(chooses))
        stopped = run("local-chat-completions", ",".join(f"{k}={v}" for k, v in given.items()), "--scoring generate")
    assert stopped.code == 3 and KEY not in stopped.out + stopped.err
    kept = [
        json.loads(line) for path in Path("runs").rglob("responses.jsonl") for line in path.read_text().splitlines()
    ]
    assert all(each["status"] == "error" for each in kept)


def test_an_empty_reply_is_one(chooses: list[Choose]) -> None:
    with saying({"choices": [{"index": 0, "message": {"content": ""}}]}) as url:
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
    assert len(found) == 7 - lost


# What is ahead


def test_tokens_are_counted_as_they_are_computed(tiny: Tiny, chooses: list[Choose], continues: list[Continue]) -> None:
    """Every row that lm-eval's model of transformers is given, without padding."""
    backend = lm_eval("hf", Options(device="cpu", batch_size=1), pretrained=str(tiny("llama")))
    seen: list[int] = []
    call = backend.model.lm._model_call
    backend.model.lm._model_call = lambda inps, **given: (seen.append(inps.numel()), call(inps, **given))[1]
    for mine in (chooses, continues):
        seen.clear()
        work = backend.work(mine, PROMPT)
        answers(backend, mine, PROMPT)
        assert work is not None and work.own + work.shared == sum(seen)
    assert backend.work(writes(chooses), PROMPT)
    told = lm_eval("local-chat-completions", Options(), model="m", base_url="http://127.0.0.1:9/v1/chat/completions")
    assert told.work(chooses, PROMPT) is None


def test_lm_evals_own_command_fails_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from traitbench.lm_eval import main as lm_evals

    words = "run --model traitbench --model_args pretrained=lm_eval:hf --tasks arc_easy"
    monkeypatch.setattr(sys, "argv", ["lm_eval", *words.split()])
    monkeypatch.delenv("TRAITBENCH_DEBUG", raising=False)
    with pytest.raises(SystemExit) as left:
        lm_evals()
    err = capsys.readouterr().err
    assert left.value.code == 2 and "error: " in err and "Traceback" not in err
