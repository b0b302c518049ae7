"""The leaderboard from real runs of respondents whose obedience, and with it every effect, is known.

Over 300 lines: the runs take long to make, and every test reads the same ones.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from result_files import rewrite
from scipy import stats

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.errors import BadData
from traitbench.leaderboard import Leaderboard, build, render
from traitbench.store import read_json
from traitbench.tasks.board import Entry
from traitbench.tasks.questionnaire.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]

# A control moves the trait aimed at from 0.5 to 0.5 +- obedience of the range, so high minus low is 200 x obedience in
# POMP, and 2 x obedience nats a token by the respondent's rule of one nat from one end of the scale to the other.
RUNS = {
    "adjective": "-M scripted:person -a obedience=0.2,item_sd=0.05 -m prompting",
    "p2": "-M scripted:person -a obedience=0.1,item_sd=0.1 -m prompting --method_args style=p2",
    # Items so hard that some answers meet the ends of the scale: a smaller effect, and items that differ.
    "demo": "-M scripted:person -a obedience=0.25,item_sd=0.35 -m prompting --method_args style=demo",
    "user": "-M scripted:person -a obedience=0.3 -m prompting --method_args turn=user --limit 10",
    "first": "-M scripted:first -m prompting",
    "none": "-M scripted:person -a item_sd=0.1 -m none",
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as results/published, with the six runs."""
    folder = tmp_path_factory.mktemp("board")
    for name, line in RUNS.items():
        rest = f"-t mini_ipip --scoring choice,statement --bootstrap_iters 20 -o {folder / 'runs' / name}"
        assert main(f"run {line} {rest}".split()) == 0
        run = next((folder / "runs" / name).iterdir())
        assert main(["export", str(run), "--to", str(folder / "published")]) == 0
    return folder / "published"


@pytest.fixture(scope="module")
def board(published: Path) -> Leaderboard:
    return build(published)


def held(entry: Entry, mode: str = "choice") -> Metrics:
    """The numbers of a row, as the task made them: exactly those fields."""
    assert entry.metrics[mode].keys() == Metrics.model_fields.keys()
    return Metrics.model_validate(entry.metrics[mode])


def metrics(board: Leaderboard, name: str, mode: str = "choice") -> Metrics:
    settings = {"adjective": {}, "first": {}, "none": {}, "p2": {"style": "p2"}, "demo": {"style": "demo"}}
    model = "scripted:first" if name == "first" else "scripted:person"
    method = "none" if name == "none" else "prompting"
    wanted = (model, method, settings.get(name, {"turn": "user"}))
    (entry,) = [e for e in board.entries if (e.model, e.method, e.settings) == wanted]
    return held(entry, mode)


@pytest.mark.parametrize(
    ("name", "pomp", "nats"), [("adjective", 40, 0.4), ("p2", 20, 0.2), ("user", 60, 0.6), ("first", 0, 0)]
)
def test_effects_are_those_that_the_respondents_were_given(
    board: Leaderboard, name: str, pomp: float, nats: float
) -> None:
    assert metrics(board, name).effect == pytest.approx(pomp, abs=1e-9)
    assert metrics(board, name).unit == "POMP"
    assert metrics(board, name, "statement").effect == pytest.approx(nats, abs=1e-9)
    assert metrics(board, name, "statement").unit == "nats a token"


def test_an_effect_with_an_interval_is_the_mean_over_targets_by_hand(board: Leaderboard, published: Path) -> None:
    moved = {trait: [25 * v for v in mine.values()] for trait, mine in shifts(published, "demo").items()}
    by_hand = sum(sum(mine) / len(mine) for mine in moved.values()) / 5
    found = metrics(board, "demo")
    assert found.effect == pytest.approx(by_hand, abs=1e-9)
    assert 0 < by_hand < 50
    assert found.effect_ci is not None
    low, high = found.effect_ci
    assert low + high == pytest.approx(2 * by_hand, abs=1e-9)
    assert high - low > 1
    assert low < 40 < high


def test_ranks_are_what_paired_tests_tell_apart(board: Leaderboard) -> None:
    ranges = {
        mode: {name: (m.rank, m.rank_high) for name in RUNS if (m := metrics(board, name, mode))}
        for mode in ("choice", "statement")
    }
    for mode in ranges:
        assert ranges[mode]["adjective"] == (1, 2), "demo may be as good"
        assert ranges[mode]["demo"] == (1, 2)
        assert ranges[mode]["p2"] == (3, 3), "both of the others are better"
        assert metrics(board, "user", mode).unranked == "first 10 items", "60 POMP, but on these alone"
        assert metrics(board, "none", mode).unranked == "no effect to rank"
        assert {ranges[mode][name] for name in ("user", "none", "first")} == {(None, None)}
    assert metrics(board, "first").verdict == metrics(board, "first").unranked == "not interpretable"
    assert metrics(board, "first", "statement").unranked in ("not interpretable", "interval reaches zero")
    assert abs(metrics(board, "first").position_bias or 0) == pytest.approx(1)


def shifts(published: Path, name: str) -> dict[str, dict[str, float]]:
    """Trait -> item -> how far its keyed value moved from the low to the high pole, from the samples of a run."""
    lines = next((published.parent / "runs" / name).glob("*/samples_*.jsonl")).read_text("utf-8").splitlines()
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in map(json.loads, lines):
        trait, _, level = row.get("target", "").partition("=")
        if row["scoring"] == "choice" and trait == row["trait"]:
            values[trait, row["item"]].append(row["value_keyed"] * (1 if level == "high" else -1))
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (trait, item), mine in values.items():
        assert len(mine) == 4  # two orders, high and low
        found[trait][item] = sum(mine) / 2
    return found


def test_superiority_by_hand(board: Leaderboard, published: Path) -> None:
    """The mean over the others of the probability that the paired difference is above zero."""
    keys = {item.id: item.keyed for item in inventories.load("mini_ipip").items}
    runs = {name: shifts(published, name) for name in ("adjective", "demo", "p2")}

    def chance(a: str, b: str) -> float:
        """Items drawn within key, residuals pooled; errors add up over the traits."""
        values, squares = [], []
        for trait in runs[a]:
            differences = {item: runs[a][trait][item] - runs[b][trait][item] for item in runs[a][trait]}
            halves = [np.array([d for item, d in differences.items() if keys[item] == key]) for key in (1, -1)]
            values.append(sum(differences.values()) / 4)
            squares.append((sum(((half - half.mean()) ** 2).sum() for half in halves) / 2 / 4, 2))
        total = sum(square for square, _ in squares)
        df = total**2 / sum(square**2 / df for square, df in squares)
        return float(stats.t.cdf(sum(values) / total**0.5, df))

    assert metrics(board, "adjective").superiority == pytest.approx((chance("adjective", "demo") + 1) / 2, abs=1e-6)
    expected = (chance("demo", "adjective") + chance("demo", "p2")) / 2
    assert metrics(board, "demo").superiority == pytest.approx(expected, abs=1e-6)
    assert metrics(board, "p2").superiority == pytest.approx(chance("p2", "demo") / 2, abs=1e-6)


def test_groups_say_what_was_asked_and_aimed_at(board: Leaderboard) -> None:
    traits = "agreeableness, conscientiousness, extraversion, neuroticism, openness"
    assert metrics(board, "p2").group == (
        f"high minus low; {traits}; orders forward+reverse; symbols letters; respondents 0; repeats 1"
    )
    assert metrics(board, "p2", "statement").group == f"high minus low; {traits}; respondents 0; repeats 1"
    assert metrics(board, "none").group == metrics(board, "none").design == ""


def test_counts_limits_and_what_has_no_effect(board: Leaderboard) -> None:
    entries = {e.run.rpartition("+")[0]: e for e in board.entries}
    assert len(entries) == len(board.entries) == 6
    full = entries["scripted__person@prompting"]
    assert (full.n, full.limit, full.conditions, full.task, full.backend) == (20, None, 11, "mini_ipip", "scripted")
    part = entries["scripted__person@prompting,turn=user"]
    assert (part.n, part.limit, part.conditions) == (10, 10, 11)
    alone = entries["scripted__person@none"]
    assert alone.conditions == 1
    assert held(alone).targets == 0
    assert held(alone).effect is held(alone).effect_ci is held(alone).leakage is None
    assert held(full).targets == 5
    assert held(full).leakage == pytest.approx(0, abs=1e-9)
    assert held(full).invalid == 0
    assert full.administration_hash == entries["scripted__first@prompting"].administration_hash
    assert full.administration_hash != part.administration_hash


def test_one_more_run_on_another_task_is_ranked_on_its_own(published: Path, tmp_path: Path) -> None:
    line = (
        "-M scripted:person -a obedience=0.05,item_sd=0.1 -m prompting -t ipip_50 --scoring choice --bootstrap_iters 20"
    )
    assert main([*line.split(), "-o", str(tmp_path / "runs")]) == 0
    copy = tmp_path / "both"
    for folder in [*published.iterdir(), *(tmp_path / "runs").iterdir()]:
        target = copy / (folder.name if folder.parent == published else "other")
        target.mkdir(parents=True)
        for file in [*folder.glob("results_*.json"), *folder.glob("samples_*")]:
            (target / file.name).write_bytes(file.read_bytes())
    both = build(copy)
    assert [e.task for e in both.entries] == ["ipip_50"] + 6 * ["mini_ipip"]
    assert held(both.entries[0]).effect == pytest.approx(10)
    assert held(both.entries[0]).rank == 1
    assert both.entries[1:] == build(published).entries


def test_generated_at_is_the_date_of_the_newest_run(board: Leaderboard, published: Path) -> None:
    newest = max(read_json(path)["date"] for path in published.glob("*/results_*.json"))
    assert board.generated_at == datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_rebuild_gives_the_same_bytes(published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = []
    for name in ("one", "two"):
        assert main(["leaderboard", "--published", str(published), "-o", str(tmp_path / name)]) == 0
        markdown = (tmp_path / name / "leaderboard.md").read_text("utf-8")
        assert capsys.readouterr().out == markdown
        made.append(((tmp_path / name / "leaderboard.json").read_bytes(), markdown))
    assert made[0] == made[1]
    assert Leaderboard.model_validate_json(made[0][0]).model_dump() == build(published).model_dump()


def rows_of(text: str, title: str) -> list[str]:
    """The rows of the table that has this title."""
    return [line for line in text.partition(f"**{title}**")[2].partition("\n\n\n")[0].splitlines() if line[:2] == "| "][
        1:
    ]


def test_the_markdown_holds_a_table_a_mode_in_the_order_of_effects(board: Leaderboard) -> None:
    text = render(board)
    titles = re.findall(r"^\*\*(.*)\*\*$", text, re.M)
    assert titles == [
        "mini_ipip, statement: high minus low", "mini_ipip, statement: baselines",
        "mini_ipip, choice: high minus low", "mini_ipip, choice: baselines",
    ]  # fmt: skip
    rows = rows_of(text, titles[2])
    assert len(rows) == 5
    first, second, third = sorted(rows[:2]) + rows[2:3]
    assert first.startswith("| 1–2 | scripted:person | prompting (style=demo) | ")
    assert second.startswith("| 1–2 | scripted:person | prompting | 40.00 [40.00, 40.00] | ")
    assert third.startswith("| 3 | scripted:person | prompting (style=p2) | 20.00 [20.00, 20.00] | ")
    effects = [metrics(board, name).effect or 0 for name in ("adjective", "demo")]
    assert ("prompting |" in rows[0]) == (effects[0] > effects[1])
    assert all(row.startswith("| – | ") for row in rows[3:])
    assert rows[3].endswith("| caution; first 10 items |") and rows[4].endswith("| not interpretable |")
    (alone,) = rows_of(text, titles[3])
    assert alone == "| scripted:person | none | 0.00 | 1.00 | caution |", "columns without a value are left out"


def test_a_rank_comes_before_the_size_of_an_effect(board: Leaderboard) -> None:
    """What has no rank stands below, whatever its effect: 60 POMP on ten items."""
    rows = rows_of(render(board), "mini_ipip, choice: high minus low")
    assert [row.split(" | ")[0] for row in rows] == ["| 1–2", "| 1–2", "| 3", "| –", "| –"]
    assert "60.00" in rows[3]


def test_the_task_with_most_ranks_comes_first(board: Leaderboard) -> None:
    def renamed(entry: Entry) -> Entry:
        return entry.model_copy(
            update={"task": "a_task", "metrics": {f: {**m, "rank": None} for f, m in entry.metrics.items()}}
        )

    both = board.model_copy(update={"entries": [*map(renamed, board.entries), *board.entries]})
    text = render(both)
    assert text.index("**mini_ipip, choice") < text.index("**a_task, statement")


def test_other_designs_and_targets_have_tables_and_ranks_of_their_own(
    board: Leaderboard, published: Path, tmp_path: Path
) -> None:
    """One run at one pole of one trait, one over drawn profiles: each is alone, and moves no other's rank."""
    for name, target in (("one", "extraversion=high"), ("drawn", "profiles:100")):
        line = f"{RUNS['adjective']} -t mini_ipip --scoring choice --bootstrap_iters 20 --target {target}"
        assert main(["run", *line.split(), "-o", str(tmp_path / "runs" / name)]) == 0
        run = next((tmp_path / "runs" / name).iterdir())
        assert main(["export", str(run), "--to", str(tmp_path / "published")]) == 0
    for folder in published.iterdir():
        shutil.copytree(folder, tmp_path / "published" / folder.name)
    made = build(tmp_path / "published")
    added = [e for e in made.entries if e.conditions != 11 and e.method != "none"]
    assert {held(e).design for e in added} == {"baseline", "profiles"}
    assert [(held(e).rank, held(e).rank_high, held(e).superiority) for e in added] == [(1, 1, None)] * 2
    before = {e.run: e.metrics for e in board.entries}
    assert {e.run: e.metrics for e in made.entries if e not in added} == before
    text = render(made)
    assert len(rows_of(text, "mini_ipip, choice: controlled minus plain")) == 1
    (drawn,) = rows_of(text, "mini_ipip, choice: over drawn profiles")
    assert "| prompting, profiles | " in drawn
    assert {e.label for e in made.entries if e.settings == {} and e.method == "prompting"} == {
        "prompting, all", "prompting, extraversion=high", "prompting, profiles", "prompting",
    }  # fmt: skip


def copied(published: Path, to: Path) -> Path:
    """One run of the published ones, to spoil."""
    source = next(published.glob("scripted__person@prompting+*/results_*.json"))
    return shutil.copytree(source.parent, to / "run") / source.name


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:1000], lambda b: b"[]", lambda b: b.replace(b'"verdict"', b'"verdikt"'), lambda b: b""]
)
def test_a_damaged_file_is_named(
    published: Path, tmp_path: Path, spoil: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    target = copied(published, tmp_path)
    target.write_bytes(spoil(target.read_bytes()))
    with pytest.raises(BadData, match=re.escape(str(target))):
        build(tmp_path)
    assert main(["leaderboard", "--published", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert str(target) in said.err
    assert not (tmp_path / "out").exists()


def spoilt(published: Path, to: Path, run: str, **changed: Any) -> Leaderboard:
    """The board with another results file of one run."""
    for folder in published.iterdir():
        for file in folder.glob("results_*.json"):
            read = read_json(file)
            rewrite(to / folder.name / file.name, {**read, **(changed if folder.name == run else {})})
        for file in folder.glob("samples_*"):
            shutil.copy(file, to / folder.name)
    return build(to)


def test_a_contaminated_run_says_so_and_has_no_rank(published: Path, tmp_path: Path) -> None:
    best = next(published.glob("scripted__person@prompting+*")).name
    board = spoilt(published, tmp_path, best, contaminated={"mini_ipip": 7})
    (entry,) = [e for e in board.entries if e.run.startswith(f"{best}/")]
    assert entry.contaminated == 7
    assert [m["rank"] for m in entry.metrics.values()] == [None, None]
    assert held(entry).effect == pytest.approx(40), "its numbers stay"
    assert (metrics(board, "demo").rank, metrics(board, "demo").rank_high) == (1, 1)
    assert metrics(board, "p2").rank == 2, "who is contaminated beats nobody"
    rows = [line for line in render(board).splitlines() if line.startswith("| – | scripted:person | prompting |")]
    assert len(rows) == 2 and all(row.endswith("| contaminated (7 items) |") for row in rows)
    assert {e.contaminated for e in build(published).entries} == {0}
    other = spoilt(published, tmp_path / "other", best, contaminated={"ipip_50": 7})
    assert metrics(other, "adjective").rank == 1, "the items of another task"


def test_damage_and_cost_are_those_of_the_controls_as_they_were_made(published: Path, tmp_path: Path) -> None:
    name = next(published.glob("scripted__person@prompting+*")).name
    conditions = read_json(next((published / name).glob("results_*.json")))["conditions"]
    for number, condition in enumerate(conditions[1:4]):
        condition.update(perplexity=[1.2, 1.7, 1.4][number], dose=[0.1, 0.4, 0.2][number], coef=2.0)
    conditions[4].update(perplexity=9.0, dose=9.0, coef=8.0, headline=False)
    fit = {"method": "x", "version": "1", "seconds": 1.5, "parameters": 20}
    cost = {"fit_seconds": 3.0, "stored_parameters": 40}
    changed = {"conditions": conditions, "fits": {"a": fit, "b": fit}, "cost": cost}
    board = spoilt(published, tmp_path, name, **changed)
    (entry,) = [e for e in board.entries if e.run.startswith(f"{name}/")]
    assert (entry.fit_seconds, entry.stored_parameters) == (3.0, 40)
    assert (held(entry).perplexity, held(entry).dose) == (1.7, 0.2)
    others = [e for e in board.entries if e is not entry]
    assert {(e.fit_seconds, e.stored_parameters) for e in others} == {(None, None)}, "missing is not zero"
    assert {m["perplexity"] for e in others for m in e.metrics.values()} == {None}
    text = render(board)
    heads = [line for line in text.splitlines() if line.startswith("| rank |")]
    assert len(heads) == 2 and all(
        "| leakage | damage | targets ok |" in h and "| fit (s) | verdict |" in h for h in heads
    )
    (row,) = [line for line in text.splitlines() if "| scripted:person | prompting | 40.00 [" in line]
    cells = dict(zip(heads[0].split(" | "), row.split(" | "), strict=True))
    assert (cells["damage"], cells["fit (s)"], cells["verdict |"]) == ("1.70", "3", "interpretable |")
    plain = render(build(published))
    assert "| damage |" not in plain and "| fit (s) |" not in plain, "no column without a value"


def test_no_runs_is_an_error_that_says_how_to_publish_one(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="traitbench export RUN"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>|x", "&lt;script&gt;\\|x"),
        ("a\\|b", "a\\\\\\|b"),
        ("a\nb", "a b"),
        ("a\r\nb", "a b"),
        ("[x](javascript:alert)", "[x]\\(javascript:alert)"),
        ("a & b", "a &amp; b"),
    ],
)
def test_a_models_name_cannot_leave_its_cell(published: Path, tmp_path: Path, name: str, shown: str) -> None:
    target = copied(published, tmp_path)
    rewrite(target, {**read_json(target), "model_name": name})
    text = render(build(tmp_path))
    assert f"| 1 | {shown} | prompting | 40.00" in text
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 * 3
    # Cells as GitHub splits them: at pipes that no odd number of backslashes precedes.
    # A plain rule stands below the head: its pipes are counted as they are.
    (pipes,) = {row.count("|") for row in rows if set(row) <= set("|-:")}
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {pipes}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sum() of floats has other last digits from Python 3.12 on")
def test_the_repositorys_leaderboard_is_a_rebuild_of_its_published_runs() -> None:
    runs = ROOT / "results" / "published"
    made = json.dumps(build(runs).model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    assert (ROOT / "results" / "leaderboard.json").read_text("utf-8") == made, "type `make leaderboard`"
    assert (ROOT / "results" / "leaderboard.md").read_text("utf-8") == render(build(runs)), "type `make leaderboard`"
