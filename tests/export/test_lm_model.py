"""lm-eval's model under a control: its numbers are those of our own backend, and without one those of lm-eval's own."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import CONFIGS

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.adapters import copy_adapter
from traitbench.errors import BadData, UnsupportedControl
from traitbench.types import Continue, Control, Doc, Edit, Fit, Message, Scope, Write

pytest.importorskip("lm_eval")

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from traitbench.export.lm_model import ControlledLM

Tiny = Callable[..., Path]
ASK = "Describe yourself as someone who answers the crowd with a plan."
TEXTS = ("I love the crowd.", "I make plans.", "I worry.", "I am the one who answers.", "I hum", "A")
MESSAGES = (Message(role="system", content="You worry."), Message(role="user", content="Answer as one who worries."))
EDITS: dict[str, Scope] = {"edit-all": "all", "edit-answer": "answer", "edit-generated": "generated"}
KINDS = ["none", "prompt", *EDITS, "lora", "everything"]


def adapter(folder: Path) -> Path:
    """A LoRA that changes the tiny Llama."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    made = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()),
        peft.LoraConfig(r=4, target_modules="all-linear"),
    )
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    made.save_pretrained(folder / "trained")
    copy_adapter(folder / "trained", folder / "adapter")
    return folder / "adapter"


def control(kind: str, folder: Path) -> Control | None:
    if kind == "none":
        return None
    shift = np.random.default_rng(0).normal(size=32).astype(np.float32)
    scope = EDITS.get(kind, "answer")
    edits = [Edit(layer=1, site="residual", op="add", tensor="shift", strength=0.5, positions=scope)]
    every = kind == "everything"
    return controls.store(
        folder / "controls",
        messages=MESSAGES if every or kind == "prompt" else (),
        edits=edits if every or kind in EDITS else (),
        tensors={"shift": shift} if every or kind in EDITS else None,
        adapter=adapter(folder) if every or kind == "lora" else None,
        fit=Fit(method="m", version="1", target="neuroticism=high"),
    )


def place(made: Control | None, folder: Path) -> str | None:
    return None if made is None else str(folder / "controls" / made.hash)


def asked(kind: str, *args: Any) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=args, idx=0, metadata=("t", 0, 1))


def doc(name: str) -> Doc:
    return Doc(task="t", scoring="statement", item=name, trait="neuroticism", facet=None, keyed=1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_continuation_is_worth_what_our_own_backend_says(kind: str, chat: bool, tiny: Tiny, tmp_path: Path) -> None:
    folder, made = tiny("llama") if chat else tiny("llama", None), control(kind, tmp_path)
    ours = HuggingFace(resolve(str(folder)), device="cpu")
    requests = [
        Continue(doc=doc(text), messages=(Message(role="user", content=ASK),), cue="Answer:", text=text)
        for text in TEXTS
    ]
    with ours.under(made):
        expected = {i: r for batch in ours.run(requests) for i, r in batch.items()}
    theirs = ControlledLM(pretrained=str(folder), control=place(made, tmp_path))
    context = theirs.apply_chat_template([{"role": "user", "content": ASK}]) if chat else f"{ASK}\nAnswer:"
    found = theirs.loglikelihood(
        [asked("loglikelihood", context, ours.renderer.continuation(text)) for text in TEXTS], disable_tqdm=True
    )
    for i, (value, _) in enumerate(found):
        assert value == pytest.approx(expected[i].loglik, abs=1e-4)
    with ours.under(made):
        assert context == ours.prompt(requests[0]) or not chat
    plain = {i: r for batch in ours.run(requests) for i, r in batch.items()}
    moved = max(abs(value - (plain[i].loglik or 0)) for i, (value, _) in enumerate(found))
    assert moved < 1e-4 if kind == "none" else moved > 0.01


@pytest.mark.parametrize("kind", ["none", "prompt", "edit-all", "edit-answer", "edit-generated"])
def test_a_reply_is_what_our_own_backend_writes(kind: str, tiny: Tiny, tmp_path: Path) -> None:
    folder, made = tiny("llama"), control(kind, tmp_path)
    ours = HuggingFace(resolve(str(folder)), device="cpu")
    asks = [ASK, "Who are you?", "A crowd of plans, a plan of crowds and more of it."]
    requests = [Write(doc=doc(ask), messages=(Message(role="user", content=ask),), max_tokens=9) for ask in asks]
    with ours.under(made):
        expected = {i: r for batch in ours.run(requests) for i, r in batch.items()}
    theirs = ControlledLM(pretrained=str(folder), control=place(made, tmp_path), batch_size=2)
    found = theirs.generate_until(
        [
            asked("generate_until", theirs.apply_chat_template([{"role": "user", "content": ask}]),
                  {"until": [], "max_gen_toks": 9})
            for ask in asks
        ],
        disable_tqdm=True,
    )  # fmt: skip
    assert found == [expected[i].text for i in range(len(asks))]
    plain = {i: r.text for batch in ours.run(requests) for i, r in batch.items()}
    assert (found == list(plain.values())) is (kind == "none")


def test_lm_evals_own_models_keep_their_names() -> None:
    """In a process of its own: lm-eval fills its table once, when it is first asked and finds it empty."""
    code = (
        "from traitbench.lm_eval import register; register(); from lm_eval.api.registry import get_model; "
        "print(get_model('dummy').__name__, get_model('traitbench').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["DummyLM", "ControlledLM"], done.stderr[-2000:]


def test_without_a_control_it_is_lm_evals_own_model(tiny: Tiny) -> None:
    folder = str(tiny("llama", None))
    theirs, mine = HFLM(pretrained=folder, device="cpu", dtype="float32"), ControlledLM(pretrained=folder)
    pairs = [("A crowd. Answer: ", "one"), ("A crowd. Answer:", " two more"), ("A crowd. Answer:", " two men"),
             ("", "plans"), ("Plans and plans and plans. " * 60, " and the crowd"), ("x", "e")]  # fmt: skip
    # What the model itself writes next is the only greedy one.
    greedy = mine.generate_until([asked("generate_until", "A crowd.", {"until": [], "max_gen_toks": 2})], True)
    pairs += [("A crowd.", greedy[0])]
    requests = [asked("loglikelihood", *pair) for pair in pairs]
    for (a, one), (b, two) in zip(
        theirs.loglikelihood(requests, True), mine.loglikelihood(requests, True), strict=True
    ):
        assert a == pytest.approx(b, abs=1e-4) and one == two
    texts = [asked("loglikelihood_rolling", text) for text in ("I hum.", "A crowd makes plans. " * 80)]
    assert mine.loglikelihood_rolling(texts, True) == pytest.approx(theirs.loglikelihood_rolling(texts, True), abs=1e-3)
    assert mine.tokenizer_name == theirs.tokenizer_name


def test_whole_texts_are_scored_under_edits_and_refused_under_messages(tiny: Tiny, tmp_path: Path) -> None:
    folder, texts = str(tiny("llama", None)), [asked("loglikelihood_rolling", "I love the crowd.")]
    before = ControlledLM(pretrained=folder).loglikelihood_rolling(texts, True)[0]
    values = []
    for kind in EDITS:
        under = ControlledLM(pretrained=folder, control=place(control(kind, tmp_path), tmp_path))
        values.append(under.loglikelihood_rolling(texts, True)[0])
    # All that follows the first token is the model's own: the first token itself is its prompt's last.
    assert values[0] == values[1] != before and values[2] not in (before, values[0])
    under = ControlledLM(pretrained=folder, control=place(control("prompt", tmp_path), tmp_path))
    with pytest.raises(UnsupportedControl, match="no prompt"):
        under.loglikelihood_rolling(texts, True)


def test_messages_stand_behind_system_turns_and_before_examples(tiny: Tiny, tmp_path: Path) -> None:
    made = control("prompt", tmp_path)
    lm = ControlledLM(pretrained=str(tiny("llama")), control=place(made, tmp_path))
    turns = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Two?"},
    ]  # fmt: skip
    text = lm.apply_chat_template(turns)
    assert text == (
        "<|im_start|>system\nBe brief.\n\nYou worry.<|im_end|>\n<|im_start|>user\nAnswer as one who worries.\n\nOne?"
        "<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    begun = lm.apply_chat_template([*turns, {"role": "assistant", "content": "Answer:"}], add_generation_prompt=False)
    assert begun == text + "Answer:"


def test_what_would_be_lost_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    lm = ControlledLM(pretrained=str(tiny("llama")), control=place(control("prompt", tmp_path), tmp_path))
    long = lm.apply_chat_template([{"role": "user", "content": "I worry. " * 400}])
    with pytest.raises(BadData, match="messages away"):
        lm.loglikelihood([asked("loglikelihood", long, "A")], True)
    with pytest.raises(BadData, match="messages away"):
        lm.generate_until([asked("generate_until", long, {"until": [], "max_gen_toks": 4})], True)
    with pytest.raises(UnsupportedControl, match="no language model"):
        ControlledLM(pretrained="scripted:uniform")


@pytest.fixture
def own_task() -> Any:
    """A task of lm-eval's own kind, over texts made here."""
    datasets = pytest.importorskip("datasets")
    from lm_eval.api.task import ConfigurableTask

    rows = [{"q": f"Number {n}", "choices": ["one", "two"], "gold": n % 2} for n in range(4)]
    config = {
        "task": "own",
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}],
    }
    return ConfigurableTask(config=config)


@pytest.mark.filterwarnings("ignore")
def test_lm_evals_caches_are_not_used_under_a_control(own_task: Any, tiny: Tiny, tmp_path: Path) -> None:
    import lm_eval
    from lm_eval.api.registry import get_model
    from lm_eval.tasks import TaskManager

    from traitbench.lm_eval import register

    register()
    register()
    assert get_model("traitbench") is ControlledLM
    folder, made = str(tiny("llama")), control("prompt", tmp_path)
    none = TaskManager(include_defaults=False)
    run: dict[str, Any] = {
        "model": "traitbench", "tasks": [own_task], "task_manager": none, "bootstrap_iters": 0, "batch_size": 4,
    }  # fmt: skip
    answered = str(tmp_path / "answers")
    plain = lm_eval.simple_evaluate(model_args={"pretrained": folder}, use_cache=answered, **run)
    under = {"pretrained": folder, "control": place(made, tmp_path)}
    with pytest.raises(UnsupportedControl, match="use_cache"):
        lm_eval.simple_evaluate(model_args=under, use_cache=answered, **run)
    controlled = lm_eval.simple_evaluate(model_args=under, **run)
    assert made is not None and controlled["config"]["control_hash"] == made.hash
    assert controlled["config"]["control_target"] == "neuroticism=high"
    for a, b in zip(plain["samples"]["own"], controlled["samples"]["own"], strict=True):
        assert a["resps"] != b["resps"]
    # The prompts that lm-eval keeps are kept under the control's name.
    names = {ControlledLM(**args).tokenizer_name for args in ({"pretrained": folder}, under)}
    assert len(names) == 2 and any(made.hash in name for name in names)
    assert all(math.isfinite(row["resps"][0][0][0]) for row in controlled["samples"]["own"])
