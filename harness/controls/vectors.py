"""Steering vectors that other programs made: repeng's and llama.cpp's GGUF control vectors, lm-eval's steered models.

And tensors with a row a layer, of persona vectors (Chen et al. 2025) and the assistant axis (Lu et al. 2026). All of
them are of the output of decoder layers, which is our site `residual`, so that a vector here is added as it is there.

Numbering of layers: repeng reads the direction of layer N from hidden_states[N + 1] and adds it behind block N, counted
from 0; llama.cpp adds `direction.N` to the output of the same layer (and has none for layer 0); lm-eval names the
module, layers.N or h.N. So N is our layer N in all three. Persona vectors have the rows of hidden_states, of which row
0 is the embeddings' and row N + 1 the output of layer N; the assistant axis has a row a layer. Which of the two a
tensor is the model's number of layers tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData, first_line

__all__ = ["Vectors", "check_width", "fitting", "read"]

Array = NDArray[np.float32]

_STEERED_KEYS = frozenset({"action", "steering_vector", "steering_coefficient", "bias", "head_index"})

_NAMED = ("axis", "vector")
"""What the tools of the assistant axis call a tensor (layers, width) in a file that holds more."""


class Vectors(NamedTuple):
    """What a file of steering vectors holds."""

    layers: dict[int, Array]
    """Layer, counted from 0 -> what is added to its output, shape (width,); lm-eval's coefficient is multiplied in.
    Where they are `rows`: row -> the same."""
    made_for: str | None
    """The model type that the file names; llama.cpp's own tool calls all relatives of Llama `llama`."""
    rows: bool = False
    """Whether the file is one tensor, whose rows are the layers or, one more than these, begin with the embeddings."""


def read(path: Path) -> Vectors:
    """Read a GGUF control vector (.gguf), or of a .pt or .pth, which is never unpickled freely, what is in it.

    That is a steered model of lm-eval, or one tensor (layers, width), bare or as `axis` or `vector` in a dict, as the
    tools of the assistant axis write it. BadData for a file of another kind, a hookpoint that is no decoder layer, an
    action other than `add`, a value that is not finite, or layers of different widths.
    """
    kind = path.suffix.lower()
    if kind not in (".gguf", ".pt", ".pth"):
        raise BadData(
            f"{path} is no steering vector; expected a control vector .gguf, lm-eval's steered .pt or a .pt with one "
            "tensor (layers, width)"
        )
    if not path.is_file():
        raise BadData(f"there is no steering vector {path}; check the path")
    made_for, rows = None, None
    if kind == ".gguf":
        pairs, made_for = _gguf(path)
    else:
        held = _plain(path)
        rows = _rows(held, path)
        pairs = list(enumerate(rows)) if rows is not None else _steered(held, path)
    layers = dict(sorted(pairs, key=lambda pair: pair[0]))
    if not layers or len(layers) < len(pairs):
        raise BadData(f"{path} holds {len(pairs)} vectors for {len(layers)} layers; expected one each, at least one")
    place = "layer" if rows is None else "row"
    for layer, vector in layers.items():
        if vector.ndim != 1:
            raise BadData(f"{path}: the vector of layer {layer} has the shape {vector.shape}; expected one dimension")
        if not np.isfinite(vector).all():
            at = int((~np.isfinite(vector)).argmax())
            raise BadData(
                f"{path}: the vector of {place} {layer} holds {vector[at]} at place {at}; make the file again"
            )
    if len(widths := {len(vector) for vector in layers.values()}) > 1:
        raise BadData(f"{path}: its vectors have {', '.join(map(str, sorted(widths)))} values; expected one width")
    return Vectors(layers, made_for, rows is not None)


def fitting(vectors: Vectors, depth: int, width: int, source: object) -> dict[int, Array]:
    """Return layer -> vector; BadData where a model of `depth` layers, `width` wide, cannot take them.

    Of one tensor with a row more than the model has layers, the first is that of the embeddings and left out.
    """
    check_width(vectors, depth, width, source)
    if vectors.rows:
        first = len(vectors.layers) - depth
        return {row - first: vector for row, vector in vectors.layers.items() if row >= first}
    return vectors.layers


def check_width(vectors: Vectors, depth: int | None, width: int, source: object) -> None:
    """Raise BadData where a model of `depth` layers (None: not known), `width` wide, cannot take the vectors."""
    held, top = len(next(iter(vectors.layers.values()))), max(vectors.layers)
    deep = depth is not None and (top + 1 not in (depth, depth + 1) if vectors.rows else top >= depth)
    if not deep and held == width:
        return
    has = f"{top + 1} rows of {held} values" if vectors.rows else f"layers up to {top} and {held} values a layer"
    takes = f"{width} values a layer" if depth is None else f"layers 0 to {depth - 1} and {width} values"
    if vectors.rows and depth is not None:
        takes = f"{depth} layers and {width} values, so {depth} rows, or {depth + 1} with the embeddings' before"
    raise BadData(
        f"{source} was made for another model{f' ({vectors.made_for})' if vectors.made_for else ''}: it has {has}; "
        f"this model has {takes}"
    )


def _gguf(path: Path) -> tuple[list[tuple[int, Array]], str | None]:
    """Tensors `direction.N` of a file whose general.architecture is controlvector."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    try:
        reader = GGUFReader(path)
        kind, made_for = (_text(reader, key) for key in ("general.architecture", "controlvector.model_hint"))
        tensors = [(t.name, np.array(dequantize(t.data, t.tensor_type), np.float32)) for t in reader.tensors]
    except (ValueError, IndexError, KeyError, OverflowError, NotImplementedError) as error:
        raise BadData(f"cannot read {path}: {error}; expected a GGUF control vector, made whole") from None
    if kind != "controlvector":
        raise BadData(f"{path} has general.architecture {kind!r}; expected controlvector: it holds something else")
    pairs = []
    for name, vector in tensors:
        match = re.fullmatch(r"direction\.(\d+)", name)
        if match is None:
            raise BadData(f"{path} holds the tensor {name!r}; expected direction.N, N a layer counted from 0")
        pairs.append((int(match[1]), vector))
    return pairs, made_for


def _text(reader: Any, key: str) -> str | None:
    field = reader.get_field(key)
    return None if field is None else bytes(field.parts[field.data[0]]).decode("utf-8", "replace")


def _plain(path: Path) -> Any:
    """Load a .pt file without running what may be in it."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What a file that is none makes of the unpickler, restricted as it is, may be anything.
        reason = first_line(error)[:200]
        raise BadData(
            f"cannot read {path} as plain tensors: {reason}; save a tensor (layers, width), or a dict of tensors and "
            "numbers"
        ) from None


def _rows(held: Any, path: Path) -> Array | None:
    """One tensor with a row a layer, (rows, width), bare or under a name; None where there is none."""
    import torch

    named = [held[name] for name in _NAMED if name in held] if isinstance(held, Mapping) else []
    found = next((tensor for tensor in named if isinstance(tensor, torch.Tensor)), held)
    if not isinstance(found, torch.Tensor):
        return None
    if found.dim() != 2 or not found.is_floating_point():
        raise BadData(
            f"{path} holds {type(found).__name__} of {found.dtype} with the shape {tuple(found.shape)}; expected "
            "floats (layers, width), a row a layer"
        )
    rows: Array = found.detach().float().numpy()
    return rows


def _steered(held: Any, path: Path) -> list[tuple[int, Array]]:
    """Hookpoint -> action, steering_vector and the rest, as lm-eval's `steered` model loads them."""
    if not isinstance(held, Mapping) or not all(isinstance(entry, Mapping) for entry in held.values()):
        raise BadData(
            f"{path} holds {type(held).__name__}; expected a dict of hookpoint -> action, steering_vector, or one "
            "tensor (layers, width)"
        )
    pairs = []
    for hookpoint, entry in held.items():
        match = re.fullmatch(r"(?:layers|h)\.(\d+)", str(hookpoint))
        if match is None:
            raise BadData(f"{path}: hookpoint {hookpoint!r} is no decoder layer; expected layers.N (GPT-2: h.N)")
        pairs.append((int(match[1]), _added(entry, f"{path}, hookpoint {hookpoint}")))
    return pairs


def _added(entry: Mapping[str, Any], where: str) -> Array:
    """What an entry adds at every position: coefficient (1 where none is given) times vector."""
    import torch

    if strange := sorted(map(str, entry.keys() - _STEERED_KEYS)):
        raise BadData(f"{where}: unknown key {strange[0]!r}; expected {', '.join(sorted(_STEERED_KEYS))}")
    if (action := entry.get("action")) != "add":
        why = ": a clamp sets a projection to a value, which is no constant to add" if action == "clamp" else ""
        raise BadData(f"{where}: action {action!r} cannot be imported{why}; expected add")
    for key in ("bias", "head_index"):
        if entry.get(key) is not None:
            raise BadData(f"{where}: {key} is set; expected none, since whole layers are steered by addition")
    vector, coefficient = entry.get("steering_vector"), entry.get("steering_coefficient", 1.0)
    if not isinstance(vector, torch.Tensor):
        raise BadData(f"{where}: steering_vector is {type(vector).__name__}; expected a tensor")
    try:
        factor = float(coefficient)
    except (TypeError, ValueError, RuntimeError):
        raise BadData(f"{where}: steering_coefficient {coefficient!r} is no number; leave it out for 1") from None
    added: Array = (vector.detach().float() * factor).numpy()
    # lm-eval adds (1, width) as it adds (width,): at every position.
    return added[0] if added.ndim == 2 and len(added) == 1 else added
