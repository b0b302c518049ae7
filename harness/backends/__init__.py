"""Backends answer requests under a control; BACKENDS names them."""

from traitbench.backends.backend import Backend
from traitbench.catalog import Catalog
from traitbench.types import Kind

__all__ = ["APPLIES", "BACKENDS"]

BACKENDS: Catalog[type[Backend]] = Catalog(
    "backend",
    {
        "endpoint": "traitbench.backends.endpoint:Endpoint",
        "hf": "traitbench.backends.hf:HuggingFace",
        "lm_eval": "traitbench.backends.lm_eval:LMEval",
        "vllm": "traitbench.backends.vllm:VLLM",
        "scripted": "traitbench.backends.scripted:Scripted",
    },
)

APPLIES: dict[str, frozenset[Kind]] = {
    "endpoint": frozenset({"prompt"}),
    "hf": frozenset({"prompt", "weights", "activations"}),
    "lm_eval": frozenset({"prompt"}),
    "vllm": frozenset({"prompt", "weights", "activations"}),
    "scripted": frozenset({"prompt"}),
}
"""What each says that it `applies`, for a plan that is refused: to name the others imports none of them."""
