"""The GPUs of NVIDIA that this process may use, by name, without taking hold of them.

torch.cuda would: it starts CUDA in this process, and then a process that is forked from it, as vLLM's engine may be,
cannot use a GPU.
"""

from __future__ import annotations

import os
import subprocess

__all__ = ["cards"]

_PATIENCE = 10
"""Seconds that nvidia-smi may take."""


def cards() -> list[str]:
    """Names of the GPUs in the order of CUDA_VISIBLE_DEVICES, as the driver tells them; none where it tells nothing.

    What that variable names and the driver does not list, such as a part of a card (MIG), is called as it is there.
    """
    every = _listed()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not every or visible is None:
        return list(every.values())
    found = []
    for wanted in filter(None, map(str.strip, visible.split(","))):
        if wanted.lstrip("-").isdecimal():
            if not 0 <= int(wanted) < len(every):
                # CUDA sees nothing from here on.
                break
            found.append([*every.values()][int(wanted)])
        else:
            found.append(next((name for uuid, name in every.items() if uuid.startswith(wanted)), wanted))
    return found


def _listed() -> dict[str, str]:
    """UUID -> name of every GPU of the machine."""
    asked = ["nvidia-smi", "--query-gpu=uuid,name", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    pairs = (line.partition(",") for line in told.splitlines() if "," in line)
    return {uuid.strip(): name.strip() for uuid, _, name in pairs}
