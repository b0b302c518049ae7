"""The board as text: whole, escaped, the same every time; what is ranked how, and what is said of it."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from drawn import PUBLISHED
from made_boards import OTHER, made_board, with_metrics
from pages import Page

from traitbench.charts.chart import Estimate
from traitbench.leaderboard import Leaderboard
from traitbench.methods import METHODS
from traitbench.report.board import board_page, write_board
from traitbench.report.board.columns import Context, columns, doubts
from traitbench.report.board.drawings import Scale, dots, ticks
from traitbench.report.board.instruments import Instrument, instruments
from traitbench.report.board.lines import matrix
from traitbench.report.board.methods import about, terms
from traitbench.report.board.scatter import scatter
from traitbench.report.board.words import duration, lead, many, tell
from traitbench.runs.results import Results
from traitbench.tasks.standing import Dot

HOSTILE = "<script>alert(1)</script>"
NASTY = "</script><!-- ]]> \u2028 \" onload='x' & {{7*7}} $title ${x}"
Made = tuple[Leaderboard, dict[str, Results]]


@pytest.fixture(scope="module")
def made() -> Made:
    return made_board()


@pytest.fixture(scope="module")
def found(made: Made) -> list[Instrument]:
    return instruments(made[0].entries, {entry.task: entry.task for entry in made[0].entries})


@pytest.fixture(scope="module")
def text(made: Made) -> str:
    return board_page(*made, "published")


def test_the_main_instrument_has_most_ranked_runs_and_each_line_stands_once(found: list[Instrument]) -> None:
    main = found[0]
    assert (main.task, main.filter) == ("ipip_neo_120", "statement")
    assert all(len(main.ranked) >= len(other.ranked) for other in found)
    assert len({one.key for one in found}) == len(found) == len({one.title for one in found})
    seen = [(id(line.entry), one.filter, line.label) for one in found for line in (*one.lines, *one.trivial)]
    assert len(seen) == len(set(seen)) > 60
    assert not any("profiles" in line.label for line in main.lines), "asked otherwise, so in a table of its own"
    assert any("profiles" in line.label for one in found[1:] for line in one.lines)


def test_no_two_lines_of_a_table_and_model_have_one_label(found: list[Instrument]) -> None:
    for one in found:
        names = [(line.label, line.entry.model) for line in one.lines]
        assert len(names) == len(set(names)), one.title
    assert {"dpo + instruction", "dpo", "sft + instruction"} <= {line.label for line in found[0].lines}


def test_ranked_before_unranked_and_the_largest_effect_first(found: list[Instrument]) -> None:
    for one in found:
        lines = [line for line in one.lines if line.value.value is not None]
        assert [line.rank is None for line in lines] == sorted(line.rank is None for line in lines)
        for _, group in itertools.groupby(lines, key=lambda line: line.rank is None):
            values = [line.value.value or 0.0 for line in group]
            assert values == sorted(values, reverse=lines[0].higher_is_better), one.title


def test_who_is_named_first_is_beaten_by_none_and_moves_most_targets(found: list[Instrument]) -> None:
    main = found[0]
    first = lead(main.lines)
    assert first is not None and first.rank == 1
    sure = [sum(dot.ok for dot in line.dots) for line in main.lines if line.rank == 1]
    assert sum(dot.ok for dot in first.dots) == max(sure)
    told = tell(main, len(main.ranked), "X")
    assert f"<b>{first.label}</b>" in told.sentence and first.value.text(2) in told.sentence
    assert "no run is surely better than" in told.sentence
    assert f"rank 1 to 4 of {len(main.ranked)}" in told.facts["How sure"]
    assert duration(first.entry.fit_seconds) in told.facts["Costs"]


def test_the_words_tell_a_winner_a_tie_and_nobody(found: list[Instrument]) -> None:
    main = found[0].of(found[0].models[0])
    one, *rest = (line for line in main.lines if line.rank is not None)
    alone = main._replace(lines=[one._replace(rank=1), *(line._replace(rank=2) for line in rest)])
    assert f"<b>{one.label}</b> moves the traits that it is aimed at furthest" in tell(alone, 2, "X").sentence
    assert "told apart" not in tell(alone, 2, "X").sentence
    none = main._replace(lines=[line._replace(rank=None, unranked="no interval") for line in main.lines])
    told = tell(none, 0, "X")
    assert "nothing is ranked" in told.sentence and "Why not: no interval." in told.sentence and told.facts == {}
    assert "only baselines" in tell(main._replace(lines=[]), 0, "X").sentence
    doubtful = one._replace(rank=1, dots=[dot._replace(ok=False) for dot in one.dots])
    assert "moves none of its 5 targets beyond doubt" in tell(main._replace(lines=[doubtful]), 1, "X").sentence


def test_of_a_single_ranked_run_it_is_said_that_it_is_the_only_one(found: list[Instrument]) -> None:
    line = next(line for line in found[0].lines if line.rank is not None)._replace(rank=1, rank_high=1)
    other = line._replace(rank=None, rank_high=None)
    told = tell(found[0]._replace(lines=[line, other]), 1, "X")
    assert told.sentence.startswith(f"On X, <b>{line.label}</b> is the only run that is ranked (effect ")
    assert "furthest" not in told.sentence and "best" not in " ".join([*told.facts, *told.facts.values()]).lower()
    assert told.facts["How sure"].startswith("the only run that is ranked; ")
    assert "furthest" in tell(found[0]._replace(lines=[line, line._replace(rank=2, rank_high=2)]), 2, "X").sentence


def test_a_target_in_doubt_says_why_at_its_dot_and_below_the_opened_verdict(found: list[Instrument]) -> None:
    one = next(line for line in found[0].lines if any(dot.reasons for dot in line.dots))
    halves, zero = "key halves disagree in sign", "interval reaches zero"
    cells = [("openness", True, []), ("agreeableness", False, [halves, zero]), ("neuroticism", False, [halves, zero]),
             ("extraversion", False, [zero])]  # fmt: skip
    made = one._replace(dots=[Dot(name, Estimate(0.1, 0.05, 0.15), ok, why) for name, ok, why in cells])
    drawn = dots(made.dots, 2)
    told = f"agreeableness {made.dots[1].shift.text(2)}, in doubt ({halves}, {zero})"
    assert f"<title>{told}</title>" in drawn and told in re.findall('aria-label="(.*?)"', drawn)[0]
    assert f"openness {made.dots[0].shift.text(2)}, ok;" in drawn
    assert doubts(made) == [f"agreeableness, neuroticism: {halves}; {zero}", f"extraversion: {zero}"]
    (column,) = [column for column in columns([made]) if column.key == "verdict"]
    opened = column.cell(made, Context.of([made], [made]))[0]
    assert re.findall("<li>(.*?)</li>", opened) == [*map(html.escape, made.reasons), *doubts(made)]


def test_every_dot_in_doubt_of_the_published_runs_has_its_reasons(found: list[Instrument]) -> None:
    held = [dot for one in found for line in one.lines for dot in line.dots if dot.shift.value is not None]
    assert len(held) > 100
    assert all(bool(dot.reasons) != dot.ok for dot in held if dot.shift.low is not None)


def test_every_method_is_told_in_a_sentence_of_its_own_file(made: Made, text: str) -> None:
    used = {entry.method for entry in made[0].entries}
    assert {"sft", "dpo", "pas", "npti", "persllm", "residual", "prompting"} <= used
    words = text.split('id="reading"')[1].split("</details>")[0]
    for method in used:
        file = import_module(METHODS[method].partition(":")[0])
        sentence = html.escape(str(file.__doc__).splitlines()[0])
        assert f"<dt>{method}</dt><dd>{sentence}</dd>" in words and f'title="{sentence}' in text, method
    assert "<dt>sft</dt><dd>Supervised fine-tuning on dialogues that show a trait.</dd>" in words
    assert "<dt>+ instruction</dt>" in words
    told = {label: title for title, label in re.findall(r'data-col="run" title="([^"]*)">([^<]*)', text)}
    assert told["sft + instruction"].startswith(told["sft"]) and "--matched" in told["sft + instruction"]


def test_a_method_from_elsewhere_has_no_sentence_and_is_not_imported(made: Made) -> None:
    entry = made[0].entries[0].model_copy(update={"method": "not_there.mine:Mine"})
    assert about(entry) == "" and terms([entry]) == {}


def test_an_interval_is_told_as_one_of_confidence_not_of_prediction(text: str) -> None:
    told = " ".join(text.split("<dt>[95&nbsp;%]</dt><dd>")[1].split("</dd>")[0].split())
    assert told == (
        "A 95&nbsp;% confidence interval: a range made so that it holds the true value in 95 of 100 such samples of "
        "questions, or of persons."
    )


def test_numbers_for_people() -> None:
    assert [duration(s) for s in (None, 7, 99.4, 2768, 9000)] == ["–", "7 s", "99 s", "46 min", "2.5 h"]
    assert [many(n) for n in (None, 12, 4020, 24422400, 7.8e9)] == ["–", "12", "4.02 k", "24.4 M", "7.8 G"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.5, 1]), (-0.2, 0.36, [-0.2, 0, 0.2, 0.4]), (0, 0, [0, 0.5]), (-3, 0, [-3, -2, -1, 0])],
)
def test_ticks_are_round_numbers_and_hold_zero(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("span", [1e-6, 0.013, 0.7, 3.3, 99, 12345])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_ticks_enclose_any_values(span: float, share: float) -> None:
    low, high = -span * share, span * (1 - share)
    held = ticks(low, high)
    assert held[0] <= low + 1e-12 and held[-1] >= high - 1e-12
    assert 0 in held and len(held) <= 6


def test_an_interval_is_drawn_where_its_numbers_say(found: list[Instrument], text: str) -> None:
    main = found[0]
    article = text.split(f'id="{main.key}"')[1].split("</article>")[0]
    rows = re.findall(r"<tr[^>]*data-line.*?</tr>", article, re.DOTALL)[: len(main.lines)]
    ends = [end for line in main.lines for end in line.value if end is not None]
    grid = ticks(min(0.0, *ends), max(0.0, *ends))
    scale = Scale(grid[0], grid[-1], 8, 148)
    for line, row in zip(main.lines, rows, strict=True):
        assert html.escape(line.label) in row and line.value.text(2).partition(" ")[0] in row
        if line.value.low is None or line.value.high is None:
            continue
        (bar,) = re.findall(r'<line class="bar[^>]*x1="([\d.]+)"[^>]*x2="([\d.]+)"', row)
        assert [float(x) for x in bar] == pytest.approx([scale.at(line.value.low), scale.at(line.value.high)])
        assert row.count('class="ok"') == sum(dot.ok for dot in line.dots)


def test_the_scatter_puts_more_effect_higher_and_more_damage_to_the_right(found: list[Instrument]) -> None:
    main = found[0]
    drawn = scatter(main.lines, [str(n) for n in range(len(main.lines))]).split("</svg>")[0]
    places = {}
    for name, x, y in re.findall(r'data-line="(\d+)".*?class="whisker[^>]*x1="([\d.]+)"[^>]*y1="([\d.]+)"', drawn):
        places[int(name)] = (float(x), float(y))
    assert len(places) == len(main.lines)
    for a, b in itertools.combinations(places, 2):
        one, other = main.lines[a], main.lines[b]
        if (one.damage or 0) < (other.damage or 0):
            assert places[a][0] < places[b][0], "and what edits nothing stands left of all"
        if (one.value.low or 0) > (other.value.low or 0):
            assert places[a][1] <= places[b][1]
    assert scatter([line._replace(damage=None) for line in main.lines], ["x"] * len(main.lines)) == ""
    turned = [line._replace(higher_is_better=False) for line in main.lines]
    assert "less error" in scatter(turned, ["x"] * len(turned))


def test_the_matrix_has_each_model_and_method_once(found: list[Instrument]) -> None:
    page = Page(matrix(found[0]))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", matrix(found[0]))
    methods = {line.label for line in found[0].lines}
    assert OTHER in page.text and methods <= set(page.text)
    assert len(cells) == 2 * len(methods)
    assert sum(cell == "–" for cell in cells) == len(methods) - 3, "three methods ran on the second model"


def test_the_page_asks_for_nothing_and_links_to_the_files(made: Made, text: str) -> None:
    page = Page(text)
    assert len(text.encode()) < 1_000_000, "no library of charts in it"
    files = set()
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "action", "style") and not name.startswith("on"), (tag, name)
            if name == "href" and not str(value).startswith(("#", "data:,")):
                files.add(unquote(str(value)))
    assert files == {f"published/{entry.run}" for entry in made[0].entries}
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in str(policy).split(";")}
    run = [t for a, t in zip(page.all("script"), page.scripts, strict=True) if a.get("type") != "application/json"]
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in (*run, *page.styles)
    ]
    assert rules["default-src"] == ["'none'"] and [*rules["script-src"], *rules["style-src"]] == hashes
    assert len(run) == 1 and "unsafe" not in str(policy)


def test_written_beside_its_runs_it_links_to_files_that_are_there(made: Made, tmp_path: Path) -> None:
    write_board(*made, tmp_path / "a" / "leaderboard.html", PUBLISHED)
    text = (tmp_path / "a" / "leaderboard.html").read_text("utf-8")
    links = [html.unescape(link) for link in re.findall(r'href="([^"#]*results_[^"]*)"', text)]
    assert len(links) > 30
    real = [link for link in links if "other" not in link]
    assert all((tmp_path / "a" / unquote(link)).resolve().is_file() for link in real)


def test_the_same_runs_give_the_same_bytes(made: Made, text: str) -> None:
    assert board_page(*made, "published") == text


def test_a_hostile_text_stays_text(made: Made) -> None:
    board, runs = made
    first = next(
        e for e in board.entries if e.task == "sd3" and "statement" in e.rows and e.metrics["statement"]["targets"]
    )
    cells: list[dict[str, Any]] = first.metrics["statement"]["by_target"]
    bad = with_metrics(first, "statement", unit=HOSTILE, by_target=[{**c, "target": NASTY} for c in cells])
    row = bad.rows["statement"].model_copy(update={"reasons": [HOSTILE, NASTY]})
    name = f"../../{HOSTILE}/{NASTY}"
    changes = {"model": HOSTILE, "label": NASTY, "method": NASTY, "settings": {NASTY: HOSTILE}, "run": name,
               "rows": {**bad.rows, "statement": row}}  # fmt: skip
    twice = [bad.model_copy(update=changes), bad.model_copy(update={**changes, "model": NASTY, "label": HOSTILE})]
    results = runs[first.run].model_copy(update={"git_hash": NASTY, "configs": {"sd3": {"name": HOSTILE}}})
    text = board_page(board.model_copy(update={"entries": twice}), {name: results}, "published")
    plain = board_page(board.model_copy(update={"entries": [first, first.model_copy(update={"model": OTHER})]}),
                       {first.run: results}, "published")  # fmt: skip
    found, harmless = Page(text), Page(plain)
    assert HOSTILE not in text and len(found.scripts) == 2
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in harmless.elements}
    assert {name for _, a in found.elements for name in a} == {name for _, a in harmless.elements for name in a}
    assert HOSTILE in "".join(found.text) and "{{7*7}} $title ${x}" in "".join(found.text)
    (data,) = [t for a, t in zip(found.all("script"), found.scripts, strict=True) if a.get("id")]
    assert any(row["model"] == HOSTILE for row in json.loads(data).values())


def test_the_structure_serves_those_who_do_not_see_it(text: str) -> None:
    found = Page(text)
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for a in found.all("section")} <= set(ids)
    assert [len(found.all(tag)) for tag in ("main", "header", "footer", "h1", "form")] == [1] * 5
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(a.get("scope") in ("col", "row") for a in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert len(found.all("label")) == len(found.all("select")) + len(found.all("input"))
    images = [a for a in found.all("svg") if a.get("role") == "img"]
    assert images and all(a.get("aria-label") for a in images)


def test_a_board_without_a_ranked_task_says_so(made: Made) -> None:
    empty = made[0].model_copy(update={"entries": []})
    assert "No run here has a task that is ranked." in board_page(empty, {}, "published")
