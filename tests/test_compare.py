"""Two runs beside each other: differences by hand, and what cannot be compared."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from traitbench.cli import main
from traitbench.compare import compare


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    lines = {
        "strong": "-a obedience=0.3,noise=0.1,item_sd=0.1 -m prompting --scoring choice,statement",
        "weak": "-a obedience=0.1,noise=0.1,item_sd=0.1 -m prompting --scoring choice,statement",
        "forward": "-a obedience=0.1 -m prompting --scoring choice --orders forward",
        "none": "-m none",
    }
    out = {}
    for name, line in lines.items():
        base = f"run -M scripted:person -t ipip_50 --bootstrap_iters 20 -o {folder / name} {line}"
        assert main(base.split()) == 0
        out[name] = next((folder / name).iterdir())
    return out


def test_differences_and_p_values_are_those_by_hand(runs: dict[str, Path]) -> None:
    found = {(p.scoring, p.target): p for p in compare(runs["strong"], runs["weak"]).pairs}
    assert len(found) == 10
    shifts: dict[str, dict[str, float]] = {}
    for name in ("strong", "weak"):
        cells: dict[str, float] = defaultdict(float)
        for line in next(runs[name].glob("samples_*.jsonl")).read_text("utf-8").splitlines():
            row = json.loads(line)
            trait, _, level = (row.get("target") or "").partition("=")
            if row["scoring"] == "choice" and trait == row["trait"] == "extraversion":
                cells[row["item"]] += (1 if level == "high" else -1) * row["value_keyed"] / 2
        shifts[name] = cells
    d = np.array([shifts["strong"][i] - shifts["weak"][i] for i in shifts["strong"]])
    one = found["choice", "extraversion"]
    assert one.paired.difference == pytest.approx(d.mean())
    assert one.effect_a - one.effect_b == pytest.approx(d.mean())
    # Five items of each key: the t test is on residuals within key.
    assert one.paired.n == len(d) == 10
    assert one.paired.df == 8
    assert one.paired.t is not None
    assert one.paired.p == pytest.approx(2 * stats.t.sf(abs(one.paired.t), 8))
    assert all(p.p_holm is None or p.p_holm >= (p.paired.p or 0) for p in found.values())


def test_holm_is_over_the_targets_of_one_mode(runs: dict[str, Path]) -> None:
    found = [p for p in compare(runs["strong"], runs["weak"]).pairs if p.scoring == "statement"]
    p = sorted((pair.paired.p or 0, pair.p_holm or 0) for pair in found)
    running = 0.0
    for rank, (raw, adjusted) in enumerate(p):
        running = max(running, min(1.0, (5 - rank) * raw))
        assert adjusted == pytest.approx(running)


def test_a_run_against_itself_does_not_differ(runs: dict[str, Path]) -> None:
    for pair in compare(runs["strong"], runs["strong"], effect=0.1).pairs:
        assert pair.paired.difference == pytest.approx(0, abs=1e-12)
        assert pair.paired.p is None
        assert pair.paired.reason
        assert "power" in pair.reasons


def test_power_grows_with_the_effect_asked_about(runs: dict[str, Path]) -> None:
    small, large = (compare(runs["strong"], runs["weak"], effect=e).pairs for e in (0.002, 0.02))
    for a, b in zip(small, large, strict=True):
        if not a.reasons:
            assert a.power is not None and b.power is not None and a.power < b.power
        assert a.items_needed is None or b.items_needed is None or a.items_needed > b.items_needed


def test_what_cannot_be_compared_says_why(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs["strong"]), str(runs["none"])]) == 1
    assert "share no target" in capsys.readouterr().err
    assert main(["compare", str(runs["strong"]), str(runs["forward"])]) == 1
    assert "asked in different ways" in capsys.readouterr().err


def test_the_table_and_the_json(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs["strong"]), str(runs["weak"])]
    assert main(["compare", *names, "--effect", "0.2", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 10
    assert main(["compare", *names, "--format", "markdown"]) == 0
    assert "| extraversion |" in capsys.readouterr().out
