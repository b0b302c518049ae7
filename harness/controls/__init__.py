"""Controls on disk: a folder with control.json, method.json and what they hold: tensors.safetensors, adapter/."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from traitbench.controls.adapters import Base, adapter_digest, copy_adapter
from traitbench.errors import BadData
from traitbench.store import read_json, replacing, write_json
from traitbench.types import Control, Edit, Fit, Message, Op, at_strength, digest

__all__ = ["DIRECTED", "arrays", "home", "keep", "read", "store", "units_of", "where"]

Arrays = Mapping[str, NDArray[Any]]

DIRECTED: frozenset[Op] = frozenset({"project_out", "cap"})
"""Operations whose tensor is a direction: its length does not count, but it must have one."""

_TENSORS = "tensors.safetensors"
_ADAPTER = "adapter"


def store(
    folder: Path,
    *,
    messages: Sequence[Message] = (),
    edits: Sequence[Edit] = (),
    tensors: Arrays | None = None,
    adapter: Path | None = None,
    base: Base | None = None,
    fit: Fit | None = None,
) -> Control:
    """Write a control below `folder`, in a folder named by its hash (see `home`), and return it.

    `tensors` are what `edits` name: float arrays (n,), integer arrays (n,) for `units`. `adapter` is a PEFT folder,
    which is copied; `base` is written into its config as the model that it is for. Edits are stored at the strength
    that `fit` says was chosen, so that whoever applies the folder as it is does what was chosen; at 0 they are kept,
    switched off, for another strength to be asked for. BadData for a value that is not finite, a direction without
    length, a name without a tensor, lengths that do not fit, or a folder that is no adapter.
    """
    if fit is not None and fit.strength is not None:
        edits = at_strength(edits, fit.strength)
    given = {name: np.ascontiguousarray(value) for name, value in (tensors or {}).items()}
    _check(edits, given)
    control = Control(
        messages=tuple(messages), edits=tuple(edits), contents=_digest(given) if edits else None, fit=fit,
        weights=adapter_digest(adapter) if adapter else None,
    )  # fmt: skip
    place = home(control, folder)
    if adapter:
        copy_adapter(adapter, place / _ADAPTER, base)
        control = control.model_copy(update={"adapter": place / _ADAPTER})
    if edits:
        with replacing(place / _TENSORS) as temporary:
            save_file(given, temporary)
        control = control.model_copy(update={"tensors": place / _TENSORS})
    write_json(place / "control.json", control.model_dump(mode="json"))
    if fit is not None:
        write_json(place / "method.json", fit.model_dump(mode="json"))
    return control


_HASHED = re.compile(r"[0-9a-f]{16}(-[0-9a-f]{8})?")
"""Name of a folder that `store` made; one that was renamed says nothing."""


def home(control: Control, folder: Path) -> Path:
    """Where `control` is, or is to be kept, below `folder`: in a folder named by its hash.

    Where another fit left the same contents, of another target or with other settings, its method.json stays as it is,
    and this control gets a folder of its own, whose name ends in eight digits of how it was fitted.
    """
    place, fit = folder / control.hash, control.fit
    told = place / "method.json"
    if fit is None or not told.is_file():
        return place
    try:
        other = _way(Fit.model_validate(read_json(told)))
    except (ValidationError, BadData):
        return place
    return place if other == _way(fit) else folder / f"{control.hash}-{_way(fit)[:8]}"


def _way(fit: Fit) -> str:
    """Digest what was fitted and how, without what came out of it."""
    return digest(fit.model_dump(mode="json", include={"method", "version", "model", "target", "config", "seed"}))


def keep(control: Control, folder: Path) -> Path:
    """Write `control` as it is now below `folder`, its tensors included; return its folder."""
    place = home(control, folder)
    write_json(place / "control.json", control.model_dump(mode="json"))
    if control.tensors is not None and control.tensors != place / _TENSORS:
        with replacing(place / _TENSORS) as temporary:
            shutil.copyfile(control.tensors, temporary)
    if control.adapter is not None and control.adapter != place / _ADAPTER:
        copy_adapter(control.adapter, place / _ADAPTER)
    if control.fit is not None:
        write_json(place / "method.json", control.fit.model_dump(mode="json"))
    return place


def read(folder: Path) -> Control:
    """Read a control that `store` wrote; BadData where a file is missing, damaged or not the one that was written."""
    again = "expected a folder that a fitted method wrote: control.json, method.json and their tensors; fit it again"
    try:
        control = Control.model_validate(read_json(folder / "control.json"))
        fit = Fit.model_validate(read_json(folder / "method.json")) if (folder / "method.json").is_file() else None
    except ValidationError as error:
        raise BadData(f"{folder} holds no control of this version: {str(error).splitlines()[0]}; {again}") from None
    control = control.model_copy(update={"fit": fit})
    if _HASHED.fullmatch(name := folder.resolve().name) and name[:16] != control.hash:
        raise BadData(
            f"{folder} is named by another hash than that of the control in it, {control.hash}: control.json was "
            "changed since it was fitted; fit it again, or give the folder another name if the change was meant"
        )
    if control.weights:
        if (found := adapter_digest(folder / _ADAPTER)) != control.weights:
            raise BadData(f"{folder / _ADAPTER} has the digest {found}, control.json says {control.weights}; {again}")
        control = control.model_copy(update={"adapter": folder / _ADAPTER})
    if not control.edits:
        return control
    control = control.model_copy(update={"tensors": folder / _TENSORS})
    held = arrays(control)
    if (found := _digest(held)) != control.contents:
        raise BadData(f"{folder / _TENSORS} has the digest {found}, control.json says {control.contents}; {again}")
    _check(control.edits, held)
    return control


def arrays(control: Control) -> dict[str, NDArray[Any]]:
    """Load the tensors that the control's edits name; empty where it has none. BadData where the file is damaged."""
    if control.tensors is None:
        return {}
    try:
        found: dict[str, NDArray[Any]] = load_file(control.tensors)
    except (OSError, SafetensorError) as error:
        raise BadData(f"cannot read {control.tensors}: {error}; fit the control again") from None
    return found


def _digest(tensors: Arrays) -> str:
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(json.dumps([name, value.dtype.str, value.shape]).encode() + value.tobytes())
    return total.hexdigest()[:16]


def where(edit: Edit) -> str:
    """Name an edit in a message."""
    return f"the edit of {edit.site} in layer {edit.layer}"


def units_of(edit: Edit, tensors: Arrays) -> NDArray[np.integer] | None:
    """Return the places that an edit names; None for all. BadData where it names what is not there or cannot be."""
    _formed(edit)
    for name in (edit.tensor, edit.units, edit.when and edit.when.tensor):
        if name is not None and name not in tensors:
            raise BadData(f"{where(edit)} names the tensor {name!r}; there are {', '.join(sorted(tensors)) or 'none'}")
    if edit.units is None:
        return None
    units = np.asarray(tensors[edit.units])
    if units.ndim != 1 or units.dtype.kind not in "iu" or len(np.unique(units)) < len(units):
        raise BadData(f"{where(edit)}: units {edit.units!r} must be different whole numbers, one dimension")
    return units


def _formed(edit: Edit) -> None:
    """Refuse an edit whose parts do not go together."""
    if (edit.op == "zero") != (edit.tensor is None):
        raise BadData(f"{where(edit)}: {edit.op} goes {'without' if edit.op == 'zero' else 'with'} a tensor")
    bounded = edit.low is not None or edit.high is not None
    if bounded != (edit.op == "cap"):
        raise BadData(f"{where(edit)}: {edit.op} goes {'with low, high or both' if not bounded else 'without bounds'}")
    if edit.low is not None and edit.high is not None and edit.low > edit.high:
        raise BadData(f"{where(edit)}: low={edit.low:g} lies above high={edit.high:g}; expected the other way round")
    if (when := edit.when) is None:
        return
    if when.above is None and when.below is None:
        raise BadData(f"{where(edit)}: its condition on {when.tensor!r} names no bound; expected above, below or both")
    if when.above is not None and when.below is not None and when.above >= when.below:
        raise BadData(
            f"{where(edit)}: no projection lies above {when.above:g} and below {when.below:g}; expected above < below"
        )


def _check(edits: Sequence[Edit], tensors: Arrays) -> None:
    for edit in edits:
        units = units_of(edit, tensors)
        if edit.tensor is not None:
            _check_values(edit, edit.tensor, tensors[edit.tensor], edit.op in DIRECTED)
            if units is not None and len(units) != len(tensors[edit.tensor]):
                raise BadData(
                    f"{where(edit)}: {len(tensors[edit.tensor])} values for {len(units)} units; expected one each"
                )
        if edit.when is not None:
            _check_values(edit, edit.when.tensor, tensors[edit.when.tensor], directed=True)


def _check_values(edit: Edit, name: str, value: NDArray[Any], directed: bool) -> None:
    """Refuse numbers of another form, not finite or, where they are a direction, all 0."""
    if value.ndim != 1 or value.dtype.kind != "f":
        raise BadData(f"{where(edit)}: {name!r} must be floats of one dimension, is {value.dtype} {value.shape}")
    if not np.isfinite(value).all():
        at = int((~np.isfinite(value)).argmax())
        raise BadData(f"{where(edit)}: {name!r} holds {value[at]} at place {at}; expected finite numbers")
    if directed and not value.any():
        raise BadData(f"{where(edit)}: {name!r} is 0 everywhere, which is no direction; expected a value that is not")
