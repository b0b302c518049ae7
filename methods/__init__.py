"""Control methods; METHODS names them, one file each."""

from traitbench.catalog import Catalog
from traitbench.types import Method

__all__ = ["METHODS"]

METHODS: Catalog[type[Method]] = Catalog(
    "method",
    {
        "none": "traitbench.methods.none:NoControl",
        "npti": "traitbench.methods.npti:NPTI",
        "pas": "traitbench.methods.pas:PAS",
        "prompting": "traitbench.methods.prompting:Prompting",
        "residual": "traitbench.methods.residual:Residual",
        "vector": "traitbench.methods.vector:Vector",
    },
)
