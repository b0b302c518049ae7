"""Persona vectors: planted directions are found and noise is called nothing; which replies count; what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sklearn.decomposition import PCA
from tiny_models import CONFIGS, tokenizer

from traitbench import controls
from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.errors import BadData, MissingExtra, TraitbenchUsage, UnsupportedControl
from traitbench.methods.axes import between
from traitbench.methods.bench import Bench
from traitbench.methods.persona_vectors import PersonaVectors, keeping, poles
from traitbench.methods.persona_vectors.poles import separates, vectors
from traitbench.methods.persona_vectors.reading import read
from traitbench.methods.persona_vectors.replies import replies, shown
from traitbench.methods.residual import Residual
from traitbench.runs.projections import axes_of
from traitbench.types import Control, Target

TRAIT = "extraversion"
HIGH = Target(levels={TRAIT: 1.0})
WRITTEN: dict[str, Any] = {"questions_per_pole": 12, "max_tokens": 4, "layer": 1, "strength": 1.0}
WIDTH = 32


def config(**given: Any) -> Any:
    return PersonaVectors.Config(**given)


def fit(bench: Bench, target: Target = HIGH, **given: Any) -> Control:
    return PersonaVectors(config(**given)).fit(target, bench)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dialogues in which people of the high pole say other words than those of the low one."""
    path = tmp_path_factory.mktemp("talk") / "talk.jsonl"
    rows = []
    for n in range(10):
        for level, words in (("high", "party crowd"), ("low", "quiet alone")):
            rows.append({"trait": TRAIT, "level": level, "scene": f"{chr(97 + n)}", "input": f"What about day {n}?",
                         "output": f"{words} number {n}, {words} for me."})  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def leaning(tmp_path_factory: pytest.TempPathFactory, direction: torch.Tensor) -> Path:
    """An untrained model in which words of the high pole lean along `direction`, those of the low one against it."""
    path, words = tmp_path_factory.mktemp("leaning"), tokenizer()
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.LlamaConfig(
            vocab_size=320, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, max_position_embeddings=1024, initializer_range=0.05,
            bos_token_id=0, eos_token_id=3, pad_token_id=1,
        )
    )  # fmt: skip
    high, low = ({*words(text, add_special_tokens=False)["input_ids"]} for text in
                 (" party crowd party crowd", " quiet alone quiet alone"))  # fmt: skip
    with torch.no_grad():
        for ids, sign in ((high - low, 1.0), (low - high, -1.0)):
            model.get_input_embeddings().weight[sorted(ids)] += 3 * sign * direction
    model.save_pretrained(path)
    words.save_pretrained(path)
    return path


@pytest.fixture
def lean(leaning: Path, tmp_path: Path) -> Bench:
    return Bench(0, HuggingFace(resolve(str(leaning)), device="cpu"), tmp_path / "controls", tmp_path / "cache")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def speaking(untrained: Path, tmp_path: Path) -> Bench:
    """On a model that answers with something."""
    return Bench(0, HuggingFace(resolve(str(untrained)), device="cpu"), tmp_path / "controls", tmp_path / "cache")


def test_the_two_directions_are_those_of_numpy_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(12, 3, 8)) + 2 * rng.normal(size=(3, 8))).astype(np.float32)
    np.testing.assert_allclose(between(rows, "mean"), rows.astype(np.float64).mean(axis=0), rtol=1e-5, atol=1e-6)
    found = between(rows, "pca")
    for layer in range(3):
        # As repeng does: both halves of every pair about its middle.
        half = rows[:, layer].astype(np.float64) / 2
        axis = PCA(n_components=1).fit(np.concatenate([half, -half])).components_[0]
        mean = rows[:, layer].mean(axis=0)
        np.testing.assert_allclose(found[layer], (mean @ axis) * axis, rtol=1e-3, atol=1e-4)
        assert found[layer] @ mean > 0, "to the high pole"
    np.testing.assert_allclose(between(-rows, "pca"), -found, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(between(rows[:1], "pca"), rows[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(BadData, match="no pair of activations"):
        between(rows[:0], "mean")


@pytest.mark.parametrize("way", ["mean", "pca"])
def test_a_planted_direction_is_found(lean: Bench, talk: Path, direction: torch.Tensor, way: Any) -> None:
    found = vectors(TRAIT, config(replies="dialogues", data=str(talk), direction=way, keep="all"), (0, 1), lean)
    for shift in found.shifts[:2]:
        assert shift @ direction.numpy() / np.linalg.norm(shift) > 0.9
    assert found.find and found.find.found and found.find.on == "dialogues, 10 of either pole"
    assert (found.details["pairs"], found.details["kept"]) == (10, 10) and found.details["tokens"]["written"] == 0


def noise(seed: int) -> tuple[NDArray[np.float32], list[int]]:
    """24 pairs under six descriptions each of whose replies have something in common, which is not their pole."""
    rng = np.random.default_rng(seed)
    groups = [n % 6 for n in range(24)]
    of_group = rng.normal(size=(6, 3, 16))
    return (rng.normal(size=(24, 3, 16)) + 2 * of_group[groups]).astype(np.float32), groups


def test_noise_is_called_nothing() -> None:
    """A hundred seeds: seven false finds at most, with the best of three layers."""
    finds = [separates(*noise(seed), range(3), "descriptions", "noise") for seed in range(100)]
    assert sum(find is not None and find.found for find in finds) <= 7
    rows, groups = noise(0)
    real = separates(rows + np.float32(4), groups, range(3), "descriptions", "noise")
    assert real and real.p == 2 / 64 and real.found
    assert separates(rows, [n % 5 for n in range(24)], range(3), "descriptions", "noise") is None, "too few to tell"


def test_differences_are_means_over_the_tokens_of_replies(speaking: Bench) -> None:
    said = replies(TRAIT, config(**WRITTEN), speaking)
    found = read(TRAIT, said.pairs, speaking)
    backend = speaking.backend
    for n, pair in enumerate(said.pairs[:3]):
        means = []
        for request in shown(TRAIT, pair):
            assert request.messages[0].content in pair.described  # type: ignore[operator]
            prompt = backend.encode_prompt(request)
            text = backend.renderer.answer(backend.prompt(request), prompt, backend.renderer.continuation(request.text))
            with torch.no_grad():
                ids = torch.tensor([[*prompt, *text]])
                states = backend.model(ids, output_hidden_states=True).hidden_states[2][0]
            means.append(states[len(prompt) :].mean(dim=0).numpy())
            assert len(text) in found.tokens[n]
        np.testing.assert_allclose(found.differences[n, 1], means[0] - means[1], rtol=1e-3, atol=2e-5)


def test_a_reply_counts_where_it_is_likelier_under_its_pole(speaking: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap of a reply between the poles' descriptions, from the mean of its pair."""
    said = replies(TRAIT, config(**WRITTEN), speaking).pairs
    assert all({*pair.other}.isdisjoint(pair.described or ()) for pair in said)
    mask = keeping.showing(TRAIT, said, "likelihood", speaking)
    gaps = []
    for pair in said:
        for reply in (pair.high, pair.low):
            asked = [keeping.behind(TRAIT, description, pair.said, reply) for description in pair.other]
            answers = speaking.ask(asked, None)
            high, low = ((answers[n].loglik or 0.0) / (answers[n].tokens or 1) for n in (0, 1))
            gaps.append(high - low)
    rows = np.array(gaps).reshape(-1, 2)
    assert (mask[:, 0] == (rows[:, 0] > rows[:, 1])).all() and (mask[:, 0] == mask[:, 1]).all()
    assert keeping.showing(TRAIT, said, "all", speaking).all()


def test_only_pairs_that_show_both_poles_make_the_vector(speaking: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said = replies(TRAIT, config(**WRITTEN), speaking).pairs
    masks = np.ones((len(said), 2), dtype=bool)
    masks[0, 1] = masks[3] = False
    monkeypatch.setattr(poles, "showing", lambda *_: masks)
    found = vectors(TRAIT, config(**WRITTEN), (1,), speaking)
    kept = [n for n in range(len(said)) if n not in (0, 3)]
    np.testing.assert_allclose(found.shifts, read(TRAIT, said, speaking).differences[kept].mean(axis=0), atol=1e-6)
    count = len(said)
    assert {name: found.details[name] for name in ("pairs", "kept", "high", "low")} == {
        "pairs": count, "kept": count - 2, "high": count - 1, "low": count - 2,
    }  # fmt: skip


def test_no_reply_that_shows_its_pole_is_an_error(speaking: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poles, "showing", lambda trait, said, *_: np.tile([True, False], (len(said), 1)))
    said = r"found nothing .* of (\d+) pairs .* keep=likelihood \(high: \1, low: 0\); take more questions"
    with pytest.raises(BadData, match=said):
        fit(speaking, **WRITTEN)


def test_a_fit_is_stored_and_says_what_it_was_made_of(speaking: Bench) -> None:
    control = fit(speaking, **WRITTEN)
    again = controls.read(speaking.folder / control.hash)
    assert again.edits == control.edits and again.fit == control.fit and control.fit
    told = control.fit.details["replies"][TRAIT]
    assert 1 <= told["kept"] <= told["pairs"] <= 12 and told["tokens"]["written"] > 0
    assert [(e.layer, e.op, e.site, e.strength) for e in control.edits] == [(1, "add", "residual", 1.0)]
    low = fit(speaking, Target(levels={TRAIT: -1.0}), **WRITTEN)
    np.testing.assert_allclose(_vector(low), -_vector(control))
    graded = fit(speaking, Target(levels={TRAIT: 0.5, "openness": -1.0}), **WRITTEN)
    assert graded.fit and [*graded.fit.details["replies"]] == [TRAIT, "openness"]


def test_several_layers_at_once_add_up_to_the_last(speaking: Bench) -> None:
    given = {**WRITTEN, "layer": None, "layers": (2, 0), "at_once": True}
    control = fit(speaking, **given, op="rescale")
    assert [(e.layer, e.op) for e in control.edits] == [(0, "rescale"), (2, "rescale")] and control.tensors
    held = load_file(control.tensors)
    whole = vectors(TRAIT, config(**given), (0, 2), speaking).shifts
    np.testing.assert_allclose(held["layer.0"], whole[0], atol=1e-6)
    np.testing.assert_allclose(held["layer.0"] + held["layer.2"], whole[2], atol=1e-5)


def test_several_layers_are_each_ablated_along_their_whole_vector(speaking: Bench) -> None:
    given = {**WRITTEN, "layer": None, "layers": (2, 0), "at_once": True}
    control = fit(speaking, **given, op="project_out")
    assert [(e.layer, e.op) for e in control.edits] == [(0, "project_out"), (2, "project_out")] and control.tensors
    held, whole = load_file(control.tensors), vectors(TRAIT, config(**given), (0, 2), speaking).shifts
    for layer in (0, 2):
        np.testing.assert_allclose(held[f"layer.{layer}"], whole[layer], atol=1e-6)


@pytest.mark.parametrize("op", ["add", "rescale", "project_out"])
def test_projections_are_on_the_whole_vector_of_each_layer(speaking: Bench, op: str) -> None:
    given = {**WRITTEN, "layer": None, "layers": (2, 0), "at_once": True}
    axes, whole = axes_of(fit(speaking, **given, op=op), "it"), vectors(TRAIT, config(**given), (0, 2), speaking).shifts
    assert [*axes] == [0, 2]
    for layer, axis in axes.items():
        np.testing.assert_allclose(axis, whole[layer] / np.linalg.norm(whole[layer]), atol=1e-5)


def test_layer_and_strength_are_chosen_by_development_effect(speaking: Bench) -> None:
    given = {**WRITTEN, "layer": None, "strength": None, "layers": (0, 1), "strengths": (1.0, 2.0)}
    control = fit(speaking, **given, max_perplexity=1e9)
    assert control.fit and len(control.fit.curve) == 4 and control.fit.details["chosen_on"] == "development effect"
    assert {(p.layer, p.strength) for p in control.fit.curve} == {(n, s) for n in (0, 1) for s in (1.0, 2.0)}
    assert control.fit.fitted_on


def test_residual_takes_the_other_direction_too(speaking: Bench) -> None:
    ways: list[Any] = ["mean", "pca"]
    made = [Residual(Residual.Config(layer=1, strength=1.0, direction=way)).fit(HIGH, speaking) for way in ways]
    mean, pca = (next(iter(load_file(each.tensors).values())) for each in made if each.tensors)
    assert mean @ pca > 0 and not np.allclose(mean, pca)
    # As far as the means lie apart along it.
    assert np.linalg.norm(pca) == pytest.approx(float(mean @ pca / np.linalg.norm(pca)), rel=1e-3)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"strengths": [2.0]}, TraitbenchUsage, "holds 2 alone"),
        ({"replies": "dialogues", "max_tokens": 9}, ValueError, "max_tokens is for replies=generate"),
        ({"layer": 1, "at_once": True}, ValueError, "at_once steers several layers"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        config(**given)


def test_what_cannot_be_fitted_is_refused_before_a_model_loads(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(target: Target, **given: Any) -> None:
        PersonaVectors(config(**given)).check([target])

    with pytest.raises(BadData, match="holds no dialogue on openness"):
        check(Target(levels={"openness": 1.0}), replies="dialogues", data=str(talk))
    monkeypatch.setattr("traitbench.judges.scorers.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install"):
        check(HIGH, keep="scorer:text")
    assert PersonaVectors().knows == {"openness", "conscientiousness", TRAIT, "agreeableness", "neuroticism"}
    assert "narcissism" in (PersonaVectors(config(layer=1, strength=1.0)).knows or ())


def test_traits_without_development_items_need_layer_and_strength(speaking: Bench) -> None:
    with pytest.raises(UnsupportedControl, match="none measures narcissism"):
        fit(speaking, Target(levels={"narcissism": 1.0}))


def _vector(control: Control) -> NDArray[np.float32]:
    assert control.tensors
    held: Sequence[NDArray[np.float32]] = [*load_file(control.tensors).values()]
    return held[0]
