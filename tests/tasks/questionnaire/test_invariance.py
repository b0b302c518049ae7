"""Items and scales under a control: respondents of two conditions beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from traitbench import load_results
from traitbench.answers.functioning import functioning
from traitbench.cli.commands import main
from traitbench.inventories import load
from traitbench.tasks import views_of

RUN = "run -M scripted:person -a person_sd=.2,noise=.15,obedience=.1 -m prompting -t ipip_50 --bootstrap_iters 20"


def made(folder: Path, more: str) -> Path:
    assert main(f"{RUN} -o {folder} --target extraversion=high {more}".split()) == 0
    return next(folder.iterdir())


def test_a_control_that_moves_the_trait_moves_its_items_alike(tmp_path: Path) -> None:
    results = load_results(made(tmp_path, "--scoring choice --respondents 40"))
    (block,) = results.tasks.values()
    (found,) = block.modes["choice"].functioning  # type: ignore[attr-defined]
    assert (found.first, found.second) == ("baseline", "extraversion=high")
    assert [scale.holds for scale in found.scales] == ["scalar"] * 5
    assert [scale.n_second for scale in found.scales] == [40] * 5
    assert not any(item.differs for scale in found.scales for item in scale.items)
    assert all(item.p is not None for scale in found.scales for item in scale.items)
    titles = [table.title for table in views_of(block.kind).tables("ipip_50", block, results)]
    assert "Measurement invariance, ipip_50" in titles
    assert "Items that work differently, ipip_50" not in titles


@pytest.mark.parametrize("more", ["--scoring choice --respondents 10", "--scoring statement --respondents 25", ""])
def test_without_respondents_or_options_nothing_is_claimed(tmp_path: Path, more: str) -> None:
    results = load_results(made(tmp_path, more))
    for scored in results.tasks["ipip_50"].modes.values():  # type: ignore[attr-defined]
        assert scored.functioning == []


def test_an_item_that_the_control_moves_alone_is_named_and_left_out_of_the_score() -> None:
    rng = np.random.default_rng(2)
    items = [item for item in load("ipip_50").items if item.trait == "extraversion"]
    tables = []
    for moved in (0.0, 0.4):
        trait = rng.standard_normal((300, 1)) + moved
        raw = 3 + 0.8 * trait + 0.8 * rng.standard_normal((300, len(items)))
        raw[:, 4] += 4 * moved
        tables.append(np.clip(np.rint(raw), 1, 5))
    (scale,) = functioning(*tables, items)
    assert [item.item for item in scale.items if item.differs] == [items[4].id]
    assert scale.items[4].log_odds is not None and scale.items[4].log_odds > 1
    assert scale.matched_on == len(items) - 1
    assert scale.indicators == "items"
    assert scale.holds == "metric"


def test_a_constant_item_costs_only_itself() -> None:
    rng = np.random.default_rng(3)
    items = [item for item in load("ipip_50").items if item.trait in ("extraversion", "openness")]
    tables = [np.clip(np.rint(3 + rng.standard_normal((80, 1)) + rng.standard_normal((80, 20))), 1, 5) for _ in "ab"]
    tables[0][:, 2] = 4
    found = {scale.trait: scale for scale in functioning(*tables, items)}
    reasons = {item.item: item.reason for scale in found.values() for item in scale.items if item.p is None}
    flat = items[2]
    assert reasons == {flat.id: "every answer of a group is the same"}
    assert found[flat.trait].holds is None and "does not vary" in found[flat.trait].reason
    assert all(scale.holds for trait, scale in found.items() if trait != flat.trait)


def test_scales_with_facets_are_compared_over_their_facets() -> None:
    rng = np.random.default_rng(4)
    items = [item for item in load("ipip_neo_120").items if item.trait == "neuroticism"]
    tables = [np.clip(np.rint(3 + rng.standard_normal((90, 1)) + rng.standard_normal((90, 24))), 1, 5) for _ in "ab"]
    (scale,) = functioning(*tables, items)
    assert scale.indicators == "facets"
    assert scale.holds == "scalar"
    assert {fit.level: fit.df for fit in scale.fits} == {"configural": 18, "metric": 23, "scalar": 28}
