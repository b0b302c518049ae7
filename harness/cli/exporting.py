"""The verb `export`: a run or a control goes out, or the folder of what ships for another tool is printed."""

from __future__ import annotations

import argparse

from traitbench.cli.showing import say
from traitbench.files import user_path

__all__ = ["export"]

_PUBLISHED = "published"


def export(arguments: argparse.Namespace) -> int:
    """Write a run or a control in a format, or print the folder of `--path`.

    TraitbenchUsage for a flag that would do nothing, and for a format that is not of what is named.
    """
    if arguments.folder and (user_path(arguments.folder) / "control.json").is_file():
        return _control(arguments)
    _check(arguments)
    if arguments.path:
        from traitbench.export import PATHS

        where = {"source": arguments.source or ""} if arguments.path == "inspect-register" else {}
        print(PATHS.load(arguments.path)(**where))
        return 0
    from traitbench.export import FORMATS
    from traitbench.runs.finished import current
    from traitbench.runs.publish import publish
    from traitbench.store import read_json

    form = arguments.format or _PUBLISHED
    if form != _PUBLISHED:
        write = FORMATS.load(form)
        more = {"dataset_id": arguments.dataset_id or ""} if form == "hf" else {}
        for path in current(arguments.folder, say):
            for made in write(path, user_path(arguments.to or "results/exported"), **more):
                print(made)
        return 0
    for path in current(arguments.folder, say):
        made = publish(path, user_path(arguments.to or "results/published"))
        print(made)
        held = read_json(made)
        for warning in held["warnings"]:
            say(f"warning: {warning}")
        if held["administration"].get("templates") == 1:
            say("warning: asked in one wording, and others can move an effect more than items do: --templates 3")
    return 0


def _control(arguments: argparse.Namespace) -> int:
    """Write a control below `--to`, in a folder of its name."""
    from traitbench.errors import TraitbenchUsage, unknown
    from traitbench.export import CONTROLS, FORMATS

    form, to, able = arguments.format, arguments.to, ", ".join(CONTROLS)
    if form is None and to in CONTROLS:
        # As one says it: export DIR --to gguf.
        form, to = to, None
    if form is None:
        raise TraitbenchUsage(f"{arguments.folder} is a control; say in which form it goes out: --format {able}")
    if form in {*FORMATS, _PUBLISHED}:
        raise TraitbenchUsage(f"--format {form} is of runs, and {arguments.folder} is a control; take one of {able}")
    if form not in CONTROLS:
        raise unknown("format of controls", form, CONTROLS)
    for flag in ("source", "dataset_id"):
        if getattr(arguments, flag) is not None:
            raise TraitbenchUsage(f"export --format {form} takes no --{flag}; leave it out")
    from traitbench.export.portable import leaving

    place = user_path(arguments.folder)
    target = user_path(to or "results/exported") / place.resolve().name
    for made in CONTROLS.load(form)(leaving(place), target, arguments.model):
        print(made)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse flags that belong to another path or format than the one asked for."""
    from traitbench.errors import TraitbenchUsage
    from traitbench.export import CONTROLS

    form = arguments.format or _PUBLISHED
    where = f"--path {arguments.path}" if arguments.path else f"--format {form}"
    takes = {
        "source": arguments.path == "inspect-register",
        "dataset_id": not arguments.path and form == "hf",
        "to": not arguments.path,
        "model": False,
    }
    for flag, taken in takes.items():
        if getattr(arguments, flag) is not None and not taken:
            raise TraitbenchUsage(f"export {where} takes no --{flag}; leave it out")
    if arguments.path and form != _PUBLISHED:
        raise TraitbenchUsage(f"export {where} takes no --format; leave it out")
    if form in CONTROLS:
        raise TraitbenchUsage(
            f"export {where}: {arguments.folder} is no control (control.json); expected the folder of one, as "
            "`traitbench fit` prints it"
        )
