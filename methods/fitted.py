"""Fit a method's control once, and find it again wherever it is asked for in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from traitbench import controls
from traitbench.errors import BadData, TraitbenchUsage
from traitbench.files import contents
from traitbench.methods import METHODS
from traitbench.methods.bench import Bench
from traitbench.methods.method import Method
from traitbench.store import read_json, write_json
from traitbench.types import Control, Target, digest

__all__ = ["fitted", "is_kept", "name_of"]


def name_of(kind: type[Method]) -> str:
    """What plans and fits call a method: its name where METHODS means this class by it, else module:Class.

    So a class of one's own is never taken for one that ships, whose name it may have inherited.
    """
    name = getattr(kind, "name", "")
    return name if name in METHODS and METHODS.load(name) is kind else f"{kind.__module__}:{kind.__qualname__}"


def fitted(method: Method, target: Target | None, bench: Bench) -> Control:
    """Fit the control of `method` on `bench`, or take the one that was fitted there before in the same way."""
    if not method.needs_model:
        return _fit(method, target, bench)
    data = dict(method.reads(target, bench))
    note = _note(method, target, bench, data)
    if note.is_file() and not bench.fresh:
        return _found(note, bench)
    control = _fit(method, target, bench)
    if control.fit is None:
        raise BadData(f"the method {method.name} says nothing of its fit; expected Control.fit to be set")
    control = control.model_copy(update={"fit": control.fit.model_copy(update={"data": data})})
    place = controls.keep(control, bench.folder)
    write_json(note, _told(place.name, control))
    return control


def _found(note: Path, bench: Bench) -> Control:
    """Read the control that `note` names; BadData where it is damaged or not the one that was fitted then."""
    held = read_json(note)
    try:
        control = controls.read(bench.folder / str(held["control"]))
    except (KeyError, TypeError):
        raise BadData(f"{note} names no control; remove it to fit again") from None
    if held not in ({"control": held["control"]}, _told(str(held["control"]), control)):
        raise BadData(
            f"{note} names a control that {held.get('method')} fitted for {held.get('target')}, and {held['control']} "
            "is another one; remove the note to fit again"
        )
    return control


def _told(name: str, control: Control) -> dict[str, str | None]:
    """What a note says of the control in the folder `name`."""
    fit = control.fit
    return {"control": name, "method": fit.method if fit else None, "target": fit.target if fit else None}


def is_kept(method: Method, target: Target | None, bench: Bench) -> bool:
    """Tell whether the control of `method`, which needs the model, was fitted on `bench` before in the same way."""
    return _note(method, target, bench, method.reads(target, bench)).is_file() and not bench.fresh


def _note(method: Method, target: Target | None, bench: Bench, data: Mapping[str, str]) -> Path:
    """The file that says which control such a fit made; `data` are the digests of what it reads."""
    aim = target.model_dump(mode="json") if target else None
    config = method.config.model_dump(mode="json")
    decides = [bench.backend.identity, name_of(type(method)), method.version, config, aim, bench.seed, contents(config)]
    name = digest([*decides, dict(data)] if data else decides)
    return bench.folder / "fits" / f"{name}.json"


def _fit(method: Method, target: Target | None, bench: Bench) -> Control:
    control: object = method.fit(target, bench)
    if not isinstance(control, Control):
        raise TraitbenchUsage(
            f"the method {method.name}: fit gives {type(control).__name__} {str(control)[:60]!r}; expected a "
            "traitbench.Control"
        )
    return control
