"""lm-eval's tasks under the conditions of a run, offline: its own numbers, caches apart, paired differences."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import said
import torch
import transformers
from said import Say
from scipy import stats
from tiny_models import CONFIGS

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.controls.adapters import copy_adapter
from traitbench.errors import BadData, MissingExtra, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.journal import RunFolder
from traitbench.leaderboard import board_of
from traitbench.report.board.columns import columns
from traitbench.runs import side_effects
from traitbench.runs.finished import rescore
from traitbench.runs.publish import publish
from traitbench.runs.results import Results
from traitbench.runs.sealed import sealed
from traitbench.runs.side_effects.deltas import compared
from traitbench.runs.side_effects.records import Graded, Measured, Measurement, SideEffects
from traitbench.runs.tables import tables
from traitbench.samples import Condition
from traitbench.statistics.comparison import holm
from traitbench.store import read_json, write_json
from traitbench.tasks import views_of
from traitbench.types import Control, Edit, Message

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("ignore")

from traitbench.backends.lm_eval.controlled import Controlled  # noqa: E402

Tiny = Callable[..., Path]
FUNCTIONS = """
import datasets

WORDS = ["crowd", "plan", "worry", "answer", "love", "self"]


def load(**_):
    rows = [{"q": f"Someone sees the {w}. It is", "options": WORDS[i % 3 : i % 3 + 3], "gold": i % 3, "right": w}
            for i, w in enumerate(WORDS)]
    return datasets.DatasetDict({s: datasets.Dataset.from_list(rows) for s in ("train", "test")})


def first(resps, docs):
    return [[reply.strip() for reply in replies] for replies in resps]
"""
HEAD = "custom_dataset: !function functions.load\ntest_split: test\nfewshot_split: train\nmetadata: {version: 3}\n"
TASKS = {
    "own_choice": "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: options\ndoc_to_target: gold\n",
    "own_word": "output_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: ' {{right}}'\nmetric_list:\n"
    "  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}\n"
    "  - {metric: acc, aggregation: mean, higher_is_better: true}\n",
    "own_reply": "output_type: generate_until\ndoc_to_text: q\ndoc_to_target: right\n"
    "generation_kwargs: {until: ['w'], max_gen_toks: 6, do_sample: false}\n"
    "filter_list:\n  - name: none\n    filter:\n      - {function: custom, filter_fn: !function functions.first}\n"
    "      - {function: take_first}\n"
    "metric_list:\n  - {metric: exact_match, aggregation: mean, higher_is_better: true}\n",
    "own_shots": "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: options\ndoc_to_target: gold\n"
    "num_fewshot: 2\n",
    "own_text": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: q\nmetric_list:\n"
    "  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}\n",
}  # fmt: skip
GROUP = (
    "group: own_group\ntask: [own_choice, own_shots]\naggregate_metric_list:\n"
    "  - {metric: acc, aggregation: mean, weight_by_size: true}\nmetadata: {version: 2}\n"
)
MANY = ("own_group", "own_word", "own_reply")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("own_tasks")
    (place / "functions.py").write_text(FUNCTIONS)
    for name, text in TASKS.items():
        (place / f"{name}.yaml").write_text(f"task: {name}\n{HEAD}{text}")
    (place / "own_group.yaml").write_text(GROUP)
    gone = "dataset_path: json\ndataset_kwargs: {data_files: {test: /no/such/file.jsonl}}\ntest_split: test\n"
    (place / "gone.yaml").write_text(f"task: own_gone\n{gone}output_type: multiple_choice\ndoc_to_text: q\n")
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Control]:
    """A control of each kind, in one folder."""
    place = tmp_path_factory.mktemp("made")
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    lora = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()),
        peft.LoraConfig(r=4, target_modules="all-linear"),
    )
    for name, parameter in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    lora.save_pretrained(place / "trained")
    copy_adapter(place / "trained", place / "adapter")
    shift = np.random.default_rng(0).normal(size=32).astype(np.float32)
    edit = Edit(layer=1, site="residual", op="add", tensor="shift", strength=2.0, positions="all")
    return {
        "prompt": controls.store(place / "c", messages=(Message(role="user", content="You worry a lot."),)),
        "edit": controls.store(place / "c", edits=[edit], tensors={"shift": shift}),
        "adapter": controls.store(place / "c", adapter=place / "adapter"),
    }


def conditions(*given: Control) -> list[tuple[Condition, Control]]:
    names = [f"t{n}" for n in range(1, len(given) + 1)]
    aimed = [(Condition(name=n, target=n, levels={"extraversion": 1.0}), c) for n, c in zip(names, given, strict=True)]
    return [(Condition(name="baseline"), Control()), *aimed]


class Silent:
    def begin(self, what: str, total: int) -> Callable[[int], None]:
        return lambda n: None


def measured(
    model: Path, to: Path, names: Sequence[str], include: Path, pairs: list[tuple[Condition, Control]],
    limit: int | None = None,
) -> tuple[SideEffects, list[Graded]]:  # fmt: skip
    backend = HuggingFace(resolve(str(model)), device="cpu")
    run = RunFolder(to)
    with run.open() as held:
        tasks = side_effects.loaded(names, [str(include)], limit, pairs, print)
        found = side_effects.measured(tasks, pairs, backend, run, held, Silent(), 20)  # type: ignore[arg-type]
    assert found is not None
    return compared(found[0], found[1], [condition for condition, _ in pairs]), found[1]


def theirs(model: str, include: Path, names: Sequence[str], **args: Any) -> Any:
    import lm_eval
    from lm_eval.tasks import TaskManager

    from traitbench.lm_eval import register

    register()
    found = TaskManager(include_path=str(include), include_defaults=False)
    chat = args.pop("chat", False)
    return lm_eval.simple_evaluate(
        model=model, model_args=args, tasks=list(names), task_manager=found, bootstrap_iters=0, batch_size=8,
        device="cpu", apply_chat_template=chat, fewshot_as_multiturn=chat,
    )  # fmt: skip


def same(found: SideEffects, condition: str, expected: Any) -> None:
    """Every number that lm-eval tells is ours, to 1e-6 of it."""
    told = {(t, k): v for t, line in expected["results"].items() for k, v in line.items() if "," in k}
    told = {key: value for key, value in told.items() if "_stderr" not in key[1]}
    assert told and {name for name, _ in told} >= {name for name in found.tasks}
    for (task, metric), value in told.items():
        assert found.tasks[task].metrics[metric][condition].value == pytest.approx(value, rel=1e-6, abs=1e-9)


# The numbers


def test_without_a_control_they_are_lm_evals_own(tiny: Tiny, folder: Path, tmp_path: Path) -> None:
    names = (*MANY, "own_text")
    model = tiny("llama", None)
    found, lines = measured(model, tmp_path / "run", names, folder, conditions())
    expected = theirs("hf", folder, names, pretrained=str(model), dtype="float32")
    same(found, "baseline", expected)
    assert {line.task for line in lines} == {*TASKS} and len(lines) == 6 * len(TASKS)
    for task, rows in expected["samples"].items():
        mine = {line.doc_id: line for line in lines if line.task == task}
        for row in rows:
            assert mine[row["doc_id"]].doc_hash == row["doc_hash"]
    assert found.capability is None and not found.chat_template
    one = found.tasks["own_shots"]
    assert (one.version, one.n_shot, one.documents, one.output_type) == ("3", 2, 6, "multiple_choice")


def test_under_each_kind_of_control_they_are_those_of_the_registered_model(
    tiny: Tiny, folder: Path, tmp_path: Path, made: dict[str, Control]
) -> None:
    model = tiny("llama")
    names = ("own_choice", "own_word", "own_reply")
    found, lines = measured(model, tmp_path / "run", names, folder, conditions(*made.values()))
    assert found.chat_template
    for condition, control in conditions(*made.values())[1:]:
        place = str(kept_in(made, control))
        expected = theirs("traitbench", folder, names, pretrained=str(model), chat=True, control=place)
        same(found, condition.name, expected)
    words = {c: [x.metrics["perplexity,none"] for x in lines if (x.task, x.condition) == ("own_word", c)]
             for c in ("baseline", "t1", "t2", "t3")}  # fmt: skip
    for name in ("t1", "t2", "t3"):
        assert max(abs(a - b) for a, b in zip(words[name], words["baseline"], strict=True)) > 0.01


def kept_in(made: dict[str, Control], control: Control) -> Path:
    adapter = made["adapter"].adapter
    assert adapter is not None
    return Path(adapter).parent.parent / control.hash


# Answers are kept, and kept apart


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What the model itself is asked from now on: control, kind, text."""
    seen: list[tuple[str, str, str]] = []
    for kind in ("loglikelihood", "generate_until"):
        whole = getattr(Controlled, kind)

        def spy(self: Any, requests: Any, *args: Any, _kind: str = kind, _whole: Any = whole, **more: Any) -> Any:
            seen.extend((self._control.hash, _kind, "".join(map(str, r.args))) for r in requests)
            return _whole(self, requests, *args, **more)

        monkeypatch.setattr(Controlled, kind, spy)
    return seen


def test_a_killed_run_asks_what_is_missing_and_no_control_is_given_anothers_answer(
    tiny: Tiny, folder: Path, tmp_path: Path, made: dict[str, Control], asked: list[tuple[str, str, str]]
) -> None:
    pairs = conditions(made["edit"], made["adapter"], made["edit"])
    _, lines = measured(tiny("llama"), tmp_path / "run", MANY, folder, pairs)
    every = 3 * (2 * 6 * 3 + 6 + 6)
    assert len(asked) == every and {control for control, _, _ in asked} == {c.hash for _, c in pairs}
    journal = tmp_path / "run" / "responses.jsonl"
    kept = journal.read_text().splitlines()
    assert len({json.loads(line)["key"] for line in kept}) == len(kept) == every
    # Of both kinds of controls something is lost.
    journal.write_text("".join(f"{line}\n" for n, line in enumerate(kept) if n % 5))
    asked.clear()
    again, twice = measured(tiny("llama"), tmp_path / "run", MANY, folder, pairs)
    assert len(asked) == len(kept[::5]) and len({control for control, _, _ in asked}) == 3
    for a, b in zip(lines, twice, strict=True):
        assert (a.task, a.doc_id, a.condition, a.control_hash) == (b.task, b.doc_id, b.condition, b.control_hash)
        assert a.metrics == pytest.approx(b.metrics, abs=1e-4)
    asked.clear()
    third, _ = measured(tiny("llama"), tmp_path / "run", MANY, folder, pairs)
    assert asked == [] and third == again
    # Conditions with one control are asked once, and told alike.
    assert [d.delta for d in again.tasks["own_word"].deltas if d.condition == "t1"] == [
        d.delta for d in again.tasks["own_word"].deltas if d.condition == "t3"
    ]
    # Another control, or more documents, ask for themselves alone.
    measured(tiny("llama"), tmp_path / "run", MANY, folder, conditions(made["prompt"]))
    assert {control for control, _, _ in asked} == {made["prompt"].hash}


def test_a_task_is_known_by_its_contents_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    """Else another process, in which functions lie elsewhere in memory, would ask everything anew."""
    shutil.copytree(folder, tmp_path / "copy")
    first, second = refused(folder, *MANY), refused(tmp_path / "copy", *MANY)
    assert first.hashes == second.hashes and len({*first.hashes.values()}) == 4
    (tmp_path / "copy" / "own_word.yaml").write_text(f"task: own_word\n{HEAD}{TASKS['own_word']}num_fewshot: 1\n")
    third = refused(tmp_path / "copy", *MANY).hashes
    assert {name for name in third if third[name] != first.hashes[name]} == {"own_word"}


# The differences


def test_differences_are_those_of_a_paired_test_over_documents(
    tiny: Tiny, folder: Path, tmp_path: Path, made: dict[str, Control]
) -> None:
    found, lines = measured(tiny("llama"), tmp_path / "run", MANY, folder, conditions(*made.values()))

    def values(task: str, condition: str, metric: str) -> list[float]:
        return [x.metrics[metric] for x in lines if (x.task, x.condition) == (task, condition)]

    word = found.tasks["own_word"]
    mine = [delta for delta in word.deltas if delta.metric == "perplexity,none"]
    for delta in mine:
        after, before = (np.array(values("own_word", c, "perplexity,none")) for c in (delta.condition, "baseline"))
        test = stats.ttest_rel(after, before)
        assert delta.delta == pytest.approx((after - before).mean()) and delta.measure == "log-likelihood"
        assert delta.se == pytest.approx(stats.sem(after - before)) and delta.better and delta.n == 6
        told = [word.metrics["perplexity,none"][c].value for c in (delta.condition, "baseline")]
        assert delta.delta == pytest.approx(-np.log(told[0] / told[1]))
        assert delta.p is not None and delta.p >= test.pvalue * 0.9
    assert [delta.p_holm for delta in mine] == holm([delta.p for delta in mine])
    group = found.tasks["own_group"]
    assert group.members == ["own_choice", "own_shots"] and group.aggregation == {"acc": "size"}
    for delta in group.deltas:
        told = [group.metrics["acc,none"][c].value for c in (delta.condition, "baseline")]
        assert delta.delta == pytest.approx(told[0] - told[1]) and delta.n == 12
    whole = found.capability
    assert whole is not None and whole.metrics == {
        "own_group": "acc,none", "own_word": "acc,none", "own_reply": "exact_match,none",
    }  # fmt: skip
    by_task = [np.mean([d.delta for d in found.tasks[t].deltas if d.metric == m]) for t, m in whole.metrics.items()]
    assert whole.value == pytest.approx(np.mean(by_task)) and (whole.targets, whole.n) == (3, 24)


def line(doc: int, condition: str, value: float, fit: int | None = None) -> Graded:
    return Graded(task="q", doc_id=doc, doc_hash=f"h{doc}", condition=condition, fit=fit, control_hash=condition,
                  metrics={"acc,none": value})  # fmt: skip


def bare(aggregation: str = "mean") -> SideEffects:
    one = Measurement(
        kind="task", version="1", higher_is_better={"acc": True}, aggregation={"acc": aggregation},
        metrics={"acc,none": {c: Measured(value=0.5, n=40) for c in ("baseline", "t1", "t2")}},
    )  # fmt: skip
    return SideEffects(
        lm_eval="0", asked=["q"], shown=["q"], limit=None, chat_template=False, tasks={"q": one}, capability=None
    )


@pytest.mark.parametrize(("lost", "won"), [(20, 5), (16, 5), (5, 16), (12, 8), (8, 12)])
def test_of_zeros_and_ones_the_decision_is_that_of_mcnemar(lost: int, won: int) -> None:
    n = 200
    rest = [1.0, 0.0] * n
    before, after = ([*x, *rest][:n] for x in ([1.0] * lost + [0.0] * won, [0.0] * lost + [1.0] * won))
    lines = [line(d, "baseline", x) for d, x in enumerate(before)] + [line(d, "t1", x) for d, x in enumerate(after)]
    aims = [condition for condition, _ in conditions(Control())]
    (delta,) = compared(bare(), lines, aims).tasks["q"].deltas
    significant = bool(stats.chi2.sf((lost - won) ** 2 / (lost + won), 1) < 0.05)
    assert delta.delta == pytest.approx((won - lost) / n) and delta.n == n and delta.p is not None
    assert (delta.p < 0.05) is significant and delta.ci is not None
    assert (delta.ci[0] * delta.ci[1] > 0) is significant


def test_what_does_not_vary_is_missing_or_has_no_mean_is_said() -> None:
    aims = [condition for condition, _ in conditions(Control())]
    lines = [line(d, c, 1.0) for d in range(5) for c in ("baseline", "t1")]
    (delta,) = compared(bare(), lines, aims).tasks["q"].deltas
    assert (delta.delta, delta.ci, delta.p) == (0.0, None, None) and "vary" in delta.reason
    (delta,) = compared(bare(), lines[:-1], aims).tasks["q"].deltas
    assert (delta.n, delta.missing) == (4, 1)
    (delta,) = compared(bare("f1_score"), lines, aims).tasks["q"].deltas
    assert delta.delta is None and delta.reason == "lm-eval's f1_score is no mean over documents"
    with pytest.raises(BadData, match="no line of q under t1; repeat"):
        compared(bare(), [x for x in lines if x.condition == "baseline"], aims)


def test_several_fits_are_drawn_at_random_in_the_interval() -> None:
    aims = [condition for condition, _ in conditions(Control())]
    rng = np.random.default_rng(3)
    lines = [line(d, "baseline", 0.5) for d in range(40)]
    lines += [line(d, "t1", float(x) + fit * 0.4, fit) for fit in range(3) for d, x in enumerate(rng.random(40) / 9)]
    found = compared(bare(), lines, aims)
    (delta,) = found.tasks["q"].deltas
    assert delta.covers == ["items", "fits"] and delta.n == 40
    (single,) = compared(bare(), [x for x in lines if not x.fit], aims).tasks["q"].deltas
    assert delta.se is not None and single.se is not None and delta.se > 3 * single.se


# Refused before anything is loaded


def refused(include: Path, *names: str, **more: Any) -> Any:
    return side_effects.loaded(names, [str(include)], None, more.get("pairs", conditions()), print)


def test_what_cannot_work_is_refused_by_name(
    folder: Path, made: dict[str, Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadData, match=r"lm-eval cannot load own_gone: .*needs its data set"):
        refused(folder, "own_gone")
    with pytest.raises(UnsupportedControl, match=r"own_text scores texts from their first word on.*hold messages"):
        refused(folder, "own_text", pairs=conditions(made["prompt"]))
    assert refused(folder, "own_text", pairs=conditions(made["edit"], made["adapter"])) is not None
    for backend in ("vllm", "endpoint", "scripted", "lm_eval"):
        with pytest.raises(UnsupportedControl, match=f"the backend {backend} cannot answer lm-eval's tasks.*: hf"):
            side_effects.check(("own_word",), None, backend)
    with pytest.raises(TraitbenchUsage, match="names a task twice"):
        side_effects.check(("own_word", "own_word"), None, "hf")
    with pytest.raises(TraitbenchUsage, match="none is named; add --side_effects traitbench_reasoning"):
        side_effects.check((), 5, "hf")
    import traitbench.backends.lm_eval.kinds as kinds

    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'traitbench\[lm-eval\]'"):
        side_effects.check(("own_word",), None, "hf")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("own_wrod", r"unknown task of lm-eval 'own_wrod'; did you mean 'own_word'\?"),
        ("traitbench_resoning", "did you mean 'traitbench_reasoning'"),
        ("xyzzy", "known: traitbench_reasoning and what `lm_eval ls tasks` prints"),
    ],
)
def test_a_task_that_does_not_exist_is_told_with_close_names(
    folder: Path, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without lm-eval's own thousands of tasks, whose list takes half a minute to read."""
    from traitbench.runs.side_effects import tasks

    index = tasks._index
    monkeypatch.setattr(tasks, "_index", lambda paths, stock: index(paths, False))
    with pytest.raises(UnknownName, match=told):
        refused(folder, "own_word", name)


@pytest.mark.slow
def test_stock_tasks_are_found_by_name(folder: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'hellaswag'"):
        refused(folder, "hellaswagg")


# The whole run


LINE = (
    "run --model {model} --method prompting --target extraversion=high --tasks mini_ipip --scoring statement --limit 4 "
    "--bootstrap_iters 20 -o runs"
)


def test_documents_that_did_not_change_are_no_proof() -> None:
    lines = [line(d, c, float(d % 2)) for c in ("baseline", "t1") for d in range(6)]
    found = compared(bare(), lines, [condition for condition, _ in conditions(Control())])
    (delta,) = found.tasks["q"].deltas
    assert (delta.delta, delta.ci, delta.p) == (0, None, None) and "no differences vary" in delta.reason
    assert found.capability is not None and (found.capability.value, found.capability.ci) == (0, None)
    few = [line(0, "baseline", 1.0), line(0, "t1", 0.0), line(1, "baseline", 1.0), line(1, "t1", 1.0)]
    wide = compared(bare(), few, [condition for condition, _ in conditions(Control())]).capability
    assert wide is not None and wide.value == -0.5 and wide.ci == (-1, 1)


@pytest.mark.parametrize(
    ("better", "largest", "aggregation", "cut"),
    [(True, 1.0, "mean", True), (True, 2.0, "mean", False), (None, 1.0, "mean", False), (False, 1.0, "mean", False),
     (True, 1.0, "perplexity", False)],
)  # fmt: skip
def test_no_interval_of_a_share_leaves_what_a_share_can_change_by(
    better: bool | None, largest: float, aggregation: str, cut: bool
) -> None:
    """Of two documents, of which one changed, t alone would say from -6 to 7."""
    lines = [line(0, "baseline", 0.0), line(0, "t1", 1.0), line(1, "baseline", largest), line(1, "t1", largest)]
    found = bare(aggregation)
    one = found.tasks["q"].model_copy(update={"higher_is_better": {"acc": better}})
    aims = [condition for condition, _ in conditions(Control())]
    (delta,) = compared(found.model_copy(update={"tasks": {"q": one}}), lines, aims).tasks["q"].deltas
    assert delta.delta == 0.5 and delta.ci is not None and delta.p is not None and delta.p > 0.05
    assert (delta.ci == (-1, 1)) is cut and (delta.ci[0] < -5 and delta.ci[1] > 6) is not cut


@pytest.fixture
def ran(say: Say, tiny: Tiny, folder: Path) -> Iterator[Results]:
    model = tiny("llama")
    found = say(f"{LINE.format(model=model)} --side_effects own_group,own_reply --include_path {folder}")
    assert found.code == 0, found.err
    assert "Damage and gain by target: lm-eval" in found.out and "bootstrapping" not in found.err
    yield Results.model_validate(said.results("*")).kept_at(max(said.folder("*").glob("results_*.json")))


def test_a_run_joins_them_to_its_results_and_score_needs_no_model(ran: Results, say: Say, tmp_path: Path) -> None:
    path = ran.path
    assert path is not None and ran.side_effects is not None
    for task in ("own_group", "own_choice", "own_shots", "own_reply"):
        for key in (task, f"{task}@extraversion=high"):
            assert ran.results[key]["alias"] == key
    assert {"acc,none", "acc_stderr,none"} <= {*ran.results["own_choice"]}
    again = rescore(path)
    assert again.side_effects == ran.side_effects and again.results == ran.results
    shown = [table for table in tables(again) if table.title.startswith("Damage and gain")]
    assert [row[:3] for row in shown[0].rows] == [
        ["extraversion=high", "own_group", "acc,none"], ["extraversion=high", "own_reply", "exact_match,none"],
    ]  # fmt: skip
    assert "Capability: accuracy changed by" in shown[0].notes[0]
    drawn = ran.figures()[-1]
    assert drawn.title.startswith("Damage by target") and "<svg" in drawn._repr_svg_()
    published = publish(path, tmp_path / "published")
    assert rescore(published).side_effects == ran.side_effects
    board = board_of({f"{published.parent.name}/{published.name}": rescore(published)})
    (entry,) = board.entries
    assert entry.capability == ran.side_effects.capability and entry.capability is not None
    (line,) = views_of(entry.kind).standings("statement", [entry])
    assert "capability" in [column.key for column in columns([line])]
    assert any("capability [95 %]" in t.columns for t in views_of(entry.kind).board(entry.task, "statement", [entry]))
    lines = path.with_name(f"side_effects_{path.stem.removeprefix('results_')}.jsonl")
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(BadData, match="is not the file that the results beside it were computed from"):
        rescore(path)


def test_lines_of_an_older_version_are_published_as_what_they_are_now(ran: Results, tmp_path: Path) -> None:
    """They had no checksum each, so that the copy has another sha256, which the results beside it hold."""
    assert ran.path and ran.side_effects
    here = tmp_path / ran.path.parent.name
    shutil.copytree(ran.path.parent, here)
    (source,) = here.glob("side_effects_*.jsonl")
    old = "".join(re.sub(r', "sum": "[0-9a-f]+"', "", line) for line in source.read_text("utf-8").splitlines(True))
    source.write_text(old, encoding="utf-8")
    held = read_json(here / ran.path.name)
    held["side_effects"]["sha256"] = hashlib.sha256(old.encode()).hexdigest()
    write_json(here / ran.path.name, sealed(held))
    published = publish(here / ran.path.name, tmp_path / "published")
    found = rescore(published).side_effects
    assert found and found.sha256 == read_json(published)["side_effects"]["sha256"] != held["side_effects"]["sha256"]
    assert found.model_copy(update={"sha256": ""}) == ran.side_effects.model_copy(update={"sha256": ""})


def test_side_effects_are_added_to_a_run_that_is_there(ran: Results, say: Say, tiny: Tiny, folder: Path) -> None:
    """The folder is the same, so that what was answered is not asked again."""
    before = (said.folder("*") / "responses.jsonl").read_bytes()
    model = tiny("llama")
    found = say(f"{LINE.format(model=model)} --side_effects own_reply --include_path {folder} --side_effects_limit 2")
    assert found.code == 0 and (said.folder("*") / "responses.jsonl").read_bytes() == before
    told = said.results("*")["side_effects"]
    assert told["limit"] == 2 and told["tasks"]["own_reply"]["metrics"]["exact_match,none"]["baseline"]["n"] == 2
    plain = say(f"run --model {model} --tasks mini_ipip --scoring statement --limit 4 --side_effects own_reply "
                f"--include_path {folder} -o plain")  # fmt: skip
    assert plain.code == 0 and "Without a control: lm-eval" in plain.out


def test_a_wrong_flag_costs_no_folder(say: Say, tiny: Tiny, folder: Path) -> None:
    found = say(f"{LINE.format(model='scripted:person')} --side_effects own_reply --include_path {folder}")
    assert found.code == 2 and "the backend scripted cannot answer lm-eval's tasks" in found.err
    found = say(f"{LINE.format(model=tiny('llama'))} --side_effects_limit 3")
    assert found.code == 2 and "none is named" in found.err
    assert not Path("runs").exists() or not list(Path("runs").glob("*/results*"))
    shutil.rmtree("runs", ignore_errors=True)


def test_results_of_before_have_none(tmp_path: Path) -> None:
    published = sorted(Path(__file__).resolve().parents[2].glob("results/published/*/results_*.json"))[0]
    assert Results.model_validate(read_json(published)).side_effects is None
