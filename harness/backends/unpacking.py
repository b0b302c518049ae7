"""A GGUF file made into what transformers loads everywhere: a folder of safetensors, settings and a tokenizer.

What transformers would read wrong, or not at all, without a word is refused or mended here: which token begins a text,
the tokens that end a turn, stretched positions, weights without a place, a tokenizer that splits text in another way.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from traitbench.backends.fingerprints import cache_folder, fingerprint, make_cache
from traitbench.backends.headers import Header, read_header
from traitbench.backends.readable import ELSEWHERE, check_readable
from traitbench.errors import BadData, first_line
from traitbench.store import swept

__all__ = ["unpacked"]

_SEAL = "unpacked.sha256"
"""The file that names what was unpacked into a folder."""
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""How Llama 3.1 and later stretch positions, whichever factor they have; llama.cpp's converter keeps the outcome."""


def unpacked(file: Path, name: str) -> tuple[Path, str]:
    """Return the folder with the model of a GGUF file, and the name of the file's bytes.

    It is made once, in the cache, as `name` and the bytes call it, and anew where it was damaged. Dequantised weights
    are float32. BadData where transformers makes no model of the file, and why, before the weights are read.
    """
    held = fingerprint(file)
    folder = cache_folder() / "models" / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)[:80]}-{held.removeprefix('sha256:')}"
    if folder.is_dir() and not _as_unpacked(folder):
        print(f"traitbench: {folder} is not what was unpacked there", file=sys.stderr)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise BadData(f"cannot remove {folder}: {error.strerror}; remove it, or set TRAITBENCH_CACHE") from None
    if not folder.is_dir():
        header = read_header(file)
        check_readable(header)
        _unpack(header, folder)
        if fingerprint(file) != held:
            shutil.rmtree(folder, ignore_errors=True)
            raise BadData(f"{file} was changed while it was unpacked; run again when it is written")
    return folder, held


def _as_unpacked(folder: Path) -> bool:
    """Tell whether the files are the ones that `_unpack` wrote."""
    try:
        return (folder / _SEAL).read_text("utf-8") == fingerprint(folder)
    except (OSError, ValueError):
        return False


def _unpack(header: Header, folder: Path) -> None:
    """Write the model of a file to `folder`; the folder appears whole or not at all, whoever else writes it."""
    import torch
    import transformers

    make_cache(folder.parent)
    dtype = _precision(header)
    numbers = sum(prod(t.shape) for t in header.tensors.values())
    needed, free = numbers * torch.finfo(dtype).bits // 8, shutil.disk_usage(folder.parent).free
    if needed > free:
        raise BadData(
            f"{header.path.name} takes {needed / 1e9:.1f} GB unpacked, and {folder.parent} has {free / 1e9:.1f} GB; "
            "make room, or set TRAITBENCH_CACHE to another disk"
        )
    print(f"traitbench: unpacking {header.path.name} to {folder} (once)", file=sys.stderr)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=swept(folder)))
    source = {"pretrained_model_name_or_path": str(header.path.parent), "gguf_file": header.path.name}
    # Versions without GgufConfig always dequantise.
    keep = transformers.GgufConfig(dequantize=True) if hasattr(transformers, "GgufConfig") else None
    try:
        with _told(header.path):
            _words(header, source).save_pretrained(temporary)
            _same_words(header, temporary)
            config = transformers.AutoConfig.from_pretrained(**source)
            _positions(header, config)
            model, found = transformers.AutoModelForCausalLM.from_pretrained(
                **source, config=config, dtype=dtype, quantization_config=keep, output_loading_info=True
            )
            _every_weight(header, model, found["missing_keys"])
            _ends(header, model)
            model.save_pretrained(temporary)
        (temporary / _SEAL).write_text(fingerprint(temporary), "utf-8")
        try:
            os.replace(temporary, folder)
        except OSError:
            # Another process was first (a folder that is not empty cannot be replaced); its copy is as good.
            if not _as_unpacked(folder):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which file no model can be made of."""
    try:
        yield
    except BadData:
        raise
    except Exception as error:
        # What a file that lies about itself makes transformers raise is anything.
        raise BadData(
            f"transformers makes no language model of {path}: {type(error).__name__}: {first_line(error)}; {ELSEWHERE}"
        ) from error


def _precision(header: Header) -> Any:
    """The type of the weights: that of a file of plain numbers, else float32, which holds what was dequantised."""
    import torch

    plain = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16}
    kinds = {tensor.kind for tensor in header.tensors.values()}
    halves = [plain[kind] for kind in sorted(kinds - {0})] if kinds <= set(plain) else []
    return halves[0] if len(halves) == 1 else torch.float32


def _words(header: Header, source: dict[str, str]) -> Any:
    """The tokenizer, which begins a text and puts a blank in front of it as the file says."""
    from tokenizers import decoders, pre_tokenizers
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(**source)
    inner = words.backend_tokenizer
    blank = header.metadata.get("tokenizer.ggml.add_space_prefix", True)
    if not blank and isinstance(inner.pre_tokenizer, pre_tokenizers.Metaspace):
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
        inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    begins = header.metadata.get("tokenizer.ggml.add_bos_token")
    if begins is not None and bool(begins) != _begun(words):
        words.add_bos_token = bool(begins)
    if begins and words.chat_template and not _opens_itself(words):
        # Llama.cpp puts the token in front of what the template writes, too.
        words.chat_template = "{{ bos_token }}" + words.chat_template
    return words


def _opens_itself(words: Any) -> bool:
    """Tell whether the chat template writes the first token; one that takes no user turn is left as it is."""
    try:
        shown = words.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    except Exception:
        # Whatever a template raises itself.
        return True
    return bool(words.bos_token is None or shown.startswith(words.bos_token))


def _begun(words: Any) -> bool:
    """Tell whether the tokenizer itself puts the first token in front of a text."""
    return bool(words.bos_token_id is not None and words("a")["input_ids"][:1] == [words.bos_token_id])


_SAID = "The kettle stood on the stove, 120 steps from St. John's gate; «naïve»?\n\n  Two lines\tbelow — it hissed."
"""Blanks, figures, letters beyond ASCII and line ends."""


def _same_words(header: Header, folder: Path) -> None:
    """Check the tokenizer as it will be loaded: it gives texts back, and begins them as the file says."""
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    begins = header.metadata.get("tokenizer.ggml.add_bos_token")
    back = words.decode(words(_SAID, add_special_tokens=False)["input_ids"])
    if back.strip() != _SAID or (begins is not None and words.bos_token_id is not None and _begun(words) != begins):
        raise BadData(
            f"the tokenizer that transformers makes of {header.path} does not give a text back, or does not begin it "
            f"as the file says: {back[:60]!r}; {ELSEWHERE}"
        )


def _positions(header: Header, config: Any) -> None:
    """Stretch positions as the file says, which transformers reads over; BadData for a way that is not known here."""
    kind = header.text("general.architecture")
    way = header.text(f"{kind}.rope.scaling.type")
    if "rope_freqs.weight" in header.tensors:
        factors = _floats(header, "rope_freqs.weight")
        scaling = {"rope_type": "llama3", "factor": round(float(factors.max()), 4), **_LLAMA3}
        if not np.allclose(_stretched(scaling, config, len(factors)), factors, rtol=1e-3):
            way = "rope_freqs"
        else:
            config.rope_parameters = {**config.rope_parameters, **scaling}
            way = ""
    if way == "linear" and (factor := header.metadata.get(f"{kind}.rope.scaling.factor")):
        # Gemma 3 stretches the layers that see everything.
        layers = config.rope_parameters.get("full_attention", config.rope_parameters)
        layers |= {"rope_type": "linear", "factor": float(factor)}
    elif way not in ("", "none") or any(name.startswith("rope_factors") for name in header.tensors):
        raise BadData(
            f"{header.path} stretches positions by {way or 'rope_factors'}, which transformers does not read from "
            f"GGUF; {ELSEWHERE}"
        )


def _stretched(scaling: dict[str, Any], config: Any, many: int) -> np.ndarray[Any, Any]:
    """By what Llama 3.1 divides the frequency of each pair of a head's dimensions (`many` of them)."""
    long = scaling["original_max_position_embeddings"]
    waves = 2 * math.pi * float(config.rope_parameters["rope_theta"]) ** (np.arange(many) / many)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    share = np.clip((long / waves - low) / (high - low), 0, 1)
    divided: np.ndarray[Any, Any] = 1 / ((1 - share) / scaling["factor"] + share)
    return divided


def _floats(header: Header, name: str) -> np.ndarray[Any, Any]:
    tensor = header.tensors[name]
    if tensor.kind != 0:
        raise BadData(f"{header.path} holds {name} of another type than F32; {ELSEWHERE}")
    return np.fromfile(header.path, "<f4", prod(tensor.shape), offset=tensor.start)


def _every_weight(header: Header, model: Any, missing: Iterable[str]) -> None:
    """Check that the model has all its weights from the file, as it needs them, and the file none without a place."""
    import torch

    if missing := sorted(missing):
        raise BadData(f"{header.path} lacks weights that the model needs, such as {missing[0]}; expected a whole model")
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in type(model)(model.config).named_parameters()}
    for name, weight in model.named_parameters():
        if weight.shape != shapes[name]:
            raise BadData(
                f"{header.path} has {name} of {tuple(weight.shape)}, and by its own sizes it is {tuple(shapes[name])}; "
                "expected a file as it was made"
            )
    numbers = sum(prod(t.shape) for name, t in header.tensors.items() if not name.startswith("rope_"))
    if (places := model.num_parameters()) < numbers:
        raise BadData(
            f"{header.path} holds {numbers:,} weights, and the model that transformers makes of it has places for "
            f"{places:,}; {ELSEWHERE}"
        )


def _ends(header: Header, model: Any) -> None:
    """Let a reply end at each token that the file names as an end: of text, of a turn, of a message."""
    named = [header.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    if ends := list(dict.fromkeys(int(end) for end in named if end is not None)):
        model.generation_config.eos_token_id = ends[0] if len(ends) == 1 else ends
