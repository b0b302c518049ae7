"""`run --control`: a stored control is measured as the method that made it, by any backend that can apply it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from blocks import modes
from quiet import Quiet
from said import Say
from tiny_models import CONFIGS, roomy, tokenizer

import traitbench
from traitbench import controls, inventories
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.weights import known_as, locate
from traitbench.controls.adapters import Base
from traitbench.errors import TraitbenchUsage
from traitbench.methods.prompting import Prompting
from traitbench.methods.stored import Stored
from traitbench.runs.evaluate import evaluate
from traitbench.runs.finished import rescore
from traitbench.runs.fit import fit
from traitbench.runs.plan import Plan
from traitbench.runs.prepare import prepare
from traitbench.runs.results import Results
from traitbench.types import Control, Edit, Fit, Message

HIGH, LOW = "extraversion=high", "extraversion=low"


def plan(**given: Any) -> Plan:
    return Plan.model_validate({"device": "cpu", "tasks": ("mini_ipip",), "bootstrap_iters": 20, **given})


def run(asked: Plan) -> tuple[Results, Path]:
    return evaluate(asked, Quiet(), lambda line: None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Llama with room for the prompts of a run."""
    return roomy(tmp_path_factory.mktemp("model"))


@pytest.fixture
def identity(model: Path) -> dict[str, Any]:
    """What names the model where a control is fitted on it."""
    spec = resolve(str(model))
    return {"backend": "hf", **known_as(spec, locate(spec)), "dtype": "float32"}


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HuggingFace, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, identity: dict[str, Any]) -> Make:
    """Store a control and return its folder."""

    def store(
        target: str | None = HIGH, strength: float = 2.0, told: str = "", folder: str = "controls", **fit: Any
    ) -> Path:
        shift = np.random.default_rng(len(str(target))).normal(size=32).astype(np.float32)
        made = Fit(**{
            "method": "residual", "version": "1", "model": identity, "target": target, "strength": strength,
            "config": {"layer": 1, "strength": strength, "positions": "all"}, **fit,
        })  # fmt: skip
        edits = [Edit(layer=1, site="residual", op="add", tensor="shift", strength=strength)] if strength else []
        control = controls.store(
            tmp_path / folder, edits=edits, tensors={"shift": shift}, fit=made,
            messages=[Message(role="system", content=told)] if told else [],
        )  # fmt: skip
        return tmp_path / folder / control.hash

    return store


def test_a_stored_control_is_measured_like_the_fit_that_made_it(model: Path, tmp_path: Path) -> None:
    asked = {
        "model": str(model), "method": "residual", "method_args": {"layer": 1, "strength": 0.5},
        "target": f"{HIGH},openness=low", "output_path": str(tmp_path / "runs"), "coefs": (1.0,),
    }  # fmt: skip
    (place,) = fit(plan(**asked), lambda line: None, lambda what, total: lambda n: None)
    whole, _ = run(plan(**asked))
    given = {"model": str(model), "output_path": str(tmp_path / "again"), "coefs": (1.0,)}
    found, path = run(plan(**given, control=str(place)))
    assert path.parent.name.startswith(f"{model.name}@residual,layer=1,strength=0.5+")
    for name in ("method", "conditions", "fits", "controls", "contaminated", "results", "higher_is_better"):
        assert getattr(found, name) == getattr(whole, name), name
    assert modes(found) == modes(whole)
    assert rescore(path).model_dump(mode="json") == found.model_dump(mode="json")
    assert found.config["control"] == [str(place)] and found.config["target"] == f"{HIGH},openness=low"
    assert found.cost["fit_seconds"] == whole.cost["fit_seconds"] and found.warnings == whole.warnings
    mine, theirs = (r.entry("mini_ipip", "run") for r in (found, whole))
    assert (mine.method, mine.settings, mine.metrics) == (theirs.method, theirs.settings, theirs.metrics)


def test_several_controls_are_the_targets_of_one_run(make: Make, model: Path, tmp_path: Path) -> None:
    places = [make(), make(LOW, seed=3)]
    one = plan(model=str(model), control=[str(place) for place in places], output_path=str(tmp_path))
    results, path = run(one)
    assert [c.name for c in results.conditions] == ["baseline", HIGH, LOW]
    assert [c.levels for c in results.conditions][1:] == [{"extraversion": 1.0}, {"extraversion": -1.0}]
    whole = one.model_copy(update={"control": (str(tmp_path / "controls"), str(places[0]))})
    assert sorted(c.name for c in run(whole)[0].conditions) == ["baseline", HIGH, LOW]
    assert run(one.model_copy(update={"control": (str(places[0]),)}))[1].parent != path.parent


def test_controls_are_named_by_what_they_hold_and_not_by_where(make: Make, model: Path, tmp_path: Path) -> None:
    place = make()
    copied = shutil.copytree(place, tmp_path / "elsewhere" / "mine")
    asked = plan(model=str(model), output_path=str(tmp_path))
    names = [run(asked.model_copy(update={"control": (str(each),)}))[1].parent.name for each in (place, copied)]
    assert names[0] == names[1]


def test_an_adapter_is_put_on(model: Path, identity: dict[str, Any], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    base = transformers.AutoModelForCausalLM.from_pretrained(model)
    lora = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    lora.save_pretrained(tmp_path / "peft")
    made = Fit(method="sft", version="1", model=identity, target=LOW, config={"adapters": "each", "data": "mine.jsonl"})
    held = controls.store(tmp_path, adapter=tmp_path / "peft", base=Base(str(model), None), fit=made)
    results, path = run(plan(model=str(model), control=str(tmp_path / held.hash), output_path=str(tmp_path)))
    assert results.method["settings"] == {"adapters": "each", "data": "mine.jsonl"} and "@sft,adapters" in str(path)
    low = modes(results)["statement"].scores[LOW]
    assert any(abs(score.value or 0) > 1e-3 for score in low), "the adapter is not on"
    # The same adapter for a model of another shape, from a method that knows nothing of weights.
    loose = controls.store(tmp_path / "loose", adapter=tmp_path / "peft", fit=made.model_copy(update={"model": {}}))
    other = CONFIGS["qwen2"]()
    other.hidden_size, other.num_attention_heads = 16, 2
    transformers.AutoModelForCausalLM.from_config(other).save_pretrained(tmp_path / "small")
    tokenizer().save_pretrained(tmp_path / "small")
    with pytest.raises(traitbench.errors.BadData, match="is for another model"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(HuggingFace, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))
        run(plan(model=str(tmp_path / "small"), control=str(tmp_path / "loose" / loose.hash)))


def test_messages_go_with_any_model_and_edits_with_backends_that_can(make: Make, say: Say, tmp_path: Path) -> None:
    place = make(strength=0, told="Be loud.", method="pas", config={"heads": 3, "turn": "user"})
    shown = say(f"prompt --control '{place}' --tasks mini_ipip")
    assert shown.code == 0 and "[system] Be loud." in shown.out and HIGH in shown.out
    done = say(f"run --model scripted:uniform --control '{place}' --tasks mini_ipip -o out --format json")
    results = json.loads(done.out)
    assert done.code == 0 and results["method"]["name"] == "pas"
    assert results["method"]["settings"] == {"heads": 3, "turn": "user"}
    assert results["controls"][HIGH] == [{"role": "system", "content": "Be loud."}]
    refused = say(f"run --model scripted:uniform --control '{make()}' --tasks mini_ipip -o out")
    assert refused.code == 2 and "makes activations, which the backend scripted cannot apply" in refused.err
    assert "backends that can: hf" in refused.err


def test_a_method_from_elsewhere_need_not_be_here(make: Make, model: Path, tmp_path: Path) -> None:
    place = make(method="mine", version="7", config={"size": [1, 2]}, details={"a": 1})
    results, path = run(plan(model=str(model), control=str(place), output_path=str(tmp_path), coefs=(1.0,)))
    assert results.method == {"name": "mine", "version": "7", "config": {"size": [1, 2]}, "settings": {"size": (1, 2)}}
    assert "@mine,size=1" in path.parent.name and [c.coef for c in results.conditions] == [None, 2.0, 1.0]


def test_what_is_run_otherwise_than_it_was_fitted_is_said(make: Make, model: Path, tmp_path: Path) -> None:
    asked = plan(model=str(model), control=str(make()), output_path=str(tmp_path), scoring=("statement",))
    said = "the controls were fitted with dtype float32, and measured with bfloat16"
    assert said not in run(asked)[0].warnings
    assert said in run(asked.model_copy(update={"model_args": {"dtype": "bfloat16"}}))[0].warnings


def test_a_target_of_ones_own_and_a_character_say_what_they_are(make: Make) -> None:
    own = prepare(plan(model="scripted:uniform", control=str(make("stamina=0.25", 0, "a"))))
    assert [aim.levels if aim else None for aim in own.targets] == [{"stamina": 0.25}]
    told = prepare(
        Plan(model="scripted:uniform", scoring=("generate",), control=(str(make("character:ada@youth", 0, "b")),))
    )
    assert [task.id for task in told.tasks] == ["persona_consistency"] and told.plan.target == "character:ada@youth"
    assert [aim.character if aim else None for aim in told.targets] == ["ada@youth"]


def table(path: Path, ids: list[str]) -> str:
    items = inventories.load("ipip_neo_300").items
    rows = [",".join([id, *(str(1 + (n * len(id)) % 5) for n in range(300))]) for id in ids]
    path.write_text("\n".join([",".join(["id", *(item.id for item in items)]), *rows]) + "\n")
    return str(path)


def test_persons_are_read_where_their_answers_are(make: Make, tmp_path: Path) -> None:
    place = make("person:anna", 0, "These are my answers.", method="pas", config={})
    asked = {"model": "scripted:person", "control": str(place), "output_path": str(tmp_path), "bootstrap_iters": 20}
    with pytest.raises(TraitbenchUsage, match=r"aims at person:anna, whose answers are not in it; .*--target person"):
        prepare(Plan(**asked))
    people = table(tmp_path / "people.csv", ["anna", "bo"])
    results, path = run(Plan.model_validate({**asked, "target": f"person:{people}", "keyed": False, "limit": 6}))
    assert [c.person for c in results.conditions] == [None, "anna"] and list(results.persons) == ["anna"]
    assert list(results.tasks) == ["person_alignment"] and rescore(path) == results
    with pytest.raises(TraitbenchUsage, match=r"aim at person:anna, and --target person:.* at person:carl"):
        prepare(Plan(**asked, target=f"person:{table(tmp_path / 'others.csv', ['carl'])}", keyed=False))


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("--method residual --method_args layer=1,positions=all", ""),
        ("--method pas", "it was made by residual, and --method pas was given; leave --method out"),
        ("--method_args layer=2", "with layer=1, and --method_args layer=2 was given; leave it out"),
        ("--method_args colour=red", "with no colour, and --method_args colour=red was given"),
        ("--target extraversion=low", "aim at extraversion=high, and --target extraversion=low at extraversion=low"),
        ("--target all", "and --target all at openness=high, openness=low, conscientiousness=high and 7 more"),
        ("--target extraversion=high", ""),
        ("--fit_seeds 3", "--fit_seeds 3: .* is fitted already"),
        ("--tasks person_alignment", "compares with persons"),
    ],
)
def test_what_is_said_beside_a_control_must_be_so(given: str, error: str, make: Make, say: Say) -> None:
    line = f"run --model scripted:uniform --tasks mini_ipip -o out --control '{make(told='Be loud.', strength=0)}'"
    done = say(f"{line} {given}")
    if not error:
        assert done.code == 0, done.err
        return
    assert done.code in (1, 2) and re.search(error, done.err) and done.err.count("\n") == 1, done.err


def broken(make: Make, what: str) -> str:
    """A folder with something wrong; what is typed behind --control."""
    place = make()
    if what == "no tensors":
        (place / "tensors.safetensors").unlink()
    elif what == "no method":
        (place / "method.json").unlink()
    elif what == "changed":
        text = (place / "control.json").read_text().replace('"layer": 1', '"layer": 2')
        (place / "control.json").write_text(text)
    elif what == "strength":
        text = (place / "control.json").read_text().replace('"strength": 2.0', '"strength": 3.0')
        (place / "control.json").write_text(text)
        place = place.rename(place.with_name("stronger"))
    elif what == "live":
        # As version 2 of npti left it: nothing was chosen, and the clamps are on.
        clamp = Edit(layer=1, site="gate", op="clamp", tensor="top")
        made = Fit.model_validate_json((place / "method.json").read_text())
        live = controls.store(place.parent, edits=[clamp], tensors={"top": np.zeros(48, np.float32)})
        place = place.parent / live.hash
        (place / "method.json").write_text(made.model_copy(update={"strength": 0.0}).model_dump_json())
    elif what == "damaged":
        (place / "control.json").write_text("{")
    elif what == "part":
        (place / "adapter").mkdir()
        return str(place / "adapter")
    elif what == "run":
        (place.parent / "run").mkdir()
        (place.parent / "run" / "run.json").write_text("{}")
        return str(place.parent / "run")
    elif what == "vector":
        (place.parent / "v.gguf").write_text("")
        return str(place.parent / "v.gguf")
    elif what == "peft":
        (place.parent / "peft").mkdir()
        (place.parent / "peft" / "adapter_config.json").write_text("{}")
        return str(place.parent / "peft")
    elif what == "nothing":
        return str(place.parent / "nothing")
    elif what == "methods":
        make(method="pas", strength=1.0)
        return str(place.parent)
    elif what == "settings":
        make(LOW, strength=1.0)
        return str(place.parent)
    elif what == "twice":
        make(told="Be loud.")
        return str(place.parent)
    elif what == "target":
        text = (place / "method.json").read_text().replace(HIGH, "extraversion=enormous")
        (place / "method.json").write_text(text)
    return str(place)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("no tensors", "cannot read .*tensors.safetensors"),
        ("no method", "holds no method.json, which says what the control is and what it aims at"),
        ("changed", "control.json was changed since it was fitted"),
        ("strength", "adds at strength 3, and method.json says that 2 was chosen; .*--coefs"),
        ("live", "clamps at strength 1, and method.json says that 0 was chosen; fit it again"),
        ("damaged", "control.json, line 1"),
        ("part", "this is a part of the control"),
        ("run", "this is the folder of a run"),
        ("vector", "a steering vector is no control; it becomes one with --method vector --method_args file="),
        ("peft", "a PEFT adapter is no control; it becomes one with --method adapter --method_args folder="),
        ("nothing", "there is no such folder; expected the folder of a control, as `traitbench fit` prints it"),
        ("methods", r"differ in the method \((pas|residual) 1, (pas|residual) 1\); run them one by one"),
        ("settings", r"differ in strength \([12].0, [12].0\)"),
        ("twice", "both aim at extraversion=high; run them one by one and `traitbench compare` them"),
        ("target", "the target 'extraversion=enormous' cannot be read|unknown level 'enormous'"),
    ],
)
def test_what_is_no_stored_control_is_refused_before_a_model_loads(
    what: str, error: str, make: Make, model: Path, say: Say
) -> None:
    done = say(f"run --model '{model}' --tasks mini_ipip -o out --control '{broken(make, what)}'")
    assert done.code in (1, 2) and re.search(error, done.err) and done.err.count("\n") == 1, done.err


@pytest.mark.usefixtures("no_model")
def test_another_models_control_is_refused_before_it_loads(make: Make, tmp_path: Path, say: Say) -> None:
    """Of the same shape, so that nothing but the weights tells."""
    torch.manual_seed(9)
    transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(tmp_path / "other")
    tokenizer().save_pretrained(tmp_path / "other")
    done = say(f"run --model '{tmp_path}/other' --tasks mini_ipip -o out --control '{make()}' --device cpu")
    assert done.code == 1 and "was fitted on" in done.err and "expected the same weights" in done.err
    assert not (tmp_path / "out").exists()


def test_one_folder_and_a_list_of_them_in_a_file(make: Make, say: Say, tmp_path: Path) -> None:
    place = make(strength=0, told="Be loud.")
    for text in (f"control: {place}\n", f"control:\n- {place}\n", json.dumps({"control": str(place)})):
        (tmp_path / "plan.yaml").write_text(text)
        shown = say("run --config plan.yaml --show_config")
        assert shown.code == 0 and str(place) in shown.out
    assert "control" not in say("run --show_config").out


def test_python_takes_a_path(make: Make, tmp_path: Path) -> None:
    place = make(strength=0, told="Be loud.")
    found = traitbench.evaluate(
        model="scripted:uniform", control=place, tasks="mini_ipip", output_path=tmp_path / "out", bootstrap_iters=20
    )
    assert found.method["name"] == "residual"
    with pytest.raises(TraitbenchUsage, match="it was made by residual"):
        traitbench.evaluate(model="scripted:uniform", control=place, method=Prompting, tasks="mini_ipip")


def test_a_stored_method_gives_what_it_holds_and_nothing_else(make: Make) -> None:
    from traitbench.runs.stored import read

    held = read(make())
    method = Stored([held])
    assert method.fit(held.target, None) is held and isinstance(held, Control)  # type: ignore[arg-type]
    with pytest.raises(traitbench.errors.BadData, match="no stored control aims at extraversion=low"):
        method.fit(traitbench.Target(levels={"extraversion": -1.0}), None)  # type: ignore[arg-type]
