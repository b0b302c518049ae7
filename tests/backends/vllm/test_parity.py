"""A real vLLM engine beside the hf backend, on the embedded model in float32: every kind of control, mixed and alone.

Runs in the environment of `make setup-vllm`: `.venv-vllm/bin/pytest -m vllm`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed: make setup-vllm")
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

from asked import answers  # noqa: E402
from vllm_parity import EDITED, NATS, PLACES, Bench, alike, apart, ready, written  # noqa: E402

from traitbench import controls  # noqa: E402
from traitbench.backends.vllm import VLLM  # noqa: E402
from traitbench.backends.vllm.selfcheck import Known, verify  # noqa: E402
from traitbench.controls.architectures import site_width  # noqa: E402
from traitbench.errors import BadData  # noqa: E402
from traitbench.types import Control, Edit, Message, Response  # noqa: E402


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One engine for all tests; hf stays open beside it, to be asked the same."""
    # Chunks of 256 tokens, so that a prompt is computed in several steps.
    made = ready(tmp_path_factory.mktemp("controls"), (8, 16), 6, enforce_eager=True, max_num_batched_tokens=256)
    yield made
    made.close()


NAMES = ["none", "prompt", *EDITED, "rank 8", "rank 16", "rank 8 and heads"]


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_hf(bench: Bench, name: str) -> None:
    """Option log-probabilities, log-likelihoods and greedy replies, of which a near tie may fall the other way."""
    ours, theirs = answers(bench.vllm, bench.all, bench.controls[name]), bench.wanted(name)
    assert apart(ours, theirs) < NATS
    assert all(ours[i].prompt_hash == theirs[i].prompt_hash for i in ours)
    assert alike(ours, theirs) >= 0.9


@pytest.mark.slow
def test_fifty_replies_are_those_of_hf(bench: Bench) -> None:
    """Greedy replies to 50 prompts of several lengths, under every control."""
    asked = written(50, 24)
    for name in NAMES:
        ours, theirs = (answers(backend, asked, bench.controls[name]) for backend in (bench.vllm, bench.hf))
        assert alike(ours, theirs) >= 0.95, name


def test_a_repetition_penalty_is_that_of_hf(bench: Bench) -> None:
    asked = [request.model_copy(update={"repetition_penalty": 1.3}) for request in written(12, 16)]
    ours, theirs = (answers(backend, asked, bench.controls["none"]) for backend in (bench.vllm, bench.hf))
    assert alike(ours, theirs) >= 0.9
    assert alike(ours, answers(bench.hf, written(12, 16), bench.controls["none"])) < 0.9


def test_every_control_does_something(bench: Bench) -> None:
    """Else the comparison above would prove nothing: each moves a choice or a text by more than ten times its bound."""
    for name in NAMES[1:]:
        assert apart(bench.wanted(name), bench.wanted("none")) > 10 * NATS, name


def test_a_batch_of_all_controls_answers_as_each_alone(bench: Bench) -> None:
    """More controls with edits than slots, adapters, and requests of several kinds and lengths, shuffled."""
    pairs = [(name, i) for name in NAMES for i in range(len(bench.requests))]
    mixed = [pairs[i] for i in np.random.default_rng(1).permutation(len(pairs))]
    found: dict[str, dict[int, Response]] = {name: {} for name in NAMES}
    for batch in bench.vllm.run_mixed([(bench.controls[name], bench.all[i]) for name, i in mixed]):
        for place, response in batch.items():
            name, i = mixed[place]
            found[name][i] = response
    for name in NAMES:
        assert apart(found[name], bench.wanted(name)) < NATS, name
    assert np.mean([alike(found[name], bench.wanted(name)) for name in NAMES]) >= 0.95


def test_twenty_switches_leave_nothing_behind(bench: Bench) -> None:
    """More controls than slots, one after the other and over again: each answers as it did alone."""
    for name in np.random.default_rng(0).choice(NAMES, 20):
        assert apart(answers(bench.vllm, bench.requests[:2], bench.controls[name]), bench.wanted(name)) < NATS, name


def test_without_the_salt_a_control_reads_what_another_computed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the salt is what keeps them apart."""
    chosen, control = bench.requests[:2], bench.controls["residual add all"]
    unsalted = VLLM._ask
    monkeypatch.setattr(VLLM, "_ask", lambda *a, **k: unsalted(*a, **k)._replace(salt=None))
    answers(bench.vllm, chosen, Control())
    assert apart(answers(bench.vllm, chosen, control), bench.wanted("residual add all")) > 0.05


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
        answers(bench.vllm, bench.requests[:1], long)


def test_an_edit_that_was_not_made_ready_is_refused(bench: Bench, tmp_path: Path) -> None:
    signs = np.ones(site_width(bench.hf.model, "heads"), np.float32)
    made = Edit(layer=2, site="heads", op="add", tensor="signs")
    control = controls.store(tmp_path, edits=(made,), tensors={"signs": signs})
    with pytest.raises(Exception, match="layer 2 was not made ready"):
        answers(bench.vllm, bench.requests[:1], control)
