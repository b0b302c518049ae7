"""What does not fit into a model, its positions or its embedding, is said before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from said import Say
from tiny_models import CHATML, CONFIGS, saved

from traitbench.backends.hf import HuggingFace
from traitbench.backends.lengths import padding
from traitbench.backends.models import resolve
from traitbench.errors import BadData
from traitbench.types import Choose, Continue, Control, Doc, Message, Request, Write

Tiny = Callable[..., Path]
DOC = Doc(task="quiz", scoring="choice", item="q7", trait="warmth", facet=None, keyed=1)
POSITIONS = 512


def load(folder: Path, **settings: Any) -> HuggingFace:
    return HuggingFace(resolve(str(folder)), device="cpu", **settings)


def asked(words: int) -> dict[str, Any]:
    return {"doc": DOC, "messages": (Message(role="user", content="I worry. " * words),)}


def filled(backend: HuggingFace) -> dict[str, Any]:
    """A question that leaves a few positions."""
    words = next(n for n in range(20, 400) if len(backend.encode_prompt(Write(**asked(n)))) > POSITIONS - 20)
    return asked(words)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda q: Continue(**q, text="I make plans and worry. " * 9), r"an answer with \d+ tokens before its last"),
        (
            lambda q: Choose(**q, options=(("A",), ("zq" * 40,)), values=(1, 2)),
            r"an answer with \d+ tokens before its last",
        ),
        (lambda q: Write(**q, max_tokens=40), r"max_tokens=40 .*lower --gen_kwargs max_tokens \(to \d+\)"),
    ],
)
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_an_answer_that_does_not_fit_behind_its_prompt_is_refused_with_its_item(
    made: Callable[[dict[str, Any]], Request], told: str, name: str, tiny: Tiny
) -> None:
    backend = load(tiny(name))
    request = made(filled(backend))
    with pytest.raises(BadData, match=rf"item q7 of quiz: a prompt of \d+ tokens and {told}"):
        backend.check_lengths([request], Control())
    if not isinstance(request, Write):
        with pytest.raises(BadData, match="item q7 of quiz: "):
            list(backend.run([request]))
    short = made(asked(3))
    backend.check_lengths([short], Control())
    assert next(iter(backend.run([short])))[0].status in ("valid", "truncated")


def test_the_last_position_is_used(tiny: Tiny) -> None:
    backend = load(tiny("gpt2"))
    question = filled(backend)
    size = len(backend.encode_prompt(Write(**question)))
    backend.check_lengths([Write(**question, max_tokens=POSITIONS - size)], Control())
    with pytest.raises(BadData, match="do not fit"):
        backend.check_lengths([Write(**question, max_tokens=POSITIONS - size + 1)], Control())


def test_a_run_says_what_does_not_fit_before_anything_is_asked(tiny: Tiny, say: Say) -> None:
    line = f"run --model '{tiny('gpt2')}' --method none --tasks mini_ipip --scoring generate --device cpu -o out "
    done = say(line + "--gen_kwargs max_tokens=500 --limit 2")
    assert done.code == 1 and "Traceback" not in done.err
    assert "baseline: item mini_" in done.err and "lower --gen_kwargs max_tokens" in done.err.splitlines()[-1], done.err


def test_of_many_that_do_not_fit_the_longest_says_what_to_lower(tiny: Tiny, say: Say) -> None:
    """Of all conditions, and before the neutral text is asked: what is advised then fits."""
    line = (
        f"run --model '{tiny('gpt2')}' --method prompting --method_args style=instruction --target extraversion=high "
        "--tasks mini_ipip --scoring generate --device cpu -o out --limit 2 --gen_kwargs max_tokens="
    )
    done = say(f"{line}500")
    last = done.err.splitlines()[-1]
    assert done.code == 1 and last.startswith("error: extraversion=high: item mini_"), last
    assert not Path("out").exists()
    found = re.search(r"lower --gen_kwargs max_tokens \(to (\d+)\)", last)
    assert found, last
    assert say(f"{line}{int(found[1]) + 1}").code == 1 and say(f"{line}{found[1]}").code == 0


def padded(folder: Path, token: str) -> Path:
    """A model whose tokenizer got a token that its embedding has no row for, and pads with it."""
    saved(folder, CONFIGS["llama"]())
    words = transformers.AutoTokenizer.from_pretrained(folder)
    words.add_special_tokens({"pad_token": token})
    assert words.pad_token_id == 320
    words.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_a_pad_token_without_a_row_is_not_used(packed: bool, tiny: Tiny, tmp_path: Path) -> None:
    requests = [Write(**asked(n), max_tokens=6) for n in (2, 9, 4)]
    texts = []
    for folder in (tiny("llama"), padded(tmp_path, "[PAD]")):
        backend = load(folder, packed=packed)
        found = {i: reply for batch in backend.run(requests) for i, reply in batch.items()}
        texts.append([found[i].text for i in range(3)])
    assert texts[0] == texts[1] and padding(backend.tokenizer, backend.renderer.known) < 320
    assert padding(backend.tokenizer, None) == 320


def test_a_text_of_tokens_without_a_row_is_refused(tmp_path: Path) -> None:
    folder = padded(tmp_path, "[PAD]")
    words = transformers.AutoTokenizer.from_pretrained(folder)
    words.chat_template = CHATML + "[PAD]"
    words.save_pretrained(folder)
    with pytest.raises(
        BadData, match=r"writes '\[PAD\]' as token 320, and the model's embedding has rows for 0 to 319"
    ):
        list(load(folder).run([Choose(**asked(1), options=(("A",), ("B",)), values=(1, 2))]))
    plain = load(padded(tmp_path / "plain", "[PAD]"), chat_template=False)
    with pytest.raises(BadData, match="writes"):
        list(plain.run([Continue(**asked(1), text="I [PAD]")]))
