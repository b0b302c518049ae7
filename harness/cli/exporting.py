"""The verb `export`: a run goes out, or the folder of what ships for another tool is printed."""

from __future__ import annotations

import argparse
from pathlib import Path

from traitbench.cli.showing import say

__all__ = ["export"]


def export(arguments: argparse.Namespace) -> int:
    """Write a run in a format, or print the folder of `--path`; TraitbenchUsage for a flag that would do nothing."""
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

    if arguments.format != "published":
        write = FORMATS.load(arguments.format)
        more = {"dataset_id": arguments.dataset_id or ""} if arguments.format == "hf" else {}
        for path in current(arguments.folder, say):
            for made in write(path, Path(arguments.to or "results/exported"), **more):
                print(made)
        return 0
    for path in current(arguments.folder, say):
        made = publish(path, Path(arguments.to or "results/published"))
        print(made)
        held = read_json(made)
        for warning in held["warnings"]:
            say(f"warning: {warning}")
        if held["administration"].get("templates") == 1:
            say("warning: asked in one wording, and others can move an effect more than items do: --templates 3")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse flags that belong to another path or format than the one asked for."""
    from traitbench.errors import TraitbenchUsage

    where = f"--path {arguments.path}" if arguments.path else f"--format {arguments.format}"
    takes = {
        "source": arguments.path == "inspect-register",
        "dataset_id": not arguments.path and arguments.format == "hf",
        "to": not arguments.path,
    }
    for flag, taken in takes.items():
        if getattr(arguments, flag) is not None and not taken:
            raise TraitbenchUsage(f"export {where} takes no --{flag}; leave it out")
    if arguments.path and arguments.format != "published":
        raise TraitbenchUsage(f"export {where} takes no --format; leave it out")
