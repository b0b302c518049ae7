"""lm-eval's models as a backend: the numbers of the backend hf, what names a model, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from asked import answers
from said import Say, folder, numbers, results

pytest.importorskip("lm_eval")

from lm_eval_parity import KEY, PROMPT, Tiny, alike, command, hf, lm_eval, writes

from traitbench import inventories
from traitbench.backends.backend import Options
from traitbench.backends.lm_eval.kinds import answered, instance, kind_of
from traitbench.errors import BadData, MissingExtra, TraitbenchError, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.runs.evaluate import served as served_by
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Choose, Continue, Message, Request, Response, Write


@pytest.mark.parametrize("template", ["chat", "none"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_every_answer_is_that_of_the_backend_hf(
    name: str, template: str, tiny: Tiny, chooses: list[Choose], continues: list[Continue]
) -> None:
    """The tokenizer puts a token in front of every text, and the template ends in a line break: lm-eval's two traps."""
    folder = tiny(name) if template == "chat" else tiny(name, None)
    ours, theirs = hf(folder), lm_eval("hf", pretrained=str(folder))
    requests: list[Request] = [*chooses, *continues, *writes(chooses)]
    plain: dict[int, Response] = {}
    for control in (None, PROMPT):
        expected = answers(ours, requests, control)
        alike(answers(theirs, requests, control), expected)
        assert {r.status for r in expected.values() if r.text is not None} == {"truncated"}
        assert expected[0].option_logprobs != plain.get(0, Response()).option_logprobs
        plain = expected
    assert theirs.prompt(chooses[0]) == ours.prompt(chooses[0])
    # lm-eval samples by transformers' `generate`, as hf does where rows cannot be written together.
    ours.writer.together = False
    sampled = answers(ours, writes(chooses, 1.5), PROMPT)
    assert len({r.text for r in sampled.values()}) > 1
    for _ in range(2):
        alike(answers(theirs, writes(chooses, 1.5), PROMPT), sampled)


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


def test_a_run_and_its_second_half(say: Say, tiny: Tiny) -> None:
    more = "--method prompting --target extraversion=high --limit 3 --device cpu --scoring choice,statement,generate"
    done = say(command("hf", f"pretrained={tiny('llama')}", more))
    assert done.code == 0, done.err
    assert "%|" not in done.out + done.err, "no bar of lm-eval's"
    found = results("lm_eval__hf__*")
    assert found["model_source"] == "lm_eval" and found["model"]["lm_eval_model"] == "hf"
    assert found["model_name"] == tiny("llama").name
    journal = folder(f"lm_eval__hf__{tiny('llama').name}@prompting+*") / "responses.jsonl"
    kept = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(kept[: len(kept) // 2]))
    assert say(command("hf", f"pretrained={tiny('llama')}", more)).code == 0
    assert numbers(results("lm_eval__hf__*")) == numbers(found)
    assert len(journal.read_text().splitlines()) == len(kept)


def test_the_dummy_answers_letters(say: Say) -> None:
    random.seed(0)
    done = say(command("dummy", "max_length=9", "--limit 2 --scoring choice,generate"))
    assert done.code == 0 and "%|" not in done.err, done.err
    refused = say(command("dummy", "max_length=9", "--limit 2"))
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
    monkeypatch.setitem(sys.modules, "vllm", None)
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
