"""A run beside people: items that work alike, one that does not, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from answer_tables import written
from numpy.typing import NDArray

from traitbench.answers.functioning import functioning
from traitbench.answers.reading import open_answers
from traitbench.cli.commands import main
from traitbench.inventories import load
from traitbench.runs.compare import Reading, compare, tables
from traitbench.runs.compare.people import MOST, PeopleComparison
from traitbench.runs.finished import graded
from traitbench.samples import Sample

ITEMS = load("ipip_50", texts=False).items
RUN = "run -M scripted:person -m prompting -t ipip_50 --target extraversion=high --bootstrap_iters 20"
RAW = Reading(keyed=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    lines = {
        "forty": "-a person_sd=.2,noise=.15 --respondents 40 --scoring choice,statement",
        "seven": "-a person_sd=.2,noise=.15 --respondents 7 --scoring choice",
        "none": "--scoring choice",
        "statement": "-a person_sd=.2,noise=.15 --respondents 20 --scoring statement",
    }
    out = {}
    for name, line in lines.items():
        assert main(f"{RUN} -o {folder / name} {line}".split()) == 0
        out[name] = next((folder / name).iterdir())
    return out


def simulated(n: int, moved: dict[int, float] | None = None, seed: int = 1) -> NDArray[np.float64]:
    """Raw answers (n, 50) of people whose levels and errors are drawn as those of the scripted respondents."""
    rng = np.random.default_rng(seed)
    levels = {trait: 0.5 + 0.2 * rng.standard_normal(n) for trait in dict.fromkeys(item.trait for item in ITEMS)}
    out = np.empty((n, len(ITEMS)))
    for place, item in enumerate(ITEMS):
        keyed = 1 + 4 * (levels[item.trait] + 0.15 * rng.standard_normal(n)) + (moved or {}).get(place, 0.0)
        keyed = np.clip(np.rint(keyed), 1, 5)
        out[:, place] = keyed if item.keyed == 1 else 6 - keyed
    return out


def table(path: Path, answers: NDArray[np.float64]) -> Path:
    return written(path, [item.id for item in ITEMS], answers.astype(int).tolist())


def beside(a: Path, b: Path, how: Reading = RAW) -> PeopleComparison:
    found = compare(a, b, lambda line: None, reading=how)
    assert isinstance(found, PeopleComparison)
    return found


def test_people_who_answer_as_the_respondents_do_show_no_item_that_differs(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    people = table(tmp_path / "people.csv", simulated(400))
    found = beside(runs["forty"], people)
    assert (found.task, found.people, found.compared, found.items) == ("ipip_50", 400, 80, 50)
    assert [(one.scoring, one.condition, one.respondents) for one in found.conditions] == [
        ("choice", "baseline", 40), ("choice", "extraversion=high", 40),
    ]  # fmt: skip
    for one in found.conditions:
        scales = one.functioning.scales
        assert [(scale.n_first, scale.n_second) for scale in scales] == [(80, 40)] * 5
        assert not [item.item for scale in scales for item in scale.items if item.differs]
        assert all(item.p is not None for scale in scales for item in scale.items)
    assert beside(people, runs["forty"]) == found


def test_an_item_that_people_answer_otherwise_is_named(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = table(tmp_path / "people.csv", simulated(400, {13: 1.2}))
    for one in beside(runs["forty"], people).conditions:
        differ = {item.item: item.log_odds for scale in one.functioning.scales for item in scale.items if item.differs}
        # Respondents answer it lower than people of the same level.
        assert list(differ) == [ITEMS[13].id] and (differ[ITEMS[13].id] or 0) < 0
    assert main(["compare", str(runs["forty"]), str(people), "--raw", "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert "baseline – people (people.csv)" in shown and "Items that work differently, ipip_50" in shown
    assert f"| {ITEMS[13].id} |" in shown
    assert main(["compare", str(people), str(runs["forty"]), "--raw", "--format", "json"]) == 0
    assert [one["condition"] for one in json.loads(capsys.readouterr().out)["conditions"]] == [
        "baseline", "extraversion=high",
    ]  # fmt: skip


def test_the_numbers_are_those_of_functioning_by_hand(runs: dict[str, Path], tmp_path: Path) -> None:
    people = simulated(80, {3: 0.5})
    signs = np.array([item.keyed for item in ITEMS])
    _, samples, _ = graded(next(runs["forty"].glob("results_*.json")))
    rows: dict[tuple[object, str], list[float]] = {}
    for sample in samples["ipip_50"]:
        assert isinstance(sample, Sample)
        if sample.scoring == "choice" and sample.condition == "extraversion=high" and sample.value_keyed is not None:
            rows.setdefault((sample.respondent, sample.item), []).append(sample.value_keyed)
    who = sorted({respondent for respondent, _ in rows}, key=str)
    answers = np.array([[np.mean(rows[person, item.id]) for item in ITEMS] for person in who])
    by_hand = functioning(np.where(signs == 1, people, 6 - people), answers, ITEMS)
    _, one = beside(runs["forty"], table(tmp_path / "people.csv", people)).conditions
    for mine, other in zip(one.functioning.scales, by_hand, strict=True):
        assert mine.holds == other.holds and mine.matched_on == other.matched_on
        assert [item.r2_change for item in mine.items] == pytest.approx([item.r2_change for item in other.items])


def test_of_many_people_some_are_drawn_by_the_runs_seed(runs: dict[str, Path], tmp_path: Path) -> None:
    answers = simulated(120)
    names = [item.id for item in ITEMS]
    gaps: list[list[object]] = [*answers[:90].astype(int).tolist()]
    gaps += [[None, *row[1:]] for row in answers[90:].astype(int).tolist()]
    people = written(tmp_path / "people.csv", names, gaps)
    found = beside(runs["forty"], people)
    assert (found.people, found.compared) == (120, MOST * 40)
    assert all(scale.n_first == MOST * 40 for one in found.conditions for scale in one.functioning.scales)
    said = "80 of 120 people were compared, 2 a respondent, drawn by the run's seed of those who answered every item."
    assert said in found.notes and said in tables(found)[0].notes
    assert beside(runs["forty"], people) == found


def test_what_cannot_be_compared_says_what_to_type(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people, other = table(tmp_path / "people.csv", simulated(60)), tmp_path / "other.csv"
    other.write_text("age,sex\n30,1\n40,2\n", encoding="utf-8")
    forty = str(runs["forty"])
    cases = [
        ([forty, str(people)], 2, "--keyed if minus-keyed items are reversed already"),
        ([str(runs["none"]), str(people), "--raw"], 1, "has no simulated respondents"),
        ([str(runs["seven"]), str(people), "--raw"], 1, "has 7 simulated respondents"),
        ([str(runs["statement"]), str(people), "--raw"], 1, "--scoring choice --respondents 50"),
        ([forty, str(other), "--raw"], 1, "has no column of ipip_50, only 'age', 'sex'"),
        ([str(people), str(people), "--raw"], 1, "expected one table and one run"),
        ([forty, forty, "--raw"], 2, "there is none"),
        ([forty, str(people), "--raw", "--bounds", "2"], 2, "are for two runs"),
        ([forty, str(people), "--raw", "--missing", "pairwise"], 2, "expected numbers"),
        ([forty, str(people), "--keyed"], 1, "--raw or --keyed"),
        ([forty, str(tmp_path / "no.csv"), "--raw"], 2, "no.csv"),
    ]
    for words, code, said in cases:
        assert main(["compare", *words]) == code, words
        error = capsys.readouterr().err
        assert said in error and error.count("error:") == 1, (words, error)


def test_a_table_is_read_as_analyze_reads_it(runs: dict[str, Path], tmp_path: Path) -> None:
    """Coded 0 to 4 with -9 for missing and names of its own, it gives what it gives coded as the inventory is."""
    answers = simulated(60)
    plain = beside(runs["forty"], table(tmp_path / "plain.csv", answers))
    names = {f"Q{place}": item.id for place, item in enumerate(ITEMS)}
    coded = [[-9 if (row, place) == (0, 0) else value - 1 for place, value in enumerate(line)]
             for row, line in enumerate([answers[0].astype(int).tolist(), *answers.astype(int).tolist()])]  # fmt: skip
    own = written(tmp_path / "own.csv", names, coded)
    found = beside(runs["forty"], own, Reading(False, (0, 4), (-9,), names))
    for one, two in zip(found.conditions, plain.conditions, strict=True):
        # The first row twice, once with a gap on the first scale.
        first, *others = one.functioning.scales
        assert first == two.functioning.scales[0]
        assert all(scale.n_first == 61 for scale in others)


def test_people_of_the_public_sample_beside_a_run(runs: dict[str, Path], shared: Path) -> None:
    path = shared / "data" / "human" / "openpsych_ipip50.tsv.gz"
    found = beside(runs["forty"], path)
    assert found.compared == MOST * 40 and found.items == 50
    everyone = sum(len(batch) for batch in open_answers(path, load("ipip_50", texts=False)).batches(False))
    assert found.people == everyone
    for one in found.conditions:
        scales = one.functioning.scales
        assert len(scales) == 5 and sum(len(scale.items) for scale in scales) == 50
        # Respondents made of levels and noise answer each item alike; people do not.
        assert any(item.differs for scale in scales for item in scale.items)
        assert all(item.p is not None for scale in scales for item in scale.items)
