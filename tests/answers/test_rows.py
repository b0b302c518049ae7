"""Which rows a scale's figures are of: R psych's alpha on tables with gaps, by scale, pairwise and listwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answer_tables import GAPPY as PEOPLE
from answer_tables import GAPPY_NAMES as NAMES
from answer_tables import Make, written

from traitbench import inventories
from traitbench.answers.analysis import Analysis, Rows
from traitbench.answers.analyze import analyze
from traitbench.answers.showing import tables
from traitbench.inventories import Inventory

KEYS = [(name, name[0].upper(), 1, None) for name in NAMES]

Figures = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]

GAPS: dict[str, Figures] = {
    "E scale": (
        (0.82995471, 0.82944202, 0.80595209, 0.49306044),
        (0.61383457, 0.64818136, 0.53872242, 0.67982497, 0.65815781),
        (0.67685783, 0.70964839, 0.59732095, 0.74872709, 0.72828702),
        (0.79988583, 0.79007317, 0.81993360, 0.78049531, 0.78745824),
    ),
    "E pairwise": (
        (0.81198631, 0.81202847, 0.79041252, 0.46351669),
        (0.60439664, 0.53428297, 0.54710287, 0.69245614, 0.62507545),
        (0.67385915, 0.59435539, 0.61448147, 0.77211525, 0.70367805),
        (0.77406029, 0.79501950, 0.79074713, 0.74728555, 0.76771015),
    ),
    "E listwise": (
        (0.81999355, 0.82411000, 0.84139070, 0.48375755),
        (0.62877827, 0.58995316, 0.64440081, 0.67904913, 0.56182770),
        (0.72014850, 0.64679256, 0.73145724, 0.80190514, 0.61360257),
        (0.77974009, 0.79094624, 0.78122514, 0.76825878, 0.79937088),
    ),
    "N scale": (
        (0.75832543, 0.76474817, 0.72813072, 0.44833399),
        (0.59906754, 0.58787783, 0.50115635, 0.56560087),
        (0.67715328, 0.68652891, 0.59715990, 0.65256028),
        (0.67865330, 0.68878378, 0.73020981, 0.70789300),
    ),
    "N pairwise": (
        (0.78293188, 0.78552492, 0.74142717, 0.47798032),
        (0.60355372, 0.55635273, 0.56134585, 0.66091126),
        (0.67852318, 0.62352629, 0.63190731, 0.75274376),
        (0.72446373, 0.74784971, 0.74363360, 0.69640763),
    ),
    "N listwise": (
        (0.61114096, 0.61116106, 0.57096450, 0.28209385),
        (0.50493856, 0.41626469, 0.24036479, 0.43201146),
        (0.62649514, 0.52082417, 0.33515430, 0.57097347),
        (0.45342466, 0.52657005, 0.63554007, 0.51826722),
    ),
}
"""Scale and rows -> (alpha, std.alpha, lambda-6, mean r), r.drop, r.cor, alpha without the item.

R psych 2.2.9, x the table, s the columns of a scale: `a <- alpha(na.omit(x[s]))` by scale, `alpha(x[s])` pairwise,
`alpha(na.omit(x)[s])` listwise; `a$total`, `a$item.stats`, `a$alpha.drop`.
"""

BFI: dict[str, Figures] = {
    "A scale": (
        (0.70375589, 0.71350155, 0.68317032, 0.33248072),
        (0.31140130, 0.56301548, 0.58877308, 0.39479368, 0.48724087),
        (0.37979785, 0.66577659, 0.71078562, 0.47115485, 0.59359670),
        (0.71797206, 0.61848121, 0.60075381, 0.68694474, 0.64462230),
    ),
    "A pairwise": (
        (0.70301845, 0.71302858, 0.68276267, 0.33196766),
        (0.30841774, 0.56361516, 0.58700459, 0.39444409, 0.48856514),
        (0.37635684, 0.66654754, 0.70921933, 0.47124010, 0.59566366),
        (0.71851736, 0.61718004, 0.60025958, 0.68580565, 0.64295296),
    ),
    "C scale": (
        (0.72927720, 0.73272433, 0.69665526, 0.35412662),
        (0.45530245, 0.50666398, 0.46753341, 0.55709350, 0.47802980),
        (0.54444157, 0.60387945, 0.54203505, 0.64561422, 0.56529836),
        (0.69603513, 0.67670995, 0.69135645, 0.65620270, 0.69358453),
    ),
    "C pairwise": (
        (0.72673497, 0.73007258, 0.69422761, 0.35104544),
        (0.45024169, 0.50456471, 0.46420485, 0.55254665, 0.47746920),
        (0.53989788, 0.60272678, 0.53891168, 0.64132749, 0.56595025),
        (0.69400042, 0.67357146, 0.68873410, 0.65382557, 0.68972493),
    ),
    "E scale": (
        (0.76093264, 0.76096410, 0.72596741, 0.38901240),
        (0.51349689, 0.60640694, 0.50084168, 0.57788958, 0.45463313),
        (0.58546224, 0.69495100, 0.57906277, 0.66257832, 0.52393377),
        (0.72542796, 0.68838171, 0.72791366, 0.70058919, 0.74236091),
    ),
    "E pairwise": (
        (0.76173282, 0.76179509, 0.72659550, 0.39010008),
        (0.51627292, 0.60536884, 0.50457255, 0.57799397, 0.45424460),
        (0.58821843, 0.69359391, 0.58267057, 0.66250907, 0.52290587),
        (0.72565472, 0.69018038, 0.72791419, 0.70188850, 0.74363273),
    ),
    "N scale": (
        (0.81330314, 0.81407207, 0.79819147, 0.46686161),
        (0.66628581, 0.65090206, 0.67294709, 0.54214900, 0.48672944),
        (0.76406781, 0.74770858, 0.74078206, 0.59805782, 0.53226067),
        (0.75730751, 0.76267810, 0.75486535, 0.79455872, 0.81161363),
    ),
    "N pairwise": (
        (0.81396295, 0.81467467, 0.79912595, 0.46785394),
        (0.66720571, 0.65261625, 0.67481671, 0.54280013, 0.48648241),
        (0.76476990, 0.74961709, 0.74251542, 0.59849837, 0.53179781),
        (0.75813791, 0.76323265, 0.75534281, 0.79534991, 0.81260218),
    ),
    "O scale": (
        (0.60254643, 0.60895117, 0.56884841, 0.23748236),
        (0.38905356, 0.34012260, 0.45195188, 0.21992334, 0.41570710),
        (0.51195064, 0.43829897, 0.59150163, 0.29007060, 0.52318798),
        (0.53585262, 0.56586966, 0.50033541, 0.61358921, 0.51579066),
    ),
    "O pairwise": (
        (0.60017251, 0.60726843, 0.56813983, 0.23620609),
        (0.39067943, 0.33211954, 0.45053424, 0.21794269, 0.41621051),
        (0.51563831, 0.42982232, 0.59106252, 0.29026182, 0.52367473),
        (0.53159351, 0.56722751, 0.49736135, 0.61148106, 0.51165759),
    ),
}
"""The same of the 2,800 people of bfi, keyed."""

COMPLETE = {"A": 2709, "C": 2707, "E": 2713, "N": 2694, "O": 2726}
"""Rows of bfi complete on each scale."""


@pytest.fixture
def gaps(tmp_path: Path, make: Make) -> tuple[Path, Inventory]:
    rows = [["" if cell == "." else cell for cell in person] for person in PEOPLE]
    return written(tmp_path / "gaps.csv", NAMES, rows), make(KEYS)


def agrees(found: Analysis, scale: str, theirs: Figures) -> None:
    ours = found.scales[scale]
    total = (ours.alpha, ours.alpha_standardised, ours.lambda_6, ours.mean_inter_item_r)
    assert total == pytest.approx(theirs[0], abs=1e-6)
    for name, values in zip(("r_drop", "r_cor", "alpha_dropped"), theirs[1:], strict=True):
        assert [getattr(item, name) for item in ours.table] == pytest.approx(values, abs=1e-6), name
    assert ours.min_item_rest_r == pytest.approx(min(theirs[1]), abs=1e-6)


@pytest.mark.parametrize("rows", ["scale", "pairwise", "listwise"])
def test_gaps_against_psych(rows: Rows, gaps: tuple[Path, Inventory]) -> None:
    found = analyze(*gaps, keyed=True, rows=rows)
    for scale in "EN":
        agrees(found, scale, GAPS[f"{scale} {rows}"])
        assert found.scales[scale].alpha_pairwise == pytest.approx(GAPS[f"{scale} pairwise"][0][0], abs=1e-6)
    assert (found.n, found.n_complete, found.rows) == (48, 21, rows)
    r = found.correlations.matrix[0][1]
    if rows == "pairwise":
        # cov2cor(t(w) %*% cov(x, use = "pairwise") %*% w), w the items' weights in the two means.
        assert r == pytest.approx(-0.04384204, abs=1e-8)
    else:
        # cor(rowMeans(x[1:5]), rowMeans(x[6:9]), use = "complete.obs")
        assert r == pytest.approx(0.23156850, abs=1e-8)
        assert found.correlations.ns[0][1] == found.correlations.n == 21
    n = {"scale": (33, 30), "listwise": (21, 21), "pairwise": (37, 37)}[rows]
    assert (found.scales["E"].n, found.scales["N"].n) == n


@pytest.mark.parametrize("rows", ["scale", "pairwise", "listwise"])
def test_means_and_sds_are_of_the_same_rows(rows: Rows, gaps: tuple[Path, Inventory]) -> None:
    found = analyze(*gaps, keyed=True, rows=rows)
    whole = np.array([[np.nan if cell == "." else float(cell) for cell in person] for person in PEOPLE])
    for scale, places in (("E", range(5)), ("N", range(5, 9))):
        items, ours = whole[:, places], found.scales[scale]
        if rows == "listwise":
            items = items[~np.isnan(whole).any(axis=1)]
        if rows != "pairwise":
            items = items[~np.isnan(items).any(axis=1)]
            assert (ours.n, ours.sd) == (len(items), pytest.approx(items.mean(axis=1).std(ddof=1)))
        assert ours.mean == pytest.approx(np.nanmean(items, axis=0).mean())
        for item, answers in zip(ours.table, items.T, strict=True):
            assert item.mean == pytest.approx(np.nanmean(answers))
            assert item.sd == pytest.approx(np.nanstd(answers, ddof=1))


def test_frequencies_are_of_all_who_answered_an_item(gaps: tuple[Path, Inventory]) -> None:
    found = analyze(*gaps, keyed=True)
    for scale in found.scales.values():
        for item in scale.table:
            cells = [person[NAMES.index(item.item)] for person in PEOPLE]
            assert item.frequencies == [cells.count(str(value)) for value in range(1, 6)]
            assert item.n == 48 - cells.count(".")
    shown = tables(found, items=True)
    assert [table.title for table in shown[-2:]] == ["Items of E", "Items of N"]
    e1 = next(row for row in shown[-2].rows if row[0] == "e1")
    # response.frequencies(x)["e1", ] of psych: .1667 .1429 .1905 .3810 .1190 of 42 answers.
    assert e1[1] == "42" and e1[4:9] == ["17", "14", "19", "38", "12"]
    assert shown[-2].columns[:4] == ["item", "answered", "mean", "SD"]
    complete = sum("." not in [person[NAMES.index(i.item)] for i in found.scales["E"].table] for person in PEOPLE)
    assert complete == found.scales["E"].n < 42
    assert shown[-2].notes[0].endswith(f"r.cor and alpha without it are of the scale's rows, n = {complete}.")
    pairwise = analyze(*gaps, keyed=True, rows="pairwise")
    answers = [int(person[NAMES.index("e1")]) for person in PEOPLE if person[NAMES.index("e1")] != "."]
    assert pairwise.scales["E"].table[0].mean == pytest.approx(np.mean(answers))
    assert "Mean and SD are too" in tables(pairwise, items=True)[-2].notes[0]


def test_fractional_answers_and_wide_scales_have_no_frequencies(make: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    answers = rng.integers(1, 6, (30, len(NAMES))).astype(float)
    wide = analyze(written(tmp_path / "t.csv", NAMES, answers.tolist()), make(KEYS, high=12), keyed=True)
    assert "more than 11 options" in wide.scales["E"].table[0].reasons["frequencies"]
    answers[3, 2] = 2.5
    found = analyze(written(tmp_path / "t.csv", NAMES, answers.tolist()), make(KEYS), keyed=True)
    assert "no whole numbers" in found.scales["N"].table[0].reasons["frequencies"]
    assert found.scales["N"].table[0].frequencies is None


def test_bfi_with_its_missing_values_against_psych(shared: Path, make: Make) -> None:
    table = shared / "oracles" / "bfi25_keyed.csv.gz"
    names = [f"{scale}{i}" for scale in "ACENO" for i in range(1, 6)]
    minus = {"A1", "C4", "C5", "E1", "E2", "O2", "O5"}
    inventory = make([(name, name[0], -1 if name in minus else 1, None) for name in names], high=6)
    golden = json.loads((shared / "oracles" / "golden_psych.json").read_text())["bfi25_keyed"]["alpha_pairwise"]
    by_scale = analyze(table, inventory, keyed=True)
    pairwise = analyze(table, inventory, keyed=True, rows="pairwise")
    for scale in "ACENO":
        agrees(by_scale, scale, BFI[f"{scale} scale"])
        agrees(pairwise, scale, BFI[f"{scale} pairwise"])
        assert by_scale.scales[scale].n == COMPLETE[scale]
        assert pairwise.scales[scale].alpha == pytest.approx(golden[scale]["raw_alpha"], abs=1e-9)
        drop = [item.alpha_dropped for item in pairwise.scales[scale].table]
        assert drop == pytest.approx(golden[scale]["alpha_drop"], abs=1e-9)
    assert not any("fall out" in warning for warning in by_scale.warnings)


def test_missing_at_random(shared: Path) -> None:
    """A tenth of the answers is missing: 32 of 300 rows are whole, but 183 and more are whole on a scale."""
    table, inventory = shared / "cases" / "missing_at_random_raw.csv", inventories.load("mini_ipip")
    n = {"E": 184, "A": 196, "C": 194, "N": 183, "O": 184}
    alpha = {"E": 0.722648, "A": 0.764780, "C": 0.788964, "N": 0.757762, "O": 0.759839}
    pairwise = {"E": 0.732957, "A": 0.761811, "C": 0.790773, "N": 0.762238, "O": 0.761679}
    found = analyze(table, inventory, keyed=False)
    assert {s: found.scales[s].n for s in n} == n and (found.n, found.n_complete) == (300, 32)
    assert {s: found.scales[s].alpha for s in n} == pytest.approx(alpha, abs=1e-6)
    assert {s: found.scales[s].alpha_pairwise for s in n} == pytest.approx(pairwise, abs=1e-6)
    (warning,) = [warning for warning in found.warnings if "fall out" in warning]
    assert all(f"{s} {count}" in warning for s, count in n.items()) and "--missing pairwise" in warning
    assert any(warning in note for note in tables(found)[0].notes)
    paired = analyze(table, inventory, keyed=False, rows="pairwise")
    assert {s: paired.scales[s].alpha for s in n} == pytest.approx(pairwise, abs=1e-6)
    assert not any("fall out" in warning for warning in paired.warnings)
    (warning,) = [w for w in analyze(table, inventory, keyed=False, rows="listwise").warnings if "gap" in w]
    assert "only 32 of 300" in warning


@pytest.mark.parametrize(("lost", "said"), [(5, False), (6, True)])
def test_rows_that_fall_out_are_said_beyond_five_per_cent(lost: int, said: bool, make: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    answers: Any = rng.integers(1, 6, (100, len(NAMES))).astype(object)
    answers[:lost, 1] = ""
    found = analyze(written(tmp_path / "t.csv", NAMES, answers.tolist()), make(KEYS), keyed=True)
    assert any(f"E {100 - lost} of 100" in warning for warning in found.warnings) == said
