"""Whether a model reads its prompts, and the first token of a text, which a tokenizer may leave out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from asked import answers
from tiny_models import CHATML, GQA, NO_IDS, tokenizer
from tokenizers import processors

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.neutral import FEW, a_word, passages, requests
from traitbench.backends.reading import begin, compared, first_tokens, kept
from traitbench.backends.rendering import Renderer
from traitbench.methods.training.examples import example
from traitbench.statistics.thresholds import BEGINNING
from traitbench.types import Beginning, Choose, Response

Load = Callable[..., HuggingFace]
BARE = CHATML.replace("<|im_start|>", "")


def silent(template: str | None) -> Any:
    """The tokenizer of the tiny models without the first token that it would write."""
    words = tokenizer(template)
    words.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    words.pad_token = "<|im_start|>"
    return words


def model_of(words: Any, needs: bool) -> Any:
    """A model that knows how frequent each token is in neutral prose: only where <s> stands before, or always.

    Every token is one and the same direction, <s> another, which attention carries to all later places; the head
    reads the frequencies off the second.
    """
    config = transformers.LlamaConfig(**{**GQA, **NO_IDS, "num_hidden_layers": 1, "tie_word_embeddings": False})
    made = transformers.AutoModelForCausalLM.from_config(config)
    counts = Counter(token for text in passages() for token in words(f" {text}", add_special_tokens=False)["input_ids"])
    likely = torch.tensor([math.log((counts[token] + 0.1) / (counts.total() + 32)) for token in range(320)])
    plain, first = torch.eye(32)[0], torch.eye(32)[1]
    with torch.no_grad():
        for name, weight in made.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        made.model.embed_tokens.weight.copy_(plain)
        made.model.embed_tokens.weight[0] = first
        attention = made.model.layers[0].self_attn
        attention.v_proj.weight[0] = first
        attention.o_proj.weight[:, 0] = 1000 * first
        made.lm_head.weight.copy_(torch.outer(likely / math.sqrt(32), first if needs else plain + first))
    return made


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads such a model."""

    def go(words: Any, needs: bool = True, **settings: Any) -> HuggingFace:
        model_of(words, needs).save_pretrained(tmp_path)
        words.save_pretrained(tmp_path)
        return HuggingFace(resolve(str(tmp_path)), device="cpu", **settings)

    return go


@pytest.mark.parametrize("packed", [True, False])
def test_the_first_token_is_written_where_the_model_reads_clearly_better_with_it(
    packed: bool, load: Load, chooses: list[Choose]
) -> None:
    words = silent(None)
    backend = load(words, packed=packed)
    found = backend.beginning
    assert found is not None and (found.token, found.id, found.written) == ("<s>", 0, "added")
    assert found.with_it is not None and found.without == pytest.approx(320, rel=1e-3)
    assert found.without > 2 * found.with_it
    assert backend.identity["begins"] == "<s>"
    assert backend.renderer.encode("the crowd") == (0, *words("the crowd", add_special_tokens=False)["input_ids"])
    # What is asked, and what is trained on, is behind it.
    ask = chooses[0]
    prompt = backend.prompt(ask)
    ids = [0, *words(prompt, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logs = torch.log_softmax(backend.model(torch.tensor([ids])).logits[0, -1].double(), -1)
    plain = [logs[words.convert_tokens_to_ids(letter)] for letter in "AB"]
    answered = answers(backend, [ask.model_copy(update={"options": (("A",), ("B",)), "values": (1, 2)})])[0]
    assert answered.option_logprobs == pytest.approx(torch.stack(plain).tolist(), abs=1e-5)
    assert example(backend, ask.messages, "I do.", 400).prompt[0] == 0


def test_where_it_changes_nothing_the_tokenizer_is_obeyed(load: Load) -> None:
    backend = load(silent(None), needs=False)
    found = backend.beginning
    assert found is not None and found.written == "left out" and found.with_it == pytest.approx(found.without, rel=0.05)
    assert backend.renderer.begins == () and "begins" not in backend.identity
    assert backend.renderer.encode("the crowd") == tuple(backend.tokenizer("the crowd")["input_ids"])


def test_what_the_tokenizer_or_the_template_writes_is_not_asked_about(load: Load) -> None:
    words = tokenizer(None)
    words.pad_token = "<|im_start|>"
    backend = load(words)
    assert backend.beginning == Beginning(token="<s>", id=0, written="by itself") and backend.renderer.begins == ()
    written = Renderer(silent("{{ bos_token }}" + BARE))
    assert begin(written, [0], lambda: pytest.fail("asked")) == backend.beginning
    assert begin(written, [], lambda: pytest.fail("asked")) is None


def test_which_tokens_are_named() -> None:
    words = silent(None)
    config = transformers.LlamaConfig(**{**GQA, **NO_IDS, "bos_token_id": 7})
    assert first_tokens(config, words) == [7, 0]
    config.bos_token_id = 320  # outside of the vocabulary
    assert first_tokens(config, words) == [0]
    words.bos_token = None
    assert first_tokens(config, words) == []


def test_the_better_of_two_is_taken_and_a_little_better_is_not_enough() -> None:
    renderer = Renderer(silent(None))
    nats = {(): 3.0, (0,): 3.0 - math.log(BEGINNING.value) + 0.01, (7,): 2.9}

    def ask(asked: Any) -> Any:
        assert len(asked) == FEW
        return [{i: Response(loglik=-nats[renderer.begins] * 10, tokens=10)} for i in range(len(asked))]

    found = compared(renderer, [0, 7], ask)
    assert found is not None and (found.id, found.written, renderer.begins) == (0, "left out", ())
    nats[(7,)] = nats[()] - math.log(BEGINNING.value) - 0.01
    found = begin(renderer, [0, 7], lambda: compared(renderer, [0, 7], ask))
    assert found is not None and (found.id, found.written, renderer.begins) == (7, "added", (7,))


def test_what_cannot_be_found_out_is_left_as_it_is(tmp_path: Path) -> None:
    words = silent(None)
    config = transformers.LlamaConfig(**{**GQA, **NO_IDS, "max_position_embeddings": 16})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    backend = HuggingFace(resolve(str(tmp_path)), device="cpu")
    assert backend.beginning is None and backend.renderer.begins == ()


def test_what_was_found_is_kept_by_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    asked, made = [], Beginning(token="<s>", id=0, written="added", with_it=4.0, without=9.0)

    def decide() -> Beginning:
        asked.append(1)
        return made

    assert kept(["a"], decide) == kept(["a"], decide) == made and len(asked) == 1
    assert kept(["b"], decide) == made and len(asked) == 2
    for place in (tmp_path / "beginnings").iterdir():
        place.write_text("{damaged")
    assert kept(["a"], decide) == made and len(asked) == 3
    assert kept(["c"], lambda: None) is None and kept(["c"], decide) == made


def test_perplexity_a_word_is_that_of_words_whatever_the_tokens() -> None:
    asked = requests()[:2]
    words = [len(request.text.split()) for request in asked]
    given = [Response(loglik=-n * math.log(60), tokens=7) for n in words]
    assert a_word(asked, given) == pytest.approx(60, rel=1e-12)
    assert a_word(asked, [given[0], Response(status="error", error="no")]) is None
    assert a_word(asked, [given[0], Response(loglik=-math.inf, tokens=3)]) == pytest.approx(math.exp(700))


def test_lm_evals_tasks_begin_as_ours_do(load: Load) -> None:
    pytest.importorskip("lm_eval")
    from traitbench.backends.lm_eval.controlled import Controlled

    words = silent(None)
    backend = load(words, packed=False)
    theirs = Controlled(backend)
    ids = words("the crowd", add_special_tokens=False)["input_ids"]
    assert theirs.tok_encode("the crowd") == [0, *ids]
    assert theirs.tok_encode("the crowd", add_special_tokens=False) == ids
    context, continuation = theirs._encode_pair("the crowd", " and")
    assert context == [0, *ids] and continuation == words(" and", add_special_tokens=False)["input_ids"]
    batch, mask = theirs.tok_batch_encode(["the crowd", "I"])
    for text, row, seen in zip(["the crowd", "I"], batch, mask, strict=True):
        assert row[seen.bool()].tolist() == [0, *words(text, add_special_tokens=False)["input_ids"]]
    cut, _ = theirs.tok_batch_encode(["the crowd"], left_truncate_len=2)
    assert cut[0].tolist() == [0, *ids][-2:]


def test_a_chat_template_has_the_say_on_how_its_prompts_begin(load: Load) -> None:
    backend = load(silent(BARE))
    assert backend.renderer.chat and backend.beginning is None and backend.renderer.begins == ()
    plain = HuggingFace(backend.spec, device="cpu", chat_template=False)
    assert plain.beginning is not None and plain.beginning.written == "added"
