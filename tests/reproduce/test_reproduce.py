"""Published figures against the same figures computed by another route, and against what the papers print."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from traitbench import inventories
from traitbench.errors import BadData, UnknownName
from traitbench.humans import reference
from traitbench.reproduce import NAMES, as_json, reproduce, tables
from traitbench.reproduce.cells import cells
from traitbench.reproduce.correlation import ROUNDING, CorrelationReproduction
from traitbench.reproduce.papi_baselines import BaselineReproduction
from traitbench.reproduce.ranges import RangeReproduction
from traitbench.reproduce.rows import CELLS, Reproduction, Row
from traitbench.tables import markdown
from traitbench.targets.papi import Persons, key, load_persons, unkeyed
from traitbench.types import BIG_FIVE

IPIP, BFI = "ipip_neo_120", "bfi_44"
INSTRUMENTS = {"IPIP-NEO": IPIP, "BFI": BFI}
TO_PAPER = "to the paper's people"
JOHNSON = "IPIP-NEO-300, online sample"
DAVIES = "Meta-analysis of Big Five intercorrelations"

Folder = Callable[..., Path]


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data folder and an empty cache."""
    monkeypatch.delenv("TRAITBENCH_DATA", raising=False)
    monkeypatch.setenv("TRAITBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write a PAPI folder of made-up persons in keyed space: `answers` (persons, 300), 0 missing."""

    def write(answers: np.ndarray, train: list[int] | None = None, test: list[int] | None = None) -> Path:
        people = [{"case": n, **{f"i{i}": int(v) for i, v in enumerate(row, 1)}} for n, row in enumerate(answers)]
        short = [i.number_300 for i in inventories.load("ipip_neo_120").items]
        known = short if train is None else train
        rest = [n for n in range(1, 301) if n not in short] if test is None else test
        place = tmp_path / "papi"
        place.mkdir(exist_ok=True)
        (place / "Test-set.json").write_text(json.dumps(people))
        (place / "mpi_300_split.json").write_text(json.dumps({"train_index": known, "test_index": rest}))
        return place

    return write


def people(n: int, seed: int = 0) -> np.ndarray:
    """Keyed answers (n, 300): a level for each person and facet, and noise."""
    rng = np.random.default_rng(seed)
    facets = [item.facet for item in key()]
    levels = {facet: rng.normal(3.3, 0.8, n) for facet in facets}
    raw = np.column_stack([levels[facet] + rng.normal(0, 0.7, n) for facet in facets])
    return np.clip(np.rint(raw), 1, 5).astype(int)


def row(found: Reproduction, label: str) -> Row:
    matches = [r for r in found.rows if r.label == label]
    assert len(matches) == 1, (label, [r.label for r in found.rows])
    return matches[0]


def distance(a: Any, b: Any) -> float:
    """Frobenius distance by a plain double loop."""
    return math.sqrt(sum((a[i][j] - b[i][j]) ** 2 for i in range(len(a)) for j in range(len(a))))


def paper_rows(shared: Path) -> list[dict[str, str]]:
    with (shared / "reference" / "paper_tables.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def correlation(nowhere: None) -> CorrelationReproduction:
    found = reproduce("big5chat-correlation")
    assert isinstance(found, CorrelationReproduction)
    return found


@pytest.fixture
def ranges() -> RangeReproduction:
    found = reproduce("big5chat-ranges")
    assert isinstance(found, RangeReproduction)
    return found


@pytest.fixture
def papi(shared: Path) -> BaselineReproduction:
    found = reproduce("papi-baselines")
    assert isinstance(found, BaselineReproduction)
    return found


class TestPublishedCells:
    def test_every_level_is_the_papers(self, shared: Path) -> None:
        held = {
            (x.instrument, x.model, x.method, condition, trait): x.cells[i][j]
            for x in cells().levels
            for i, condition in enumerate(cells().conditions)
            for j, trait in enumerate(cells().traits)
        }
        given: dict[tuple[str, ...], list[float]] = {}
        for r in paper_rows(shared):
            if r["paper"] == "BIG5-CHAT" and r["table"] in INSTRUMENTS and r["condition"] != "none":
                place = (INSTRUMENTS[r["table"]], r["model"], r["method"], r["condition"].lower(), r["trait"].lower())
                given.setdefault(place, []).append(float(r["value"]))
        assert len(held) == 21 * 50
        assert {place: [value] for place, value in held.items()} == {p: v for p, v in given.items() if p in held}
        left_out = {place[:3] for place in given} - {place[:3] for place in held}
        assert left_out == {(IPIP, "llama3_70b", "Prompt-Demo+SFT")}
        assert all(part in cells().left_out for part in next(iter(left_out)))
        unfit = [v for place, v in given.items() if place[:3] in left_out]
        assert len(unfit) == 25 and sum(len(v) == 2 for v in unfit) == 10, "why it was left out"

    def test_people_and_distances_are_the_papers(self, shared: Path) -> None:
        for r in paper_rows(shared):
            if r["model"] == "crowd":
                row_of_people = cells().row_of_people(INSTRUMENTS[r["table"]])
                at = cells().traits.index(r["trait"].lower())
                assert (row_of_people.means[at], row_of_people.sds[at]) == (float(r["value"]), float(r["sd"]))
            if r["metric"] == "frobenius_to_human":
                assert next(d.value for d in cells().distances if d.label == r["method"]) == float(r["value"])

    def test_matrix_and_within_person_sds(self, shared: Path) -> None:
        given = json.loads((shared / "reference" / "big5chat_correlation.json").read_text())
        assert [t.lower() for t in given["traits"]] == list(cells().traits)
        assert np.array_equal(cells().human_matrix, given["human_matrix_as_published"])
        assert {d.label: d.value for d in cells().distances} == given["published_distance"]
        assert str(cells().overwritten.value) in given["note"]
        within = json.loads((shared / "reference" / "human_within_subject_sd.json").read_text())
        sds = within["mpi_human_py_619150_ipip120"]
        assert list(cells().within_person.sds) == [sds[t[0].upper()] for t in cells().traits]

    def test_papi_figures(self, shared: Path) -> None:
        held = json.loads(CELLS.read_text())["papi"]
        names = {f"const{k}": f"constant {k}" for k in range(1, 6)}
        names |= {f"subject {m}mean rounded": f"{m or 'overall '}mean" for m in ("", "trait ", "facet ")}
        names["subject facet mean rounded, re-keyed"] = "facet mean"
        given: dict[str, dict[str, float]] = {"keyed": {}, "raw": {}}
        for r in paper_rows(shared):
            if r["table"] == "trivial baselines (ours)" and r["trait"] == "all" and r["method"] in names:
                space = "keyed" if r["condition"] == "released-value space" else "raw"
                given[space][names[r["method"]]] = float(r["value"])
        for space, values in given.items():
            assert held["baselines"][space] == pytest.approx(values, abs=5.1e-4)
        printed = {
            (r["model"], r["method"]): float(r["value"])
            for r in paper_rows(shared)
            if r["table"].startswith("PAPI composite") and r["method"] in ("PAS", "Few-shot")
        }
        assert {(m["model"], m["method"]): m["value"] for m in held["methods"]["sums"]} == printed

    def test_every_condition_is_there_once(self) -> None:
        paper = cells()
        assert paper.conditions == tuple(f"{t}={pole}" for t in BIG_FIVE for pole in ("high", "low"))
        for levels in paper.levels:
            grid = np.array(levels.cells)
            assert grid.shape == (10, 5) and grid.min() >= 1 and grid.max() <= 5
            assert np.allclose(grid, grid.round(1), atol=0)


class TestCorrelation:
    @pytest.mark.parametrize(
        ("label", "published", "recomputed"),
        [
            (f"llama3_8b, Prompting, {TO_PAPER}", 2.10, 2.0949),
            (f"llama3_8b, SFT, {TO_PAPER}", 1.55, 1.5492),
            (f"llama3_8b, DPO, {TO_PAPER}", 2.06, 2.0870),
            (f"llama3_8b, DPO, with E-A overwritten, {TO_PAPER}", 2.06, 2.0631),
        ],
    )
    def test_published_distances(
        self, correlation: CorrelationReproduction, label: str, published: float, recomputed: float
    ) -> None:
        found = row(correlation, label)
        assert found.published == published
        assert found.recomputed == pytest.approx(recomputed, abs=5e-5)

    def test_by_another_route(self, correlation: CorrelationReproduction) -> None:
        paper = cells()
        for m in correlation.matrices:
            matrix = np.corrcoef(paper.scores(IPIP, m.model, m.method), rowvar=False).tolist()
            assert np.allclose(m.correlations, matrix, atol=1e-12)
            found = row(correlation, f"{m.model}, {m.label}, {TO_PAPER}")
            assert found.recomputed == pytest.approx(distance(matrix, paper.human_matrix), abs=1e-12)
            for name, label in (("ipip_neo_300_johnson", JOHNSON), ("davies_2015", DAVIES)):
                human = reference(name).matrix(paper.traits)
                found = row(correlation, f"{m.model}, {m.label}, to: {label}")
                assert found.recomputed == pytest.approx(distance(matrix, human), abs=1e-12)
                assert found.published == paper.printed(m.model, m.method)

    def test_against_the_published_reference_matrix(self, correlation: CorrelationReproduction, shared: Path) -> None:
        given = json.loads((shared / "reference" / "human_ref_ipipneo300_stenR.json").read_text())
        complete = given["corr_scales_complete"]
        at = [complete["order"].index(trait[0].upper()) for trait in cells().traits]
        human = np.array(complete["matrix"])[np.ix_(at, at)].tolist()
        expected = {"Prompt-Inst": 1.3482, "SFT": 0.9286, "DPO": 1.4615}
        for method, value in expected.items():
            matrix = np.corrcoef(cells().scores(IPIP, "llama3_8b", method), rowvar=False).tolist()
            assert distance(matrix, human) == pytest.approx(value, abs=5e-5)
            label = next(d.label for d in cells().distances if d.method == method)
            assert row(correlation, f"llama3_8b, {label}, to: {JOHNSON}").recomputed == pytest.approx(value, abs=5e-5)

    def test_the_order_of_the_methods_does_not_last(self, correlation: CorrelationReproduction) -> None:
        def nearest(model: str, to: str) -> str | None:
            rows = {label: row(correlation, f"{model}, {label}, {to}") for label in ("Prompting", "SFT", "DPO")}
            return min(rows, key=lambda label: rows[label].recomputed or math.inf)

        for to in (TO_PAPER, f"to: {JOHNSON}", f"to: {DAVIES}"):
            assert (nearest("llama3_8b", to), nearest("llama3_70b", to)) == ("SFT", "Prompting")
        notes = correlation.details()[0].notes
        assert any("llama3_70b, nearest first, to the paper's people: Prompting < SFT < DPO" in note for note in notes)

    def test_identity_stands_beside(self, correlation: CorrelationReproduction) -> None:
        own, people_row = (row(correlation, f"uncorrelated traits, to: {to}") for to in ("the paper's people", JOHNSON))
        assert people_row.recomputed == pytest.approx(1.18, abs=0.005)
        assert own.recomputed == pytest.approx(distance(np.eye(5), cells().human_matrix), abs=1e-12)
        assert "nearer than 6 of the 6" in own.why
        nearer = sum((m.people[0].distance.value or 0) > (people_row.recomputed or 0) for m in correlation.matrices)
        assert f"nearer than {nearer} of the 6" in people_row.why

    def test_ten_people_stand_beside(self, correlation: CorrelationReproduction) -> None:
        found = row(correlation, f"10 people drawn from them, to: {JOHNSON}")
        human = reference("ipip_neo_300_johnson").matrix(BIG_FIVE)
        draws = np.random.default_rng(1).multivariate_normal(np.zeros(5), human, size=(2000, 10))
        drawn = [distance(np.corrcoef(x, rowvar=False).tolist(), human.tolist()) for x in draws]
        error = np.std(drawn) * math.sqrt(1 / 1000 + 1 / 2000)
        assert found.recomputed == pytest.approx(np.mean(drawn), abs=4 * error)

    def test_rounding_explains_what_is_left(self) -> None:
        paper, rng = cells(), np.random.default_rng(0)
        scores = paper.scores(IPIP, "llama3_8b", "Prompt-Inst")
        moved = [
            distance(np.corrcoef(scores + rng.uniform(-0.05, 0.05, scores.shape), rowvar=False), paper.human_matrix)
            for _ in range(300)
        ]
        assert pytest.approx(2 * np.std(moved), abs=0.01) == ROUNDING
        assert abs((paper.printed("llama3_8b", "Prompt-Inst") or 0) - 2.0949) < ROUNDING

    def test_fault_of_the_human_matrix(self, correlation: CorrelationReproduction) -> None:
        for trait in ("conscientiousness", "agreeableness", "openness"):
            found = row(correlation, f"people, {trait}-neuroticism")
            assert found.published is not None and found.recomputed is not None
            assert found.published > 0.1 and found.recomputed < 0

    def test_without_persons_the_reversal_is_not_shown(self, correlation: CorrelationReproduction) -> None:
        rows = [r for r in correlation.rows if r.label.startswith("PAPI")]
        assert len(rows) == 8
        assert all(r.recomputed is None and "traitbench data get papi" in r.why for r in rows)

    def test_a_second_reversal_makes_the_published_signs(self, shared: Path) -> None:
        found = reproduce("big5chat-correlation")
        for trait in ("conscientiousness", "agreeableness", "openness"):
            assert (row(found, f"PAPI reversed once, {trait}-neuroticism").recomputed or 0) < 0
            assert (row(found, f"PAPI reversed twice, {trait}-neuroticism").recomputed or 0) > 0
        once, twice = (row(found, f"PAPI reversed {n}, {TO_PAPER}").recomputed for n in ("once", "twice"))
        # By hand from the files: means of the known answers that are there, no helper of ours.
        persons = json.loads((shared / "data" / "papi" / "Test-set.json").read_text())
        with (shared / "data" / "papi" / "item_key.csv").open(newline="") as handle:
            short = [r for r in csv.DictReader(handle) if r["Short#"]]
        for value, again in ((once, False), (twice, True)):
            means = [
                [
                    fmean(
                        6 - p["i" + r["Full#"]] if again and r["Sign"][0] == "-" else p["i" + r["Full#"]]
                        for r in short
                        if r["Key"][0] == trait[0].upper() and p["i" + r["Full#"]]
                    )
                    for trait in BIG_FIVE
                ]
                for p in persons
            ]
            matrix = np.corrcoef(means, rowvar=False).tolist()
            assert value == pytest.approx(distance(matrix, cells().human_matrix), abs=1e-9)
        assert once is not None and twice is not None and once > 1.6 and twice < 0.45

    def test_damaged_persons_are_an_error(self, tmp_path: Path, nowhere: None) -> None:
        with pytest.raises(BadData, match=r"has no .*json"):
            reproduce("big5chat-correlation", tmp_path)


class TestRanges:
    def test_points_and_pomp(self, ranges: RangeReproduction) -> None:
        found = {(r.instrument, r.model, r.method): r for r in ranges.ranges}
        assert len(found) == 21
        dpo = found[IPIP, "llama3_8b", "DPO"]
        assert dpo.high == (5.0, 5.0, 5.0, 4.5, 3.8) and dpo.low == (1.9, 2.9, 1.6, 1.2, 3.7)
        assert dpo.points == pytest.approx((3.1, 2.1, 3.4, 3.3, 0.1))
        assert dpo.mean_points == pytest.approx(2.40) and dpo.mean_pomp == pytest.approx(60.0)
        assert dpo.sds == pytest.approx((3.1 / 0.512, 2.1 / 0.612, 3.4 / 0.602, 3.3 / 0.522, 0.1 / 0.665))
        sft = found[BFI, "llama3_8b", "SFT"]
        assert sft.mean_points == pytest.approx(2.76)
        assert sft.mean_sds == pytest.approx(fmean((3.0 / 0.6423, 3.4 / 0.6559, 2.0 / 0.726, 3.8 / 0.6, 1.6 / 0.8236)))
        for r in ranges.ranges:
            assert r.pomp == pytest.approx([25 * p for p in r.points])

    def test_rows_compare_the_two_readings(self, ranges: RangeReproduction) -> None:
        found = row(ranges, f"{IPIP}, llama3_8b, SFT: mean range in SDs of people")
        points = (2.8, 1.8, 2.8, 2.2, 2.3)
        assert found.published == pytest.approx(fmean(p / s for p, s in zip(points, (1.1, 1, 1, 1, 1), strict=True)))
        between = (0.512, 0.612, 0.602, 0.522, 0.665)
        assert found.recomputed == pytest.approx(fmean(p / s for p, s in zip(points, between, strict=True)))
        assert "one person's answers" in found.why

    def test_the_printed_sd_of_people_is_within_a_person(self, ranges: RangeReproduction) -> None:
        for at, trait in enumerate(BIG_FIVE):
            found = row(ranges, f"{IPIP}: SD of people, {trait}")
            assert found.published is not None and found.recomputed is not None
            within = cells().within_person.sds[at]
            assert abs(found.published - within) < 0.1 < found.recomputed < 0.7 * found.published
            assert "within a person" in found.why
            found = row(ranges, f"{BFI}: SD of people, {trait}")
            assert found.published == pytest.approx(found.recomputed, abs=0.2), "both between people"

    def test_what_was_left_out_is_said(self, ranges: RangeReproduction) -> None:
        assert any("Prompt-Demo+SFT" in note for note in ranges.details()[0].notes)


KNOWN = {
    "constant 1": 11.6643, "constant 2": 6.8768, "constant 3": 3.8349, "constant 4": 4.1204, "constant 5": 8.3418,
    "overall mean": 3.62625, "trait mean": 2.9160, "facet mean": 2.7735,
}  # fmt: skip


class TestBaselines:
    def test_known_values_on_the_200_persons(self, papi: BaselineReproduction) -> None:
        sums = {r.baseline: r.sum for r in papi.rows if r.space == "keyed" and r.metric == "published"}
        assert papi.n_persons == 200
        assert sums == pytest.approx(KNOWN, abs=5e-5)
        own = {(r.baseline, r.space): r.sum for r in papi.rows if r.metric == "answered"}
        assert own["constant 3", "keyed"] == pytest.approx(3.8280, abs=5e-5)

    def test_by_another_route(self, papi: BaselineReproduction, shared: Path) -> None:
        persons = json.loads((shared / "data" / "papi" / "Test-set.json").read_text())
        split = json.loads((shared / "data" / "papi" / "mpi_300_split.json").read_text())
        with (shared / "data" / "papi" / "item_key.csv").open(newline="") as handle:
            held = {int(r["Full#"]): (r["Key"][0], r["Key"], r["Sign"][0]) for r in csv.DictReader(handle)}
        groups = {"overall mean": lambda _: "", "trait mean": lambda i: held[i][0], "facet mean": lambda i: held[i][1]}
        for found in papi.rows:
            errors: dict[str, list[float]] = {trait[0].upper(): [] for trait in BIG_FIVE}
            for person in persons:
                if found.baseline in groups:
                    group = groups[found.baseline]
                    known: dict[str, list[int]] = {}
                    for item in split["train_index"]:
                        if person[f"i{item}"]:
                            known.setdefault(group(item), []).append(person[f"i{item}"])
                for item in split["test_index"]:
                    value = person[f"i{item}"]
                    minus = found.space == "raw" and held[item][2] == "-"
                    if found.baseline in groups:
                        predicted = round(fmean(known[group(item)]))
                        predicted = 6 - predicted if minus else predicted
                    else:
                        predicted = int(found.baseline[-1])
                    if value or found.metric == "published":
                        errors[held[item][0]].append(abs(predicted - (6 - value if minus and value else value)))
            expected = {trait: fmean(errors[trait[0].upper()]) for trait in BIG_FIVE}
            assert found.traits == pytest.approx(expected, abs=1e-12), found.label
            assert found.sum == found.recomputed == pytest.approx(sum(expected.values()), abs=1e-12)
            assert found.n == sum(map(len, errors.values()))

    def test_beside_all_300_persons(self, papi: BaselineReproduction) -> None:
        published = {(r.baseline, r.space): r.published for r in papi.rows if r.metric == "published"}
        assert published["constant 3", "keyed"] == 3.7994
        assert published["trait mean", "keyed"] == 2.8668 and published["facet mean", "keyed"] == 2.7314
        assert all("over 200 persons here, over 300" in r.why for r in papi.rows if r.published is not None)
        assert all(r.published is None for r in papi.rows if r.metric == "answered")
        pas = next(m for m in papi.methods if m.label.startswith("PAS, Llama-3-8B"))
        assert pas.published == 4.41 and pas.recomputed is None
        nearer = [name for name, value in KNOWN.items() if value < 4.41]
        assert pas.why.endswith(", ".join(nearer))

    def test_the_key_is_our_inventory(self, shared: Path) -> None:
        with (shared / "data" / "papi" / "item_key.csv").open(newline="") as handle:
            held = {int(r["Full#"]): r for r in csv.DictReader(handle)}
        assert len(held) == len(key()) == 300
        for item in key():
            given = held[item.number]
            assert given["Key"] == item.facet and given["Sign"][0] == ("+" if item.keyed == 1 else "-")
        known = {item.number_300 for item in inventories.load("ipip_neo_120").items}
        persons = load_persons()
        assert {int(c) + 1 for c in persons.known} == known and len(persons.test) == 180

    def test_json_holds_the_rows(self, papi: BaselineReproduction) -> None:
        found = json.loads(as_json(papi))
        assert found["reproduction"] == "papi-baselines" and found["n_persons"] == 200
        assert len(found["rows"]) == 8 * 2 * 2
        one = found["rows"][0]
        assert (one["baseline"], one["space"], one["metric"]) == ("constant 1", "keyed", "published")
        assert set(one["traits"]) == set(BIG_FIVE)
        assert one["sum"] == one["recomputed"] == pytest.approx(sum(one["traits"].values()), abs=1e-12)
        assert one["sum"] != round(one["sum"], 4), "unrounded"


class TestPersons:
    def test_three_hundred_others_are_not_taken_for_the_papers(self, folder: Folder) -> None:
        found = reproduce("papi-baselines", folder(people(300)))
        assert all("not the released answers" in r.why for r in found.rows if r.published is not None)

    def test_three_hundred_with_the_papers_figures(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        place = folder(people(300))
        first = reproduce("papi-baselines", place)
        assert isinstance(first, BaselineReproduction)
        from traitbench.reproduce import papi_baselines

        paper = papi_baselines._published()
        sums = {r.baseline: r.sum for r in first.rows if r.space == "keyed" and r.metric == "published"}
        same = paper.model_copy(update={"baselines": paper.baselines.model_copy(update={"keyed": sums})})
        monkeypatch.setattr(papi_baselines, "_published", lambda: same)
        again = reproduce("papi-baselines", place)
        assert isinstance(again, BaselineReproduction)
        why = {r.why for r in again.rows if r.space == "keyed" and r.metric == "published"}
        assert why == {"they do not: the same persons"}

    def test_narrower_means_fall_back_to_wider_ones(self, folder: Folder) -> None:
        answers = people(1)
        known = {item.number_300 for item in inventories.load("ipip_neo_120").items}
        for item in key():
            if item.number in known and (item.facet == "N1" or item.trait == "openness"):
                answers[0, item.number - 1] = 0
        found = reproduce("papi-baselines", folder(answers))
        assert isinstance(found, BaselineReproduction)
        by_name = {r.baseline: r.traits for r in found.rows if r.space == "keyed" and r.metric == "answered"}
        assert by_name["trait mean"]["openness"] == by_name["overall mean"]["openness"]
        assert by_name["facet mean"]["openness"] == by_name["overall mean"]["openness"]
        seen = [answers[0, i.number - 1] for i in key() if i.number in known and i.trait == "neuroticism"]
        trait = round(fmean(v for v in seen if v))
        facets = {}
        for item in key():
            if item.number in known and item.trait == "neuroticism" and item.facet != "N1":
                facets.setdefault(item.facet, []).append(answers[0, item.number - 1])
        expected = fmean(
            abs((round(fmean(facets[i.facet])) if i.facet in facets else trait) - answers[0, i.number - 1])
            for i in key()
            if i.number not in known and i.trait == "neuroticism"
        )
        assert by_name["facet mean"]["neuroticism"] == pytest.approx(expected, abs=1e-12)

    def test_a_trait_that_nobody_answered_has_no_value(self, folder: Folder) -> None:
        answers = people(3)
        known = {item.number_300 for item in inventories.load("ipip_neo_120").items}
        for item in key():
            if item.trait == "agreeableness" and item.number not in known:
                answers[:, item.number - 1] = 0
        found = reproduce("papi-baselines", folder(answers))
        assert isinstance(found, BaselineReproduction)
        for r in found.rows:
            gone = r.metric == "answered"
            assert (r.traits["agreeableness"] is None, r.sum is None, r.recomputed is None) == (gone, gone, gone)
            assert not gone or "nobody answered" in r.why
        assert "NaN" not in as_json(found) and all(markdown(t) for t in tables(found))

    def test_a_split_without_items_of_a_trait(self, folder: Folder) -> None:
        numbers = [item.number for item in key() if item.trait == "extraversion"]
        found = reproduce("papi-baselines", folder(people(2), train=numbers[:5], test=numbers[5:]))
        assert isinstance(found, BaselineReproduction)
        assert all(r.sum is None and r.traits["openness"] is None for r in found.rows)
        assert all(r.traits["extraversion"] is not None for r in found.rows)

    def test_few_persons_leave_correlations_undefined(self, folder: Folder) -> None:
        found = reproduce("big5chat-correlation", folder(people(2)))
        rows = [r for r in found.rows if r.label.startswith("PAPI")]
        assert len(rows) == 8 and all(r.recomputed is None for r in rows)
        assert "NaN" not in as_json(found)

    def test_unkeyed_turns_once(self) -> None:
        values = np.tile([1.0, 2.0, np.nan], 100)[None, :]
        turned = unkeyed(values)
        minus = np.array([item.keyed == -1 for item in key()])
        assert np.array_equal(turned[:, minus], 6 - values[:, minus], equal_nan=True) and minus.sum() == 148
        assert np.array_equal(unkeyed(turned), values, equal_nan=True)

    def test_loaded_in_order(self, folder: Folder) -> None:
        answers = people(20)
        answers[3, 7] = 0
        found: Persons = load_persons(folder(answers))
        assert np.isnan(found.answers[3, 7]) and np.isnan(found.answers).sum() == 1
        assert np.array_equal(np.nan_to_num(found.answers), answers)

    def test_raw_answers_are_refused(self, folder: Folder) -> None:
        answers = unkeyed(people(40).astype(float)).astype(int)
        with pytest.raises(BadData, match="not in keyed space; expected the released answers"):
            load_persons(folder(answers))

    def test_nowhere_says_what_to_type(self, nowhere: None) -> None:
        with pytest.raises(BadData, match=r"traitbench data get papi.*--papi DIR"):
            reproduce("papi-baselines")

    @pytest.mark.parametrize("name", ["Test-set.json", "mpi_300_split.json"])
    def test_incomplete_folder(self, folder: Folder, name: str) -> None:
        place = folder(people(2))
        (place / name).unlink()
        with pytest.raises(BadData, match=f"has no {name}.*traitbench data get papi.*--papi DIR"):
            reproduce("papi-baselines", place)

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("Test-set.json", "[{]", r"Test-set.json:1: not valid JSON"),
            ("Test-set.json", "[]", "holds no persons"),
            ("Test-set.json", "{}", "holds no persons"),
            ("Test-set.json", "[3]", "person 1 is 3; expected an object"),
            ("Test-set.json", '[{"i1": 6}]', "person 1: i1 is 6; expected a whole number 1 to 5, or 0"),
            ("Test-set.json", '[{"i1": true}]', "i1 is True"),
            ("Test-set.json", '[{"i1": 3}]', "i2 is None"),
            ("mpi_300_split.json", "[]", "has no train_index"),
            ("mpi_300_split.json", '{"train_index": [1], "test_index": []}', "has no test_index"),
            ("mpi_300_split.json", '{"train_index": [301], "test_index": [2]}', "holds 301"),
            ("mpi_300_split.json", '{"train_index": [1, 2], "test_index": [2]}', "names an item twice"),
            ("mpi_300_split.json", '{"train_index": [1, 1], "test_index": [2]}', "names an item twice"),
        ],
    )
    def test_damaged_files(self, folder: Folder, name: str, text: str, message: str) -> None:
        place = folder(people(2))
        (place / name).write_text(text)
        with pytest.raises(BadData, match=message):
            load_persons(place)

    def test_no_text(self, folder: Folder) -> None:
        place = folder(people(2))
        (place / "Test-set.json").write_bytes(b"\xff\xfe[]")
        with pytest.raises(BadData, match=r"cannot read .*Test-set"):
            load_persons(place)

    def test_a_silent_person(self, folder: Folder) -> None:
        answers = people(4)
        answers[2, :] = 0
        with pytest.raises(BadData, match="person 3 answered none of the known items"):
            load_persons(folder(answers))


class TestReading:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_row_says_why(self, name: str, shared: Path) -> None:
        found = reproduce(name)
        assert found.name == name and found.source and found.rows
        assert len({r.label for r in found.rows}) == len(found.rows)
        for r in found.rows:
            assert r.why and (r.published is not None or r.recomputed is not None)
        main, *details = tables(found)
        assert main.columns == ["what", "published", "recomputed", "why they differ"] and details
        for table in (main, *details):
            assert all(len(cells_of) == len(table.columns) for cells_of in table.rows)
            assert "nan" not in markdown(table).split()

    @pytest.mark.parametrize("name", NAMES)
    def test_json_is_the_record(self, name: str, shared: Path) -> None:
        found = reproduce(name)

        def refuse(text: str) -> float:
            raise AssertionError(text)

        read = json.loads(as_json(found), parse_constant=refuse)
        assert read["reproduction"] == name
        assert [r["recomputed"] for r in read["rows"]] == [r.recomputed for r in found.rows]

    def test_same_twice(self) -> None:
        assert as_json(reproduce("big5chat-ranges")) == as_json(reproduce("BIG5CHAT_ranges"))
        assert as_json(reproduce("big5chat-correlation")) == as_json(reproduce("big5chat-correlation"))

    def test_unknown_name(self) -> None:
        with pytest.raises(UnknownName, match="did you mean 'papi-baselines'"):
            reproduce("papi-baseline")

    def test_no_torch(self) -> None:
        code = (
            "import sys; from traitbench.reproduce import reproduce; reproduce('big5chat-correlation'); "
            "reproduce('big5chat-ranges'); print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
