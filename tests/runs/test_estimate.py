"""The line before a run: what it says, and how near a count of a part comes to a count of all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quiet import Quiet

import traitbench
from traitbench.backends import BACKENDS, counting
from traitbench.backends.backend import Backend
from traitbench.backends.hf import HuggingFace
from traitbench.backends.scripted import Scripted
from traitbench.cli.commands import main
from traitbench.progress import Bar, Estimate, Pace
from traitbench.runs import estimate
from traitbench.runs.administer import key_of
from traitbench.runs.estimate import Counted, before_fits, counted, foresee
from traitbench.runs.evaluate import evaluate, workbench
from traitbench.runs.plan import Plan, Prepared
from traitbench.runs.prepare import prepare
from traitbench.types import Control

Tiny = Callable[..., Path]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))


def opened(**fields: Any) -> tuple[Prepared, Backend]:
    prepared = prepare(Plan.model_validate({"tasks": ("mini_ipip",), "device": "cpu", **fields}))
    return prepared, BACKENDS.load("hf").make(prepared.spec, prepared.plan.options())


def all_of(prepared: Prepared) -> list[Any]:
    return [request for asked in prepared.requests.values() for request in asked]


def numbers(found: Counted | None) -> list[float]:
    assert found is not None and found.usd is None
    return [found.scored, found.prompts, found.written]


FULL = Estimate(
    conditions=11, requests=5280, prompt=1.12e6, written=212_400, seconds=725.0, pace=Pace(1520.4, 35.2)
)  # fmt: skip


@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        (Estimate(2, 80), "2 conditions, 80 requests"),
        (Estimate(2, 80, held=80), "2 conditions, 80 requests, 80 already answered"),
        (FULL, "11 conditions, 5280 requests, about 1.1 M prompt tokens and at most 212 k to write; at most about "
               "12 min (measured at 1,520 tokens/s read and 35 tokens/s written on this model here)"),
        (FULL._replace(written=0, seconds=31.0, held=5000, prompt=47_123),
         "11 conditions, 5280 requests, 5000 already answered, about 47 k prompt tokens; about 31 s (measured at "
         "1,520 tokens/s on this model here)"),
        (FULL._replace(written=0, seconds=31.0, prompt=640, beyond=True),
         "11 conditions, 5280 requests, about 640 prompt tokens; about 31 s without lm-eval's tasks (measured at 1,520 "
         "tokens/s on this model here)"),
        (FULL._replace(pace=Pace(None, 2.34), seconds=90_000.0, prompt=999_900, more=True),
         "11 conditions, 5280 requests, about 1.0 M prompt tokens and at most 212 k to write, and what is asked about "
         "replies; at most about 25.0 h (measured at 2.3 tokens/s written on this model here)"),
        (FULL._replace(written=0, usd=0.239, seconds=None, prompt=640),
         "11 conditions, 5280 requests, about 640 prompt tokens, at most about $0.24; no pace is known here yet; an "
         "estimate follows after the first batches"),
        (FULL._replace(written=0, seconds=None, prompt=640, beyond=True),
         "11 conditions, 5280 requests, about 640 prompt tokens; no pace is known here yet; an estimate without "
         "lm-eval's tasks follows after the first batches"),
        (Estimate(2, 80, held=80, beyond=True),
         "2 conditions, 80 requests, 80 already answered, and lm-eval's tasks"),
        (Estimate(3, 80, fits=2), "2 fits first, whose time is not counted; then at least 3 conditions, 80 requests"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_known(ahead: Estimate, line: str) -> None:
    assert ahead.line() == line


PARTLY = {
    "method": "prompting", "target": "all", "tasks": ("mini_ipip",), "scoring": ("choice", "generate"),
    "respondents": 2,
}  # fmt: skip


def cached(backend: Any, requests: Any, control: Control) -> Any:
    """Count as the backend vllm does on a GPU, from the same prompts."""
    return counting.cached(backend.renderer, requests, control, 16)


@pytest.mark.parametrize(("work", "within"), [(HuggingFace.work, 0.125), (cached, 0.25)])
def test_a_part_tells_the_whole(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, work: Any, within: float) -> None:
    """Within what docs/quick-start.md promises: for hf a part can be off by an eighth, for vLLM by a quarter."""
    prepared, backend = opened(model=str(tiny("llama")), **PARTLY)
    requests = all_of(prepared)
    ahead = [(control, requests[: len(requests) // (1 + (n == 1))])
             for n, (_, control) in enumerate(prepared.conditions)]  # fmt: skip
    monkeypatch.setattr(HuggingFace, "work", work)
    monkeypatch.setattr(estimate, "_EXACT", 10**9)
    exact = numbers(counted(backend, ahead))
    calls = 0

    def seen(self: Any, part: Any, control: Any) -> Any:
        nonlocal calls
        calls += len(part)
        return work(self, part, control)

    monkeypatch.setattr(HuggingFace, "work", seen)
    monkeypatch.setattr(estimate, "_EXACT", 0)
    monkeypatch.setattr(estimate, "_CONTROLS", 4)
    monkeypatch.setattr(estimate, "_LONG", 60)
    part = numbers(counted(backend, ahead))
    assert calls < sum(len(asked) for _, asked in ahead) / 3
    assert part == pytest.approx(exact, rel=within) and part[2] == exact[2]


def test_a_small_plan_is_counted_whole(tiny: Tiny) -> None:
    prepared, backend = opened(model=str(tiny("llama")), limit=3)
    requests, (_, control) = all_of(prepared), prepared.conditions[0]
    work = backend.work(requests, control)
    assert work is not None and numbers(counted(backend, [(control, requests)])) == [work.shared + work.own, 0, 0]


def test_what_is_answered_or_asked_twice_is_not_counted(tiny: Tiny) -> None:
    prepared, backend = opened(model=str(tiny("llama")), limit=4, method="prompting", target="extraversion=high")
    requests = all_of(prepared)
    keys = [key_of(backend, control, r) for _, control in prepared.conditions for r in requests]
    whole, half = (foresee(prepared, backend, requests, keys, held).estimate for held in ((), keys[: len(requests)]))
    (_, control) = prepared.conditions[1]
    assert half.held == len(requests) and half.prompt == counted(backend, [(control, requests)]).scored  # type: ignore[union-attr]
    assert whole.prompt is not None and half.prompt is not None and whole.prompt > half.prompt
    twice = prepared.model_copy(update={"conditions": [*prepared.conditions, prepared.conditions[1]]})
    again = foresee(twice, backend, requests, [*keys, *keys[len(requests) :]], ()).estimate
    assert (again.conditions, again.requests, again.prompt) == (3, 3 * len(requests), whole.prompt)
    assert foresee(prepared, backend, requests, keys, set(keys)).estimate == Estimate(2, len(keys), len(keys))


def run(model: Path, to: Path, **fields: Any) -> None:
    traitbench.evaluate(
        model=str(model), tasks="mini_ipip", limit=8, device="cpu", method="prompting", target="extraversion=high",
        output_path=str(to), bootstrap_iters=20, **fields,
    )  # fmt: skip


def test_a_second_run_says_minutes_and_a_finished_one_nothing(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny("llama")
    run(model, tmp_path / "first")
    said = capsys.readouterr().err
    assert re.search(r"^2 conditions, 48 requests, about \S+( k)? prompt tokens; no pace is known here yet", said, re.M)
    run(model, tmp_path / "second")
    said = capsys.readouterr().err
    assert re.search(r"prompt tokens; about \d+ s \(measured at [\d,]+ tokens/s on this model here\)$", said, re.M)
    before = (tmp_path / "cache" / "paces" / "paces.json").read_bytes()
    run(model, tmp_path / "second")
    assert "2 conditions, 48 requests, 48 already answered\n" in capsys.readouterr().err
    assert (tmp_path / "cache" / "paces" / "paces.json").read_bytes() == before


def test_a_scripted_respondent_has_no_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    traitbench.evaluate(model="scripted:person", tasks="mini_ipip", output_path=str(tmp_path), bootstrap_iters=20)
    assert "1 condition, 60 requests\n" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "paces").exists()


def test_a_fit_to_come_is_said_first(tiny: Tiny, tmp_path: Path) -> None:
    plan = Plan.model_validate({
        "model": str(tiny("llama")), "method": "residual", "method_args": {"layer": 1, "strength": 2.0},
        "device": "cpu", "target": "extraversion=high", "tasks": ("mini_ipip",), "limit": 4, "coefs": (4,),
        "scoring": ("statement",), "output_path": str(tmp_path), "bootstrap_iters": 20,
    })  # fmt: skip
    said: list[str] = []
    evaluate(plan, Quiet(), said.append)
    first = "1 fit first, whose time is not counted; then at least 3 conditions, 12 requests, about"
    assert [line for line in said if "fit first" in line] == [line for line in said if line.startswith(first)] != []
    said.clear()
    evaluate(plan.model_copy(update={"limit": 5}), Quiet(), said.append)
    assert not [line for line in said if "fit first" in line]


def test_conditions_before_fits_are_counted_once_and_as_the_baseline(tiny: Tiny) -> None:
    prepared, backend = opened(model=str(tiny("llama")), limit=4, scoring=("choice", "generate"))
    baseline = (Control(), all_of(prepared))
    found = counted(backend, [baseline])
    assert found is not None and numbers(counted(backend, [baseline] * 5)) == numbers(found.times(5))
    priced = Counted(10.0, 20.0, 3, 0.5, {1: 2.0})
    assert priced.times(4) == Counted(40.0, 80.0, 12, 2.0, {1: 2.0})


def test_the_bar_keeps_its_promise_and_says_nothing_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("traitbench.progress.time.monotonic", lambda: clock[0])
    for ahead, expected in (
        (Estimate(1, 100, prompt=1e4), "about 50 s in all"), (Estimate(1, 100), None),
        (Estimate(1, 100, prompt=1e4, seconds=400.0, pace=Pace(25.0)), None),
    ):  # fmt: skip
        with Bar() as bar:
            bar.plan(ahead)
            # Until the first condition begins an engine may start, which is no part of answering.
            clock[0] += 300
            bar.condition("baseline")
            clock[0] += 5
            bar.done(10)
        said = capsys.readouterr().err
        assert ("in all" in said) == (expected is not None) and (expected or "") in said
        assert said.count("safe to stop") == (ahead.prompt is not None)


@pytest.mark.parametrize("beyond", [True, False])
def test_every_time_that_is_told_says_whether_lm_evals_tasks_are_in_it(
    beyond: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("traitbench.progress.time.monotonic", lambda: clock[0])
    for ahead in (Estimate(1, 100, prompt=1e4, beyond=beyond),
                  Estimate(1, 100, prompt=1e4, seconds=400.0, pace=Pace(25.0), beyond=beyond)):  # fmt: skip
        with Bar() as bar:
            bar.plan(ahead)
            bar.condition("baseline")
            for seconds in (5, 70):
                clock[0] += seconds
                bar.done(10)
        times = [part for part in capsys.readouterr().err.replace("\n", ";").split(";") if "about" in part]
        times = [part for part in times if "prompt tokens" not in part]
        assert len(times) == 2 and all(("without lm-eval's tasks" in part) == beyond for part in times), times


def test_side_effects_are_in_what_is_ahead_though_no_pace_is_known(tiny: Tiny, tmp_path: Path) -> None:
    prepared, backend = opened(
        model=str(tiny("llama")), method="residual", target="extraversion=high", limit=4, scoring=("statement",),
        side_effects=("traitbench_reasoning",), output_path=str(tmp_path),
    )  # fmt: skip
    asked = all_of(prepared)
    keys = [str(n) for n in range(len(asked))]
    for held in ((), keys):
        found = foresee(prepared, backend, asked, keys, held).estimate
        assert found.beyond and found.seconds is None and "lm-eval's tasks" in found.line()
    fits = before_fits(prepared, backend, workbench(prepared.plan, backend, lambda line: None, Quiet().begin))
    assert fits and fits.startswith("1 fit first") and "an estimate without lm-eval's tasks follows" in fits


def test_a_bar_counts_each_run_for_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As of several baselines under one check: neither counts nor the clock go over to the next run."""
    clock = [0.0]
    monkeypatch.setattr("traitbench.progress.time.monotonic", lambda: clock[0])
    with Bar() as bar:
        for requests, held in ((1000, 0), (180, 20)):
            bar.plan(Estimate(1, requests, held=held, prompt=1e4))
            clock[0] += 300
            bar.condition("baseline")
            clock[0] += 80
            bar.done(40)
            assert "baseline: 40 of" in capsys.readouterr().err
            bar.done(requests - held - 40)
        (task,) = bar._bar.tasks
        assert (task.completed, task.total) == (180, 180)
        clock[0] += 70
        bar.done(0)
    assert "baseline: 160 of 160 answered, " in capsys.readouterr().err


def test_a_backend_is_started_where_something_is_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(Scripted, "start", lambda self, tell: started.append(self.name))
    for times in (1, 1):
        line = f"run --model scripted:uniform --tasks mini_ipip --limit 3 --bootstrap_iters 20 -o {tmp_path}"
        assert main(line.split()) == 0 and len(started) == times
