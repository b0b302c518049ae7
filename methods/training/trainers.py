"""TRL's trainers on a model that is only borrowed: set up, resumed, watched, and taken off again without a trace."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback
from transformers.pytorch_utils import Conv1D
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from traitbench.backends.lengths import padding
from traitbench.controls.adapters import Base, copy_adapter
from traitbench.errors import BadData
from traitbench.methods.training.bounds import Bounded, prose
from traitbench.methods.training.checkpoints import last_whole, seal
from traitbench.methods.training.examples import Example, Extension, LossPoint
from traitbench.methods.training.lending import lent, quiet, unrounded
from traitbench.methods.training.preferences import Scheduled, Told, of_pairs
from traitbench.methods.training.recipes import Recipe
from traitbench.methods.training.settings import arguments, steps
from traitbench.store import read_json, write_json

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["run"]


def run(
    bench: Bench,
    what: str,
    plan: Recipe,
    rows: Sequence[Example],
    held: Sequence[Example],
    folder: Path,
    extension: Extension | None,
    start: Path | None,
) -> dict[str, Any]:
    """Train as `plan` says and leave the best adapter in `folder`/adapter; return what `Trained` holds of the run."""
    backend = bench.backend
    with quiet(), lent(backend, plan.four_bit) as model, torch.random.fork_rng():
        torch.manual_seed(bench.seed)
        try:
            limit = plan.max_perplexity
            watched = None if limit is None else prose(bench, model, held, extension, plan)
            trainer = _trainer(model, backend.tokenizer, plan, rows, held, folder, bench.seed, extension, start)
            trainer.prose, trainer.limit = watched, limit or math.inf
            for lora in trainer.model.peft_config.values():
                # With a name PEFT asks the hub, at every checkpoint, whether the base model's vocabulary has grown.
                lora.base_model_name_or_path = None
            total = steps(plan, len(rows))
            with bench.progress(what, total) as step:
                trainer.add_callback(_Watch(folder, step))
                trainer.remove_callback(PrinterCallback)
                if plan.patience is not None and plan.match_steps is None:
                    trainer.add_callback(EarlyStoppingCallback(plan.patience))
                done = _train(trainer, folder, bench.tell)
            _save(trainer, folder, extension, backend.base)
        finally:
            if extension:
                extension.detach()
    return done


def _trainer(
    model: Any,
    tokenizer: Any,
    plan: Recipe,
    rows: Sequence[Example],
    held: Sequence[Example],
    folder: Path,
    seed: int,
    extension: Extension | None,
    start: Path | None,
) -> Any:
    """Make TRL's trainer around the model in its LoRA."""
    pad = padding(tokenizer, getattr(model.get_input_embeddings(), "num_embeddings", None))
    lora = LoraConfig(
        r=plan.rank, lora_alpha=plan.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )  # fmt: skip
    # The trainers of DPO and KTO put the LoRA on themselves, and so know that the model without it is the reference.
    wraps = plan.loss == "dpo" and plan.loss_type != "orpo" and start is None
    if start is not None:
        model = PeftModel.from_pretrained(model, start, is_trainable=True)
    elif not wraps:
        model = get_peft_model(model, lora)
    if extension:
        extension.attach(model)
    given = arguments(plan, len(rows), folder, seed, model.device.type == "cuda")
    told = of_pairs(plan, given, rows, held, pad, seed) if plan.loss == "dpo" else _replies(given, rows, held, pad)
    try:
        trainer = told.kind(
            model=model, args=told.config, train_dataset=told.rows, eval_dataset=told.held, processing_class=tokenizer,
            data_collator=told.collator, **({"peft_config": lora} if wraps else {}),
        )  # fmt: skip
    except ValueError as error:
        if "DataParallel" not in str(error):
            raise
        raise BadData(
            "several GPUs are visible to one process; train on all with `accelerate launch -m traitbench fit ...`, or "
            "on one with CUDA_VISIBLE_DEVICES=0"
        ) from error
    if plan.four_bit:
        unrounded(trainer.model)
    trainer.extension = extension
    return trainer


def _replies(told: dict[str, Any], rows: Sequence[Example], held: Sequence[Example], pad: int) -> Told:
    """What SFT is trained with: the loss is on the replies' tokens."""
    config = SFTConfig(**told, max_length=None, packing=False, dataset_kwargs={"skip_prepare_dataset": True})
    collator = _Collator(DataCollatorForLanguageModeling(pad_token_id=pad))
    return Told(_Replies, config, collator, *([_reply(row) for row in some] for some in (rows, held)))


def _reply(row: Example) -> dict[str, Any]:
    return {
        "input_ids": [*row.prompt, *row.reply],
        "labels": [*[-100] * len(row.prompt), *row.reply],
        **({"slots": list(row.slots)} if row.slots else {}),
    }


class _Collator:
    """TRL's collator, with the slots beside the tokens."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        slots = [row.pop("slots") for row in examples if "slots" in row]
        batch: dict[str, Any] = self.inner(examples)
        return {**batch, "slots": torch.tensor(slots)} if slots else batch


class _Replies(Bounded, Scheduled, SFTTrainer):  # type: ignore[misc]
    """SFT on the replies, with what an extension adds."""

    extension: Extension | None = None

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> Any:
        slots = inputs.pop("slots", None)
        if slots is None or self.extension is None:
            return super().compute_loss(model, inputs, *args, **more)
        self.extension.begin(slots)
        loss = super().compute_loss(model, inputs, *args, **more)
        if self.model.training:
            loss = loss + self.extension.loss() / self.current_gradient_accumulation_steps
        return loss

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.extension:
            self.extension.load(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self.extension:
            self.extension.load(Path(self.state.best_model_checkpoint))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        if self.extension and output_dir:
            self.extension.save(Path(output_dir))


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Moves the bar on, keeps the seconds over restarts, and has the last step measured and saved like the others."""

    def __init__(self, folder: Path, step: Callable[[int], None]) -> None:
        self.step = step
        self.clock = folder / "seconds.json"
        self.before = float(read_json(self.clock)["seconds"]) if self.clock.is_file() else 0.0
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.step(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        self.step(1)
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            write_json(self.clock, {"seconds": self.seconds})
            seal(Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")


def _train(trainer: Any, folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    watch = next(c for c in trainer.callback_handler.callbacks if isinstance(c, _Watch))
    last = last_whole(folder / "checkpoints", trainer.is_world_process_zero(), tell)
    if last:
        # TRL would count from 0 again.
        trainer._total_train_tokens = _tokens(read_json(last / "trainer_state.json")["log_history"])
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    curve = _curve(trainer.state.log_history)
    tokens = _tokens(trainer.state.log_history)
    best = trainer.state.best_global_step or trainer.state.global_step
    return {
        "steps": trainer.state.global_step, "planned": trainer.state.max_steps, "best_step": best, "tokens": tokens,
        "seconds": watch.seconds, "curve": curve,
    }  # fmt: skip


def _tokens(history: Sequence[dict[str, Any]]) -> int:
    """Tokens trained on until the last step that was logged."""
    return int(max((entry["num_tokens"] for entry in history if "num_tokens" in entry), default=0))


def _curve(history: Sequence[dict[str, Any]]) -> tuple[LossPoint, ...]:
    """One point a step, without what is no number; of a step that a resumed run measured again, the later value."""
    points: dict[int, dict[str, Any]] = {}
    names = {
        "loss": "loss",
        "eval_loss": "held_out",
        "eval_rewards/accuracies": "accuracy",
        "eval_rewards/margins": "margin",
        "eval_perplexity": "perplexity",
    }
    for entry in history:
        mine = points.setdefault(int(entry["step"]), {})
        found = {ours: float(entry[theirs]) for theirs, ours in names.items() if theirs in entry}
        mine |= {name: value for name, value in found.items() if math.isfinite(value)}
    return tuple(LossPoint(step=step, **values) for step, values in sorted(points.items()) if values)


def _save(trainer: Any, folder: Path, extension: Extension | None, base: Base) -> None:
    place = folder / "adapter"
    if trainer.is_world_process_zero():
        # Left to itself it asks the hub whether the base model's vocabulary has grown.
        trainer.model.save_pretrained(place, selected_adapters=["default"], save_embedding_layers=False)
        if extension:
            extension.save(place)
        copy_adapter(place, place, base)
        (place / "README.md").unlink(missing_ok=True)
    trainer.accelerator.wait_for_everyone()
