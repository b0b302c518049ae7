"""The verb `judge`: judges are calibrated, and people rate replies beside them."""

from __future__ import annotations

import argparse

from traitbench.cli.showing import say, show_tables
from traitbench.files import user_path

__all__ = ["judge"]


def judge(arguments: argparse.Namespace) -> int:
    """Run one of its actions."""
    return _calibrate(arguments) if arguments.action == "calibrate" else _annotate(arguments)


def _calibrate(arguments: argparse.Namespace) -> int:
    import json

    from traitbench.cli.configuration import pairs
    from traitbench.judges import made
    from traitbench.judges.calibration import calibrate, default_folder
    from traitbench.judges.showing import tables
    from traitbench.masking import refuse_keys
    from traitbench.progress import Bar
    from traitbench.runs.flags import listed

    given = pairs(arguments.judge_args or "", "judge_args")
    refuse_keys("judge_args", given)
    judges = made(listed(arguments.judge), given)
    folder = user_path(arguments.output_path) if arguments.output_path else default_folder()
    with Bar() as bar:
        found = [calibrate(one, folder, arguments.limit, 0, bar.begin) for one in judges]
    show_tables(
        lambda: tables(found), arguments.format,
        lambda: json.dumps([one.model_dump(mode="json") for one in found], indent=2, ensure_ascii=False),
    )  # fmt: skip
    say(f"kept in {folder}")
    return 3 if any(one.failed for one in found) else 0


def _annotate(arguments: argparse.Namespace) -> int:
    from traitbench.errors import TraitbenchUsage
    from traitbench.runs.annotate import KEY, draw, rate

    if arguments.read:
        if arguments.to:
            raise TraitbenchUsage("judge annotate --read takes no --to; leave it out")
        from traitbench.judges.people import tables

        found, path = rate(arguments.run, [user_path(sheet) for sheet in arguments.read], say)
        show_tables(lambda: tables(found), arguments.format, lambda: found.model_dump_json(indent=2))
        say(f"kept in {path}")
        return 0
    if not arguments.to:
        raise TraitbenchUsage(
            "judge annotate draws a sheet with --to DIR, or reads filled ones with --read FILE; give one of them"
        )
    for made in draw(arguments.run, arguments.n, user_path(arguments.to), arguments.seed, say):
        print(made)
    say(f"what each reply is stands in {KEY} in the run's folder; raters must not see it")
    return 0
