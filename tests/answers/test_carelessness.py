"""Signs of careless answers: each index by brute force and R psych, what is flagged, and the scores file."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from answer_tables import GAPPY, GAPPY_NAMES, Make, written
from numpy.typing import NDArray
from pyarrow import parquet
from scipy import stats

from traitbench.answers.analyze import analyze
from traitbench.answers.carelessness import INDICES, even_odd, longstring, person_total

KEYS = [(f"{scale.lower()}{i}", scale, 1 if i % 2 else -1, None) for i in range(1, 6) for scale in "OCEAN"]
NAMES = [key[0] for key in KEYS]
SIGN = np.array([key[2] for key in KEYS])

Array = NDArray[np.float64]


def raw_answers(n: int = 120) -> Array:
    """Raw answers whose items differ in how much they are agreed with."""
    rng = np.random.default_rng(4)
    traits = rng.normal(size=(n, 5))
    lean = SIGN * traits[:, ["OCEAN".index(key[1]) for key in KEYS]]
    return np.clip(np.rint(np.linspace(2, 4, len(KEYS)) + 0.7 * lean + 0.7 * rng.normal(size=lean.shape)), 1, 5)


def test_longstring_against_runs() -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(1, 4, (200, 30)).astype(float)
    raw[rng.random(raw.shape) < 0.1] = np.nan
    expected = [max((len([*run]) for value, run in groupby(row) if value == value), default=0) for row in raw]
    assert longstring(raw).tolist() == expected
    assert longstring(np.full((1, 4), np.nan)).tolist() == [0]
    assert longstring(np.array([[2.0, 2, np.nan, 2]])).tolist() == [2]


def test_even_odd_by_hand() -> None:
    """Four scales of four, three, two and one item, with gaps: the last has no second half."""
    units = [[0, 4, 1, 2], [3, 5, 6], [7, 8], [9]]
    rng = np.random.default_rng(1)
    values = rng.integers(1, 6, (60, 10)).astype(float)
    values[rng.random(values.shape) < 0.05] = np.nan
    found = even_odd(values, units)
    for row, ours in zip(values, found, strict=True):
        halves = []
        for places in units:
            first, second = (row[places[start::2]] for start in (0, 1))
            if not (np.isnan(first).all() or np.isnan(second).all()):
                halves.append((np.nanmean(first), np.nanmean(second)))
        if len(halves) < 3 or min(np.ptp(halves, axis=0)) == 0:
            assert np.isnan(ours)
        else:
            r = np.corrcoef(np.array(halves).T)[0, 1]
            assert ours == pytest.approx(-1 if r < -1 / 3 else 2 * r / (1 + r), abs=1e-9)


def test_person_total_by_hand() -> None:
    raw = raw_answers()
    raw[0], raw[1, 3:] = 3, np.nan
    raw[2, 2:] = np.nan
    means = np.nanmean(raw, axis=0)
    found = person_total(raw, means)
    assert np.isnan(found[0]) and np.isnan(found[2])  # always the same, and two answers
    assert found[1] == pytest.approx(np.corrcoef(raw[1, :3], means[:3])[0, 1])
    assert found[3] == pytest.approx(np.corrcoef(raw[3], means)[0, 1])


@pytest.mark.parametrize("keyed", [False, True])
def test_careless_persons_are_flagged_and_written(keyed: bool, make: Make, tmp_path: Path) -> None:
    """One who ticks the same throughout, one who is at odds with everybody and with himself, one with a gap.

    The order is that of the columns in the table, and the answers those that were given, however the table is keyed.
    """
    raw = raw_answers()
    raw[0] = 4
    raw[1] = 6 - np.rint(raw.mean(axis=0))
    raw[1, ::2] = np.where(np.arange(13) % 2, 1, 5)
    raw[2, 7] = np.nan
    order = np.random.default_rng(0).permutation(len(KEYS))
    table = np.where((SIGN == -1) & keyed, 6 - raw, raw)[:, order]
    cells = [["" if np.isnan(v) else v for v in row] for row in table]
    path = written(tmp_path / "t.csv", [NAMES[i] for i in order], cells)
    out = tmp_path / "scores.parquet"
    seen: list[int] = []
    found = analyze(path, make(KEYS), keyed, out, seen.append, careless=True)
    assert seen == [120, 120]
    scores = parquet.read_table(out)
    assert tuple(scores.column_names[-5:]) == INDICES and scores.num_rows == 120
    columns = {name: scores[name].to_pylist() for name in INDICES}
    runs = [max(len([*run]) for value, run in groupby(row) if value == value) for row in raw[:, order].tolist()]
    assert columns["longstring"] == runs and runs[0] == 25
    whole = ~np.isnan(raw).any(axis=1)
    keyed_answers = np.where(SIGN == 1, raw, 6 - raw)
    centred = keyed_answers - keyed_answers[whole].mean(axis=0)
    squares = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(keyed_answers[whole].T)), centred)
    assert columns["mahalanobis"][2] is columns["mahalanobis_p"][2] is None
    held = [i for i in range(120) if i != 2]
    assert [columns["mahalanobis"][i] for i in held] == pytest.approx(squares[held])
    assert [columns["mahalanobis_p"][i] for i in held] == pytest.approx(stats.chi2.sf(squares[held], 25))
    means = np.nanmean(raw, axis=0)
    assert columns["person_total"][0] is None and columns["person_total"][1] < 0
    assert columns["person_total"][5] == pytest.approx(np.corrcoef(raw[5], means)[0, 1])
    units = [[i for i, key in enumerate(KEYS) if key[1] == scale] for scale in "OCEAN"]
    assert columns["even_odd"][5] == pytest.approx(even_odd(keyed_answers[5:6], units)[0])
    assert found.carelessness is not None and not found.carelessness.reasons
    indices = found.carelessness.indices
    flagged = {
        "longstring": sum(run >= 12.5 for run in runs),
        "even_odd": sum(v is not None and v < 0.3 for v in columns["even_odd"]),
        "mahalanobis": sum(v is not None and v < 0.001 for v in columns["mahalanobis_p"]),
        "person_total": sum(v is not None and v < 0 for v in columns["person_total"]),
    }
    assert {name: index.flagged for name, index in indices.items()} == flagged
    assert flagged["longstring"] == 1 and 0 < flagged["person_total"] < 10
    for name, index in indices.items():
        values = [v for v in columns[name] if v is not None]
        assert (index.n, index.mean) == (len(values), pytest.approx(np.mean(values)))
        assert index.sd == pytest.approx(np.std(values, ddof=1))


def test_mahalanobis_against_psych(make: Make, tmp_path: Path) -> None:
    """`psych::outlier(x, plot = FALSE)` of the complete rows."""
    rows = [["" if cell == "." else cell for cell in person] for person in GAPPY]
    keys = [(name, name[0].upper(), 1, None) for name in GAPPY_NAMES]
    out = tmp_path / "scores.csv"
    analyze(written(tmp_path / "t.csv", GAPPY_NAMES, rows), make(keys), True, out, careless=True)
    found = pa.csv.read_csv(out)["mahalanobis"].to_pylist()
    theirs = {2: 4.53421170, 3: 6.18830198, 7: 11.22557238, 9: 12.49085742, 11: 9.06688125}
    assert {row: found[row - 1] for row in theirs} == pytest.approx(theirs, abs=1e-7)
    assert sum(value is not None for value in found) == 21


def test_what_cannot_be_said_has_a_reason(make: Make, tmp_path: Path) -> None:
    """Two scales, fewer persons than items, and items that are agreed with alike."""
    rng = np.random.default_rng(0)
    keys = [key for key in KEYS if key[1] in "OC"]
    answers = np.column_stack([rng.permutation([1, 2, 3, 4, 5, 3, 3]) for _ in keys])
    path = written(tmp_path / "t.csv", [key[0] for key in keys], answers.tolist())
    found = analyze(path, make(keys), True, careless=True).carelessness
    assert found is not None and set(found.reasons) == {"even_odd", "mahalanobis", "person_total"}
    assert all(found.indices[name].n == found.indices[name].flagged == 0 for name in found.reasons)
    assert found.indices["longstring"].n == 7
    assert analyze(path, make(keys), True).carelessness is None
