"""Trait-correlation similarity: every statistic by another route, the baselines' known values, what is undefined.

Over 300 lines: the statistics of one comparison, all against the same second routes and published matrices.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from traitbench.errors import BadData, UnknownName
from traitbench.humans import Reference, default_reference, reference
from traitbench.humans.similarity import Measure, Similarity, from_scores, similarity
from traitbench.statistics.matrices import bootstrap_cells, correlations, mantel, sampled_cells
from traitbench.types import BIG_FIVE, DARK_TRIAD

Array = NDArray[np.float64]
PEOPLE = reference("ipip_neo_300_johnson")
HUMAN = PEOPLE.matrix(BIG_FIVE)
UPPER = np.triu_indices(5, 1)


def correlated(n: int, matrix: Array, seed: int) -> Array:
    return np.random.default_rng(seed).multivariate_normal(np.zeros(len(matrix)), matrix, n)


def value(measure: Measure) -> float:
    assert measure.value is not None and not measure.reason
    return measure.value


def none(measure: Measure, reason: str) -> None:
    assert measure.value is None and reason in measure.reason and measure.interval is None


def people(matrix: Sequence[Sequence[float | None]], traits: Sequence[str] = BIG_FIVE) -> Reference:
    return Reference(
        name="own", label="own", n=100, source="test", traits=tuple(traits), correlations=tuple(map(tuple, matrix))
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_statistic_by_hand(seed: int) -> None:
    model = np.corrcoef(correlated(30, np.eye(5), seed).T)
    found = similarity(model, BIG_FIVE, PEOPLE)
    square, absolute, same, a, b = 0.0, 0.0, 0, [], []
    for i in range(5):
        for j in range(5):
            if i != j:
                square += (model[i][j] - HUMAN[i][j]) ** 2
            if i < j:
                absolute += abs(model[i][j] - HUMAN[i][j])
                same += (model[i][j] > 0) == (HUMAN[i][j] > 0)
                a.append(model[i][j])
                b.append(HUMAN[i][j])
    assert value(found.distance) == pytest.approx(math.sqrt(square), abs=1e-12)
    assert value(found.mean_abs_difference) == pytest.approx(absolute / 10, abs=1e-12)
    assert value(found.sign_agreement) == same / 10
    assert value(found.spearman) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert found.cells == 10 and found.n is None and found.sampled is None and found.mode is None
    assert found.matrix == tuple(map(tuple, model.tolist())) and found.human == tuple(map(tuple, HUMAN.tolist()))


def test_ties_share_their_rank() -> None:
    model = np.round(np.corrcoef(correlated(30, np.eye(5), 1).T), 1)
    expected = stats.spearmanr(model[UPPER], HUMAN[UPPER]).statistic
    assert value(similarity(model, BIG_FIVE, PEOPLE).spearman) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_mantel_counts_the_relabellings_that_are_no_farther(seed: int) -> None:
    """By distance, which `mantel` does not use."""
    model = np.corrcoef(correlated(12, HUMAN, seed).T)
    observed = np.linalg.norm(model - HUMAN)
    count = sum(np.linalg.norm(model[np.ix_(p, p)] - HUMAN) <= observed + 1e-12 for p in permutations(range(5)))
    assert value(similarity(model, BIG_FIVE, PEOPLE).mantel_p) == count / 120


def test_mantel_is_exact() -> None:
    """Over all relabellings of one matrix without ties, p takes each of its values once."""
    model = np.corrcoef(correlated(12, HUMAN, 3).T)
    found = sorted(mantel(model[np.ix_(p, p)], HUMAN) for p in permutations(range(5)))
    assert found == pytest.approx(np.arange(1, 121) / 120)


def test_people_are_like_themselves() -> None:
    found = similarity(HUMAN, BIG_FIVE, PEOPLE)
    assert value(found.distance) == 0 and value(found.mean_abs_difference) == 0
    assert value(found.sign_agreement) == 1 and value(found.spearman) == pytest.approx(1)
    assert value(found.mantel_p) == 1 / 120


def test_the_identity_matrix_scores_1_18() -> None:
    found = similarity(np.eye(5), BIG_FIVE, PEOPLE)
    expected = math.sqrt(2 * sum(r**2 for r in HUMAN[UPPER]))
    assert value(found.distance) == value(found.identity.distance) == pytest.approx(expected)
    assert expected == pytest.approx(1.18, abs=0.005)
    assert value(found.identity.sign_agreement) == 0
    none(found.spearman, "all cells of a matrix are equal")
    assert value(found.mantel_p) == 1


def test_the_sampling_baseline_of_ten() -> None:
    found = similarity(np.eye(5), BIG_FIVE, PEOPLE, n=10).sampled
    assert found is not None and found.distance.interval is not None
    assert value(found.distance) == pytest.approx(1.35, abs=0.06)
    assert found.distance.interval == pytest.approx((0.80, 2.08), abs=0.08)


@pytest.mark.parametrize("n", [4, 6, 10, 100])
def test_the_sampling_baseline_is_that_of_samples(n: int) -> None:
    """Against samples drawn person by person; n = 4 and 6 lie on either side of a full-rank scatter matrix."""
    rng, draws = np.random.default_rng(1), 3000
    samples = rng.multivariate_normal(np.zeros(5), HUMAN, (draws, n))
    theirs = np.array([np.corrcoef(s.T)[UPPER] for s in samples])
    ours = sampled_cells(HUMAN, n, draws, seed=0)
    for a, b in ((ours, theirs), (np.abs(ours - HUMAN[UPPER]), np.abs(theirs - HUMAN[UPPER]))):
        error = np.sqrt(a.var(axis=0) / draws + b.var(axis=0) / draws)
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error).all()
    mine, other = (np.linalg.norm(c - HUMAN[UPPER], axis=1) * math.sqrt(2) for c in (ours, theirs))
    assert mine.mean() == pytest.approx(other.mean(), rel=0.03)
    assert np.percentile(mine, [2.5, 97.5]) == pytest.approx(np.percentile(other, [2.5, 97.5]), rel=0.08)


def test_the_sampling_baseline_is_fast_and_the_same_again() -> None:
    took = []
    for _ in range(5):
        start = time.perf_counter()
        found = similarity(np.eye(5), BIG_FIVE, PEOPLE, n=5000)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.1
    assert found == similarity(np.eye(5), BIG_FIVE, PEOPLE, n=5000)
    assert found.sampled != similarity(np.eye(5), BIG_FIVE, PEOPLE, n=5000, seed=1).sampled


def test_an_indefinite_human_matrix_is_sampled_at_its_nearest() -> None:
    odd = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])
    cells = sampled_cells(odd, 50, 200, 0)
    assert np.isfinite(cells).all() and np.abs(cells).max() <= 1


def test_profiles_by_hand() -> None:
    scores = correlated(150, HUMAN, 0) * [0.5, 1, 2, 0.1, 3] + [3, 2, 4, 1, 3]
    found = from_scores(scores, BIG_FIVE, PEOPLE, "profiles")
    assert np.array(found.matrix, dtype=float) == pytest.approx(np.corrcoef(scores.T), abs=1e-12)
    assert value(found.distance) == pytest.approx(np.linalg.norm(np.corrcoef(scores.T) - HUMAN), abs=1e-12)
    assert (found.mode, found.n, found.dropped, found.notes) == ("profiles", 150, 0, ())
    assert found.distance_corrected is not None and found.distance_corrected < value(found.distance)
    for name in ("distance", "mean_abs_difference", "sign_agreement", "spearman"):
        low, high = getattr(found, name).interval
        assert low < high
    assert found.sampled == similarity(np.eye(5), BIG_FIVE, PEOPLE, n=150).sampled
    assert found == from_scores(scores, BIG_FIVE, PEOPLE, "profiles")
    assert found.distance != from_scores(scores, BIG_FIVE, PEOPLE, "profiles", seed=1).distance
    assert Similarity.model_validate_json(found.model_dump_json()) == found


def test_the_bootstrap_redraws_rows() -> None:
    """Against rows drawn by index and correlated one sample at a time."""
    scores, rng = correlated(40, HUMAN, 2), np.random.default_rng(0)
    theirs = np.array([np.corrcoef(scores[rng.integers(0, 40, 40)].T)[UPPER] for _ in range(4000)])
    ours = bootstrap_cells(scores, 4000, seed=0)
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 4000)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4 * error).all()
    assert ours.std(axis=0) == pytest.approx(theirs.std(axis=0), rel=0.06)


ONE_FACTOR = np.full((5, 5), 0.6) + 0.4 * np.eye(5)


@pytest.mark.parametrize(
    "truth",
    [np.eye(5), (HUMAN + np.eye(5)) / 2, HUMAN, ONE_FACTOR],
    ids=["identity", "half human", "human", "one factor"],
)
def test_the_interval_of_the_distance_covers(truth: Array) -> None:
    """Of 100 data sets of 100 targets at least 88 (92 to 100 % of 400); a percentile interval covers 0 to 94 %."""
    true, covered = np.linalg.norm(truth - HUMAN), 0
    for seed in range(100):
        found = from_scores(correlated(100, truth, seed), BIG_FIVE, PEOPLE, "profiles", iterations=200)
        assert found.distance.interval is not None
        low, high = found.distance.interval
        covered += low <= true <= high
    assert covered >= 88


def test_the_paper_mode_leaves_one_condition_out() -> None:
    scores = correlated(10, HUMAN, 4)
    found = from_scores(scores, BIG_FIVE, PEOPLE, "paper")
    distances, ranks = [], []
    for i in range(10):
        r = np.corrcoef(np.array([row for k, row in enumerate(scores) if k != i]).T)
        distances.append(np.linalg.norm(r - HUMAN))
        ranks.append(stats.spearmanr(r[UPPER], HUMAN[UPPER]).statistic)
    assert found.distance.interval == pytest.approx((min(distances), max(distances)))
    assert found.spearman.interval == pytest.approx((min(ranks), max(ranks)))
    assert found.distance_corrected is None and found.n == 10
    assert found.sampled == similarity(np.eye(5), BIG_FIVE, PEOPLE, n=10).sampled


@pytest.mark.parametrize("mode", ["profiles", "paper"])
def test_a_trait_without_variance_is_null_and_never_filled(mode: str) -> None:
    scores = correlated(120, HUMAN, 5)
    scores[:, 1] = 3.1
    found = from_scores(scores, BIG_FIVE, PEOPLE, mode)  # type: ignore[arg-type]
    assert all(found.matrix[1][j] is None and found.matrix[j][1] is None for j in range(5))
    assert found.cells == 6
    for measure in (found.distance, found.spearman, found.mantel_p):
        none(measure, "4 of 10 cells are undefined: the model has no scores or no variance in conscientiousness")
    rest = [0, 2, 3, 4]
    r = np.corrcoef(scores[:, rest].T)
    assert value(found.mean_abs_difference) == pytest.approx(
        np.abs(r - HUMAN[np.ix_(rest, rest)])[np.triu_indices(4, 1)].mean()
    )
    assert found.mean_abs_difference.interval is not None
    assert value(found.identity.distance) == pytest.approx(1.18156, abs=1e-5)
    assert found.sampled is not None


def test_nothing_has_variance() -> None:
    found = from_scores(np.full((100, 5), 3.0), BIG_FIVE, PEOPLE, "profiles")
    assert found.cells == 0
    for name in ("distance", "mean_abs_difference", "sign_agreement", "spearman", "mantel_p"):
        none(getattr(found, name), "10 of 10 cells are undefined: the model has variance in no trait")


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("mode", ["profiles", "paper"])
def test_too_few_rows(n: int, mode: str) -> None:
    found = from_scores(correlated(n, HUMAN, 0), BIG_FIVE, PEOPLE, mode)  # type: ignore[arg-type]
    none(found.distance, "fewer than 3 rows")
    assert found.n == n and found.sampled is None


def test_few_profiles_are_noted() -> None:
    found = from_scores(correlated(30, HUMAN, 0), BIG_FIVE, PEOPLE, "profiles")
    assert found.notes == ("30 target vectors; profiles need at least 100",)
    assert found.distance.interval is not None


def test_unscored_rows_are_dropped_and_counted() -> None:
    scores = correlated(110, HUMAN, 6)
    whole = from_scores(scores[10:], BIG_FIVE, PEOPLE, "profiles")
    scores[:10, 2] = np.nan
    found = from_scores(scores, BIG_FIVE, PEOPLE, "profiles")
    assert (found.n, found.dropped) == (100, 10)
    assert found == whole.model_copy(update={"dropped": 10})


def test_a_trait_scored_nowhere_costs_only_its_own_cells() -> None:
    scores = correlated(110, HUMAN, 6)
    scores[:, 0] = np.nan
    scores[3, 1] = np.nan
    found = from_scores(scores, BIG_FIVE, PEOPLE, "profiles")
    assert (found.n, found.dropped, found.cells) == (109, 1, 6)
    none(found.distance, "no variance in openness")
    assert from_scores(np.full((120, 5), np.nan), BIG_FIVE, PEOPLE, "profiles").cells == 0


@pytest.mark.parametrize(("mode", "what"), [("profiles", "resamples"), ("paper", "conditions")])
def test_no_interval_where_one_row_holds_all_the_variance(mode: str, what: str) -> None:
    scores = correlated(100, HUMAN, 7)
    scores[:, 4] = 2.0
    scores[0, 4] = 3.0
    found = from_scores(scores, BIG_FIVE, PEOPLE, mode)  # type: ignore[arg-type]
    assert found.distance.value is not None and found.distance.interval is None
    assert len(found.notes) == 1 and "no interval" in found.notes[0] and what in found.notes[0]


def test_without_iterations_there_is_no_interval() -> None:
    found = from_scores(correlated(100, HUMAN, 0), BIG_FIVE, PEOPLE, "profiles", iterations=0)
    assert found.distance.value is not None and found.distance.interval is None and found.sampled is None


def test_three_traits() -> None:
    dark = default_reference(DARK_TRIAD)
    assert dark is not None
    human = dark.matrix(DARK_TRIAD)
    scores = correlated(200, human, 0)
    model = np.corrcoef(scores.T)
    found = from_scores(scores, DARK_TRIAD, dark, "profiles")
    assert value(found.distance) == pytest.approx(np.linalg.norm(model - human))
    observed = np.linalg.norm(model - human)
    near = sum(np.linalg.norm(model[np.ix_(p, p)] - human) <= observed + 1e-12 for p in permutations(range(3)))
    assert value(found.mantel_p) == near / 6
    assert found.cells == 3 and found.spearman.value is not None


@pytest.mark.parametrize("traits", [("openness", "neuroticism"), ("openness",)])
def test_two_traits_or_one(traits: tuple[str, ...]) -> None:
    found = from_scores(correlated(100, np.eye(len(traits)), 0), traits, PEOPLE, "profiles")
    none(found.spearman, "fewer than")
    none(found.mantel_p, "traits")
    assert (found.distance.value is None) == (len(traits) == 1)


def test_the_order_of_the_traits_does_not_matter() -> None:
    scores = correlated(150, HUMAN, 8)
    turned = from_scores(scores[:, ::-1], BIG_FIVE[::-1], PEOPLE, "profiles")
    found = from_scores(scores, BIG_FIVE, PEOPLE, "profiles")
    for name in ("distance", "mean_abs_difference", "sign_agreement", "spearman", "mantel_p"):
        assert value(getattr(found, name)) == pytest.approx(value(getattr(turned, name)), abs=1e-12)


def test_a_reference_with_undefined_cells() -> None:
    holed = [[None if 4 in (i, j) else float(HUMAN[i, j]) for j in range(5)] for i in range(5)]
    found = similarity(HUMAN, BIG_FIVE, people(holed), n=100)
    none(found.distance, "the human sample has no scores or no variance in neuroticism")
    assert value(found.mean_abs_difference) == 0 and found.cells == 6
    none(found.identity.distance, "the human sample")
    assert found.sampled is None


def test_a_matrix_that_is_none_is_refused() -> None:
    with pytest.raises(BadData, match=r"shape \(3, 3\); expected \(5, 5\)"):
        similarity(np.eye(3), BIG_FIVE, PEOPLE)
    crooked = np.eye(5)
    crooked[0, 1] = 0.5
    with pytest.raises(BadData, match="not symmetric"):
        similarity(crooked, BIG_FIVE, PEOPLE)
    with pytest.raises(BadData, match="outside"):
        similarity(np.full((5, 5), 1.5), BIG_FIVE, PEOPLE)
    with pytest.raises(BadData, match="a column a trait"):
        from_scores(np.zeros((10, 4)), BIG_FIVE, PEOPLE, "paper")
    with pytest.raises(BadData, match="holds no correlations; take one of ipip_neo_300_johnson"):
        similarity(np.eye(5), BIG_FIVE, reference("ipip_neo_120_johnson"))
    with pytest.raises(UnknownName, match="machiavellianism"):
        similarity(np.eye(3), DARK_TRIAD, PEOPLE)


def test_undefined_cells_may_be_given() -> None:
    holed = [[None if (i == 2) != (j == 2) else float(HUMAN[i, j]) for j in range(5)] for i in range(5)]
    found = similarity(holed, BIG_FIVE, PEOPLE)
    assert found.cells == 6 and found.matrix[2][0] is None
    none(found.distance, "extraversion")
    assert similarity(np.full((5, 5), np.nan), BIG_FIVE, PEOPLE).cells == 0


def test_rounding_is_no_variance() -> None:
    scores = np.random.default_rng(0).normal(3, 1, (50, 2))
    scores[:, 0] = 0.1 + 0.2
    scores[::2, 0] = 0.3
    assert np.isnan(correlations(scores)[0, 1]) and np.isnan(correlations(scores)[0, 0])


def test_the_published_distances(shared: Path) -> None:
    """The distances of BIG5-CHAT from its published cells: ten conditions, and its own (wrongly keyed) people."""
    published = json.loads((shared / "reference/big5chat_correlation.json").read_text())
    theirs = people(published["human_matrix_as_published"])
    cells: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with open(shared / "reference/paper_tables.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["paper"], row["table"], row["model"]) == ("BIG5-CHAT", "IPIP-NEO", "llama3_8b") and "=" in row[
                "condition"
            ]:
                cells[row["method"]][row["condition"]][row["trait"].lower()] = float(row["value"])
    for method, expected in published["recomputed_distance_llama3_8b"].items():
        name = next(m for m in cells if m in method)
        scores = [[row[t] for t in BIG_FIVE] for row in cells[name].values()]
        found = from_scores(scores, BIG_FIVE, theirs, "paper")
        assert found.n == 10 and value(found.distance) == pytest.approx(expected, abs=6e-5), method
