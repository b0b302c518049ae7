"""Replies written in batches: each text is that of its prompt alone, token by token and without a cache.

Over 300 lines: every kind of batch is held to one and the same slow way of writing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import transformers
from asked import answers

from traitbench import controls
from traitbench.backends import BACKENDS
from traitbench.backends.drawing import drawn
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import ModelSpec, resolve
from traitbench.backends.rendering import draw_seed
from traitbench.backends.writing import batches
from traitbench.controls.architectures import site_width
from traitbench.controls.interventions import applied
from traitbench.tasks import Administration
from traitbench.types import Choose, Control, Doc, Edit, Message, Response, Scope, Site, Write, prompt_hash

Tiny = Callable[..., Path]
WAYS: dict[str, dict[str, float]] = {
    "greedy": {},
    "sampled": {"temperature": 1.3},
    "greedy, penalty": {"repetition_penalty": 1.5},
    "sampled, penalty": {"temperature": 0.7, "repetition_penalty": 1.5},
}
TEXTS = (
    "I love the crowd.",
    "I make plans. " * 9,
    "I worry.",
    "I love the crowd, and I am the one who answers.",
    "I hum",
    "I make plans. I make plans, I worry.",
)


def load(folder: Path, **settings: Any) -> HuggingFace:
    return HuggingFace(resolve(str(folder)), device="cpu", **settings)


def asks(way: str = "greedy", most: tuple[int, ...] = (9, 4, 1), system: str = "Answer as yourself.") -> list[Write]:
    """Six prompts of several lengths behind one beginning, whose replies may be of several lengths."""
    doc = Doc(task="t", scoring="generate", item="i", trait="extraversion", facet=None, keyed=1)
    return [
        Write(
            doc=doc, messages=(Message(role="system", content=system), Message(role="user", content=text)),
            max_tokens=most[n % len(most)], seed=n, **WAYS[way],
        )
        for n, text in enumerate(TEXTS)
    ]  # fmt: skip


def alone(backend: HuggingFace, ask: Write, control: Control | None = None) -> Response:
    """The reply by a pass over the whole text for each token; sampled by summing the whole distribution."""
    with backend.under(control):
        prompt = backend.prompt(ask)
    before = list(backend.renderer.encode(prompt))
    seed = draw_seed(ask.seed, prompt_hash(prompt))
    numbers = torch.rand(ask.max_tokens, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    said: list[int] = []
    ended = False
    edits = control.edits if control is not None else ()
    arrays = controls.arrays(control) if control is not None and edits else {}
    with applied(backend.model, edits, arrays) as state, torch.no_grad():
        while len(said) < ask.max_tokens and not ended:
            at = torch.arange(len(before) + len(said))[None]
            state.span(at >= len(before) - 1, at >= len(before))
            logits = backend.model(torch.tensor([before + said])).logits[0, -1].float()
            for token in set(before + said):
                logits[token] *= ask.repetition_penalty ** (1 if logits[token] < 0 else -1)
            token = int(logits.argmax())
            if ask.temperature:
                upto = torch.softmax(logits.double() / ask.temperature, 0).cumsum(0)
                token = int((upto <= numbers[len(said)]).sum())
            ended = token in backend.model.generation_config.eos_token_id
            said += [] if ended else [token]
    return Response(
        status="valid" if ended else "truncated", prompt_hash=prompt_hash(prompt), tokens=len(said),
        text=backend.tokenizer.decode(said, skip_special_tokens=True),
    )  # fmt: skip


def ending(backend: HuggingFace, written: list[Write]) -> HuggingFace:
    """Let replies end at several places: at tokens that a reply would else hold in its midst."""
    said = [int(token) for token in torch.tensor(_tokens(backend, written[0]))[2:4]]
    backend.model.generation_config.eos_token_id = [3, *said]
    return backend


def _tokens(backend: HuggingFace, ask: Write) -> list[int]:
    ids = list(backend.encode_prompt(ask))
    with torch.no_grad():
        for _ in range(5):
            ids.append(int(backend.model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-5:]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["llama", "qwen2-window", "gpt2", "gemma2", "gemma3", "mistral", "phi3"])
def test_a_reply_in_a_batch_is_that_of_its_prompt_alone(name: str, way: str, tiny: Tiny) -> None:
    written = asks(way)
    backend = ending(load(tiny(name)), written)
    assert answers(backend, written) == {n: alone(backend, ask) for n, ask in enumerate(written)}
    assert backend.writer.together, "they were written together"


@pytest.mark.parametrize("way", WAYS)
def test_without_a_chat_template_and_whatever_else_is_asked(way: str, tiny: Tiny, chooses: list[Choose]) -> None:
    written = asks(way)
    backend = ending(load(tiny("llama", None)), written)
    mixed = [written[0], chooses[0], *written[1:], chooses[1]]
    found = answers(backend, mixed)
    assert {n: found[n].text for n in found if isinstance(mixed[n], Write)} == {
        n: alone(backend, ask).text for n, ask in enumerate(mixed) if isinstance(ask, Write)
    }


@pytest.mark.parametrize("way", ["greedy", "sampled, penalty"])
def test_a_reply_hangs_on_no_other_of_its_batch(way: str, tiny: Tiny) -> None:
    written = [*asks(way, (12,)), *asks(way, (12,), "Be brief.")]
    folder = tiny("llama")
    backend = ending(load(folder), written)
    expected = answers(backend, written)
    assert len({response.text for response in expected.values()}) > 8
    for settings in ({"batch_size": 1}, {"batch_size": 5}):
        assert answers(ending(load(folder, **settings), written), written) == expected
    order = np.random.default_rng(0).permutation(len(written))
    again = answers(backend, [written[n] for n in order])
    assert {n: again[place] for place, n in enumerate(order)} == expected
    for way in ("sampled", "greedy"):
        among = answers(backend, [*asks(way, (3,), "Be kind."), *written])
        assert {n - len(TEXTS): among[n] for n in among if n >= len(TEXTS)} == expected


@pytest.mark.parametrize(("site", "positions"), [*product(get_args(Site), get_args(Scope))])
def test_edits_touch_what_they_would_of_a_prompt_alone(
    site: Site, positions: Scope, tiny: Tiny, tmp_path: Path
) -> None:
    written = [*asks("greedy", (6, 3)), *asks("sampled", (6, 3))]
    backend = load(tiny("llama"))
    push = np.random.default_rng(0).normal(size=site_width(backend.model, site)).astype(np.float32)
    control = controls.store(
        tmp_path, tensors={"push": push},
        edits=[
            Edit(layer=1, site=site, op="add", tensor="push", strength=3, positions=positions),
            Edit(layer=0, site=site, op="clamp", tensor="push", positions="all"),
        ],
    )  # fmt: skip
    found = answers(backend, written, control)
    assert found == {n: alone(backend, ask, control) for n, ask in enumerate(written)}
    assert backend.writer.together
    assert [found[n].text for n in found] != [response.text for response in answers(backend, written).values()]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_adapter_messages_and_edits_together(tiny: Tiny, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    written = [*asks("greedy", (6,)), *asks("sampled", (6,))]
    backend = load(tiny("llama"))
    torch.manual_seed(1)
    made = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(tiny("llama")),
        peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False),
    )
    made.save_pretrained(tmp_path / "lora")
    control = controls.store(
        tmp_path, adapter=tmp_path / "lora", messages=[Message(role="system", content="You worry.")],
        edits=[Edit(layer=1, site="residual", op="add", tensor="v", positions="answer")],
        tensors={"v": np.ones(32, np.float32)},
    )  # fmt: skip
    together = answers(backend, written, control)
    before = answers(backend, written)
    one = load(tiny("llama"), packed=False, batch_size=1)
    greedy = answers(one, written[: len(TEXTS)], control)
    assert {n: together[n] for n in greedy} == greedy
    each = {n: answers(load(tiny("llama")), [ask], control)[0] for n, ask in enumerate(written)}
    assert together == each != before


def test_finished_rows_leave(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    written = asks("greedy", (9, 2, 5, 1, 7, 3))
    backend = load(tiny("llama"))
    answers(backend, written[:1])
    rows: list[int] = []
    real = backend.model.forward

    def watched(**inputs: Any) -> Any:
        if inputs["input_ids"].shape[1] == 1:
            rows.append(inputs["input_ids"].shape[0])
        return real(**inputs)

    monkeypatch.setattr(backend.model, "forward", watched)
    found = answers(backend, written)
    # The first token of each comes from its prompt; the last is not read again.
    assert sum(rows) == sum(response.tokens - 1 for response in found.values() if response.tokens)
    assert rows == sorted(rows, reverse=True)


def test_a_resumed_run_writes_the_same_batches(tiny: Tiny) -> None:
    written = [*asks("sampled", (6,)), *asks("greedy", (6,))]
    folder = tiny("llama")
    whole = answers(load(folder, batch_size=5), written)
    rest = answers(load(folder, batch_size=5), written, done=[n for n in whole if n != 1])
    assert set(rest) > {1} and len(rest) < len(whole)
    assert all(whole[n] == response for n, response in rest.items())
    assert answers(load(folder), written, done=range(len(written))) == {}


def test_a_step_that_differs_is_noticed_and_given_up(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = asks("greedy", (6,))
    expected = answers(load(tiny("llama")), written)
    backend = load(tiny("llama"))
    real = backend.scorer.forward

    def wrong(keep: list[int], **inputs: Any) -> torch.Tensor:
        if "position_ids" in inputs and inputs["position_ids"].shape[1] == 1:
            inputs["position_ids"] = inputs["position_ids"] * 0
        return real(keep, **inputs)

    monkeypatch.setattr(backend.scorer, "forward", wrong)
    with caplog.at_level(logging.WARNING, "traitbench"):
        assert answers(backend, written) == expected
        assert answers(backend, written) == expected
    assert [record.message.split(":")[0] for record in caplog.records] == ["LlamaForCausalLM writes by generate"]


def test_too_little_memory_halves_the_batch(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, written = load(tiny("llama")), asks("sampled", (6,))
    expected = answers(backend, written)
    real = backend.writer._read

    def small(items: Any, *given: Any) -> Any:
        if len(items) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(items, *given)

    monkeypatch.setattr(backend.writer, "_read", small)
    assert answers(backend, written) == expected


def test_a_reply_ends_with_the_positions_of_the_model(tiny: Tiny) -> None:
    backend = load(tiny("gpt2"))
    long = asks("greedy", (400,))[0].model_copy(update={"messages": (Message(role="user", content="I worry. " * 60),)})
    size = len(backend.encode_prompt(long))
    assert 112 < size < 512
    found = answers(backend, [long])[0]
    assert found.tokens is not None and (found.tokens == 512 - size or found.status == "valid")


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_batches_hold_everything_once_within_their_bounds(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for spread in (1, 300):
        lengths = [int(n) for n in 100 + rng.integers(spread, size=130)]
        found = batches(lengths, rows, 4000)
        assert sorted(n for batch in found for n in batch) == list(range(130))
        assert max(len(batch) * max(lengths[n] for n in batch) for batch in found) <= 4000
        assert max(map(len, found)) <= rows
    assert batches([5] * 130, 64, 10**9) == [[*range(44)], [*range(44, 88)], [*range(88, 130)]]
    assert batches([10**9], 64, 10) == [[0]]
    assert batches([], 64, 10) == []
    assert batches([10, 900, 10, 900], 2, 10**9) == [[1, 3], [0, 2]]


def test_draws_follow_the_distribution() -> None:
    logits = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0)) * 3
    logits[1, 500:] = -torch.inf
    upto = torch.softmax(logits.double(), -1).cumsum(-1)
    at = torch.rand(400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for number in (*at.tolist(), 0.0, 1 - 2**-53):
        tokens = drawn(logits, torch.full((3,), number, dtype=torch.float64))
        for row, token in enumerate(tokens.tolist()):
            assert upto[row, token] >= number - 1e-6
            assert token == 0 or upto[row, token - 1] <= number + 1e-6
            assert logits[row, token] > -torch.inf


def test_no_penalty_leaves_the_names_of_requests_and_runs_as_they_were() -> None:
    plain, other = asks()[0], asks("greedy, penalty")[0]
    assert "repetition_penalty" not in plain.content()
    assert other.content() == {**plain.content(), "repetition_penalty": 1.5}
    assert "repetition_penalty" not in Administration().model_dump(mode="json")
    asked = Administration(repetition_penalty=1.5)
    assert asked.model_dump(mode="json")["repetition_penalty"] == 1.5
    assert Administration.model_validate(asked.model_dump(mode="json")) == asked


@pytest.mark.parametrize("name", ["endpoint", "lm_eval"])
def test_a_penalty_that_a_backend_does_not_have_is_refused(name: str) -> None:
    kind, spec = BACKENDS.load(name), ModelSpec(name="m", label="m", source="local-completions", backend=name)
    assert kind.refuses(asks()[0], spec) is None
    assert "repetition_penalty" in str(kind.refuses(asks("greedy, penalty")[0], spec))
    assert HuggingFace.refuses(asks("greedy, penalty")[0], spec) is None
