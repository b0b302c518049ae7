"""A recipe in the words of TRL's trainers; every default of theirs that decides a number is set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from accelerate import PartialState

from traitbench.methods.training.recipes import Recipe, shares

__all__ = ["arguments", "rate", "steps"]


def arguments(plan: Recipe, rows: int, folder: Path, seed: int, gpu: bool) -> dict[str, Any]:
    """What both trainers are told: to train on `rows` examples, with checkpoints below `folder`."""
    accumulated, size = shares(plan, rows, _devices())
    every = max(1, math.ceil(steps(plan, rows) / plan.evaluations))
    checkpointing = plan.gradient_checkpointing if plan.gradient_checkpointing is not None else gpu
    return {
        "output_dir": str(folder / "checkpoints"),
        "per_device_train_batch_size": size,
        "per_device_eval_batch_size": size,
        "gradient_accumulation_steps": accumulated,
        "num_train_epochs": plan.epochs,
        "max_steps": plan.match_steps or -1,
        "learning_rate": plan.lr[0],
        "lr_scheduler_type": "cosine",
        "warmup_steps": min(plan.warmup, steps(plan, rows) - 1),
        "weight_decay": 0.0,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": every,
        "eval_on_start": True,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss" if plan.max_perplexity is None else "eval_bounded",
        "greater_is_better": False,
        "restore_callback_states_from_checkpoint": True,
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": checkpointing,
        "seed": seed,
        "data_seed": seed,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": gpu,
        "include_num_input_tokens_seen": "no",
    }


def rate(step: int, warmup: int, total: int) -> float:
    """Share of the peak that the learning rate is at `step`, counted from 0, of `total`: linear up, then a half cosine.

    That of transformers, read a step later: there the first step of a warm-up has a rate of 0, and changes nothing. The
    last step, at 1 before the cosine's end, is above 0 in both.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def steps(plan: Recipe, rows: int) -> int:
    """Optimiser steps of the whole run, as the trainer counts them."""
    if plan.match_steps is not None:
        return plan.match_steps
    accumulated, size = shares(plan, rows, _devices())
    batches = math.ceil(rows / (size * _devices()))
    return math.ceil(plan.epochs * max(1, math.ceil(batches / accumulated)))


def _devices() -> int:
    return int(PartialState().num_processes)
