"""Method: a way of giving a model a personality. It makes a control, as data; a backend applies it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from traitbench.types import Aim, Control, Kind, Op, Record, Site, Target, Trait

if TYPE_CHECKING:
    from traitbench.methods.bench import Bench

__all__ = ["Method"]


class Method(ABC):
    """A way of giving a model a personality: `fit` turns a target into a control."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    makes: ClassVar[frozenset[Kind]]
    targets: ClassVar[frozenset[Aim]]
    """What it can aim at; empty: it takes no target and makes one control for the whole run."""
    needs_model: ClassVar[bool] = False
    """Whether `fit` works on a loaded model (`bench.backend`)."""
    sites: ClassVar[frozenset[Site]] = frozenset()
    """Where its edits are; empty: it makes none, or says so only once it is fitted."""
    strength: ClassVar[str | None] = None
    """What it calls the strength of its edits (--coefs sets it); None: it has none."""

    seeded: ClassVar[bool] = False
    """Whether its fit draws by `bench.seed`, so that --fit_seeds can fit it again; what is made elsewhere does not."""
    matched: ClassVar[bool] = True
    """Whether --matched can put the instruction that all methods share in front of its controls."""

    class Config(Record):
        """Every hyper-parameter, reachable as --method_args name=value."""

    def __init__(self, config: Any = None) -> None:
        """Keep the configuration; the defaults where none is given."""
        self.config = config if config is not None else self.Config()

    otherwise: ClassVar[str] = (
        "aim at one of these, or take words of your own with --method prompting --method_args texts=FILE"
    )
    """What to do about a trait that it has no words for."""

    @property
    def knows(self) -> frozenset[Trait] | None:
        """The traits that it has words, items or data for; None: any, or it refuses others in `check`."""
        return None

    def check(self, targets: Sequence[Target | None]) -> None:
        """Refuse, before a model is loaded, what would fail later: data that cannot be read, a missing extra."""

    def reads(self, target: Target | None, bench: Bench) -> Mapping[str, str]:
        """What a fit for `target` reads besides the model and its settings, with the files that these name.

        Name -> digest of texts, items or dialogues. They are a part of the fit's name, so that it is fitted anew where
        one of them was changed, and stand in its method.json.
        """
        return {}

    def check_model(self, config: Any, label: str) -> None:
        """Refuse, before any weights are loaded, what would fail on a model with this config, called `label`.

        As it is, BadData for a site of `sites` that is not known of the architecture.
        """
        from traitbench.controls.architectures import check_site

        for site in sorted(self.sites):
            check_site(config, site)

    @property
    def ops(self) -> frozenset[Op]:
        """What its edits do, where it can be said before they are made: a backend must be able to do it."""
        return frozenset()

    @property
    def rank(self) -> int | None:
        """Rank of the adapters that it makes; None where it makes none."""
        return None

    @abstractmethod
    def fit(self, target: Target | None, bench: Bench) -> Control:
        """Make the control for `target` (None only where `targets` is empty) with what `bench` offers."""
