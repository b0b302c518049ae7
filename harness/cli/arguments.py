"""The command line's grammar. Standard library only, so that --help is there at once.

Over 300 lines: the flags of all commands are best read beside each other.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from traitbench.cli.theirs import FLAGS

__all__ = ["COMMANDS", "normalised", "parser"]

COMMANDS = {
    "run": "measure a model with and without a control, and print a table",
    "ls": "list models, methods, tasks and backends, or say all there is to one of them",
    "validate": "check an inventory file",
    "prompt": "show a control's messages and the prompts of a task, without loading a model",
    "fit": "fit a method's controls and keep them, without measuring anything",
    "score": "compute every number of a run again from its samples, without a model",
    "verify": "whether runs and controls are as they were written; nothing is computed",
    "analyze": "reliability and structure of a table of people's answers, of any size",
    "judge": "calibrate judges of written replies, or have people rate replies beside them",
    "project": "project a run's replies or prompts on the direction of a stored control",
    "compare": "set two runs beside each other, item by item, or a run beside people",
    "check": "ask the baselines again and say what moved: pass, regression, inconclusive or invalid",
    "reproduce": "recompute published figures, and say why they differ",
    "export": "publish a run without restricted texts, or write a run or a control in another tool's format",
    "report": "write a run, or several, as one HTML page with figures",
    "leaderboard": "build leaderboard.json, .md and .html from the published runs",
    "data": "list, fetch and locate data sets",
}

_EXAMPLES = {
    "run": "traitbench run --model smollm2 --method prompting --target all --tasks ipip_neo_120",
    "ls": "traitbench ls methods residual",
    "validate": "traitbench validate my_inventory.json",
    "prompt": "traitbench prompt --method prompting --target extraversion=high --tasks mini_ipip",
    "fit": "traitbench fit --method dpo --target openness=high --method_args adapters=each,preset=small",
    "score": "traitbench score results/runs/smollm2@prompting",
    "verify": "traitbench verify results/published",
    "analyze": "traitbench analyze answers.csv --inventory ipip_neo_120 --raw",
    "judge": "traitbench judge calibrate --judge smollm2,planted:honest",
    "project": "traitbench project results/runs/smollm2@persona_vectors --on results/runs/controls/3f2a9c0e7d1b4a65",
    "compare": "traitbench compare results/runs/smollm2@prompting results/runs/smollm2@prompting,style=p2",
    "check": "traitbench check --base origin/main --summary check.md",
    "reproduce": "traitbench reproduce papi-baselines --papi DIR --format json",
    "export": "traitbench export results/runs/smollm2@prompting --to results/published",
    "report": "traitbench report results/runs/smollm2@prompting",
    "leaderboard": "traitbench leaderboard",
    "data": "traitbench data get bfi_44 --accept_licence",
}


_NEGATIVE = re.compile(r"-\d[\d.]*[^\d.]")
"""A value that begins with a negative number and goes on, -2-2 or -9,99: argparse takes it for a flag."""
_FOLDER = "folder of a run or the beginning of its name, or one of its results files"
_ALL = "every results file, also those that are passed over; FOLDER may then hold many runs"
_NORMS = "also z, T and percentile among people of one sex and age, e.g. F,30 (F, M, or N for both together)"
_FORMATS = ("table", "markdown", "json")


_SEVERAL = (
    "method_args", "model_args", "gen_kwargs", "judge_args", "tasks", "include_path", "scoring", "orders", "symbols",
    "contexts", "judge", "coefs", "side_effects",
)  # fmt: skip
"""Flags of `run` with several values."""


_MERGED = ("method_args", "model_args", "gen_kwargs", "judge_args")
"""Those of names and values, which add up where the flag is repeated; of other flags the last one counts."""


class Several(argparse.Action):
    """Values with commas or blanks between, and pairs from a flag that is repeated: as in lm-eval and Inspect."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Join them with commas."""
        before = getattr(namespace, self.dest) if self.dest in _MERGED else None
        setattr(namespace, self.dest, ",".join([*([before] if before else []), *values]))


class Aim(argparse.Action):
    """A target. Where the flag is repeated the last one counts; of pairs, which add up in other flags, that is said."""

    def __call__(
        self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Keep it."""
        before = getattr(namespace, self.dest)
        if before and "=" in before and "=" in values and before != values:
            from traitbench.cli.showing import say

            both = f"{before},{values}"
            say(f"warning: --target {before} does not count, the last does; for both at once: --target {both}")
        setattr(namespace, self.dest, values)


def _adder(p: argparse.ArgumentParser) -> Callable[..., Any]:
    """`p.add_argument` that knows which flags have several values."""

    def add(*names: str, **about: Any) -> Any:
        several: dict[str, Any] = {"action": Several, "nargs": "+"} if names[0].removeprefix("--") in _SEVERAL else {}
        return p.add_argument(*names, **about, **several)

    return add


class Parser(argparse.ArgumentParser):
    """argparse, with the nearest flag or verb suggested for a wrong one."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, or say which argument is unknown and what it may have meant."""
        found, extra = self.parse_known_args(args, namespace)
        if extra:
            from traitbench.masking import masked

            wrong = next((e for e in extra if e.startswith("-")), extra[0])
            flag, given, value = wrong.partition("=")
            theirs = f"; {FLAGS[flag]}" if flag in FLAGS else ""
            told = f"{flag}{given}{masked(value, flag[2:])}"
            self.error(f"unknown argument {told!r}{theirs or self._near(flag, found)}")
        return found

    def _near(self, wrong: str, found: argparse.Namespace) -> str:
        verb = getattr(found, "command", None)
        active = _subparsers(self).get(verb or "", self)
        flags = [flag for action in active._actions for flag in action.option_strings]
        close = difflib.get_close_matches(wrong, flags, n=1, cutoff=0.8)
        close = close or [flag for flag in flags if len(wrong) > 4 and flag.startswith(wrong)][:1]
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
    out: list[str] = []
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            flag, equals, value = word.partition("=")
            word = "--" + flag[2:].replace("-", "_") + equals + value
        elif out and out[-1].startswith("--") and "=" not in out[-1] and _NEGATIVE.match(word):
            word = f"{out.pop()}={word}"
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
    _fit(made["fit"])
    _runs(made)
    _check(made["check"])
    _judge(made["judge"])
    _tables(made)
    _shelves(made)
    return top


_TARGETS = (
    "TRAIT=LEVEL[,...]|all|profiles[:N]|impression|person:papi[:N]|person:sd3[:N]|person:FILE|characters|character:NAME"
)


def _fit(p: argparse.ArgumentParser) -> None:
    """The flags of `fit`: those of `run` that decide a control."""
    add = _adder(p)
    add("--model", "-M", metavar="NAME|HUB_ID|PATH", help="short name, hub id or local folder (smollm2)")
    add("--method", "-m", metavar="NAME", required=True, help="a method that is fitted on a model")
    add("--method_args", metavar="k=v,...", help="hyper-parameters of the method, e.g. preset=small,adapters=each")
    add("--target", action=Aim, metavar=_TARGETS, help="what to aim at, as for run (all)")
    add("--tasks", "-t", metavar="a,b", help="whose traits `all` means (ipip_neo_120)")
    add("--model_args", "-a", metavar="k=v,...", help="e.g. dtype=bfloat16,revision=main")
    add("--backend", metavar="NAME", help="auto, hf, vllm (auto)")
    add("--device", metavar="DEVICE", help="e.g. cpu, cuda, cuda:1 (the first GPU, else the CPU)")
    add("--output_path", "-o", metavar="DIR", help="controls go to DIR/controls, where run finds them (results/runs)")
    add("--apply_chat_template", metavar="true|false", nargs="?", const="true", help="default: where the model has one")
    add("--seed", metavar="N", help="of the draws and the initial weights (0)")
    add("--config", "-C", metavar="FILE", help="YAML or JSON with the same keys; the command line wins")
    add("--no_resume", action="store_true", default=None, help="fit again what is there")


def _run(p: argparse.ArgumentParser, prompt: bool) -> None:
    """The flags of `run`; `prompt` takes those that decide a prompt. No default here: the plan has them."""
    add = _adder(p)
    add(
        "--model",
        "-M",
        metavar="NAME|HUB_ID|PATH",
        help="short name, hub id, local folder, scripted:NAME, endpoint:NAME or lm_eval:NAME (smollm2)",
    )
    add("--method", "-m", metavar="NAME", help="control method (none)")
    add("--method_args", metavar="k=v,...", help="hyper-parameters of the method, e.g. style=p2,turn=user")
    add(
        "--control", metavar="DIR", action="append",
        help="a control that was fitted before, or a folder of some, in place of a method; may be repeated",
    )  # fmt: skip
    add(
        "--target",
        action=Aim,
        metavar=_TARGETS,
        help="extraversion=high; all: both poles of each trait; profiles: N >= 100 draws of levels on all traits; "
        "impression: to look good, to be honest, to look bad; "
        "person:papi: the persons of PAPI, or the first N; person:sd3: people drawn by their SD3; "
        "person:FILE, person:sd3:FILE: a table of answers; characters: all "
        "that ship; character:NAME: one of them, or DIR/NAME of your own (all)",
    )
    add("--tasks", "-t", metavar="a,b", help="inventories or suites (ipip_neo_120)")
    add("--include_path", metavar="DIR[,DIR]", help="folders with inventories of your own")
    add("--scoring", metavar="a,b", help="choice, statement, generate (choice,statement)")
    add("--orders", metavar="a,b", help="forward, reverse (both)")
    add("--symbols", metavar="a,b", help="letters, numbers (letters)")
    add("--templates", metavar="N", help="phrasings of the request, 1 to 5 (1)")
    add("--respondents", metavar="N", help="simulated respondents, 0 to 500 (0: the model as itself)")
    add("--contexts", metavar="a,b", help="robustness: what comes before the question, e.g. now,drift,ladder (all)")
    add("--limit", "-L", metavar="N", help="the first N items only, or a share of them (0.1); stamped on the results")
    add("--seed", metavar="N", help="templates, respondents, sampling and bootstrap (0)")
    add("--config", "-C", metavar="FILE", help="YAML or JSON with the same keys; the command line wins")
    if not prompt:
        _asking(p)


def _asking(p: argparse.ArgumentParser) -> None:
    """The flags of `run` that decide no prompt."""
    add = _adder(p)
    add("--model_args", "-a", metavar="k=v,...", help="e.g. dtype=bfloat16,revision=main; scripted: levels and style")
    add("--backend", metavar="NAME", help="auto, hf, vllm, endpoint, lm_eval, scripted (auto)")
    add("--batch_size", "-b", metavar="N|auto", help="items a pass (auto)")
    add("--device", metavar="DEVICE", help="e.g. cpu, cuda, cuda:1, auto (the first GPU, else the CPU)")
    add("--output_path", "-o", metavar="DIR", help="where the run's folder goes (results/runs)")
    add("--gen_kwargs", metavar="k=v,...", help="generate: max_tokens, temperature, repetition_penalty")
    add(
        "--judge", metavar="NAME,...", help="who rates written replies: scorer:text, or models as --model (scorer:text)"
    )
    add("--judge_args", metavar="k=v,...", help="as --model_args, of all judges that are models; NAME.k=v: of one")
    add("--self_judge", action="store_true", default=None, help="let a model judge its own replies")
    add("--repeats", metavar="N", help="generate: sampled replies a prompt (1)")
    add("--apply_chat_template", metavar="true|false", nargs="?", const="true", help="default: where the model has one")
    add("--reference", metavar="FILE", help="people's answers to a task to compare with; needs --keyed or --raw")
    keying = p.add_mutually_exclusive_group()
    keying.add_argument(
        "--keyed",
        action="store_true",
        default=None,
        help="the minus-keyed items of --reference or person:FILE are reversed already",
    )
    keying.add_argument(
        "--raw", dest="keyed", action="store_false", help="its answers are as given (of person:FILE the default)"
    )
    add("--norms", metavar="SEX,AGE", help=_NORMS)
    add("--coefs", metavar="a,b", help="dose curve: more strengths of the method's edits; 0: its messages alone")
    add(
        "--fit_seeds",
        metavar="N",
        help="fits of each control, with the seeds SEED, SEED + 1, ...; all are measured (1)",
    )
    add("--matched", action="store_true", default=None, help="also tell each control's target, in one sentence for all")
    add(
        "--mix_conditions",
        action="store_true",
        default=None,
        help="requests of several conditions may share a batch (vllm): fuller batches where conditions are short",
    )
    add("--side_effects", metavar="a,b", help="tasks of lm-eval under every condition: traitbench_reasoning,mmlu")
    add("--side_effects_limit", metavar="N", help="the first N documents of each of these tasks (all)")
    add("--bootstrap_iters", metavar="N", help="for the interval of leakage (1000)")
    add("--write_out", "-w", action="store_true", default=None, help="show the exact prompt of the first item")
    add("--show_config", action="store_true", help="print the resolved configuration and stop")
    add("--no_resume", action="store_true", default=None, help="set earlier responses aside and ask everything again")
    add("--format", choices=_FORMATS, default="table", help="what goes to stdout (table)")


def _runs(made: Mapping[str, argparse.ArgumentParser]) -> None:
    """Verbs on finished runs."""
    made["score"].add_argument("folder", help=_FOLDER)
    made["score"].add_argument("--all", action="store_true", help=_ALL)
    made["score"].add_argument("--norms", metavar="SEX,AGE", help=_NORMS)
    made["score"].add_argument("--format", choices=_FORMATS, default="table")
    made["verify"].add_argument("folder", nargs="+", help="folder of one run or of many, or the beginning of its name")
    compare = made["compare"].add_argument
    compare("a", help=f"{_FOLDER}; or samples of lm-eval (folder, samples_*.jsonl), or logs of Inspect (folder, .eval)")
    compare(
        "b", help="the run that is subtracted, named alike; or a table of people's answers (CSV, TSV, Parquet, SPSS)"
    )
    compare("--effect", metavar="X|PART=X,...", help="also the power to see a difference of X; PART: mode or metric")
    compare("--bounds", metavar="X|PART=X,...", help="call them equivalent within ±X (POMP 3, nats .1, shares .03)")
    keying = made["compare"].add_mutually_exclusive_group()
    keying.add_argument(
        "--keyed", action="store_true", default=None, help="minus-keyed items of the table are reversed already"
    )
    keying.add_argument("--raw", dest="keyed", action="store_false", help="its answers are as given")
    compare("--coding", metavar="LO-HI", help="the table's lowest and highest answer: 0-4")
    compare("--missing", action="append", default=[], metavar="CODES", help="its answers that count as missing: -9,99")
    compare("--columns", metavar="MAP", help="its other column names: JSON or CSV, column -> item id")
    compare("--format", choices=_FORMATS, default="table")
    project = made["project"].add_argument
    project("run", help=_FOLDER)
    project(
        "--on", nargs="+", default=[], metavar="DIR",
        help="folders of controls that edit the residual stream (the run's own)",
    )  # fmt: skip
    project("--of", choices=["replies", "prompts"], default="replies", help="what is projected (%(default)s)")
    project("--limit", "-L", metavar="N", type=int, help="the first N items of each task (all)")
    project("--output_path", "-o", metavar="DIR", help="where projections_*.jsonl goes (the run's folder)")
    project("--format", choices=_FORMATS, default="table")
    _export(made["export"])
    made["report"].add_argument("folder", nargs="+", help=f"{_FOLDER}; several share one page")
    made["report"].add_argument("--all", action="store_true", help=_ALL)
    made["report"].add_argument("--output_path", "-o", metavar="DIR", help="default: the run's folder, where it is one")
    made["leaderboard"].add_argument(
        "--published", default="results/published", metavar="DIR", help="default: %(default)s"
    )
    made["leaderboard"].add_argument(
        "--output_path", "-o", default="results", metavar="DIR", help="default: %(default)s"
    )


def _check(p: argparse.ArgumentParser) -> None:
    """The flags of `check`; what is asked stands in the baselines."""
    add = _adder(p)
    add("--model", "-M", metavar="NAME|HUB_ID|PATH", help="the model is what is checked, this one; else the code is")
    add("--model_args", "-a", metavar="k=v,...", help="as for run, beside those of the baselines")
    add("--device", metavar="DEVICE", help="as for run")
    add("--batch_size", "-b", metavar="N|auto", help="as for run")
    add("--baselines", default="results/baselines", metavar="DIR", help="default: %(default)s")
    add("--only", metavar="a,b", help="these baselines, by name (all)")
    add("--tasks", "-t", metavar="a,b", help="only baselines that ask one of these tasks")
    add("--method", "-m", metavar="NAME", help="only baselines of this method")
    add("--base", metavar="REF", help="baselines as they are where this branch left REF, e.g. origin/main")
    add(
        "--margin", metavar="X|MODE=X,...",
        help="the shift from which on something is wrong (POMP 3, nats .1, or as a baseline says)",
    )  # fmt: skip
    add("--power", metavar="P", type=float, default=0.8, help="least power to find such a shift (%(default)s)")
    add("--summary", metavar="FILE", help="also write a Markdown summary; a GitHub job gets it by itself")
    add("--output_path", "-o", metavar="DIR", help="keep what was asked there (a temporary folder)")
    add("--update", metavar="RUN", nargs="?", const="", help="write the baseline of a run, or all of them asked anew")
    add("--reason", metavar="TEXT", help="why these values are right from now on; kept in the baseline")
    add("--name", metavar="NAME", help="of the baseline of RUN (the run's own)")
    add("--format", choices=_FORMATS, default="table", help="what goes to stdout (table)")


def _judge(p: argparse.ArgumentParser) -> None:
    """The actions of `judge`."""
    actions = p.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser, required=True)
    calibrate = actions.add_parser(
        "calibrate", help="try judges with texts of known pole, and name their faults", allow_abbrev=False
    ).add_argument
    calibrate("--judge", required=True, metavar="NAME,...", help="as for run; planted:... have one known fault each")
    calibrate("--judge_args", metavar="k=v,...", help="as for run")
    calibrate("--limit", "-L", metavar="N", type=int, help="the first N pairs of each trait; not cited on cards")
    calibrate("--output_path", "-o", metavar="DIR", help="where it is kept (the cache, where runs find it)")
    calibrate("--format", choices=_FORMATS, default="table")
    annotate = actions.add_parser(
        "annotate", help="write a blind sheet of a run's replies for people, or read filled ones", allow_abbrev=False
    ).add_argument
    annotate("run", help=_FOLDER)
    annotate("--n", metavar="N", type=int, default=100, help="replies to draw (%(default)s)")
    annotate("--to", metavar="DIR", help="where sheet.csv, form.html and rubric.txt go")
    annotate("--seed", metavar="N", type=int, default=0, help="of the draw (%(default)s)")
    annotate("--read", metavar="FILE", action="append", default=[], help="a filled sheet; once for each person's file")
    annotate("--format", choices=_FORMATS, default="table")


def _export(p: argparse.ArgumentParser) -> None:
    """The flags of `export`: a run or a control goes out, or the folder of what ships for another tool is printed."""
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", help=f"{_FOLDER}; or the folder of a fitted control")
    what.add_argument(
        "--path", choices=["lm-eval", "inspect-register"],
        help="print the folder of our tasks for this tool, or of entries for this register",
    )  # fmt: skip
    p.add_argument("--to", metavar="DIR", help="default: results/published, of another format results/exported")
    p.add_argument(
        "--format", metavar="NAME",
        help="of a run: published, inspect, eee, hf (published); of a control: gguf, pt, bias, peft, transformers",
    )  # fmt: skip
    p.add_argument("--model", "-M", metavar="NAME|HUB_ID|PATH", help="what a control is for, where it does not say")
    p.add_argument("--source", metavar="URL", help="inspect-register: https://github.com/OWNER/NAME/tree/COMMIT")
    p.add_argument("--dataset_id", metavar="ORG/NAME", help="hf: the benchmark's data set on the hub")


def _tables(made: Mapping[str, argparse.ArgumentParser]) -> None:
    """Verbs on tables of answers and published figures."""
    analyze = made["analyze"].add_argument
    analyze(
        "table", help="CSV, TSV (.gz too), Parquet or SPSS; a column an item, a row a person; missing: empty, NA, 0"
    )
    analyze("--inventory", required=True, metavar="NAME|FILE", help="whose item ids name the columns")
    analyze("--columns", metavar="MAP", help="other column names: JSON or CSV, column -> item id")
    analyze(
        "--coding", metavar="LO-HI", help="the table's lowest and highest answer, brought onto the inventory's: 0-4"
    )
    analyze("--id", metavar="COLUMN", help="column of the persons' ids: kept in --scores; ids that come twice are said")
    keying = made["analyze"].add_mutually_exclusive_group(required=True)
    keying.add_argument("--keyed", action="store_true", help="minus-keyed items are reversed already")
    keying.add_argument("--raw", dest="keyed", action="store_false", help="answers as given; reversed here, once")
    analyze(
        "--missing", action="append", default=[], metavar="scale|pairwise|listwise|CODES",
        help="a scale's figures are of the rows complete on it (scale, the default), of each pair's own (pairwise), of "
        "those without any gap (listwise); numbers, as in -9,99, are more answers that count as missing",
    )  # fmt: skip
    analyze("--trust_key", action="store_true", help="go on where the correlations contradict --raw or --keyed")
    analyze("--items", action="store_true", help="also show the items of each scale (json always has them)")
    analyze(
        "--careless",
        action="store_true",
        help="signs of careless answers, also in --scores; reads the table twice",
    )
    analyze("--scores", metavar="FILE", help="also write each person's scores, to a .csv or .parquet")
    analyze("--include_path", action="append", default=[], metavar="DIR", help="folders with inventories of your own")
    analyze("--format", choices=_FORMATS, default="table")
    made["reproduce"].add_argument("name", metavar="NAME", help="big5chat-correlation, big5chat-ranges, papi-baselines")
    made["reproduce"].add_argument("--papi", metavar="DIR", help="folder of PAPI's Test-set.json and split")
    made["reproduce"].add_argument("--format", choices=_FORMATS, default="table")


def _shelves(made: Mapping[str, argparse.ArgumentParser]) -> None:
    """Verbs that say what there is, and fetch or check it."""
    ls = made["ls"].add_argument
    ls("kind", nargs="?", choices=["models", "methods", "tasks", "backends"], help="all if left out")
    ls("name", nargs="?", metavar="NAME", help="one of them in full: what it is, its options with type and default")
    ls("--include_path", action="append", default=[], metavar="DIR", help="folders with inventories of your own")
    ls("--format", choices=_FORMATS, default="table")
    made["validate"].add_argument("inventory", nargs="+", help="name, or path of a JSON file")
    made["validate"].add_argument("--include_path", action="append", default=[], metavar="DIR")
    actions = made["data"].add_subparsers(dest="action", metavar="ACTION", parser_class=Parser, required=True)
    actions.add_parser("ls", help="what there is, its licence, and where it was found", allow_abbrev=False)
    get = actions.add_parser("get", help="fetch a data set and check its sha256", allow_abbrev=False)
    get.add_argument("name")
    get.add_argument("--accept_licence", action="store_true", help="needed for restricted instruments")
    get.add_argument("--base_url", help="a mirror in place of https://raw.githubusercontent.com")
    actions.add_parser("path", help="print where a data set is", allow_abbrev=False).add_argument("name")
