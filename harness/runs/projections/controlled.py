"""The controls that answered in a run, looked for where the run kept them, or took them from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from traitbench import controls
from traitbench.errors import BadData
from traitbench.runs.projections.texts import Group
from traitbench.runs.stored import folders
from traitbench.store import read_json
from traitbench.types import Control, Message

if TYPE_CHECKING:
    from traitbench.tasks.block import Facts

__all__ = ["made_by"]


def made_by(groups: Sequence[Group], facts: Facts, run: Path) -> tuple[dict[str, Control], list[str]]:
    """Hash -> control, at the strength and with the messages that a condition had; and a note on those not found."""
    found: dict[str, Control] = {}
    missing = []
    for group in groups:
        if group.control is None or group.control in found:
            continue
        messages = tuple(Message.model_validate(m) for m in facts.controls.get(group.condition, ()))
        alone = Control(messages=messages)
        if alone.hash == group.control:
            found[group.control] = alone
            continue
        target = next((c.target for c in facts.conditions if c.name == group.condition), None)
        for place in _places(facts, run, group.control, target):
            held = controls.read(place)
            at = held if group.coef is None or not held.edits else held.at(group.coef)
            as_used = at.model_copy(update={"messages": messages})
            if as_used.hash == group.control:
                found[group.control] = as_used
                break
        else:
            missing.append(group.condition)
    if missing:
        names = ", ".join(dict.fromkeys(missing))
        return found, [f"the controls of {names} are not beside the run, so they are read without them alone"]
    return found, []


def _places(facts: Facts, run: Path, name: str, target: str | None) -> Iterator[Path]:
    """Folders of controls that may be the one: that of its name first, then all that aim at the target."""
    kept = run.resolve().parent / "controls"
    if (kept / name / "control.json").is_file():
        yield kept / name
    try:
        yield from folders(facts.config.get("control") or ())
    except BadData:
        # They were moved since.
        pass
    for note in sorted(kept.glob("*/method.json")):
        if read_json(note).get("target") == target and note.with_name("control.json").is_file():
            yield note.parent
