"""Backends answer requests under a control; BACKENDS names them."""

from traitbench.backends.backend import Backend
from traitbench.catalog import Catalog

__all__ = ["BACKENDS"]

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
