"""The command line's grammar. Standard library only, so that --help is there at once."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

__all__ = ["COMMANDS", "normalised", "parser"]

COMMANDS = {
    "run": "measure a model with and without a control, and print a table",
    "ls": "list models, methods, tasks and backends",
    "validate": "check an inventory file",
    "prompt": "show a control's messages and the prompts of a task, without loading a model",
    "score": "compute every number of a run again from its samples, without a model",
    "export": "publish a run: results and samples without restricted texts",
    "leaderboard": "build leaderboard.json and .md from the published runs",
    "data": "list, fetch and locate data sets",
}

_EXAMPLES = {
    "run": "traitbench run --model smollm2 --method prompting --target all --tasks ipip_neo_120",
    "ls": "traitbench ls tasks",
    "validate": "traitbench validate my_inventory.json",
    "prompt": "traitbench prompt --method prompting --target extraversion=high --tasks mini_ipip",
    "score": "traitbench score results/runs/smollm2@prompting",
    "export": "traitbench export results/runs/smollm2@prompting --to results/published",
    "leaderboard": "traitbench leaderboard",
    "data": "traitbench data get bfi_44 --accept_licence",
}


class Parser(argparse.ArgumentParser):
    """argparse, with the nearest flag or verb suggested for a wrong one."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, or say which argument is unknown and what it may have meant."""
        found, extra = self.parse_known_args(args, namespace)
        if extra:
            wrong = next((e for e in extra if e.startswith("-")), extra[0])
            self.error(f"unknown argument {wrong!r}{self._near(wrong.partition('=')[0], found)}")
        return found

    def _near(self, wrong: str, found: argparse.Namespace) -> str:
        verb = getattr(found, "command", None)
        active = _subparsers(self).get(verb or "", self)
        flags = [flag for action in active._actions for flag in action.option_strings]
        close = difflib.get_close_matches(wrong, flags, n=1, cutoff=0.5)
        return (
            f"; did you mean {close[0]!r}?" if close else f"; see `traitbench {verb or ''} --help`".replace("  ", " ")
        )

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage text and exit with 2."""
        self.exit(2, f"error: {message}\n")


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def normalised(argv: Sequence[str]) -> list[str]:
    """`-` and `_` are interchangeable in flags, and a line without a verb means `run`."""
    out = []
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            flag, equals, value = word.partition("=")
            word = "--" + flag[2:].replace("-", "_") + equals + value
        out.append(word)
    if out and out[0].startswith("-") and out[0] not in ("-h", "--help", "--version"):
        out.insert(0, "run")
    return out


def parser() -> argparse.ArgumentParser:
    """Build the whole grammar."""
    top = Parser(
        prog="traitbench",
        description="Measure and control the personality of language models.",
        epilog=f"example: {_EXAMPLES['run']}",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    made = {}
    for name, about in COMMANDS.items():
        made[name] = verbs.add_parser(
            name, help=about, description=about[0].upper() + about[1:] + ".", epilog=f"example: {_EXAMPLES[name]}",
            allow_abbrev=False,
        )  # fmt: skip
    _run(made["run"], prompt=False)
    _run(made["prompt"], prompt=True)
    made["ls"].add_argument(
        "kind", nargs="?", choices=["models", "methods", "tasks", "backends"], help="all if left out"
    )
    made["validate"].add_argument("inventory", nargs="+", help="name, or path of a JSON file")
    made["validate"].add_argument("--include_path", action="append", default=[], metavar="DIR")
    made["score"].add_argument("folder", help="folder of a run, or one of its results files")
    made["score"].add_argument("--format", choices=["table", "markdown", "json"], default="table")
    made["export"].add_argument("folder", help="folder of a run")
    made["export"].add_argument("--to", default="results/published", metavar="DIR", help="default: %(default)s")
    made["leaderboard"].add_argument(
        "--published", default="results/published", metavar="DIR", help="default: %(default)s"
    )
    made["leaderboard"].add_argument(
        "--output_path", "-o", default="results", metavar="DIR", help="default: %(default)s"
    )
    actions = made["data"].add_subparsers(dest="action", metavar="ACTION", parser_class=Parser, required=True)
    actions.add_parser("ls", help="what there is, its licence, and where it was found", allow_abbrev=False)
    get = actions.add_parser("get", help="fetch a data set and check its sha256", allow_abbrev=False)
    get.add_argument("name")
    get.add_argument("--accept_licence", action="store_true", help="needed for restricted instruments")
    get.add_argument("--base_url", help="a mirror in place of https://raw.githubusercontent.com")
    actions.add_parser("path", help="print where a data set is", allow_abbrev=False).add_argument("name")
    return top


def _run(p: argparse.ArgumentParser, prompt: bool) -> None:
    """The flags of `run`; `prompt` takes those that decide a prompt. No default here: the plan has them."""
    add = p.add_argument
    add("--model", "-M", metavar="NAME|HUB_ID|PATH", help="short name, hub id, local folder or scripted:NAME (smollm2)")
    add("--method", "-m", metavar="NAME", help="control method (none)")
    add("--method_args", metavar="k=v,...", help="hyper-parameters of the method, e.g. style=p2,turn=user")
    add("--target", metavar="TRAIT=LEVEL[,...]|all", help="e.g. extraversion=high; all: both poles of each trait (all)")
    add("--tasks", "-t", metavar="a,b", help="inventories or suites (ipip_neo_120)")
    add("--include_path", metavar="DIR[,DIR]", help="folders with inventories of your own")
    add("--scoring", metavar="a,b", help="choice, statement, generate (choice,statement)")
    add("--orders", metavar="a,b", help="forward, reverse (both)")
    add("--symbols", metavar="a,b", help="letters, numbers (letters)")
    add("--templates", metavar="N", help="phrasings of the request, 1 to 5 (1)")
    add("--respondents", metavar="N", help="simulated respondents, 0 to 50 (0: the model as itself)")
    add("--limit", "-L", metavar="N", help="the first N items only; stamped on the results")
    add("--seed", metavar="N", help="templates, respondents, sampling and bootstrap (0)")
    add("--config", "-C", metavar="FILE", help="YAML or JSON with the same keys; the command line wins")
    if prompt:
        return
    add("--model_args", "-a", metavar="k=v,...", help="e.g. dtype=bfloat16,revision=main; scripted: levels and style")
    add("--backend", metavar="NAME", help="auto, hf, scripted (auto)")
    add("--batch_size", "-b", metavar="N|auto", help="items a pass (auto)")
    add("--device", metavar="DEVICE", help="e.g. cpu, cuda, cuda:1, auto (the first GPU, else the CPU)")
    add("--output_path", "-o", metavar="DIR", help="where the run's folder goes (results/runs)")
    add("--gen_kwargs", metavar="k=v,...", help="generate: max_tokens, temperature")
    add("--repeats", metavar="N", help="generate: sampled replies a prompt (1)")
    add("--apply_chat_template", metavar="true|false", nargs="?", const="true", help="default: where the model has one")
    add("--bootstrap_iters", metavar="N", help="for the interval of leakage (1000)")
    add("--write_out", "-w", action="store_true", default=None, help="show the exact prompt of the first item")
    add("--show_config", action="store_true", help="print the resolved configuration and stop")
    add("--no_resume", action="store_true", default=None, help="set earlier responses aside and ask everything again")
    add("--format", choices=["table", "markdown", "json"], default="table", help="what goes to stdout (table)")
