"""The verbs that work on tables and on finished runs, as they are typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from result_files import held

from traitbench import inventories
from traitbench.cli.commands import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """60 people's raw answers to Mini-IPIP, one row with a gap, and a column that is no item."""
    rng = np.random.default_rng(0)
    items = inventories.load("mini_ipip").items
    traits = list(dict.fromkeys(i.trait for i in items))
    levels = rng.normal(size=(60, 5))
    keyed = np.clip(
        np.round(3 + np.stack([levels[:, traits.index(i.trait)] + rng.normal(size=60) for i in items], 1)), 1, 5
    )
    raw = np.where([i.keyed == 1 for i in items], keyed, 6 - keyed).astype(int)
    path = tmp_path / "people.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["age", *(i.id for i in items)])
        writer.writerows([[30, *("" if (row, place) == (0, 3) else v for place, v in enumerate(line))]
                          for row, line in enumerate(raw.tolist())])  # fmt: skip
    return path


def test_analyze_as_json_and_as_a_table(table: Path, capsys: Captured) -> None:
    assert main(["analyze", str(table), "--inventory", "mini_ipip", "--raw", "--format", "json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["n"], found["n_complete"], found["keyed"]) == (60, 59, False)
    assert "ignored 1 columns that are no item: age" in said.err
    items = inventories.load("mini_ipip").items
    rows = [*csv.DictReader(table.read_text("utf-8").splitlines())]
    for scale, one in found["scales"].items():
        mine = [i for i in items if i.scale == scale]
        complete = [row for row in rows if all(row[i.id] for i in mine)]
        assert one["n"] == len(complete) == (59 if scale == "N" else 60)
        x = np.array([[int(r[i.id]) if i.keyed == 1 else 6 - int(r[i.id]) for i in mine] for r in complete])
        by_hand = 4 / 3 * (1 - x.var(axis=0, ddof=1).sum() / x.sum(axis=1).var(ddof=1))
        assert one["alpha"] == pytest.approx(by_hand)
        assert one["mean"] == pytest.approx(x.mean())
    assert main(["analyze", str(table), "--inventory", "mini_ipip", "--raw"]) == 0
    assert "without a gap 59" in capsys.readouterr().out


def test_analyze_must_be_told_the_keying_and_refuses_the_wrong_one(table: Path, capsys: Captured) -> None:
    assert main(["analyze", str(table), "--inventory", "mini_ipip"]) == 2
    assert "--keyed --raw" in capsys.readouterr().err
    assert main(["analyze", str(table), "--inventory", "mini_ipip", "--keyed"]) == 1
    assert "Either it is raw" in capsys.readouterr().err
    assert main(["analyze", str(table.parent / "none.csv"), "--inventory", "mini_ipip", "--raw"]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_analyze_writes_each_persons_scores(table: Path, capsys: Captured) -> None:
    out = table.parent / "scores.csv"
    assert main(["analyze", str(table), "--inventory", "mini_ipip", "--raw", "--scores", str(out)]) == 0
    assert f"scores: {out}" in capsys.readouterr().err
    assert len(out.read_text("utf-8").splitlines()) == 61


@pytest.mark.parametrize("name", ["big5chat-correlation", "big5chat-ranges"])
def test_reproduce_prints_published_recomputed_and_why(name: str, capsys: Captured) -> None:
    assert main(["reproduce", name, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all({"label", "published", "recomputed", "why"} <= set(row) for row in rows)
    assert main(["reproduce", name]) == 0
    assert "why they differ" in capsys.readouterr().out


def test_reproduce_suggests_a_name_and_says_where_data_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert main(["reproduce", "big5chat-correlations"]) != 0
    assert "did you mean 'big5chat-correlation'" in capsys.readouterr().err
    monkeypatch.delenv("TRAITBENCH_DATA", raising=False)
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path))
    assert main(["reproduce", "papi-baselines"]) == 1
    assert "--papi DIR" in capsys.readouterr().err


def test_report_of_a_run_lies_beside_it_or_where_it_is_told(tmp_path: Path, capsys: Captured) -> None:
    line = "run -M scripted:person -a obedience=0.2,person_sd=0.1,noise=0.1 -m prompting -t mini_ipip --respondents 10"
    assert main([*line.split(), "--bootstrap_iters", "20", "-o", str(tmp_path / "runs")]) == 0
    run = next((tmp_path / "runs").iterdir())
    capsys.readouterr()
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"
    text = (run / "report.html").read_text("utf-8")
    assert "http-equiv" in text and "openness" in text
    assert main(["report", str(run), "-o", str(tmp_path / "elsewhere")]) == 0
    assert {p.suffix for p in (tmp_path / "elsewhere" / "figures").iterdir()} == {".png", ".svg"}
    assert main(["report", str(tmp_path / "elsewhere")]) == 1
    assert "no results_" in capsys.readouterr().err


def test_an_older_results_file_is_brought_up_to_date_from_its_samples(tmp_path: Path, capsys: Captured) -> None:
    line = "run -M scripted:person -a obedience=0.2 -m prompting -t mini_ipip --bootstrap_iters 20 --format json"
    assert main([*line.split(), "-o", str(tmp_path)]) == 0
    now = json.loads(capsys.readouterr().out)
    path = next(tmp_path.glob("*/results_*.json"))
    old = held(path)
    for block in ("tasks", "across", "uncertainty", "reference"):
        del old[block]
    path.write_text(json.dumps({**old, "schema_version": 1, "of_another_time": 1}), "utf-8")
    assert main(["score", str(path.parent), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == now
