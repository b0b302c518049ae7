"""What the pages show of the code itself, written when the site is built.

A line of its own such as `{{ options pas }}` in a page stands for what the function of that name in PARTS returns. A
name that is not there, and a command that fails, stop the build. Nothing that is written here is committed.

Over 300 lines: mkdocs takes one module as a hook, and the parts are one table of small functions.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import traitbench
from traitbench import inventories
from traitbench.cli.arguments import COMMANDS
from traitbench.cli.listing import detail
from traitbench.humans import references
from traitbench.leaderboard.joined import side_by_side as tables_side_by_side
from traitbench.methods import METHODS
from traitbench.statistics.thresholds import JUDGES, THRESHOLDS, Threshold
from traitbench.tasks.board import Entry
from traitbench.tasks.findings import FOUND_NOTHING, Findings

ROOT = Path(__file__).resolve().parents[1]
FIGURES = (
    "ipip-neo-120-statement-effects.svg",
    "ipip-neo-120-statement-dose-over-strength.svg",
    "ipip-neo-120-statement-compared-with-people.svg",
    "ipip-neo-120-situations-statement-statement-gap-by-method.svg",
    "ipip-neo-120-training-sft.svg",
    "robustness-statement-drift.svg",
    "robustness-statement-pressure.svg",
    "side-effects-prompting-damage.svg",
)
"""Of results/figures, shown in the pages as figures/<name>."""
WHERE = {"traitbench.inventories": ("ResponseScale", "Statement", "load", "names", "validate")}
"""Module -> names documented in python.md that `traitbench` itself does not export."""
_LINE = re.compile(r"^\{\{ (\w+)(?: (.+?))? \}\}$", re.MULTILINE)


# Hooks


@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lay out the package as it is imported, for mkdocstrings, which reads files and cannot know package-dir.

    Before mkdocstrings is configured, which looks for its paths then.
    """
    tree = ROOT / ".cache" / "docs"
    shutil.rmtree(tree, ignore_errors=True)
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    for package, folder in sorted(folders.items()):
        place = tree.joinpath(*package.split("."))
        if place.exists():  # it came with its parent
            continue
        place.mkdir(parents=True)
        for each in (ROOT / folder).iterdir():
            (place / each.name).symlink_to(each)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the committed figures to the site."""
    for name in FIGURES:
        source = ROOT / "results" / "figures" / name
        if not source.is_file():
            raise PluginError(f"docs/hooks.py: no figure {source}; make it with `make figures`, or mend FIGURES")
        files.append(File.generated(config, f"figures/{name}", abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the generated parts of a page."""

    def write(match: re.Match[str]) -> str:
        name, rest = match.groups()
        if name not in PARTS:
            raise PluginError(f"{page.file.src_uri}: no part {name!r}; known: {', '.join(sorted(PARTS))}")
        return PARTS[name](rest or "")

    return _LINE.sub(write, markdown)


# Tables


def _table(columns: Sequence[str], rows: Iterator[Sequence[object]] | Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    # Not str.split, which would part what a no-break space holds together.
    return "–" if value is None else re.sub(r"[ \n]+", " ", str(value)).strip().replace("|", "\\|")


def _code(value: object) -> str:
    return f"`{' '.join(str(value).split())}`"


# Parts


def thresholds(_: str) -> str:
    """Every criterion of a verdict with its limits."""
    return _limits(THRESHOLDS)


def judge_thresholds(_: str) -> str:
    """Every criterion of a judge with its limits."""
    return _limits(JUDGES)


def _limits(held: Mapping[str, Threshold]) -> str:
    return _table(
        ["criterion", "caution", "not interpretable", "why there"],
        [
            (_code(name), f"{_sign(t.side)} {t.caution:g}", None if t.bad is None else f"{_sign(t.side)} {t.bad:g}",
             t.source)
            for name, t in held.items()
        ],
    )  # fmt: skip


def _sign(side: str) -> str:
    return "≥" if side == "above" else "<"


def verdict_counts(_: str) -> str:
    """How many published cells (a run on one task in one scoring mode) get which word."""
    words = ("interpretable", "caution", "not interpretable")
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for entry in _entries():
        what = "no control" if entry["method"] == "none" else "a control"
        if entry["model"].startswith("scripted:"):
            what = "trivial respondent"
        for mode, metrics in entry["metrics"].items():
            cell = counts.setdefault((mode, what), dict.fromkeys(words, 0))
            cell[metrics["verdict"]] += 1
    total = [sum(cell[word] for cell in counts.values()) for word in words]
    rows = [(mode, what, *cell.values()) for (mode, what), cell in sorted(counts.items())]
    return _table(["scoring", "run", *words], [*rows, ("all", None, *total)])


def facts(name: str) -> str:
    """What a method makes and aims at."""
    told = detail("methods", name).facts
    return _table(list(told), [list(told.values())])


def options(name: str) -> str:
    """The hyper-parameters of a method, those of its own first; `options backends hf` those of a backend."""
    kind, _, one = name.rpartition(" ")
    found = detail(kind or "methods", one).options
    if missing := [option.name for option in found if not option.meaning]:
        raise PluginError(f"options of {name}: nothing stands below {', '.join(missing)}; say what each is")
    rows = [(_code(o.name), o.kind, _code(o.default), o.meaning) for o in found]
    return _table(["option", "type", "default", "meaning"], rows) if rows else "There are no options."


def presets(names: str) -> str:
    """The values that a trained method's presets stand for: `presets sft`, or of another attribute, `presets x y`."""
    name, _, attribute = names.partition(" ")
    held: Mapping[str, Any] = getattr(METHODS.load(name), attribute or "presets")
    known = {*METHODS.load(name).Config.model_fields, "trial_steps"}
    if getattr(held["paper"], "loss", "") == "sft":
        known.discard("beta")
    fields = [field for field in type(held["paper"]).model_fields if field in known]
    return _table(
        ["value", *held],
        [(_code(f), *(_code(_plain(getattr(recipe, f))) for recipe in held.values())) for f in fields],
    )


def _plain(value: object) -> object:
    return " or ".join(f"{v:g}" for v in value) if isinstance(value, tuple | list) else value


@cache
def _entries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "results" / "leaderboard.json").read_text())["entries"]
    return found


def published(name: str) -> str:
    """The rows of a method on the leaderboard; those of persons, of whom a run has several, in a table of their own."""
    rows, persons = [], []
    for entry in _entries():
        if entry["method"] != name:
            continue
        settings = ", ".join(_code(f"{key}={_plain(value)}") for key, value in entry["settings"].items()) or None
        for mode, m in entry["metrics"].items():
            if "persons" in m:
                persons += [
                    (settings, p["name"], p["persons"], _interval(p["error"], p["error_ci"]),
                     _interval(p["oracle"], p["oracle_ci"]), _ranks(p), entry["model"])
                    for p in m["persons"] if p["kind"] != "baseline"
                ]  # fmt: skip
                continue
            good = f"{m['targets'] - m['cautions']}/{m['targets']}" if m.get("targets") and "cautions" in m else None
            rows.append(
                (entry["task"], entry["label"], settings, mode, _interval(m.get("effect"), m.get("effect_ci")),
                 _interval(m.get("specific"), m.get("specific_ci")), m.get("unit"), _number(m.get("leakage")),
                 _number(m.get("perplexity")), good, _said(entry, m["verdict"]), _ranks(m), entry["model"])
            )  # fmt: skip
    parts = []
    if rows:
        columns = ["task", "run", "settings", "scoring", "effect [95 %]", "specific [95 %]", "unit", "leakage",
                   "perplexity", "targets ok", "verdict", "rank", "model"]  # fmt: skip
        parts.append(_table(columns, rows))
    if persons:
        columns = ["settings", "row", "persons", "distance [95 %]", "oracle", "rank", "model"]
        parts.append("Person alignment (the lower, the nearer to the person):\n\n" + _table(columns, persons))
    if not parts:
        return "No run of this method is published: what it does depends on the file that it is given."
    return "\n\n".join(
        [*parts, "From `results/leaderboard.json`, which `make leaderboard` makes of the published runs."]
    )


def _said(entry: Mapping[str, Any], verdict: str) -> str:
    """The verdict, or that the run's fits found nothing."""
    tests = entry.get("findings")
    return FOUND_NOTHING if tests and Findings.model_validate(tests).whole else verdict


def _ranks(found: Mapping[str, Any]) -> str | None:
    """The range of ranks that the tests leave open."""
    low, high = found["rank"], found.get("rank_high")
    return str(low) if low and high in (None, low) else f"{low}–{high}" if low else None


def targets(named: str) -> str:
    """Each target's effect in the published runs of some methods, statement, high minus low, on the IPIP-NEO-120.

    Of one model, by the beginning of its name: `targets SmolLM2 prompting npti`.
    """
    columns = ["run"]
    rows: list[tuple[object, ...]] = []
    model, *names = named.split()
    for name in names:
        mine = [entry for entry in _entries() if entry["model"].startswith(model)]
        for entry in sorted(mine, key=lambda entry: len(entry["label"])):
            m = entry["metrics"].get("statement", {})
            if (entry["task"], entry["method"]) != ("ipip_neo_120", name) or m["design"] != "poles" or not m["targets"]:
                continue
            columns = ["run", *(t["target"] for t in m["by_target"]), "mean", "specific, mean", "leakage", "perplexity",
                       "fit, minutes"]  # fmt: skip
            cells = [_interval(t["effect"], t["effect_ci"]) + "*" * (t["check"] == "ok") for t in m["by_target"]]
            minutes = round((entry["fit_seconds"] or 0) / 60) or None
            rows.append(
                (_code(entry["label"]), *cells, _interval(m["effect"], m["effect_ci"]),
                 _interval(m["specific"], m["specific_ci"]), _number(m["leakage"]), _number(m["perplexity"]), minutes)
            )  # fmt: skip
    if not rows:
        raise PluginError(f"docs/hooks.py: no published run of {' '.join(names)} on ipip_neo_120 of {model}")
    return _table(columns, rows)


def side_by_side(method: str) -> str:
    """What published controls did to all that was measured, a row of self-report a line: `side_by_side sft`, or all."""
    entries = [Entry.model_validate(entry) for entry in _entries()]
    found = tables_side_by_side([entry for entry in entries if not method or entry.method == method])
    if not found:
        raise PluginError(f"docs/hooks.py: nothing published stands beside the self-report of {method or 'any run'}")
    (table,) = found
    # One model is said above the tables.
    kept = [n for n, name in enumerate(table.columns) if name != "model"]
    return _table([table.columns[n] for n in kept], [[row[n] for n in kept] for row in table.rows])


def _number(value: float | None) -> str | None:
    return None if value is None else f"{round(value, 2) + 0:.2f}"  # + 0: no minus in front of zero


def _interval(value: float | None, ci: Sequence[float] | None) -> str | None:
    if value is None:
        return None
    return f"{_number(value)}" + (f" [{_number(ci[0])},\u00a0{_number(ci[1])}]" if ci else "")


def instruments(_: str) -> str:
    """Every inventory that ships, one row each."""
    loaded = [inventories.load(name, texts=False) for name in inventories.names()]
    return _table(
        ["task", "instrument", "items", "minus-keyed", "traits", "facets", "options", "texts"],
        [
            (f"[`{i.id}`](#{i.id})", i.name, len(i.items), sum(item.keyed < 0 for item in i.items), len(i.traits),
             len(i.facets) or None, i.response_scale.max - i.response_scale.min + 1,
             "not shipped" if i.restricted else "shipped")
            for i in loaded
        ],
    )  # fmt: skip


def instrument(name: str) -> str:
    """One inventory: key, response scale, licence and source."""
    inventory = inventories.load(name, texts=False)
    told = [
        ("citation", inventory.citation),
        ("licence", inventory.licence),
        ("source of the texts", inventory.source),
        ("note", inventory.note),
        ("answers", " · ".join(inventory.response_scale.labels)),
        ("statement", f'"{inventory.statement_rule.prefix}" and the item' if inventory.statement_rule.prefix else ""),
    ]
    scales = []
    for letter, trait in inventory.scales.items():
        items = [item for item in inventory.items if item.trait == trait]
        facets = [inventory.facets[f] for f in dict.fromkeys(item.facet for item in items) if f in inventory.facets]
        plus = sum(item.keyed > 0 for item in items)
        scales.append((letter, trait, len(items), plus, len(items) - plus, ", ".join(facets) or None))
    return "\n\n".join(
        [
            f"### {inventory.name or name} {{ #{name} }}",
            "\n".join(f"- **{key}**: {value}" for key, value in told if value),
            _table(["scale", "trait", "items", "plus-keyed", "minus-keyed", "facets"], scales),
        ]
    )


def every_instrument(_: str) -> str:
    """All inventories, one after the other."""
    return "\n\n".join(instrument(name) for name in inventories.names())


def people(_: str) -> str:
    """The reference samples."""
    return _table(
        ["name", "sample", "instrument", "n", "year", "country"],
        [(_code(r.name), r.label, _code(r.instrument), f"{r.n:,}", r.year, r.country) for r in references()],
    )


def api(names: str) -> str:
    """The documentation of objects, each from its docstring, with its name as an anchor for links."""
    return "\n\n".join(f'<a id="{name.lower()}"></a>\n\n::: {_path(name)}' for name in names.split())


def _path(name: str) -> str:
    """Where an object is defined: it is looked up by its public name, so that no page says a module's path."""
    found = getattr(traitbench, name, None)
    if found is None or isinstance(found, ModuleType):
        modules = [module for module, names in WHERE.items() if name in names]
        if not modules:
            raise PluginError(f"python.md: traitbench exports no {name!r}; mend the page, or WHERE in docs/hooks.py")
        return f"{modules[0]}.{name}"
    return f"{found.__module__}.{found.__qualname__}"


@cache
def output(command: str) -> str:
    """What a traitbench command prints: as it is with `--format markdown`, else as a block."""
    text = _ran(command)
    block = text.strip() if "--format markdown" in command else f"```text\n{text.strip()}\n```"
    return f"```\ntraitbench {command}\n```\n\n{block}"


def score(method: str) -> str:
    """The tables of the published run of a method, as it comes, on the IPIP-NEO-120."""
    runs = [e["run"] for e in _entries() if (e["task"], e["method"]) == ("ipip_neo_120", method)
            and not e["settings"] and not e["profiles"]]  # fmt: skip
    if not runs:
        raise PluginError(f"docs/hooks.py: no published run of {method} without settings on ipip_neo_120")
    return output(f"score 'results/published/{runs[0]}' --format markdown")


def commands(_: str) -> str:
    """The help of every command; of `judge` that of its actions too."""
    verbs = [*COMMANDS]
    place = verbs.index("judge") + 1
    verbs[place:place] = ["judge calibrate", "judge annotate"]
    return "\n\n".join(f"## {verb}\n\n```text\n{_ran(f'{verb} --help').strip()}\n```" for verb in verbs)


def _ran(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "traitbench", *shlex.split(command)], cwd=ROOT, capture_output=True, text=True,
        env={"PATH": "", "COLUMNS": "100", "HOME": str(ROOT / ".cache")},
    )  # fmt: skip
    if done.returncode:
        raise PluginError(f"traitbench {command} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def include(path: str) -> str:
    """A Markdown file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")


PARTS: dict[str, Callable[[str], str]] = {
    part.__name__: part
    for part in (
        api, commands, every_instrument, facts, include, instruments, judge_thresholds, options, output, people,
        presets, published, score, side_by_side, targets, thresholds, verdict_counts,
    )
}  # fmt: skip
