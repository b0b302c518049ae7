"""The check of the declared keying, with and without acquiescence, and what is said of items and persons."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from answer_tables import Make, written
from numpy.typing import NDArray

from traitbench import inventories
from traitbench.answers.analyze import analyze
from traitbench.answers.keying import acquiescence, keying
from traitbench.errors import BadData
from traitbench.statistics.moments import Moments

SCALES = "OCEAN"
KEYS = [(f"{scale.lower()}{i}", scale, 1 if i % 2 else -1, None) for i in range(1, 7) for scale in SCALES]
NAMES = [key[0] for key in KEYS]
SIGN = np.array([key[2] for key in KEYS])

Array = NDArray[np.float64]


def raw_answers(n: int, acquiescence: float, seed: int = 0, halo: float = 0.0) -> Array:
    """Raw answers of `n` persons whose traits, and whose readiness to agree, have these standard deviations."""
    rng = np.random.default_rng(seed)
    traits = rng.normal(size=(n, 5)) + halo * rng.normal(size=(n, 1))
    lean = SIGN * traits[:, [SCALES.index(key[1]) for key in KEYS]] + acquiescence * rng.normal(size=(n, 1))
    return np.clip(np.rint(3 + 0.7 * lean + 0.7 * rng.normal(size=lean.shape)), 1, 5)


def reversed_back(raw: Array) -> Array:
    return np.where(SIGN == 1, raw, 6 - raw)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("halo", [0.0, 1.0])
def test_no_acquiescence_fools_it(strength: float, halo: float, seed: int, make: Make, tmp_path: Path) -> None:
    """Either keying is known whatever its strength, even where it is twice the traits; the other one is refused."""
    raw = raw_answers(150, strength, seed, halo)
    inventory = make(KEYS)
    tables = {
        False: written(tmp_path / "raw.csv", NAMES, raw.tolist()),
        True: written(tmp_path / "keyed.csv", NAMES, reversed_back(raw).tolist()),
    }
    for keyed, path in tables.items():
        found = analyze(path, inventory, keyed)
        assert found.keying is not None and found.keying.verdict == "agrees"
        assert found.keying.declared > 0.1 > 0 > found.keying.other
        assert any("acquiescence is high" in warning for warning in found.warnings) == (strength > 0)
        with pytest.raises(BadData, match="correlations contradict") as refused:
            analyze(path, inventory, not keyed)
        message = str(refused.value)
        assert "Either" in message and "--raw or --keyed" in message and "--trust_key" in message
        assert found.keying.example[0] in message and found.keying.example[1] in message
        trusted = analyze(path, inventory, not keyed, trust_key=True)
        assert trusted.keying is not None and trusted.keying.verdict == "contradicts"
        assert any("--trust_key" in warning and "contradict" in warning for warning in trusted.warnings)


def test_the_mean_of_a_person_is_taken_out_as_it_would_be_from_the_answers(make: Make) -> None:
    """Against the answers themselves, each less the person's mean."""
    raw = raw_answers(80, 1.0)
    moments = Moments(30, 3)
    moments.add(reversed_back(raw))
    found = keying(moments.pairs(), make(KEYS).items, keyed=False)
    assert found is not None
    scale = np.array([key[1] for key in KEYS])
    opposite = (SIGN[:, None] > 0) & (SIGN < 0)
    same = scale[:, None] == scale
    for value, answers in ((found.declared, raw), (found.other, reversed_back(raw))):
        r = -np.corrcoef((answers - answers.mean(axis=1, keepdims=True)).T)
        assert value == pytest.approx(r[opposite & same].mean() - r[opposite & ~same].mean(), abs=1e-12)
    assert found.given == pytest.approx(np.corrcoef(raw.T)[opposite & same].mean(), abs=1e-12)
    assert (found.pairs, found.across) == (45, 180)
    yes = acquiescence(np.diag(moments.pairs().mean), moments.pairs(), make(KEYS).items, 6)
    assert yes is not None
    index = raw.mean(axis=1)  # half of every scale is plus-keyed
    assert (yes.mean, yes.sd) == (pytest.approx(index.mean()), pytest.approx(index.std(ddof=1)))
    plain = np.corrcoef(raw.T)
    alike = same & (SIGN[:, None] == SIGN) & ~np.eye(30, dtype=bool)
    assert yes.share == pytest.approx((plain[alike].mean() + plain[opposite & same].mean()) / 2)


def test_answers_at_random_contradict_nothing(make: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    inventory = make(KEYS)
    for seed in range(20):
        path = written(tmp_path / f"{seed}.csv", NAMES, rng.integers(1, 6, (60, 30)).tolist())
        for keyed in (True, False):
            analyze(path, inventory, keyed)


def test_a_single_scale_cannot_tell_and_is_not_refused(make: Make, tmp_path: Path) -> None:
    """Keyed answers to one scale look like raw ones of people who agree with everything: said, not refused."""
    one = [key for key in KEYS if key[1] == "E"]
    places = [i for i, key in enumerate(KEYS) if key[1] == "E"]
    keyed = written(
        tmp_path / "t.csv", [key[0] for key in one], reversed_back(raw_answers(150, 0.2))[:, places].tolist()
    )
    found = analyze(keyed, make(one), keyed=True)
    assert found.keying is not None and found.keying.across == 0 and found.warnings == []
    (warning, *_) = analyze(keyed, make(one), keyed=False).warnings
    assert "single scale cannot tell" in warning and "--keyed" not in warning


def test_facets_of_one_scale_tell(make: Make, tmp_path: Path) -> None:
    """Opposite items of one facet agree more than those of two facets of the scale."""
    keys = [(name, "E", key, scale) for name, scale, key, _ in KEYS]
    path = written(tmp_path / "t.csv", NAMES, raw_answers(150, 1.0).tolist())
    found = analyze(path, make(keys), keyed=False)
    assert found.keying is not None and (found.keying.verdict, found.keying.across) == ("agrees", 180)
    with pytest.raises(BadData, match=r"contradict.*items of one facet correlate"):
        analyze(path, make(keys), keyed=True)


def test_nobody_can_tell(make: Make, tmp_path: Path) -> None:
    plus = [key for key in KEYS if key[2] == 1]
    answers = raw_answers(50, 0.0)[:, SIGN == 1]
    found = analyze(written(tmp_path / "t.csv", [key[0] for key in plus], answers.tolist()), make(plus), keyed=False)
    assert found.keying is None and "keying" in found.reasons and found.acquiescence is None
    nine = written(tmp_path / "u.csv", NAMES, reversed_back(raw_answers(9, 0.0)).tolist())
    assert analyze(nine, make(KEYS), keyed=False).keying is None


# --- Tables with a known fault ---------------------------------------------------------------------------------------


def test_an_acquiescent_table(shared: Path, tmp_path: Path) -> None:
    """Raw answers of yes-sayers: accepted as raw, with alphas as R psych has them; refused as keyed."""
    path, inventory = shared / "cases" / "acquiescent_raw.csv", inventories.load("mini_ipip")
    found = analyze(path, inventory, keyed=False)
    alphas = {"E": 0.078907, "A": 0.207384, "C": -0.166845, "N": 0.206734, "O": 0.484384}
    assert {s: found.scales[s].alpha for s in alphas} == pytest.approx(alphas, abs=1e-6)
    assert found.keying is not None and found.keying.given > 0.3 and found.keying.verdict == "agrees"
    assert found.acquiescence is not None and found.acquiescence.sd == pytest.approx(0.99, abs=0.01)
    assert any("acquiescence is high: it makes 5" in warning for warning in found.warnings)
    drops = {item.item: item.r_drop for scale in found.scales.values() for item in scale.table}
    asked = " ".join(warning for warning in found.warnings if "keyed the right way" in warning)
    assert drops["mini_6"] == pytest.approx(0, abs=0.005) and drops["mini_6"] < 0
    assert {item for item in drops if f"{item} " in asked} == {i for i, r in drops.items() if r < -(found.n**-0.5)}
    with pytest.raises(BadData, match=r"declared keyed.*contradict.*items of one scale correlate.*Either it is raw"):
        analyze(path, inventory, keyed=True)


def test_one_item_keyed_the_wrong_way(shared: Path) -> None:
    """R psych: r.drop of mini_4 -.5047."""
    found = analyze(shared / "cases" / "one_item_miskeyed_raw.csv", inventories.load("mini_ipip"), keyed=False)
    (warning,) = found.warnings
    assert warning == (
        "mini_4 correlates -0.50 with the other items of N (alpha 0.17, without it 0.74); is it keyed the right way?"
    )
    item = next(item for item in found.scales["N"].table if item.item == "mini_4")
    assert item.r_drop == pytest.approx(-0.5047, abs=5e-5)


def test_items_keyed_the_wrong_way_are_named(make: Make, tmp_path: Path) -> None:
    raw = raw_answers(200, 0.0)
    raw[:, NAMES.index("e3")] = 6 - raw[:, NAMES.index("e3")]
    found = analyze(written(tmp_path / "t.csv", NAMES, raw.tolist()), make(KEYS), keyed=False)
    (warning,) = found.warnings
    scale = found.scales["E"]
    assert scale.alpha is not None and warning.startswith("e3 correlates -") and f"alpha {scale.alpha:.2f}" in warning
    e3 = next(item for item in scale.table if item.item == "e3")
    assert e3.alpha_dropped is not None and f"without it {e3.alpha_dropped:.2f}" in warning
    others = np.delete(reversed_back(raw)[:, [n[0] == "e" for n in NAMES]], 2, axis=1)
    k = others.shape[1]
    alpha = k / (k - 1) * (1 - others.var(axis=0, ddof=1).sum() / others.sum(axis=1).var(ddof=1))
    assert e3.alpha_dropped == pytest.approx(alpha)


@pytest.mark.parametrize("n", [9, 10])
def test_too_few_people_raise_no_question_of_an_item(n: int, make: Make, tmp_path: Path) -> None:
    raw = raw_answers(n, 0.0)
    raw[:, NAMES.index("e3")] = 6 - raw[:, NAMES.index("e1")]
    found = analyze(written(tmp_path / "t.csv", NAMES, raw.tolist()), make(KEYS), keyed=False)
    e3 = next(item for item in found.scales["E"].table if item.item == "e3")
    assert e3.r_drop is not None and e3.r_drop < -0.4
    assert any("e3" in warning and "keyed the right way" in warning for warning in found.warnings) == (n == 10)


def test_copies_of_an_item_are_named(make: Make, tmp_path: Path) -> None:
    """Whether the copy is keyed as the original is or the other way."""
    for copy in ("o3", "o2"):
        raw = raw_answers(40, 0.0)
        raw[:, NAMES.index(copy)] = raw[:, NAMES.index("o1")]
        found = analyze(written(tmp_path / "t.csv", NAMES, raw.tolist()), make(KEYS), keyed=False)
        (warning,) = [warning for warning in found.warnings if "copy" in warning]
        assert f"o1 and {copy}" in warning and warning.count(" and ") == 1
        raw[3, NAMES.index(copy)] = raw[3, NAMES.index("o1")] % 5 + 1
        found = analyze(written(tmp_path / "t.csv", NAMES, raw.tolist()), make(KEYS), keyed=False)
        assert not any("copy" in warning for warning in found.warnings)


def test_few_people_are_said(make: Make, tmp_path: Path) -> None:
    rows = [[*row] for row in raw_answers(20, 0.0).tolist()]
    for row in rows[:12]:
        row[NAMES.index("a1")] = ""
    found = analyze(written(tmp_path / "t.csv", NAMES, rows), make(KEYS), keyed=False)
    assert any("fewer than 10 persons: A 8;" in warning for warning in found.warnings)


def test_published_people_agree_both_ways(shared: Path) -> None:
    """The 200 persons of PAPI as released, and as they would have answered raw."""
    import json

    inventory = inventories.load("ipip_neo_300")
    people = json.loads((shared / "data" / "papi" / "Test-set.json").read_text())
    answers = np.array([[person[item.id] or np.nan for item in inventory.items] for person in people], dtype=float)
    sign = np.array([item.keyed for item in inventory.items])
    for table, keyed in ((answers, True), (np.where(sign == 1, answers, 6 - answers), False)):
        moments = Moments(300, 3)
        moments.add(table if keyed else np.where(sign == 1, table, 6 - table))
        found = keying(moments.pairs(), inventory.items, keyed)
        assert found is not None and (found.verdict, found.pairs) == ("agrees", 696)
        assert found.declared == pytest.approx(0.453, abs=5e-4) and found.other == pytest.approx(-0.466, abs=5e-4)


def test_the_flags(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from traitbench.cli import main

    make(KEYS)
    rows = [["-9" if (r + c) % 25 == 0 else cell for c, cell in enumerate(row)] for r, row in enumerate(
        raw_answers(60, 0.0).tolist())]  # fmt: skip
    path = written(tmp_path / "t.csv", NAMES, rows)
    words = ["analyze", str(path), "--inventory", str(tmp_path / "own.json"), "--raw"]
    assert main([*words, "--missing", "pairwise", "--missing", "-9,99", "--items", "--careless"]) == 0
    shown = capsys.readouterr().out
    assert "Items of O" in shown and "longstring" in shown and "Covariances over the rows that answer both" in shown
    assert main([*words, "--missing", "pair"]) == 2
    assert "expected scale, pairwise or listwise" in capsys.readouterr().err
    assert main([*words, "--missing", "pairwise,listwise"]) == 2
    assert main([*words, "--keyed"]) == 2
    with path.open() as handle:
        assert len([*csv.reader(handle)]) == 61
