"""The verb `check`: ask the baselines again and compare, or write new ones."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from traitbench.cli.showing import say, show_tables
from traitbench.files import user_path

__all__ = ["check_baselines"]


def check_baselines(arguments: argparse.Namespace) -> int:
    """Check, print and summarise; the exit code is the verdict's. TraitbenchUsage for flags that do not go together."""
    from traitbench.check import Asking, check, summary, tables, update
    from traitbench.cli.configuration import amount
    from traitbench.progress import Bar
    from traitbench.runs.flags import listed

    _refuse(arguments)
    folder, margin = user_path(arguments.baselines), amount(arguments.margin, "margin")
    asking = Asking(
        listed(arguments.only or ""), listed(arguments.tasks or ""), arguments.method, _flags(arguments),
        user_path(arguments.output_path) if arguments.output_path else None,
    )  # fmt: skip
    with Bar() as bar:
        if arguments.update is not None:
            run = arguments.update
            for path in update(folder, arguments.reason, asking, bar, bar.tell, run, arguments.name, margin):
                print(path)
            return 0
        found = check(folder, asking, bar, bar.tell, arguments.base, margin, arguments.power)
    _write(summary(found), arguments.summary)
    show_tables(lambda: tables(found), arguments.format, lambda: found.model_dump_json(indent=2))
    say(f"check: {found.verdict}")
    return found.exit_code


def _flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is said of the model anew."""
    from traitbench.cli.configuration import pairs

    given = {flag: getattr(arguments, flag) for flag in ("model", "device", "batch_size")}
    flags = {flag: value for flag, value in given.items() if value is not None}
    if arguments.model_args:
        flags["model_args"] = pairs(arguments.model_args, "model_args")
    return flags


def _refuse(arguments: argparse.Namespace) -> None:
    from traitbench.errors import TraitbenchUsage

    updating = arguments.update is not None
    for flag in ("reason", "name"):
        if getattr(arguments, flag) is not None and not updating:
            raise TraitbenchUsage(f"--{flag} goes with --update, which writes baselines; leave it out to check")
    for flag in ("base", "summary"):
        if getattr(arguments, flag) is not None and updating:
            raise TraitbenchUsage(f"--update compares nothing, so it takes no --{flag}; leave it out")
    if updating and arguments.update:
        for flag in ("model", "model_args", "device", "batch_size", "only", "tasks", "method", "output_path"):
            if getattr(arguments, flag) is not None:
                raise TraitbenchUsage(f"--update {arguments.update} is asked already, so it takes no --{flag}")


def _write(text: str, file: str | None) -> None:
    """Write the summary to `file`, and append it to that of a GitHub job."""
    from traitbench.store import guarded, write_text

    if file:
        write_text(user_path(file), text)
    if job := os.environ.get("GITHUB_STEP_SUMMARY"):

        def append() -> None:
            with Path(job).open("a", encoding="utf-8") as handle:
                handle.write(text)

        guarded(append, Path(job))
