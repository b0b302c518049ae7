"""Norms by sex and age against the PyPI package five-factor-e, and the figures against their source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from traitbench import inventories
from traitbench.errors import BadData, UnknownName
from traitbench.humans.norms import Standing, johnson_percentile, normed, standing
from traitbench.types import BIG_FIVE

FORMS = {"ipip_neo_120": 120, "ipip_neo_300": 300}
AGES = (10, 20, 21, 40, 41, 60, 61, 110)
LETTERS = dict(zip("OCEAN", BIG_FIVE, strict=True))


def answers(form: str, seed: int) -> tuple[dict[str, float], list[int]]:
    """Means by trait and facet of random keyed answers, by the inventory's own key; and the answers in item order."""
    inventory = inventories.load(form)
    values = np.random.default_rng(seed).integers(1, 6, len(inventory.items))
    scores: dict[str, list[int]] = {}
    for item, value in zip(inventory.items, values, strict=True):
        assert item.facet is not None
        for name in (item.trait, item.facet):
            scores.setdefault(name, []).append(int(value))
    return {name: float(np.mean(found)) for name, found in scores.items()}, [int(v) for v in values]


def theirs(form: str, keyed: list[int], sex: str, age: int) -> tuple[dict[str, float], dict[str, float]]:
    """T and percentile by letter and facet code, as five-factor-e computes them from keyed answers."""
    package = pytest.importorskip("ipipneo")
    norm_of = pytest.importorskip("ipipneo.norm").Norm
    scorer = package.IpipNeo(question=FORMS[form])
    sums = scorer.score(answers=list(keyed))
    norm = norm_of(sex=sex, age=age, nquestion=FORMS[form])
    t = dict(norm_of.calc(domain=scorer.domain(score=sums), norm=norm))
    facets = scorer.distrib(size=len(sums), b5=scorer.b5create(score=sums), norm=norm)
    t |= {f"{letter}{i}": facets[letter][i] for letter in "OCEAN" for i in range(1, 7)}
    result = scorer.evaluator(sex=sex, age=age, score=sums)
    percentiles: dict[str, float] = {}
    for letter, block in zip("OCEAN", result["person"]["result"]["personalities"], strict=True):
        (domain,) = block.values()
        percentiles[letter] = domain[letter]
        for i, facet in enumerate(domain["traits"], 1):
            assert facet["trait"] == i
            percentiles[f"{letter}{i}"] = next(v for k, v in facet.items() if k not in ("trait", "score"))
    return t, percentiles


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sex", ["F", "M", "N"])
def test_t_and_percentile_agree_with_the_package(form: str, sex: str) -> None:
    for seed, age in enumerate(AGES):
        scores, keyed = answers(form, seed)
        t, percentiles = theirs(form, keyed, sex, age)
        found = standing(scores, form, sex, age)
        assert len(found) == len(t) == 35
        for code, expected in t.items():
            mine = found[LETTERS.get(code, code)]
            assert mine.t == pytest.approx(expected, abs=1e-6), (code, sex, age)
            assert mine.percentile_johnson == pytest.approx(percentiles[code], abs=1e-6), (code, sex, age)


def test_by_hand() -> None:
    """A man of 30 with every neuroticism item at 3: sum 72 against 66.97 and 16.48 on the 120-item form."""
    found = standing({"neuroticism": 3.0}, "ipip_neo_120", "M", 30)["neuroticism"]
    z = (72 - 66.97) / 16.48
    assert found.z == pytest.approx(z) and found.t == pytest.approx(50 + 10 * z)
    assert found.percentile == pytest.approx(100 * stats.norm.cdf(z), abs=1e-10)
    assert (found.mean, found.sd) == pytest.approx((66.97 / 24, 16.48 / 24))
    assert found.group == "men of 21 to 40" and found.value == 3


def test_a_trait_may_be_named_by_its_letter() -> None:
    found = standing({"N": 3.0, "neuroticism": 3.0}, "ipip_neo_300", "f", 50)
    assert found["N"] == found["neuroticism"] and found["N"].group == "women over 20"


def test_the_tails_keep_their_digits() -> None:
    found = standing({"C3": 1.0, "A2": 5.0}, "ipip_neo_120", "F", 70)
    for code in ("C3", "A2"):
        z = found[code].z
        assert z is not None
        assert found[code].percentile == pytest.approx(100 * stats.norm.cdf(z), rel=1e-9)


def test_the_cubic_is_near_the_normal_distribution() -> None:
    """The two percentiles of a standing differ by at most 1.94 between T 32 and 73, and are clamped beyond."""
    t = np.linspace(32, 73, 4101)
    gap = np.abs([johnson_percentile(v) for v in t] - 100 * stats.norm.cdf((t - 50) / 10))
    assert 1.93 < gap.max() < 1.94
    assert johnson_percentile(31.99) == 1 and johnson_percentile(73.01) == 99


def test_the_neutral_norm_is_between_both() -> None:
    man, woman, neutral = (standing({"A": 3.5}, "ipip_neo_120", sex, 30)["A"] for sex in "MFN")
    assert man.t is not None and woman.t is not None and neutral.t is not None
    assert woman.t < neutral.t < man.t
    assert neutral.group == "men of 21 to 40 and women of 21 to 40"


def test_an_unscored_trait_stands_nowhere() -> None:
    found = standing({"openness": None}, "ipip_neo_120", "F", 30)["openness"]
    assert (found.value, found.z, found.t, found.percentile, found.percentile_johnson) == (None,) * 5
    assert Standing.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("ipip_neo_12", "F", 30), "did you mean 'ipip_neo_120'"),
        (("sd3", "F", 30), "known: ipip_neo_120, ipip_neo_300"),
        (("ipip_neo_120", "X", 30), "unknown sex 'X' for norms; expected F, M or N"),
        (("ipip_neo_120", None, 30), "unknown sex None"),
        (("ipip_neo_120", "F", 9), "unknown age 9 for norms; expected whole years from 10 to 110"),
        (("ipip_neo_120", "F", 111), "unknown age 111"),
        (("ipip_neo_120", "F", 30.5), "whole years"),
        (("ipip_neo_120", "F", True), "whole years"),
        (("ipip_neo_120", "F", None), "whole years"),
    ],
)
def test_what_is_not_in_the_norms(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        standing({"openness": 3.0}, *given)


def test_other_scales_and_sums_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown scale of ipip_neo_120 'opennes'; did you mean 'openness'"):
        standing({"opennes": 3.0}, "ipip_neo_120", "F", 30)
    for value in (0.9, 5.1, 72.0, float("nan")):
        with pytest.raises(BadData, match="give item means"):
            standing({"openness": value}, "ipip_neo_120", "F", 30)


def test_the_norms_fit_the_inventories() -> None:
    for form in normed():
        inventory = inventories.load(form)
        found = standing({**dict.fromkeys(BIG_FIVE, 3.0), **dict.fromkeys(inventory.facets, 3.0)}, form, "F", 30)
        assert len(found) == 35


def test_every_figure_is_that_of_the_source(shared: Path) -> None:
    source = json.loads((shared / "reference/human_norms_johnson_120_300.json").read_text())["norms"]
    ages = {"<21": (10, 20), "21-40": (21, 40), "41-60": (41, 60), ">60": (61, 110)}
    compared = 0
    for key, group in source.items():
        form, sex, band = key.split("|")
        sizes = {"120": (24, 4), "300": (60, 10)}[form]
        for age in ages[band]:
            for size, part in zip(sizes, ("domains", "facets"), strict=True):
                found = standing(dict.fromkeys(group[part], 3.0), f"ipip_neo_{form}", sex, age)
                for code, norm in group[part].items():
                    assert found[code].mean * size == pytest.approx(norm["mean"], abs=1e-12), (key, code)
                    assert found[code].sd * size == pytest.approx(norm["sd"], abs=1e-12), (key, code)
                    compared += 1
    assert compared == 16 * 2 * 35
