"""Direct preference optimisation on dialogues that show a trait, and other losses on the same pairs.

After Rafailov et al. (2023), on trait dialogues as in BIG5-CHAT (Li et al., 2024).

1. Pair the two replies of a scene: chosen is that of the level aimed at, rejected that of the opposite level.
2. Start a LoRA from the base model; the reference is the same model with the LoRA switched off.
3. Reward of a reply: beta * log of how much likelier it has become than under the reference.
4. Train to raise log sigmoid(reward of the chosen - reward of the rejected).

Where it departs: as `sft`, whose data, split, instruction and choices it shares. `loss_type` puts another loss in the
place of step 4, as TRL computes it: the others of its DPOTrainer, KTO (Ethayarajh et al., 2024), which takes a pair
apart into a reply that is wanted and one that is not, or ORPO (Hong et al., 2024), which needs no reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import Field, model_validator

from traitbench.errors import BadData, TraitbenchUsage
from traitbench.methods import dialogues
from traitbench.methods.dialogues import Dialogue, Pair
from traitbench.methods.sft import Sft, opened
from traitbench.methods.training.recipes import SMOOTHED, SORTED, LossType, Recipe, shares
from traitbench.types import Target

__all__ = ["Dpo"]


class Dpo(Sft):
    """A LoRA trained on pairs of replies."""

    name = "dpo"
    presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="dpo", batch=(40,)),
        "small": Recipe(
            loss="dpo",
            lr=(5e-4, 1e-3),
            batch=(4,),
            epochs=3,
            warmup=2,
            scenes=60,
            evaluations=6,
            patience=2,
            trial_steps=8,
        ),
    }
    """Published: beta 0.1, learning rate 1e-5, effective batch 40."""

    class Config(Sft.Config):
        """Every hyper-parameter."""

        loss_type: LossType = "sigmoid"
        """What is minimised over the pairs, in TRL's words: sigmoid is DPO, kto and apo_zero_unpaired take the pairs
        apart, orpo needs no reference; the others are variants of DPO's loss."""
        beta: float = Field(default=0.1, gt=0)
        """How strongly the reference holds back; of ipo its tau, of orpo the weight of the odds ratio (lambda)."""
        label_smoothing: float | None = Field(default=None, ge=0, lt=1)
        """Of robust, exo_pair, aot and aot_unpaired: the share of pairs that are taken to be the wrong way round. None:
        as their papers recommend (0.1 and 0.001), and 0 for the last two."""

        @model_validator(mode="after")
        def _possible(self) -> Self:
            smoothing, known = self.label_smoothing, self.loss_type in SMOOTHED
            if smoothing is not None and not known:
                raise TraitbenchUsage(
                    f"loss_type={self.loss_type} takes no label_smoothing; leave it out, or take one of "
                    f"{', '.join(SMOOTHED)}, e.g. --method_args loss_type=robust,label_smoothing=0.1"
                )
            if smoothing is not None and smoothing >= 0.5:
                raise TraitbenchUsage(
                    f"label_smoothing={smoothing:g} takes half of the pairs or more to be the wrong way round; "
                    "expected less than 0.5, e.g. --method_args label_smoothing=0.1"
                )
            if self.loss_type == "exo_pair" and smoothing == 0:
                raise TraitbenchUsage(
                    "loss_type=exo_pair takes the logarithm of label_smoothing, so that it cannot be 0; leave it out, "
                    "or give e.g. --method_args label_smoothing=0.001"
                )
            return self

    config: Config

    @property
    def plan(self) -> Recipe:
        """How it is trained; label smoothing as the loss has it by default."""
        smoothing = self.config.label_smoothing
        default = SMOOTHED.get(self.config.loss_type, 0.0)
        return super().plan.model_copy(update={"label_smoothing": default if smoothing is None else smoothing})

    def check(self, targets: Sequence[Target | None]) -> None:
        """Also see that every step has the pairs at a time that its loss compares; BadData."""
        super().check(targets)
        plan, corpus = self.plan, opened(self.config.data, targets)
        if (least := 2 if plan.loss_type in {*SORTED, "kto"} else 1) == 1:
            return
        for target in targets if self.config.adapters == "each" else [None]:
            rows, held = (len(self.chosen(part, target)) for part in self._parts(corpus, target, 0))
            if min(rows, held) < least:
                raise BadData(
                    f"loss_type={plan.loss_type} compares pairs with each other; there are {rows} to train on and "
                    f"{held} held out, expected 2 or more of each: give more scenes, e.g. --method_args held_out=0.2"
                )
            sizes = {batch: shares(plan.model_copy(update={"batch": (batch,)}), rows)[1] for batch in plan.batch}
            if plan.loss_type in SORTED and (alone := [batch for batch, size in sizes.items() if size < least]):
                raise BadData(
                    f"loss_type={plan.loss_type} sorts the pairs of a batch, and batch={alone[0]} is run one pair at a "
                    f"time with device_batch={plan.device_batch}; expected 2 or more, e.g. --method_args "
                    "batch=8,device_batch=8"
                )

    def chosen(self, part: Sequence[Dialogue], target: Target | None) -> Sequence[Dialogue | Pair]:
        """Pair the levels of each scene; with a target, those in which its level is the better one."""
        return [pair for pair in dialogues.pairs(part) if target is None or pair.target == target]
