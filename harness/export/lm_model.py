"""A model of lm-eval by its command line: `--model traitbench --model_args pretrained=NAME,control=DIR`."""

from __future__ import annotations

import torch

from traitbench.backends.hf import HuggingFace
from traitbench.backends.lm_eval.controlled import Controlled
from traitbench.export.controlled import control_of, model_of

__all__ = ["ControlledLM"]


class ControlledLM(Controlled):
    """A model and a control, both by name."""

    def __init__(
        self,
        pretrained: str,
        control: str | None = None,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        max_length: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load the model and read the control.

        `pretrained` is any name that `traitbench run --model` takes, `control` the folder that `traitbench fit` printed
        or that of a run's `controls`; None measures the model as it is. BadData where either cannot be used.
        """
        made = control_of(control)
        spec = model_of(pretrained)
        if revision is not None:
            spec = spec.model_copy(update={"revision": revision})
        size = None if batch_size is None or str(batch_size).startswith("auto") else int(batch_size)
        if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
            # lm-eval's command line says cuda:0 where nothing is said, and its own models then take the CPU.
            device = None
        ours = HuggingFace(
            spec, device=device, dtype=dtype, batch_size=size, trust_remote_code=trust_remote_code, packed=False
        )
        super().__init__(ours, made, size, max_length)
