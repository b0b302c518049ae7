"""Runs of lm-eval and Inspect beside each other: files their own code wrote, and what cannot be paired."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from traitbench.cli.commands import main
from traitbench.errors import BadData, MissingExtra
from traitbench.runs.compare import compare
from traitbench.runs.compare.foreign import ForeignComparison

STAMPS = ("2026-11-28T20-26-52.007487", "2026-11-28T21-00-00.000001")
Lines = list[dict[str, Any]]


def sample(doc: int, **values: Any) -> dict[str, Any]:
    """A line as `EvaluationTracker.save_results_samples` of lm-eval 0.4.13 writes it."""
    given = {"filter": "none", "doc_hash": f"d{doc}", "prompt_hash": f"p{doc}", "target_hash": f"t{doc}", **values}
    named = [name for name in values if name not in ("filter", "doc_hash", "prompt_hash", "target_hash")]
    return {
        "doc_id": doc, "doc": {"q": str(doc)}, "target": "0", "arguments": {"gen_args_0": {"arg_0": str(doc)}},
        "resps": [[["-1.0", "False"]]], "filtered_resps": [["-1.0", "False"]], "metrics": named, **given,
    }  # fmt: skip


def write(folder: Path, lines: Lines, task: str = "sums", model: str = "m", stamp: str = STAMPS[0]) -> Path:
    file = folder / model / f"samples_{task}_{stamp}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return folder


def foreign(a: Path, b: Path, tell: Callable[[str], None] = print, **asked: Any) -> ForeignComparison:
    found = compare(a, b, tell, **asked)
    assert isinstance(found, ForeignComparison)
    return found


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Forty documents: right in both 20, in a alone 12, in b alone 2, in neither 6; and a score beyond 1."""
    a = [sample(i, acc=float(i < 32), bits=3 + np.sin(i)) for i in range(40)]
    b = [sample(i, acc=float(i < 20 or 32 <= i < 34), bits=2 + np.cos(3 * i)) for i in range(40)]
    return write(tmp_path / "a", a), write(tmp_path / "b", b[::-1])


def test_metrics_are_paired_by_document(pair: tuple[Path, Path]) -> None:
    acc, bits = foreign(*pair).pairs
    assert (acc.metric, acc.unit, acc.mean_a, acc.mean_b, acc.paired.n) == ("acc", "share from 0 to 1", 0.8, 0.55, 40)
    assert acc.flips and (acc.flips.both, acc.flips.a_only, acc.flips.b_only, acc.flips.neither) == (20, 12, 2, 6)
    assert acc.p == pytest.approx(float(mcnemar([[20, 12], [2, 6]], exact=True).pvalue))
    x, y = np.array([3 + np.sin(range(40)), 2 + np.cos(3 * np.arange(40))])
    assert (bits.mean_a, bits.mean_b) == pytest.approx((x.mean(), y.mean()))
    test = stats.ttest_rel(x, y)
    assert bits.p == bits.paired.p == pytest.approx(test.pvalue)
    assert bits.paired.ci == pytest.approx(tuple(test.confidence_interval()))
    assert [acc.p_holm, bits.p_holm] == pytest.approx([acc.p, 2 * test.pvalue])
    assert (acc.verdict, bits.verdict) == ("a higher", "a higher")
    assert bits.flips is None and bits.equivalence is None and acc.equivalence and acc.equivalence.bound == 0.03


def test_a_run_equals_itself_only_over_enough_documents(pair: tuple[Path, Path], tmp_path: Path) -> None:
    acc, bits = foreign(pair[0], pair[0], bounds={"bits": 0.1}).pairs
    assert (acc.verdict, bits.verdict) == ("inconclusive", "equivalent")
    many = write(tmp_path / "many", [sample(i, acc=i % 2) for i in range(60)])
    assert [one.verdict for one in foreign(many, many).pairs] == ["equivalent"]
    every, none = (write(tmp_path / str(k), [sample(i, acc=k) for i in range(60)]) for k in (1, 0))
    assert [one.verdict for one in foreign(none, every).pairs] == ["b higher"]


def test_two_documents_leave_open_no_more_than_a_share_can_be(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [sample(0, acc=1.0, bits=1.0), sample(1, acc=1.0, bits=3.0)])
    b = write(tmp_path / "b", [sample(0, acc=0.0, bits=0.0), sample(1, acc=1.0, bits=3.0)])
    acc, bits = foreign(a, b).pairs
    assert acc.paired.difference == 0.5 and acc.paired.ci == (-1, 1)
    assert bits.paired.ci is not None and bits.paired.ci[0] < -5 and bits.paired.ci[1] > 6


def test_repeats_of_a_document_count_once(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [sample(i, acc=float((i + r) % 3 == 0)) for i in range(12) for r in range(4)])
    b = write(tmp_path / "b", [sample(i, acc=float(i % 2)) for i in range(12)])
    (found,) = foreign(a, b).pairs
    means = [np.mean([(i + r) % 3 == 0 for r in range(4)]) for i in range(12)]
    assert found.p == pytest.approx(stats.ttest_rel(means, [i % 2 for i in range(12)]).pvalue)
    assert (found.paired.n, found.repeats, found.flips) == (12, 4, None)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [sample(i, acc=i % 2, f1=[0, 1]) for i in range(12)])
    b = write(tmp_path / "b", [sample(i, acc=i % 3 == 0, f1=[1, 1], prompt_hash="x") for i in range(2, 15)])
    told: list[str] = []
    (found,) = foreign(a, b, told.append).pairs
    assert found.paired.n == 10 and found.unpaired == 5
    assert told == [
        "passed over f1 of sums: no number a document, so nothing to pair",
        "passed over f1 of sums: no number a document, so nothing to pair",
        "sums: 2 documents have a value in a alone and 3 in b alone; they are left out",
        "sums: 10 of 10 prompts differ (template, examples): the difference is theirs too",
    ]


def test_missing_is_not_zero(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [sample(i, score=float("nan") if i == 3 else float(i)) for i in range(9)])
    b = write(tmp_path / "b", [sample(i, score=i * 0.9 + i % 2) for i in range(9)])
    (found,) = foreign(a, b).pairs
    assert (found.paired.n, found.unpaired) == (8, 1)
    assert found.mean_a == pytest.approx(np.mean([0, 1, 2, 4, 5, 6, 7, 8]))


def test_other_documents_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = write(tmp_path / "c", [sample(i, acc=1, doc_hash=f"d{i}" if i < 30 else "z") for i in range(40)])
    with pytest.raises(
        BadData, match=r"sums: 10 of 40 documents, the first of them 30, hold one thing in .* another in"
    ):
        compare(pair[0], other, print)
    task = write(tmp_path / "d", [sample(i, acc=1) for i in range(40)], task="words")
    with pytest.raises(BadData, match=r"share no metric of one task; the first has sums acc none, .*words acc none"):
        compare(pair[0], task, print)
    apart = write(tmp_path / "e", [sample(i, acc=1) for i in range(50, 60)])
    with pytest.raises(BadData, match="share no document"):
        compare(pair[0], apart, print)


def test_two_models_or_two_runs_in_a_folder_are_refused_with_the_choices(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # Each path in one piece, however long.
    a, b = pair
    write(a, [sample(0, acc=1)], model="other")
    assert main(["compare", str(a), str(b)]) == 1
    assert f"holds the output of 2 models; name one: '{a / 'm'}', '{a / 'other'}'" in capsys.readouterr().err
    write(b, [sample(i, acc=1) for i in range(40)], stamp=STAMPS[1])
    assert main(["compare", str(a / "m"), str(b)]) == 1
    names = [str(b / "m" / f"samples_sums_{stamp}.jsonl") for stamp in STAMPS]
    assert f"{b} holds sums 2 times; name one: '{names[0]}', '{names[1]}'" in capsys.readouterr().err
    for name in names:
        assert main(["compare", str(a / "m"), name]) == 0
        assert f"\nb: {name}\n" in capsys.readouterr().out
    (b / "m" / "log.eval").write_bytes(b"")
    assert main(["compare", str(b / "m"), names[0]]) == 1
    assert "holds output of lm-eval and logs of Inspect; name one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1, is no JSON"),
        ("[1]", "line 1, holds no object"),
        ('{"acc": 1}', "line 1, is no sample of lm-eval: 'doc_id'"),
        (
            '{"doc_id": 1, "metrics": [["acc"]], "acc": 1}',
            "line 1, is no sample of lm-eval: .'acc'. is no name of a metric",
        ),
        (
            '{"doc_id": 1, "metrics": ["acc"], "acc": 1' + "0" * 400 + "}",
            "line 1, is no sample of lm-eval: int too large",
        ),
        (
            json.dumps(sample(1, acc=1)) + "\n" + json.dumps(sample(1, acc=1, doc_hash="x")),
            "line 2: doc 1 stands there",
        ),
        ('{"scoring": "choice", "control_hash": "x"}', "samples of a traitbench run; name its folder"),
        ("\udc80", "cannot read"),
    ],
)
def test_damaged_samples_name_file_and_line(tmp_path: Path, text: str, said: str, pair: tuple[Path, Path]) -> None:
    file = tmp_path / f"samples_sums_{STAMPS[0]}.jsonl"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadData, match=said) as caught:
        compare(file, pair[0], print)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_runs_of_two_tools_are_no_pair(pair: tuple[Path, Path], tmp_path: Path) -> None:
    line = "run -M scripted:person -t mini_ipip -m none --scoring choice --bootstrap_iters 20 -o"
    assert main([*line.split(), str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    for ours in (run, next(run.glob("results_*.json"))):
        with pytest.raises(BadData, match=r"is a traitbench run and .* is an lm-eval output"):
            compare(ours, pair[0], print)


def test_the_table_of_metrics(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(path) for path in pair]
    assert main(["compare", *names, "--effect", "acc=0.1", "--bounds", "acc=0.5", "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    low, high = stats.ttest_1samp([1] * 12 + [-1] * 2 + [0] * 26, 0).confidence_interval()
    assert f"| sums | acc | 0.800 | 0.550 | 0.250 [{low:.3f}, {high:.3f}] |" in out and "| 12 : 2 |" in out
    assert (
        "bits in bits's own, no bounds (--bounds)" in out and "acc in share from 0 to 1, bounds ±0.5, effect 0.1" in out
    )
    assert "a higher, within ±0.5" in out
    assert main(["compare", *names, "--format", "json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert [one["metric"] for one in held["pairs"]] == ["acc", "bits"] and held["bounds"] == {"acc": 0.03}


def lm_eval_run(tasks: Path, out: Path, seed: int) -> Path:
    """A run of lm-eval itself with its dummy model, whose answers are drawn by `seed`."""
    import random

    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    tracker = EvaluationTracker(output_path=str(out))
    random.seed(seed)
    found = simple_evaluate(
        model="dummy", tasks=["tiny"], task_manager=manager, evaluation_tracker=tracker, bootstrap_iters=0,
        random_seed=None, numpy_random_seed=None, torch_random_seed=None,
    )  # fmt: skip
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples(task_name="tiny", samples=samples["tiny"])
    return out


@pytest.mark.filterwarnings("ignore")
def test_what_lm_eval_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval", reason="needs the extra lm-eval")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    docs = "".join(json.dumps({"q": f"{i}+1=", "options": [str(i), str(i + 1)], "gold": 1}) + "\n" for i in range(20))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "docs.jsonl").write_text(docs)
    (tmp_path / "tasks" / "tiny.yaml").write_text(
        f"task: tiny\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path / 'docs.jsonl'}}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{q}}"\ndoc_to_choice: "{{options}}"\n'
        "doc_to_target: gold\nmetric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    a, b = (lm_eval_run(tmp_path / "tasks", tmp_path / name, seed) for name, seed in (("a", 1), ("b", 2)))
    (found,) = foreign(a, b).pairs
    files = [next(run.glob("*/results_*.json")) for run in (a, b)]
    means = [json.loads(file.read_text())["results"]["tiny"]["acc,none"] for file in files]
    assert [found.mean_a, found.mean_b] == pytest.approx(means) and means[0] != means[1]
    assert (found.task, found.metric, found.paired.n) == ("tiny", "acc", 20)
    assert foreign(*files).pairs == [found], "a results file stands for the samples beside it"
    next(a.glob("*/samples_*.jsonl")).unlink()
    for alone in (files[0], files[0].parent):
        with pytest.raises(BadData, match="repeat the lm-eval run with --log_samples"):
            compare(alone, b, print)


ANSWERS = {"a": "001111", "b": "010001", "c": "010001010000"}
"""What the mock model says to 6 + 1 ... of each run, by sample and then by epoch: 1 is right."""


INSPECT = """
import sys
from inspect_ai import Epochs, Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, match, mean, scorer
from inspect_ai.solver import generate

@scorer(metrics={"length": [mean()], "kind": [mean()]})
def shape():
    async def score(state, target):
        return Score(value={"length": len(state.output.completion), "kind": "no number"})
    return score

def run(folder, form, right):
    seen = {}
    def answered(messages, *_):
        number = int(messages[-1].text.partition("+")[0])
        epoch = seen[number] = seen.get(number, -1) + 1
        text = str(number + 1) if right[number + 6 * epoch] == "1" else "none of these"
        output = ModelOutput.from_content("mockllm/model", text)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output
    samples = [Sample(id=i, input=f"{i}+1=", target=str(i + 1)) for i in range(6)]
    task = Task(dataset=samples, solver=generate(), scorer=[match(), shape()], name="sums", epochs=len(right) // 6)
    model = get_model("mockllm/model", custom_outputs=answered, memoize=False)
    (log,) = eval(task, model=model, log_dir=folder, log_format=form, display="none")
    assert log.status == "success", log.error

for line in sys.argv[1:]:
    run(*line.split("|"))
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Logs of Inspect itself, which runs in a process of its own: two of one epoch, and one of two as JSON."""
    pytest.importorskip("inspect_ai", reason="needs the extra inspect")
    folder = tmp_path_factory.mktemp("logs")
    lines = [f"{folder / name}|{'json' if name == 'c' else 'eval'}|{right}" for name, right in ANSWERS.items()]
    subprocess.run([sys.executable, "-c", INSPECT, *lines], check=True, cwd=folder, timeout=300)
    return {name: folder / name for name in ANSWERS}


def test_logs_of_inspect_are_paired_by_sample(logs: dict[str, Path]) -> None:
    told: list[str] = []
    match, length = foreign(logs["a"], logs["b"], told.append).pairs
    assert told == ["passed over scores of sums that are no number: shape/kind"] * 2
    assert (match.task, match.metric, match.filter) == ("sums", "match", "")
    assert (match.mean_a, match.mean_b) == pytest.approx((4 / 6, 2 / 6))
    assert match.flips and (match.flips.a_only, match.flips.b_only, match.flips.both) == (3, 1, 1)
    assert match.p == pytest.approx(stats.binomtest(1, 4).pvalue)
    assert (length.metric, length.unit) == ("shape/length", "shape/length's own")
    x, y = ([1 if c == "1" else 13 for c in ANSWERS[name]] for name in "ab")
    assert length.p == pytest.approx(stats.ttest_rel(x, y).pvalue)


def test_epochs_of_a_sample_count_once(logs: dict[str, Path]) -> None:
    match, _ = foreign(logs["a"], next(logs["c"].glob("*.json"))).pairs
    both = [(int(ANSWERS["c"][i]) + int(ANSWERS["c"][i + 6])) / 2 for i in range(6)]
    assert match.p == pytest.approx(stats.ttest_rel([int(c) for c in ANSWERS["a"]], both).pvalue)
    assert (match.paired.n, match.repeats, match.flips) == (6, 2, None)


def test_several_logs_of_a_task_are_refused_with_the_choices(logs: dict[str, Path], tmp_path: Path) -> None:
    files = [shutil.copy(next(logs[name].glob("*.eval")), tmp_path / f"{name}.eval") for name in "ab"]
    with pytest.raises(BadData, match=f"holds sums 2 times; name one: '{files[0]}', '{files[1]}'"):
        compare(tmp_path, files[0], print)
    assert foreign(files[0], files[1]).pairs[0].flips


def test_a_damaged_log_and_one_without_scores_say_so(logs: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.eval"
    damaged.write_bytes(next(logs["a"].glob("*.eval")).read_bytes()[:300])
    with pytest.raises(BadData, match=r"is no log that Inspect can read: .*; copy it again"):
        compare(damaged, logs["b"], print)
    bare = json.loads(next(logs["c"].glob("*.json")).read_text())
    for one in bare["samples"]:
        one["scores"] = None
    (tmp_path / "bare.json").write_text(json.dumps(bare))
    with pytest.raises(BadData, match="holds no scores; expected a log of a scored evaluation: `inspect score"):
        compare(tmp_path / "bare.json", logs["b"], print)


def test_another_input_under_the_same_id_is_refused(logs: dict[str, Path], tmp_path: Path) -> None:
    other = json.loads(next(logs["c"].glob("*.json")).read_text())
    for one in other["samples"]:
        one["input"] = one["input"].replace("3+", "4+")
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(BadData, match="1 of 6 documents, the first of them 3, hold one thing"):
        compare(logs["a"], tmp_path / "other.json", print)


def test_without_inspect_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log.eval"
    file.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "inspect_ai", ModuleType("inspect_ai"))
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtra, match=r"pip install 'traitbench\[inspect\]'"):
        compare(file, file, print)
