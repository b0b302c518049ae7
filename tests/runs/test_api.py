"""The public names, and what notebooks call: evaluate, fit, load_results and the data frames."""

from __future__ import annotations

import ast
import json
import math
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
import transformers
from result_files import held, rewrite
from tiny_models import CONFIGS, tokenizer

import traitbench
from traitbench import (
    BadData,
    Block,
    Choose,
    Control,
    Doc,
    Facts,
    Fit,
    Grade,
    Message,
    Method,
    Plan,
    Record,
    Results,
    Sample,
    Target,
    Task,
    TraitbenchUsage,
    UnknownName,
    UnsupportedControl,
    evaluate,
    fit,
    load_leaderboard,
    load_results,
)
from traitbench.cli.commands import main
from traitbench.methods.prompting import Prompting
from traitbench.runs.finished import rescore
from traitbench.runs.flags import plan_of
from traitbench.runs.frames import (
    EFFECTS,
    ENTRIES,
    SAMPLES,
    SCORES,
    effect_frame,
    entry_frame,
    sample_frame,
    score_frame,
)
from traitbench.runs.publish import publish
from traitbench.store import write_json

ROOT = Path(__file__).resolve().parents[2]
PERSON: dict[str, Any] = {
    "model": "scripted:person", "model_args": {"obedience": 0.2, "noise": 0.1}, "tasks": "mini_ipip",
    "bootstrap_iters": 20,
}  # fmt: skip


class Shout(Method):
    """A method of one's own: in capitals, as loud as it is told."""

    name = "shout"
    makes = frozenset({"prompt"})
    targets = frozenset({"poles"})

    class Config(Record):
        marks: int = 1

    def fit(self, target: Target | None, bench: Any) -> Control:
        assert target is not None
        ((trait, level),) = target.levels.items()
        text = f"YOUR {trait.upper()} IS {'HIGH' if level > 0 else 'LOW'}{'!' * self.config.marks}"
        return Control(messages=(Message(role="system", content=text),), target=target)


class Mute(Method):
    """Half a method: it says what it makes, and makes nothing."""

    name, makes, targets = "mute", frozenset({"prompt"}), frozenset({"poles"})


class Heard(Shout):
    """The same, fitted on the model: it counts how often."""

    name = "heard"
    needs_model = True
    fits = 0

    def fit(self, target: Target | None, bench: Any) -> Control:
        type(self).fits += 1
        made = super().fit(target, bench)
        told = Fit(method=self.name, version=self.version, target=target.name if target else None, strength=None)
        return made.model_copy(update={"fit": told})


class Question(Record):
    id: str
    number: int
    text: str
    text_hash: str


class Coins(Task):
    """A task of one's own: which of two sides is likelier, three times."""

    id = "coins"

    def __init__(self, administration: Any = None) -> None:
        self.items = tuple(Question(id=f"c{n}", number=n, text=f"Toss {n}?", text_hash=f"h{n}") for n in (1, 2, 3))
        self.original = 3

    def requests(self, seed: int) -> list[Any]:
        return [
            Choose(
                doc=Doc(task=self.id, scoring="choice", item=i.id, trait="luck", facet=None, keyed=1, order="forward"),
                messages=(Message(role="user", content=i.text),), options=(("A",), ("B",)), values=(1, 2),
            )
            for i in self.items
        ]  # fmt: skip

    def grade(self, sample: Sample) -> Grade:
        odds = [math.exp(x) for x in sample.option_logprobs or ()]
        return Grade(status="valid", value_raw=odds[0] / sum(odds), option_mass=sum(odds))

    @classmethod
    def block(cls) -> type[Block]:
        return CoinsBlock

    def summarise(self, facts: Facts, samples: Any) -> Block:
        held: dict[str, list[float]] = {}
        for sample in samples:
            held.setdefault(sample.condition, []).append(sample.value_raw)
        return CoinsBlock(heads={name: sum(values) / len(values) for name, values in held.items()})


class CoinsBlock(Block):
    kind: str = "coins"
    heads: dict[str, float]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        return {name: {"heads,choice": value, "heads_stderr,choice": 0.25} for name, value in self.heads.items()}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where runs go to results/runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def results() -> Results:
    """Prompting for both poles of one trait, with all three ways of asking."""
    return evaluate(**PERSON, method="prompting", scoring=("choice", "statement", "generate"))


def lasting(results: Results) -> dict[str, Any]:
    changing = {"date", "total_evaluation_time_seconds", "cost"}
    return results.model_dump(mode="json", by_alias=True, exclude=changing)


# --- names -----------------------------------------------------------------------------------------------------------


def test_public_names_are_the_same_to_python_and_to_type_checkers() -> None:
    tree = ast.parse(Path(traitbench.__file__).read_text())
    (block,) = [n for n in tree.body if isinstance(n, ast.If)]
    seen = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == traitbench._PLACES
    assert sorted(traitbench.__all__) == sorted(seen) and len(set(traitbench.__all__)) == len(traitbench.__all__)


@pytest.mark.parametrize("name", traitbench.__all__)
def test_a_public_name_is_what_its_module_holds_and_makes_public(name: str) -> None:
    module = import_module(traitbench._PLACES[name])
    assert getattr(traitbench, name) is getattr(module, name)
    assert name in module.__all__ and name in dir(traitbench)


def test_no_public_name_can_be_hidden_by_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(traitbench.__path__)}
    assert len(modules) > 15 and not modules & set(traitbench.__all__)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        traitbench.evalute  # noqa: B018
    with pytest.raises(ImportError):
        exec("from traitbench import nothing_of_that_name")


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        ("import traitbench; dir(traitbench); traitbench.__all__",
         ("pydantic", "torch", "pandas", "numpy", "yaml", "rich", "transformers", "scipy")),
        ("from traitbench import TraitbenchError, UnknownName", ("pydantic", "torch", "pandas", "numpy")),
        ("from traitbench import *", ("torch", "transformers", "pandas", "pyarrow")),
    ],
)  # fmt: skip
def test_an_import_brings_nothing_heavy(line: str, heavy: tuple[str, ...]) -> None:
    program = f"{line}\nimport sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- evaluate --------------------------------------------------------------------------------------------------------


def test_evaluate_gives_what_the_command_gives(
    results: Results, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "run -M scripted:person -a obedience=0.2,noise=0.1 -t mini_ipip --bootstrap_iters 20 -m prompting"
    assert main([*line.split(), "--scoring", "choice,statement,generate", "--format", "json", "-o", "command"]) == 0
    theirs = Results.model_validate_json(capsys.readouterr().out)
    assert lasting(theirs) == lasting(results)
    assert results.path is not None and [p.name for p in (here / "command").glob("scripted*")] == [
        results.path.parent.name
    ]
    assert held(results.path) == results.model_dump(mode="json", by_alias=True), "the path is not in the file"


def test_a_plan_is_as_good_as_its_flags(results: Results, here: Path) -> None:
    plan = Plan.model_validate({
        **PERSON, "tasks": ("mini_ipip",), "method": "prompting", "scoring": ("choice", "statement", "generate"),
    })  # fmt: skip
    again = evaluate(plan)
    assert again.path is not None and results.path is not None and again.path.parent == results.path.parent
    assert lasting(again) == lasting(results)
    with pytest.raises(TraitbenchUsage, match="a plan was given, and limit beside it"):
        evaluate(plan, limit=3)


@pytest.mark.parametrize(
    ("flags", "kind", "told"),
    [
        ({"scorin": "choice"}, UnknownName, "unknown flag 'scorin'; did you mean 'scoring'?"),
        ({"scoring": "choise"}, UnknownName, "unknown value of scoring 'choise'; did you mean 'choice'?"),
        ({"tasks": "mini_ipp"}, UnknownName, "did you mean 'mini_ipip'?"),
        ({"tasks": []}, TraitbenchUsage, "tasks is empty; name at least one"),
        ({"tasks": Task}, TraitbenchUsage, "the task Task has no grade and no requests and no summarise; see"),
        ({"method": Mute}, TraitbenchUsage, "the method Mute has no fit; see traitbench.Method"),
        ({"tasks": 3}, TraitbenchUsage, "tasks: 3: expected a name, or a class or an object of traitbench.Task"),
        ({"method": "promting"}, UnknownName, "did you mean 'prompting'?"),
        ({"method": Task}, TraitbenchUsage, "expected a name, or a class or an object of traitbench.Method"),
        ({"method": Shout(), "method_args": {"marks": 2}}, TraitbenchUsage, "has its configuration already"),
        ({"method": Shout, "method_args": {"mark": 2}}, UnknownName, "did you mean 'marks'?"),
        ({"limit": 0}, TraitbenchUsage, "limit 0: expected how many items, 1 or more, or a share of them"),
        ({"target": "luck=high"}, UnknownName, "unknown trait"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_a_model_is_loaded(flags: dict[str, Any], kind: Any, told: str) -> None:
    with pytest.raises(kind) as refused:
        evaluate(**{"model": "smollm2", "method": "prompting", **flags})
    assert told in str(refused.value)
    assert not Path("results").exists()


def test_a_target_object_is_aimed_at_as_it_is() -> None:
    exact = Target(levels={"extraversion": 1 / 3})
    assert exact.name == "extraversion=0.333333"
    made = evaluate(**PERSON, scoring="choice", method="prompting", method_args={"style": "p2"}, target="openness=low")
    again = evaluate(
        **PERSON, scoring="choice", method=Prompting, method_args={"style": "p2"},
        target=Target(levels={"openness": -1.0}),
    )  # fmt: skip
    assert made.path is not None and again.path is not None and made.path.parent == again.path.parent
    (control,) = fit(method="prompting", target=exact)
    assert control.target == exact


# --- objects of one's own --------------------------------------------------------------------------------------------


def place(results: Results) -> Path:
    assert results.path is not None
    return results.path.parent


def test_a_method_of_ones_own_runs_resumes_and_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    first = evaluate(**PERSON, method=Shout)
    name = f"{__name__}:Shout"
    assert first.method["name"] == first.config["method"] == name
    assert first.controls["openness=low"] == [{"role": "system", "content": "YOUR OPENNESS IS LOW!"}]
    assert len(first.conditions) == 11 and not first.effects().empty
    capsys.readouterr()
    again = evaluate(**PERSON, method=Shout())
    assert place(again) == place(first) and lasting(again) == lasting(first)
    assert "660 requests, 660 already answered" in capsys.readouterr().err

    louder = evaluate(**PERSON, method=Shout(Shout.Config(marks=3)))
    assert louder.method["settings"] == {"marks": 3} and ",marks=3+" in place(louder).name
    assert place(louder) == place(evaluate(**PERSON, method=Shout, method_args={"marks": 3}))
    newer = type("Shout", (Shout,), {"version": "2", "__module__": __name__, "__qualname__": "Shout"})
    assert len({place(r) for r in (first, louder, evaluate(**PERSON, method=newer))}) == 3
    assert load_results(place(louder)).method["name"] == name
    assert main(["score", str(place(louder)), "--format", "json"]) == 0, "grading needs no method"


def test_a_class_that_ships_is_its_name_and_one_derived_of_it_is_not() -> None:
    by_name = evaluate(**PERSON, method="prompting", target="openness=high")
    by_class = evaluate(**PERSON, method=Prompting(Prompting.Config()), target="openness=high")
    assert by_class.method["name"] == "prompting" and place(by_class) == place(by_name)

    class Louder(Prompting):
        pass

    assert Louder.name == "prompting"
    derived = evaluate(**PERSON, method=Louder, target="openness=high")
    assert derived.method["name"].endswith("<locals>.Louder") and place(derived) != place(by_name)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A folder with a tiny untrained model."""
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(tmp_path / "tiny")
    tokenizer().save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_fit_gives_controls_and_fits_each_once(model: str) -> None:
    Heard.fits = 0
    asked: dict[str, Any] = {"model": model, "target": "openness=high", "device": "cpu"}
    made = fit(**{**asked, "target": Target(levels={"openness": 1.0})}, method=Heard)
    assert [control.messages[0].content for control in made] == ["YOUR OPENNESS IS HIGH!"]
    assert made[0].fit is not None and made[0].fit.method == "heard" and made[0].target is not None
    assert Heard.fits == 1 and fit(**asked, method=Heard) == made and Heard.fits == 1
    run = evaluate(**asked, method=Heard, tasks="mini_ipip", limit=3, scoring="statement", bootstrap_iters=20)
    assert Heard.fits == 1 and run.fits["openness=high"].method == "heard"

    class Impostor(Heard):
        def fit(self, target: Target | None, bench: Any) -> Control:
            return super().fit(target, bench).at(0).model_copy(update={"messages": made[0].messages * 2})

    assert len(fit(**asked, method=Impostor)[0].messages) == 2, "a fit of another class, of the name it inherited"


def test_fit_of_a_method_that_needs_no_model_gives_its_controls() -> None:
    made = fit(method="prompting")
    assert len(made) == 10 and len({control.hash for control in made}) == 10
    assert {c.target.name for c in made if c.target} >= {"openness=high", "neuroticism=low"}
    assert not Path("results").exists()


def changed(kind: type, **said: Any) -> Any:
    return type(kind.__name__, (kind,), {"__module__": __name__, **said})


def twice(task: Any, seed: int) -> list[Any]:
    return Coins.requests(task, seed)[:1] * 2


def moved(**place: Any) -> Any:
    def requests(task: Any, seed: int) -> list[Any]:
        return [r.model_copy(update={"doc": r.doc.model_copy(update=place)}) for r in Coins.requests(task, seed)]

    return requests


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        (lambda task, seed: None, "the task coins: requests gives None; expected a list of Choose, Continue and Write"),
        (lambda task, seed: (r for r in ()), "requests gives generator"),
        (lambda task, seed: ["Toss?"], "requests gives str 'Toss?' at place 0; expected Choose, Continue or Write"),
        (moved(task="dice"), "requests gives a Doc of the task 'dice' at place 0; expected 'coins'"),
        (moved(item="c9"), "asks about the item 'c9', which is not among its items; expected the id of one of them, "
                           "e.g. c1, c2, c3"),
        (twice, "gives two requests of one place, choice of the item 'c1'; expected Docs that differ"),
    ],
)  # fmt: skip
def test_requests_that_are_not_as_owed_are_refused_before_a_model_is_loaded(requests: Any, told: str) -> None:
    with pytest.raises(TraitbenchUsage, match=re.escape(told)):
        evaluate(model="smollm2", tasks=changed(Coins, requests=requests))
    assert not Path("results").exists()


def test_what_a_task_and_a_method_give_is_named_where_it_is_something_else() -> None:
    asked: dict[str, Any] = {"model": "scripted:uniform", "bootstrap_iters": 20}
    with pytest.raises(TraitbenchUsage, match=r"task coins: grade gives float '1.0' for the item c1; expected .*Grade"):
        evaluate(**asked, tasks=changed(Coins, grade=lambda task, sample: 1.0))
    with pytest.raises(TraitbenchUsage, match=r"task coins: summarise gives dict .*; expected a traitbench\.Block"):
        evaluate(**asked, tasks=changed(Coins, summarise=lambda task, facts, samples: {"heads": 1}))
    with pytest.raises(TraitbenchUsage, match="task coins: follow_up gives None; expected a list"):
        evaluate(**asked, tasks=changed(Coins, follow_up=lambda task, samples: None))
    with pytest.raises(TraitbenchUsage, match=r"method shout: fit gives str 'LOUD'; expected a traitbench\.Control"):
        fit(method=changed(Shout, fit=lambda method, target, bench: "LOUD"))
    with pytest.raises(TraitbenchUsage, match="has an item without number and without text_hash"):
        bare = type("Bare", (Record,), {"__annotations__": {"id": str, "text": str}, "__module__": __name__})
        task = Coins()
        task.items = (bare(id="c1", text="Toss?"),)  # type: ignore[call-arg, assignment]
        evaluate(**asked, tasks=task)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_by_its_field(number: float) -> None:
    def summarise(task: Any, facts: Any, samples: Any) -> Block:
        return CoinsBlock(heads={"baseline": number})

    with pytest.raises(BadData, match=rf"task coins computed {number} as heads\.baseline; .* null \(None\)"):
        evaluate(model="scripted:uniform", tasks=changed(Coins, summarise=summarise), bootstrap_iters=20)
    assert not list(Path("results").rglob("results_*.json"))


def test_free_text_is_refused_before_a_folder_is_made() -> None:
    with pytest.raises(UnsupportedControl, match="the task persona_consistency: scripted:first answers items"):
        evaluate(model="scripted:first", method="prompting", method_args={"style": "character"}, target="characters")
    assert not Path("results").exists()


def test_fit_aims_at_what_tasks_measure_and_none_makes_none() -> None:
    class Lucky(Coins):
        traits = ("openness",)

    named = [control.target.name for control in fit(method="prompting", tasks=Lucky) if control.target]
    assert named == ["openness=high", "openness=low"]
    assert fit(method="none") == []


def test_paths_and_single_values_are_taken_as_they_are(here: Path) -> None:
    (here / "own").mkdir()
    asked: dict[str, Any] = {**PERSON, "scoring": "choice"}
    made = evaluate(**asked, output_path=here / "out", include_path=here / "own")
    assert place(made).parent == here / "out" and made.config["include_path"] == [str(here / "own")]
    with pytest.raises(TraitbenchUsage, match="--coefs: the method none has no strength"):
        evaluate(**asked, coefs=2.0)
    with pytest.raises(BadData, match=r"answers\.csv"):
        evaluate(**asked, reference=here / "answers.csv", keyed=True)
    assert plan_of({"method_args": {"data": [Path("a/b")]}}).method_args == {"data": ("a/b",)}


@pytest.mark.parametrize("task", [Coins, Coins()])
def test_a_task_of_ones_own_runs_beside_one_that_ships(task: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked: dict[str, Any] = {**PERSON, "model": "scripted:uniform", "model_args": {}, "method": "none"}
    first = evaluate(**{**asked, "tasks": [task, "mini_ipip"]})
    assert list(first.tasks) == ["coins", "mini_ipip"] and first.n_responses["coins"] == 3
    tossed = first.samples().query("task == 'coins'").value_raw
    assert set(tossed.round(6)) <= {0, 1} and first.results["coins"]["heads,choice"] == pytest.approx(tossed.mean())
    scores = first.scores().query("task == 'coins'")
    assert scores[["condition", "scoring", "metric", "se"]].values.tolist() == [["baseline", "choice", "heads", 0.25]]
    capsys.readouterr()
    again = evaluate(**{**asked, "tasks": [task, "mini_ipip"]})
    assert place(again) == place(first) and lasting(again) == lasting(first)
    assert "already answered" in capsys.readouterr().err
    assert place(evaluate(**{**asked, "tasks": "mini_ipip"})) != place(first)

    # Read back where the class is not known: its block is kept, and shown as its metrics.
    held = load_results(place(first))
    assert held.tasks["coins"].model_dump()["heads"] == first.tasks["coins"].model_dump()["heads"]
    pandas.testing.assert_frame_equal(held.scores(), first.scores())
    own = f"{Coins.__module__}:Coins{'' if isinstance(task, type) else ':coins'}"
    told = f"task coins was the caller's own class {own}, which cannot be made again here; the same evaluate call"
    for command in ("score {}", "export {} --to out", "report {}", "compare {} {}"):
        capsys.readouterr()
        assert main(command.replace("{}", str(held.path)).split()) == 1
        said = capsys.readouterr()
        assert said.out == "" and told in said.err and said.err.count("\n") == 1
    with pytest.raises(BadData, match="or name it by an entry point"):
        rescore(held.path)


def test_a_task_that_lacks_something_is_refused_by_name() -> None:
    class Bare(Coins):
        id = "../up"

        def __init__(self, administration: Any = None) -> None:
            pass

    with pytest.raises(TraitbenchUsage, match="Bare has no items"):
        evaluate(**{**PERSON, "tasks": Bare})
    bare = Bare()
    bare.items = ()
    with pytest.raises(TraitbenchUsage, match=r"has the id '\.\./up', which cannot be part of a file's name"):
        evaluate(**{**PERSON, "tasks": bare})


# --- frames ----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_file(results: Results) -> None:
    frame = results.scores()
    assert tuple(frame.columns[: len(SCORES)]) == SCORES
    assert len(frame) == 3 * 11 * 5 and set(frame.task) == {"mini_ipip"}
    assert results.path is not None
    table = json.loads(results.path.read_text())["results"]
    for row in frame.itertuples():
        line = table["mini_ipip" if row.condition == "baseline" else f"mini_ipip@{row.condition}"]
        for value, key in ((row.value, row.metric), (row.se, f"{row.metric}_stderr")):
            told = line[f"{key},{row.scoring}"]
            assert math.isnan(value) if told is None else value == told
        assert row.target == row.condition or row.condition == "baseline"
    for name in ("coef", "value", "se", "ci_low", "ci_high", "pomp", "n"):
        assert pandas.api.types.is_numeric_dtype(frame[name]), name
    inside = frame.dropna(subset=["ci_low"])
    assert len(inside) and ((inside.ci_low <= inside.value) & (inside.value <= inside.ci_high)).all()


def test_effects_are_those_of_the_contrasts(results: Results) -> None:
    frame = results.effects()
    assert tuple(frame.columns[: len(EFFECTS)]) == EFFECTS and len(frame) == 3 * 5 * 5
    modes = results.model_dump()["tasks"]["mini_ipip"]["modes"]
    for (scoring, target), mine in frame.groupby(["scoring", "target"]):
        (contrast,) = [c for c in modes[scoring]["scorecard"]["contrasts"] if c["target"] == target]
        assert mine.value.tolist() == [shift["value"] for shift in contrast["shifts"]]
        (aimed,) = mine[mine.aimed].itertuples()
        assert (aimed.metric, aimed.value) == (target, contrast["effect"]["value"])
        assert aimed.ci_low == contrast["effect"]["ci"][0] and aimed.ci_high == contrast["effect"]["ci"][1]
        assert (aimed.high, aimed.low, aimed.check) == (f"{target}=high", f"{target}=low", contrast["check"])
        assert set(mine.verdict) == {modes[scoring]["verdict"]["verdict"]}


def test_samples_are_those_of_the_files(results: Results, here: Path) -> None:
    frame = results.samples()
    assert tuple(frame.columns) == SAMPLES and len(frame) == results.n_responses["mini_ipip"]
    assert results.path is not None
    (file,) = results.path.parent.glob("samples_*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert frame.item.tolist() == [line["item"] for line in lines]
    assert frame.value_raw.fillna(-9).tolist() == [line.get("value_raw", -9) for line in lines]
    assert frame.text.tolist() == [line["doc"]["text"] for line in lines]
    assert frame.prompt.tolist() == [line["arguments"][0] for line in lines]
    written = frame[frame.scoring == "generate"]
    assert len(written) and written.reply.notna().all() and frame[frame.scoring != "generate"].reply.isna().all()
    # A score is the mean of its keyed answers: by the frame's own columns.
    mean = frame.query("scoring == 'choice' and condition == 'baseline'").groupby("trait").value_keyed.mean()
    scores = results.scores().query("scoring == 'choice' and condition == 'baseline'").set_index("metric").value
    for trait, value in scores.items():
        assert mean[trait] == pytest.approx(value)

    file.write_text(file.read_text().replace('"valid"', '"error"', 1))
    with pytest.raises(BadData, match="is not the file that the results beside it were computed from"):
        results.samples()
    with pytest.raises(BadData, match="lie in no file"):
        Results.model_validate(results.model_dump()).samples()


def test_what_is_not_there_is_missing_and_columns_stay() -> None:
    none = evaluate(**{**PERSON, "limit": 3})
    assert none.effects().empty and tuple(none.effects().columns) == EFFECTS
    frame = none.scores()
    assert frame.se.isna().any() and frame.target.isna().all()


def test_leading_columns_have_the_same_dtypes_whatever_they_hold(results: Results) -> None:
    none = evaluate(**{**PERSON, "limit": 3, "scoring": "statement"})
    kinds: list[tuple[list[pandas.DataFrame], tuple[str, ...]]] = [
        ([results.scores(), none.scores(), score_frame({}, [], {})], SCORES),
        ([results.effects(), none.effects(), effect_frame({})], EFFECTS),
        ([results.samples(), none.samples(), sample_frame([])], SAMPLES),
        ([results.leaderboard(), none.leaderboard(), entry_frame([])], ENTRIES),
    ]
    for (full, bare, empty), leading in kinds:
        assert len(full) and not len(empty)
        assert full[[*leading]].dtypes.to_dict() == bare[[*leading]].dtypes.to_dict() == empty.dtypes.to_dict()
    words, sampled = results.scores().dtypes, results.samples().dtypes
    assert words["target"] == pandas.Series(["a"]).dtype and words["coef"] == sampled["tokens"] == "float64"
    assert sampled["keyed"] == sampled["repeat"] == "int64" and results.effects().dtypes["aimed"] == "boolean"
    assert none.samples().reply.isna().all() and none.scores().coef.isna().all()


def test_the_leaderboard_of_one_run_and_of_those_published(results: Results, here: Path) -> None:
    plain = evaluate(**{**PERSON, "method": "none"})
    frame = results.leaderboard()
    assert tuple(frame.columns[: len(ENTRIES)]) == ENTRIES
    assert frame.scoring.tolist() == ["choice", "statement", "generate"] and frame["rank"].isna().all()
    for each in (results, plain):
        assert each.path is not None
        publish(each.path, here / "published")
    board = load_leaderboard(here / "published")
    assert tuple(board.columns[: len(ENTRIES)]) == ENTRIES
    ours = board[board.method == "prompting"].set_index("scoring")
    for row in frame.itertuples():
        theirs = ours.loc[row.scoring]
        assert theirs.effect == row.effect and theirs.effect_ci_low == row.effect_ci_low
        assert theirs.verdict == row.verdict and theirs.run == row.run
    assert (ours["rank"].notna() == (ours.verdict != "not interpretable")).all()
    assert board[board.method == "none"]["rank"].isna().all()


# --- load_results ----------------------------------------------------------------------------------------------------


def test_results_are_found_by_folder_prefix_and_file(
    results: Results, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert results.path is not None
    folder = results.path.parent
    prefix = Path("results/runs") / folder.name[:-6]
    for named in (folder, str(folder), prefix, str(prefix), results.path):
        found = load_results(named)
        assert found == results and found.path is not None and found.path.resolve() == results.path.resolve()
        assert len(found.samples()) == results.n_responses["mini_ipip"]
    again = evaluate(**PERSON, method="prompting", scoring=("choice", "statement", "generate"))
    assert load_results(folder).path == again.path and "passed over" in caplog.text
    assert load_results(results.path) == results, "a file stands for itself"

    evaluate(**PERSON, method="none")
    with pytest.raises(BadData, match="is the beginning of 2 runs"):
        load_results("results/runs/scripted__person")
    with pytest.raises(BadData, match=r"holds no results_\*\.json"):
        load_results("results/runs/nobody")


def test_a_file_of_an_earlier_version_is_computed_again(results: Results, here: Path) -> None:
    assert results.path is not None
    old = held(results.path)
    for later in ("tasks", "across"):
        del old[later]
    write_json(results.path, {**old, "schema_version": 3, "scores": {"of": "another form"}})
    assert lasting(load_results(results.path.parent)) == lasting(results)
    rewrite(results.path, {**old, "tasks": {"mini_ipip": {"kind": "questionnaire"}}})
    with pytest.raises(BadData, match="traitbench score"):
        load_results(results.path)


def test_published_runs_of_any_version_can_be_read() -> None:
    found = load_results(ROOT / "results" / "published" / "smollm2@prompting+9adde2d0")
    shown = found.effects().query("scoring == 'statement' and aimed").set_index("target").value.round(2)
    assert shown.to_dict() == {  # as the README's table has them
        "openness": 0.17, "conscientiousness": 0.32, "extraversion": 0.36, "agreeableness": 0.15, "neuroticism": 0.19,
    }  # fmt: skip
