"""Counts and solved shifts on made-up preferences."""

from __future__ import annotations

import numpy as np
import pytest

from traitbench.tasks.forced_choice.effects import of_units, solved
from traitbench.tasks.forced_choice.pairs import load, units
from traitbench.types import BIG_FIVE


def preferences(moved: dict[str, float], noise: float = 0, seed: int = 0) -> np.ndarray:
    """How far the preference for each second statement moves where traits move so far, (pairs,)."""
    rng = np.random.default_rng(seed)
    return np.array([
        pair.second.keyed * moved.get(pair.second.trait, 0) - pair.first.keyed * moved.get(pair.first.trait, 0)
        for pair in load()
    ]) + noise * rng.normal(size=len(load()))  # fmt: skip


def test_solving_finds_what_was_planted_where_counts_mix_it() -> None:
    planted = {"openness": 0.5, "neuroticism": -0.2, "agreeableness": 0.1}
    found = {each.trait: each for each in solved(preferences(planted), load())}
    for trait in BIG_FIVE:
        assert found[trait].value == pytest.approx(2 * planted.get(trait, 0), abs=1e-9)
    values = of_units(preferences({"openness": 0.5}), load(), units(load()), "statement")
    mine = {trait: values[[u.trait == trait for u in units(load())]].mean() for trait in BIG_FIVE}
    assert mine["openness"] > 0.5 and min(mine.values()) < -0.05, "what one gains another loses"


def test_intervals_cover_what_was_planted() -> None:
    covered = []
    for seed in range(200):
        found = solved(preferences({"extraversion": 0.3}, 0.5, seed), load())
        covered += [
            each.ci[0] <= (0.6 if each.trait == "extraversion" else 0) <= each.ci[1] and each.se > 0 for each in found
        ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_missing_pairs_are_left_out_and_too_few_give_nothing() -> None:
    moved = preferences({"openness": 0.5})
    moved[:5] = np.nan
    assert {e.trait: e.value for e in solved(moved, load())}["openness"] == pytest.approx(1)
    assert solved(np.where(np.arange(43) < 5, moved, np.nan), load()) == []
    assert solved(np.full(43, np.nan), load()) == []
