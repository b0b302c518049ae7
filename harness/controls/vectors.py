"""Steering vectors that other programs made: repeng's and llama.cpp's GGUF control vectors, lm-eval's steered models.

All of them add a constant to the output of decoder layers, which is our site `residual`, so that a vector here is
added as it is there. Numbering of layers: repeng reads the direction of layer N from hidden_states[N + 1] and adds it
behind block N, counted from 0; llama.cpp adds `direction.N` to the output of the same layer (and has none for layer
0); lm-eval names the module, layers.N or h.N. So N is our layer N in all three.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench.errors import BadData

__all__ = ["Vectors", "fitting", "read"]

Array = NDArray[np.float32]

_STEERED_KEYS = frozenset({"action", "steering_vector", "steering_coefficient", "bias", "head_index"})


class Vectors(NamedTuple):
    """What a file of steering vectors holds."""

    layers: dict[int, Array]
    """Layer, counted from 0 -> what is added to its output, shape (width,); lm-eval's coefficient is multiplied in."""
    made_for: str | None
    """The model type that the file names; llama.cpp's own tool calls all relatives of Llama `llama`."""


def read(path: Path) -> Vectors:
    """Read a GGUF control vector (.gguf) or a steered model of lm-eval (.pt, .pth), which is never unpickled freely.

    BadData for a file of another kind, a hookpoint that is no decoder layer, an action other than `add`, a value that
    is not finite, or layers of different widths.
    """
    kind = path.suffix.lower()
    if kind not in (".gguf", ".pt", ".pth"):
        raise BadData(f"{path} is no steering vector; expected a control vector .gguf or lm-eval's steered .pt")
    if not path.is_file():
        raise BadData(f"there is no steering vector {path}; check the path")
    pairs, made_for = _gguf(path) if kind == ".gguf" else (_steered(path), None)
    layers = dict(sorted(pairs, key=lambda pair: pair[0]))
    if not layers or len(layers) < len(pairs):
        raise BadData(f"{path} holds {len(pairs)} vectors for {len(layers)} layers; expected one each, at least one")
    for layer, vector in layers.items():
        if vector.ndim != 1:
            raise BadData(f"{path}: the vector of layer {layer} has the shape {vector.shape}; expected one dimension")
        if not np.isfinite(vector).all():
            at = int((~np.isfinite(vector)).argmax())
            raise BadData(f"{path}: the vector of layer {layer} holds {vector[at]} at place {at}; make the file again")
    if len(widths := {len(vector) for vector in layers.values()}) > 1:
        raise BadData(f"{path}: its vectors have {', '.join(map(str, sorted(widths)))} values; expected one width")
    return Vectors(layers, made_for)


def fitting(vectors: Vectors, depth: int, width: int, source: object) -> dict[int, Array]:
    """Return the layers of `vectors`; BadData where a model of `depth` layers, `width` wide, cannot take them."""
    held = len(next(iter(vectors.layers.values())))
    if (top := max(vectors.layers)) >= depth or held != width:
        raise BadData(
            f"{source} was made for another model{f' ({vectors.made_for})' if vectors.made_for else ''}: it has layers "
            f"up to {top} and {held} values a layer; this model has layers 0 to {depth - 1} and {width} values"
        )
    return vectors.layers


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


def _steered(path: Path) -> list[tuple[int, Array]]:
    """Hookpoint -> action, steering_vector and the rest, as lm-eval's `steered` model loads them."""
    import torch

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise BadData(f"cannot read {path} as plain tensors: {reason}; save a dict of tensors and numbers") from None
    if not isinstance(held, Mapping) or not all(isinstance(entry, Mapping) for entry in held.values()):
        raise BadData(f"{path} holds {type(held).__name__}; expected a dict of hookpoint -> action, steering_vector")
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
    return added
