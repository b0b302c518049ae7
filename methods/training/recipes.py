"""What decides a training run besides model and data: the user's settings, the presets, and the two put together."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from traitbench.types import Record

__all__ = ["SMOOTHED", "SORTED", "LossType", "Recipe", "Training", "recipe", "shares"]

LossType = Literal[
    "sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "bco_pair", "sppo_hard", "aot",
    "aot_unpaired", "apo_zero", "apo_down", "kto", "apo_zero_unpaired", "orpo",
]  # fmt: skip
"""Losses on pairs, in TRL's words: of its DPOTrainer; kto and apo_zero_unpaired of its KTOTrainer; orpo of its
ORPOTrainer. Its `sft` is left out, since that is a method of its own here, and its `discopop`, whose slope where the
margin is 0 is +.78 at tau .05: from the reference, where training starts, it goes towards the rejected reply."""
SMOOTHED: dict[str, float] = {"robust": 0.1, "exo_pair": 1e-3, "aot": 0.0, "aot_unpaired": 0.0}
"""Losses that take label smoothing -> what it is by default: of the first two as their papers recommend (Chowdhury et
al., 2024; Ji et al., 2024)."""
SORTED: frozenset[str] = frozenset({"aot", "aot_unpaired"})
"""Losses that set the sorted margins of a batch beside each other, and need more than one pair at a time."""


class Training(Record):
    """The hyper-parameters that all trained methods share; None takes the preset's value."""

    data: str = "open"
    """open: the dialogues that ship. A .jsonl, .csv or .tsv file. A hub id, e.g. wenkai-li/big5_chat."""
    preset: Literal["paper", "small"] = "paper"
    """paper: the published values. small: for small models and data, its rate chosen by short runs."""
    rank: int | None = Field(default=None, ge=1)
    """Of the LoRA."""
    alpha: int | None = Field(default=None, ge=1)
    """Of the LoRA: its output is scaled by alpha / rank."""
    lr: tuple[float, ...] | float | None = None
    """Learning rate at the peak; several: short runs choose between them (see `dev`), and go on beyond the lowest or
    the highest where that is the best (see `widen`)."""
    batch: tuple[int, ...] | int | None = None
    """Examples (pairs) a step, over all devices; several: chosen like `lr`."""
    dev: Literal["items", "loss"] = "items"
    """What rates and batches are chosen by: the effect on statements of the IPIP-NEO-300 that are not in the
    IPIP-NEO-120, or held-out loss; the latter, too, where none of these measures one of the traits that rates are
    tried on: all of the data with one adapter, the first one with an adapter each."""
    widen: int | None = Field(default=None, ge=0)
    """Learning rates that may be tried beyond those of `lr`, each a step of theirs further on, until the best lies
    between two others."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training examples; 0.5 is half of them."""
    warmup: int | None = Field(default=None, ge=0)
    """Steps of linear warm-up, at most all but the last; none of them has a learning rate of 0."""
    scenes: int | None = Field(default=None, ge=2)
    """Train on so many scenes only."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the scenes that held-out loss is measured on."""
    evaluations: int | None = Field(default=None, ge=1)
    """Times that held-out loss is measured on the way."""
    patience: int | None = Field(default=None, ge=1)
    """Stop when held-out loss has not fallen, or the limit of perplexity was broken, so many evaluations in a row."""
    match_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps in place of `epochs`, so that methods can be compared at equal length; nothing stops earlier."""
    find: bool = True
    """Whether a second, short training on shuffled labels of the poles tests if anything was found."""
    find_steps: int | None = Field(default=None, ge=1)
    """Steps of that training and of the one that it is compared with; None: those of a short run that chooses rates."""
    max_perplexity: float = Field(default=2.0, gt=1)
    """Largest perplexity of neutral text, over that without the adapter, of a step whose adapter may be kept, and of a
    short run whose learning rate may be taken."""
    cutoff: int = Field(default=1024, ge=8)
    """Longest example in tokens; a longer one is an error."""
    device_batch: int = Field(default=8, ge=1)
    """Examples on one device at a time; the rest of a batch is accumulated."""
    gradient_checkpointing: bool | None = None
    """None: on a GPU."""
    four_bit: bool = False
    """Train against base weights quantised to 4 bits (NF4, bitsandbytes); GPU only."""


class Recipe(Record):
    """What decides a training run besides model and rows."""

    loss: Literal["sft", "dpo"]
    """dpo: of pairs, whichever `loss_type` it is."""
    rank: int = 8
    alpha: int = 16
    lr: tuple[float, ...] = (1e-5,)
    batch: tuple[int, ...] = (64,)
    widen: int = 4
    """Learning rates that may be tried beyond those of `lr`."""
    epochs: float = 1.0
    warmup: int = 20
    beta: float = 0.1
    """Of pairs: how strongly the reference holds back; ipo: tau; orpo: weight of the odds ratio (lambda)."""
    loss_type: LossType = "sigmoid"
    """Of pairs."""
    label_smoothing: float = 0.0
    """Of pairs, for the losses in SMOOTHED."""
    scenes: int | None = None
    patience: int | None = None
    evaluations: int = 8
    """Times that held-out loss is measured."""
    match_steps: int | None = None
    find_steps: int | None = None
    """Steps of the trainings that test whether anything was found; None: `trial_steps`."""
    max_perplexity: float | None = 2.0
    """None: it is not measured."""
    cutoff: int = 1024
    device_batch: int = 8
    gradient_checkpointing: bool | None = None
    four_bit: bool = False
    trial_steps: int = 12
    """Steps of each short run that chooses between learning rates and batches."""


def recipe(config: Any, presets: dict[str, Recipe]) -> Recipe:
    """Fill what the user left open from the preset; `config` is a `Training`, or has some of its fields."""
    given: dict[str, Any] = {
        key: value
        for key in Recipe.model_fields
        if key in type(config).model_fields and (value := getattr(config, key)) is not None
    }
    for key in ("lr", "batch"):
        if key in given and not isinstance(given[key], tuple):
            given[key] = (given[key],)
    return presets[config.preset].model_copy(update=given)


def shares(plan: Recipe, rows: int, devices: int = 1) -> tuple[int, int]:
    """Batches on a device that make up a step, and the examples of one: the most that part a step evenly."""
    share = max(1, min(plan.batch[0], rows) // devices)
    size = next(size for size in range(min(plan.device_batch, share), 0, -1) if share % size == 0)
    return share // size, size
