"""A stored control in other tools' files: each is read back by the tool itself, and its logits equal ours to 1e-5.

repeng asks for an older numpy than pandas does and runs with this one: `make test` installs it without its pins.
Over 300 lines: a form is one or two tests, and they share the models and controls of this module.
"""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
import torch
import transformers
from said import Say
from tiny_models import GQA, NO_IDS, SMALL, saved
from torch import Tensor

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.backends.weights import known_as, locate
from traitbench.controls.adapters import Base
from traitbench.controls.interventions import applied
from traitbench.controls.vectors import read
from traitbench.errors import UnsupportedControl
from traitbench.export import CONTROLS
from traitbench.export.portable import leaving, refuse_edits
from traitbench.types import Doc, Edit, Fit, Message, Op, Scope, Site, When, Write

IDS = torch.tensor([[0, 20, 40, 60, 80, 5, 250, 7, 99, 101]])
SHAPE = {**GQA, "max_position_embeddings": 512, **NO_IDS}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**SHAPE),
    "llama-tied": lambda: transformers.LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "mistral": lambda: transformers.MistralConfig(**SHAPE, sliding_window=None),
    "mistral-window": lambda: transformers.MistralConfig(**SHAPE, sliding_window=16),
    "qwen2": lambda: transformers.Qwen2Config(**SHAPE),
    "qwen3": lambda: transformers.Qwen3Config(**SHAPE),
    "smollm3": lambda: transformers.SmolLM3Config(**SHAPE, no_rope_layers=[1, 1, 0]),
    "granite": lambda: transformers.GraniteConfig(**SHAPE, residual_multiplier=0.5),
    "gemma2": lambda: transformers.Gemma2Config(**SHAPE, sliding_window=16),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=320, n_embd=32, n_layer=3, n_head=4, n_positions=512, initializer_range=0.2, **NO_IDS
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        **SMALL, **NO_IDS, initializer_range=0.2, max_position_embeddings=512
    ),
    "phi": lambda: transformers.PhiConfig(**SMALL, **NO_IDS, max_position_embeddings=512, initializer_range=0.2),
    "starcoder2": lambda: transformers.Starcoder2Config(**SHAPE, use_bias=True, sliding_window=None),
}
WIDTHS: dict[Site, int] = {"residual": 32, "heads": 32, "neurons": 48, "gate": 48}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of an untrained model, by a name of CONFIGS."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = saved(tmp_path_factory.mktemp(name), CONFIGS[name]())
        return made[name]

    return folder


def plain(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@torch.inference_mode()
def logits(model: Any, ids: Tensor = IDS) -> Tensor:
    found: Tensor = model(input_ids=ids).logits
    return found


def edit(
    site: Site, layer: int = 1, op: Op = "add", positions: Scope = "all", name: str = "", some: bool = False
) -> Edit:
    return Edit(
        layer=layer, site=site, op=op, tensor=None if op == "zero" else name or f"{site}.{layer}",
        units="some" if some else None, strength=2.0 if op == "add" else 1.0, positions=positions,
    )  # fmt: skip


Make = Callable[..., Path]


@pytest.fixture
def make(model: Callable[[str], Path], tmp_path: Path) -> Make:
    """Store a control for a model of CONFIGS and return its folder."""

    def store(
        name: str, *edits: Edit, told: str = "", adapter: Path | None = None, strength: float | None = 2.0
    ) -> Path:
        spec, draw = resolve(str(model(name))), np.random.default_rng(5)
        tensors: dict[str, Any] = {}
        for each in edits:
            count = (
                5 if each.units else 128 if name == "gpt2" and each.site in ("neurons", "gate") else WIDTHS[each.site]
            )
            if each.tensor:
                tensors[each.tensor] = draw.normal(size=count).astype(np.float32)
            if each.units:
                tensors["some"] = np.array([3, 0, 7, 31, 12])
        fit = Fit(
            method="residual", version="1", model={"backend": "hf", **known_as(spec, locate(spec))},
            target="extraversion=high", config={"positions": "all"}, strength=strength if edits else None,
        )  # fmt: skip
        said = [Message(role="system", content=told)] if told else []
        base = Base(str(model(name)), None) if adapter else None
        held = controls.store(
            tmp_path / "controls", messages=said, edits=edits, tensors=tensors, adapter=adapter, base=base, fit=fit
        )
        return tmp_path / "controls" / held.hash

    return store


@torch.inference_mode()
def ours(folder: Path, place: Path) -> tuple[Tensor, Tensor]:
    """Logits of the model as it is, and under the edits of the control, which act everywhere."""
    held, bare = controls.read(place), plain(folder)
    with applied(bare, held.edits, controls.arrays(held)):
        under = logits(bare)
    return logits(bare), under


def alike(found: Tensor, folder: Path, place: Path) -> None:
    before, wanted = ours(folder, place)
    assert (wanted - before).abs().max() > 0.1, "the control does nothing"
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def written(form: str, place: Path, to: Path, model: Path | str | None = None) -> list[Path]:
    return CONTROLS.load(form)(leaving(place), to, str(model) if model else None)


TWO = (
    edit("residual", 1),
    edit("residual", 2),
    edit("residual", 2, name="again"),
    edit("residual", 1, some=True, name="s"),
)

# --- GGUF


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_gguf_file_holds_a_direction_for_every_layer_that_llama_cpp_takes(
    name: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    place = make(name, *TWO)
    (path,) = written("gguf", place, tmp_path / "out", model(name))
    held = read(path)
    tensors = controls.arrays(controls.read(place))
    assert list(held.layers) == [1, 2] and held.made_for == name
    np.testing.assert_allclose(held.layers[2], 2 * (tensors["residual.2"] + tensors["again"]), rtol=1e-6)
    by_hand = 2 * tensors["residual.1"].astype(np.float64)
    by_hand[tensors["some"]] += 2 * tensors["s"]
    np.testing.assert_allclose(held.layers[1], by_hand, rtol=1e-6)
    (single,) = written("gguf", make(name, edit("residual", 2)), tmp_path / "one", model(name))
    assert not read(single).layers[1].any(), "repeng asks every layer that it wraps for its direction"
    reader = gguf_package.GGUFReader(path)
    # llama.cpp takes F32 alone, one dimension, and no layer 0.
    assert {t.name for t in reader.tensors} == {"direction.1", "direction.2"}
    assert {t.tensor_type.name for t in reader.tensors} == {"F32"}


@pytest.mark.skipif(importlib.util.find_spec("repeng") is None, reason="pip install --no-deps repeng")
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_repeng_reads_it_and_steers_alike(
    name: str, model: Callable[[str], Path], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its annotations name a type that numpy 2 has no more.
    monkeypatch.setattr(np, "float_", np.float64, raising=False)
    from repeng import ControlModel, ControlVector

    place = make(name, *TWO)
    (path,) = written("gguf", place, tmp_path / "out", model(name))
    steered = ControlModel(plain(model(name)), [1, 2])
    steered.set_control(ControlVector.import_gguf(path), 1.0)
    with torch.inference_mode():
        alike(steered(input_ids=IDS).logits, model(name), place)


# --- lm-eval's steered, persona vectors


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_lm_evals_steered_model_loads_the_file(
    name: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval.models.hf_steered")
    from lm_eval.models.hf_steered import SteeredModel

    place = make(name, edit("residual", 0), *TWO)
    steered, _ = written("pt", place, tmp_path / "out", model(name))
    theirs = SteeredModel(pretrained=str(model(name)), steer_path=str(steered), device="cpu", dtype="float32")
    alike(theirs._model_call(IDS), model(name), place)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_row_of_persona_vectors_is_one_place_behind_its_layer(
    name: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    """Their tools take row L of what they load for `layer=L` and hook block L - 1, since row 0 is of the embeddings."""
    place = make(name, edit("residual", 1))
    _, path = written("pt", place, tmp_path / "out", model(name))
    table = torch.load(path, weights_only=True)
    assert table.shape == (4, 32) and table.dtype == torch.float32
    assert [bool(row.any()) for row in table] == [False, False, True, False]
    bare = plain(model(name))
    blocks = bare.model.layers if name == "llama" else bare.transformer.h

    def add(_: Any, __: Any, out: Any) -> Any:
        return (out[0] + table[2], *out[1:]) if isinstance(out, tuple) else out + table[2]

    blocks[2 - 1].register_forward_hook(add)
    alike(logits(bare), model(name), place)


# --- biases


STATIC = (edit("residual", 0), *TWO, edit("heads", 1), edit("neurons", 1), edit("heads", 2, some=True, name="h"))


@pytest.mark.parametrize(
    "name", ["llama", "llama-tied", "mistral", "qwen2", "smollm3", "gpt2", "gpt_neox", "phi", "starcoder2"]
)
def test_a_plain_checkpoint_holds_the_shift_in_its_biases(
    name: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    place = make(name, *STATIC)
    (folder,) = written("bias", place, tmp_path / "out", model(name))
    alike(logits(plain(folder)), model(name), place)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == ("llama" if name in ("mistral", "qwen2") else name.removesuffix("-tied"))
    assert config["architectures"] == [type(plain(folder)).__name__]
    words = transformers.AutoTokenizer.from_pretrained(folder)
    assert words("loves the crowd")["input_ids"] and words.chat_template
    # It is a model like any other here.
    backend = HuggingFace(resolve(str(folder)), device="cpu")
    alike(logits(backend.model), model(name), place)


def test_a_gate_without_a_gate_is_a_neuron(model: Callable[[str], Path], make: Make, tmp_path: Path) -> None:
    place = make("gpt2", edit("gate", 1))
    (folder,) = written("bias", place, tmp_path / "out", model("gpt2"))
    alike(logits(plain(folder)), model("gpt2"), place)


def test_heads_alone_need_only_the_attentions_bias(model: Callable[[str], Path], make: Make, tmp_path: Path) -> None:
    place = make("qwen3", edit("heads", 1))
    (folder,) = written("bias", place, tmp_path / "out", model("qwen3"))
    alike(logits(plain(folder)), model("qwen3"), place)
    assert json.loads((folder / "config.json").read_text())["attention_bias"] is True


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("qwen3", "the architecture 'qwen3' has no biases at residual, and its config can ask for none"),
        ("gemma2", "the architecture 'gemma2' has no biases at residual"),
        ("mistral-window", "the architecture 'mistral' has no biases at residual"),
        ("granite", "with biases the logits of granite differ by .*, where the control moves them by"),
    ],
)
def test_an_architecture_without_a_place_for_it_is_refused(
    name: str, error: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedControl, match=f"{error}.*take --format transformers"):
        written("bias", make(name, edit("residual", 1)), tmp_path / "out", model(name))
    assert not (tmp_path / "out" / "bias").exists()


# --- PEFT


@pytest.fixture
def adapter(model: Callable[[str], Path], tmp_path: Path) -> Path:
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    peft.get_peft_model(plain(model("llama")), lora).save_pretrained(tmp_path / "lora")
    return tmp_path / "lora"


def worn(folder: Path, place: Path) -> Tensor:
    backend = HuggingFace(resolve(str(folder)), device="cpu")
    with backend.under(controls.read(place)):
        return logits(backend.model)


def test_plain_peft_loads_the_adapter_with_its_base(
    adapter: Path, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    place = make("llama", adapter=adapter)
    # The control names its base; --model may say otherwise where that was moved.
    (folder,) = written("peft", place, tmp_path / "out")
    found = logits(peft.AutoPeftModelForCausalLM.from_pretrained(folder).eval())
    torch.testing.assert_close(found, worn(model("llama"), place), rtol=0, atol=1e-5)
    assert (found - logits(plain(model("llama")))).abs().max() > 0.1


# --- plain transformers


def loaded(folder: Path) -> tuple[Any, Any, Any, dict[str, Any]]:
    script = runpy.run_path(str(folder / "load.py"))
    return (*script["load"](), script)


MIXED = (
    edit("residual", 1), edit("gate", 1, "clamp", some=True, name="c"), edit("gate", 1, some=True, name="a"),
    edit("heads", 2, "zero", some=True), edit("neurons", 0, "clamp"), edit("heads", 0),
)  # fmt: skip


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "phi", "gpt_neox"])
def test_the_loader_for_plain_transformers_edits_every_site_alike(
    name: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    place = make(name, *MIXED)
    (folder,) = written("transformers", place, tmp_path / "out", model(name))
    found, words, messages, _ = loaded(folder)
    alike(logits(found), model(name), place)
    assert messages == [] and words.chat_template
    assert "traitbench" not in {line.split()[1].partition(".")[0] for line in imports(folder)}


def imports(folder: Path) -> list[str]:
    lines = (folder / "load.py").read_text().splitlines()
    return [line for line in lines if line.startswith(("import ", "from "))]


@pytest.mark.parametrize("scope", ["answer", "generated"])
def test_it_knows_prompt_and_answer_in_decoding_and_in_one_pass(
    scope: Scope, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    place = make("llama", edit("residual", 1, positions=scope), edit("gate", 2, "clamp", scope), told="Be loud.")
    (folder,) = written("transformers", place, tmp_path / "out", model("llama"))
    found, words, messages, script = loaded(folder)
    assert messages == [{"role": "system", "content": "Be loud."}]
    backend = HuggingFace(resolve(str(model("llama"))), device="cpu")
    doc = Doc(task="t", scoring="generate", item="i", trait="x", facet=None, keyed=1)
    ask = Write(doc=doc, messages=(Message(role="user", content="Who are you?"),), max_tokens=12)
    with backend.under(controls.read(place)):
        (batch,) = backend.run([ask])
        shown = backend.prompt(ask)
    turns = [*messages, {"role": "user", "content": "Who are you?"}]
    prompt = words.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert prompt == shown
    ids = words(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
    reply = found.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=1)[0, ids.shape[1] :]
    assert words.decode(reply, skip_special_tokens=True) == batch[0].text
    bare = plain(model("llama")).generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=1)
    assert not torch.equal(bare[0, ids.shape[1] :], reply)
    # Prompt and answer in one pass: four tokens of prompt.
    again = plain(model("llama"))
    script["steer"](again, prompt=4)
    held, bare = controls.read(place), plain(model("llama"))
    places = torch.arange(IDS.shape[1])[None]
    with torch.inference_mode(), applied(bare, held.edits, controls.arrays(held)) as edits:
        edits.span(places >= 3, places >= 4)
        wanted = bare(input_ids=IDS).logits
    torch.testing.assert_close(logits(again), wanted, rtol=1e-5, atol=1e-5)
    assert (wanted - logits(plain(model("llama")))).abs().max() > 0.1


def test_an_adapter_and_its_messages_go_together(
    adapter: Path, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    place = make("llama", adapter=adapter, told='Say "{hello}".\n')
    (folder,) = written("transformers", place, tmp_path / "out")
    found, _, messages, _ = loaded(folder)
    torch.testing.assert_close(logits(found), worn(model("llama"), place), rtol=0, atol=1e-5)
    assert messages == [{"role": "system", "content": 'Say "{hello}".\n'}]


# --- what cannot be said


@pytest.mark.parametrize(
    ("form", "edits", "told", "error"),
    [
        ("gguf", (edit("residual", 0),), "", "behind layer 0, for which llama.cpp has no direction; take --format pt"),
        ("gguf", (edit("heads"),), "", "than gguf acts, which is at residual; take --format bias or transformers"),
        ("gguf", (edit("residual"),), "Hi.", "gguf holds no messages; take --format transformers"),
        ("pt", (edit("residual", op="clamp"),), "", "is 'clamp', and pt holds add alone; take --format transformers"),
        ("pt", (edit("residual", op="zero"),), "", "is 'zero', and pt holds add alone; take --format transformers"),
        ("pt", (edit("residual", positions="answer"),), "", r"from the last prompt token on \(positions=answer\)"),
        ("bias", (edit("residual", positions="generated"),), "", "after the prompt .*--method_args positions=all"),
        ("bias", (edit("gate"),), "", "is elsewhere than bias acts, which is at residual or heads or neurons"),
        ("bias", (edit("residual", op="clamp"),), "", "is 'clamp', and bias holds add alone"),
        ("bias", (edit("residual"),), "Hi.", "bias holds no messages; take --format transformers"),
        ("bias", (), "Hi.", "it is messages alone, and bias holds no messages; take --format transformers"),
        ("peft", (edit("residual"),), "", "peft holds no edits; take --format gguf, pt, bias or transformers"),
    ],
)  # fmt: skip
def test_what_a_form_cannot_say_is_refused_by_name(
    form: str, edits: tuple[Edit, ...], told: str, error: str, model: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedControl, match=error):
        written(form, make("llama", *edits, told=told), tmp_path / "out", model("llama"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["gguf", "pt", "bias"])
def test_an_adapter_is_no_vector(form: str, adapter: Path, make: Make, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedControl, match=f"{form} holds no adapter; take --format peft"):
        written(form, make("llama", adapter=adapter), tmp_path)
    with pytest.raises(UnsupportedControl, match="peft holds no messages; take --format transformers"):
        written("peft", make("llama", adapter=adapter, told="Hi."), tmp_path)


def test_an_operation_or_a_setting_that_no_form_knows_is_refused(make: Make) -> None:
    """So that one that is added to edits is not left out in silence."""
    held = leaving(make("llama", edit("residual")))
    (plain_edit,) = held.control.edits

    class Later(Edit):
        how: float = 0.0

    given = dict(plain_edit)
    for strange, error in (
        (Edit(**{**given, "op": "project_out"}), "is 'project_out', .*no form holds it, use run --control"),
        (Edit(**{**given, "op": "cap", "low": 0.0}), "has low, which no form holds; use run --control"),
        (Edit(**{**given, "op": "rescale"}), "is 'rescale', .*no form holds it, use run --control"),
        (Edit(**{**given, "when": When(tensor="d", above=0.0)}), "has when, which no form holds; use run --control"),
        (Edit.model_construct(**{**given, "op": "turn_round"}), "is 'turn_round'.*no form holds it, use run --control"),
        (Later(**{**given, "how": 0.5}), "has how, which no form holds; use run --control"),
    ):
        odd = held._replace(control=held.control.model_copy(update={"edits": (strange,)}))
        with pytest.raises(UnsupportedControl, match=error):
            refuse_edits(odd, "transformers", ("add", "clamp", "zero"), ("all", "answer", "generated"))


def test_a_control_at_strength_0_changes_nothing(make: Make) -> None:
    place = make("llama", edit("residual").model_copy(update={"strength": 0.0}), strength=0.0)
    with pytest.raises(UnsupportedControl, match="changes nothing: of the strengths that were tried none moved"):
        leaving(place)


# --- the command


def test_a_form_is_named_by_format_or_as_one_says_it(
    model: Callable[[str], Path], make: Make, say: Say, tmp_path: Path
) -> None:
    place, here = make("llama", edit("residual")), model("llama")
    done = say(f"export '{place}' --format gguf --to there --model '{here}'")
    assert done.code == 0 and done.out.split() == [f"there/{place.name}/control.gguf"]
    done = say(f"export '{place}' --to pt -M '{here}'")
    made = [f"results/exported/{place.name}/{name}.pt" for name in ("steered", "persona_vectors")]
    assert done.code == 0 and done.out.split() == made and all(Path(name).is_file() for name in made)
    assert not Path("pt").exists()


@pytest.mark.parametrize(
    ("flags", "code", "error"),
    [
        ("", 2, "is a control; say in which form it goes out: --format bias, gguf, peft, pt, transformers"),
        ("--to there", 2, "is a control; say in which form it goes out"),
        ("--format hf", 2, "--format hf is of runs, and .* is a control; take one of bias, gguf"),
        ("--format published", 2, "--format published is of runs"),
        ("--format ggu", 2, "unknown format of controls 'ggu'; did you mean 'gguf'?"),
        ("--format gguf", 2, "was fitted on .* and does not say where that is; name it with --model FOLDER"),
        ("--format gguf --dataset_id a/b", 2, "export --format gguf takes no --dataset_id"),
        ("--format gguf --model nothing", 2, "unknown model 'nothing'"),
        ("--format gguf --model scripted:uniform", 2, "--model scripted:uniform is no language model"),
    ],
)
def test_what_is_wrong_with_the_command_is_one_line(flags: str, code: int, error: str, make: Make, say: Say) -> None:
    done = say(f"export '{make('llama', edit('residual'))}' {flags}")
    assert done.code == code and re.search(error, done.err) and done.err.count("\n") == 1, done.err


def test_a_run_and_a_path_take_no_form_of_controls(say: Say, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for line, error in (
        ("export run --format gguf", "run is no control (control.json); expected the folder of one"),
        ("export run --model smollm2", "export --format published takes no --model"),
        ("export --path lm-eval --format gguf", "export --path lm-eval takes no --format"),
    ):
        done = say(line)
        assert done.code == 2 and error in done.err, done.err


def test_another_models_weights_are_refused(model: Callable[[str], Path], make: Make, say: Say) -> None:
    done = say(f"export '{make('llama', edit('residual'))}' --format bias --model '{model('qwen2')}'")
    assert done.code == 1 and "was fitted on" in done.err and "expected the same weights" in done.err
