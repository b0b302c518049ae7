"""Contrasts of single words: planted directions are found, noise and untrained models are called nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tiny_models import CONFIGS, tokenizer

from traitbench.backends.hf import HuggingFace
from traitbench.backends.models import resolve
from traitbench.methods.bench import Bench
from traitbench.methods.prompting import texts
from traitbench.methods.separation import QUESTIONS, aligned, separated, word_contrasts
from traitbench.methods.weakest import weakest
from traitbench.types import Doc, Find, Message, Write

TRAIT = "extraversion"
Contrasts = NDArray[np.float32]


def noise(seed: int, pairs: int = 8, layers: int = 6, width: int = 32) -> Contrasts:
    """Contrasts without anything in common; two dimensions are far larger than the rest, and layers hang together."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 1, (pairs, layers, width)) + rng.normal(0, 2, (pairs, 1, width))
    found[:, :, :2] *= 30
    return found.astype(np.float32)


def planted(seed: int) -> tuple[Contrasts, NDArray[np.float32]]:
    """The same with a direction in layer 4."""
    direction = np.random.default_rng(1000 + seed).normal(0, 1, 32).astype(np.float32)
    direction[:2] = 0
    found = noise(seed) * np.array([1 / 30] * 2 + [1] * 30, dtype=np.float32)
    found[:, 4] += 2 * direction
    return found, direction


def test_noise_is_called_nothing_and_a_planted_direction_is_found() -> None:
    """A hundred seeds: seven false finds at most, with the best of six layers."""
    assert sum(separated(noise(seed), range(6)).p <= 0.05 for seed in range(100)) <= 7
    for seed in range(20):
        found = separated(planted(seed)[0], range(6))
        assert found.p == 2 / 256 and found.draws == 255, "all turned round is the same"
        assert separated(planted(seed)[0], (4,)).observed == found.observed > separated(planted(seed)[0], (1,)).observed


def test_vectors_of_noise_are_called_nothing_though_the_poles_lie_apart() -> None:
    """Any vector has some projection on a difference that is there: a hundred must not pass for it."""
    false = 0
    for seed in range(100):
        contrasts, _ = planted(seed)
        vector = np.random.default_rng(2000 + seed).normal(0, 1, 32).astype(np.float32)
        vector[:2] *= 30
        false += aligned(contrasts, {3: vector, 4: vector}, 199, seed).p <= 0.05
    assert false <= 7
    for seed in range(20):
        contrasts, direction = planted(seed)
        assert aligned(contrasts, {4: direction}).p <= 0.01
        assert aligned(contrasts, {4: -direction}).p >= 0.9, "it points to the low pole"
    assert sum(aligned(noise(seed), {4: planted(seed)[1]}, 199, seed).p <= 0.05 for seed in range(100)) <= 7


def test_the_gap_by_hand() -> None:
    """The cosine of each contrast and the sum of the others, turned as the labels say."""
    rows = noise(3, pairs=4, layers=2)
    signs = [np.array([1 - 2 * (n >> k & 1) for k in range(4)]) for n in range(16)]
    by_hand = []
    for sign in signs:
        gaps = []
        for layer in (0, 1):
            turned = rows[:, layer].astype(np.float64) * sign[:, None]
            others = [turned.sum(axis=0) - row for row in turned]
            gaps.append(
                np.mean([r @ o / np.linalg.norm(r) / np.linalg.norm(o) for r, o in zip(turned, others, strict=True)])
            )
        by_hand.append(max(gaps))
    found = separated(rows, (0, 1))
    assert found.observed == pytest.approx(by_hand[0]) and found.null[0] == pytest.approx(np.mean(by_hand[1:]))
    reached = sum(gap >= by_hand[0] - 1e-9 for gap in by_hand)
    assert found.p == reached / 16


def test_the_cosine_by_hand() -> None:
    rows, vector = noise(1), np.arange(1, 33, dtype=np.float32)
    cosines = [
        row @ vector / np.linalg.norm(row) / np.linalg.norm(vector) for layer in (2, 5) for row in rows[:, layer]
    ]
    assert aligned(rows, {2: vector, 5: vector}, 9).observed == pytest.approx(np.mean(cosines), rel=1e-5)


def test_contrasts_that_are_zero_are_no_finding() -> None:
    nothing = np.zeros((8, 2, 16), dtype=np.float32)
    assert separated(nothing, (0, 1)).p == 1 and aligned(nothing, {0: np.ones(16, np.float32)}).p == 1


def test_contrasts_are_differences_of_plain_forward_passes(bench: Bench) -> None:
    found = word_contrasts(TRAIT, bench)
    assert found is not None and found.shape == (8, 3, 32)
    high, low = texts()[TRAIT].high, texts()[TRAIT].low
    for n, words in enumerate(zip((high.head, *high.adjectives), (low.head, *low.adjectives), strict=True)):
        states = []
        for word in words:
            doc = Doc(task="t", scoring="generate", item="i", trait=TRAIT, facet=None, keyed=1)
            turns = (
                Message(role="system", content=f"You are a person who is extremely {word}."),
                Message(role="user", content=QUESTIONS[n]),
            )
            ids = torch.tensor([bench.backend.encode_prompt(Write(doc=doc, messages=turns, cue="Answer:"))])
            with torch.no_grad():
                states.append(bench.backend.model(ids, output_hidden_states=True).hidden_states[2][0, -1])
        np.testing.assert_allclose(found[n, 1], (states[0] - states[1]).numpy(), rtol=1e-3, atol=2e-5)
    assert word_contrasts("honesty_humility", bench) is None


def test_an_untrained_model_tells_personas_apart_and_is_said_to_hold_nothing(tmp_path: Path) -> None:
    """Of ten of them: the personas that residual takes the mean over always differ, single words do so by chance."""
    found = 0
    for seed in range(10):
        torch.manual_seed(seed)
        folder = tmp_path / str(seed)
        transformers.AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        bench = Bench(0, HuggingFace(resolve(str(folder)), device="cpu"), folder / "controls", folder / "cache")
        contrasts = word_contrasts(TRAIT, bench)
        assert contrasts is not None and contrasts.any()
        found += separated(contrasts, range(3)).p <= 0.05
    assert found <= 2, "binomial, 10 x .05: 2 is the 99th percentile"


def test_of_several_traits_the_least_sure_counts() -> None:
    finds = {
        trait: Find(statistic="gap", on="words", observed=1, null=(0, 1), draws=99, p=p)
        for trait, p in (("openness", 0.01), ("neuroticism", 0.4))
    }
    found = weakest(finds)
    assert found is not None and found.p == 0.4 and found.statistic == "gap, neuroticism, of 2 traits the least sure"
    assert weakest({"openness": finds["openness"]}) == finds["openness"]
    assert weakest({**finds, "x": None}) is None and weakest({}) is None
