"""Whole analyses: against R psych and published samples of people, refused keyings, degenerate tables, scores.

Over 300 lines: one command whole, and its cases share the tables and the values of psych beside them.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from answer_tables import Make, written
from pyarrow import parquet

from traitbench import inventories
from traitbench.answers import tablefiles
from traitbench.answers.analysis import Analysis, Rows, ScaleAnalysis
from traitbench.answers.analyze import analyze
from traitbench.answers.showing import tables
from traitbench.errors import BadData
from traitbench.inventories import Inventory

PRINTED = 5.1e-5
"""Half a unit of the references' fourth decimal."""


def finite(value: Any) -> bool:
    """No NaN or infinity anywhere; pydantic would write them as null."""
    if isinstance(value, dict | list | tuple):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or bool(np.isfinite(value))


def sound(found: Analysis) -> Analysis:
    """Every null has its reason, no value is NaN, and it can be shown and written."""
    assert finite(found.model_dump())
    assert Analysis.model_validate_json(found.model_dump_json()) == found
    for scale in (*found.scales.values(), *found.facets.values()):
        null = {name for name in ScaleAnalysis.model_fields if getattr(scale, name) is None}
        assert null - {"facet", "min_item_rest_item"} == set(scale.reasons) and all(scale.reasons.values())
        for item in scale.table:
            assert {name for name in type(item).model_fields if getattr(item, name) is None} == set(item.reasons)
            assert all(item.reasons.values()) and (not item.frequencies or sum(item.frequencies) == item.n)
    fields = ("kmo", "bartlett", "components", "keying", "acquiescence")
    null = {name for name in fields if getattr(found, name) is None}
    assert null == set(found.reasons) - {"correlations"} and all(found.reasons.values())
    undefined = any(r is None for row in found.correlations.matrix for r in row)
    assert undefined == ("correlations" in found.reasons)
    for table in tables(found, items=True):
        assert all(len(row) == len(table.columns) for row in table.rows)
    return found


# --- Oracles ---------------------------------------------------------------------------------------------------------

MINUS = {"A1", "C4", "C5", "E1", "E2", "O2", "O5"}
"""The items of bfi that psych reverses."""


@pytest.fixture
def bfi(shared: Path, make: Make) -> tuple[Path, Inventory, dict[str, Any]]:
    """2,800 keyed answers to 25 items, their inventory, and the values of R psych 2.2.9."""
    table = shared / "oracles" / "bfi25_keyed.csv.gz"
    names = [f"{scale}{i}" for scale in "ACENO" for i in range(1, 6)]
    inventory = make([(name, name[0], -1 if name in MINUS else 1, None) for name in names], high=6)
    return table, inventory, json.loads((shared / "oracles" / "golden_psych.json").read_text())["bfi25_keyed"]


def test_against_psych(bfi: tuple[Path, Inventory, dict[str, Any]]) -> None:
    table, inventory, golden = bfi
    found = sound(analyze(table, inventory, keyed=True, rows="listwise"))
    assert (found.n, found.n_complete) == (golden["n"], golden["n_complete"]) == (2800, 2436)
    assert found.missing_items == found.ignored_columns == []
    # The noise of 2,436 x 25 has its fifth eigenvalue at 1.12 and its sixth at 1.10, by simulation.
    assert golden["eigen_cor"][4] > 1.13 and golden["eigen_cor"][5] < 1.09
    assert found.components == 5
    for scale, theirs in golden["alpha_complete"].items():
        ours = found.scales[scale]
        assert ours.alpha == pytest.approx(theirs["raw_alpha"], abs=1e-6)
        assert ours.lambda_6 == pytest.approx(theirs["G6"], abs=1e-6)
        assert ours.mean_inter_item_r == pytest.approx(theirs["average_r"], abs=1e-6)
        assert ours.min_item_rest_r == pytest.approx(min(theirs["r_drop"]), abs=1e-6)
        assert ours.min_item_rest_item == f"{scale}{int(np.argmin(theirs['r_drop'])) + 1}"
        assert ours.mean == pytest.approx(np.mean(theirs["item_mean"]), abs=1e-6)
        omega = golden["omega_1f_minres"][scale]["omega_total_1f"]
        assert ours.omega_total == pytest.approx(omega, abs=1e-3)
        assert ours.alpha_ci is not None and ours.alpha_ci[0] < theirs["raw_alpha"] < ours.alpha_ci[1]
        # Duhachek and Iacobucci's standard error is another large-sample route to the interval.
        assert ours.alpha_ci[1] - ours.alpha_ci[0] == pytest.approx(2 * 1.96 * theirs["ase"], rel=0.2)
    assert found.kmo == pytest.approx(golden["KMO"]["overall"], abs=1e-6)
    assert [found.kmo_items[i.id] for i in inventory.items] == pytest.approx(golden["KMO"]["items"], abs=1e-6)
    assert found.bartlett is not None
    assert found.bartlett.chi2 == pytest.approx(golden["bartlett"]["chisq"], rel=1e-9)
    assert (found.bartlett.df, found.bartlett.p) == (golden["bartlett"]["df"], golden["bartlett"]["p"]) == (300, 0)
    assert found.correlations.order == golden["scale_order"]
    assert np.array(found.correlations.matrix, float) == pytest.approx(np.array(golden["scale_cor"]), abs=1e-6)


def test_the_same_people_raw(bfi: tuple[Path, Inventory, dict[str, Any]], tmp_path: Path) -> None:
    """Reversed by hand and declared raw, every number comes back."""
    table, inventory, _ = bfi
    with gzip.open(table, "rt") as handle:
        names, *rows = csv.reader(handle)
    raw = [[str(7 - float(v)) if v and n in MINUS else v for n, v in zip(names, row, strict=True)] for row in rows]
    path = written(tmp_path / "raw.csv", names, raw)
    keyed, found = analyze(table, inventory, keyed=True), analyze(path, inventory, keyed=False)
    assert keyed.keying is not None and found.keying is not None
    assert found.keying.given == -keyed.keying.given and keyed.keying.given > 0.1
    assert found.keying.declared == keyed.keying.declared and found.keying.other == keyed.keying.other
    assert found.model_copy(update={"keyed": True, "keying": keyed.keying}) == keyed
    for wrong, declared in ((path, True), (table, False)):
        with pytest.raises(BadData, match="--trust_key"):
            analyze(wrong, inventory, keyed=declared)


def openpsych(shared: Path, name: str, to: Path, rename: Callable[[str], str], age: bool) -> Path:
    """The people of an openpsychometrics file who meet the reference's stated conditions, columns renamed."""
    with gzip.open(shared / "data" / "human" / name, "rt") as handle:
        names, *rows = csv.reader(handle, delimiter="\t")
    items = [i for i, n in enumerate(names) if n[0] in "EANCOMP" and n[1:].isdigit()]
    kept = [
        row for row in rows
        if all(row[i] in "12345" for i in items) and (not age or 13 <= int(row[names.index("age")]) <= 100)
    ]  # fmt: skip
    return written(to, [rename(n) if i in items else n for i, n in enumerate(names)], kept)


def agrees(found: Analysis, scales: dict[str, Any], correlations: dict[str, Any]) -> None:
    assert found.n == found.n_complete == correlations["n_complete"]
    for scale, theirs in scales.items():
        ours = found.scales[scale]
        assert (ours.n, ours.items) == (theirs["n"], theirs["n_items"])
        for field, name in (
            ("mean", "mean"),
            ("sd", "sd"),
            ("alpha", "alpha"),
            ("mean_inter_item_r", "mean_interitem_r"),
        ):
            assert getattr(ours, field) == pytest.approx(theirs[name], abs=PRINTED), (scale, field)
    order = [found.correlations.order.index(scale) for scale in correlations["order"]]
    matrix = np.array(found.correlations.matrix, float)[np.ix_(order, order)]
    assert matrix == pytest.approx(np.array(correlations["matrix"]), abs=PRINTED)


def test_people_of_the_ipip_50(shared: Path, tmp_path: Path) -> None:
    """In the IPIP-50 the five scales take turns, E A C N O."""
    theirs = json.loads((shared / "reference" / "human_ref_ipip50.json").read_text())["ipip_50"]
    path = openpsych(
        shared, "openpsych_ipip50.tsv.gz", tmp_path / "people.csv",
        lambda name: f"ipip50_{5 * (int(name[1:]) - 1) + 'EACNO'.index(name[0]) + 1}", age=True,
    )  # fmt: skip
    inventory = inventories.load("ipip_50")
    found = sound(analyze(path, inventory, keyed=False))
    agrees(found, theirs["scales"], theirs["corr_scales"])
    assert "country" in found.ignored_columns and len(found.ignored_columns) == 7
    lowest = min(s.min_item_rest_r for s in found.scales.values() if s.min_item_rest_r is not None)
    assert lowest == pytest.approx(theirs["item_rest_r"]["min"], abs=PRINTED)
    with pytest.raises(BadData, match=r"declared keyed.*-0\.\d\d if it is keyed and \+0\.\d\d if it is raw"):
        analyze(path, inventory, keyed=True)


def test_people_of_the_sd3(shared: Path, tmp_path: Path) -> None:
    theirs = json.loads((shared / "reference" / "human_ref_sd3.json").read_text())
    path = openpsych(shared, "openpsych_sd3.tsv.gz", tmp_path / "people.csv", lambda name: f"sd3_{name}", age=False)
    found = sound(analyze(path, inventories.load("sd3", texts=False), keyed=False))
    agrees(found, theirs["scales"], theirs["corr_scales"])


# --- Keying ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def papi(shared: Path, tmp_path: Path) -> Path:
    """The 200 persons of PAPI, already keyed; 0 means missing."""
    people = json.loads((shared / "data" / "papi" / "Test-set.json").read_text())
    names = [f"i{i}" for i in range(1, 301)]
    return written(tmp_path / "papi.csv", names, [[person[n] for n in names] for person in people])


def test_keyed_people_declared_raw_are_refused(papi: Path, tmp_path: Path) -> None:
    inventory = inventories.load("ipip_neo_300")
    facets = {item.facet for item in inventory.items}
    count = {f: [sum(i.facet == f and i.keyed == k for i in inventory.items) for k in (1, -1)] for f in facets}
    pairs = sum(plus * minus for plus, minus in count.values())
    with pytest.raises(
        BadData,
        match=rf"declared raw.*-0\.\d\d if it is raw and \+0\.\d\d if it is keyed.*\({pairs} pairs.*reversed twice",
    ):
        analyze(papi, inventory, keyed=False, scores=tmp_path / "scores.csv")
    assert [*tmp_path.glob("*scores*")] == []  # neither the scores nor the temporary file
    found = sound(analyze(papi, inventory, keyed=True))
    assert found.keying is not None and found.keying.given > 0.3 and (found.n, found.n_complete) == (200, 173)
    assert found.keying.declared > 0.4 and found.keying.other < -0.4 and found.keying.verdict == "agrees"
    assert found.acquiescence is not None and found.acquiescence.share is not None
    assert 0 < found.acquiescence.share < 0.1 and not any("acquiescence" in warning for warning in found.warnings)


def test_the_short_form_among_the_long_items(papi: Path, tmp_path: Path) -> None:
    """Columns i1 to i300 hold the IPIP-NEO-120 under its long numbers: the same as a table of its own columns."""
    inventory = inventories.load("ipip_neo_120")
    found = sound(analyze(papi, inventory, keyed=True))
    assert found.n_complete == 189 and not found.missing_items and len(found.ignored_columns) == 180
    assert "numbers of the IPIP-NEO-300" in " ".join(tables(found)[0].notes)
    with papi.open() as handle:
        rows = [*csv.DictReader(handle)]
    short = [[row[f"i{item.number_300}"] for item in inventory.items] for row in rows]
    alone = analyze(written(tmp_path / "short.csv", [i.id for i in inventory.items], short), inventory, keyed=True)
    assert found.model_copy(update={"notes": alone.notes, "ignored_columns": []}) == alone


def test_keying_from_hardly_a_complete_row(papi: Path, tmp_path: Path) -> None:
    """Nobody answers everything, but pairs of items are answered by many."""
    with papi.open() as handle:
        names, *rows = csv.reader(handle)
    rng = np.random.default_rng(1)
    holes = [[v if rng.random() > 0.1 else "" for v in row] for row in rows]
    path = written(tmp_path / "holes.csv", names, holes)
    inventory = inventories.load("ipip_neo_300")
    with pytest.raises(BadData, match="declared raw"):
        analyze(path, inventory, keyed=False)
    found = sound(analyze(path, inventory, keyed=True))
    assert (found.n, found.n_complete) == (200, 0) and found.keying is not None
    whole = analyze(path, inventory, keyed=True, rows="listwise")
    assert whole.scales["N"].reasons["alpha"] == "no person answered every item of the table"
    pairwise = analyze(path, inventory, keyed=True, rows="pairwise")
    assert pairwise.scales["N"].alpha == found.scales["N"].alpha_pairwise == pytest.approx(0.96, abs=0.03)


# --- Degenerate tables -----------------------------------------------------------------------------------------------

KEYS = [
    *[(f"e{i}", "E", 1 if i < 3 else -1, "warm" if i < 4 else "loud") for i in range(1, 6)],
    *[(f"n{i}", "N", 1, None) for i in range(1, 5)],
    ("o1", "O", 1, None),
]
NAMES = [key[0] for key in KEYS]


def people(n: int, seed: int = 0) -> np.ndarray:
    """Keyed answers of `n` persons to KEYS."""
    rng = np.random.default_rng(seed)
    trait = rng.normal(size=(n, 3))
    columns = [trait[:, "ENO".index(key[1])] + rng.normal(size=n) for key in KEYS]
    return np.clip(np.rint(3 + np.stack(columns, axis=1)), 1, 5).astype(int)


def test_against_numpy_throughout(make: Make, tmp_path: Path) -> None:
    rows = people(300)
    found = sound(analyze(written(tmp_path / "t.csv", NAMES, rows.tolist()), make(KEYS), keyed=True))
    places = {s: [i for i, key in enumerate(KEYS) if key[1] == s] for s in "ENO"}
    scores = {s: rows[:, p].mean(axis=1) for s, p in places.items()}
    for scale in "EN":
        ours, items = found.scales[scale], rows[:, places[scale]]
        k = items.shape[1]
        assert ours.mean == pytest.approx(scores[scale].mean()) and ours.sd == pytest.approx(scores[scale].std(ddof=1))
        alpha = k / (k - 1) * (1 - items.var(axis=0, ddof=1).sum() / items.sum(axis=1).var(ddof=1))
        assert ours.alpha == pytest.approx(alpha)
        rest = [np.corrcoef(items[:, i], items.sum(axis=1) - items[:, i])[0, 1] for i in range(k)]
        assert ours.min_item_rest_r == pytest.approx(min(rest))
    assert np.array(found.correlations.matrix, float) == pytest.approx(np.corrcoef([scores[s] for s in "ENO"]))
    assert list(found.facets) == ["warm", "loud"] and found.facets["warm"].facet == "facet warm"
    assert found.facets["warm"].mean == pytest.approx(rows[:, :3].mean())
    assert "scales" in json.loads(found.model_dump_json()) and found.scales["E"].facet is None


def test_a_single_item_scale_has_a_mean_but_no_reliability(make: Make, tmp_path: Path) -> None:
    rows = people(50)
    scale = sound(analyze(written(tmp_path / "t.csv", NAMES, rows.tolist()), make(KEYS), keyed=True)).scales["O"]
    assert scale.mean == pytest.approx(rows[:, -1].mean()) and scale.sd == pytest.approx(rows[:, -1].std(ddof=1))
    assert scale.alpha is None and "one of its items only" in scale.reasons["alpha"]


def test_absent_items_are_told_and_left_out(make: Make, tmp_path: Path) -> None:
    rows = people(80)
    path = written(tmp_path / "t.csv", [*NAMES[:4], "age"], [[*row[:4], 30] for row in rows.tolist()])
    found = sound(analyze(path, make(KEYS), keyed=True))
    assert found.missing_items == NAMES[4:] and found.ignored_columns == ["age"]
    assert found.scales["E"].items == 4 and found.scales["E"].mean == pytest.approx(rows[:, :4].mean())
    assert found.scales["N"].items == 0 and found.scales["N"].mean is None
    assert "none of its items" in found.scales["N"].reasons["mean"]
    assert found.correlations.matrix[0] == [1, None, None] and "N, O" in found.reasons["correlations"]
    assert "e5, n1" in " ".join(tables(found)[0].notes)


@pytest.mark.parametrize(("value", "other"), [(3, 4), (3.1, 4.7)])
def test_constant_columns(value: float, other: float, make: Make, tmp_path: Path) -> None:
    rows = people(60).astype(float)
    rows[:, 1] = value
    rows[:, 5:9] = other
    found = sound(analyze(written(tmp_path / "t.csv", NAMES, rows.tolist()), make(KEYS), keyed=True))
    extraversion, neuroticism = found.scales["E"], found.scales["N"]
    assert extraversion.alpha is not None and extraversion.min_item_rest_r is not None
    assert extraversion.lambda_6 is None and extraversion.reasons["lambda_6"] == "no variance: e2"
    assert neuroticism.mean == pytest.approx(other) and neuroticism.sd == 0 and neuroticism.alpha is None
    assert found.correlations.matrix[1] == [None, None, None] and "e2, n1, n2, n3, n4" in found.notes[0]


@pytest.mark.parametrize("rows", ["scale", "pairwise", "listwise"])
def test_a_constant_column_costs_only_its_scale(rows: Rows, make: Make, tmp_path: Path) -> None:
    """The other scales, and the items that vary, have the figures they have without it."""
    answers = people(60)
    answers[:, 6] = 2
    found = sound(analyze(written(tmp_path / "t.csv", NAMES, answers.tolist()), make(KEYS), keyed=True, rows=rows))
    names = [name for name in NAMES if name != "n2"]
    without = written(tmp_path / "u.csv", names, np.delete(answers, 6, axis=1).tolist())
    absent = sound(analyze(without, make(KEYS), keyed=True, rows=rows))
    assert found.kmo == absent.kmo and found.bartlett == absent.bartlett and found.components == absent.components
    assert found.kmo is not None and found.kmo_items["n2"] is None and found.kmo_items["n1"] == absent.kmo_items["n1"]
    assert found.scales["E"] == absent.scales["E"] and found.facets == absent.facets
    assert found.scales["N"].alpha is not None and "n2" in found.scales["N"].reasons["lambda_6"]
    assert any("without variance" in note and "n2" in note for note in found.notes)


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("people", [0, 1])
def test_fewer_than_two_people_are_no_table(
    people: int, suffix: str, careless: bool, make: Make, tmp_path: Path
) -> None:
    path, scores = tmp_path / f"t{suffix}", tmp_path / "scores.csv"
    if suffix == ".csv":
        written(path, NAMES, [[3] * 10] * people + [[""] * 10] * 2)
    else:
        parquet.write_table(pa.table({name: pa.array([3] * people, pa.int8()) for name in NAMES}), path)
    held = "one row of answers" if people else "column names and no row of answers"
    with pytest.raises(BadData, match=f"has {held}; expected two people or more"):
        analyze(path, make(KEYS), keyed=True, scores=scores, careless=careless)
    assert not scores.exists()


@pytest.mark.parametrize(
    ("cells", "missing", "said"),
    [
        ([""] * 10, (), r"columns; expected numbers from 1 to 5: .*--columns MAP"),
        (["NaN"] * 10, (), r"columns; expected"),
        ([0] * 10, (), r"columns: missing are 20 cells of 0 \(--coding 0-N"),
        ([-9] * 9 + ["NA"], (-9,), r"columns: missing are 18 cells with a code of --missing; expected"),
    ],
)
@pytest.mark.parametrize("careless", [False, True])
def test_a_table_without_an_answer_is_none(
    cells: list[Any], missing: tuple[float, ...], said: str, careless: bool, make: Make, tmp_path: Path
) -> None:
    """Its rows are no blank ones: another column holds something."""
    path, scores = written(tmp_path / "t.csv", ["who", *NAMES], [["a", *cells], ["b", *cells]]), tmp_path / "s.csv"
    with pytest.raises(BadData, match=rf"has 2 rows and not one answer in the items' {said}"):
        analyze(path, make(KEYS), False, scores, missing=missing, careless=careless)
    assert not scores.exists()


@pytest.mark.parametrize("n", [2, 3, 6, 9, 10])
def test_fewer_people_than_items(n: int, make: Make, tmp_path: Path) -> None:
    found = sound(analyze(written(tmp_path / "t.csv", NAMES, people(n, 3).tolist()), make(KEYS), keyed=True))
    assert any("fewer than 10 persons" in warning for warning in found.warnings) == (n < 10)
    assert found.kmo is None and found.bartlett is None and found.scales["E"].mean is not None


@pytest.mark.parametrize("rows", ["scale", "pairwise", "listwise"])
def test_hardly_an_answer(rows: Rows, make: Make, tmp_path: Path) -> None:
    """Two persons who answered nothing in common: no figure, but a reason for each."""
    answers = [[3, *[""] * 9], ["", 4, *[""] * 8]]
    scores = tmp_path / "scores.csv"
    path = written(tmp_path / "t.csv", NAMES, answers)
    found = sound(analyze(path, make(KEYS), False, scores, rows=rows, careless=True))
    assert (found.n, found.n_complete) == (2, 0) and found.correlations.matrix == [[None] * 3] * 3
    assert found.scales["E"].alpha is None and len(scores.read_text().splitlines()) == 3


def test_a_column_without_answers_counts_as_absent(make: Make, tmp_path: Path) -> None:
    rows = [[*row[:7], "", *row[8:]] for row in people(60).tolist()]
    inventory = make(KEYS)
    found = sound(analyze(written(tmp_path / "t.csv", NAMES, rows), inventory, keyed=True))
    without = [[*row[:7], *row[8:]] for row in rows]
    names = [name for name in NAMES if name != "n3"]
    absent = analyze(written(tmp_path / "u.csv", names, without), inventory, keyed=True)
    assert found.n_complete == 60 and found.missing_items == ["n3"] and "n3" in found.notes[0]
    assert found.model_copy(update={"notes": []}) == absent


def test_an_empty_file(make: Make, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(BadData, match="is empty"):
        analyze(tmp_path / "t.csv", make(KEYS), keyed=True)


def test_batches_do_not_matter(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = people(500).astype(object)
    rows[np.random.default_rng(2).random(rows.shape) < 0.02] = ""
    path, inventory, seen = written(tmp_path / "t.csv", NAMES, rows.tolist()), make(KEYS), []
    whole = sound(analyze(path, inventory, keyed=True, progress=seen.append))
    assert seen == [500]
    monkeypatch.setattr(tablefiles, "_BLOCK", 512)
    assert analyze(path, inventory, keyed=True, progress=seen.append) == whole
    assert len(seen) > 10 and sum(seen) == 1000


# --- Scores of persons -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("keyed", [True, False])
def test_scores_of_each_person(keyed: bool, suffix: str, make: Make, tmp_path: Path) -> None:
    rows = people(40).astype(float)
    rows[0, :5], rows[1, 2], rows[2] = np.nan, np.nan, np.nan
    given = rows.copy()
    if not keyed:
        given[:, 2:5] = 6 - given[:, 2:5]
    names = [*NAMES[:7], *NAMES[8:]]
    cells = [["" if np.isnan(v) else v for v in np.delete(row, 7)] for row in given]
    out = tmp_path / "to" / f"scores{suffix}"
    analyze(written(tmp_path / "t.csv", names, cells), make(KEYS), keyed, scores=out)
    assert [p.name for p in out.parent.iterdir()] == [out.name]
    table = pa.csv.read_csv(out) if suffix == ".csv" else parquet.read_table(out)
    assert table.column_names == ["row", "E", "n_missing_E", "N", "n_missing_N", "O", "n_missing_O", "warm", "loud"]
    assert table["row"].to_pylist() == [1, 2, *range(4, 41)], "the third row is blank"
    rows = np.delete(rows, 2, axis=0)
    rows[:, 7] = np.nan  # absent: its scale misses it throughout
    places = {"E": range(5), "N": range(5, 9), "O": range(9, 10), "warm": range(3), "loud": range(3, 5)}
    for name, columns in places.items():
        answered = [[v for v in row[columns.start : columns.stop] if not np.isnan(v)] for row in rows]
        expected = [sum(a) / len(a) if a else None for a in answered]
        assert table[name].to_pylist() == pytest.approx(expected)
        if name in "ENO":
            assert table[f"n_missing_{name}"].to_pylist() == [len(columns) - len(a) for a in answered]


def test_scores_need_a_file_of_their_own(make: Make, tmp_path: Path) -> None:
    path, inventory = written(tmp_path / "t.csv", NAMES, people(20).tolist()), make(KEYS)
    before = path.read_bytes()
    with pytest.raises(BadData, match="is the table itself"):
        analyze(path, inventory, keyed=True, scores=path)
    with pytest.raises(BadData, match=r"ends in \.parquet or \.csv"):
        analyze(path, inventory, keyed=True, scores=tmp_path / "scores.xlsx")
    (tmp_path / "folder.csv").mkdir()
    for place in (tmp_path / "folder.csv", path / "scores.csv"):
        with pytest.raises(BadData, match=r"cannot write .*--scores"):
            analyze(path, inventory, keyed=True, scores=place)
    assert path.read_bytes() == before


def test_older_scores_stay_where_the_table_is_refused(make: Make, tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", NAMES, [*people(20).tolist(), [9] * 10])
    scores = tmp_path / "scores.csv"
    scores.write_text("older")
    with pytest.raises(BadData, match="row 21 "):
        analyze(path, make(KEYS), keyed=True, scores=scores)
    assert scores.read_text() == "older" and len([*tmp_path.glob("*scores*")]) == 1
