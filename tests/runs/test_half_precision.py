"""Numbers that overflow in float16: refused at the first batch, with precision and condition; the journal is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from said import Say
from tiny_models import CONFIGS, tokenizer

from traitbench.backends.backend import NotFinite
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.journal import damaged
from traitbench.types import Doc, Message, Write

Tiny = Callable[..., Path]


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that answers in float32 and overflows in float16."""
    folder = tmp_path_factory.mktemp("loud")
    config = CONFIGS["llama"]()
    config.max_position_embeddings = 2048
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(3e5)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("scoring", ["choice", "statement", "generate"])
def test_what_overflows_is_refused_at_the_first_batch(scoring: str, loud: Path, say: Say) -> None:
    line = f"run --model '{loud}' --method none --tasks mini_ipip --scoring {scoring} --limit 3 --device cpu -o out "
    for _ in range(2):
        done = say(line + "--model_args dtype=float16")
        assert done.code == 1 and "Traceback" not in done.err, done.err
        last = done.err.splitlines()[-1]
        assert "nan" in last and "dtype float16" in last and "use --model_args dtype=float32" in last, last
        assert not Path("out").exists()
    whole = say(line)
    assert whole.code == 0, whole.err
    assert all(not damaged(path)[1] for path in Path("out").rglob("responses.jsonl"))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_is_written_from_logits_that_are_no_numbers(packed: bool, temperature: float, loud: Path) -> None:
    doc = Doc(task="quiz", scoring="generate", item="q1", trait="warmth", facet=None, keyed=1)
    ask = Write(doc=doc, messages=(Message(role="user", content="Hello."),), max_tokens=4, temperature=temperature)
    half = HuggingFace(resolve(str(loud)), device="cpu", dtype="float16", packed=packed)
    with pytest.raises(NotFinite, match="nan"):
        list(half.run([ask]))
    full = HuggingFace(resolve(str(loud)), device="cpu", packed=packed)
    assert next(iter(full.run([ask])))[0].tokens == 4


@pytest.mark.parametrize("scoring", ["choice", "generate"])
def test_weights_that_are_no_numbers_are_not_told_to_use_the_precision_that_they_have(
    scoring: str, loud: Path, say: Say, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    model = transformers.AutoModelForCausalLM.from_pretrained(loud, dtype=torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = float("nan")
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    line = f"run --model '{folder}' --tasks mini_ipip --scoring {scoring} --limit 3 --device cpu -o out --model_args "
    last = say(line + "dtype=float32").err.splitlines()[-1]
    assert "(dtype float32)" in last and "the weights give no numbers" in last and "use --model_args" not in last, last
    last = say(line + "dtype=bfloat16").err.splitlines()[-1]
    assert last.endswith("use --model_args dtype=float32; under a control, a weaker one"), last
