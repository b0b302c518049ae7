"""Control methods; METHODS names them, one file each."""

from traitbench.catalog import Catalog
from traitbench.methods.method import Method

__all__ = ["METHODS"]

METHODS: Catalog[type[Method]] = Catalog(
    "method",
    {
        "adapter": "traitbench.methods.adapter:Adapter",
        "bipo": "traitbench.methods.bipo:BiPO",
        "dpo": "traitbench.methods.dpo:Dpo",
        "none": "traitbench.methods.none:NoControl",
        "npti": "traitbench.methods.npti:NPTI",
        "p_tailor": "traitbench.methods.p_tailor:P_Tailor",
        "pas": "traitbench.methods.pas:PAS",
        "persllm": "traitbench.methods.persllm:PersLLM",
        "persona_vectors": "traitbench.methods.persona_vectors:PersonaVectors",
        "prompting": "traitbench.methods.prompting:Prompting",
        "residual": "traitbench.methods.residual:Residual",
        "sft": "traitbench.methods.sft:Sft",
        "vector": "traitbench.methods.vector:Vector",
    },
)
