"""Tokens that are counted beforehand, against those that a model is really given."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.backends import counting, packing
from traitbench.backends.backend import Work
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.rendering import Renderer
from traitbench.tasks import Administration
from traitbench.tasks.questionnaire import Questionnaire
from traitbench.types import Choose, Continue, Control, Message, Request, Write

Tiny = Callable[..., Path]
TOLD = Control(messages=(Message(role="system", content="You love the crowd, make plans and worry about answers."),))


def load(folder: Path | str, **settings: Any) -> HuggingFace:
    return HuggingFace(resolve(str(folder)), device="cpu", **settings)


@contextmanager
def given(backend: HuggingFace) -> Iterator[list[int]]:
    """Tokens of every pass of the model."""
    passes: list[int] = []
    hook = backend.model.register_forward_pre_hook(
        lambda _, args, named: passes.append(named["input_ids"].numel()), with_kwargs=True
    )
    try:
        yield passes
    finally:
        hook.remove()


def computed(backend: HuggingFace, requests: list[Request], control: Control) -> int:
    """Tokens of a run; the check of packing comes with the first one and is left out."""
    list(backend.run(requests[:2]))
    with given(backend) as passes, backend.under(control):
        list(backend.run(requests))
    return sum(passes)


def total(work: Work | None) -> float:
    assert work is not None and work.usd is None
    return work.shared + work.own


@pytest.mark.parametrize("control", [Control(), TOLD])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_packed_rows_take_what_was_counted(
    tiny: Tiny, chooses: list[Choose], continues: list[Continue], name: str, control: Control
) -> None:
    backend = load(tiny(name))
    for requests in (chooses, continues, [*chooses, *continues], chooses[:1]):
        work = backend.work(requests, control)
        assert total(work) == computed(backend, requests, control)
        assert (work.shared > 0) == (len({request.messages for request in requests}) > 1)


def test_texts_behind_one_prompt_take_it_once(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"))
    pairs: list[Request] = [
        Continue(doc=one.doc, messages=one.messages, text=text)
        for one in chooses
        for text in ("I hum", "a party or not")
    ]
    work = backend.work(pairs, TOLD)
    assert total(work) == computed(backend, pairs, TOLD)
    # The prefix of all is computed a second time; the rest of each prompt is not.
    once, again = backend.work(pairs[::2], TOLD), backend.work(pairs[1::2], TOLD)
    assert total(once) + total(again) - total(work) == once.shared + sum(
        len(backend.renderer.encode(backend.renderer.render(one.conversation(TOLD), one.cue))) - once.shared
        for one in pairs[::2]
    )


def test_the_prompts_of_replies_take_what_was_counted(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"))
    replies: list[Request] = [Write(doc=r.doc, messages=r.messages, max_tokens=1) for r in chooses]
    assert total(backend.work(replies, TOLD)) == computed(backend, replies, TOLD)


def test_what_all_prefixes_begin_with_counts_once(
    tiny: Tiny, chooses: list[Choose], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, whole = load(tiny("llama")), "You love the crowd. " * 9
    requests = [
        r.model_copy(update={"messages": (Message(role="user", content=f"{whole}{n} {r.messages[0].content}"),)})
        for n in ("First.", "Second.")
        for r in chooses
    ]
    apart = total(backend.work(requests, Control()))
    monkeypatch.setattr(packing, "_BASE", 8)
    assert total(backend.work(requests, Control())) == computed(backend, requests, Control()) < apart - 30


def test_prompts_that_stand_alone_take_what_was_counted(tiny: Tiny, chooses: list[Choose]) -> None:
    # One a batch, so that nothing is padded.
    backend = load(tiny("llama"), packed=False, batch_size=1)
    backend.scorer.tokens = 1
    work = backend.work(chooses, TOLD)
    assert work.shared == 0 and total(work) == computed(backend, chooses, TOLD)


def test_the_prompt_of_a_reply_counts_whole(tiny: Tiny, chooses: list[Choose]) -> None:
    backend = load(tiny("llama"), batch_size=1)
    writes = [Write(doc=r.doc, messages=r.messages, cue=r.cue, max_tokens=1) for r in chooses]
    assert total(backend.work(writes, TOLD)) == computed(backend, writes, TOLD)


@pytest.mark.model
def test_the_embedded_model_takes_what_was_counted() -> None:
    grid = Administration(scoring=("choice", "statement"), limit=4)
    requests = Questionnaire(inventories.load("mini_ipip"), grid).requests(0)
    backend = load("smollm2")
    assert total(backend.work(requests, TOLD)) == computed(backend, requests, TOLD)


@pytest.mark.parametrize("block", [1, 4, 16])
def test_a_cache_of_blocks_leaves_what_no_other_text_began_with(
    make_tokenizer: Callable[..., Any], chooses: list[Choose], continues: list[Continue], block: int
) -> None:
    renderer = Renderer(make_tokenizer())
    texts: list[tuple[int, ...]] = []
    for request in (*chooses, *continues):
        prompt = renderer.render(request.conversation(TOLD), request.cue)
        ids = renderer.encode(prompt)
        answers = [answer for option in renderer.options(request, prompt, ids) for answer in option]
        if isinstance(request, Continue):
            texts += [ids + answer for answer in answers]
        else:
            texts += [ids + path for path in {answer[:n] for answer in answers for n in range(len(answer))}]

    def left(text: tuple[int, ...], blocks: set[tuple[int, ...]]) -> int:
        size = 0
        while size + block < len(text) and text[: size + block] in blocks:
            size += block
        return len(text) - size

    def cut(text: tuple[int, ...]) -> set[tuple[int, ...]]:
        return {text[:n] for n in range(block, len(text) + 1, block)}

    random.Random(0).shuffle(texts)
    texts.sort(key=len)
    blocks: set[tuple[int, ...]] = set()
    new = 0
    for text in texts:
        new += left(text, blocks)
        blocks |= cut(text)
    own = sum(left(t, set().union(*(cut(other) for m, other in enumerate(texts) if m != n)))
              for n, t in enumerate(texts))  # fmt: skip
    work = counting.cached(renderer, [*chooses, *continues], TOLD, block)
    assert (work.shared + work.own, work.own) == (new, own)


def test_works_are_reckoned_part_by_part() -> None:
    one, two = Work(shared=8, own=2, usd=0.5), Work(shared=1, own=4, usd=0.25)
    assert Work.total([one, two]) == Work(shared=9, own=6, usd=0.75) and Work.total([]) == Work(usd=0)
    assert one.times(3) == Work(shared=24, own=6, usd=1.5) and one.tokens == 10
    assert Work.of(max, one, two) == Work(shared=8, own=4, usd=0.5)
    assert Work.total([one, Work(own=1)]) == Work(shared=8, own=3)
