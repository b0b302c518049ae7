"""The verdict: who is called interpretable, who never, and that every reason names its criterion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from traitbench import inventories
from traitbench.cli.commands import main
from traitbench.statistics.generalizability import DStudy, VarianceComponents
from traitbench.statistics.thresholds import THRESHOLDS, judge
from traitbench.tasks.questionnaire.respondents import Grid, Reliability, reliability
from traitbench.tasks.questionnaire.scorecard import Contrast, Scorecard
from traitbench.tasks.questionnaire.validity import Structure, structure
from traitbench.tasks.questionnaire.variance import Dependability, Variance
from traitbench.tasks.questionnaire.verdict import verdict
from traitbench.tasks.variation import Variation
from traitbench.tasks.verdict import Verdict

BIG = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
NOTHING = Scorecard(unit="nats a token", contrasts=[])


def answers(name: str, values: np.ndarray) -> Grid:
    """Keyed answers (respondents, items) of an inventory as a grid with one occasion."""
    items = inventories.load(name).items
    n, k = values.shape
    levels = {"item": tuple(i.id for i in items), "respondent": tuple(range(n))}
    levels |= {axis: (None,) for axis in ("order", "symbols", "template", "repeat")}
    return Grid(items, levels, values.T.reshape(k, 1, 1, 1, n, 1))


def judged(name: str, values: np.ndarray) -> str:
    found = answers(name, values)
    known = reliability(found, BIG)
    return verdict(None, NOTHING, known, structure(found, known), 5).verdict


def people(name: str, rng: np.random.Generator, n: int, loading: float, phi: float) -> np.ndarray:
    inventory = inventories.load(name)
    traits = rng.multivariate_normal(np.zeros(5), np.full((5, 5), phi) + (1 - phi) * np.eye(5), n)
    place = [inventory.traits.index(i.trait) for i in inventory.items]
    return loading * traits[:, place] + np.sqrt(1 - loading**2) * rng.standard_normal((n, len(place)))


def test_a_thousand_runs_of_fifty_random_respondents_are_never_interpretable() -> None:
    """Four items a scale: the fewest of any instrument here, where chance has the most room."""
    rng = np.random.default_rng(0)
    runs = [rng.integers(1, 6, (50, 20)).astype(float) for _ in range(1000)]
    assert {judged("mini_ipip", run) for run in runs} == {"not interpretable"}


def test_yes_sayers_of_every_degree_are_not_interpretable() -> None:
    """Respondents who differ in agreement alone: keyed answers of the two keys then go against each other."""
    rng = np.random.default_rng(1)
    keys = np.array([item.keyed for item in inventories.load("ipip_50").items])
    for _ in range(5):
        raw = rng.normal(0, 1, (50, 1)) + 0.5 * rng.standard_normal((50, 50))
        assert judged("ipip_50", keys * raw) != "interpretable"


@pytest.mark.parametrize("loading", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("name", ["mini_ipip", "ipip_50"])
def test_one_factor_behind_all_five_traits_is_never_interpretable(name: str, loading: float) -> None:
    rng = np.random.default_rng(2)
    words = [judged(name, people(name, rng, 50, loading, 1.0)) for _ in range(60 if name == "mini_ipip" else 8)]
    assert "interpretable" not in words


def test_five_reliable_traits_that_differ_are_interpretable() -> None:
    rng = np.random.default_rng(3)
    words = [judged("ipip_50", people("ipip_50", rng, 50, 0.7, 0.3)) for _ in range(6)]
    assert words.count("interpretable") >= 5


def test_people_would_be_interpretable() -> None:
    """The limits let real samples pass: figures of the IPIP-50 and SD3 samples (harness/humans/references.json)."""
    from traitbench.humans import reference

    for name in ("ipip_50_online", "sd3_online"):
        sample = reference(name)
        assert sample.alphas is not None
        known = [
            Reliability(trait=t, items=9, n=sample.n, alpha=a, alpha_ci=((a or 0) - 0.02, (a or 0) + 0.02),
                        omega_total=a, reasons={"retest": "one occasion"})
            for t, a in zip(sample.traits, sample.alphas, strict=True)
        ]  # fmt: skip
        r = sample.matrix(sample.traits)
        a = np.array(sample.alphas, dtype=float)
        mean = float(np.mean([abs(r[i, j]) / (a[i] * a[j]) ** 0.5 for i in range(len(a)) for j in range(i)]))
        shape = Structure(traits=sample.traits, n=sample.n, correlations=r.tolist(), disattenuated_mean=mean)
        assert verdict(None, NOTHING, known, shape, len(known)).reasons == []


def scale(trait: str, **change: object) -> Reliability:
    sound = {
        "items": 10,
        "n": 50,
        "alpha": 0.8,
        "alpha_ci": (0.7, 0.9),
        "omega_total": 0.8,
        "retest": 0.9,
        "occasions": 2,
    }
    return Reliability.model_validate({"trait": trait, **sound, **change})


SOUND = Structure(traits=BIG, n=50, correlations=[], disattenuated_mean=0.3)


@pytest.mark.parametrize(
    ("change", "word", "said"),
    [
        ({}, "interpretable", ""),
        ({"alpha": 0.65}, "caution", "alpha < 0.70: openness 0.65"),
        ({"alpha": 0.4}, "caution", "alpha of 1 of 5 scales < 0.50"),
        ({"alpha_ci": (0.45, 0.85)}, "caution", "interval of alpha reaches below 0.50: openness"),
        ({"omega_total": 0.6}, "caution", "omega total < 0.70"),
        ({"retest": 0.3}, "caution", "retest < 0.50"),
        ({"n": 19}, "caution", "19 respondents (< 20)"),
        ({"alpha": None, "reasons": {"alpha": "no variance"}}, "caution", "no alpha of openness: no variance"),
        ({"retest": None, "occasions": 1}, "interpretable", ""),
    ],
)  # fmt: skip
def test_each_criterion_speaks_for_itself(change: dict[str, object], word: str, said: str) -> None:
    known = [scale("openness", **change), *(scale(t) for t in BIG[1:])]
    found = verdict(None, NOTHING, known, SOUND, 5)
    assert found.verdict == word
    assert said in " ".join(found.reasons)
    assert bool(found.reasons) == bool(said)


def test_bad_scales_forbid_interpretation_once_they_are_half() -> None:
    for bad, word in ((2, "caution"), (3, "not interpretable")):
        known = [scale(t, alpha=0.3, alpha_ci=(0.0, 0.5)) for t in BIG[:bad]] + [scale(t) for t in BIG[bad:]]
        assert verdict(None, NOTHING, known, SOUND, 5).verdict == word


@pytest.mark.parametrize(("ratio", "said"), [(1.99, None), (2.0, "2.00 times"), (1e9, "over 1000 times"), (None, None)])
def test_prose_that_breaks_down_is_a_caution(ratio: float | None, said: str | None) -> None:
    known = [scale(t) for t in BIG]
    found = verdict(None, NOTHING, known, SOUND, 5, ratio)
    assert found.verdict == ("caution" if said else "interpretable")
    assert [said in reason for reason in found.reasons] == ([True] if said else [])  # type: ignore[operator]


SURE = Contrast(target="openness", high="h", low="l", aimed={"openness": 1}, shifts=[], check="ok")


def dependable(value: float | None, trait: str = "openness") -> dict[str, Dependability]:
    components = VarianceComponents(sizes={}, fixed=(), effects=(), dropped=0, notes=())
    study = DStudy(object="condition", sizes={}, fixed=(), generalizability=value, reason="" if value else "so it is")
    known = Variance(components=components, study=study, needed={})
    return {trait: Dependability(aimed=known, run=known)}


def controlled(found: dict[str, Dependability], scales: list[Reliability] | None = None) -> Verdict:
    card = Scorecard(unit="nats a token", contrasts=[SURE], split_half=0.9)
    return verdict(None, card, scales or [], SOUND if scales else None, 5, dependable=found)


@pytest.mark.parametrize(
    ("value", "word", "said"),
    [
        (0.80, "interpretable", ""),
        (0.79, "caution", "dependability < 0.80: openness 0.79"),
        (0.49, "not interpretable", "dependability of 1 of 1 scales < 0.50: openness 0.49"),
        (None, "caution", "no dependability of any scale: so it is"),
    ],
)
def test_a_control_needs_conditions_that_can_be_told_apart_and_no_respondents(
    value: float | None, word: str, said: str
) -> None:
    found = controlled(dependable(value))
    assert found.verdict == word and said in " ".join(found.reasons)
    assert "respondents" not in " ".join(found.reasons)


def test_a_scale_that_the_control_does_not_aim_at_is_not_asked() -> None:
    assert controlled(dependable(0.9) | dependable(0.1, "neuroticism")).verdict == "interpretable"
    assert controlled(dependable(0.9, "neuroticism")).reasons == [
        "caution: no dependability of any scale: its conditions were not studied"
    ]


def test_respondents_who_do_not_differ_say_nothing_against_a_control() -> None:
    """Trait-free biographies need not move a model; keys that go against each other over them do count."""
    alike = [scale(t, alpha=0.1, alpha_ci=(-0.3, 0.4), omega_total=0.2, retest=0.1) for t in BIG]
    assert controlled(dependable(0.9), alike).verdict == "interpretable"
    against = [scale(t, alpha=-2.0, alpha_ci=(-3.0, -1.1)) for t in BIG]
    found = controlled(dependable(0.9), against)
    assert found.verdict == "not interpretable"
    assert "upper end of alpha's interval of 5 of 5 scales < 0.00" in found.reasons[0]
    assert controlled(dependable(0.9), [*against[:2], *alike[2:]]).verdict == "caution"


@pytest.mark.parametrize(
    ("varies", "word"),
    [
        (Variation(items=0.0, moved=0.0), "not interpretable"),
        (Variation(items=0.5, moved=0.0), "not interpretable"),
        (Variation(items=0.5, moved=0.1), "interpretable"),
        (Variation(items=0.5, moved=0.1, orders=0.8, orders_ci=(0.7, 0.9)), "interpretable"),
        (Variation(items=0.5, moved=0.1, orders=0.45, orders_ci=(0.3, 0.6)), "caution"),
        (Variation(items=0.5, moved=0.1, orders=0.45, orders_ci=(0.0, 0.7)), "not interpretable"),
        (Variation(items=0.5, moved=0.1, orders=0.2, orders_ci=(0.1, 0.3)), "not interpretable"),
        (Variation(items=0.5, moved=0.1, orders=-0.9, orders_ci=(-1.0, -0.8)), "not interpretable"),
        (Variation(items=None), "interpretable"),
    ],
)  # fmt: skip
def test_answers_that_do_not_vary_with_the_item_measure_nothing(varies: Variation, word: str) -> None:
    card = Scorecard(unit="nats a token", contrasts=[SURE], split_half=0.9)
    assert verdict(None, card, [], None, 5, dependable=dependable(0.9), varies=varies).verdict == word


def test_without_respondents_the_best_is_caution_and_an_unclear_effect_is_named() -> None:
    alone = verdict(None, NOTHING, [], None, 5)
    assert (alone.verdict, len(alone.reasons)) == ("caution", 1)
    shaky = Contrast(target="openness", high="h", low="l", aimed={"openness": 1}, shifts=[], check="caution")
    card = Scorecard(unit="nats a token", contrasts=[shaky], split_half=0.4)
    found = verdict(None, card, [], None, 5, dependable=dependable(0.9))
    assert found.verdict == "caution"
    assert [r.split(":")[0] for r in found.reasons] == ["caution", "caution"]
    assert "0.40" in found.reasons[1]


def test_halves_of_the_items_that_agree_on_nothing_forbid_interpretation() -> None:
    for value, word in ((0.71, "interpretable"), (0.69, "caution"), (0.3, "caution"), (0.29, "not interpretable"),
                        (-0.4, "not interpretable"), (None, "interpretable")):  # fmt: skip
        card = Scorecard(unit="nats a token", contrasts=[SURE], split_half=value)
        assert verdict(None, card, [], None, 5, dependable=dependable(0.9)).verdict == word


def test_one_scale_of_several_shows_nothing_about_the_others() -> None:
    found = verdict(None, NOTHING, [scale("openness")], None, 5)
    assert found.verdict == "caution"
    assert verdict(None, NOTHING, [scale("openness")], None, 1).verdict == "interpretable"


def test_limits_count_on_the_side_they_say() -> None:
    assert judge("alpha", 0.70) is None
    assert judge("alpha", 0.6999) == ("caution", 0.70)
    assert judge("position_bias", 0.05) == ("caution", 0.05)
    assert judge("disattenuated_mean", 0.85) == ("not interpretable", 0.85)
    assert judge("retest", None) is None
    assert judge("respondents", 3) == ("caution", THRESHOLDS["respondents"].caution)


@pytest.mark.parametrize(("share", "word"), [(0, "interpretable"), (1, "not interpretable")])
def test_a_run_from_the_command_line(share: int, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"-M scripted:person -a person_sd=0.15,noise=0.1,item_sd=0.05,obedience=0.2,one_factor={share}"
    grid = "-m prompting -t mini_ipip --respondents 30 --bootstrap_iters 20 --format json"
    assert main(["run", *line.split(), *grid.split(), "-o", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {mode["verdict"]["verdict"] for mode in found["tasks"]["mini_ipip"]["modes"].values()} == {word}
