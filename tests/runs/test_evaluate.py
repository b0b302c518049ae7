"""evaluate(plan) end to end with scripted respondents: resuming, rescoring, refusing, and which contrasts there are."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from blocks import modes
from result_files import held, resealed, rewrite

from traitbench import inventories
from traitbench.errors import BadData, TraitbenchUsage, UnknownName, UnsupportedControl
from traitbench.progress import Estimate
from traitbench.runs.aims import targets
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import current, rescore
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import make_method, prepare
from traitbench.runs.results import Results
from traitbench.store import read_json, write_json
from traitbench.tasks.task import Task
from traitbench.types import BIG_FIVE, DARK_TRIAD

ALL_MODES = ("choice", "statement", "generate")


class Watcher:
    """Counts, and stops the run after `limit` batches."""

    def __init__(self, limit: int | None = None) -> None:
        self.batches, self.limit, self.planned = 0, limit, (0, 0, 0)

    def plan(self, ahead: Estimate) -> None:
        self.planned = (ahead.conditions, ahead.requests, ahead.held)

    def condition(self, name: str) -> None: ...

    def begin(self, what: str, total: int) -> Any: ...

    def done(self, requests: int) -> None:
        self.batches += 1
        if self.batches == self.limit:
            raise KeyboardInterrupt


def plan(folder: Path, **changes: Any) -> Plan:
    return Plan.model_validate({
        "model": "scripted:person", "model_args": {"obedience": 0.2, "noise": 0.1}, "tasks": ("mini_ipip",),
        "output_path": str(folder), "bootstrap_iters": 50, **changes,
    })  # fmt: skip


def run(folder: Path, watcher: Watcher | None = None, **changes: Any) -> tuple[Results, Path]:
    return evaluate(plan(folder, **changes), watcher or Watcher(), lambda line: None)


def comparable(path: Path) -> dict[str, Any]:
    ours = held(path)
    for changing in ("date", "total_evaluation_time_seconds", "cost"):
        del ours[changing]
    return ours


def samples(path: Path) -> bytes:
    return next(path.parent.glob(f"samples_*_{path.stem.removeprefix('results_')}.jsonl")).read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_a_stopped_run_goes_on_as_if_undisturbed(tmp_path: Path, seed: int) -> None:
    changes = {"method": "prompting", "tasks": ("ipip_50",), "limit": 25, "templates": 2}
    whole = Watcher()
    _, undisturbed = run(tmp_path / "whole", whole, **changes)
    stopped = Watcher(random.Random(seed).randint(1, whole.batches - 1))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stopped, **changes)
    (journal,) = (tmp_path / "cut").rglob("responses.jsonl")
    kept = journal.read_bytes().count(b"\n")
    rest = Watcher()
    _, resumed = run(tmp_path / "cut", rest, **changes)
    assert whole.batches == stopped.batches + rest.batches and rest.planned[2] == kept > 0 == whole.planned[2]
    assert comparable(resumed) == comparable(undisturbed) and samples(resumed) == samples(undisturbed)


KILLED = """
import os, signal, sys
from traitbench.runs.evaluate import evaluate
from traitbench.runs.plan import Plan
class Deadly:
    left = int(sys.argv[2])
    def plan(self, ahead): pass
    def condition(self, name): pass
    def begin(self, what, total): pass
    def done(self, requests):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
evaluate(Plan.model_validate_json(sys.argv[1]), Deadly(), print)
"""


def test_a_killed_run_goes_on_even_with_half_a_line(tmp_path: Path) -> None:
    made = plan(tmp_path / "cut", method="prompting", limit=10)
    killed = subprocess.run([sys.executable, "-c", KILLED, made.model_dump_json(), "4"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    journal = next((tmp_path / "cut").rglob("responses.jsonl"))
    assert not list(journal.parent.glob("results_*"))
    journal.write_bytes(journal.read_bytes()[:-25])
    watcher = Watcher()
    _, resumed = evaluate(made, watcher, lambda line: None)
    assert watcher.planned == (11, 330, 4 * 30 - 1)
    _, undisturbed = run(tmp_path / "whole", method="prompting", limit=10)
    assert comparable(resumed) == comparable(undisturbed) and samples(resumed) == samples(undisturbed)


def test_a_finished_run_asks_nothing_and_no_resume_asks_all(tmp_path: Path) -> None:
    first, again, fresh = Watcher(), Watcher(), Watcher()
    _, before = run(tmp_path, first)
    _, after = run(tmp_path, again)
    assert first.planned == (1, 60, 0) and again.planned == (1, 60, 60) and again.batches == 0
    assert comparable(before) == comparable(after)
    run(tmp_path, fresh, no_resume=True)
    assert fresh.planned == (1, 60, 0) and len(list(before.parent.glob("responses*.jsonl"))) == 2


def test_other_parameters_are_asked_anew(tmp_path: Path) -> None:
    """What decides an answer is in its key: the respondent, the control, the request."""
    run(tmp_path)
    for changes in ({"seed": 1}, {"model_args": {"noise": 0.2}}):
        watcher = Watcher()
        run(tmp_path, watcher, **changes)
        assert watcher.planned == (1, 60, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"scoring": ALL_MODES, "gen_kwargs": {"temperature": 1.0, "max_tokens": 8}, "repeats": 3},
        {"scoring": ALL_MODES, "respondents": 2, "templates": 2, "symbols": ("letters", "numbers")},
        {"method": "prompting", "scoring": ALL_MODES, "model_args": {"refusals": 0.3, "obedience": 0.2}},
        {"method": "prompting", "tasks": ("mini_ipip", "ipip_50"), "limit": 7, "target": "openness=0.4"},
        {"model": "scripted:uniform", "model_args": {}, "orders": ("reverse",)},
    ],
)
def test_rescoring_from_the_samples_gives_the_results(tmp_path: Path, changes: dict[str, Any]) -> None:
    results, path = run(tmp_path, **changes)
    assert current(path.parent, print) == [path] and rescore(path) == results
    assert Results.model_validate(read_json(path)) == results


def test_rescoring_does_not_believe_stored_values(tmp_path: Path) -> None:
    """Values and, of written replies, the status are there for reading; only what the model said counts."""
    results, path = run(tmp_path, scoring=("choice", "generate"))
    file = next(path.parent.glob("samples_*.jsonl"))
    choice, written = file.read_text()[:-1].split("\n")[:40], file.read_text()[:-1].split("\n")[40:]
    changed = [line.replace('"value_raw":', '"value_raw":9').replace('_mass":', '_mass":9') for line in choice]
    changed += [line.replace('"status":"valid"', '"status":"refusal"') for line in written]
    assert not set(changed) & {*choice, *written}
    file.write_text(resealed("\n".join(changed)))
    with pytest.raises(BadData, match="was changed or swapped"):
        rescore(path)
    older = held(path)
    del older["samples_sha256"]
    rewrite(path, older)
    with pytest.raises(BadData, match="lacks the sha256 of the samples of mini_ipip"):
        rescore(path)
    write_json(path, {**older, "schema_version": 3})
    assert rescore(path).model_copy(update={"samples_sha256": results.samples_sha256}) == results


def test_rescoring_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"holds no results_\*\.json"):
        current(tmp_path, print)
    _, path = run(tmp_path)
    next(path.parent.glob("samples_*.jsonl")).unlink()
    with pytest.raises(BadData, match="lacks samples_mini_ipip"):
        rescore(path)
    path.write_text('{"results": {}}')
    with pytest.raises(BadData, match="no results file of this version"):
        rescore(path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"backend": "hf"}, UnsupportedControl, "backend hf cannot run .*--backend scripted"),
        ({"target": "extraversion=high"}, UnsupportedControl, "method none takes no target"),
        ({"method": "prompting", "method_args": {"style": "p2"}, "target": "extraversion=0.3"}, UnsupportedControl,
         "cannot aim at extraversion=0.3; it takes poles, several"),
        ({"method": "prompting", "method_args": {"style": "person"}, "target": "openness=low"}, UnsupportedControl,
         "cannot aim at openness=low"),
        ({"method": "prompting", "method_args": {"style": "neutral"}, "target": "openness=low"}, UnsupportedControl,
         "takes no target"),
        ({"method": "prompting", "target": "extroversion=high"}, UnknownName, "did you mean 'extraversion'"),
        ({"method": "prompting", "target": "extraversion=hihg"}, UnknownName, "expected high, low or a number"),
        ({"method": "prompting", "method_args": {"stile": "p2"}}, UnknownName, "'stile'; did you mean 'style'"),
        ({"method": "prompting", "method_args": {"style": "p3"}}, TraitbenchUsage, "--method_args of prompting: style"),
        ({"gen_kwargs": {"temprature": 1}}, UnknownName, "'temprature'; did you mean 'temperature'"),
        ({"gen_kwargs": {"temperature": -1}}, TraitbenchUsage, "--gen_kwargs temperature = -1"),
        ({"gen_kwargs": {"max_gen_toks": 0}}, TraitbenchUsage, "--gen_kwargs max_tokens = 0"),
        ({"method": "promting"}, UnknownName, "did you mean 'prompting'"),
        ({"tasks": ("mini_ipp",)}, UnknownName, "did you mean 'mini_ipip'"),
        ({"tasks": ("mini_ipip", "mini-ipip")}, UnknownName, "names a task twice"),
        ({"templates": 9}, TraitbenchUsage, "--templates = 9"),
        ({"model": "llama4x"}, UnknownName, "unknown model 'llama4x'"),
    ],
)  # fmt: skip
def test_refused_before_anything_is_made(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_wrong_model_args(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'obediance'; did you mean 'obedience'"):
        run(tmp_path, model_args={"obediance": 0.2})


def contrasts(results: Results, mode: Any = "choice", task: str = "mini_ipip") -> list[Any]:
    return list(modes(results, task)[mode].scorecard.contrasts)


def test_no_method_is_the_baseline_alone(tmp_path: Path) -> None:
    results, _ = run(tmp_path)
    assert [c.name for c in results.conditions] == ["baseline"] and contrasts(results) == []
    assert set(results.results) == {"mini_ipip"}
    assert all(s.value is None for s in modes(results)["statement"].scores["baseline"])


def test_every_pole_by_default(tmp_path: Path) -> None:
    results, _ = run(tmp_path, method="prompting", scoring=("choice",))
    assert [c.name for c in results.conditions] == [
        "baseline",
        *(f"{t}={p}" for t in BIG_FIVE for p in ("high", "low")),
    ]
    assert [(c.target, c.high, c.low) for c in contrasts(results)] == [(t, f"{t}=high", f"{t}=low") for t in BIG_FIVE]


@pytest.mark.parametrize(("pole", "sign"), [("high", 1), ("low", -1), ("0.5", 0.5)])
def test_one_pole_is_compared_with_the_baseline(tmp_path: Path, pole: str, sign: float) -> None:
    args = {"method": "prompting", "target": f"agreeableness={pole}", "model_args": {"obedience": 0.2}}
    results, _ = run(tmp_path, **args)
    for mode, size in (("choice", 0.8), ("statement", 0.2)):
        (contrast,) = contrasts(results, mode)
        assert (contrast.target, contrast.low) == (f"agreeableness={pole}", "baseline")
        assert contrast.effect.trait == "agreeableness" and contrast.check == "ok"
        assert contrast.effect.value == pytest.approx(sign * size, abs=1e-6)


def test_several_traits_at_once(tmp_path: Path) -> None:
    args = {"method": "prompting", "target": "extraversion=high,neuroticism=low", "model_args": {"obedience": 0.2}}
    found = contrasts(run(tmp_path, **args)[0])
    assert [c.target for c in found] == [f"{args['target']}: {trait}" for trait in ("extraversion", "neuroticism")]
    for contrast, (trait, sign) in zip(found, {"extraversion": 1.0, "neuroticism": -1.0}.items(), strict=True):
        assert contrast.aimed == {trait: sign} and (contrast.high, contrast.low) == (args["target"], "baseline")
        moved = {s.trait: s.value for s in contrast.shifts}
        expected = dict.fromkeys(BIG_FIVE, 0.0) | {"extraversion": 0.8, "neuroticism": -0.8}
        assert moved == pytest.approx(expected, abs=1e-6)
        assert contrast.effect and contrast.effect.value == pytest.approx(0.8 * sign, abs=1e-6)
        assert contrast.leakage == pytest.approx(0, abs=1e-6)


def test_a_style_without_a_target_is_one_condition(tmp_path: Path) -> None:
    results, path = run(tmp_path, method="prompting", method_args={"style": "neutral"})
    assert [c.name for c in results.conditions] == ["baseline", "neutral"]
    (contrast,) = contrasts(results)
    assert contrast.aimed == {} and contrast.effect is None and contrast.leakage == pytest.approx(0, abs=1e-6)
    assert path.parent.name.startswith("scripted__person@prompting,style=neutral+")


def test_the_short_dark_triad(tmp_path: Path, shared: Path) -> None:
    """Its texts are restricted; its score needs none, and M has no minus-keyed item."""
    args = {"tasks": ("sd3",), "method": "prompting", "model_args": {"obedience": 0.2}}
    results, path = run(tmp_path, **args)
    found = contrasts(results, task="sd3")
    assert [c.target for c in found] == list(DARK_TRIAD)
    assert [c.effect.value for c in found] == pytest.approx([1.6] * 3, abs=1e-6)
    machiavellianism, narcissism, psychopathy = found
    assert machiavellianism.effect.minus is None and "one key only" in machiavellianism.reasons[0]
    assert narcissism.check == psychopathy.check == "ok"
    assert rescore(path) == results


def test_limits_are_told(tmp_path: Path) -> None:
    results, _ = run(tmp_path, limit=4)
    assert results.n_samples == {"mini_ipip": {"original": 20, "effective": 4}}
    assert any("--limit 4" in line for line in results.warnings)
    made = prepare(plan(tmp_path, limit=4))
    assert made.tasks[0].traits == ("conscientiousness", "extraversion", "agreeableness", "neuroticism")


def test_write_out_shows_each_kind_once(tmp_path: Path) -> None:
    told: list[str] = []
    evaluate(plan(tmp_path, write_out=True, method="prompting", target="openness=high"), Watcher(), told.append)
    assert [line.split(":")[0] for line in told] == ["--- baseline"] * 3 + ["--- openness=high"] * 3
    assert "extremely" not in told[0] and "extremely" in told[3]


def test_samples_cut_at_the_end_of_a_line_are_noticed(tmp_path: Path) -> None:
    _, path = run(tmp_path)
    source = next(path.parent.glob("samples_*.jsonl"))
    source.write_bytes(b"".join(source.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(BadData, match="the copy is incomplete"):
        rescore(path)


def test_an_inventory_whose_file_has_another_name_is_found_again(tmp_path: Path) -> None:
    source = Path(inventories.__file__).with_name("mini_ipip.json").read_text(encoding="utf-8")
    own = tmp_path / "good.json"
    own.write_text(source.replace('"mini_ipip"', '"mine"', 1), encoding="utf-8")
    results, path = run(tmp_path, tasks=[str(own)])
    assert list(results.versions) == ["mine"] and rescore(path) == results


def test_a_target_that_no_task_measures_is_told(tmp_path: Path) -> None:
    results, _ = run(tmp_path, method="prompting", target="psychopathy=high")
    assert any("no task measures psychopathy" in warning for warning in results.warnings)
    assert all(c.effect is None and c.leakage is not None for c in contrasts(results))


def test_only_a_target_that_names_persons_or_characters_brings_their_task() -> None:
    asked = {"person:papi:2": "person_alignment", "character:mina": "persona_consistency"}
    asked |= {"characters": "persona_consistency", "personality=high": "ipip_neo_120", "all": "ipip_neo_120"}
    assert {target: Plan.model_validate({"target": target}).tasks[0] for target in asked} == asked
    with pytest.raises(UnknownName, match="trait 'personality'"):
        prepare(Plan.model_validate({"model": "scripted:person", "method": "prompting", "target": "personality=high"}))


def test_a_control_without_a_trait_to_aim_at_is_refused() -> None:
    plan = {"model": "scripted:person", "method": "prompting"}
    with pytest.raises(TraitbenchUsage, match=r"measures no trait, so there is nothing to aim at; name a target"):
        targets(None, make_method("prompting", {})[0], [Empty()])
    assert prepare(Plan.model_validate({**plan, "tasks": ("mini_ipip",)})).targets


class Empty(Task):
    """A task that measures no trait."""

    id = "empty"
    items = ()

    def requests(self, seed: int) -> list[Any]:
        return []

    def grade(self, sample: Any) -> Any:
        raise AssertionError

    def summarise(self, facts: Any, samples: Any) -> Any:
        raise AssertionError


def test_a_changed_answer_is_set_aside_said_and_asked_again(tmp_path: Path) -> None:
    first, _ = evaluate(plan(tmp_path, method="prompting", limit=10), Watcher(), lambda line: None)
    journal = next(tmp_path.rglob("responses.jsonl"))
    lines = journal.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace("-", "-1", 1)
    journal.write_text("".join(lines))
    told: list[str] = []
    again, _ = evaluate(plan(tmp_path, method="prompting", limit=10), Watcher(), told.append)
    assert any("line 5 was damaged" in line and "asked again" in line for line in told)
    assert again.results == first.results and len(journal.read_text().splitlines()) == len(lines)
    assert journal.with_suffix(".damaged.jsonl").read_text() == lines[4]


def test_numbers_that_are_not_finite_are_refused_with_their_condition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of half precision that overflows, from the second condition on; what was kept before is read again."""
    from traitbench.backends.scripted import Scripted

    answer = Scripted._answer

    def overflown(self: Scripted, request: Any) -> Any:
        found, told = answer(self, request), self._control is not None and self._control.messages
        return found.model_copy(update={"option_logprobs": (float("nan"),) * 5}) if told else found

    made = plan(tmp_path / "cut", method="prompting", target="extraversion=low", limit=10, scoring=("choice",))
    whole, _ = evaluate(made.model_copy(update={"output_path": str(tmp_path / "whole")}), Watcher(), lambda line: None)
    monkeypatch.setattr(Scripted, "_answer", overflown)
    with pytest.raises(BadData, match=r"extraversion=low: the model answers with nan .*dtype=float32"):
        evaluate(made, Watcher(), lambda line: None)
    kept = next((tmp_path / "cut").rglob("responses.jsonl")).read_text()
    assert kept.count("\n") == 20 and "NaN" not in kept
    monkeypatch.setattr(Scripted, "_answer", answer)
    assert evaluate(made, Watcher(), lambda line: None)[0].results == whole.results
