"""Controls that were fitted before, as a method: nothing is fitted, and each target gets the control that is there.

1. Take controls of one method, version and settings, each for another target.
2. Give the control of a target, as it was stored, to whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from traitbench.catalog import Catalog
from traitbench.controls.adapters import rank_of
from traitbench.errors import BadData
from traitbench.methods import METHODS
from traitbench.methods.method import Method
from traitbench.types import Control, Record, Target

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Stored"]


class Stored(Method):
    """A method by what it left behind: its name, version and settings are those of the fits.

    The method itself need not be installed, nor be of the version that made them.
    """

    class Config(Record):
        """The settings of the fits, whatever they are called."""

        model_config = ConfigDict(frozen=True, extra="allow")

    def __init__(self, held: Sequence[Control], typed: bool = False) -> None:
        """Take controls that have a fit each, all of one method; `typed` says that the user named what they aim at."""
        fits = [control.fit for control in held if control.fit is not None]
        first = fits[0]
        super().__init__(self.Config(**first.config))
        kind = _kind(METHODS, first.method)
        default: dict[str, Any] = kind.Config().model_dump(mode="json") if kind else {}
        self.held = {fit.target: control for fit, control in zip(fits, held, strict=True)}
        """Target by its name -> control."""
        self.typed = typed
        self.settings = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in first.config.items()
            if name not in default or default[name] != value
        }
        """Those that are not the defaults of today."""
        strong = all(fit.strength is not None for fit in fits)
        # Of the class for other methods, of an object here.
        vars(self).update({
            "name": first.method,
            "version": first.version,
            "makes": frozenset().union(*(control.kinds for control in held)),
            "targets": frozenset().union(*(aim.aims for control in held if (aim := control.target))),
            "strength": (kind.strength if kind else "strength") if strong else None,
            "matched": kind.matched if kind else True,
        })  # fmt: skip

    @property
    def rank(self) -> int | None:
        """The largest rank of its adapters."""
        return max((rank_of(control.adapter) for control in self.held.values() if control.adapter), default=None)

    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Return the control for `target`; BadData where there is none."""
        name = target.name if target else None
        if name not in self.held:
            raise BadData(f"no stored control aims at {name}; those that are there: {', '.join(map(str, self.held))}")
        return self.held[name]


def _kind(methods: Catalog[type[Method]], name: str) -> type[Method] | None:
    return methods.load(name) if name in methods else None
