"""A real vLLM engine beside the hf backend, on the embedded model in float32: every kind of control, mixed and alone.

Runs in the environment of `make setup-vllm`: `.venv-vllm/bin/pytest -m vllm`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed: make setup-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

from traitbench import controls, inventories  # noqa: E402
from traitbench.backends.backend import Backend, Options  # noqa: E402
from traitbench.backends.hf import HuggingFace  # noqa: E402
from traitbench.backends.models import resolve  # noqa: E402
from traitbench.backends.vllm import VLLM  # noqa: E402
from traitbench.backends.vllm.selfcheck import Known, verify  # noqa: E402
from traitbench.controls.architectures import site_width  # noqa: E402
from traitbench.errors import BadData  # noqa: E402
from traitbench.tasks.administration import Administration, item_requests  # noqa: E402
from traitbench.types import Choose, Control, Edit, Message, Op, Request, Response, Scope, Site, Write  # noqa: E402

SPEC = resolve("smollm2")
NATS = 2e-4
PLACES: dict[Site, int] = {"residual": 10, "heads": 14, "gate": 15, "neurons": 20}
EDITS: list[tuple[Site, Op, Scope]] = [
    ("residual", "add", "all"), ("residual", "clamp", "answer"), ("heads", "add", "answer"), ("heads", "zero", "all"),
    ("gate", "add", "generated"), ("gate", "clamp", "answer"), ("neurons", "add", "all"),
    ("neurons", "zero", "generated"),
]  # fmt: skip


@dataclasses.dataclass
class Bench:
    """Both backends, ready for the same controls."""

    hf: HuggingFace
    vllm: VLLM
    controls: dict[str, Control]
    requests: list[Request]


def edit(folder: Path, site: Site, op: Op, scope: Scope, width: int, seed: int = 0) -> Control:
    """A control with one edit that moves answers by a nat or so."""
    rng = np.random.default_rng([seed, width])
    tensors = {
        "v": (rng.normal(size=width) * (2 if site == "residual" else 0.3)).astype(np.float32),
        "low": np.full(width, 0.05, np.float32), "units": np.arange(0, width, 7),
    }  # fmt: skip
    named = {"add": ("v", None), "clamp": ("low", None), "zero": (None, "units")}[op]
    held = {name: tensors[name] for name in named if name}
    made = Edit(layer=PLACES[site], site=site, op=op, tensor=named[0], units=named[1], positions=scope)
    return controls.store(folder, edits=(made,), tensors=held)


def lora(hf: HuggingFace, folder: Path, rank: int) -> Path:
    """An untrained adapter whose two matrices are both random, so that it changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from traitbench.controls.adapters import restored

    with restored(hf.model):
        torch.manual_seed(rank)
        made = get_peft_model(hf.model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "down_proj"]))
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One engine for all tests; hf stays open beside it, to be asked the same."""
    folder = tmp_path_factory.mktemp("controls")
    hf = HuggingFace(SPEC)
    width = {site: site_width(hf.model, site) for site in PLACES}
    told = (Message(role="system", content="You are very outgoing."),)
    made = {"none": Control(), "prompt": controls.store(folder, messages=told)}
    made |= {f"{site} {op} {scope}": edit(folder, site, op, scope, width[site]) for site, op, scope in EDITS}
    made |= {f"rank {r}": controls.store(folder, adapter=lora(hf, folder / f"lora{r}", r)) for r in (8, 16)}
    both = made["heads add answer"]
    made["rank 8 and heads"] = controls.store(
        folder, messages=told, edits=both.edits, tensors=controls.arrays(both), adapter=made["rank 8"].adapter
    )
    inventory = inventories.load("mini_ipip")
    asked = Administration(scoring=("choice", "statement", "generate"))
    requests = item_requests("mini_ipip", inventory, inventory.items[:3], asked, 0)
    # Chunks of 256 tokens, so that a prompt is computed in several steps.
    options = Options(arguments={"enforce_eager": True, "max_model_len": 1024, "max_num_batched_tokens": 256})
    vllm = VLLM.make(SPEC, options)
    vllm.prepare(list(made.values()), hf)
    yield Bench(hf, vllm, made, requests)
    vllm.close()
    hf.close()


def answers(backend: Backend, control: Control, requests: Sequence[Request]) -> dict[int, Response]:
    """Everything asked under one control."""
    found: dict[int, Response] = {}
    with backend.under(control):
        for batch in backend.run(requests):
            found |= batch
    return found


def apart(a: Mapping[int, Response], b: Mapping[int, Response]) -> float:
    """Largest difference of option and text log-probabilities, in nats."""
    worst = 0.0
    for i in a:
        if a[i].option_logprobs is not None:
            worst = max(worst, float(np.abs(np.subtract(a[i].option_logprobs, b[i].option_logprobs)).max()))  # type: ignore[arg-type]
        if a[i].loglik is not None:
            worst = max(worst, abs(a[i].loglik - b[i].loglik))  # type: ignore[operator]
            assert a[i].tokens == b[i].tokens
    return worst


NAMES = ["none", "prompt", *(" ".join(each) for each in EDITS), "rank 8", "rank 16", "rank 8 and heads"]


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_hf(bench: Bench, name: str) -> None:
    """Option log-probabilities, log-likelihoods and greedy replies."""
    control = bench.controls[name]
    ours, theirs = (answers(backend, control, bench.requests) for backend in (bench.vllm, bench.hf))
    assert apart(ours, theirs) < NATS
    for i, request in enumerate(bench.requests):
        assert ours[i].prompt_hash == theirs[i].prompt_hash
        if isinstance(request, Write):
            assert (ours[i].text, ours[i].tokens, ours[i].status) == (
                theirs[i].text,
                theirs[i].tokens,
                theirs[i].status,
            )


def test_every_control_does_something(bench: Bench) -> None:
    """Else the comparison above would prove nothing: each moves a choice or a text by more than ten times its bound."""
    plain = answers(bench.hf, Control(), bench.requests)
    for name, control in bench.controls.items():
        if name != "none":
            assert apart(answers(bench.hf, control, bench.requests), plain) > 10 * NATS, name


def test_twenty_switches_leave_nothing_behind(bench: Bench) -> None:
    """More controls than slots, one after the other and over again: each answers as it did alone."""
    chosen = [r for r in bench.requests if isinstance(r, Choose)][:2]
    alone = {name: answers(bench.hf, control, chosen) for name, control in bench.controls.items()}
    order = np.random.default_rng(0).choice(NAMES, 20)
    for name in order:
        assert apart(answers(bench.vllm, bench.controls[name], chosen), alone[name]) < NATS, name


def test_without_the_salt_a_control_reads_what_another_computed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the salt is what keeps them apart."""
    chosen = [r for r in bench.requests if isinstance(r, Choose)][:2]
    control = bench.controls["residual add all"]
    right = answers(bench.hf, control, chosen)
    unsalted = VLLM._ask
    monkeypatch.setattr(VLLM, "_ask", lambda *a, **k: unsalted(*a, **k)._replace(salt=None))
    answers(bench.vllm, Control(), chosen)
    assert apart(answers(bench.vllm, control, chosen), right) > 0.05


def test_the_self_check_tells_an_engine_that_does_not_edit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the mark of a request left out, nothing is edited: the check must not let that pass."""
    known = bench.vllm._known
    assert {each.site for each in known} == {None, *PLACES}
    assert verify(bench.vllm, known, "float32", lambda: "") < 1e-3
    monkeypatch.setattr(VLLM, "_slot", lambda self, control: bench.vllm.given.slots - 1)
    with pytest.raises(BadData, match="does not apply edits of"):
        verify(bench.vllm, known, "float32", lambda: "an engine")
    off = [Known(None, Control(), tuple(x + 0.01 for x in known[0].logprobs))]
    with pytest.raises(BadData, match="without any control"):
        verify(bench.vllm, off, "float32", lambda: "an engine")


def test_a_prompt_longer_than_the_engine_takes_names_the_setting(bench: Bench) -> None:
    long = Control(messages=(Message(role="system", content="word " * 1100),))
    with pytest.raises(BadData, match="max_model_len=1024"):
        answers(bench.vllm, long, bench.requests[:1])


def test_an_edit_that_was_not_made_ready_is_refused(bench: Bench, tmp_path: Path) -> None:
    signs = np.ones(site_width(bench.hf.model, "heads"), np.float32)
    made = Edit(layer=2, site="heads", op="add", tensor="signs")
    control = controls.store(tmp_path, edits=(made,), tensors={"signs": signs})
    with pytest.raises(Exception, match="layer 2 was not made ready"):
        answers(bench.vllm, control, bench.requests[:1])
