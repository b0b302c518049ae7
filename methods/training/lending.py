"""The backend's model, lent to a trainer and given back as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from traitbench.controls.wearing import restored

__all__ = ["lent", "quiet", "unrounded"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to errors what the libraries tell of tokens, devices and deprecations."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    loggers = [logging.getLogger(name) for name in ("trl", "peft", "accelerate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def lent(backend: Any, four_bit: bool) -> Iterator[Any]:
    """Lend the backend's model, or a copy in 4 bits; afterwards it is as it was before."""
    if four_bit:
        yield _quantised(backend)
        return
    backend.scorer.reset()
    with restored(backend.model):
        yield backend.model


def unrounded(model: Any) -> None:
    """Hold what is trained in 32 bits again: around weights in 4 bits TRL rounds it to bfloat16.

    AdamW moves a number by about the learning rate, and bfloat16 keeps 8 bits of it: at 1e-5 nothing above .004 would
    ever move, which is most of what a LoRA's first matrix starts from.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _quantised(backend: Any) -> Any:
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        backend.weights.path, revision=backend.weights.revision or "main", quantization_config=bits,
        use_safetensors=True, device_map={"": backend.model.device},
    )  # fmt: skip
    return prepare_model_for_kbit_training(model)
