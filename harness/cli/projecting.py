"""The verb `project`: the texts of a run on the direction of a stored control."""

from __future__ import annotations

import argparse

from traitbench.cli.showing import say, show_tables
from traitbench.files import user_path

__all__ = ["project_run"]


def project_run(arguments: argparse.Namespace) -> int:
    """Project, keep what was found beside the run or where --output_path says, and show it."""
    import json

    from traitbench.errors import TraitbenchUsage
    from traitbench.progress import Bar
    from traitbench.runs.projected import tables
    from traitbench.runs.projections import project

    if arguments.limit is not None and arguments.limit < 1:
        raise TraitbenchUsage(f"--limit {arguments.limit}: expected a number of items of 1 or more")
    on = [user_path(given) for given in arguments.on]
    to = user_path(arguments.output_path) if arguments.output_path else None
    with Bar() as bar:
        found = project(arguments.run, on, arguments.of, to, arguments.limit, say, bar)
    show_tables(
        lambda: [table for one, _ in found for table in tables(one)], arguments.format,
        lambda: json.dumps([one.model_dump(mode="json") for one, _ in found], indent=2, ensure_ascii=False),
    )  # fmt: skip
    for path in dict.fromkeys(path for _, path in found):
        say(f"kept in {path}")
    return 0
