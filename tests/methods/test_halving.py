"""Halving: the choice of the exhaustive search on drawn candidates, what it costs, and what it says of the others."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from traitbench.backends.neutral import FEW, passages
from traitbench.methods.choosing import spread, top
from traitbench.methods.damage import Harm
from traitbench.methods.halving import CERTAIN, Candidate, Criterion, settle
from traitbench.types import Control, Edit, Point

Array = NDArray[np.float64]
ITEMS, LAYERS, STRENGTHS = 18, 8, (1.0, 2.0, 4.0, 6.0)


class Drawn(NamedTuple):
    """Effects of candidates on items and what they do to passages, and how much was asked for."""

    moved: Array
    """(candidates, items)."""
    nats: Array
    """(candidates, passages): by which a passage of 50 tokens becomes less likely, nats a token."""
    candidates: list[Candidate]
    asked: Counter[str]

    def by(self, limit: float = 2.0, within: float = 1.0, **given: Any) -> Criterion:
        place = {candidate.control.hash: n for n, candidate in enumerate(self.candidates)}
        said: dict[int, int] = {}

        def moved(control: Control, start: int, stop: int) -> Array:
            self.asked["items"] += stop - start
            return self.moved[place[control.hash], start:stop]

        def harm(control: Control, count: int | None = None) -> Harm:
            n, whole = place[control.hash], len(passages())
            count = max(count or whole, said.get(n, 0))
            self.asked["passages"] += count - said.get(n, 0)
            said[n] = count
            some = self.nats[n, :count]
            error = 0.0 if count == whole else float(some.std(ddof=1) * math.sqrt((1 - count / whole) / count))
            return Harm(math.exp(some.mean()), error, None if count == whole else count)

        return Criterion(
            size=self.moved.shape[1], moved=moved, effect=lambda m: float(m.mean()),
            error=lambda m: float(m.std(ddof=1) / math.sqrt(len(m))) if len(m) > 1 else None, harm=harm,
            limit=limit, within=within, **given,
        )  # fmt: skip


def drawn(seed: int) -> Drawn:
    """Layers with an effect each that grows and breaks down with strength, as damage does; noise that layers share."""
    draw = np.random.default_rng(seed)
    candidates, moved, nats = [], [], []
    items, prose = draw.normal(0, 1, ITEMS), draw.normal(1, 0.3, len(passages()))
    for layer in range(LAYERS):
        gain, harm = draw.normal(0.05, 0.08), draw.uniform(0.02, 0.35)
        for strength in STRENGTHS:
            effect = gain * strength + draw.normal(0, 0.05) * (harm * strength) ** 2
            own = draw.normal(0, 0.03 * strength, ITEMS)
            moved.append(effect + 0.1 * strength * gain * items + own)
            nats.append(harm * strength**1.5 * np.abs(prose) * 0.5)
            edit = Edit(layer=layer, site="residual", op="add", tensor="v", strength=strength)
            candidates.append(Candidate(Control(edits=(edit,), contents="x"), strength, layer))
    return Drawn(np.array(moved), np.array(nats), candidates, Counter())


def where(point: Point | None) -> tuple[int | None, float] | None:
    return None if point is None else (point.layer, point.strength)


def test_the_choice_is_that_of_the_exhaustive_search_at_less_than_half_its_cost() -> None:
    same, cost = 0, Counter[str]()
    for seed in range(60):
        made = drawn(seed)
        halved, _ = settle(made.candidates, made.by())
        cost += made.asked
        full, curve = settle(made.candidates, drawn(seed).by(), "exhaustive")
        assert where(full) == where(top(curve, 2.0)), "the rule on all that was measured"
        same += where(halved) == where(full)
    assert same == 60
    whole = 60 * LAYERS * len(STRENGTHS)
    assert cost["items"] < 0.6 * whole * ITEMS and cost["passages"] < 0.15 * whole * len(passages()), cost


@pytest.mark.parametrize("limit", [1e-9, 1.02, 1e9, math.inf])
@pytest.mark.parametrize("within", [0.0, 2.0])
def test_so_it_is_at_other_limits(limit: float, within: float) -> None:
    for seed in range(20):
        made = drawn(seed)
        halved, _ = settle(made.candidates, made.by(limit, within))
        full, _ = settle(made.candidates, drawn(seed).by(limit, within), "exhaustive")
        assert where(halved) == where(full)


def test_what_is_chosen_is_measured_in_full_and_the_others_say_on_how_much() -> None:
    made = drawn(3)
    chosen, curve = settle(made.candidates, made.by())
    assert chosen is not None and chosen in curve and chosen.items is None and chosen.passages is None
    assert chosen.perplexity is not None and chosen.perplexity <= 2 and chosen.se is not None
    assert [where(p) for p in curve] == [(c.layer, c.strength) for c in made.candidates]
    part = [p for p in curve if p.items is not None]
    assert part and all(p.items is not None and 4 <= p.items < ITEMS for p in part)
    assert {p.passages for p in curve if p.perplexity is not None} <= {None, FEW}
    assert any(p.perplexity is None for p in curve)
    assert "items" not in chosen.model_dump() and "passages" not in chosen.model_dump()


def test_a_best_that_begins_badly_is_called_back() -> None:
    """The first items say that a candidate does nothing, with an error that leaves room for what the others say."""
    made = drawn(0)
    moved = np.tile(np.linspace(0.05, 0.15, ITEMS), (len(made.candidates), 1))
    moved[5] = np.where(np.arange(ITEMS) < 5, np.array([-0.5, 0.5] * 9), 0.4)
    held = made._replace(moved=moved, nats=np.zeros_like(made.nats))
    chosen, _ = settle(held.candidates, held.by(within=0.0))
    assert where(chosen) == (1, 2.0) and CERTAIN >= 2


def test_nothing_under_the_limit_is_no_choice_and_costs_a_few_passages() -> None:
    made = drawn(1)
    held = made._replace(nats=np.full_like(made.nats, 3.0))
    chosen, curve = settle(held.candidates, held.by())
    assert chosen is None and all(p.passages == FEW for p in curve)
    assert held.asked["passages"] == FEW * len(curve)


def test_one_that_a_few_passages_speak_for_is_dropped_where_all_do_not() -> None:
    made = drawn(2)
    nats = np.zeros_like(made.nats)
    moved = np.zeros_like(made.moved) + np.arange(len(nats))[:, None]
    nats[-1, FEW:] = 3.0
    held = made._replace(nats=nats, moved=moved)
    chosen, curve = settle(held.candidates, held.by(within=0.0))
    assert where(chosen) == where(curve[-2]) and curve[-1].passages is None and (curve[-1].perplexity or 0) > 2


def test_a_candidate_without_edits_costs_no_passages() -> None:
    made = drawn(4)
    plain = [Candidate(Control(), 0.0), *made.candidates[:3]]
    held = made._replace(
        candidates=plain,
        moved=np.vstack([np.zeros(ITEMS), made.moved[:3]]),
        nats=np.vstack([made.nats[:1] * 0, made.nats[:3]]),
    )
    _, curve = settle(plain, held.by())
    assert curve[0].perplexity == 1 and curve[0].effect == 0


def test_without_shares_all_is_measured_but_not_all_perplexities() -> None:
    made = drawn(5)
    _, curve = settle(made.candidates, made.by(shares=()))
    assert all(p.items is None for p in curve) and any(p.perplexity is None for p in curve)


def test_a_beginning_of_what_is_spread_holds_its_share_of_each_kind() -> None:
    things = [(kind, n) for kind, count in (("a", 8), ("b", 4), ("c", 2)) for n in range(count)]
    order = spread(things, lambda thing: thing[0])
    assert sorted(order) == sorted(things) and Counter(kind for kind, _ in order[:7]) == {"a": 4, "b": 2, "c": 1}
    assert [n for kind, n in order if kind == "a"] == list(range(8))
