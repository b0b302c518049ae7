"""A control as a file of steering vectors: for repeng and llama.cpp (GGUF), lm-eval's `steered`, and persona vectors.

All of them add a constant to the output of decoder layers at every position. The strength is in the numbers, so that
each tool adds them once (coefficient 1). Layers are numbered as in `controls.vectors`: N in `direction.N` of a GGUF
file, where llama.cpp takes none for layer 0 and repeng writes one for every other layer; module layers.N (h.N) for
lm-eval; row N + 1 of a tensor [layers + 1, width] for the tools of persona vectors (Chen et al., 2025), whose row 0 is
the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitbench.controls.architectures import decoder_layers
from traitbench.errors import UnsupportedControl
from traitbench.export.portable import Leaving, Model, model_of, refuse_edits, refuse_parts, shifts

__all__ = ["gguf", "pt"]

_INSTEAD = "take --format bias or transformers"


def gguf(held: Leaving, to: Path, model: str | None = None) -> list[Path]:
    """Write control.gguf, a control vector for llama.cpp (`--control-vector`) and repeng (`import_gguf`).

    UnsupportedControl for layer 0, and for whatever is more than a vector behind layers at every position.
    """
    from gguf import GGUFWriter

    base, rows = _rows(held, model, "gguf")
    if 0 in rows:
        raise UnsupportedControl(
            f"{held.said('gguf')}: it acts behind layer 0, for which llama.cpp has no direction; take --format pt, "
            "bias or transformers"
        )
    config = base.skeleton.config.get_text_config(decoder=True)
    count = len(decoder_layers(base.skeleton))
    path = _place(to, "control.gguf")
    writer = GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", config.model_type)
    writer.add_uint32("controlvector.layer_count", count - 1)
    for layer in range(1, count):
        writer.add_tensor(f"direction.{layer}", rows.get(layer, np.zeros(config.hidden_size, np.float32)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [path]


def pt(held: Leaving, to: Path, model: str | None = None) -> list[Path]:
    """Write steered.pt, which lm-eval's model `steered` loads, and persona_vectors.pt, one tensor [layers + 1, width].

    UnsupportedControl for whatever is more than a vector behind layers at every position.
    """
    import torch

    base, rows = _rows(held, model, "pt")
    names = {id(module): name for name, module in base.skeleton.base_model.named_modules()}
    stack = decoder_layers(base.skeleton)
    # Loaded without running code: tensors, numbers, texts and None alone.
    steered: dict[str, dict[str, Any]] = {
        names[id(stack[layer])]: {
            "steering_vector": torch.from_numpy(row), "steering_coefficient": 1.0, "action": "add", "bias": None,
            "head_index": None,
        }
        for layer, row in rows.items()
    }  # fmt: skip
    width = base.skeleton.config.get_text_config(decoder=True).hidden_size
    table = torch.zeros(len(stack) + 1, width)
    for layer, row in rows.items():
        table[layer + 1] = torch.from_numpy(row)
    made = [_place(to, "steered.pt"), _place(to, "persona_vectors.pt")]
    torch.save(steered, made[0])
    torch.save(table, made[1])
    return made


def _rows(held: Leaving, model: str | None, form: str) -> tuple[Model, Mapping[int, NDArray[np.float32]]]:
    """The model, and what is added behind each of its layers that is steered."""
    refuse_parts(held, form, ("edits",))
    refuse_edits(held, form)
    base = model_of(held, model)
    found = shifts(held, base, form, ("residual",), _INSTEAD)
    return base, {layer: total.astype(np.float32) for (layer, _), total in found.items()}


def _place(to: Path, name: str) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    return to / name
