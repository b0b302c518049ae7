"""TRL's trainers of pairs, on rows that are tokenised already: DPO and its losses, KTO, ORPO.

DPO (Rafailov et al., 2023) and what its trainer knows as `loss_type`. KTO (Ethayarajh et al., 2024) takes a pair apart:
the chosen reply is desirable, the rejected one is not. ORPO (Hong et al., 2024) needs no reference; TRL keeps it among
its experiments, without a promise that it stays, and takes the likelihood of prompt and chosen reply together.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

with warnings.catch_warnings():
    # That what stands there may change, which a bound on TRL's version and the tests answer for.
    warnings.filterwarnings("ignore", message=".*trl.experimental")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer
    from trl.experimental.utils import DPODataCollatorWithPadding

from traitbench.methods.training.bounds import Bounded
from traitbench.methods.training.examples import Example, Extension
from traitbench.methods.training.recipes import Recipe
from traitbench.methods.training.settings import rate

__all__ = ["Scheduled", "Told", "of_pairs"]

Row = dict[str, Any]


class Told:
    """What is handed to a trainer: its class, its configuration, its collator, and the two data sets."""

    def __init__(self, kind: Any, config: Any, collator: Any, rows: Sequence[Row], held: Sequence[Row]) -> None:
        self.kind, self.config, self.collator = kind, config, collator
        self.rows, self.held = Dataset.from_list(list(rows)), Dataset.from_list(list(held))


def of_pairs(
    plan: Recipe, told: dict[str, Any], rows: Sequence[Example], held: Sequence[Example], pad: int, seed: int
) -> Told:
    """Choose trainer, configuration and rows for the `loss_type` of `plan`; `told` is what every trainer is told."""
    if plan.loss_type == "orpo":
        # Nothing is cut (see `examples`); it knows no way to say so.
        config = ORPOConfig(**told, beta=plan.beta, max_length=plan.cutoff, padding_value=pad)
        return Told(_Odds, config, DPODataCollatorWithPadding(pad), *([_joined(r) for r in s] for s in (rows, held)))
    if plan.loss_type in ("kto", "apo_zero_unpaired"):
        size = told["per_device_train_batch_size"]
        both = {"per_device_train_batch_size": 2 * size, "per_device_eval_batch_size": 2 * size}
        config = KTOConfig(
            **{**told, **both}, beta=plan.beta, loss_type=plan.loss_type, max_length=None,
            train_sampling_strategy="sequential",
        )  # fmt: skip
        # The rows of a batch belong together, so that the trainer may not shuffle them.
        mixed = random.Random(f"kto {seed}").sample(list(rows), len(rows))
        parts = (_apart(part, size) for part in (mixed, held))
        return Told(_Apart, config, DataCollatorForUnpairedPreference(pad_token_id=pad), *parts)
    config = DPOConfig(
        **told, beta=plan.beta, loss_type=[plan.loss_type], label_smoothing=plan.label_smoothing, max_length=None,
        precompute_ref_log_probs=False,
    )  # fmt: skip
    collator = DataCollatorForPreference(pad_token_id=pad)
    return Told(_Pairs, config, collator, *([_pair(row) for row in some] for some in (rows, held)))


def _pair(row: Example) -> Row:
    return {"prompt_ids": list(row.prompt), "chosen_ids": list(row.reply), "rejected_ids": list(row.rejected)}


def _apart(rows: Sequence[Example], size: int) -> list[Row]:
    """Two rows a pair, so that a batch of 2 * `size` rows is `size` whole pairs.

    Beside each stands what KTO estimates its reference point from, a reply of the same kind to another prompt: that of
    the next pair of the batch; where a pair is alone in a batch, of the next one of all.
    """
    out = []
    for start in range(0, len(rows), size):
        part = range(start, min(start + size, len(rows)))
        for kind in ("reply", "rejected"):
            for n in part:
                other = part[(n - start + 1) % len(part)] if len(part) > 1 else (n + 1) % len(rows)
                out.append(
                    {
                        "prompt_ids": list(rows[n].prompt), "completion_ids": list(getattr(rows[n], kind)),
                        "KL_completion_ids": list(getattr(rows[other], kind)), "label": kind == "reply",
                    }
                )  # fmt: skip
    return out


def _joined(row: Example) -> Row:
    out: Row = {}
    for kind, reply in (("chosen", row.reply), ("rejected", row.rejected)):
        ids = [*row.prompt, *reply]
        out |= {
            f"{kind}_input_ids": ids, f"{kind}_attention_mask": [1] * len(ids),
            f"{kind}_labels": [*[-100] * len(row.prompt), *reply],
        }  # fmt: skip
    return out


class Scheduled:
    """A trainer whose learning rate is never 0: see `settings.rate`."""

    args: Any
    lr_scheduler: Any = None

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the scheduler, as transformers' Trainer asks for it."""
        if self.lr_scheduler is None:
            warmup = int(self.args.warmup_steps)
            self.lr_scheduler = LambdaLR(
                optimizer if optimizer is not None else self.optimizer,  # type: ignore[attr-defined]
                lambda step: rate(step, warmup, num_training_steps),
            )
        return self.lr_scheduler


class _Pairs(Bounded, Scheduled, DPOTrainer):  # type: ignore[misc]
    """DPO on rows that are tokenised already."""

    extension: Extension | None = None

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class _Apart(Bounded, Scheduled, KTOTrainer):  # type: ignore[misc]
    """KTO on rows that are tokenised already, with the replies of its reference point beside them."""

    extension: Extension | None = None

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class _Odds(Bounded, Scheduled, ORPOTrainer):  # type: ignore[misc]
    """ORPO on rows that are tokenised already; it counts the tokens itself, which TRL's does not."""

    extension: Extension | None = None
    _total_train_tokens = 0
    """As TRL's other trainers call it."""

    def tokenize_row(self, feature: Row, model: Any = None) -> Row:
        return feature

    def get_batch_loss_metrics(self, model: Any, batch: Row, train_eval: Any = "train") -> Any:
        loss, metrics = super().get_batch_loss_metrics(model, batch, train_eval)
        if train_eval == "train":
            seen = sum(batch[f"{kind}_attention_mask"].sum() for kind in ("chosen", "rejected"))
            self._total_train_tokens += int(self.accelerator.gather_for_metrics(seen).sum())
        return loss, metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, "num_tokens": self._total_train_tokens} if "loss" in logs else logs, start_time)
