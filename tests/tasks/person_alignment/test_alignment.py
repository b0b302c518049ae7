"""Alignment with persons: the trivial baselines from the files by plain loops, and every degenerate input."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy import stats

from traitbench import inventories
from traitbench.errors import BadData
from traitbench.inventories import Item
from traitbench.reproduce import reproduce
from traitbench.reproduce.papi_baselines import BaselineReproduction
from traitbench.samples import Sample
from traitbench.tables import markdown
from traitbench.targets import persons
from traitbench.targets.papi import split
from traitbench.tasks.person_alignment.alignment import BASELINES, Alignment, AlignmentRow, alignment, most_likely
from traitbench.tasks.person_alignment.tables import tables
from traitbench.types import BIG_FIVE

KNOWN, TEST = split()
PUBLISHED = {
    "constant 1": 11.6643, "constant 2": 6.8768, "constant 3": 3.8349, "constant 4": 4.1204, "constant 5": 8.3418,
    "overall mean": 3.6262, "trait mean": 2.9160, "facet mean": 2.7735,
}  # fmt: skip

Rows = dict[str, dict[str, np.ndarray]]


class World:
    """Made-up persons, and rows that answer for them."""

    def __init__(self, n: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        levels = [{item.facet: self.rng.normal(0, 0.8) for item in (*KNOWN, *TEST)} for _ in range(n)]
        self.ids = [f"p{i}" for i in range(n)]
        self.known = {id: self._answers(KNOWN, mine) for id, mine in zip(self.ids, levels, strict=True)}
        self.tests = {
            id: np.array(list(self._answers(TEST, mine).values()), dtype=float)
            for id, mine in zip(self.ids, levels, strict=True)
        }

    def _answers(self, items: tuple[Item, ...], level: Mapping[str | None, float]) -> dict[str, int]:
        raw = [3 + i.keyed * level[i.facet] + self.rng.normal(0, 0.6) for i in items]
        return {i.id: int(np.clip(np.rint(v), 1, 5)) for i, v in zip(items, raw, strict=True)}

    def row(self, share: float, noise: float = 0.5) -> dict[str, np.ndarray]:
        """Answers that lie between 3 and the person's own, with noise."""
        return {
            id: np.clip(3 + share * (v - 3) + self.rng.normal(0, noise, len(v)), 1, 5) for id, v in self.tests.items()
        }

    def rows(self, **shares: float) -> Rows:
        return {name: self.row(share) for name, share in shares.items()}

    def align(self, values: Rows, argmax: Rows | None = None, **more: Any) -> Alignment:
        more.setdefault("iterations", 200)
        whole = {n: {id: np.rint(v) for id, v in row.items()} for n, row in values.items()}
        return alignment(values, whole if argmax is None else argmax, self.tests, self.known, TEST, **more)


def rows_of(found: Alignment) -> dict[str, AlignmentRow]:
    named = {row.name: row for row in found.rows}
    assert len(named) == len(found.rows)
    return named


def sound(found: Alignment) -> Alignment:
    """No NaN in the file, tables that can be printed, and a reason for whatever is null."""

    def refuse(text: str) -> float:
        raise AssertionError(text)

    read = json.loads(found.model_dump_json(), parse_constant=refuse)
    assert Alignment.model_validate(read) == found
    for row in found.rows:
        for average in (row.mae_sum, row.mae, row.mae_sum_argmax, row.published, row.correlation):
            assert bool(average.reason) == (average.value is None or average.ci is None)
        for difference in (row.to_reference, row.to_nearest):
            assert difference is None or difference.reason or (difference.value is not None and difference.ci)
    for table in tables(found):
        assert all(len(line) == len(table.columns) for line in table.rows)
        assert "nan" not in markdown(table).lower().split()
    return found


def by_hand(values: Mapping[str, np.ndarray], tests: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Mean |value - answer| by trait over all cells, by plain loops."""
    cells: dict[str, list[float]] = {}
    for id, answers in tests.items():
        for item, value, answer in zip(TEST, values[id], answers, strict=True):
            if not math.isnan(value) and not math.isnan(answer):
                cells.setdefault(item.trait, []).append(abs(float(value) - float(answer)))
    return {trait: fmean(mine) for trait, mine in cells.items()}


class TestPapi:
    @pytest.fixture
    def found(self, shared: Path) -> Alignment:
        people = persons.papi()
        none = {id: np.full(len(TEST), 3.4) for id in people.tests}
        whole = {id: np.full(len(TEST), 4.0) for id in people.tests}
        return alignment({"none": none}, {"none": whole}, people.answers(TEST), people.known, TEST, iterations=100)

    def test_published_baselines(self, found: Alignment) -> None:
        rows = rows_of(found)
        assert tuple(rows) == (*BASELINES, "none") and (found.persons, found.items) == (200, 180)
        for name, value in PUBLISHED.items():
            assert rows[name].published.value == pytest.approx(value, abs=5e-5), name
        assert rows["constant 3"].mae_sum.value == pytest.approx(3.8280, abs=5e-5)
        assert rows["constant 4"].published.value != pytest.approx(rows["none"].published.value, abs=0.5), (
            "4 in keyed space is not always agreeing"
        )
        assert rows["none"].mae_sum_argmax == rows["constant 4"].mae_sum_argmax
        sound(found)

    def test_from_the_files_by_plain_loops(self, found: Alignment, shared: Path) -> None:
        folder = shared / "data" / "papi"
        people = json.loads((folder / "Test-set.json").read_text())
        parts = json.loads((folder / "mpi_300_split.json").read_text())
        with (folder / "item_key.csv").open(newline="") as handle:
            held = {int(r["Full#"]): (r["Key"], r["Sign"][0] == "-") for r in csv.DictReader(handle)}
        groups: dict[str, Callable[[int], str]] = {
            "overall mean": lambda n: "", "trait mean": lambda n: held[n][0][0], "facet mean": lambda n: held[n][0],
        }  # fmt: skip
        rows = rows_of(found)
        for name in BASELINES:
            cells: dict[str, dict[str, list[float]]] = {m: {t: [] for t in "OCEAN"} for m in ("own", "argmax", "paper")}
            for person in people:
                known: dict[str, list[int]] = {}
                for n in parts["train_index"]:
                    if name in groups and person[f"i{n}"]:
                        known.setdefault(groups[name](n), []).append(person[f"i{n}"])
                means = {group: fmean(seen) for group, seen in known.items()}
                for n in parts["test_index"]:
                    (facet, minus), released = held[n], person[f"i{n}"]
                    raw = 6 - released if minus else released
                    # Each prediction as a list of equally likely ones: expected value, option, option in keyed space.
                    if name in groups:
                        mean = means[groups[name](n)]
                        exact, near = [6 - mean if minus else mean], [6 - round(mean) if minus else round(mean)]
                        paper = [round(mean)]
                    else:
                        near = [1, 2, 3, 4, 5] if name == "uniform random" else [int(name[-1])]
                        exact = paper = near
                    cells["paper"][facet[0]].append(sum(abs(p - released) for p in paper) / len(paper))
                    if released:
                        cells["own"][facet[0]].append(sum(abs(p - raw) for p in exact) / len(exact))
                        cells["argmax"][facet[0]].append(sum(abs(p - raw) for p in near) / len(near))
            row = rows[name]
            figures = {"own": row.mae_sum, "argmax": row.mae_sum_argmax, "paper": row.published}
            for metric, average in figures.items():
                assert average.value == pytest.approx(sum(map(fmean, cells[metric].values())), abs=1e-10), name
            by_trait = {t: fmean(cells["own"][t[0].upper()]) for t in BIG_FIVE}
            assert row.traits == pytest.approx(by_trait, abs=1e-12)
            assert row.mae.value == pytest.approx(fmean(by_trait.values()), abs=1e-10)
        assert found.missing == 22 == sum(not p[f"i{n}"] for p in people for n in parts["test_index"])

    def test_one_implementation_with_the_reproduction(self, found: Alignment, shared: Path) -> None:
        paper = reproduce("papi-baselines")
        assert isinstance(paper, BaselineReproduction)
        for theirs in paper.rows:
            mine = rows_of(found)[theirs.baseline]
            if (theirs.space, theirs.metric) == ("keyed", "published"):
                assert mine.published.value == pytest.approx(theirs.sum, abs=1e-10)
            if (theirs.space, theirs.metric) == ("raw", "answered"):
                assert mine.mae_sum_argmax.value == pytest.approx(theirs.sum, abs=1e-10)


class TestRows:
    def test_a_method_by_plain_loops(self) -> None:
        world = World(12)
        values = world.rows(near=0.8, far=0.0)
        values["near"]["p3"][:50] = np.nan
        world.tests["p4"][10:20] = np.nan
        found = sound(world.align(values, reference="far"))
        rows = rows_of(found)
        for name, row in values.items():
            expected = by_hand(row, world.tests)
            assert rows[name].traits == pytest.approx(expected, abs=1e-12)
            assert rows[name].mae_sum.value == pytest.approx(sum(expected.values()), abs=1e-12)
            whole = {id: np.rint(v) for id, v in row.items()}
            assert rows[name].mae_sum_argmax.value == pytest.approx(sum(by_hand(whole, world.tests).values()))
            r = [
                stats.pearsonr(row[id][h], t[h]).statistic
                for id, t in world.tests.items()
                if (h := np.isfinite(row[id]) & np.isfinite(t)).any()
            ]
            assert rows[name].correlation.value == pytest.approx(fmean(r))
            assert [p.correlation for p in rows[name].persons.values()] == pytest.approx(r)
            for id in world.ids:
                one = by_hand({id: row[id]}, {id: world.tests[id]})
                assert rows[name].persons[id].mae_sum == pytest.approx(sum(one.values()))
        assert rows["near"].coverage == pytest.approx(1 - 50 / (12 * 180)) and rows["far"].coverage == 1
        assert rows["near"].persons["p3"].coverage == pytest.approx(130 / 180)
        assert found.missing == 10

    def test_missing_counts_as_zero_only_in_the_published_metric(self) -> None:
        world = World(3)
        values = world.rows(near=0.9)
        full = rows_of(world.align(values))["near"]
        at = next(i for i, item in enumerate(TEST) if item.keyed == -1)
        world.tests["p0"][at] = np.nan
        holed = rows_of(world.align(values))["near"]
        keyed = 6 - np.rint(values["near"]["p0"][at])
        whole = {
            id: np.where([i.keyed == -1 for i in TEST], 6 - np.rint(v), np.rint(v)) for id, v in values["near"].items()
        }
        zeros = {id: np.where([i.keyed == -1 for i in TEST], 6 - v, v) for id, v in world.tests.items()}
        zeros["p0"][at] = 0
        assert holed.published.value == pytest.approx(sum(by_hand(whole, zeros).values()))
        assert holed.published.value != pytest.approx(full.published.value) and keyed >= 1
        assert full.published.value == pytest.approx(full.mae_sum_argmax.value), "nothing is missing: keying cancels"

    def test_differences(self) -> None:
        world = World(20)
        values = world.rows(none=0.0, near=0.8)
        found = rows_of(sound(world.align(values, reference="none")))
        assert found["none"].to_reference is None and found["near"].to_nearest is not None
        near = found["near"].to_reference
        assert near and near.to == "none" and near.ci and near.ci[1] < 0 and near.p is not None and near.p < 1e-6
        expected = sum(by_hand(values["near"], world.tests).values()) - sum(
            by_hand(values["none"], world.tests).values()
        )
        assert near.value == pytest.approx(expected)
        trivial = min((r for r in found.values() if r.kind == "baseline"), key=lambda r: r.mae_sum_argmax.value or 9)
        assert found["near"].to_nearest.to == "facet mean, rounded" and trivial.name == "facet mean"
        assert found["near"].to_nearest.value == pytest.approx(
            (found["near"].mae_sum.value or 0) - (trivial.mae_sum_argmax.value or 0)
        )
        assert all(row.to_nearest is None for row in found.values() if row.kind == "baseline")

    def test_a_row_that_leaves_out_the_hard_items_gains_nothing(self) -> None:
        world = World(8)
        none = world.row(0.0, 0.0)
        sparse = {id: np.where(np.abs(v - 3) > 1, np.nan, none[id]) for id, v in world.tests.items()}
        found = rows_of(sound(world.align({"none": none, "sparse": sparse}, reference="none")))
        assert (found["sparse"].mae_sum.value or 9) < (found["none"].mae_sum.value or 0)
        assert found["sparse"].to_reference and found["sparse"].to_reference.value == 0
        assert found["sparse"].coverage < 1

    def test_options(self) -> None:
        world = World(2)
        values = world.rows(a=0.5)
        argmax = {"a": {"p0": np.full(180, 2.0), "p1": np.full(180, 5.0)}}
        found = world.align(values, argmax)
        assert rows_of(found)["a"].options == [0, 0.5, 0, 0, 0.5]
        assert rows_of(found)["uniform random"].options == pytest.approx([0.2] * 5)
        own = np.concatenate(list(world.tests.values()))
        assert found.options == pytest.approx([float((own == k).mean()) for k in range(1, 6)])

    def test_random_is_the_mean_over_many_draws(self) -> None:
        world = World(5)
        exact = rows_of(world.align({}))["uniform random"]
        drawn = [
            sum(by_hand({id: world.rng.integers(1, 6, 180).astype(float) for id in world.ids}, world.tests).values())
            for _ in range(100)
        ]
        error = np.std(drawn, ddof=1) / 10
        assert exact.mae_sum.value == pytest.approx(fmean(drawn), abs=4 * error) and error < 0.05
        assert exact.correlation.value is None and "at random" in exact.correlation.reason

    def test_seeded(self) -> None:
        world = World(6)
        values = world.rows(a=0.5)
        assert world.align(values, seed=1) == world.align(values, seed=1) != world.align(values, seed=2)

    def test_limit(self) -> None:
        world = World(4)
        few = TEST[:3]
        tests = {id: v[:3] for id, v in world.tests.items()}
        found = sound(alignment({"a": tests}, {"a": tests}, tests, world.known, few, iterations=50))
        assert found.items == 3 and found.traits == sorted({i.trait for i in few}, key=BIG_FIVE.index)
        assert rows_of(found)["a"].mae_sum.value == 0
        assert any("not those of 5 traits" in note for note in tables(found)[0].notes)


class TestOracle:
    def test_best_strength_of_each_person(self) -> None:
        world = World(10)
        values = world.rows(weak=0.5, strong=0.5, middle=0.5)
        sweep = {0.0: "weak", 4.0: "middle", 8.0: "strong"}
        found = sound(world.align(values, sweeps={"pas": sweep}))
        best: dict[str, np.ndarray] = {}
        for id in world.ids:
            sums = {
                s: sum(by_hand({id: values[n][id]}, {id: world.tests[id]}).values()) for s, n in sorted(sweep.items())
            }
            strength = min(sums, key=lambda s: sums[s])
            assert found.oracle[0].strengths[id] == strength
            best[id] = values[sweep[strength]][id]
        assert found.oracle[0].sweep == "pas"
        assert found.oracle[0].mae_sum.value == pytest.approx(sum(by_hand(best, world.tests).values()))
        assert len(set(found.oracle[0].strengths.values())) > 1
        main = rows_of(found)
        assert all((found.oracle[0].mae_sum.value or 9) < (main[name].mae_sum.value or 0) for name in values)
        without = world.align(values)
        assert without.rows == found.rows and not without.oracle, "the oracle touches no other figure"
        assert "oracle" not in tables(found)[0].model_dump_json().lower()
        assert tables(found)[-1].title.startswith("Oracle")

    def test_of_equal_strengths_the_weakest(self) -> None:
        world = World(2)
        row = world.row(0.5)
        found = world.align({"a": row, "b": row, "c": row}, sweeps={"m": {-2.0: "a", 4.0: "b", 1.0: "c"}})
        assert set(found.oracle[0].strengths.values()) == {1.0}

    def test_a_person_without_a_value(self) -> None:
        world = World(2)
        found = sound(world.align({"a": {"p0": world.row(0.5)["p0"]}}, sweeps={"m": {1.0: "a"}}))
        assert found.oracle[0].strengths == {"p0": 1.0} and found.oracle[0].mae_sum.n == 1


class TestDegenerate:
    def test_one_person(self) -> None:
        world = World(1)
        found = sound(world.align(world.rows(none=0.0, near=0.8), reference="none", sweeps={"m": {1.0: "near"}}))
        for row in found.rows:
            assert row.mae_sum.value is not None and row.mae_sum.ci is None and "one person" in row.mae_sum.reason
        near = rows_of(found)["near"].to_reference
        assert near and near.value is not None and (near.ci, near.p) == (None, None) and "one person" in near.reason
        assert found.oracle[0].mae_sum.ci is None
        assert any(note.startswith("One person") for note in tables(found)[0].notes)

    def test_a_constant_row_has_no_correlation(self) -> None:
        world = World(3)
        found = rows_of(sound(world.align({"none": {id: np.full(180, 3.3) for id in world.ids}})))
        assert found["none"].correlation.value is None and "vary" in found["none"].correlation.reason
        assert found["constant 3"].correlation.value is None

    def test_neutral_persons(self) -> None:
        world = World(3)
        world.known = {id: dict.fromkeys(mine, 3) for id, mine in world.known.items()}
        world.tests = {id: np.full(180, 3.0) for id in world.tests}
        found = rows_of(sound(world.align({"a": world.row(0.0)})))
        for name in ("constant 3", "overall mean", "trait mean", "facet mean"):
            assert found[name].mae_sum.value == 0 and found[name].mae_sum.ci == (0, 0)
        assert found["a"].correlation.value is None

    def test_nobody_answered_the_test(self) -> None:
        world = World(2)
        row = world.row(0.5)
        world.tests = {id: np.full(180, np.nan) for id in world.tests}
        found = sound(world.align({"a": row}, reference="a", sweeps={"m": {1.0: "a"}}))
        assert (found.persons, found.rows, found.oracle, found.options) == (0, [], [], [])
        assert found.unscored == ["p0", "p1"] and "p0, p1." in tables(found)[0].notes[0]

    def test_who_did_not_answer_the_test_is_left_out(self) -> None:
        world, values = World(3), World(3).rows(a=0.5)
        alone = World(3)
        for table in (alone.tests, alone.known):
            table.pop("p1")
        world.tests["p1"] = np.full(180, np.nan)
        found = sound(world.align(values))
        assert found.unscored == ["p1"] and found.persons == 2 and found.missing == 0
        kept = {"a": {id: v for id, v in values["a"].items() if id != "p1"}}
        assert [r.published.value for r in found.rows] == [r.published.value for r in alone.align(kept).rows]

    def test_a_trait_without_answers(self) -> None:
        world = World(4)
        gone, values = np.array([item.trait == "openness" for item in TEST]), world.rows(none=0.0, a=0.5)
        world.tests = {id: np.where(gone, np.nan, v) for id, v in world.tests.items()}
        found = sound(world.align(values, reference="none"))
        for row in found.rows:
            assert row.traits["openness"] is None and row.mae_sum.value is None and row.mae.value is None
            assert row.published.value is not None, "the paper has an answer of 0 there"

    def test_a_facet_without_known_answers(self) -> None:
        world = World(2)
        facet = TEST[0].facet
        inside = {item.id for item in KNOWN if item.facet == facet}
        world.known["p0"] = {id: v for id, v in world.known["p0"].items() if id not in inside}
        found = rows_of(sound(world.align({})))
        wide = [
            6 - v if i.keyed == -1 else v
            for i in KNOWN
            if i.trait == TEST[0].trait and (v := world.known["p0"].get(i.id)) is not None
        ]
        guess = {
            id: np.array([
                self._guess(world.known[id], item, fmean(wide) if id == "p0" else 0.0, inside) for item in TEST
            ])
            for id in world.ids
        }  # fmt: skip
        assert found["facet mean"].mae_sum.value == pytest.approx(sum(by_hand(guess, world.tests).values()))

    @staticmethod
    def _guess(known: Mapping[str, int], item: Item, wide: float, inside: set[str]) -> float:
        seen = [
            6 - known[i.id] if i.keyed == -1 else known[i.id] for i in KNOWN if i.facet == item.facet and i.id in known
        ]
        mean = fmean(seen) if seen else wide
        return 6 - mean if item.keyed == -1 else mean

    def test_a_row_without_values_or_options(self) -> None:
        world = World(3)
        found = rows_of(sound(world.align({"a": {}, "b": world.row(0.5)}, {}, reference="b")))
        assert found["a"].coverage == 0 and found["a"].mae_sum.value is None and found["a"].options == []
        assert found["b"].mae_sum.value is not None
        assert found["b"].mae_sum_argmax.value is None and found["b"].published.value is None

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda w: {"values": {"a": {"p0": np.ones(3)}}}, r"person 'p0': shape \(3,\); expected \(180,\)"),
            (lambda w: {"values": {"a": {"q": np.ones(180)}}}, "person 'q', who is none of the 2 persons"),
            (lambda w: {"values": {"a": {"p0": np.full(180, 7.0)}}}, "7 is out of range; expected 1 to 5"),
            (lambda w: {"values": {"a": {"p0": np.full(180, np.inf)}}}, "inf is out of range"),
            (lambda w: {"tests": {"p0": np.full(180, 0.0), "p1": np.ones(180)}}, "answers of person 'p0': 0 is out of"),
            (lambda w: {"known": {"p0": w.known["p0"]}}, "person 'p1' has the known answers none"),
            (lambda w: {"known": {**w.known, "p1": {"q7": 3}}}, "the known answers q7; expected ids of the"),
            (lambda w: {"known": {**w.known, "p1": {TEST[0].id: 3}}}, f"{TEST[0].id} is both known and a test item"),
            (lambda w: {"values": {"constant 3": {}}}, "'constant 3' has the name of a trivial baseline"),
            (lambda w: {"values": {"uniform random": {}}}, "has the name of a trivial baseline"),
            (lambda w: {"reference": "none"}, "there is no row 'none'; rows: a"),
            (lambda w: {"sweeps": {"m": {1.0: "x"}}}, "there is no row 'x'"),
            (lambda w: {"argmax": {"x": {}}}, "row 'x' has likeliest options and no expected values"),
            (lambda w: {"argmax": {"a": {"p0": np.full(180, 3.5)}}}, "3.5 is no option; expected a whole number"),
            (lambda w: {"items": ()}, "there are no test items"),
        ],
    )  # fmt: skip
    def test_refused(self, change: Callable[[World], dict[str, Any]], message: str) -> None:
        world = World(2)
        given: dict[str, Any] = {
            "values": {"a": world.row(0.5)}, "argmax": {}, "tests": world.tests, "known": world.known, "items": TEST,
        }  # fmt: skip
        with pytest.raises(BadData, match=message):
            alignment(**{**given, **change(world)}, iterations=10)


class TestMostLikely:
    @staticmethod
    def sample(item: str, shares: list[float], reverse: bool = False, status: str = "valid") -> Sample:
        values = [5, 4, 3, 2, 1] if reverse else [1, 2, 3, 4, 5]
        return Sample.model_validate({
            "doc_id": 0, "doc": {}, "arguments": [], "resps": [], "filtered_resps": [], "doc_hash": "",
            "prompt_hash": "",
            "task": "t", "condition": "c", "scoring": "choice", "item": item, "trait": "openness", "keyed": 1,
            "order": "reverse" if reverse else "forward", "template": 0, "repeat": 0, "seed": 0, "status": status,
            "option_logprobs": [math.log(max(s, 1e-12)) for s in shares], "option_values": values, "value_raw": 3.0,
        })  # fmt: skip

    def test_of_probabilities_averaged_over_orders(self) -> None:
        a, b, c, d = TEST[:4]
        samples = [
            self.sample(a.id, [0.6, 0.1, 0.1, 0.1, 0.1]),
            self.sample(a.id, [0.1, 0.7, 0.1, 0.05, 0.05], reverse=True),
            self.sample(b.id, [0.2] * 5),
            self.sample(c.id, [0.4, 0.4, 0.1, 0.05, 0.05]),
            self.sample(d.id, [0.9, 0.025, 0.025, 0.025, 0.025], status="error"),
        ]
        found = most_likely(samples, [a, b, c, d])
        assert found[:3].tolist() == [4, 3, 2] and np.isnan(found[3])

    def test_written_answers(self, administer: Callable[..., list[Sample]]) -> None:
        items = inventories.load("ipip_neo_120").items
        samples = administer("ipip_neo_120", scoring=("generate",), orders=("forward",))
        found = most_likely(samples, items)
        given = {s.item: s.value_raw for s in samples}
        assert [None if np.isnan(v) else v for v in found] == [given[item.id] for item in items]
