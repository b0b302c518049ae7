"""The verbs `report` and `leaderboard`: pages that need no network."""

from __future__ import annotations

import argparse

from traitbench.cli.showing import say
from traitbench.files import user_path

__all__ = ["leaderboard", "report"]


def leaderboard(arguments: argparse.Namespace) -> int:
    """Write the board of the published runs, and print it as Markdown."""
    from traitbench.leaderboard import board_of, published_results, render
    from traitbench.report.board import write_board
    from traitbench.store import write_json, write_text

    published, to = user_path(arguments.published), user_path(arguments.output_path)
    runs = published_results(published)
    board = board_of(runs)
    write_json(to / "leaderboard.json", board.model_dump(mode="json"))
    write_text(to / "leaderboard.md", render(board))
    write_board(board, runs, to / "leaderboard.html", published)
    say(f"{to / 'leaderboard.html'}: one page that needs no network")
    print(render(board), end="")
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write the page of the runs that are named. BadData where several of them have no folder to go to."""
    from traitbench.errors import BadData
    from traitbench.progress import Bar
    from traitbench.report import write_report
    from traitbench.runs.finished import current, rescore

    folders = arguments.folder
    if len(folders) > 1 and arguments.output_path is None:
        raise BadData(f"a report of {len(folders)} runs has no folder of its own; add --output_path DIR")
    paths = list(dict.fromkeys(path for folder in folders for path in current(folder, say, arguments.all)))
    to, names = user_path(arguments.output_path or paths[0].parent), [path.resolve().parent.name for path in paths]
    title = names[0] if len(set(names)) == 1 else f"{len(set(names))} runs"
    sources = {f"{name}/{path.name}": rescore(path).kept_at(path) for name, path in zip(names, paths, strict=True)}
    with Bar() as bar:
        files = write_report(sources, to / "report.html", title, begin=bar.begin)
    say(f"{files[0]}: one page that needs no network; {len(files) - 1} figures beside it")
    print(to / "report.html")
    return 0
