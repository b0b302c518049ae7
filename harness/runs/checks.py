"""What of a plan cannot go together, said before anything is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from traitbench.backends import APPLIES, BACKENDS
from traitbench.backends.devices import DEVICES, ON_TORCH, device_of
from traitbench.errors import TraitbenchUsage, UnknownName, UnsupportedControl, unknown
from traitbench.methods import METHODS
from traitbench.methods.method import Method
from traitbench.types import Edit, Kind, Mode, Op, Target

if TYPE_CHECKING:
    from traitbench.backends.backend import Backend

__all__ = ["check_device", "check_edits", "check_here", "check_kinds", "check_matched", "check_strengths"]


def check_device(name: str | None) -> None:
    """Refuse a device that no torch has; whether this one has it, its backend says."""
    if name is None:
        return
    kind, colon, number = name.partition(":")
    if kind not in DEVICES or (colon and not number.isdecimal()) or (kind == "auto" and colon):
        if kind in ("gpu", "nvidia"):
            raise UnknownName(f"unknown device {name!r}; did you mean {f'cuda{colon}{number}'!r}? (of torch's devices)")
        raise unknown("device", name, DEVICES, "(a number may follow, cuda:1)")


def check_here(name: str | None, backend: str) -> None:
    """Refuse a device that torch does not see here; only torch is imported, and only where a backend runs on it."""
    if name is not None and backend in ON_TORCH:
        device_of(name)


def check_kinds(name: str, needed: Collection[Kind], backend: str) -> None:
    """Refuse controls of a kind that the backend cannot apply; none but it is imported."""
    if set(needed) - (APPLIES[backend] if backend in APPLIES else BACKENDS.load(backend).applies):
        able = [each for each in BACKENDS if APPLIES[each] >= set(needed)]
        raise UnsupportedControl(
            f"the method {name} makes {', '.join(sorted(needed))}, which the backend {backend} cannot apply; backends "
            f"that can: {', '.join(able) or 'none'}"
        )


def check_strengths(name: str, method: Method, coefs: Sequence[float], scoring: Sequence[Mode]) -> None:
    """Refuse strengths of a method that has none, and edits that no scoring can see; `name` is the method's."""
    if coefs and method.strength is None:
        able = [each for each in METHODS if METHODS.load(each).strength is not None]
        raise TraitbenchUsage(f"--coefs: the method {name} has no strength; methods that have one: {', '.join(able)}")
    if getattr(method.config, "positions", None) == "generated" and "choice" in scoring:
        raise UnsupportedControl(
            "edits at generated positions cannot move a choice, whose answer is read off the prompt's last token; "
            "use --scoring statement,generate, or --method_args positions=answer"
        )


def check_matched(name: str, method: Method, aims: Sequence[Target | None]) -> None:
    """Refuse the instruction that all methods share where there is no place or no word for it."""
    if not method.matched:
        raise TraitbenchUsage(
            f"--matched: {name} has nothing to put an instruction in front of; compare with "
            "--method prompting --method_args style=instruction"
        )
    if strange := [aim.name if aim else "no target" for aim in aims if aim is None or not aim.levels]:
        raise TraitbenchUsage(f"--matched: there is no instruction for {strange[0]}; expected trait levels")
    from traitbench.methods.prompting import texts

    if strange := [trait for aim in aims if aim for trait in aim.levels if trait not in texts()]:
        raise TraitbenchUsage(
            f"--matched: the instruction that all methods share has no words for {strange[0]}, only for "
            f"{', '.join(texts())}; leave --matched out"
        )


def check_edits(name: str, kind: type[Backend], edits: Iterable[Edit], ops: Iterable[Op] = ()) -> None:
    """Refuse edits, and `ops` that are to come, of the method `name` that the backend cannot make."""
    edits = tuple(edits)
    if strange := {*ops, *(edit.op for edit in edits)} - kind.ops:
        raise UnsupportedControl(
            f"the method {name} makes edits that {', '.join(sorted(strange))}, which the backend {kind.name} "
            f"cannot; it can {', '.join(sorted(kind.ops)) or 'do none'}; use --backend hf"
        )
    if not kind.conditional and any(edit.when is not None for edit in edits):
        raise UnsupportedControl(
            f"the method {name} makes edits on a condition, which the backend {kind.name} cannot; use --backend hf"
        )
