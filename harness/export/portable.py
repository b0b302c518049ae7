"""A stored control on its way to another tool: as it is used, what a form cannot hold, and the model that it is for.

What a form cannot express is refused by name, with what to take instead, before a model is looked for. Operations and
settings of edits that are not known here are refused too, so that one that comes later is never left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traitbench import controls
from traitbench.backends.loading import skeleton
from traitbench.backends.models import ModelSpec, resolve
from traitbench.backends.weights import Weights, locate
from traitbench.controls.adapters import base_of
from traitbench.controls.architectures import seen_at, site_width
from traitbench.errors import TraitbenchUsage, UnsupportedControl
from traitbench.runs import stored
from traitbench.types import Control, Edit, Fit, Op, Scope, Site

__all__ = ["Leaving", "Model", "Shifts", "leaving", "model_of", "refuse_edits", "refuse_parts", "shifts"]

Arrays = Mapping[str, NDArray[Any]]
Shifts = dict[tuple[int, Site], NDArray[np.float64]]
"""Layer and site -> what is added there at every position, strength included, (width,)."""

_KNOWN = frozenset({"layer", "site", "op", "tensor", "units", "strength", "positions"})
"""Fields of an edit that are heeded here."""
_ABLE: tuple[Op, ...] = ("add", "clamp", "zero")
"""Operations that some form holds."""
_SCOPES: Mapping[Scope, str] = {"answer": "from the last prompt token on", "generated": "after the prompt"}
_GENERAL = "take --format transformers"


class Leaving(NamedTuple):
    """A control that goes out."""

    place: Path
    control: Control
    """At the strength that was chosen."""
    fit: Fit
    tensors: Arrays

    def said(self, form: str) -> str:
        """How an error about it begins."""
        return f"--format {form} of {self.place} ({self.fit.method}, {self.fit.target or 'no target'})"


class Model(NamedTuple):
    """The model that a control was fitted on."""

    spec: ModelSpec
    weights: Weights
    skeleton: Any
    """Its modules and their shapes, without the weights."""


def leaving(place: Path) -> Leaving:
    """Read a stored control as a run applies it; BadData for what is none, UnsupportedControl where it does nothing."""
    control = stored.read(place)
    fit = control.fit
    assert fit is not None
    if fit.strength is not None:
        control = control.at(fit.strength)
    # Strength 0 switches an edit off.
    control = control.model_copy(update={"edits": tuple(edit for edit in control.edits if edit.strength)})
    if not control.kinds:
        raise UnsupportedControl(
            f"{place} changes nothing: of the strengths that were tried none moved the model towards "
            f"{fit.target or 'its target'}, so there is nothing to export"
        )
    return Leaving(place, control, fit, controls.arrays(control))


def model_of(held: Leaving, name: str | None = None) -> Model:
    """Find the model that a control was fitted on, by `name`, as `--model` has it, or where the control says it is.

    BadData for another model; TraitbenchUsage where the control does not say.
    """
    spec = resolve(name) if name is not None else _said(held)
    if spec.backend != "hf":
        raise UnsupportedControl(f"--model {name} is no language model; expected the one that {held.place} is for")
    stored.check_weights(held.control, spec, str(held.place))
    weights = locate(spec)
    bones = skeleton(spec, weights)
    stored.check_shapes(bones, held.control)
    return Model(spec, weights, bones)


def _said(held: Leaving) -> ModelSpec:
    """The model that the control, or its adapter, names."""
    source, weights = (str(held.fit.model.get(key) or "") for key in ("source", "weights"))
    weights = str(held.fit.model.get("revision") or weights)
    if source.startswith("embedded:"):
        return resolve(source.removeprefix("embedded:"))
    if "/" in source:
        return resolve(f"{source}@{weights}" if re.fullmatch("[0-9a-f]{40}", weights) else source)
    named = base_of(held.control.adapter) if held.control.adapter else None
    if named is not None and (Path(named.path).is_dir() or named.revision):
        return resolve(f"{named.path}@{named.revision}" if named.revision else named.path)
    raise TraitbenchUsage(
        f"{held.place} was fitted on {held.fit.model.get('model') or 'a model'}, and does not say where that is; name "
        "it with --model FOLDER"
    )


def refuse_parts(held: Leaving, form: str, parts: Collection[str]) -> None:
    """Refuse what `form` cannot hold, where `parts` are what it can: messages, adapter, edits. UnsupportedControl."""
    control, start = held.control, held.said(form)
    has = {
        "edits": bool(control.edits),
        "adapter": control.adapter is not None,
        "messages": bool(control.messages),
    }
    if has["edits"] and has["adapter"]:
        raise UnsupportedControl(f"{start}: it has edits and an adapter, and no form holds both; use run --control")
    for part, instead in (("adapter", "take --format peft"), ("edits", "take --format gguf, pt, bias or transformers")):
        if has[part] and part not in parts:
            also = f"; with its messages {_GENERAL}" if has["messages"] else ""
            raise UnsupportedControl(f"{start}: {form} holds no {part}; {instead}{also}")
    if has["messages"] and "messages" not in parts:
        alone = "it is messages alone" if sum(has.values()) == 1 else "it also says something in front of the task"
        raise UnsupportedControl(f"{start}: {alone}, and {form} holds no messages; {_GENERAL}, which writes them too")


def refuse_edits(
    held: Leaving, form: str, ops: Sequence[Op] = ("add",), scopes: Sequence[Scope] = ("all",), instead: str = _GENERAL
) -> None:
    """Refuse edits of other operations and positions: UnsupportedControl that says what to take `instead`."""
    for edit in held.control.edits:
        start = f"{held.said(form)}: {controls.where(edit)}"
        if strange := sorted(set(edit.model_dump(exclude_defaults=True)) - _KNOWN):
            raise UnsupportedControl(f"{start} has {', '.join(strange)}, which no form holds; use run --control")
        if edit.op not in ops:
            able = instead if edit.op in _ABLE else "no form holds it, use run --control"
            raise UnsupportedControl(f"{start} is {edit.op!r}, and {form} holds {' and '.join(ops)} alone; {able}")
        if edit.positions not in scopes:
            where = _SCOPES.get(edit.positions, "at some positions")
            raise UnsupportedControl(
                f"{start} acts {where} (positions={edit.positions}), and {form} acts at every position; {instead}, or "
                "fit it with --method_args positions=all"
            )


def shifts(held: Leaving, model: Model, form: str, sites: Sequence[Site], instead: str = _GENERAL) -> Shifts:
    """Add up what a control adds, by layer and site; UnsupportedControl for sites other than `sites`.

    For controls that `refuse_edits` let pass as additions at every position.
    """
    found: Shifts = {}
    for edit in held.control.edits:
        site = seen_at(model.skeleton, edit.site)
        if site not in sites:
            raise UnsupportedControl(
                f"{held.said(form)}: {controls.where(edit)} is elsewhere than {form} acts, which is at "
                f"{' or '.join(sites)}; {instead}"
            )
        total = found.setdefault((edit.layer, site), np.zeros(site_width(model.skeleton, site)))
        units = controls.units_of(edit, held.tensors)
        total[slice(None) if units is None else units] += _values(edit, held.tensors)
    return dict(sorted(found.items()))


def _values(edit: Edit, tensors: Arrays) -> NDArray[np.float64]:
    assert edit.tensor is not None
    return np.asarray(tensors[edit.tensor], dtype=np.float64) * edit.strength
