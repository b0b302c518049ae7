"""The command `traitbench`. stdout is data, stderr is progress and diagnostics.

Exit codes: 0 ok, 1 error, 2 usage, 3 finished but some calls failed, 130 interrupted (143 by SIGTERM, 129 by SIGHUP).
Of `check`: 0 pass, 4 regression, 5 inconclusive, 2 invalid.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitbench.cli.arguments import COMMANDS, normalised, parser
from traitbench.cli.guarded import failed, guarded
from traitbench.cli.showing import say, show_results, show_tables
from traitbench.files import user_path
from traitbench.terminal import lenient, visible

if TYPE_CHECKING:
    from traitbench.runs.plan import Plan

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    return guarded(lambda: _command(argv))


def _command(argv: Sequence[str] | None) -> int:
    lenient()
    words = normalised(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        from traitbench.errors import unknown

        return failed(str(unknown("command", words[0], COMMANDS)), 2)
    try:
        arguments = parser().parse_args(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    if arguments.version or arguments.command is None:
        return _version() if arguments.version else _help()
    return _HANDLERS[arguments.command](arguments)


def _version() -> int:
    from traitbench import __version__

    print(__version__)
    return 0


def _help() -> int:
    parser().print_help()
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    """Merge the configuration file and the command line, which wins."""
    from traitbench.cli.configuration import from_command_line

    return from_command_line(vars(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from traitbench.cli.configuration import as_yaml

    plan = _plan(arguments)
    if arguments.show_config:
        print(as_yaml(plan), end="")
        return 0
    from traitbench.progress import Bar
    from traitbench.runs.evaluate import evaluate

    with Bar() as bar:
        results, path = evaluate(plan, bar, bar.tell)
    show_results(results, arguments.format)
    shown = path.parent if path.parent.is_absolute() else Path(os.path.relpath(path.parent))
    say(f"results: {path}\nscore again without a model: traitbench score '{shown}'")
    failed = sum(results.n_failed.values())
    if failed:
        say(f"warning: {failed} calls failed; the same command asks them again")
    return 3 if failed else 0


def _fit(arguments: argparse.Namespace) -> int:
    from traitbench.progress import Bar
    from traitbench.runs.fit import fit

    with Bar() as bar:
        for place in fit(_plan(arguments), bar.tell, bar.begin):
            print(place, flush=True)
    return 0


def _prompt(arguments: argparse.Namespace) -> int:
    from traitbench.runs.prepare import prepare

    prepared = prepare(_plan(arguments))
    if prepared.method.needs_model:
        name = prepared.plan.method
        print(f"# the controls of {name} are fitted on the model; `traitbench run` shows what was chosen")
    for condition, control in prepared.conditions:
        print(f"# {condition.name}  (control {control.hash})")
        for message in control.messages:
            print(visible(f"[{message.role}] {message.content}"))
    for task in prepared.tasks:
        seen = set()
        for request in prepared.requests[task.id]:
            kind = (request.doc.scoring, request.doc.order, request.doc.symbols, request.doc.template)
            if kind in seen:
                continue
            seen.add(kind)
            print(f"\n# {task.id}: {' '.join(str(k) for k in kind if k is not None)}, item {request.doc.item}")
            for message in request.conversation(prepared.conditions[-1][1]):
                print(visible(f"[{message.role}] {message.content}"))
            if text := getattr(request, "text", None):
                print(visible(f"[assistant] {text}   (scored)"))
    return 0


def _ls(arguments: argparse.Namespace) -> int:
    from traitbench.cli.listing import detail, detail_tables, list_tables, listing

    if arguments.name:
        include = [user_path(folder) for given in arguments.include_path for folder in given.split(",")]
        found = detail(arguments.kind, arguments.name, include)
        show_tables(lambda: detail_tables(found), arguments.format, lambda: found.model_dump_json(indent=2))
        return 0
    rows = {kind: rows for kind, rows in listing().items() if arguments.kind in (None, kind)}
    if arguments.format != "table":
        show_tables(lambda: list_tables(rows), arguments.format, lambda: json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for kind, lines in rows.items():
        print(f"{kind}:")
        for name, text in lines:
            print(f"  {name:<18} {text}")
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from traitbench.inventories import validate

    errors = 0
    for name in arguments.inventory:
        found = validate(name, arguments.include_path)
        for finding in found:
            print(visible(f"{finding.level}: {finding.where}: {finding.message}"))
        errors += sum(finding.level == "error" for finding in found)
        print(f"{name}: {'ok' if not found else f'{len(found)} findings'}")
    return 1 if errors else 0


def _score(arguments: argparse.Namespace) -> int:
    from traitbench.runs.finished import current, rescore

    for path in current(arguments.folder, say, arguments.all):
        show_results(rescore(path, norms=arguments.norms), arguments.format)
        say(f"recomputed from the samples beside {path}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from traitbench.progress import Bar
    from traitbench.runs.verify import verify

    code = 0
    for folder in arguments.folder:
        with Bar() as bar:
            found = verify(folder, bar.begin)
        for fault in found.faults:
            say(f"fault: {fault}")
        print(f"{folder}: {found.text}")
        code = 1 if found.faults else code
    return code


def _analyze(arguments: argparse.Namespace) -> int:
    from traitbench.cli.answers import analyze_table

    return analyze_table(arguments)


def _judge(arguments: argparse.Namespace) -> int:
    from traitbench.cli.judging import judge

    return judge(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    from traitbench.cli.answers import reading_of
    from traitbench.cli.configuration import amount
    from traitbench.runs.compare import compare, tables

    effect, bounds = (amount(getattr(arguments, flag), flag) for flag in ("effect", "bounds"))
    found = compare(arguments.a, arguments.b, say, effect, bounds, reading_of(arguments))
    show_tables(lambda: tables(found), arguments.format, lambda: found.model_dump_json(indent=2))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from traitbench.cli.checking import check_baselines

    return check_baselines(arguments)


def _project(arguments: argparse.Namespace) -> int:
    from traitbench.cli.projecting import project_run

    return project_run(arguments)


def _reproduce(arguments: argparse.Namespace) -> int:
    from traitbench.reproduce import as_json, reproduce, tables

    found = reproduce(arguments.name, user_path(arguments.papi) if arguments.papi else None)
    show_tables(lambda: tables(found), arguments.format, lambda: as_json(found))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from traitbench.cli.exporting import export

    return export(arguments)


def _leaderboard(arguments: argparse.Namespace) -> int:
    from traitbench.cli.pages import leaderboard

    return leaderboard(arguments)


def _report(arguments: argparse.Namespace) -> int:
    from traitbench.cli.pages import report

    return report(arguments)


def _data(arguments: argparse.Namespace) -> int:
    from traitbench import data

    if arguments.action == "get":
        print(data.get(arguments.name, accept_licence=arguments.accept_licence, base_url=arguments.base_url))
    elif arguments.action == "path":
        print(data.path(arguments.name))
    else:
        for row in data.list_rows():
            place = row.found or f"not here: traitbench data get {row.name}"
            print(f"{row.name:<18} {row.about} ({row.licence})\n{'':<18} {place}")
    return 0


_HANDLERS: dict[str, Callable[[Any], int]] = {
    "run": _run,
    "fit": _fit,
    "ls": _ls,
    "validate": _validate,
    "prompt": _prompt,
    "score": _score,
    "verify": _verify,
    "analyze": _analyze,
    "judge": _judge,
    "compare": _compare,
    "check": _check,
    "reproduce": _reproduce,
    "export": _export,
    "leaderboard": _leaderboard,
    "project": _project,
    "report": _report,
    "data": _data,
}

if __name__ == "__main__":
    sys.exit(main())
