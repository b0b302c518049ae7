"""What an engine must be started with for a run's controls: places of edits, and room for adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitbench import controls
from traitbench.backends.vllm.setup import RANKS, Needs
from traitbench.controls import where
from traitbench.controls.adapters import beyond_lora, rank_of, touched
from traitbench.controls.architectures import SERVED, site_width
from traitbench.controls.edits import is_plain, merge, staged
from traitbench.controls.wearing import check_adapter
from traitbench.errors import BadData
from traitbench.types import Control, Site

__all__ = ["needs"]

_UNSERVED = frozenset({"lm_head", "embed_tokens"})
"""Modules whose adapters are not served."""


def needs(wanted: Sequence[Control], config: Any, dtype: str, ranks: int = 1) -> Needs:
    """Gather what `wanted` need of a model with the text config `config`, on `ranks` GPUs that share it.

    BadData for a control that was made for another model, and for what vLLM does not serve.
    """
    edits = [edit for control in wanted for edit in control.edits]
    adapters = {control.weights: control.adapter for control in wanted if control.adapter}
    if edits and config.model_type not in SERVED:
        raise BadData(
            f"activations of the architecture {config.model_type!r} cannot be edited under vllm; known there: "
            f"{', '.join(sorted(SERVED))}; use --backend hf"
        )
    for folder in adapters.values():
        if more := beyond_lora(folder):
            raise BadData(
                f"the adapter {folder} has {', '.join(more)}, which vLLM does not serve: it knows two "
                "matrices a module, all of one rank and scale; use --backend hf"
            )
    if edits or adapters:
        skeleton = _skeleton(config, dtype)
        for control in wanted:
            merge(skeleton, control.edits, controls.arrays(control))
            if control.adapter:
                check_adapter(skeleton, control)
    places: dict[Site, dict[str, Any]] = {}
    for site in sorted({edit.site for edit in edits}):
        mine = [edit for edit in edits if edit.site == site]
        layers = sorted({edit.layer for edit in mine})
        steps = {str(layer): count for layer in layers if (count := _steps(skeleton, wanted, site, layer))}
        if steps and ranks > 1 and site != "residual":
            first = next(edit for edit in mine if str(edit.layer) in steps)
            raise BadData(
                f"{where(first)} needs a sum over all places, of which each of {ranks} GPUs has a share; use "
                "tensor_parallel_size=1, or --backend hf"
            )
        added = all(edit.op == "add" for edit in mine if str(edit.layer) not in steps)
        places[site] = {"layers": layers, "added": added, "steps": steps}
    rank = max((rank_of(folder) for folder in adapters.values()), default=0)
    if rank > RANKS[-1]:
        raise BadData(f"an adapter has the rank {rank}, vLLM serves up to {RANKS[-1]}; use --backend hf")
    modules = sorted(set().union(*map(touched, adapters.values())))
    if wrong := _UNSERVED.intersection(modules):
        raise BadData(
            f"an adapter changes {', '.join(sorted(wrong))}, which is not served here; use --backend hf, or train one "
            "on the layers alone"
        )
    return Needs(places=places, rank=rank, adapters=len(adapters), touched=tuple(modules))


def _steps(skeleton: Any, wanted: Sequence[Control], site: Site, layer: int) -> int:
    """How many steps a control's edits of one place take at most; 0 where each control's are one elementwise row."""
    most, width = 0, site_width(skeleton, site)
    for control in wanted:
        mine = [edit for edit in control.edits if (edit.site, edit.layer) == (site, layer)]
        kinds = staged(mine, controls.arrays(control), width) if mine else ()
        if not all(len(each) == 1 and is_plain(each[0]) for each in kinds):
            most = max(most, *map(len, kinds))
    return most


def _skeleton(config: Any, dtype: str) -> Any:
    """The model without its weights, to check controls against."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
