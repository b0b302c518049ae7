"""One self-contained HTML file from results, and every figure beside it as SVG and PNG. No network, no model.

Every text of a run is escaped on its way in: into HTML by `html.escape`, into the data of a script by escapes of JSON.
The page's Content-Security-Policy allows the scripts and the style that it was made with, by hash, and no request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from traitbench.charts.chart import Figure, slug, svg
from traitbench.charts.theme import CONFIGS, VERDICTS
from traitbench.errors import BadData
from traitbench.leaderboard.labels import labels
from traitbench.report.across import ACROSS_ID, ACROSS_TITLE, across, across_html
from traitbench.report.development import development
from traitbench.report.overview import overview
from traitbench.report.parts import badge, count, digest_of, figure_html, in_script, json_data, part
from traitbench.report.parts import table as table_html
from traitbench.report.training import training
from traitbench.runs.projected import kept
from traitbench.runs.projected.figures import projected
from traitbench.runs.results import Results
from traitbench.runs.side_effects.figures import damages
from traitbench.runs.trained import spent
from traitbench.store import write_text
from traitbench.tables import Table
from traitbench.tasks import views_of
from traitbench.tasks.views import Shown

__all__ = ["page", "svg", "write_report"]


def write_report(
    sources: Mapping[str, Results],
    to: Path,
    title: str,
    begin: Callable[[str, int], Callable[[int], None]] | None = None,
) -> list[Path]:
    """Write the page `to` and figures/<name>.svg and .png beside it; return the files, the page first.

    `sources`: results by what the page shall call them. `begin` (what, how much) starts a progress bar and returns what
    moves it on. The page and the SVG files are the same bytes for the same input; a PNG also depends on the fonts of
    the machine. BadData without results.
    """
    drawn = _drawn(sources)
    write_text(to, page(sources, title, drawn))
    every = [*drawn.values(), *across(sources).values()]
    files, figures = [to], [figure for mine in every for figure in mine]
    step = begin("figures", len(figures)) if begin and figures else None
    for figure in figures:
        files += _export(figure, to.parent / "figures")
        if step:
            step(1)
    return files


def _drawn(sources: Mapping[str, Results]) -> dict[str, list[Figure]]:
    """Task -> its figures, each with a name of its own."""
    if not sources:
        raise BadData("there are no results to report on; `traitbench run` makes some, `traitbench ls` shows how")
    drawn: dict[str, list[Figure]] = {}
    seen = set[str]()
    for task in dict.fromkeys(task for results in sources.values() for task in results.tasks):
        drawn[task] = []
        for figure in _figures(task, sources):
            name, number = figure.name, 2
            while name in seen:
                name, number = f"{figure.name}-{number}", number + 1
            seen.add(name)
            drawn[task].append(figure.model_copy(update={"name": name}))
    return drawn


def _shown(task: str, sources: Mapping[str, Results]) -> list[Shown]:
    """The runs of a task, each by the leaderboard's name for it, and by its model where there are several."""
    mine = {name: results for name, results in sources.items() if task in results.tasks}
    told = labels([results.entry(task, name) for name, results in mine.items()])
    several = len({results.model_name for results in mine.values()}) > 1
    return [
        Shown(told[task, name] + (f" · {r.model_name}" if several else ""), task, r.tasks[task], r)
        for name, r in mine.items()
    ]


def _figures(task: str, sources: Mapping[str, Results]) -> list[Figure]:
    """What the task draws; of the runs of which it is the first also what was fitted and broken: that is no task's."""
    shown = _shown(task, sources)
    out = []
    for kind in dict.fromkeys(one.block.kind for one in shown):
        out += views_of(kind).figures([one for one in shown if one.block.kind == kind])
    first = {id(r) for r in sources.values() if next(iter(r.tasks), None) == task}
    mine = [one for one in shown if id(one.facts) in first]
    return [*out, *development(mine), *training(mine), *(each for one in mine for each in _beyond(one))]


def _beyond(one: Shown) -> list[Figure]:
    """What the controls of a run did to lm-eval's tasks, and how far its texts lie along directions."""
    results = one.facts
    assert isinstance(results, Results)
    along = projected(kept(results.path), results.conditions, one.label) if results.path else []
    return [*damages(results.side_effects, results.conditions, one.label), *along]


def _export(figure: Figure, folder: Path) -> list[Path]:
    import vl_convert

    drawn = svg(figure)
    paths = [folder / f"{figure.name}.svg", folder / f"{figure.name}.png"]
    write_text(paths[0], drawn)
    paths[1].write_bytes(vl_convert.svg_to_png(drawn, scale=2))
    return paths


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed in one script; takes seconds, so once a process."""
    import vl_convert

    return in_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def page(sources: Mapping[str, Results], title: str, drawn: Mapping[str, Sequence[Figure]] | None = None) -> str:
    """The HTML of the report; `drawn` spares drawing the figures again."""
    drawn = _drawn(sources) if drawn is None else drawn
    css, script = part("page.css"), in_script(part("page.js"))
    scripts = " ".join(digest_of(text) for text in (_bundle(), script))
    # unsafe-eval: Vega compiles the expressions of a specification; only those of this package get there.
    policy = (
        f"default-src 'none'; script-src 'unsafe-eval' {scripts}; style-src {digest_of(css)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(part("page.html")).substitute(
        title=escape(title),
        policy=policy,
        css=css,
        lead=_lead(sources),
        contents=_contents(sources, drawn),
        overview=overview(sources),
        glossary=_glossary(sources),
        badges=" ".join(map(badge, VERDICTS)),
        sections="\n".join([*(_section(task, mine, sources) for task, mine in drawn.items()), across_html(sources)]),
        runs=_runs(sources),
        configs=json_data(CONFIGS),
        bundle=_bundle(),
        script=script,
    )


def _lead(sources: Mapping[str, Results]) -> str:
    tasks = {task for results in sources.values() for task in results.tasks}
    models = list(dict.fromkeys(results.model_name for results in sources.values()))
    who = escape(models[0]) if len(models) == 1 else count(len(models), "model")
    newest = datetime.fromtimestamp(max(results.date for results in sources.values()), UTC)
    return (
        f"{count(len(sources), 'run')} of {who} on {count(len(tasks), 'task')}, the newest of "
        f'<time datetime="{newest:%Y-%m-%dT%H:%M:%SZ}">{newest.day} {newest:%B %Y}</time>.'
    )


def _glossary(sources: Mapping[str, Results]) -> str:
    """The terms of the tasks that are shown."""
    kinds = dict.fromkeys(block.kind for results in sources.values() for block in results.tasks.values())
    terms = {term: text for kind in kinds for term, text in views_of(kind).glossary().items()}
    return "\n".join(f"<div><dt>{escape(t)}</dt><dd>{escape(text)}</dd></div>" for t, text in terms.items())


def _contents(sources: Mapping[str, Results], drawn: Mapping[str, Sequence[Figure]]) -> str:
    links = [("overview", "Overview"), ("reading", "How to read this")]
    links += [(f"task-{slug(task)}", _name(task, sources)) for task in drawn]
    links += [(ACROSS_ID, ACROSS_TITLE)] if any(r.across for r in sources.values()) else []
    links.append(("runs", "The runs"))
    return "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>' for anchor, text in links)


def _name(task: str, sources: Mapping[str, Results]) -> str:
    return next(str(r.configs[task].get("name", task)) for r in sources.values() if task in r.configs)


def _section(task: str, drawn: Sequence[Figure], sources: Mapping[str, Results]) -> str:
    """One task: its figures under a heading a kind, then what it folds away."""
    anchor, out = f"task-{slug(task)}", []
    for kind in dict.fromkeys(figure.kind for figure in drawn):
        figures = "\n".join(figure_html(figure) for figure in drawn if figure.kind == kind)
        out.append(f'<h3>{escape(kind)}</h3>\n<div class="figures">{figures}</div>')
    source = next(r.configs[task] for r in sources.values() if task in r.configs)
    about = f"{task}: {source['citation']}" if source.get("citation") else task
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-h">'
        f'<h2 id="{anchor}-h">{escape(_name(task, sources))}</h2>'
        f'<p class="sub">{escape(about)}</p>\n{"".join(out)}\n{_details(task, sources)}</section>'
    )


def _details(task: str, sources: Mapping[str, Results]) -> str:
    """What the task folds away: context, not results."""
    shown = _shown(task, sources)
    found = []
    for kind in dict.fromkeys(one.block.kind for one in shown):
        found += views_of(kind).details([one for one in shown if one.block.kind == kind])
    folded = "".join(
        f'<details class="more"><summary>{escape(t.title)}</summary>{table_html(t)}</details>' for t in found
    )
    return f"<h3>levels</h3>{folded}" if found else ""


def _runs(sources: Mapping[str, Results]) -> str:
    """Where each number comes from."""
    rows, notes = [], []
    for name, r in sources.items():
        settings = ", ".join(f"{key}={value}" for key, value in r.method["config"].items())
        asked = ", ".join(f"{key} {_words(value)}" for key, value in r.administration.items() if value)
        seconds = r.cost.get("evaluation_seconds")
        rows.append([
            name, r.model_name, r.model_source, str(r.model.get("weights") or "–"),
            r.method["name"] + (f" ({settings})" if settings else ""), ", ".join(r.versions),
            str(len(r.conditions)), asked, "–" if seconds is None else f"{seconds:.0f} s",
            _fitted(r),
            f"{datetime.fromtimestamp(r.date, UTC):%Y-%m-%d %H:%M}", r.git_hash or "–",
        ])  # fmt: skip
        notes += [f"{name}: {warning}" for warning in r.warnings]
    columns = ["results file", "model", "backend", "weights", "method", "tasks", "conditions", "asked", "time",
               "fitting", "date (UTC)", "commit"]  # fmt: skip
    table = Table(title="Where the numbers come from", columns=columns, rows=rows, notes=notes)
    return f'<div class="card">{table_html(table)}</div>'


def _fitted(results: Results) -> str:
    """What fitting the controls cost."""
    cost = spent(results)
    return "–" if cost is None else f"{cost[0]:.0f} s, {count(cost[1], 'number')} stored"


def _words(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)
