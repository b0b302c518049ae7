"""Whether transformers reads a GGUF file as what it is, told from the file's header before any weights are read."""

from __future__ import annotations

from math import prod

import numpy as np

from traitbench.backends.headers import Header
from traitbench.errors import BadData

__all__ = ["ELSEWHERE", "check_readable"]

ELSEWHERE = "run it with llama.cpp's server and --model endpoint:NAME, or give the model in safetensors"
"""What to do with a file that cannot be read."""
_GPT2_SPLITS = frozenset({
    "default", "gpt-2", "phi-2", "jina-es", "jina-de", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling",
    "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
})  # fmt: skip
"""Names (tokenizer.ggml.pre) of ways to split text that llama.cpp (src/llama-vocab.cpp) has as GPT-2's, which is what
transformers does where it does not know a name. From starcoder on digits stand alone before; vocabularies that were
learned so have no merge with a digit, so that the tokens are the same."""


def check_readable(header: Header) -> None:
    """Refuse a file that is cut off, that holds no language model, or one that transformers does not read."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from transformers import __version__ as theirs

    path, kind, holds = header.path, header.text("general.architecture"), header.text("general.type")
    if kind == "controlvector":
        raise BadData(
            f"{path} is a control vector and no model; use it with --method vector --method_args file={path.name}"
        )
    if (parts := header.metadata.get("split.count", 0)) > 1:
        raise BadData(f"{path} is one of {parts} parts; join them: llama-gguf-split --merge FIRST_PART WHOLE.gguf")
    if holds not in ("", "model"):
        raise BadData(f"{path} holds {holds!r} (general.type); expected a model; give the model's own file")
    if kind not in (able := _architectures()):
        raise BadData(
            f"{path} holds a model of the architecture {kind!r}, which transformers {theirs} does not read from GGUF; "
            f"it reads {', '.join(able)}; {ELSEWHERE}"
        )
    words, splits = header.text("tokenizer.ggml.model"), header.text("tokenizer.ggml.pre")
    if not header.metadata.get("tokenizer.ggml.tokens"):
        raise BadData(f"{path} holds no tokenizer (tokenizer.ggml.tokens); {ELSEWHERE}")
    if words not in ("gpt2", "llama", "t5", "gemma4") or (words == "gpt2" and splits not in _splits()):
        raise BadData(
            f"{path} has an unknown tokenizer: {words!r}, splitting text as {splits!r}; transformers {theirs} would "
            f"make other tokens than the model was trained with; {ELSEWHERE}"
        )
    sizes = {kind.value: size for kind, size in GGML_QUANT_SIZES.items()}
    if strange := sorted({t.kind for t in header.tensors.values() if t.kind not in sizes or not _opens(t.kind)}):
        names = {kind.value: kind.name for kind in GGMLQuantizationType}
        raise BadData(
            f"{path} holds tensors of the type {names.get(strange[0], strange[0])}, which the package gguf does not "
            "open; quantise it anew, e.g. to Q4_K_M or Q8_0, or upgrade: pip install --upgrade gguf"
        )
    ends = [t.start + prod(t.shape) // sizes[t.kind][0] * sizes[t.kind][1] for t in header.tensors.values()]
    if (needed := max(ends, default=0)) > header.size or not ends:
        raise BadData(
            f"{path} is cut off: its weights take {needed:,} bytes and it has {header.size:,}; fetch it again"
            if ends
            else f"{path} holds no weights; expected a model"
        )


def _architectures() -> list[str]:
    """Names of the architectures that transformers makes a causal language model of."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES as known

    # Llama.cpp writes some names otherwise than transformers, which takes both.
    named = {"qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "gpt_oss": "gpt-oss", "minimax_m2": "minimax-m2"}
    try:
        from transformers.integrations.gguf import GGUF_ARCHS as newer
    except ImportError:
        newer = {}
    return sorted({named.get(name, name) for name in (*known, *newer)} - {"general", "tokenizer", "t5", "umt5"})


def _splits() -> frozenset[str]:
    """Names of the ways to split text that are followed."""
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS as known
    except ImportError:
        known = {}
    return _GPT2_SPLITS | {"", *known}


def _opens(kind: int) -> bool:
    """Tell whether the package gguf dequantises a type."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    held = GGMLQuantizationType(kind)
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[held][1]), np.uint8), held)
    except NotImplementedError:
        return False
    return True
