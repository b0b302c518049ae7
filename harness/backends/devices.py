"""Devices that torch runs models on, and which of them are here; torch is imported once they are asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping

from traitbench.errors import BadData

__all__ = ["ACCELERATORS", "DEVICES", "ON_TORCH", "device_of"]

ACCELERATORS = ("cuda", "hpu", "mps", "musa", "npu", "xpu")
DEVICES = ("auto", "cpu", *ACCELERATORS)
"""What torch may run a model on, and auto; there may be a number behind a colon."""
ON_TORCH = frozenset({"hf"})
"""Backends that run a model on whatever device torch has; the others say themselves what they run on."""
_CURES = {
    "cuda": "a torch build with CUDA and its driver",
    "hpu": "Intel's Gaudi software, with its package for torch",
    "mps": "a Mac with Apple silicon and its torch build",
    "musa": "torch_musa and its driver",
    "npu": "torch_npu and its driver",
    "xpu": "a torch build with XPU and Intel's driver",
}
"""Kind -> what it takes to have one."""


def device_of(name: str | None) -> str:
    """Check a torch device; None takes the first GPU if there is one. BadData for a device that is not here."""
    here = _counted()
    if name is None:
        # A process that accelerate started has a GPU of its own.
        own = os.environ.get("LOCAL_RANK")
        return ("cuda" if own is None else f"cuda:{own}") if here.get("cuda") else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ACCELERATORS or (kind in here and (int(number) if number.isdecimal() else 0) < here[kind]):
        return name
    what = "GPU" if kind == "cuda" else kind
    if kind not in here:
        lacking = f"torch sees no {what} here"
        cure = f"expected {_listed(here)}; type --device cpu or leave --device out ({kind} takes {_CURES[kind]})"
    else:
        lacking = f"torch sees {here[kind]} {what}{'' if here[kind] == 1 else 's'} here, counted from 0"
        cure = f"expected {_listed(here)}; type --device {kind}:{here[kind] - 1}"
    raise BadData(f"device {name!r}: {lacking}; {cure}")


def _counted() -> dict[str, int]:
    """Kind of accelerator -> how many of it torch sees; those that it does not see are left out."""
    import torch

    found = {}
    for kind in ACCELERATORS:
        # Kinds of other vendors are in torch where their package put them.
        module = getattr(torch, kind, None)
        if module is not None and module.is_available() and (many := int(module.device_count())):
            found[kind] = many
    return found


def _listed(here: Mapping[str, int]) -> str:
    names = ["cpu", *(name for kind, many in here.items() for name in [f"{kind}:{n}" for n in range(many)])]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
