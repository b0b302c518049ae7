"""A LoRA that was trained elsewhere, as a PEFT folder.

After LoRA (Hu et al., 2021): a trained product of two thin matrices is added to linear layers. What else PEFT trains
with it is taken, too: DoRA, biases, embeddings, single tokens, modules as a whole.

1. Read the folder and refuse whatever takes a part of the base model's own weights away, tensors that are not finite,
   and ranks other than the config's.
2. Before anything is asked, have PEFT put it on: the tensors must be exactly those that the config calls for.
3. Keep a copy of its two files as the control, named by a digest of settings and weights.

Where it departs: nothing is trained, and what the adapter aims at is the user's word.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from traitbench import controls
from traitbench.controls.adapters import adapter_digest, check_tensors, parameters, rank_of, read_config
from traitbench.errors import TraitbenchUsage
from traitbench.files import user_path
from traitbench.methods.method import Method
from traitbench.types import Aim, Control, Fit, Kind, Record, Target

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Adapter"]


class Adapter(Method):
    """One adapter for one target, which is the user's word for what it was trained to do."""

    name = "adapter"
    makes: ClassVar[frozenset[Kind]] = frozenset({"weights"})
    targets: ClassVar[frozenset[Aim]] = frozenset({"poles", "graded", "several"})
    needs_model: ClassVar[bool] = True

    class Config(Record):
        """Where the adapter is."""

        folder: str = ""
        """The PEFT folder: adapter_config.json and adapter_model.safetensors."""

    config: Config

    @property
    def rank(self) -> int | None:
        """Rank of the adapter."""
        return rank_of(self._folder()) if self.config.folder else None

    def check(self, targets: Sequence[Target | None]) -> None:
        """Read config and tensors; TraitbenchUsage for several targets, BadData for a folder that is no adapter."""
        if len(targets) > 1:
            raise TraitbenchUsage("one adapter aims at one target; name it, e.g. --target extraversion=high")
        check_tensors(self._folder())

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Take the adapter as it is; whether it fits the model is checked before anything is asked."""
        assert target is not None
        began, here, folder = time.perf_counter(), bench.backend.identity["model"], self._folder()
        named = read_config(folder).get("base_model_name_or_path")
        fit = Fit(
            method=self.name, version=self.version, model={"model": named or here}, target=target.name,
            config={"folder": folder.name}, seed=bench.seed, details={"weights": adapter_digest(folder)},
            licence="that of the adapter's owner", parameters=parameters(folder), seconds=time.perf_counter() - began,
        )  # fmt: skip
        return controls.store(bench.folder, adapter=folder, base=None if named else bench.backend.base, fit=fit)

    def _folder(self) -> Path:
        if not self.config.folder:
            raise TraitbenchUsage("the method adapter needs a PEFT folder: --method_args folder=my_adapter")
        return user_path(self.config.folder)
