"""What our training costs beside a bare TRL script: the same dialogues, steps and settings, turn about.

Run with `python tests/benchmarks/bench_training.py`. One JSON line a loss. `ratio` is our tokens a second over those of
the script: the median over turns of the ratio of two neighbours, so that what else the machine does falls on both.
Ours is the whole of `train`: held-out loss before and after, checkpoints, the adapter kept on disk. The
script gives TRL the same dialogues as prompts and completions and measures held-out loss as often. `apart` is by how
much the two held-out losses differ at the end. Asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.methods import dialogues
from traitbench.methods.bench import Bench
from traitbench.methods.training import Example, example, train
from traitbench.methods.training.recipes import Recipe
from traitbench.types import Message

LR, BATCH, HELD = 5e-4, 8, 4


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    disable_progress_bars()
    found = [pair for pair in dialogues.pairs(dialogues.load("open").dialogues, "extraversion") if pair.level == "high"]
    some = found[: args.steps * BATCH + HELD]
    for loss in ("sft", "dpo"):
        ours, peer, losses = [], [], []
        for _ in range(args.repeats):
            backend = HuggingFace(resolve(args.model), device=args.device, dtype=args.dtype)
            mine, first = timed_ours(backend, loss, some, args.steps)
            theirs, second = timed_script(backend, loss, some, args.steps)
            backend.close()
            ours.append(mine)
            peer.append(theirs)
            losses.append(abs(first - second))
        line = {
            "name": f"training_{loss}",
            "ratio": round(median(a / b for a, b in zip(ours, peer, strict=True)), 3),
            "ours": round(median(ours), 1),
            "peer": round(median(peer), 1),
            "peer_name": f"a script of TRL's {loss.upper()}Trainer on the same dialogues",
            "unit": "tokens/s",
            "n": args.repeats,
            "apart": round(max(losses), 5),
            "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
        print(json.dumps(line), flush=True)
    return 0


def timed_ours(backend: HuggingFace, loss: str, pairs: list[Any], steps: int) -> tuple[float, float]:
    """Tokens a second, and the held-out loss at the end."""
    rows = [
        example(backend, [Message(role="user", content=p.input)], p.chosen, 1024, p.rejected if loss == "dpo" else None)
        for p in pairs
    ]
    plan = Recipe(
        loss="dpo" if loss == "dpo" else "sft", lr=(LR,), batch=(BATCH,), match_steps=steps, warmup=1, evaluations=1,
        gradient_checkpointing=False,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        bench = Bench(0, backend, Path(folder) / "controls", Path(folder) / "cache")
        began = time.perf_counter()
        found = train(bench, loss, plan, rows[HELD:], rows[:HELD])
        seconds = time.perf_counter() - began
    assert found.curve[-1].held_out is not None
    return tokens(rows[HELD:]) / seconds, found.curve[-1].held_out


def timed_script(backend: HuggingFace, loss: str, pairs: list[Any], steps: int) -> tuple[float, float]:
    """Do the same with TRL alone, on the model that `backend` loaded."""
    rows = [
        example(backend, [Message(role="user", content=p.input)], p.chosen, 1024, p.rejected if loss == "dpo" else None)
        for p in pairs
    ]
    answers = {"sft": ("completion",), "dpo": ("chosen", "rejected")}[loss]
    texts = Dataset.from_list([
        {
            "prompt": [{"role": "user", "content": p.input}],
            **{name: [{"role": "assistant", "content": p.rejected if name == "rejected" else p.chosen}]
               for name in answers},
        }
        for p in pairs
    ])  # fmt: skip
    gpu = backend.model.device.type == "cuda"
    with TemporaryDirectory() as folder:
        shared: dict[str, Any] = {
            "output_dir": folder, "per_device_train_batch_size": BATCH, "per_device_eval_batch_size": BATCH,
            "max_steps": steps, "learning_rate": LR, "lr_scheduler_type": "cosine", "warmup_steps": 1,
            "eval_strategy": "steps", "eval_steps": steps, "eval_on_start": True, "save_strategy": "no",
            "bf16": gpu, "use_cpu": not gpu, "gradient_checkpointing": False, "report_to": "none",
            "disable_tqdm": True, "logging_steps": 1, "dataloader_pin_memory": gpu,
        }  # fmt: skip
        began = time.perf_counter()
        given: dict[str, Any] = {
            "model": backend.model, "processing_class": backend.tokenizer,
            "train_dataset": texts.select(range(HELD, len(pairs))), "eval_dataset": texts.select(range(HELD)),
            "peft_config": LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
        }  # fmt: skip
        torch.manual_seed(0)
        trainer: Any = (
            SFTTrainer(args=SFTConfig(**shared, seed=0), **given)
            if loss == "sft"
            else DPOTrainer(args=DPOConfig(**shared, beta=0.1, seed=0), **given)
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        seconds = time.perf_counter() - began
        last = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry][-1]
        trainer.model.unload()
    return tokens(rows[HELD:]) / seconds, float(last)


def tokens(rows: list[Example]) -> int:
    """Tokens of one pass over `rows`; a pair is two texts."""
    return sum(len(r.prompt) * (2 if r.rejected else 1) + len(r.reply) + len(r.rejected) for r in rows)


if __name__ == "__main__":
    sys.exit(main())
