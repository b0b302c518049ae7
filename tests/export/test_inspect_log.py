"""A run as logs of Inspect: its own reader finds every response, value and number of the results file."""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.runs.compare.inspect_logs import of_log
from traitbench.samples import Sample
from traitbench.store import read_json, read_lines

pytest.importorskip("inspect_ai")
pytestmark = pytest.mark.filterwarnings("ignore")

RUN = "run -M scripted:person -a obedience=0.2,noise=0.1,refusals=0.1 --bootstrap_iters 20"
LINE = "-t mini_ipip -m prompting --target extraversion=high --scoring choice,statement,generate"


def ran(out: Path, line: str) -> Path:
    assert main([*f"{RUN} {line}".split(), "-o", str(out)]) == 0
    (path,) = out.glob("*/results_*.json")
    return path


def exported(path: Path, to: Path, capsys: Any) -> list[Path]:
    capsys.readouterr()
    assert main(["export", str(path.parent), "--format", "inspect", "--to", str(to)]) == 0
    return [Path(line) for line in capsys.readouterr().out.splitlines()]


def test_inspect_reads_samples_scores_and_metrics(tmp_path: Path, capsys: Any) -> None:
    from inspect_ai.log import read_eval_log

    path = ran(tmp_path / "runs", LINE)
    results = read_json(path)
    rows = read_lines(path.parent / f"samples_mini_ipip_{path.stem.removeprefix('results_')}.jsonl", Sample)
    files = exported(path, tmp_path / "out", capsys)
    assert [file.name for file in files] == ["mini_ipip-000-baseline.eval", "mini_ipip-001-extraversion=high.eval"]
    for file, condition in zip(files, ("baseline", "extraversion=high"), strict=True):
        log = read_eval_log(str(file))
        own = [row for row in rows if row.condition == condition]
        assert log.status == "success" and log.eval.task == "traitbench/mini_ipip"
        assert log.eval.model == "traitbench/scripted:person" and log.eval.dataset.name == "mini_ipip"
        assert log.eval.metadata["condition"]["name"] == condition
        assert log.eval.metadata["method"]["name"] == "prompting" and log.eval.metadata["score_direction"] == "none"
        samples = {sample.id: sample for sample in log.samples}
        assert len(samples) == len(log.samples) == len(own) == log.results.total_samples
        unscored = dict.fromkeys(("choice", "statement", "generate"), 0)
        for row in own:
            place = (row.scoring, row.item, row.order, row.symbols, row.template)
            sample = samples["-".join(str(part) for part in place if part is not None)]
            assert sample.input == row.arguments[0]
            score = sample.scores[row.scoring]
            value = row.value_raw if row.scoring == "statement" else row.value_keyed
            if value is None:
                assert math.isnan(score.value) and score.reason == row.status
                unscored[row.scoring] += 1
            else:
                assert score.value == value
            assert sample.metadata["trait"] == row.trait and sample.metadata["keyed"] == row.keyed
            if row.scoring == "choice":
                assert score.metadata["option_logprobs"] == row.option_logprobs
            if row.scoring == "generate":
                assert sample.output.completion == row.resps[0][0]
        assert unscored["generate"] > 0
        line = results["results"]["mini_ipip" if condition == "baseline" else f"mini_ipip@{condition}"]
        for score in log.results.scores:
            expected = {
                k.partition(",")[0]: v for k, v in line.items() if k.endswith(f",{score.name}") and v is not None
            }
            assert {name: metric.value for name, metric in score.metrics.items()} == expected
            assert score.unscored_samples == unscored[score.name]
            assert all(metric.metadata == {"higher_is_better": None} for metric in score.metrics.values())
    # What compares logs of Inspect takes them too.
    assert {outcomes.metric for outcomes in of_log(files[0], lambda line: None)} == {"choice", "statement", "generate"}


def test_a_published_run_gives_the_same_log(tmp_path: Path, capsys: Any) -> None:
    from inspect_ai.log import read_eval_log

    path = ran(tmp_path / "runs", LINE)
    assert main(["export", str(path.parent), "--to", str(tmp_path / "published")]) == 0
    again = tmp_path / "published" / path.parent.name / path.name
    one, two = (exported(p, tmp_path / name, capsys) for p, name in ((path, "a"), (again, "b")))
    for a, b in zip(one, two, strict=True):
        first, second = (read_eval_log(str(file)).model_dump(mode="json", exclude={"location"}) for file in (a, b))
        assert json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def test_no_word_of_a_restricted_item_stands_in_it(shared: Path, tmp_path: Path, capsys: Any) -> None:
    texts = [item.text or "" for item in inventories.load("bfi_44").items]
    path = ran(
        tmp_path / "runs", "-t bfi_44 -m prompting --target extraversion=high --scoring choice,statement,generate"
    )

    def plain(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9]+", re.sub(r"\\[nrtu\"]", " ", text).lower()))

    held = plain("".join(file.read_text("utf-8") for file in path.parent.glob("samples_*.jsonl")))
    assert all(plain(text) in held for text in texts)
    for file in exported(path, tmp_path / "out", capsys):
        with zipfile.ZipFile(file) as archive:
            held = plain(" ".join(archive.read(name).decode() for name in archive.namelist()))
        assert "sha256" in held and not [text for text in texts if plain(text) in held]


def test_an_unknown_format_is_said(tmp_path: Path, capsys: Any) -> None:
    assert main(["export", str(tmp_path), "--format", "inspct"]) == 2
    assert "did you mean 'inspect'" in capsys.readouterr().err
