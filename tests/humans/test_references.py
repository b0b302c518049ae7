"""Human reference samples: every figure against its source, the records, SDs, a user's table, and human loadings.

Over 300 lines: one set of samples, checked figure by figure against the same source tables.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from traitbench import inventories
from traitbench.answers.analyze import analyze
from traitbench.errors import BadData, UnknownName
from traitbench.humans import (
    Reference,
    between_person_sd,
    default_reference,
    loadings,
    reference,
    reference_from_analysis,
    references,
)
from traitbench.humans.similarity import similarity
from traitbench.statistics.structure import minres, tucker, varimax
from traitbench.types import BIG_FIVE, DARK_TRIAD

BIG = {"O": "openness", "C": "conscientiousness", "E": "extraversion", "A": "agreeableness", "N": "neuroticism"}
DARK = {"M": "machiavellianism", "N": "narcissism", "P": "psychopathy"}


@pytest.fixture
def figures(shared: Path) -> Any:
    """Read a file of reference figures by name."""
    return lambda name: json.loads((shared / "reference" / name).read_text(encoding="utf-8"))


def cells(matrix: list[list[float]], order: list[str], names: dict[str, str]) -> dict[tuple[str, str], float]:
    return {(names[a], names[b]): matrix[i][j] for i, a in enumerate(order) for j, b in enumerate(order)}


def same_cells(sample: Reference, expected: dict[tuple[str, str], float]) -> None:
    found = sample.matrix(sample.traits)
    ours = {(a, b): found[i, j] for i, a in enumerate(sample.traits) for j, b in enumerate(sample.traits)}
    assert ours == expected


@pytest.mark.parametrize(
    ("name", "file", "part", "names"),
    [
        ("bfi_44_students", "human_ref_bfi44_bfi228.json", None, BIG),
        ("ipip_50_online", "human_ref_ipip50.json", "ipip_50", BIG),
        ("mini_ipip_online", "human_ref_ipip50.json", "mini_ipip", BIG),
        ("sd3_online", "human_ref_sd3.json", None, DARK),
        ("dirty_dozen_online", "human_ref_dirty_dozen.json", None, DARK),
    ],
)
def test_samples_with_scales(name: str, file: str, part: str | None, names: dict[str, str], figures: Any) -> None:
    source, sample = figures(file), reference(name)
    source = source[part] if part else source
    scales = source["scales"]
    assert {names[k] for k in scales} == set(sample.traits) and sample.n == source["n_subjects"]
    same_cells(sample, cells(source["corr_scales"]["matrix"], source["corr_scales"]["order"], names))
    assert sample.means and sample.sds and sample.alphas
    for trait, mean, sd, alpha in zip(sample.traits, sample.means, sample.sds, sample.alphas, strict=True):
        scale = next(v for k, v in scales.items() if names[k] == trait)
        assert (mean, sd, alpha, sample.n) == (scale["mean"], scale["sd"], scale["alpha"], scale["n"])


def test_the_ipip_neo_300_sample(shared: Path, figures: Any) -> None:
    """Correlations as published; means and SDs of the same 5,995 people from their domain sums."""
    sample, source = reference("ipip_neo_300_johnson"), figures("human_ref_ipipneo300_stenR.json")
    published = source["corr_scales_complete"]
    same_cells(sample, cells(published["matrix"], published["order"], BIG))
    assert sample.n == published["n_complete"] == 5995
    with gzip.open(shared / "data/human/ipip_neo_300_domain_sums_13161.csv.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if all(row[k] for k in BIG)]
    table = {BIG[k]: np.array([int(row[k]) / 60 for row in rows]) for k in BIG}
    assert len(rows) == sample.n and sample.means and sample.sds
    for trait, mean, sd in zip(sample.traits, sample.means, sample.sds, strict=True):
        assert mean == pytest.approx(table[trait].mean(), abs=5.1e-5)
        assert sd == pytest.approx(table[trait].std(ddof=1), abs=5.1e-5)
    recomputed = np.corrcoef([table[trait] for trait in sample.traits])
    assert sample.matrix(sample.traits) == pytest.approx(recomputed, abs=5.1e-5)


def test_the_samples_of_means_and_sds(figures: Any) -> None:
    published = figures("published_values.json")
    whole = published["ipip_neo_120_full_sample"]
    for name, source, names, n in (
        ("ipip_neo_120_johnson", whole["item_mean_metric"], BIG, whole["n"]),
        ("bfi_44_age_21", published["bfi44_norms_age21"]["mean_sd"], BIG, 6076),
        ("dirty_dozen_nine_point", published["dirty_dozen_crowd"]["mean_sd"], DARK, 577),
    ):
        sample = reference(name)
        assert sample.correlations is None and sample.n == n and sample.means and sample.sds
        ours = {t: [m, s] for t, m, s in zip(sample.traits, sample.means, sample.sds, strict=True)}
        assert ours == {names[k]: v for k, v in source.items()}
    for letter, total in whole["domain_sum_sd"].items():
        assert between_person_sd("ipip_neo_120", BIG[letter]) == pytest.approx(total / 24, abs=5e-4)


def test_emotional_stability_is_flipped_once(figures: Any) -> None:
    source = figures("published_values.json")["big5_meta_davies2015"]
    names = {"ES": "neuroticism", "A": "agreeableness", "C": "conscientiousness", "Ex": "extraversion", "O": "openness"}
    published = cells(source["r"], source["order"], names)
    expected = {(a, b): -r if (a == "neuroticism") != (b == "neuroticism") else r for (a, b), r in published.items()}
    sample = reference("davies_2015")
    same_cells(sample, expected)
    assert sample.matrix(["neuroticism", "conscientiousness"])[0, 1] == -0.27
    assert f"{sample.n:,}" == "61,538" and "61,538-92,111" in source["source"]


def test_the_other_matrices(figures: Any) -> None:
    published = figures("published_values.json")
    manual = published["neo_pi_r_manual_1992"]
    same_cells(reference("neo_pi_r_1992"), cells(manual["domain_r_from_facets"], manual["order"], BIG))
    assert "N=1000" in manual["source"] and reference("neo_pi_r_1992").n == 1000
    poster, sample = published["sd3_poster_2011"], reference("sd3_poster_2011")
    for pair, r in poster["r"].items():
        assert sample.matrix([DARK[k] for k in pair.split("-")])[0, 1] == r
    assert sample.alphas and dict(zip(sample.traits, sample.alphas, strict=True)) == {
        DARK[k]: v for k, v in poster["alpha"].items()
    }
    assert "N=739" in poster["source"] and sample.n == 739


def test_every_sample_says_where_it_is_from() -> None:
    assert len({r.name for r in references()}) == len(references()) == 12
    for sample in references():
        assert sample.n > 0 and len(sample.source) > 20 and sample.note and sample.label
        if sample.correlations is not None:
            matrix = sample.matrix(sample.traits)
            assert (matrix == matrix.T).all() and np.linalg.eigvalsh(matrix).min() > 0
        if sample.instrument is not None:
            inventory = inventories.load(sample.instrument, texts=False)
            assert set(sample.traits) == set(inventory.traits) and sample.scale is not None
            assert all(sample.scale[0] < m < sample.scale[1] for m in sample.means or () if m is not None)


def test_samples_by_instrument_and_by_name() -> None:
    assert [r.name for r in references("bfi_44")] == ["bfi_44_students", "bfi_44_age_21"]
    assert references("hexaco") == ()
    assert reference("Davies-2015") is reference("davies_2015")
    with pytest.raises(UnknownName, match="unknown reference sample 'davis_2015'; did you mean 'davies_2015'"):
        reference("davis_2015")


def test_the_default_reference() -> None:
    big, dark = default_reference(BIG_FIVE), default_reference(DARK_TRIAD)
    assert big is reference("ipip_neo_300_johnson") and dark is reference("sd3_online")
    assert default_reference(("neuroticism", "openness")) is big
    assert default_reference(("openness", "narcissism")) is None and default_reference(()) is None
    assert default_reference(("honesty",)) is None


def test_a_matrix_in_another_order() -> None:
    sample = reference("ipip_neo_300_johnson")
    assert sample.matrix(["conscientiousness", "neuroticism"]).tolist() == [[1, -0.4944], [-0.4944, 1]]
    with pytest.raises(UnknownName, match="unknown trait of reference sample ipip_neo_300_johnson 'narcissism'"):
        sample.matrix(["narcissism"])
    with pytest.raises(BadData, match="'bfi_44_age_21' holds no correlations"):
        reference("bfi_44_age_21").matrix(["openness"])


def test_between_person_sds() -> None:
    """The figures of the specification, on item means."""
    for instrument, expected in (
        ("ipip_neo_120", {"N": 0.665, "E": 0.602, "O": 0.512, "A": 0.522, "C": 0.612}),
        ("ipip_neo_300", {"N": 0.657, "E": 0.554, "O": 0.450, "A": 0.467, "C": 0.530}),
    ):
        for letter, sd in expected.items():
            assert between_person_sd(instrument, BIG[letter]) == pytest.approx(sd, abs=5e-4)


def test_an_sd_is_never_borrowed() -> None:
    assert between_person_sd("my_own", "openness") is None
    assert between_person_sd("ipip_neo_120", "narcissism") is None
    assert between_person_sd("dirty_dozen", "narcissism") == 1.8


def test_the_standard_sds_are_on_the_inventory_s_own_scale() -> None:
    for name in inventories.names():
        inventory = inventories.load(name, texts=False)
        scale = (inventory.response_scale.min, inventory.response_scale.max)
        for trait in inventory.traits:
            sd = between_person_sd(name, trait)
            if inventory.wording_of:
                assert sd is None and not references(name), name
                continue
            assert sd in [r.sd(trait) for r in references(name) if r.scale == scale], name


def test_an_sd_is_of_the_same_instrument_or_none() -> None:
    assert between_person_sd("ipip_neo_120", "neuroticism") == pytest.approx(0.665)
    assert between_person_sd("ipip_neo_120", "openness") == pytest.approx(0.512)
    assert between_person_sd("my_own", "openness") is None
    assert Reference(name="x", label="x", n=2, source="x", traits=("openness",), sds=(0.0,)).sd("openness") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"means": (1.0,)},
        {"sds": (1.0, 1.0, 1.0)},
        {"correlations": ((1.0, 0.2), (0.3, 1.0))},
        {"correlations": ((1.0, 1.2), (1.2, 1.0))},
        {"correlations": ((1.0,),)},
        {"correlations": ((1.0, None), (0.2, 1.0))},
    ],
)
def test_a_record_that_does_not_add_up_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Reference(name="x", label="x", n=10, source="x", traits=("openness", "neuroticism"), **wrong)


def online(shared: Path) -> NDArray[np.float64]:
    """Raw answers (people, 50) in the order of the items: all items answered, age 13 to 100."""
    inventory, seen, columns = inventories.load("ipip_50"), dict.fromkeys(BIG, 0), []
    for item in inventory.items:
        seen[item.scale] += 1
        columns.append(f"{item.scale}{seen[item.scale]}")
    with gzip.open(shared / "data/human/openpsych_ipip50.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["age"].isdigit() and 13 <= int(r["age"]) <= 100]
    table = np.array([[int(r[c]) for c in columns] for r in rows], dtype=float)
    return table[((table >= 1) & (table <= 5)).all(axis=1)]


def test_a_table_of_the_user_s_own(shared: Path, tmp_path: Path) -> None:
    """The IPIP-50 sample, from its answers, is the sample that ships, to the four decimals of the source."""
    inventory, raw = inventories.load("ipip_50"), online(shared)
    path = tmp_path / "mine.csv"
    np.savetxt(path, raw, fmt="%d", delimiter=",", header=",".join(i.id for i in inventory.items), comments="")
    mine = reference_from_analysis(analyze(path, inventory, keyed=False), inventory, "mine")
    shipped = reference("ipip_50_online")
    assert (mine.name, mine.n, mine.instrument, mine.scale) == ("mine", shipped.n, "ipip_50", (1, 5))
    assert mine.matrix(BIG_FIVE) == pytest.approx(shipped.matrix(BIG_FIVE), abs=5.1e-5)
    for trait in BIG_FIVE:
        i, j = mine.traits.index(trait), shipped.traits.index(trait)
        for field in ("means", "sds", "alphas"):
            assert getattr(mine, field)[i] == pytest.approx(getattr(shipped, field)[j], abs=5.1e-5)
    assert similarity(shipped.matrix(BIG_FIVE), BIG_FIVE, mine).distance.value == pytest.approx(0, abs=5e-4)


def test_a_small_table(tmp_path: Path) -> None:
    """A scale that is missing or constant is null in the reference; too few people are refused."""
    inventory = inventories.load("mini_ipip")
    rng = np.random.default_rng(0)
    levels = {t: rng.normal(3, 1, 30) for t in BIG_FIVE}
    answers = np.array([levels[item.trait] + rng.normal(0, 0.5, 30) for item in inventory.items]).T
    values = np.clip(np.rint(answers), 1, 5)
    places = {t: [k for k, item in enumerate(inventory.items) if item.trait == t] for t in BIG_FIVE}
    values[:, places["extraversion"]] = 3
    kept = [k for k in range(20) if k not in places["openness"]]
    path = tmp_path / "small.csv"
    header = ",".join(inventory.items[k].id for k in kept)
    np.savetxt(path, values[:, kept], fmt="%d", delimiter=",", header=header, comments="")
    mine = reference_from_analysis(analyze(path, inventory, keyed=True), inventory, "small")
    assert mine.n == 30 and mine.sd("openness") is None and mine.sd("extraversion") is None
    found = similarity(np.eye(5), BIG_FIVE, mine)
    assert found.cells == 3 and found.distance.value is None
    one = tmp_path / "one.csv"
    rows = values[:2, kept].copy()
    rows[1, :] = np.where([inventory.items[k].trait == "neuroticism" for k in kept], 0, rows[1])
    np.savetxt(one, rows, fmt="%d", delimiter=",", header=header, comments="")
    with pytest.raises(BadData, match="1 of 2 respondents answered every item of two scales; expected at least 2"):
        reference_from_analysis(analyze(one, inventory, keyed=True), inventory, "one")
    with pytest.raises(BadData, match="the table is of 'mini_ipip', the reference was to be of 'ipip_50'"):
        reference_from_analysis(analyze(path, inventory, keyed=True), inventories.load("ipip_50"), "small")


def principal_axes(correlation: NDArray[np.float64], factors: int) -> NDArray[np.float64]:
    """Iterated principal axes: another road to the minimum of the squared off-diagonal residuals."""
    common = 1 - 1 / np.diag(np.linalg.inv(correlation))
    for _ in range(20_000):
        values, vectors = np.linalg.eigh(correlation - np.diag(1 - common))
        found = vectors[:, -factors:] * np.sqrt(values[-factors:])
        moved, common = np.abs((found**2).sum(axis=1) - common).max(), (found**2).sum(axis=1)
        if moved < 1e-7:
            break
    return np.asarray(found, dtype=float)


def simplicity(pattern: NDArray[np.float64]) -> float:
    """Varimax's criterion on rows of length 1 (Kaiser 1958)."""
    rows = pattern / np.sqrt((pattern**2).sum(axis=1, keepdims=True))
    return float((rows**2).var(axis=0).sum())


@pytest.mark.parametrize("instrument", ["ipip_50", "mini_ipip"])
def test_human_loadings(instrument: str, shared: Path) -> None:
    """Recomputed from the answers; without our routines, the same space, which no planar rotation makes simpler."""
    held, inventory, whole = loadings(instrument), inventories.load(instrument), inventories.load("ipip_50")
    assert held is not None
    place = {item.text_hash: k for k, item in enumerate(whole.items)}
    raw = online(shared)[:, [place[item.text_hash] for item in inventory.items]]
    key = np.array([item.keyed for item in inventory.items])
    correlation = np.corrcoef(np.where(key == 1, raw, 6 - raw).T)
    assert held.n == len(raw) == 19635 and held.traits == inventory.traits
    ours = held.matrix([item.id for item in inventory.items])
    again = varimax(minres(correlation, 5).loadings)
    match = np.abs(tucker(ours, again)).argmax(axis=1)
    assert ours == pytest.approx(again[:, match], abs=2e-4)
    axes = principal_axes(correlation, 5)
    assert ours @ ours.T == pytest.approx(axes @ axes.T, abs=5e-4)
    best = simplicity(ours)
    for i, j in combinations(range(5), 2):
        for angle in (-0.5, -0.02, 0.02, 0.5):
            turned, c, s = ours.copy(), math.cos(angle), math.sin(angle)
            turned[:, [i, j]] = ours[:, [i, j]] @ np.array([[c, -s], [s, c]])
            assert simplicity(turned) < best


def test_human_loadings_are_simple_and_positive() -> None:
    for instrument in ("ipip_50", "mini_ipip"):
        held, inventory = loadings(instrument), inventories.load(instrument)
        assert held is not None and held.sample in {r.name for r in references(instrument)}
        assert list(held.loadings) == [item.id for item in inventory.items]
        matrix = held.matrix([item.id for item in inventory.items])
        own = [held.traits.index(item.trait) for item in inventory.items]
        assert np.abs(matrix).argmax(axis=1).tolist() == own
        assert (matrix[range(len(own)), own] > 0.3).all()
    assert loadings("sd3") is None
    with pytest.raises(UnknownName, match="unknown item with human loadings on ipip_50 'ipip50_51'"):
        held = loadings("ipip_50")
        assert held is not None
        held.matrix(["ipip50_51"])


def test_loadings_of_facets_where_a_source_has_no_items(shared: Path) -> None:
    """BFI-44: recomputed from the students' facet correlations; every facet loads on its own trait most of all."""
    held, inventory = loadings("bfi_44"), inventories.load("bfi_44", texts=False)
    assert held is not None and (held.of, held.n, held.sample) == ("facets", 228, "bfi_44_students")
    kept = json.loads((shared / "reference" / "human_ref_bfi44_bfi228.json").read_text(encoding="utf-8"))["corr_facets"]
    ours, correlation = held.matrix(kept["order"]), np.array(kept["matrix"])
    again = varimax(minres(correlation, 5).loadings)
    match = tucker(ours, again)
    column = np.abs(match).argmax(axis=1)
    assert ours == pytest.approx(again[:, column] * np.sign(match[range(5), column]), abs=2e-4)
    assert ours @ ours.T + np.diag(1 - (ours**2).sum(axis=1)) == pytest.approx(correlation, abs=0.12)
    trait = {item.facet: item.trait for item in inventory.items if item.facet}
    own = [held.traits.index(trait[facet]) for facet in kept["order"]]
    assert ours.argmax(axis=1).tolist() == own
    assert set(held.loadings) == set(trait)
    with pytest.raises(UnknownName, match="unknown facet with human loadings on bfi_44 'Ideals'"):
        held.matrix(["Ideals"])
    assert loadings("ipip_neo_120") is None  # no source holds correlations of its items or facets


def test_people_need_no_model() -> None:
    """Imported in a process of their own, the modules bring neither torch nor a task, method or backend."""
    code = (
        "import sys, traitbench.humans, traitbench.humans.norms, traitbench.humans.similarity; "
        "print([m for m in sys.modules if m.split('.')[0] == 'torch' or m.startswith("
        "('traitbench.tasks', 'traitbench.methods', 'traitbench.backends'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
