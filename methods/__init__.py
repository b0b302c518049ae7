"""Control methods; METHODS names them, one file each."""

from traitbench.catalog import Catalog
from traitbench.types import Method

__all__ = ["METHODS"]

METHODS: Catalog[type[Method]] = Catalog(
    "method",
    {
        "none": "traitbench.methods.none:NoControl",
        "prompting": "traitbench.methods.prompting:Prompting",
    },
)
