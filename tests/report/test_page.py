"""The report as text: whole, escaped, the same every time, and with every number that its charts show."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from blocks import modes
from drawn import PUBLISHED, shown
from made_runs import changed
from pages import Page

from traitbench.charts.theme import contrast
from traitbench.errors import BadData
from traitbench.leaderboard import board_of
from traitbench.report import page, write_report
from traitbench.runs.results import Results
from traitbench.store import read_json
from traitbench.tasks.questionnaire.figures import figures

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>"
NASTY = "</script><!-- ]]> \u2028 \" onload='x' & {{7*7}} $title ${x}"


def load(pattern: str) -> dict[str, Results]:
    return {
        path.relative_to(PUBLISHED).as_posix(): Results.model_validate(read_json(path))
        for path in sorted(PUBLISHED.glob(pattern))
    }


@pytest.fixture(scope="module")
def sources() -> dict[str, Results]:
    found = load("smollm2@prompting+*/results_*.json") | load("scripted__first@none+*/results_*.json")
    return {run: results for run, results in found.items() if {"ipip_neo_120", "sd3"} & set(results.versions)}


@pytest.fixture(scope="module")
def hostile(sources: dict[str, Results]) -> dict[str, Results]:
    """One run whose every free text is an attack."""
    first = next(r for r in sources.values() if "sd3" in r.versions and r.method["name"] == "prompting")
    bad = first.model_copy(
        update={
            "model_name": HOSTILE, "model_source": HOSTILE, "warnings": [HOSTILE, NASTY], "git_hash": NASTY,
            "method": {"name": HOSTILE, "version": "1", "config": {NASTY: HOSTILE}, "settings": {NASTY: HOSTILE}},
            "configs": {"sd3": {"name": HOSTILE, "citation": NASTY}},
        }
    )  # fmt: skip
    for mode, found in modes(first, "sd3").items():
        bad = changed(bad, "sd3", mode, verdict=found.verdict.model_copy(update={"reasons": [HOSTILE, NASTY]}))
    return {f"../../{HOSTILE}": bad, NASTY: bad.model_copy(update={"model_name": NASTY})}


@pytest.fixture(scope="module")
def written(sources: dict[str, Results], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Page]:
    files = write_report(sources, tmp_path_factory.mktemp("report") / "report.html", "A report")
    return files, Page(files[0].read_text("utf-8"))


def test_every_figure_is_on_the_page_and_beside_it(
    written: tuple[list[Path], Page], sources: dict[str, Results]
) -> None:
    files, found = written
    tasks = dict.fromkeys(task for results in sources.values() for task in results.tasks)
    names = {(entry.task, entry.run): entry.label for entry in board_of(sources).entries}
    assert {"prompting", "prompting, templates=3"} <= set(names.values()), "told apart in words, not by a number"
    expected = []
    for task in tasks:
        runs = [name for name, results in sources.items() if task in results.tasks]
        labels = [f"{names[task, name]} · {sources[name].model_name}" for name in runs]
        told = [one._replace(label=label) for one, label in zip(shown(sources.values(), task), labels, strict=True)]
        expected += figures(told)
    assert len(expected) > 10
    assert [path.name for path in files] == [
        "report.html",
        *(f"{f.name}.{end}" for f in expected for end in ("svg", "png")),
    ]
    assert all(path.parent.name == "figures" and path.stat().st_size > 500 for path in files[1:])
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files if path.suffix == ".png")
    charts = {a["data-spec"]: a for a in found.all("div") if a.get("class") == "chart"}
    data, text = found.data(), " ".join(found.text)
    for figure in expected:
        chart = charts[f"spec-{figure.name}"]
        assert (chart["role"], chart["aria-label"]) == ("img", figure.alternative)
        kept = {k: v for k, v in figure.spec.items() if k not in ("$schema", "title", "description")}
        assert data[f"spec-{figure.name}"] == json.loads(json.dumps(kept))
        assert figure.title in text and figure.caption in text
        assert all(cell in text for row in figure.table.rows for cell in row), "the table holds the numbers"


def test_the_page_asks_for_nothing(written: tuple[list[Path], Page]) -> None:
    _, found = written
    for tag, attributes in found.elements:
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "action", "style"), (tag, name)
            assert not name.startswith("on"), (tag, name)
            if name == "href":
                assert value is not None and value.startswith(("#", "data:,"))
    assert "@import" not in found.styles[0] and "url(" not in found.styles[0]


def test_the_policy_allows_the_scripts_of_the_page_and_no_request(written: tuple[list[Path], Page]) -> None:
    _, found = written
    (policy,) = [a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    assert rules["img-src"] == ["data:"]
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}

    def hashes(texts: list[str]) -> list[str]:
        return [f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts]

    run = [t for a, t in zip(found.all("script"), found.scripts, strict=True) if a.get("type") != "application/json"]
    assert rules["script-src"] == ["'unsafe-eval'", *hashes(run)]
    assert rules["style-src"] == hashes(found.styles)
    assert len(run) == 2 and "unsafe-inline" not in policy


def test_a_hostile_text_stays_text(hostile: dict[str, Results], tmp_path: Path) -> None:
    plain = Page(page({"a": next(iter(hostile.values())).model_copy(update={"model_name": "x"})}, "t"))
    files = write_report(hostile, tmp_path / "report.html", HOSTILE + NASTY)
    found = Page(files[0].read_text("utf-8"))
    assert HOSTILE not in files[0].read_text("utf-8")
    assert len(found.scripts) - len(found.data()) == 2, "the library and the page's own"
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in plain.elements}
    assert {name for _, a in found.elements for name in a} == {name for _, a in plain.elements for name in a}
    text = "".join(found.text)
    assert HOSTILE in text and "{{7*7}} $title ${x}" in text
    assert any(HOSTILE in json.dumps(spec) for name, spec in found.data().items() if name.startswith("spec-"))
    assert not {"".join(re.findall(r"[^a-z0-9.-]", path.name)) for path in files} - {""}
    assert all(path.is_relative_to(tmp_path) for path in files)
    drawings = [path.read_text("utf-8") for path in files if path.suffix == ".svg"]
    assert drawings and not any("<script" in drawing for drawing in drawings)


def test_the_same_runs_give_the_same_bytes(
    sources: dict[str, Results], written: tuple[list[Path], Page], tmp_path: Path
) -> None:
    again = write_report(sources, tmp_path / "report.html", "A report")
    for one, other in zip(written[0], again, strict=True):
        if one.suffix != ".png":
            assert one.read_bytes() == other.read_bytes(), one.name


def test_the_overview_has_a_row_a_run_task_and_scoring_the_largest_effect_first(
    written: tuple[list[Path], Page], sources: dict[str, Results]
) -> None:
    text = written[0][0].read_text("utf-8")
    expected = [(r.entry(task, run), mode) for run, r in sources.items() for task in r.tasks for mode in modes(r, task)]
    expected.sort(key=lambda row: (row[0].task, row[1] != "statement", -(row[0].metrics[row[1]]["effect"] or 0),
                                   row[0].place))  # fmt: skip
    lines = re.findall(r"<tr data-task=.*?</tr>", text)
    assert len(lines) == len(expected) > 4
    for line, (entry, mode) in zip(lines, expected, strict=True):
        metrics = entry.metrics[mode]
        assert line.startswith(f'<tr data-task="{entry.task}" data-mode="{mode}" data-verdict="{metrics["verdict"]}"')
        words = re.sub(r"<[^>]+>", "\n", line)
        assert html.escape(entry.model) in words and entry.method in words
        numbers = [metrics[name] for name in ("effect", "effect_sds", "leakage")]
        values = re.findall(r'data-value="([^"]*)"', line)
        assert values[1:4] == ["" if value is None else repr(value) for value in numbers]
        for reason in entry.rows[mode].reasons:
            assert f"<li>{html.escape(reason)}</li>" in line
    assert str(ROOT) not in text, "no path of this machine"


def test_a_page_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="traitbench run"):
        write_report({}, tmp_path / "report.html", "t")
    assert list(tmp_path.iterdir()) == []


def test_the_structure_serves_those_who_do_not_see_it(written: tuple[list[Path], Page]) -> None:
    _, found = written
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] or "" for a in found.all("a")]
    assert {link[1:] for link in links} <= set(ids)
    assert {a["aria-labelledby"] for a in found.all("section")} <= set(ids)
    assert [len(found.all(tag)) for tag in ("main", "nav", "header", "footer", "h1")] == [1] * 5
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no level is skipped"
    assert all(a.get("scope") in ("col", "row") for a in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert len(found.all("label")) == len(found.all("select")) + len(found.all("input"))
    assert [a.get("lang") for a in found.all("html")] == ["en"]
    assert any(a.get("role") == "status" for a in found.all("p"))
    sortable = [a for a in found.all("th") if "aria-sort" in a]
    assert len(sortable) == len([a for a in found.all("button") if a.get("class") == "sort"]) > 10


def test_the_style_sheet_is_legible_in_both_themes() -> None:
    css = (ROOT / "harness" / "report" / "page.css").read_text("utf-8")
    colours = {m[1]: (m[2], m[3]) for m in re.finditer(r"--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", css)}
    texts = ("ink", "muted", "accent", "interpretable", "caution", "not-interpretable")
    for theme in (0, 1):
        for ground in ("page", "surface", "raised"):
            for name in texts:
                assert contrast(colours[name][theme], colours[ground][theme]) >= 4.5, (name, ground, theme)
            assert contrast(colours["edge"][theme], colours[ground][theme]) >= 3, ("edge", ground, theme)
