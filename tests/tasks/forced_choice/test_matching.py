"""The form: committed as the search makes it, balanced in keys, matched in desirability."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from traitbench import inventories
from traitbench.tasks.forced_choice import endorsement, matching
from traitbench.tasks.forced_choice.pairs import load, units
from traitbench.types import BIG_FIVE, DESIRABILITY


def test_the_form_is_what_the_search_makes_of_the_values_that_ship() -> None:
    assert matching.FILE.read_text(encoding="utf-8") == matching.written()


def test_each_statement_once_and_as_many_of_either_key() -> None:
    found = [own for pair in load() for own in (pair.first, pair.second)]
    assert len(load()) == 43 and len({own.item for own in found}) == 86
    keys = Counter((own.trait, own.keyed) for own in found)
    assert all(keys[trait, 1] == keys[trait, -1] for trait in BIG_FIVE)
    first = Counter((pair.first.trait, pair.first.keyed) for pair in load())
    assert all(abs(2 * first[place] - keys[place]) <= 2 for place in keys), "A as often as B"


def test_the_statements_of_a_pair_are_as_desirable() -> None:
    means = endorsement.desirability()
    gaps = [abs(means[pair.second.item] - means[pair.first.item]) for pair in load()]
    assert max(gaps) <= matching.WIDEST and np.mean(gaps) < 0.06
    at_random = np.random.default_rng(0).permutation([means[o.item] for p in load() for o in (p.first, p.second)])
    assert np.abs(at_random[::2] - at_random[1::2]).mean() > 0.5, "unmatched, half a point and more"
    assert all(pair.apart == pytest.approx(means[pair.second.item] - means[pair.first.item]) for pair in load())


def test_pairs_tell_all_traits_apart() -> None:
    for pair in load():
        assert pair.first.trait != pair.second.trait or pair.first.keyed != pair.second.keyed
    alone = {pair.first.trait for pair in load() if pair.first.trait == pair.second.trait}
    assert alone == set(BIG_FIVE)
    signs = [[DESIRABILITY[own.trait] * own.keyed for own in (pair.first, pair.second)] for pair in load()]
    assert sum(a != b for a, b in signs) >= 15, "with those of one trait"


def test_units_say_who_takes_the_second_statement() -> None:
    held = {pair.id: pair for pair in load()}
    for unit in units(load()):
        pair = held[unit.pair]
        own = pair.second if unit.trait == pair.second.trait else pair.first
        taken = own is pair.second
        assert unit.sign == (1 if (own.keyed == 1) == taken else -1) and unit.facet == own.facet
    assert len(units(load())) == 86 - 5


def test_another_seed_and_other_values_give_another_form() -> None:
    items = [i for i in inventories.load("ipip_neo_120").items if (i.facet or "")[1:] in ("1", "2", "3")]
    means = endorsement.desirability()
    found = matching.matched(items, means)
    assert found == matching.matched(items, means)
    turned = matching.matched(items, {id: means[id] * (1 if n % 2 else 1.2) for n, id in enumerate(means)})
    assert found != turned


@pytest.mark.data
def test_the_values_are_those_of_the_people(shared: Path) -> None:
    assert endorsement.FILE.read_text(encoding="utf-8") == endorsement.written(endorsement.computed())
