"""What a card can do: by its vendor's figures, and by one large product and one large copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gpu.rows import Here, figure, skipped

__all__ = ["CARDS", "Card", "check", "known"]


class Card(NamedTuple):
    """Limits of one card by its vendor."""

    flops: float
    """Dense bfloat16 operations a second, with sums in float32; data sheets that count sparsity are halved."""
    bandwidth: float
    """Bytes of its memory a second."""
    source: str


_H100 = "NVIDIA H100 Tensor Core GPU data sheet"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet"
CARDS = {
    "NVIDIA H200": Card(989.5e12, 4.8e12, "NVIDIA H200 Tensor Core GPU data sheet"),
    "NVIDIA H100 PCIe": Card(756e12, 2.0e12, _H100),
    "NVIDIA H100 80GB HBM3": Card(989.5e12, 3.35e12, _H100),
    "NVIDIA A100-SXM4-80GB": Card(312e12, 2.039e12, _A100),
    "NVIDIA A100 80GB PCIe": Card(312e12, 1.935e12, _A100),
    "NVIDIA A100-SXM4-40GB": Card(312e12, 1.555e12, _A100),
    "NVIDIA A100-PCIE-40GB": Card(312e12, 1.555e12, _A100),
    "NVIDIA L40S": Card(362e12, 0.864e12, "NVIDIA L40S GPU data sheet"),
    "NVIDIA L4": Card(121e12, 0.3e12, "NVIDIA L4 Tensor Core GPU data sheet"),
    "NVIDIA A10": Card(125e12, 0.6e12, "NVIDIA A10 Tensor Core GPU data sheet"),
    "NVIDIA GeForce RTX 4090": Card(165.2e12, 1.008e12, "NVIDIA Ada GPU architecture white paper, appendix A"),
    "NVIDIA GeForce RTX 3090": Card(71e12, 0.936e12, "NVIDIA Ampere GA102 GPU architecture white paper, appendix A"),
}
"""Name as the driver gives it -> limits."""


def known(name: str) -> Card | None:
    """The limits of a card; None where they are not in the table. A part of a card (MIG) is none that is known."""
    return CARDS.get(name.strip())


def check(here: Here) -> None:
    """Report what the card reaches, alone and of its vendor's figures."""
    import torch

    name = torch.cuda.get_device_name() if here.device == "cuda" else "the CPU"
    card = known(name)
    if card is None:
        here.report(skipped("limits", f"{name} is not in the table of gpu/cards.py: no shares of its limits"))
    size = here.size(8192, 256)
    a, b = (torch.randn(size, size, device=here.device, dtype=torch.bfloat16) for _ in range(2))
    flops = 2.0 * size**3 / _seconds(here, lambda: a @ b)
    here.report(figure("product of matrices", flops / 1e12, "TFLOP/s", note=name))
    given = torch.empty(here.size(2**30, 2**16), dtype=torch.uint8, device=here.device)
    taken = torch.empty_like(given)
    moved = 2.0 * given.numel() / _seconds(here, lambda: taken.copy_(given))
    here.report(figure("copy in memory", moved / 1e12, "TB/s", note=name))
    if card is not None:
        here.report(figure("product, of the limit", flops / card.flops, "share", note=card.source))
        here.report(figure("copy, of the limit", moved / card.bandwidth, "share", note=card.source))


def _seconds(here: Here, run: Callable[[], object]) -> float:
    """Seconds of one of many runs, after some that are not counted."""
    import torch

    wait: Callable[[], object] = torch.cuda.synchronize if here.device == "cuda" else lambda: None
    repeats = here.size(20, 2)
    for _ in range(3):
        run()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait()
    return (time.perf_counter() - start) / repeats
