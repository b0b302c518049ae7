"""An untrained model with a planted direction, for the methods that add a vector to the residual stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_models import tokenizer

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.methods.bench import Bench
from traitbench.methods.prompting import Prompting
from traitbench.types import Target

WIDTH, LAYERS = 32, 3
TRAIT = "extraversion"
HIGH, LOW = (Target(levels={TRAIT: level}) for level in (1.0, -1.0))


def _lean(words: Any, plus: Iterable[str], minus: Iterable[str]) -> torch.Tensor:
    """Per token of the vocabulary how much more often it is in `plus` than in `minus`; 0 over all, at most about 1."""
    share = [Counter(i for text in side for i in words(text, add_special_tokens=False)["input_ids"])
             for side in (plus, minus)]  # fmt: skip
    lean = torch.tensor([share[0][i] / share[0].total() - share[1][i] / share[1].total() for i in range(320)])
    common = torch.tensor([(share[0][i] + share[1][i]) / (share[0].total() + share[1].total()) for i in range(320)])
    return (lean - (lean * common).sum()) / lean.abs().max()


@pytest.fixture(scope="session")
def direction() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(WIDTH, generator=torch.manual_seed(5)), dim=0)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory, direction: torch.Tensor) -> Path:
    """An untrained Llama in which the words of a pole push the residual stream along `direction`.

    Embeddings of tokens that the high persona has more of lean along it, attention of layer 1 carries their mean to
    every later place, and the head turns it into tokens of plus-keyed statements.
    """
    path, words, bench = tmp_path_factory.mktemp("planted"), tokenizer(), Bench(0)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=320, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=1024, initializer_range=0.1,
        bos_token_id=0, eos_token_id=3, pad_token_id=1,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    personas = [Prompting().fit(target, bench).messages[0].content for target in (HIGH, LOW)]
    items = [item for item in bench.halves()[1] if item.trait == TRAIT]
    statements = [[bench.inventory().statement(item) for item in items if item.keyed == key] for key in (1, -1)]
    with torch.no_grad():
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embedding += 0.5 * torch.outer(_lean(words, [personas[0]], [personas[1]]), direction)
        head += 0.5 * torch.outer(_lean(words, *statements), direction)
        attention = model.model.layers[1].self_attn
        attention.q_proj.weight[:8] = 0
        attention.v_proj.weight[0] = direction
        attention.o_proj.weight[:, 0] += 5 * direction
    model.save_pretrained(path)
    words.save_pretrained(path)
    return path


@pytest.fixture
def bench(planted: Path, tmp_path: Path) -> Bench:
    return Bench(0, HuggingFace(resolve(str(planted)), device="cpu"), tmp_path / "controls", tmp_path / "cache")
