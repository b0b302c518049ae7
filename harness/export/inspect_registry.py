"""What Inspect finds by its entry point: the questionnaires, and the model provider `traitbench/NAME@CONTROL`.

Inspect imports this whenever it starts, so nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import Any

from inspect_ai.model import modelapi

from traitbench.export.inspect_tasks import (
    ask_options,
    expected_level,
    ipip_50,
    ipip_neo_120,
    ipip_neo_300,
    level,
    mini_ipip,
    mini_ipip_model,
)

__all__ = [
    "ask_options", "expected_level", "ipip_50", "ipip_neo_120", "ipip_neo_300", "level", "mini_ipip", "mini_ipip_model",
    "traitbench",
]  # fmt: skip


@modelapi(name="traitbench")  # type: ignore[untyped-decorator]
def traitbench() -> Any:
    """Models run by the transformers backend, under a control or without one."""
    from traitbench.export.inspect_model import ControlledAPI

    return ControlledAPI
