"""Direct preference optimisation on dialogues that show a trait.

After Rafailov et al. (2023), on trait dialogues as in BIG5-CHAT (Li et al., 2024).

1. Pair the two replies of a scene: chosen is that of the level aimed at, rejected that of the opposite level.
2. Start a LoRA from the base model; the reference is the same model with the LoRA switched off.
3. Reward of a reply: beta * log of how much likelier it has become than under the reference.
4. Train to raise log sigmoid(reward of the chosen - reward of the rejected).

Where it departs: as `sft`, whose data, split, instruction and choices it shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from traitbench.methods import dialogues
from traitbench.methods.dialogues import Dialogue, Pair
from traitbench.methods.sft import Sft
from traitbench.methods.training.recipes import Recipe
from traitbench.types import Target

__all__ = ["Dpo"]


class Dpo(Sft):
    """A LoRA trained on pairs of replies."""

    name = "dpo"
    presets: ClassVar[dict[str, Recipe]] = {
        "paper": Recipe(loss="dpo", batch=(40,)),
        "small": Recipe(loss="dpo", lr=(5e-4, 1e-3), batch=(4,), warmup=2, scenes=60, evaluations=2, trial_steps=8),
    }
    """Published: beta 0.1, learning rate 1e-5, effective batch 40."""

    def chosen(self, part: Sequence[Dialogue], target: Target | None) -> Sequence[Dialogue | Pair]:
        """Pair the levels of each scene; with a target, those in which its level is the better one."""
        return [pair for pair in dialogues.pairs(part) if target is None or pair.target == target]
